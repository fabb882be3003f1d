"""How a server does: figures of one process, and all of it as GET /cluster shows it to `lipwire top` and to its page.

Where a front process stands before several workers it answers GET /cluster itself, for all of them (`app.front`). One
that serves alone is shown as a cluster of one node with one worker.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Sized
from typing import Protocol

from litestar import get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .._core import core_version
from ..agents.manager import AgentManager
from ..cluster import weight
from ..cluster.placement import UNIT
from ..cluster.view import ClusterView, NodeView, State, WorkerView
from ..cluster.wire import Figures
from ..models.worker import memory
from ..provider.sessions import Provider
from ..servers.access import Gate, check_operator
from ..servers.errors import AnyRequest
from ..servers.http import KEYED, PAGED, header, refusals
from ..session.runtime import Runtime
from .config import Config

INTERVAL = 1.0
"""Seconds that figures are means of, at least."""


class Served(Protocol):
    """A service (`service.Service`)."""

    @property
    def config(self) -> Config: ...
    @property
    def provider(self) -> Provider: ...
    @property
    def agents(self) -> AgentManager: ...
    @property
    def owned_rooms(self) -> Sized: ...
    @property
    def audience(self) -> Sized: ...
    @property
    def gate(self) -> Gate: ...
    @property
    def http_url(self) -> str: ...


class Counters(Struct, frozen=True):
    """What of a process grows, at one moment."""

    at: float
    cpu: float
    busy: float

    @classmethod
    def now(cls) -> Counters:
        """As they are."""
        return cls(time.monotonic(), time.process_time(), Runtime.current().stats().get("busy_ns", 0) / 1e9)


def figures(service: Served, before: Counters, now: Counters, lag: float) -> Figures:
    """How a process does, between two moments. `lag`: seconds that its event loop was late at most."""
    provider, seconds = service.provider, max(1e-3, now.at - before.at)
    totals, skew, buffered, queued = provider.totals(), 0.0, 0, 0
    for session in provider.sessions:
        stats = {} if session.live is None else session.live.stats()
        skew = max(skew, abs(stats.get("skew_ms", 0.0)))
        buffered = max(buffered, stats.get("buffered_ms", 0))
        queued += 0 if session.outbox is None else session.outbox.waiting
    return Figures(
        sessions=len(provider.sessions),
        agents=len(service.agents.active),
        rooms=len(service.owned_rooms),
        viewers=len(service.audience),
        talking=totals["talking"],
        cpu=round((now.cpu - before.cpu) / seconds, 3),
        busy=round(min(1.0, (now.busy - before.busy) / seconds), 3),
        lag_ms=round(1000 * lag, 1),
        memory_mb=memory(os.getpid()) >> 20,
        frames=totals["frames"],
        late=totals["late"],
        skew_ms=skew,
        buffered_ms=buffered,
        queued=queued,
        overloaded=provider.admission.reason(provider.clock()),
    )


class Overview:
    """Of a service that serves alone."""

    def __init__(self, service: Served) -> None:
        self.service = service
        self._began = time.monotonic()
        self._before = self._now = Counters(self._began, time.process_time(), 0.0)  # there may be no loop yet
        self._lag = self._worst = 0.0

    def measure(self, lag: float) -> None:
        """Called a few times a second. `lag`: seconds that the event loop was late."""
        self._worst = max(self._worst, lag)
        if time.monotonic() - self._now.at >= INTERVAL:
            self._before, self._now = self._now, Counters.now()
            self._lag, self._worst = self._worst, 0.0

    def figures(self) -> Figures:
        """Of the last second that is over."""
        return figures(self.service, self._before, self._now, self._lag)

    def view(self) -> ClusterView:
        """All of it."""
        service = self.service
        name, state, config = socket.gethostname(), self.state, service.config
        used = sum(weight.of_session(s.request, s.granted, config) for s in service.provider.sessions)
        used += sum(weight.of_agent(record.config, config) for record in service.agents.active)
        worker = WorkerView(
            index=0,
            pid=os.getpid(),
            state=state,
            ws_url=service.provider.config.public_ws_url,
            age=round(time.monotonic() - self._began, 3),
            used=used + weight.ROOM * len(service.owned_rooms),
            capacity=config.capacity or config.max_sessions * UNIT,
            figures=self.figures(),
        )
        node = NodeView(name=name, state=state, http_url=service.http_url, version=core_version(), workers=[worker])
        return ClusterView(nodes=[node], asked=name, placed=service.provider.started_total)

    @property
    def state(self) -> State:
        """Whether it takes one more session."""
        provider = self.service.provider
        if provider.draining:
            return "draining"
        full = len(provider.sessions) >= provider.config.max_sessions or provider.admission.reason(provider.clock())
        return "full" if full else "up"


class OverviewCollector(Collector):
    """The same for /metrics."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def collect(self) -> Iterable[Metric]:
        now, doing = Counters.now(), self._overview.figures()
        yield CounterMetricFamily("lipwire_cpu_seconds", "Processor time of this process", now.cpu)
        yield CounterMetricFamily("lipwire_engine_busy_seconds", "Time that the engine's thread worked", now.busy)
        yield GaugeMetricFamily("lipwire_memory_bytes", "What this process has in memory", memory(os.getpid()))
        for name, text, value in (
            ("loop_lag_seconds", "How late the event loop was at most, over the last second", doing.lag_ms / 1000),
            ("skew_seconds_max", "Worst skew of a session, picture against sound", doing.skew_ms / 1000),
            ("buffered_seconds_max", "Longest speech that waits in a session", doing.buffered_ms / 1000),
            ("events_waiting", "Events that wait for WebSocket clients to read them", doing.queued),
            ("overloaded", "1 = it does not keep up, and refuses what is new", bool(doing.overloaded)),
        ):
            yield GaugeMetricFamily(f"lipwire_{name}", text, value)


def api_route(overview: Overview) -> HTTPRouteHandler:
    """GET /cluster, for `http_port`."""

    @get("/cluster", responses=refusals(403, 401, 429, codes=KEYED | {"NOT_ALLOWED"}), security=[{"ApiKey": []}])
    async def cluster(request: AnyRequest) -> ClusterView:
        """All nodes and workers, and how they do. The operator's key opens it, and no other."""
        check_operator(overview.service.provider.check_api_key(header(request, b"x-api-key")))
        return overview.view()

    return cluster


def page_route(overview: Overview) -> HTTPRouteHandler:
    """GET /api/cluster, for the page."""

    @get("/api/cluster", responses=refusals(401, 403, 429, codes=PAGED))
    async def cluster(request: AnyRequest) -> ClusterView:
        """As GET /cluster of the HTTP side; opened by the operator's token, too."""
        overview.service.gate.operator(request)
        return overview.view()

    return cluster
