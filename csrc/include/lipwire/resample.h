/* Streaming resampler: polyphase FIR with linear phase, int16 in and out, integer arithmetic throughout, and so the
 * same bits on every machine.
 *
 * It is time-aligned: output n is the signal at n / out_rate seconds, so that the only latency is look-ahead
 * (lw_resampler_delay_ns). Rates are 8000..48000 Hz, any to any higher one; to a lower one the two, each divided by
 * their greatest common divisor, are at most LW_RESAMPLER_MAX_PHASES, unless both are among 8000, 11025, 12000, 16000,
 * 22050, 24000, 32000, 44100 and 48000. Tables of those, and one for all other ways up, are shared by the process and
 * designed once; opening a resampler costs next to nothing then. Stereo is interleaved, and equals two mono resamplers bit for bit. A frame
 * is one sample of every channel. Any chunking gives the same samples as one call.
 *
 * Example of use:
 *
 *     int16_t in[320] = {0}, out[1200]; // 20 ms at 16 kHz in, to 48 kHz
 *     size_t used;
 *     lw_resampler *r;
 *     if (lw_resampler_open(&r, &(lw_resampler_config){.in_rate = 16000, .out_rate = 48000}) < 0)
 *         return 1;
 *     int64_t made = lw_resampler_process(r, in, 320, &used, out, 1200); // all 320 are taken: `out` has room
 *     made += lw_resampler_flush(r, out + made, 1200 - (size_t)made);    // made == 960 now
 *     lw_resampler_close(&r);
 */
#ifndef LIPWIRE_RESAMPLE_H
#define LIPWIRE_RESAMPLE_H

#include "lipwire/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LW_RESAMPLER_MAX_PHASES 1920
#define LW_RESAMPLER_FINEST (1 << 26)

enum lw_resampler_quality {
    LW_RESAMPLER_VOICE = 0, /* >= 93 dB rejection from 1.1 of the lower Nyquist frequency, flat within 0.01 dB to 0.9
                               of it, delay 24 samples of the lower rate: at most 3 ms */
    LW_RESAMPLER_HIGH = 1   /* >= 110 dB from 1.08, within 0.002 dB to 0.92, 40 samples: at most 5 ms */
};

typedef struct lw_resampler lw_resampler;
typedef struct lw_resampler_config {
    int32_t in_rate;  /* Hz */
    int32_t out_rate; /* Hz */
    int32_t channels; /* 1 or 2; 0 = 1 */
    int32_t quality;  /* enum lw_resampler_quality */
} lw_resampler_config;

/* LW_EINVAL: one of them is out of range. LW_ENOMEM. */
int lw_resampler_open(lw_resampler **out, const lw_resampler_config *config);
/* Designs what opening a voice resampler from any rate to out_rate will need, so that none of them takes time later; a
 * second call finds it all done. Any thread. LW_ENOMEM. */
int lw_resampler_prepare(int32_t out_rate);
/* Takes up to n frames of `in` (*consumed says how many) and writes up to `cap` to `out`; returns how many were
 * written. It stops early only when `out` is full; call again with the rest. `in` may be odd-aligned. */
int64_t lw_resampler_process(lw_resampler *r, const int16_t *in, size_t n, size_t *consumed, int16_t *out, size_t cap);
/* Writes the frames still owed for the input so far, as if silence followed, so that the total is
 * ceil(inputs * out_rate / in_rate). Returns the count; 0 when all is out; then the state is as after reset. */
int64_t lw_resampler_flush(lw_resampler *r, int16_t *out, size_t cap);
/* Mono. What lw_resampler_flush would write, all at once, if n samples at `next` came before the silence; nothing is
 * changed. Behind a process that has taken all it was given. LW_ENOSPC: `cap` is less than lw_resampler_bound says. */
int64_t lw_resampler_tail(lw_resampler *r, const int16_t *next, size_t n, int16_t *out, size_t cap);
/* Mono. As lw_resampler_reset, but as if the n samples at `past` had come before the first one, whose outputs nobody
 * wants; the first output lies `phase` phases behind the first input, 0..step. LW_EINVAL. */
int lw_resampler_start(lw_resampler *r, const int16_t *past, size_t n, int32_t phase);
/* Mono, going up or between equal rates, right behind open: the same with `by` times as many phases to a sample, so that
 * it can be started between those that its rates need. Equal rates then have the look-ahead of others, too. LW_EINVAL:
 * it goes down, or they would be more than LW_RESAMPLER_FINEST. LW_ENOMEM. */
int lw_resampler_divide(lw_resampler *r, int32_t by);
/* Of a resampler, in samples of its input: `phases` to each, of which an output takes `step`; how many `ahead` of an
 * output, and `past` it, its window holds; and how many phases the next output but for those owed lies behind the end
 * of what was taken. */
typedef struct lw_resampler_place {
    int32_t phases, step, ahead, past, behind;
} lw_resampler_place;
lw_resampler_place lw_resampler_where(const lw_resampler *r);
/* Exactly how many frames processing n more will write, with room for them. */
size_t lw_resampler_ready(const lw_resampler *r, size_t n);
/* The most frames that processing n more, then flushing, can write. */
size_t lw_resampler_bound(const lw_resampler *r, size_t n);
/* Look-ahead in nanoseconds: how much later an input must have arrived than the output it is centred on. */
int64_t lw_resampler_delay_ns(const lw_resampler *r);
/* Asks for its memory, of which a call will soon have need. */
void lw_resampler_prefetch(const lw_resampler *r);
void lw_resampler_reset(lw_resampler *r);
void lw_resampler_close(lw_resampler **r);

#ifdef __cplusplus
}
#endif
#endif
