"""Shared memory: the session for other processes of this machine, which follow it by `lipwire.SharedReader`."""

from __future__ import annotations

from .._core import Frame, SharedWriter
from ..errors import BadState
from ..stream import Publisher, StreamSpec


class Shared(Publisher):
    """Puts the session into a ring in shared memory (docs/sharing.md). Frames are drawn where readers look.

    Args:
        keep: pictures that readers may use at any time; one is good for so many frame intervals.
        seconds: of sound that readers find.
        named: a name in /dev/shm, for readers that cannot see this process in /proc.
    """

    def __init__(self, *, keep: int = 4, seconds: float = 10.0, named: bool = False) -> None:
        self._keep = keep
        self._blocks = max(2, round(seconds * 100))
        self._named = named
        self._writer: SharedWriter | None = None

    @property
    def ring(self) -> SharedWriter:
        """Where it is: `SharedReader(ring.path)`. Raises BadState before the session has been started."""
        if self._writer is None:
            raise BadState("the session has not been started")
        return self._writer

    def memory(self, spec: StreamSpec, slots: int) -> SharedWriter:
        """A ring for the session's pictures, with `slots` more than readers may use."""
        if self._writer is not None:
            raise BadState("one session, one ring")
        self._writer = SharedWriter(
            spec.width,
            spec.height,
            spec.fps.as_integer_ratio(),
            session=spec.session_id,
            matrix=spec.matrix,
            slots=slots + self._keep,
            keep=self._keep,
            pcm_blocks=self._blocks,
            named=self._named,
        )
        return self._writer

    async def open(self, spec: StreamSpec) -> None:
        """Where nobody asked for its memory (offline), frames are copied."""
        if self._writer is None:
            self.memory(spec, 1)

    def audio(self, pcm: bytes, sample: int) -> None:
        """Copies a block."""
        self.ring.write_pcm(pcm, sample)

    def video(self, frame: Frame) -> None:
        """Publishes a frame, which must not change from now on."""
        self.ring.write_frame(frame)

    def interrupt(self) -> None:
        """Readers skip what they have not read."""
        self.ring.interrupt()

    async def close(self) -> None:
        """Tells the readers. What they have mapped stays."""
        self.ring.close()
