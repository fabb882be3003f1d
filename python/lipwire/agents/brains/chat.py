"""A client of OpenAI-compatible chat completions, streamed.

`SseReader` and `Completion` take bytes and events and know no network. Format: WHATWG HTML, "Server-sent events"
(9.2.6); OpenAI's chat.completion.chunk; the `audio` deltas of protocol.md C.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ...errors import BadData
from ...outward import Outward, OutwardRefused, site
from ...protocol.agent_bodies import OPENAI_VOICE
from ..config import Llm
from ..http import ServiceClient, ServiceError, failure, log_details, refusal
from .tools import MAX_ARGUMENTS, MAX_CALLS

MAX_EVENT = 1 << 20
"""Bytes that one event of the stream may have."""
MAX_TEXT = 32_768
"""Characters of a reply: half an hour of speech. What comes after is not read."""
MAX_AUDIO_MS = 30 * 60_000
MAX_SECONDS = 600.0
"""From the beginning of a stream to its end."""
LINGER = 0.2
"""Seconds within which the stream has to end after the reply has."""
MAX_BAD = 8
"""Events of a stream that may be no JSON before it is given up."""

RATE, OPENAI_RATE = 16_000, 24_000
"""Hz of the sound in `audio` deltas: what protocol.md says, and what OpenAI itself sends."""


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long the service may take, in seconds."""

    first_token: float = 15.0
    """From the request to the first piece of the reply."""
    between: float = 10.0
    """Between two pieces."""


class SseReader:
    """Bytes in, the `data` of whole events out. Where the bytes are cut does not matter."""

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max = max_event
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._first = True

    def feed(self, data: bytes) -> list[str]:
        """Raises BadData: an event is larger than it may be."""
        events: list[str] = []
        if self._after_cr and data:
            self._after_cr = False
            if data[:1] == b"\n":
                data = data[1:]
        self._after_cr = data.endswith(b"\r") or (self._after_cr and not data)
        *lines, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._line += line
            self._take(bytes(self._line), events)
            self._line.clear()
        self._line += rest
        if len(self._line) + self._size > self._max:
            raise BadData(f"an event of the stream has more than {self._max} bytes")
        return events

    def end(self) -> list[str]:
        """The stream is over: an event that only lacks its empty line is one all the same."""
        events: list[str] = []
        self._take(bytes(self._line), events)
        self._take(b"", events)
        self._line.clear()
        return events

    def _take(self, line: bytes, events: list[str]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                events.append(b"\n".join(self._data).decode("utf-8", "replace"))
            self._data, self._size = [], 0
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value)
            if self._size > self._max:
                raise BadData(f"an event of the stream has more than {self._max} bytes")


class Call(Struct):
    """A function that the model calls."""

    id: str
    name: str
    arguments: str = ""

    def as_message(self) -> dict[str, Any]:
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


class Piece(Struct, frozen=True):
    """More of a reply; with audio, `text` is its transcript."""

    text: str = ""
    pcm: bytes = b""
    last: bool = False
    """Nothing follows: known before the stream ends."""


class BrokeOff(ServiceError):
    """The service sent an error in the place of more. `said`: its words, which are not for everyone."""

    def __init__(self, said: str) -> None:
        super().__init__("the LLM broke off with an error")
        self.said = said


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _CallDelta(Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Audio(Struct):
    id: str | None = None
    transcript: str | None = None
    data: str | None = None


class _Delta(Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_CallDelta] | None = None
    audio: _Audio | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class Completion:
    """One answer of the service as its events come in."""

    def __init__(self) -> None:
        self.text = ""
        self.finish_reason: str | None = None
        self.done = False
        """The service said that nothing follows."""
        self.audio_ms = 0.0
        self._calls: dict[int, Call] = {}
        self._bad = 0
        self._odd = b""
        """A byte of sound whose other half is yet to come."""

    @property
    def began(self) -> bool:
        """Something of it has come."""
        return bool(self.text or self.audio_ms or self._calls)

    @property
    def over(self) -> bool:
        """Nothing follows."""
        return self.done or self.finish_reason is not None

    @property
    def calls(self) -> list[Call]:
        """The calls, in order, once the reply is over."""
        return [call for _, call in sorted(self._calls.items()) if call.name]

    def take(self, data: str, rate: int = RATE) -> Piece | None:
        """One event. Raises ServiceError: it is an error, or one too many that is no JSON, or the reply is too long."""
        ended = self.over
        if data.strip() == "[DONE]":
            self.done = True
            return None if ended else Piece(last=True)
        try:
            chunk = _decode_chunk(data)
        except (msgspec.DecodeError, RecursionError) as exc:
            self._bad += 1
            if self._bad > MAX_BAD:
                raise ServiceError(f"the LLM's stream is broken: {exc}") from exc
            return None
        if chunk.error:
            message = chunk.error.get("message", chunk.error) if isinstance(chunk.error, dict) else chunk.error
            raise BrokeOff(str(message)[:200])
        if not chunk.choices:
            return None
        choice = chunk.choices[0]
        self.finish_reason = choice.finish_reason or self.finish_reason
        text, pcm = self._delta(choice.delta or choice.message or _Delta(), rate)
        last = self.over and not ended
        return Piece(text, pcm, last) if text or pcm or last else None

    def _delta(self, delta: _Delta, rate: int) -> tuple[str, bytes]:
        text, pcm = delta.content or delta.refusal or "", b""
        if delta.audio is not None:
            text += delta.audio.transcript or ""
            pcm = self._sound(delta.audio.data or "", rate)
        for position, call in enumerate(delta.tool_calls or ()):
            self._call(call, position)
        self.text += text
        if len(self.text) > MAX_TEXT:
            raise ServiceError(f"the LLM's reply has more than {MAX_TEXT} characters; it was cut off there")
        return text, pcm

    def _sound(self, data: str, rate: int) -> bytes:
        try:
            raw = self._odd + base64.b64decode(data, validate=True)
        except binascii.Error as exc:
            raise ServiceError(f"the LLM's sound is no base64: {exc}") from exc
        even = len(raw) // 2 * 2
        self._odd = raw[even:]
        self.audio_ms += even / 2 / rate * 1000
        if self.audio_ms > MAX_AUDIO_MS:
            raise ServiceError(f"the LLM's reply is longer than {MAX_AUDIO_MS // 60_000} minutes; it was cut off there")
        return raw[:even]

    def _call(self, delta: _CallDelta, position: int) -> None:
        index = position if delta.index is None else delta.index
        call = self._calls.get(index)
        if delta.index is None and call is not None and delta.id not in (None, call.id):
            index, call = len(self._calls), None  # services that leave out the index send every call whole
        if call is None:
            if len(self._calls) >= MAX_CALLS:
                raise ServiceError(f"the LLM calls more than {MAX_CALLS} functions at once")
            call = self._calls[index] = Call(delta.id or f"call_{index}", "")
        if delta.function is not None:
            call.name = call.name or delta.function.name or ""
            call.arguments += delta.function.arguments or ""
            if len(call.arguments) > MAX_ARGUMENTS:
                raise ServiceError(f"the arguments of {call.name[:100]} have more than {MAX_ARGUMENTS} characters")


class Picture(Struct, frozen=True):
    """A JPEG and when it was seen (CLOCK_MONOTONIC, seconds)."""

    jpeg: bytes
    at: float


def with_picture(message: dict[str, Any], picture: Picture) -> dict[str, Any]:
    """A user's message that carries it."""
    url = "data:image/jpeg;base64," + base64.b64encode(picture.jpeg).decode()
    text = [{"type": "text", "text": message["content"]}] if message["content"] else []
    return {**message, "content": [*text, {"type": "image_url", "image_url": {"url": url}}]}


def build(
    llm: Llm, messages: Sequence[dict[str, Any]], tools: list[dict[str, Any]], voice: str | None = None
) -> dict[str, Any]:
    """The body of a request. `llm.params` may change everything but the messages and the streaming."""
    body: dict[str, Any] = {}
    if llm.model:
        body["model"] = llm.model
    if tools:
        body["tools"] = tools
    if "audio" in llm.output_modalities:
        body["modalities"] = list(llm.output_modalities)
        body["audio"] = {"voice": voice or OPENAI_VOICE, "format": "pcm16"}
    if llm.metadata_enabled and llm.extra_metadata:
        body["metadata"] = llm.extra_metadata
    body |= llm.params
    body["messages"] = [*llm.system_messages, *messages]
    body["stream"] = True
    return body


class ChatClient:
    """Asks one service; `llm` may change between two requests.

    Args:
        outward: where its URL may lead; None = anywhere.
        own: the operator's headers, by the URL that they go to.
    """

    def __init__(
        self,
        llm: Llm,
        timeouts: Timeouts | None = None,
        outward: Outward | None = None,
        own: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.llm = llm
        self._own = own or {}
        self.timeouts = timeouts or Timeouts()
        # ours come first
        self._http = ServiceClient(max(self.timeouts.first_token, self.timeouts.between) + 5, outward)
        self.rate = RATE

    async def close(self) -> None:
        await self._http.aclose()

    def _headers(self) -> dict[str, str]:
        """Those that are not the request's."""
        return {**self._own.get(self.llm.url, {}), **self.llm.headers}

    async def stream(self, body: dict[str, Any], completion: Completion) -> AsyncGenerator[Piece, None]:
        """The pieces of the answer to `body`, which also gather in `completion`.

        Raises:
            ServiceError: the service refused, broke off, stalled, or sent what is no completion.
        """
        import httpx

        url, key = self.llm.url, self.llm.api_key
        host = urlsplit(url).hostname or ""
        self.rate = OPENAI_RATE if host == "openai.com" or host.endswith(".openai.com") else RATE
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream",
            **self._headers(),
        }
        try:
            content = msgspec.json.encode(body)
            async with asyncio.timeout(self.timeouts.first_token) as limit:
                response = await self._http.post(url, key=key, headers=headers, content=content)
                try:
                    async for piece in self._pieces(response, completion, limit):
                        yield piece
                finally:
                    await response.aclose()
        except TimeoutError as exc:
            if completion.over:
                return
            began = completion.began
            seconds = self.timeouts.between if began else self.timeouts.first_token
            raise ServiceError(
                f"the LLM at {site(url)} {'fell silent' if began else 'did not begin'} for {seconds:g} s"
            ) from exc
        except (httpx.HTTPError, httpx.InvalidURL, OutwardRefused) as exc:
            raise failure("the LLM", url, exc, key, *self._headers().values()) from exc
        except BrokeOff as exc:
            log_details("the LLM", exc.said, url, key, *self._headers().values())
            raise
        except BadData as exc:
            raise ServiceError(f"the LLM's stream is broken: {exc}") from exc

    async def _pieces(
        self, response: Any, completion: Completion, limit: asyncio.Timeout
    ) -> AsyncGenerator[Piece, None]:
        if response.status_code // 100 != 2:
            raise await refusal("the LLM", self.llm.url, response, self.llm.api_key, *self._headers().values())
        loop = asyncio.get_running_loop()
        streamed = not response.headers.get("content-type", "").startswith("application/json")
        until = loop.time() + MAX_SECONDS
        reader = SseReader()
        whole = b""
        async for data in response.aiter_bytes():
            if not streamed:
                whole += data
                if len(whole) > MAX_EVENT:
                    raise BadData(f"the reply has more than {MAX_EVENT} bytes")
                continue
            for event in reader.feed(data):
                if (piece := completion.take(event, self.rate)) is not None:
                    # What is done with the piece is not the service's time.
                    limit.reschedule(None)
                    yield piece
                now = loop.time()
                if completion.over:  # the stream's own end leaves the connection open for the next turn
                    limit.reschedule(now + LINGER)
                elif completion.began:
                    limit.reschedule(min(now + self.timeouts.between, until))
        for event in reader.end() if streamed else [whole.decode("utf-8", "replace")]:
            if (piece := completion.take(event, self.rate)) is not None:
                yield piece
        if not completion.over:
            raise ServiceError("the LLM's stream ended in the middle of the reply")
