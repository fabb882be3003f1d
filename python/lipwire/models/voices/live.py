"""Says texts while an event loop runs: hibari, Piper and Kokoro in the process of models, espeak-ng in a thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from msgspec import Struct

from ...audio import espeak
from ...avatar import Voice
from ...errors import ModelFailed
from ..host import Job, ModelHost
from ..wire import Answer, Speak, Spoken
from .espeak import espeak_voice
from .names import Name
from .speaker import speak

logger = logging.getLogger("lipwire.voices")

TRIES = 2
"""How often a text is begun whose process died: it goes on with the first sentence that was not said."""


class Patience(Struct, frozen=True):
    """Seconds until a voice in the process of models is taken to hang."""

    sound: float = 20.0
    """For the first sound of a text, and from one to the next; other texts are said between them."""
    loading: float = 30.0
    """More, where the process does not run yet, or a voice was loaded."""


class LiveVoices:
    """Speaks with the voices of this machine. Belongs to an event loop; `close` it."""

    def __init__(self) -> None:
        self.patience = Patience()
        self._host: ModelHost | None = None

    async def close(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            await host.leave()

    async def warm(self, name: Name) -> None:
        """Loads a voice, so that the first text is not slow. Raises ModelFailed."""
        if name.engine != "espeak":
            await self._the_host().warm("voice", str(name))

    async def speak(self, name: Name, text: str) -> AsyncGenerator[Spoken, None]:
        """Says `text`, sentence by sentence, with a voice that `catalogue.resolved` gave.

        Raises:
            LipwireError: it cannot be said, or there is nothing to say. ModelFailed: also where the voice hangs.
        """
        if name.engine == "espeak":
            for sound in await espeak.in_thread(speak, name, text):
                yield sound
            return
        given = 0
        for last in range(1, TRIES + 1):
            try:
                async with aclosing(self._once(name, text, given)) as sounds:
                    async for sound in sounds:
                        given += 1
                        yield sound
                return
            except ModelFailed as exc:
                if not exc.died or last == TRIES:
                    raise
                logger.warning("%s: what is left is said again", exc)

    async def whole(self, name: Name, text: str, like: Voice | None = None) -> list[Spoken]:
        """All of a text. Where the voice fails, espeak-ng says it, if it has one for the face whose voice it was.

        Args:
            like: the face's voice, for English; None = somebody asked for just this one, and no other speaks.

        Raises:
            LipwireError: as `speak`.
        """
        try:
            return [sound async for sound in self.speak(name, text)]
        except ModelFailed as exc:
            if like is None or not espeak.available():
                raise
            spare = Name("espeak", espeak_voice(like.espeak or like.service or "", "en-US"))
            logger.warning("%s speaks in place of %s: %s", spare, name, exc)
        return [sound async for sound in self.speak(spare, text)]

    def _the_host(self) -> ModelHost:
        if self._host is None:
            self._host = ModelHost.of()
        return self._host

    async def _once(self, name: Name, text: str, given: int) -> AsyncGenerator[Spoken, None]:
        """Without the first `given` sentences."""
        answers: asyncio.Queue[Answer | ModelFailed | None] = asyncio.Queue()
        job = self._the_host().job("voice", Speak(str(name), text), answers.put_nowait, answers.put_nowait)
        try:
            while (answer := await self._next(answers, job)) is not None:
                if isinstance(answer, ModelFailed):
                    raise answer
                if isinstance(answer, Spoken):
                    given -= 1
                    if given < 0:
                        yield answer
        finally:
            job.drop()

    async def _next(self, answers: asyncio.Queue[Answer | ModelFailed | None], job: Job) -> Answer | ModelFailed | None:
        """Raises ModelFailed: there is none for too long."""
        for seconds in (self.patience.sound, self.patience.loading):
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await answers.get()
            if job.begun and not job.loaded:
                break
        raise ModelFailed("it hangs: there was no sound of it for too long")
