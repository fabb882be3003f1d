from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t


cdef extern from "lipwire/opus.h" nogil:
    enum:
        LW_OPUS_MAX_FRAMES
        LW_OPUS_MAX_FRAME_BYTES
    ctypedef struct lw_opus_packet:
        uint8_t toc
        uint8_t config
        uint8_t mode
        uint8_t bandwidth
        uint8_t channels
        uint8_t code
        uint8_t vbr
        uint8_t frames
        uint8_t dtx
        uint8_t fec
        uint8_t rule
        uint16_t frame_samples
        uint16_t samples
        uint32_t padding
        uint32_t offset[LW_OPUS_MAX_FRAMES]
        uint16_t size[LW_OPUS_MAX_FRAMES]
    ctypedef struct lw_opus_frame:
        const uint8_t *data
        size_t size
    int lw_opus_parse(const uint8_t *packet, size_t n, lw_opus_packet *out)
    const char *lw_opus_rule(int rule)
    int64_t lw_opus_pack(uint8_t toc, const lw_opus_frame *frames, int count, size_t size, uint8_t *out, size_t cap)
    int64_t lw_opus_pad(const uint8_t *packet, size_t n, size_t size, uint8_t *out, size_t cap)
    int64_t lw_opus_unpad(const uint8_t *packet, size_t n, uint8_t *out, size_t cap)
