/* The pixel kernels: sprites, scaling, RGBA. */
#include "checkasm.h"
#include "common.h"
#include "pixels.h"

#define MOST 300

static void noise(uint8_t *to, size_t n, int extreme)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(extreme ? (ca_random() & 1 ? 255 : 0) : ca_random());
}

/* A destination of n pixels that ends at a page's end, with what both forms are given; the pattern before it shows what
 * was written too far to the left. */
typedef struct rows {
    uint8_t *want, *got;
    size_t bytes;
} rows;

static rows destinations(size_t n)
{
    rows r = {ca_end_of_page(n + 32), ca_end_of_page(n + 32), n + 32};
    noise(r.want, r.bytes, 0);
    memcpy(r.got, r.want, r.bytes);
    return r;
}

static size_t length(int round)
{
    return round <= MOST ? (size_t)round : (size_t)ca_random_in(MOST, 4096);
}

/* The same patch twice, for either form. Destinations end at a page's end; what lies before them, between rows and in a
 * plane that is not asked for shows what was written there. */
typedef struct twins {
    lw_patch want, got;
    uint8_t *to[2][2];
    size_t bytes;
} twins;

static twins make_twins(int32_t n, int32_t rows, int32_t count)
{
    const ptrdiff_t pitch = n + ca_random_in(0, 40);
    twins t = {.bytes = 32 + (size_t)(pitch * (rows - 1) + n)};
    t.want = (lw_patch){.dst_pitch = pitch, .count = count, .n = n, .rows = rows};
    t.got = t.want;
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 2; i++)
            t.to[i][k] = ca_end_of_page(t.bytes);
        noise(t.to[0][k], t.bytes, 0);
        memcpy(t.to[1][k], t.to[0][k], t.bytes);
        t.want.dst[k] = t.to[0][k] + 32;
        t.got.dst[k] = t.to[1][k] + 32;
    }
    return t;
}

static void from(twins *t, const uint8_t *const *value, const uint8_t *alpha, ptrdiff_t pitch)
{
    for (int i = 0; i < 2; i++) {
        lw_patch *p = i ? &t->got : &t->want;
        p->value[0] = value[0];
        p->value[1] = p->count > 1 ? value[1] : NULL;
        p->alpha = alpha;
        p->pitch = pitch;
    }
}

static void compare(const twins *t, const char *what, int32_t a, int32_t b)
{
    for (int k = 0; k < 2; k++)
        ca_same(t->to[0][k], t->to[1][k], t->bytes, "%s: plane %d of %d, %d x %d, %s, at %d %d", what, k, t->want.count,
                t->want.n, t->want.rows, t->want.alpha ? "with alpha" : "opaque", a, b);
}

/* blend, or lerp: every weight, widths, one plane and two, with and without alpha. */
static void check_rows(const lw_dsp *c, const lw_dsp *candidate, int lerps)
{
    for (int round = 0; round < 1024 + 2 * MOST; round++) {
        const int32_t n = round < 1024          ? ca_random_in(1, 200)
                          : round < 1024 + MOST ? round - 1023
                                                : ca_random_in(MOST, 4096);
        const int32_t rows = n > MOST ? 1 : ca_random_in(1, 9), wx = round & 15, wy = round >> 4 & 15;
        const ptrdiff_t pitch = n + 1 + ca_random_in(0, 40);
        const size_t bytes = (size_t)(pitch * (lerps ? rows : rows - 1) + n + lerps) + LW_PIXEL_PAD;
        twins t = make_twins(n, rows, 1 + (ca_random() & 1));
        uint8_t *alpha = ca_end_of_page(bytes), *value[2] = {ca_end_of_page(bytes), ca_end_of_page(bytes)};
        noise(alpha, bytes, round % 5 == 0);
        noise(value[0], bytes, round % 3 == 0);
        noise(value[1], bytes, round % 3 == 0);
        from(&t, (const uint8_t *const *)value, ca_random() & 1 ? alpha : NULL, pitch);
        if (lerps) {
            c->lerp(&t.want, wx, wy);
            candidate->lerp(&t.got, wx, wy);
        } else {
            c->blend(&t.want);
            candidate->blend(&t.got);
        }
        compare(&t, lerps ? "lerp" : "blend", wx, wy);
        ca_release();
    }
    /* Every destination with every alpha. */
    for (int level = 0; level < 256 && !lerps; level++) {
        uint8_t a[256 + LW_PIXEL_PAD], v[256 + LW_PIXEL_PAD] = {0}, want[256], got[256];
        memset(a, level, sizeof a);
        for (int i = 0; i < 256; i++)
            want[i] = got[i] = (uint8_t)i;
        lw_patch p = {.dst = {want}, .value = {v}, .alpha = a, .count = 1, .n = 256, .rows = 1};
        c->blend(&p);
        p.dst[0] = got;
        candidate->blend(&p);
        ca_same(want, got, 256, "alpha %d", level);
    }
}

static void check_warp(const lw_dsp *c, const lw_dsp *candidate)
{
    enum { W = 190, H = 70, PITCH = W + 2 };
    for (int round = 0; round < 1500; round++) {
        const size_t bytes = PITCH * (H + 2) + LW_PIXEL_PAD;
        uint8_t *alpha = ca_end_of_page(bytes), *value[2] = {ca_end_of_page(bytes), ca_end_of_page(bytes)};
        noise(alpha, bytes, round % 4 == 0);
        for (size_t i = 0; i < bytes; i++) {
            if (round % 5 == 0 && i / PITCH % 16 < 9)
                alpha[i] = 0;
            for (int k = 0; k < 2; k++)
                value[k][i] = (uint8_t)ca_random_in(0, alpha[i]); /* premultiplied */
        }
        /* Level lines as a head sways, steeper ones, narrower and wider ones, any. */
        const int32_t n = ca_random_in(1, 180), rows = ca_random_in(1, 8);
        const int32_t wide = round % 3 ? 65536 + ca_random_in(-2100, round % 2 ? 2100 : 0)
                                       : ca_random_in(round % 2 ? 0 : -140000, 140000);
        const int32_t steep = round % 7 ? ca_random_in(-14000, 14000) : ca_random_in(-140000, 140000) * (round % 2);
        lw_extent spans[8];
        lw_warp w = {.u = ca_random_in(-65536, W * 65536 - 1), .v = ca_random_in(-65536, H * 65536 - 1), .du = wide,
                     .dv = steep, .spans = spans};
        if (round % 3) /* long lines */
            w.u = ca_random_in(-65536, 20 * 65536);
        int all = 1;
        for (int32_t j = 0; j < rows; j++) {
            lw_extent *e = &spans[j];
            int32_t x = 0;
            *e = (lw_extent){0, 0};
            for (; x < n; x++) {
                const int64_t u = w.u + (int64_t)x * wide - (int64_t)j * steep;
                const int64_t v = w.v + (int64_t)x * steep + (int64_t)j * wide;
                const int in = u >= -65536 && u < W * 65536 && v >= -65536 && v < H * 65536;
                if (in && e->x0 == e->x1)
                    *e = (lw_extent){x, x + 1};
                else if (in && e->x1 == x)
                    e->x1 = x + 1;
            }
            all &= e->x0 == 0 && e->x1 == n;
        }
        if (all)
            w.spans = NULL;
        twins t = make_twins(n, rows, 1 + (round >> 1 & 1));
        const uint8_t *const first[2] = {value[0] + PITCH + 1, value[1] + PITCH + 1};
        from(&t, first, round & 8 ? alpha + PITCH + 1 : NULL, PITCH);
        c->warp(&t.want, &w);
        candidate->warp(&t.got, &w);
        compare(&t, "warp", wide, steep);
        ca_release();
    }
}

/* Rows of alpha with clear and opaque stretches, columns of 8 pixels and wider ones. */
static void check_look(const lw_dsp *c, const lw_dsp *candidate)
{
    for (int round = 0; round < 400; round++) {
        const int32_t shift = round % 4 ? 3 : ca_random_in(3, 6), count = ca_random_in(1, 64), rows = ca_random_in(1, 24);
        const ptrdiff_t pitch = ((ptrdiff_t)count << shift) + ca_random_in(0, 40);
        const size_t bytes = (size_t)(pitch * (rows - 1) + ((ptrdiff_t)count << shift)) + LW_PIXEL_PAD;
        uint8_t *alpha = ca_end_of_page(bytes);
        lw_mask *want = ca_end_of_page(sizeof *want * (size_t)rows), *got = ca_end_of_page(sizeof *got * (size_t)rows);
        for (size_t i = 0, left = 0, level = 0; i < bytes; i++, left--) {
            if (!left) {
                left = (size_t)ca_random_in(1, 60);
                level = (size_t)ca_random_in(0, 2);
            }
            alpha[i] = (uint8_t)(level == 2 ? 255 : level ? ca_random() : 0);
        }
        c->look(want, alpha, pitch, shift, count, rows);
        candidate->look(got, alpha, pitch, shift, count, rows);
        ca_same(want, got, sizeof *want * (size_t)rows, "shift %d, %d columns, %d rows", shift, count, rows);
        ca_release();
    }
}

static void check_scale(const lw_dsp *c, const lw_dsp *candidate, int mixes)
{
    for (int round = 0; round < 400; round++) {
        const size_t n = round < 200 ? (size_t)round : (size_t)ca_random_in(1, 2000);
        int16_t *want = ca_end_of_page(2 * n), *got = ca_end_of_page(2 * n);
        if (mixes) {
            int16_t *top = ca_end_of_page(2 * n), *below = ca_end_of_page(2 * n);
            const int32_t wy = round < 129 ? round : ca_random_in(0, 128);
            for (size_t i = 0; i < n; i++) {
                top[i] = (int16_t)(128 * (ca_random_in(0, 3) ? ca_random_in(-128, 127) : ca_random() & 1 ? 127 : -128));
                below[i] = (int16_t)ca_random_in(-16384, 16256);
            }
            const rows d = destinations(n);
            c->scale_mix(d.want + 32, top, below, wy, n);
            candidate->scale_mix(d.got + 32, top, below, wy, n);
            ca_same(d.want, d.got, d.bytes, "n %zu, weight %d", n, wy);
        } else {
            /* A step of 1/16 to 3 pixels, some lines clamped at their end. */
            const int32_t step = ca_random_in(4096, round % 4 ? 131072 : 196608);
            const size_t src_n = 2 + (n * (size_t)step >> 16) / (1 + (round % 8 == 0));
            uint8_t *src = ca_end_of_page(src_n);
            uint16_t *at = ca_end_of_page(2 * n), *weight = ca_end_of_page(2 * n);
            noise(src, src_n, round % 3 == 0);
            int64_t place = ca_random_in(0, 65535);
            for (size_t i = 0; i < n; i++, place += step) {
                const size_t whole = (size_t)(place >> 16);
                const int clamped = whole > src_n - 2;
                const uint32_t f = clamped ? 128 : (uint32_t)(place >> 9 & 127);
                at[i] = (uint16_t)(clamped ? src_n - 2 : whole);
                weight[i] = (uint16_t)((128 - f) | f << 8);
            }
            c->scale_row(want, src, src_n, at, weight, n);
            candidate->scale_row(got, src, src_n, at, weight, n);
            ca_same(want, got, 2 * n, "n %zu, step %d", n, step);
        }
        ca_release();
    }
}

static void check_rgba(const lw_dsp *c, const lw_dsp *candidate, int chroma)
{
    for (int round = 0; round < MOST + 20; round++) {
        const size_t n = length(round);
        const lw_rgb_matrix *m = &lw_rgb_matrices[round & 1];
        uint8_t *top = ca_end_of_page(8 * n), *below = ca_end_of_page(8 * n);
        noise(top, 8 * n, round % 3 == 0);
        noise(below, 8 * n, round % 3 == 0);
        const rows y = destinations(n), v = destinations(n);
        if (chroma) {
            c->rgba_chroma(y.want + 32, v.want + 32, top, below, n, m);
            candidate->rgba_chroma(y.got + 32, v.got + 32, top, below, n, m);
            ca_same(v.want, v.got, v.bytes, "V, n %zu", n);
        } else {
            c->rgba_luma(y.want + 32, top, n, m);
            candidate->rgba_luma(y.got + 32, top, n, m);
        }
        ca_same(y.want, y.got, y.bytes, "n %zu", n);
        ca_release();
    }
}

/* Eight rows of n pixels of one plane, or of two. */
static lw_patch bench_patch(int32_t n, int32_t count, int opaque)
{
    static uint8_t value[2][14000], alpha[14000], dst[2][6000];
    static int made;
    if (!made++) {
        noise(value[0], sizeof value, 0);
        noise(alpha, sizeof alpha, 0);
    }
    return (lw_patch){.dst = {dst[0], dst[1]}, .value = {value[0], value[1]}, .alpha = opaque ? NULL : alpha,
                      .dst_pitch = 640, .pitch = 640, .count = count, .n = n, .rows = 8};
}

#define BENCH_PATCHES(name, call)                                                                                     \
    for (int b_ = 0; b_ < 5 && ca_benching; b_++) {                                                                   \
        static const struct {                                                                                         \
            const char *what;                                                                                         \
            int32_t n, count, opaque;                                                                                 \
        } kinds_[] = {{name " 8 pixels", 8, 1, 0},                                                                    \
                      {name " 40 pixels", 40, 1, 0},                                                                  \
                      {name " 256 pixels", 256, 1, 0},                                                                \
                      {name " 256 pixels, opaque", 256, 1, 1},                                                        \
                      {name " 256 pixels of U and V", 256, 2, 0}};                                                    \
        const lw_patch p = bench_patch(kinds_[b_].n, kinds_[b_].count, kinds_[b_].opaque);                            \
        CA_BENCH(kinds_[b_].what, 8.0 * kinds_[b_].n, "pixel", c->call, candidate->call);                             \
    }

void check_pixels(const lw_dsp *c, const lw_dsp *candidate)
{
    static uint8_t value[2][4096 * 4 + 128], dst[2][4096];
    static int16_t wide[2][4096];
    static uint16_t at[1280], weight[1280];
    const lw_rgb_matrix *m = &lw_rgb_matrices[0];
    noise(value[0], sizeof value, 0);
    for (int i = 0; i < 1280; i++) {
        at[i] = (uint16_t)(i * 3 / 2);
        weight[i] = (uint16_t)(96 | 32 << 8);
    }

    if (ca_kernel("blend", c->blend == candidate->blend)) {
        check_rows(c, candidate, 0);
        BENCH_PATCHES("blend", blend(&p));
    }
    if (ca_kernel("lerp", c->lerp == candidate->lerp)) {
        check_rows(c, candidate, 1);
        BENCH_PATCHES("lerp", lerp(&p, 6, 10));
    }
    if (ca_kernel("warp", c->warp == candidate->warp)) {
        check_warp(c, candidate);
        BENCH_PATCHES("warp", warp(&p, &((const lw_warp){.u = 1 << 20, .v = 1 << 16, .du = 65520, .dv = 1600})));
        BENCH_PATCHES("warp and scale",
                      warp(&p, &((const lw_warp){.u = 1 << 20, .v = 1 << 16, .du = 50000, .dv = 1600})));
    }
    if (ca_kernel("look", c->look == candidate->look)) {
        static lw_mask masks[24];
        check_look(c, candidate);
        CA_BENCH("look 200 pixels", 8.0 * 200, "pixel", c->look(masks, value[0], 256, 3, 25, 8),
                 candidate->look(masks, value[0], 256, 3, 25, 8));
    }
    if (ca_kernel("scale_row", c->scale_row == candidate->scale_row)) {
        check_scale(c, candidate, 0);
        CA_BENCH("scale_row 1920 to 1280", 1280, "pixel", c->scale_row(wide[0], value[0], 1920, at, weight, 1280),
                 candidate->scale_row(wide[0], value[0], 1920, at, weight, 1280));
    }
    if (ca_kernel("scale_mix", c->scale_mix == candidate->scale_mix)) {
        check_scale(c, candidate, 1);
        CA_BENCH("scale_mix 1280", 1280, "pixel", c->scale_mix(dst[0], wide[0], wide[1], 40, 1280),
                 candidate->scale_mix(dst[0], wide[0], wide[1], 40, 1280));
    }
    if (ca_kernel("rgba_luma", c->rgba_luma == candidate->rgba_luma)) {
        check_rgba(c, candidate, 0);
        CA_BENCH("rgba_luma 1280", 1280, "pixel", c->rgba_luma(dst[0], value[0], 1280, m),
                 candidate->rgba_luma(dst[0], value[0], 1280, m));
    }
    if (ca_kernel("rgba_chroma", c->rgba_chroma == candidate->rgba_chroma)) {
        check_rgba(c, candidate, 1);
        CA_BENCH("rgba_chroma 640", 640, "pixel", c->rgba_chroma(dst[0], dst[1], value[0], value[1], 640, m),
                 candidate->rgba_chroma(dst[0], dst[1], value[0], value[1], 640, m));
    }
}
