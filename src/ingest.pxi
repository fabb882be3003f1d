# From WebSocket messages to payloads: lipwire/ingest.h.


cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    const void *PyUnicode_1BYTE_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 most)


cdef tuple _ENCODINGS = ("PCM16", "PCM8", "OPUS")  # by lw_encoding
# Base64 of at least this many characters (some 10 us) is worth letting other Python threads run.
cdef size_t LONG_TEXT = 1 << 18


cdef class TextFrames:
    """Takes the commonest frame out of what a WebSocket's client sends (RFC 6455, section 5.2): a whole message of text, of
    nothing but ASCII. All others are for a WebSocket library, byte for byte, which finds what is wrong with them. So the
    bytes of a connection are split, in order: `text` is asked first, and where it has none `others`.

    Args:
        limit: bytes of the longest message that is taken.
    """
    cdef size_t limit
    cdef uint64_t left  # bytes of a frame that the library still has to get
    cdef bint parts  # it has a part of a message, and waits for the next

    def __cinit__(self, limit):
        self.limit = whole(limit, "limit")

    def text(self, data, start, end):
        """(message, where it ends) of the frame at data[start:end], bytes-like; or None: it is another, or not whole."""
        cdef Borrowed b
        cdef int64_t at = whole64(start, "start"), to = whole64(end, "end")
        cdef lw_ws_head head
        cdef const uint8_t *p
        borrow_bytes(data, &b, "frames")
        try:
            if not 0 <= at <= to <= <int64_t>b.size:
                raise InvalidArgument(f"{start}:{end} is outside of {b.size} bytes")
            p = <const uint8_t *>b.data + at
            if (self.left or self.parts or not lw_ws_head_at(p, <size_t>(to - at), &head) or head.first != LW_WS_TEXT
                    or not head.masked or head.payload > self.limit
                    or head.payload > <uint64_t>(to - at) - head.bytes):
                return None
            message = PyUnicode_New(<Py_ssize_t>head.payload, 127)
            if not lw_ws_unmask(<void *>PyUnicode_1BYTE_DATA(message), p + head.bytes, <size_t>head.payload,
                                p + head.bytes - 4):
                return None
            return message, at + <int64_t>(head.bytes + head.payload)
        finally:
            give_back(&b)

    def others(self, data, most):
        """How many bytes at the head of `data`, up to `most`, are for the library, which must get them now. 0: more have to
        come first."""
        cdef Borrowed b
        cdef lw_ws_head head
        cdef uint64_t n
        cdef int piece = whole(most, "most")
        if piece < 1:
            raise InvalidArgument(f"up to {piece} bytes: 1 or more")
        borrow_bytes(data, &b, "frames")
        try:
            n = b.size
            if not self.left:
                if not lw_ws_head_at(b.data, b.size, &head):
                    return 0
                if (head.first == LW_WS_TEXT and head.masked and not self.parts and head.payload <= self.limit
                        and head.payload > n - head.bytes):
                    return 0
                # RFC 6455, 5.2: the highest bit of a length is 0. Where it is not the library refuses the frame, of which there
                # is no end.
                self.left = head.bytes + min(head.payload, (<uint64_t>1 << 63) - 1)
                if (head.first & 15) < 8:  # control frames come between the parts of others
                    self.parts = not (head.first & 128)
            n = min(n, self.left, <uint64_t>piece)
            self.left -= n
            return n
        finally:
            give_back(&b)


cdef class VoiceReader:
    """Reads the `voice` messages of one connection (JSON, RFC 8259, with base64, RFC 4648 section 4) without a JSON
    parser.

    It answers only where it is sure: a well-formed message with the keys command, audio, sampleRate, encoding and
    event_id (which may be absent or null), in any order, plain ASCII without escapes, a sample rate of 8000..48000 Hz,
    a known encoding, and audio that is not empty, whole samples and valid base64. Everything else, good or bad, is for
    a JSON parser, which would have found the same in what this one answers.

    What repeats from message to message is compared instead of parsed, and is the same object each time.

    Args:
        make: called with (payload: bytes, sample_rate: int, encoding: str, event_id: str | None); what it returns,
            `read` returns.
    """
    cdef lw_voice_around around
    cdef object make
    cdef object rate
    cdef object encoding
    cdef object event_id

    def __cinit__(self, make):
        self.make = make

    def read(self, message):
        """What `make` made of a str or bytes (anything else is unusual too), or None: use a parser."""
        cdef const uint8_t *text
        cdef size_t n
        cdef lw_voice v
        cdef int found
        cdef int64_t made
        cdef bytes payload
        cdef char *to
        if PyUnicode_CheckExact(message) and PyUnicode_IS_COMPACT_ASCII(message):
            text = <const uint8_t *>PyUnicode_1BYTE_DATA(message)
            n = <size_t>PyUnicode_GET_LENGTH(message)
        elif PyBytes_CheckExact(message):
            text = <const uint8_t *>PyBytes_AS_STRING(message)
            n = <size_t>PyBytes_GET_SIZE(message)
        else:
            return None
        found = lw_voice_next(&self.around, text, n, &v)
        if not found:
            return None
        if found == 1:
            self.take_around(text, &v)
        # The fields at hand now: while the lock is released another thread may read a message of its own.
        rate, encoding, event_id = self.rate, self.encoding, self.event_id
        payload = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>v.audio_bytes)
        to = PyBytes_AS_STRING(payload)
        if v.audio_chars >= LONG_TEXT:
            with nogil:
                made = lw_base64_decode(to, text + v.audio, v.audio_chars)
        else:
            made = lw_base64_decode(to, text + v.audio, v.audio_chars)
        if made < 0:
            return None
        return self.make(payload, rate, encoding, event_id)

    cdef int take_around(self, const uint8_t *text, lw_voice *v) except -1:
        cdef const char *chars = <const char *>text + v.id
        if self.rate is None or <int32_t>self.rate != v.rate:
            self.rate = v.rate
        self.encoding = _ENCODINGS[v.encoding]
        # A new object only for a new id: sessions keep it, and compare it with each chunk's.
        if not v.has_id:
            self.event_id = None
        elif (self.event_id is None or <size_t>PyUnicode_GET_LENGTH(self.event_id) != v.id_chars
              or memcmp(PyUnicode_1BYTE_DATA(self.event_id), chars, v.id_chars)):
            self.event_id = PyUnicode_DecodeASCII(chars, <Py_ssize_t>v.id_chars, NULL)
        return 0


def base64_decode(text):
    """The bytes that base64 (RFC 4648 section 4, ASCII in bytes-like) stands for. Padding is needed and checked, its
    left-over bits are not; nothing else may be before, between or behind.

    Raises:
        BadData: it is no base64. InvalidArgument: an array of anything but bytes.
    """
    cdef Borrowed b
    cdef bytes out
    borrow_bytes(text, &b, "base64")
    try:
        out = PyBytes_FromStringAndSize(NULL, check(lw_base64_bytes(b.data, b.size), "base64"))
        check(lw_base64_decode(PyBytes_AS_STRING(out), b.data, b.size), "base64")
    finally:
        give_back(&b)
    return out


def pcm8_decode(pcm8):
    """PCM8 (bytes-like, unsigned, 128 = silence) as PCM16 bytes.

    Raises:
        InvalidArgument: an array of anything but bytes.
    """
    cdef Borrowed b
    cdef bytes out
    borrow_bytes(pcm8, &b, "PCM8, which is unsigned,")
    try:
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>b.size * 2)
        lw_pcm8_decode(PyBytes_AS_STRING(out), b.data, b.size)
    finally:
        give_back(&b)
    return out


cdef class RateMeter:
    """Tells a wrong sample rate label from paced delivery; `lipwire.protocol.ingest.RateMeter` says how.

    Args:
        make: called with (declared, measured), both in Hz; what it returns, `add` returns.
    """
    cdef lw_rate_meter meter
    cdef object make

    def __init__(self, make):
        self.make = make
        lw_rate_meter_reset(&self.meter)

    def pause(self):
        """The stretch is over: an utterance ended, or delivery stopped."""
        lw_rate_meter_pause(&self.meter)

    def add(self, declared, samples, double now):
        """One chunk of `samples` > 0 labelled `declared` > 0 Hz, arrived at `now` s. A mismatch is returned once, else
        None.

        Raises:
            InvalidArgument: declared or samples is not positive.
        """
        cdef int hz = whole(declared, "declared")
        cdef int measured = lw_rate_meter_add(&self.meter, hz, whole64(samples, "samples"), now)
        if measured == 0:
            return None
        check(measured, "rate meter")
        return self.make(hz, measured)
