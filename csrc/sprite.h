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

/* Half-open; empty where a side is. */
typedef struct lw_box {
    int32_t x0, y0, x1, y1;
} lw_box;

/* Where a window of rows of a plane has to be drawn: runs of columns that are not all transparent, in ascending order.
 * Bit i of `solid`: all of run i is opaque. Pixel x stands for the samples x - 1 and x of the rows y - 1 and y, so the
 * runs hold for every sub-pixel position: x is 0..w, y is 0..h. */
typedef struct lw_runs {
    uint8_t count, solid;
    struct {
        int16_t x0, x1;
    } run[LW_MAX_RUNS];
} lw_runs;

/* One plane of a sprite, or the two of chroma, trimmed to what is visible, with a transparent border of a pixel. It has
 * windows, or masks; without either all of it counts as visible, and none as opaque. */
typedef struct lw_plane {
    int32_t x, y, w, h; /* where the visible part lies in the image, in this plane's pixels; w = 0: nothing visible */
    int32_t pitch;
    uint8_t *value[2], *alpha;    /* of pixel (0, 0); pixels (-1, -1) to (w, h) may be read */
    lw_runs *windows[LW_WINDOWS]; /* h + 1 each: of rows y to y + (LW_BAND << i) - 1 */
    lw_mask *masks;               /* h: of a plane that is drawn on itself, by columns of 1 << shift pixels */
    int32_t shift;
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

/* Part of a band of a placed sprite, all of it opaque if solid. */
typedef struct lw_run {
    int32_t x0, x1;
    int solid;
} lw_run;

/* The visible part of an image. Sizes a sprite; carve_ gives it memory, fill_ its pixels. */
lw_sprite_data lw_sprite_measure(const lw_image *image);
void lw_sprite_carve(lw_sprite_data *s, lw_arena *arena);
void lw_sprite_fill(lw_sprite_data *s, const lw_image *image, const lw_rgb_matrix *m);
/* Gives a plane of w x h pixels its memory, with `values` values beside alpha; all of it is transparent. */
void lw_plane_carve(lw_plane *p, int values, lw_arena *arena);
/* Finds the runs again, after the pixels were written by hand. */
void lw_plane_find_runs(lw_plane *p);
/* Looks at the box of a plane that has masks, which was drawn on, in rows of a band. */
void lw_plane_look(lw_plane *p, const lw_box *box);
/* 1 where all of the box is opaque, as far as the masks say. */
int lw_plane_covers(const lw_plane *p, const lw_box *box);

/* What is drawn on, of one plane or of U and V: pixel (0, 0) of each, and of the alpha that grows with what is drawn, if
 * it has any. `under` lies below everything, in rows of the same pitch; NULL: nothing does. */
typedef struct lw_surface {
    uint8_t *plane[2], *alpha;
    const uint8_t *under[2];
    int32_t count, pitch;
} lw_surface;

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
/* Narrows a box of at most LW_BAND rows to the rows that it may touch, and says what of these, in ascending order. Returns
 * how many runs: 0 where it touches nothing. */
int lw_placed_runs(const lw_placed *p, lw_box *box, lw_run runs[LW_MAX_PIECES]);
/* Solid runs of fewer pixels become parts of their neighbours: fewer calls, and more pixels for each. Returns how many
 * runs there are then. */
int lw_runs_join(lw_run *runs, int count, int32_t least);
/* How many opaque pixels are worth a piece of their own: more where a piece costs more to begin. */
static inline int32_t lw_placed_split(const lw_placed *p)
{
    return p->turned ? 192 : 64;
}
/* Draws a part of one of these runs, `solid` if the run is. */
void lw_placed_draw(const lw_placed *p, const lw_surface *to, const lw_box *box, int solid);

#endif
