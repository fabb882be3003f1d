# Opus coding by libopus, called straight from here.
#
# libopus is the one that PyAV's wheel brings along, or the system's (lipwire.opus says where to look). Calling it
# without FFmpeg around it saves the packet, frame and array objects, and gives what FFmpeg does not hand through:
# concealment of any length, in-band FEC, exact frame sizes. Where there is no such library (a PyAV with libopus linked
# into itself), lipwire.opus codes through PyAV.

# What is used of opus.h; the objects are opaque.
ctypedef const char *(*opus_version_fn)() noexcept nogil
ctypedef const char *(*opus_strerror_fn)(int) noexcept nogil
ctypedef void *(*opus_decoder_create_fn)(int32_t, int, int *) noexcept nogil
ctypedef void *(*opus_encoder_create_fn)(int32_t, int, int, int *) noexcept nogil
ctypedef void (*opus_destroy_fn)(void *) noexcept nogil
ctypedef int (*opus_decode_fn)(void *, const uint8_t *, int32_t, int16_t *, int, int) noexcept nogil
ctypedef int32_t (*opus_encode_fn)(void *, const int16_t *, int, uint8_t *, int32_t) noexcept nogil
ctypedef int (*opus_ctl_fn)(void *, int, ...) noexcept nogil

cdef enum:
    OPUS_INVALID_PACKET = -4
    OPUS_SET_BITRATE = 4002
    OPUS_SET_VBR = 4006
    OPUS_SET_COMPLEXITY = 4010
    OPUS_SET_INBAND_FEC = 4012
    OPUS_SET_PACKET_LOSS_PERC = 4014
    OPUS_SET_DTX = 4016
    OPUS_GET_LOOKAHEAD = 4027
    OPUS_RESET_STATE = 4028
    OPUS_PACKET_ROOM = 8192  # 120 ms at the most bytes a frame can have

cdef struct Libopus:
    opus_strerror_fn strerror
    opus_decoder_create_fn decoder_create
    opus_destroy_fn decoder_destroy
    opus_decode_fn decode
    opus_ctl_fn decoder_ctl
    opus_encoder_create_fn encoder_create
    opus_destroy_fn encoder_destroy
    opus_encode_fn encode
    opus_ctl_fn encoder_ctl

cdef Libopus libopus
cdef object libopus_version = None
cdef bint libopus_sought = False


cdef bint open_libopus(bytes path):
    """Resolves everything, or nothing. The library stays loaded for good."""
    global libopus_version
    cdef Libopus found
    cdef void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)
    if handle == NULL:
        return False
    cdef opus_version_fn version = <opus_version_fn>dlsym(handle, "opus_get_version_string")
    found.strerror = <opus_strerror_fn>dlsym(handle, "opus_strerror")
    found.decoder_create = <opus_decoder_create_fn>dlsym(handle, "opus_decoder_create")
    found.decoder_destroy = <opus_destroy_fn>dlsym(handle, "opus_decoder_destroy")
    found.decode = <opus_decode_fn>dlsym(handle, "opus_decode")
    found.decoder_ctl = <opus_ctl_fn>dlsym(handle, "opus_decoder_ctl")
    found.encoder_create = <opus_encoder_create_fn>dlsym(handle, "opus_encoder_create")
    found.encoder_destroy = <opus_destroy_fn>dlsym(handle, "opus_encoder_destroy")
    found.encode = <opus_encode_fn>dlsym(handle, "opus_encode")
    found.encoder_ctl = <opus_ctl_fn>dlsym(handle, "opus_encoder_ctl")
    if (version == NULL or found.strerror == NULL or found.decoder_create == NULL or found.decoder_destroy == NULL or
            found.decode == NULL or found.decoder_ctl == NULL or found.encoder_create == NULL or
            found.encoder_destroy == NULL or found.encode == NULL or found.encoder_ctl == NULL):
        dlclose(handle)
        return False
    global libopus
    libopus = found
    libopus_version = version().decode()
    return True


def opus_library():
    """The version of the libopus that coding calls, say "libopus 1.6.1"; None where it goes through PyAV instead."""
    global libopus_sought
    if not libopus_sought:
        from lipwire.opus import _libraries

        for path in _libraries():
            if open_libopus(os.fsencode(path)):
                break
        libopus_sought = True
    return libopus_version


cdef int check_opus(int rc, str what) except? -1:
    if rc == OPUS_INVALID_PACKET:
        raise BadData(f"{what}: the packet's frames are corrupt")
    if rc < 0:
        raise LipwireError(f"{what}: {libopus.strerror(rc).decode()}")
    return rc


cdef int check_format(int rate, int channels) except -1:
    if rate not in (8000, 12000, 16000, 24000, 48000):
        raise InvalidArgument(f"Opus has 8000, 12000, 16000, 24000 and 48000 Hz, not {rate}")
    if channels not in (1, 2):
        raise InvalidArgument(f"{channels} channels; 1 or 2")
    return 0


cdef class OpusDecoder:
    """Decodes one stream of Opus packets (RFC 6716) to PCM16; channels interleaved.

    A packet that was lost is concealed: `decode(next, fec=True)` where the packet after it has come and carries
    redundancy (`OpusPacket.fec`), else `conceal()`; both give the missing duration, then `decode(next)` goes on.
    libopus decodes, without the GIL. One thread at a time.

    Args:
        rate: of the PCM, 8000, 12000, 16000, 24000 or 48000 Hz, whatever the packets were made from.
        channels: of the PCM, 1 or 2, whatever the packets have.

    Raises:
        InvalidArgument: rate or channels.
        BadState: there is no libopus, and `rate` is not 48000, the only one that PyAV decodes to.
    """
    cdef void *d
    cdef object spare
    cdef readonly int rate
    cdef readonly int channels
    cdef int last
    cdef bint busy

    def __cinit__(self, rate=LW_RATE, channels=1):
        cdef int error = 0
        self.rate = whole(rate, "rate")
        self.channels = whole(channels, "channels")
        check_format(self.rate, self.channels)
        if opus_library() is None:
            from lipwire.opus import _SpareDecoder

            self.spare = _SpareDecoder(self.rate, self.channels)
            return
        self.d = libopus.decoder_create(self.rate, self.channels, &error)
        if self.d == NULL:
            raise OutOfMemory(f"Opus decoder: {libopus.strerror(error).decode()}")

    def __dealloc__(self):
        if self.d != NULL:
            libopus.decoder_destroy(self.d)

    cdef bytes run(self, const uint8_t *data, size_t n, int samples, bint fec):
        cdef bytes out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>samples * self.channels * 2)
        cdef int16_t *to = <int16_t *>PyBytes_AS_STRING(out)
        cdef int made
        if self.busy:
            raise BadState("another thread is using this decoder")
        self.busy = True
        with nogil:
            made = libopus.decode(self.d, data, <int32_t>n, to, samples, fec)
        self.busy = False
        check_opus(made, "Opus decoder")
        return out if made == samples else out[: made * self.channels * 2]

    cdef int missing(self, int samples) except -1:
        """How much to make up."""
        cdef int step = self.rate // 400
        if not samples:
            return self.last or 8 * step
        if samples < 0 or samples % step or samples > 48 * step:
            raise InvalidArgument(f"{samples} samples; a multiple of {step} (2.5 ms) up to {48 * step} (120 ms)")
        return samples

    def decode(self, packet, *, bint fec=False, samples=0):
        """PCM16 of a packet (bytes-like or OpusPacket), as long as it says: `samples * rate / 48000` per channel.

        Args:
            fec: instead, what was lost right before this packet, from the redundancy in it; what it does not cover
                is concealed. It comes before `decode` of the same packet.
            samples: with fec, how much was lost, per channel at `rate`: a multiple of 2.5 ms up to 120 ms; 0 = as
                much as the last decoded packet had.

        Raises:
            BadData: no Opus packet; the message names the requirement that it breaks. The stream can go on.
            InvalidArgument: samples. BadState: another thread is in here.
        """
        cdef Borrowed b
        cdef lw_opus_packet p
        cdef bytes out
        cdef int length, lost = whole(samples, "samples")
        borrow_bytes(packet, &b, "an Opus packet")
        try:
            checked_parse(<const uint8_t *>b.data, b.size, &p)
            if fec:
                length = self.missing(lost)
                if self.spare is not None:
                    return self.spare.conceal(length)
                return self.run(<const uint8_t *>b.data, b.size, length, True)
            if lost:
                raise InvalidArgument("samples is for fec=True; a packet knows its own length")
            length = p.samples * self.rate // LW_RATE
            if self.spare is None:
                out = self.run(<const uint8_t *>b.data, b.size, length, False)
            else:
                out = self.spare.decode(PyBytes_FromStringAndSize(<const char *>b.data, <Py_ssize_t>b.size))
            self.last = length
            return out
        finally:
            give_back(&b)

    def conceal(self, samples=0):
        """PCM16 in place of packets that were lost: the sound goes on and fades out.

        Args:
            samples: per channel at `rate`, a multiple of 2.5 ms up to 120 ms; 0 = as many as the last decoded packet
                had (20 ms before any).

        Raises:
            InvalidArgument: samples. BadState: another thread is in here.
        """
        cdef int length = self.missing(whole(samples, "samples"))
        if self.spare is not None:
            return self.spare.conceal(length)
        return self.run(NULL, 0, length, False)

    def reset(self):
        """The next packet starts a new stream."""
        if self.busy:
            raise BadState("another thread is using this decoder")
        self.last = 0
        if self.spare is not None:
            self.spare.reset()
        else:
            check_opus(libopus.decoder_ctl(self.d, OPUS_RESET_STATE), "Opus decoder")


cdef dict OPUS_APPLICATIONS = {"voip": 2048, "audio": 2049, "lowdelay": 2051}
cdef tuple OPUS_FRAME_MS = (2.5, 5, 10, 20, 40, 60, 80, 100, 120)


cdef class OpusEncoder:
    """Encodes PCM16 (channels interleaved) to Opus packets of one duration. libopus encodes, without the GIL.

    Args:
        rate: of the PCM, 8000, 12000, 16000, 24000 or 48000 Hz.
        channels: 1 or 2.
        bitrate: bit/s, 6000..510000.
        application: "voip" (speech), "audio" (anything) or "lowdelay" (CELT only, 4 ms less delay).
        frame_ms: duration of a packet: 2.5, 5, 10, 20, 40, 60, 80, 100 or 120.
        fec: packets also carry the one before them coarsely, as far as `packet_loss` makes that worth it.
        packet_loss: expected loss in per cent, 0..100.
        dtx: during silence packets of a byte (`OpusPacket.dtx`), which need not be sent.
        complexity: 0 fastest .. 10 best.
        vbr: False makes all packets one size.

    Raises:
        InvalidArgument: one of them is out of range.
    """
    cdef void *e
    cdef object spare
    cdef readonly int rate
    cdef readonly int channels
    cdef readonly int frame_samples
    cdef int16_t *pending
    cdef size_t have, want
    cdef bint busy, dirty
    cdef int ahead
    cdef uint8_t packet[OPUS_PACKET_ROOM]

    def __cinit__(self, rate=LW_RATE, channels=1, bitrate=24000, str application="voip", double frame_ms=20,
                  bint fec=False, packet_loss=0, bint dtx=False, complexity=10, bint vbr=True):
        cdef int error = 0, bits = whole(bitrate, "bitrate"), loss = whole(packet_loss, "packet_loss")
        cdef int effort = whole(complexity, "complexity")
        self.rate = whole(rate, "rate")
        self.channels = whole(channels, "channels")
        check_format(self.rate, self.channels)
        if not 6000 <= bits <= 510000:
            raise InvalidArgument(f"{bits} bit/s; 6000..510000")
        if application not in OPUS_APPLICATIONS:
            raise InvalidArgument(f"application {application!r}; one of {', '.join(OPUS_APPLICATIONS)}")
        if frame_ms not in OPUS_FRAME_MS:
            raise InvalidArgument(f"frames of {frame_ms:g} ms; one of {', '.join(map(str, OPUS_FRAME_MS))}")
        if not 0 <= loss <= 100:
            raise InvalidArgument(f"packet loss of {loss} %")
        if not 0 <= effort <= 10:
            raise InvalidArgument(f"complexity {effort}; 0..10")
        self.frame_samples = <int>(self.rate * frame_ms / 1000)
        self.want = <size_t>self.frame_samples * self.channels
        self.pending = <int16_t *>calloc(self.want, sizeof(int16_t))
        if self.pending == NULL:
            raise OutOfMemory("Opus encoder")
        if opus_library() is None:
            from lipwire.opus import _SpareEncoder

            self.spare = _SpareEncoder(self.rate, self.channels, bits, application, frame_ms, fec, loss, dtx, effort,
                                       vbr)
            self.ahead = self.rate // 150
            return
        self.e = libopus.encoder_create(self.rate, self.channels, OPUS_APPLICATIONS[application], &error)
        if self.e == NULL:
            raise OutOfMemory(f"Opus encoder: {libopus.strerror(error).decode()}")
        self.set(OPUS_SET_BITRATE, bits)
        self.set(OPUS_SET_VBR, vbr)
        self.set(OPUS_SET_COMPLEXITY, effort)
        self.set(OPUS_SET_INBAND_FEC, fec)
        self.set(OPUS_SET_PACKET_LOSS_PERC, loss)
        self.set(OPUS_SET_DTX, dtx)
        check_opus(libopus.encoder_ctl(self.e, OPUS_GET_LOOKAHEAD, &self.ahead), "Opus encoder")

    def __dealloc__(self):
        free(self.pending)
        if self.e != NULL:
            libopus.encoder_destroy(self.e)

    cdef int set(self, int request, int value) except -1:
        check_opus(libopus.encoder_ctl(self.e, request, <int32_t>value), "Opus encoder")
        return 0

    cdef bytes one(self, const int16_t *pcm):
        """The packet of one frame."""
        cdef int32_t made
        self.dirty = True
        if self.spare is not None:
            return self.spare.encode(PyBytes_FromStringAndSize(<const char *>pcm, <Py_ssize_t>self.want * 2))
        with nogil:
            made = libopus.encode(self.e, pcm, self.frame_samples, self.packet, OPUS_PACKET_ROOM)
        check_opus(made, "Opus encoder")
        return PyBytes_FromStringAndSize(<const char *>self.packet, made)

    def encode(self, pcm):
        """Takes PCM16 (bytes-like or int16; of two channels also an array of shape (n, 2)) in pieces of any size; returns the packets that became full, a list of bytes.

        Raises:
            InvalidArgument: not PCM16 of so many channels. BadState: another thread is in here.
        """
        cdef Borrowed b
        cdef const int16_t *at
        cdef size_t left, part
        cdef list out = []
        if self.busy:
            raise BadState("another thread is using this encoder")
        borrow_pcm(pcm, &b, self.channels)
        self.busy = True
        try:
            at = <const int16_t *>b.data
            left = b.size // 2
            while left:
                # Whole frames go in from where they are, if an int16 may be there.
                if not self.have and left >= self.want and not <size_t>at & 1:
                    out.append(self.one(at))
                    part = self.want
                else:
                    part = min(left, self.want - self.have)
                    memcpy(self.pending + self.have, at, part * sizeof(int16_t))
                    self.have += part
                    if self.have == self.want:
                        self.have = 0
                        out.append(self.one(self.pending))
                at += part
                left -= part
        finally:
            self.busy = False
            give_back(&b)
        return out

    def flush(self):
        """The packets still owed, so that a decoder gets everything: the rest, the look-ahead's worth of silence, and
        silence to a whole packet. Then the encoder is as new."""
        cdef list out = []
        if self.have or self.dirty:
            out = self.encode(bytes(self.ahead * self.channels * 2))
            if self.have:
                out += self.encode(bytes((self.want - self.have) * 2))
        self.reset()
        return out

    def reset(self):
        """Forgets all input."""
        if self.busy:
            raise BadState("another thread is using this encoder")
        self.have = 0
        self.dirty = False
        if self.spare is not None:
            self.spare.reset()
        else:
            check_opus(libopus.encoder_ctl(self.e, OPUS_RESET_STATE), "Opus encoder")

    @property
    def lookahead(self):
        """Seconds that the decoded sound lags behind."""
        return self.ahead / <double>self.rate
