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

static void check_blend(const lw_dsp *c, const lw_dsp *candidate, const char *name)
{
    const int copies = !strcmp(name, "copy");
    for (int round = 0; round < MOST + 20; round++) {
        const size_t n = length(round);
        const rows d = destinations(n);
        uint8_t *value = ca_end_of_page(n + LW_PIXEL_PAD), *alpha = ca_end_of_page(n + LW_PIXEL_PAD);
        noise(value, n + LW_PIXEL_PAD, round % 3 == 0);
        noise(alpha, n + LW_PIXEL_PAD, round % 5 == 0);
        if (copies) {
            c->copy(d.want + 32, value, n);
            candidate->copy(d.got + 32, value, n);
        } else {
            c->blend(d.want + 32, value, alpha, n);
            candidate->blend(d.got + 32, value, alpha, n);
        }
        ca_same(d.want, d.got, d.bytes, "n %zu", n);
        ca_release();
    }
    /* Every destination with every alpha. */
    for (int alpha = 0; alpha < 256 && !copies; alpha++) {
        uint8_t a[256 + LW_PIXEL_PAD], v[256 + LW_PIXEL_PAD] = {0}, want[256], got[256];
        memset(a, alpha, sizeof a);
        for (int i = 0; i < 256; i++)
            want[i] = got[i] = (uint8_t)i;
        c->blend(want, v, a, 256);
        candidate->blend(got, v, a, 256);
        ca_same(want, got, 256, "alpha %d", alpha);
    }
}

static void check_lerp(const lw_dsp *c, const lw_dsp *candidate, int blends)
{
    for (int round = 0; round < 256 + MOST; round++) {
        const size_t n = round < 256 ? (size_t)ca_random_in(1, 200) : length(round - 256);
        const int32_t wx = round < 256 ? round & 15 : ca_random_in(0, 15), wy = round < 256 ? round >> 4 : 1;
        if (!wx && !wy)
            continue;
        const size_t pitch = n + 1 + (size_t)ca_random_in(0, 40), bytes = pitch + n + 1 + LW_PIXEL_PAD;
        const rows d = destinations(n);
        uint8_t *value = ca_end_of_page(bytes), *alpha = ca_end_of_page(bytes);
        noise(value, bytes, round % 3 == 0);
        noise(alpha, bytes, round % 4 == 0);
        if (blends) {
            c->lerp_blend(d.want + 32, value, alpha, (ptrdiff_t)pitch, wx, wy, n);
            candidate->lerp_blend(d.got + 32, value, alpha, (ptrdiff_t)pitch, wx, wy, n);
        } else {
            c->lerp(d.want + 32, value, (ptrdiff_t)pitch, wx, wy, n);
            candidate->lerp(d.got + 32, value, (ptrdiff_t)pitch, wx, wy, n);
        }
        ca_same(d.want, d.got, d.bytes, "n %zu, at %d %d", n, wx, wy);
        ca_release();
    }
}

static void check_warp(const lw_dsp *c, const lw_dsp *candidate)
{
    enum { W = 90, H = 70, PITCH = W + 2 };
    for (int round = 0; round < 600; round++) {
        const size_t bytes = PITCH * (H + 2) + LW_PIXEL_PAD;
        uint8_t *alpha = ca_end_of_page(bytes), *value[2] = {ca_end_of_page(bytes), ca_end_of_page(bytes)};
        noise(alpha, bytes, round % 4 == 0);
        for (size_t i = 0; i < bytes; i++) {
            if (round % 5 == 0 && i / PITCH % 16 < 9)
                alpha[i] = 0;
            for (int k = 0; k < 2; k++)
                value[k][i] = (uint8_t)ca_random_in(0, alpha[i]); /* premultiplied */
        }
        /* From one place of the sprite, border included, to another. */
        const int32_t n = ca_random_in(1, 150), u0 = ca_random_in(-65536, W * 65536 - 1),
                      v0 = ca_random_in(-65536, H * 65536 - 1);
        int32_t u1 = ca_random_in(-65536, W * 65536 - 1), v1 = ca_random_in(-65536, H * 65536 - 1);
        if (round % 3) { /* nearly level, as a head sways: some steeper, some narrower than vectors take at once */
            u1 = lw_clamp(u0 + n * ca_random_in(0, 140000), -65536, W * 65536 - 1);
            v1 = lw_clamp(v0 + n * ca_random_in(-9000, 9000), -65536, H * 65536 - 1);
        }
        const lw_warp w = {.u = u0, .v = v0, .du = (u1 - u0) / n, .dv = (v1 - v0) / n, .pitch = PITCH};
        const rows d[2] = {destinations((size_t)n), destinations((size_t)n)};
        const uint8_t *const from[2] = {value[0] + PITCH + 1, value[1] + PITCH + 1};
        uint8_t *const want[2] = {d[0].want + 32, d[1].want + 32}, *const got[2] = {d[0].got + 32, d[1].got + 32};
        const int count = 1 + (round & 1); /* with one, the second row stays as it is */
        c->warp_blend(want, from, count, alpha + PITCH + 1, &w, (size_t)n);
        candidate->warp_blend(got, from, count, alpha + PITCH + 1, &w, (size_t)n);
        for (int k = 0; k < 2; k++)
            ca_same(d[k].want, d[k].got, d[k].bytes, "row %d, n %d, from %d %d by %d %d", k, n, w.u, w.v, w.du, w.dv);
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

void check_pixels(const lw_dsp *c, const lw_dsp *candidate)
{
    static uint8_t value[2][4096 * 4 + 128], alpha[2][4096 + 128], dst[2][4096];
    static int16_t wide[2][4096];
    static uint16_t at[1280], weight[1280];
    const lw_rgb_matrix *m = &lw_rgb_matrices[0];
    noise(value[0], sizeof value, 0);
    noise(alpha[0], sizeof alpha, 0);
    for (int i = 0; i < 1280; i++) {
        at[i] = (uint16_t)(i * 3 / 2);
        weight[i] = (uint16_t)(96 | 32 << 8);
    }

    if (ca_kernel("copy", c->copy == candidate->copy)) {
        check_blend(c, candidate, "copy");
        CA_BENCH("copy 8 pixels", 8, "pixel", c->copy(dst[0], value[0], 8), candidate->copy(dst[0], value[0], 8));
        CA_BENCH("copy 200 pixels", 200, "pixel", c->copy(dst[0], value[0], 200),
                 candidate->copy(dst[0], value[0], 200));
    }
    if (ca_kernel("blend", c->blend == candidate->blend)) {
        check_blend(c, candidate, "blend");
        CA_BENCH("blend 256 pixels", 256, "pixel", c->blend(dst[0], value[0], alpha[0], 256),
                 candidate->blend(dst[0], value[0], alpha[0], 256));
    }
    if (ca_kernel("lerp", c->lerp == candidate->lerp)) {
        check_lerp(c, candidate, 0);
        CA_BENCH("lerp 256 pixels", 256, "pixel", c->lerp(dst[0], value[0], 300, 6, 10, 256),
                 candidate->lerp(dst[0], value[0], 300, 6, 10, 256));
    }
    if (ca_kernel("lerp_blend", c->lerp_blend == candidate->lerp_blend)) {
        check_lerp(c, candidate, 1);
        CA_BENCH("lerp_blend 8 pixels", 8, "pixel", c->lerp_blend(dst[0], value[0], alpha[0], 300, 6, 10, 8),
                 candidate->lerp_blend(dst[0], value[0], alpha[0], 300, 6, 10, 8));
        CA_BENCH("lerp_blend 256 pixels", 256, "pixel", c->lerp_blend(dst[0], value[0], alpha[0], 300, 6, 10, 256),
                 candidate->lerp_blend(dst[0], value[0], alpha[0], 300, 6, 10, 256));
    }
    if (ca_kernel("warp_blend", c->warp_blend == candidate->warp_blend)) {
        const lw_warp w = {.u = 0, .v = 0, .du = 65520, .dv = 1600, .pitch = 300};
        check_warp(c, candidate);
        uint8_t *const to[2] = {dst[0], dst[1]};
        const uint8_t *const from[2] = {value[0], value[0] + 400};
        CA_BENCH("warp_blend 256 pixels", 256, "pixel", c->warp_blend(to, from, 1, value[1], &w, 256),
                 candidate->warp_blend(to, from, 1, value[1], &w, 256));
        CA_BENCH("warp_blend 256 pixels of U and V", 256, "pixel", c->warp_blend(to, from, 2, value[1], &w, 256),
                 candidate->warp_blend(to, from, 2, value[1], &w, 256));
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
