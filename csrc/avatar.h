/* What avatar.c loads and compose.c draws. Nothing here is exported. */
#ifndef LW_AVATAR_H
#define LW_AVATAR_H

#include "head.h"
#include "lipwire/avatar.h"
#include "sprite.h"

struct lw_avatar {
    int32_t width, height, matrix;
    int32_t image_count, layer_count, mouth_dims, mouth_count;
    size_t bytes;
    uint8_t *background; /* I420 */
    lw_sprite_data *sprites;
    lw_layer *layers;
    int16_t *mouth_coords;  /* [mouth_count][mouth_dims] */
    int16_t *viseme_coords; /* [LW_VISEMES][mouth_dims] */
    int32_t rest_mouth;
    lw_head_shape head;
};

/* Index of the mouth image whose coordinate is nearest to the pose's. */
int32_t lw_avatar_mouth(const lw_avatar *a, const lw_pose *pose);

#endif
