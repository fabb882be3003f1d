"""What a supervised process does for its part: takes up the link to its parent, and does not outlive it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from .link import LIMIT, Link


def to_parent(fd: int, incoming: Any, *, limit: int = LIMIT, fds: int = 0) -> Link[Any]:
    """The link, in a process that `spawn.Module` spawned; `fd` is its first argument, the others are those of
    Link."""
    _leave_interrupts_to_the_parent()
    sock = socket.socket(fileno=os.dup(fd))  # the duplicate is not inherited by what this process may start
    os.close(fd)
    return Link(sock, incoming, limit=limit, fds=fds)


def run(sock: socket.socket, function: Callable[..., None], args: tuple[Any, ...]) -> None:
    """What `spawn.Target` runs."""
    _leave_interrupts_to_the_parent()
    sock.set_inheritable(False)
    function(sock, *args)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C goes to every process


def end_within(seconds: float) -> None:
    """The system ends this process after `seconds` (SIGALRM) if it has not ended by then, even if native code hangs
    with the GIL held; for what nobody is going to wait for any more. 0 = it does not."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
