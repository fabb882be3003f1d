"""Bodies of answers."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

Status = Literal["IDLE", "STARTING", "RUNNING", "STOPPING", "STOPPED", "FAILED"]
STATUSES: tuple[Status, ...] = ("IDLE", "STARTING", "RUNNING", "STOPPING", "STOPPED", "FAILED")
STATUS_NUMBERS: dict[str, Status] = {str(n): s for n, s in zip((0, 1, 2, 3, 4, 6), STATUSES, strict=True)}
"""The service's numbers for them; 5 (RECOVERING) has no counterpart here."""


class ErrorReply(Struct, kw_only=True):
    """Body of every error of C."""

    detail: str
    reason: str


class FilmReply(Struct, kw_only=True):
    """Where the film of an agent is."""

    file: str
    """Its path below the server's folder of films."""


class InUse(Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What does something for an agent."""

    name: str
    """A model, a voice, or what else it is called by."""
    instead_of: str = ""
    """What should do it,"""
    because: str = ""
    """and why it does not."""


class ServicesReply(Struct, kw_only=True, omit_defaults=True):
    """What an agent that hears and speaks by parts uses now, and in whose place."""

    ears: InUse | None = None
    """What hears words,"""
    voice: InUse | None = None
    """what speaks,"""
    turns: InUse | None = None
    """what tells that a turn is over,"""
    activity: InUse | None = None
    """and what tells that somebody speaks."""
    language: InUse | None = None
    """The language that it hears, where another word was said for it."""
    model: InUse | None = None
    """A realtime model, or a chat model that stands in for another vendor's."""


class AgentReply(Struct, kw_only=True, omit_defaults=True):
    """200 of join, leave, update, speak, think, interrupt and GET: the agent as it is. Times in Unix seconds."""

    agent_id: str
    name: str
    channel: str
    create_ts: int
    start_ts: int
    """v2's name for the same; of speak, think and interrupt, when they were asked."""
    stop_ts: int | None = None
    state: Status | None = None
    """v1's name of it; v2's is `status`."""
    status: Status | None = None
    message: str | None = None
    """Why it ended."""
    record: FilmReply | None = None
    """Where it is recorded, if it is."""
    services: ServicesReply | None = None
    """What it hears and speaks with, while it runs."""


class AgentList(Struct, kw_only=True):
    """`data` of GET /agents."""

    count: int
    agents: list[AgentReply] = field(name="list")


class ListMeta(Struct, kw_only=True):
    """`meta` of GET /agents. `cursor`: of the next page, "" = this is the last. `total`: on all pages."""

    cursor: str
    total: int


class ListReply(Struct, kw_only=True):
    """200 of GET /agents."""

    data: AgentList
    meta: ListMeta
    status: str = "ok"


class ProcessReply(Struct, kw_only=True, omit_defaults=True):
    """200 of D."""

    status: str
    channel_name: str | None = None


class ProcessError(Struct, kw_only=True, omit_defaults=True):
    """Body of every error of D. `details`: `{loc: [...], msg, type}` for each field."""

    error: str
    details: list[dict[str, Any]] | None = None


class PassReply(Struct, kw_only=True):
    """200 of /token: what a client joins the channel with. In an embedded room `app_id` and `token` are ""."""

    app_id: str
    channel: str
    uid: int
    token: str
