/* Pixels for AVX2 and AVX-512.
 *
 * A byte product sum needs one unsigned and one signed factor: bilinear weights are unsigned, so pixels are taken as
 * p - 128 and what that subtracts (128 times the weights' sum) is added back with the rounding. Divisions by 255 are a
 * multiplication: (t * 257) >> 16 with t = x + 128.
 *
 * AVX-512 ends a row with a masked vector; AVX2 with one that goes through a buffer. Sprites are readable past their
 * ends (LW_PIXEL_PAD), so only dst needs that care. */
#if defined(__x86_64__)
#include <string.h>

#include "dsp.h"
#include "pixels.h"
#include "x86.h"

typedef struct pairs {
    int16_t top, below; /* of weights: the left one in the low byte */
} pairs;

static inline pairs weigh(int32_t wx, int32_t wy)
{
    return (pairs){(int16_t)((16 - wx) * (16 - wy) | wx * (16 - wy) << 8), (int16_t)((16 - wx) * wy | wx * wy << 8)};
}

/* ---- AVX2 ---- */

#define LOAD256(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE256(p, v) _mm256_storeu_si256((__m256i *)(p), v)

typedef struct words256 {
    __m256i lo, hi; /* 16 bit, in the order of unpack */
} words256;

AVX2 INLINE __m256i fade256(__m256i dst, __m256i inverse)
{
    const __m256i t = _mm256_add_epi16(_mm256_mullo_epi16(dst, inverse), _mm256_set1_epi16(128));
    return _mm256_mulhi_epu16(t, _mm256_set1_epi16(257));
}

AVX2 INLINE __m256i blend256(__m256i d, __m256i v, __m256i a)
{
    const __m256i zero = _mm256_setzero_si256(), inverse = _mm256_xor_si256(a, _mm256_set1_epi8(-1));
    const __m256i lo = fade256(_mm256_unpacklo_epi8(d, zero), _mm256_unpacklo_epi8(inverse, zero));
    const __m256i hi = fade256(_mm256_unpackhi_epi8(d, zero), _mm256_unpackhi_epi8(inverse, zero));
    return _mm256_adds_epu8(_mm256_packus_epi16(lo, hi), v);
}

AVX2 INLINE words256 lerp256(const uint8_t *src, ptrdiff_t pitch, pairs w, int both)
{
    const __m256i bias = _mm256_set1_epi8(-128), round = _mm256_set1_epi16((int16_t)(32768 + 128));
    __m256i left = _mm256_xor_si256(LOAD256(src), bias), right = _mm256_xor_si256(LOAD256(src + 1), bias);
    __m256i weights = _mm256_set1_epi16(w.top);
    words256 s = {_mm256_maddubs_epi16(weights, _mm256_unpacklo_epi8(left, right)),
                  _mm256_maddubs_epi16(weights, _mm256_unpackhi_epi8(left, right))};
    if (both) {
        left = _mm256_xor_si256(LOAD256(src + pitch), bias);
        right = _mm256_xor_si256(LOAD256(src + pitch + 1), bias);
        weights = _mm256_set1_epi16(w.below);
        s.lo = _mm256_add_epi16(s.lo, _mm256_maddubs_epi16(weights, _mm256_unpacklo_epi8(left, right)));
        s.hi = _mm256_add_epi16(s.hi, _mm256_maddubs_epi16(weights, _mm256_unpackhi_epi8(left, right)));
    }
    s.lo = _mm256_srli_epi16(_mm256_add_epi16(s.lo, round), 8);
    s.hi = _mm256_srli_epi16(_mm256_add_epi16(s.hi, round), 8);
    return s;
}

AVX2 INLINE __m256i lerp_blend256(__m256i d, const uint8_t *value, const uint8_t *alpha, ptrdiff_t pitch, pairs w,
                                  int both)
{
    const __m256i zero = _mm256_setzero_si256(), full = _mm256_set1_epi16(255);
    const words256 v = lerp256(value, pitch, w, both), a = lerp256(alpha, pitch, w, both);
    const __m256i lo = fade256(_mm256_unpacklo_epi8(d, zero), _mm256_sub_epi16(full, a.lo));
    const __m256i hi = fade256(_mm256_unpackhi_epi8(d, zero), _mm256_sub_epi16(full, a.hi));
    return _mm256_packus_epi16(_mm256_add_epi16(lo, v.lo), _mm256_add_epi16(hi, v.hi));
}

/* Runs `expression`, which makes the 32 pixels of dst at i out of `d`, along a row. */
#define ALONG256(expression)                                                                                        \
    do {                                                                                                            \
        size_t i = 0;                                                                                               \
        __m256i d;                                                                                                  \
        for (; i + 32 <= n; i += 32) {                                                                              \
            d = LOAD256(dst + i);                                                                                   \
            STORE256(dst + i, expression);                                                                          \
        }                                                                                                           \
        if (i < n) {                                                                                                \
            uint8_t part[32] = {0};                                                                                 \
            memcpy(part, dst + i, n - i);                                                                           \
            d = LOAD256(part);                                                                                      \
            STORE256(part, expression);                                                                             \
            memcpy(dst + i, part, n - i);                                                                           \
        }                                                                                                           \
    } while (0)

AVX2 void lw_blend_avx2(uint8_t *dst, const uint8_t *value, const uint8_t *alpha, size_t n)
{
    ALONG256(blend256(d, LOAD256(value + i), LOAD256(alpha + i)));
}

AVX2 INLINE __m256i lerp_packed256(const uint8_t *src, ptrdiff_t pitch, pairs w, int both)
{
    const words256 s = lerp256(src, pitch, w, both);
    return _mm256_packus_epi16(s.lo, s.hi);
}

AVX2 void lw_lerp_avx2(uint8_t *dst, const uint8_t *src, ptrdiff_t pitch, int32_t wx, int32_t wy, size_t n)
{
    const pairs w = weigh(wx, wy);
    if (wy)
        ALONG256(((void)d, lerp_packed256(src + i, pitch, w, 1)));
    else
        ALONG256(((void)d, lerp_packed256(src + i, pitch, w, 0)));
}

AVX2 void lw_lerp_blend_avx2(uint8_t *dst, const uint8_t *value, const uint8_t *alpha, ptrdiff_t pitch, int32_t wx,
                             int32_t wy, size_t n)
{
    const pairs w = weigh(wx, wy);
    if (wy)
        ALONG256(lerp_blend256(d, value + i, alpha + i, pitch, w, 1));
    else
        ALONG256(lerp_blend256(d, value + i, alpha + i, pitch, w, 0));
}

/* 8 samples, 32 bit each: two pixels of either row come with one gather. */
AVX2 INLINE __m256i gathered256(const uint8_t *src, __m256i at, int32_t pitch, __m256i top, __m256i below)
{
    const __m256i spread = _mm256_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1, 0, -1, 1, -1, 4,
                                            -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1);
    const __m256i p = _mm256_shuffle_epi8(_mm256_i32gather_epi32((const int *)(const void *)src, at, 1), spread);
    const __m256i q = _mm256_shuffle_epi8(
        _mm256_i32gather_epi32((const int *)(const void *)(src + pitch), at, 1), spread);
    const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(p, top), _mm256_madd_epi16(q, below));
    return _mm256_srli_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(128)), 8);
}

AVX2 void lw_warp_blend_avx2(uint8_t *const *dst, const uint8_t *const *value, int count, const uint8_t *alpha,
                             const lw_warp *w, size_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), fifteen = _mm256_set1_epi32(15);
    __m256i u = _mm256_add_epi32(_mm256_set1_epi32(w->u), _mm256_mullo_epi32(lane, _mm256_set1_epi32(w->du)));
    __m256i v = _mm256_add_epi32(_mm256_set1_epi32(w->v), _mm256_mullo_epi32(lane, _mm256_set1_epi32(w->dv)));
    const __m256i du = _mm256_set1_epi32((int32_t)(8 * (uint32_t)w->du));
    const __m256i dv = _mm256_set1_epi32((int32_t)(8 * (uint32_t)w->dv));
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i at = _mm256_add_epi32(
            _mm256_mullo_epi32(_mm256_srai_epi32(v, 16), _mm256_set1_epi32(w->pitch)), _mm256_srai_epi32(u, 16));
        const __m256i fx = _mm256_and_si256(_mm256_srli_epi32(u, 12), fifteen);
        const __m256i fy = _mm256_and_si256(_mm256_srli_epi32(v, 12), fifteen);
        /* 16-bit pairs (16 - fx, fx), by 16 - fy and by fy */
        const __m256i across = _mm256_or_si256(_mm256_sub_epi32(_mm256_set1_epi32(16), fx), _mm256_slli_epi32(fx, 16));
        const __m256i fy2 = _mm256_or_si256(fy, _mm256_slli_epi32(fy, 16));
        const __m256i below = _mm256_mullo_epi16(across, fy2);
        const __m256i top = _mm256_sub_epi16(_mm256_slli_epi16(across, 4), below);
        const __m256i inverse =
            _mm256_sub_epi32(_mm256_set1_epi32(255), gathered256(alpha, at, w->pitch, top, below));
        for (int k = 0; k < count; k++) {
            const __m256i value32 = gathered256(value[k], at, w->pitch, top, below);
            const __m256i d = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(dst[k] + i)));
            __m256i out = _mm256_add_epi32(fade256(d, inverse), value32);
            out = _mm256_packus_epi32(out, out);
            out = _mm256_packus_epi16(out, out);
            const uint32_t half[2] = {(uint32_t)_mm256_extract_epi32(out, 0), (uint32_t)_mm256_extract_epi32(out, 4)};
            memcpy(dst[k] + i, half, 8);
        }
        u = _mm256_add_epi32(u, du);
        v = _mm256_add_epi32(v, dv);
    }
    if (i < n) {
        lw_warp rest = *w;
        rest.u = (int32_t)((uint32_t)w->u + (uint32_t)i * (uint32_t)w->du);
        rest.v = (int32_t)((uint32_t)w->v + (uint32_t)i * (uint32_t)w->dv);
        uint8_t *const ends[2] = {dst[0] + i, count > 1 ? dst[1] + i : NULL};
        lw_warp_blend_c(ends, value, count, alpha, &rest, n - i);
    }
}

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

typedef struct words512 {
    __m512i lo, hi;
} words512;

#define TAIL64(left) (~0ull >> (64 - (left)))

AVX512 INLINE __m512i fade512(__m512i dst, __m512i inverse)
{
    const __m512i t = _mm512_add_epi16(_mm512_mullo_epi16(dst, inverse), _mm512_set1_epi16(128));
    return _mm512_mulhi_epu16(t, _mm512_set1_epi16(257));
}

/* Even and odd bytes apart: the odd ones' factors stay in the high byte, whose product's upper half is what is wanted,
 * and so does the quotient. No shifts: there is one port for them. */
AVX512 INLINE __m512i blend512(__m512i d, __m512i v, __m512i a)
{
    const __m512i low = _mm512_set1_epi16(255), high = _mm512_set1_epi16((int16_t)0xff00);
    const __m512i even = fade512(_mm512_and_si512(d, low), _mm512_andnot_si512(a, low));
    __m512i odd = _mm512_mulhi_epu16(_mm512_and_si512(d, high), _mm512_andnot_si512(a, high));
    odd = _mm512_add_epi16(odd, _mm512_set1_epi16(128));
    odd = _mm512_add_epi16(odd, _mm512_mulhi_epu16(odd, _mm512_set1_epi16(256)));
    return _mm512_adds_epu8(_mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaaull, even, odd), v);
}

AVX512 INLINE words512 lerp512(const uint8_t *src, ptrdiff_t pitch, pairs w, int both)
{
    const __m512i bias = _mm512_set1_epi8(-128), round = _mm512_set1_epi16((int16_t)(32768 + 128));
    __m512i left = _mm512_xor_si512(_mm512_loadu_si512(src), bias);
    __m512i right = _mm512_xor_si512(_mm512_loadu_si512(src + 1), bias);
    __m512i weights = _mm512_set1_epi16(w.top);
    words512 s = {_mm512_maddubs_epi16(weights, _mm512_unpacklo_epi8(left, right)),
                  _mm512_maddubs_epi16(weights, _mm512_unpackhi_epi8(left, right))};
    if (both) {
        left = _mm512_xor_si512(_mm512_loadu_si512(src + pitch), bias);
        right = _mm512_xor_si512(_mm512_loadu_si512(src + pitch + 1), bias);
        weights = _mm512_set1_epi16(w.below);
        s.lo = _mm512_add_epi16(s.lo, _mm512_maddubs_epi16(weights, _mm512_unpacklo_epi8(left, right)));
        s.hi = _mm512_add_epi16(s.hi, _mm512_maddubs_epi16(weights, _mm512_unpackhi_epi8(left, right)));
    }
    s.lo = _mm512_srli_epi16(_mm512_add_epi16(s.lo, round), 8);
    s.hi = _mm512_srli_epi16(_mm512_add_epi16(s.hi, round), 8);
    return s;
}

AVX512 INLINE __m512i lerp_packed512(const uint8_t *src, ptrdiff_t pitch, pairs w, int both)
{
    const words512 s = lerp512(src, pitch, w, both);
    return _mm512_packus_epi16(s.lo, s.hi);
}

AVX512 INLINE __m512i lerp_blend512(__m512i d, const uint8_t *value, const uint8_t *alpha, ptrdiff_t pitch, pairs w,
                                    int both)
{
    const __m512i zero = _mm512_setzero_si512(), full = _mm512_set1_epi16(255);
    const words512 v = lerp512(value, pitch, w, both), a = lerp512(alpha, pitch, w, both);
    const __m512i lo = fade512(_mm512_unpacklo_epi8(d, zero), _mm512_sub_epi16(full, a.lo));
    const __m512i hi = fade512(_mm512_unpackhi_epi8(d, zero), _mm512_sub_epi16(full, a.hi));
    return _mm512_packus_epi16(_mm512_add_epi16(lo, v.lo), _mm512_add_epi16(hi, v.hi));
}

#define ALONG512(expression)                                                                                        \
    do {                                                                                                            \
        size_t i = 0;                                                                                               \
        __m512i d;                                                                                                  \
        for (; i + 64 <= n; i += 64) {                                                                              \
            d = _mm512_loadu_si512(dst + i);                                                                        \
            _mm512_storeu_si512(dst + i, expression);                                                               \
        }                                                                                                           \
        if (i < n) {                                                                                                \
            const __mmask64 part = TAIL64(n - i);                                                                   \
            d = _mm512_maskz_loadu_epi8(part, dst + i);                                                             \
            _mm512_mask_storeu_epi8(dst + i, part, expression);                                                     \
        }                                                                                                           \
    } while (0)

AVX512 void lw_copy_avx512(uint8_t *dst, const uint8_t *src, size_t n)
{
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        _mm512_storeu_si512(dst + i, _mm512_loadu_si512(src + i));
    if (i < n)
        _mm512_mask_storeu_epi8(dst + i, TAIL64(n - i), _mm512_maskz_loadu_epi8(TAIL64(n - i), src + i));
}

AVX512 void lw_blend_avx512(uint8_t *dst, const uint8_t *value, const uint8_t *alpha, size_t n)
{
    ALONG512(blend512(d, _mm512_loadu_si512(value + i), _mm512_loadu_si512(alpha + i)));
}

AVX512 void lw_lerp_avx512(uint8_t *dst, const uint8_t *src, ptrdiff_t pitch, int32_t wx, int32_t wy, size_t n)
{
    const pairs w = weigh(wx, wy);
    if (wy)
        ALONG512(((void)d, lerp_packed512(src + i, pitch, w, 1)));
    else
        ALONG512(((void)d, lerp_packed512(src + i, pitch, w, 0)));
}

/* Most strokes are the few pixels of an edge: a narrow vector's loads seldom cross a cache line. */
AVX512 INLINE __m128i lerp_blend128(__m128i d, const uint8_t *value, const uint8_t *alpha, ptrdiff_t pitch, pairs w)
{
    const __m128i bias = _mm_set1_epi8(-128), round = _mm_set1_epi16((int16_t)(32768 + 128));
    const __m128i top = _mm_set1_epi16(w.top), below = _mm_set1_epi16(w.below), zero = _mm_setzero_si128();
    __m128i lo[2], hi[2];
    for (int k = 0; k < 2; k++) {
        const uint8_t *src = k ? alpha : value;
        const __m128i a = _mm_xor_si128(_mm_loadu_si128((const __m128i *)src), bias);
        const __m128i b = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + 1)), bias);
        const __m128i c = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + pitch)), bias);
        const __m128i e = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + pitch + 1)), bias);
        lo[k] = _mm_add_epi16(_mm_maddubs_epi16(top, _mm_unpacklo_epi8(a, b)),
                              _mm_maddubs_epi16(below, _mm_unpacklo_epi8(c, e)));
        hi[k] = _mm_add_epi16(_mm_maddubs_epi16(top, _mm_unpackhi_epi8(a, b)),
                              _mm_maddubs_epi16(below, _mm_unpackhi_epi8(c, e)));
        lo[k] = _mm_srli_epi16(_mm_add_epi16(lo[k], round), 8);
        hi[k] = _mm_srli_epi16(_mm_add_epi16(hi[k], round), 8);
    }
    const __m128i full = _mm_set1_epi16(255), half = _mm_set1_epi16(128), divide = _mm_set1_epi16(257);
    const __m128i dl = _mm_mullo_epi16(_mm_unpacklo_epi8(d, zero), _mm_sub_epi16(full, lo[1]));
    const __m128i dh = _mm_mullo_epi16(_mm_unpackhi_epi8(d, zero), _mm_sub_epi16(full, hi[1]));
    return _mm_packus_epi16(_mm_add_epi16(lo[0], _mm_mulhi_epu16(_mm_add_epi16(dl, half), divide)),
                            _mm_add_epi16(hi[0], _mm_mulhi_epu16(_mm_add_epi16(dh, half), divide)));
}

AVX512 void lw_lerp_blend_avx512(uint8_t *dst, const uint8_t *value, const uint8_t *alpha, ptrdiff_t pitch,
                                 int32_t wx, int32_t wy, size_t n)
{
    const pairs w = weigh(wx, wy);
    if (n <= 16) {
        const __mmask16 part = (__mmask16)((1u << n) - 1);
        const __m128i d = _mm_maskz_loadu_epi8(part, dst);
        _mm_mask_storeu_epi8(dst, part, lerp_blend128(d, value, alpha, pitch, w));
    } else if (n <= 32) {
        const __mmask32 part = ~0u >> (32 - n);
        const __m256i d = _mm256_maskz_loadu_epi8(part, dst);
        _mm256_mask_storeu_epi8(dst, part, lerp_blend256(d, value, alpha, pitch, w, 1));
    } else if (wy)
        ALONG512(lerp_blend512(d, value + i, alpha + i, pitch, w, 1));
    else
        ALONG512(lerp_blend512(d, value + i, alpha + i, pitch, w, 0));
}

AVX512 INLINE __m512i gathered512(const uint8_t *src, __mmask16 lanes, __m512i at, int32_t pitch, __m512i top,
                                  __m512i below)
{
    const __m512i spread = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
    const __m512i zero = _mm512_setzero_si512();
    const __m512i p = _mm512_shuffle_epi8(_mm512_mask_i32gather_epi32(zero, lanes, at, src, 1), spread);
    const __m512i q = _mm512_shuffle_epi8(_mm512_mask_i32gather_epi32(zero, lanes, at, src + pitch, 1), spread);
    const __m512i sum = _mm512_add_epi32(_mm512_madd_epi16(p, top), _mm512_madd_epi16(q, below));
    return _mm512_srli_epi32(_mm512_add_epi32(sum, _mm512_set1_epi32(128)), 8);
}

AVX512 INLINE void fade_row512(uint8_t *dst, __mmask16 lanes, __m512i inverse, __m512i value32)
{
    const __m512i d = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, dst));
    _mm_mask_storeu_epi8(dst, lanes, _mm512_cvtusepi32_epi8(_mm512_add_epi32(fade512(d, inverse), value32)));
}

AVX512 static void gather_blend512(uint8_t *const *dst, const uint8_t *const *value, int count, const uint8_t *alpha,
                                   const lw_warp *w, size_t n)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i fifteen = _mm512_set1_epi32(15);
    __m512i u = _mm512_add_epi32(_mm512_set1_epi32(w->u), _mm512_mullo_epi32(lane, _mm512_set1_epi32(w->du)));
    __m512i v = _mm512_add_epi32(_mm512_set1_epi32(w->v), _mm512_mullo_epi32(lane, _mm512_set1_epi32(w->dv)));
    const __m512i du = _mm512_set1_epi32((int32_t)(16 * (uint32_t)w->du));
    const __m512i dv = _mm512_set1_epi32((int32_t)(16 * (uint32_t)w->dv));
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 lanes = (__mmask16)(n - i >= 16 ? 0xffff : (1u << (n - i)) - 1);
        const __m512i at = _mm512_add_epi32(
            _mm512_mullo_epi32(_mm512_srai_epi32(v, 16), _mm512_set1_epi32(w->pitch)), _mm512_srai_epi32(u, 16));
        const __m512i fx = _mm512_and_si512(_mm512_srli_epi32(u, 12), fifteen);
        const __m512i fy = _mm512_and_si512(_mm512_srli_epi32(v, 12), fifteen);
        const __m512i across = _mm512_or_si512(_mm512_sub_epi32(_mm512_set1_epi32(16), fx), _mm512_slli_epi32(fx, 16));
        const __m512i below = _mm512_mullo_epi16(across, _mm512_or_si512(fy, _mm512_slli_epi32(fy, 16)));
        const __m512i top = _mm512_sub_epi16(_mm512_slli_epi16(across, 4), below);
        const __m512i alpha32 = gathered512(alpha, lanes, at, w->pitch, top, below);
        u = _mm512_add_epi32(u, du);
        v = _mm512_add_epi32(v, dv);
        if (!_mm512_test_epi32_mask(alpha32, alpha32)) /* values are no larger than alpha needs: nothing to add */
            continue;
        const __m512i inverse = _mm512_sub_epi32(_mm512_set1_epi32(255), alpha32);
        for (int k = 0; k < count; k++)
            fade_row512(dst[k] + i, lanes, inverse, gathered512(value[k], lanes, at, w->pitch, top, below));
    }
}

/* Samples of a chunk of 16 pixels that lie within 32 columns of four rows, or of `two`: their four neighbours are picked
 * out of two vectors, or one, at once. What p - 128 takes off the sums, 128 * 256, goes in with the rounding. */
AVX512 INLINE __m512i picked512(const uint8_t *const row[4], int two, __m512i pick, __m512i across, __m512i down)
{
    const __m512i low = _mm512_inserti64x4(_mm512_castsi256_si512(LOAD256(row[0])), LOAD256(row[1]), 1);
    __m512i px;
    if (two) {
        px = _mm512_permutexvar_epi8(pick, low);
    } else {
        const __m512i high = _mm512_inserti64x4(_mm512_castsi256_si512(LOAD256(row[2])), LOAD256(row[3]), 1);
        px = _mm512_permutex2var_epi8(low, pick, high);
    }
    px = _mm512_xor_si512(px, _mm512_set1_epi8(-128));
    const __m512i sum = _mm512_dpwssd_epi32(_mm512_set1_epi32(128 * 256 + 128), _mm512_maddubs_epi16(across, px), down);
    return _mm512_srli_epi32(sum, 8);
}

#define STEEPEST (2 * 65536 / 15) /* 16 pixels' neighbours are in four rows, about 7.6 degrees, */
#define WIDEST (2 * 65536)        /* and in 32 columns */

AVX512 void lw_warp_blend_avx512(uint8_t *const *dst, const uint8_t *const *value, int count, const uint8_t *alpha,
                                 const lw_warp *w, size_t n)
{
    if (w->du < 0 || w->du > WIDEST || w->dv < -STEEPEST || w->dv > STEEPEST) {
        gather_blend512(dst, value, count, alpha, w, n);
        return;
    }
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i spread = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12));
    const __m512i neighbours = _mm512_set1_epi32(0x21200100), fifteen = _mm512_set1_epi32(15);
    const __m512i us = _mm512_mullo_epi32(lane, _mm512_set1_epi32(w->du));
    const __m512i vs = _mm512_mullo_epi32(lane, _mm512_set1_epi32(w->dv));
    const int32_t du = w->du, dv = w->dv;
    const ptrdiff_t pitch = w->pitch;
    int32_t u = w->u, v = w->v;
    for (size_t i = 0; i < n; i += 16, u += 16 * du, v += 16 * dv) {
        const int32_t last = n - i >= 16 ? 15 : (int32_t)(n - i) - 1;
        const __mmask16 lanes = (__mmask16)((2u << last) - 1);
        /* Rows that are not needed may not exist. */
        const int32_t v0 = v >> 16, v1 = (v + last * dv) >> 16;
        const int32_t first = v0 < v1 ? v0 : v1, most = (v0 < v1 ? v1 : v0) + 1 - first;
        const ptrdiff_t at = first * pitch + (u >> 16);
        const ptrdiff_t third = at + (most > 2 ? 2 : most) * pitch, fourth = at + most * pitch;
        const __m512i uu = _mm512_add_epi32(us, _mm512_set1_epi32(u & 65535));
        const __m512i vv = _mm512_add_epi32(vs, _mm512_set1_epi32(v - first * 65536));
        const __m512i place = _mm512_add_epi32(_mm512_srli_epi32(uu, 16),
                                               _mm512_slli_epi32(_mm512_srli_epi32(vv, 16), 5));
        const __m512i pick = _mm512_add_epi8(_mm512_shuffle_epi8(place, spread), neighbours);
        const __m512i fx = _mm512_and_si512(_mm512_srli_epi32(uu, 12), fifteen);
        const __m512i fy = _mm512_and_si512(_mm512_srli_epi32(vv, 12), fifteen);
        /* Pairs (16 - f, f): 16 + 255 f and 16 + 65535 f, 255 f = (f << 8) - f. */
        __m512i across = _mm512_add_epi32(_mm512_sub_epi32(_mm512_slli_epi32(fx, 8), fx), _mm512_set1_epi32(16));
        across = _mm512_or_si512(across, _mm512_slli_epi32(across, 16));
        const __m512i down =
            _mm512_add_epi32(_mm512_sub_epi32(_mm512_slli_epi32(fy, 16), fy), _mm512_set1_epi32(16));
        const uint8_t *const a[4] = {alpha + at, alpha + at + pitch, alpha + third, alpha + fourth};
        const __m512i alpha32 = picked512(a, most == 1, pick, across, down);
        if (!_mm512_mask_test_epi32_mask(lanes, alpha32, alpha32)) /* values are no larger than alpha: nothing to add */
            continue;
        const __m512i inverse = _mm512_sub_epi32(_mm512_set1_epi32(255), alpha32);
        for (int k = 0; k < count; k++) {
            const uint8_t *const c[4] = {value[k] + at, value[k] + at + pitch, value[k] + third, value[k] + fourth};
            fade_row512(dst[k] + i, lanes, inverse, picked512(c, most == 1, pick, across, down));
        }
    }
}

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
