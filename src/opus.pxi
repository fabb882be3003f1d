# Opus packets: lipwire/opus.h.

cdef tuple OPUS_MODES = ("silk", "hybrid", "celt")
cdef tuple OPUS_BANDWIDTHS = ("NB", "MB", "WB", "SWB", "FB")


cdef int checked_parse(const uint8_t *data, size_t n, lw_opus_packet *p) except -1:
    cdef int count = lw_opus_parse(data, n, p)
    if count == LW_EDATA:
        raise BadData(f"not an Opus packet ({n} bytes): {lw_opus_rule(p.rule).decode()}")
    return <int>check(count, "Opus packet")


@cython.final
@cython.freelist(32)
cdef class OpusPacket:
    """What an Opus packet says about itself (RFC 6716, section 3). Made by `parse`; its buffer is the packet.

    Durations in samples count at 48 kHz, whatever rate it is decoded to.
    """
    cdef bytes source
    cdef lw_opus_packet p

    def __cinit__(self):
        self.source = b""

    def __init__(self):
        raise TypeError("lipwire.opus.parse makes packets")

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, PyBytes_AS_STRING(self.source), PyBytes_GET_SIZE(self.source), 1, flags)

    def __len__(self):
        return PyBytes_GET_SIZE(self.source)

    def __repr__(self):
        return (f"<OpusPacket {self.mode} {self.bandwidth} {'stereo' if self.p.channels == 2 else 'mono'}, "
                f"{self.p.frames} x {self.p.frame_samples / 48:g} ms, {len(self)} bytes>")

    @property
    def toc(self):
        """The first byte: config, stereo bit, code."""
        return self.p.toc

    @property
    def config(self):
        """0..31: mode, bandwidth and frame duration (RFC 6716, table 2)."""
        return self.p.config

    @property
    def mode(self):
        """"silk", "hybrid" or "celt"."""
        return OPUS_MODES[self.p.mode]

    @property
    def bandwidth(self):
        """"NB", "MB", "WB", "SWB" or "FB": 4, 6, 8, 12 or 20 kHz of audio."""
        return OPUS_BANDWIDTHS[self.p.bandwidth]

    @property
    def channels(self):
        """1 or 2, as coded; a decoder gives either."""
        return self.p.channels

    @property
    def code(self):
        """How the frames are framed: 0 one, 1 two of one size, 2 two of any sizes, 3 any number."""
        return self.p.code

    @property
    def vbr(self):
        """Whether the sizes of its frames are written out one by one."""
        return self.p.vbr != 0

    @property
    def count(self):
        """Frames, 1..48."""
        return self.p.frames

    @property
    def frame_samples(self):
        """Duration of each frame at 48 kHz, 120..2880."""
        return self.p.frame_samples

    @property
    def samples(self):
        """Duration of the packet at 48 kHz, 120..5760."""
        return self.p.samples

    @property
    def duration(self):
        """Of the packet, in seconds."""
        return self.p.samples / <double>LW_RATE

    @property
    def padding(self):
        """Bytes behind the last frame; the length bytes that announce them count as header."""
        return self.p.padding

    @property
    def dtx(self):
        """No frame has more than one byte: nothing is coded, the decoder fills in (discontinuous transmission)."""
        return self.p.dtx != 0

    @property
    def fec(self):
        """It also holds the frame before it, coded more coarsely: `OpusDecoder.decode(packet, fec=True)` gets at it.
        The LBRR flag of the first frame (RFC 6716, section 4.2.4)."""
        return self.p.fec != 0

    @property
    def frames(self):
        """The compressed frames, a tuple of bytes; an empty one was lost or not sent."""
        cdef const char *data = PyBytes_AS_STRING(self.source)
        cdef int i
        return tuple([PyBytes_FromStringAndSize(data + self.p.offset[i], self.p.size[i])
                      for i in range(self.p.frames)])


def opus_parse(packet, /):
    """Takes a packet apart (RFC 6716, section 3); nothing is decoded. 0.1 us.

    Args:
        packet: bytes-like. The result keeps a `bytes` object as it is and a copy of anything else.

    Raises:
        BadData: malformed; the message names the requirement R1..R7 (RFC 6716, section 3.4) that it breaks.
    """
    cdef OpusPacket out = OpusPacket.__new__(OpusPacket)
    cdef Borrowed b
    if PyBytes_CheckExact(packet):
        out.source = <bytes>packet
    else:
        borrow_bytes(packet, &b, "an Opus packet")
        try:
            out.source = PyBytes_FromStringAndSize(<const char *>b.data, <Py_ssize_t>b.size)
        finally:
            give_back(&b)
    checked_parse(<const uint8_t *>PyBytes_AS_STRING(out.source), <size_t>PyBytes_GET_SIZE(out.source), &out.p)
    return out


def opus_pack(pieces, /, *, toc=None, size=0):
    """One packet from several, in the shortest encoding (RFC 6716, section 3.2), as libopus's repacketizer makes it.

    Args:
        pieces: packets (bytes-like or OpusPacket) that differ in nothing but the code of their TOC byte; all their
            frames, in order. With `toc` they are the frames themselves.
        toc: the TOC byte of bare frames, 0..255; its code is ignored.
        size: pad to exactly this many bytes; 0 does not pad.

    Raises:
        BadData: a piece is no Opus packet.
        InvalidArgument: no pieces, different TOCs, more than 120 ms, a frame above 1275 bytes, `size` is too small.
    """
    cdef lw_opus_frame frames[LW_OPUS_MAX_FRAMES]
    cdef Borrowed held[LW_OPUS_MAX_FRAMES]
    cdef lw_opus_packet p
    cdef int count = 0, borrowed = 0, i, more
    cdef int first = -1
    cdef size_t cap = 2
    cdef int64_t made
    cdef bytes out
    cdef int to_size = whole(size, "size")
    if toc is not None:
        first = whole(toc, "toc")
        if not 0 <= first <= 255:
            raise InvalidArgument(f"TOC byte {first}; 0..255")
    if to_size < 0:
        raise InvalidArgument(f"size {to_size}")
    try:
        for piece in pieces:
            if borrowed == LW_OPUS_MAX_FRAMES:
                raise InvalidArgument(f"an Opus packet has at most {LW_OPUS_MAX_FRAMES} frames")
            borrow_bytes(piece, &held[borrowed], "an Opus packet" if toc is None else "an Opus frame")
            borrowed += 1
            if toc is not None:
                frames[count].data = <const uint8_t *>held[borrowed - 1].data
                frames[count].size = held[borrowed - 1].size
                cap += frames[count].size + 2
                count += 1
                continue
            more = checked_parse(<const uint8_t *>held[borrowed - 1].data, held[borrowed - 1].size, &p)
            if first < 0:
                first = p.toc
            if (first | 3) != (p.toc | 3):
                raise InvalidArgument(f"packets of different kinds do not join: TOC {first:#04x} and {p.toc:#04x}")
            if count + more > LW_OPUS_MAX_FRAMES:
                raise InvalidArgument(f"an Opus packet has at most {LW_OPUS_MAX_FRAMES} frames")
            for i in range(more):
                frames[count].data = <const uint8_t *>held[borrowed - 1].data + p.offset[i]
                frames[count].size = p.size[i]
                cap += frames[count].size + 2
                count += 1
        cap = max(cap, <size_t>to_size)
        out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>cap)
        made = lw_opus_pack(<uint8_t>max(first, 0), frames, count, <size_t>to_size, <uint8_t *>PyBytes_AS_STRING(out), cap)
    finally:
        for i in range(borrowed):
            give_back(&held[i])
    if made == LW_EINVAL:
        raise InvalidArgument(f"{count} frames, {cap} bytes at most: an Opus packet has at least one frame, none above "
                              f"{LW_OPUS_MAX_FRAME_BYTES} bytes, 120 ms in all" +
                              (f", and it must fit {to_size} bytes" if to_size else ""))
    check(made, "Opus packet")
    return out if <size_t>made == cap else out[:made]


def opus_split(packet, /):
    """Packets of one frame each (code 0), a list of bytes.

    Raises:
        BadData: no Opus packet.
    """
    cdef Borrowed b
    cdef lw_opus_packet p
    cdef bytes one
    cdef char *to
    cdef int i
    cdef list out = []
    borrow_bytes(packet, &b, "an Opus packet")
    try:
        checked_parse(<const uint8_t *>b.data, b.size, &p)
        for i in range(p.frames):
            one = PyBytes_FromStringAndSize(NULL, 1 + p.size[i])
            to = PyBytes_AS_STRING(one)
            to[0] = <char>(p.toc & 0xFC)
            memcpy(to + 1, <const uint8_t *>b.data + p.offset[i], p.size[i])
            out.append(one)
    finally:
        give_back(&b)
    return out


def opus_pad(packet, size, /):
    """The same packet, exactly `size` bytes long.

    Raises:
        BadData: no Opus packet. InvalidArgument: `size` is less than it has.
    """
    cdef Borrowed b
    cdef lw_opus_packet p
    cdef bytes out
    cdef int to_size = whole(size, "size")
    borrow_bytes(packet, &b, "an Opus packet")
    try:
        checked_parse(<const uint8_t *>b.data, b.size, &p)
        if to_size < <Py_ssize_t>b.size:
            raise InvalidArgument(f"padding {b.size} bytes to {to_size}")
        out = PyBytes_FromStringAndSize(NULL, to_size)
        check(lw_opus_pad(<const uint8_t *>b.data, b.size, <size_t>to_size, <uint8_t *>PyBytes_AS_STRING(out), <size_t>to_size), "padding")
    finally:
        give_back(&b)
    return out


def opus_unpad(packet, /):
    """The same frames without padding, in the shortest encoding.

    Raises:
        BadData: no Opus packet.
    """
    return opus_pack((packet,))
