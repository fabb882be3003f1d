"""What was said in the conversation, as a model is told it: bounded, and true to what was heard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from .calls import Call, join_halves, with_own_ids

MAX_MESSAGE = 32_768
"""Characters of one message; what is longer is cut."""
MAX_METADATA = 64
"""Values that go with a request; of what several messages brought, the later ones. As many as one may bring
(`agent_actions`)."""
PENDING = '{"status":"it still runs; do not call it again"}'
"""The answer to a call that has none yet."""


def _valid(text: str) -> str:
    """The text as it may be sent: half a character would make every later request fail."""
    return join_halves(text[:MAX_MESSAGE])


class Round(Struct, eq=False):
    """Functions that a reply calls at once, and what comes of them."""

    text: str
    """What the model wrote before the calls."""
    calls: list[Call]
    reasoning: str = ""
    """What it thought beside that, for services that want it back (DeepSeek refuses the request without it)."""
    results: dict[str, str] = field(default_factory=dict)
    """Answers by the calls' ids; they come whenever they come, whatever has become of the reply."""

    def messages(self, said: str, whole: bool) -> list[dict[str, Any]]:
        """The calls and the answers. `said`: what was heard of the text before them; `whole`: the reply goes on, and
        its thoughts with it."""
        calls = [call.as_message() for call in self.calls]
        thought = {"reasoning_content": self.reasoning} if whole and self.reasoning else {}
        return [
            {"role": "assistant", "content": said or None, **thought, "tool_calls": calls},
            *(
                {
                    "role": "tool",
                    "tool_call_id": call.id,
                    "content": join_halves(self.results.get(call.id, PENDING)) or '""',
                }
                for call in self.calls
            ),
        ]


class _Entry(Struct, eq=False):
    """One message, or all of a reply. "note": what holds for one reply only."""

    role: Literal["user", "assistant", "system", "note"]
    text: str
    reply_id: str | None = None
    rounds: list[Round] = field(default_factory=list)
    turn: int = 0
    at_ms: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    placed: bool = False
    """Whether it stands where its reply was asked for, and not where that began."""
    awaited: bool = False
    """Whether nothing of that has come yet."""
    given: bool = False
    """Whether it was said as it is, and answers nothing."""
    late: bool = False
    """Whether it became known after what stands behind it."""
    refused: bool = False
    """Whether a request was refused that its metadata went with: that goes with no other."""

    @property
    def runs(self) -> bool:
        """Whether a call has no answer yet."""
        return any(len(one.results) < len(one.calls) for one in self.rounds)

    @property
    def answers(self) -> bool:
        """Whether what was asked before it is answered, or is being answered."""
        return self.role == "assistant" and not self.given and (self.awaited or bool(self.shares()[-1]))

    @property
    def stamps(self) -> dict[str, Any]:
        """What a message of it says of itself, for a service that wants to know."""
        about = {"metadata": self.metadata} if self.metadata and not self.refused else {}
        return {"turn_id": self.turn, "timestamp": self.at_ms, **about}

    def messages(self, whole: bool) -> list[dict[str, Any]]:
        """`whole`: the reply goes on, and all that it wrote counts as said."""
        if self.role != "assistant":
            return [{"role": "system" if self.role == "note" else self.role, "content": self.text}]
        shares = [one.text for one in self.rounds] + [""] if whole and self.rounds else self.shares()
        pairs = zip(self.rounds, shares, strict=False)
        said = [message for one, share in pairs for message in one.messages(share, whole)]
        return [*said, {"role": "assistant", "content": shares[-1]}] if shares[-1] else said

    def shares(self) -> list[str]:
        """What was said before the calls of each round, and after the last. What is said has not every blank of what
        was written, so only the rest is counted."""
        if not self.rounds:
            return [self.text]
        shares, at = [], 0
        for one in self.rounds:
            left, begin = sum(not c.isspace() for c in one.text), at
            while left and at < len(self.text):
                left -= not self.text[at].isspace()
                at += 1
            shares.append(self.text[begin:at].strip())
        return [*shares, self.text[at:].strip()]


class Place(Struct, eq=False, frozen=True):
    """Where something belongs that is not known yet."""

    after: _Entry | None
    """None = before everything."""


class ChatContext:
    """At most `limit` messages of the user's and as many of the agent's, counted separately; of system messages that
    came later, as many again. 0 = only what is being answered. Calls stay as long as their question does.

    Args:
        now: Unix seconds.
    """

    def __init__(self, limit: int, now: Callable[[], float] = time.time) -> None:
        self.limit = limit
        """May be changed at any time."""
        self._now = now
        self._turn = -1
        """Counts from 0: the first thing that is said begins turn 0, and every user's message after it another."""
        self._entries: list[_Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def messages(self, speaking: str | None = None, *, stamped: bool = False) -> list[dict[str, Any]]:
        """All messages, the oldest first. `speaking`: the reply that goes on; of one that was expected, those up to it.
        `stamped`: each with its `turn_id`, its `timestamp` (Unix ms) and its `metadata`."""
        return [
            message | entry.stamps if stamped else message
            for entry in self._up_to(speaking)
            for message in entry.messages(speaking is not None and entry.reply_id == speaking)
        ]

    def metadata(self, speaking: str | None = None) -> dict[str, str]:
        """What came with the last message of a user's among those of `messages`, and with those before it that one
        answer is for; of two values of a name the later one."""
        joined: dict[str, str] = {}
        for entry in self.unanswered(speaking):
            if not entry.refused:
                joined |= {name: value for name, value in entry.metadata.items() if name not in joined}
        return dict(list(joined.items())[:MAX_METADATA])

    def refused(self, asked: Iterable[_Entry]) -> None:
        """A request for an answer to these has been refused, maybe for what came with them: that goes with no other."""
        for entry in asked:
            entry.refused = True

    def unanswered(self, speaking: str | None) -> Iterator[_Entry]:
        """The messages of the user's that one answer is for, the newest first."""
        asked = False
        for entry in reversed(self._up_to(speaking)):
            if entry.role == "user":
                asked = True
                yield entry
            elif asked and entry.answers:
                return

    def _up_to(self, reply_id: str | None) -> list[_Entry]:
        at = next((i for i, entry in enumerate(self._entries) if entry.placed and entry.reply_id == reply_id), None)
        return self._entries if at is None else self._entries[: at + 1]

    def add(self, role: Literal["user", "system"], text: str, metadata: Mapping[str, str] | None = None) -> None:
        """What somebody said, or told it."""
        self._turn += role == "user"
        self._put(_Entry(role, _valid(text), metadata=dict(metadata or {})))
        self._trim()

    def place(self) -> Place:
        """The end of what was said, for `insert`."""
        return Place(self._entries[-1] if self._entries else None)

    def insert(self, place: Place, text: str) -> None:
        """What a user said at that place, and what became known late: before what came after it. It is left out where
        the place itself is kept no more."""
        at = 0
        if place.after is not None:
            found = next((i for i, entry in enumerate(self._entries) if entry is place.after), None)
            if found is None:
                return
            at = found + 1
        while at < len(self._entries) and self._entries[at].late:  # others of the same place came before it
            at += 1
        entry = _Entry("user", _valid(text), late=True)
        turn = self._entries[at].turn if at < len(self._entries) else self._turn
        entry.turn, entry.at_ms = max(turn, 0), round(self._now() * 1000)
        self._entries.insert(at, entry)
        self._trim()

    def note(self, reply_id: str, text: str) -> None:
        """What holds for this reply, until `noted`."""
        self._put(_Entry("note", _valid(text), reply_id))

    def _put(self, entry: _Entry) -> None:
        if entry.role == "assistant":
            self._turn = max(self._turn, 0)
        entry.turn, entry.at_ms = max(self._turn, 0), round(self._now() * 1000)
        self._entries.append(entry)

    def noted(self, reply_id: str) -> None:
        """The reply is over; what held for it is forgotten."""
        self._entries = [one for one in self._entries if one.role != "note" or one.reply_id != reply_id]

    def expect(self, reply_id: str) -> None:
        """What this reply says, whenever it comes, stands here, before what others say meanwhile."""
        self._put(_Entry("assistant", "", reply_id, placed=True, awaited=True))

    def called(self, reply_id: str, text: str, calls: Sequence[Call], reasoning: str = "") -> Round:
        """A reply calls functions, having written `text` and thought `reasoning`. Returns them, each with an id that no
        other call has; whoever runs them puts in the results."""
        taken = [call.id for entry in self._entries for one in entry.rounds for call in one.calls]
        made = Round(text.strip()[:MAX_MESSAGE], with_own_ids(calls, taken), reasoning)
        entry = self._reply(reply_id)
        if entry is None:
            entry = _Entry("assistant", "", reply_id)
            self._put(entry)
        self._begins(entry)
        entry.rounds.append(made)
        self._trim()
        return made

    def said(self, reply_id: str, text: str, *, given: bool = False) -> None:
        """What a reply says, as far as is known now; empty = nothing. `given`: it answers nobody."""
        text = _valid(text) if text.strip() else ""
        entry = self._reply(reply_id)
        if entry is not None:
            self._begins(entry)
            entry.text = text
        elif text:
            self._put(_Entry("assistant", text, reply_id, given=given))
        self._trim()

    def _begins(self, entry: _Entry) -> None:
        """Something of a reply that was expected is known, if only that it says nothing."""
        if entry.awaited:
            entry.awaited, entry.at_ms = False, round(self._now() * 1000)

    def knows(self, reply_id: str) -> bool:
        """Whether anything of this reply is kept."""
        return self._reply(reply_id) is not None

    def owes(self, reply_id: str) -> bool:
        """Whether a reply has called functions and said nothing since."""
        entry = self._reply(reply_id)
        return entry is not None and bool(entry.rounds) and not entry.shares()[-1]

    def _reply(self, reply_id: str) -> _Entry | None:
        found = (one for one in reversed(self._entries) if one.role == "assistant" and one.reply_id == reply_id)
        return next(found, None)

    def _trim(self) -> None:
        left = {"user": max(self.limit, 1), "assistant": self.limit, "system": max(self.limit, 1), "note": 1 << 30}
        calling = 4 * max(self.limit, 2)
        """Replies whose calls are kept, where no user asks anything."""
        kept: list[_Entry] = []
        for entry in reversed(self._entries):
            if entry.rounds and calling > 0 and (left["user"] > 0 or entry.runs):
                calling -= 1
                entry.text = entry.text if left["assistant"] > 0 else ""
            elif left[entry.role] > 0 and (entry.text or entry.awaited or entry.role == "user"):
                entry.rounds = []
            else:
                continue
            if entry.text or entry.role == "user":
                left[entry.role] -= 1
            kept.append(entry)
        kept.reverse()
        self._entries = kept
