"""Azure's Speech: text to speech by its REST, speech to text by the WebSocket that its SDK speaks."""

from __future__ import annotations

import re
import struct
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import msgspec

from ....errors import InvalidArgument
from ....outward import Outward
from ...brains.base import HEARD_RATE, TimedWord
from .params import SOCKET, WEB, Params, with_query
from .service import HttpTts
from .socket_stt import Heard

if TYPE_CHECKING:
    import httpx

FORMATS = {
    8000: "raw-8khz-16bit-mono-pcm",
    16_000: "raw-16khz-16bit-mono-pcm",
    22_050: "raw-22050hz-16bit-mono-pcm",
    24_000: "raw-24khz-16bit-mono-pcm",
    44_100: "raw-44100hz-16bit-mono-pcm",
    48_000: "raw-48khz-16bit-mono-pcm",
}
"""What Azure calls PCM16 of each rate."""


def region_of(params: Params, *, needed: bool) -> str:
    """The region, as it is part of a host's name; "" = there is none. Raises InvalidArgument."""
    region = params.needed("region") if needed else params.text("region") or ""
    if region and not re.fullmatch(r"[A-Za-z0-9-]{1,40}", region):
        raise InvalidArgument(f"{params.where}.region is no region of Azure's, as eastus is one")
    return region.lower()


class MicrosoftTts(HttpTts):
    """A voice of Azure's. Raises InvalidArgument."""

    def __init__(
        self, params: Params, headers: Mapping[str, str], language: str, outward: Outward | None = None
    ) -> None:
        key, own = params.key("key", "api_key"), params.has("base_url", "endpoint", "url")
        region = region_of(params, needed=not own)
        url = params.url(
            *("base_url", "endpoint", "url"),
            schemes=WEB,
            default=f"https://{region or 'eastus'}.tts.speech.microsoft.com/cognitiveservices/v1",
            ends="/cognitiveservices/v1",
        )
        self.voice = params.needed("voice_name")
        rate = params.one_of("sample_rate", tuple(FORMATS)) or 24_000
        speed, volume = params.number("speed", 0.5, 2), params.number("volume", 0, 100)
        params.end()
        super().__init__(url, (key, *headers.values()), outward)
        self.label = f"audio/pcm;rate={rate}"  # Azure calls it audio/basic, say, which it is not
        self.headers = {
            "ocp-apim-subscription-key": key,
            "content-type": "application/ssml+xml",
            "x-microsoft-outputformat": FORMATS[rate],
            "user-agent": "lipwire",
            **headers,
        }
        prosody = {"rate": speed, "volume": volume}
        self._prosody = "".join(f" {name}='{value:g}'" for name, value in prosody.items() if value is not None)
        said = re.match(r"[A-Za-z]{2,3}-[A-Za-z]{2,4}(?=-)", self.voice)
        self._language = said[0] if said else language

    def ssml(self, text: str) -> str:
        """What is posted for a text."""
        inner = escape(text)
        if self._prosody:
            inner = f"<prosody{self._prosody}>{inner}</prosody>"
        head = f"version='1.0' xmlns='http://www.w3.org/2001/10/synthesis' xml:lang={quoteattr(self._language)}"
        return f"<speak {head}><voice name={quoteattr(self.voice)}>{inner}</voice></speak>"

    async def _ask(self, text: str) -> httpx.Response:
        return await self._post(self.ssml(text).encode(), self.headers)


# ------------------------------------------------------------------------------------------------------ speech to text

PATH = "/speech/recognition/conversation/cognitiveservices/v1"
TICKS = 10_000_000
"""Of Azure's times in a second."""


class MicrosoftListener:
    """Its protocol.

    Args:
        language: where the params name none.
        keywords: words to be expected.

    Raises:
        InvalidArgument.
    """

    resumes = False
    ends = True
    alive = ""

    def __init__(self, params: Params, language: str, keywords: Sequence[str]) -> None:
        key, own = params.key("key", "api_key"), params.has("base_url", "endpoint", "url")
        region = region_of(params, needed=not own)
        url = params.url(
            *("base_url", "endpoint", "url"),
            schemes=SOCKET,
            default=f"wss://{region or 'eastus'}.stt.speech.microsoft.com{PATH}",
            ends=PATH,
        )
        language = params.text("language") or language
        if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})+", language):
            raise InvalidArgument(f"{params.where}.language must be one of Azure's with its region, as en-US is")
        self._language = language
        self._phrases = [*params.texts("phrase_list"), *keywords]
        query = {
            "language": language,
            "format": "detailed",
            "wordLevelTimestamps": True,
            "profanity": params.one_of("profanity", ("masked", "removed", "raw")),
        }
        params.end()
        self.url = with_query(url, query.items())
        self.headers: Mapping[str, str] = {"ocp-apim-subscription-key": key, "x-connectionid": uuid.uuid4().hex.upper()}

    def ear(self) -> _Ear:
        return _Ear(self._language, self._phrases)


class _Ear:
    """Each utterance is a request of its own; its times count from its beginning. Messages have headers: in texts they
    stand in front, in binary ones behind their length, 16 bits big-endian."""

    def __init__(self, language: str, phrases: Sequence[str]) -> None:
        self._language = language
        self._phrases = phrases
        self._request = ""
        self._begun = False
        self._introduced = False

    def begin(self) -> list[str | bytes]:
        self._request, self._begun = uuid.uuid4().hex.upper(), False
        messages: list[str | bytes] = []
        if not self._introduced:
            self._introduced = True
            system = {"name": "Lipwire", "version": "1", "build": "Python", "lang": "Python"}
            config = {"context": {"system": system, "os": {"platform": "Linux", "name": "Linux", "version": ""}}}
            messages.append(self._text("speech.config", config))
        context: dict[str, Any] = {
            "phraseDetection": {"mode": "Conversation", "language": self._language},
            "phraseOutput": {"format": "Detailed", "detailed": {"options": ["WordTimings"]}},
        }
        if self._phrases:
            items = [{"text": phrase} for phrase in self._phrases]
            context["dgi"] = {"groups": [{"type": "Generic", "items": items}], "bias": 1}
        messages.append(self._text("speech.context", context))
        return messages

    def sound(self, pcm: bytes) -> bytes:
        first = b"" if self._begun else _wav_header()
        self._begun = True
        return self._audio(first + pcm)

    def finish(self) -> list[str | bytes]:
        return [self._audio(b"")]

    def _head(self, path: str, kind: str) -> str:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lines = (f"Path: {path}", f"X-RequestId: {self._request}", f"X-Timestamp: {now}", f"Content-Type: {kind}")
        return "\r\n".join(lines) + "\r\n"

    def _text(self, path: str, body: Any) -> str:
        return f"{self._head(path, 'application/json')}\r\n{msgspec.json.encode(body).decode()}"

    def _audio(self, data: bytes) -> bytes:
        head = self._head("audio", "audio/x-wav").encode()
        return struct.pack(">H", len(head)) + head + data

    def take(self, message: str | bytes) -> Heard | None:
        if isinstance(message, bytes):
            return None
        head, _, body = message.partition("\r\n\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in map(_halves, head.splitlines())}
        if headers.get("x-requestid", self._request).upper() != self._request:
            return None
        path = headers["path"].lower()
        if path == "turn.end":
            return Heard(whole=True)
        if path not in ("speech.hypothesis", "speech.fragment", "speech.phrase"):
            return None
        found = msgspec.json.decode(body)
        until = (found.get("Offset", 0) + found.get("Duration", 0)) / TICKS
        if path != "speech.phrase":
            return Heard(found["Text"], until=until)
        if found["RecognitionStatus"] != "Success":
            return Heard(final=True, until=until)
        best = (found.get("NBest") or [{}])[0]
        text = best.get("Display") or found.get("DisplayText") or ""
        return Heard(text, _words(text, best.get("Words") or ()), True, False, until)


def _halves(line: str) -> tuple[str, str, str]:
    return line.partition(":")


def _words(text: str, words: Sequence[Any]) -> list[TimedWord]:
    """The words with their times: as they are written in the text, where both have as many."""
    written = text.split()
    names = written if len(written) == len(words) else [word["Word"] for word in words]
    times = [(round(word["Offset"] / TICKS * 1000), round(word["Duration"] / TICKS * 1000)) for word in words]
    return [TimedWord(name, *time) for name, time in zip(names, times, strict=True)]


def _wav_header() -> bytes:
    """Of sound whose length is not known yet."""
    rate = HEARD_RATE
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 0, b"WAVE") + form + struct.pack("<4sI", b"data", 0)
