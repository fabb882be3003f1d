# A session's chain: lipwire/performer.h.

DRAW_SAME = LW_DRAW_SAME
DRAW_SLOW = LW_DRAW_SLOW_NS / 1e9
# What a compiled hook reads (lw_draw_info): name -> (offset in bytes, format as in numpy, count).
cdef lw_draw_info *_info = NULL
DRAW_INFO = {
    "sample": (<size_t>&_info.sample, "i8", 1),
    "sequence": (<size_t>&_info.sequence, "i8", 1),
    "utterance": (<size_t>&_info.utterance, "u8", 1),
    "width": (<size_t>&_info.width, "i4", 1),
    "height": (<size_t>&_info.height, "i4", 1),
    "loudness": (<size_t>&_info.loudness, "f4", 1),
    "axis": (<size_t>&_info.axis[0], "f4", LW_AXES),
    "viseme": (<size_t>&_info.viseme[0], "f4", LW_VISEMES),
}
DRAW_INFO_BYTES = sizeof(lw_draw_info)

EVENT_STARTED = LW_EVENT_STARTED
EVENT_FINISHED = LW_EVENT_FINISHED
EVENT_UNDERRUN = LW_EVENT_UNDERRUN
EVENT_MOUTH = LW_EVENT_MOUTH

UTTERANCES = LW_PERFORMER_UTTERANCES

TICK_PCM = LW_TICK_PCM
TICK_FRAME = LW_TICK_FRAME
TICK_EVENTS = LW_TICK_EVENTS

LOOK_PICTURES = LW_LOOK_PICTURES
LOOK_UNITS = LW_LOOK_UNITS
LOOK_POSES = LW_LOOK_POSES

# Where units are stitched, before their bytes are known to be so many: one place for all, as who has the interpreter's lock
# stitches.
cdef uint8_t *_unit_room = NULL
cdef size_t _unit_size = 0


cdef int _fps(object fps, int32_t *num, int32_t *den) except -1:
    """(numerator, denominator)."""
    numerator, denominator = fps
    num[0], den[0] = whole(numerator, "fps"), whole(denominator, "fps")
    return 0


cdef uint32_t _seed(object seed) except? 0:
    cdef int64_t number = whole64(seed, "seed")
    if not 0 <= number <= 0xFFFFFFFFLL:
        raise InvalidArgument(f"seed {number}: 0..{0xFFFFFFFF}")
    return <uint32_t>number


cdef object _no_room(int64_t space, double seconds):
    return BufferFull(f"the speech buffer has {space / <double>LW_RATE:.3f} s left, the chunk is {seconds:.3f} s")


cdef int32_t _samples(double seconds):
    """At LW_RATE; what no int32_t holds is out of every range, and becomes the nearest."""
    cdef double samples = seconds * LW_RATE
    if not samples > -0x80000000:  # NaN, too
        return -0x7FFFFFFF - 1
    return <int32_t>samples if samples < 0x7FFFFFFF else 0x7FFFFFFF


# Blocks that `Performer.drain` gives in a row, at most.
cdef enum:
    DRAIN_BLOCKS = 16


cdef class Performer:
    """One session's chain: speech in, 10 ms PCM blocks and frames out, on one sample clock.

    Threads: one may write, end and interrupt; one may tick (the Engine, if attached); one may read.

    Args:
        avatar: a NativeAvatar; or None, and something else draws.
        size: without an avatar, (width, height) of the frames; None for poses without pictures.
        draw: without an avatar, what draws each frame on the ticking thread: an object with the addresses `address` of
            an `lw_draw` and `user`, which is kept; None: whoever reads a frame draws into it.
        fps: (numerator, denominator), 1..100 a second.
        prebuffer, dry_timeout, capacity: seconds; see `lw_speech_config`. Default: PREBUFFER, DRY_TIMEOUT, CAPACITY.
        prebuffer_max: seconds that the prebuffer grows to at most (and to `capacity`) where speech that comes as it is said
            runs dry; no more than `prebuffer`: it stays as it is.
        catch_up: shorten the pauses of such speech where it is late.
        frame_slots: frames that readers may hold at once before new ones are dropped.
        seed: of the idle life.
        memory: a SharedWriter of the frames' size whose slots they are drawn into; `frame_slots` is its number then.
        voice: the voice's level, dBFS, as `VisemeExtractor.voice`, where it is known before; None: it is found out within a
            second.
        batch: blocks of sound that may wait until the Engine wakes who reads; pictures and events wake at once.
        turns: write, check_room, end, interrupt and set take turns with ticks, and leave their time in `moments`.
        atlas: an Atlas of the avatar, at its size and this frame rate: the head goes along its nodes, and frames can be had
            as units of video (`look`, `unit`).

    Attributes:
        moments: with `turns`, of each of these calls, in order, the media clock at which it took effect: the first
            sample of the block that is the first to know of it; -1 - clock where that is uncertain by a tick. Whoever
            reads it clears it. None without.
        before: called before each of these calls, so that whoever ticks can bring the clock to its moment; or None.
    """
    cdef lw_performer *p
    cdef SharedWriter memory
    cdef readonly NativeAvatar avatar
    cdef readonly Atlas atlas
    cdef object draw
    cdef readonly int width
    cdef readonly int height
    cdef bint live
    cdef readonly list moments
    cdef public object before
    cdef object __weakref__

    def __cinit__(self, NativeAvatar avatar, fps=(25, 1), *, double prebuffer=PREBUFFER,
                  double dry_timeout=DRY_TIMEOUT, double capacity=CAPACITY, frame_slots=6, seed=0, size=None, draw=None,
                  SharedWriter memory=None, double prebuffer_max=0.0, bint catch_up=False, bint turns=False,
                  voice=None, batch=1, Atlas atlas=None):
        cdef lw_performer_config config
        memset(&config, 0, sizeof(config))
        self.avatar = avatar
        if avatar is not None:
            config.avatar = avatar.a
            self.width = avatar.width
            self.height = avatar.height
        if size is not None:
            width, height = size
            config.width = self.width = whole(width, "width")
            config.height = self.height = whole(height, "height")
        if draw is not None:
            config.draw = <lw_draw><size_t>draw.address
            config.draw_user = <void *><size_t>draw.user
            self.draw = draw
        _fps(fps, &config.fps_num, &config.fps_den)
        config.frame_slots = whole(frame_slots, "frame_slots")
        if memory is not None:
            if (memory.width, memory.height) != (self.width, self.height) or not memory.size:
                raise InvalidArgument(f"the shared ring has frames of {memory.width}x{memory.height}, "
                                      f"not {self.width}x{self.height}")
            if memory.bound:
                raise BadState("the shared ring's slots have a performer")
            config.frames = lw_share_slot(memory.s, 0)
            config.frame_stride = lw_share_stride(memory.s)
            config.frame_slots = memory.slots
        config.seed = _seed(seed)
        config.turns = turns
        config.voice = _voice(voice)
        config.batch = whole(batch, "batch")
        if atlas is not None:
            self.atlas = atlas
            config.atlas = atlas.a
        self.moments = [] if turns else None
        config.speech.capacity = _samples(capacity)
        # 0 asks the core for its default; here it means none, and one sample is as good as none.
        config.speech.prebuffer = _samples(prebuffer) or 1
        config.speech.prebuffer_max = max(min(_samples(prebuffer_max), config.speech.capacity), config.speech.prebuffer)
        config.speech.catch_up = catch_up
        config.speech.dry_timeout = _samples(dry_timeout) or 1
        check(lw_performer_open(&self.p, &config), "performer")
        if memory is not None:
            self.memory = memory
            memory.bound = True

    def __dealloc__(self):
        lw_performer_close(&self.p)

    cdef int enter(self) except -1:
        if self.before is not None:
            self.before()
        if self.moments is not None:
            lw_performer_enter(self.p)
        return 0

    cdef int leave(self) except -1:
        if self.moments is not None:
            self.moments.append(lw_performer_leave(self.p))
        return 0

    def write(self, pcm, rate, now_ns=None, bint fresh=False):
        """Queues PCM16 mono at `rate` Hz for the current utterance: all of it or, with an error, none. `now_ns`: when it came,
        on a monotonic clock, in ns; without it speech is never late and the prebuffer does not grow. `fresh`: for a new
        utterance; the one before is over, unless this is an error.

        Raises:
            InvalidArgument: no PCM16 mono, or an unsupported rate. BufferFull: no room now, or UTTERANCES wait to be
            told of to their end.
        """
        cdef Borrowed b
        cdef int rc, hz = whole(rate, "rate")
        cdef size_t n
        cdef int64_t now = 0 if now_ns is None else whole64(now_ns, "now_ns")
        cdef bint timed = now_ns is not None
        cdef int64_t space, place
        borrow_pcm(pcm, &b)
        try:
            n = b.size // 2
            self.enter()
            if n >= LONG_CHUNK:
                with nogil:  # whoever ticks does not wait until this thread has the interpreter again
                    rc = self.queue(b.data, n, hz, now, timed, fresh, &space)
                    place = lw_performer_leave(self.p)
            else:
                rc = self.queue(b.data, n, hz, now, timed, fresh, &space)
                place = lw_performer_leave(self.p)
            if self.moments is not None:
                self.moments.append(place)
        finally:
            give_back(&b)
        if rc == LW_ENOSPC:
            if n / <double>hz + 0.001 < space / <double>LW_RATE:
                raise BufferFull("too many utterances wait to be played")
            raise _no_room(space, n / <double>hz)
        if rc == LW_EINVAL:
            raise InvalidArgument(f"unsupported sample rate {hz} Hz (8000..48000)")
        check(rc)

    cdef int queue(self, const void *pcm, size_t n, int hz, int64_t now, bint timed, bint fresh, int64_t *space) noexcept nogil:
        cdef int rc
        if fresh:
            rc = lw_performer_write_next(self.p, pcm, n, hz)
        else:
            rc = lw_performer_write(self.p, pcm, n, hz)
        if rc >= 0 and n and timed:
            lw_performer_arrived(self.p, n, hz, now)
        space[0] = lw_performer_space(self.p)
        return rc

    def check_room(self, double seconds):
        """Whether so much speech fits now; with `turns` its time is one of the `moments`, as of each of these calls.

        Raises:
            BufferFull: it does not.
        """
        self.enter()
        cdef int64_t space = lw_performer_space(self.p)
        self.leave()
        if seconds * LW_RATE > space:
            raise _no_room(space, seconds)

    def end(self, double grace=0.0):
        """Ends the current utterance; audio within `grace` seconds still belongs to it."""
        self.enter()
        cdef int rc = lw_performer_end(self.p, _samples(grace))
        self.leave()
        check(rc, "end")

    def give_back(self):
        """For the writing thread, every now and then: gives the memory of what has been played back to the system."""
        lw_performer_give_back(self.p)

    def interrupt(self):
        """Drops all queued speech; what plays fades out within 5 ms. Returns the new generation."""
        self.enter()
        cdef int64_t generation = lw_performer_interrupt(self.p)
        self.leave()
        return check(generation)

    def set(self, setting, value):
        """Sets MOTION_STATE, MOTION_EXPRESSION or MOTION_GESTURE, from the next tick on; see `lw_motion_set`.

        Raises:
            InvalidArgument: there is no such setting or value.
        """
        cdef int which = whole(setting, "setting"), to = whole(value, "value")
        self.enter()
        cdef int rc = lw_performer_set(self.p, which, to)
        self.leave()
        check(rc, "set")

    def look(self, what):
        """What is wanted of the frames from the next one on: bits of LOOK_PICTURES (at first), LOOK_UNITS and LOOK_POSES; 0:
        nobody looks, and none is made. With LOOK_UNITS and no pictures a frame is drawn where it cannot be had as a unit;
        with LOOK_POSES alone none is; see `lw_performer_look`.

        Raises:
            InvalidArgument: something else.
        """
        cdef int bits = whole(what, "what")
        check(lw_performer_look(self.p, bits), "look")

    @property
    def writing(self):
        """Number of the utterance that the next write belongs to."""
        return lw_performer_writing(self.p)

    @property
    def utterance(self):
        """Number of the utterance that the last write belonged to."""
        return lw_performer_utterance(self.p)

    @property
    def space(self):
        """Seconds of speech that still fit."""
        return lw_performer_space(self.p) / <double>LW_RATE

    def tick(self, now_ns=0, bint draw=True):
        """One step of 10 ms, for offline use. Returns bits of what came out: TICK_PCM, TICK_FRAME, TICK_EVENTS.

        Raises:
            BadState: an engine ticks it.
        """
        cdef int out
        cdef int64_t now = whole64(now_ns, "now_ns")
        if self.live:
            raise BadState("an engine ticks this performer")
        with nogil:
            out = lw_performer_tick(self.p, now, draw)
        return out

    def read_pcm(self):
        """The next 10 ms: (bytes of 480 samples, position in samples), or None."""
        cdef bytes out = PyBytes_FromStringAndSize(NULL, LW_BLOCK * 2)
        cdef int64_t sample = 0
        if not lw_performer_read_pcm(self.p, <int16_t *>PyBytes_AS_STRING(out), &sample):
            return None
        return out, sample

    @property
    def heard(self):
        """(utterance, samples of it in the blocks read so far): the one that the newest block speaks, or that was spoken
        last; (0, 0) before any. An underrun's silence is not counted."""
        cdef uint64_t utterance
        cdef int64_t played = lw_performer_heard(self.p, &utterance)
        return utterance, played

    @property
    def heeded(self):
        """How many interrupts the newest block read knows of; below what `interrupt` returned, the block is stale."""
        return lw_performer_heeded(self.p)

    def read_event(self):
        """The next event: (type, value, utterance, sample, played), or None."""
        cdef lw_event event
        if not lw_performer_read_event(self.p, &event):
            return None
        return event.type, event.value, event.utterance, event.sample, event.played

    def drain(self, most):
        """All that waits: (events, items). Events are as from `read_event`. An item is a Frame, or sound:
        (pcm, sample, heeded, utterance, played), which are 1..`most` blocks in a row, the position of their first sample,
        and `heeded` and `heard` of the last of them. In clock order: a frame comes behind the block that its sample is in.

        Raises:
            InvalidArgument: `most` is not positive.
        """
        cdef int16_t run[DRAIN_BLOCKS][LW_BLOCK]
        cdef int blocks = whole(most, "most"), n = 0
        cdef int64_t first = 0, sample = 0, waiting, before
        cdef Py_ssize_t shown = 0
        cdef bint due
        cdef lw_event event
        cdef list events = [], frames = [], items = []
        if blocks < 1:
            raise InvalidArgument(f"at most {blocks} blocks in a row: 1 or more")
        blocks = min(blocks, DRAIN_BLOCKS)
        while lw_performer_read_event(self.p, &event):
            events.append((event.type, event.value, event.utterance, event.sample, event.played))
        # The blocks that are there before the frames are read, and those of the frames: of what comes meanwhile, however long
        # this thread waits for the processor, sound and frames stay together for the next time.
        before = lw_performer_waiting(self.p)
        while (frame := self.read_frame()) is not None:
            frames.append(frame)
        waiting = lw_performer_waiting(self.p)
        while waiting > 0 and (before > 0 or shown < len(frames)):
            waiting -= 1
            before -= 1
            if n and lw_performer_sample(self.p) != first + n * LW_BLOCK:  # some were dropped in between
                items.append(self.sound(run[0], n, first))
                n = 0
            lw_performer_read_pcm(self.p, run[n], &sample)
            if not n:
                first = sample
            n += 1
            due = shown < len(frames) and (<Frame>frames[shown]).info.sample < sample + LW_BLOCK
            if due or n == blocks:
                items.append(self.sound(run[0], n, first))
                n = 0
            while due:
                items.append(frames[shown])
                shown += 1
                due = shown < len(frames) and (<Frame>frames[shown]).info.sample < sample + LW_BLOCK
        if n:
            items.append(self.sound(run[0], n, first))
        items += frames[shown:]  # their sound was dropped, or was taken the last time
        return events, items

    cdef tuple sound(self, const int16_t *pcm, int blocks, int64_t sample):
        cdef uint64_t utterance
        cdef int64_t played = lw_performer_heard(self.p, &utterance)
        return (PyBytes_FromStringAndSize(<const char *>pcm, blocks * LW_BLOCK * 2), sample,
                lw_performer_heeded(self.p), utterance, played)

    def read_frame(self):
        """The next Frame, or None."""
        cdef Frame frame
        cdef lw_frame_info info
        cdef int slot
        if not lw_performer_acquire_frame(self.p, &slot, &info):
            return None
        frame = Frame.__new__(Frame)
        frame.owner = self
        frame.slot = slot
        frame.info = info
        frame.pixels = lw_performer_frame(self.p, slot)
        frame.w, frame.h = self.width, self.height
        if self.avatar is not None:
            frame.matrix = self.avatar.matrix
        frame.size = <Py_ssize_t>self.width * self.height * 3 // 2
        return frame

    def unit(self, Frame frame not None, bint stale=False):
        """The unit of a frame that has been read here and is `stitched`: (bytes of an H.264 access unit in Annex B, whether it
        is an IDR picture). Each once, in their order. `stale`: the frame knows of too few interrupts; its unit keeps the
        mouth of the one before (where units begin anew: has that of rest), and the head goes on.

        Raises:
            InvalidArgument: it is not, or not in its turn. The next frames are drawn until units can begin again.
        """
        global _unit_room, _unit_size
        cdef int key = 0
        cdef size_t bound
        cdef uint8_t *room
        cdef int64_t n
        if frame.owner is not self or self.atlas is None:
            raise InvalidArgument("the frame is none of this performer's, or there is no atlas")
        bound = lw_atlas_bound(self.atlas.a)
        if bound > _unit_size:
            room = <uint8_t *>realloc(_unit_room, bound)
            if room == NULL:
                raise OutOfMemory("unit")
            _unit_room, _unit_size = room, bound
        n = check(lw_performer_unit(self.p, frame.slot, stale, &key, _unit_room, _unit_size), "unit")
        return PyBytes_FromStringAndSize(<char *>_unit_room, n), bool(key)

    def adopt(self, Atlas atlas not None):
        """For the reading thread, once, where it was made without one: an atlas of the avatar, at its size and this frame
        rate. The head goes over to its nodes within a second, without a jump; then frames can be had as units.

        Raises:
            InvalidArgument: it is of something else. BadState: there is one already.
        """
        check(lw_performer_adopt(self.p, atlas.a), "this performer and that atlas")
        self.atlas = atlas

    def request_key(self):
        """For the reading thread: the next unit that can be one is to be an IDR picture, within 8 frames or so."""
        lw_performer_request_key(self.p)

    def stats(self):
        """Counters as a dict; see `lw_performer_counters`."""
        cdef lw_performer_counters s
        lw_performer_stats(self.p, &s)
        return s
