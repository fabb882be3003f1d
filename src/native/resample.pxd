from libc.stdint cimport int16_t, int32_t, int64_t


cdef extern from "lipwire/resample.h" nogil:
    enum:
        LW_RESAMPLER_VOICE
        LW_RESAMPLER_HIGH
    ctypedef struct lw_resampler:
        pass
    ctypedef struct lw_resampler_config:
        int32_t in_rate
        int32_t out_rate
        int32_t channels
        int32_t quality
    int lw_resampler_open(lw_resampler **out, const lw_resampler_config *config)
    int64_t lw_resampler_process(lw_resampler *r, const int16_t *pcm, size_t n, size_t *consumed, int16_t *out, size_t cap)
    int64_t lw_resampler_flush(lw_resampler *r, int16_t *out, size_t cap)
    size_t lw_resampler_ready(const lw_resampler *r, size_t n)
    size_t lw_resampler_bound(const lw_resampler *r, size_t n)
    int64_t lw_resampler_delay_ns(const lw_resampler *r)
    void lw_resampler_reset(lw_resampler *r)
    void lw_resampler_close(lw_resampler **r)
