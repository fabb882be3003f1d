"""Speech to text by pocketsphinx, which knows English: what is left where whisper is not there."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
from collections.abc import Callable

from ....errors import BadState, InvalidArgument
from ...brains.base import TimedWord
from ...http import ServiceError
from ..stt import MAX_TEXT, TIMEOUT, Hearing, Transcript
from .recognizer import Pool, Recognizer
from .wire import Begin, Drop, Finish, Heard, Partial, Sound


class SphinxStt:
    """pocketsphinx in a process of its own, shared with the other agents of this event loop. It hears while the user
    speaks, so that little is left to do at the end.

    Raises:
        InvalidArgument: it is not English that is spoken. BadState: pocketsphinx is not installed.
    """

    def __init__(self, language: str) -> None:
        if language.partition("-")[0].lower() != "en":
            raise InvalidArgument(
                f"pocketsphinx knows English only, not {language!r}: set stt_url, or language to en-US"
            )
        if importlib.util.find_spec("pocketsphinx") is None:
            raise BadState("pocketsphinx is not installed: pip install 'lipwire[agents]'")
        self._pool: Pool | None = None

    async def open(self) -> None:
        self._pool = Pool.of("words")
        await self._pool.warm()

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.leave()

    def hear(self, on_partial: Callable[[str], None]) -> Hearing:
        if self._pool is None:
            raise BadState("the speech to text is not open")
        return _SphinxHearing(self._pool, on_partial)


class _SphinxHearing:
    _numbers = itertools.count(1)

    def __init__(self, pool: Pool, on_partial: Callable[[str], None]) -> None:
        self._pool = pool
        self._on_partial = on_partial
        self._waiting: list[bytes] = []
        self._worker: Recognizer | None = None
        self._ended = self._dropped = False
        self._result: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()
        self._task = pool.spawn(self._run())

    def feed(self, pcm: bytes) -> None:
        if self._worker is None:
            self._waiting.append(pcm)
        else:
            self._worker.send(Sound(pcm))

    async def finish(self) -> Transcript:
        self._ended = True
        if self._worker is not None:
            self._worker.send(Finish())
        try:
            async with asyncio.timeout(TIMEOUT):
                return await self._result
        except TimeoutError as exc:
            self._task.cancel()
            raise ServiceError(f"the offline recognizer did not answer within {TIMEOUT:g} s") from exc
        finally:
            self.drop()

    def drop(self) -> None:
        self._dropped = True
        if not self._ended:
            self._task.cancel()
        elif not self._task.done():  # an answer is on its way; after it the worker is as new
            asyncio.get_running_loop().call_later(TIMEOUT, self._task.cancel)

    async def _run(self) -> None:
        worker: Recognizer | None = None
        clean = False
        try:
            worker = await self._pool.take()
            number = next(self._numbers)
            worker.send(Begin(number))
            for pcm in self._waiting:
                worker.send(Sound(pcm))
            self._waiting.clear()
            if self._ended:
                worker.send(Finish())
            self._worker = worker
            while True:
                answer = await worker.read()
                if not isinstance(answer, Partial | Heard) or answer.number != number:
                    continue  # of an utterance that was dropped
                if isinstance(answer, Partial):
                    if not self._dropped:
                        self._on_partial(answer.text)
                else:
                    words = tuple(TimedWord(word, start, end - start) for word, start, end in answer.words)
                    clean = True
                    if not self._result.done():
                        self._result.set_result(Transcript(answer.text[:MAX_TEXT], words))
                    return
        except ServiceError as exc:
            if not self._result.done():
                self._result.set_exception(exc)
                self._result.exception()  # somebody may have dropped it
        except asyncio.CancelledError:
            if worker is not None and worker.alive and not self._ended:
                worker.send(Drop())  # it answers nothing to that, and is as new
                clean = True
            raise
        finally:
            self._worker = None
            if worker is not None:
                self._pool.give(worker, clean=clean)
