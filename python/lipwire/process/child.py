"""What a supervised process does for its part: takes up the link to its parent, and does not outlive it."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

from .link import LIMIT, Link


def to_parent(fd: int, incoming: Any, *, limit: int = LIMIT, fds: int = 0) -> Link[Any]:
    """The link, in a process that `supervisor.Module` spawned; `fd` is its first argument, the others are those of
    Link. From now on a terminal's Ctrl-C, which goes to every process, is the parent's to understand."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sock = socket.socket(fileno=os.dup(fd))  # the duplicate is not inherited by what this process may start
    os.close(fd)
    return Link(sock, incoming, limit=limit, fds=fds)


def end_within(seconds: float) -> None:
    """The system ends this process after `seconds` (SIGALRM) if it has not ended by then, even if native code hangs
    with the GIL held; for what nobody is going to wait for any more. 0 = it does not."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
