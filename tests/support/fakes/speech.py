"""Fakes of speech to text (/audio/transcriptions) and text to speech (/audio/speech)."""

from __future__ import annotations

import asyncio
import email.parser
import io
import itertools
import wave
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import msgspec

from . import schema
from .chat import tone
from .server import Break, HttpFake, Request, Response, decode

FORM_LISTS = {"timestamp_granularities[]", "include[]"}


def form(request: Request) -> dict[str, Any]:
    """The parts of multipart/form-data; a file is (name, bytes)."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    message = email.parser.BytesParser().parsebytes(head + request.body)
    fields: dict[str, Any] = {}
    for part in message.get_payload() if message.is_multipart() else []:
        name = str(part.get_param("name", header="content-disposition"))
        data: Any = part.get_payload(decode=True)
        if (file := part.get_filename()) is not None:
            fields[name] = (file, data)
        elif name in FORM_LISTS:
            fields.setdefault(name.removesuffix("[]"), []).append(data.decode())
        else:
            fields[name] = float(data) if name == "temperature" else data.decode()
    return fields


class FakeStt(HttpFake):
    """`texts` are given in turn, the last for ever; a callable gets the PCM16 and its rate. `latency`: seconds."""

    path = "/v1/audio/transcriptions"

    def __init__(
        self,
        texts: str | Iterable[str] | Callable[[bytes, int], str] = "hello",
        *,
        latency: float = 0.0,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        if callable(texts):
            self._text = texts
        else:
            given = [texts] if isinstance(texts, str) else list(texts)
            endless = itertools.chain(given, itertools.repeat(given[-1]))
            self._text = lambda pcm, rate: next(endless)
        self.latency = latency
        self.requests: list[dict[str, Any]] = []
        """The forms, without the file."""
        self.seconds: list[float] = []
        """Of sound in each."""
        self.asked: list[float] = []

    async def answer(self, request: Request) -> Response:
        fields = form(request)
        found = schema.problems("transcription", fields)
        pcm, rate = b"", 16_000
        if not found:
            try:
                with wave.open(io.BytesIO(fields["file"][1])) as file:
                    pcm, rate = file.readframes(file.getnframes()), file.getframerate()
                    if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                        found.append("transcription file: mono PCM16 was expected")
            except (wave.Error, EOFError) as exc:
                found.append(f"transcription file: no WAV: {exc}")
        if found:
            return self.refuse(found)
        self.requests.append({name: value for name, value in fields.items() if name != "file"})
        self.seconds.append(len(pcm) / 2 / rate)
        self.asked.append(request.at)
        await asyncio.sleep(self.latency)
        body: dict[str, Any] = {"text": self._text(pcm, rate)}
        if fields.get("response_format") == "verbose_json":
            seconds = len(pcm) / 2 / rate
            words = body["text"].split()
            each = seconds / max(len(words), 1)
            body |= {"language": "english", "duration": seconds}
            if "word" in fields.get("timestamp_granularities", []):
                body["words"] = [
                    {"word": word, "start": round(i * each, 3), "end": round((i + 1) * each, 3)}
                    for i, word in enumerate(words)
                ]
        return Response(body=msgspec.json.encode(body))


class FakeTts(HttpFake):
    """Says everything as a 220 Hz tone: `seconds_per_character`, PCM16 at 24 kHz as OpenAI's `pcm`, in chunks of 50 ms.

    Args:
        first_byte: seconds until the first chunk. speed: times real time at which the rest comes; 0 = at once.
        break_after: chunks after which the connection is cut; None = never.
    """

    path = "/v1/audio/speech"
    rate = 24_000

    def __init__(
        self,
        *,
        first_byte: float = 0.0,
        speed: float = 0.0,
        seconds_per_character: float = 0.06,
        break_after: int | None = None,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self.first_byte = first_byte
        self.speed = speed
        self.seconds_per_character = seconds_per_character
        self.break_after = break_after
        self.requests: list[dict[str, Any]] = []
        self.asked: list[float] = []

    @property
    def texts(self) -> list[str]:
        """What it was asked to say."""
        return [request["input"] for request in self.requests]

    async def answer(self, request: Request) -> Response:
        body = decode(request.body)
        found = schema.problems("speech", body)
        if not found and body.get("response_format") != "pcm":
            found = ["speech response_format: this fake speaks pcm"]
        if not found and not 1 <= len(body["input"]) <= 4096:
            found = ["speech input: 1 to 4096 characters"]
        if found:
            return self.refuse(found)
        self.requests.append(body)
        self.asked.append(request.at)
        pcm = tone(len(body["input"]) * self.seconds_per_character, self.rate)
        return Response(type="audio/pcm", stream=self._stream(pcm))

    async def _stream(self, pcm: bytes) -> AsyncIterator[bytes]:
        await asyncio.sleep(self.first_byte)
        size = self.rate // 20 * 2
        for number, i in enumerate(range(0, len(pcm), size)):
            if number == self.break_after:
                raise Break
            if number and self.speed:
                await asyncio.sleep(0.05 / self.speed)
            yield pcm[i : i + size]
