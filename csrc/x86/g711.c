/* G.711 on AVX2: the arithmetic of csrc/g711.c on 16 lanes. The segment, which is the place of a highest bit, comes
 * from a table of 16 for each half of a byte; a shift by the segment is a multiplication by a power from a table. A
 * block shorter than a vector goes through one of its own; the end of a longer one is coded together with what precedes
 * it. */
#if defined(__x86_64__)
#include <string.h>

#include "dsp.h"
#include "x86.h"

#define SET1(x) _mm256_set1_epi16(x)
#define ADD _mm256_add_epi16
#define SUB _mm256_sub_epi16
#define AND _mm256_and_si256
#define OR _mm256_or_si256
#define XOR _mm256_xor_si256

typedef __m256i law_fn(__m256i);

/* 8 words of a table by index 0..7. */
AVX2 INLINE __m256i look(__m128i table, __m256i i)
{
    i = ADD(_mm256_mullo_epi16(i, SET1(0x0202)), SET1(0x0100));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), i);
}

/* The place of the highest bit of x, 1..255, plus `lowest`; 0 for 0. */
AVX2 INLINE __m256i highest_bit(__m256i x, int lowest)
{
    const char a = (char)lowest, b = (char)(a + 1), c = (char)(a + 2), d = (char)(a + 3);
    const __m256i low = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, a, b, b, c, c, c, c, d, d, d, d, d, d, d, d));
    const char e = (char)(a + 4), f = (char)(a + 5), g = (char)(a + 6), h = (char)(a + 7);
    const __m256i high = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, e, f, f, g, g, g, g, h, h, h, h, h, h, h, h));
    return _mm256_max_epi16(_mm256_shuffle_epi8(low, AND(x, SET1(15))),
                            _mm256_shuffle_epi8(high, _mm256_srli_epi16(x, 4)));
}

AVX2 INLINE __m256i alaw_code(__m256i x)
{
    __m256i sign = _mm256_srai_epi16(x, 15), magnitude = XOR(x, sign);
    __m256i segment = highest_bit(_mm256_srli_epi16(magnitude, 8), 1);
    const __m128i powers = _mm_setr_epi16(1 << 12, 1 << 12, 1 << 11, 1 << 10, 1 << 9, 1 << 8, 1 << 7, 1 << 6);
    __m256i step = AND(_mm256_mulhi_epi16(magnitude, look(powers, segment)), SET1(15));
    __m256i code = OR(OR(_mm256_slli_epi16(segment, 4), step), _mm256_andnot_si256(sign, SET1(0x80)));
    return XOR(code, SET1(0x55));
}

AVX2 INLINE __m256i ulaw_code(__m256i x)
{
    __m256i sign = _mm256_srai_epi16(x, 15), magnitude = _mm256_adds_epi16(XOR(x, sign), SET1(132));
    __m256i segment = highest_bit(_mm256_srli_epi16(magnitude, 7), 0);
    const __m128i powers = _mm_setr_epi16(1 << 13, 1 << 12, 1 << 11, 1 << 10, 1 << 9, 1 << 8, 1 << 7, 1 << 6);
    __m256i step = AND(_mm256_mulhi_epi16(magnitude, look(powers, segment)), SET1(15));
    __m256i code = OR(OR(_mm256_slli_epi16(segment, 4), step), AND(sign, SET1(0x80)));
    return XOR(code, SET1(0xFF));
}

AVX2 INLINE __m256i alaw_value(__m256i code)
{
    code = XOR(code, SET1(0x55));
    __m256i segment = AND(_mm256_srli_epi16(code, 4), SET1(7)), step = _mm256_slli_epi16(AND(code, SET1(15)), 4);
    const __m128i offsets = _mm_setr_epi16(8, 0x108, 0x108, 0x108, 0x108, 0x108, 0x108, 0x108);
    const __m128i powers = _mm_setr_epi16(1, 1, 2, 4, 8, 16, 32, 64);
    __m256i magnitude = _mm256_mullo_epi16(ADD(step, look(offsets, segment)), look(powers, segment));
    __m256i negative = _mm256_cmpgt_epi16(SET1(0x80), code);
    return SUB(XOR(magnitude, negative), negative);
}

AVX2 INLINE __m256i ulaw_value(__m256i code)
{
    code = XOR(code, SET1(0xFF));
    __m256i segment = AND(_mm256_srli_epi16(code, 4), SET1(7)), step = _mm256_slli_epi16(AND(code, SET1(15)), 3);
    const __m128i powers = _mm_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i magnitude = SUB(_mm256_mullo_epi16(ADD(step, SET1(132)), look(powers, segment)), SET1(132));
    __m256i negative = _mm256_cmpgt_epi16(code, SET1(0x7F));
    return SUB(XOR(magnitude, negative), negative);
}

AVX2 INLINE void encode16(uint8_t *codes, const uint8_t *pcm, law_fn *law)
{
    __m256i code = law(_mm256_loadu_si256((const __m256i *)pcm));
    code = _mm256_permute4x64_epi64(_mm256_packus_epi16(code, code), 0x08);
    _mm_storeu_si128((__m128i *)codes, _mm256_castsi256_si128(code));
}

AVX2 INLINE void encode(uint8_t *codes, const int16_t *samples, size_t n, law_fn *law)
{
    const uint8_t *pcm = (const uint8_t *)samples;
    size_t i = 0;
    if (n < 16) {
        uint8_t in[32] = {0}, out[16];
        memcpy(in, pcm, 2 * n);
        encode16(out, in, law);
        memcpy(codes, out, n);
        return;
    }
    for (; i + 32 <= n; i += 32) {
        __m256i a = law(_mm256_loadu_si256((const __m256i *)(pcm + 2 * i)));
        __m256i b = law(_mm256_loadu_si256((const __m256i *)(pcm + 2 * i + 32)));
        _mm256_storeu_si256((__m256i *)(codes + i), _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xD8));
    }
    if (n - i >= 16)
        encode16(codes + i, pcm + 2 * i, law), i += 16;
    if (i < n)
        encode16(codes + n - 16, pcm + 2 * (n - 16), law);
}

AVX2 INLINE void decode16(uint8_t *pcm, const uint8_t *codes, law_fn *law)
{
    _mm256_storeu_si256((__m256i *)pcm, law(_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)codes))));
}

AVX2 INLINE void decode(int16_t *samples, const uint8_t *codes, size_t n, law_fn *law)
{
    uint8_t *pcm = (uint8_t *)samples;
    size_t i = 0;
    if (n < 16) {
        uint8_t in[16] = {0}, out[32];
        memcpy(in, codes, n);
        decode16(out, in, law);
        memcpy(pcm, out, 2 * n);
        return;
    }
    for (; i + 16 <= n; i += 16)
        decode16(pcm + 2 * i, codes + i, law);
    if (i < n)
        decode16(pcm + 2 * (n - 16), codes + n - 16, law);
}

AVX2 void lw_alaw_encode_avx2(uint8_t *codes, const int16_t *pcm, size_t n)
{
    encode(codes, pcm, n, alaw_code);
}

AVX2 void lw_ulaw_encode_avx2(uint8_t *codes, const int16_t *pcm, size_t n)
{
    encode(codes, pcm, n, ulaw_code);
}

AVX2 void lw_alaw_decode_avx2(int16_t *pcm, const uint8_t *codes, size_t n)
{
    decode(pcm, codes, n, alaw_value);
}

AVX2 void lw_ulaw_decode_avx2(int16_t *pcm, const uint8_t *codes, size_t n)
{
    decode(pcm, codes, n, ulaw_value);
}
#endif
