/* Lipwire's pixels against libyuv's, C to C, in turn: bench/compose.py builds it and reads what it prints, lines of
 * "name, best ns ours, best ns theirs, largest error ours, theirs". */
#include <libyuv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lipwire/lipwire.h"

enum { SIDE = 256, SIZE = SIDE * SIDE * 3 / 2 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int rounds;

static void copy(void *to, const void *from, size_t n)
{
    memcpy(to, from, n);
    __asm__ volatile("" ::: "memory");
}

#define IN_TURN(ours, theirs, inner)                                                                                \
    double best[2] = {1e18, 1e18};                                                                                  \
    for (int round = 0; round < rounds; round++) {                                                                  \
        double t0 = now();                                                                                          \
        for (int i = 0; i < inner; i++)                                                                             \
            ours;                                                                                                   \
        double t1 = now();                                                                                          \
        for (int i = 0; i < inner; i++)                                                                             \
            theirs;                                                                                                 \
        double t2 = now();                                                                                          \
        best[0] = t1 - t0 < best[0] ? t1 - t0 : best[0];                                                            \
        best[1] = t2 - t1 < best[1] ? t2 - t1 : best[1];                                                            \
    }                                                                                                               \
    best[0] /= inner, best[1] /= inner

static uint8_t *noise(size_t n)
{
    static uint32_t state = 1;
    uint8_t *p = malloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
    return p;
}

/* A sprite of 256 x 256 on a picture as large. */
static void blend(const char *name, int soft)
{
    uint8_t *rgba = noise(SIDE * SIDE * 4), *back = noise(SIZE), *ours = malloc(SIZE), *theirs = malloc(SIZE);
    uint8_t *alpha = malloc(SIDE * SIDE), *straight = malloc(SIZE);
    for (int i = 0; i < SIDE * SIDE; i++) {
        const double x = (i % SIDE + 0.5) / SIDE - 0.5, y = (i / SIDE + 0.5) / SIDE - 0.5;
        const double far = 2.0 * sqrt(x * x + y * y);
        if (!soft) /* a disc whose edge is 3 pixels wide */
            rgba[4 * i + 3] = (uint8_t)(far < 0.97 ? 255 : far < 1.0 ? (1.0 - far) / 0.03 * 255.0 : 0);
        memset(rgba + 4 * i, (int)(128.0 + 100.0 * x), 3); /* grey, so that theirs is not judged by chroma's mean */
        alpha[i] = rgba[4 * i + 3];
    }
    const lw_image image = {rgba, SIDE, SIDE};
    const lw_picture flat = {straight, SIDE, SIDE}, to = {ours, SIDE, SIDE};
    lw_sprite *s;
    lw_picture_from_rgba(&flat, &image, LW_BT709);
    if (lw_sprite_open(&s, &image, LW_BT709) < 0)
        exit(1);
    const int q = SIDE * SIDE / 4, l = SIDE * SIDE, h = SIDE / 2;
#define THEIRS                                                                                                      \
    I420Blend(straight, SIDE, straight + l, h, straight + l + q, h, theirs, SIDE, theirs + l, h, theirs + l + q, h, \
              alpha, SIDE, theirs, SIDE, theirs + l, h, theirs + l + q, h, SIDE, SIDE)
    memcpy(ours, back, SIZE);
    memcpy(theirs, back, SIZE);
    lw_sprite_blend(s, &to, 0, 0);
    THEIRS;
    double worst[2] = {0};
    for (int i = 0; i < l; i++) {
        const double a = alpha[i] / 255.0, want = straight[i] * a + back[i] * (1.0 - a);
        worst[0] = fmax(worst[0], fabs(ours[i] - want));
        worst[1] = fmax(worst[1], fabs(theirs[i] - want));
    }
    IN_TURN(lw_sprite_blend(s, &to, 0, 0), THEIRS, 20);
    printf("%s,%g,%g,%.2f,%.2f\n", name, best[0], best[1], worst[0], worst[1]);
    if (soft) {
        IN_TURN(lw_sprite_blend(s, &to, 12, 12), THEIRS, 20);
        printf("%s at a sub-pixel position (libyuv: whole pixels),%g,%g,%.2f,%.2f\n", name, best[0], best[1], worst[0],
               worst[1]);
    }
    /* Read: values, alpha, the picture; written: the picture. A copy of half of that moves as many bytes. */
    const size_t traffic = (3 * SIZE + l + q) / 2;
    uint8_t *from = noise(traffic), *there = noise(traffic);
    {
        IN_TURN(lw_sprite_blend(s, &to, 0, 0), copy(there, from, traffic), 20);
        printf("%s against memcpy of as many bytes,%g,%g,0,0\n", name, best[0], best[1]);
    }
    lw_sprite_close(&s);
    free(rgba), free(back), free(ours), free(theirs), free(alpha), free(straight), free(from), free(there);
}

static void rgba(int w, int h)
{
    const size_t n = (size_t)w * h;
    uint8_t *image = noise(n * 4), *ours = malloc(n * 3 / 2), *theirs = malloc(n * 3 / 2);
    const lw_image from = {image, w, h};
    const lw_picture to = {ours, w, h};
#define CONVERT ABGRToI420(image, 4 * w, theirs, w, theirs + n, w / 2, theirs + n * 5 / 4, w / 2, w, h)
    lw_picture_from_rgba(&to, &from, LW_BT601); /* theirs is BT.601 */
    CONVERT;
    double worst[2] = {0};
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = image + 4 * i;
        const double want = 16.0 + (0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]) * 219.0 / 255.0;
        worst[0] = fmax(worst[0], fabs(ours[i] - want));
        worst[1] = fmax(worst[1], fabs(theirs[i] - want));
    }
    IN_TURN(lw_picture_from_rgba(&to, &from, LW_BT601), CONVERT, 3);
    printf("RGBA to I420 %dx%d,%g,%g,%.2f,%.2f\n", w, h, best[0], best[1], worst[0], worst[1]);
    free(image), free(ours), free(theirs);
}

int main(int argc, char **argv)
{
    rounds = argc > 1 ? atoi(argv[1]) : 300;
    lw_cpu_use(lw_cpu_detect());
    blend("256x256 disc onto I420", 0);
    blend("256x256 sprite of random alpha onto I420", 1);
    rgba(640, 360);
    rgba(1280, 720);
    return 0;
}
