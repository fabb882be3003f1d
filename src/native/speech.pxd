from libc.stdint cimport int16_t, int32_t, int64_t, uint64_t


cdef extern from "lipwire/speech.h" nogil:
    enum:
        LW_SPEECH_CAPACITY
        LW_SPEECH_PREBUFFER
        LW_SPEECH_DRY_TIMEOUT
        LW_EVENT_STARTED
        LW_EVENT_FINISHED
        LW_EVENT_UNDERRUN
        LW_EVENT_MOUTH
    ctypedef struct lw_speech:
        pass
    ctypedef struct lw_speech_config:
        int32_t capacity
        int32_t prebuffer
        int32_t dry_timeout
        int32_t prebuffer_max
        int32_t catch_up
    ctypedef struct lw_event:
        int32_t type
        int32_t value
        uint64_t utterance
        int64_t sample
        int64_t played
    int lw_speech_open(lw_speech **out, const lw_speech_config *config)
    int64_t lw_speech_write(lw_speech *s, const int16_t *pcm, size_t n)
    int64_t lw_speech_space(const lw_speech *s)
    int lw_speech_end(lw_speech *s, int32_t grace)
    int64_t lw_speech_interrupt(lw_speech *s)
    int lw_speech_tick(lw_speech *s, int16_t *out, lw_event *events, int cap)
    int lw_speech_look(lw_speech *s, int32_t ahead, int16_t *out, int64_t *sample, int *restarted)
    int64_t lw_speech_clock(const lw_speech *s)
    int64_t lw_speech_buffered(const lw_speech *s)
    int64_t lw_speech_generation(const lw_speech *s)
    int64_t lw_speech_heeded(const lw_speech *s)
    uint64_t lw_speech_writing(const lw_speech *s)
    uint64_t lw_speech_utterance(const lw_speech *s)
    int lw_speech_active(const lw_speech *s)
    int64_t lw_speech_played(const lw_speech *s, uint64_t *utterance)
    void lw_speech_close(lw_speech **s)
