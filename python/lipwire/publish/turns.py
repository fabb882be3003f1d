"""Whose picture is encoded next.

A picture costs a hundred times what a packet of sound does. Where the pictures of all sessions are more than the
processors can do, what is behind them comes late, whatever it is. So few of them are let in at a time, on threads of
their own, in the order in which encoders ask, and each misses as many pictures as it must. Sound asks nobody: it is
encoded in the loop's own turn (sound.py).
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from ..pools import pool


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def encoding() -> ThreadPoolExecutor:
    """The threads that encode, first come, first served. One processor is left to the loop, the engine and the
    sound."""
    return pool(max(1, processors() - 1), "lipwire-encode")
