"""Looks at the nodes while calls go on: how their sessions do, and when a fault has come to an end for everyone."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable

import httpx
import msgspec
from msgspec import Struct, field

from .calls import Balancer, Call, Load
from .nodes import Node
from .script import Fault

LOOK = 2.0
"""Seconds between two looks at every session."""
POLL = 0.1
"""Seconds between two looks at what is waited for."""
MOST = 20
"""Sessions of a dead node that are asked for."""
PATIENCE = 20.0
"""Seconds that anything is waited for."""
TELLS = 5.0
"""Seconds that clients have to notice that their connection is gone."""
NOT_THERE = (404, 410)


class Seen(Struct, kw_only=True):
    """The worst that was seen of sessions on nodes that lived."""

    looks: int = 0
    late: int = 0
    """Pictures that were not drawn, of all sessions."""
    skew_ms: float = 0.0
    """Picture against sound, of those that somebody watches."""
    lag_ms: float = 0.0
    """How late the rig itself was."""


class Aftermath(Struct, kw_only=True):
    """What came of one fault. Seconds are since it; None: it has not come to that within `PATIENCE`, or there was
    nobody whom it concerned."""

    fault: str
    at: float
    """Since the first call."""
    died: int = 0
    """Calls whose sessions were there."""
    told: list[float] = field(default_factory=list)
    """When each of their clients knew: its WebSocket closed,"""
    codes: dict[str, int] = field(default_factory=dict)
    """with these codes."""
    asked: int = 0
    """How many of them GET /session/{id} was asked for, at nodes that live,"""
    reported: list[float] = field(default_factory=list)
    """when it said of each that it is over,"""
    words: str = ""
    """and in which words."""
    avoided: float = 0.0
    """Until no start went there any more, or waited for it."""
    known: float | None = None
    """Until all nodes that live say in GET /cluster that it is down (or silent)."""
    ended: float | None = None
    """Until the last process of it had ended."""
    started: float | None = None
    """From being started again, or let go, until starts were placed there."""
    recovered: float | None = None
    """From NATS' return until every node knew all others again."""
    placed: int = 0
    """Starts of callers that found a place while it lasted (of NATS, or of full nodes), and"""
    refused: int = 0
    """those that did not, of whoever takes all places, too;"""
    hint: int = 0
    """of these, with Retry-After,"""
    slowest: float = 0.0
    """and how long the slowest of these took."""
    noticed: int | None = None
    """Sessions that noticed: closed, ran dry or had an error, though their nodes had no fault."""


async def until(condition: Callable[[], Awaitable[bool]], patience: float = PATIENCE) -> float | None:
    """Seconds until it is so; None: it is not."""
    began = time.monotonic()
    while time.monotonic() - began < patience:
        if await condition():
            return time.monotonic() - began
        await asyncio.sleep(POLL)
    return None


class Watch:
    """See above.

    Args:
        nodes: all of them. gone: whether a fault has taken a node away.
    """

    def __init__(self, nodes: list[Node], load: Load, balancer: Balancer) -> None:
        self._nodes, self._load, self._balancer = nodes, load, balancer
        self.seen = Seen()
        self._late: dict[str, int] = {}
        self.troubled: set[tuple[str, int]] = set()
        """Nodes (-1) and workers that have had a fault: how their sessions do is not counted."""

    @property
    def living(self) -> list[Node]:
        """Nodes without a fault now."""
        return [node for node in self._nodes if node.since is None]

    async def sessions(self) -> None:
        """Looks at all sessions again and again, for ever."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(LOOK)
            self.seen.lag_ms = max(self.seen.lag_ms, 1000 * (time.monotonic() - began - LOOK))
            for call in self._load.live:
                if self.troubled & {(call.node, -1), (call.node, call.worker)}:
                    continue
                node = next(node for node in self._nodes if node.name == call.node)
                try:
                    status, body = await node.session(call.session_id)
                except (httpx.HTTPError, msgspec.DecodeError, ValueError):
                    continue
                if status == 200 and isinstance(stats := body.get("stats"), dict) and "late" in stats:
                    self.seen.looks += 1
                    self._late[call.session_id] = stats["late"]
                    self.seen.late = sum(self._late.values())
                    self.seen.skew_ms = max(self.seen.skew_ms, stats["max_skew_ms"])

    async def dead(self, after: Aftermath, since: float, calls: list[Call], name: str, *, over: bool) -> None:
        """Follows what comes of a node, or a worker, that is gone: its calls, and what others say of it. `over`: its
        sessions are; otherwise they may come back."""
        after.died = len(calls)
        ids = [call.session_id for call in calls[:MOST]] if over else []
        after.asked = len(ids)
        await asyncio.gather(
            *(self._reported(after, since, session_id, name) for session_id in ids),
            self._known(after, since, name),
            until(lambda: self._told(calls), TELLS),
        )
        for call in calls:
            for at, code in call.closed:
                if at >= since - 0.01:
                    after.told.append(at - since)
                    after.codes[str(code)] = after.codes.get(str(code), 0) + 1
                    break

    async def _told(self, calls: list[Call]) -> bool:
        return all(call.closed or call.outcome != "live" for call in calls)

    async def _reported(self, after: Aftermath, since: float, session_id: str, name: str) -> None:
        number = sum(session_id.encode())

        async def over() -> bool:
            nodes = [node for node in self.living if node.name != name] or self._nodes
            try:
                status, body = await nodes[number % len(nodes)].session(session_id)
            except (httpx.HTTPError, ValueError):
                return False
            if status in NOT_THERE:
                after.words = after.words or str(body.get("message", ""))
            return status in NOT_THERE

        if await until(over) is not None:
            after.reported.append(time.monotonic() - since)

    async def _known(self, after: Aftermath, since: float, name: str) -> None:
        """`name`: of a node; of a worker nothing is to be known to others."""
        others = [node for node in self.living if node.name != name]
        if "/" in name or not others:
            return

        async def known() -> bool:
            views = await asyncio.gather(*(node.view() for node in others), return_exceptions=True)
            return all(
                not isinstance(view, BaseException)
                and not any(n.name == name and n.state in ("up", "full", "starting") for n in view.nodes)
                for view in views
            )

        if await until(known) is not None:
            after.known = time.monotonic() - since

    def avoided(self, after: Aftermath, since: float, ended: float, name: str, worker: int | None) -> None:
        """When the last start went where it should not, between a fault and its end."""
        lost = [
            call.began - since
            for call in self._load.calls
            if since <= call.began < ended and call.node == name and worker in (None, call.worker)
        ]
        waited = [at - since for at, node in self._balancer.retried if since <= at < ended and node == name]
        waited += [
            call.began - since
            for call in self._load.calls
            if since <= call.began < ended and call.start > 1.0 and call.outcome != "refused"
        ]
        after.avoided = max(lost + waited, default=0.0)

    async def whole(self, count: int) -> float | None:
        """Seconds until every node knows `count` nodes that are up or full, and NATS."""

        async def known() -> bool:
            views = await asyncio.gather(*(node.view() for node in self.living), return_exceptions=True)
            return bool(views) and all(
                not isinstance(view, BaseException)
                and view.nats == "connected"
                and sum(node.state in ("up", "full") for node in view.nodes) >= count
                for view in views
            )

        return await until(known)

    async def up(self, node: Node) -> float | None:
        """Seconds until it takes starts."""

        async def up() -> bool:
            try:
                view = await node.view()
            except (httpx.HTTPError, msgspec.DecodeError):
                return False
            own = next((one for one in view.nodes if one.name == view.asked), None)
            return own is not None and own.state in ("up", "full")

        return await until(up, 60.0)

    def starts(self, after: Aftermath, since: float, ended: float) -> None:
        """How starts did in a time."""
        for call in self._load.calls:
            if not since <= call.began < ended:
                continue
            if call.outcome == "refused":
                after.refused += 1
                after.hint += call.retry_after
                after.slowest = max(after.slowest, call.start)
            elif call.session_id and not call.filler:
                after.placed += 1

    def noticed(self, since: float, ended: float, faults: Iterable[Fault]) -> int:
        """Sessions that something was wrong with in a time, on nodes that none of these faults was of."""
        nodes = {f"node{fault.node}" for fault in faults if fault.node}
        count = 0
        for call in self._load.calls:
            if call.node in nodes or not call.session_id:
                continue
            moments = [at for at, _ in (*call.closed, *call.errors)] + call.underruns
            count += any(since <= at < ended for at in moments)
        return count


def percentile(values: list[float], share: float) -> float | None:
    """Of them; None of none."""
    if len(values) < 2:
        return values[0] if values else None
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]
