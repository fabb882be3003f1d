/* A-law and mu-law, ITU-T G.711 (11/1988): PCM16 at 8 kHz as a rule, one byte a sample.
 *
 * The 16-bit scale is that of the ITU-T software tools (G.191): A-law takes the upper 13 bits, mu-law the upper 14;
 * negative values are quantised by their one's complement. Others code some samples at a decision threshold as the
 * neighbouring step: audioop 508 negative ones of mu-law, FFmpeg 964 of either law; decoding is the same everywhere.
 *
 * Stateless, and nothing fails: n samples to n codes and back. Buffers may be odd-aligned and must not overlap.
 *
 * Example of use:
 *
 *     int16_t pcm[160] = {1000, -1000};
 *     uint8_t codes[160];
 *     lw_ulaw_encode(codes, pcm, 160);
 *     lw_ulaw_decode(pcm, codes, 160); // now 988, -988, 0, ...: the middles of their steps
 */
#ifndef LIPWIRE_G711_H
#define LIPWIRE_G711_H

#include "lipwire/base.h"

#ifdef __cplusplus
extern "C" {
#endif

void lw_alaw_encode(uint8_t *codes, const int16_t *pcm, size_t n);
void lw_ulaw_encode(uint8_t *codes, const int16_t *pcm, size_t n);
void lw_alaw_decode(int16_t *pcm, const uint8_t *codes, size_t n);
void lw_ulaw_decode(int16_t *pcm, const uint8_t *codes, size_t n);

#ifdef __cplusplus
}
#endif
#endif
