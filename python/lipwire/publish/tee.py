"""Several publishers as one."""

from __future__ import annotations

import asyncio

from .._core import Frame, SharedWriter
from ..stream import InSharedMemory, Publisher, StreamSpec


class Tee:
    """Hands everything to each of its publishers, in order.

    Args:
        publishers: at most one of them in shared memory; what it takes, the others are shown.
    """

    def __init__(self, *publishers: Publisher) -> None:
        self.publishers = publishers
        self._interrupts = [p.interrupt for p in publishers if isinstance(p, InSharedMemory)]

    def memory(self, spec: StreamSpec, slots: int) -> SharedWriter | None:
        """The memory of the one that has some."""
        for publisher in self.publishers:
            if isinstance(publisher, InSharedMemory):
                return publisher.memory(spec, slots)
        return None

    async def open(self, spec: StreamSpec) -> None:
        """Opens one after the other. What one raises, closes those that were opened."""
        for n, publisher in enumerate(self.publishers):
            try:
                await publisher.open(spec)
            except BaseException:
                await asyncio.gather(*(p.close() for p in self.publishers[:n]))
                raise

    def audio(self, pcm: bytes, sample: int) -> None:
        """To each."""
        for publisher in self.publishers:
            publisher.audio(pcm, sample)

    def video(self, frame: Frame) -> None:
        """To each."""
        for publisher in self.publishers:
            publisher.video(frame)

    def interrupt(self) -> None:
        """To those that keep something."""
        for interrupt in self._interrupts:
            interrupt()

    async def close(self) -> None:
        """Closes all; the first failure is raised when all are closed."""
        done = await asyncio.gather(*(p.close() for p in self.publishers), return_exceptions=True)
        for failure in done:
            if failure is not None:
                raise failure
