# G.722, one channel or many: lipwire/g722.h.


cdef class G722Encoder:
    """G.722 encoder of one channel: PCM16 mono at 16 kHz in, one byte for two samples out (ITU-T G.722 (09/2012)).

    Any chunking gives the same bytes as one call: an odd sample waits for its partner. Bit-exact with the ITU-T
    software tools. At 56 and 48 kbit/s the code is the same, with its lowest one or two bits 0 (the Recommendation
    leaves them to auxiliary data); still one byte for two samples.

    Args:
        bitrate: 64000, 56000 or 48000 bit/s.

    Raises:
        InvalidArgument: another bitrate.
    """
    cdef lw_g722_encoder *e
    cdef readonly int bitrate

    def __cinit__(self, bitrate=64000):
        cdef lw_g722_config config
        config.bitrate = self.bitrate = whole(bitrate, "bitrate")
        check(lw_g722_encoder_open(&self.e, &config), f"G.722 at {self.bitrate} bit/s")

    def __dealloc__(self):
        lw_g722_encoder_close(&self.e)

    def encode(self, pcm, /):
        """Takes all of `pcm` (bytes-like, any number of samples), returns the bytes that are complete.

        Raises:
            InvalidArgument: no PCM16 mono.
        """
        cdef Borrowed b
        cdef bytes out
        cdef size_t size, n
        cdef uint8_t *to
        cdef int64_t made
        borrow_pcm(pcm, &b)
        try:
            n = b.size // 2
            size = lw_g722_encoder_bound(self.e, n)
            out = PyBytes_FromStringAndSize(NULL, size)
            to = <uint8_t *>PyBytes_AS_STRING(out)
            if n >= LONG_CHUNK:
                with nogil:
                    made = lw_g722_encoder_process(self.e, <const int16_t *>b.data, n, to, size)
                check(made)
            else:
                lw_g722_encoder_process(self.e, <const int16_t *>b.data, n, to, size)
        finally:
            give_back(&b)
        return out

    def reset(self):
        """Forgets all input."""
        lw_g722_encoder_reset(self.e)


cdef class G722Decoder:
    """G.722 decoder of one channel: one byte in, two samples of PCM16 mono at 16 kHz out (ITU-T G.722 (09/2012)).

    Every byte is a code, so any bytes decode and any chunking gives the same samples. Bit-exact with the ITU-T software
    tools. At 56 and 48 kbit/s the lowest one or two bits of each byte are auxiliary data and ignored.

    Args:
        bitrate: 64000, 56000 or 48000 bit/s (modes 1, 2, 3).

    Raises:
        InvalidArgument: another bitrate.
    """
    cdef lw_g722_decoder *d
    cdef readonly int bitrate

    def __cinit__(self, bitrate=64000):
        cdef lw_g722_config config
        config.bitrate = self.bitrate = whole(bitrate, "bitrate")
        check(lw_g722_decoder_open(&self.d, &config), f"G.722 at {self.bitrate} bit/s")

    def __dealloc__(self):
        lw_g722_decoder_close(&self.d)

    def decode(self, data, /):
        """Takes all of `data` (bytes-like, n bytes), returns 2 n samples: 4 n bytes.

        Raises:
            InvalidArgument: an array of anything but bytes.
        """
        cdef Borrowed b
        cdef bytes out
        cdef size_t n
        cdef int16_t *to
        cdef int64_t made
        borrow_bytes(data, &b, "G.722")
        try:
            n = b.size
            out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>n * 4)
            to = <int16_t *>PyBytes_AS_STRING(out)
            if n >= LONG_CHUNK // 2:
                with nogil:
                    made = lw_g722_decoder_process(self.d, <const uint8_t *>b.data, n, to, 2 * n)
                check(made)
            else:
                lw_g722_decoder_process(self.d, <const uint8_t *>b.data, n, to, 2 * n)
        finally:
            give_back(&b)
        return out

    def reset(self):
        """Forgets all input."""
        lw_g722_decoder_reset(self.d)


cdef class _Slots:
    """The buffers of one batch call: where each slot reads and writes, and what must be given back."""
    cdef Py_ssize_t channels
    cdef Borrowed *borrowed
    cdef const void **sources
    cdef void **sinks
    cdef Py_ssize_t held  # borrowed[:held] of the slots that are not idle
    cdef bint busy  # a call is under way, here or in another thread

    def __cinit__(self, Py_ssize_t channels):
        if channels < 1 or channels > LW_G722_MAX_CHANNELS:
            raise InvalidArgument(f"1..{LW_G722_MAX_CHANNELS} channels, not {channels}")
        self.channels = channels
        self.borrowed = <Borrowed *>PyMem_Malloc(channels * sizeof(Borrowed))
        self.sources = <const void **>PyMem_Malloc(channels * sizeof(void *))
        self.sinks = <void **>PyMem_Malloc(channels * sizeof(void *))
        if self.borrowed == NULL or self.sources == NULL or self.sinks == NULL:
            raise OutOfMemory("a batch")

    def __dealloc__(self):
        PyMem_Free(self.borrowed)
        PyMem_Free(self.sources)
        PyMem_Free(self.sinks)

    cdef Py_ssize_t take(self, list items, bint pcm) except -1:
        """Borrows every buffer; returns their common length in bytes, 0 where all are None. On an error nothing is
        held."""
        cdef Py_ssize_t c, size = -1, one
        if self.busy:
            raise BadState("another thread's call on this batch is under way")
        if len(items) != self.channels:
            raise InvalidArgument(f"{self.channels} channels need as many buffers, got {len(items)}")
        self.busy = True
        self.held = 0
        try:
            for c in range(self.channels):
                item = items[c]
                self.sources[c] = NULL
                if item is not None:
                    self.borrow(item, c, pcm)
                    # An empty buffer may have no address; idle is NULL, and this is not that.
                    self.sources[c] = self.borrowed[c].data if self.borrowed[c].size else <const void *>self
                self.held = c + 1
                if item is None:
                    continue
                one = <Py_ssize_t>self.borrowed[c].size
                if size >= 0 and one != size:
                    raise InvalidArgument(f"channel {c} has {one} bytes, those before it {size}")
                size = one
        except BaseException:
            self.release()
            raise
        return size if size > 0 else 0

    cdef int borrow(self, object item, Py_ssize_t c, bint pcm) except -1:
        try:
            if pcm:
                borrow_pcm(item, &self.borrowed[c])
            else:
                borrow_bytes(item, &self.borrowed[c], "G.722")
        except InvalidArgument as error:
            raise InvalidArgument(f"channel {c}: {error}") from None
        return 0

    cdef void release(self) noexcept:
        cdef Py_ssize_t c
        for c in range(self.held):
            if self.sources[c] != NULL:
                give_back(&self.borrowed[c])
        self.held = 0
        self.busy = False

    cdef list results(self, Py_ssize_t size):
        """An uninitialised bytes object of `size` for each slot, None for the idle."""
        cdef Py_ssize_t c
        cdef bytes out
        cdef list made = []
        for c in range(self.channels):
            self.sinks[c] = NULL
            if self.sources[c] == NULL:
                made.append(None)
            else:
                out = PyBytes_FromStringAndSize(NULL, size)
                self.sinks[c] = PyBytes_AS_STRING(out)
                made.append(out)
        return made


cdef class G722EncoderBatch:
    """G.722 encoders of many independent channels, computed together in the lanes of a vector: the same bytes as one
    `G722Encoder` each, in a fraction of the time.

    Channels are slots that come and go: one given None in a call sits it out and starts anew when it is given samples
    again.

    Args:
        channels: slots, 1..4096.
        bitrate: of all: 64000, 56000 or 48000 bit/s.

    Raises:
        InvalidArgument: an argument is out of range.
    """
    cdef lw_g722_encoder_batch *b
    cdef _Slots slots
    cdef readonly int channels
    cdef readonly int bitrate

    def __cinit__(self, channels, bitrate=64000):
        cdef lw_g722_batch_config config
        config.channels = self.channels = whole(channels, "channels")
        config.bitrate = self.bitrate = whole(bitrate, "bitrate")
        check(lw_g722_encoder_batch_open(&self.b, &config), f"{self.channels} channels of G.722 at {self.bitrate} bit/s")
        self.slots = _Slots(self.channels)

    def __dealloc__(self):
        lw_g722_encoder_batch_close(&self.b)

    def encode_many(self, list pcm not None, /):
        """One buffer (bytes-like, PCM16 mono at 16 kHz) or None a slot -> one bytes or None a slot, n / 2 bytes for n
        samples. All buffers of a call have the same length, an even number of samples.

        Raises:
            InvalidArgument: not as many buffers as slots, one that is no PCM16 mono, unequal lengths, or half a pair; nothing was taken.
            BadState: another thread's call is under way.
        """
        cdef _Slots slots = self.slots
        cdef int64_t made
        cdef Py_ssize_t size = slots.take(pcm, True)
        cdef list out
        try:
            if size & 3:
                raise InvalidArgument(f"a batch takes pairs of samples, 4 bytes each, got {size} bytes")
            out = slots.results(size >> 2)
            with nogil:
                made = lw_g722_encoder_batch_process(self.b, <const int16_t **>slots.sources, <size_t>size >> 1,
                                                     <uint8_t **>slots.sinks)
            check(made)
        finally:
            slots.release()
        return out

    def reset(self, channel=-1):
        """Forgets a slot's input; without an argument, everyone's.

        Raises:
            InvalidArgument: there is no such slot.
        """
        cdef int slot = whole(channel, "channel")
        if self.slots.busy:
            raise BadState("another thread's call on this batch is under way")
        check(lw_g722_encoder_batch_reset(self.b, slot), f"slot {slot} of {self.channels}")


cdef class G722DecoderBatch:
    """G.722 decoders of many independent channels, computed together in the lanes of a vector: the same samples as one
    `G722Decoder` each, in a fraction of the time.

    Channels are slots that come and go: one given None in a call sits it out and starts anew when it is given bytes
    again.

    Args:
        channels: slots, 1..4096.
        bitrate: of all: 64000, 56000 or 48000 bit/s.

    Raises:
        InvalidArgument: an argument is out of range.
    """
    cdef lw_g722_decoder_batch *b
    cdef _Slots slots
    cdef readonly int channels
    cdef readonly int bitrate

    def __cinit__(self, channels, bitrate=64000):
        cdef lw_g722_batch_config config
        config.channels = self.channels = whole(channels, "channels")
        config.bitrate = self.bitrate = whole(bitrate, "bitrate")
        check(lw_g722_decoder_batch_open(&self.b, &config), f"{self.channels} channels of G.722 at {self.bitrate} bit/s")
        self.slots = _Slots(self.channels)

    def __dealloc__(self):
        lw_g722_decoder_batch_close(&self.b)

    def decode_many(self, list data not None, /):
        """One buffer (bytes-like, n bytes) or None a slot -> PCM16 mono at 16 kHz or None a slot, 2 n samples each. All
        buffers of a call have the same length.

        Raises:
            InvalidArgument: not as many buffers as slots, one that is no bytes, or unequal lengths; nothing was taken.
            BadState: another thread's call is under way.
        """
        cdef _Slots slots = self.slots
        cdef int64_t made
        cdef Py_ssize_t size = slots.take(data, False)
        cdef list out
        try:
            out = slots.results(size << 2)
            with nogil:
                made = lw_g722_decoder_batch_process(self.b, <const uint8_t **>slots.sources, <size_t>size,
                                                     <int16_t **>slots.sinks)
            check(made)
        finally:
            slots.release()
        return out

    def reset(self, channel=-1):
        """Forgets a slot's input; without an argument, everyone's.

        Raises:
            InvalidArgument: there is no such slot.
        """
        cdef int slot = whole(channel, "channel")
        if self.slots.busy:
            raise BadState("another thread's call on this batch is under way")
        check(lw_g722_decoder_batch_reset(self.b, slot), f"slot {slot} of {self.channels}")
