from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from native.avatar cimport lw_avatar
from native.motion cimport LW_AXES, lw_pose
from native.speech cimport lw_event, lw_speech_config
from native.stitch cimport lw_atlas
from native.viseme cimport LW_VISEMES


cdef extern from "lipwire/performer.h" nogil:
    enum:
        LW_DRAW_SAME
        LW_PERFORMER_UTTERANCES
        LW_DRAW_SLOW_NS
        LW_TICK_PCM
        LW_TICK_FRAME
        LW_TICK_EVENTS
        LW_LOOK_PICTURES
        LW_LOOK_UNITS
        LW_LOOK_POSES
    ctypedef struct lw_performer:
        pass
    ctypedef struct lw_draw_info:
        int64_t sample
        int64_t sequence
        uint64_t utterance
        int32_t width
        int32_t height
        float loudness
        float axis[LW_AXES]
        float viseme[LW_VISEMES]
    ctypedef int (*lw_draw)(void *user, uint8_t *i420, const lw_draw_info *info) nogil
    ctypedef struct lw_performer_config:
        lw_avatar *avatar
        lw_draw draw
        void *draw_user
        int32_t width
        int32_t height
        int32_t fps_num
        int32_t fps_den
        int32_t frame_slots
        int32_t pcm_blocks
        uint8_t *frames
        size_t frame_stride
        uint32_t seed
        lw_speech_config speech
        int32_t turns
        float voice
        int32_t batch
        const lw_atlas *atlas
        int32_t framing
    ctypedef struct lw_performer_counters:
        int64_t clock
        int64_t buffered
        int64_t generation
        int64_t frames
        int64_t frames_unchanged
        int64_t frames_unseen
        int64_t frames_stitched
        int64_t frames_undrawn
        int64_t frames_skipped
        int64_t frames_dropped
        int64_t pcm_dropped
        int64_t events_dropped
        int64_t underruns
        int64_t underrun_samples
        int64_t utterances
        int64_t caught_up
        int64_t prebuffer
        int64_t draws
        int64_t draw_errors
        int64_t draw_slow
        int64_t draw_ns
        int64_t draw_worst_ns
        int64_t active
        int64_t bytes
    ctypedef struct lw_frame_info:
        int64_t sample
        int64_t sequence
        uint64_t utterance
        int64_t generation
        int32_t changed
        int32_t mouth_open
        int32_t drawn
        int32_t node
        int32_t key
        int64_t due_ns
        lw_pose pose
    int lw_performer_open(lw_performer **out, const lw_performer_config *config)
    int lw_performer_adopt(lw_performer *p, const lw_atlas *atlas)
    void lw_performer_enter(lw_performer *p)
    int64_t lw_performer_leave(lw_performer *p) nogil
    int lw_performer_write(lw_performer *p, const void *pcm, size_t n, int32_t rate) nogil
    int lw_performer_write_next(lw_performer *p, const void *pcm, size_t n, int32_t rate) nogil
    int lw_performer_end(lw_performer *p, int32_t grace)
    void lw_performer_arrived(lw_performer *p, size_t n, int32_t rate, int64_t now_ns) nogil
    void lw_performer_give_back(lw_performer *p)
    int64_t lw_performer_interrupt(lw_performer *p)
    int lw_performer_set(lw_performer *p, int setting, int value)
    int lw_performer_look(lw_performer *p, int look)
    uint64_t lw_performer_writing(const lw_performer *p)
    uint64_t lw_performer_utterance(const lw_performer *p)
    int64_t lw_performer_space(const lw_performer *p) nogil
    int lw_performer_tick(lw_performer *p, int64_t now_ns, int draw)
    int64_t lw_performer_waiting(const lw_performer *p)
    int64_t lw_performer_sample(const lw_performer *p)
    int lw_performer_read_pcm(lw_performer *p, int16_t *out, int64_t *sample)
    int64_t lw_performer_heard(const lw_performer *p, uint64_t *utterance)
    int64_t lw_performer_heeded(const lw_performer *p)
    int lw_performer_read_event(lw_performer *p, lw_event *event)
    int lw_performer_acquire_frame(lw_performer *p, int *slot, lw_frame_info *info)
    int64_t lw_performer_unit(lw_performer *p, int slot, int stale, int *key, uint8_t *out, size_t room)
    void lw_performer_request_key(lw_performer *p)
    uint8_t *lw_performer_frame(lw_performer *p, int slot)
    void lw_performer_release_frame(lw_performer *p, int slot)
    void lw_performer_stats(const lw_performer *p, lw_performer_counters *stats)
    void lw_performer_close(lw_performer **p)
