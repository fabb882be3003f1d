/* The viseme extractor's kernels on AVX2 and AVX-512. The float ones are viseme_lanes.h; the dense layers are here. */
#if defined(__x86_64__)

#include "dsp.h"
#include "viseme_kernels.h"
#include "x86.h"

/* ---- AVX2 ---- */

AVX2 INLINE void avx2_transpose(__m256 x[8])
{
    __m256 y[8];
    for (int k = 0; k < 8; k += 4) {
        __m256 a = _mm256_unpacklo_ps(x[k], x[k + 1]), b = _mm256_unpackhi_ps(x[k], x[k + 1]);
        __m256 c = _mm256_unpacklo_ps(x[k + 2], x[k + 3]), d = _mm256_unpackhi_ps(x[k + 2], x[k + 3]);
        y[k] = _mm256_shuffle_ps(a, c, 0x44), y[k + 1] = _mm256_shuffle_ps(a, c, 0xee);
        y[k + 2] = _mm256_shuffle_ps(b, d, 0x44), y[k + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    for (int k = 0; k < 4; k++) {
        x[k] = _mm256_permute2f128_ps(y[k], y[k + 4], 0x20);
        x[k + 4] = _mm256_permute2f128_ps(y[k], y[k + 4], 0x31);
    }
}

/* Lanes 0..3 + 4..7 of both, then pairs, then singles: rows k and k + 4 share a vector, which leaves them in order. */
AVX2 INLINE __m256 avx2_sums(const __m256 x[8])
{
    __m256 y[4];
    for (int k = 0; k < 4; k++)
        y[k] = _mm256_add_ps(_mm256_permute2f128_ps(x[k], x[k + 4], 0x20),
                             _mm256_permute2f128_ps(x[k], x[k + 4], 0x31));
    for (int k = 0; k < 4; k += 2)
        y[k] = _mm256_add_ps(_mm256_shuffle_ps(y[k], y[k + 1], 0x44), _mm256_shuffle_ps(y[k], y[k + 1], 0xee));
    return _mm256_add_ps(_mm256_shuffle_ps(y[0], y[2], 0x88), _mm256_shuffle_ps(y[0], y[2], 0xdd));
}

#define W 8
#define TARGET AVX2
#define FORM(name) avx2_##name
#define EXPORT(name) lw_viseme_##name##_avx2
#define MIN(a, b) ((FORM(f))_mm256_min_ps((__m256)(a), (__m256)(b)))
#define MAX(a, b) ((FORM(f))_mm256_max_ps((__m256)(a), (__m256)(b)))
#define MIRROR(a, b)                                                                                                  \
    ((FORM(f))_mm256_permutevar8x32_ps(_mm256_blend_ps((__m256)(a), (__m256)(b), 1),                                   \
                                       _mm256_setr_epi32(0, 7, 6, 5, 4, 3, 2, 1)))
#define TRANSPOSE(x) avx2_transpose((__m256 *)(x))
#define SUMS(x) ((FORM(f))avx2_sums((const __m256 *)(x)))
#include "viseme_lanes.h"

/* A quarter of a group of weights, 4 rows by 4 columns, is 16 bytes: as words they meet the session's 4 inputs in one
 * multiply-add, which leaves two partial sums a row. */
AVX2 INLINE void avx2_tile(int32_t *sums, size_t step, const int8_t *weight, int32_t columns, const int16_t *const *x,
                           int sessions)
{
    __m256i acc[3][4];
    for (int s = 0; s < sessions; s++)
        for (int k = 0; k < 4; k++)
            acc[s][k] = _mm256_setzero_si256();
    for (int32_t c = 0; c < columns; c += 4, weight += 64) {
        __m256i in[3];
        for (int s = 0; s < sessions; s++) {
            int64_t four;
            memcpy(&four, x[s] + c, sizeof four);
            in[s] = _mm256_set1_epi64x(four);
        }
        for (int k = 0; k < 4; k++) {
            __m256i w = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(weight + 16 * k)));
            for (int s = 0; s < sessions; s++)
                acc[s][k] = _mm256_add_epi32(acc[s][k], _mm256_madd_epi16(w, in[s]));
        }
    }
    for (int s = 0; s < sessions; s++)
        for (int k = 0; k < 4; k += 2) {
            __m256i pairs = _mm256_hadd_epi32(acc[s][k], acc[s][k + 1]); /* rows 0 1 4 5, 2 3 6 7 */
            _mm256_store_si256((__m256i *)(sums + (size_t)s * step + 4 * k), _mm256_permute4x64_epi64(pairs, 0xd8));
        }
}

AVX2 void lw_viseme_dense_avx2(int32_t *sums, size_t step, const int16_t *const *x, size_t sessions,
                               const lw_viseme_layer *layer)
{
    for (int32_t r = 0; r < layer->rows; r += 16) {
        const int8_t *weight = layer->weight + (size_t)r * (size_t)layer->columns;
        size_t s = 0;
        for (; s + 3 <= sessions; s += 3)
            avx2_tile(sums + s * step + r, step, weight, layer->columns, x + s, 3);
        if (sessions - s == 2)
            avx2_tile(sums + s * step + r, step, weight, layer->columns, x + s, 2);
        else if (sessions - s == 1)
            avx2_tile(sums + s * step + r, step, weight, layer->columns, x + s, 1);
    }
}

/* ---- AVX-512 ---- */

AVX512 INLINE void avx512_transpose(__m512 x[16])
{
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
    __m512 y[16];
    /* Rounds of "row k with row k + 8": each rotates the index by a bit. */
    for (int round = 0; round < 2; round++) {
        for (int k = 0; k < 8; k++) {
            y[2 * k] = _mm512_permutex2var_ps(x[k], low, x[k + 8]);
            y[2 * k + 1] = _mm512_permutex2var_ps(x[k], high, x[k + 8]);
        }
        for (int k = 0; k < 8; k++) {
            x[2 * k] = _mm512_permutex2var_ps(y[k], low, y[k + 8]);
            x[2 * k + 1] = _mm512_permutex2var_ps(y[k], high, y[k + 8]);
        }
    }
}

/* Of four rows, the sums of lanes 8 and then 4 apart: a quarter each, in order. */
AVX512 INLINE __m512 avx512_quarters(__m512 a, __m512 b, __m512 c, __m512 d)
{
    __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
}

AVX512 INLINE __m512 avx512_sums(const __m512 x[16])
{
    __m512 y[4];
    for (int k = 0; k < 4; k++)
        y[k] = avx512_quarters(x[k], x[k + 4], x[k + 8], x[k + 12]);
    for (int k = 0; k < 4; k += 2)
        y[k] = _mm512_add_ps(_mm512_shuffle_ps(y[k], y[k + 1], 0x44), _mm512_shuffle_ps(y[k], y[k + 1], 0xee));
    return _mm512_add_ps(_mm512_shuffle_ps(y[0], y[2], 0x88), _mm512_shuffle_ps(y[0], y[2], 0xdd));
}

AVX512 INLINE void avx512_fold(float weights[LW_VISEME_LANES], const float likely[LW_CLASS_LANES],
                               const lw_viseme_tables *t)
{
    __m512 low = _mm512_load_ps(likely), high = _mm512_load_ps(likely + 16);
    __m512 sum = _mm512_permutex2var_ps(low, _mm512_load_si512(t->members[0]), high);
    for (int j = 1; j < LW_MEMBERS; j++)
        sum = _mm512_add_ps(sum, _mm512_permutex2var_ps(low, _mm512_load_si512(t->members[j]), high));
    _mm512_store_ps(weights, sum);
}

#define W 16
#define TARGET AVX512
#define FORM(name) avx512_##name
#define EXPORT(name) lw_viseme_##name##_avx512
#define MIN(a, b) ((FORM(f))_mm512_min_ps((__m512)(a), (__m512)(b)))
#define MAX(a, b) ((FORM(f))_mm512_max_ps((__m512)(a), (__m512)(b)))
#define MIRROR(a, b)                                                                                                  \
    ((FORM(f))_mm512_permutex2var_ps(                                                                                 \
        (__m512)(a), _mm512_setr_epi32(16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1), (__m512)(b)))
#define TRANSPOSE(x) avx512_transpose((__m512 *)(x))
#define SUMS(x) ((FORM(f))avx512_sums((const __m512 *)(x)))
#define FOLD avx512_fold
#include "viseme_lanes.h"

enum { MOST_COLUMNS = 544 }; /* sums over more than 516 could leave 32 bit: viseme_model.h */

/* Inputs + 32768, their bytes apart: VPDPBUSD takes one side unsigned. */
typedef struct avx512_input {
    _Alignas(64) uint8_t low[MOST_COLUMNS], high[MOST_COLUMNS];
} avx512_input;

AVX512 INLINE void avx512_split(avx512_input *to, const int16_t *x, int32_t columns)
{
    for (int32_t c = 0; c < columns; c += 32) {
        __m512i u = _mm512_xor_si512(_mm512_loadu_si512(x + c), _mm512_set1_epi16((short)0x8000));
        _mm256_store_si256((__m256i *)(to->low + c), _mm512_cvtepi16_epi8(u));
        _mm256_store_si256((__m256i *)(to->high + c), _mm512_cvtepi16_epi8(_mm512_srli_epi16(u, 8)));
    }
}

AVX512 INLINE __m512i avx512_four(const uint8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}

/* `groups` times 16 rows of `sessions`: what the 32 registers have room for. */
AVX512 INLINE void avx512_tile(int32_t *sums, size_t step, const int8_t *weight, int32_t columns,
                               const int32_t *offset, const avx512_input *x, int groups, int sessions)
{
    __m512i low[6][4], high[6][4];
    size_t group = 16 * (size_t)columns;
#pragma GCC unroll 8
    for (int g = 0; g < groups; g++)
#pragma GCC unroll 8
        for (int s = 0; s < sessions; s++)
            low[g][s] = _mm512_load_si512(offset + 16 * g), high[g][s] = _mm512_setzero_si512();
    for (int32_t c = 0; c < columns; c += 4, weight += 64) {
        __m512i w[6];
#pragma GCC unroll 8
        for (int g = 0; g < groups; g++)
            w[g] = _mm512_load_si512(weight + g * group);
#pragma GCC unroll 8
        for (int s = 0; s < sessions; s++) {
            __m512i l = avx512_four(x[s].low + c), h = avx512_four(x[s].high + c);
#pragma GCC unroll 8
            for (int g = 0; g < groups; g++) {
                low[g][s] = _mm512_dpbusd_epi32(low[g][s], l, w[g]);
                high[g][s] = _mm512_dpbusd_epi32(high[g][s], h, w[g]);
            }
        }
    }
#pragma GCC unroll 8
    for (int s = 0; s < sessions; s++)
#pragma GCC unroll 8
        for (int g = 0; g < groups; g++)
            _mm512_store_si512(sums + (size_t)s * step + 16 * g,
                               _mm512_add_epi32(low[g][s], _mm512_slli_epi32(high[g][s], 8)));
}

AVX512 void lw_viseme_dense_avx512(int32_t *sums, size_t step, const int16_t *const *x, size_t sessions,
                                   const lw_viseme_layer *layer)
{
    avx512_input in[LW_VISEME_SESSIONS];
    int32_t columns = layer->columns, groups = layer->rows / 16;
    for (size_t s = 0; s < sessions; s++)
        avx512_split(&in[s], x[s], columns);
    for (int32_t g = 0, n; g < groups; g += n) {
        const int8_t *weight = layer->weight + 16 * (size_t)g * (size_t)columns;
        const int32_t *offset = layer->offset + 16 * g;
        int32_t *to = sums + 16 * g;
        n = sessions == 1 && groups - g >= 6 ? 6 : groups - g >= 3 ? 3 : 1;
        for (size_t s = 0, k; s < sessions; s += k) {
            k = sessions - s >= 4 ? 4 : sessions - s >= 2 ? 2 : 1;
#define TILE(G, S) avx512_tile(to + s * step, step, weight, columns, offset, in + s, G, S)
            if (n == 6)
                TILE(6, 1);
            else if (n == 3)
                k == 4 ? TILE(3, 4) : k == 2 ? TILE(3, 2) : TILE(3, 1);
            else
                k == 4 ? TILE(1, 4) : k == 2 ? TILE(1, 2) : TILE(1, 1);
#undef TILE
        }
    }
}
#endif
