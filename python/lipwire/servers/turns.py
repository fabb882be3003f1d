"""The event loop's time, shared out among connections, so that none of them can hold it.

What one client sends may cost seconds: a hundred thousand messages arrive as fast as they can be parsed, and
`websockets` hands them over without once letting the loop go. So every connection works in turns. Between two passes
of the loop, in which sound and pictures of all sessions leave, connections together get `slice` seconds; who wants
more waits for a later pass, and who has had least is next (start-time fair queueing: Goyal, Vin and Cheng, 1996).
However many clients flood the server, one that says little is ahead of them.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from types import TracebackType

SLICE = 0.002
"""Seconds of work in one pass of the loop; the last step of it may go beyond."""

CREDIT = 0.01
"""Seconds that somebody who had less than the others is ahead of them at most."""


class Turns:
    """One event loop's time for connections.

    Args:
        slice: seconds of work in one pass.
        clock: seconds; what work takes is measured with it.
    """

    def __init__(self, *, slice: float = SLICE, clock: Callable[[], float] = time.perf_counter) -> None:
        self.slice = slice
        self.clock = clock
        self.passes = 0
        """Passes of the loop in which there was work."""
        self.waits = 0
        """How often somebody had to wait for a later pass."""
        self._used = 0.0
        self._virtual = 0.0
        """Virtual time: the work that everybody who is served now has had."""
        self._waiting: list[tuple[float, int, Turn, Callable[[], None]]] = []
        self._order = itertools.count()
        self._granted: Turn | None = None
        self._scheduled = False

    def join(self) -> Turn:
        """The account of one more connection."""
        return Turn(self)

    def _free(self, turn: Turn) -> bool:
        return self._used < self.slice and (turn is self._granted or not self._waiting)

    def _queue(self, turn: Turn, call: Callable[[], None]) -> None:
        self.waits += 1
        turn.had = max(turn.had, self._virtual - CREDIT)
        heapq.heappush(self._waiting, (turn.had, next(self._order), turn, call))
        self._schedule()

    def _spend(self, turn: Turn, seconds: float) -> None:
        # Nobody waits for the next pass as long as nobody has to: what is used in several counts as if it were in one,
        # and who finds too much used waits a pass for nothing, once in so many. An empty pass for every message costs
        # more.
        self._used += seconds
        turn.had = max(turn.had, self._virtual - CREDIT) + seconds

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._pass)

    def _pass(self) -> None:
        """A pass of the loop begins: whoever has had least goes on. It may be woken by this only, so it works after
        everything that is ready by now, and `_granted` keeps its place."""
        self._scheduled = False
        self.passes += 1
        self._used = 0.0
        self._granted = None
        if self._waiting:
            self._virtual, _, self._granted, call = heapq.heappop(self._waiting)
            call()
            self._schedule()


class Turn:
    """One connection's account.

        await turn.ready()
        with turn:
            ...  # one step, without an await; its time is measured

    `ready` returns at once while the pass has time left and nobody waits.
    """

    __slots__ = ("_began", "_turns", "asked", "had")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._began = 0.0
        self.asked = False
        """A step waits to be called."""
        self.had = 0.0
        """Virtual time at which its next step starts."""

    @property
    def free(self) -> bool:
        """Whether it may work now."""
        return self._turns._free(self)

    async def ready(self) -> None:
        """Waits until it may work."""
        while not self._turns._free(self):
            waiter = asyncio.get_running_loop().create_future()
            self._turns._queue(self, lambda waiter=waiter: None if waiter.done() else waiter.set_result(None))  # type: ignore[misc]
            await waiter

    def call(self, step: Callable[[], None]) -> None:
        """Calls `step` when it may work: in a later pass, and once, however often that was asked for meanwhile."""
        if self.asked:
            return

        def now() -> None:
            self.asked = False
            step()

        self.asked = True
        self._turns._queue(self, now)

    def charge(self, seconds: float) -> None:
        """Counts work that cannot be measured."""
        self._turns._spend(self, seconds)

    def __enter__(self) -> None:
        self._began = self._turns.clock()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turns._spend(self, self._turns.clock() - self._began)
