"""What a supervised process does for its part: takes up the link to its parent, and does not outlive it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .link import LIMIT, Link

_PR_SET_PDEATHSIG = 1


def to_parent(fd: int, incoming: Any, *, limit: int = LIMIT, fds: int = 0) -> Link[Any]:
    """The link, in a process that `spawn.Module` spawned; `fd` is its first argument, the others are those of
    Link."""
    _leave_interrupts_to_the_parent()
    _end_some_time_after_the_parent()
    sock = socket.socket(fileno=os.dup(fd))  # the duplicate is not inherited by what this process may start
    os.close(fd)
    return Link(sock, incoming, limit=limit, fds=fds)


def run(sock: socket.socket, function: Callable[..., None], args: tuple[Any, ...]) -> None:
    """What `spawn.Target` runs."""
    _leave_interrupts_to_the_parent()
    _end_some_time_after_the_parent()
    sock.set_inheritable(False)
    function(sock, *args)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """What is spawned within begins with SIGINT blocked. A terminal's Ctrl-C goes to every process, and one that is
    still being imported must not die of it: its parent may have something to end in order. This process gets its own
    a moment later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # before it is not blocked any more, for what this process may start
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_some_time_after_the_parent() -> None:
    """When the parent is gone the link closes, and this process ends by itself, in order. One that cannot, because
    native code holds the interpreter, is ended by the system: at the parent's death (prctl(2), PR_SET_PDEATHSIG) it
    sends SIGUSR1, whose handler is the C library's alarm(2) itself. That gets the signal's number, 10, for seconds, and
    SIGALRM ends the process. No line of Python runs for it."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.signal.argtypes = ctypes.c_int, ctypes.c_void_p
        library.signal(signal.SIGUSR1, ctypes.cast(library.alarm, ctypes.c_void_p))
        library.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGUSR1))


def end_within(seconds: float) -> None:
    """The system ends this process after `seconds` (SIGALRM) if it has not ended by then, even if native code hangs
    with the GIL held; for what nobody is going to wait for any more. 0 = it does not."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
