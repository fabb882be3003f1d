"""Who runs a conversation in a test, and what the tests of it have in common."""

from __future__ import annotations

import json
from operator import attrgetter
from typing import Any, TypeVar

from lipwire.agents import actions as c
from lipwire.agents.brains import base as b
from lipwire.agents.config import AgentConfig, Llm
from lipwire.agents.conversation import Conversation
from lipwire.agents.events import StateChanged
from lipwire.agents.replies import Reply
from lipwire.errors import BufferFull
from lipwire.protocol import transcript as t

BLOCK = 480
A = TypeVar("A")


class Desk:
    """Who runs a conversation: a brain that says what it is told to, a playout that plays as time goes, and a clock
    that stands still unless it is turned."""

    def __init__(self, **fields: Any) -> None:
        llm = Llm(**fields.pop("llm", {}))
        self.conversation = Conversation(AgentConfig(name="a", channel="c", llm=llm, **fields))
        self.done: list[Any] = []
        self.clock = 0
        self.playing: tuple[str | None, float] = (None, 0.0)
        self.held = False
        self.stopped: tuple[str | None, float] = (None, 0.0)
        self.refuses = False
        self.said = 0

    def __call__(self, call: str, *args: Any, **options: Any) -> Any:
        """Tells the conversation something, and carries out what it answers."""
        self.conversation.at(self.clock * 1_000_000_000 // 48_000, 1_000 + self.clock // 48, self.playing)
        result = attrgetter(call)(self.conversation)(*args, **options)
        while self.conversation.actions:
            action = self.conversation.actions.popleft()
            self.done.append(action)
            if isinstance(action, c.Say | c.Fill | c.Tell | c.Respond) and action.reply.state == "asked":
                if self.refuses:
                    self.conversation.refused(action.reply, BufferFull("no more"))
                elif isinstance(action, c.Say):
                    self.said += 1
                    self.conversation.asked(action.reply, f"said-{self.said}")
                elif isinstance(action, c.Fill):
                    self.conversation.asked(action.reply, f"fill-{len(self.of(c.Fill))}")
            elif isinstance(action, c.Hold):
                self.held, self.stopped = True, self.playing
            elif isinstance(action, c.Release):
                self.held, self.stopped = False, (None, 0.0)
            elif isinstance(action, c.Drop) and self.playing[0] in [reply.id for reply in action.replies]:
                self.playing = self.stopped = None, 0.0
            elif isinstance(action, c.Play):
                action.reply.received_ms += len(action.pcm) / 2 / action.rate * 1000
            elif isinstance(action, c.Finish):
                action.reply.close(action.text)
                if not action.reply.received_ms:
                    self.conversation.over(action.reply)
        return result

    def brain(self, *events: b.BrainEvent) -> None:
        for event in events:
            self("brain", event)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.clock += BLOCK
            name, ms = self.playing
            self.playing = name, ms + 10.0 if name is not None and not self.held else ms
            if self("tick", self.clock):
                self("look")

    def play(self, reply_id: str | None) -> None:
        """This reply is heard from now on."""
        self.playing = reply_id, 0.0

    def of(self, kind: type[A]) -> list[A]:
        return [action for action in self.done if isinstance(action, kind)]

    def events(self, kind: type[A]) -> list[A]:
        return [action.event for action in self.of(c.Emit) if isinstance(action.event, kind)]

    def states(self) -> list[str]:
        return [event.state for event in self.events(StateChanged)]

    def messages(self) -> list[Any]:
        joined = t.Assembler()
        whole = [joined.add(packet, 0.0) for action in self.of(c.Send) for packet in action.packets]
        return [t.decode(payload) for payload in whole if payload is not None]

    def user_says(self, text: str, item: str = "i1") -> None:
        self.brain(
            b.SpeechStarted(0), b.SpeechStopped(self.clock * 1_000_000_000 // 48_000), b.UserText(item, text, True)
        )

    def reply(self, reply_id: str, text: str = "Well, well.", ms: int = 1000, *, finish: bool = True) -> None:
        self.brain(b.ReplyStarted(reply_id, 0), b.ReplyText(reply_id, text, 0, ms))
        self.brain(b.ReplyAudio(reply_id, bytes(16 * 2 * ms), 16_000))
        if finish:
            self.brain(b.ReplyFinished(reply_id, text))

    def live(self, reply_id: str) -> Reply:
        return self.conversation._saying.replies[reply_id]


def speaking(d: Desk, reply_id: str = "r1", *, ms: int = 10_000, heard: float = 5.0) -> Reply:
    """The agent answers a question, and has said `heard` seconds of it."""
    d("joined", "7")
    d.user_says("What is it?", f"q-{reply_id}")
    d.reply(reply_id, "one two three four five six seven eight nine ten", ms)
    d.play(reply_id)
    d.run(heard)
    d.done.clear()
    return d.live(reply_id)


def what(d: Desk) -> list[str]:
    """What became of what was held, in order."""
    kinds = (c.Hold, c.Release, c.Drop, c.Interrupted)
    return [type(action).__name__ for action in d.done if isinstance(action, kinds)]


def send(d: Desk, kind: str, **body: Any) -> Any:
    """As a shim sends what Agora's client toolkit says."""
    return d("message", "7", json.dumps({"customType": kind, **body}).encode())


def told(d: Desk) -> list[str]:
    return [action.text for action in d.of(c.Tell)]


def shown(d: Desk) -> list[tuple[str | None, str | None]]:
    return [(action.feeling.mood, action.feeling.gesture) for action in d.of(c.Show)]
