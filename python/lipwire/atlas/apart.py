"""Atlases that are made in a process of its own. That is a minute of Python, and an event loop beside it would wait for
the interpreter's lock with each of its calls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from fractions import Fraction

from ..avatar import Avatar
from ..errors import BadState, LipwireError
from ..pools import ended
from .build import NICE

LOOK = 0.1
"""Seconds from one look at whether the program ends to the next."""
RUN = "from lipwire.atlas import ensure; from lipwire.atlas.apart import child; child(ensure)"


def make_apart(avatar: Avatar, width: int, height: int, fps: Fraction) -> None:
    """Has the atlas of a built-in avatar made and left in the cache, where it is not there. Any thread; it waits.

    Raises:
        BadState: it cannot be made; it says why. CancelledError: the program ends, and so does the process.
    """
    command = [sys.executable, "-c", RUN, avatar.name, str(width), str(height), str(fps)]
    # Its standard input says when this process is gone, however that ends.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            if ended.wait(LOOK):
                process.kill()
                raise CancelledError
        assert process.stderr is not None
        said = process.stderr.read().strip().splitlines()
    if process.returncode:
        raise BadState(said[-1] if said else f"its process ended with {process.returncode}")


def child(ensure: Callable[[Avatar, int, int, Fraction], object]) -> None:
    """In that process. `ensure` is that of the cache."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the parent's to end
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    name, width, height, fps = sys.argv[1:]
    try:
        ensure(Avatar.load(name), int(width), int(height), Fraction(fps))
    except (LipwireError, OSError) as exc:
        sys.exit(str(exc))


def _end_with_the_parent() -> None:
    sys.stdin.read()
    os._exit(1)
