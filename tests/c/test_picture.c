/* Pictures and sprites: conversion and scaling against references written from the header, sprites against the
 * compositor, chroma key by what it promises; and a hash over all of it that every level and machine has to give. */
#include <math.h>

#include "allocations.h"
#include "check.h"

#define GUARD 64

static uint8_t *noise(size_t n)
{
    uint8_t *p = malloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)random_u32();
    return p;
}

/* A disc with a soft edge, of random colours. */
static uint8_t *disc(int32_t w, int32_t h)
{
    uint8_t *p = noise((size_t)w * h * 4);
    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++) {
            double dx = (x + 0.5) / w - 0.5, dy = (y + 0.5) / h - 0.5, d = 2.2 * sqrt(dx * dx + dy * dy);
            p[4 * (y * w + x) + 3] = (uint8_t)(d < 0.8 ? 255 : d < 1.0 ? (1.0 - d) / 0.2 * 255.0 : 0);
        }
    return p;
}

/* A picture between guards. */
static lw_picture make(int32_t w, int32_t h)
{
    const size_t n = (size_t)w * h * 3 / 2;
    uint8_t *p = malloc(n + 2 * GUARD);
    memset(p, 0xA5, n + 2 * GUARD);
    return (lw_picture){p + GUARD, w, h};
}

static int drop(lw_picture *p)
{
    const size_t n = (size_t)p->width * p->height * 3 / 2;
    int whole = 1;
    for (size_t i = 0; i < GUARD; i++)
        whole &= p->i420[-1 - (ptrdiff_t)i] == 0xA5 && p->i420[n + i] == 0xA5;
    free(p->i420 - GUARD);
    return whole;
}

static size_t bytes_of(const lw_picture *p)
{
    return (size_t)p->width * p->height * 3 / 2;
}

/* ---- colour ---- */

static void test_colour(void)
{
    static const double kr[2] = {0.2126, 0.299}, kb[2] = {0.0722, 0.114};
    static const int32_t sizes[][2] = {{16, 16}, {18, 20}, {64, 34}, {130, 16}, {322, 18}};
    double worst = 0.0, back = 0.0;
    int flat = 1, guards = 1, greys = 1;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int matrix = 0; matrix < 2; matrix++) {
            const int32_t w = sizes[k][0], h = sizes[k][1];
            const double a = kr[matrix], c = kb[matrix];
            uint8_t *rgba = noise((size_t)w * h * 4), *rgb = malloc((size_t)w * h * 3);
            lw_picture p = make(w, h), q = make(w, h);
            CHECK(lw_picture_from_rgba(&p, &(lw_image){rgba, w, h}, matrix) == 0, "RGBA to I420");
            for (int32_t y = 0; y < h / 2; y++)
                for (int32_t x = 0; x < w / 2; x++) {
                    double u = 128.0, v = 128.0;
                    for (int i = 0; i < 4; i++) {
                        const int32_t at = (2 * y + i / 2) * w + 2 * x + i % 2;
                        const uint8_t *s = rgba + 4 * at;
                        const double luma = a * s[0] + (1.0 - a - c) * s[1] + c * s[2];
                        u += (s[2] - luma) / (2.0 - 2.0 * c) * 224.0 / 255.0 / 4.0;
                        v += (s[0] - luma) / (2.0 - 2.0 * a) * 224.0 / 255.0 / 4.0;
                        worst = fmax(worst, fabs(p.i420[at] - 16.0 - luma * 219.0 / 255.0));
                    }
                    worst = fmax(worst, fabs(p.i420[w * h + y * (w / 2) + x] - u));
                    worst = fmax(worst, fabs(p.i420[w * h * 5 / 4 + y * (w / 2) + x] - v));
                }
            /* One colour: what fill makes of it is what conversion makes; and the way back. */
            for (int i = 0; i < 40; i++) {
                uint8_t colour[3] = {(uint8_t)random_u32(), (uint8_t)random_u32(), (uint8_t)random_u32()};
                if (i < 8)
                    memset(colour, i * 255 / 7, 3);
                for (int32_t at = 0; at < w * h; at++)
                    memcpy(rgba + 4 * at, colour, 3);
                lw_picture_from_rgba(&p, &(lw_image){rgba, w, h}, matrix);
                flat &= lw_picture_fill(&q, colour[0], colour[1], colour[2], matrix) == 0 &&
                        !memcmp(p.i420, q.i420, bytes_of(&p));
                greys &= i >= 8 || (p.i420[w * h] == 128 && p.i420[w * h * 5 / 4] == 128);
                greys &= i != 0 || p.i420[0] == 16;
                greys &= i != 7 || p.i420[0] == 235;
                lw_picture_to_rgb(&p, rgb, matrix);
                for (int ch = 0; ch < 3; ch++)
                    back = fmax(back, abs(rgb[ch] - colour[ch]));
            }
            guards &= drop(&p) && drop(&q);
            free(rgba);
            free(rgb);
        }
    printf("# worst conversion error %.3f, there and back %.0f\n", worst, back);
    CHECK(worst < 0.53, "conversion is the Recommendation's, rounded");
    CHECK(back <= 2.0, "and back within what 8 bits of limited range allow");
    CHECK(flat, "a flat picture is what a flat image becomes");
    CHECK(greys, "black is 16, white 235, greys have no colour");
    CHECK(guards, "nothing outside the picture is written");
}

/* ---- scaling ---- */

static int scaled(const uint8_t *src, int32_t sw, int32_t sh, int32_t w, int32_t h, int32_t x, int32_t y)
{
    int32_t q[2], at[2];
    const double place[2] = {(x + 0.5) * sw / w - 0.5, (y + 0.5) * sh / h - 0.5};
    const int32_t most[2] = {sw - 1, sh - 1};
    for (int k = 0; k < 2; k++) {
        double p = floor(place[k] * 128.0 + 0.5 + 1e-9); /* halves up */
        p = p < 0.0 ? 0.0 : p > 128.0 * most[k] ? 128.0 * most[k] : p;
        at[k] = (int32_t)(p / 128.0);
        at[k] = at[k] < most[k] ? at[k] : most[k] - 1;
        q[k] = (int32_t)p - 128 * at[k];
    }
    const uint8_t *s = src + at[1] * sw + at[0];
    const int top = s[0] * (128 - q[0]) + s[1] * q[0], below = s[sw] * (128 - q[0]) + s[sw + 1] * q[0];
    return (top * (128 - q[1]) + below * q[1] + 8192) >> 14;
}

static void test_scale(void)
{
    static const int32_t sizes[][4] = {{48, 48, 32, 32}, {64, 36, 64, 36}, {64, 40, 32, 20}, {30, 50, 128, 102},
                                       {130, 66, 86, 44}, {16, 16, 100, 16}, {322, 18, 214, 16}, {200, 100, 600, 300}};
    int exact = 1, guards = 1;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const int32_t *z = sizes[k];
        lw_picture from = make(z[0], z[1]), to = make(z[2], z[3]);
        for (size_t i = 0; i < bytes_of(&from); i++)
            from.i420[i] = (uint8_t)random_u32();
        exact &= lw_picture_scale(&to, &from) == 0;
        for (int plane = 0; plane < 3; plane++) {
            const int half = plane != 0;
            const uint8_t *s = from.i420 + (plane ? z[0] * z[1] : 0) + (plane == 2 ? z[0] * z[1] / 4 : 0);
            const uint8_t *d = to.i420 + (plane ? z[2] * z[3] : 0) + (plane == 2 ? z[2] * z[3] / 4 : 0);
            for (int32_t y = 0; y < z[3] >> half; y++)
                for (int32_t x = 0; x < z[2] >> half; x++)
                    exact &= d[y * (z[2] >> half) + x] ==
                             scaled(s, z[0] >> half, z[1] >> half, z[2] >> half, z[3] >> half, x, y);
        }
        guards &= drop(&from) && drop(&to);
    }
    CHECK(exact, "scaling is bilinear, bit for bit");
    CHECK(guards, "nothing outside the scaled picture is written");
}

/* ---- sprites ---- */

/* A sprite drawn by itself equals a layer of an avatar that shows it. */
static void test_sprite(void)
{
    int same = 1, guards = 1, turned = 1, full = 1;
    for (int round = 0; round < 60; round++) {
        const int32_t w = 2 * random_in(8, 120), h = 2 * random_in(8, 80);
        const int32_t sw = random_in(1, 220), sh = random_in(1, 150);
        uint8_t *back = noise((size_t)w * h * 4), *rgba = disc(sw, sh);
        const int32_t x8 = random_in(-8 * sw, 8 * w), y8 = random_in(-8 * sh, 8 * h), angle = random_in(1, 65535);
        const int32_t px = random_in(-8 * sw, 16 * sw), py = random_in(-8 * sh, 16 * sh);
        const lw_image images[2] = {{back, w, h}, {rgba, sw, sh}};
        lw_layer layer = {.first_image = 1, .image_count = 1, .select = LW_SELECT_FIXED, .x8 = x8, .y8 = y8,
                          .pivot_x8 = px, .pivot_y8 = py};
        lw_avatar_config config = {.width = w, .height = h, .images = images, .image_count = 2, .layers = &layer,
                                   .layer_count = 1, .matrix = round & 1};
        lw_picture want = make(w, h), got = make(w, h);
        lw_sprite *s = NULL;
        same &= lw_sprite_open(&s, &images[1], round & 1) == 0 && lw_sprite_width(s) == sw && lw_sprite_height(s) == sh;
        for (int turn = 0; turn < 2; turn++) {
            lw_avatar *a = NULL;
            lw_canvas canvas = {0};
            lw_pose pose = {0};
            pose.axis[0] = 32767;
            layer.kangle[0] = turn ? angle + 65536 * random_in(-2, 2) : 0; /* whole turns do not matter */
            same &= lw_avatar_open(&a, &config) == 0 && lw_avatar_draw(a, &pose, want.i420, &canvas, NULL, NULL) == w * h;
            same &= lw_picture_from_rgba(&got, &images[0], round & 1) == 0;
            if (!turn) {
                same &= lw_sprite_blend(s, &got, x8, y8) == 0 && !memcmp(want.i420, got.i420, bytes_of(&want));
                /* Turned by nothing it is the same. */
                lw_picture_from_rgba(&got, &images[0], round & 1);
                full &= lw_sprite_warp(s, &got, &(lw_turn){x8, y8, px, py, 65536, 65536}) == 0 &&
                        !memcmp(want.i420, got.i420, bytes_of(&want));
            } else {
                turned &= lw_sprite_warp(s, &got, &(lw_turn){x8, y8, px, py, canvas.angle[0], 65536}) == 0 &&
                          !memcmp(want.i420, got.i420, bytes_of(&want));
            }
            lw_avatar_close(&a);
        }
        guards &= drop(&want) && drop(&got);
        lw_sprite_close(&s);
        free(back);
        free(rgba);
    }
    CHECK(same, "a sprite is drawn as a layer is");
    CHECK(turned, "and turned as a layer is");
    CHECK(full, "turned by a whole turn it is not turned");
    CHECK(guards, "nothing outside the picture is drawn");
}

/* An opaque sprite of the background's own colour leaves no trace, however turned and scaled: no fringe. */
static void test_no_fringe(void)
{
    int worst = 0;
    for (int round = 0; round < 80; round++) {
        const uint8_t colour[3] = {(uint8_t)random_u32(), (uint8_t)random_u32(), (uint8_t)random_u32()};
        uint8_t *rgba = disc(60, 44);
        for (int i = 0; i < 60 * 44; i++)
            memcpy(rgba + 4 * i, colour, 3);
        lw_picture p = make(160, 120), flat = make(160, 120);
        lw_sprite *s = NULL, *larger = NULL;
        lw_picture_fill(&p, colour[0], colour[1], colour[2], 0);
        lw_picture_fill(&flat, colour[0], colour[1], colour[2], 0);
        lw_sprite_open(&s, &(lw_image){rgba, 60, 44}, 0);
        lw_sprite_open_scaled(&larger, s, random_in(30, 110), random_in(22, 80));
        lw_turn turn = {random_in(0, 800), random_in(0, 600), 240, 176, random_in(0, 65535), random_in(30000, 120000)};
        lw_sprite_warp(s, &p, &turn);
        lw_sprite_blend(larger, &p, random_in(0, 600), random_in(0, 400));
        for (size_t i = 0; i < bytes_of(&p); i++) {
            const int off = abs(p.i420[i] - flat.i420[i]);
            worst = off > worst ? off : worst;
        }
        lw_sprite_close(&s);
        lw_sprite_close(&larger);
        drop(&p);
        drop(&flat);
        free(rgba);
    }
    printf("# a sprite on its own colour: at most %d off\n", worst);
    CHECK(worst <= 3, "edges have no fringe");
}

static void test_scaled_sprite(void)
{
    int ok = 1, whole = 1;
    for (int round = 0; round < 40; round++) {
        /* An opaque one fills its place as a scaled picture does, away from its edges. */
        const int32_t w = 2 * random_in(16, 60), h = 2 * random_in(16, 60), tw = 2 * random_in(w / 4 + 1, w),
                      th = 2 * random_in(h / 4 + 1, h);
        uint8_t *rgba = noise((size_t)w * h * 4);
        for (int32_t i = 0; i < w * h; i++)
            rgba[4 * i + 3] = 255;
        lw_picture small = make(w, h), want = make(tw, th), got = make(tw, th);
        lw_sprite *s = NULL, *t = NULL;
        const lw_image image = {rgba, w, h};
        ok &= lw_picture_from_rgba(&small, &image, 0) == 0 && lw_picture_scale(&want, &small) == 0;
        ok &= lw_sprite_open(&s, &image, 0) == 0 && lw_sprite_open_scaled(&t, s, tw, th) == 0;
        ok &= lw_sprite_width(t) == tw && lw_sprite_height(t) == th && lw_sprite_bytes(t) > (size_t)tw * th;
        lw_picture_fill(&got, 0, 0, 0, 0);
        ok &= lw_sprite_blend(t, &got, 0, 0) == 0;
        const int32_t margin = 2 * (tw / w + 2);
        for (int32_t y = margin; y < th - margin; y++)
            for (int32_t x = margin; x < tw - margin; x++)
                whole &= abs(want.i420[y * tw + x] - got.i420[y * tw + x]) <= 1;
        lw_sprite_close(&s);
        lw_sprite_close(&t);
        drop(&small);
        drop(&want);
        drop(&got);
        free(rgba);
    }
    CHECK(ok && whole, "a scaled sprite is the scaled picture");
}

/* ---- chroma key ---- */

static void test_key(void)
{
    uint8_t in[6][4] = {{0, 255, 0, 255}, {10, 240, 12, 255}, {255, 0, 0, 255}, {128, 128, 128, 200},
                        {90, 200, 90, 255}, {0, 255, 0, 0}};
    uint8_t out[6][4];
    const lw_key key = {.g = 255, .similarity = 16 * 30, .smoothness = 16 * 60, .spill = 16 * 80};
    CHECK(lw_chroma_key(out[0], &(lw_image){in[0], 6, 1}, &key) == 0, "a key is used");
    CHECK(out[0][3] == 0 && out[1][3] == 0 && out[5][3] == 0, "the key's colour goes");
    CHECK(!memcmp(out[2], in[2], 4) && !memcmp(out[3], in[3], 4), "other colours stay as they are");
    CHECK(out[4][3] > 0 && out[4][3] < 255, "between them alpha is between");
    CHECK(out[4][1] - out[4][0] < in[4][1] - in[4][0] && out[4][1] >= out[4][0],
          "and less of the key's colour is left");
    lw_chroma_key(in[0], &(lw_image){in[0], 6, 1}, &key);
    CHECK(!memcmp(in, out, sizeof in), "in place is the same");
    lw_key hard = {.g = 255, .similarity = 16 * 30};
    uint8_t *many = noise(40000), *keyed = malloc(40000);
    int steps = lw_chroma_key(keyed, &(lw_image){many, 100, 100}, &hard) == 0;
    for (int i = 0; i < 10000; i++)
        steps &= keyed[4 * i + 3] == 0 || !memcmp(keyed + 4 * i, many + 4 * i, 4);
    CHECK(steps, "without smoothness a pixel goes or stays");
    free(many);
    free(keyed);
}

/* ---- refusals, golden ---- */

static void test_refusals(void)
{
    uint8_t byte[4] = {0};
    const lw_image image = {byte, 1, 1}, empty = {NULL, 1, 1}, wide = {byte, 8193, 1};
    lw_picture p = make(32, 32), tiny = {p.i420, 14, 32}, odd = {p.i420, 17, 32}, none = {NULL, 32, 32},
               big = make(66, 66);
    lw_sprite *s = (lw_sprite *)(uintptr_t)16, *t = NULL;
    CHECK(lw_sprite_open(&s, &empty, 0) == LW_EINVAL && !s && lw_sprite_open(&s, &wide, 0) == LW_EINVAL &&
              lw_sprite_open(&s, NULL, 0) == LW_EINVAL && lw_sprite_open(NULL, &image, 0) == LW_EINVAL &&
              lw_sprite_open(&s, &image, 2) == LW_EINVAL, "images that are none");
    CHECK(lw_picture_fill(&tiny, 0, 0, 0, 0) == LW_EINVAL && lw_picture_fill(&odd, 0, 0, 0, 0) == LW_EINVAL &&
              lw_picture_fill(&none, 0, 0, 0, 0) == LW_EINVAL && lw_picture_fill(NULL, 0, 0, 0, 0) == LW_EINVAL &&
              lw_picture_fill(&p, 0, 0, 0, -1) == LW_EINVAL, "pictures that are none");
    CHECK(lw_picture_from_rgba(&p, &image, 0) == LW_EINVAL, "an image of another size");
    CHECK(lw_picture_scale(&p, &big) == LW_EINVAL && lw_picture_scale(&big, &p) == 0, "less than half");
    CHECK(lw_picture_to_rgb(&p, NULL, 0) == LW_EINVAL, "no place for RGB");
    CHECK(lw_sprite_open(&s, &image, 0) == 0 && s, "a sprite that shows nothing opens");
    CHECK(lw_sprite_blend(s, &p, 524289, 0) == LW_EINVAL && lw_sprite_blend(NULL, &p, 0, 0) == LW_EINVAL &&
              lw_sprite_blend(s, &odd, 0, 0) == LW_EINVAL && lw_sprite_blend(s, &p, 0, 0) == 0, "places too far");
    CHECK(lw_sprite_warp(s, &p, &(lw_turn){.scale_q16 = 16383}) == LW_EINVAL &&
              lw_sprite_warp(s, &p, &(lw_turn){.scale_q16 = 16 * 65536 + 1}) == LW_EINVAL &&
              lw_sprite_warp(s, &p, NULL) == LW_EINVAL && lw_sprite_warp(s, &p, &(lw_turn){.scale_q16 = 65536}) == 0,
          "scales too far");
    CHECK(lw_sprite_open_scaled(&t, s, 0, 1) == LW_EINVAL && lw_sprite_open_scaled(&t, NULL, 4, 4) == LW_EINVAL &&
              lw_sprite_open_scaled(&t, s, 8193, 1) == LW_EINVAL && lw_sprite_open_scaled(&t, s, 3, 5) == 0,
          "sizes that are none");
    CHECK(lw_chroma_key(byte, &image, &(lw_key){.similarity = -1}) == LW_EINVAL &&
              lw_chroma_key(byte, &image, &(lw_key){.spill = 8193}) == LW_EINVAL &&
              lw_chroma_key(NULL, &image, &(lw_key){0}) == LW_EINVAL && lw_chroma_key(byte, &image, NULL) == LW_EINVAL,
          "keys that are none");
    lw_sprite_close(&s);
    lw_sprite_close(&s);
    lw_sprite_close(&t);
    CHECK(!s, "close nulls");
    drop(&p);
    drop(&big);
}

static void test_golden(void)
{
    static const uint64_t golden = 0x83b51e51cb7ffdf0u;
    uint64_t hash = 14695981039346656037u;
    random_state = 77;
    uint8_t *back = noise(322 * 182 * 4), *rgba = disc(151, 103);
    lw_picture p = make(322, 182), q = make(482, 270);
    lw_sprite *s = NULL, *t = NULL;
    const lw_key key = {.g = 200, .similarity = 300, .smoothness = 400, .spill = 700};
    lw_chroma_key(back, &(lw_image){back, 322, 182}, &key);
    lw_picture_from_rgba(&p, &(lw_image){back, 322, 182}, 0);
    lw_sprite_open(&s, &(lw_image){rgba, 151, 103}, 0);
    lw_sprite_open_scaled(&t, s, 211, 77);
    for (int i = 0; i < 40; i++) {
        int32_t r[8]; /* drawn in order: that of arguments is the compiler's choice */
        for (int k = 0; k < 8; k++)
            r[k] = random_in(0, 65535);
        lw_turn turn = {r[0] % 3200 - 800, r[1] % 2000 - 600, r[2] % 1200, r[3] % 800, r[4], 20000 + 2 * r[5]};
        lw_sprite_blend(i % 2 ? s : t, &p, r[6] % 3200 - 800, r[7] % 2000 - 600);
        lw_sprite_warp(i % 2 ? t : s, &p, &turn);
        lw_picture_scale(&q, &p);
        for (size_t k = 0; k < bytes_of(&q); k++)
            hash = (hash ^ q.i420[k]) * 1099511628211u;
    }
    printf("# golden %016llx\n", (unsigned long long)hash);
    CHECK(hash == golden, "golden planes: new ones only where the arithmetic was changed on purpose");
    lw_sprite_close(&s);
    lw_sprite_close(&t);
    drop(&p);
    drop(&q);
    free(back);
    free(rgba);
}

static void test_allocations(void)
{
#ifdef COUNTING
    uint8_t *rgba = disc(64, 48), *rgb = malloc(64 * 48 * 3);
    const lw_image image = {rgba, 64, 48};
    lw_picture p = make(64, 48), q = make(100, 70);
    lw_sprite *s = NULL;
    int before = allocations;
    lw_sprite_open(&s, &image, 0);
    CHECK(allocations == before + 1, "a sprite is one allocation");
    before = allocations;
    lw_chroma_key(rgba, &image, &(lw_key){.g = 255, .similarity = 90, .smoothness = 90});
    lw_picture_from_rgba(&p, &image, 0);
    lw_picture_fill(&q, 1, 2, 3, 0);
    lw_sprite_blend(s, &q, 21, 13);
    lw_sprite_warp(s, &q, &(lw_turn){100, 80, 256, 192, 9000, 90000});
    lw_picture_scale(&q, &p);
    lw_picture_to_rgb(&p, rgb, 0);
    CHECK(allocations == before, "and drawing, converting and scaling allocate nothing");
    lw_sprite_close(&s);
    drop(&p);
    drop(&q);
    free(rgba);
    free(rgb);
#else
    printf("# allocations are counted only without sanitizers\n");
#endif
}

int main(void)
{
    test_allocations();
    test_colour();
    test_scale();
    test_sprite();
    test_no_fringe();
    test_scaled_sprite();
    test_key();
    test_refusals();
    test_golden();
    return failures != 0;
}
