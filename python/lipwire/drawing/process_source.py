"""A FrameSource in a process of its own: a model that holds the GIL, leaks or crashes does so elsewhere.

Speech goes there over a pipe; frames come back through shared memory that both map, so a picture is written once there
and read once here. A process that dies is started again, and the session idles meanwhile.
"""

from __future__ import annotations

import collections
import logging
import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from ..errors import BadState, InvalidArgument
from ..stream import StreamSpec
from .frame_source import SPEECH_RATE, Emit, FrameSource, Image, to_i420

logger = logging.getLogger("lipwire.source")

SLOTS = 16
"""Frames under way from the process."""
OUTSTANDING = 1.0
"""Seconds of speech that the process may owe; more is not sent."""
BACKOFF = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before it is started again, by deaths in a row."""
START = 30.0
"""Seconds that its first start may take; speech waits for it."""
STABLE = 10.0
"""Seconds after which a death is the first one again."""


class ProcessSource(FrameSource):
    """Runs a FrameSource in a process of its own.

        session = lipwire.Session(publisher, avatar=lipwire.ProcessSource(Model, "weights.pt"))

    Args:
        factory: makes the FrameSource there: a class or function that the process can import (`spawn`: with a script,
            guard what it starts by `if __name__ == "__main__"`). args: for it; they are pickled.
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
        if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself finds out
            raise BadState('its process imports this program: put what it starts under `if __name__ == "__main__"`')
        self._factory, self._args = factory, args
        self.latency = getattr(factory, "latency", FrameSource.latency) if latency is None else latency
        self.block = getattr(factory, "block", FrameSource.block) if block is None else block
        self.idle = getattr(factory, "idle", FrameSource.idle) if idle is None else idle
        self.restarts = 0
        self.refused = 0
        """Pieces of speech that were not sent: it owed too many, or was dead."""
        self._lock = threading.Lock()
        self._pipe: Connection | None = None
        self._owed = 0
        self._generation = 0
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._keeper: threading.Thread | None = None
        self.pid: int | None = None
        """Of the process, while it lives."""

    def open(self, spec: StreamSpec, emit: Emit) -> None:
        self._keeper = threading.Thread(target=self._keep, args=(spec, emit), name="lipwire-keeper", daemon=True)
        self._keeper.start()
        self._ready.wait(START)

    def speech(self, pcm: np.ndarray[Any, np.dtype[np.int16]], sample: int) -> None:
        with self._lock:
            if self._pipe is None or self._owed + len(pcm) > OUTSTANDING * SPEECH_RATE:
                self.refused += 1
                return
            self._owed += len(pcm)
            self._send(("speech", self._generation, sample, pcm.tobytes()))

    def finish(self) -> None:
        with self._lock:
            self._send(("finish", self._generation))

    def interrupt(self) -> None:
        with self._lock:
            self._generation += 1
            self._send(("interrupt", self._generation))

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            self._send(("close",))
        if self._keeper is not None:
            self._keeper.join(5.0)

    def _send(self, message: tuple[Any, ...]) -> None:
        if self._pipe is not None:
            try:
                self._pipe.send(message)
            except OSError:  # it died; the keeper will see it
                self._pipe = None

    # ---- the keeper's thread: one process after the other

    def _keep(self, spec: StreamSpec, emit: Emit) -> None:
        deaths = 0
        name = getattr(self._factory, "__name__", "source")
        while not self._closing.is_set():
            began = time.monotonic()
            code = self._one(spec, emit)
            self._ready.set()
            if self._closing.is_set():
                return
            self.restarts += 1
            deaths = 1 if time.monotonic() - began > STABLE else deaths + 1
            wait = BACKOFF[min(deaths, len(BACKOFF)) - 1]
            logger.warning(
                "[%s] the process of %s ended with code %s; starting it again in %g s",
                spec.session_id, name, code, wait,
            )  # fmt: skip
            self._closing.wait(wait)

    def _one(self, spec: StreamSpec, emit: Emit) -> int | None:
        size = spec.width * spec.height * 3 // 2
        context = multiprocessing.get_context("spawn")
        memory = SharedMemory(create=True, size=SLOTS * size)
        linked = True
        ours, theirs = context.Pipe()
        args = theirs, memory.name, self._factory, self._args, spec
        process = context.Process(target=serve, args=args, name="lipwire-source", daemon=True)
        try:
            process.start()
            theirs.close()
            self.pid = process.pid
            while True:
                if not ours.poll(0.1):
                    if self._closing.is_set():
                        break
                    continue
                kind, *rest = ours.recv()
                if kind == "ready":
                    memory.unlink()  # both have it mapped; now it goes with the last of them, however they end
                    linked = False
                    with self._lock:
                        self._pipe, self._owed = ours, 0
                    self._ready.set()
                elif kind == "frame":
                    generation, sample, slot = rest
                    if generation == self._generation:
                        flat = np.frombuffer(_bytes(memory), np.uint8, size, slot * size)
                        emit(sample, flat.reshape(spec.height * 3 // 2, spec.width))
                        del flat
                    with self._lock:
                        self._send(("free", slot))
                elif kind == "took":
                    with self._lock:
                        self._owed -= rest[0]
                elif kind == "failed":
                    logger.warning("[%s] %s", spec.session_id, rest[0])
        except (EOFError, OSError):
            pass
        finally:
            self.pid = None
            with self._lock:
                self._pipe = None
            if self._closing.is_set():
                process.join(2.0)
            if process.is_alive():
                process.kill()
            process.join(5.0)
            ours.close()
            memory.close()
            if linked:
                memory.unlink()
        return process.exitcode


def _bytes(memory: SharedMemory) -> memoryview:
    assert memory.buf is not None
    return memory.buf


# ---- in the process -----------------------------------------------------------------------------------------------


class _Worker:
    def __init__(self, pipe: Connection, memory: SharedMemory, source: FrameSource, spec: StreamSpec) -> None:
        self.pipe, self.memory, self.source, self.spec = pipe, memory, source, spec
        self.size = spec.width * spec.height * 3 // 2
        self.work: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self.free = collections.deque(range(SLOTS))
        self.has_free = threading.Condition()
        self.sending = threading.Lock()
        self.generation = 0
        """The newest one that the pipe has told of."""
        self.failed = False

    def send(self, *message: Any) -> None:
        with self.sending:
            self.pipe.send(message)

    def listen(self) -> None:
        """The pipe's thread: slots come back even while the source is at work."""
        try:
            while True:
                message = self.pipe.recv()
                if message[0] == "free":
                    with self.has_free:
                        self.free.append(message[1])
                        self.has_free.notify()
                    continue
                if message[0] == "interrupt":
                    self.generation = message[1]
                self.work.put(message)
        except (EOFError, OSError):
            self.work.put(("close",))

    def emit(self, sample: int, image: Image) -> None:
        generation = self.generation
        try:
            made = to_i420(image, self.spec.width, self.spec.height)
        except InvalidArgument as exc:
            self.complain(exc)
            return
        with self.has_free:
            if not self.has_free.wait_for(lambda: self.free, 1.0):
                return  # nobody takes them
            slot = self.free.popleft()
        flat = np.frombuffer(_bytes(self.memory), np.uint8, self.size, slot * self.size)
        flat[:] = made.reshape(-1)
        self.send("frame", generation, int(sample), slot)

    def complain(self, exc: Exception) -> None:
        if not self.failed:
            self.failed = True
            self.send("failed", f"{type(self.source).__name__}: {type(exc).__name__}: {exc}")

    def run(self) -> None:
        threading.Thread(target=self.listen, daemon=True).start()
        self.source.open(self.spec, self.emit)
        self.send("ready")
        while (message := self.work.get())[0] != "close":
            kind = message[0]
            try:
                if kind == "interrupt":
                    self.source.interrupt()
                    continue
                answer = None
                if message[1] == self.generation:
                    if kind == "finish":
                        answer = self.source.finish()
                    else:
                        answer = self.source.speech(np.frombuffer(message[3], np.int16), message[2])
                for sample, image in answer or ():
                    if message[1] != self.generation:
                        break
                    self.emit(sample, image)
            except (EOFError, OSError):
                raise
            except Exception as exc:  # the edge: the next piece may do
                self.complain(exc)
            finally:
                if kind == "speech":
                    self.send("took", len(message[3]) // 2)
        self.source.close()


def serve(
    pipe: Connection, memory_name: str, factory: Callable[..., FrameSource], args: tuple[Any, ...], spec: StreamSpec
) -> None:
    """The process's whole life."""
    memory = SharedMemory(memory_name)
    try:
        _Worker(pipe, memory, factory(*args), spec).run()
    except (BrokenPipeError, EOFError, KeyboardInterrupt):
        pass  # the other side is gone
