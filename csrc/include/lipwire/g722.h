/* ITU-T G.722 (09/2012): PCM16 at 16 kHz, two samples to one byte, at 64, 56 or 48 kbit/s (modes 1, 2, 3).
 *
 * A byte is always one code: bits 7..6 the upper band, bits 5..0 the lower band. At 56 and 48 kbit/s the lowest one or
 * two bits belong to the Recommendation's auxiliary data channel: the encoder, which adapts in the same way at every
 * rate, writes them as 0; the decoder ignores them. (A packed stream of 7-bit or 6-bit codes, or codes moved down to
 * bit 0, is not G.722 as RTP carries it, and not taken.) The delay of encoder and decoder together is 22 samples.
 *
 * Bit-exact with the ITU-T software tools (G.191), on every input. FFmpeg and spandsp differ from those, and so from
 * this, in two places that speech does not reach: they leave out the limit of the split bands to -16384..16383, which
 * shows when a signal overshoots full scale in a band (a full-scale square), and they do not saturate each addition of
 * the zero section, which shows in the decoder on long runs of one large code, which no encoder makes.
 *
 * Example of use:
 *
 *     int16_t pcm[320] = {0};
 *     uint8_t codes[160];
 *     lw_g722_encoder *e;
 *     if (lw_g722_encoder_open(&e, &(lw_g722_config){.bitrate = 64000}) < 0)
 *         return 1;
 *     int64_t bytes = lw_g722_encoder_process(e, pcm, 320, codes, sizeof codes); // 160
 *     lw_g722_encoder_close(&e);
 *     return bytes != 160;
 */
#ifndef LIPWIRE_G722_H
#define LIPWIRE_G722_H

#include "lipwire/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lw_g722_config {
    int32_t bitrate; /* 64000, 56000 or 48000 */
} lw_g722_config;

typedef struct lw_g722_encoder lw_g722_encoder;
typedef struct lw_g722_decoder lw_g722_decoder;

int lw_g722_encoder_open(lw_g722_encoder **out, const lw_g722_config *config);
/* Takes all n samples, writes one byte for each two; an odd one left over waits for the next call, so any chunking
 * gives the same bytes. `pcm` may be odd-aligned. Returns the bytes written, or LW_ENOSPC (nothing taken) where `cap`
 * is below lw_g722_encoder_bound(e, n). */
int64_t lw_g722_encoder_process(lw_g722_encoder *e, const int16_t *pcm, size_t n, uint8_t *codes, size_t cap);
/* Exactly what n more samples will give. */
size_t lw_g722_encoder_bound(const lw_g722_encoder *e, size_t n);
void lw_g722_encoder_reset(lw_g722_encoder *e);
void lw_g722_encoder_close(lw_g722_encoder **e);

int lw_g722_decoder_open(lw_g722_decoder **out, const lw_g722_config *config);
/* Takes all n bytes, writes 2 n samples and returns that, or LW_ENOSPC (nothing taken) where `cap` is below 2 n. Every
 * byte is a code. `pcm` may be odd-aligned. */
int64_t lw_g722_decoder_process(lw_g722_decoder *d, const uint8_t *codes, size_t n, int16_t *pcm, size_t cap);
void lw_g722_decoder_reset(lw_g722_decoder *d);
void lw_g722_decoder_close(lw_g722_decoder **d);

/* Many independent channels at once, in the lanes of one vector: the same bits as that many single objects, at a
 * fraction of the time. A channel is a slot, and slots come and go: a slot given NULL in a call sits it out, costs
 * nothing more, and starts anew when it is given data again. */
#define LW_G722_MAX_CHANNELS 4096

typedef struct lw_g722_batch_config {
    int32_t bitrate;  /* of all: 64000, 56000 or 48000 */
    int32_t channels; /* slots, 1..LW_G722_MAX_CHANNELS */
} lw_g722_batch_config;

typedef struct lw_g722_encoder_batch lw_g722_encoder_batch;
typedef struct lw_g722_decoder_batch lw_g722_decoder_batch;

int lw_g722_encoder_batch_open(lw_g722_encoder_batch **out, const lw_g722_batch_config *config);
/* pcm[c] holds n samples, n even, codes[c] takes n / 2 bytes, for c = 0..channels-1; either may be odd-aligned.
 * Returns n / 2. */
int64_t lw_g722_encoder_batch_process(lw_g722_encoder_batch *b, const int16_t *const *pcm, size_t n,
                                      uint8_t *const *codes);
/* One slot, or all of them where `channel` is -1. */
int lw_g722_encoder_batch_reset(lw_g722_encoder_batch *b, int32_t channel);
void lw_g722_encoder_batch_close(lw_g722_encoder_batch **b);

int lw_g722_decoder_batch_open(lw_g722_decoder_batch **out, const lw_g722_batch_config *config);
/* codes[c] holds n bytes, pcm[c] takes 2 n samples. Returns 2 n. */
int64_t lw_g722_decoder_batch_process(lw_g722_decoder_batch *b, const uint8_t *const *codes, size_t n,
                                      int16_t *const *pcm);
int lw_g722_decoder_batch_reset(lw_g722_decoder_batch *b, int32_t channel);
void lw_g722_decoder_batch_close(lw_g722_decoder_batch **b);

#ifdef __cplusplus
}
#endif
#endif
