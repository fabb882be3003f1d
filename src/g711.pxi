# G.711: lipwire/g711.h. A call for 20 ms takes a hundred nanoseconds, so what surrounds the kernel counts: one borrowed
# buffer, one bytes object of the exact size, nothing else.

ctypedef void (*encode_law)(uint8_t *codes, const int16_t *pcm, size_t n) noexcept nogil
ctypedef void (*decode_law)(int16_t *pcm, const uint8_t *codes, size_t n) noexcept nogil


cdef bytes encoded(object pcm, encode_law encode):
    cdef Borrowed b
    cdef bytes out
    borrow_pcm(pcm, &b)
    try:
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(b.size // 2))
        encode(<uint8_t *>PyBytes_AS_STRING(out), <const int16_t *>b.data, b.size // 2)
    finally:
        give_back(&b)
    return out


cdef bytes decoded(object data, decode_law decode, str law):
    cdef Borrowed b
    cdef bytes out
    borrow_bytes(data, &b, law)
    try:
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>b.size * 2)
        decode(<int16_t *>PyBytes_AS_STRING(out), <const uint8_t *>b.data, b.size)
    finally:
        give_back(&b)
    return out


def ulaw_encode(pcm, /):
    """mu-law: PCM16 mono -> one byte a sample (ITU-T G.711 (11/1988), on the 16-bit scale of G.191: the upper 14 bits).

    Raises:
        InvalidArgument: no PCM16 mono.
    """
    return encoded(pcm, lw_ulaw_encode)


def alaw_encode(pcm, /):
    """A-law: PCM16 mono -> one byte a sample (ITU-T G.711 (11/1988), on the 16-bit scale of G.191: the upper 13 bits).

    Raises:
        InvalidArgument: no PCM16 mono.
    """
    return encoded(pcm, lw_alaw_encode)


def ulaw_decode(data, /):
    """mu-law: n bytes -> n samples of PCM16 mono, each its step's middle, -32124..32124 (ITU-T G.711 (11/1988)).

    Raises:
        InvalidArgument: an array of anything but bytes.
    """
    return decoded(data, lw_ulaw_decode, "mu-law")


def alaw_decode(data, /):
    """A-law: n bytes -> n samples of PCM16 mono, each the middle of its step, -32256..32256 (ITU-T G.711 (11/1988)).

    Raises:
        InvalidArgument: an array of anything but bytes.
    """
    return decoded(data, lw_alaw_decode, "A-law")
