/* The head of an avatar.
 *
 * Layers of a head follow its movement by different shares, so they shift against each other by fractions of a pixel, and
 * turn together. They are composed upright, on the pixels of the one that covers most: that one is copied, the others are
 * interpolated at their distance from it, and what stays where it is, is not touched. The whole is drawn on the frame at
 * once: every pixel of it is interpolated there one time, however many layers it is made of. */
#include <stdlib.h>
#include <string.h>

#include "avatar.h"
#include "dsp.h"
#include "scene.h"

#define NEAR 2    /* eighths of a pixel that pivots may be apart */
#define LARGEST 4 /* times a frame's pixels */

struct lw_head {
    const lw_avatar *of;
    size_t bytes;
    lw_canvas shown;
    lw_plane plane[2];
};

/* ---- finding it ---- */

static int64_t reach(const int32_t *gain)
{
    int64_t sum = 1; /* it is rounded */
    for (int i = 0; i < LW_AXES; i++)
        sum += llabs((int64_t)gain[i]);
    return sum;
}

/* It turns, and no pose takes it so far away that its place is clamped. */
static int may_belong(const lw_layer *l)
{
    static const int32_t still[LW_AXES];
    return memcmp(l->kangle, still, sizeof still) && llabs((int64_t)l->x8) + reach(l->kx8) < LW_FARTHEST &&
           llabs((int64_t)l->y8) + reach(l->ky8) < LW_FARTHEST;
}

static int turn_alike(const lw_layer *a, const lw_layer *b)
{
    return may_belong(a) && may_belong(b) && !memcmp(a->kangle, b->kangle, sizeof a->kangle) &&
           llabs((int64_t)a->x8 + a->pivot_x8 - b->x8 - b->pivot_x8) <= NEAR &&
           llabs((int64_t)a->y8 + a->pivot_y8 - b->y8 - b->pivot_y8) <= NEAR;
}

static int64_t opaque_pixels(const lw_plane *p)
{
    int64_t count = 0;
    for (int32_t y = 0; y < p->h; y++)
        for (int32_t x = 0; x < p->w; x++)
            count += p->alpha[(ptrdiff_t)y * p->pitch + x] == 255;
    return count;
}

/* What a layer may touch along one axis, in pixels of the anchor's image, is added to [*from, *to). */
static void add_reach(int32_t *from, int32_t *to, int64_t apart8, const int32_t *gain, const int32_t *anchor, int32_t at,
                      int32_t size)
{
    int32_t between[LW_AXES];
    for (int i = 0; i < LW_AXES; i++)
        between[i] = gain[i] - anchor[i];
    const int64_t far8 = reach(between) + 1;
    const int32_t low = (int32_t)((apart8 - far8) >> 3) + at, high = (int32_t)((apart8 + far8 + 7) >> 3) + at + size;
    *from = low < *from ? low : *from;
    *to = high > *to ? high : *to;
}

static void find_planes(const lw_avatar *a, lw_head_shape *h)
{
    const lw_layer *anchor = &a->layers[h->anchor];
    lw_box b = {INT32_MAX, INT32_MAX, INT32_MIN, INT32_MIN};
    for (int32_t i = h->first; i < h->first + h->count; i++) {
        const lw_layer *l = &a->layers[i];
        for (int32_t k = 0; k < l->image_count; k++) {
            const lw_plane *p = &a->sprites[l->first_image + k].plane[0];
            if (!p->w)
                continue;
            add_reach(&b.x0, &b.x1, (int64_t)l->x8 - anchor->x8, l->kx8, anchor->kx8, p->x, p->w);
            add_reach(&b.y0, &b.y1, (int64_t)l->y8 - anchor->y8, l->ky8, anchor->ky8, p->y, p->h);
        }
    }
    /* Interpolated chroma reaches two pixels of luma farther. */
    const int32_t x = (b.x0 - 2) & ~1, y = (b.y0 - 2) & ~1, w = ((b.x1 + 3) & ~1) - x, h0 = ((b.y1 + 3) & ~1) - y;
    for (int k = 0; k < 2; k++) {
        lw_plane *p = &h->plane[k];
        *p = (lw_plane){.x = x / (1 + k), .y = y / (1 + k), .w = w / (1 + k), .h = h0 / (1 + k), .shift = 3};
        while ((p->w - 1) >> p->shift > 63)
            p->shift++;
    }
}

lw_head_shape lw_head_find(const lw_avatar *a)
{
    lw_head_shape h = {0};
    for (int32_t i = 0, n; i < a->layer_count; i += n) {
        for (n = 1; i + n < a->layer_count && turn_alike(&a->layers[i], &a->layers[i + n]);)
            n++;
        if (n > 1 && n > h.count)
            h = (lw_head_shape){.first = i, .count = n};
    }
    int64_t most = 0;
    for (int32_t i = h.first; i < h.first + h.count; i++) {
        const int64_t count = opaque_pixels(&a->sprites[a->layers[i].first_image].plane[0]);
        if (count > most)
            most = count, h.anchor = i;
    }
    if (!most)
        return (lw_head_shape){0};
    find_planes(a, &h);
    const lw_plane *p = &h.plane[0];
    if (p->w > LW_SIZE_MAX || p->h > LW_SIZE_MAX ||
        (int64_t)p->w * p->h > (int64_t)LARGEST * a->width * a->height)
        return (lw_head_shape){0};
    return h;
}

int lw_head_has(const lw_avatar *a, int32_t layer)
{
    return layer >= a->head.first && layer < a->head.first + a->head.count;
}

/* ---- its memory ---- */

static void layout(lw_head *h, const lw_head_shape *shape, lw_arena *arena)
{
    for (int k = 0; k < 2; k++) {
        lw_plane *p = &h->plane[k];
        *p = shape->plane[k];
        lw_plane_carve(p, 1 + k, arena);
        p->masks = lw_carve(arena, (size_t)p->h * sizeof(lw_mask));
    }
}

int lw_head_open(lw_head **out, const lw_avatar *a)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!a)
        return LW_EINVAL;
    if (!a->head.count)
        return 0;
    lw_head want = {.of = a};
    lw_arena arena = {0};
    lw_carve(&arena, sizeof want);
    layout(&want, &a->head, &arena);
    lw_head *h = lw_pages_open(arena.used);
    if (!h)
        return LW_ENOMEM;
    *h = want;
    h->bytes = arena.used;
    arena = (lw_arena){.base = (uint8_t *)h};
    lw_carve(&arena, sizeof want);
    layout(h, &a->head, &arena);
    *out = h;
    return 0;
}

size_t lw_head_bytes(const lw_head *h)
{
    return h ? h->bytes : 0;
}

void lw_head_close(lw_head **h)
{
    if (!h || !*h)
        return;
    lw_pages_close(*h, (*h)->bytes);
    *h = NULL;
}

int lw_head_fits(const lw_head *h, const lw_avatar *a)
{
    return !a->head.count || (h && h->of == a);
}

const lw_plane *lw_head_plane(const lw_head *h, int chroma)
{
    return &h->plane[chroma];
}

/* ---- composing it ---- */

lw_placed lw_head_place(const lw_avatar *a, int32_t layer, const lw_canvas *c, int chroma)
{
    const lw_plane *on = &a->head.plane[chroma];
    const int32_t unit = chroma ? 1 : 2; /* eighths of luma are sixteenths of chroma */
    return lw_place(&a->sprites[c->image[layer]].plane[chroma], (c->x8[layer] - c->x8[a->head.anchor]) * unit - 16 * on->x,
                    (c->y8[layer] - c->y8[a->head.anchor]) * unit - 16 * on->y);
}

int lw_head_differs(const lw_avatar *a, int32_t layer, const lw_canvas *c, const lw_canvas *other)
{
    const int32_t anchor = a->head.anchor;
    return c->image[layer] != other->image[layer] ||
           c->x8[layer] - c->x8[anchor] != other->x8[layer] - other->x8[anchor] ||
           c->y8[layer] - c->y8[anchor] != other->y8[layer] - other->y8[anchor];
}

void lw_head_compose(lw_head *h, const lw_avatar *a, const lw_canvas *want)
{
    const lw_canvas *shown = &h->shown;
    for (int chroma = 0; chroma < 2; chroma++) {
        lw_plane *p = &h->plane[chroma];
        lw_scene s;
        lw_scene_begin(&s, p->w, p->h, !shown->valid);
        for (int32_t i = a->head.first; i < a->head.first + a->head.count; i++) {
            s.at[s.count++] = lw_head_place(a, i, want, chroma);
            if (shown->valid && lw_head_differs(a, i, want, shown)) {
                const lw_placed before = lw_head_place(a, i, shown, chroma);
                lw_scene_dirty(&s, &before);
                lw_scene_dirty(&s, &s.at[s.count - 1]);
            }
        }
        lw_scene_paint(&s, &(lw_surface){.plane = {p->value[0], p->value[1]}, .alpha = p->alpha, .count = 1 + chroma,
                                         .pitch = p->pitch}, p);
    }
    h->shown = *want;
}
