from libc.stdint cimport int16_t, uint8_t


cdef extern from "lipwire/g711.h" nogil:
    void lw_alaw_encode(uint8_t *codes, const int16_t *pcm, size_t n)
    void lw_ulaw_encode(uint8_t *codes, const int16_t *pcm, size_t n)
    void lw_alaw_decode(int16_t *pcm, const uint8_t *codes, size_t n)
    void lw_ulaw_decode(int16_t *pcm, const uint8_t *codes, size_t n)
