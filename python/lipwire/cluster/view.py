"""A cluster as `lipwire top`, its page and GET /cluster show it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .wire import Figures

State = Literal["starting", "up", "full", "draining", "silent", "down"]
"""`silent`: a node that has said nothing for a while (it hangs, or the network to it is cut)."""


class WorkerView(Struct, frozen=True, kw_only=True):
    """One worker."""

    index: int
    pid: int
    state: State
    ws_url: str = ""
    age: float = 0.0
    """Seconds that this process has lived."""
    restarts: int = 0
    """How often another one has taken its place."""
    used: int = 0
    """Weight that is reserved or runs (`placement.UNIT`)."""
    capacity: int = 0
    figures: Figures = Figures()


class NodeView(Struct, frozen=True, kw_only=True):
    """One machine, or rather one front process with its workers."""

    name: str
    state: State
    http_url: str = ""
    version: str = ""
    seen: float = 0.0
    """Seconds since its last sign of life."""
    workers: list[WorkerView] = []


class ClusterView(Struct, frozen=True, kw_only=True):
    """All that one front process knows."""

    nodes: list[NodeView]
    asked: str
    """Which node says so."""
    nats: Literal["none", "connected", "reconnecting"] = "none"
    placed: int = 0
    """Starts that found a place since this front process began; `refused` those that did not."""
    refused: int = 0
    reserve_ms: float = 0.0
    """Median of the last reservations."""
