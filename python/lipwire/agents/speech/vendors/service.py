"""Text to speech by a service: what all of them share, and the engine for those that answer by HTTP."""

from __future__ import annotations

import asyncio
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import structs

from ....answers import pieces
from ....audio.sound_reader import NotSound, SoundReader
from ....errors import BadData
from ....outward import Outward, OutwardRefused, site
from ...http import ServiceClient, ServiceError, failure, refusal
from ..answers import JsonSound
from ..tts import Sound

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger("lipwire.agents")

FIRST_BYTE = 10.0
"""Seconds until the first sound of a piece of text."""
BETWEEN = 5.0
"""Seconds between two pieces of its sound."""
MAX_SPEECH_MS = 120_000
"""How long one piece of text may be spoken; a service that sends more is cut off."""
WHOLE = FIRST_BYTE + MAX_SPEECH_MS / 1000
"""Seconds until the end of its sound, however little comes at a time."""
AT_ONCE = 4
"""Requests to a service at a time, for one agent."""
WHAT = "text to speech"
JSON_TYPES = frozenset({"application/json", "text/event-stream", "application/x-ndjson", "application/jsonl"})


class ServiceTts(ABC):
    """A service that speaks; a `tts.Tts`.

    A request that failed in a way that may pass is made once more, when the service wants that. What of its sound has
    been given away by then is left out of the second answer, so nothing is said twice.

    Args:
        url: where it is; the words of a failure name its host.
        secrets: of the request, which are kept out of the log.
    """

    def __init__(self, url: str, secrets: Iterable[str | None] = ()) -> None:
        self.url = url
        self.secrets = tuple(secrets)
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._alone = False
        """It takes one request at a time."""

    @abstractmethod
    async def close(self) -> None:
        """Ends its connections."""

    @abstractmethod
    def _once(self, text: str) -> AsyncGenerator[Sound, None]:
        """The sound of one request. Raises ServiceError."""

    async def speak(self, text: str) -> AsyncGenerator[Sound, None]:
        given = 0.0
        again: ServiceError | None = None
        for last in (False, True):
            async with self._turn(again):
                skip, at = given, 0.0
                try:
                    async with aclosing(self._once(text)) as sounds:
                        async for sound in sounds:
                            rest = _behind(sound, at, skip)
                            at += _seconds(sound)
                            given = max(given, at)
                            if rest is not None:
                                yield rest
                    return
                except ServiceError as exc:
                    if last or not exc.passing:
                        raise
                    again = exc
                    logger.warning("%s: it is asked again in %.1f s", exc, exc.seconds_to_wait())

    @asynccontextmanager
    async def _turn(self, again: ServiceError | None) -> AsyncGenerator[None, None]:
        """A place among the requests, when it is time for it. A service that is asked too much (429) gets one request
        at a time from then on, since that may be all it takes."""
        loop = asyncio.get_running_loop()
        until = loop.time() + again.seconds_to_wait() if again is not None else 0.0
        if again is not None and again.status == 429 and not self._alone:
            self._alone = True
            for _ in range(AT_ONCE - 1):
                await self._gate.acquire()  # for good
        async with self._gate:
            await asyncio.sleep(until - loop.time())
            yield

    def _stalled(self) -> ServiceError:
        return passing(f"{WHAT} at {site(self.url)} stalled")

    def _unplayable(self, why: BadData) -> ServiceError:
        return ServiceError(f"{WHAT} at {site(self.url)} sent what cannot be played: {why}")


def passing(message: str) -> ServiceError:
    """A failure after which the service may be asked again at once."""
    error = ServiceError(message)
    error.passing, error.wait = True, 0.0
    return error


def no_sound() -> ServiceError:
    return passing(f"{WHAT} sent no sound")


def check_length(seconds: float) -> None:
    """Raises ServiceError: a piece of text is spoken for too long."""
    if seconds > MAX_SPEECH_MS / 1000:
        raise ServiceError(f"{WHAT} sends more than {MAX_SPEECH_MS // 1000} s for one sentence")


def _seconds(sound: Sound) -> float:
    return len(sound.pcm) / 2 / sound.rate


def _behind(sound: Sound, at: float, skip: float) -> Sound | None:
    """What of a sound, which begins at `at` seconds, lies behind the first `skip` seconds; None = nothing."""
    if at >= skip:
        return sound
    cut = min(round((skip - at) * sound.rate) * 2, len(sound.pcm))
    words = tuple(word for word in sound.words if word.start_ms >= skip * 1000)
    return structs.replace(sound, pcm=sound.pcm[cut:], words=words) if cut < len(sound.pcm) or words else None


# ---------------------------------------------------------------------------------------------------------------- HTTP


class HttpTts(ServiceTts):
    """A service that answers a request by HTTP with sound, streamed. What it sends is decoded, whatever it is
    (`audio.sound_reader`).

    Args:
        outward: where its URL may lead; None = it is the operator's own.
    """

    def __init__(self, url: str, secrets: Iterable[str | None] = (), outward: Outward | None = None) -> None:
        super().__init__(url, secrets)
        self._http = ServiceClient(FIRST_BYTE + 5, outward)

    @abstractmethod
    async def _ask(self, text: str) -> httpx.Response:
        """The answer. Raises as `_post`."""

    plain_rate: int | None = None
    """Hz of plain samples whose answer says none; None = OpenAI's."""
    label: str | None = None
    """The type of plain samples, whatever the answer calls them; None = as it says."""

    async def close(self) -> None:
        await self._http.aclose()

    async def _post(self, content: bytes, headers: Mapping[str, str], key: str | None = None) -> httpx.Response:
        """The answer, which is a 2xx. Raises as `ServiceClient.post`, and ServiceError: it refused."""
        reply = await self._http.post(self.url, key=key, headers=headers, content=content)
        if reply.status_code // 100 == 2:
            return reply
        try:
            raise await refusal(WHAT, self.url, reply, *self.secrets)
        finally:
            await reply.aclose()

    async def _once(self, text: str) -> AsyncGenerator[Sound, None]:
        import httpx

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(FIRST_BYTE) as limit:
                latest = loop.time() + WHOLE
                reply = await self._ask(text)
                body = _Body(reply.headers, self.plain_rate, self.label)
                try:
                    async for data in pieces(reply):
                        for sound in await body.take(data):
                            limit.reschedule(None)
                            yield sound
                            limit.reschedule(min(loop.time() + BETWEEN, latest))
                    for sound in await body.end():
                        limit.reschedule(None)
                        yield sound
                finally:
                    body.close()
                    await reply.aclose()
        except TimeoutError as exc:
            raise self._stalled() from exc
        except (httpx.HTTPError, httpx.InvalidURL, OutwardRefused) as exc:
            raise failure(WHAT, self.url, exc, *self.secrets) from exc
        except BadData as exc:
            raise self._unplayable(exc) from exc
        if not body.seconds:
            raise no_sound()


class _Body:
    """The body of an answer as sound."""

    def __init__(self, headers: Mapping[str, str], rate: int | None, forced: str | None) -> None:
        label = headers.get("content-type", "")
        if forced is not None and (not label or label.lower().startswith(("audio/", "application/octet-stream"))):
            label = forced
        kind = label.partition(";")[0].strip().lower()
        self._kind = kind
        said = re.fullmatch(r"\s*(\d{4,6})\s*", headers.get("x-sample-rate", ""))
        plain = not kind or kind.startswith(("audio/", "binary/")) or kind == "application/octet-stream"
        self._json: JsonSound | None = None
        self._may_be_json = kind in JSON_TYPES
        self._reader = SoundReader(label, rate=int(said[1]) if said else rate, plain=plain, most=MAX_SPEECH_MS / 1000)
        self.seconds = 0.0
        """Of sound that have come."""

    def close(self) -> None:
        if self._reader.lost:
            logger.warning("text to speech: %d broken packets of sound were left out", self._reader.lost)
        self._reader.close()

    async def take(self, data: bytes) -> list[Sound]:
        """Raises BadData, ServiceError."""
        if self._may_be_json and (begins := data.lstrip()):
            self._may_be_json = False
            if begins[:1] in b'{["deir:':  # of JSON, or of a line of an event stream; no container begins so
                self._json, self._reader = JsonSound(), SoundReader(most=MAX_SPEECH_MS / 1000)
        return self._sounds(await self._read(data if self._json is None else self._json.take(data), ended=False))

    async def end(self) -> list[Sound]:
        """Raises BadData, ServiceError."""
        rest = b"" if self._json is None else self._json.end()
        found = self._sounds(await self._read(rest, ended=False)) if rest else []
        return found + self._sounds(await self._read(b"", ended=True))

    async def _read(self, data: bytes, *, ended: bool) -> list[tuple[bytes, int]]:
        try:
            return await (self._reader.end() if ended else self._reader.take(data))
        except NotSound as exc:
            raise ServiceError(f"text to speech answered {self._kind[:60]!r}, where sound was expected") from exc

    def _sounds(self, found: list[tuple[bytes, int]]) -> list[Sound]:
        for pcm, rate in found:
            self.seconds += len(pcm) / 2 / rate
        check_length(self.seconds)
        return [Sound(pcm, rate) for pcm, rate in found]
