"""Turns: how each began and ended, where its time went, and what was said."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any, Literal

from msgspec import Struct

StartReason = Literal["speech", "text", "think", "respond", "greeting", "silence", "speak", "failure", "agent"]
"""The user spoke or wrote; a text was put in as if the user had said it; the service asked for an answer; the agent's
own words: the greeting, what it says after a silence, /speak, the failure message, or something that the brain began by
itself (such as what follows a tool)."""
EndReason = Literal["finished", "interrupted", "failed", "no_reply"]
Cause = Literal["speech", "speak", "think", "interrupt", "leave", "keywords", "disable"]
"""What a turn gave way to: the user's voice, /speak, a text that is answered, /interrupt, or that the agent leaves; or
why the user's was left unanswered: none of the keywords was in it, or interrupting is switched off."""
Transport = Literal["http", "rtm"]
"""How such a request came: over HTTP, or as a message in the channel."""

KEPT = 200
"""How many turns, and how many messages, are kept: the newest."""
MAX_ITEMS = 64
"""Items of the users' whose turns are remembered."""
_MARKS = ("asked", "first_token", "first_sentence", "first_audio", "first_sample")
_SEGMENTS = {
    "asked": "request_ms",
    "first_token": "llm_ms",
    "first_sentence": "sentence_ms",
    "first_audio": "tts_ms",
    "first_sample": "channel_ms",
}


class Turn(Struct, kw_only=True):
    """One turn: what the user brought, and the reply to it. Times in ns are CLOCK_MONOTONIC's."""

    turn_id: int
    start_reason: StartReason
    user: str = ""
    start_ms: int
    """When it began, by the agent's clock: ms of sound since the agent came."""
    start_at: int = 0
    """The same in ms since 1970, as `end_at`."""
    end_reason: EndReason | None = None
    end_ms: int | None = None
    end_at: int | None = None
    caused_by: Cause | None = None
    """Why it was interrupted, or has no reply; None: nothing was said in it, or, of a greeting, it began anew."""
    transport: Transport = "http"
    """How the request came that caused that."""
    error: tuple[str, str] | None = None
    """Code and message of what failed in it."""
    greeting: int = 0
    """Which greeting it is, from 1 on."""
    action: str = ""
    """What was done after a silence: "speak" or "think"."""
    least_voice_ms: int | None = None
    """How long a voice had to last to begin it, where that was said."""
    played_ms: float = 0.0
    """How much of the reply was heard."""
    user_text: str = ""
    agent_text: str = ""
    user_began_ns: int | None = None
    """When the user's speech of it began,"""
    user_ended_ns: int | None = None
    """When it was decided that the user's part is over: from here on the user waits."""
    let_wait_ns: int | None = None
    """When it came to be answered, where it was to wait until then (`beside`)."""
    marks: dict[str, int] = {}

    def mark(self, name: str, at_ns: int) -> None:
        """A point of the reply's way; the first of its name counts."""
        self.marks.setdefault(name, at_ns)

    @property
    def e2e_latency_ms(self) -> float | None:
        """From the end of the user's part to the first sample in the channel; None: there is no such way."""
        if self.waits_ns is None or "first_sample" not in self.marks:
            return None
        return (self.marks["first_sample"] - self.waits_ns) / 1e6

    @property
    def waits_ns(self) -> int | None:
        """From when on the user waits; None = the user does not."""
        return self.user_ended_ns if self.let_wait_ns is None else self.let_wait_ns

    @property
    def speech_ms(self) -> float | None:
        """How long the user spoke, with the silence that ended it; None = the user did not, or still does."""
        if self.user_began_ns is None or self.user_ended_ns is None:
            return None
        return max(0.0, (self.user_ended_ns - self.user_began_ns) / 1e6)

    def segments(self) -> dict[str, float]:
        """The parts of `e2e_latency_ms`, in order, in ms; they add up to it. A part whose end nobody has marked is in
        the next one: request_ms (until the request left), llm_ms (first token), sentence_ms (first sentence), tts_ms
        (first sound), channel_ms (first sample in the channel)."""
        at, parts = self.waits_ns, {}
        for name in _MARKS:
            if at is not None and name in self.marks:
                parts[_SEGMENTS[name]] = round((self.marks[name] - at) / 1e6, 2)
                at = self.marks[name]
        return parts

    def times(self) -> dict[str, int]:
        """The marks, and `user_ended`, in ns."""
        return ({} if self.waits_ns is None else {"user_ended": self.waits_ns}) | self.marks

    def between(self, first: str, second: str) -> float | None:
        """How many ms lie between two marks; None where one is missing."""
        if first in self.marks and second in self.marks:
            return round((self.marks[second] - self.marks[first]) / 1e6, 2)
        return None

    def as_dict(self) -> dict[str, Any]:
        """The turn as `Agent.turns` has it, JSON-able."""
        e2e, spoke = self.e2e_latency_ms, self.speech_ms
        return {
            "turn_id": self.turn_id,
            "start_reason": self.start_reason,
            "end_reason": self.end_reason,
            "caused_by": self.caused_by,
            "transport": self.transport,
            "error": None if self.error is None else list(self.error),
            "user": self.user,
            "start_ms": self.start_ms,
            "start_at": self.start_at,
            "end_ms": self.end_ms,
            "end_at": self.end_at,
            "greeting": self.greeting,
            "action": self.action,
            "least_voice_ms": self.least_voice_ms,
            "speech_ms": None if spoke is None else round(spoke),
            "played_ms": round(self.played_ms),
            "e2e_latency_ms": None if e2e is None else round(e2e, 2),
            "segments": self.segments() if e2e is not None else {},
            "user_text": self.user_text,
            "agent_text": self.agent_text,
        }


class Turns:
    """The newest turns, and the one that waits for its reply."""

    def __init__(self) -> None:
        self._kept: deque[Turn] = deque(maxlen=KEPT)
        self._numbers = itertools.count(1)
        self._greetings = itertools.count(1)
        self.began_at = 0
        """When the agent's clock was 0, in ms since 1970, as far as that is known now."""
        self.count = 0
        self.open: Turn | None = None
        """Whose reply has not begun."""

    def begin(self, reason: StartReason, start_ms: int, user: str = "") -> Turn:
        """The next turn; one that still waits for its reply gets none."""
        if reason == "speech":
            self.drop_open(start_ms, "speech")
        else:
            self.drop_open(start_ms, "think", "rtm" if user else "http")
        turn = Turn(
            turn_id=next(self._numbers),
            start_reason=reason,
            user=user,
            start_ms=start_ms,
            start_at=self.began_at + start_ms,
        )
        if reason == "greeting":
            turn.greeting = next(self._greetings)
        self._kept.append(turn)
        self.count += 1
        if reason in ("speech", "text", "think", "respond", "silence"):
            self.open = turn
        return turn

    def drop_open(self, now_ms: int, cause: Cause | None = None, transport: Transport = "http") -> None:
        """Ends the turn that waits, as no reply is going to come; without a cause, as nothing was said in it."""
        if self.open is not None:
            self.end(self.open, "no_reply", now_ms, cause, transport)

    def answered(self, start_ms: int) -> Turn:
        """The turn that a reply of the brain's belongs to: the one that waits, or a new one of the brain's own."""
        turn = self.open or self.begin("agent", start_ms)
        self.open = None
        return turn

    def beside(self, reason: StartReason, start_ms: int, user: str = "") -> Turn:
        """A turn for the agent's own words, or into them; the one that waits for an answer goes on waiting."""
        waits, self.open = self.open, None
        turn = self.begin(reason, start_ms, user)
        self.open = waits
        return turn

    def end(
        self, turn: Turn, reason: EndReason, now_ms: int, cause: Cause | None = None, transport: Transport = "http"
    ) -> None:
        """Ends a turn; one that has ended stays as it is."""
        if turn.end_reason is None:
            turn.end_reason, turn.end_ms, turn.end_at = reason, now_ms, self.began_at + now_ms
            turn.caused_by, turn.transport = cause, transport
        if turn is self.open:
            self.open = None

    def again(self, turn: Turn) -> None:
        """A turn that was ended as one without words had some, or one beside the others is answered: it waits for its
        reply."""
        turn.end_reason = turn.end_ms = turn.end_at = turn.caused_by = None
        self.open = turn

    @property
    def newest(self) -> Turn | None:
        """The turn that began last."""
        return self._kept[-1] if self._kept else None

    @property
    def newest_id(self) -> int:
        """Its number; 0 = there is none."""
        return self._kept[-1].turn_id if self._kept else 0

    def as_list(self) -> list[dict[str, Any]]:
        """The turns as `Agent.turns` has them, JSON-able, the oldest first."""
        return [turn.as_dict() for turn in self._kept]


class Items:
    """The turns of the users' items, by the brain's ids for them: the newest."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}

    def of(self, item_id: str | None) -> Turn | None:
        """The turn that an item belongs to."""
        return self._turns.get(item_id) if item_id is not None else None

    def add(self, item_id: str | None, turn: Turn) -> None:
        """An item belongs to this turn; what it belongs to already stays."""
        if item_id is not None and item_id not in self._turns:
            self._turns[item_id] = turn
            if len(self._turns) > MAX_ITEMS:
                del self._turns[next(iter(self._turns))]


class History:
    """What was said: the newest messages, in the order of their turns."""

    def __init__(self) -> None:
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def add(self, role: str, text: str, turn_id: int, wall_ms: int, speech: tuple[float, float] | None = None) -> None:
        """Adds a message of `wall_ms` (ms since 1970), which was said from one moment of the agent's clock to another
        (`speech`, in ms) where it was said. What the user said may become known while it is answered, or later: it
        comes before its answer. An answer comes before what was asked while it was said."""
        entry = {"role": role, "content": text, "turn_id": turn_id, "timestamp": wall_ms}
        if speech is not None:
            entry |= {"speech_start_ms": round(speech[0]), "speech_end_ms": round(speech[1])}
        later: list[dict[str, Any]] = []
        while self._kept and self._precedes(role, turn_id, self._kept[-1]):
            later.append(self._kept.pop())
        self._kept.append(entry)
        self._kept.extend(reversed(later))

    @staticmethod
    def _precedes(role: str, turn_id: int, other: dict[str, Any]) -> bool:
        """Whether a message of this turn stands before another one."""
        if role == "user":
            return bool(other["turn_id"] > turn_id) or (other["turn_id"] == turn_id and other["role"] != "user")
        return role == "assistant" and other["role"] != "assistant" and bool(other["turn_id"] > turn_id)

    def as_list(self) -> list[dict[str, Any]]:
        """`{role, content, turn_id, timestamp}`, and of what was said `speech_start_ms` and `speech_end_ms`; the oldest
        first."""
        return list(self._kept)
