/* Composition of an avatar's layers onto I420 frames.
 *
 * A frame remembers what it shows (lw_canvas). Drawing finds, band by band of LW_BAND rows, the part that layers which
 * differ touch, now or before, and redraws that part of the band: from the top layer down it notes what is to be drawn,
 * leaving out what opaque parts of layers above will hide, then draws the notes from the bottom up while the band is in
 * the first cache. All of it is integer, so a frame is the same on every machine. */
#include <string.h>

#include "avatar.h"
#include "dsp.h"

#define MAX_OPEN 8 /* parts of a band that nothing hides yet */
#define MAX_STROKES (LW_MAX_LAYERS * (LW_MAX_PIECES + MAX_OPEN) + MAX_OPEN)

typedef struct stroke {
    int16_t layer; /* -1: the background */
    int16_t solid;
    lw_box box;
} stroke;

/* One plane kind (luma; U and V) of one frame. */
typedef struct scene {
    lw_placed at[LW_MAX_LAYERS];
    int32_t layers;
    int32_t width, height;
    lw_box dirty[(LW_SIZE_MAX + LW_BAND - 1) / LW_BAND]; /* of each band */
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

/* An angle's cosine and sine; most layers turn by the same. */
typedef struct turn {
    int32_t angle, cos_q16, sin_q16;
} turn;

static lw_placed placed(const lw_avatar *a, int32_t layer, const lw_canvas *c, int chroma, turn *t)
{
    const lw_plane *p = &a->sprites[c->image[layer]].plane[chroma];
    const lw_layer *l = &a->layers[layer];
    const int32_t unit = chroma ? 1 : 2; /* eighths of luma are sixteenths of chroma */
    if (!c->angle[layer])
        return lw_place(p, c->x8[layer] * unit, c->y8[layer] * unit);
    if (c->angle[layer] != t->angle) {
        t->angle = c->angle[layer];
        lw_turn_q16(t->angle, &t->cos_q16, &t->sin_q16);
    }
    return lw_place_turned(p, c->x8[layer] * unit, c->y8[layer] * unit, l->pivot_x8 * unit, l->pivot_y8 * unit,
                           t->cos_q16, t->sin_q16);
}

/* ---- bands ---- */

static lw_box band_at(const scene *s, int32_t y)
{
    return (lw_box){0, y, s->width, y + LW_BAND < s->height ? y + LW_BAND : s->height};
}

/* The part of each band that has to be redrawn: what a changed layer touches, as it was or as it is. */
static void add_dirty(scene *s, const lw_placed *p)
{
    const int32_t y1 = p->y1 < s->height ? p->y1 : s->height;
    for (int32_t y = (p->y0 > 0 ? p->y0 : 0) / LW_BAND * LW_BAND; y < y1; y += LW_BAND) {
        const lw_box band = band_at(s, y), b = lw_placed_box(p, &band);
        lw_box *d = &s->dirty[y / LW_BAND];
        if (b.x0 >= b.x1)
            continue;
        if (d->x0 >= d->x1) {
            *d = b;
            continue;
        }
        d->x0 = b.x0 < d->x0 ? b.x0 : d->x0;
        d->y0 = b.y0 < d->y0 ? b.y0 : d->y0;
        d->x1 = b.x1 > d->x1 ? b.x1 : d->x1;
        d->y1 = b.y1 > d->y1 ? b.y1 : d->y1;
    }
}

/* Notes the part of the box that is open. */
static int note(stroke *to, int count, const lw_extent *open, int opens, int layer, int solid, const lw_box *box)
{
    for (int k = 0; k < opens; k++) {
        const int32_t x0 = box->x0 > open[k].x0 ? box->x0 : open[k].x0;
        const int32_t x1 = box->x1 < open[k].x1 ? box->x1 : open[k].x1;
        if (x0 < x1)
            to[count++] = (stroke){(int16_t)layer, (int16_t)solid, {x0, box->y0, x1, box->y1}};
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

/* What a part of a band is made of, the top layer first. Returns how many strokes. */
static int plan(const scene *s, const lw_box *part, stroke *strokes)
{
    lw_extent open[MAX_OPEN] = {{part->x0, part->x1}};
    int opens = 1, count = 0;
    for (int32_t i = s->layers - 1; i >= 0 && opens; i--) {
        lw_box box = lw_placed_box(&s->at[i], part);
        if (box.x0 >= box.x1)
            continue;
        const int whole = box.y0 == part->y0 && box.y1 == part->y1;
        lw_run runs[LW_MAX_PIECES], pieces[LW_MAX_PIECES];
        const int n = lw_placed_runs(&s->at[i], &box, runs);
        memcpy(pieces, runs, (size_t)n * sizeof *runs);
        const int drawn = lw_runs_join(pieces, n, lw_placed_split(&s->at[i]));
        for (int k = 0; k < drawn; k++) {
            box.x0 = pieces[k].x0;
            box.x1 = pieces[k].x1;
            count = note(strokes, count, open, opens, i, pieces[k].solid, &box);
        }
        for (int k = 0; k < n && whole; k++)
            if (runs[k].solid)
                opens = hide(open, opens, runs[k].x0, runs[k].x1);
    }
    return note(strokes, count, open, opens, -1, 1, part);
}

static void lay(uint8_t *const *planes, const uint8_t *const *background, int count, int32_t width, const lw_box *box)
{
    const size_t at = (size_t)box->y0 * (size_t)width + (size_t)box->x0;
    lw_patch patch = {.dst_pitch = width,
                      .pitch = width,
                      .count = count,
                      .n = box->x1 - box->x0,
                      .rows = box->y1 - box->y0};
    for (int k = 0; k < count; k++) {
        patch.dst[k] = planes[k] + at;
        patch.value[k] = background[k] + at;
    }
    lw_kernels.blend(&patch);
}

/* Returns the pixels drawn, of one of the `planes`. */
static int paint(const scene *s, uint8_t *const *planes, const uint8_t *const *background, int count)
{
    stroke strokes[MAX_STROKES];
    int pixels = 0;
    for (int32_t band = 0; band * LW_BAND < s->height; band++) {
        const lw_box *part = &s->dirty[band];
        if (part->x0 >= part->x1)
            continue;
        pixels += (part->x1 - part->x0) * (part->y1 - part->y0);
        for (int k = plan(s, part, strokes) - 1; k >= 0; k--) {
            const stroke *t = &strokes[k];
            if (t->layer >= 0)
                lw_placed_draw(&s->at[t->layer], planes, count, s->width, &t->box, t->solid);
            else
                lay(planes, background, count, s->width, &t->box);
        }
    }
    return pixels;
}

int lw_avatar_draw(const lw_avatar *a, const lw_pose *pose, uint8_t *i420, lw_canvas *canvas, int *mouth_open)
{
    if (!a || !pose || !i420 || !canvas)
        return LW_EINVAL;
    int open, pixels = 0;
    turn now = {0}, then = {0};
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
        for (int32_t y = 0; y < s.height; y += LW_BAND)
            s.dirty[y / LW_BAND] = canvas->valid ? (lw_box){0} : band_at(&s, y);
        for (int32_t i = 0; i < a->layer_count; i++) {
            s.at[i] = placed(a, i, &want, chroma, &now);
            if (canvas->valid && (want.image[i] != canvas->image[i] || want.x8[i] != canvas->x8[i] ||
                                  want.y8[i] != canvas->y8[i] || want.angle[i] != canvas->angle[i])) {
                const lw_placed before = placed(a, i, canvas, chroma, &then);
                add_dirty(&s, &before);
                add_dirty(&s, &s.at[i]);
            }
        }
        const int drawn = paint(&s, planes + chroma, back + chroma, 1 + chroma);
        pixels += chroma ? 0 : drawn;
    }
    *canvas = want;
    return pixels;
}
