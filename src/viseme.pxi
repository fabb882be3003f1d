# Viseme extractors: lipwire/viseme.h.

VISEMES = LW_VISEMES
CHANNELS = LW_CHANNELS


cdef float *_floats(array) except? NULL:
    """Where the numbers of an array of ours are; the caller keeps the array."""
    cdef Borrowed b
    borrow(array, &b)
    give_back(&b)
    return <float *>b.data


cdef float _voice(voice) except? 1.0:
    """A level in dBFS as a configuration takes it: None is 0, unknown."""
    cdef double level = 0.0 if voice is None else float(voice)
    if voice is not None and not -200.0 < level < 0.0:
        raise InvalidArgument(f"a voice's level is -200..0 dBFS, not {level}")
    return <float>level


cdef class VisemeExtractor:
    """Visemes from speech: PCM16 mono at 16 kHz in, one row per 10 ms out.

    Columns are the OVR set in its order: sil PP FF TH DD kk CH SS nn RR aa E I O U, weights >= 0 that sum to 1. Any
    chunking gives the same rows. A row is out once `lookahead` seconds beyond its own 10 ms have come in.

    Args:
        early: rows come with the least look-ahead, about 20 ms, and are less exact.
        voice: the voice's level, dBFS, as the attribute of that name gives it, where it is known before; None: it is found
            out within a second.

    Raises:
        InvalidArgument: a level of 0 dBFS and more, or none.
    """
    cdef lw_viseme *v

    def __cinit__(self, *, bint early=False, voice=None):
        cdef lw_viseme_config config
        config.early = early
        config.both = 0
        config.voice = _voice(voice)
        check(lw_viseme_open(&self.v, &config))

    def __dealloc__(self):
        lw_viseme_close(&self.v)

    def process(self, pcm):
        """Rows that became ready: float32, shape (n, 15).

        Raises:
            InvalidArgument: no PCM16 mono.
        """
        return self.process_channels(pcm)[:, :LW_VISEMES]

    def process_channels(self, pcm):
        """As process, shape (n, 17): then the jaw opening 0..1 and the loudness 0..1."""
        cdef Borrowed b
        cdef size_t n, cap
        cdef float *to
        cdef int64_t made
        borrow_pcm(pcm, &b)
        try:
            n = b.size // 2
            cap = lw_viseme_bound(self.v, n)
            rows = np.empty((cap, LW_CHANNELS), dtype=np.float32)
            to = _floats(rows)
            if n >= LONG_CHUNK:
                with nogil:
                    made = lw_viseme_process(self.v, <const int16_t *>b.data, n, to, cap)
            else:
                made = lw_viseme_process(self.v, <const int16_t *>b.data, n, to, cap)
        finally:
            give_back(&b)
        check(made)
        return rows

    def reset(self):
        """Forgets all input."""
        lw_viseme_reset(self.v)

    @property
    def lookahead(self):
        """Seconds beyond a row's own 10 ms."""
        return lw_viseme_lookahead(self.v) / LW_VISEME_RATE

    @property
    def voice(self):
        """Level of the voice's louder frames, dBFS: what was given or is assumed, until there has been speech."""
        return lw_viseme_voice(self.v)


cdef class VisemeExtractorBatch:
    """Viseme extractors of many independent sessions, computed side by side: the same rows as one `VisemeExtractor`
    each, in less time, as the model's weights are read once for several of them.

    Args:
        sessions: how many, 1..65536.
        early: rows come with the least look-ahead, about 20 ms, and are less exact.

    Raises:
        InvalidArgument: an argument is out of range.
    """
    cdef lw_viseme **v
    cdef Borrowed *borrowed
    cdef const int16_t **pcm
    cdef size_t *samples
    cdef float **rows
    cdef Py_ssize_t held  # borrowed[:held] were looked at; those with PCM must be given back
    cdef bint busy  # a call is under way, here or in another thread
    cdef readonly int sessions

    def __cinit__(self, sessions, *, bint early=False):
        cdef int s, many = whole(sessions, "sessions")
        cdef lw_viseme_config config
        config.early = early
        config.both = 0
        config.voice = 0.0
        if many < 1 or many > 65536:
            raise InvalidArgument(f"1..65536 sessions, not {many}")
        self.v = <lw_viseme **>calloc(many, sizeof(lw_viseme *))
        self.borrowed = <Borrowed *>calloc(many, sizeof(Borrowed))
        self.pcm = <const int16_t **>calloc(many, sizeof(int16_t *))
        self.samples = <size_t *>calloc(many, sizeof(size_t))
        self.rows = <float **>calloc(many, sizeof(float *))
        if not (self.v and self.borrowed and self.pcm and self.samples and self.rows):
            raise OutOfMemory("a batch")
        self.sessions = many
        for s in range(many):
            check(lw_viseme_open(&self.v[s], &config))

    def __dealloc__(self):
        cdef int s
        for s in range(self.sessions):
            lw_viseme_close(&self.v[s])
        free(self.v)
        free(self.borrowed)
        free(self.pcm)
        free(self.samples)
        free(self.rows)

    cdef size_t take(self, list items) except? 0:
        """Borrows every buffer; returns how many samples there are in all."""
        cdef Py_ssize_t s
        cdef size_t total = 0
        for s in range(self.sessions):
            item = items[s]
            self.pcm[s] = NULL
            self.samples[s] = 0
            if item is not None:
                try:
                    borrow_pcm(item, &self.borrowed[s])
                except InvalidArgument as error:
                    raise InvalidArgument(f"session {s}: {error}") from None
                # An empty buffer may have no address; NULL is nothing borrowed.
                self.pcm[s] = <const int16_t *>(self.borrowed[s].data if self.borrowed[s].size else <void *>self)
                self.samples[s] = self.borrowed[s].size // 2
                total += self.samples[s]
            self.held = s + 1
        return total

    cdef void release(self) noexcept:
        cdef Py_ssize_t s
        for s in range(self.held):
            if self.pcm[s] != NULL:
                give_back(&self.borrowed[s])
        self.held = 0
        self.busy = False

    cdef list run(self, list items, int columns):
        cdef size_t s, total, count, most = 0, made = 0, sessions = <size_t>self.sessions
        cdef float *to
        cdef int64_t rc
        if self.busy:
            raise BadState("another thread's call on this batch is under way")
        if len(items) != self.sessions:
            raise InvalidArgument(f"{self.sessions} sessions need as many buffers, got {len(items)}")
        self.busy = True
        try:
            total = self.take(items)
            out = []
            for s in range(sessions):
                count = lw_viseme_bound(self.v[s], self.samples[s])
                most = max(most, count)
                made += count
            # One block for all: a small array costs more than the rows in it.
            block = np.empty((made, LW_CHANNELS), dtype=np.float32)
            to = _floats(block)
            made = 0
            for s in range(sessions):
                count = lw_viseme_bound(self.v[s], self.samples[s])
                self.rows[s] = to + made * LW_CHANNELS
                out.append(block[made : made + count, :columns])
                made += count
            if total >= LONG_CHUNK:
                with nogil:
                    rc = lw_viseme_process_many(self.v, sessions, self.pcm, self.samples, self.rows, most)
            else:
                rc = lw_viseme_process_many(self.v, sessions, self.pcm, self.samples, self.rows, most)
            check(rc)
        finally:
            self.release()
        return out

    def process_many(self, list pcm not None, /):
        """One buffer (bytes-like, PCM16 mono at 16 kHz, of any length) a session, or None where there is nothing new ->
        for each the rows that became ready: float32, shape (n, 15), views of one block.

        Raises:
            InvalidArgument: not as many buffers as sessions, or one that is no PCM16 mono; nothing was taken.
            BadState: another thread's call is under way.
        """
        return self.run(pcm, LW_VISEMES)

    def process_channels_many(self, list pcm not None, /):
        """As process_many, shape (n, 17): then the jaw opening 0..1 and the loudness 0..1."""
        return self.run(pcm, LW_CHANNELS)

    def reset(self, session=-1):
        """Forgets a session's input; without an argument, everyone's.

        Raises:
            InvalidArgument: there is no such session.
            BadState: another thread's call is under way.
        """
        cdef int s, which = whole(session, "session")
        if self.busy:
            raise BadState("another thread's call on this batch is under way")
        if which < -1 or which >= self.sessions:
            raise InvalidArgument(f"session {which} of {self.sessions}")
        for s in range(self.sessions):
            if which in (-1, s):
                lw_viseme_reset(self.v[s])

    @property
    def lookahead(self):
        """Seconds beyond a row's own 10 ms."""
        return lw_viseme_lookahead(self.v[0]) / LW_VISEME_RATE
