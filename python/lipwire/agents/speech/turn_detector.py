"""One user's sound: when a turn of theirs runs, and what was said in it."""

from __future__ import annotations

from collections import deque

from ..config import TurnDetection
from .vad import FRAME_MS, LATE, SURE, Turn, TurnDetector, Vad

MAX_PADDING_MS = 5000


class Ear:
    """Frames in; turns out, with the sound from `prefix_padding_ms` before them on."""

    def __init__(self, config: TurnDetection) -> None:
        self._vad = Vad()
        self.turns = TurnDetector(config)
        self._recent: deque[bytes] = deque(maxlen=MAX_PADDING_MS // FRAME_MS + SURE + 2 * LATE)

    def hear(self, pcm: bytes) -> Turn | None:
        """10 ms."""
        self._recent.append(pcm)
        return self.turns.process(self._vad.process(pcm))

    def since(self, frame: int) -> list[bytes]:
        """The frames from `frame` less the padding on, as far as they are kept."""
        padding = min(max(self.turns.config.prefix_padding_ms, 0), MAX_PADDING_MS) // FRAME_MS
        count = self.turns.frames - frame + padding
        frames = list(self._recent)
        return frames[max(len(frames) - count, 0) :]
