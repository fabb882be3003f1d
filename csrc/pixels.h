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

/* What is left of a pixel under alpha 255 - inverse: their product / 255, rounded: at worst by 0.502, as 128 / 255 may go
 * down. */
static inline int32_t lw_faded(int32_t pixel, int32_t inverse)
{
    const int32_t product = pixel * inverse;
    return (product + (product >> 8) + 128) >> 8;
}

/* Half-open; empty where x0 >= x1. */
typedef struct lw_extent {
    int32_t x0, x1;
} lw_extent;

/* A rectangle of one plane of a frame, or of two (U and V) that share their alpha, and what is drawn there. */
typedef struct lw_patch {
    uint8_t *dst[2];
    const uint8_t *value[2];
    const uint8_t *alpha; /* NULL: all of it is opaque */
    ptrdiff_t dst_pitch, pitch;
    int32_t count, n, rows; /* planes; pixels a row */
} lw_patch;

/* Where the pixels of a patch sample a turned or scaled sprite: pixel i of row j at (u + i du - j dv, v + i dv + j du),
 * Q16. Of row j only the pixels spans[j] are drawn, if there are spans. */
typedef struct lw_warp {
    int32_t u, v, du, dv;
    const lw_extent *spans;
} lw_warp;

/* What a row of alpha shows, by columns of some pixels: bit i of `seen` is set where column i shows anything, of `solid`
 * where all of it is opaque. */
typedef struct lw_mask {
    uint64_t seen, solid;
} lw_mask;

/* A sample's row along a line: pixel `next` is the first of another row, the one below for dv > 0, above for dv < 0. */
typedef struct lw_steps {
    int32_t next, rest, whole, part, size;
} lw_steps;

static inline lw_steps lw_steps_from(int32_t v, int32_t dv)
{
    const int32_t size = dv < 0 ? -dv : dv, f = v & 65535;
    if (!size)
        return (lw_steps){.next = INT32_MAX};
    const int32_t t = (dv < 0 ? f + 1 : 65536 - f) + size - 1; /* divided and rounded up */
    return (lw_steps){.next = t / size, .rest = t % size, .whole = 65536 / size, .part = 65536 % size, .size = size};
}

static inline void lw_steps_on(lw_steps *s)
{
    s->next += s->whole;
    s->rest += s->part;
    if (s->rest >= s->size) {
        s->next++;
        s->rest -= s->size;
    }
}

/* A head that tilts: lines so level that vectors follow a row of the sprite, a pixel for a pixel. */
static inline int lw_warp_is_level(const lw_warp *w)
{
    return w->du >= 65536 - 2048 && w->du <= 65536 + 2048 && w->dv >= -13107 && w->dv <= 13107;
}

/* How many of n pixels from u on lie in columns that follow each other. */
static inline int32_t lw_warp_columns(int32_t u, int32_t du, int32_t n)
{
    const int32_t f = u & 65535, e = du - 65536, last = f + (n - 1) * e;
    if (last < 0)
        return f / -e + 1;
    return last > 65535 ? (65535 - f) / e + 1 : n;
}

#endif
