"""Whose picture is encoded next.

A picture costs a hundred times what a packet of sound does. Where the pictures of all sessions are more than the
processors can do, what is behind them comes late, whatever it is. So few of them are let in at a time, on threads of
their own, in the order in which encoders ask, and each misses as many pictures as it must. Sound asks nobody: it is
encoded in the loop's own turn (sound.py).
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

from ..pools import pool


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadPoolExecutor] = WeakKeyDictionary()


def encoding() -> ThreadPoolExecutor:
    """The threads that encode for the running loop, first come, first served. One processor is left to the loop, the
    engine and the sound."""
    loop = asyncio.get_running_loop()
    if loop not in _of_loop:
        _of_loop[loop] = pool(max(1, processors() - 1), "lipwire-encode")
    return _of_loop[loop]
