/* Composition of an avatar's layers onto I420 frames.
 *
 * A frame remembers what it shows (lw_canvas). Drawing finds, row by row, the part that layers which differ touch, now
 * or before, and redraws that part of the row: from the top layer down it notes what is to be drawn, leaving out what
 * opaque parts of layers above will hide, then draws the notes from the bottom up while the row is in the first
 * cache. All of it is integer, so a frame is the same on every machine. */
#include <string.h>

#include "avatar.h"
#include "dsp.h"

#define MAX_OPEN 8 /* parts of a row that nothing hides yet */
#define MAX_STROKES (LW_MAX_LAYERS * (LW_MAX_RUNS + MAX_OPEN) + MAX_OPEN)

typedef struct stroke {
    int16_t layer; /* -1: the background */
    int16_t solid;
    int32_t x0, x1;
} stroke;

/* One plane kind (luma; U and V) of one frame. */
typedef struct scene {
    lw_placed at[LW_MAX_LAYERS];
    int32_t layers;
    int32_t width, height;
    lw_extent dirty[LW_SIZE_MAX]; /* of each row */
} scene;

/* ---- what a pose shows ---- */

static int64_t along(const int32_t *gain, const lw_pose *pose)
{
    int64_t sum = 0;
    for (int i = 0; i < LW_AXES; i++)
        sum += (int64_t)gain[i] * pose->axis[i];
    return (sum + 16384) >> 15;
}

/* A layer's place along one axis of the frame. What is clamped lies far outside any frame. */
static int32_t place(int32_t at8, const int32_t *gain8, const lw_pose *pose)
{
    return (int32_t)lw_max64(-LW_FARTHEST, lw_min64(at8 + along(gain8, pose), LW_FARTHEST));
}

static lw_canvas pose_canvas(const lw_avatar *a, const lw_pose *pose, int *open)
{
    lw_canvas want = {.valid = 1};
    *open = 0;
    for (int32_t i = 0; i < a->layer_count; i++) {
        const lw_layer *l = &a->layers[i];
        int32_t pick = 0;
        if (l->select == LW_SELECT_MOUTH) {
            pick = lw_avatar_mouth(a, pose);
            *open |= pick != a->rest_mouth;
        } else if (l->select >= 0) {
            pick = (int32_t)(((int64_t)lw_clamp(pose->axis[l->select], 0, 32767) * (l->image_count - 1) + 16384) >> 15);
        }
        want.image[i] = l->first_image + pick;
        want.x8[i] = place(l->x8, l->kx8, pose);
        want.y8[i] = place(l->y8, l->ky8, pose);
        want.angle[i] = (int32_t)(along(l->kangle, pose) & 65535);
    }
    return want;
}

int lw_canvas_same(const lw_canvas *a, const lw_canvas *b)
{
    return a->valid && b->valid && !memcmp(a, b, sizeof *a);
}

static lw_placed placed(const lw_avatar *a, int32_t layer, const lw_canvas *c, int chroma)
{
    const lw_plane *p = &a->sprites[c->image[layer]].plane[chroma];
    const lw_layer *l = &a->layers[layer];
    const int32_t unit = chroma ? 1 : 2; /* eighths of luma are sixteenths of chroma */
    if (!c->angle[layer])
        return lw_place(p, c->x8[layer] * unit, c->y8[layer] * unit);
    int32_t cos_q16, sin_q16;
    lw_turn_q16(c->angle[layer], &cos_q16, &sin_q16);
    return lw_place_turned(p, c->x8[layer] * unit, c->y8[layer] * unit, l->pivot_x8 * unit, l->pivot_y8 * unit,
                           cos_q16, sin_q16);
}

/* ---- rows ---- */

/* The part of each row that has to be redrawn: what a changed layer touches, as it was or as it is; of a turned one up
 * to two pixels more. */
static void add_dirty(lw_extent *rows, int32_t width, int32_t height, const lw_placed *p)
{
    const int32_t y1 = p->y1 < height ? p->y1 : height;
    const lw_band band = lw_placed_band(p);
    for (int32_t y = p->y0 > 0 ? p->y0 : 0; y < y1; y++) {
        lw_extent e = p->turned ? lw_band_extent(&band, y) : lw_placed_extent(p, y);
        e.x0 = e.x0 > 0 ? e.x0 : 0;
        e.x1 = e.x1 < width ? e.x1 : width;
        if (e.x0 < e.x1) {
            rows[y].x0 = e.x0 < rows[y].x0 ? e.x0 : rows[y].x0;
            rows[y].x1 = e.x1 > rows[y].x1 ? e.x1 : rows[y].x1;
        }
    }
}

/* Notes the part of [x0, x1) that is open. */
static int note(stroke *to, int count, const lw_extent *open, int opens, int layer, int solid, int32_t x0, int32_t x1)
{
    for (int k = 0; k < opens; k++) {
        const int32_t from = x0 > open[k].x0 ? x0 : open[k].x0, end = x1 < open[k].x1 ? x1 : open[k].x1;
        if (from < end)
            to[count++] = (stroke){(int16_t)layer, (int16_t)solid, from, end};
    }
    return count;
}

/* Takes [x0, x1) out of the open parts, unless that would make too many of them. */
static int hide(lw_extent *open, int opens, int32_t x0, int32_t x1)
{
    for (int k = 0; k < opens; k++) {
        if (x0 >= open[k].x1 || x1 <= open[k].x0)
            continue;
        if (x0 <= open[k].x0 && x1 >= open[k].x1) {
            open[k--] = open[--opens];
        } else if (x0 > open[k].x0 && x1 < open[k].x1) {
            if (opens < MAX_OPEN) {
                open[opens++] = (lw_extent){x1, open[k].x1};
                open[k].x1 = x0;
            }
        } else if (x0 <= open[k].x0) {
            open[k].x0 = x1;
        } else {
            open[k].x1 = x0;
        }
    }
    return opens;
}

/* What a row is made of, the top layer first. Returns how many strokes. */
static int plan(const scene *s, int32_t y, lw_extent part, stroke *strokes)
{
    lw_extent open[MAX_OPEN] = {part};
    int opens = 1, count = 0;
    for (int32_t i = s->layers - 1; i >= 0 && opens; i--) {
        const lw_placed *at = &s->at[i];
        if (y < at->y0 || y >= at->y1)
            continue;
        if (at->turned) {
            const lw_extent e = lw_placed_extent(at, y);
            count = note(strokes, count, open, opens, i, 0, e.x0, e.x1);
            continue;
        }
        const lw_runs *r = &at->plane->rows[y - at->y];
        for (int k = 0; k < r->count; k++) {
            const int solid = r->solid >> k & 1;
            const int32_t x0 = at->x + r->run[k].x0, x1 = at->x + r->run[k].x1 < at->x1 ? at->x + r->run[k].x1 : at->x1;
            count = note(strokes, count, open, opens, i, solid, x0, x1);
            if (solid)
                opens = hide(open, opens, x0, x1);
        }
    }
    return note(strokes, count, open, opens, -1, 1, part.x0, part.x1);
}

/* Returns the pixels drawn, of one of the `planes`. */
static int paint(const scene *s, uint8_t *const *planes, const uint8_t *const *background, int count)
{
    stroke strokes[MAX_STROKES];
    int pixels = 0;
    for (int32_t y = 0; y < s->height; y++) {
        const lw_extent part = s->dirty[y];
        if (part.x0 >= part.x1)
            continue;
        pixels += part.x1 - part.x0;
        const int n = plan(s, y, part, strokes);
        const size_t line = (size_t)y * s->width;
        uint8_t *const rows[2] = {planes[0] + line, count > 1 ? planes[1] + line : NULL};
        for (int k = n - 1; k >= 0; k--) {
            const stroke *t = &strokes[k];
            if (t->layer >= 0)
                lw_placed_draw(&s->at[t->layer], rows, count, y, t->x0, t->x1, t->solid);
            else
                for (int p = 0; p < count; p++)
                    lw_kernels.copy(rows[p] + t->x0, background[p] + line + t->x0, (size_t)(t->x1 - t->x0));
        }
    }
    return pixels;
}

int lw_avatar_draw(const lw_avatar *a, const lw_pose *pose, uint8_t *i420, lw_canvas *canvas, int *mouth_open)
{
    if (!a || !pose || !i420 || !canvas)
        return LW_EINVAL;
    int open, pixels = 0;
    const lw_canvas want = pose_canvas(a, pose, &open);
    const size_t luma = (size_t)a->width * a->height, quarter = luma / 4;
    uint8_t *const planes[3] = {i420, i420 + luma, i420 + luma + quarter};
    const uint8_t *const back[3] = {a->background, a->background + luma, a->background + luma + quarter};
    if (mouth_open)
        *mouth_open = open;
    if (lw_canvas_same(&want, canvas))
        return 0;
    for (int chroma = 0; chroma < 2; chroma++) {
        scene s;
        s.layers = a->layer_count;
        s.width = a->width >> chroma;
        s.height = a->height >> chroma;
        for (int32_t y = 0; y < s.height; y++)
            s.dirty[y] = canvas->valid ? (lw_extent){s.width, 0} : (lw_extent){0, s.width};
        for (int32_t i = 0; i < a->layer_count; i++) {
            s.at[i] = placed(a, i, &want, chroma);
            if (canvas->valid && (want.image[i] != canvas->image[i] || want.x8[i] != canvas->x8[i] ||
                                  want.y8[i] != canvas->y8[i] || want.angle[i] != canvas->angle[i])) {
                const lw_placed before = placed(a, i, canvas, chroma);
                add_dirty(s.dirty, s.width, s.height, &before);
                add_dirty(s.dirty, s.width, s.height, &s.at[i]);
            }
        }
        const int drawn = paint(&s, planes + chroma, back + chroma, 1 + chroma);
        pixels += chroma ? 0 : drawn;
    }
    *canvas = want;
    return pixels;
}
