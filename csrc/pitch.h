/* Where one stretch of sound is most like another: pitch periods, and how a splice lines up. Nothing here is exported.
 *
 * All of it is exact: samples are scaled so that sums of products fit 32 bits, and then the order of adding is free. */
#ifndef LW_PITCH_H
#define LW_PITCH_H

#include <stdint.h>

#define LW_PITCH_MOST_RATE 48000
#define LW_PITCH_LAGS 768 /* lags that one search goes through, at most: 16 ms at 48 kHz */

/* The stretches that are compared: 10 ms. */
static inline int32_t lw_pitch_window(int32_t rate)
{
    return rate / 100;
}

/* Periods that are looked for: 2.5 ms (400 Hz) to 15 ms (67 Hz). */
static inline int32_t lw_pitch_least(int32_t rate)
{
    return rate / 400;
}

static inline int32_t lw_pitch_most(int32_t rate)
{
    return rate * 3 / 200;
}

typedef struct lw_match {
    int32_t lag;
    int32_t likeness_q15; /* normalised cross-correlation, 0 where it is negative; silence is like nothing */
} lw_match;

/* The lag in 0..lags-1 at which b[lag..lag + window) is most like a[0..window). `lags` is 1..LW_PITCH_LAGS. Exact to
 * the sample; found at 8 kHz first. */
lw_match lw_match_find(const int16_t *a, const int16_t *b, int32_t lags, int32_t rate);
/* How far back the last window before `end` was most like it: the period. Reads window + most samples before end. */
lw_match lw_pitch_before(const int16_t *end, int32_t rate);
/* The mean absolute value of n samples. */
int32_t lw_level(const int16_t *x, int32_t n);
/* floor of the square root */
uint32_t lw_root(uint64_t x);

#endif
