"""What thinks for an agent: it hears the user, and answers with text and speech.

A brain knows no channel, no face and no clock of playback. The agent (`agent.Agent`) carries sound to it, plays what it
says, and tells it how much of that was really heard. Everything runs on one event loop; a brain's own work is in tasks
that it starts in `open` and ends in `close`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Literal, Protocol

from msgspec import Struct

from ...outward import Outward
from ..config import EndOfTurn
from ..face_tags import Mark

HEARD_RATE = 16_000
"""Hz of the PCM that a brain hears."""


SENT_SECONDS = 300.0
"""How long a picture that a user has sent goes with the questions, if none follows it."""


class TimedWord(Struct, frozen=True):
    """A word and when it is said, in ms from the start of the utterance or reply it belongs to."""

    text: str
    start_ms: int
    duration_ms: int


class SpeechStarted(Struct, frozen=True, tag=True):
    """The user speaks, surely enough to interrupt: the agent falls silent. `onset_ns` (CLOCK_MONOTONIC) is when the
    first voiced frame of it was heard; `item_id` that of its text, where the brain knows it already. `aside`: it does
    not interrupt (`turn_taking.TurnTaker`)."""

    onset_ns: int
    item_id: str | None = None
    aside: bool = False


class SpeechStopped(Struct, frozen=True, tag=True):
    """The user's turn is over. `end_ns` (CLOCK_MONOTONIC) is when that was decided, silence_duration_ms included;
    `item_id` that of its text, where the brain knows it already; `reply_id` that of its answer, where the brain has
    named it, which may have to wait before it begins."""

    end_ns: int
    item_id: str | None = None
    reply_id: str | None = None


class SpeechResumed(Struct, frozen=True, tag=True):
    """The user goes on after a pause in his turn, of `pause_ms`: a phrase of his has ended before it."""

    pause_ms: int


class UserText(Struct, frozen=True, tag=True):
    """What the user said. A partial one (`final` False) replaces the one before with the same `item_id`."""

    item_id: str
    text: str
    final: bool
    words: tuple[TimedWord, ...] = ()


class ReplyStarted(Struct, frozen=True, tag=True):
    """A reply begins. `asked_ns`: when the request for it left; `item_id`: the user's item it answers, if any."""

    reply_id: str
    asked_ns: int
    item_id: str | None = None


class ReplyText(Struct, frozen=True, tag=True):
    """More text of a reply. It is said from `at_ms` of the reply's sound on, and ends at `at_ms + duration_ms`, where
    that is known (None: together with the sound that comes next)."""

    reply_id: str
    text: str
    at_ms: int | None = None
    duration_ms: int | None = None
    words: tuple[TimedWord, ...] = ()
    marks: tuple[Mark, ...] = ()
    """What the face is to show where in this text, as the model has said by its tags."""


class ReplyAudio(Struct, frozen=True, tag=True):
    """More sound of a reply: PCM16 mono at `rate` Hz, any length, faster than real time or not."""

    reply_id: str
    pcm: bytes
    rate: int


class ReplyFinished(Struct, frozen=True, tag=True):
    """All of a reply has been handed over. `text`: all of it."""

    reply_id: str
    text: str
    reason: Literal["done", "cancelled", "failed"] = "done"


class ToolCalled(Struct, frozen=True, tag=True):
    """The model calls a function. One of the agent's own (`handled` True) has been run; any other waits for
    `Brain.tool_result`, which the client is asked for."""

    call_id: str
    name: str
    arguments: str
    handled: bool = False


class Stamp(Struct, frozen=True, tag=True):
    """A point of a reply's way, for its metrics: CLOCK_MONOTONIC ns."""

    reply_id: str
    name: Literal["first_token", "first_sentence", "tts_asked", "first_audio"]
    at_ns: int


class Failed(Struct, frozen=True, tag=True):
    """Something failed; the brain goes on unless `fatal`. The agent says its failure message where a reply was due,
    unless it is `minor`: then it is told, and all goes on.
    `code`: LLM_ERROR, STT_ERROR, TTS_ERROR, REALTIME_ERROR, TOOL_ERROR, ..."""

    code: str
    message: str
    reply_id: str | None = None
    fatal: bool = False
    minor: bool = False


BrainEvent = (
    SpeechStarted
    | SpeechStopped
    | SpeechResumed
    | UserText
    | ReplyStarted
    | ReplyText
    | ReplyAudio
    | ReplyFinished
    | ToolCalled
    | Stamp
    | Failed
)


class Brain(Protocol):
    """What thinks for one agent. Every method is called from the event loop's thread, `emit` as well, and none of them
    blocks."""

    async def open(self, emit: Callable[[BrainEvent], None]) -> None:
        """Connects, and starts to think. `emit` puts an event into the agent's queue, and does no more: what the agent
        makes of it, it does when the brain's own code has returned. Raises LipwireError where it cannot."""

    async def close(self) -> None:
        """Ends every task and connection. Safe to call twice."""

    def hear(self, pcm: bytes, user: str) -> None:
        """10 ms of what a user says: 160 samples of PCM16 mono at 16 kHz, in time order, silence included."""

    def see(self, user: str, jpeg: bytes, *, sent: bool = False) -> None:
        """A picture of the user, at most one a second; only the newest is kept. `sent`: one that the user has sent,
        which stands for SENT_SECONDS in place of the others."""

    def tell(
        self,
        text: str,
        role: Literal["user", "system"] = "user",
        *,
        respond: bool = True,
        metadata: Mapping[str, str] | None = None,
        interruptable: bool = True,
    ) -> str | None:
        """A message in text, as if it had been said; with `respond` it is answered, else it counts for the next answer,
        and for that of a user who is speaking. With `respond` it takes the place of a user's turn that is over and not
        answered yet: that is remembered, and no more; but one of the system's is answered together with it.

        Args:
            metadata: goes to a chat service that wants it (`Llm.custom`, `Llm.metadata_enabled`), with the message.
            interruptable: whether another answer may take the place of this one while it is in the making.

        Returns:
            The id of the answer, which may have to wait before it begins; None = there is none, or the reply that
            begins next is it.
        """

    def respond(self, instructions: str | None = None) -> str | None:
        """Answer now, by these instructions where given, for this one reply; with it a user's turn that is over and not
        answered yet. Returns its id, as `tell`."""

    def speak(self, text: str) -> str:
        """Say exactly this, without thinking (greeting, failure message, /speak): text to speech only. Returns its
        reply id. It enters the history as the agent's words."""

    def interrupted(self, reply_id: str, played_ms: float, text: str) -> None:
        """What is being said was cut off: `played_ms` of the reply's sound were heard, which is `text`, as far as
        known. Nothing more of the reply is to be handed over; the history keeps only what was heard."""

    def commit(self) -> None:
        """The user's turn is over now, whatever the turn detection thinks of it."""

    def update(self, changes: dict[str, Any]) -> None:
        """Fields of `AgentConfig` (dotted names, "llm.model", "turn_detection.threshold") that hold from now on. They
        have been checked."""

    def tool_result(self, call_id: str, output: str) -> None:
        """What a function of the client's has returned."""


class Services(Struct, frozen=True, kw_only=True):
    """What brains use beyond what an agent's own configuration names. None = what needs no account: whisper and
    the voices of this machine."""

    stt_url: str | None = None
    """The URL of an OpenAI-compatible /audio/transcriptions."""
    stt_model: str | None = None
    tts_url: str | None = None
    """The URL of an OpenAI-compatible /audio/speech."""
    tts_model: str | None = None
    hearing_model: str = ""
    """What hears on this machine: a model's name or its folder (`models.find`); "" = by the language."""
    voices: str | None = None
    """The operator's folder of voice files."""
    end_of_turn: EndOfTurn = "auto"
    llm_url: str | None = None
    """The operator's own chat service: `llm_headers` go there and nowhere else."""
    llm_headers: Mapping[str, str] = {}
    stt_headers: Mapping[str, str] = {}
    tts_headers: Mapping[str, str] = {}
    """Headers of the operator's own for each of the three (`headers.check_headers`)."""
    openai_api_key: str | None = None
    """The key that OpenAI Realtime, `stt_url` and `tts_url` are called with."""
    openai_url: str | None = None
    """The URL of OpenAI Realtime, without the model; None = wss://api.openai.com/v1/realtime."""
    realtime_model: str | None = None
    today: date | None = None
    """The day for which models are chosen that end one day (`openai_models`); None = the day on which one is."""
    outward: Outward | None = None
    """Where URLs may lead that a request has named; None = all URLs are the operator's own."""
