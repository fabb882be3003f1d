/* Pictures and sprites: RGB to I420 and back, scaling, chroma key, and drawing images with alpha on a frame.
 *
 * All of it is integer arithmetic with the rounding stated, the same bits on every machine. Functions return 0, or
 * LW_EINVAL where a size, a pointer or a place is out of range; then nothing was drawn.
 *
 * Example of use:
 *
 *     static uint8_t rgba[16 * 16 * 4], frame[64 * 36 * 3 / 2];
 *     lw_picture picture = {.i420 = frame, .width = 64, .height = 36};
 *     lw_sprite *sprite;
 *     if (lw_sprite_open(&sprite, &(lw_image){.rgba = rgba, .width = 16, .height = 16}, LW_BT709) < 0)
 *         return 1;
 *     lw_picture_fill(&picture, 0, 96, 128, LW_BT709);
 *     lw_sprite_blend(sprite, &picture, 8 * 10, 8 * 10 + 4); // at (10, 10.5)
 *     lw_sprite_close(&sprite);
 */
#ifndef LIPWIRE_PICTURE_H
#define LIPWIRE_PICTURE_H

#include "lipwire/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* RGB to YUV: Rec. ITU-R BT.709-6 or BT.601-7, limited range (Y 16..235, U and V 16..240), coefficients in Q14. One
 * luma pixel is rounded once; a chroma pixel is the mean of four, rounded once at the end. */
enum lw_matrix { LW_BT709 = 0, LW_BT601 = 1 };

/* Straight-alpha RGBA, 8 bit, rows packed, sides of 1..LW_IMAGE_MAX pixels. */
#define LW_IMAGE_MAX 8192
typedef struct lw_image {
    const uint8_t *rgba;
    int32_t width, height;
} lw_image;

/* Frames have even sides of LW_SIZE_MIN..LW_SIZE_MAX pixels: 0, or LW_EINVAL. */
#define LW_SIZE_MIN 16
#define LW_SIZE_MAX 4096
int lw_size_check(int32_t width, int32_t height);

/* I420: width * height * 3 / 2 contiguous bytes, of a size that lw_size_check allows. */
typedef struct lw_picture {
    uint8_t *i420;
    int32_t width, height;
} lw_picture;

/* An image of the same size; its alpha is ignored. */
int lw_picture_from_rgba(const lw_picture *to, const lw_image *image, int32_t matrix);
int lw_picture_fill(const lw_picture *to, uint8_t r, uint8_t g, uint8_t b, int32_t matrix);
/* To width * height * 3 bytes of RGB. A chroma sample stands for its four pixels; rounded once, limited to 0..255. */
int lw_picture_to_rgb(const lw_picture *from, uint8_t *rgb, int32_t matrix);
/* Bilinear. Pixel i samples `from` at (i + 1/2) * from / to - 1/2, rounded to 128ths of a pixel, edges repeated; the
 * four products are rounded once. No size may fall below half (LW_EINVAL): exactly a half is the mean of 2 x 2 pixels,
 * so scale repeatedly. The two must not overlap. */
int lw_picture_scale(const lw_picture *to, const lw_picture *from);

/* Makes what has the key's colour transparent, by the distance of (U, V) from the key's in steps of 8 bits: up to
 * `similarity` alpha becomes 0, from there it rises to what it was over `smoothness`; over `spill` colours rise from
 * grey of their own luma, so that no rim of the key's colour is left. The three are in 16ths of a step, 0..8192; the
 * square of the distance is rounded down to a multiple of 8. `out` has the image's size and may be the image itself. */
typedef struct lw_key {
    uint8_t r, g, b;
    int32_t similarity, smoothness, spill;
    int32_t matrix;
} lw_key;
int lw_chroma_key(uint8_t *out, const lw_image *image, const lw_key *key);

/* An image in the compositor's form: premultiplied, with alpha in both resolutions, trimmed to what is visible.
 * Immutable after open.
 *   luma     (Y * alpha) / 255, rounded
 *   chroma   sum of four U * alpha / 1020, rounded; alpha: their mean, halves rounded up
 *   sampled  (sum of 4 neighbours * weights + 128) >> 8, weights in 16ths x 16ths; transparent outside
 *   drawn    sample + dst * (255 - alpha) / 255, the quotient rounded, the sum limited to 255 */
typedef struct lw_sprite lw_sprite;
int lw_sprite_open(lw_sprite **out, const lw_image *image, int32_t matrix);
/* The same, scaled as lw_picture_scale does, transparent beyond its edges. */
int lw_sprite_open_scaled(lw_sprite **out, const lw_sprite *from, int32_t width, int32_t height);
int lw_sprite_width(const lw_sprite *s);
int lw_sprite_height(const lw_sprite *s);
size_t lw_sprite_bytes(const lw_sprite *s);
/* Draws it with its top left corner at (x8, y8) eighths of a luma pixel, each +-524288. */
int lw_sprite_blend(const lw_sprite *s, const lw_picture *to, int32_t x8, int32_t y8);
/* Draws it turned clockwise by angle / 65536 turns and scaled by scale_q16 / 65536 (1/4..16) about a pivot of the
 * image, which stays where it would be in lw_sprite_blend. The place that a pixel samples is rounded to 16ths of a
 * pixel. */
typedef struct lw_turn {
    int32_t x8, y8, pivot_x8, pivot_y8;
    int32_t angle, scale_q16;
} lw_turn;
int lw_sprite_warp(const lw_sprite *s, const lw_picture *to, const lw_turn *turn);
void lw_sprite_close(lw_sprite **s);

#ifdef __cplusplus
}
#endif
#endif
