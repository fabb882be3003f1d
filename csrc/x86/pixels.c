/* Scaling and colour for AVX2 and AVX-512.
 *
 * A byte product sum needs one unsigned and one signed factor: bilinear weights are unsigned, so pixels are taken as
 * p - 128 and what that subtracts (128 times the weights' sum) is added back with the rounding. */
#if defined(__x86_64__)
#include <string.h>

#include "dsp.h"
#include "pixels.h"
#include "x86.h"

/* ---- AVX2 ---- */

/* 8 outputs of a row that shrinks to no less than half: their pixels lie within 16 bytes. */
AVX2 INLINE __m128i pick16(const uint8_t *src, const uint16_t *at)
{
    const __m128i place = _mm_sub_epi16(_mm_loadu_si128((const __m128i *)at), _mm_set1_epi16((int16_t)at[0]));
    const __m128i two = _mm_or_si128(place, _mm_slli_epi16(_mm_add_epi16(place, _mm_set1_epi16(1)), 8));
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(src + at[0])), two);
}

AVX2 void lw_scale_row_avx2(int16_t *out, const uint8_t *src, size_t src_n, const uint16_t *at, const uint16_t *weight,
                            size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n && (size_t)at[i + 8] + 16 <= src_n; i += 16) {
        if (at[i + 7] - at[i] > 14 || at[i + 15] - at[i + 8] > 14)
            break;
        const __m128i left = pick16(src, at + i), right = pick16(src, at + i + 8);
        const __m256i p = _mm256_inserti128_si256(_mm256_castsi128_si256(left), right, 1);
        STORE256(out + i, _mm256_maddubs_epi16(LOAD256(weight + i), _mm256_xor_si256(p, _mm256_set1_epi8(-128))));
    }
    lw_scale_row_c(out + i, src, src_n, at + i, weight + i, n - i);
}

AVX2 void lw_scale_mix_avx2(uint8_t *out, const int16_t *top, const int16_t *below, int32_t wy, size_t n)
{
    const __m256i w = _mm256_set1_epi32((128 - wy) | wy << 16), round = _mm256_set1_epi32((128 << 14) + 8192);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i half[2];
        for (int k = 0; k < 2; k++) {
            const __m256i t = LOAD256(top + i + 16 * k), b = LOAD256(below + i + 16 * k);
            const __m256i lo = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(t, b), w), round);
            const __m256i hi = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(t, b), w), round);
            half[k] = _mm256_packs_epi32(_mm256_srli_epi32(lo, 14), _mm256_srli_epi32(hi, 14));
        }
        STORE256(out + i, _mm256_permute4x64_epi64(_mm256_packus_epi16(half[0], half[1]), 0xd8));
    }
    lw_scale_mix_c(out + i, top + i, below + i, wy, n - i);
}

AVX2 INLINE __m256i coefs256(const int8_t c[4])
{
    int32_t x;
    memcpy(&x, c, 4);
    return _mm256_set1_epi32(x);
}

/* Eight pixels' products with one row of the matrix, 32 bit each. */
AVX2 INLINE __m256i dot256(__m256i px, __m256i hi, __m256i lo)
{
    const __m256i a = _mm256_madd_epi16(_mm256_maddubs_epi16(px, hi), _mm256_set1_epi16(128));
    return _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_maddubs_epi16(px, lo), _mm256_set1_epi16(1)));
}

AVX2 void lw_rgba_luma_avx2(uint8_t *y, const uint8_t *rgba, size_t n, const lw_rgb_matrix *m)
{
    const __m256i hi = coefs256(m->y.hi), lo = coefs256(m->y.lo), round = _mm256_set1_epi32((16 << 14) + 8192);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i s[4];
        for (int k = 0; k < 4; k++)
            s[k] = _mm256_srli_epi32(_mm256_add_epi32(dot256(LOAD256(rgba + 4 * i + 32 * k), hi, lo), round), 14);
        const __m256i out = _mm256_packus_epi16(_mm256_packus_epi32(s[0], s[1]), _mm256_packus_epi32(s[2], s[3]));
        STORE256(y + i, _mm256_permutevar8x32_epi32(out, order));
    }
    lw_rgba_luma_c(y + i, rgba + 4 * i, n - i, m);
}

/* 16 pixels of two rows to 8 sums. */
AVX2 INLINE __m256i chroma256(const __m256i px[4], __m256i hi, __m256i lo)
{
    const __m256i first = _mm256_add_epi32(dot256(px[0], hi, lo), dot256(px[2], hi, lo));
    const __m256i second = _mm256_add_epi32(dot256(px[1], hi, lo), dot256(px[3], hi, lo));
    const __m256i sum = _mm256_add_epi32(_mm256_hadd_epi32(first, second), _mm256_set1_epi32((128 << 16) + 32768));
    return _mm256_permute4x64_epi64(_mm256_srli_epi32(sum, 16), 0xd8);
}

AVX2 void lw_rgba_chroma_avx2(uint8_t *u, uint8_t *v, const uint8_t *top, const uint8_t *below, size_t n,
                              const lw_rgb_matrix *m)
{
    const __m256i uh = coefs256(m->u.hi), ul = coefs256(m->u.lo), vh = coefs256(m->v.hi), vl = coefs256(m->v.lo);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i px[4] = {LOAD256(top + 8 * i), LOAD256(top + 8 * i + 32), LOAD256(below + 8 * i),
                               LOAD256(below + 8 * i + 32)};
        /* U in the low half of each 128 bits after the first pack, V in the high one. */
        __m256i both = _mm256_packus_epi32(chroma256(px, uh, ul), chroma256(px, vh, vl));
        both = _mm256_permute4x64_epi64(both, 0xd8);
        both = _mm256_packus_epi16(both, both);
        const uint64_t out[2] = {(uint64_t)_mm256_extract_epi64(both, 0), (uint64_t)_mm256_extract_epi64(both, 2)};
        memcpy(u + i, &out[0], 8);
        memcpy(v + i, &out[1], 8);
    }
    lw_rgba_chroma_c(u + i, v + i, top + 8 * i, below + 8 * i, n - i, m);
}

/* ---- AVX-512 ---- */

/* 32 outputs, whose pixels lie within 64 bytes. */
AVX512 void lw_scale_row_avx512(int16_t *out, const uint8_t *src, size_t src_n, const uint16_t *at,
                                const uint16_t *weight, size_t n)
{
    size_t i = 0;
    for (; i + 32 <= n && at[i + 31] - at[i] <= 62; i += 32) {
        const size_t left = src_n - at[i];
        const __m512i p = _mm512_maskz_loadu_epi8(left >= 64 ? ~0ull : TAIL64(left), src + at[i]);
        const __m512i place = _mm512_sub_epi16(_mm512_loadu_si512(at + i), _mm512_set1_epi16((int16_t)at[i]));
        const __m512i two =
            _mm512_or_si512(place, _mm512_slli_epi16(_mm512_add_epi16(place, _mm512_set1_epi16(1)), 8));
        const __m512i px = _mm512_xor_si512(_mm512_permutexvar_epi8(two, p), _mm512_set1_epi8(-128));
        _mm512_storeu_si512(out + i, _mm512_maddubs_epi16(_mm512_loadu_si512(weight + i), px));
    }
    lw_scale_row_avx2(out + i, src, src_n, at + i, weight + i, n - i);
}

AVX512 void lw_scale_mix_avx512(uint8_t *out, const int16_t *top, const int16_t *below, int32_t wy, size_t n)
{
    const __m512i w = _mm512_set1_epi32((128 - wy) | wy << 16), round = _mm512_set1_epi32((128 << 14) + 8192);
    for (size_t i = 0; i < n; i += 32) {
        const __mmask32 part = n - i >= 32 ? ~0u : ~0u >> (32 - (n - i));
        const __m512i t = _mm512_maskz_loadu_epi16(part, top + i), b = _mm512_maskz_loadu_epi16(part, below + i);
        const __m512i lo = _mm512_dpwssd_epi32(round, _mm512_unpacklo_epi16(t, b), w);
        const __m512i hi = _mm512_dpwssd_epi32(round, _mm512_unpackhi_epi16(t, b), w);
        const __m512i both = _mm512_packus_epi32(_mm512_srli_epi32(lo, 14), _mm512_srli_epi32(hi, 14));
        _mm256_mask_storeu_epi8(out + i, part, _mm512_cvtepi16_epi8(both));
    }
}

AVX512 INLINE __m512i coefs512(const int8_t c[4])
{
    int32_t x;
    memcpy(&x, c, 4);
    return _mm512_set1_epi32(x);
}

/* Pixel i is in vector i / 16, 64 bits i % 16 / 2. */
static const uint8_t luma_order[64] = {
    0, 1, 8, 9, 16, 17, 24, 25, 32, 33, 40, 41, 48, 49, 56, 57, 2, 3, 10, 11, 18, 19, 26, 27, 34, 35, 42, 43, 50, 51,
    58, 59, 4, 5, 12, 13, 20, 21, 28, 29, 36, 37, 44, 45, 52, 53, 60, 61, 6, 7, 14, 15, 22, 23, 30, 31, 38, 39, 46,
    47, 54, 55, 62, 63};

AVX512 void lw_rgba_luma_avx512(uint8_t *y, const uint8_t *rgba, size_t n, const lw_rgb_matrix *m)
{
    /* What is added for rounding is a multiple of 128, so it can go in before the shift. The sums' bits 14 to 21 are
     * taken out by a multishift: two bytes of each 64 bits from each of four vectors. */
    const __m512i hi = coefs512(m->y.hi), lo = coefs512(m->y.lo), round = _mm512_set1_epi32(((16 << 14) + 8192) / 128);
    const __m512i bits = _mm512_set1_epi64(0x2e0e2e0e2e0e2e0e), order = _mm512_loadu_si512(luma_order);
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512i out = _mm512_setzero_si512();
        for (int k = 0; k < 4; k++) {
            _mm_prefetch((const char *)((uintptr_t)(rgba + 4 * i + 64 * k) + 8192), _MM_HINT_T0);
            const __m512i px = _mm512_loadu_si512(rgba + 4 * i + 64 * k);
            const __m512i high = _mm512_slli_epi32(_mm512_dpbusd_epi32(round, px, hi), 7);
            const __m512i sum = _mm512_dpbusd_epi32(high, px, lo);
            out = _mm512_mask_multishift_epi64_epi8(out, 0x0303030303030303ull << 2 * k, bits, sum);
        }
        _mm512_storeu_si512(y + i, _mm512_permutexvar_epi8(order, out));
    }
    lw_rgba_luma_avx2(y + i, rgba + 4 * i, n - i, m);
}

/* The sums of 8 x 2 x 2 pixels, 16 bits each: R, G, B, A. */
AVX512 INLINE __m512i quads512(const uint8_t *top, const uint8_t *below)
{
    const __m512i pairs = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15));
    const __m512i ones = _mm512_set1_epi8(1);
    const __m512i t = _mm512_shuffle_epi8(_mm512_loadu_si512(top), pairs);
    const __m512i b = _mm512_shuffle_epi8(_mm512_loadu_si512(below), pairs);
    return _mm512_add_epi16(_mm512_maddubs_epi16(t, ones), _mm512_maddubs_epi16(b, ones));
}

typedef struct chroma_coefs {
    __m512i rg, b;
} chroma_coefs;

AVX512 INLINE chroma_coefs whole512(const lw_row3 *c)
{
    const int32_t r = 128 * c->hi[0] + c->lo[0], g = 128 * c->hi[1] + c->lo[1], b = 128 * c->hi[2] + c->lo[2];
    return (chroma_coefs){_mm512_set1_epi32((r & 65535) | (int32_t)((uint32_t)g << 16)), _mm512_set1_epi32(b & 65535)};
}

/* 128 bits hold places 2 k, 2 k + 1, 2 k + 8, 2 k + 9: first U's bytes of them, then V's. */
static const uint8_t chroma_order[32] = {
    0, 4, 16, 20, 32, 36, 48, 52, 8, 12, 24, 28, 40, 44, 56, 60, 2, 6, 18, 22, 34, 38, 50, 54, 10, 14, 26, 30, 42,
    46, 58, 62};

AVX512 void lw_rgba_chroma_avx512(uint8_t *u, uint8_t *v, const uint8_t *top, const uint8_t *below, size_t n,
                                  const lw_rgb_matrix *m)
{
    const chroma_coefs cu = whole512(&m->u), cv = whole512(&m->v);
    const __m512i round = _mm512_set1_epi32((128 << 16) + 32768);
    const __m512i order = _mm512_castsi256_si512(LOAD256(chroma_order));
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m512 a = _mm512_castsi512_ps(quads512(top + 8 * i, below + 8 * i));
        const __m512 b = _mm512_castsi512_ps(quads512(top + 8 * i + 64, below + 8 * i + 64));
        const __m512i rg = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88));
        const __m512i ba = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xdd));
        const __m512i su = _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(round, rg, cu.rg), ba, cu.b);
        const __m512i sv = _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(round, rg, cv.rg), ba, cv.b);
        /* The results are the third bytes: U's into the first, V's stay. */
        const __m512i both = _mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(su, 16), sv);
        const __m256i out = _mm512_castsi512_si256(_mm512_permutexvar_epi8(order, both));
        _mm_storeu_si128((__m128i *)(u + i), _mm256_castsi256_si128(out));
        _mm_storeu_si128((__m128i *)(v + i), _mm256_extracti128_si256(out, 1));
    }
    lw_rgba_chroma_avx2(u + i, v + i, top + 8 * i, below + 8 * i, n - i, m);
}
#endif
