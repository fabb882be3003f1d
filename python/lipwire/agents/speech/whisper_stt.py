"""Speech to text by whisper, in the process of models that all agents of the event loop share (lipwire.models)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ...errors import BadState, ModelFailed
from ...models.host import Job, ModelHost
from ...models.wire import Answer, Finish, Heard, Listen, Partial, Sound16
from ..brains.base import TimedWord
from ..http import ServiceError
from ..in_use import told
from .stt import MAX_TEXT, TIMEOUT, Hearing, Transcript
from .transcription import likely_said, speech_in

SENT_AT_ONCE = 3200
"""Bytes of sound in a message to the process, 100 ms."""
TRIES = 2
"""How often an utterance is sent: again, if the process died of something else."""


class NotHeard(ServiceError):
    """The model failed, or hangs, and may fail again; `pcm` is all of the utterance."""

    def __init__(self, message: str, pcm: bytes) -> None:
        super().__init__(message)
        self.pcm = pcm


class WhisperStt:
    """A whisper model. What is said so far comes every half second, where there is time.

    Args:
        language: BCP 47.
        model: a name of models.table, or a folder of the user's; "" = the default of the language.
        expected: words that may be said: names, say.
    """

    def __init__(self, language: str, model: str = "", expected: Sequence[str] = ()) -> None:
        self._language, self._model, self._expected = language, model, tuple(expected)
        self._host: ModelHost | None = None

    async def open(self) -> None:
        """Has the model loaded. Raises ModelFailed: it cannot be had, or does not know the language."""
        self._host = ModelHost.of()
        try:
            await self._host.warm("ears", self._model)
            await self._check(self._host)
        except BaseException as exc:
            await self.close()
            if isinstance(exc, ModelFailed):
                raise ModelFailed(told(str(exc), self._model), died=exc.died) from exc
            raise

    async def _check(self, host: ModelHost) -> None:
        """Whether the model knows the language: by an utterance without sound. Raises ModelFailed."""
        done: asyncio.Future[ModelFailed | None] = asyncio.get_running_loop().create_future()
        job = host.job("ears", Listen(self._language, model=self._model), lambda answer: None, done.set_result)
        job.send(Finish())
        try:
            if (failed := await done) is not None:
                raise failed
        finally:
            job.drop()

    async def close(self) -> None:
        host, self._host = self._host, None
        if host is not None:
            await host.leave()

    def hear(self, on_partial: Callable[[str], None]) -> Hearing:
        if self._host is None:
            raise BadState("the speech to text is not open")
        listen = Listen(self._language, words=True, model=self._model, expected=self._expected)
        return _WhisperHearing(self._host, listen, on_partial)


class _WhisperHearing:
    """An utterance. All of its sound is kept, to be sent again to another process if this one dies."""

    def __init__(self, host: ModelHost, listen: Listen, on_partial: Callable[[str], None]) -> None:
        self._host, self._listen, self._on_partial = host, listen, on_partial
        self._pcm = bytearray()
        self._result: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()
        self._ended = False
        self._tries = 0
        self._begin()

    def _begin(self) -> None:
        self._sent = 0
        self._tries += 1
        self._job: Job = self._host.job("ears", self._listen, self._answered, self._over)
        self._send(at_least=1)
        if self._ended:
            self._job.send(Finish())

    def _send(self, at_least: int) -> None:
        if len(self._pcm) - self._sent >= at_least:
            self._job.send(Sound16(bytes(self._pcm[self._sent :])))
            self._sent = len(self._pcm)

    def feed(self, pcm: bytes) -> None:
        self._pcm += pcm
        self._send(SENT_AT_ONCE)

    async def finish(self) -> Transcript:
        """Raises NotHeard."""
        self._ended = True
        self._send(at_least=1)
        self._job.send(Finish())
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._result
        except TimeoutError as exc:
            late = f"speech to text on this machine did not answer within {TIMEOUT:g} s"
            raise NotHeard(late, bytes(self._pcm)) from exc
        finally:
            self.drop()

    def drop(self) -> None:
        self._job.drop()
        self._result.cancel()

    def _answered(self, answer: Answer) -> None:
        if isinstance(answer, Partial):
            if text := speech_in(answer.text):
                self._on_partial(text)
        elif isinstance(answer, Heard) and not self._result.done():
            self._result.set_result(transcript(answer))

    def _over(self, failed: ModelFailed | None) -> None:
        if failed is None or self._result.done():
            return
        if failed.died and self._tries < TRIES:
            self._begin()
        else:
            self._result.set_exception(NotHeard(told(str(failed), self._listen.model), bytes(self._pcm)))
            self._result.exception()  # somebody may have dropped it


def transcript(heard: Heard) -> Transcript:
    """What the model heard, as agents have it."""
    text = likely_said(heard.text, heard.no_speech)[:MAX_TEXT]
    words = (
        TimedWord(word, round(start * 1000), round((end - start) * 1000)) for word, start, end in heard.words if text
    )
    return Transcript(text, tuple(words))
