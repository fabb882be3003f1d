"""Threads for work that must not wait in the event loop's own executor, or hold up what does."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakSet

_pools: WeakSet[ThreadPoolExecutor] = WeakSet()
ended = threading.Event()
"""The program ends: what waits in a thread may give up."""


def pool(threads: int, name: str) -> ThreadPoolExecutor:
    """An executor whose threads go by `name`."""
    made = ThreadPoolExecutor(threads, name)
    _pools.add(made)
    return made


def give_way(nice: int) -> None:
    """Has this thread, for the rest of its life, give way to threads of a lower `nice`; a process that gives way more
    already stays as it is."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, max(nice, os.getpriority(os.PRIO_PROCESS, thread)))


def end_pools() -> None:
    """Ends every idle thread of every pool at once, and the others when their work is done; nothing waits. For the end
    of a program: no pool takes work any more."""
    ended.set()
    for one in _pools:
        one.shutdown(wait=False, cancel_futures=True)
