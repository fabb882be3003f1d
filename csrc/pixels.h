/* What the pixel kernels and those who call them share. */
#ifndef LW_PIXELS_H
#define LW_PIXELS_H

#include <stddef.h>
#include <stdint.h>

/* Sprite planes may be read this many bytes past the last pixel that a kernel is asked for. */
#define LW_PIXEL_PAD 64

/* RGB to Y, U or V: coefficients in Q14, each split into hi * 128 + lo with |lo| <= 64, so that products of bytes add
 * up in 16 bits. The fourth, alpha's, is 0. */
typedef struct lw_row3 {
    int8_t hi[4], lo[4];
} lw_row3;
typedef struct lw_rgb_matrix {
    lw_row3 y, u, v;
} lw_rgb_matrix;

/* enum lw_matrix, 0 or 1. */
extern const lw_rgb_matrix lw_rgb_matrices[2];

static inline int32_t lw_rgb_dot(const lw_row3 *c, const uint8_t *p)
{
    return 128 * (c->hi[0] * p[0] + c->hi[1] * p[1] + c->hi[2] * p[2]) + c->lo[0] * p[0] + c->lo[1] * p[1] +
           c->lo[2] * p[2];
}

/* One pixel's Y (16..235) and the sum that four pixels' U or V is made of. */
static inline int32_t lw_rgb_luma(const lw_rgb_matrix *m, const uint8_t *p)
{
    return (lw_rgb_dot(&m->y, p) + (16 << 14) + 8192) >> 14;
}

/* x / 255, rounded, for 0 <= x <= 65025. */
static inline int32_t lw_div255(int32_t x)
{
    return ((x + 128) * 257) >> 16;
}

/* Where a row of a turned or scaled sprite is sampled: pixel i at (u + i du, v + i dv), Q16. */
typedef struct lw_warp {
    int32_t u, v, du, dv;
    int32_t pitch;
} lw_warp;

#endif
