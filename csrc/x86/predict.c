/* The predictor's sums and recursion on AVX2, where sixteen lanes are two registers, and AVX-512; products and sums apart, as
 * in C. */
#if defined(__x86_64__)
#include "dsp.h"
#include "x86.h"

AVX2 INLINE __m256i first(size_t n) /* a mask of the first n of eight floats, n may be more */
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

AVX2 INLINE float add_up(__m256 eight)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

AVX2 float lw_dot_avx2(const float *a, const float *b, size_t n)
{
    __m256 low = _mm256_setzero_ps(), high = low;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        low = _mm256_add_ps(low, _mm256_mul_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
        high = _mm256_add_ps(high, _mm256_mul_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8)));
    }
    if (i < n) {
        __m256i m = first(n - i);
        low = _mm256_add_ps(low, _mm256_mul_ps(_mm256_maskload_ps(a + i, m), _mm256_maskload_ps(b + i, m)));
    }
    if (i + 8 < n) {
        __m256i m = first(n - i - 8);
        high = _mm256_add_ps(high, _mm256_mul_ps(_mm256_maskload_ps(a + i + 8, m), _mm256_maskload_ps(b + i + 8, m)));
    }
    return add_up(_mm256_add_ps(low, high));
}

AVX2 float lw_burg_avx2(float *f, float *b, size_t n, float k)
{
    const __m256 ks = _mm256_set1_ps(k);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 t = _mm256_loadu_ps(f + i), u = _mm256_loadu_ps(b + i);
        _mm256_storeu_ps(f + i, _mm256_add_ps(t, _mm256_mul_ps(ks, u)));
        _mm256_storeu_ps(b + i, _mm256_add_ps(u, _mm256_mul_ps(ks, t)));
    }
    for (; i < n; i++) {
        float t = f[i];
        f[i] = t + k * b[i];
        b[i] = b[i] + k * t;
    }
    return lw_dot_avx2(f + 1, b, n - 1);
}

AVX512 INLINE float add_up_512(__m512 v)
{
    return add_up(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)));
}

/* Fifteen of a and the first of b. */
AVX512 INLINE __m512 later(__m512 a, __m512 b)
{
    return _mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(b), _mm512_castps_si512(a), 1));
}

AVX512 float lw_dot_avx512(const float *a, const float *b, size_t n)
{
    __m512 sum = _mm512_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        sum = _mm512_add_ps(sum, _mm512_mul_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i)));
    if (i < n) {
        __mmask16 m = (__mmask16)((1u << (n - i)) - 1);
        sum = _mm512_add_ps(sum, _mm512_mul_ps(_mm512_maskz_loadu_ps(m, a + i), _mm512_maskz_loadu_ps(m, b + i)));
    }
    return add_up_512(sum);
}

/* What belongs to one step further on is in the next register. */
AVX512 float lw_burg_avx512(float *f, float *b, size_t n, float k)
{
    const __m512 ks = _mm512_set1_ps(k);
    __m512 sum = _mm512_setzero_ps(), f0 = sum, b0 = sum;
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = n - i >= 16 ? 0xFFFF : (__mmask16)((1u << (n - i)) - 1);
        __m512 t = _mm512_maskz_loadu_ps(m, f + i), u = _mm512_maskz_loadu_ps(m, b + i);
        __m512 f1 = _mm512_add_ps(t, _mm512_mul_ps(ks, u)), b1 = _mm512_add_ps(u, _mm512_mul_ps(ks, t));
        _mm512_mask_storeu_ps(f + i, m, f1);
        _mm512_mask_storeu_ps(b + i, m, b1);
        if (i)
            sum = _mm512_add_ps(sum, _mm512_mul_ps(later(f0, f1), b0));
        f0 = f1;
        b0 = b1;
    }
    __mmask16 rest = (__mmask16)((1u << ((n - 1) & 15)) - 1);
    return add_up_512(_mm512_add_ps(sum, _mm512_maskz_mul_ps(rest, later(f0, f0), b0)));
}

#endif
