/* Base64 for AVX2 and AVX-512. Both turn characters into 6-bit values, find what is not in the alphabet on the way,
 * and join four values with two multiply-adds: (a, b) -> 64 a + b, then (ab, cd) -> 4096 ab + cd, 24 bits whose bytes
 * a shuffle puts in order.
 *
 *   AVX2      32 characters: two 16-entry lookups, by the high and the low half of a byte
 *   AVX-512   64 characters: one 128-entry lookup (VBMI)
 *
 * A store may be longer than what was decoded where more output is to come: it is overwritten. */
#if defined(__x86_64__)

#include "dsp.h"
#include "x86.h"


/* ---- AVX2 ---- */

/* 32 characters to 24 bytes at the front; returns 0 where one is not in the alphabet.
 *
 * Each high half of a byte has a class: 2x -> 1, 3x -> 2, 4x and 6x -> 4, 5x and 7x -> 8, any other -> 16. For each
 * low half `wrong` has the classes in which it is none: class 1 holds only + (2B) and / (2F), 2 ends at 9 (39), 4
 * begins at A (41), 8 ends at Z (5A), 16 holds nothing. */
AVX2 static inline int decode32(__m256i c, __m256i *bytes)
{
    const __m256i classes = _mm256_setr_epi8(16, 16, 1, 2, 4, 8, 4, 8, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 1, 2, 4,
                                             8, 4, 8, 16, 16, 16, 16, 16, 16, 16, 16);
    const __m256i wrong = _mm256_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a,
                                           0x1b, 0x1b, 0x1b, 0x1a, 0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                           0x11, 0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
    /* What to add to a character, by its high half; for / it is in place 1. */
    const __m256i offsets = _mm256_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 19, 4,
                                             -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m256i order = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1, 2, 1, 0, 6, 5, 4, 10,
                                           9, 8, 14, 13, 12, -1, -1, -1, -1);
    const __m256i half = _mm256_set1_epi8(0x0f);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(c, 4), half);
    const __m256i slash = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('/')); /* -1 */
    const __m256i bad = _mm256_shuffle_epi8(wrong, _mm256_and_si256(c, half));
    const int good = _mm256_testz_si256(bad, _mm256_shuffle_epi8(classes, high));
    __m256i v = _mm256_add_epi8(c, _mm256_shuffle_epi8(offsets, _mm256_add_epi8(high, slash)));
    v = _mm256_maddubs_epi16(v, _mm256_set1_epi16(0x0140));
    v = _mm256_madd_epi16(v, _mm256_set1_epi32(0x00011000));
    v = _mm256_shuffle_epi8(v, order);
    *bytes = _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7));
    return good;
}

AVX2 size_t lw_base64_avx2(uint8_t *out, const uint8_t *in, size_t n)
{
    __m256i a, b;
    size_t i = 0;
    for (; n - i >= 64 + 12; i += 64) { /* the last 12 characters make the 8 bytes that the store is too long */
        int good = decode32(_mm256_loadu_si256((const __m256i *)(in + i)), &a);
        good &= decode32(_mm256_loadu_si256((const __m256i *)(in + i + 32)), &b);
        if (!good)
            goto rest;
        _mm256_storeu_si256((__m256i *)(out + i / 4 * 3), a);
        _mm256_storeu_si256((__m256i *)(out + i / 4 * 3 + 24), b);
    }
    while (i < n && n >= 32) {
        if (n - i < 32)
            i = n - 32; /* a part of it again, so that the last block is a whole one */
        if (!decode32(_mm256_loadu_si256((const __m256i *)(in + i)), &a))
            goto rest;
        _mm_storeu_si128((__m128i *)(out + i / 4 * 3), _mm256_castsi256_si128(a));
        _mm_storel_epi64((__m128i *)(out + i / 4 * 3 + 16), _mm256_extracti128_si256(a, 1));
        i += 32;
    }
rest:
    return i + lw_base64_c(out + i / 4 * 3, in + i, n - i);
}

/* ---- AVX-512 ---- */

/* Bytes 2 1 0 of each 32 bits. */
static const uint8_t order[64] __attribute__((aligned(64))) = {
    2,  1,  0,  6,  5,  4,  10, 9,  8,  14, 13, 12, 18, 17, 16, 22, 21, 20, 26, 25, 24, 30, 29, 28, 34, 33,
    32, 38, 37, 36, 42, 41, 40, 46, 45, 44, 50, 49, 48, 54, 53, 52, 58, 57, 56, 62, 61, 60};

typedef struct tables {
    __m512i low, high, order;
} tables;

/* 64 characters to 48 bytes at the front. The lookup takes seven bits, so that the eighth of the character itself
 * tells as much as the table does: bit 7 of *bad. */
AVX512 static inline __m512i decode64(__m512i c, const tables *t, __m512i *bad)
{
    __m512i v = _mm512_permutex2var_epi8(t->low, c, t->high);
    *bad = _mm512_ternarylogic_epi64(*bad, c, v, 0xfe); /* or */
    v = _mm512_maddubs_epi16(v, _mm512_set1_epi16(0x0140));
    v = _mm512_madd_epi16(v, _mm512_set1_epi32(0x00011000));
    return _mm512_permutexvar_epi8(t->order, v);
}

AVX512 size_t lw_base64_avx512(uint8_t *out, const uint8_t *in, size_t n)
{
    const tables t = {_mm512_load_si512(lw_base64_values), _mm512_load_si512(lw_base64_values + 64), _mm512_load_si512(order)};
    __m512i bad;
    size_t i = 0;
    for (; n - i >= 256 + 24; i += 256) { /* the last 24 characters make the 16 bytes that the store is too long */
        bad = _mm512_setzero_si512();
        const __m512i a = decode64(_mm512_loadu_si512(in + i), &t, &bad);
        const __m512i b = decode64(_mm512_loadu_si512(in + i + 64), &t, &bad);
        const __m512i c = decode64(_mm512_loadu_si512(in + i + 128), &t, &bad);
        const __m512i d = decode64(_mm512_loadu_si512(in + i + 192), &t, &bad);
        if (_mm512_movepi8_mask(bad))
            goto rest;
        uint8_t *to = out + i / 4 * 3;
        _mm512_storeu_si512(to, a);
        _mm512_storeu_si512(to + 48, b);
        _mm512_storeu_si512(to + 96, c);
        _mm512_storeu_si512(to + 144, d);
    }
    while (i < n) {
        const size_t k = n - i < 64 ? n - i : 64;
        bad = _mm512_setzero_si512();
        const __m512i c = _mm512_mask_loadu_epi8(_mm512_set1_epi8('A'), ~0ull >> (64 - k), in + i);
        const __m512i v = decode64(c, &t, &bad);
        if (_mm512_movepi8_mask(bad))
            goto rest;
        _mm512_mask_storeu_epi8(out + i / 4 * 3, ~0ull >> (64 - k / 4 * 3), v);
        i += k;
    }
rest:
    return i + lw_base64_c(out + i / 4 * 3, in + i, n - i);
}
#endif
