/* An avatar's head: the layers that turn as one, composed upright and then drawn as one sprite. Nothing here but what
 * lipwire/avatar.h declares is exported. */
#ifndef LW_HEAD_H
#define LW_HEAD_H

#include "lipwire/avatar.h"
#include "sprite.h"

/* `count` layers from `first` on, drawn on the pixels of layer `anchor`'s image. The planes say which of these, around
 * and beyond the image, the layers may touch; they have no memory. count 0: there is no head. */
typedef struct lw_head_shape {
    int32_t first, count, anchor;
    lw_plane plane[2];
} lw_head_shape;

/* Of the layers that follow each other and turn by the same about the same place, the most; if there are two or more,
 * and if what they may touch is not far larger than a frame. The sprites are filled. */
lw_head_shape lw_head_find(const lw_avatar *a);

/* 1 where a layer belongs to it. */
int lw_head_has(const lw_avatar *a, int32_t layer);
/* A layer of the head at its place on the head's plane. */
lw_placed lw_head_place(const lw_avatar *a, int32_t layer, const lw_canvas *c, int chroma);
/* 1 where a layer of the head is another one, or elsewhere on it. */
int lw_head_differs(const lw_avatar *a, int32_t layer, const lw_canvas *c, const lw_canvas *other);

/* Composes what differs; then the planes are what `want` shows. */
void lw_head_compose(lw_head *h, const lw_avatar *a, const lw_canvas *want);
/* 1 where an avatar can be drawn with it. */
int lw_head_fits(const lw_head *h, const lw_avatar *a);
const lw_plane *lw_head_plane(const lw_head *h, int chroma);

#endif
