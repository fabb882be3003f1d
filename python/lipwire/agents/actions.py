"""What a `Conversation` wants done, in order: for who runs it (`agent.Agent`; a test)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from ..protocol import transcript as t
from . import client_messages as m
from .brains import base as b
from .events import AgentEvent, AgentFailed
from .face_tags import Feeling
from .replies import Reply
from .speech.commands import Command


class Hear(Struct, frozen=True):
    """The brain is to hear 10 ms of a user: `Brain.hear`."""

    pcm: bytes
    user: str


class Say(Struct, frozen=True):
    """The brain is to say this: `Brain.speak`. Then `asked` tells the conversation the id, or `refused` the error. A
    reply that is no longer "asked" by then is left out. `recorded`: a recording says it, where it can be had."""

    reply: Reply
    text: str
    recorded: bool = False


class Fill(Struct, frozen=True):
    """The brain is to say this while it thinks of an answer: `Filling.fill`. Else as `Say`."""

    reply: Reply
    text: str


class Tell(Struct, frozen=True):
    """The brain is told something, and is to answer, unless it is only to bear it in mind: `Brain.tell`. Where it
    raises, `refused` says so."""

    reply: Reply
    text: str
    role: Literal["user", "system"]
    respond: bool = True
    metadata: Mapping[str, str] = {}


class Respond(Struct, frozen=True):
    """The brain is to answer now: `Brain.respond`. Where it raises, `refused` says so."""

    reply: Reply
    instructions: str | None


class Interrupted(Struct, frozen=True):
    """The brain learns that a reply was cut off: `Brain.interrupted`."""

    reply_id: str
    played_ms: float
    text: str


class ToolResult(Struct, frozen=True):
    """The brain gets what a function of the client's returned: `Brain.tool_result`."""

    call_id: str
    output: str


class Add(Struct, frozen=True):
    """The playout says this reply after those that it has, or before one of them of which it has no sound."""

    reply: Reply
    before: Reply | None = None


class Play(Struct, frozen=True):
    """The playout gets more sound of a reply."""

    reply: Reply
    pcm: bytes
    rate: int


class Finish(Struct, frozen=True):
    """The playout learns that nothing more of a reply follows."""

    reply: Reply
    text: str


class Drop(Struct, frozen=True):
    """The playout stops these replies at once."""

    replies: list[Reply]


class Hold(Struct, frozen=True):
    """The playout falls silent at once, and keeps what it has of replies that may be interrupted."""


class Release(Struct, frozen=True):
    """The playout goes on, where it was held."""


class Doubted(Struct, frozen=True):
    """The brain learns whether it is in doubt whether the user interrupts: `Doubting.doubt`."""

    on: bool


class Floor(Struct, frozen=True):
    """The brain learns what the agent does: `TurnTaker.agent_is`."""

    state: t.AgentState


class Begin(Struct, frozen=True):
    """The brain begins a user's turn: `TurnTaker.begin`."""

    user: str


class Commit(Struct, frozen=True):
    """The brain ends the user's turn: `Brain.commit`."""


class Send(Struct, frozen=True):
    """The channel carries a message, in these packets."""

    packets: list[bytes]


class Emit(Struct, frozen=True):
    """Whoever runs the agent hears of this."""

    event: AgentEvent


class Caption(Struct, frozen=True):
    """A text is final, and is known to have been said from `start_ms` to `end_ms` of the clock: for the film of the
    agent."""

    who: str
    text: str
    start_ms: float
    end_ms: float
    words: tuple[b.TimedWord, ...] = ()
    """Where their times are known, from `start_ms` on."""


class Look(Struct, frozen=True):
    """The face shows what the agent does."""

    state: t.AgentState


class Show(Struct, frozen=True):
    """The face shows what is meant."""

    feeling: Feeling


class TakePicture(Struct, frozen=True):
    """A picture that a user has sent is to be fetched and decoded, and shown to the brain. Then
    `Clients.picture_taken` tells the conversation what it is, or `picture_refused` why it is not used."""

    user: str
    upload: m.Upload


class Spot(Struct, frozen=True):
    """10 ms of a user go to the spotter of voice commands, which is to look for this one."""

    pcm: bytes
    wanted: Command


class Leave(Struct, frozen=True):
    """The agent leaves."""

    reason: str
    failure: AgentFailed | None = None


Action = (
    Hear
    | Say
    | Fill
    | Tell
    | Respond
    | Interrupted
    | ToolResult
    | Add
    | Play
    | Finish
    | Drop
    | Hold
    | Release
    | Doubted
    | Floor
    | Begin
    | Commit
    | Send
    | Emit
    | Caption
    | Look
    | Show
    | TakePicture
    | Spot
    | Leave
)
