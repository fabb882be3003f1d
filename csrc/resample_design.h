/* What a resampler filters with: designed once for a pair of rates, shared by all of a process. */
#ifndef LW_RESAMPLE_DESIGN_H
#define LW_RESAMPLE_DESIGN_H

#include "dsp.h"

#define LW_FIR_LANE 16 /* taps per group, coarse then fine: what one vector register holds twice */

/* What a pair of rates asks for. */
typedef struct lw_fir_shape {
    int32_t in_rate, out_rate, quality;
    int32_t half;          /* width of the filter in samples of the lower rate, one side */
    int32_t ahead;         /* input samples behind the output's place that its window holds */
    int32_t taps;          /* per phase */
    int32_t phases, step;  /* L, M */
} lw_fir_shape;

/* Rates that differ and are in range. */
lw_fir_shape lw_fir_measure(int32_t in_rate, int32_t out_rate, int32_t quality);
/* 1: `shape` has a table that all of the process share (lw_fir_shared); 0: it needs one of its own (lw_fir_design). */
int lw_fir_is_shared(const lw_fir_shape *shape);
/* The shared table: of a pair of standard rates its own (fir->phases is shape->phases); of any other way up one in which
 * outputs lie between two rows (lw_fir_is_grid). Made by whoever asks first, kept until the process ends; any thread.
 * Returns 0, or LW_ENOMEM. */
int lw_fir_shared(const lw_fir_shape *shape, lw_fir *fir);
/* 1: outputs lie between two rows of the table, row i being the filter of an output i / (phases - 1) of an input sample
 * behind the window's centre; the rows are one more than the steps between them. */
int lw_fir_is_grid(const lw_fir_shape *shape);
/* Designs into `coefs`, lw_fir_bytes of it. */
void lw_fir_design(const lw_fir_shape *shape, int16_t *coefs, lw_fir *fir);
size_t lw_fir_bytes(const lw_fir_shape *shape);

#endif
