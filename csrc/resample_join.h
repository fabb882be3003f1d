/* One signal, of which the beginning has one rate and what follows another. */
#ifndef LW_RESAMPLE_JOIN_H
#define LW_RESAMPLE_JOIN_H

#include "lipwire/resample.h"

#define LW_JOIN_PAST 192 /* outputs before the change that it looks back at */
#define LW_JOIN_TAIL 160 /* outputs that a resampler may owe at a change: 3 ms at 48 kHz, and what is rounded */

/* `from` has taken what has its rate; `to`, just opened, is going to take `n` samples at `pcm`, one at least, and all
 * that follows. Both are mono, go up (or not at all) to one rate, at the quality of voice. Writes to `out` what `from`
 * owes, LW_JOIN_TAIL at most: not as if silence followed, but `pcm`. `to` is left as if it had taken what came before,
 * and its first output follows the last of those in time.
 *
 * `heard` are the last outputs that were made before, LW_JOIN_PAST of them, with zeros in front where there were fewer.
 * Returns how many were written. LW_EINVAL: they are no such pair. LW_ENOMEM. */
int64_t lw_resampler_join(lw_resampler *from, lw_resampler *to, const int16_t heard[LW_JOIN_PAST], const int16_t *pcm,
                          size_t n, int16_t out[LW_JOIN_TAIL]);

#endif
