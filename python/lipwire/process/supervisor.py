"""Child processes of this one: started, watched, ended, and started again.

    class Recognizer:
        def __init__(self):
            self.child = Child(Module("my.worker", "argument"), Answer, name="my worker",
                               on_message=self.heard, on_end=self.over)

`Child` is one process and the link to it. `Supervisor` keeps one alive: when it dies, hangs or sends nonsense, another
one takes its place. Both belong to the event loop in which they were made; `tell` may be called from any thread. A
thread without an event loop runs one of its own (drawing.process_source).

A child is to end when its link closes. One that does not is told to (SIGTERM), and then killed. It is reaped as soon as
it has ended, also when whoever wanted that has been cancelled meanwhile. When this process is gone, however it ended,
the link of its children closes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, Generic, TypeVar

from msgspec import Struct

from ..errors import BadData
from .link import LIMIT, Link
from .spawn import Spawn

T = TypeVar("T")

BACKOFF = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before a process is started again, by deaths in a row."""
STABLE = 10.0
"""Seconds after which a death is the first one again."""
MOST_WAITING = 32 << 20
"""Bytes that may wait for a child to read them; one that reads less hangs."""
LAST = 0.5
"""Seconds that a child may live on when it has closed its link, before it is told to end."""
LINE = 2000
"""Bytes of a line that a child writes to its standard error; more is cut off."""
POLL = 0.02
"""Seconds between two looks at a child, where the system has no pidfd."""
ROUNDS = 16
"""Reads of what is left of a child that has ended: its own children may hold its pipes, and write on."""


# ------------------------------------------------------------------------------------------------------------ one child


class Limits(Struct, frozen=True, kw_only=True):
    """Seconds that a child may take."""

    start: float | None = 30.0
    """Until its first frame; None = any time."""
    ping_every: float | None = None
    """Between two pings; None = it is not pinged."""
    ping_lost: float = 5.0
    """Until a ping is answered."""
    leave: float = 3.0
    """To end when its link has closed."""
    terminate: float = 1.0
    """To end after SIGTERM."""


class Ended(Struct, frozen=True):
    """How a child ended."""

    reason: str
    """For people."""
    code: int | None
    """Its exit code, minus the signal's number if one killed it; None: it was never there."""
    lived: float
    """Seconds."""
    last_words: str
    """The last line that it wrote to its standard error, where that goes into the log."""


class Child(Generic[T]):
    """A process and the link to it.

    Args:
        spawn: starts it, a Module or a Target.
        incoming: the type of its messages, as msgspec decodes it.
        name: for the log.
        on_message: gets each of them; not after `end`.
        on_end: called once, when it has ended and been reaped.
        limit: bytes of a message from it.

    Raises:
        OSError, or what pickling raises: it could not be spawned.
    """

    def __init__(
        self,
        spawn: Spawn,
        incoming: Any,
        *,
        name: str,
        on_message: Callable[[T], None],
        on_end: Callable[[Ended], None],
        limits: Limits | None = None,
        limit: int = LIMIT,
        logger: logging.Logger | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._name, self._limits = name, limits or Limits()
        self._on_message, self._on_end = on_message, on_end
        self._log = logger or logging.getLogger("lipwire.process")
        self._began = time.monotonic()
        ours, theirs = socket.socketpair()
        try:
            self._running = spawn(theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.pid = self._running.pid
        self._link: Link[T] = Link(ours, incoming, limit=limit)
        self._reason: str | None = None
        self._asked_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writing = False
        self._over: asyncio.Future[Ended] = self._loop.create_future()
        self._errors = _Lines(self._running.stderr)
        if self._errors.fd >= 0:
            self._loop.add_reader(self._errors.fd, self._complains)
        self._loop.add_reader(ours.fileno(), self._readable)
        try:
            self._pidfd = os.pidfd_open(self.pid)
            self._loop.add_reader(self._pidfd, self._gone)
        except (AttributeError, OSError):  # an old system, or somebody else reaps children
            self._pidfd = -1
            self._loop.call_later(POLL, self._gone)
        if self._limits.ping_every is not None:
            self._link.ping()
        self._tick()

    @property
    def starting(self) -> bool:
        """Nothing has been heard of it yet."""
        return self._link.frames == 0

    @property
    def usable(self) -> bool:
        """It has not ended, and is not about to."""
        return self._reason is None

    @property
    def waiting(self) -> int:
        """Bytes that it has not taken yet."""
        return self._link.waiting

    def tell(self, message: Any, fds: Sequence[int] = ()) -> None:
        """Sends a message, with duplicates of file descriptors; from any thread. Does nothing while the child ends."""
        self._link.send(message, fds)
        if self._link.waiting:
            with suppress(RuntimeError):  # the loop was closed
                self._loop.call_soon_threadsafe(self._write_on)

    def end(self, reason: str = "it was ended", *, leave: float | None = None) -> None:
        """Begins to end it: closes its link, `leave` seconds later (default: as Limits say; 0: it is killed at once)
        tells it to end, then kills it. Safe to call twice; with 0 the second call makes haste."""
        leave = self._limits.leave if leave is None else leave
        if self._reason is None:
            self._reason = reason
            self._close_link()
            self._later(leave, self._terminate)
        if not leave:
            self._kill()

    async def ended(self) -> Ended:
        """Waits for its end; `end` it first."""
        return await asyncio.shield(self._over)

    # -------------------------------------------------------------------------------------------------- from the link

    def _write_on(self) -> None:
        if not self._link.waiting:
            return
        if self._link.waiting > MOST_WAITING:
            self.end(f"it does not read: {self._link.waiting} bytes wait for it", leave=0)
        elif not self._writing:
            self._writing = True
            self._loop.add_writer(self._link.sock.fileno(), self._writable)

    def _writable(self) -> None:
        self._link.flush()
        if not self._link.waiting:
            self._writing = False
            self._loop.remove_writer(self._link.sock.fileno())

    def _readable(self) -> None:
        frames = self._link.frames
        try:
            messages = self._link.receive()
        except BadData as exc:
            self.end(f"it sent nonsense: {exc}", leave=0)
            return
        if messages is None:
            self.end("it ended", leave=LAST)
            return
        if self._link.frames > frames:
            if not frames and self._limits.ping_every is None:
                self._stop_timer()  # it has started
            self._asked_at = None
        for message in messages:
            if self._reason is not None:
                return
            try:
                self._on_message(message)
            except Exception:  # the edge: what the owner makes of one message must not keep it from the next
                self._log.exception("%s: a message from it could not be handled", self._name)

    def _complains(self) -> None:
        lines = self._errors.read()
        if lines is None:
            self._loop.remove_reader(self._errors.fd)
            self._errors.close()
            return
        for line in lines:
            self._log.warning("%s (%s): %s", self._name, self.pid, line)

    # ---------------------------------------------------------------------------------------------------- its deadlines

    def _tick(self) -> None:
        now, limits = time.monotonic(), self._limits
        if self._overdue(now) is not None:
            self._readable()  # the loop may have stood still, with the answer waiting
            if self._reason is not None:
                return
        if (why := self._overdue(now)) is not None:
            self.end(why, leave=0)
            return
        if limits.ping_every is None:
            if self.starting and limits.start is not None:
                self._later(limits.start, self._tick)
            return
        if not self.starting:
            if self._asked_at is None:
                self._asked_at = now
            self._link.ping()
        self._later(limits.ping_every, self._tick)

    def _overdue(self, now: float) -> str | None:
        limits = self._limits
        if self.starting:
            late = limits.start is not None and now - self._began >= limits.start
            return f"it did not answer within {limits.start:g} s" if late else None
        late = self._asked_at is not None and now - self._asked_at > limits.ping_lost
        return "it hangs" if late else None

    def _later(self, seconds: float, step: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, step)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --------------------------------------------------------------------------------------------------------- its end

    def _close_link(self) -> None:
        self._loop.remove_reader(self._link.sock.fileno())
        self._loop.remove_writer(self._link.sock.fileno())
        self._link.close()

    def _terminate(self) -> None:
        self._signal(signal.SIGTERM)
        self._later(self._limits.terminate, self._kill)

    def _kill(self) -> None:
        self._stop_timer()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._running.poll() is None:  # until it is reaped, its pid is nobody else's
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _gone(self) -> None:
        code = self._running.poll()
        if code is None:
            if self._pidfd < 0:
                self._loop.call_later(POLL, self._gone)
            return
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        for _ in range(ROUNDS):  # what it said last
            if self._reason is None:
                self._readable()
        self.end("it ended")
        self._stop_timer()
        for _ in range(ROUNDS):
            if self._errors.fd >= 0:
                self._complains()
        if self._errors.fd >= 0:
            self._loop.remove_reader(self._errors.fd)
            self._errors.close()
        assert self._reason is not None
        ended = Ended(self._reason, code, time.monotonic() - self._began, self._errors.last)
        self._over.set_result(ended)
        self._on_end(ended)


class _Lines:
    """The lines of a pipe, which it takes over."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._pipe = pipe
        self.fd = -1 if pipe is None else pipe.fileno()
        if pipe is not None:
            os.set_blocking(self.fd, False)
        self._rest = b""
        self.last = ""

    def read(self) -> list[str] | None:
        """What has come; None at the end."""
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return []
        if not data:
            return None
        *whole, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:LINE]
        lines = [line[:LINE].decode("utf-8", "replace").rstrip() for line in whole]
        lines = [line for line in lines if line]
        self.last = lines[-1] if lines else self.last
        return lines

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        self.fd = -1


# ---------------------------------------------------------------------------------------------------- one after another


class Supervisor(Generic[T]):
    """Keeps a child alive, from `start` to `close`.

    Args:
        spawn, incoming, name, on_message, limits, limit, logger: as those of Child.
        on_start: called with each child as soon as it is spawned, to tell it what it must know.
        on_death: called when one has ended that nobody told to; the next one is on its way. An owner that wants no
            other one calls `close`.
        backoff: seconds before the next one is started, by deaths in a row.
        stable: seconds after which a death is the first one again.
    """

    def __init__(
        self,
        spawn: Spawn,
        incoming: Any,
        *,
        name: str,
        on_message: Callable[[T], None],
        on_start: Callable[[Child[T]], None] | None = None,
        on_death: Callable[[Ended], None] | None = None,
        limits: Limits | None = None,
        limit: int = LIMIT,
        backoff: Sequence[float] = BACKOFF,
        stable: float = STABLE,
        logger: logging.Logger | None = None,
    ) -> None:
        self._spawn, self._incoming, self._name = spawn, incoming, name
        self._on_message, self._on_start, self._on_death = on_message, on_start, on_death
        self._limits, self._limit = limits or Limits(), limit
        self._backoff, self._stable = backoff, stable
        self._log = logger or logging.getLogger("lipwire.process")
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._deaths = 0
        self._closing = False
        self.restarts = 0
        """Deaths after which another one was started, or is going to be."""
        self.child: Child[T] | None = None
        """None while there is none."""
        self.ended: Ended | None = None
        """How the last one ended."""

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        child = self.child
        return None if child is None else child.pid

    @property
    def starting(self) -> bool:
        """Nothing has been heard of the present child yet, or there is none."""
        return self.child is None or self.child.starting

    def start(self) -> None:
        """Spawns a child. What keeps that from being done counts as its death."""
        self._timer = None
        try:
            self.child = Child(
                self._spawn,
                self._incoming,
                name=self._name,
                on_message=self._on_message,
                on_end=self._over,
                limits=self._limits,
                limit=self._limit,
                logger=self._log,
            )
        except Exception as exc:  # the edge: no memory, no process left, or what the user handed over does not pickle
            self._over(Ended(f"it could not be started: {type(exc).__name__}: {exc}", None, 0.0, ""))
            return
        if self._on_start is not None:
            try:
                self._on_start(self.child)
            except Exception as exc:  # the edge: no memory, no file left
                self._log.exception("%s could not be told what it must know", self._name)
                self.child.end(f"it could not be told what it must know: {exc}", leave=0)

    def tell(self, message: Any, fds: Sequence[int] = ()) -> bool:
        """Sends a message, from any thread. False: there is no child; what the next one must know, `on_start` says."""
        child = self.child
        if child is None or not child.usable:
            return False
        child.tell(message, fds)
        return True

    def _over(self, ended: Ended) -> None:
        self.child, self.ended = None, ended
        if self._closing:
            return
        self.restarts += 1
        self._deaths = 1 if ended.lived > self._stable else self._deaths + 1
        delay = self._backoff[min(self._deaths, len(self._backoff)) - 1]
        self._log.error(
            "%s ended with code %s (%s); it is started again in %g s", self._name, ended.code, ended.reason, delay
        )
        self._timer = self._loop.call_later(delay, self.start)
        if self._on_death is not None:
            self._on_death(ended)

    def retire(self) -> None:
        """The present child is the last one: it is going to end by itself, or by `close`."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def close(self) -> None:
        """Ends the child, and starts no other. Safe to call twice; a child ends, too, when this is cancelled."""
        self.retire()
        if self.child is not None:
            self.child.end()
            await self.child.ended()
