"""Threads for work that must not wait in the event loop's own executor, or hold up what does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from weakref import WeakSet

_pools: WeakSet[ThreadPoolExecutor] = WeakSet()


def pool(threads: int, name: str) -> ThreadPoolExecutor:
    """An executor whose threads go by `name`."""
    made = ThreadPoolExecutor(threads, name)
    _pools.add(made)
    return made


def end_pools() -> None:
    """Ends every idle thread of every pool at once, and the others when their work is done; nothing waits. For the end
    of a program: no pool takes work any more."""
    for one in _pools:
        one.shutdown(wait=False, cancel_futures=True)
