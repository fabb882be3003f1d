"""Log lines that cannot hold up what they tell of: few of a kind, and written by a thread of their own.

Who embeds Lipwire sets logging up as he likes; of ours he has what `sampled` does, on the loggers of what clients can
cause. The `lipwire` command adds `to_stderr`.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable

FIRST, INTERVAL = 20, 10.0
"""So many lines of a kind and session are written, and after them one in so many seconds, with the number of others."""
KINDS = 4096
"""Kinds that are remembered; the one that was silent for longest is forgotten."""
WAITING = 2000
"""Lines that may wait for whoever reads them; more are dropped and counted."""
LINE = 4000
"""Characters of a line, with its traceback; the rest is cut."""
FLUSH = 1.0
"""Seconds at the end of the process for what still waits."""
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Seen:
    __slots__ = ("hidden", "shown", "since")

    def __init__(self, now: float) -> None:
        self.since, self.shown, self.hidden = now, 0, 0


class Sampler(logging.Filter):
    """Lets few records of a kind through. A kind is what the record says before anything is put into it, and whose
    session it is: what stands in [brackets] at its beginning.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, *, first: int = FIRST, interval: float = INTERVAL, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self.first, self.interval = first, interval
        self._clock = clock
        self._seen: OrderedDict[tuple[object, ...], _Seen] = OrderedDict()
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written. One that stands for others gets their number."""
        with self._lock:
            hidden = self._hidden(record)
        if hidden:
            record.msg = f"{record.msg} (and {hidden} more of the kind)"
        return hidden is not None

    def _hidden(self, record: logging.LogRecord) -> int | None:
        """How many records this one stands for besides itself; None: it is not written."""
        now = self._clock()
        args = record.args
        message = str(record.msg)
        session = str(args[0]) if isinstance(args, tuple) and args and message.startswith("[%s]") else None
        key = (record.name, record.levelno, message, session)
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = _Seen(now)
            if len(self._seen) > KINDS:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        over = now - seen.since >= self.interval
        if over and not seen.hidden:
            seen.since, seen.shown = now, 0
        if seen.shown < self.first:
            seen.shown += 1
            return 0
        if not over:
            seen.hidden += 1
            return None
        hidden, seen.hidden, seen.since = seen.hidden, 0, now
        return hidden


MAX_UNKNOWN = 256
"""Members of bodies that nobody knows of which the log hears, of one kind of body, in the life of a process."""


class Unknown:
    """Tells the log of members that nobody knows and that are ignored: each path once, and MAX_UNKNOWN of them.

    Args:
        logger: which. what: has them, for people.
    """

    def __init__(self, logger: logging.Logger, what: str) -> None:
        self._logger = logger
        self._what = what
        self._told: set[str] = set()

    def tell(self, paths: Iterable[str]) -> None:
        """These were ignored. Places in lists count as one."""
        for path in paths:
            shown = re.sub(r"[^ -~]", "?", re.sub(r"\[\d+\]", "[]", path))[:160]
            if shown not in self._told and len(self._told) < MAX_UNKNOWN:
                self._told.add(shown)
                self._logger.warning("%s: %s is no field that this server knows: it is ignored", self._what, shown)


def sampled(name: str) -> logging.Logger:
    """The logger of this name, with few lines of a kind."""
    logger = logging.getLogger(name)
    if not any(isinstance(one, Sampler) for one in logger.filters):
        logger.addFilter(Sampler())
    return logger


def several(names: Collection[object], limit: int = 5) -> str:
    """A few of `names`, each cut short, and how many more there are."""
    shown = [f"{name!r:.60}" for _, name in zip(range(limit), names, strict=False)]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


class QueueHandler(logging.Handler):
    """Hands lines to a thread that writes them. A reader that is slow, or that reads nothing, holds up that thread and
    nobody else: lines beyond `WAITING` are dropped, and how many is said once it reads again.

    Args:
        write: takes the bytes of a line; may block.
        waiting: lines that may wait.
    """

    def __init__(self, write: Callable[[bytes], None], *, waiting: int = WAITING) -> None:
        super().__init__()
        self.dropped = 0
        """Lines that were dropped, and of which nothing has been said."""
        self._write = write
        self._lines: queue.Queue[str | None] = queue.Queue(waiting)
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # the edge: a bad format must not end what wanted to say something
            line = f"{record.levelname} {record.name}: {record.msg!r:.200} cannot be formatted"
        if self._thread is None:
            self._start()
        try:
            self._lines.put_nowait(line if len(line) <= LINE else f"{line[:LINE]} ...")
        except queue.Full:
            self.dropped += 1

    def _start(self) -> None:
        """Under the handler's lock."""
        self._thread = threading.Thread(target=self._run, name="lipwire-log", daemon=True)
        self._thread.start()
        atexit.register(self.finish)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            self._put(line)
            if self.dropped:
                with self.lock or contextlib.nullcontext():
                    dropped, self.dropped = self.dropped, 0
                self._put(f"{dropped} log lines were dropped: nobody read them")

    def _put(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody will ever read it
            self._write((line + "\n").encode(errors="backslashreplace"))

    def finish(self, timeout: float = FLUSH) -> None:
        """Writes what waits, as far as somebody reads it within so many seconds."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._lines.put(None, timeout=timeout)
            self._thread.join(timeout)


def to_stderr(level: str, who: str = "") -> None:
    """Sets logging up, unless somebody has: few lines of a kind, by a thread, to standard error, past Python's buffer
    of it, for which the end of the process would wait. `level` is one of `logging`'s, in any case; `who` stands in
    every line of a process that shares standard error with others."""
    handler = QueueHandler(_to_descriptor)
    handler.addFilter(Sampler())
    form = FORMAT.replace("%(name)s", f"{who} %(name)s") if who else FORMAT
    logging.basicConfig(level=level.upper(), format=form, handlers=[handler])


def _to_descriptor(line: bytes) -> None:
    left = memoryview(line)
    while left:
        left = left[os.write(2, left) :]
