"""One user's sound: when a turn of theirs runs, and what was said in it."""

from __future__ import annotations

from collections import deque

from ..config import TurnDetection
from .endpointing import SURE, Endpointer, TurnBoundary
from .vad import FRAME_MS, LATE, Vad

MAX_PADDING_MS = 5000
"""How much sound before a turn is kept, at most."""


class TurnDetector:
    """Frames in, the boundaries of turns out; and the sound of a turn from `prefix_padding_ms` before it on."""

    def __init__(self, config: TurnDetection) -> None:
        self._vad = Vad()
        self.endpointer = Endpointer(config)
        self._recent: deque[bytes] = deque(maxlen=MAX_PADDING_MS // FRAME_MS + SURE + 2 * LATE)

    def hear(self, pcm: bytes) -> TurnBoundary | None:
        """Takes 10 ms: PCM16 mono at 16 kHz. Returns the boundary that it shows, if any."""
        self._recent.append(pcm)
        return self.endpointer.process(self._vad.process(pcm))

    def since(self, frame: int) -> list[bytes]:
        """The frames from `frame` less the padding on, as far as they are kept."""
        padding = min(max(self.endpointer.config.prefix_padding_ms, 0), MAX_PADDING_MS) // FRAME_MS
        count = self.endpointer.frames - frame + padding
        frames = list(self._recent)
        return frames[max(len(frames) - count, 0) :]
