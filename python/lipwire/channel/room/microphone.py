"""What a browser sends, as a channel hands it over: a microphone's sound in steady blocks, a camera's newest picture.

Time is an argument (seconds, of any steady clock), so that tests need none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av
import numpy as np

from ..._core import BLOCK, RATE, Resampler
from ..base import HEARD_RATE

HEARD_BYTES = HEARD_RATE // 100 * 2
BLOCK_BYTES = BLOCK * 2
QUIET = 0.2
"""Seconds without sound after which silence is handed over in its place: a turn ends by silence, not by nothing."""
PUNCTUAL = 1.1
"""Times `QUIET`: what it may take from one look to the next. Where it takes longer the loop was busy, and what was sent
is perhaps yet to be read."""
QUIET_FOR = 15.0
"""Seconds for which it is; longer than any silence that ends a turn."""
MAX_GAP = 1.0
"""Seconds of lost sound that are filled with silence."""
MAX_AHEAD = 1.0
"""Seconds of sound that may come faster than it plays; what exceeds them is dropped and counted."""
MAX_BEHIND = 5.0
"""Seconds of sound that may come at once besides, after as long a time without any: the event loop, or the network,
stood still."""
SEEN_EVERY = 1.0
"""Seconds between the pictures of a camera that are handed over."""
MAX_PICTURE = 1280
"""Pixels of a picture's longer side; larger ones are scaled down."""


class Microphone:
    """One user's sound.

    Args:
        heard: called with (PCM16 mono at 16 kHz, pts_ms), 10 ms at a time.
        sound: called with the same at 48 kHz.
    """

    def __init__(self, heard: Callable[[bytes, int], None], sound: Callable[[bytes], None]) -> None:
        self.dropped_ms = 0.0
        """Sound that came too fast to be true."""
        self.filled_ms = 0.0
        """Silence in place of what was lost, or not sent."""
        self._heard, self._sound = heard, sound
        self._to_clock: Resampler | None = None
        self._to_heard = Resampler(RATE, HEARD_RATE)
        self._clock_pcm = bytearray()
        self._heard_pcm = bytearray()
        self._heard_samples = 0
        self._next: int | None = None
        """Where the next frame should begin, in samples of its own rate."""
        self._rate = 0
        self._came = 0.0
        """When sound came last."""
        self._looked = 0.0
        """When it was found that nothing comes."""
        self._doubted = False
        """The newest look came late, so it proved nothing."""
        self._owed = 0
        """Samples at 48 kHz of silence that were handed over since then."""
        self._ahead = 0.0

    @property
    def used(self) -> bool:
        """Whether any sound has come."""
        return self._next is not None

    def feed(self, frame: av.AudioFrame, now: float) -> None:
        """A decoded frame: packed 16-bit samples of one or more channels."""
        rate, samples = frame.sample_rate, frame.samples
        channels = frame.layout.nb_channels
        pcm = np.frombuffer(memoryview(frame.planes[0]), np.int16, samples * channels)
        if channels > 1:
            pcm = np.rint(pcm.reshape(samples, channels).mean(axis=1)).astype(np.int16)
        self.take(pcm.tobytes(), rate, int(frame.pts or 0), now)

    def take(self, pcm: bytes, rate: int, pts: int, now: float) -> None:
        """The same from PCM16 mono; `pts` in samples."""
        samples = len(pcm) // 2
        if rate != self._rate:
            self._rate, self._next = rate, None
            self._to_clock = None if rate == RATE else Resampler(rate, RATE)
        if self._next is not None:
            self._ahead = max(-MAX_BEHIND, self._ahead - (now - self._came) + self._owed / RATE)
        if self._ahead > MAX_AHEAD:
            self.dropped_ms += samples / rate * 1000
            self._came, self._owed = now, 0
            return
        self._ahead += samples / rate
        if self._next is not None and 0 < pts - self._next <= MAX_GAP * rate:
            missing = (pts - self._next) * RATE // rate - self._owed
            if missing > 0:
                self._silence(missing)
        self._next = pts + samples
        self._came = now
        self._owed = 0
        self._doubted = False
        self._push(pcm if self._to_clock is None else self._to_clock.process(pcm))

    def idle(self, now: float) -> None:
        """To be called every `QUIET` seconds while nothing comes."""
        since, self._looked = now - max(self._came, self._looked), now
        if since > PUNCTUAL * QUIET and not self._doubted:  # the loop was late; by the next look it has read everything
            self._doubted = True
            return
        self._doubted = False
        late = now - self._came
        if self._next is None or not QUIET <= late <= QUIET_FOR:
            return
        missing = int(late * RATE) - self._owed
        self._owed += missing
        self._silence(missing)

    def _silence(self, samples: int) -> None:
        self.filled_ms += samples / (RATE / 1000)
        self._push(bytes(samples * 2))

    def _push(self, pcm: bytes) -> None:
        self._clock_pcm += pcm
        while len(self._clock_pcm) >= BLOCK_BYTES:
            self._sound(bytes(self._clock_pcm[:BLOCK_BYTES]))
            del self._clock_pcm[:BLOCK_BYTES]
        self._heard_pcm += self._to_heard.process(pcm)
        while len(self._heard_pcm) >= HEARD_BYTES:
            block = bytes(self._heard_pcm[:HEARD_BYTES])
            del self._heard_pcm[:HEARD_BYTES]
            self._heard(block, self._heard_samples * 1000 // HEARD_RATE)
            self._heard_samples += HEARD_BYTES // 2


class Camera:
    """One user's pictures: the newest, at most one in `SEEN_EVERY`."""

    def __init__(self, seen: Callable[[int, int, bytes], None]) -> None:
        self._seen = seen
        self._last: float | None = None

    def take(self, frame: av.VideoFrame, now: float) -> None:
        """A decoded picture; hands over (width, height, contiguous I420), both even."""
        if self._last is not None and now - self._last < SEEN_EVERY:
            return
        self._last = now
        scale = min(1.0, MAX_PICTURE / max(frame.width, frame.height))
        width, height = (max(2, int(side * scale) & ~1) for side in (frame.width, frame.height))
        if (width, height, "yuv420p") != (frame.width, frame.height, frame.format.name):
            frame = frame.reformat(width=width, height=height, format="yuv420p")
        i420: Any = frame.to_ndarray()
        self._seen(width, height, i420.tobytes())
