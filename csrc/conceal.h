/* Speech that is made up where packets are missing. Nothing here is exported. */
#ifndef LW_CONCEAL_H
#define LW_CONCEAL_H

#include <stdint.h>

#include "comfort.h"
#include "pitch.h"
#include "predict.h"

/* Samples of history that are read before the end of what there is: two periods and what they are compared by. */
static inline int32_t lw_conceal_history(int32_t rate)
{
    return rate / 25;
}

/* Speech that goes on after its end, further and further, fading into the noise of its background. */
typedef struct lw_conceal {
    int32_t rate;
    int32_t lag, at;       /* the period that is repeated, and where in it */
    int32_t voiced, hiss;  /* Q15 of the period, and of noise: the sum of their squares is 1 */
    int32_t trend, gain;   /* Q15: what the voice becomes quieter by from period to period, and has so far */
    int32_t run;           /* samples so far */
    lw_noise unvoiced, ground;
    lw_predictor ahead;
    int16_t period[LW_PITCH_LAGS];
} lw_conceal;

/* Goes on from `end`, before which there are lw_conceal_history samples. `quiet` are 10 ms of background; NULL: none
 * has been heard. */
void lw_conceal_begin(lw_conceal *c, const int16_t *end, const int16_t *quiet, int32_t rate);
/* The next n samples. */
void lw_conceal_more(lw_conceal *c, int16_t *out, int32_t n);
/* 1: all that is left is background. */
int lw_conceal_over(const lw_conceal *c);

/* Fills a gap from both ends: out[0..gap) goes on with what `c` goes on with, and leads to `future`, of which there are
 * `have`. Without a gap, out[0..overlap) goes over into the future's first; with one, it is those.
 * overlap <= have; gap and overlap <= rate / 10. */
void lw_conceal_bridge(lw_conceal *c, int16_t *out, int32_t gap, const int16_t *future, int32_t have, int32_t overlap);

#endif
