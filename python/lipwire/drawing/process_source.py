"""A FrameSource in a process of its own: a model that holds the GIL, leaks or crashes does so elsewhere.

Speech goes there over a link; frames come back through memory that both map, so a picture is written once there and
read once here. A process that dies is started again, and the session idles meanwhile.
"""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import logging
import mmap
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..process.spawn import Target
from ..process.supervisor import Child, Ended, Limits, Supervisor
from ..stream import StreamSpec
from . import source_worker as worker
from .frame_source import SPEECH_RATE, Emit, FrameSource, Image

logger = logging.getLogger("lipwire.source")

OUTSTANDING = 1.0
"""Seconds of speech that the process may owe; more is not sent."""
START = 30.0
"""Seconds that speech waits for its first start, which may take longer."""
LEAVE = 2.0
"""Seconds in which it is to end."""
ANSWER = 1 << 16
"""Bytes of what it answers, at most; frames are not among it."""


class ProcessSource(FrameSource):
    """Runs a FrameSource in a process of its own.

        session = lipwire.Session(publisher, avatar=lipwire.ProcessSource(Model, "weights.pt"))

    Args:
        factory: makes the FrameSource there: a class or function that the process can import (`spawn`: with a script,
            guard what it starts by `if __name__ == "__main__"`). args: for it. Both are pickled here and unpickled
            there; nothing that comes from there is.
        latency, block, idle: as those of FrameSource; by default what the class says.

    Raises:
        BadState: the process runs what should be guarded.
    """

    answers_later = True

    def __init__(
        self,
        factory: Callable[..., FrameSource],
        *args: Any,
        latency: float | None = None,
        block: int | None = None,
        idle: Sequence[Image] | None = None,
    ) -> None:
        Target.check()
        self._factory, self._args = factory, args
        self.latency = getattr(factory, "latency", FrameSource.latency) if latency is None else latency
        self.block = getattr(factory, "block", FrameSource.block) if block is None else block
        self.idle = getattr(factory, "idle", FrameSource.idle) if idle is None else idle
        self.refused = 0
        """Pieces of speech that were not sent: it owed too many, or was dead."""
        self._lock = threading.Lock()
        self._owed = 0
        self._generation = 0
        self._up = False
        self._ready = threading.Event()
        self._closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: threading.Thread | None = None
        self._process: Supervisor[worker.Answer] | None = None
        self._memory: mmap.mmap | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, while it lives."""
        return None if self._process is None else self._process.pid

    @property
    def restarts(self) -> int:
        """Deaths after which it was started again, or is going to be."""
        return 0 if self._process is None else self._process.restarts

    def open(self, spec: StreamSpec, emit: Emit) -> None:
        self._loop = asyncio.new_event_loop()
        args = self._loop, spec, emit
        self._keeper = threading.Thread(target=self._keep, args=args, name="lipwire-keeper", daemon=True)
        self._keeper.start()
        atexit.register(self.close)  # before multiprocessing ends its process as if it had died
        self._ready.wait(START)

    def speech(self, pcm: np.ndarray[Any, np.dtype[np.int16]], sample: int) -> None:
        with self._lock:
            if not self._up or self._owed + len(pcm) > OUTSTANDING * SPEECH_RATE:
                self.refused += 1
                return
            self._owed += len(pcm)
            self._tell(worker.Speech(self._generation, sample, pcm.tobytes()))

    def finish(self) -> None:
        with self._lock:
            self._tell(worker.Finish(self._generation))

    def interrupt(self) -> None:
        with self._lock:
            self._generation += 1
            if self._process is not None:  # one that is starting must know, too
                self._process.tell(worker.Interrupt(self._generation))

    def close(self) -> None:
        atexit.unregister(self.close)
        if self._loop is not None and self._keeper is not None:
            with suppress(RuntimeError):  # the loop has been closed meanwhile
                self._loop.call_soon_threadsafe(self._closing.set)
            self._keeper.join(5.0)

    def _tell(self, command: worker.Command) -> None:
        if self._up and self._process is not None:
            self._process.tell(command)

    # ---- the keeper's thread: one process after the other

    def _keep(self, loop: asyncio.AbstractEventLoop, spec: StreamSpec, emit: Emit) -> None:
        try:
            loop.run_until_complete(self._supervise(spec, emit))
        finally:
            loop.close()

    async def _supervise(self, spec: StreamSpec, emit: Emit) -> None:
        size = spec.width * spec.height * 3 // 2

        def start(child: Child[worker.Answer]) -> None:
            fd, self._memory = _memory(worker.SLOTS * size)
            with self._lock:
                child.tell(worker.Begin(self._generation), [fd])
            os.close(fd)

        def answered(answer: worker.Answer) -> None:
            match answer:
                case worker.Ready():
                    with self._lock:
                        self._up, self._owed = True, 0
                    self._ready.set()
                case worker.Made(generation, sample, slot):
                    try:
                        if generation == self._generation and self._memory is not None:
                            flat = np.frombuffer(self._memory, np.uint8, size, slot * size)
                            emit(sample, flat.reshape(spec.height * 3 // 2, spec.width))
                    finally:
                        process.tell(worker.Free(slot))
                case worker.Took(samples):
                    with self._lock:
                        self._owed = max(0, self._owed - samples)
                case worker.Failed(what):
                    logger.warning("[%s] %s", spec.session_id, what)

        def died(ended: Ended) -> None:
            with self._lock:
                self._up = False
            self._ready.set()

        process = self._process = Supervisor(
            Target(worker.serve, self._factory, self._args, spec, name="lipwire-source"),
            worker.Answer,
            name=f"[{spec.session_id}] the process of {getattr(self._factory, '__name__', 'source')}",
            on_message=answered,
            on_start=start,
            on_death=died,
            limits=Limits(start=None, leave=LEAVE),
            limit=ANSWER,
            logger=logger,
        )
        process.start()
        await self._closing.wait()
        await process.close()
        self._memory = None


def _memory(size: int) -> tuple[int, mmap.mmap]:
    """Memory for another process, which cannot make it smaller under this one; it is nowhere in /dev/shm."""
    fd = os.memfd_create("lipwire-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd, mmap.mmap(fd, size)
