"""An answer that a speaking service gave in text alone, said by the agent's own text to speech."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..http import ServiceError
from ..speech.tts import Sound, SynthesisStream, Tts
from .base import BrainEvent, Failed, ReplyAudio, TimedWord
from .generation import Generation

logger = logging.getLogger("lipwire.agents")


class ReadAloud:
    """Says the text of one reply as it comes. Belongs to an event loop.

    Args:
        tts: speaks; it is closed at the end.
        reply: whose text it is; `text` and `position_ms` grow as it is handed over.
        emit: gets the ReplyText and ReplyAudio events, and a Failed where it cannot be said.
        over: called once, when all of it was handed over; whether that went well.
        language: of the text, a BCP 47 tag.
    """

    def __init__(
        self,
        tts: Tts,
        reply: Generation,
        emit: Callable[[BrainEvent], None],
        over: Callable[[bool], None],
        language: str = "en",
    ) -> None:
        self._tts = tts
        self._reply = reply
        self._emit = emit
        self._over = over
        self._speech = SynthesisStream(
            tts,
            on_text=self._text,
            on_sound=self._sound,
            on_words=self._words,
            language=language,
            on_lost=self._lost,
        )

    def say(self, text: str) -> None:
        """More text."""
        self._speech.say(self._reply.reads(text))

    def next_part(self) -> None:
        """What comes next was written apart from what came before."""
        self._speech.say(self._reply.reads("", last=True))
        self._speech.end_sentence()
        self._reply.next_part()

    def finish(self) -> None:
        """Nothing follows."""
        self._speech.say(self._reply.reads("", last=True))
        self._speech.finish()

    async def run(self) -> None:
        """Until all of it has been handed over. Cancel it where nobody wants it any more."""
        good = False
        try:
            await self._speech.run()
            good = True
            if not self._reply.dropped:
                for event in self._reply.shows():
                    self._emit(event)
        except ServiceError as exc:
            self._emit(Failed("TTS_ERROR", str(exc), self._reply.id))
        finally:
            await self._tts.close()
        self._over(good)

    def _text(self, text: str, sound: Sound | None) -> None:
        if not self._reply.dropped:
            for event in self._reply.says(text, sound):
                self._emit(event)

    def _words(self, words: tuple[TimedWord, ...]) -> None:
        if not self._reply.dropped:
            self._emit(self._reply.times(words))

    def _lost(self, text: str, error: ServiceError) -> None:
        self._emit(Failed("TTS_ERROR", f"a sentence was not said: {error}", self._reply.id, minor=True))

    async def _sound(self, sound: Sound) -> None:
        reply = self._reply
        if reply.dropped:
            return
        if (stamp := reply.stamp("first_audio")) is not None:
            self._emit(stamp)
        reply.position_ms += len(sound.pcm) / 2 / sound.rate * 1000
        self._emit(ReplyAudio(reply.id, sound.pcm, sound.rate))
        await asyncio.sleep(0)
