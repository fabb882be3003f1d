from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint64_t

from native.performer cimport lw_frame_info


cdef extern from "lipwire/share.h" nogil:
    enum:
        LW_SHARE_SILENT_NS
    ctypedef struct lw_share:
        pass
    ctypedef struct lw_share_reader:
        pass
    ctypedef struct lw_share_config:
        const char *session
        int32_t named
        int32_t width
        int32_t height
        int32_t fps_num
        int32_t fps_den
        int32_t matrix
        int32_t frame_slots
        int32_t frames_kept
        int32_t pcm_blocks
    int lw_share_open(lw_share **out, const lw_share_config *config)
    int lw_share_fd(const lw_share *s)
    const char *lw_share_name(const lw_share *s)
    uint8_t *lw_share_slot(lw_share *s, int slot)
    size_t lw_share_stride(const lw_share *s)
    int lw_share_free_slot(const lw_share *s)
    int lw_share_write_pcm(lw_share *s, const void *pcm, int64_t sample, int64_t now_ns)
    int lw_share_write_frame(lw_share *s, int slot, const lw_frame_info *info, int64_t now_ns)
    int lw_share_retire(lw_share *s, int64_t sample)
    int64_t lw_share_interrupt(lw_share *s)
    void lw_share_beat(lw_share *s, int64_t now_ns)
    void lw_share_end(lw_share *s)
    void lw_share_close(lw_share **s)
    int lw_share_sweep()
    ctypedef struct lw_share_pcm:
        int64_t number
        int64_t sample
        int64_t generation
        int64_t published_ns
        const int16_t *pcm
    ctypedef struct lw_share_frame:
        int64_t number
        int64_t sample
        int64_t sequence
        int64_t generation
        uint64_t utterance
        int64_t due_ns
        int64_t published_ns
        int32_t slot
        int32_t changed
        int32_t mouth_open
        const uint8_t *i420
    ctypedef struct lw_share_reader_counters:
        int64_t generation
        int64_t clock
        int64_t heartbeat_ns
        int64_t ended
        int64_t pcm_lag
        int64_t pcm_lost
        int64_t pcm_stale
        int64_t frames_lag
        int64_t frames_lost
        int64_t frames_stale
    int lw_share_reader_open(lw_share_reader **out, int fd, const char **why)
    void lw_share_reader_geometry(const lw_share_reader *r, lw_share_config *out, int32_t *pid)
    int lw_share_reader_read_pcm(lw_share_reader *r, lw_share_pcm *out)
    int lw_share_reader_read_frame(lw_share_reader *r, lw_share_frame *out)
    int lw_share_reader_pcm_valid(const lw_share_reader *r, int64_t number)
    int lw_share_reader_frame_valid(const lw_share_reader *r, int64_t number)
    int64_t lw_share_reader_seek(lw_share_reader *r, int64_t sample)
    int lw_share_reader_wait(lw_share_reader *r, int64_t now_ns, int64_t until_ns)
    void lw_share_reader_stats(const lw_share_reader *r, lw_share_reader_counters *stats)
    void lw_share_reader_close(lw_share_reader **r)
