"""A publisher that only counts: for measurements, and for sessions whose poses or events are all that matters."""

from __future__ import annotations

from .._core import Frame
from ..errors import InvalidArgument
from ..stream import LOOKS, Cue, Publisher, StreamSpec, Unit, Wants


class Null(Publisher):
    """Takes everything, keeps nothing. `samples`, `frames`, `units`, `unit_bytes`, `poses` and `cues` count; `gaps`
    counts breaks in the audio's clock.

    Args:
        wants: what it takes besides sound; "nothing": no picture is made.
        motion: whether it takes motion, too.
    """

    audio_blocks = 64

    def __init__(self, *, wants: Wants = "pictures", motion: bool = False) -> None:
        if wants not in LOOKS:
            raise InvalidArgument(f"wants must be one of {', '.join(LOOKS)}, got {wants!r:.40}")
        self._wants: Wants = wants
        self._motion = motion
        self.samples = 0
        self.frames = 0
        self.units = 0
        self.unit_bytes = 0
        self.poses = 0
        self.cues = 0
        self.gaps = 0
        self._next: int | None = None

    @property
    def takes_units(self) -> bool:  # type: ignore[override]
        """As it was given."""
        return LOOKS[self._wants] & LOOKS["units"] != 0

    @property
    def wants(self) -> Wants:
        """As it was given."""
        return self._wants

    @property
    def takes_motion(self) -> bool:
        """As it was given."""
        return self._motion

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

    def unit(self, unit: Unit) -> None:
        """Counts a unit, and its bytes."""
        self.units += 1
        self.unit_bytes += len(unit.data)

    def motion(self, frame: Frame) -> None:
        """Counts a pose."""
        self.poses += 1

    def cue(self, cue: Cue) -> None:
        """Counts a cue."""
        self.cues += 1

    async def close(self) -> None:
        """Nothing to close."""
