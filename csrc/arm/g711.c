/* G.711 on NEON: the arithmetic of csrc/g711.c on 8 lanes, which has all of it as instructions: count of leading zeros,
 * shift by a vector. */
#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

#include "dsp.h"

#define INLINE static inline __attribute__((always_inline))
#define SET1(x) vdupq_n_s16(x)

typedef int16x8_t law_fn(int16x8_t);

INLINE int16x8_t alaw_code(int16x8_t x)
{
    int16x8_t sign = vshrq_n_s16(x, 15), magnitude = veorq_s16(x, sign);
    int16x8_t segment = vsubq_s16(SET1(16), vclzq_s16(vshrq_n_s16(magnitude, 8)));
    int16x8_t down = vsubq_s16(SET1(-3), vmaxq_s16(segment, SET1(1)));
    int16x8_t step = vandq_s16(vshlq_s16(magnitude, down), SET1(15));
    int16x8_t code = vorrq_s16(vorrq_s16(vshlq_n_s16(segment, 4), step), vbicq_s16(SET1(0x80), sign));
    return veorq_s16(code, SET1(0x55));
}

INLINE int16x8_t ulaw_code(int16x8_t x)
{
    int16x8_t sign = vshrq_n_s16(x, 15), magnitude = vqaddq_s16(veorq_s16(x, sign), SET1(132));
    int16x8_t segment = vsubq_s16(SET1(8), vclzq_s16(magnitude)); /* the highest bit is 7..14 */
    int16x8_t step = vandq_s16(vshlq_s16(magnitude, vsubq_s16(SET1(-3), segment)), SET1(15));
    int16x8_t code = vorrq_s16(vorrq_s16(vshlq_n_s16(segment, 4), step), vandq_s16(sign, SET1(0x80)));
    return veorq_s16(code, SET1(0xFF));
}

INLINE int16x8_t alaw_value(int16x8_t code)
{
    code = veorq_s16(code, SET1(0x55));
    int16x8_t segment = vandq_s16(vshrq_n_s16(code, 4), SET1(7)), step = vshlq_n_s16(vandq_s16(code, SET1(15)), 4);
    int16x8_t one = vandq_s16(vreinterpretq_s16_u16(vcgtzq_s16(segment)), SET1(0x100));
    int16x8_t magnitude = vaddq_s16(vaddq_s16(step, SET1(8)), one);
    magnitude = vshlq_s16(magnitude, vmaxq_s16(vsubq_s16(segment, SET1(1)), SET1(0)));
    return vbslq_s16(vcgtq_s16(SET1(0x80), code), vnegq_s16(magnitude), magnitude);
}

INLINE int16x8_t ulaw_value(int16x8_t code)
{
    code = veorq_s16(code, SET1(0xFF));
    int16x8_t segment = vandq_s16(vshrq_n_s16(code, 4), SET1(7)), step = vshlq_n_s16(vandq_s16(code, SET1(15)), 3);
    int16x8_t magnitude = vsubq_s16(vshlq_s16(vaddq_s16(step, SET1(132)), segment), SET1(132));
    return vbslq_s16(vcgtq_s16(code, SET1(0x7F)), vnegq_s16(magnitude), magnitude);
}

INLINE void encode8(uint8_t *codes, const uint8_t *pcm, law_fn *law)
{
    int16x8_t code = law(vreinterpretq_s16_u8(vld1q_u8(pcm)));
    vst1_u8(codes, vmovn_u16(vreinterpretq_u16_s16(code)));
}

INLINE void decode8(uint8_t *pcm, const uint8_t *codes, law_fn *law)
{
    vst1q_u8(pcm, vreinterpretq_u8_s16(law(vreinterpretq_s16_u16(vmovl_u8(vld1_u8(codes))))));
}

/* The end of a block is coded together with what precedes it; less than a vector goes through one of its own. */
INLINE void encode(uint8_t *codes, const int16_t *samples, size_t n, law_fn *law)
{
    const uint8_t *pcm = (const uint8_t *)samples;
    if (n < 8) {
        uint8_t in[16] = {0}, out[8];
        memcpy(in, pcm, 2 * n);
        encode8(out, in, law);
        memcpy(codes, out, n);
        return;
    }
    for (size_t i = 0; i + 8 <= n; i += 8)
        encode8(codes + i, pcm + 2 * i, law);
    if (n & 7)
        encode8(codes + n - 8, pcm + 2 * (n - 8), law);
}

INLINE void decode(int16_t *samples, const uint8_t *codes, size_t n, law_fn *law)
{
    uint8_t *pcm = (uint8_t *)samples;
    if (n < 8) {
        uint8_t in[8] = {0}, out[16];
        memcpy(in, codes, n);
        decode8(out, in, law);
        memcpy(pcm, out, 2 * n);
        return;
    }
    for (size_t i = 0; i + 8 <= n; i += 8)
        decode8(pcm + 2 * i, codes + i, law);
    if (n & 7)
        decode8(pcm + 2 * (n - 8), codes + n - 8, law);
}

void lw_alaw_encode_neon(uint8_t *codes, const int16_t *pcm, size_t n)
{
    encode(codes, pcm, n, alaw_code);
}

void lw_ulaw_encode_neon(uint8_t *codes, const int16_t *pcm, size_t n)
{
    encode(codes, pcm, n, ulaw_code);
}

void lw_alaw_decode_neon(int16_t *pcm, const uint8_t *codes, size_t n)
{
    decode(pcm, codes, n, alaw_value);
}

void lw_ulaw_decode_neon(int16_t *pcm, const uint8_t *codes, size_t n)
{
    decode(pcm, codes, n, ulaw_value);
}
#endif
