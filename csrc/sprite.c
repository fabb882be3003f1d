/* Sprites: RGBA to premultiplied planes, the runs of their rows, and drawing a part of a row.
 *
 * A drawn pixel samples the sprite bilinearly at 16ths of a pixel. Outside it is transparent: the border is one pixel
 * of it, and turned sprites are drawn only where samples lie within that. */
#include "dsp.h"
#include "sprite.h"

#define GAP 96 /* transparent pixels in a row that are worth leaving out, */
#define SOLID 192 /* opaque ones worth drawing without their alpha */

/* ---- loading ---- */

/* The box of pixels with alpha > 0, grown to even coordinates; an empty image gives an empty box. */
lw_sprite_data lw_sprite_measure(const lw_image *image)
{
    int32_t x0 = image->width, y0 = image->height, x1 = 0, y1 = 0;
    for (int32_t y = 0; y < image->height; y++)
        for (int32_t x = 0; x < image->width; x++)
            if (image->rgba[((size_t)y * image->width + x) * 4 + 3]) {
                x0 = x < x0 ? x : x0;
                x1 = x + 1 > x1 ? x + 1 : x1;
                y0 = y < y0 ? y : y0;
                y1 = y + 1;
            }
    lw_sprite_data s = {0};
    if (x0 >= x1)
        return s;
    x0 &= ~1, y0 &= ~1;
    s.plane[0] = (lw_plane){.x = x0, .y = y0, .w = ((x1 + 1) & ~1) - x0, .h = ((y1 + 1) & ~1) - y0};
    s.plane[1] = (lw_plane){.x = x0 / 2, .y = y0 / 2, .w = s.plane[0].w / 2, .h = s.plane[0].h / 2};
    return s;
}

void lw_sprite_carve(lw_sprite_data *s, lw_arena *arena)
{
    for (int k = 0; k < 2; k++) {
        lw_plane *p = &s->plane[k];
        if (!p->w)
            continue;
        /* Long rows begin at cache lines; the left border is the end of the row before. */
        const int wide = p->w >= LW_WIDE;
        p->pitch = wide ? (p->w + 1 + 63) & ~63 : p->w + 2;
        const size_t first = (size_t)p->pitch + (wide ? 64 : 1);
        const size_t bytes = first + (size_t)p->pitch * (p->h + 1) + LW_PIXEL_PAD;
        uint8_t *at[3] = {NULL};
        for (int i = 0; i < 2 + k; i++) {
            at[i] = lw_carve(arena, bytes + 63);
            at[i] += -(uintptr_t)at[i] & 63;
        }
        p->rows = lw_carve(arena, (size_t)(p->h + 1) * sizeof(lw_runs));
        if (arena->base) {
            p->alpha = at[0] + first;
            p->value[0] = at[1] + first;
            p->value[1] = k ? at[2] + first : NULL;
        }
    }
}

/* 0: pixel x of row y shows nothing at any sub-pixel position, 2: it is opaque at all, 1: neither. */
static int shows(const lw_plane *p, int32_t x, int32_t y)
{
    const uint8_t *a = p->alpha + (ptrdiff_t)y * p->pitch + x, *b = a - p->pitch;
    if (!(a[0] | a[-1] | b[0] | b[-1]))
        return 0;
    return (a[0] & a[-1] & b[0] & b[-1]) == 255 ? 2 : 1;
}

static void add_run(lw_runs *r, int32_t x0, int32_t x1, int solid)
{
    const int last = r->count - 1;
    if (last >= 0 && (r->count == LW_MAX_RUNS || (r->run[last].x1 == x0 && !solid && !(r->solid >> last & 1)))) {
        r->solid &= (uint8_t)~(1 << last);
        r->run[last].x1 = (int16_t)x1;
        return;
    }
    r->run[r->count].x0 = (int16_t)x0;
    r->run[r->count].x1 = (int16_t)x1;
    r->solid |= (uint8_t)(solid << r->count++);
}

void lw_plane_find_runs(lw_plane *p)
{
    for (int32_t y = 0; p->w && y <= p->h; y++) {
        lw_runs *r = &p->rows[y];
        *r = (lw_runs){0};
        for (int32_t x = 0, end; x <= p->w; x = end) {
            const int kind = shows(p, x, y);
            for (end = x + 1; end <= p->w && shows(p, end, y) == kind;)
                end++;
            if (kind || (r->count && end <= p->w && end - x < GAP))
                add_run(r, x, end, kind == 2 && end - x >= SOLID);
        }
    }
}

void lw_sprite_fill(lw_sprite_data *s, const lw_image *image, const lw_rgb_matrix *m)
{
    const lw_plane *l = &s->plane[0], *c = &s->plane[1];
    for (int32_t y = 0; y < l->h; y++)
        for (int32_t x = 0; x < l->w; x++) {
            const int32_t ix = x + l->x, iy = y + l->y;
            if (ix >= image->width || iy >= image->height)
                continue;
            const uint8_t *p = image->rgba + ((size_t)iy * image->width + ix) * 4;
            const ptrdiff_t at = (ptrdiff_t)y * l->pitch + x;
            l->value[0][at] = (uint8_t)lw_div255(lw_rgb_luma(m, p) * p[3]);
            l->alpha[at] = p[3];
        }
    for (int32_t y = 0; y < c->h; y++)
        for (int32_t x = 0; x < c->w; x++) {
            int64_t u = 0, v = 0;
            int32_t a = 0;
            for (int k = 0; k < 4; k++) {
                const int32_t ix = 2 * (x + c->x) + (k & 1), iy = 2 * (y + c->y) + (k >> 1);
                if (ix >= image->width || iy >= image->height)
                    continue;
                const uint8_t *p = image->rgba + ((size_t)iy * image->width + ix) * 4;
                u += (int64_t)(lw_rgb_dot(&m->u, p) + (128 << 14)) * p[3];
                v += (int64_t)(lw_rgb_dot(&m->v, p) + (128 << 14)) * p[3];
                a += p[3];
            }
            const ptrdiff_t at = (ptrdiff_t)y * c->pitch + x;
            const int64_t whole = 1020 << 14;
            c->value[0][at] = (uint8_t)((u + whole / 2) / whole);
            c->value[1][at] = (uint8_t)((v + whole / 2) / whole);
            c->alpha[at] = (uint8_t)((a + 2) / 4);
        }
    lw_plane_find_runs(&s->plane[0]);
    lw_plane_find_runs(&s->plane[1]);
}

/* ---- placing ---- */

lw_placed lw_place(const lw_plane *p, int32_t x16, int32_t y16)
{
    /* Pixel X of the frame takes sample X - x16 / 16: with x16 = 16 q + f, 0 < f < 16, that is (X - q - 1) and
     * (16 - f) / 16 of the way to the next. */
    const int32_t fx = x16 & 15, fy = y16 & 15;
    lw_placed at = {.plane = p, .wx = (16 - fx) & 15, .wy = (16 - fy) & 15};
    at.x = (x16 >> 4) + p->x;
    at.y = (y16 >> 4) + p->y;
    if (!p->w)
        return at;
    at.x0 = at.x;
    at.x1 = at.x + p->w + (fx != 0);
    at.y0 = at.y;
    at.y1 = at.y + p->h + (fy != 0);
    return at;
}

void lw_turn_q16(int32_t angle, int32_t *cos_q16, int32_t *sin_q16)
{
    for (int k = 0; k < 2; k++) { /* sin a = cos(a - a quarter) */
        const int32_t a = (angle - (k ? 16384 : 0)) & 65535, u = a > 32768 ? 65536 - a : a;
        const double c = lw_cos_pi(u / 32768.0) * 65536.0;
        *(k ? sin_q16 : cos_q16) = (int32_t)(c < 0 ? c - 0.5 : c + 0.5);
    }
}

lw_placed lw_place_turned(const lw_plane *p, int32_t x16, int32_t y16, int32_t px16, int32_t py16, int32_t cos_q16,
                          int32_t sin_q16)
{
    lw_placed at = {.plane = p, .turned = 1, .across = cos_q16, .down = -sin_q16};
    if (!p->w)
        return at;
    at.per_across = at.across ? 1.0 / at.across : 0.0;
    at.per_down = at.down ? 1.0 / at.down : 0.0;
    /* From the pivot to the middle of the frame's pixel (0, 0), turned back, plus the pivot, less half a pixel. */
    const int64_t dx = 8 - (int64_t)x16 - px16, dy = 8 - (int64_t)y16 - py16;
    at.u = ((dx * cos_q16 + dy * sin_q16 + 8) >> 4) + (int64_t)px16 * 4096 - 32768 - (int64_t)p->x * 65536 + 2048;
    at.v = ((dy * cos_q16 - dx * sin_q16 + 8) >> 4) + (int64_t)py16 * 4096 - 32768 - (int64_t)p->y * 65536 + 2048;
    /* The box around its corners, turned forward: the inverse of (c s; -s c) is its transpose over c^2 + s^2. */
    const double norm = (double)cos_q16 * cos_q16 + (double)sin_q16 * sin_q16, c = cos_q16 * 65536.0 / norm,
                 s = sin_q16 * 65536.0 / norm;
    double x0 = 1e9, y0 = 1e9, x1 = -1e9, y1 = -1e9;
    for (int k = 0; k < 4; k++) {
        const double u = (k & 1 ? p->w : -1) + p->x + 0.5 - px16 / 16.0;
        const double v = (k >> 1 ? p->h : -1) + p->y + 0.5 - py16 / 16.0;
        const double x = c * u - s * v, y = s * u + c * v;
        x0 = x < x0 ? x : x0, x1 = x > x1 ? x : x1;
        y0 = y < y0 ? y : y0, y1 = y > y1 ? y : y1;
    }
    const double ox = (x16 + px16) / 16.0, oy = (y16 + py16) / 16.0;
    at.x0 = (int32_t)(ox + x0) - 3, at.x1 = (int32_t)(ox + x1) + 4;
    at.y0 = (int32_t)(oy + y0) - 3, at.y1 = (int32_t)(oy + y1) + 4;
    return at;
}

/* ---- rows ---- */

/* n / d rounded down; d > 0. The product with 1 / d is off by less than one, n being less than 2^40. */
static inline int64_t floor_div(int64_t n, int64_t d, double reciprocal)
{
    const int64_t q = (int64_t)((double)n * reciprocal), rest = n - q * d;
    return q + (rest >= d) - (rest < 0);
}

/* Narrows e to the x for which 0 <= c + x d < size. */
static inline lw_extent within(lw_extent e, int64_t c, int64_t d, double reciprocal, int64_t size)
{
    int64_t lo = e.x0, hi = e.x1;
    if (d > 0) {
        lo = -floor_div(c, d, reciprocal);
        hi = floor_div(size - 1 - c, d, reciprocal) + 1;
    } else if (d < 0) {
        lo = -floor_div(size - 1 - c, -d, -reciprocal);
        hi = floor_div(c, -d, -reciprocal) + 1;
    } else if (c < 0 || c >= size) {
        hi = lo;
    }
    const int64_t x0 = lw_max64(e.x0, lw_min64(lo, e.x1)), x1 = lw_max64(x0, lw_min64(e.x1, hi));
    return (lw_extent){(int32_t)x0, (int32_t)x1};
}

lw_extent lw_placed_extent(const lw_placed *p, int32_t y)
{
    lw_extent e = {p->x0, p->x1};
    if (y < p->y0 || y >= p->y1)
        return (lw_extent){0, 0};
    if (!p->turned) {
        const lw_runs *r = &p->plane->rows[y - p->y];
        if (!r->count)
            return (lw_extent){0, 0};
        const int32_t x1 = p->x + r->run[r->count - 1].x1;
        return (lw_extent){p->x + r->run[0].x0, x1 < p->x1 ? x1 : p->x1};
    }
    e = within(e, p->u - (int64_t)y * p->down + 65536, p->across, p->per_across, ((int64_t)p->plane->w + 1) << 16);
    e = within(e, p->v + (int64_t)y * p->across + 65536, p->down, p->per_down, ((int64_t)p->plane->h + 1) << 16);
    return e;
}

lw_band lw_placed_band(const lw_placed *p)
{
    lw_band b = {.left = {-1e9, -1e9}, .right = {1e9, 1e9}, .x0 = p->x0, .x1 = p->x1};
    if (!p->turned)
        return b;
    const double from[2] = {-(double)(p->u + 65536) * p->per_across, -(double)(p->v + 65536) * p->per_down};
    const double wide[2] = {(p->plane->w + 1) * 65536.0 * p->per_across, (p->plane->h + 1) * 65536.0 * p->per_down};
    for (int k = 0; k < 2; k++) {
        if (wide[k] == 0.0)
            continue;
        b.left[k] = wide[k] > 0.0 ? from[k] : from[k] + wide[k];
        b.right[k] = wide[k] > 0.0 ? from[k] + wide[k] : from[k];
        b.step[k] = k ? -p->across * p->per_down : p->down * p->per_across;
    }
    return b;
}

void lw_placed_draw_turned(const lw_placed *p, uint8_t *const *rows, int count, int32_t y, int32_t x0, int32_t x1)
{
    const lw_plane *s = p->plane;
    const lw_warp w = {.u = (int32_t)(p->u - (int64_t)y * p->down + (int64_t)x0 * p->across),
                       .v = (int32_t)(p->v + (int64_t)y * p->across + (int64_t)x0 * p->down),
                       .du = p->across,
                       .dv = p->down,
                       .pitch = s->pitch};
    uint8_t *const dst[2] = {rows[0] + x0, count > 1 ? rows[1] + x0 : NULL};
    lw_kernels.warp_blend(dst, (const uint8_t *const *)s->value, count, s->alpha, &w, (size_t)(x1 - x0));
}
