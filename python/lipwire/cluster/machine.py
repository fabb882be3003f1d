"""The workers of this machine, as its node shows them to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..provider.keys import OPERATOR
from .node import Machine, Node
from .placement import Key, Need, Place, Use
from .pool import Pool
from .view import NodeView, State
from .wire import End


class PoolMachine(Machine):
    """A `Pool` for a `Node`.

    Args:
        pool: the workers. name, http_url, version: of this node.
    """

    def __init__(self, pool: Pool, *, name: str, http_url: str = "", version: str = "") -> None:
        self._pool = pool
        self._name, self._http_url, self._version = name, http_url, version

    def join(self, node: Node) -> None:
        """From now on the node answers for what the workers own, and quotas count what owners have elsewhere."""
        ledger = self._pool.ledger
        ledger.elsewhere = node.use_elsewhere

        def on_key(key: Key, there: bool) -> None:
            (node.opened if there else node.closed)(key)

        told: dict[str, Use] = {}

        def on_change() -> None:
            nonlocal told
            node.changed()
            if (uses := self.owners()) != told:  # quotas are kept by what others know
                told = uses
                node.tell()

        ledger.on_key, ledger.on_change, ledger.on_begun = on_key, self._soon(on_change), node.begun
        for key in ledger.owned():
            node.opened(key)

    def _soon(self, call: Callable[[], None]) -> Callable[[], None]:
        """Once for all changes of one pass of the event loop."""
        waiting = False

        def do() -> None:
            nonlocal waiting
            waiting = False
            call()

        def ask() -> None:
            nonlocal waiting
            if not waiting:
                waiting = True
                asyncio.get_running_loop().call_soon(do)

        return ask

    async def reserve(self, need: Need) -> Place | None:
        return await self._pool.reserve(need)

    def cancel(self, place: Place) -> None:
        self._pool.cancel(place)

    @property
    def free(self) -> int:
        return 0 if self._pool.draining else self._pool.ledger.largest()

    @property
    def used(self) -> int:
        return sum(seat.used for seat in self._pool.ledger.seats)

    @property
    def capacity(self) -> int:
        return self._pool.ledger.limits.capacity * len(self._pool.workers)

    @property
    def state(self) -> State:
        if self._pool.draining:
            return "draining"
        if not any(worker.up for worker in self._pool.workers):
            return "starting"
        return "up" if self.free else "full"

    def where(self, key: Key) -> int | None:
        return self._pool.ledger.find(key)

    def end(self, key: Key, reason: str) -> None:
        """What runs; what is being started yet claims the key itself, once it is there."""
        runs = self._pool.ledger.runs(key)
        if runs is not None:
            worker, own = runs
            self._pool.tell(worker, End(key=key, reason=reason, id="" if own.kind == "room" else own.id))

    def owners(self) -> dict[str, Use]:
        return {owner: use for owner, use in self._pool.ledger.uses().items() if owner != OPERATOR}

    def view(self) -> NodeView:
        return NodeView(
            name=self._name,
            state=self.state,
            http_url=self._http_url,
            version=self._version,
            workers=self._pool.view(),
        )
