# G.711: lipwire/g711.h. A call for 20 ms takes a hundred nanoseconds, so what surrounds the kernel counts: one borrowed
# buffer, one bytes object of the exact size, nothing else.


def ulaw_encode(pcm, /):
    """mu-law: PCM16 mono -> one byte a sample (ITU-T G.711 (11/1988), on the 16-bit scale of G.191: the upper 14 bits).

    Raises:
        InvalidArgument: no PCM16 mono.
    """
    cdef Borrowed b
    cdef bytes out
    borrow_pcm(pcm, &b)
    try:
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(b.size // 2))
        lw_ulaw_encode(<uint8_t *>PyBytes_AS_STRING(out), <const int16_t *>b.data, b.size // 2)
    finally:
        give_back(&b)
    return out


def alaw_encode(pcm, /):
    """A-law: PCM16 mono -> one byte a sample (ITU-T G.711 (11/1988), on the 16-bit scale of G.191: the upper 13 bits).

    Raises:
        InvalidArgument: no PCM16 mono.
    """
    cdef Borrowed b
    cdef bytes out
    borrow_pcm(pcm, &b)
    try:
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(b.size // 2))
        lw_alaw_encode(<uint8_t *>PyBytes_AS_STRING(out), <const int16_t *>b.data, b.size // 2)
    finally:
        give_back(&b)
    return out


def ulaw_decode(data, /):
    """mu-law: n bytes -> n samples of PCM16 mono, each its step's middle, -32124..32124 (ITU-T G.711 (11/1988)).

    Raises:
        InvalidArgument: an array of anything but bytes.
    """
    cdef Borrowed b
    cdef bytes out
    borrow_bytes(data, &b, "mu-law")
    try:
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>b.size * 2)
        lw_ulaw_decode(<int16_t *>PyBytes_AS_STRING(out), <const uint8_t *>b.data, b.size)
    finally:
        give_back(&b)
    return out


def alaw_decode(data, /):
    """A-law: n bytes -> n samples of PCM16 mono, each the middle of its step, -32256..32256 (ITU-T G.711 (11/1988)).

    Raises:
        InvalidArgument: an array of anything but bytes.
    """
    cdef Borrowed b
    cdef bytes out
    borrow_bytes(data, &b, "A-law")
    try:
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>b.size * 2)
        lw_alaw_decode(<int16_t *>PyBytes_AS_STRING(out), <const uint8_t *>b.data, b.size)
    finally:
        give_back(&b)
    return out
