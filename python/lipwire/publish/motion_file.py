"""Recording what a live session's face does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from .._core import MOTION_SETS, Frame, MotionEncoder
from ..errors import InvalidArgument, StorageError
from ..motion.files import DEFAULT_SETS, put_block
from ..motion.reader import MAGIC
from ..pools import pool
from ..stream import Cue, Publisher, StreamSpec, Wants
from .motion import MAX_VALUE

logger = logging.getLogger("lipwire.motion_file")

OFTEN = 24_000
"""Samples from one write to the next: half a second."""
BACKLOG = 1 << 20
"""Bytes that wait for the disk, at most: a quarter of an hour. What comes then is left out and counted."""


class MotionFile(Publisher):
    """A publisher that writes what a session's face does into a .lwm file ([motion](motion.md)), events among it. It
    wants no picture.

    The file is there from the beginning, grows twice a second, and can be read at any time (`MotionReader`), whatever
    ends it. What was at `path` before is gone. A thread of its own writes.

    Args:
        path: ends in .lwm. sets: which channels it has: visemes, arkit, head, pose, azure.

    Raises:
        InvalidArgument: the name ends in something else, or there is no such set.
    """

    audio_blocks = 64

    def __init__(self, path: str | Path, *, sets: Sequence[str] = DEFAULT_SETS) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".lwm":
            raise InvalidArgument(f"cannot write {self.path} while a session goes on: end its name in .lwm")
        unknown = [name for name in sets if name not in MOTION_SETS]
        if unknown or not sets:
            raise InvalidArgument(f"sets {', '.join(sets) or 'of nothing'}: some of {', '.join(MOTION_SETS)}")
        self.dropped = 0
        """Frames and events that the disk was too slow for."""
        self._sets = tuple(sets)
        self._encoder: MotionEncoder | None = None
        self._file: BinaryIO | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._held = bytearray(MAGIC)
        self._given = 0
        """Bytes for the thread; `_done`: that it has seen to."""
        self._done = 0
        self._written = self._events = self._interrupts = 0
        self._error: OSError | None = None

    @property
    def wants(self) -> Wants:
        """No picture."""
        return "nothing"

    @property
    def takes_motion(self) -> bool:
        """Poses and cues."""
        return True

    async def open(self, spec: StreamSpec) -> None:
        """Creates the file. Raises InvalidArgument where that is impossible."""
        self._encoder = MotionEncoder(self._sets, spec.fps.as_integer_ratio(), earlier=0)
        try:
            self._file = open(self.path, "wb", buffering=0)  # noqa: SIM115 (`close` closes it)
        except OSError as exc:
            raise InvalidArgument(f"cannot write {self.path}: {exc.strerror}") from exc
        self._writer = pool(1, "lipwire-motion-file")
        put_block(self._held, self._encoder.header())
        self._write()

    def audio(self, pcm: bytes, sample: int) -> None:
        """Hears nothing."""

    def video(self, frame: Frame) -> None:
        """Sees nothing."""

    def motion(self, frame: Frame) -> None:
        """Takes a pose."""
        assert self._encoder is not None
        self._take(self._encoder.encode(frame))
        if frame.sample - self._written >= OFTEN:
            self._written = frame.sample
            self._write()

    def cue(self, cue: Cue) -> None:
        """Takes what happened."""
        self._events += 1
        self._interrupts += cue.kind == "interrupt"
        value = cue.value[:MAX_VALUE]
        self._take(MotionEncoder.event(self._events, cue.sample, self._interrupts, cue.kind, value))

    async def close(self) -> None:
        """Writes what is left. Raises StorageError: not all of it could be written."""
        if self._writer is None or self._file is None:
            return
        self._write()
        await asyncio.get_running_loop().run_in_executor(self._writer, self._file.close)
        self._writer.shutdown()
        if self._error is not None:
            raise StorageError(f"cannot write {self.path}: {self._error.strerror}") from self._error

    def _take(self, message: bytes) -> None:
        if self._error is not None or self._given - self._done + len(self._held) > BACKLOG:
            self.dropped += 1
        else:
            put_block(self._held, message)

    def _write(self) -> None:
        assert self._writer is not None
        data = bytes(self._held)
        self._held.clear()
        self._given += len(data)
        self._writer.submit(self._append, data)

    def _append(self, data: bytes) -> None:
        """On the thread."""
        assert self._file is not None
        try:
            left = memoryview(data)
            while left and self._error is None:
                left = left[self._file.write(left) :]
        except OSError as exc:
            self._error = exc
            logger.error("cannot write %s any further: %s", self.path, exc.strerror)
        finally:
            self._done += len(data)
