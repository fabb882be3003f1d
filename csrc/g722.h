/* What G.722's kernels and objects share; nothing here is exported.
 *
 * The predictor's zero section has six taps. Its delay line and its coefficients are kept oldest first, which is the
 * order of the samples in memory and the order in which the Recommendation adds: index k is its tap 6 - k. Values that
 * only ever enter a product doubled are kept doubled (d, r). */
#ifndef LW_G722_H
#define LW_G722_H

#include "common.h"
#include "lipwire/g722.h"

#define LW_G722_TAPS 6
#define LW_G722_HISTORY 22 /* the filter bank's: 11 pairs */
#define LW_G722_BLOCK 160  /* steps that an object hands to its kernels at once: 20 ms */
#define LW_G722_LANES 32   /* channels in one group of a batch */

/* The scale factor: limits of its logarithm, its value after a reset, the place of the binary point (shift of the
 * mantissa) and, the same thing, where a band begins in the table of all of them. */
#define LW_G722_LOW_TOP 18432
#define LW_G722_HIGH_TOP 22528
#define LW_G722_LOW_SCALE 32
#define LW_G722_HIGH_SCALE 8
#define LW_G722_LOW_SHIFT 11
#define LW_G722_HIGH_SHIFT 13
#define LW_G722_LOW_BASE 64
#define LW_G722_HIGH_BASE 0

/* The adaptation's quantiser of the lower band has eight magnitudes, m = 0..7. */
extern const int16_t lw_g722_low_level[8];    /* OQ4, Q15 of the scale factor */
extern const int16_t lw_g722_low_step[8];     /* WL, what m adds to the log scale factor */
extern const int16_t lw_g722_thresholds[31];  /* Q6, Q12 of the scale factor; the last is out of reach */
extern const int16_t lw_g722_mantissa[32];    /* 8 x 2048 x 2^(k / 32) */
extern const int16_t lw_g722_scales[353];     /* 2 x 4 x 2^(k / 32), as 16 bits have it: by base + nb / 64 */
/* The filter's even coefficients, which backwards are the odd ones. Here, so that kernels have them as constants. */
static const int16_t lw_g722_qmf[12] = {3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11};
#define LW_G722_HIGH_INNER 1616
#define LW_G722_HIGH_OUTER 7408
#define LW_G722_HIGH_THRESHOLD 564
#define LW_G722_HIGH_STEP_INNER (-214)
#define LW_G722_HIGH_STEP_OUTER 798

typedef struct lw_g722_band {
    int16_t d[8];  /* 2 x quantised difference, oldest first; the last two are padding */
    int16_t b[8];  /* zero section, Q15; the last two stay 0 */
    int16_t a1, a2; /* pole section, Q15 */
    int16_t r;     /* 2 x the last reconstructed value, saturated */
    int16_t p1, p2; /* signs (0 or -1) of the last two partial reconstructions */
    int16_t s, sz; /* prediction; its zero section's part */
    int16_t nb;    /* log scale factor, 2048 an octave */
    int16_t det;   /* scale factor */
} lw_g722_band;

typedef struct lw_g722_state {
    lw_g722_band low, high;
} lw_g722_state;

/* The same, a row of channels for each number. */
typedef struct lw_g722_band_lanes {
    int16_t d[LW_G722_TAPS][LW_G722_LANES], b[LW_G722_TAPS][LW_G722_LANES];
    int16_t a1[LW_G722_LANES], a2[LW_G722_LANES], r[LW_G722_LANES], p1[LW_G722_LANES], p2[LW_G722_LANES];
    int16_t s[LW_G722_LANES], sz[LW_G722_LANES], nb[LW_G722_LANES], det[LW_G722_LANES];
} lw_g722_band_lanes;

typedef struct lw_g722_lanes {
    lw_g722_band_lanes low, high;
} __attribute__((aligned(64))) lw_g722_lanes;

#endif
