"""A publisher that only counts: for measurements, and for sessions whose poses or events are all that matters."""

from __future__ import annotations

from .._core import Frame
from ..stream import Publisher, StreamSpec


class Null(Publisher):
    """Takes everything, keeps nothing. `samples` and `frames` count; `gaps` counts breaks in the audio's clock."""

    audio_blocks = 64

    def __init__(self) -> None:
        self.samples = 0
        self.frames = 0
        self.gaps = 0
        self._next: int | None = None

    async def open(self, spec: StreamSpec) -> None:
        """Nothing to open."""

    def audio(self, pcm: bytes, sample: int) -> None:
        """Counts blocks."""
        self.gaps += self._next is not None and sample != self._next
        samples = len(pcm) // 2
        self._next = sample + samples
        self.samples += samples

    def video(self, frame: Frame) -> None:
        """Counts a frame."""
        self.frames += 1

    async def close(self) -> None:
        """Nothing to close."""
