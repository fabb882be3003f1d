"""Lists that are put together from all workers, in the order in which one process would tell them.

A worker that is asked by a front process (`servers.order`) says of each thing in its list when it came; so lists of
workers, and of nodes whose clocks agree, are merged by that. A page's cursor is such a time, too, and therefore every
worker's.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ...protocol.agent_bodies import AgentList, ListMeta, ListReply
from ...servers.order import read_order
from .routes import Where


class Part(NamedTuple):
    """A worker's list."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def order(self) -> list[int]:
        """When each came."""
        return read_order(self.headers)


class Merged(NamedTuple):
    """All of them as one."""

    body: bytes
    order: list[int]


def merge(where: Where, parts: Sequence[Part], limit: int) -> Merged:
    """One answer of several with status 200. `limit`: how many agents are on a page."""
    orders = [part.order for part in parts]
    if where == "agents":
        return _agents([msgspec.json.decode(part.body, type=ListReply) for part in parts], orders, limit)
    bodies = [msgspec.json.decode(part.body) for part in parts]
    found, order = _sorted([body[where] for body in bodies], orders)
    return Merged(msgspec.json.encode(bodies[0] | {where: found}), order)


def _agents(bodies: Sequence[ListReply], orders: Sequence[list[int]], limit: int) -> Merged:
    found, order = _sorted([body.data.agents for body in bodies], orders)
    shown = min(limit, len(found))
    while 0 < shown < len(found) and order[shown] == order[shown - 1]:  # or the next page would leave it out
        shown += 1
    more = shown < len(found) or any(body.meta.cursor for body in bodies)
    meta = ListMeta(
        cursor=str(order[shown - 1]) if more and shown else "", total=sum(body.meta.total for body in bodies)
    )
    reply = ListReply(data=AgentList(count=shown, agents=found[:shown]), meta=meta)
    return Merged(msgspec.json.encode(reply), order[:shown])


def _sorted(lists: Sequence[list[Any]], orders: Sequence[list[int]]) -> tuple[list[Any], list[int]]:
    told = [list(zip(order, items, strict=True)) for order, items in zip(orders, lists, strict=True)]
    merged = list(heapq.merge(*told, key=lambda one: one[0]))
    return [item for _, item in merged], [at for at, _ in merged]
