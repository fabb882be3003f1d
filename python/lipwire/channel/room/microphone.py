"""What a browser sends, as a channel hands it over: a microphone's sound in steady blocks, a camera's newest picture.

Time is an argument, of any steady clock, so that tests need none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av

from ..._core import RATE, Resampler
from ...publish.incoming import Incoming
from ...rtp.tally import Tally
from ..base import HEARD_RATE

HEARD_BYTES = HEARD_RATE // 100 * 2
SEEN_EVERY = 1.0
"""Seconds between the pictures of a camera that are handed over."""
MAX_PICTURE = 1280
"""Pixels of a picture's longer side; larger ones are scaled down."""


class Microphone:
    """One user's sound, from its first packet on: what is not there is silence, so that a turn ends by silence, not by
    nothing.

    Args:
        heard: called with (PCM16 mono at 16 kHz, pts_ms), 10 ms at a time.
        sound: called with the same at 48 kHz.
        tally: has its jitter buffers, too.
    """

    def __init__(
        self, heard: Callable[[bytes, int], None], sound: Callable[[bytes], None], tally: Tally | None = None
    ) -> None:
        self.incoming = Incoming(self._push, tally)
        """Which has its packets, and its time."""
        self._heard, self._sound = heard, sound
        self._to_heard = Resampler(RATE, HEARD_RATE)
        self._heard_pcm = bytearray()
        self._heard_samples = 0

    def stats(self) -> dict[str, float]:
        """Live figures, JSON-able: `filled_ms` (made up or silent, in place of what was lost or not sent), packets that
        were `lost` or came too late (`discarded`), and the `delay_ms` that the network makes us hold sound back by."""
        figures = self.incoming.stats()
        return {
            "filled_ms": self.incoming.filled_ms,
            "lost": figures.get("packetsLost", 0),
            "discarded": figures.get("packetsDiscarded", 0),
            "delay_ms": round(1000 * figures.get("targetDelay", 0), 1),
        }

    def _push(self, pcm: bytes, kind: str) -> None:
        self._sound(pcm)
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
