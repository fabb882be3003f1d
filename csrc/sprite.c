/* Sprites: RGBA to premultiplied planes, the runs of windows of their rows, and drawing a part of a band.
 *
 * A drawn pixel samples the sprite bilinearly at 16ths of a pixel. Outside it is transparent: the border is one pixel
 * of it, and turned sprites are drawn only where samples lie within that. */
#include <string.h>

#include "dsp.h"
#include "sprite.h"

#define GAP 64   /* transparent pixels in a row that are worth leaving out, */
#define SOLID 32 /* opaque ones worth hiding what is below */

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

void lw_plane_carve(lw_plane *p, int values, lw_arena *arena)
{
    /* Long rows begin at cache lines; the left border is the end of the row before. */
    const int wide = p->w >= LW_WIDE;
    p->pitch = wide ? (p->w + 1 + 63) & ~63 : p->w + 2;
    const size_t first = (size_t)p->pitch + (wide ? 64 : 1);
    const size_t bytes = first + (size_t)p->pitch * (p->h + 1) + LW_PIXEL_PAD;
    uint8_t *at[3] = {NULL};
    for (int i = 0; i < 1 + values; i++) {
        at[i] = lw_carve(arena, bytes + 63);
        at[i] += -(uintptr_t)at[i] & 63;
    }
    if (arena->base) {
        p->alpha = at[0] + first;
        p->value[0] = at[1] + first;
        p->value[1] = values > 1 ? at[2] + first : NULL;
    }
}

void lw_sprite_carve(lw_sprite_data *s, lw_arena *arena)
{
    for (int k = 0; k < 2; k++) {
        lw_plane *p = &s->plane[k];
        if (!p->w)
            continue;
        lw_plane_carve(p, 1 + k, arena);
        for (int i = 0; i < LW_WINDOWS; i++)
            p->windows[i] = lw_carve(arena, (size_t)(p->h + 1) * sizeof(lw_runs));
    }
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

/* 0: column x shows nothing in the window, 2: it is opaque in all of its rows, 1: neither. */
static int kind(const uint8_t *seen, const uint8_t *opaque, int32_t rows, int32_t x)
{
    return !seen[x] ? 0 : opaque[x] == rows ? 2 : 1;
}

static lw_runs runs_of(const uint8_t *seen, const uint8_t *opaque, int32_t rows, int32_t w)
{
    lw_runs r = {0};
    for (int32_t x = 0, end; x <= w; x = end) {
        const int first = kind(seen, opaque, rows, x);
        for (end = x + 1; end <= w && kind(seen, opaque, rows, end) == first;)
            end++;
        if (first || (r.count && end <= w && end - x < GAP))
            add_run(&r, x, end, first == 2 && end - x >= SOLID);
    }
    return r;
}

/* Adds what pixels of row y show at any sub-pixel position, and whether they are opaque at all, to the columns' counts,
 * or takes it off. */
static void count_row(const lw_plane *p, int32_t y, int sign, uint8_t *restrict seen, uint8_t *restrict opaque)
{
    const uint8_t *a = p->alpha + (ptrdiff_t)y * p->pitch, *b = a - p->pitch;
    for (int32_t x = 0; x <= p->w; x++) {
        seen[x] = (uint8_t)(seen[x] + sign * !!(a[x] | a[x - 1] | b[x] | b[x - 1]));
        opaque[x] = (uint8_t)(opaque[x] + sign * ((a[x] & a[x - 1] & b[x] & b[x - 1]) == 255));
    }
}

void lw_plane_find_runs(lw_plane *p)
{
    for (int i = 0; p->w && i < LW_WINDOWS; i++) {
        uint8_t seen[LW_IMAGE_MAX + 1] = {0}, opaque[LW_IMAGE_MAX + 1] = {0};
        const int32_t rows = LW_BAND << i;
        for (int32_t y = p->h; y >= 0; y--) {
            count_row(p, y, 1, seen, opaque);
            if (y + rows <= p->h)
                count_row(p, y + rows, -1, seen, opaque);
            p->windows[i][y] = runs_of(seen, opaque, rows, p->w);
        }
    }
}

/* ---- planes that are drawn on ---- */

void lw_plane_look(lw_plane *p, const lw_box *box)
{
    const int32_t first = box->x0 >> p->shift, count = ((box->x1 - 1) >> p->shift) + 1 - first;
    const uint64_t looked = ~0ull >> (64 - count) << first;
    lw_mask made[LW_BAND];
    lw_kernels.look(made, p->alpha + (ptrdiff_t)box->y0 * p->pitch + ((ptrdiff_t)first << p->shift), p->pitch, p->shift,
                    count, box->y1 - box->y0);
    for (int32_t y = box->y0; y < box->y1; y++) {
        const lw_mask *m = &made[y - box->y0];
        p->masks[y].seen = (p->masks[y].seen & ~looked) | m->seen << first;
        p->masks[y].solid = (p->masks[y].solid & ~looked) | m->solid << first;
    }
}

int lw_plane_covers(const lw_plane *p, const lw_box *box)
{
    const int32_t first = box->x0 >> p->shift, last = (box->x1 - 1) >> p->shift;
    const uint64_t asked = ~0ull >> (63 - last + first) << first;
    uint64_t solid = asked;
    for (int32_t y = box->y0; y < box->y1; y++)
        solid &= p->masks[y].solid;
    return solid == asked;
}

static int ones_from(uint64_t bits, int from)
{
    const uint64_t others = ~(bits >> from);
    return others ? __builtin_ctzll(others) : 64;
}

/* Behind what is there already, or a piece that is no more than a gap from it. */
static void add_near(lw_runs *r, int32_t x0, int32_t x1, int solid)
{
    const int32_t end = r->count ? r->run[r->count - 1].x1 : x0;
    if (end < x0 && x0 - end < GAP)
        add_run(r, end, x0, 0);
    if (x0 < x1)
        add_run(r, x0, x1, solid);
}

/* The runs of rows `first` to `last` by their masks: as those of a window. */
static lw_runs runs_of_masks(const lw_plane *p, int32_t first, int32_t last)
{
    lw_runs r = {0};
    lw_mask m = {0, first > 0 && last < p->h ? ~0ull : 0};
    const int32_t end = last < p->h ? last + 1 : p->h;
    for (int32_t y = first > 0 ? first - 1 : 0; y < end; y++) {
        m.seen |= p->masks[y].seen;
        m.solid &= p->masks[y].solid;
    }
    while (m.seen) {
        const int from = __builtin_ctzll(m.seen), to = from + ones_from(m.seen, from);
        int32_t x = from << p->shift;
        while (m.solid) {
            const int s0 = __builtin_ctzll(m.solid), s1 = s0 + ones_from(m.solid, s0);
            if (s0 >= to)
                break;
            const int32_t x0 = (s0 << p->shift) + 1, x1 = s1 << p->shift;
            if (x1 - x0 >= SOLID) {
                add_near(&r, x, x0, 0);
                add_near(&r, x0, x1, 1);
                x = x1;
            }
            m.solid &= s1 < 64 ? ~0ull << s1 : 0;
        }
        add_near(&r, x, (to << p->shift) + 1, 0);
        m.seen &= to < 64 ? ~0ull << to : 0;
    }
    return r;
}

/* The runs of rows `first` to `last`, or NULL where they are not known; `made` is room for them. */
static const lw_runs *runs_at(const lw_plane *p, int32_t first, int32_t last, lw_runs *made)
{
    if (p->masks) {
        *made = runs_of_masks(p, first, last);
        return made;
    }
    for (int i = 0; i < LW_WINDOWS && p->windows[0]; i++)
        if (last - first < LW_BAND << i)
            return &p->windows[i][first];
    return NULL;
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

/* Edges are half a unit of Q16 beyond the last samples that count, so that what is rounded never decides. */
static void find_edge(lw_placed *at, int k, int64_t c, int32_t d, int64_t size, int32_t row)
{
    at->edge[k].left = -1e9;
    at->edge[k].right = 1e9;
    if (!d)
        return;
    const double low = (-0.5 - (double)c) / d, high = ((double)(size - c) - 0.5) / d;
    at->edge[k].left = d > 0 ? low : high;
    at->edge[k].right = d > 0 ? high : low;
    at->edge[k].step = -(double)row / d;
}

lw_placed lw_place_turned(const lw_plane *p, int32_t x16, int32_t y16, int32_t px16, int32_t py16, int32_t cos_q16,
                          int32_t sin_q16)
{
    lw_placed at = {.plane = p, .turned = 1, .across = cos_q16, .down = -sin_q16};
    if (!p->w)
        return at;
    /* From the pivot to the middle of the frame's pixel (0, 0), turned back, plus the pivot, less half a pixel. */
    const int64_t dx = 8 - (int64_t)x16 - px16, dy = 8 - (int64_t)y16 - py16;
    at.u = ((dx * cos_q16 + dy * sin_q16 + 8) >> 4) + (int64_t)px16 * 4096 - 32768 - (int64_t)p->x * 65536 + 2048;
    at.v = ((dy * cos_q16 - dx * sin_q16 + 8) >> 4) + (int64_t)py16 * 4096 - 32768 - (int64_t)p->y * 65536 + 2048;
    at.per_across = at.across ? 1.0 / at.across : 0.0;
    find_edge(&at, 0, at.u + 65536, at.across, ((int64_t)p->w + 1) << 16, -at.down);
    find_edge(&at, 1, at.v + 65536, at.down, ((int64_t)p->h + 1) << 16, at.across);
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

/* ---- bands ---- */

/* The least integer that is no less; for values near a frame's. */
static inline int32_t whole(double x)
{
    const int32_t i = (int32_t)x;
    return i + (i < x);
}

/* What a turned sprite may touch of row y: samples from -1 on, before w and h. */
static lw_extent row_extent(const lw_placed *p, int32_t y)
{
    const int64_t u = p->u - (int64_t)y * p->down + 65536, v = p->v + (int64_t)y * p->across + 65536;
    if ((!p->across && (u < 0 || u >> 16 > p->plane->w)) || (!p->down && (v < 0 || v >> 16 > p->plane->h)))
        return (lw_extent){0, 0};
    double x0 = p->x0, x1 = p->x1;
    for (int k = 0; k < 2; k++) {
        const double left = p->edge[k].left + y * p->edge[k].step, right = p->edge[k].right + y * p->edge[k].step;
        x0 = left > x0 ? left : x0;
        x1 = right < x1 ? right : x1;
    }
    return x0 < x1 ? (lw_extent){whole(x0), whole(x1)} : (lw_extent){0, 0};
}

static lw_box turned_box(const lw_placed *p, lw_box b)
{
    double left = p->x0, right = p->x1;
    for (int k = 0; k < 2; k++) {
        const double first = b.y0 * p->edge[k].step, last = (b.y1 - 1) * p->edge[k].step;
        const double l = p->edge[k].left + (first < last ? first : last);
        const double r = p->edge[k].right + (first < last ? last : first);
        left = l > left ? l : left;
        right = r < right ? r : right;
    }
    if (left >= right)
        return (lw_box){0};
    b.x0 = left > b.x0 ? whole(left) : b.x0;
    b.x1 = right < b.x1 ? whole(right) : b.x1;
    return b;
}

lw_box lw_placed_box(const lw_placed *p, const lw_box *box)
{
    const lw_box b = {box->x0, p->y0 > box->y0 ? p->y0 : box->y0, box->x1, p->y1 < box->y1 ? p->y1 : box->y1};
    if (b.y0 >= b.y1)
        return (lw_box){0};
    if (p->turned)
        return turned_box(p, b);
    lw_runs made;
    const lw_runs *r = runs_at(p->plane, b.y0 - p->y, b.y1 - 1 - p->y, &made);
    if (r && !r->count)
        return (lw_box){0};
    const int32_t left = r ? p->x + r->run[0].x0 : p->x0, end = r ? p->x + r->run[r->count - 1].x1 : p->x1;
    const int32_t right = end < p->x1 ? end : p->x1;
    return (lw_box){left > b.x0 ? left : b.x0, b.y0, right < b.x1 ? right : b.x1, b.y1};
}

/* Of rows that it touches. */
static int flat_runs(const lw_placed *p, const lw_box *box, lw_run runs[LW_MAX_PIECES])
{
    lw_runs made;
    const lw_runs *r = runs_at(p->plane, box->y0 - p->y, box->y1 - 1 - p->y, &made);
    const int32_t end = p->x1 < box->x1 ? p->x1 : box->x1;
    int count = 0;
    for (int k = 0; k < r->count; k++) {
        const int32_t x0 = p->x + r->run[k].x0, x1 = p->x + r->run[k].x1;
        const lw_run run = {x0 > box->x0 ? x0 : box->x0, x1 < end ? x1 : end, r->solid >> k & 1};
        if (run.x0 < run.x1)
            runs[count++] = run;
    }
    return count;
}

/* The runs of all rows which a box of a turned sprite samples, or NULL. Some of these may be outside of the sprite: then
 * nothing in it is solid. */
static const lw_runs *window(const lw_placed *p, const lw_box *box, int *inside, lw_runs *made)
{
    const int64_t left = (int64_t)box->x0 * p->down, right = (int64_t)(box->x1 - 1) * p->down;
    const int64_t top = p->v + (int64_t)box->y0 * p->across, below = p->v + (int64_t)(box->y1 - 1) * p->across;
    int64_t first = ((top + lw_min64(left, right)) >> 16) + 1, last = ((below + lw_max64(left, right)) >> 16) + 1;
    *inside = first >= 0 && last <= p->plane->h;
    first = lw_max64(0, lw_min64(first, p->plane->h));
    last = lw_max64(first, lw_min64(last, p->plane->h));
    return runs_at(p->plane, (int32_t)first, (int32_t)last, made);
}

static int add_piece(lw_run *runs, int count, int32_t x0, int32_t x1, int solid)
{
    if (x0 >= x1)
        return count;
    if (count && !solid && !runs[count - 1].solid && runs[count - 1].x1 == x0) {
        runs[count - 1].x1 = x1;
        return count;
    }
    runs[count] = (lw_run){x0, x1, solid};
    return count + 1;
}

static int turned_runs(const lw_placed *p, const lw_box *box, lw_run runs[LW_MAX_PIECES])
{
    lw_runs made;
    int inside, count = 0;
    const lw_runs *r = p->across >= 32768 ? window(p, box, &inside, &made) : NULL;
    if (!r)
        return add_piece(runs, 0, box->x0, box->x1, 0);
    /* Where column 0 begins in the first and in the last row. */
    const double top = (double)(box->y0 * (int64_t)p->down - p->u - 65536) * p->per_across;
    const double below = (double)((box->y1 - 1) * (int64_t)p->down - p->u - 65536) * p->per_across;
    const double first = top < below ? top : below, last = top < below ? below : top, step = 65536.0 * p->per_across;
    int32_t end = box->x0;
    for (int k = 0; k < r->count && end < box->x1; k++) {
        /* What the run covers in any row, and what in all rows. */
        const double from = r->run[k].x0 * step, to = r->run[k].x1 * step;
        const int32_t any0 = lw_clamp(whole(first + from) - 1, end, box->x1);
        const int32_t any1 = lw_clamp(whole(last + to) + 1, any0, box->x1);
        const int32_t all0 = lw_clamp(whole(last + from) + 1, any0, any1);
        const int32_t all1 = lw_clamp(whole(first + to) - 1, all0, any1);
        if (inside && r->solid >> k & 1 && all1 - all0 >= SOLID) {
            count = add_piece(runs, count, any0, all0, 0);
            count = add_piece(runs, count, all0, all1, 1);
            count = add_piece(runs, count, all1, any1, 0);
        } else {
            count = add_piece(runs, count, any0, any1, 0);
        }
        end = any1;
    }
    return count;
}

int lw_placed_runs(const lw_placed *p, lw_box *box, lw_run runs[LW_MAX_PIECES])
{
    if (p->y0 >= box->y1 || p->y1 <= box->y0)
        return 0;
    if (p->turned) {
        *box = lw_placed_box(p, box);
        return box->x0 < box->x1 ? turned_runs(p, box, runs) : 0;
    }
    box->y0 = p->y0 > box->y0 ? p->y0 : box->y0;
    box->y1 = p->y1 < box->y1 ? p->y1 : box->y1;
    return flat_runs(p, box, runs);
}

int lw_runs_join(lw_run *runs, int count, int32_t least)
{
    int kept = 0;
    for (int k = 0; k < count; k++) {
        const lw_run run = {runs[k].x0, runs[k].x1, runs[k].solid && runs[k].x1 - runs[k].x0 >= least};
        kept = add_piece(runs, kept, run.x0, run.x1, run.solid);
    }
    return kept;
}

/* ---- drawing ---- */

/* The samples of these rows that are within the border; NULL where all are. */
static const lw_extent *spans_of(const lw_placed *p, const lw_box *box, const lw_warp *w, lw_extent *spans)
{
    const int32_t right = box->x1 - box->x0 - 1, below = box->y1 - box->y0 - 1;
    const int32_t u0 = w->du < 0 ? right * w->du : 0, u1 = right * w->du - u0, v0 = w->dv < 0 ? right * w->dv : 0,
                  v1 = right * w->dv - v0;
    const int32_t s0 = w->dv > 0 ? -below * w->dv : 0, s1 = -below * w->dv - s0, t0 = w->du < 0 ? below * w->du : 0,
                  t1 = below * w->du - t0;
    if (w->u + u0 + s0 >= -65536 && (w->u + u1 + s1) >> 16 < p->plane->w && w->v + v0 + t0 >= -65536 &&
        (w->v + v1 + t1) >> 16 < p->plane->h)
        return NULL;
    for (int32_t y = box->y0; y < box->y1; y++) {
        const lw_extent e = row_extent(p, y);
        const int32_t x0 = lw_clamp(e.x0, box->x0, box->x1), x1 = lw_clamp(e.x1, box->x0, box->x1);
        spans[y - box->y0] = (lw_extent){x0 - box->x0, x1 - box->x0};
    }
    return spans;
}

static void draw_patch(const lw_placed *p, lw_patch *patch, const lw_box *box)
{
    const lw_plane *s = p->plane;
    if (p->turned) {
        lw_extent spans[LW_BAND];
        lw_warp w = {.u = (int32_t)(p->u - (int64_t)box->y0 * p->down + (int64_t)box->x0 * p->across),
                     .v = (int32_t)(p->v + (int64_t)box->y0 * p->across + (int64_t)box->x0 * p->down),
                     .du = p->across,
                     .dv = p->down};
        w.spans = patch->alpha ? spans_of(p, box, &w, spans) : NULL;
        lw_kernels.warp(patch, &w);
        return;
    }
    const ptrdiff_t at = (ptrdiff_t)(box->y0 - p->y - (p->wy != 0)) * s->pitch + box->x0 - p->x - (p->wx != 0);
    for (int k = 0; k < patch->count; k++)
        patch->value[k] += at;
    patch->alpha = patch->alpha ? patch->alpha + at : NULL;
    if (p->wx || p->wy)
        lw_kernels.lerp(patch, p->wx, p->wy);
    else
        lw_kernels.blend(patch);
}

void lw_placed_draw(const lw_placed *p, const lw_surface *to, const lw_box *box, int solid)
{
    const lw_plane *s = p->plane;
    const ptrdiff_t at = (ptrdiff_t)box->y0 * to->pitch + box->x0;
    const int both = to->count > 1;
    lw_patch patch = {.dst = {to->plane[0] + at, both ? to->plane[1] + at : NULL},
                      .value = {s->value[0], s->value[1]},
                      .alpha = solid ? NULL : s->alpha,
                      .dst_pitch = to->pitch,
                      .pitch = s->pitch,
                      .count = to->count,
                      .n = box->x1 - box->x0,
                      .rows = box->y1 - box->y0};
    /* Alpha is drawn as what it covers is: beside Y, or behind U and V. */
    if (to->alpha && !both) {
        patch.count = 2;
        patch.dst[1] = to->alpha + at;
        patch.value[1] = s->alpha;
    } else if (to->alpha) {
        lw_patch cover = patch;
        cover.count = 1;
        cover.dst[0] = to->alpha + at;
        cover.value[0] = s->alpha;
        draw_patch(p, &cover, box);
    }
    draw_patch(p, &patch, box);
}
