from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t


cdef extern from "lipwire/ingest.h" nogil:
    enum:
        LW_WS_TEXT
    ctypedef struct lw_ws_head:
        size_t bytes
        uint64_t payload
        int32_t first
        int32_t masked
    int lw_ws_head_at(const void *data, size_t n, lw_ws_head *head)
    int lw_ws_unmask(void *out, const void *data, size_t n, const uint8_t *mask)
    ctypedef struct lw_voice:
        size_t audio
        size_t audio_chars
        size_t audio_bytes
        size_t id
        size_t id_chars
        int32_t has_id
        int32_t rate
        int32_t encoding
    ctypedef struct lw_voice_around:
        pass
    int lw_voice_scan(const void *text, size_t n, lw_voice *v)
    int lw_voice_next(lw_voice_around *around, const void *text, size_t n, lw_voice *v)
    int64_t lw_base64_bytes(const void *text, size_t n)
    int64_t lw_base64_decode(void *out, const void *text, size_t n)
    void lw_pcm8_decode(void *out, const void *pcm8, size_t n)
    ctypedef struct lw_rate_meter:
        pass
    void lw_rate_meter_reset(lw_rate_meter *m)
    void lw_rate_meter_pause(lw_rate_meter *m)
    int lw_rate_meter_add(lw_rate_meter *m, int32_t declared, int64_t samples, double now)
