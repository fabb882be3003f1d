"""The wire of what a running agent is asked to do, and asked about, over REST v2 (protocol.md C): bodies and answers.

How a body is declared stands in `agent_bodies`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from .agent_bodies import ErrorReply, Status
from .agent_bodies.fields import Flag

MAX_THINK = 16_384
"""Characters of a text to think about."""
MAX_TURNS = 50
"""Turns on a page."""
MAX_PAGES = 1_000_000

OnListening = Annotated[
    Literal["inject", "interrupt", "append", "ignore"], Meta(description="inject, interrupt, append or ignore")
]
OnBusy = Annotated[Literal["interrupt", "append", "ignore"], Meta(description="interrupt, append or ignore")]
Labels = Annotated[
    dict[
        Annotated[str, Meta(max_length=256)],
        Annotated[str, Meta(max_length=4096)],
    ],
    Meta(max_length=64, description="an object of at most 64 strings"),
]


class Think(Struct, kw_only=True):
    """Body of POST /v2/.../agents/{id}/think: a text that goes in as if the user had said it."""

    text: Annotated[
        str, Meta(min_length=1, max_length=MAX_THINK, description=f"a string of 1 to {MAX_THINK} characters")
    ]
    on_listening_action: OnListening = "interrupt"
    on_thinking_action: OnBusy = "interrupt"
    on_speaking_action: OnBusy = "ignore"
    interruptable: Flag = True
    metadata: Labels = field(default_factory=dict)


class TurnsQuery(Struct, kw_only=True):
    """Query of GET /v2/.../agents/{id}/turns."""

    page_index: Annotated[int, Meta(ge=1, le=MAX_PAGES, description=f"an integer 1..{MAX_PAGES}")] = 1
    page_size: Annotated[int, Meta(ge=1, le=MAX_TURNS, description=f"an integer 1..{MAX_TURNS}")] = MAX_TURNS


# ---------------------------------------------------------------------------------------------------------- replies


class ConflictReply(ErrorReply, kw_only=True, omit_defaults=True):
    """Body of a 409 of v2."""

    agent_id: str = ""
    """The agent that is in the way, where it is one of the caller's."""


class Said(Struct, kw_only=True, omit_defaults=True):
    """A message of the history. Of one that was said: from when to when, in ms since the agent came."""

    role: str
    content: str
    turn_id: int | None = None
    timestamp: int | None = None
    """Ms since 1970 at which it was known."""
    speech_start_ms: int | None = None
    speech_end_ms: int | None = None


class HistoryReply(Struct, kw_only=True):
    """200 of GET /agents/{id}/history."""

    agent_id: str
    start_ts: int
    status: Status
    contents: list[Said]


class StartData(Struct, kw_only=True, omit_defaults=True):
    """What more is known of a turn's beginning, by its type."""

    speech_duration_ms: int | None = None
    """voice_input: with the silence that ended it."""
    interrupt_duration_ms: int | None = None
    """voice_input: how long a voice had to last, where the agent was told."""
    greeting_nth: int | None = None
    action: str | None = None
    """silence_timeout: speak or think."""
    transport: str | None = None
    """api_speak, api_think: http or rtm."""


class TurnStart(Struct, kw_only=True):
    """How a turn began; ms since 1970."""

    start_at: int
    type: str
    metadata: StartData


class EndData(Struct, kw_only=True, omit_defaults=True):
    """What more is known of a turn's end, by its type."""

    playback_duration_ms: int | None = None
    """ok."""
    caused_by: str | None = None
    """interrupted: start_of_speech, api_speak, api_think, api_interrupt, api_leave; ignored: semantic, keywords,
    disable."""
    transport: str | None = None
    """interrupted by a request: http or rtm."""
    reason: str | None = None
    """error: LLM_REQUEST_ERR or INTERNAL_ERR."""
    details: str | None = None
    """error."""


class TurnEnd(Struct, kw_only=True):
    """How a turn ended; ms since 1970."""

    end_at: int
    type: Literal["ok", "interrupted", "ignored", "error"]
    metadata: EndData


class Segment(Struct, kw_only=True):
    """A part of a latency, in ms."""

    name: str
    latency: float


class TurnMetrics(Struct, kw_only=True, omit_defaults=True):
    """Where the time went between the end of the user's part and the first sample of the answer, if there was such a
    way."""

    e2e_latency_ms: int | None = None
    segmented_latency_ms: list[Segment] | None = None


class TurnTold(Struct, kw_only=True, omit_defaults=True):
    """A turn; one that goes on has no end yet."""

    agent_id: str
    channel: str
    turn_id: int
    start: TurnStart
    end: TurnEnd | None = None
    metrics: TurnMetrics


class Pagination(Struct, kw_only=True):
    """Which page of how many."""

    page_index: int
    total_pages: int
    is_last_page: bool


class TurnsReply(Struct, kw_only=True):
    """200 of GET /agents/{id}/turns, the oldest turn first."""

    agent_id: str
    name: str
    channel: str
    start_ts: int
    status: Status
    total_turn_count: int
    """How many there have been, also those that are no longer kept."""
    pagination: Pagination
    turns: list[TurnTold]
