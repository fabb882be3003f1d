/* G.711, ITU-T G.711 (11/1988): PCM16 to and from 8 bits by a curve of eight segments of 16 steps a sign.
 *
 *              magnitude of x                 segment                     step within it
 *   A-law      x, ~x when negative            7 bits above 2^8            x >> (segment + 3), segments 0 and 1 alike
 *   mu-law     that + 132, at most 32767      8 bits from 2^7             x >> (segment + 3)
 *
 * A code is sign, segment, step from the top; A-law is sent with every other bit inverted, mu-law with all of them.
 * A decoded value is the middle of its step. */
#include <string.h>

#include "common.h"
#include "dsp.h"
#include "lipwire/g711.h"

#define ALAW_TOGGLE 0x55
#define ULAW_BIAS 132

static inline int16_t sample(const int16_t *pcm, size_t i)
{
    int16_t x;
    memcpy(&x, (const uint8_t *)pcm + i * sizeof x, sizeof x);
    return x;
}

static inline void put(int16_t *pcm, size_t i, int32_t value)
{
    int16_t x = (int16_t)value;
    memcpy((uint8_t *)pcm + i * sizeof x, &x, sizeof x);
}

void lw_alaw_encode_c(uint8_t *codes, const int16_t *pcm, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t x = sample(pcm, i), negative = x < 0 ? -1 : 0;
        uint32_t magnitude = (uint32_t)(x ^ negative);
        uint32_t top = magnitude >> 8; /* 0 in the lowest segment */
        uint32_t segment = 32 - (uint32_t)__builtin_clz(2 * top + 1) - 1;
        uint32_t step = (magnitude >> (segment + 3 + (segment == 0))) & 15;
        codes[i] = (uint8_t)((segment << 4 | step | (~(uint32_t)negative & 0x80)) ^ ALAW_TOGGLE);
    }
}

void lw_ulaw_encode_c(uint8_t *codes, const int16_t *pcm, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t x = sample(pcm, i), negative = x < 0 ? -1 : 0;
        int32_t biased = (x ^ negative) + ULAW_BIAS;
        uint32_t magnitude = (uint32_t)(biased > 32767 ? 32767 : biased);
        uint32_t segment = 31 - (uint32_t)__builtin_clz(magnitude >> 7);
        codes[i] = (uint8_t)~(segment << 4 | ((magnitude >> (segment + 3)) & 15) | ((uint32_t)negative & 0x80));
    }
}

void lw_alaw_decode_c(int16_t *pcm, const uint8_t *codes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t code = codes[i] ^ ALAW_TOGGLE, segment = code >> 4 & 7, step = (code & 15) << 4;
        int32_t magnitude = segment ? (int32_t)((step + 0x108) << (segment - 1)) : (int32_t)step + 8;
        put(pcm, i, code & 0x80 ? magnitude : -magnitude);
    }
}

void lw_ulaw_decode_c(int16_t *pcm, const uint8_t *codes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t code = (uint8_t)~codes[i];
        int32_t magnitude = (int32_t)((((code & 15) << 3) + ULAW_BIAS) << (code >> 4 & 7)) - ULAW_BIAS;
        put(pcm, i, code & 0x80 ? -magnitude : magnitude);
    }
}

void lw_alaw_encode(uint8_t *codes, const int16_t *pcm, size_t n)
{
    lw_kernels.alaw_encode(codes, pcm, n);
}

void lw_ulaw_encode(uint8_t *codes, const int16_t *pcm, size_t n)
{
    lw_kernels.ulaw_encode(codes, pcm, n);
}

void lw_alaw_decode(int16_t *pcm, const uint8_t *codes, size_t n)
{
    lw_kernels.alaw_decode(pcm, codes, n);
}

void lw_ulaw_decode(int16_t *pcm, const uint8_t *codes, size_t n)
{
    lw_kernels.ulaw_decode(pcm, codes, n);
}
