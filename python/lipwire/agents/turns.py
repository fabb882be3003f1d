"""Turns: how each began and ended, where its time went, and what was said."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any, Literal

from msgspec import Struct

StartReason = Literal["speech", "text", "respond", "think", "silence", "greeting", "speak", "failure", "agent"]
"""The user spoke or wrote; the service asked for an answer, or gave something to think of; nobody said anything for a
while; the agent's own words: the greeting, /speak, the failure message; or something that the brain began by itself
(such as what follows a tool)."""
EndReason = Literal["finished", "interrupted", "failed", "no_reply"]

KEPT = 200
"""How many turns, and how many messages, are kept: the newest."""
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
    action: Literal["", "speak", "think"] = ""
    """What a silence led to."""
    user: str = ""
    start_ms: int
    """When it began, by the agent's clock: ms of sound since the agent came."""
    end_reason: EndReason | None = None
    end_ms: int | None = None
    user_text: str = ""
    agent_text: str = ""
    user_began_ns: int | None = None
    """When the user's speech of it began,"""
    user_ended_ns: int | None = None
    """When it was decided that the user's part is over: from here on the user waits."""
    marks: dict[str, int] = {}

    def mark(self, name: str, at_ns: int) -> None:
        """A point of the reply's way; the first of its name counts."""
        self.marks.setdefault(name, at_ns)

    @property
    def e2e_latency_ms(self) -> float | None:
        """From the end of the user's part to the first sample in the channel; None: there is no such way."""
        if self.user_ended_ns is None or "first_sample" not in self.marks:
            return None
        return (self.marks["first_sample"] - self.user_ended_ns) / 1e6

    def segments(self) -> dict[str, float]:
        """The parts of `e2e_latency_ms`, in order, in ms; they add up to it. A part whose end nobody has marked is in
        the next one: request_ms (until the request left), llm_ms (first token), sentence_ms (first sentence), tts_ms
        (first sound), channel_ms (first sample in the channel)."""
        at, parts = self.user_ended_ns, {}
        for name in _MARKS:
            if at is not None and name in self.marks:
                parts[_SEGMENTS[name]] = round((self.marks[name] - at) / 1e6, 2)
                at = self.marks[name]
        return parts

    def times(self) -> dict[str, int]:
        """The marks, and `user_ended`, in ns."""
        return ({} if self.user_ended_ns is None else {"user_ended": self.user_ended_ns}) | self.marks

    def between(self, first: str, second: str) -> float | None:
        """How many ms lie between two marks; None where one is missing."""
        if first in self.marks and second in self.marks:
            return round((self.marks[second] - self.marks[first]) / 1e6, 2)
        return None

    def as_dict(self) -> dict[str, Any]:
        """The turn as `Agent.turns` has it, JSON-able."""
        e2e = self.e2e_latency_ms
        return {
            "turn_id": self.turn_id,
            "start_reason": self.start_reason,
            **({"action": self.action} if self.action else {}),
            "end_reason": self.end_reason,
            "user": self.user,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
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
        self.count = 0
        self.open: Turn | None = None
        """Whose reply has not begun."""

    def begin(self, reason: StartReason, start_ms: int, user: str = "") -> Turn:
        """The next turn; one that still waits for its reply gets none."""
        self.drop_open(start_ms)
        turn = Turn(turn_id=next(self._numbers), start_reason=reason, user=user, start_ms=start_ms)
        self._kept.append(turn)
        self.count += 1
        if reason in ("speech", "text", "respond", "think", "silence"):
            self.open = turn
        return turn

    def drop_open(self, now_ms: int) -> None:
        """Ends the turn that waits, as no reply is going to come."""
        if self.open is not None:
            self.end(self.open, "no_reply", now_ms)

    def answered(self, start_ms: int) -> Turn:
        """The turn that a reply of the brain's belongs to: the one that waits, or a new one of the brain's own."""
        turn = self.open or self.begin("agent", start_ms)
        self.open = None
        return turn

    def beside(self, reason: StartReason, start_ms: int) -> Turn:
        """A turn for the agent's own words; the one that waits for an answer goes on waiting."""
        waits, self.open = self.open, None
        turn = self.begin(reason, start_ms)
        self.open = waits
        return turn

    def end(self, turn: Turn, reason: EndReason, now_ms: int) -> None:
        """Ends a turn; one that has ended stays as it is."""
        if turn.end_reason is None:
            turn.end_reason, turn.end_ms = reason, now_ms
        if turn is self.open:
            self.open = None

    def again(self, turn: Turn) -> None:
        """A turn that was ended as one without words had some: it waits for its reply."""
        turn.end_reason = turn.end_ms = None
        self.open = turn

    @property
    def newest(self) -> Turn | None:
        """The turn that began last."""
        return self._kept[-1] if self._kept else None

    def as_list(self) -> list[dict[str, Any]]:
        """The turns as `Agent.turns` has them, JSON-able, the oldest first."""
        return [turn.as_dict() for turn in self._kept]


class History:
    """What was said: the newest messages, in the order of their turns."""

    def __init__(self) -> None:
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def add(
        self,
        role: str,
        text: str,
        turn_id: int,
        wall_ms: int,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> None:
        """Adds a message of `wall_ms` (ms since 1970), spoken from `start_ms` to `end_ms` where it was. What the user
        said may become known while it is answered, or later: it comes before its answer."""
        entry = {"role": role, "content": text, "turn_id": turn_id, "timestamp": wall_ms}
        if start_ms is not None and end_ms is not None:
            entry |= {"speech_start_ms": start_ms, "speech_end_ms": end_ms}
        later: list[dict[str, Any]] = []
        while role == "user" and self._kept:
            last = self._kept[-1]
            if last["turn_id"] < turn_id or (last["turn_id"] == turn_id and last["role"] == "user"):
                break
            later.append(self._kept.pop())
        self._kept.append(entry)
        self._kept.extend(reversed(later))

    def as_list(self) -> list[dict[str, Any]]:
        """`{role, content, turn_id, timestamp}`, of what was spoken also `speech_start_ms` and `speech_end_ms`, in ms
        since 1970; the oldest first."""
        return list(self._kept)
