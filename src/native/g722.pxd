from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t


cdef extern from "lipwire/g722.h" nogil:
    enum:
        LW_G722_MAX_CHANNELS
    ctypedef struct lw_g722_config:
        int32_t bitrate
    ctypedef struct lw_g722_encoder:
        pass
    ctypedef struct lw_g722_decoder:
        pass
    int lw_g722_encoder_open(lw_g722_encoder **out, const lw_g722_config *config)
    int64_t lw_g722_encoder_process(lw_g722_encoder *e, const int16_t *pcm, size_t n, uint8_t *codes, size_t cap)
    size_t lw_g722_encoder_bound(const lw_g722_encoder *e, size_t n)
    void lw_g722_encoder_reset(lw_g722_encoder *e)
    void lw_g722_encoder_close(lw_g722_encoder **e)
    int lw_g722_decoder_open(lw_g722_decoder **out, const lw_g722_config *config)
    int64_t lw_g722_decoder_process(lw_g722_decoder *d, const uint8_t *codes, size_t n, int16_t *pcm, size_t cap)
    void lw_g722_decoder_reset(lw_g722_decoder *d)
    void lw_g722_decoder_close(lw_g722_decoder **d)
    ctypedef struct lw_g722_batch_config:
        int32_t bitrate
        int32_t channels
    ctypedef struct lw_g722_encoder_batch:
        pass
    ctypedef struct lw_g722_decoder_batch:
        pass
    int lw_g722_encoder_batch_open(lw_g722_encoder_batch **out, const lw_g722_batch_config *config)
    int64_t lw_g722_encoder_batch_process(lw_g722_encoder_batch *b, const int16_t **pcm, size_t n, uint8_t **codes)
    int lw_g722_encoder_batch_reset(lw_g722_encoder_batch *b, int32_t channel)
    void lw_g722_encoder_batch_close(lw_g722_encoder_batch **b)
    int lw_g722_decoder_batch_open(lw_g722_decoder_batch **out, const lw_g722_batch_config *config)
    int64_t lw_g722_decoder_batch_process(lw_g722_decoder_batch *b, const uint8_t **codes, size_t n, int16_t **pcm)
    int lw_g722_decoder_batch_reset(lw_g722_decoder_batch *b, int32_t channel)
    void lw_g722_decoder_batch_close(lw_g722_decoder_batch **b)
