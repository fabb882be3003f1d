"""What runs in the process of models: `python -m lipwire.models.worker FD SETTINGS`. FD is its end of the link,
SETTINGS a `wire.Settings` in JSON.

The main thread reads what it is told and answers pings. Each engine lives in a thread of its own (`Desk`), which is
begun, and its module imported, with its first job. The main thread also watches: an engine that makes no step for too
long, and a process that has grown too large, end it; the host starts another one.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from ..errors import LipwireError, ModelFailed
from ..pools import give_way
from ..process.child import to_parent
from ..process.link import Link
from .engine import THREADS, Engine
from .wire import (
    LAST,
    Answer,
    Answered,
    Drop,
    Failed,
    Loaded,
    Loading,
    More,
    Open,
    Ready,
    Settings,
    Tells,
    Told,
    Warm,
    Warmed,
)

TOO_LARGE = 5
"""The code with which it ends where it has grown too large."""
WATCH = 0.5
"""Seconds between two looks at what the engines do."""
LEAVE = 1.0
"""Seconds that engines have, when the link has closed, to end the step that they are in."""
_M_ARENA_MAX = -8
_ENV = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Desk:
    """An engine, its thread, and what waits for it.

    Args:
        module: has the class `Engine`.
        tell: sends to the host, and waits until that is sent.
        clock: seconds, monotonic.
    """

    def __init__(
        self, name: str, module: str, tell: Callable[[Tells], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name, self._module = name, module
        self._tell, self._clock = tell, clock
        self._waiting: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self._open: set[int] = set()
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._since: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"lipwire-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, message: Told | None) -> None:
        """For the engine; None = there is no more, and its thread ends."""
        self._waiting.put(message)

    def busy(self) -> float:
        """Seconds that the engine has been in the call that it is in; 0 = it is in none."""
        since = self._since
        return 0.0 if since is None else self._clock() - since

    def left(self, seconds: float) -> bool:
        """Whether its thread has ended; waits so long for it."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # ------------------------------------------------------------------------------------------------- in the thread

    def _run(self) -> None:
        step: int | None = None
        while True:
            try:
                message = self._waiting.get(block=step is None)
            except queue.Empty:
                assert step is not None
                self._guarded(step, self._work)
            else:
                if message is None:
                    return
                self._guarded(message.job, self._hear, message)
            step = None if self._engine is None else self._engine.next()

    def _guarded(self, job: int, call: Callable[..., None], *args: object) -> None:
        """A call for a job, which fails with it."""
        self._since = self._clock()
        try:
            call(*(args or (job,)))
        except LipwireError as exc:
            self._fail(job, str(exc))
        except MemoryError:
            self._fail(job, f"{self.name}: no memory is left for it")
        except Exception as exc:  # the edge: an engine must not take the others' jobs with it
            traceback.print_exc()
            self._fail(job, f"{self.name}: {type(exc).__name__}: {exc}")
        finally:
            self._since = None

    def _hear(self, message: Told) -> None:
        job = message.job
        match message:
            case Open(_, job, request):
                engine = self._the_engine()
                with self._lock:
                    self._open.add(job)
                if isinstance(request, Warm):
                    engine.warm(request.what)
                    self._answer(job, Warmed())
                else:
                    engine.open(job, request, lambda answer: self._answer(job, answer))
            case More(_, job, more):
                if job in self._open:
                    self._the_engine().take(job, more)
            case Drop(_, job):
                if self._close(job):
                    self._the_engine().drop(job)

    def _work(self, job: int) -> None:
        assert self._engine is not None
        if job not in self._open:
            raise ModelFailed(f"{self.name}: a step was to be made of a job that has ended")
        self._engine.work(job)

    def _the_engine(self) -> Engine:
        if self._engine is None:
            made = importlib.import_module(self._module).Engine(self._loading)
            assert isinstance(made, Engine)
            self._engine = made
        return self._engine

    @contextmanager
    def _loading(self, what: str) -> Iterator[None]:
        self._tell(Loading(self.name, what))
        began = self._clock()
        try:
            yield
        finally:
            self._tell(Loaded(self.name, what, self._clock() - began, memory(os.getpid())))

    # ----------------------------------------------------------------------------------------------- from any thread

    def _close(self, job: int) -> bool:
        """Whether the job was open; it is not any more."""
        with self._lock:
            there = job in self._open
            self._open.discard(job)
        return there

    def _answer(self, job: int, answer: Answer) -> None:
        last = isinstance(answer, LAST)
        if not (self._close(job) if last else job in self._open):
            return
        try:
            self._tell(Answered(job, answer))
        except BaseException:  # what an engine put into it cannot be sent
            if last:
                with self._lock:
                    self._open.add(job)  # so that it fails
            raise

    def _fail(self, job: int, reason: str) -> None:
        there = self._close(job)
        if self._engine is not None:
            with suppress(Exception):  # the edge: it has failed already
                self._engine.drop(job)
        if there or self._engine is None:
            self._tell(Failed(job, reason))


def memory(pid: int) -> int:
    """Bytes of a process that are in memory; 0 = the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def ready(nice: int) -> None:
    """Makes this process one that takes little: it gives way, and its libraries begin few threads and few heaps."""
    for name in _ENV:
        os.environ[name] = str(THREADS)
    with suppress(OSError, AttributeError):  # no glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    with suppress(OSError):  # not permitted
        give_way(nice)


class Worker:
    """The main thread's part."""

    def __init__(self, link: Link[Told], settings: Settings) -> None:
        self._link, self._settings = link, settings
        self._desks: dict[str, Desk] = {}

    def run(self) -> bool:
        """Until the link closes. Whether all engines have ended by then."""
        self._tell(Ready())
        looked = time.monotonic()
        while (told := self._link.receive()) is not None:
            for message in told:
                self._desk(message.engine).put(message)
            if not told:
                self._link.wait(WATCH)
            if (now := time.monotonic()) - looked >= WATCH:
                looked = now
                self._watch()
        for desk in self._desks.values():
            desk.put(None)
        until = time.monotonic() + LEAVE
        return all([desk.left(max(until - time.monotonic(), 0.0)) for desk in self._desks.values()])

    def _tell(self, message: Tells) -> None:
        self._link.send(message)
        self._link.drain()

    def _desk(self, name: str) -> Desk:
        desk = self._desks.get(name)
        if desk is None:
            desk = self._desks[name] = Desk(name, self._settings.engines[name], self._tell)
            desk.start()
        return desk

    def _watch(self) -> None:
        for desk in self._desks.values():
            if (busy := desk.busy()) > self._settings.stuck:
                _end(f"{desk.name} has been at one step for {busy:.0f} s")
        if (used := memory(os.getpid())) > self._settings.memory:
            most = self._settings.memory >> 20
            _end(f"it uses {used >> 20} MB, and {most} is the most (the setting models_memory_mb)", TOO_LARGE)


def _end(why: str, code: int = 4) -> NoReturn:
    """Ends the process, whatever its threads are in."""
    print(why, file=sys.stderr, flush=True)
    os._exit(code)


def _thread_died(what: threading.ExceptHookArgs) -> None:
    traceback.print_exception(what.exc_type, what.exc_value, what.exc_traceback)
    _end(f"the thread {what.thread and what.thread.name} died: {what.exc_type.__name__}: {what.exc_value}")


def main(fd: int, settings: str) -> None:
    """Entry of the process."""
    wanted = msgspec.json.decode(settings, type=Settings)
    threading.excepthook = _thread_died
    ready(wanted.nice)
    if not Worker(to_parent(fd, Told), wanted).run():
        os._exit(0)  # a library's code runs still, and must not meet an interpreter that is being taken down


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
