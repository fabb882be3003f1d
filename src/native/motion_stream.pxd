from libc.stdint cimport int32_t, int64_t, uint8_t

from native.motion cimport lw_pose


cdef extern from "lipwire/motion_stream.h" nogil:
    enum:
        LW_STREAM_EARLIER
        LW_STREAM_SETS
        LW_STREAM_OURS
        LW_STREAM_BYTE
        LW_STREAM_Q15
        LW_STREAM_ID
        LW_STREAM_ANGLE
        LW_STREAM_HEADER
        LW_STREAM_FRAMES
        LW_STREAM_EVENT
        LW_STREAM_SOUND
    ctypedef struct lw_stream_group:
        const char *set
        const char *names
        size_t set_size
        size_t names_size
        int32_t kind
        int32_t count
    int lw_stream_describe(int set, lw_stream_group *group)
    ctypedef struct lw_motion_encoder:
        pass
    ctypedef struct lw_motion_encoder_config:
        const uint8_t *sets
        int32_t set_count
        int32_t fps_num
        int32_t fps_den
        int32_t earlier
        int32_t id
    ctypedef struct lw_stream_frame:
        int64_t sample
        int64_t generation
        int32_t speaking
        const int32_t *values
    ctypedef struct lw_stream_note:
        int64_t number
        int64_t sample
        int64_t generation
        int32_t kind
        const char *value
        size_t size
    int lw_motion_encoder_open(lw_motion_encoder **out, const lw_motion_encoder_config *config)
    int lw_motion_encoder_channels(const lw_motion_encoder *e)
    void lw_motion_encoder_values(const lw_motion_encoder *e, const lw_pose *pose, int32_t *values)
    int64_t lw_motion_encoder_header(const lw_motion_encoder *e, uint8_t *out, size_t room)
    int64_t lw_motion_encoder_frame(lw_motion_encoder *e, const lw_stream_frame *frame, uint8_t *out, size_t room)
    int lw_motion_encoder_keep(lw_motion_encoder *e, const lw_stream_frame *frame)
    void lw_motion_encoder_forget(lw_motion_encoder *e)
    int64_t lw_stream_put_event(const lw_stream_note *event, uint8_t *out, size_t room)
    int64_t lw_stream_put_sound(int64_t sample, int codec, const uint8_t *payload, size_t size, uint8_t *out, size_t room)
    void lw_motion_encoder_close(lw_motion_encoder **e)
    ctypedef struct lw_motion_decoder:
        pass
    ctypedef struct lw_stream_record:
        int32_t type
        int32_t id
        int32_t frames
        int32_t speaking
        int64_t sample
        int64_t generation
        int64_t number
        int32_t kind
        const uint8_t *bytes
        size_t size
    ctypedef struct lw_stream_header:
        int32_t id
        int32_t groups
        int32_t channels
        int64_t clock_rate
        int64_t fps_num
        int64_t fps_den
    int lw_motion_decoder_open(lw_motion_decoder **out)
    int lw_motion_decoder_next(lw_motion_decoder *d, const uint8_t *message, size_t n, size_t *at, lw_stream_record *record)
    const int32_t *lw_motion_decoder_values(const lw_motion_decoder *d, int frame, int64_t *sample)
    int lw_motion_decoder_header(const lw_motion_decoder *d, lw_stream_header *header)
    int lw_motion_decoder_group(const lw_motion_decoder *d, int group, lw_stream_group *out)
    void lw_motion_decoder_close(lw_motion_decoder **d)
