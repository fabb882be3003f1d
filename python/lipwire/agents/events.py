"""What an agent tells who runs it."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from ..errors import LipwireError
from ..protocol.transcript import AgentState
from .brains.base import Failed, ToolCalled


class StateChanged(Struct, frozen=True, tag=True):
    """The agent does something else now."""

    state: AgentState
    paused: bool


class Said(Struct, frozen=True, tag=True):
    """A text is final: what the user said, or as much of what the agent said as was heard."""

    role: Literal["user", "assistant"]
    text: str
    turn_id: int
    interrupted: bool = False


class TurnEnded(Struct, frozen=True, tag=True):
    """A turn is over: an item of `Agent.turns`; the reply to it; and the marks of its way, in ns of CLOCK_MONOTONIC."""

    turn: dict[str, Any]
    reply_id: str | None = None
    times: dict[str, int] = {}


class SpeechCut(Struct, frozen=True, tag=True):
    """Speech that only a client ends was ended without one: it had lasted for `max_duration_ms`, or its user left
    (`reason` "max_duration", "left")."""

    turn_id: int
    reason: Literal["max_duration", "left"]
    max_duration_ms: int


class Ended(Struct, frozen=True, tag=True):
    """The agent has left."""

    reason: str


AgentEvent = StateChanged | Said | TurnEnded | SpeechCut | Ended | Failed | ToolCalled


class AgentFailed(LipwireError, RuntimeError):
    """The agent cannot go on: its brain is gone."""

    code = "AGENT_FAILED"
