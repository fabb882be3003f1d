/* Sprites as the compositor keeps them, and the drawing of rectangles of them. Nothing here is exported. */
#ifndef LW_SPRITE_H
#define LW_SPRITE_H

#include "common.h"
#include "dsp.h"
#include "lipwire/picture.h"
#include "pixels.h"

#define LW_MAX_RUNS 8
#define LW_MAX_PIECES (3 * LW_MAX_RUNS) /* of a turned one: what is solid in all rows, and what is not on both sides */
#define LW_WIDE 128             /* planes so wide have rows that begin at cache lines */
#define LW_FARTHEST (8 * 65536) /* eighths of a pixel; images are at most 8192 pixels wide or high */

/* Sprites are drawn in bands of LW_BAND rows: so many are planned, and drawn by one call of a kernel, at once. A turned
 * sprite's rows in a band are more, so windows of some heights are known: LW_BAND, twice, four times that. */
#define LW_BAND 24
#define LW_WINDOWS 3

/* Where a window of rows of a plane has to be drawn: runs of columns that are not all transparent, in ascending order.
 * Bit i of `solid`: all of run i is opaque. Pixel x stands for the samples x - 1 and x of the rows y - 1 and y, so the
 * runs hold for every sub-pixel position: x is 0..w, y is 0..h. */
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
    uint8_t *value[2], *alpha;    /* of pixel (0, 0); pixels (-1, -1) to (w, h) may be read */
    lw_runs *windows[LW_WINDOWS]; /* h + 1 each: of rows y to y + (LW_BAND << i) - 1 */
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
    int32_t across, down;   /* one pixel to the right adds (across, down), one down (-down, across); */
    double per_across;      /* 1 / across; */
    struct {
        double left, right, step; /* where row 0 begins and ends between either pair of edges, and what a row adds */
    } edge[2];
} lw_placed;

/* Half-open; empty where a side is. */
typedef struct lw_box {
    int32_t x0, y0, x1, y1;
} lw_box;

/* Part of a band of a placed sprite, all of it opaque if solid. */
typedef struct lw_run {
    int32_t x0, x1;
    int solid;
} lw_run;

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

/* The rows of `box` that it may touch, at most LW_BAND of them, and what it may touch of these. */
lw_box lw_placed_box(const lw_placed *p, const lw_box *box);
/* Such a box as runs, in ascending order: within it is drawn only there. Returns how many. */
int lw_placed_runs(const lw_placed *p, const lw_box *box, lw_run runs[LW_MAX_PIECES]);
/* Draws a part of one of these runs, `solid` if the run is; `planes` are the frame's Y, or U and V, of `width`. */
void lw_placed_draw(const lw_placed *p, uint8_t *const *planes, int count, int32_t width, const lw_box *box, int solid);

#endif
