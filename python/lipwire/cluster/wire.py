"""What the front process of a machine and its workers say to each other, over the link of `process`.

A worker is a whole server of its own (`app.service.Service`): its engine, its WebSocket port, its publishers. HTTP
reaches it through the front process, by two Unix sockets: one with what stands on `http_port`, one with the pages.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from .placement import Key


class Begin(Struct, tag=True, frozen=True, kw_only=True):
    """To a worker, once: be a server."""

    config: dict[str, Any]
    """The settings (`app.config.Config`), with the secret of sessions and `public_viewer_url` filled in."""
    api_key: str
    """The operator's. It is not among the settings where the front process made it: what the settings say of keys
    decides who is asked for one."""
    index: int
    """Which worker it is, from 0; the one that takes a dead one's place has its index."""
    http_path: str
    """The Unix socket to listen on for what stands on `http_port`."""
    viewer_path: str
    """The same for the pages; "" = none are served."""
    ws_port: int
    """The port of its own for speech; 0 = any free one."""
    preencodes: bool = False
    """As of `app.service.Service`."""


class Drain(Struct, tag=True, frozen=True):
    """To a worker: take nothing new, let what is said end, and end."""

    seconds: float


class End(Struct, tag=True, frozen=True, kw_only=True):
    """To a worker: end what owns this key, since another node has it, too, and there is to be one."""

    key: Key
    reason: str
    id: str = ""
    """Of the session or the agent that is meant: one that has come since then stays. "" = of a room."""


class Ready(Struct, tag=True, frozen=True, kw_only=True):
    """From a worker: it listens."""

    ws_url: str
    """What its `websocket_address` says."""
    ws_port: int


class Unable(Struct, tag=True, frozen=True):
    """From a worker, in place of Ready, before it ends: it cannot be what it was told to be."""

    reason: str


class Opened(Struct, tag=True, frozen=True, kw_only=True):
    """From a worker: a session, an agent, a room or a connection of a room is there."""

    key: Key
    """By its id (sessions, agents, peers) or its name (rooms)."""
    also: tuple[Key, ...] = ()
    """What it owns besides: the channel and uid of a session, the name of an agent."""
    owner: str = ""
    weight: int = 0
    pixel_rate: int = 0
    told: dict[str, Any] | None = None
    """What is known of it for who asks after the worker's death: of an agent its `AgentReply`, and its labels if it has
    any; of a session what notices say of it (`provider.notices`)."""


class Closed(Struct, tag=True, frozen=True):
    """From a worker: it is over."""

    key: Key
    reason: str = ""
    told: dict[str, Any] | None = None
    """As of Opened, at its end: of an agent, which can be asked for until its worker forgets it or dies."""


class Notice(Struct, tag=True, frozen=True):
    """From a worker: a notice for the operator's backend (webhooks), which the front process sends, so that what a
    worker has told outlives it."""

    event: int
    at_ms: int
    """When it happened, ms since 1970."""
    payload: dict[str, Any]
    ordered_by: str
    """The agent's or session's id: notices of one are sent in order."""


class Figures(Struct, tag=True, frozen=True, kw_only=True):
    """From a worker, every second: how it does."""

    sessions: int = 0
    agents: int = 0
    rooms: int = 0
    viewers: int = 0
    talking: int = 0
    cpu: float = 0.0
    """Processors that it keeps busy, over the last second; 1.0 = one."""
    busy: float = 0.0
    """Part of the time that the engine's thread works, 0..1."""
    lag_ms: float = 0.0
    """How late the event loop is."""
    memory_mb: int = 0
    frames: int = 0
    """Of all sessions, ever growing; `late` likewise."""
    late: int = 0
    skew_ms: float = 0.0
    """The worst of its sessions now: picture against sound."""
    buffered_ms: int = 0
    """The longest speech that waits in a session."""
    queued: int = 0
    """Events that wait for WebSocket clients to read them."""
    overloaded: str = ""
    """Why it wants no more ("The event loop is 300 ms late"); "" = it does."""


FromWorker = Ready | Unable | Opened | Closed | Notice | Figures
ToWorker = Begin | Drain | End
