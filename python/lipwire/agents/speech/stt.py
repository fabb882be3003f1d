"""Speech to text for agents: what it is, and an OpenAI-compatible service. `offline_stt` needs none."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import wave
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from msgspec import Struct

from ...answers import read_all
from ...errors import BadData
from ...outward import Outward, OutwardRefused, site
from ...protocol.agent_bodies import InUse
from ..brains.base import HEARD_RATE, TimedWord
from ..http import ServiceClient, ServiceError, failure, refusal
from ..openai_models import TRANSCRIPTION
from . import transcription

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger("lipwire.agents")

TIMEOUT = 15.0
"""Seconds that a transcription may take."""
MAX_TEXT = 8192
"""Characters that a transcript may have; what is longer is cut."""
MAX_ANSWER = 1 << 20
"""Bytes of an answer."""
MAX_SERVICES = 256
"""Services of which is remembered in what form they answer."""


class Transcript(Struct, frozen=True):
    """What was said; word times count from the start of the sound that was fed."""

    text: str
    words: tuple[TimedWord, ...] = ()


class Hearing(Protocol):
    """One utterance on its way to text."""

    def feed(self, pcm: bytes) -> None:
        """More of it: PCM16 mono at 16 kHz."""

    async def finish(self) -> Transcript:
        """All of it was fed: what was said. Raises ServiceError. Called once."""

    def drop(self) -> None:
        """Nobody wants it any more. Safe after `finish`, and twice."""


class Stt(Protocol):
    """What understands speech."""

    async def open(self) -> None:
        """Gets ready. Raises LipwireError where it cannot."""

    def hear(self, on_partial: Callable[[str], None]) -> Hearing:
        """A new utterance; `on_partial` gets what it sounds like so far, where the source says so."""

    async def close(self) -> None:
        """Ends what it has started."""


# ----------------------------------------------------------------------------------------------------------- a service


def wav(pcm: bytes, rate: int = HEARD_RATE) -> bytes:
    """A WAV file of PCM16 mono."""
    sink = io.BytesIO()
    with wave.open(sink, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return sink.getvalue()


Form = Literal["words", "verbose", "json", "text", "plain"]
_FORMS: dict[Form, dict[str, str]] = {
    "words": {"response_format": "verbose_json", "timestamp_granularities[]": "word"},
    "verbose": {"response_format": "verbose_json"},
    "json": {"response_format": "json"},
    "text": {"response_format": "text"},
    "plain": {},
}
"""How an answer is asked for, the best form first: each is the next one's fallback."""


def _next_form(form: Form, refused: str) -> Form | None:
    """What to ask for after a refusal. Times and segments are ours to want and no service's duty, so those are given up
    whatever it says; the rest only where it says that the form is the matter. None = it is not."""
    text = refused.lower()
    if form == "words":
        return "verbose" if re.search(r"granularit|timestamp|\bwords?\b", text) else "json"
    if form == "verbose":
        return "json"
    if re.search(r"response[ _]?format|\bformats?\b|\bjson\b", text):
        return {"json": "text", "text": "plain"}.get(form)  # type: ignore[return-value]
    return None


class HttpStt:
    """An OpenAI-compatible /audio/transcriptions. Words come with times where the model is a whisper and the service
    gives them; where it does not, it is asked for less, and the text is what counts.

    A request that failed in a way that may pass is made once more, when the service wants that.

    Args:
        headers: go with every request, besides those that it needs (`headers.check_headers`).
        prompt: what guides the model: a text before this one, or words to be expected; "" = nothing.
        outward: where the URL may lead; None = it is the operator's own.
    """

    _forms: ClassVar[dict[tuple[str, str], Form]] = {}
    """What was not refused, by URL and model: who comes next need not ask again."""

    def __init__(
        self,
        url: str,
        *,
        language: str,
        model: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        prompt: str = "",
        outward: Outward | None = None,
    ) -> None:
        self.url = url
        self.prompt = prompt
        self.model = model or TRANSCRIPTION
        self.language = language.partition("-")[0].lower()
        self.api_key = api_key
        self.headers = dict(headers or {})
        self.in_use = InUse(name=self.model)
        """What it is asked for."""
        self._http = ServiceClient(TIMEOUT + 5, outward)

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        await self._http.aclose()

    def hear(self, on_partial: Callable[[str], None]) -> Hearing:
        return _HttpHearing(self)

    async def transcribe(self, pcm: bytes) -> Transcript:
        """Raises ServiceError."""
        sound = wav(pcm)
        try:
            return await self._once(sound)
        except ServiceError as exc:
            if not exc.passing:
                raise
            logger.warning("%s: it is asked again in %.1f s", exc, exc.seconds_to_wait())
            await asyncio.sleep(exc.seconds_to_wait())
        return await self._once(sound)

    async def _once(self, sound: bytes) -> Transcript:
        import httpx

        secrets = (self.api_key, *self.headers.values())
        try:
            async with asyncio.timeout(TIMEOUT):
                body, kind = await self._ask(sound)
            text, words = transcription.read(body, kind)
        except TimeoutError as exc:
            raise ServiceError(f"speech to text at {site(self.url)} did not answer within {TIMEOUT:g} s") from exc
        except (httpx.HTTPError, httpx.InvalidURL, OutwardRefused) as exc:
            raise failure("speech to text", self.url, exc, *secrets) from exc
        except transcription.NoTranscription as exc:
            raise ServiceError(f"speech to text at {site(self.url)} answered what is no transcription") from exc
        return Transcript(text[:MAX_TEXT], words)

    async def _ask(self, sound: bytes) -> tuple[bytes, str]:
        """The answer to a request in a form that the service has, and its type. Raises as `ServiceClient.post`, and
        ServiceError."""
        service = (self.url, self.model)
        first = form = self._forms.get(service) or ("words" if "whisper" in self.model else "json")
        while True:
            more = {"language": self.language, "prompt": self.prompt}
            data = {"model": self.model, **_FORMS[form], **{name: value for name, value in more.items() if value}}
            files = {"file": ("speech.wav", sound, "audio/wav")}
            reply = await self._http.post(self.url, key=self.api_key, headers=self.headers, data=data, files=files)
            try:
                if reply.status_code // 100 == 2:
                    if form != first:
                        self._remember(service, form)
                    return await self._read(reply), reply.headers.get("content-type", "").lower()
                refused = await refusal("speech to text", self.url, reply, self.api_key, *self.headers.values())
            finally:
                await reply.aclose()
            if refused.status not in (400, 406, 415, 422, 501):
                raise refused
            if self.language and re.search(r"\blanguage\b", refused.said.lower()):
                self.language = ""  # it knows none of them, or takes no such word; most find it out by themselves
            elif (other := _next_form(form, refused.said)) is not None:
                form = other
            else:
                raise refused

    def _remember(self, service: tuple[str, str], form: Form) -> None:
        logger.info("speech to text at %s is asked for %s from now on", site(self.url), form)
        self._forms[service] = form
        if len(self._forms) > MAX_SERVICES:
            del self._forms[next(iter(self._forms))]

    async def _read(self, reply: httpx.Response) -> bytes:
        try:
            return await read_all(reply, MAX_ANSWER)
        except BadData as exc:
            raise ServiceError("speech to text answered more than 1 MB") from exc


class _HttpHearing:
    def __init__(self, stt: HttpStt) -> None:
        self._stt = stt
        self._pcm = bytearray()

    def feed(self, pcm: bytes) -> None:
        self._pcm += pcm

    async def finish(self) -> Transcript:
        return await self._stt.transcribe(bytes(self._pcm))

    def drop(self) -> None:
        self._pcm.clear()
