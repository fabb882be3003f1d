"""The brain that is a chain: voice activity, speech to text, chat completions, text to speech.

    hear -> TurnDetector -> Hearing -> ChatContext -> ChatClient <-> Caller
                                                          | text as it comes
                                                          v
                                                   SynthesisStream -> ReplyText, ReplyAudio

What is done before it is known to be wanted: speech is turned into text before the turn has ended (on this machine
after 100 ms of silence; by a service when the turn is taken for whole, or after half of the silence that ends it), and
again only if the user goes on. So the request for a reply leaves when the turn ends, if speech to text is that quick.

A function has effects. So it belongs to the conversation and not to the reply that called it: it runs once, to its end,
whatever becomes of the reply, and the next request waits for what comes of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from copy import copy
from datetime import date
from typing import Any, Literal, Protocol

from msgspec import structs

from ...errors import BadState, BufferFull
from ...models.voices.names import parse
from ...protocol.agent_bodies import InUse
from ...protocol.transcript import AgentState
from .. import realtime_socket
from ..beside import unwanted
from ..config import AgentConfig
from ..describe import openai_voice
from ..face_tags import plain as without_tags
from ..http import ServiceError
from ..in_use import Part, fell_back, standing_in
from ..openai_models import SPEECH, speaks_by_realtime
from ..speech.backchannels import is_backchannel
from ..speech.endpointing import GAP_MS, TurnBoundary
from ..speech.offline_stt import OfflineStt
from ..speech.pauses import asks_for_pause
from ..speech.scripts import unspaced
from ..speech.stt import Hearing, HttpStt, Stt, Transcript
from ..speech.tts import OfflineTts, Sound, SynthesisStream, Tts
from ..speech.turn_detector import ASK_MS, TurnDetector, TurnDetectors
from ..speech.vad import FRAME_MS
from ..speech.vendors.choose import make_vendor_stt, make_vendor_tts
from ..speech.vendors.openai import OpenAiTts
from ..speech.vendors.socket_stt import SocketStt
from ..update import apply
from . import chat
from .base import (
    SENT_SECONDS,
    BrainEvent,
    Failed,
    ReplyAudio,
    ReplyFinished,
    ReplyStarted,
    ReplyText,
    Services,
    SpeechResumed,
    SpeechStarted,
    SpeechStopped,
    TimedWord,
    UserText,
)
from .calls import MAX_ROUNDS, Call
from .completion import Completion, Piece
from .context import ChatContext, Place, Round
from .dialects import Question
from .dialects.base import question
from .generation import Generation
from .tools import Caller

logger = logging.getLogger("lipwire.agents")

PICTURE_SECONDS = 3.0
"""Age at which a picture is too old to be shown to the model."""
AHEAD_MS = 20_000
"""How far ahead of real time a reply is handed over: what waits to be played is bounded."""
MAX_WAITING = 16
"""Replies that may wait for their turn; another one is refused."""
MAX_USERS = 8
"""Whose sound is followed; the one not heard for longest is forgotten."""
GONE_SECONDS = 1.0
"""Without a frame from who speaks: the turn is over."""
SETTLE_MS = 12_000
"""Of a turn's sound, from which on our own recognizer does not hear again at the next pause what it has understood at
this one: it would for each of a long talker's, and others wait for it."""
SPECULATE_MS = 60
"""Silence before which nothing is transcribed ahead of the end of a turn."""


def make_tts(config: AgentConfig, services: Services) -> Tts:
    """Raises LipwireError."""
    if config.tts is not None and parse(config.voice) is None:
        return make_vendor_tts(
            config.tts,
            language=config.language,
            headers=config.tts_headers,
            voice=config.voice,
            outward=services.outward,
        )
    if services.tts_url and parse(config.voice) is None:
        key = services.openai_api_key
        headers = {**services.tts_headers, **config.tts_headers}
        url, model = services.tts_url, services.tts_model

        def by_realtime(named: str) -> Tts:
            from ..speech.realtime_tts import RealtimeTts

            where = services.openai_url or realtime_socket.URL
            return RealtimeTts(where, voice=config.voice, model=named, api_key=key, headers=headers)

        if (now := speaks_by_realtime(url, model, services.today or date.today())) is not None:
            return by_realtime(now)
        speech = OpenAiTts(url, voice=config.voice, model=model or SPEECH, api_key=key, headers=headers)
        if (later := speaks_by_realtime(url, model, date.max)) is None:
            return speech
        from ..speech.realtime_tts import UntilItEnds

        return UntilItEnds(speech, lambda: by_realtime(later))
    return OfflineTts(config.voice, config.language, config.spare_voice, services.voices, config.missing_voice)


def make_stt(config: AgentConfig, services: Services) -> Stt:
    """Raises LipwireError."""
    if config.asr is not None:
        return make_vendor_stt(
            config.asr, language=config.language, headers=config.stt_headers, outward=services.outward
        )
    if services.stt_url:
        key = services.openai_api_key
        headers = {**services.stt_headers, **config.stt_headers}
        return HttpStt(
            services.stt_url,
            language=config.language,
            model=services.stt_model,
            api_key=key,
            headers=headers,
            prompt=", ".join(config.asr_keywords),
        )
    return OfflineStt(config.language, services.hearing_model, config.asr_keywords)


class _UserTurn:
    """What a user is saying."""

    def __init__(self, user: str, detector: TurnDetector, pcm: list[bytes]) -> None:
        self.user = user
        self.detector = detector
        self.pcm = pcm
        self.item_id = f"item_{uuid.uuid4().hex[:16]}"
        self.hearing: Hearing
        self.result: asyncio.Task[Transcript] | None = None
        self.until = 0
        """The frame to which `result` reaches,"""
        self.asked = 0
        """and how many of `pcm` it has heard."""
        self._heard: list[tuple[Transcript, int]] = []
        """What was said before `pcm`, in parts, each with the ms at which it begins."""
        self._begins_ms = 0
        self.over = False
        self.aside = False
        """Whether it goes into what the agent says or thinks, and does not interrupt it by itself."""
        self.replaced: Place | None = None
        """Where its text belongs, if something that was asked meanwhile is answered in its place."""
        self.doubtful = False
        """Whether it goes into what the agent says, which is held until it is known what this is."""
        self.heard_at = time.monotonic()

    def settle(self) -> None:
        """What was understood up to the pause that is over stays, so that it is not heard anew at each one."""
        result = self.result
        if result is None or not result.done() or result.cancelled() or result.exception() is not None:
            return
        self._heard.append((result.result(), self._begins_ms))
        cut = max(self.asked - ASK_MS // (2 * FRAME_MS), 0)
        del self.pcm[:cut]
        self._begins_ms += cut * FRAME_MS

    def whole(self, last: Transcript) -> Transcript:
        """What was said in all, with the last part of it."""
        if not self._heard:
            return last
        parts = [*self._heard, (last, self._begins_ms)]
        texts = [part.text.strip() for part, _ in parts if part.text.strip()]
        between = "" if texts and unspaced(texts[0]) else " "
        words = (
            TimedWord(word.text, word.start_ms + at, word.duration_ms) for part, at in parts for word in part.words
        )
        return Transcript(between.join(texts), tuple(words))


class Unheard:
    """Speech that nobody is to understand; a `Hearing`."""

    def feed(self, pcm: bytes) -> None: ...

    async def finish(self) -> Transcript:
        return Transcript("")

    def drop(self) -> None: ...


class _Chained(Generation):
    """A reply on its way through the chain."""

    def __init__(self, kind: Literal["chat", "speak"], before: list[_Chained], skipped: Sequence[int] = ()) -> None:
        super().__init__(kind, skipped)
        self.before = before
        """Those that are handed over first."""
        self.aside = False
        """Whether it is said at once, and not remembered."""
        self.unheard = ""
        """Text of a service that sends the sound itself, whose sound has not come."""
        self.began = 0.0
        """Loop time of its first sound."""
        self.finished = asyncio.Event()
        """Set when all of it was handed over, or it was dropped."""
        self.task: asyncio.Task[None] | None = None


Source = Callable[[_Chained, SynthesisStream], Coroutine[Any, Any, None]]
"""What gives a reply its words: it hands them to the stream that speaks them."""


def _given(text: str) -> Source:
    async def say(reply: _Chained, speech: SynthesisStream) -> None:
        speech.say(reply.reads(text, last=True))

    return say


class Thinker(Protocol):
    """What answers in the place of a chat service, by itself and at once."""

    def answer(self, messages: Sequence[dict[str, Any]]) -> str:
        """The answer to a chat, whose messages are as `ChatContext` has them."""


class CascadeBrain:
    """Thinks by the chain of this module; a `Brain`.

    Args:
        thinker: answers; None = the chat service that `config.llm` names.

    Raises:
        InvalidArgument, BadState: the speech to text or the text to speech cannot be had.
    """

    def __init__(
        self,
        config: AgentConfig,
        services: Services,
        *,
        timeouts: chat.Timeouts | None = None,
        thinker: Thinker | None = None,
    ) -> None:
        self._config = structs.replace(config, llm=copy(config.llm), turn_detection=copy(config.turn_detection))
        self._services = services
        self._caller = Caller(
            config.tools,
            lambda event: self._emit(event),
            servers=config.llm.mcp_servers,
            outward=services.outward,
            variables=config.llm.template_variables,
        )
        self._stt = make_stt(config, services)
        self._tts = make_tts(config, services)
        own = {services.llm_url: services.llm_headers} if services.llm_url else {}
        self._chat = chat.ChatClient(self._config.llm, timeouts, services.outward, own)
        self._thinker = thinker
        self._context = ChatContext(config.llm.max_history)
        self._emit: Callable[[BrainEvent], None] = lambda event: None
        self._make_detector = TurnDetectors(config.language, services.end_of_turn)
        self._detectors: dict[str, TurnDetector] = {}
        self._turn: _UserTurn | None = None
        self._not_understood: set[_UserTurn] = set()
        """Turns that are over, and whose text is not known."""
        self._last_turn: asyncio.Task[None] | None = None
        """Takes the turn that ended last to its reply."""
        self._unanswered = False
        self._doubted = False
        self._agent: AgentState = "idle"
        """What the agent does."""
        self._picture: chat.Picture | None = None
        self._sent: chat.Picture | None = None
        """The newest that a user has sent."""
        self._replies: dict[str, _Chained] = {}
        """Those that are not handed over, in order."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._calls: set[asyncio.Task[Any]] = set()
        """Of those, the functions that run."""
        self._open = False

    # ---- life

    async def open(self, emit: Callable[[BrainEvent], None]) -> None:
        self._emit = emit
        if isinstance(self._stt, OfflineStt):
            self._stt.on_fall = lambda used: emit(fell_back("ears", used))
        self._make_detector.on_fall = lambda part, used: emit(fell_back(part, used))
        await self._stt.open()
        await self._make_detector.open()
        self._open = True
        self._caller.start()
        self._begin_voice()

    def _begin_voice(self) -> None:
        if isinstance(self._tts, OfflineTts):
            emit = self._emit  # not the brain itself: who is kept by its own voice is kept for ever
            self._tts.on_fall = lambda used: emit(fell_back("voice", used))
            self._spawn(self._tts.warm())

    def in_use(self) -> dict[Part, InUse]:
        """What it hears, speaks and tells turns with; of a service, what that is asked for."""
        config, stt, tts = self._config, self._stt, self._tts
        used = self._make_detector.in_use()
        if isinstance(tts, OfflineTts):
            used["voice"] = tts.in_use
        else:
            used["voice"] = InUse(name=config.voice if config.tts is None else config.tts.name)
        if config.asr is not None:
            used["ears"] = InUse(name=config.asr.name)
        elif isinstance(stt, OfflineStt | HttpStt):
            used["ears"] = stt.in_use
        if config.stands_in_for.model:
            used["model"] = InUse(name=config.llm.model or "the service's own")
        return standing_in(used, config.stands_in_for)

    async def close(self) -> None:
        self._open = False
        if self._turn is not None:
            self._turn.hearing.drop()
            self._turn = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._replies.clear()
        await self._make_detector.close()
        await self._stt.close()
        await self._tts.close()
        await self._chat.close()
        await self._caller.close()

    def _spawn(self, run: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ServiceError):
            logger.error("agent %s: a task of its brain failed", self._config.name, exc_info=error)
            self._emit(Failed("INTERNAL_ERROR", f"{type(error).__name__}: {error}"))

    # ---- hearing

    def hear(self, pcm: bytes, user: str) -> None:
        if not self._open:
            return
        turn = self._turn
        if turn is not None and turn.user != user:
            return  # one speaks at a time
        detector = self._detector(user)
        event = detector.hear(pcm)
        if turn is None:
            if event is not None and event.kind == "started":
                self._started(user, detector, event)
            return
        turn.pcm.append(pcm)
        turn.heard_at = time.monotonic()
        if event is not None:
            self._stopped(turn)
            return
        if detector.endpointer.resumed_ms > GAP_MS and not turn.aside:
            self._emit(SpeechResumed(detector.endpointer.resumed_ms))
        if turn.result is None:
            turn.hearing.feed(pcm)
            if self._may_be_over(detector):
                turn.until, turn.asked = detector.endpointer.voiced_until, len(turn.pcm)
                turn.result = self._spawn(turn.hearing.finish())
                detector.expect_text()
                turn.result.add_done_callback(lambda result: self._is_understood(turn, result))
        elif detector.endpointer.voiced_until > turn.until:  # the user goes on
            if len(turn.pcm) >= SETTLE_MS // FRAME_MS and isinstance(self._stt, OfflineStt):
                turn.settle()
            turn.result.cancel()
            turn.result = None
            self._listen(turn)

    def _detector(self, user: str) -> TurnDetector:
        detector = self._detectors.pop(user, None)
        if detector is None:
            detector = self._make_detector(self._config.turn_detection)
            detector.endpointer.agent_speaks = self._agent == "speaking"
        self._detectors[user] = detector  # the newest is last
        if len(self._detectors) > MAX_USERS:
            del self._detectors[next(iter(self._detectors))]
        return detector

    def agent_is(self, state: AgentState) -> None:
        self._agent = state
        for detector in self._detectors.values():
            detector.endpointer.agent_speaks = state == "speaking"

    def begin(self, user: str) -> None:
        if not self._open:
            return
        self.commit()
        detector = self._detector(user)
        if (event := detector.begin()) is not None:
            self._started(user, detector, event)

    def _may_be_over(self, detector: TurnDetector) -> bool:
        """Whether a turn's text is wanted, on the chance that it ends now. One of our own recognizer's costs nobody
        anything; a service is asked when the turn is taken for whole."""
        config, endpointer = self._config.turn_detection, detector.endpointer
        soon = detector.judges and (endpointer.whole or not isinstance(self._stt, HttpStt | SocketStt))
        return config.ends_by_itself and endpointer.silence_ms >= (
            ASK_MS if soon else max(config.plain_ms / 2, SPECULATE_MS)
        )

    def _is_understood(self, turn: _UserTurn, result: asyncio.Task[Transcript]) -> None:
        if result is turn.result and not turn.over and not result.cancelled() and result.exception() is None:
            text = turn.whole(result.result()).text
            turn.detector.understood(text, backchannel=self._doubted and self._is_backchannel(text))

    def _is_backchannel(self, text: str) -> bool:
        return is_backchannel(text, self._config.language, self._config.turn_detection.backchannels)

    def _listen(self, turn: _UserTurn) -> None:
        def partial(text: str) -> None:
            if not turn.over:
                self._emit(UserText(turn.item_id, turn.whole(Transcript(text)).text, False))

        unheard = turn.aside and unwanted(self._config.interruption)
        turn.hearing = Unheard() if unheard else self._stt.hear(partial)
        turn.hearing.feed(b"".join(turn.pcm))

    def _started(self, user: str, detector: TurnDetector, event: TurnBoundary) -> None:
        onset = time.monotonic_ns() - (detector.endpointer.frames - event.frame) * FRAME_MS * 1_000_000
        self._turn = turn = _UserTurn(user, detector, detector.since(event.frame))
        how, detection = self._config.interruption, self._config.turn_detection
        turn.aside = not how.by_voice and self._agent in ("speaking", "thinking")
        self._listen(turn)
        if detection.start_of_speech != "manual" and detection.end_of_speech != "manual":
            self._spawn(self._watch(turn))
        self._emit(SpeechStarted(onset, turn.item_id, turn.aside))

    async def _watch(self, turn: _UserTurn) -> None:
        """Who leaves in the middle of a turn sends no silence that would end it."""
        while not turn.over:
            gone = time.monotonic() - turn.heard_at
            limit = max(GONE_SECONDS, self._config.turn_detection.plain_ms / 1000)
            if gone >= limit:
                self.commit()
                return
            await asyncio.sleep(limit - gone + 0.01)

    def _stopped(self, turn: _UserTurn) -> None:
        self._turn = None
        turn.over = True
        self._not_understood.add(turn)
        turn.doubtful = self._doubted
        if turn.result is None:
            turn.result = self._spawn(turn.hearing.finish())
        self._emit(SpeechStopped(time.monotonic_ns(), turn.item_id))
        self._last_turn = self._spawn(self._understand(turn, turn.result, self._last_turn))
        self._last_turn.add_done_callback(lambda _: self._not_understood.discard(turn))

    async def _understand(
        self, turn: _UserTurn, result: asyncio.Task[Transcript], before: asyncio.Task[None] | None
    ) -> None:
        try:
            transcript = turn.whole(await result)
        except ServiceError as exc:
            if before is not None:
                await asyncio.wait([before])
            if turn.aside:  # nothing is due to it
                self._emit(UserText(turn.item_id, "", True))
            self._emit(Failed("STT_ERROR", str(exc), minor=turn.aside or turn.replaced is not None))
            return
        if before is not None:
            await asyncio.wait([before])
        text = transcript.text.strip()
        self._emit(UserText(turn.item_id, text, True, transcript.words))
        if turn.aside:
            return  # the conversation says what becomes of it
        if turn.replaced is not None:
            if text:
                self._context.insert(turn.replaced, text)
            return
        if turn.doubtful and not self._unanswered and self._is_backchannel(text):
            return  # the agent goes on with what it says
        if text:
            self._context.add("user", text)
            detection = self._config.turn_detection
            waits = detection.end_of_speech == "semantic" and detection.pause_state
            self._unanswered = not (waits and asks_for_pause(text, self._config.language))
        if self._unanswered and (self._turn is None or self._turn.aside):  # else it is answered with what is being said
            self._answer(None, turn.item_id if text else None)

    def doubt(self, on: bool) -> None:
        self._doubted = on

    def commit(self) -> None:
        if self._turn is not None:
            self._turn.detector.endpointer.commit()
            self._stopped(self._turn)

    def see(self, user: str, jpeg: bytes, *, sent: bool = False) -> None:
        picture = chat.Picture(jpeg, time.monotonic())
        if sent:
            self._sent = picture
        else:
            self._picture = picture

    # ---- being told

    def tell(
        self,
        text: str,
        role: Literal["user", "system"] = "user",
        *,
        respond: bool = True,
        metadata: Mapping[str, str] | None = None,
        interruptable: bool = True,
    ) -> str | None:
        understood = self._replace() if respond else None
        self._context.add(role, text, metadata)
        if respond:
            after = understood if role == "system" else None
            return self._answer(None, None, kept=not interruptable, after=after)
        if self._turn is not None:
            self._unanswered = True
        return None

    def respond(self, instructions: str | None = None) -> str:
        return self._answer(instructions, None, after=self._replace())

    def _replace(self) -> asyncio.Task[None] | None:
        """What is asked now is answered in the place of what a user has said and is not understood yet. Returns what
        understands that: what is no question itself answers the user's."""
        for turn in self._not_understood:
            turn.replaced = turn.replaced or self._context.place()
        return None if all(turn.aside for turn in self._not_understood) else self._last_turn

    def update(self, changes: dict[str, Any]) -> None:
        tts = self._as_asked(changes) if "voice" in changes else None
        apply(self._config, changes)
        self._context.limit = self._config.llm.max_history
        self._chat.llm = self._config.llm
        self._make_detector.language = self._config.language
        for detector in self._detectors.values():
            detector.endpointer.config = self._config.turn_detection
            detector.language = self._config.language
        if "tools" in changes:
            self._caller.replace(self._config.tools)
        if tts is not None:
            self._config.spare_voice = self._config.missing_voice = ""
            old, self._tts = self._tts, tts
            self._begin_voice()
            self._spawn(self._retire(old, list(self._replies.values())))

    def _as_asked(self, changes: dict[str, Any]) -> Tts:
        """What speaks with another voice. Raises LipwireError: nothing does, and nothing has changed yet."""
        config = structs.replace(self._config, spare_voice="", missing_voice="")
        apply(config, {name: value for name, value in changes.items() if name in ("voice", "language")})
        return make_tts(config, self._services)

    async def _retire(self, tts: Tts, replies: list[_Chained]) -> None:
        try:
            for reply in replies:
                await reply.finished.wait()
        finally:  # also where the brain is closed meanwhile
            await tts.close()

    def tool_result(self, call_id: str, output: str) -> None:
        self._caller.result(call_id, output)

    # ---- replies

    def _answer(
        self,
        instructions: str | None,
        item_id: str | None,
        *,
        kept: bool = False,
        after: asyncio.Task[None] | None = None,
    ) -> str:
        self._unanswered = False
        for reply in list(self._replies.values()):
            if reply.kind == "chat" and not reply.kept:
                self._drop(reply)
        reply_id = self._begin("chat", lambda reply, speech: self._think(reply, speech, instructions, after), item_id)
        if kept:
            self._replies[reply_id].kept = True
            self._context.expect(reply_id)
        return reply_id

    def speak(self, text: str) -> str:
        return self._begin("speak", _given(text), None)

    def remember(self, reply_id: str, text: str) -> None:
        """See `Remembering`."""
        self._context.said(reply_id, without_tags(text), given=True)

    def fill(self, text: str) -> str:
        """See `Filling`."""
        return self._begin("speak", _given(text), None, aside=True)

    def _begin(
        self, kind: Literal["chat", "speak"], source: Source, item_id: str | None, *, aside: bool = False
    ) -> str:
        """Raises BadState, BufferFull."""
        if not self._open:
            raise BadState("the brain is closed")
        if len(self._replies) >= MAX_WAITING:
            raise BufferFull(f"{MAX_WAITING} replies wait to be said already")
        aloud = "audio" not in self._config.llm.output_modalities or kind == "speak"
        before = [] if aside else list(self._replies.values())
        reply = _Chained(kind, before, self._config.skip_patterns if aloud else ())
        reply.aside = aside
        self._replies[reply.id] = reply
        self._emit(ReplyStarted(reply.id, time.monotonic_ns(), item_id))
        reply.task = self._spawn(self._run(reply, source))
        return reply.id

    def _drop(self, reply: _Chained) -> None:
        """It is broken off."""
        reply.dropped = True
        self._replies.pop(reply.id, None)
        if reply.task is not None:
            reply.task.cancel()
        reply.finished.set()
        self._emit(ReplyFinished(reply.id, reply.text, "cancelled"))

    def interrupted(self, reply_id: str, played_ms: float, text: str) -> None:
        reply = self._replies.get(reply_id)
        if reply is not None:
            reply.text = text
            self._drop(reply)
        if (reply is not None and not reply.aside) or self._context.knows(reply_id):
            self._context.said(reply_id, text)
        if reply is not None and reply.kind == "chat" and self._turn is not None and not self._turn.aside:
            # Where nothing of the answer was heard, it is due again if what interrupted it turns out to be no speech.
            self._unanswered = self._unanswered or not text.strip() or self._context.owes(reply_id)

    async def _run(self, reply: _Chained, source: Source) -> None:
        async def on_sound(sound: Sound) -> None:
            await self._sound(reply, sound.pcm, sound.rate)

        speech = SynthesisStream(
            self._tts,
            on_text=lambda text, sound: self._said(reply, text, sound),
            on_sound=on_sound,
            on_words=lambda words: self._timed(reply, words),
            on_stage=lambda name: self._stamp(reply, name),
            language=self._config.language,
            on_lost=lambda text, error: self._lost(reply, text, error),
        )

        async def hand_over() -> None:
            for other in reply.before:
                await other.finished.wait()
            await speech.run()

        speaking = asyncio.get_running_loop().create_task(hand_over())
        thinking = asyncio.get_running_loop().create_task(source(reply, speech))
        failed: Failed | None = None
        try:
            await asyncio.wait([speaking, thinking], return_when=asyncio.FIRST_COMPLETED)
            if thinking.done():
                if (error := thinking.exception()) is not None:
                    failed = self._failure("LLM_ERROR", error, reply)
                speech.finish()
                await asyncio.wait([speaking])
            if (error := speaking.exception()) is not None and failed is None:
                failed = self._failure("TTS_ERROR", error, reply)
        finally:
            for task in (speaking, thinking):
                task.cancel()
            await asyncio.gather(speaking, thinking, return_exceptions=True)
            reply.finished.set()
            reply.before.clear()
            self._replies.pop(reply.id, None)
        if failed is not None:
            self._emit(failed)
        self._hand(reply, reply.shows())
        if reply.kept:
            self._context.said(reply.id, reply.text)  # also where that is nothing: no more of it is expected
        self._emit(ReplyFinished(reply.id, reply.text, "failed" if failed is not None else "done"))

    def _failure(self, code: str, error: BaseException, reply: _Chained) -> Failed:
        if not isinstance(error, ServiceError):
            logger.error("agent %s: %s", self._config.name, code, exc_info=error)
        return Failed(code, str(error) or type(error).__name__, reply.id)

    def _lost(self, reply: _Chained, text: str, error: ServiceError) -> None:
        """A sentence was not said, or not to its end; what follows it is."""
        if not reply.dropped:
            self._emit(Failed("TTS_ERROR", f"{len(text)} characters were not said: {error}", reply.id, minor=True))

    def _stamp(self, reply: _Chained, name: Any) -> None:
        if not reply.dropped and (stamp := reply.stamp(name)) is not None:
            self._emit(stamp)

    def _said(self, reply: _Chained, text: str, sound: Sound | None) -> None:
        """A piece of text whose sound follows."""
        if text:  # else it was retracted
            self._hand(reply, reply.says(text, sound))

    def _hand(self, reply: _Chained, events: list[ReplyText]) -> None:
        """More of its text is told, and remembered."""
        if reply.dropped or not events:
            return
        if not reply.aside:
            self._context.said(reply.id, reply.text, given=reply.kind == "speak")
        for event in events:
            self._emit(event)

    def _timed(self, reply: _Chained, words: tuple[TimedWord, ...]) -> None:
        """When words are said of the text that was handed over last."""
        if not reply.dropped:
            self._emit(reply.times(words))

    async def _sound(self, reply: _Chained, pcm: bytes, rate: int) -> None:
        if reply.dropped:
            return
        loop = asyncio.get_running_loop()
        reply.began = reply.began or loop.time()
        self._stamp(reply, "first_audio")
        reply.position_ms += len(pcm) / 2 / rate * 1000
        self._emit(ReplyAudio(reply.id, pcm, rate))
        ahead = reply.position_ms - (loop.time() - reply.began) * 1000 - AHEAD_MS
        if ahead > 0:
            await asyncio.sleep(ahead / 1000)

    # ---- thinking

    async def _think(
        self, reply: _Chained, speech: SynthesisStream, instructions: str | None, after: asyncio.Task[None] | None
    ) -> None:
        if after is not None:
            await asyncio.wait([after])
        if instructions:
            self._context.note(reply.id, instructions)
        try:
            for other in reply.before:
                if other.kept:  # else the model answers that question once more
                    await other.finished.wait()
            while self._calls:
                await asyncio.wait(self._calls)
            await self._caller.ready()
            if self._thinker is None:
                await self._chat_rounds(reply, speech)
            else:
                self._stamp(reply, "first_token")
                speech.say(reply.reads(self._thinker.answer(self._context.messages(reply.id)), last=True))
        except ServiceError:
            self._context.failed(reply.id)
            raise
        finally:
            self._context.noted(reply.id)

    def _question(
        self, reply: _Chained, tools: list[dict[str, Any]], picture: chat.Picture | None, *, may_call: bool
    ) -> Question:
        """What is asked for the next part of a reply."""
        llm = self._config.llm
        messages = self._context.messages(reply.id, stamped=llm.custom)
        if picture is not None:
            last = next((i for i in reversed(range(len(messages))) if messages[i]["role"] == "user"), None)
            if last is None:
                messages.append(chat.with_picture({"role": "user", "content": ""}, picture))
            else:
                messages[last] = chat.with_picture(messages[last], picture)
        voice = openai_voice(self._config.voice)
        instructions = self._config.instructions
        metadata = self._context.metadata(reply.id)
        return question(
            llm, messages, tools, voice=voice, instructions=instructions, may_call=may_call, metadata=metadata
        )

    def _fresh_picture(self) -> chat.Picture | None:
        if "image" not in self._config.llm.input_modalities:
            return None
        now = time.monotonic()
        kept = (self._sent, SENT_SECONDS), (self._picture, PICTURE_SECONDS)
        return next((one for one, seconds in kept if one is not None and now - one.at <= seconds), None)

    async def _chat_rounds(self, reply: _Chained, speech: SynthesisStream) -> None:
        """Asks until there is an answer without calls. Raises ServiceError: what came is none."""
        picture, said = self._fresh_picture(), False
        for left in reversed(range(MAX_ROUNDS + 1)):
            toolbox = self._caller.toolbox
            answer = self._chat.completion(toolbox.names)
            asked = self._question(reply, toolbox.for_chat(), picture, may_call=left > 0)
            body = await self._chat.body(asked)
            reply.next_part()
            async with aclosing(self._chat.stream(body, answer)) as stream:
                async for piece in stream:
                    await self._piece(reply, speech, piece, answer)
            speech.end_sentence()
            for problem in answer.problems:
                self._emit(Failed("LLM_ERROR", problem, reply.id, minor=True))
            if answer.refusal:
                self._emit(Failed("LLM_REFUSED", f"the LLM refused: {answer.refusal:.200}", reply.id, minor=True))
            if (shortcoming := answer.shortcoming(said or self._config.llm.ignore_empty)) is not None:
                raise ServiceError(shortcoming)
            said = said or bool(answer.text.strip() or answer.audio_ms)
            if not answer.calls:
                return
            if not left and not answer.text.strip():
                raise ServiceError(f"the LLM called functions {MAX_ROUNDS + 1} times and gave no answer")
            if not left:
                return
            called = self._context.called(reply.id, without_tags(answer.text), answer.calls, answer.reasoning)
            running = [self._spawn(self._call(called, call)) for call in called.calls]
            for task in running:
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)
            await asyncio.wait(running)

    async def _call(self, called: Round, call: Call) -> None:
        called.results[call.id] = await self._caller.answer(call.id, call.name, call.arguments)

    async def _piece(self, reply: _Chained, speech: SynthesisStream, piece: Piece, answer: Completion) -> None:
        if piece.unsaid:
            speech.retract()
            reply.unheard = ""
            reply.restart()
        if piece.text or piece.pcm:
            self._stamp(reply, "first_token")
        text = reply.reads(piece.text, last=piece.last)
        if "audio" not in self._config.llm.output_modalities:
            if text:
                speech.say(text)
            if piece.last:
                speech.end_sentence()
            return
        reply.unheard += text
        if piece.pcm:
            for other in reply.before:
                await other.finished.wait()
            self._transcript(reply)
            await self._sound(reply, piece.pcm, self._chat.rate)
        if piece.last and answer.audio_ms:
            self._transcript(reply)
        elif piece.last:  # it was asked for sound and sent none
            speech.say(reply.unheard)
            reply.unheard = ""

    def _transcript(self, reply: _Chained) -> None:
        """The text that goes with the sound that comes next."""
        text, reply.unheard = reply.unheard, ""
        if text and not reply.dropped:
            text, marks = reply.adds(text)
            self._context.said(reply.id, reply.text)
            self._emit(ReplyText(reply.id, text, round(reply.position_ms), marks=marks))
