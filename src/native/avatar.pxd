from libc.stdint cimport int16_t, int32_t, uint8_t

from native.motion cimport LW_AXES, lw_pose
from native.picture cimport lw_image


cdef extern from "lipwire/avatar.h" nogil:
    enum:
        LW_MAX_LAYERS
        LW_SELECT_FIXED
        LW_SELECT_MOUTH
    ctypedef struct lw_layer:
        int32_t first_image
        int32_t image_count
        int32_t select
        int32_t x8
        int32_t y8
        int32_t kx8[LW_AXES]
        int32_t ky8[LW_AXES]
        int32_t pivot_x8
        int32_t pivot_y8
        int32_t kangle[LW_AXES]
    ctypedef struct lw_avatar:
        pass
    ctypedef struct lw_avatar_config:
        int32_t width
        int32_t height
        const lw_image *images
        int32_t image_count
        const lw_layer *layers
        int32_t layer_count
        int32_t mouth_dims
        int32_t mouth_count
        const int16_t *mouth_coords
        const int16_t *viseme_coords
        int32_t matrix
    int lw_avatar_open(lw_avatar **out, const lw_avatar_config *config)
    int lw_avatar_width(const lw_avatar *a)
    int lw_avatar_height(const lw_avatar *a)
    int lw_avatar_matrix(const lw_avatar *a)
    size_t lw_avatar_bytes(const lw_avatar *a)
    void lw_avatar_close(lw_avatar **a)
    ctypedef struct lw_canvas:
        int32_t valid
        int32_t image[LW_MAX_LAYERS]
        int32_t x8[LW_MAX_LAYERS]
        int32_t y8[LW_MAX_LAYERS]
        int32_t angle[LW_MAX_LAYERS]
    int lw_canvas_same(const lw_canvas *a, const lw_canvas *b)
    ctypedef struct lw_head:
        pass
    int lw_head_open(lw_head **out, const lw_avatar *a)
    int lw_avatar_head(const lw_avatar *a, int32_t *first, int32_t *anchor)
    void lw_head_close(lw_head **h)
    int lw_avatar_draw(const lw_avatar *a, const lw_pose *pose, uint8_t *i420, lw_canvas *canvas, lw_head *head,
                       int *mouth_open)
