/* Sprites as the compositor keeps them, and the drawing of rows of them. Nothing here is exported. */
#ifndef LW_SPRITE_H
#define LW_SPRITE_H

#include "common.h"
#include "dsp.h"
#include "lipwire/picture.h"
#include "pixels.h"

#define LW_MAX_RUNS 8
#define LW_WIDE 128             /* planes so wide have rows that begin at cache lines */
#define LW_FARTHEST (8 * 65536) /* eighths of a pixel; images are at most 8192 pixels wide or high */

/* Where a row of a plane has to be drawn: runs of pixels that are not all transparent, in ascending order. Bit i of
 * `solid`: all of run i is opaque. Pixel x stands for the samples x - 1 and x of the rows y - 1 and y, so the runs hold
 * for every sub-pixel position: x is 0..w, y is 0..h. */
typedef struct lw_runs {
    uint8_t count, solid;
    struct {
        int16_t x0, x1;
    } run[LW_MAX_RUNS];
} lw_runs;

/* One plane of a sprite, or the two of chroma, trimmed to what is visible, with a transparent border of a pixel. */
typedef struct lw_plane {
    int32_t x, y, w, h; /* where the visible part lies in the image, in this plane's pixels; w = 0: nothing visible */
    int32_t pitch;
    uint8_t *value[2], *alpha; /* of pixel (0, 0); pixels (-1, -1) to (w, h) may be read */
    lw_runs *rows;             /* h + 1 */
} lw_plane;

typedef struct lw_sprite_data {
    lw_plane plane[2]; /* luma, chroma */
} lw_sprite_data;

/* A plane of a sprite somewhere on a plane of a frame. */
typedef struct lw_placed {
    const lw_plane *plane;
    int32_t x, y;           /* where its pixel (0, 0) lies, rounded down */
    int32_t wx, wy;         /* weights of the sample to the right and below, 16ths; 0: on a whole pixel */
    int32_t x0, y0, x1, y1; /* what it may touch */
    int turned;
    int64_t u, v;           /* turned: the sample, Q16, that pixel (0, 0) of the frame shows; */
    int32_t across, down;   /* one pixel to the right adds (across, down), one down (-down, across) */
    double per_across, per_down; /* 1 / across, 1 / down */
} lw_placed;

/* Half-open; empty where x0 >= x1. */
typedef struct lw_extent {
    int32_t x0, x1;
} lw_extent;

/* The visible part of an image. Sizes a sprite; carve_ gives it memory, fill_ its pixels. */
lw_sprite_data lw_sprite_measure(const lw_image *image);
void lw_sprite_carve(lw_sprite_data *s, lw_arena *arena);
void lw_sprite_fill(lw_sprite_data *s, const lw_image *image, const lw_rgb_matrix *m);
/* Finds the runs again, after the pixels were written by hand. */
void lw_plane_find_runs(lw_plane *p);

/* The image's corner at (x16, y16) sixteenths of a pixel of the plane. */
lw_placed lw_place(const lw_plane *p, int32_t x16, int32_t y16);
/* The same, turned clockwise about (px16, py16) of the image by an angle whose cosine and sine, times 65536 / scale,
 * are given. */
lw_placed lw_place_turned(const lw_plane *p, int32_t x16, int32_t y16, int32_t px16, int32_t py16, int32_t cos_q16,
                          int32_t sin_q16);
/* cos and sin of angle / 65536 turns, Q16. */
void lw_turn_q16(int32_t angle, int32_t *cos_q16, int32_t *sin_q16);

/* What it may touch of row y. */
lw_extent lw_placed_extent(const lw_placed *p, int32_t y);
/* The four edges of a turned plane: what it may touch of a row, and up to two pixels more, without divisions. */
typedef struct lw_band {
    double left[2], right[2], step[2]; /* where rows 0 begin and end between either pair of edges, and what a row adds */
    double x0, x1;
} lw_band;
lw_band lw_placed_band(const lw_placed *p);
static inline lw_extent lw_band_extent(const lw_band *b, int32_t y)
{
    double x0 = b->x0, x1 = b->x1;
    for (int k = 0; k < 2; k++) {
        const double left = b->left[k] + y * b->step[k], right = b->right[k] + y * b->step[k];
        x0 = left > x0 ? left : x0;
        x1 = right < x1 ? right : x1;
    }
    return x0 < x1 + 1.0 ? (lw_extent){(int32_t)x0 - 1, (int32_t)x1 + 2} : (lw_extent){0, 0};
}
void lw_placed_draw_turned(const lw_placed *p, uint8_t *const *rows, int count, int32_t y, int32_t x0, int32_t x1);
/* Draws pixels x0..x1 of row y; `rows` are the frame's of Y, or of U and V. They lie within one of the runs, `solid` if
 * it is, or, turned, within the extent. Inline: most rows are a few pixels. */
static inline void lw_placed_draw(const lw_placed *p, uint8_t *const *rows, int count, int32_t y, int32_t x0,
                                  int32_t x1, int solid)
{
    const lw_plane *s = p->plane;
    if (p->turned) {
        lw_placed_draw_turned(p, rows, count, y, x0, x1);
        return;
    }
    const ptrdiff_t at = (ptrdiff_t)(y - p->y - (p->wy != 0)) * s->pitch + x0 - p->x - (p->wx != 0);
    const uint8_t *alpha = s->alpha + at;
    const size_t n = (size_t)(x1 - x0);
    for (int k = 0; k < count; k++) {
        const uint8_t *value = s->value[k] + at;
        uint8_t *row = rows[k] + x0;
        if (!p->wx && !p->wy) {
            if (solid)
                lw_kernels.copy(row, value, n);
            else
                lw_kernels.blend(row, value, alpha, n);
        } else if (solid) {
            lw_kernels.lerp(row, value, s->pitch, p->wx, p->wy, n);
        } else {
            lw_kernels.lerp_blend(row, value, alpha, s->pitch, p->wx, p->wy, n);
        }
    }
}

#endif
