/* Composition of an avatar's layers onto I420 frames.
 *
 * A frame remembers what it shows (lw_canvas). What layers that differ touch, now or before, is drawn again. The layers of
 * a head (head.h) are one thing on the frame: their own composition is kept from frame to frame. All of it is integer, so a
 * frame is the same on every machine. */
#include <string.h>

#include "avatar.h"
#include "scene.h"

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

/* Layers of a head lie at a distance from its anchor that is rounded by itself, so that it seldom changes. */
static int32_t beside(int32_t anchor, int32_t apart8, const int32_t *gain8, const int32_t *anchor8, const lw_pose *pose)
{
    int32_t between[LW_AXES];
    for (int i = 0; i < LW_AXES; i++)
        between[i] = gain8[i] - anchor8[i];
    return anchor + apart8 + (int32_t)along(between, pose);
}

static lw_canvas pose_canvas(const lw_avatar *a, const lw_pose *pose, int *open)
{
    const lw_layer *anchor = &a->layers[a->head.anchor];
    lw_canvas want = {.valid = 1};
    int32_t x8 = 0, y8 = 0;
    if (a->head.count) {
        x8 = place(anchor->x8, anchor->kx8, pose);
        y8 = place(anchor->y8, anchor->ky8, pose);
    }
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
        want.angle[i] = (int32_t)(along(l->kangle, pose) & 65535);
        if (lw_head_has(a, i)) {
            want.x8[i] = beside(x8, l->x8 - anchor->x8, l->kx8, anchor->kx8, pose);
            want.y8[i] = beside(y8, l->y8 - anchor->y8, l->ky8, anchor->ky8, pose);
        } else {
            want.x8[i] = place(l->x8, l->kx8, pose);
            want.y8[i] = place(l->y8, l->ky8, pose);
        }
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

/* Plane p of a layer on the frame. */
static lw_placed placed(const lw_avatar *a, int32_t layer, const lw_plane *p, const lw_canvas *c, int chroma, turn *t)
{
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

/* ---- what differs ---- */

static int moved(const lw_canvas *c, const lw_canvas *before, int32_t layer)
{
    return c->x8[layer] != before->x8[layer] || c->y8[layer] != before->y8[layer] ||
           c->angle[layer] != before->angle[layer];
}

/* 1 where the head is one thing on the frame; upright, its layers are drawn one by one. */
static int turned(const lw_avatar *a, const lw_canvas *c)
{
    return a->head.count && c->angle[a->head.anchor];
}

/* One drawing. */
typedef struct drawing {
    const lw_avatar *a;
    const lw_canvas *want, *shown;
    const lw_head *head;
    turn now, then;
} drawing;

static void add_layer(drawing *d, lw_scene *s, int32_t layer, int chroma)
{
    const lw_sprite_data *sprites = d->a->sprites;
    const lw_canvas *want = d->want, *shown = d->shown;
    const lw_placed at = placed(d->a, layer, &sprites[want->image[layer]].plane[chroma], want, chroma, &d->now);
    s->at[s->count++] = at;
    if (!shown->valid || (want->image[layer] == shown->image[layer] && !moved(want, shown, layer)) ||
        (lw_head_has(d->a, layer) && turned(d->a, shown)))
        return;
    const lw_placed before = placed(d->a, layer, &sprites[shown->image[layer]].plane[chroma], shown, chroma, &d->then);
    lw_scene_dirty(s, &before);
    lw_scene_dirty(s, &at);
}

/* The part of the head that a layer of it touches. */
static lw_plane part_of(const drawing *d, int32_t layer, const lw_canvas *c, int chroma)
{
    const lw_plane *whole = &d->a->head.plane[chroma];
    const lw_placed at = lw_head_place(d->a, layer, c, chroma);
    return (lw_plane){.x = whole->x + at.x0, .y = whole->y + at.y0, .w = at.x1 - at.x0, .h = at.y1 - at.y0};
}

/* What a head touches that is turned, or was. */
static void add_dirty_head(drawing *d, lw_scene *s, int chroma)
{
    const lw_head_shape *h = &d->a->head;
    if (moved(d->want, d->shown, h->anchor)) {
        const lw_placed before = placed(d->a, h->anchor, &h->plane[chroma], d->shown, chroma, &d->then),
                        after = placed(d->a, h->anchor, &h->plane[chroma], d->want, chroma, &d->now);
        lw_scene_dirty(s, &before);
        lw_scene_dirty(s, &after);
        return;
    }
    for (int32_t i = h->first; i < h->first + h->count; i++)
        for (int k = 0; k < 2 && lw_head_differs(d->a, i, d->want, d->shown); k++) {
            const lw_plane part = part_of(d, i, k ? d->want : d->shown, chroma);
            const lw_placed at = placed(d->a, h->anchor, &part, d->want, chroma, &d->now);
            lw_scene_dirty(s, &at);
        }
}

static void add_head(drawing *d, lw_scene *s, int chroma)
{
    const int32_t anchor = d->a->head.anchor;
    s->at[s->count++] = placed(d->a, anchor, lw_head_plane(d->head, chroma), d->want, chroma, &d->now);
}

static void add_all(drawing *d, lw_scene *s, int chroma)
{
    const lw_avatar *a = d->a;
    const int now = turned(a, d->want), then = d->shown->valid && turned(a, d->shown);
    if (d->shown->valid && (now || then))
        add_dirty_head(d, s, chroma);
    for (int32_t i = 0; i < a->layer_count; i++)
        if (!now || !lw_head_has(a, i))
            add_layer(d, s, i, chroma);
        else if (i == a->head.first)
            add_head(d, s, chroma);
}

int lw_avatar_draw(const lw_avatar *a, const lw_pose *pose, uint8_t *i420, lw_canvas *canvas, lw_head *head,
                   int *mouth_open)
{
    if (!a || !pose || !i420 || !canvas || !lw_head_fits(head, a))
        return LW_EINVAL;
    int open, pixels = 0;
    const lw_canvas want = pose_canvas(a, pose, &open);
    const size_t luma = (size_t)a->width * a->height, quarter = luma / 4;
    if (mouth_open)
        *mouth_open = open;
    if (lw_canvas_same(&want, canvas))
        return 0;
    if (turned(a, &want))
        lw_head_compose(head, a, &want);
    drawing d = {.a = a, .want = &want, .shown = canvas, .head = head};
    for (int chroma = 0; chroma < 2; chroma++) {
        const size_t at = chroma ? luma : 0;
        lw_scene s;
        lw_scene_begin(&s, a->width >> chroma, a->height >> chroma, !canvas->valid);
        add_all(&d, &s, chroma);
        const lw_surface to = {.plane = {i420 + at, i420 + at + quarter},
                               .under = {a->background + at, a->background + at + quarter},
                               .count = 1 + chroma,
                               .pitch = a->width >> chroma};
        const int drawn = lw_scene_paint(&s, &to, NULL);
        pixels += chroma ? 0 : drawn;
    }
    *canvas = want;
    return pixels;
}
