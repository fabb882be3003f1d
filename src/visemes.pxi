# Viseme extractors: lw_viseme_*.

cdef float *_floats(array) except? NULL:
    """Where a contiguous array's numbers are; the caller keeps the array."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    PyBuffer_Release(&view)
    return <float *>view.buf


cdef class VisemeExtractor:
    """Visemes from speech: PCM16 mono at 16 kHz in, one row per 10 ms out.

    Columns are the OVR set in its order: sil PP FF TH DD kk CH SS nn RR aa E I O U, weights >= 0 that sum to 1. Any
    chunking gives the same rows. A row is out once `lookahead` seconds beyond its own 10 ms have come in.

    Args:
        early: rows come with the least look-ahead, about 20 ms, and are less exact.
    """
    cdef lw_viseme *v

    def __cinit__(self, *, bint early=False):
        cdef lw_viseme_config config
        config.early = early
        check(lw_viseme_open(&self.v, &config))

    def __dealloc__(self):
        lw_viseme_close(&self.v)

    def process(self, pcm):
        """Rows that became ready: float32, shape (n, 15)."""
        return self.process_channels(pcm)[:, :LW_VISEMES]

    def process_channels(self, pcm):
        """As process, shape (n, 17): then the jaw opening 0..1 and the loudness 0..1."""
        cdef _Pcm source = _Pcm(pcm)
        cdef size_t cap = lw_viseme_bound(self.v, source.samples)
        rows = np.empty((cap, LW_CHANNELS), dtype=np.float32)
        cdef float *to = _floats(rows)
        cdef int64_t made
        if source.samples >= LONG_CHUNK:
            with nogil:
                made = lw_viseme_process(self.v, source.data, source.samples, to, cap)
        else:
            made = lw_viseme_process(self.v, source.data, source.samples, to, cap)
        check(made)
        return rows

    def reset(self):
        """Forgets all input."""
        lw_viseme_reset(self.v)

    @property
    def lookahead(self):
        """Seconds beyond a row's own 10 ms."""
        return lw_viseme_lookahead(self.v) / LW_VISEME_RATE


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
    cdef Py_buffer *views
    cdef const int16_t **pcm
    cdef size_t *samples
    cdef float **rows
    cdef Py_ssize_t held  # views[:held] were looked at; those with an object must be given back
    cdef bint busy  # a call is under way, here or in another thread
    cdef readonly int sessions

    def __cinit__(self, int sessions, *, bint early=False):
        cdef int s
        cdef lw_viseme_config config
        config.early = early
        if sessions < 1 or sessions > 65536:
            raise InvalidArgument(f"1..65536 sessions, not {sessions}")
        self.v = <lw_viseme **>calloc(sessions, sizeof(lw_viseme *))
        self.views = <Py_buffer *>calloc(sessions, sizeof(Py_buffer))
        self.pcm = <const int16_t **>calloc(sessions, sizeof(int16_t *))
        self.samples = <size_t *>calloc(sessions, sizeof(size_t))
        self.rows = <float **>calloc(sessions, sizeof(float *))
        if not (self.v and self.views and self.pcm and self.samples and self.rows):
            raise OutOfMemory("a batch")
        self.sessions = sessions
        for s in range(sessions):
            check(lw_viseme_open(&self.v[s], &config))

    def __dealloc__(self):
        cdef int s
        for s in range(self.sessions):
            lw_viseme_close(&self.v[s])
        free(self.v)
        free(self.views)
        free(self.pcm)
        free(self.samples)
        free(self.rows)

    cdef size_t take(self, list items) except? 0:
        """Borrows every buffer; returns how many samples there are in all."""
        cdef Py_ssize_t s
        cdef size_t total = 0
        for s in range(self.sessions):
            item = items[s]
            memset(&self.views[s], 0, sizeof(Py_buffer))
            if item is not None:
                PyObject_GetBuffer(item, &self.views[s], PyBUF_SIMPLE)
            self.held = s + 1
            if self.views[s].len & 1:
                raise InvalidArgument(f"session {s}: PCM16 needs an even number of bytes, got {self.views[s].len}")
            self.pcm[s] = <const int16_t *>self.views[s].buf
            self.samples[s] = <size_t>self.views[s].len // 2
            total += self.samples[s]
        return total

    cdef void release(self) noexcept:
        cdef Py_ssize_t s
        for s in range(self.held):
            PyBuffer_Release(&self.views[s])  # without an object: nothing
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
            InvalidArgument: not as many buffers as sessions, or half a sample; nothing was taken.
            BadState: another thread's call is under way.
        """
        return self.run(pcm, LW_VISEMES)

    def process_channels_many(self, list pcm not None, /):
        """As process_many, shape (n, 17): then the jaw opening 0..1 and the loudness 0..1."""
        return self.run(pcm, LW_CHANNELS)

    def reset(self, int session=-1):
        """Forgets a session's input; without an argument, everyone's.

        Raises:
            InvalidArgument: there is no such session.
            BadState: another thread's call is under way.
        """
        cdef int s
        if self.busy:
            raise BadState("another thread's call on this batch is under way")
        if session < -1 or session >= self.sessions:
            raise InvalidArgument(f"session {session} of {self.sessions}")
        for s in range(self.sessions) if session < 0 else (session,):
            lw_viseme_reset(self.v[s])

    @property
    def lookahead(self):
        """Seconds beyond a row's own 10 ms."""
        return lw_viseme_lookahead(self.v[0]) / LW_VISEME_RATE
