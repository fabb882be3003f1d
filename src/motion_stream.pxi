# Poses and cues as bytes: lipwire/motion_stream.h.

MOTION_EARLIER = LW_STREAM_EARLIER
# Of a channel's integer: value / 255, value / 32767, an id, half milliradians.
MOTION_BYTE = LW_STREAM_BYTE
MOTION_Q15 = LW_STREAM_Q15
MOTION_ID = LW_STREAM_ID
MOTION_ANGLE = LW_STREAM_ANGLE
# What events are called, by number.
MOTION_EVENTS = ("interrupt", "started", "finished", "underrun", "state", "expression", "gesture", "clock", "error")

cdef enum:
    MESSAGE_BYTES = 32768  # of the largest record of frames: all sets, LW_STREAM_EARLIER repeated
    MESSAGE_MOST = 1 << 20

# Where a record is made before its size is known: one place for all, as who has the interpreter's lock makes it.
cdef uint8_t _message[MESSAGE_BYTES]


cdef tuple _group(const lw_stream_group *group):
    """(set, kind, names)."""
    names = PyBytes_FromStringAndSize(group.names, <Py_ssize_t>group.names_size).decode("ascii")
    return PyBytes_FromStringAndSize(group.set, <Py_ssize_t>group.set_size).decode("ascii"), group.kind, tuple(names.split())


cdef dict _describe_sets():
    cdef lw_stream_group group
    cdef int i
    sets = {}
    for i in range(LW_STREAM_SETS):
        lw_stream_describe(i, &group)
        described = _group(&group)
        sets[described[0]] = (described,)
    return sets


# Set -> its groups: (set, kind, names).
MOTION_SETS = _describe_sets()


cdef float _scaled(int32_t value, int kind) noexcept:
    if kind == LW_STREAM_BYTE:
        return <float>(value / 255.0)
    if kind == LW_STREAM_Q15:
        return <float>(value / 32767.0)
    if kind == LW_STREAM_ANGLE:
        return <float>(value / <double>LW_FACE_RADIAN)
    return <float>value


cdef class MotionEncoder:
    """Poses as messages of the motion stream, version 1 (docs/motion.md).

    Args:
        sets: names of MOTION_SETS, each once: "arkit", "head", "visemes", "pose", "azure". The channels are in this order.
        fps: (numerator, denominator), 1..100 a second.
        earlier: frames that a message repeats from those before it, 0..15: as many messages in a row may be lost.
        id: of the header, 0..255; streams of other sets or another rate on the same carrier have another one.

    Attributes:
        groups: (set, kind, names) of the channels, in order. channels: how many. sets: as they were given.

    Raises:
        InvalidArgument: no such set, twice one, or a number out of range.
    """
    cdef lw_motion_encoder *e
    cdef readonly int channels
    cdef readonly tuple groups
    cdef readonly tuple sets
    cdef uint8_t kinds[LW_STREAM_OURS]

    def __cinit__(self, sets, fps, *, earlier=1, id=0):
        cdef lw_motion_encoder_config config
        cdef uint8_t numbers[LW_STREAM_SETS]
        cdef int n = 0
        memset(&config, 0, sizeof(config))
        known = list(MOTION_SETS)
        self.sets = tuple(sets)
        for name in self.sets:
            if name not in MOTION_SETS or n == LW_STREAM_SETS:
                raise InvalidArgument(f"sets are some of {', '.join(known)}, each once, not {', '.join(map(str, self.sets)):.80}")
            numbers[n] = known.index(name)
            n += 1
        _fps(fps, &config.fps_num, &config.fps_den)
        config.sets, config.set_count = numbers, n
        config.earlier, config.id = whole(earlier, "earlier"), whole(id, "id")
        check(lw_motion_encoder_open(&self.e, &config), f"sets {self.sets}, fps {fps}, earlier {earlier}, id {id}")
        self.groups = tuple([group for name in self.sets for group in MOTION_SETS[name]])
        self.channels = 0
        for _, kind, names in self.groups:
            for _ in names:
                self.kinds[self.channels] = kind
                self.channels += 1

    def __dealloc__(self):
        lw_motion_encoder_close(&self.e)

    def header(self):
        """The record that names the channels; before any frames."""
        cdef int64_t n = check(lw_motion_encoder_header(self.e, _message, MESSAGE_BYTES), "header")
        return PyBytes_FromStringAndSize(<char *>_message, n)

    cdef int place(self, Frame frame, sample, generation, lw_stream_frame *to, int32_t *values) except -1:
        lw_motion_encoder_values(self.e, &frame.info.pose, values)
        to.sample = frame.info.sample if sample is None else whole64(sample, "sample")
        to.generation = frame.info.generation if generation is None else whole64(generation, "generation")
        to.speaking = frame.info.utterance != 0
        to.values = values
        return 0

    cdef int place_values(self, sample, generation, bint speaking, given, lw_stream_frame *to, int32_t *values) except -1:
        cdef double[::1] numbers = np.ascontiguousarray(given, dtype=np.float64).reshape(-1)
        cdef double of, scaled
        cdef int i
        if numbers.shape[0] != self.channels:
            raise InvalidArgument(f"{numbers.shape[0]} values for {self.channels} channels")
        for i in range(self.channels):
            of = 255.0 if self.kinds[i] == LW_STREAM_BYTE else 32767.0 if self.kinds[i] == LW_STREAM_Q15 else 1.0
            if self.kinds[i] == LW_STREAM_ANGLE:
                of = LW_FACE_RADIAN
            scaled = floor(numbers[i] * of + 0.5)
            if not isfinite(scaled):
                raise InvalidArgument(f"channel {i}: {numbers[i]} is no number")
            if self.kinds[i] == LW_STREAM_BYTE:
                scaled = min(max(scaled, 0.0), 255.0)
            else:
                scaled = min(max(scaled, -2147483648.0), 2147483647.0)
            values[i] = <int32_t>scaled
        to.sample, to.generation = whole64(sample, "sample"), whole64(generation, "generation")
        to.speaking = speaking
        to.values = values
        return 0

    cdef bytes message(self, const lw_stream_frame *frame):
        cdef int64_t n = lw_motion_encoder_frame(self.e, frame, _message, MESSAGE_BYTES)
        if n < 0:
            raise InvalidArgument(f"sample {frame.sample}, generation {frame.generation}: 0 or more")
        return PyBytes_FromStringAndSize(<char *>_message, n)

    def encode(self, Frame frame not None, *, sample=None, generation=None):
        """The record of a frame's pose, with the `earlier` ones. `sample`, `generation`: in place of the frame's own.

        Raises:
            InvalidArgument: one of them is negative.
        """
        cdef int32_t values[LW_STREAM_OURS]
        cdef lw_stream_frame placed
        self.place(frame, sample, generation, &placed, values)
        return self.message(&placed)

    def keep(self, Frame frame not None, *, sample=None, generation=None):
        """Takes a frame in without a message: the next one repeats it. Raises as `encode`."""
        cdef int32_t values[LW_STREAM_OURS]
        cdef lw_stream_frame placed
        self.place(frame, sample, generation, &placed, values)
        if lw_motion_encoder_keep(self.e, &placed) < 0:
            raise InvalidArgument(f"sample {placed.sample}, generation {placed.generation}: 0 or more")

    def encode_values(self, sample, generation, bint speaking, values):
        """As `encode`, of values in place of a pose: floats, one of each channel, rounded to what can be sent.

        Raises:
            InvalidArgument: too many or too few, no numbers, or `sample` or `generation` is negative.
        """
        cdef int32_t numbers[LW_STREAM_OURS]
        cdef lw_stream_frame placed
        self.place_values(sample, generation, speaking, values, &placed, numbers)
        return self.message(&placed)

    def keep_values(self, sample, generation, bint speaking, values):
        """As `keep`, of values. Raises as `encode_values`."""
        cdef int32_t numbers[LW_STREAM_OURS]
        cdef lw_stream_frame placed
        self.place_values(sample, generation, speaking, values, &placed, numbers)
        if lw_motion_encoder_keep(self.e, &placed) < 0:
            raise InvalidArgument(f"sample {placed.sample}, generation {placed.generation}: 0 or more")

    def forget(self):
        """The next message repeats nothing."""
        lw_motion_encoder_forget(self.e)

    def values(self, Frame frame not None):
        """float32 (channels,): a frame's pose as it would be sent, rounded."""
        cdef int32_t values[LW_STREAM_OURS]
        cdef float[::1] to
        cdef int i
        out = np.empty(self.channels, dtype=np.float32)
        to = out
        lw_motion_encoder_values(self.e, &frame.info.pose, values)
        for i in range(self.channels):
            to[i] = _scaled(values[i], self.kinds[i])
        return out

    @staticmethod
    def event(number, sample, generation, str kind not None, str value not None=""):
        """The record of something that happened: one of MOTION_EVENTS, or "event<number>" (9..255). `number` counts the
        session's events from 1 on, so that one that comes again is known; 0: it is not numbered.

        Raises:
            InvalidArgument: no such kind, or a number out of range.
        """
        cdef bytes text = value.encode()
        cdef bytes out = PyBytes_FromStringAndSize(NULL, len(text) + 64)
        cdef lw_stream_note note
        cdef int64_t n
        note.number, note.sample = whole64(number, "number"), whole64(sample, "sample")
        note.generation = whole64(generation, "generation")
        note.kind = _event_number(kind)
        note.value, note.size = PyBytes_AS_STRING(text), len(text)
        n = check(lw_stream_put_event(&note, <uint8_t *>PyBytes_AS_STRING(out), len(out)),
                  f"event {number} at {sample}, generation {generation}")
        return out[:n]

    @staticmethod
    def sound(sample, codec, payload):
        """The record of a piece of sound that begins at `sample`: codec 1 = PCM16 mono at 48 kHz, 2 = an Opus packet.

        Raises:
            InvalidArgument: a number out of range.
        """
        cdef Borrowed b
        cdef int64_t n, at = whole64(sample, "sample")
        cdef int how = whole(codec, "codec")
        cdef bytes out
        borrow_bytes(payload, &b, "a payload")
        try:
            out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>b.size + 64)
            n = lw_stream_put_sound(at, how, <const uint8_t *>b.data, b.size, <uint8_t *>PyBytes_AS_STRING(out), len(out))
        finally:
            give_back(&b)
        return out[:check(n, f"sound at {sample}, codec {codec}")]


cdef int _event_number(str kind) except -1:
    if kind in MOTION_EVENTS:
        return MOTION_EVENTS.index(kind)
    number = kind[5:]
    if kind.startswith("event") and number.isdecimal() and len(MOTION_EVENTS) <= int(number) <= 255:
        return int(number)
    raise InvalidArgument(f"events are {', '.join(MOTION_EVENTS)}, not {kind!r:.40}")


cdef class MotionDecoder:
    """Reads messages of the motion stream, version 1. What it is given may be anything: a message has at most 64 records, so
    that what is made of one is bounded."""
    cdef lw_motion_decoder *d
    cdef tuple groups
    cdef uint8_t *kinds

    def __cinit__(self):
        check(lw_motion_decoder_open(&self.d), "motion decoder")

    def __dealloc__(self):
        lw_motion_decoder_close(&self.d)
        PyMem_Free(self.kinds)

    def put(self, message):
        """The records of a message (any bytes-like, at most 1 MiB and 64 records), in order, each a tuple:

        ("header", id, clock rate, (fps numerator, denominator), ((set, kind, names), ...));
        ("frames", id of the header, generation, speaking, [(sample, values), ...]), oldest first, values float32 (channels,) in
        the header's order, angles in radians;
        ("event", number, sample, generation, kind, value); ("sound", sample, codec, payload).

        Records of an unknown type are passed over, and frames of a header that is not the one read last.

        Raises:
            BadData: something of it is damaged. What could be read is in the error's `records`, and what was read before holds.
        """
        cdef Borrowed b
        cdef size_t at = 0
        cdef lw_stream_record record
        cdef int rc, damaged = 0
        cdef list records = []
        borrow_bytes(message, &b, "a message")
        try:
            if b.size > MESSAGE_MOST:
                raise BadData(f"a message of the motion stream has at most {MESSAGE_MOST} bytes, not {b.size}")
            while True:
                rc = lw_motion_decoder_next(self.d, <const uint8_t *>b.data, b.size, &at, &record)
                if rc == 0:
                    break
                if rc < 0 or not self.take(&record, records):
                    damaged += 1
        finally:
            give_back(&b)
        if damaged:
            error = BadData(f"a message of the motion stream of {b.size} bytes is damaged in {damaged} place(s)")
            error.records = records
            raise error
        return records

    cdef bint take(self, const lw_stream_record *record, list records) except -1:
        """False: it is damaged."""
        if record.type == LW_STREAM_HEADER:
            records.append(self.header())
        elif record.type == LW_STREAM_FRAMES:
            frames = [self.frame(i) for i in range(record.frames)]
            records.append(("frames", record.id, record.generation, bool(record.speaking), frames))
        elif record.type == LW_STREAM_SOUND:
            payload = PyBytes_FromStringAndSize(<const char *>record.bytes, <Py_ssize_t>record.size)
            records.append(("sound", record.sample, record.kind, payload))
        else:
            try:
                value = PyBytes_FromStringAndSize(<const char *>record.bytes, <Py_ssize_t>record.size).decode()
            except UnicodeDecodeError:
                return False
            kind = MOTION_EVENTS[record.kind] if record.kind < len(MOTION_EVENTS) else f"event{record.kind}"
            records.append(("event", record.number, record.sample, record.generation, kind, value))
        return True

    cdef tuple header(self):
        cdef lw_stream_header header
        cdef lw_stream_group group
        cdef int i, k, at = 0
        lw_motion_decoder_header(self.d, &header)
        kinds = <uint8_t *>PyMem_Realloc(self.kinds, header.channels)
        if kinds == NULL:
            raise OutOfMemory("motion decoder")
        self.kinds = kinds
        groups = []
        for i in range(header.groups):
            lw_motion_decoder_group(self.d, i, &group)
            groups.append(_group(&group))
            for k in range(group.count):
                self.kinds[at] = <uint8_t>group.kind
                at += 1
        return "header", header.id, header.clock_rate, (header.fps_num, header.fps_den), tuple(groups)

    cdef tuple frame(self, int i):
        cdef lw_stream_header header
        cdef int64_t sample
        cdef const int32_t *values = lw_motion_decoder_values(self.d, i, &sample)
        cdef float[::1] to
        cdef int k
        lw_motion_decoder_header(self.d, &header)
        out = np.empty(header.channels, dtype=np.float32)
        to = out
        for k in range(header.channels):
            to[k] = _scaled(values[k], self.kinds[k])
        return sample, out
