/* Avatars: layers of images over a background, chosen and moved by a pose.
 *
 * An avatar is made once, for one frame size, and then draws poses. A canvas remembers what a frame buffer shows, so
 * that drawing a pose touches only what changed.
 *
 * Example of use:
 *
 *     static uint8_t background[64 * 36 * 4], frame[64 * 36 * 3 / 2];
 *     lw_avatar *a;
 *     lw_image image = {.rgba = background, .width = 64, .height = 36};
 *     if (lw_avatar_open(&a, &(lw_avatar_config){.width = 64, .height = 36, .images = &image, .image_count = 1}) < 0)
 *         return 1;
 *     lw_head *head;
 *     if (lw_head_open(&head, a) < 0)
 *         return 1;
 *     lw_canvas canvas = {0};
 *     lw_pose pose = {0};
 *     int first = lw_avatar_draw(a, &pose, frame, &canvas, head, NULL);  // all of it: 64 * 36
 *     int second = lw_avatar_draw(a, &pose, frame, &canvas, head, NULL); // nothing has changed: 0
 *     lw_head_close(&head);
 *     lw_avatar_close(&a);
 *     return first != 64 * 36 || second != 0;
 */
#ifndef LIPWIRE_AVATAR_H
#define LIPWIRE_AVATAR_H

#include "lipwire/base.h"
#include "lipwire/motion.h"
#include "lipwire/picture.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LW_MAX_LAYERS 32
#define LW_MOUTH_DIMS 16
#define LW_SELECT_FIXED (-1) /* the first image */
#define LW_SELECT_MOUTH (-2) /* the image whose mouth coordinate is nearest to the pose's */

/* A layer shows one image of its bank at a position that is linear in the pose's axes:
 * x = (x8 + sum kx8[a] * axis[a]) / 8 pixels, y likewise (eighths of a luma pixel at full deflection), and turned about
 * its pivot by sum kangle[a] * axis[a]. A chroma pixel lies in the middle of its four luma pixels. The layers of a head
 * (lw_head) turn as one, about the pivot of the one that covers most. */
typedef struct lw_layer {
    int32_t first_image, image_count; /* all images of a layer have one size */
    int32_t select;                   /* an lw_axis (bank index linear in 0..1), LW_SELECT_FIXED or _MOUTH */
    int32_t x8, y8;
    int32_t kx8[LW_AXES], ky8[LW_AXES];
    int32_t pivot_x8, pivot_y8;       /* eighths of a luma pixel from the image's top left corner, +-524288 */
    int32_t kangle[LW_AXES];          /* turns x 65536 at full deflection, + is clockwise; all 0: never turned */
} lw_layer;

typedef struct lw_avatar lw_avatar;
typedef struct lw_avatar_config {
    int32_t width, height;         /* frame size in luma pixels, see lw_size_check */
    const lw_image *images;        /* image 0 is the opaque background, width x height */
    int32_t image_count;
    const lw_layer *layers;        /* bottom to top, above the background */
    int32_t layer_count;
    int32_t mouth_dims;            /* 1..LW_MOUTH_DIMS */
    int32_t mouth_count;           /* coordinates given = images in the LW_SELECT_MOUTH layer */
    const int16_t *mouth_coords;   /* [mouth_count][mouth_dims], any fixed-point scale */
    const int16_t *viseme_coords;  /* [LW_VISEMES][mouth_dims], the same scale */
    int32_t matrix;                /* enum lw_matrix: of the frames drawn */
} lw_avatar_config;

/* Converts the images to premultiplied I420 with alpha; nothing of the config is kept. Immutable after open: any number
 * of performers on any thread may share it, and it must outlive them. */
int lw_avatar_open(lw_avatar **out, const lw_avatar_config *config);
int lw_avatar_width(const lw_avatar *a);
int lw_avatar_height(const lw_avatar *a);
int lw_avatar_matrix(const lw_avatar *a);
size_t lw_avatar_bytes(const lw_avatar *a); /* native memory held */
void lw_avatar_close(lw_avatar **a);

/* Memory in which an avatar's head is composed upright, before it is drawn turned or at a fraction of a pixel: one for all
 * frames that are drawn in turn, as those of a session are. A head is the layers that follow each other, turn by the same
 * angle about the same place and so are one thing on the frame. For an avatar that has none *out is NULL, and 0 is
 * returned. What is drawn does not depend on what was drawn before. One thread at a time; the avatar must outlive it. */
typedef struct lw_head lw_head;
int lw_head_open(lw_head **out, const lw_avatar *a);
/* Which layers that is, for who draws them elsewhere: how many from layer *first on (0: there is no head), all of them
 * about the pivot, at the place and by the angle of layer *anchor. */
int lw_avatar_head(const lw_avatar *a, int32_t *first, int32_t *anchor);
size_t lw_head_bytes(const lw_head *h); /* native memory held, once it has been drawn; 0 for NULL */
void lw_head_close(lw_head **h);

/* What a frame buffer shows, so that the next drawing into it touches only what changed. */
typedef struct lw_canvas {
    int32_t valid; /* 0: unknown, draw everything */
    int32_t image[LW_MAX_LAYERS], x8[LW_MAX_LAYERS], y8[LW_MAX_LAYERS], angle[LW_MAX_LAYERS];
} lw_canvas;

/* 1 if both are known and show the same. */
int lw_canvas_same(const lw_canvas *a, const lw_canvas *b);

/* Draws the pose into an I420 frame of width * height * 3 / 2 contiguous bytes; `head` is what lw_head_open gave for
 * this avatar. Returns the luma pixels redrawn (0 when the frame already showed it); *mouth_open (may be NULL) is 1 when the mouth image is not the
 * one at rest. */
int lw_avatar_draw(const lw_avatar *a, const lw_pose *pose, uint8_t *i420, lw_canvas *canvas, lw_head *head,
                   int *mouth_open);

#ifdef __cplusplus
}
#endif
#endif
