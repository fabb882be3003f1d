from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from native.motion cimport LW_AXES, lw_pose


cdef extern from "lipwire/stitch.h" nogil:
    enum:
        LW_SLICE_P
        LW_SLICE_I
        LW_ATLAS_STRIPES
        LW_ATLAS_CHOICES
        LW_ATLAS_VARIANTS
        LW_ATLAS_NONE
        LW_ATLAS_REFRESH
        LW_ATLAS_SPEAKING
        LW_STRIPE_STATIC
        LW_STRIPE_MOVING
        LW_STRIPE_CHOICE
        LW_ANNEX_B
        LW_AVCC
        LW_AVCC_BYTES
    ctypedef struct lw_payload:
        const uint8_t *bits
        size_t bit_length
        int32_t type
        int32_t qp
    int lw_nal_next(const uint8_t *stream, size_t n, size_t *at, const uint8_t **nal, size_t *bytes)
    int lw_slice_read(const void *nal, size_t n, const void *sps, size_t sps_bytes, const void *pps, size_t pps_bytes,
                      uint8_t *bits, size_t room, lw_payload *payload, int32_t *first_mb, const char **why)
    int64_t lw_slice_store(const lw_payload *payload, int32_t first_mb, uint8_t *out, size_t room)
    ctypedef struct lw_slice_box:
        int32_t columns
        int32_t rows
        int32_t left
        int32_t top
        int32_t width
        int32_t height
    enum:
        LW_RESIDUAL_LEVELS
        LW_RESIDUAL_BYTES
    ctypedef struct lw_residual:
        const int16_t *levels
        int32_t qp
    size_t LW_PATCH_BYTES(size_t around, size_t box, size_t macroblocks)
    int lw_slice_patch(const lw_payload *around, const lw_residual *residual, const lw_payload *box,
                       const lw_slice_box *where, uint8_t *bits, size_t room, lw_payload *payload, const char **why)
    ctypedef struct lw_atlas_stripe:
        int32_t kind
        int32_t rows
        uint32_t still
        int32_t variants
        int32_t refresh
        int32_t weight[LW_AXES]
        const int16_t *values
        const int64_t *costs
    ctypedef struct lw_atlas_node:
        int16_t axis[LW_AXES]
        int32_t anchor
    ctypedef struct lw_atlas_segment:
        int32_t first
        int32_t count
        uint32_t modes
    ctypedef struct lw_atlas_slice:
        uint64_t at
        uint32_t bytes
        int32_t type
        int32_t qp
        int32_t stripe
    ctypedef struct lw_atlas_plan:
        int32_t width
        int32_t height
        int32_t fps_num
        int32_t fps_den
        int32_t matrix
        uint32_t walk_axes
        int16_t axis_min[LW_AXES]
        int16_t axis_max[LW_AXES]
        int32_t mouths
        const lw_atlas_stripe *stripes
        int32_t stripe_count
        const lw_atlas_node *nodes
        int32_t node_count
        const lw_atlas_segment *segments
        int32_t segment_count
        const uint32_t *entries
        const lw_atlas_slice *slices
        uint32_t slice_count
        const uint8_t *data
        uint64_t data_bytes
        const void *note
        uint32_t note_bytes
    int64_t lw_atlas_pack(const lw_atlas_plan *plan, void *out, size_t room)
    ctypedef struct lw_atlas:
        pass
    ctypedef struct lw_atlas_info:
        int32_t width
        int32_t height
        int32_t fps_num
        int32_t fps_den
        int32_t matrix
        int32_t mouths
        uint32_t walk_axes
        int32_t nodes
        int32_t segments
        int32_t stripes
        int32_t choices
        uint32_t slices
        int32_t level
        size_t bytes
        size_t bound
    int lw_atlas_open(lw_atlas **out, const void *blob, size_t n, const char **why)
    void lw_atlas_close(lw_atlas **a)
    void lw_atlas_describe(const lw_atlas *a, lw_atlas_info *info)
    const uint8_t *lw_atlas_note(const lw_atlas *a, size_t *bytes)
    size_t lw_atlas_bound(const lw_atlas *a)
    const uint8_t *lw_atlas_sps(const lw_atlas *a, size_t *bytes)
    const uint8_t *lw_atlas_pps(const lw_atlas *a, size_t *bytes)
    int lw_atlas_avcc(const lw_atlas *a, uint8_t *out, size_t room)
    int lw_atlas_segment_at(const lw_atlas *a, int32_t segment, lw_atlas_segment *out)
    int32_t lw_atlas_segment_of(const lw_atlas *a, int32_t node)
    int lw_atlas_anchor(const lw_atlas *a, int32_t node)
    int lw_atlas_head(const lw_atlas *a, int32_t node, lw_pose *pose)
    int32_t lw_atlas_variants(const lw_atlas *a, int32_t choice)
    int32_t lw_atlas_choose(const lw_atlas *a, int32_t choice, const lw_pose *pose, int32_t mouth)
    int lw_atlas_choose_all(const lw_atlas *a, const lw_pose *pose, int32_t mouth, int32_t *variants)
    int lw_atlas_covers(const lw_atlas *a, const lw_pose *pose)
    ctypedef struct lw_stitcher:
        pass
    int lw_stitcher_open(lw_stitcher **out, const lw_atlas *atlas, int32_t framing)
    int64_t lw_stitcher_unit(lw_stitcher *s, int32_t node, const int32_t *variants, int key, uint8_t *out, size_t room)
    void lw_stitcher_reset(lw_stitcher *s)
    void lw_stitcher_close(lw_stitcher **s)
