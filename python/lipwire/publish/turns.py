"""Whose picture is encoded next.

A picture costs a hundred times what a packet of sound does. aiortc encodes on the threads of the event loop's executor,
and sends on the loop: where the pictures of all viewers are more than the processors can do, what is behind them comes
late, whatever it is. So few of them are let in at a time, in the order in which viewers ask, and each viewer misses as
many pictures as it must. Sound asks nobody: it is encoded in the loop's own turn (tracks.py).
"""

from __future__ import annotations

import asyncio
import os
from typing import ClassVar
from weakref import WeakKeyDictionary


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PictureTurns:
    """The turns of one event loop.

    Args:
        at_once: pictures that may be encoded or sent at a time.
    """

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, PictureTurns]] = WeakKeyDictionary()

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)

    @classmethod
    def current(cls) -> PictureTurns:
        """Those of the running loop. One processor is left to the loop, the engine and the sound."""
        loop = asyncio.get_running_loop()
        if loop not in cls._of_loop:
            cls._of_loop[loop] = cls(max(1, processors() - 1))
        return cls._of_loop[loop]

    async def take(self) -> None:
        """Waits for a turn; first come, first served."""
        await self._free.acquire()

    def give(self) -> None:
        """The picture is on its way, or there is none."""
        self._free.release()
