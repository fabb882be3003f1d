/* Cross-correlation on AVX2: products of 16 samples a register, four lags at a time for their sums. */
#if defined(__x86_64__)
#include "dsp.h"
#include "x86.h"

AVX2 INLINE __m256i part(const int16_t *x, const int16_t *y)
{
    return _mm256_madd_epi16(LOAD256((const void *)x), LOAD256((const void *)y));
}

AVX2 void lw_correlate_avx2(int32_t *out, const int16_t *x, const int16_t *y, size_t n, size_t lags)
{
    size_t l = 0;
    for (; l + 4 <= lags; l += 4, y += 4) {
        __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
        for (size_t i = 0; i < n; i += 16) {
            a = _mm256_add_epi32(a, part(x + i, y + i));
            b = _mm256_add_epi32(b, part(x + i, y + i + 1));
            c = _mm256_add_epi32(c, part(x + i, y + i + 2));
            d = _mm256_add_epi32(d, part(x + i, y + i + 3));
        }
        __m256i four = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
        _mm_storeu_si128((__m128i *)(void *)(out + l), sums);
    }
    for (; l < lags; l++, y++) {
        __m256i a = _mm256_setzero_si256();
        for (size_t i = 0; i < n; i += 16)
            a = _mm256_add_epi32(a, part(x + i, y + i));
        __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
        s = _mm_hadd_epi32(s, s);
        out[l] = _mm_cvtsi128_si32(_mm_hadd_epi32(s, s));
    }
}

#endif
