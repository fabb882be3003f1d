/* Sound that goes on by linear prediction. Nothing here is exported.
 *
 * The one piece of the sound's chain that computes in float: IEEE single precision, one operation after the other, sums
 * in sixteen lanes of a fixed order (dsp.h). So the samples are the same at every kernel level and on every machine. */
#ifndef LW_PREDICT_H
#define LW_PREDICT_H

#include <stdint.h>

#define LW_PREDICT_ORDER 192     /* at most, a multiple of 16 */
#define LW_PREDICT_SAMPLES 1536  /* that a predictor is made of, at most */

typedef struct lw_predictor {
    int32_t order;                     /* 0: silence */
    float weight[LW_PREDICT_ORDER];    /* of the samples before, the oldest first; zeros in front */
    float past[2 * LW_PREDICT_ORDER];  /* those, from `at` on; room for as many behind them */
    int32_t at;
} lw_predictor;

/* Of the n samples that end with x[n - 1] (direction 1), or backwards of those from x[0] on (-1), so that what it makes
 * goes on before x[0]. order <= LW_PREDICT_ORDER, n <= LW_PREDICT_SAMPLES; an order above n / 3 is cut to that. */
void lw_predict_begin(lw_predictor *p, const int16_t *x, int32_t n, int32_t order, int32_t direction);
/* The next n samples, each one further away. */
void lw_predict_more(lw_predictor *p, int16_t *out, int32_t n);

#endif
