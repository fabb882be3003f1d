from libc.stdint cimport int16_t, int32_t, int64_t


cdef extern from "lipwire/viseme.h" nogil:
    enum:
        LW_VISEME_RATE
        LW_VISEMES
        LW_CHANNELS
    ctypedef struct lw_viseme:
        pass
    ctypedef struct lw_viseme_config:
        int32_t early
        float voice
        int32_t both
    int lw_viseme_open(lw_viseme **out, const lw_viseme_config *config)
    int64_t lw_viseme_process(lw_viseme *v, const int16_t *pcm, size_t n, float *rows, size_t cap)
    size_t lw_viseme_bound(const lw_viseme *v, size_t n)
    int64_t lw_viseme_process_many(lw_viseme **v, size_t sessions, const int16_t **pcm, const size_t *n, float **rows,
                                   size_t cap)
    int lw_viseme_lookahead(const lw_viseme *v)
    void lw_viseme_reset(lw_viseme *v)
    float lw_viseme_voice(const lw_viseme *v)
    void lw_viseme_close(lw_viseme **v)
