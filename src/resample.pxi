# Resampler: lipwire/resample.h.

_QUALITIES = {"voice": LW_RESAMPLER_VOICE, "high": LW_RESAMPLER_HIGH}


cdef class Resampler:
    """Streaming resampler: PCM16 in and out, linear phase, integer arithmetic, the same bits on every machine.

    Polyphase FIR whose response is fitted minimax to its bands (`tools/resampler_design.py`). Output sample n is the
    signal at n / out_rate: the delay is look-ahead only, and any chunking gives the same samples as one call.

    | quality | flat to, within | rejection from | delay, samples of the lower rate |
    |---|---|---|---|
    | voice | 0.9 of the lower Nyquist frequency, 0.01 dB | 1.1 of it, 93 dB | 24: 1.5 ms at 16 kHz, 3 ms at 8 kHz |
    | high | 0.92, 0.002 dB | 1.08, 110 dB before the rounding to 16 bit | 40: 2.5 ms, 5 ms |

    Args:
        in_rate, out_rate: Hz, 8000..48000. Any rate to any higher one; to a lower one the two divided by their greatest
            common divisor are at most 1920 (any multiple of 25 Hz against 48000), or both are among 8000, 11025, 12000,
            16000, 22050, 24000, 32000, 44100 and 48000. Between those, and up, opening one costs next to nothing.
        channels: 1, or 2 interleaved; stereo equals two mono resamplers bit for bit.
        quality: "voice" or "high".

    Raises:
        InvalidArgument: one of them is out of range.
    """
    cdef lw_resampler *r
    cdef readonly int in_rate
    cdef readonly int out_rate
    cdef readonly int channels
    cdef readonly str quality
    cdef size_t frame_bytes

    def __cinit__(self, in_rate, out_rate, *, channels=1, str quality="voice"):
        cdef lw_resampler_config config
        if quality not in _QUALITIES:
            raise InvalidArgument(f"resampler quality is one of {', '.join(_QUALITIES)}, not {quality!r}")
        config.in_rate = self.in_rate = whole(in_rate, "in_rate")
        config.out_rate = self.out_rate = whole(out_rate, "out_rate")
        config.channels = self.channels = whole(channels, "channels")
        if self.channels != 1 and self.channels != 2:
            raise InvalidArgument(f"a resampler has 1 or 2 channels, not {self.channels}")
        config.quality = _QUALITIES[quality]
        self.quality = quality
        self.frame_bytes = 2 * <size_t>self.channels
        check(lw_resampler_open(&self.r, &config), f"resampler {self.in_rate} -> {self.out_rate} Hz")

    def __dealloc__(self):
        lw_resampler_close(&self.r)

    def process(self, pcm):
        """Takes all of `pcm` (bytes-like or int16, PCM16 at in_rate; of two channels interleaved, or an array of shape
        (n, 2)), returns the samples that are ready as bytes.

        Raises:
            InvalidArgument: not PCM16 of so many channels, or not a whole number of frames.
        """
        cdef Borrowed b
        cdef size_t frames, ready, used
        cdef bytes out
        cdef int64_t made
        borrow_pcm(pcm, &b, self.channels)
        try:
            frames = b.size // self.frame_bytes
            if frames * self.frame_bytes != b.size:
                raise InvalidArgument(f"PCM16 needs a multiple of {self.frame_bytes} bytes, got {b.size}")
            ready = lw_resampler_ready(self.r, frames)
            out = PyBytes_FromStringAndSize(NULL, ready * self.frame_bytes)
            to = <int16_t *>PyBytes_AS_STRING(out)
            if frames >= LONG_CHUNK:
                with nogil:
                    made = lw_resampler_process(self.r, <const int16_t *>b.data, frames, &used, to, ready)
            else:
                made = lw_resampler_process(self.r, <const int16_t *>b.data, frames, &used, to, ready)
            if made < 0:
                check(made)
            return out
        finally:
            give_back(&b)

    def flush(self):
        """The samples still owed, as if silence followed; then the resampler is as new. The total length is
        ceil(inputs * out_rate / in_rate)."""
        cdef size_t cap = lw_resampler_bound(self.r, 0)
        cdef bytes out = PyBytes_FromStringAndSize(NULL, cap * self.frame_bytes)
        cdef int64_t made = check(lw_resampler_flush(self.r, <int16_t *>PyBytes_AS_STRING(out), cap))
        return out[: made * self.frame_bytes]

    def reset(self):
        """Forgets all input."""
        lw_resampler_reset(self.r)

    @property
    def delay(self):
        """Look-ahead in seconds."""
        return lw_resampler_delay_ns(self.r) / 1e9
