/* Speech made shorter or longer by a period, at the place where it stands. Nothing here is exported. */
#ifndef LW_STRETCH_H
#define LW_STRETCH_H

#include <stdint.h>

/* What is cut or added must be this much alike, or so quiet that it does not matter. */
typedef struct lw_stretch {
    int32_t rate;
    int32_t least, most;   /* samples to cut or add, at least and at most; 0 < least <= most <= rate * 3 / 200 */
    int32_t wanted;        /* in a quiet stretch: exactly so many, at most `most` */
    int32_t likeness_q15;
    int32_t quiet;         /* mean absolute value up to which a stretch is quiet */
} lw_stretch;

/* Cuts something out of x[0..n), right at its beginning; the cross-fade is 10 ms long. n is at least 10 ms + most.
 * Returns how many samples fewer there are now; 0: nothing was alike. */
int32_t lw_shorten(int16_t *x, int32_t n, const lw_stretch *how);
/* Repeats something before x[0..n), which has `most` samples of history before it and room for as many behind. n is at
 * least 10 ms. Returns how many samples more there are now. */
int32_t lw_lengthen(int16_t *x, int32_t n, const lw_stretch *how);

#endif
