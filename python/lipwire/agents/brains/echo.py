"""Brains without an account or a model: `EchoBrain` says back what it hears, `ScriptBrain` says what it was given."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from copy import copy
from typing import Any, Literal, Protocol

from msgspec import Struct

from ...errors import BadState, BufferFull, InvalidArgument, LipwireError
from ...protocol.agent_bodies import InUse
from ..config import AgentConfig, TurnDetection
from ..face_tags import plain as without_tags
from ..in_use import Part, fell_back
from ..speech.spoken import speakable
from ..speech.tts import OfflineTts
from ..speech.turn_detector import TurnDetectors
from .base import (
    HEARD_RATE,
    BrainEvent,
    Failed,
    ReplyAudio,
    ReplyFinished,
    ReplyStarted,
    ReplyText,
    SpeechStarted,
    SpeechStopped,
    Stamp,
    TimedWord,
    UserText,
)

logger = logging.getLogger("lipwire.agents")

MAX_TURN = 60 * 100
"""10 ms frames of a user's turn that are said back: the first minute."""
MAX_WAITING = 16
"""Texts that wait to be spoken."""


class Boundary(Protocol):
    """A turn of the user's begins, or ends: `endpointing.TurnBoundary`."""

    @property
    def kind(self) -> Literal["started", "stopped"]: ...
    @property
    def frame(self) -> int: ...


class Detector(Protocol):
    """What tells a user's turns: `turn_detector.TurnDetector`."""

    def hear(self, pcm: bytes) -> Boundary | None:
        """10 ms."""

    def since(self, frame: int) -> list[bytes]:
        """The frames from that one on, with the padding before it."""


class _SpeakingBrain:
    """What both brains have: texts that are spoken by a voice of this machine, one after the other; and what makes
    detectors."""

    def __init__(
        self, config: AgentConfig, detector: Callable[[TurnDetection], Detector] | None, voices: str | None
    ) -> None:
        self._shared = detector if isinstance(detector, TurnDetectors) else None
        self._name = config.name
        self._voice = config.voice, config.spare_voice, config.language
        self._missing = config.missing_voice
        self._folder = voices
        self._tts: OfflineTts | None = None
        with suppress(BadState):  # without anything that speaks, what is heard is echoed all the same
            self._tts = self._spoken_with()
        self._emit: Callable[[BrainEvent], None] = lambda event: None
        self._open = False
        self._jobs: dict[str, asyncio.Task[None]] = {}

    async def open(self, emit: Callable[[BrainEvent], None]) -> None:
        self._emit = emit
        if self._tts is not None:
            self._tts.on_fall = lambda used: emit(fell_back("voice", used))
        if self._shared is not None:
            self._shared.on_fall = lambda part, used: emit(fell_back(part, used))
            await self._shared.open()
        self._open = True

    def in_use(self) -> dict[Part, InUse]:
        """What it speaks and tells turns with."""
        used: dict[Part, InUse] = {} if self._tts is None else {"voice": self._tts.in_use}
        return used | ({} if self._shared is None else self._shared.in_use())

    async def close(self) -> None:
        self._open = False
        if self._shared is not None:
            await self._shared.close()
        jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        if self._tts is not None:
            await self._tts.close()

    def _begin(self, say: Callable[[str], Coroutine[Any, Any, None]]) -> str:
        """Starts a reply, which waits for those before it."""
        if not self._open:
            raise BadState("the brain is closed")
        if len(self._jobs) >= MAX_WAITING:
            raise BufferFull(f"{MAX_WAITING} replies wait to be said already")
        reply_id = f"reply_{uuid.uuid4().hex[:16]}"
        before = list(self._jobs.values())
        self._emit(ReplyStarted(reply_id, time.monotonic_ns()))

        async def run() -> None:
            if before:
                await asyncio.wait(before)
            try:
                await say(reply_id)
            except LipwireError as exc:
                self._emit(Failed("TTS_ERROR", str(exc), reply_id))
                self._emit(ReplyFinished(reply_id, "", "failed"))
            except Exception as exc:  # the task's edge
                logger.exception("agent %s: a reply failed", self._name)
                self._emit(Failed("INTERNAL_ERROR", f"{type(exc).__name__}: {exc}", reply_id))
                self._emit(ReplyFinished(reply_id, "", "failed"))

        job = self._jobs[reply_id] = asyncio.get_running_loop().create_task(run())
        job.add_done_callback(lambda _: self._jobs.pop(reply_id, None))
        return reply_id

    async def _speak(self, reply_id: str, text: str) -> None:
        text = without_tags(text)
        if self._tts is None:
            self._tts = self._spoken_with()
        async for sound in self._tts.speak(speakable(text) or text):
            self._say(reply_id, sound.pcm, sound.rate, text, sound.words)

    def _spoken_with(self) -> OfflineTts:
        """The agent's voice; English where nobody speaks its language."""
        voice, spare, language = self._voice
        try:
            return OfflineTts(voice, language, spare, self._folder, self._missing)
        except InvalidArgument:
            return OfflineTts(voice, "en-us", spare, self._folder, self._missing)

    def _say(self, reply_id: str, pcm: bytes, rate: int, text: str, words: tuple[TimedWord, ...] = ()) -> None:
        ms = round(len(pcm) / 2 / rate * 1000)
        self._emit(Stamp(reply_id, "first_audio", time.monotonic_ns()))
        if text:
            self._emit(ReplyText(reply_id, text, 0, ms, words))
        self._emit(ReplyAudio(reply_id, pcm, rate))
        self._emit(ReplyFinished(reply_id, text))

    def speak(self, text: str) -> str:
        return self._begin(lambda reply_id: self._speak(reply_id, text))

    def interrupted(self, reply_id: str, played_ms: float, text: str) -> None:
        job = self._jobs.get(reply_id)
        if job is not None:
            job.cancel()


class EchoBrain(_SpeakingBrain):
    """Says back what was heard, as it was heard; and texts, by a voice of this machine.

    Args:
        config: `turn_detection` says when a turn ends; `update` changes it.
        detector: tells a user's turns; by default `TurnDetectors`.
        voices: the folder of the operator's own voices.
    """

    def __init__(
        self,
        config: AgentConfig,
        detector: Callable[[TurnDetection], Detector] | None = None,
        voices: str | None = None,
    ) -> None:
        self._turns = copy(config.turn_detection)
        self._detector = detector or TurnDetectors(config.language)
        super().__init__(config, self._detector, voices)
        self._detectors: dict[str, Detector] = {}
        self._user: str | None = None
        """Who speaks; one at a time."""
        self._frames: list[bytes] = []

    def hear(self, pcm: bytes, user: str) -> None:
        if not self._open or self._user not in (None, user):
            return
        detector = self._detectors.pop(user, None) or self._detector(self._turns)
        self._detectors[user] = detector
        if len(self._detectors) > 8:
            del self._detectors[next(iter(self._detectors))]
        turn = detector.hear(pcm)
        if self._user is not None and len(self._frames) < MAX_TURN:
            self._frames.append(pcm)
        if turn is None:
            return
        if turn.kind == "started":
            self._user, self._frames = user, detector.since(turn.frame)
            self._emit(SpeechStarted(time.monotonic_ns()))
        else:
            self._stopped()

    def _stopped(self) -> None:
        if self._user is None:
            return
        self._user, frames, self._frames = None, self._frames, []
        self._emit(SpeechStopped(time.monotonic_ns()))
        pcm = b"".join(frames)

        async def say(reply_id: str) -> None:
            self._say(reply_id, pcm, HEARD_RATE, "")

        self._begin(say)

    def see(self, user: str, jpeg: bytes, *, sent: bool = False) -> None: ...

    def tell(
        self,
        text: str,
        role: Literal["user", "system"] = "user",
        *,
        respond: bool = True,
        metadata: Mapping[str, str] | None = None,
        interruptable: bool = True,
    ) -> str | None:
        return self.speak(text) if respond else None

    def respond(self, instructions: str | None = None) -> str:
        return self.speak(instructions or "I say back what I hear.")

    def commit(self) -> None:
        if self._user is not None:
            del self._detectors[self._user]  # a fresh one: this turn is over
        self._stopped()

    def update(self, changes: dict[str, Any]) -> None:
        for name, value in changes.items():
            section, _, member = name.partition(".")
            if section == "turn_detection":
                setattr(self._turns, member, value)

    def tool_result(self, call_id: str, output: str) -> None: ...


# -------------------------------------------------------------------------------------------------------------- script


class Say(Struct, frozen=True):
    """A step: says a text, by a voice of this machine, or as the PCM16 mono that is given. `words` are those of the
    text."""

    text: str
    pcm: bytes = b""
    rate: int = HEARD_RATE
    words: tuple[TimedWord, ...] = ()
    after: float = 0.0
    """Seconds of thought before it is said."""


class Fail(Struct, frozen=True):
    """A step: fails instead of answering."""

    code: str = "LLM_ERROR"
    message: str = "the script says so"
    fatal: bool = False


Step = Say | Fail


class ScriptBrain(_SpeakingBrain):
    """Answers each turn of the user with the next step, from the first one again after the last.

    A turn ends with a text from `tell` or `respond`, or by `commit`; where there is a `detector`, also as that says.

    Args:
        steps: at least one.
        detector: tells a user's turns.
        voices: the folder of the operator's own voices.
    """

    def __init__(
        self,
        config: AgentConfig,
        steps: Sequence[Step],
        detector: Callable[[TurnDetection], Detector] | None = None,
        voices: str | None = None,
    ) -> None:
        super().__init__(config, detector, voices)
        if not steps:
            raise InvalidArgument("a script has at least one step")
        self._steps = list(steps)
        self._next = 0
        self._turn_detector = detector(config.turn_detection) if detector is not None else None
        self._turn = 0

    def hear(self, pcm: bytes, user: str) -> None:
        turn = self._turn_detector.hear(pcm) if self._open and self._turn_detector is not None else None
        if turn is None:
            return
        if turn.kind == "started":
            self._emit(SpeechStarted(time.monotonic_ns()))
        else:
            self._emit(SpeechStopped(time.monotonic_ns()))
            self._answer()

    def user_says(self, text: str, words: tuple[TimedWord, ...] = ()) -> None:
        """The user's turn, as a transcript would tell it."""
        self._turn += 1
        self._emit(SpeechStarted(time.monotonic_ns()))
        self._emit(SpeechStopped(time.monotonic_ns()))
        self._emit(UserText(f"item_{self._turn}", text, True, words))
        self._answer()

    def _answer(self) -> str | None:
        step = self._steps[self._next % len(self._steps)]
        self._next += 1
        if isinstance(step, Fail):
            self._emit(Failed(step.code, step.message, fatal=step.fatal))
            return None

        async def say(reply_id: str) -> None:
            if step.after:
                await asyncio.sleep(step.after)
            if step.pcm:
                self._say(reply_id, step.pcm, step.rate, step.text, step.words)
            else:
                await self._speak(reply_id, step.text)

        return self._begin(say)

    def see(self, user: str, jpeg: bytes, *, sent: bool = False) -> None: ...

    def tell(
        self,
        text: str,
        role: Literal["user", "system"] = "user",
        *,
        respond: bool = True,
        metadata: Mapping[str, str] | None = None,
        interruptable: bool = True,
    ) -> str | None:
        return self._answer() if respond else None

    def respond(self, instructions: str | None = None) -> str | None:
        return self._answer()

    def commit(self) -> None:
        self._emit(SpeechStopped(time.monotonic_ns()))
        self._answer()

    def update(self, changes: dict[str, Any]) -> None: ...

    def tool_result(self, call_id: str, output: str) -> None: ...


DEMO = (
    Say("Hello. This is a script: I say the same few things, whatever you ask."),
    Say("You can interrupt me at any time. I stop within a hundredth of a second, and remember what you heard of me."),
    Say("With a model behind me I would have something to say."),
)
