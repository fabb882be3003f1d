from libc.stdint cimport int32_t, uint8_t


cdef extern from "lipwire/picture.h" nogil:
    enum:
        LW_BT709
        LW_BT601
        LW_SIZE_MIN
        LW_SIZE_MAX
    ctypedef struct lw_image:
        const uint8_t *rgba
        int32_t width
        int32_t height
    int lw_size_check(int32_t width, int32_t height)
    ctypedef struct lw_picture:
        uint8_t *i420
        int32_t width
        int32_t height
    int lw_picture_from_rgba(const lw_picture *to, const lw_image *image, int32_t matrix)
    int lw_picture_fill(const lw_picture *to, uint8_t r, uint8_t g, uint8_t b, int32_t matrix)
    int lw_picture_to_rgb(const lw_picture *source, uint8_t *rgb, int32_t matrix)
    int lw_picture_scale(const lw_picture *to, const lw_picture *source)
    ctypedef struct lw_key:
        uint8_t r
        uint8_t g
        uint8_t b
        int32_t similarity
        int32_t smoothness
        int32_t spill
        int32_t matrix
    int lw_chroma_key(uint8_t *out, const lw_image *image, const lw_key *key)
    ctypedef struct lw_sprite:
        pass
    int lw_sprite_open(lw_sprite **out, const lw_image *image, int32_t matrix)
    int lw_sprite_open_scaled(lw_sprite **out, const lw_sprite *source, int32_t width, int32_t height)
    int lw_sprite_width(const lw_sprite *s)
    int lw_sprite_height(const lw_sprite *s)
    size_t lw_sprite_bytes(const lw_sprite *s)
    int lw_sprite_blend(const lw_sprite *s, const lw_picture *to, int32_t x8, int32_t y8)
    ctypedef struct lw_turn:
        int32_t x8
        int32_t y8
        int32_t pivot_x8
        int32_t pivot_y8
        int32_t angle
        int32_t scale_q16
    int lw_sprite_warp(const lw_sprite *s, const lw_picture *to, const lw_turn *turn)
    void lw_sprite_close(lw_sprite **s)
