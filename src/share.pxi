# Shared rings: lipwire/share.h.

SHARE_SILENT = LW_SHARE_SILENT_NS / 1e9


cdef class SharedWriter:
    """A session's frames and PCM in memory that other processes map read-only and follow; see docs/sharing.md.

    With `Performer(..., memory=writer)` frames are drawn where readers look, and `write_frame` copies nothing. Not
    thread-safe; in a forked child it can only be dropped.

    Args:
        width, height: pixels, even, 16..4096; both 0: sound only.
        fps: (numerator, denominator).
        session: id, at most 63 bytes of UTF-8. matrix: "bt709" or "bt601".
        slots: pictures in memory, 2..256. keep: the newest that readers may use, 1..slots - 1; 0: all but one.
        pcm_blocks: of 10 ms each, that readers find; 2..65536.
        named: POSIX shared memory instead of a memfd, for readers that can neither inherit a descriptor nor see this
            process in /proc. Names that killed writers left are swept first.

    Raises:
        InvalidArgument: one of them is out of range. OutOfMemory: no memory, or no descriptor.
    """
    cdef lw_share *s
    cdef object held  # for each picture that readers may use, oldest first: the performer's frame, or None for a copy
    cdef readonly int width
    cdef readonly int height
    cdef readonly int slots
    cdef readonly str session
    cdef readonly str matrix
    cdef Py_ssize_t size
    cdef bint bound
    cdef object __weakref__

    def __cinit__(self, width, height, fps=(25, 1), *, str session="", str matrix="bt709", slots=8, keep=0,
                  pcm_blocks=1024, bint named=False):
        cdef lw_share_config config
        cdef bytes text = session.encode()
        memset(&config, 0, sizeof(config))
        config.session = text
        config.named = named
        config.width, config.height = whole(width, "width"), whole(height, "height")
        _fps(fps, &config.fps_num, &config.fps_den)
        config.matrix = _matrix(matrix)
        if config.width or config.height:
            config.frame_slots = whole(slots, "slots")
            config.frames_kept = whole(keep, "keep") or config.frame_slots - 1
        config.pcm_blocks = whole(pcm_blocks, "pcm_blocks")
        check(lw_share_open(&self.s, &config), "shared ring")
        lw_share_beat(self.s, lw_now_ns())
        self.held = collections.deque()
        self.width, self.height = config.width, config.height
        self.slots = config.frame_slots
        self.session, self.matrix = session, matrix
        self.size = <Py_ssize_t>config.width * config.height * 3 // 2

    def __dealloc__(self):
        lw_share_close(&self.s)

    def fileno(self):
        """A read-only descriptor of the ring, this object's own: for `SharedReader`, a child process, SCM_RIGHTS."""
        return lw_share_fd(self.s)

    @property
    def path(self):
        """Where another process of the same user finds it while this one lives: "/proc/<pid>/fd/<n>", or for a named
        ring its file in /dev/shm."""
        cdef const char *name = lw_share_name(self.s)
        if name != NULL:
            return "/dev/shm" + name.decode()
        return f"/proc/{os.getpid()}/fd/{lw_share_fd(self.s)}"

    def write_pcm(self, pcm, sample):
        """10 ms: 480 samples of PCM16 mono, the first at `sample`.

        Raises:
            InvalidArgument: no PCM16 mono, or another length. BadState: it is closed.
        """
        cdef Borrowed b
        cdef int64_t at = whole64(sample, "sample")
        borrow_pcm(pcm, &b)
        try:
            if b.size != 2 * LW_BLOCK:
                raise InvalidArgument(f"a block is {LW_BLOCK} samples, not {b.size // 2}")
            check(lw_share_write_pcm(self.s, b.data, at, lw_now_ns()), "the shared ring is closed")
        finally:
            give_back(&b)

    def write_frame(self, Frame frame not None, sample=None):
        """Publishes a picture. One that lies in the ring, out of `Performer(memory=self)`, is not copied, and is held
        until readers have been told that it goes; nobody may draw into it any more. Any other is copied.

        Args:
            sample: its place on the media clock; default: `frame.sample`.

        Raises:
            InvalidArgument: another size; or foreign to the performer that has the slots. BadState: it is closed.
        """
        cdef lw_frame_info info = frame.info
        cdef bint ours = frame.owner is not None and frame.owner.memory is self
        cdef int slot
        if sample is not None:
            info.sample = whole64(sample, "sample")
        if frame.size != self.size or not frame.size or frame.w != self.width:
            raise InvalidArgument(f"the ring takes {self.width}x{self.height}, not {frame.w}x{frame.h}")
        if ours:
            slot = frame.slot
        elif self.bound:
            raise InvalidArgument("the ring's slots belong to a performer, which did not draw this frame")
        else:
            slot = lw_share_free_slot(self.s)
            memcpy(lw_share_slot(self.s, slot), frame.pixels, <size_t>frame.size)
        retired = check(lw_share_write_frame(self.s, slot, &info, lw_now_ns()), "the shared ring is closed")
        self.held.append(frame if ours else None)
        if retired:
            self.held.popleft()

    def retire(self, sample):
        """Takes back the pictures up to `sample`, before newer ones need their slots: for a writer that knows that
        its reader is done with them. Returns how many."""
        cdef int retired = lw_share_retire(self.s, whole64(sample, "sample"))
        for _ in range(retired):
            self.held.popleft()
        return retired

    def interrupt(self):
        """What was written before is stale from now on: readers skip it. Returns the new generation."""
        return lw_share_interrupt(self.s)

    def beat(self):
        """Says that the writer lives, for one that has nothing to write; every write says so, too."""
        lw_share_beat(self.s, lw_now_ns())

    def close(self):
        """Tells the readers and takes a name away. The memory stays until the last who uses it is gone; the performer
        may draw on, but not where readers still look. Safe to call twice."""
        cdef Frame frame
        lw_share_end(self.s)
        for frame in self.held:
            if frame is not None:
                frame.slot = -1  # never given back
        self.held.clear()


cdef class SharedPcm:
    """480 samples of PCM16 in a ring, read-only, uncopied: a buffer of 960 bytes. Check `valid` after use."""
    cdef SharedReader reader
    cdef lw_share_pcm info

    def __init__(self):
        raise TypeError("they come out of SharedReader.read_pcm()")

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, <void *>self.info.pcm, 2 * LW_BLOCK, 1, flags)

    @property
    def valid(self):
        """True: everything that was read so far is this block's. False: it has been overwritten, what was read may be
        another's."""
        return bool(lw_share_reader_pcm_valid(self.reader.r, self.info.number))

    @property
    def sample(self):
        """Of the first one, on the media clock."""
        return self.info.sample

    @property
    def generation(self):
        """Interrupts before it."""
        return self.info.generation

    @property
    def published_ns(self):
        """CLOCK_MONOTONIC."""
        return self.info.published_ns


cdef class SharedFrame:
    """An I420 picture in a ring, read-only, uncopied: a buffer of width * height * 3 / 2 bytes. Check `valid` after
    use."""
    cdef SharedReader reader
    cdef lw_share_frame info

    def __init__(self):
        raise TypeError("they come out of SharedReader.read_frame()")

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, <void *>self.info.i420, self.reader.size, 1, flags)

    @property
    def valid(self):
        """As SharedPcm.valid."""
        return bool(lw_share_reader_frame_valid(self.reader.r, self.info.number))

    @property
    def i420(self):
        """uint8 view, shape (height * 3 / 2, width). No copy."""
        return np.frombuffer(self, dtype=np.uint8).reshape(-1, self.reader.width)

    @property
    def slot(self):
        """Which of the ring's slots it lies in."""
        return self.info.slot

    @property
    def sample(self):
        """Position on the media clock, in samples at 48 kHz."""
        return self.info.sample

    @property
    def sequence(self):
        """Number of the frame in its session; a gap means frames were skipped, or lost on the way here."""
        return self.info.sequence

    @property
    def generation(self):
        """Interrupts before it."""
        return self.info.generation

    @property
    def utterance(self):
        """Number of the utterance being spoken, or 0."""
        return self.info.utterance

    @property
    def changed(self):
        """False when every pixel is as in the frame before, `sequence - 1`."""
        return bool(self.info.changed)

    @property
    def mouth_open(self):
        """True unless the mouth is at rest."""
        return bool(self.info.mouth_open)

    @property
    def due_ns(self):
        """CLOCK_MONOTONIC time of the tick that made it."""
        return self.info.due_ns

    @property
    def published_ns(self):
        """CLOCK_MONOTONIC."""
        return self.info.published_ns


cdef class SharedReader:
    """Follows a session in shared memory, from what is published next on. It can only read: whatever it does, the
    writer goes on. One thread at a time.

    Args:
        source: a descriptor (it stays the caller's), something with `fileno()` such as a SharedWriter, or a path.

    Raises:
        BadData: it is no shared ring of this version; the message says what is wrong. OSError: the path cannot be opened.
    """
    cdef lw_share_reader *r
    cdef Py_ssize_t size
    cdef readonly int width
    cdef readonly int height
    cdef readonly tuple fps
    cdef readonly str session
    cdef readonly str matrix
    cdef readonly int pid

    def __cinit__(self, source):
        cdef const char *why = NULL
        cdef lw_share_config config
        cdef int32_t pid
        cdef int fd, rc
        if isinstance(source, int):
            fd = source
            rc = lw_share_reader_open(&self.r, fd, &why)
        elif hasattr(source, "fileno"):
            fd = source.fileno()
            rc = lw_share_reader_open(&self.r, fd, &why)
        else:
            fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
            try:
                rc = lw_share_reader_open(&self.r, fd, &why)
            finally:
                os.close(fd)
        if rc == LW_EDATA:
            raise BadData(f"{source!r} is refused: {why.decode()}")
        check(rc, "shared ring")
        lw_share_reader_geometry(self.r, &config, &pid)
        self.width, self.height, self.pid = config.width, config.height, pid
        self.fps = (config.fps_num, config.fps_den)
        self.session = config.session.decode("utf-8", "replace")
        self.matrix = "bt601" if config.matrix == LW_BT601 else "bt709"
        self.size = <Py_ssize_t>config.width * config.height * 3 // 2

    def __dealloc__(self):
        lw_share_reader_close(&self.r)

    def read_pcm(self):
        """The next SharedPcm of the newest generation, or None."""
        cdef lw_share_pcm info
        cdef SharedPcm block
        if not check(lw_share_reader_read_pcm(self.r, &info), "shared ring"):
            return None
        block = SharedPcm.__new__(SharedPcm)
        block.reader, block.info = self, info
        return block

    def read_frame(self):
        """The next SharedFrame of the newest generation, or None."""
        cdef lw_share_frame info
        cdef SharedFrame frame
        if not check(lw_share_reader_read_frame(self.r, &info), "shared ring"):
            return None
        frame = SharedFrame.__new__(SharedFrame)
        frame.reader, frame.info = self, info
        return frame

    def seek(self, sample=None):
        """Goes to what holds `sample`, or the first thing behind that is still there: what comes next begins with that
        block, and with the first frame not before it. Without a sample: behind all that has been published.

        Returns:
            How many samples from `sample` on are gone.
        """
        cdef int64_t at = -1 if sample is None else whole64(sample, "sample")
        if sample is not None and at < 0:
            raise InvalidArgument(f"the media clock has no sample {at}")
        return lw_share_reader_seek(self.r, at)

    def wait(self, double timeout):
        """Sleeps until there is something to read, or the writer has ended: True. False after `timeout` seconds, or as
        soon as the writer has been silent for SHARE_SILENT (1 s): see `alive`. Other threads run meanwhile."""
        cdef int64_t now = lw_now_ns()
        cdef int64_t until = now + <int64_t>(min(max(timeout, 0.0), 1e9) * 1e9)
        cdef int rc
        cdef bint lived = self.alive
        while True:
            with nogil:
                rc = lw_share_reader_wait(self.r, now, until)
            PyErr_CheckSignals()
            now = lw_now_ns()
            if rc or now >= until or (lived and not self.alive):
                return bool(rc)

    @property
    def alive(self):
        """True while the writer has not ended and its heart beats: at least once a second."""
        cdef lw_share_reader_counters s
        lw_share_reader_stats(self.r, &s)
        return not s.ended and lw_now_ns() - s.heartbeat_ns < LW_SHARE_SILENT_NS

    @property
    def ended(self):
        """True when the writer has closed the ring. What is in it can still be read."""
        cdef lw_share_reader_counters s
        lw_share_reader_stats(self.r, &s)
        return bool(s.ended)

    @property
    def generation(self):
        """The writer's interrupts so far."""
        cdef lw_share_reader_counters s
        lw_share_reader_stats(self.r, &s)
        return s.generation

    @property
    def lag(self):
        """(PCM blocks, frames) that have been published and not read."""
        cdef lw_share_reader_counters s
        lw_share_reader_stats(self.r, &s)
        return s.pcm_lag, s.frames_lag

    @property
    def lost(self):
        """(PCM blocks, frames) that were overwritten before they were read; counted when the next one is read."""
        cdef lw_share_reader_counters s
        lw_share_reader_stats(self.r, &s)
        return s.pcm_lost, s.frames_lost

    def stats(self):
        """Counters as a dict; see `lw_share_reader_counters`."""
        cdef lw_share_reader_counters s
        lw_share_reader_stats(self.r, &s)
        return s


def share_sweep():
    """Takes away the names in /dev/shm of rings whose writers are gone. Returns how many."""
    return lw_share_sweep()
