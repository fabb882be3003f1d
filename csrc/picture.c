/* Whole pictures and sprites: conversion, scaling, chroma key, and sprites drawn one at a time. */
#include <stdlib.h>
#include <string.h>

#include "dsp.h"
#include "sprite.h"

struct lw_sprite {
    lw_sprite_data data;
    int32_t width, height;
    size_t bytes;
};

int lw_size_check(int32_t width, int32_t height)
{
    int fits = width >= LW_SIZE_MIN && width <= LW_SIZE_MAX && height >= LW_SIZE_MIN && height <= LW_SIZE_MAX;
    return fits && !(width & 1) && !(height & 1) ? 0 : LW_EINVAL;
}

static int bad_picture(const lw_picture *p)
{
    return !p || !p->i420 || lw_size_check(p->width, p->height);
}

static int bad_image(const lw_image *image)
{
    return !image || !image->rgba || image->width < 1 || image->width > LW_IMAGE_MAX || image->height < 1 ||
           image->height > LW_IMAGE_MAX;
}

static int bad_matrix(int32_t matrix)
{
    return matrix != LW_BT709 && matrix != LW_BT601;
}

static uint8_t *plane_of(const lw_picture *p, int k)
{
    const size_t luma = (size_t)p->width * p->height;
    return p->i420 + (k ? luma : 0) + (k == 2 ? luma / 4 : 0);
}

/* ---- colour ---- */

int lw_picture_from_rgba(const lw_picture *to, const lw_image *image, int32_t matrix)
{
    if (bad_picture(to) || bad_image(image) || bad_matrix(matrix) || image->width != to->width ||
        image->height != to->height)
        return LW_EINVAL;
    const size_t w = (size_t)to->width, h = (size_t)to->height;
    const lw_rgb_matrix *m = &lw_rgb_matrices[matrix];
    uint8_t *y = to->i420, *u = plane_of(to, 1), *v = plane_of(to, 2);
    for (size_t i = 0; i < h; i += 2, y += 2 * w, u += w / 2, v += w / 2) {
        const uint8_t *top = image->rgba + 4 * w * i, *below = top + 4 * w;
        lw_kernels.rgba_luma(y, top, w, m);
        lw_kernels.rgba_luma(y + w, below, w, m);
        lw_kernels.rgba_chroma(u, v, top, below, w / 2, m);
    }
    return 0;
}

int lw_picture_fill(const lw_picture *to, uint8_t r, uint8_t g, uint8_t b, int32_t matrix)
{
    if (bad_picture(to) || bad_matrix(matrix))
        return LW_EINVAL;
    const uint8_t two[8] = {r, g, b, 0, r, g, b, 0};
    const size_t luma = (size_t)to->width * to->height;
    uint8_t u, v;
    lw_rgba_chroma_c(&u, &v, two, two, 1, &lw_rgb_matrices[matrix]);
    memset(to->i420, lw_rgb_luma(&lw_rgb_matrices[matrix], two), luma);
    memset(plane_of(to, 1), u, luma / 4);
    memset(plane_of(to, 2), v, luma / 4);
    return 0;
}

int lw_picture_to_rgb(const lw_picture *from, uint8_t *rgb, int32_t matrix)
{
    /* The inverse in Q14: Y by 255 / 219; V to R, U and V to G, U to B. */
    static const int32_t inverse[2][4] = {{29372, -3494, -8731, 34610}, {26149, -6419, -13320, 33050}};
    if (bad_picture(from) || !rgb || bad_matrix(matrix))
        return LW_EINVAL;
    const int32_t *c = inverse[matrix], w = from->width, h = from->height;
    for (int32_t y = 0; y < h; y++) {
        const uint8_t *luma = from->i420 + (size_t)y * w;
        const size_t line = (size_t)(y / 2) * (w / 2);
        const uint8_t *u = plane_of(from, 1) + line, *v = plane_of(from, 2) + line;
        for (int32_t x = 0; x < w; x++, rgb += 3) {
            const int32_t l = (luma[x] - 16) * 19077 + 8192, cb = u[x / 2] - 128, cr = v[x / 2] - 128;
            rgb[0] = (uint8_t)lw_clamp((l + c[0] * cr) >> 14, 0, 255);
            rgb[1] = (uint8_t)lw_clamp((l + c[1] * cb + c[2] * cr) >> 14, 0, 255);
            rgb[2] = (uint8_t)lw_clamp((l + c[3] * cb) >> 14, 0, 255);
        }
    }
    return 0;
}

/* ---- chroma key ---- */

#define KEY_STEPS (2 * 224 * 224 / 8 + 1)

static uint8_t ramp(int32_t distance, int32_t from, int32_t width)
{
    return (uint8_t)(distance <= from ? 0 : distance >= from + width ? 255 : (distance - from) * 255 / width);
}

int lw_chroma_key(uint8_t *out, const lw_image *image, const lw_key *key)
{
    uint8_t kept[KEY_STEPS], colour[KEY_STEPS]; /* by the squared distance / 8 */
    if (!out || bad_image(image) || !key || bad_matrix(key->matrix) || key->similarity < 0 || key->smoothness < 0 ||
        key->spill < 0 || key->similarity > 8192 || key->smoothness > 8192 || key->spill > 8192)
        return LW_EINVAL;
    const lw_rgb_matrix *m = &lw_rgb_matrices[key->matrix];
    const uint8_t rgb[4] = {key->r, key->g, key->b, 0};
    const int32_t ku = (lw_rgb_dot(&m->u, rgb) + 8192) >> 14, kv = (lw_rgb_dot(&m->v, rgb) + 8192) >> 14;
    for (int32_t i = 0, distance = 0; i < KEY_STEPS; i++) {
        while ((distance + 1) * (distance + 1) <= i * 8 * 256)
            distance++; /* 16ths */
        kept[i] = ramp(distance, key->similarity, key->smoothness);
        colour[i] = ramp(distance, key->similarity, key->spill);
    }
    const size_t n = (size_t)image->width * image->height;
    for (size_t i = 0; i < n; i++) {
        uint8_t p[4]; /* a copy: out may be the image */
        memcpy(p, image->rgba + 4 * i, 4);
        const int32_t du = ((lw_rgb_dot(&m->u, p) + 8192) >> 14) - ku, dv = ((lw_rgb_dot(&m->v, p) + 8192) >> 14) - kv;
        const int32_t at = (du * du + dv * dv) / 8, grey = (lw_rgb_dot(&m->y, p) + 7035) / 14071;
        for (int c = 0; c < 3; c++)
            out[4 * i + c] = (uint8_t)lw_div255(p[c] * colour[at] + grey * (255 - colour[at]));
        out[4 * i + 3] = (uint8_t)lw_div255(p[3] * kept[at]);
    }
    return 0;
}

/* ---- scaling ---- */

/* Where outputs of a line that is scaled sample it: output i at (i + 1/2) from / to - 1/2 - offset, in 128ths. */
static int32_t place128(int32_t i, int32_t from, int32_t to, int32_t offset)
{
    const int64_t q = ((2 * (int64_t)i + 1) * from * 128 + to) / (2 * (int64_t)to); /* rounded */
    return (int32_t)q - 64 - 128 * offset;
}

/* One plane of w x h from one of src_w x src_h, of which columns 0..src_w - 1 may be read, edges repeated. Output
 * (i, j) is at x0 + i, y0 + j of the whole, which is `from` scaled to `to`; the source begins at (sx, sy) of it. */
typedef struct resize {
    int32_t from_w, from_h, to_w, to_h;
    int32_t x0, y0, sx, sy;
} resize;

static void scale_plane(uint8_t *dst, int32_t pitch, int32_t w, int32_t h, const uint8_t *src, int32_t src_pitch,
                        int32_t src_w, int32_t src_h, const resize *r)
{
    uint16_t at[LW_IMAGE_MAX], weight[LW_IMAGE_MAX];
    int16_t lines[2][LW_IMAGE_MAX];
    int32_t held[2] = {-1, -1};
    for (int32_t i = 0; i < w; i++) {
        const int32_t q = lw_clamp(place128(r->x0 + i, r->from_w, r->to_w, r->sx), 0, 128 * (src_w - 1));
        const int32_t x = q >> 7 < src_w - 1 ? q >> 7 : src_w - 2;
        at[i] = (uint16_t)x;
        weight[i] = (uint16_t)((128 - (q - 128 * x)) | (q - 128 * x) << 8);
    }
    for (int32_t j = 0; j < h; j++) {
        const int32_t q = lw_clamp(place128(r->y0 + j, r->from_h, r->to_h, r->sy), 0, 128 * (src_h - 1));
        const int32_t y = q >> 7 < src_h - 1 ? q >> 7 : src_h - 2;
        for (int k = 0; k < 2; k++)
            if (held[(y + k) & 1] != y + k) {
                held[(y + k) & 1] = y + k;
                lw_kernels.scale_row(lines[(y + k) & 1], src + (size_t)(y + k) * src_pitch, (size_t)src_w, at, weight,
                                     (size_t)w);
            }
        lw_kernels.scale_mix(dst + (size_t)j * pitch, lines[y & 1], lines[(y + 1) & 1], q - 128 * y, (size_t)w);
    }
}

static int below_half(int32_t to, int32_t from)
{
    return 2 * to < from;
}

int lw_picture_scale(const lw_picture *to, const lw_picture *from)
{
    if (bad_picture(to) || bad_picture(from) || below_half(to->width, from->width) ||
        below_half(to->height, from->height))
        return LW_EINVAL;
    for (int k = 0; k < 3; k++) {
        const int half = k != 0;
        const resize r = {from->width >> half, from->height >> half, to->width >> half, to->height >> half, 0, 0, 0, 0};
        scale_plane(plane_of(to, k), r.to_w, r.to_w, r.to_h, plane_of(from, k), r.from_w, r.from_w, r.from_h, &r);
    }
    return 0;
}

/* ---- sprites ---- */

static lw_sprite *allocate(const lw_sprite_data *measured, int32_t width, int32_t height)
{
    lw_sprite_data d = *measured;
    lw_arena arena = {0};
    lw_carve(&arena, sizeof(lw_sprite));
    lw_sprite_carve(&d, &arena);
    lw_sprite *s = calloc(1, arena.used);
    if (!s)
        return NULL;
    *s = (lw_sprite){.data = *measured, .width = width, .height = height, .bytes = arena.used};
    arena = (lw_arena){.base = (uint8_t *)s};
    lw_carve(&arena, sizeof(lw_sprite));
    lw_sprite_carve(&s->data, &arena);
    return s;
}

int lw_sprite_open(lw_sprite **out, const lw_image *image, int32_t matrix)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (bad_image(image) || bad_matrix(matrix))
        return LW_EINVAL;
    const lw_sprite_data d = lw_sprite_measure(image);
    lw_sprite *s = allocate(&d, image->width, image->height);
    if (!s)
        return LW_ENOMEM;
    lw_sprite_fill(&s->data, image, &lw_rgb_matrices[matrix]);
    *out = s;
    return 0;
}

int lw_sprite_open_scaled(lw_sprite **out, const lw_sprite *from, int32_t width, int32_t height)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (!from || width < 1 || width > LW_IMAGE_MAX || height < 1 || height > LW_IMAGE_MAX || below_half(width, from->width) ||
        below_half(height, from->height))
        return LW_EINVAL;
    /* What the visible part and a pixel around it become, even, and no larger than the whole. */
    const lw_plane *l = &from->data.plane[0];
    const int64_t w = width, h = height;
    const int32_t x0 = (int32_t)lw_max64(0, (l->x - 1) * w / from->width - 1) & ~1;
    const int32_t y0 = (int32_t)lw_max64(0, (l->y - 1) * h / from->height - 1) & ~1;
    const int32_t x1 = ((int32_t)lw_min64(w, (l->x + l->w + 1) * w / from->width + 2) + 1) & ~1;
    const int32_t y1 = ((int32_t)lw_min64(h, (l->y + l->h + 1) * h / from->height + 2) + 1) & ~1;
    lw_sprite_data d = {0};
    if (l->w) {
        d.plane[0] = (lw_plane){.x = x0, .y = y0, .w = x1 - x0, .h = y1 - y0};
        d.plane[1] = (lw_plane){.x = x0 / 2, .y = y0 / 2, .w = (x1 - x0) / 2, .h = (y1 - y0) / 2};
    }
    lw_sprite *s = allocate(&d, width, height);
    if (!s)
        return LW_ENOMEM;
    for (int k = 0; k < 2; k++) {
        const lw_plane *p = &from->data.plane[k], *q = &s->data.plane[k];
        if (!p->w)
            continue;
        const resize r = {from->width, from->height, width, height, q->x, q->y, p->x - 1, p->y - 1};
        for (int i = 0; i < 2 + k; i++) {
            const uint8_t *src = (i == 0 ? p->alpha : p->value[i - 1]) - p->pitch - 1;
            uint8_t *dst = i == 0 ? q->alpha : q->value[i - 1];
            scale_plane(dst, q->pitch, q->w, q->h, src, p->pitch, p->w + 2, p->h + 2, &r);
        }
        lw_plane_find_runs(&s->data.plane[k]);
    }
    *out = s;
    return 0;
}

int lw_sprite_width(const lw_sprite *s)
{
    return s->width;
}

int lw_sprite_height(const lw_sprite *s)
{
    return s->height;
}

size_t lw_sprite_bytes(const lw_sprite *s)
{
    return s->bytes;
}

void lw_sprite_close(lw_sprite **s)
{
    if (s) {
        free(*s);
        *s = NULL;
    }
}

static void draw(const lw_placed *at, const lw_surface *to, int32_t height)
{
    for (int32_t y = (at->y0 > 0 ? at->y0 : 0), y1 = at->y1 < height ? at->y1 : height; y < y1; y += LW_BAND) {
        lw_box box = {0, y, to->pitch, y + LW_BAND < y1 ? y + LW_BAND : y1};
        lw_run runs[LW_MAX_PIECES];
        const int n = lw_runs_join(runs, lw_placed_runs(at, &box, runs), lw_placed_split(at));
        /* From a cache line of the sprite on, over pixels that show nothing. */
        for (int k = 0; k < n && !at->turned && at->plane->w >= LW_WIDE; k++) {
            const int32_t line = at->x + ((runs[k].x0 - at->x) & ~63), least = k ? runs[k - 1].x1 : 0;
            runs[k].x0 = runs[k].solid || line < least ? runs[k].x0 : line;
        }
        for (int k = 0; k < n; k++) {
            box.x0 = runs[k].x0;
            box.x1 = runs[k].x1;
            lw_placed_draw(at, to, &box, runs[k].solid);
        }
    }
}

/* Its Y, or its U and V. */
static lw_surface surface_of(const lw_picture *p, int chroma)
{
    return (lw_surface){.plane = {plane_of(p, chroma), chroma ? plane_of(p, 2) : NULL},
                        .count = 1 + chroma,
                        .pitch = p->width >> chroma};
}

static int far_away(int32_t x8)
{
    return x8 < -LW_FARTHEST || x8 > LW_FARTHEST;
}

int lw_sprite_blend(const lw_sprite *s, const lw_picture *to, int32_t x8, int32_t y8)
{
    if (!s || bad_picture(to) || far_away(x8) || far_away(y8))
        return LW_EINVAL;
    for (int k = 0; k < 2; k++) {
        const lw_surface there = surface_of(to, k);
        const lw_placed at = lw_place(&s->data.plane[k], x8 * (2 - k), y8 * (2 - k));
        draw(&at, &there, to->height >> k);
    }
    return 0;
}

int lw_sprite_warp(const lw_sprite *s, const lw_picture *to, const lw_turn *turn)
{
    if (!s || bad_picture(to) || !turn || far_away(turn->x8) || far_away(turn->y8) || far_away(turn->pivot_x8) ||
        far_away(turn->pivot_y8) || turn->scale_q16 < 16384 || turn->scale_q16 > 16 * 65536)
        return LW_EINVAL;
    int32_t c, n;
    lw_turn_q16(turn->angle & 65535, &c, &n);
    c = (int32_t)((int64_t)c * 65536 / turn->scale_q16);
    n = (int32_t)((int64_t)n * 65536 / turn->scale_q16);
    for (int k = 0; k < 2; k++) {
        const lw_surface there = surface_of(to, k);
        const lw_placed at = lw_place_turned(&s->data.plane[k], turn->x8 * (2 - k), turn->y8 * (2 - k),
                                             turn->pivot_x8 * (2 - k), turn->pivot_y8 * (2 - k), c, n);
        draw(&at, &there, to->height >> k);
    }
    return 0;
}
