/* What lies on one plane kind (luma; U and V) of a picture, and the parts of it that have to be drawn again. Nothing here
 * is exported. */
#ifndef LW_SCENE_H
#define LW_SCENE_H

#include "lipwire/avatar.h"
#include "sprite.h"

typedef struct lw_scene {
    lw_placed at[LW_MAX_LAYERS]; /* bottom to top */
    int32_t count;
    int32_t width, height;
    lw_box dirty[(LW_SIZE_MAX + LW_BAND - 1) / LW_BAND]; /* of each band of LW_BAND rows */
} lw_scene;

/* Nothing lies on it yet; all of it is dirty, or nothing. */
void lw_scene_begin(lw_scene *s, int32_t width, int32_t height, int dirty);
/* What p may touch has to be drawn again. */
void lw_scene_dirty(lw_scene *s, const lw_placed *p);
/* Draws what is dirty. `own` is the plane with masks that the surface is the memory of, or NULL. Returns the pixels drawn,
 * of one of the surface's planes. */
int lw_scene_paint(const lw_scene *s, const lw_surface *to, lw_plane *own);

#endif
