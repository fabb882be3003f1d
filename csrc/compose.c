/* Avatars and their composition onto I420 frames.
 *
 * Images become premultiplied BT.709 limited-range I420 with alpha at both resolutions, trimmed to what is visible. A
 * layer sits at a position in eighths of a luma pixel, sixteenths of a chroma pixel, and is sampled bilinearly:
 *
 *   sample  = (sum of 4 neighbours * weights(16ths x 16ths) + 128) >> 8
 *   blended = sample + dst * (255 - alpha) / 255, the division rounded exactly
 *
 * all of it integer, so a frame is the same on every machine. Drawing compares what the frame shows with what it
 * should show, and repaints only the bounding rectangles of the layers that differ. */
#include <stdlib.h>
#include <string.h>

#include "common.h"

#define MAX_RECTS 12
#define FARTHEST (8 * 65536) /* eighths of a pixel; images are at most 8192 pixels wide or high */
#define VECTOR 16 /* bytes; rows may be read this far past their end */

/* Of one row: where alpha > 0 begins and ends ((w, 0) if nowhere), and the longest run of alpha 255. */
typedef struct row_span {
    int16_t left, right, solid_left, solid_right;
} row_span;

typedef struct plane_sprite {
    int32_t x, y, w, h; /* where the visible part lies in the image, in this plane's pixels */
    uint8_t *value, *value2, *alpha; /* rows of w + 1 (the last column transparent); value2 is V beside U */
    row_span *rows; /* h + 1 of them */
} plane_sprite;

typedef struct sprite {
    plane_sprite luma, chroma;
} sprite;

struct lw_avatar {
    int32_t width, height;
    int32_t image_count, layer_count, mouth_dims, mouth_count;
    size_t bytes;
    uint8_t *background; /* I420 */
    sprite *sprites;
    lw_layer *layers;
    int16_t *mouth_coords;  /* [mouth_count][mouth_dims] */
    int16_t *viseme_coords; /* [LW_VISEMES][mouth_dims] */
    int32_t rest_mouth;
};

typedef struct rect {
    int32_t x0, y0, x1, y1; /* luma, even */
} rect;

/* ---- loading ---- */

typedef struct yuv {
    int32_t y, u, v;
} yuv;

/* Rec. ITU-R BT.709-6, 8-bit limited range, q16. */
static yuv to_yuv(int32_t r, int32_t g, int32_t b)
{
    yuv out = {.y = (16 << 16) + 11966 * r + 40254 * g + 4064 * b,
               .u = (128 << 16) - 6596 * r - 22189 * g + 28784 * b,
               .v = (128 << 16) + 28784 * r - 26145 * g - 2639 * b};
    out.y = (out.y + 32768) >> 16;
    out.u = lw_clamp((out.u + 32768) >> 16, 16, 240);
    out.v = lw_clamp((out.v + 32768) >> 16, 16, 240);
    return out;
}

/* The box of pixels with alpha > 0, grown to even luma coordinates; an empty image gives an empty box. */
static rect visible(const lw_image *image)
{
    rect r = {image->width, image->height, 0, 0};
    for (int32_t y = 0; y < image->height; y++)
        for (int32_t x = 0; x < image->width; x++)
            if (image->rgba[((size_t)y * image->width + x) * 4 + 3]) {
                r.x0 = x < r.x0 ? x : r.x0;
                r.x1 = x + 1 > r.x1 ? x + 1 : r.x1;
                r.y0 = y < r.y0 ? y : r.y0;
                r.y1 = y + 1;
            }
    if (r.x0 >= r.x1)
        return (rect){0, 0, 0, 0};
    return (rect){r.x0 & ~1, r.y0 & ~1, (r.x1 + 1) & ~1, (r.y1 + 1) & ~1};
}

/* Every plane has a transparent column to the right and row below, so that bilinear taps stay inside. */
static void carve_plane(plane_sprite *p, lw_arena *arena, int planes)
{
    size_t bytes = (size_t)(p->w + 1) * (p->h + 1) + 2 * VECTOR;
    if (!p->w)
        return;
    p->value = lw_carve(arena, bytes);
    if (planes == 2)
        p->value2 = lw_carve(arena, bytes);
    p->alpha = lw_carve(arena, bytes);
    p->rows = lw_carve(arena, (size_t)(p->h + 1) * sizeof(row_span));
}

static void find_spans(plane_sprite *p)
{
    for (int32_t y = 0; p->w && y <= p->h; y++) {
        const uint8_t *alpha = p->alpha + (size_t)y * (p->w + 1);
        row_span span = {.left = (int16_t)p->w};
        int32_t run = 0; /* solid pixels up to and with x */
        for (int32_t x = 0; x < p->w; x++) {
            if (alpha[x]) {
                span.left = x < span.left ? (int16_t)x : span.left;
                span.right = (int16_t)(x + 1);
            }
            run = alpha[x] == 255 ? run + 1 : 0;
            if (run > span.solid_right - span.solid_left) {
                span.solid_left = (int16_t)(x + 1 - run);
                span.solid_right = (int16_t)(x + 1);
            }
        }
        p->rows[y] = span;
    }
}

static sprite measure(const lw_image *image)
{
    rect r = visible(image);
    return (sprite){.luma = {.x = r.x0, .y = r.y0, .w = r.x1 - r.x0, .h = r.y1 - r.y0},
                    .chroma = {.x = r.x0 / 2, .y = r.y0 / 2, .w = (r.x1 - r.x0) / 2, .h = (r.y1 - r.y0) / 2}};
}

static uint8_t premultiply(int32_t value, int32_t alpha)
{
    return (uint8_t)((value * alpha + 127) / 255);
}

static void fill(sprite *s, const lw_image *image)
{
    const plane_sprite *l = &s->luma, *c = &s->chroma;
    for (int32_t y = 0; y < l->h; y++)
        for (int32_t x = 0; x < l->w; x++) {
            int32_t ix = x + l->x, iy = y + l->y;
            if (ix >= image->width || iy >= image->height)
                continue;
            const uint8_t *p = image->rgba + ((size_t)iy * image->width + ix) * 4;
            size_t at = (size_t)y * (l->w + 1) + x;
            l->value[at] = premultiply(to_yuv(p[0], p[1], p[2]).y, p[3]);
            l->alpha[at] = p[3];
        }
    for (int32_t y = 0; y < c->h; y++)
        for (int32_t x = 0; x < c->w; x++) {
            int32_t u = 0, v = 0, a = 0;
            for (int k = 0; k < 4; k++) {
                int32_t ix = 2 * (x + c->x) + (k & 1), iy = 2 * (y + c->y) + (k >> 1);
                if (ix >= image->width || iy >= image->height)
                    continue;
                const uint8_t *p = image->rgba + ((size_t)iy * image->width + ix) * 4;
                yuv colour = to_yuv(p[0], p[1], p[2]);
                u += colour.u * p[3];
                v += colour.v * p[3];
                a += p[3];
            }
            size_t at = (size_t)y * (c->w + 1) + x;
            c->value[at] = (uint8_t)((u + 510) / 1020);
            c->value2[at] = (uint8_t)((v + 510) / 1020);
            c->alpha[at] = (uint8_t)((a + 2) / 4);
        }
    find_spans(&s->luma);
    find_spans(&s->chroma);
}

static void fill_background(lw_avatar *a, const lw_image *image)
{
    int32_t w = a->width, h = a->height;
    uint8_t *u = a->background + (size_t)w * h, *v = u + (size_t)w * h / 4;
    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++) {
            const uint8_t *p = image->rgba + ((size_t)y * w + x) * 4;
            a->background[(size_t)y * w + x] = (uint8_t)to_yuv(p[0], p[1], p[2]).y;
        }
    for (int32_t y = 0; y < h / 2; y++)
        for (int32_t x = 0; x < w / 2; x++) {
            int32_t rgb[3] = {2, 2, 2};
            for (int k = 0; k < 4; k++) {
                const uint8_t *p = image->rgba + ((size_t)(2 * y + (k >> 1)) * w + 2 * x + (k & 1)) * 4;
                for (int c = 0; c < 3; c++)
                    rgb[c] += p[c];
            }
            yuv colour = to_yuv(rgb[0] / 4, rgb[1] / 4, rgb[2] / 4);
            u[(size_t)y * (w / 2) + x] = (uint8_t)colour.u;
            v[(size_t)y * (w / 2) + x] = (uint8_t)colour.v;
        }
}

static int bad_config(const lw_avatar_config *c)
{
    if (!c || c->width < 16 || c->width > 4096 || c->height < 16 || c->height > 4096 || (c->width & 1) ||
        (c->height & 1) || !c->images || c->image_count < 1 || c->image_count > 65536 || c->layer_count < 0 ||
        c->layer_count > LW_MAX_LAYERS || (c->layer_count && !c->layers))
        return 1;
    for (int32_t i = 0; i < c->image_count; i++)
        if (!c->images[i].rgba || c->images[i].width < 1 || c->images[i].height < 1 || c->images[i].width > 8192 ||
            c->images[i].height > 8192)
            return 1;
    if (c->images[0].width != c->width || c->images[0].height != c->height)
        return 1;
    if (c->mouth_coords && (c->mouth_dims < 1 || c->mouth_dims > LW_MOUTH_DIMS || c->mouth_count < 1 ||
                            c->mouth_count > c->image_count || !c->viseme_coords))
        return 1;
    for (int32_t i = 0; i < c->layer_count; i++) {
        const lw_layer *l = &c->layers[i];
        if (l->first_image < 0 || l->image_count < 1 || l->image_count > c->image_count - l->first_image ||
            l->select < LW_SELECT_MOUTH || l->select >= LW_AXES)
            return 1;
        for (int32_t k = 1; k < l->image_count; k++)
            if (c->images[l->first_image + k].width != c->images[l->first_image].width ||
                c->images[l->first_image + k].height != c->images[l->first_image].height)
                return 1;
        if (l->select == LW_SELECT_MOUTH &&
            (!c->mouth_coords || l->image_count != c->mouth_count))
            return 1;
    }
    return 0;
}

static void layout(lw_avatar *a, lw_arena *arena)
{
    a->sprites = lw_carve(arena, (size_t)a->image_count * sizeof(sprite));
    a->layers = lw_carve(arena, (size_t)a->layer_count * sizeof(lw_layer));
    a->mouth_coords = lw_carve(arena, (size_t)a->mouth_count * a->mouth_dims * sizeof(int16_t));
    a->viseme_coords = lw_carve(arena, (size_t)LW_VISEMES * a->mouth_dims * sizeof(int16_t));
    a->background = lw_carve(arena, (size_t)a->width * a->height * 3 / 2);
}

static int32_t nearest_mouth(const lw_avatar *a, const int32_t *point)
{
    int32_t best = 0;
    int64_t best_distance = INT64_MAX;
    for (int32_t i = 0; i < a->mouth_count; i++) {
        int64_t distance = 0;
        for (int32_t d = 0; d < a->mouth_dims; d++) {
            int64_t e = point[d] - a->mouth_coords[i * a->mouth_dims + d];
            distance += e * e;
        }
        if (distance < best_distance)
            best = i, best_distance = distance;
    }
    return best;
}

static int32_t mouth_image(const lw_avatar *a, const lw_pose *pose)
{
    int32_t point[LW_MOUTH_DIMS], rest = 32767;
    int64_t sum[LW_MOUTH_DIMS] = {0};
    for (int i = 0; i < LW_VISEMES; i++) {
        rest -= pose->viseme[i];
        for (int32_t d = 0; d < a->mouth_dims; d++)
            sum[d] += (int32_t)pose->viseme[i] * a->viseme_coords[i * a->mouth_dims + d];
    }
    for (int32_t d = 0; d < a->mouth_dims; d++)
        point[d] = (int32_t)((sum[d] + (int64_t)(rest > 0 ? rest : 0) * a->viseme_coords[d]) >> 15);
    return nearest_mouth(a, point);
}

int lw_avatar_open(lw_avatar **out, const lw_avatar_config *config)
{
    if (!out)
        return LW_EINVAL;
    *out = NULL;
    if (bad_config(config))
        return LW_EINVAL;
    int has_mouth = config->mouth_coords != NULL;
    lw_avatar want = {.width = config->width,
                      .height = config->height,
                      .image_count = config->image_count,
                      .layer_count = config->layer_count,
                      .mouth_dims = has_mouth ? config->mouth_dims : 0,
                      .mouth_count = has_mouth ? config->mouth_count : 0};
    lw_arena arena = {0};
    lw_carve(&arena, sizeof want);
    layout(&want, &arena);
    for (int32_t i = 1; i < config->image_count; i++) {
        sprite s = measure(&config->images[i]);
        carve_plane(&s.luma, &arena, 1);
        carve_plane(&s.chroma, &arena, 2);
    }
    lw_avatar *a = calloc(1, arena.used);
    if (!a)
        return LW_ENOMEM;
    *a = want;
    a->bytes = arena.used;
    arena = (lw_arena){.base = (uint8_t *)a};
    lw_carve(&arena, sizeof want);
    layout(a, &arena);
    for (int32_t i = 1; i < a->image_count; i++) {
        a->sprites[i] = measure(&config->images[i]);
        carve_plane(&a->sprites[i].luma, &arena, 1);
        carve_plane(&a->sprites[i].chroma, &arena, 2);
        fill(&a->sprites[i], &config->images[i]);
    }
    fill_background(a, &config->images[0]);
    if (a->layer_count)
        memcpy(a->layers, config->layers, (size_t)a->layer_count * sizeof(lw_layer));
    if (has_mouth) {
        memcpy(a->mouth_coords, config->mouth_coords, (size_t)a->mouth_count * a->mouth_dims * sizeof(int16_t));
        memcpy(a->viseme_coords, config->viseme_coords, (size_t)LW_VISEMES * a->mouth_dims * sizeof(int16_t));
        lw_pose rest = {0};
        a->rest_mouth = mouth_image(a, &rest);
    }
    *out = a;
    return 0;
}

int lw_avatar_width(const lw_avatar *a)
{
    return a->width;
}

int lw_avatar_height(const lw_avatar *a)
{
    return a->height;
}

size_t lw_avatar_bytes(const lw_avatar *a)
{
    return a->bytes;
}

void lw_avatar_close(lw_avatar **a)
{
    if (a) {
        free(*a);
        *a = NULL;
    }
}

/* ---- rows ---- */

/* out[i] = the bilinear sample at i + fx/16 between two rows of n + 1 pixels, fy/16 of the way down. */
static void lerp_row(uint8_t *restrict out, const uint8_t *restrict top, const uint8_t *restrict below, int fx, int fy,
                     int n)
{
    uint16_t a = (uint16_t)((16 - fx) * (16 - fy)), b = (uint16_t)(fx * (16 - fy)), c = (uint16_t)((16 - fx) * fy),
             d = (uint16_t)(fx * fy);
    for (int i = 0; i < n; i++)
        out[i] = (uint8_t)((uint16_t)(top[i] * a + top[i + 1] * b + below[i] * c + below[i + 1] * d + 128) >> 8);
}

/* dst = src + dst * (255 - alpha) / 255, rounded. (x * 257 + 32896) >> 16 is x / 255 rounded for x <= 65025; in
 * 16 bits: t = x + 128; (t + (t >> 8)) >> 8. */
static void blend_row(uint8_t *restrict dst, const uint8_t *restrict src, const uint8_t *restrict alpha, int n)
{
    for (int i = 0; i < n; i++) {
        uint16_t t = (uint16_t)(dst[i] * (255 - alpha[i]) + 128);
        uint16_t sum = (uint16_t)(src[i] + ((uint16_t)(t + (t >> 8)) >> 8));
        dst[i] = (uint8_t)(sum > 255 ? 255 : sum);
    }
}

/* ---- planes ---- */

static int32_t floor_div(int32_t x, int32_t shift)
{
    return x >> shift; /* arithmetic on every compiler we build with */
}

/* The two rows of a sprite plane that meet in a row of the frame, and how. Sub-pixel positions sample up to one pixel
 * left of and above the sprite, where it is transparent. */
typedef struct taps {
    const uint8_t *v0, *v1, *a0, *a1;
    int shift; /* 1: a horizontal sub-pixel position; pixel x of the frame then samples sx - 1 and sx */
    int wx, wy;
} taps;

/* Draws n pixels whose samples begin at sx (-1 where shifted to before the first column). Most runs are the few pixels
 * of an edge: rows are worked on in whole vectors, in a buffer, so that they never fall to the scalar tail. */
static void draw_soft(uint8_t *out, const taps *t, int32_t sx, int n)
{
    _Alignas(64) uint8_t value[4096 + 64], alpha[4096 + 64], under[4096 + 64];
    if (n <= 0)
        return;
    int whole = (n + VECTOR - 1) & -VECTOR;
    const uint8_t *v = t->v0 + sx, *a = t->a0 + sx;
    if (t->shift || t->wy) {
        int k = sx < 0;
        lerp_row(value + k, v + k, t->v1 + sx + k, t->wx, t->wy, whole);
        lerp_row(alpha + k, a + k, t->a1 + sx + k, t->wx, t->wy, whole);
        if (k) { /* the column left of the sprite is transparent, the first of the sprite weighs wx */
            value[0] = (uint8_t)(((t->v0[0] * (16 - t->wy) + t->v1[0] * t->wy) * t->wx + 128) >> 8);
            alpha[0] = (uint8_t)(((t->a0[0] * (16 - t->wy) + t->a1[0] * t->wy) * t->wx + 128) >> 8);
        }
        v = value;
        a = alpha;
    }
    memcpy(under, out, (size_t)n);
    blend_row(under, v, a, whole);
    memcpy(out, under, (size_t)n);
}

/* The same where every sample is opaque. */
static void draw_solid(uint8_t *out, const taps *t, int32_t sx, int n)
{
    if (n <= 0)
        return;
    if (!t->shift && !t->wy)
        memcpy(out, t->v0 + sx, (size_t)n);
    else
        lerp_row(out, t->v0 + sx, t->v1 + sx, t->wx, t->wy, n);
}

/* Draws one plane of a sprite whose image lies at (x16, y16) sixteenths of a pixel, clipped to a rectangle. */
static void draw_plane(uint8_t *dst, int32_t stride, const plane_sprite *s, const uint8_t *value, int32_t x16,
                       int32_t y16, const rect *clip)
{
    if (!s->w)
        return;
    /* dst pixel X takes source X - (x16 / 16): with x16 = 16 q + f, 0 <= f < 16, that is X - q - 1 + (16 - f) / 16. */
    int32_t qx = floor_div(x16, 4) + s->x, qy = floor_div(y16, 4) + s->y;
    int shift_x = (x16 & 15) != 0, shift_y = (y16 & 15) != 0;
    taps t = {.shift = shift_x, .wx = shift_x ? 16 - (x16 & 15) : 0, .wy = shift_y ? 16 - (y16 & 15) : 0};
    int32_t y0 = qy > clip->y0 ? qy : clip->y0, y1 = qy + s->h + shift_y;
    y1 = y1 < clip->y1 ? y1 : clip->y1;
    int32_t pitch = s->w + 1;
    static const uint8_t none[8192 + 4 * VECTOR];
    for (int32_t y = y0; y < y1; y++) {
        /* The upper row may be the transparent one above the sprite, the lower one that below it. Without a vertical
         * shift both are the same. */
        int32_t top = y - qy - shift_y, below = top + shift_y;
        row_span span = s->rows[below];
        if (top < 0) {
            span.solid_right = span.solid_left = 0;
        } else if (shift_y) {
            const row_span *above = &s->rows[top];
            span.left = above->left < span.left ? above->left : span.left;
            span.right = above->right > span.right ? above->right : span.right;
            span.solid_left = above->solid_left > span.solid_left ? above->solid_left : span.solid_left;
            span.solid_right = above->solid_right < span.solid_right ? above->solid_right : span.solid_right;
        }
        t.v0 = top >= 0 ? value + (size_t)top * pitch : none;
        t.a0 = top >= 0 ? s->alpha + (size_t)top * pitch : none;
        t.v1 = value + (size_t)below * pitch;
        t.a1 = s->alpha + (size_t)below * pitch;
        int32_t x0 = lw_clamp(qx + span.left, clip->x0, clip->x1);
        int32_t x1 = lw_clamp(qx + span.right + shift_x, x0, clip->x1);
        /* A shifted pixel is opaque where both of its columns are. */
        int32_t s0 = lw_clamp(qx + span.solid_left + shift_x, x0, x1);
        int32_t s1 = lw_clamp(qx + span.solid_right, s0, x1);
        int32_t to_source = -qx - shift_x;
        uint8_t *row = dst + (size_t)y * stride;
        draw_soft(row + x0, &t, x0 + to_source, s0 - x0);
        draw_solid(row + s0, &t, s0 + to_source, s1 - s0);
        draw_soft(row + s1, &t, s1 + to_source, x1 - s1);
    }
}

static void copy_plane(uint8_t *dst, const uint8_t *src, int32_t stride, const rect *r)
{
    for (int32_t y = r->y0; y < r->y1; y++)
        memcpy(dst + (size_t)y * stride + r->x0, src + (size_t)y * stride + r->x0, (size_t)(r->x1 - r->x0));
}

static void paint(const lw_avatar *a, uint8_t *frame, const lw_canvas *c, const rect *r)
{
    int32_t w = a->width, h = a->height;
    size_t luma = (size_t)w * h, chroma = luma / 4;
    uint8_t *planes[3] = {frame, frame + luma, frame + luma + chroma};
    const uint8_t *back[3] = {a->background, a->background + luma, a->background + luma + chroma};
    rect half = {r->x0 / 2, r->y0 / 2, r->x1 / 2, r->y1 / 2};
    for (int p = 0; p < 3; p++)
        copy_plane(planes[p], back[p], p ? w / 2 : w, p ? &half : r);
    for (int32_t i = 0; i < a->layer_count; i++) {
        const sprite *s = &a->sprites[c->image[i]];
        draw_plane(planes[0], w, &s->luma, s->luma.value, c->x8[i] * 2, c->y8[i] * 2, r);
        draw_plane(planes[1], w / 2, &s->chroma, s->chroma.value, c->x8[i], c->y8[i], &half);
        draw_plane(planes[2], w / 2, &s->chroma, s->chroma.value2, c->x8[i], c->y8[i], &half);
    }
}

/* ---- dirty rectangles ---- */

/* The luma pixels that a layer's image may touch, even, clipped to the frame. */
static rect bounds(const lw_avatar *a, int32_t image, int32_t x8, int32_t y8)
{
    const plane_sprite *s = &a->sprites[image].luma;
    int32_t x = floor_div(x8, 3) + s->x, y = floor_div(y8, 3) + s->y;
    /* A chroma sample reaches one chroma pixel, two luma pixels, further at sub-pixel positions. */
    rect r = {(x - 1) & ~1, (y - 1) & ~1, (x + s->w + 4) & ~1, (y + s->h + 4) & ~1};
    r.x0 = lw_clamp(r.x0, 0, a->width);
    r.x1 = lw_clamp(r.x1, 0, a->width);
    r.y0 = lw_clamp(r.y0, 0, a->height);
    r.y1 = lw_clamp(r.y1, 0, a->height);
    return s->w ? r : (rect){0, 0, 0, 0};
}

static rect join(const rect *a, const rect *b)
{
    return (rect){a->x0 < b->x0 ? a->x0 : b->x0, a->y0 < b->y0 ? a->y0 : b->y0, a->x1 > b->x1 ? a->x1 : b->x1,
                  a->y1 > b->y1 ? a->y1 : b->y1};
}

static int overlap(const rect *a, const rect *b)
{
    return a->x0 < b->x1 && b->x0 < a->x1 && a->y0 < b->y1 && b->y0 < a->y1;
}

/* Keeps the list free of overlaps, so that no pixel is painted twice. */
static int add_rect(rect *list, int count, rect r)
{
    if (r.x0 >= r.x1 || r.y0 >= r.y1)
        return count;
    for (int i = 0; i < count;) {
        if (overlap(&list[i], &r) || count == MAX_RECTS) {
            r = join(&list[i], &r);
            list[i] = list[--count];
            i = 0;
        } else {
            i++;
        }
    }
    list[count] = r;
    return count + 1;
}

/* A layer's place along one axis of the frame. What is clamped lies far outside any frame. */
static int32_t place(int32_t at8, const int32_t *gain8, const lw_pose *pose)
{
    int64_t sum = 0;
    for (int i = 0; i < LW_AXES; i++)
        sum += (int64_t)gain8[i] * pose->axis[i];
    return (int32_t)lw_max64(-FARTHEST, lw_min64(at8 + ((sum + 16384) >> 15), FARTHEST));
}

int lw_compose(const lw_avatar *a, const lw_pose *pose, uint8_t *i420, lw_canvas *canvas, int *mouth_open)
{
    if (!a || !pose || !i420 || !canvas)
        return LW_EINVAL;
    lw_canvas want = {.valid = 1};
    rect dirty[MAX_RECTS + 1];
    int count = 0, open = 0;
    if (!canvas->valid)
        count = add_rect(dirty, count, (rect){0, 0, a->width, a->height});
    for (int32_t i = 0; i < a->layer_count; i++) {
        const lw_layer *l = &a->layers[i];
        int32_t pick = 0;
        if (l->select == LW_SELECT_MOUTH) {
            pick = mouth_image(a, pose);
            open |= pick != a->rest_mouth;
        } else if (l->select >= 0) {
            pick = (int32_t)(((int64_t)lw_clamp(pose->axis[l->select], 0, 32767) * (l->image_count - 1) + 16384) >> 15);
        }
        want.image[i] = l->first_image + pick;
        want.x8[i] = place(l->x8, l->kx8, pose);
        want.y8[i] = place(l->y8, l->ky8, pose);
        if (canvas->valid && (want.image[i] != canvas->image[i] || want.x8[i] != canvas->x8[i] ||
                              want.y8[i] != canvas->y8[i])) {
            count = add_rect(dirty, count, bounds(a, canvas->image[i], canvas->x8[i], canvas->y8[i]));
            count = add_rect(dirty, count, bounds(a, want.image[i], want.x8[i], want.y8[i]));
        }
    }
    int pixels = 0;
    for (int i = 0; i < count; i++) {
        paint(a, i420, &want, &dirty[i]);
        pixels += (dirty[i].x1 - dirty[i].x0) * (dirty[i].y1 - dirty[i].y0);
    }
    *canvas = want;
    if (mouth_open)
        *mouth_open = open;
    return pixels;
}
