# The thread that ticks every session: lipwire/engine.h.


cdef class Engine:
    """The native thread that ticks every attached Performer each 10 ms. `fd` is an eventfd that becomes readable
    when something came out."""
    cdef lw_engine *e
    cdef dict attached  # by the address of its lw_performer

    def __cinit__(self, max_sessions=1024):
        self.attached = {}
        check(lw_engine_open(&self.e, whole(max_sessions, "max_sessions")), "engine")

    def __del__(self):
        # Before the collector clears what is attached: the thread must not tick what is being freed.
        self.close()

    def close(self):
        """Stops the thread. Safe to call twice."""
        cdef lw_engine *e = self.e
        self.e = NULL
        if e != NULL:
            with nogil:
                lw_engine_close(&e)
        for performer in self.attached.values():
            (<Performer>performer).live = False
        self.attached.clear()

    @property
    def fd(self):
        if self.e == NULL:
            raise BadState("the engine is closed")
        return lw_engine_fd(self.e)

    def attach(self, Performer performer not None):
        """Starts ticking it.

        Raises:
            BufferFull: the engine has no place left. BadState: it is closed, or the performer has an engine.
        """
        if self.e == NULL:
            raise BadState("the engine is closed")
        if performer.live:
            raise BadState("the performer has been attached")
        check(lw_engine_attach(self.e, performer.p), "the engine has no place for another session")
        performer.live = True
        self.attached[<size_t>performer.p] = performer

    def detach(self, Performer performer not None):
        """Stops ticking it; returns when the thread has let go (about 10 ms)."""
        if <size_t>performer.p not in self.attached or self.e == NULL:
            return
        with nogil:
            lw_engine_detach(self.e, performer.p)
        performer.live = False
        self.attached.pop(<size_t>performer.p, None)

    def ready(self):
        """The performers that have something for their readers, each once: see `batch` of a Performer.

        Raises:
            BadState: it is closed.
        """
        cdef lw_performer *found[64]
        cdef int n = 64
        cdef list out = []
        if self.e == NULL:
            raise BadState("the engine is closed")
        while n == 64:
            n = lw_engine_ready(self.e, found, 64)
            for i in range(n):
                if (performer := self.attached.get(<size_t>found[i])) is not None:
                    out.append(performer)
        return out

    def stats(self):
        """Counters as a dict; see `lw_engine_counters`."""
        cdef lw_engine_counters s
        if self.e == NULL:
            raise BadState("the engine is closed")
        lw_engine_stats(self.e, &s)
        return s
