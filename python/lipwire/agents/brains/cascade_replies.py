"""The replies of the cascade: those that wait for their turn, and what is handed over of each, text and sound.

    Source -> SynthesisStream -> ReplyText, ReplyAudio

Of a service that sends the sound itself, both come from the source.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal

from msgspec import structs

from ...errors import BadState, BufferFull
from ...protocol.agent_bodies import InUse
from ..http import ServiceError
from ..in_use import fell_back
from ..speech.tts import OfflineTts, Sound, SynthesisStream, Tts
from ..update import apply
from .base import Failed, ReplyAudio, ReplyFinished, ReplyStarted, ReplyText, Services, TimedWord
from .cascade_state import CascadeState
from .generation import Generation
from .speech_services import make_tts

logger = logging.getLogger("lipwire.agents")

AHEAD_MS = 20_000
"""How far ahead of real time a reply is handed over: what waits to be played is bounded."""
MAX_WAITING = 16
"""Replies that may wait for their turn; another one is refused."""


class ChainedReply(Generation):
    """A reply on its way through the chain."""

    def __init__(self, kind: Literal["chat", "speak"], before: list[ChainedReply], skipped: Sequence[int] = ()) -> None:
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


Source = Callable[[ChainedReply, SynthesisStream], Coroutine[Any, Any, None]]
"""What gives a reply its words: it hands them to the stream that speaks them."""


def given(text: str) -> Source:
    """A text that is said as it is."""

    async def say(reply: ChainedReply, speech: SynthesisStream) -> None:
        speech.say(reply.reads(text, last=True))

    return say


class CascadeReplies:
    """Makes replies, and hands them over one after the other.

    Raises:
        InvalidArgument, BadState: the text to speech cannot be had.
    """

    def __init__(self, state: CascadeState, services: Services) -> None:
        self._state = state
        self._services = services
        self._tts = make_tts(state.config, services)
        self._replies: dict[str, ChainedReply] = {}
        """Those that are not handed over, in order."""
        self._retiring: set[Tts] = set()
        """What spoke before, and is not closed yet."""

    async def close(self) -> None:
        self._replies.clear()
        while self._retiring:
            await self._retiring.pop().close()
        await self._tts.close()

    # ---- the voice

    def begin_voice(self) -> None:
        """It is loaded before it is needed."""
        if isinstance(self._tts, OfflineTts):
            emit = self._state.emit  # not the brain itself: who is kept by its own voice is kept for ever
            self._tts.on_fall = lambda used: emit(fell_back("voice", used))
            self._state.spawn(self._tts.warm())

    def in_use(self) -> InUse:
        """What it speaks with; of a service, what that is asked for."""
        if isinstance(self._tts, OfflineTts):
            return self._tts.in_use
        config = self._state.config
        return InUse(name=config.voice if config.tts is None else config.tts.name)

    def as_asked(self, changes: dict[str, Any]) -> Tts:
        """What speaks with another voice. Raises LipwireError: nothing does, and nothing has changed yet."""
        config = structs.replace(self._state.config, spare_voice="", missing_voice="")
        apply(config, {name: value for name, value in changes.items() if name in ("voice", "language")})
        return make_tts(config, self._services)

    def speak_by(self, tts: Tts) -> None:
        """This speaks from the next reply on; those that there are keep the voice of before."""
        self._state.config.spare_voice = self._state.config.missing_voice = ""
        old, self._tts = self._tts, tts
        self.begin_voice()
        self._retiring.add(old)
        self._state.spawn(self._retire(old, list(self._replies.values())))

    async def _retire(self, tts: Tts, replies: list[ChainedReply]) -> None:
        for reply in replies:
            await reply.finished.wait()
        await tts.close()
        self._retiring.discard(tts)  # not before: where this is broken off, `close` closes it

    # ---- those that wait

    def get(self, reply_id: str) -> ChainedReply | None:
        """One that is not handed over."""
        return self._replies.get(reply_id)

    def begin(
        self, kind: Literal["chat", "speak"], source: Source, item_id: str | None = None, *, aside: bool = False
    ) -> ChainedReply:
        """Raises BadState, BufferFull."""
        if not self._state.open:
            raise BadState("the brain is closed")
        if len(self._replies) >= MAX_WAITING:
            raise BufferFull(f"{MAX_WAITING} replies wait to be said already")
        aloud = "audio" not in self._state.config.llm.output_modalities or kind == "speak"
        before = [] if aside else list(self._replies.values())
        reply = ChainedReply(kind, before, self._state.config.skip_patterns if aloud else ())
        reply.aside = aside
        self._replies[reply.id] = reply
        self._state.emit(ReplyStarted(reply.id, time.monotonic_ns(), item_id))
        reply.task = self._state.spawn(self._run(reply, source))
        return reply

    def drop_answers(self) -> None:
        """Another answer takes their place."""
        for reply in list(self._replies.values()):
            if reply.kind == "chat" and not reply.kept:
                self.drop(reply)

    def drop(self, reply: ChainedReply) -> None:
        """It is broken off."""
        reply.dropped = True
        self._replies.pop(reply.id, None)
        if reply.task is not None:
            reply.task.cancel()
        reply.finished.set()
        self._state.emit(ReplyFinished(reply.id, reply.text, "cancelled"))

    # ---- what is said

    async def _run(self, reply: ChainedReply, source: Source) -> None:
        async def on_sound(sound: Sound) -> None:
            await self.sound(reply, sound.pcm, sound.rate)

        speech = SynthesisStream(
            self._tts,
            on_text=lambda text, sound: self._said(reply, text, sound),
            on_sound=on_sound,
            on_words=lambda words: self._timed(reply, words),
            on_stage=lambda name: self.stamp(reply, name),
            language=self._state.config.language,
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
            self._state.emit(failed)
        self._hand(reply, reply.shows())
        if reply.kept:
            self._state.context.said(reply.id, reply.text)  # also where that is nothing: no more of it is expected
        self._state.emit(ReplyFinished(reply.id, reply.text, "failed" if failed is not None else "done"))

    def _failure(self, code: str, error: BaseException, reply: ChainedReply) -> Failed:
        if not isinstance(error, ServiceError):
            logger.error("agent %s: %s", self._state.config.name, code, exc_info=error)
        return Failed(code, str(error) or type(error).__name__, reply.id)

    def _lost(self, reply: ChainedReply, text: str, error: ServiceError) -> None:
        """A sentence was not said, or not to its end; what follows it is."""
        if not reply.dropped:
            self._state.emit(
                Failed("TTS_ERROR", f"{len(text)} characters were not said: {error}", reply.id, minor=True)
            )

    def stamp(self, reply: ChainedReply, name: Any) -> None:
        """It has come to this point of its way."""
        if not reply.dropped and (stamp := reply.stamp(name)) is not None:
            self._state.emit(stamp)

    def _said(self, reply: ChainedReply, text: str, sound: Sound | None) -> None:
        """A piece of text whose sound follows."""
        if text:  # else it was retracted
            self._hand(reply, reply.says(text, sound))

    def _hand(self, reply: ChainedReply, events: list[ReplyText]) -> None:
        """More of its text is told, and remembered."""
        if reply.dropped or not events:
            return
        if not reply.aside:
            self._state.context.said(reply.id, reply.text, given=reply.kind == "speak")
        for event in events:
            self._state.emit(event)

    def _timed(self, reply: ChainedReply, words: tuple[TimedWord, ...]) -> None:
        """When words are said of the text that was handed over last."""
        if not reply.dropped:
            self._state.emit(reply.times(words))

    async def sound(self, reply: ChainedReply, pcm: bytes, rate: int) -> None:
        """More of its sound; returns when there may be more."""
        if reply.dropped:
            return
        loop = asyncio.get_running_loop()
        reply.began = reply.began or loop.time()
        self.stamp(reply, "first_audio")
        reply.position_ms += len(pcm) / 2 / rate * 1000
        self._state.emit(ReplyAudio(reply.id, pcm, rate))
        ahead = reply.position_ms - (loop.time() - reply.began) * 1000 - AHEAD_MS
        if ahead > 0:
            await asyncio.sleep(ahead / 1000)

    def transcript(self, reply: ChainedReply) -> None:
        """The text that goes with the sound that comes next."""
        text, reply.unheard = reply.unheard, ""
        if text and not reply.dropped:
            text, marks = reply.adds(text)
            self._state.context.said(reply.id, reply.text)
            self._state.emit(ReplyText(reply.id, text, round(reply.position_ms), marks=marks))
