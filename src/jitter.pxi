# The jitter buffer: lipwire/jitter.h. Opus is decoded by the libopus that opus_coding.pxi found.

cdef dict JITTER_RATES = {"pcmu": 8000, "pcma": 8000, "g722": 16000, "opus": 48000, "l16": 16000}
cdef dict JITTER_KINDS = {
    "speech": LW_JITTER_SPEECH, "comfort": LW_JITTER_CN, "event": LW_JITTER_EVENT, "dtx": LW_JITTER_DTX
}
cdef tuple JITTER_MODES = ("normal", "accelerate", "expand", "concealed", "comfort", "idle")

cdef struct JitterOpus:
    void *decoder
    int32_t rate


cdef int32_t jitter_opus_duration(void *state, const uint8_t *payload, size_t n) noexcept nogil:
    cdef lw_opus_packet p
    if lw_opus_parse(payload, n, &p) < 0:
        return LW_EDATA
    return <int32_t>(<int64_t>p.samples * (<JitterOpus *>state).rate // LW_RATE)


cdef int32_t jitter_opus_decode(void *state, const uint8_t *payload, size_t n, int16_t *out,
                                int32_t room) noexcept nogil:
    return libopus.decode((<JitterOpus *>state).decoder, payload, <int32_t>n, out, room, 0)


cdef int32_t jitter_opus_conceal(void *state, int16_t *out, int32_t samples) noexcept nogil:
    return libopus.decode((<JitterOpus *>state).decoder, NULL, 0, out, samples, 0)


cdef int32_t jitter_opus_recover(void *state, const uint8_t *following, size_t n, int16_t *out,
                                 int32_t samples) noexcept nogil:
    cdef lw_opus_packet p
    if lw_opus_parse(following, n, &p) < 0 or not p.fec:
        return 0
    return libopus.decode((<JitterOpus *>state).decoder, following, <int32_t>n, out, samples, 1)


cdef void jitter_opus_reset(void *state) noexcept nogil:
    libopus.decoder_ctl((<JitterOpus *>state).decoder, OPUS_RESET_STATE)


cdef int jitter_type(object value, str name) except -2:
    """A payload type; -1: none."""
    if value is None:
        return -1
    cdef int number = whole(value, name)
    if not 0 <= number <= 127:
        raise InvalidArgument(f"{name} is 0..127, not {number}")
    return number


cdef class JitterBuffer:
    """A jitter buffer for speech: RTP packets in as they come, 10 ms of PCM16 mono out whenever it is asked for.

    Packets may come late, twice, out of order or not at all. What comes out is always 10 ms, and lags behind by as
    little as the lateness of the packets allows; the lag follows it by leaving out and repeating single periods of the
    voice. What is lost is made up: by Opus itself, out of the redundancy of the next packet where it has some; for the
    other codecs of what was before, and of what is behind where that has come. Time is an argument: `now_ns` is of any
    monotonic clock. The same packets at the same times give the same samples, but for Opus on every machine.

    One thread at a time.

    Args:
        codec: "pcmu", "pcma" (ITU-T G.711), "g722" (G.722, 64 kbit/s), "opus" (RFC 6716) or "l16" (RFC 3551, 4.5.11).
        sample_rate: of the PCM: 8000, 16000, 24000 or 48000 Hz. None = 8000 for G.711, 16000 for G.722 (nothing else is
            possible) and L16, 48000 for Opus.
        clock_rate: of the RTP timestamps. None = 8000 for G.722 (RFC 3551, 4.5.2), 48000 for Opus, else sample_rate.
        payload_type: that `put` takes; None = any.
        comfort_noise_type: payload type of comfort noise (RFC 3389); None = none.
        event_type: payload type of telephone events (RFC 4733); None = none.
        min_delay_ms: no less behind the fastest packets than this.
        max_delay_ms: 20..10000; what is older is left out.
        max_packets: 2..1024 that may wait; when there are more, the oldest gives way.

    Raises:
        InvalidArgument: one of them is out of range, or nothing that the codec can do.
        BadState: Opus, and there is no libopus to call (`lipwire.opus.library`).
    """
    cdef lw_jitter *j
    cdef lw_jitter_decoder decoder
    cdef JitterOpus opus
    cdef readonly str codec
    cdef readonly int sample_rate
    cdef readonly int clock_rate
    cdef int speech_type, comfort_type, event_type
    cdef int block
    cdef bint busy
    cdef int64_t source, stranger  # SSRCs; -1 = none yet
    cdef int64_t others, strays

    def __cinit__(self, str codec, *, sample_rate=None, clock_rate=None, payload_type=None, comfort_noise_type=None,
                  event_type=None, min_delay_ms=0, max_delay_ms=2000, max_packets=200):
        cdef lw_jitter_config config
        cdef int error = 0
        memset(&config, 0, sizeof(config))
        if codec not in JITTER_RATES:
            raise InvalidArgument(f"codec {codec!r}; one of {', '.join(JITTER_RATES)}")
        self.codec = codec
        self.sample_rate = JITTER_RATES[codec] if sample_rate is None else whole(sample_rate, "sample_rate")
        if self.sample_rate not in (8000, 16000, 24000, 48000) or codec == "g722" and self.sample_rate != 16000:
            raise InvalidArgument(f"sample_rate {self.sample_rate}: "
                                  f"{'G.722 has 16000' if codec == 'g722' else 'one of 8000, 16000, 24000, 48000'}")
        natural = {"g722": 8000, "opus": 48000}.get(codec, self.sample_rate)
        self.clock_rate = natural if clock_rate is None else whole(clock_rate, "clock_rate")
        if not 8000 <= self.clock_rate <= 192000:
            raise InvalidArgument(f"clock_rate {self.clock_rate}; 8000..192000")
        self.speech_type = jitter_type(payload_type, "payload_type")
        self.comfort_type = jitter_type(comfort_noise_type, "comfort_noise_type")
        self.event_type = jitter_type(event_type, "event_type")
        self.source = self.stranger = -1
        config.sample_rate = self.sample_rate
        config.clock_rate = self.clock_rate
        config.min_delay_ms = whole(min_delay_ms, "min_delay_ms")
        config.max_delay_ms = whole(max_delay_ms, "max_delay_ms")
        config.max_packets = whole(max_packets, "max_packets")
        if not 20 <= config.max_delay_ms <= 10000:
            raise InvalidArgument(f"max_delay_ms {config.max_delay_ms}; 20..10000")
        if not 0 <= config.min_delay_ms <= config.max_delay_ms:
            raise InvalidArgument(f"min_delay_ms {config.min_delay_ms}; 0..max_delay_ms, which is {config.max_delay_ms}")
        if not 2 <= config.max_packets <= 1024:
            raise InvalidArgument(f"max_packets {config.max_packets}; 2..1024")
        if codec == "opus":
            if opus_library() is None:
                raise BadState("a jitter buffer for Opus needs libopus (Debian: libopus0)")
            self.opus.rate = self.sample_rate
            self.opus.decoder = libopus.decoder_create(self.sample_rate, 1, &error)
            if self.opus.decoder == NULL:
                raise OutOfMemory(f"Opus decoder: {libopus.strerror(error).decode()}")
            self.decoder.state = &self.opus
            self.decoder.duration = jitter_opus_duration
            self.decoder.decode = jitter_opus_decode
            self.decoder.conceal = jitter_opus_conceal
            self.decoder.recover = jitter_opus_recover
            self.decoder.reset = jitter_opus_reset
        else:
            check(lw_jitter_codec_open(&self.decoder, codec.encode(), self.sample_rate), f"decoder of {codec}")
        config.decoder = self.decoder
        self.block = self.sample_rate // 100
        check(lw_jitter_open(&self.j, &config), "jitter buffer")

    def __dealloc__(self):
        self.free()

    cdef void free(self) noexcept:
        lw_jitter_close(&self.j)
        if self.opus.decoder != NULL:
            libopus.decoder_destroy(self.opus.decoder)
            self.opus.decoder = NULL
        elif self.decoder.decode != NULL:
            lw_jitter_codec_close(&self.decoder)

    cdef int enter(self) except -1:
        if self.j == NULL:
            raise BadState("this jitter buffer is closed")
        if self.busy:
            raise BadState("another thread is using this jitter buffer")
        return 0

    cdef int kind_of(self, const uint8_t *payload, size_t n, int kind) noexcept:
        """Opus says by itself that nothing more will come (RFC 6716, 2.1.9)."""
        cdef lw_opus_packet p
        if kind == LW_JITTER_SPEECH and self.opus.decoder != NULL and lw_opus_parse(payload, n, &p) >= 0 and p.dtx:
            return LW_JITTER_DTX
        return kind

    def put(self, packet, now_ns):
        """Takes a whole RTP packet (bytes-like; RFC 3550: with CSRCs, extension and padding) that arrived at `now_ns`.

        A packet of another source (SSRC) is not taken; when a second one of it follows, it is the stream from then on.

        Returns:
            Whether it was taken. False: too late, there already, damaged, of another payload type or source; `stats`
            counts each.
        """
        cdef Borrowed b
        cdef lw_rtp_packet p
        cdef int64_t now = whole64(now_ns, "now_ns")
        cdef int kind, taken
        self.enter()
        borrow_bytes(packet, &b, "an RTP packet")
        try:
            if lw_rtp_parse(&p, <const uint8_t *>b.data, b.size) < 0 or p.size > LW_JITTER_MAX_PAYLOAD:
                self.strays += 1
                return False
            if p.payload_type == self.event_type:
                kind = LW_JITTER_EVENT
            elif p.payload_type == self.comfort_type:
                kind = LW_JITTER_CN
            elif self.speech_type < 0 or p.payload_type == self.speech_type:
                kind = self.kind_of(p.payload, p.size, LW_JITTER_SPEECH)
            else:
                self.others += 1
                return False
            if p.ssrc != self.source:
                if self.source >= 0 and p.ssrc != self.stranger:
                    self.stranger = p.ssrc
                    self.strays += 1
                    return False
                if self.source >= 0:
                    lw_jitter_reset(self.j)
                self.source = p.ssrc
                self.stranger = -1
            taken = lw_jitter_put(self.j, now, p.sequence, p.timestamp, kind, p.payload, p.size)
        finally:
            give_back(&b)
        return check(taken) > 0

    def put_payload(self, sequence, timestamp, payload, now_ns, kind="speech"):
        """Takes the payload (bytes-like, at most 2048 bytes) of a packet that arrived at `now_ns`.

        Args:
            sequence, timestamp: of its RTP header; the lowest 16 and 32 bits count.
            kind: "speech", "comfort" (noise, RFC 3389), "event" (telephone, RFC 4733), or "dtx": speech that says that
                nothing more will come for a while.

        Returns:
            Whether it was taken.

        Raises:
            InvalidArgument: kind, or more than 2048 bytes.
        """
        cdef Borrowed b
        cdef int64_t now = whole64(now_ns, "now_ns"), number = whole64(sequence, "sequence")
        cdef int64_t time = whole64(timestamp, "timestamp")
        cdef int what, taken
        self.enter()
        if kind not in JITTER_KINDS:
            raise InvalidArgument(f"kind {kind!r}; one of {', '.join(JITTER_KINDS)}")
        what = JITTER_KINDS[kind]
        borrow_bytes(payload, &b, "a payload")
        try:
            if b.size > LW_JITTER_MAX_PAYLOAD:
                raise InvalidArgument(f"a payload of {b.size} bytes; at most {LW_JITTER_MAX_PAYLOAD}")
            what = self.kind_of(<const uint8_t *>b.data, b.size, what)
            taken = lw_jitter_put(self.j, now, <uint16_t>(number & 0xFFFF), <uint32_t>(time & 0xFFFFFFFF), what,
                                  <const uint8_t *>b.data, b.size)
        finally:
            give_back(&b)
        return check(taken) > 0

    cdef int next_block(self, int64_t now, int16_t *to) noexcept:
        cdef int mode
        if self.opus.decoder == NULL:
            return lw_jitter_get(self.j, now, to)
        self.busy = True  # decoding Opus takes long enough to let others run
        with nogil:
            mode = lw_jitter_get(self.j, now, to)
        self.busy = False
        return mode

    def get(self, now_ns):
        """The next 10 ms, which are played from `now_ns` on: an array of int16, sample_rate / 100 samples. Wanted every
        10 ms; the times may wobble, and may be the same for two blocks that are wanted at once."""
        cdef Borrowed b
        cdef int64_t now = whole64(now_ns, "now_ns")
        self.enter()
        out = np.empty(self.block, np.int16)
        borrow(out, &b)
        self.next_block(now, <int16_t *>b.data)
        give_back(&b)
        return out

    def get_into(self, out, now_ns):
        """The same into `out`, a writable buffer of int16 or bytes of just that size.

        Returns:
            What most of it is: "normal" (as it was sent), "accelerate" or "expand" (less or more of it), "concealed"
            (made up), "comfort" (noise that the sender asked for) or "idle" (silence: no stream yet, or it pauses).

        Raises:
            InvalidArgument: another kind or size of buffer.
        """
        cdef Py_buffer view
        cdef int64_t now = whole64(now_ns, "now_ns")
        cdef int mode
        self.enter()
        PyObject_GetBuffer(out, &view, PyBUF_WRITABLE | PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
        try:
            if view.len != 2 * self.block or (view.format != NULL and view.format[0] not in b"hB<=@"):
                raise InvalidArgument(f"{view.len} bytes of {_type_of(out, &view)}; {self.block} samples of int16 are wanted")
            if <size_t>view.buf & 1:
                raise InvalidArgument("the buffer begins at an odd address")
            mode = self.next_block(now, <int16_t *>view.buf)
        finally:
            PyBuffer_Release(&view)
        return JITTER_MODES[mode]

    def events(self):
        """Telephone events (RFC 4733) since the last call: tuples (event, seconds, ended). Each is told when it begins
        and, with its whole length, when it has ended; 0..15 are 0-9, *, #, A-D. 32 are kept."""
        cdef lw_jitter_event_t event
        cdef list told = []
        self.enter()
        while lw_jitter_event(self.j, &event):
            told.append((event.event, event.duration / <double>self.clock_rate, bool(event.end)))
        return told

    def stats(self):
        """Counters since it was opened. Names and units (seconds, samples, packets) of W3C webrtc-stats where there is
        one; packetsDuplicated, packetsDamaged, packetsOther (payload type), packetsStray (source, or no RTP),
        packetsReordered, packetsRecovered (by in-band FEC), comfortNoiseSamples, idleSamples, restarts; and what is now:
        packetsBuffered, bufferLevel and targetDelay in seconds."""
        cdef lw_jitter_stats_t s
        self.enter()
        lw_jitter_stats(self.j, &s)
        return {
            "packetsReceived": s.packets_received,
            "packetsLost": s.packets_lost,
            "packetsDiscarded": s.packets_discarded,
            "packetsDuplicated": s.packets_duplicate,
            "packetsDamaged": s.packets_damaged,
            "packetsOther": self.others,
            "packetsStray": self.strays,
            "packetsReordered": s.packets_reordered,
            "packetsRecovered": s.fec_packets_recovered,
            "jitter": s.jitter_ns / 1e9,
            "jitterBufferDelay": s.jitter_buffer_delay_ns / 1e9,
            "jitterBufferTargetDelay": s.jitter_buffer_target_delay_ns / 1e9,
            "jitterBufferMinimumDelay": s.jitter_buffer_minimum_delay_ns / 1e9,
            "jitterBufferEmittedCount": s.jitter_buffer_emitted_count,
            "totalSamplesReceived": s.total_samples_received,
            "concealedSamples": s.concealed_samples,
            "silentConcealedSamples": s.silent_concealed_samples,
            "concealmentEvents": s.concealment_events,
            "insertedSamplesForDeceleration": s.inserted_samples_for_deceleration,
            "removedSamplesForAcceleration": s.removed_samples_for_acceleration,
            "comfortNoiseSamples": s.comfort_samples,
            "idleSamples": s.idle_samples,
            "restarts": s.restarts,
            "packetsBuffered": s.buffered_packets,
            "bufferLevel": s.buffered_ns / 1e9,
            "targetDelay": s.target_ns / 1e9,
        }

    @property
    def idle(self):
        """Nothing is being said: no stream yet, or it pauses."""
        self.enter()
        return bool(lw_jitter_idle(self.j))

    def reset(self):
        """Forgets the stream; counters go on."""
        self.enter()
        self.source = self.stranger = -1
        lw_jitter_reset(self.j)

    def close(self):
        """Frees it. Closing twice is safe."""
        if self.busy:
            raise BadState("another thread is using this jitter buffer")
        self.free()
