"""What a publisher is: the place where a session's sound and picture go."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from ._core import RATE, Frame, SharedWriter


class StreamSpec(Struct, frozen=True, kw_only=True):
    """What a session is going to hand over."""

    session_id: str
    width: int
    """Pixels, even; 0 x 0 = sound only, and `video` is never called."""
    height: int
    fps: Fraction
    rate: int = RATE
    """Hz of the PCM and of every `sample` position."""
    matrix: Literal["bt709", "bt601"] = "bt709"
    """Which RGB the pictures' Y, U and V stand for; limited range. What is encoded should be tagged with it."""


class Publisher(Protocol):
    """Where audio and frames go. All calls come from one thread, the event loop's where there is one.

    `sample` and `frame.sample` count on one media clock at 48 kHz, without gaps in the audio. `audio` and `video` must
    not block: a publisher that cannot keep up drops and counts.
    """

    async def open(self, spec: StreamSpec) -> None:
        """Called once, before anything else."""

    def audio(self, pcm: bytes, sample: int) -> None:
        """10 ms: 480 samples of PCM16 mono, the first at `sample`."""

    def video(self, frame: Frame) -> None:
        """A picture, to be shown when the clock is at `frame.sample`. Keep it no longer than needed: its memory is
        one of the session's few slots."""

    async def close(self) -> None:
        """Called once; what was handed over is finished first where that makes sense."""


@runtime_checkable
class InSharedMemory(Protocol):
    """What a publisher has besides whose session lives in shared memory."""

    def memory(self, spec: StreamSpec, slots: int) -> SharedWriter | None:
        """Called once, before `open`: memory for the performer to draw in, `slots` more than the publisher holds. None:
        it may draw where it likes."""

    def interrupt(self) -> None:
        """Called when the session drops its speech: what was handed over and not played is stale."""
