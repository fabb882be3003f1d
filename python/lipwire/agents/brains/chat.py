"""A client of OpenAI-compatible chat completions, streamed.

`EventReader` and `Completion` take bytes and events and know no network. Format: WHATWG HTML, "Server-sent events"
(9.2.6); OpenAI's chat.completion.chunk; the `audio` deltas of protocol.md C. What services make of it is read too, by
what it is and not by what it is called: whole answers, wrong labels, content in parts, thoughts beside the text and in
it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import re
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import msgspec
import regex
from msgspec import Struct

from ...errors import BadData
from ...outward import Outward, OutwardRefused, site
from ...protocol.agent_bodies import OPENAI_VOICE
from ..config import Llm
from ..http import MAX_WAIT, ServiceClient, ServiceError, failure, log_details, refusal
from ..openai_models import fitted
from .calls import Call, CallPieces, join_halves, read_bare, read_written
from .prompt import arrange
from .thoughts import ThoughtFilter

logger = logging.getLogger("lipwire.agents")

MAX_EVENT = 1 << 20
"""Bytes that one event of the stream may have."""
MAX_TEXT = 32_768
"""Characters of a reply: half an hour of speech. What comes after is not read."""
MAX_REASONING = 1 << 18
"""Characters of thoughts that go back with calls."""
MAX_AUDIO_MS = 30 * 60_000
MAX_SECONDS = 600.0
"""From the beginning of a stream to its end."""
LINGER = 0.2
"""Seconds within which the stream has to end after the reply has."""
ALIVE = 60.0
"""Seconds for which signs of life (comments, empty events) keep the wait for the next piece of a reply going."""
BUSY = frozenset({429, 503, 529})
"""Statuses of a service that has not looked at the request: it may be sent again, and is not thought about twice."""
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


class EventReader:
    """The body of an answer as events, whatever it is labelled: a stream of server-sent events, or, where it begins as
    JSON does, the one event that all of it is."""

    def __init__(self) -> None:
        self._stream = SseReader()
        self._whole: bytearray | None = None
        self._begun = False

    def feed(self, data: bytes) -> list[str]:
        """More of the body. Raises BadData: an event is larger than it may be."""
        if not self._begun:
            begin = data.lstrip(b"\xef\xbb\xbf \t\r\n")
            self._begun = bool(begin)
            if begin[:1] in (b"{", b"["):
                self._whole = bytearray()
        if self._whole is None:
            return self._stream.feed(data)
        self._whole += data
        if len(self._whole) > MAX_EVENT:
            raise BadData(f"the reply has more than {MAX_EVENT} bytes")
        return []

    def end(self) -> list[str]:
        """The body is over."""
        if self._whole is None:
            return self._stream.end()
        return [self._whole.decode("utf-8-sig", "replace")]


class Piece(Struct, frozen=True):
    """More of a reply; with audio, `text` is its transcript."""

    text: str = ""
    pcm: bytes = b""
    last: bool = False
    """Nothing follows: known before the stream ends."""
    unsaid: bool = False
    """The text before it was not to be said: the model was thinking."""


class BrokeOff(ServiceError):
    """The service sent an error in the place of more. `said`: its words, which are not for everyone."""

    def __init__(self, said: str) -> None:
        super().__init__("the LLM broke off with an error")
        self.said = said


_THOUGHTS = (
    "reasoning_content",
    "reasoning",
    "reasoning_text",
    "reasoning_details",
    "thinking",
    "thinking_blocks",
    "thoughts",
)
"""Members of a delta in which services send what the model thinks."""
_THINKERS = re.compile(r"deepseek-r1|r1-distill|\bqwq\b|qwen3[^/]*thinking", re.IGNORECASE)
"""Models whose templates open the first thought in the question, so that their text begins within it."""
_ALIVE = frozenset({"ping", "pong", "keepalive", "keep-alive", "heartbeat"})
"""What services send as data, so that the connection stays."""
_HELD_BACK = re.compile(r"filter|safety|prohibited|recitation|blocklist|moderation|spii|refusal")
_CUT_OFF = re.compile(r"length|max_tokens")
_BARE = regex.compile(r"""(?:```(?:json)?)?\s*(?:\[\s*)?\{\s*"(?:name|type|function|parameters|arguments|id)"\s*:""")
"""How a call that is all of a text begins."""


def _thinks(part: dict[str, Any]) -> bool:
    """Whether a part of the content is thought."""
    kind = str(part.get("type") or "")
    return "thinking" in kind or "reasoning" in kind or part.get("thought") is True or "thinking" in part


class Completion:
    """One answer of the service as its events come in.

    Args:
        names: of the functions that there are.
    """

    def __init__(self, names: Collection[str] = ()) -> None:
        self.text = ""
        """What is to be said, without what the model thinks."""
        self.finish_reason: str | None = None
        self.done = False
        """The service said that nothing follows."""
        self.audio_ms = 0.0
        self.refusal = ""
        """The part of the text in which the model says that it will not answer."""
        self.reasoning = ""
        """`reasoning_content`, which services that send it beside calls want back with what came of those."""
        self.problems: list[str] = []
        """What of it could not be read, and is missing."""
        self.moves = 0
        """Counts what comes of it, thoughts included."""
        self._names = names
        self._thoughts = ThoughtFilter()
        self._pieces = CallPieces(names)
        self._unmarked = ""
        """All of the text, while it may be a call that nothing marks."""
        self._half_call = False
        """Whether it was cut off in the middle of a call."""
        self._made: list[Call] | None = None
        self._streamed: set[str] = set()
        """Members that deltas had."""
        self._bad = 0
        self._half = ""
        """Half of a character that takes two surrogates, whose other half is yet to come."""
        self._odd = b""
        """A byte of sound whose other half is yet to come."""

    def hold(self) -> None:
        """The model is known to begin with thoughts that nothing opens."""
        self._thoughts = ThoughtFilter(hold=True)

    @property
    def thinks_unopened(self) -> bool:
        """Whether the model has thought in what it seemed to say."""
        return self._thoughts.unopened > 0

    @property
    def began(self) -> bool:
        """Something of it has come, other than thoughts."""
        return bool(self.text or self.audio_ms) or bool(self._pieces)

    @property
    def over(self) -> bool:
        """Nothing follows."""
        return self.done or self.finish_reason is not None

    @property
    def calls(self) -> list[Call]:
        """The calls, in order, once the reply is over."""
        if self._made is None or not self.over:
            self._made = self._pieces.calls()
        return self._made

    @property
    def _cut_off(self) -> bool:
        """Whether the service's limit ended it."""
        return bool(_CUT_OFF.search((self.finish_reason or "").lower()))

    @property
    def held_back(self) -> bool:
        """Whether the service's filter ended it."""
        return bool(_HELD_BACK.search((self.finish_reason or "").lower()))

    def shortcoming(self, said: bool) -> str | None:
        """Why it is no answer, though it ended; None = it is one. `said`: something was said in the reply before it."""
        reason = (self.finish_reason or "")[:60]
        if self.held_back:
            return "the LLM's answer was held back by its content filter"
        if self.text.strip() or self.audio_ms or self.calls:
            return None
        if self._cut_off:
            if self._half_call:
                return f"the LLM was cut off at its length limit ({reason}) in the middle of a call"
            thoughts = "its thoughts" if self._thoughts.thought or self.moves else "its answer"
            return f"the LLM was cut off at its length limit ({reason}) before {thoughts} came to a word"
        if reason in ("tool_calls", "function_call") or "function" in reason.lower():
            return f"the LLM ended with {reason!r}, and calls no function"
        return None if said else f"the LLM answered with nothing ({reason or 'no reason given'})"

    def take(self, data: str, rate: int = RATE) -> Piece | None:
        """One event. Raises ServiceError: it is an error, or one too many that is no JSON, or the reply is too long."""
        ended, count = self.over, self._thoughts.unopened
        text, pcm = "", b""
        for chunk in self._chunks(data):
            known = self._thoughts.unopened
            try:
                more, sound = self._chunk(chunk, rate)
            except RecursionError as exc:
                raise ServiceError("the LLM's stream is broken: an event is nested too deeply") from exc
            text = more if self._thoughts.unopened > known else text + more
            pcm += sound
        last = self.over and not ended
        if last:
            text += self._end()
        unsaid = self._thoughts.unopened > count and bool(self.text.strip())
        self._unmarked = "" if self._thoughts.unopened > count else self._unmarked
        self.text = "" if unsaid else self.text
        text = self._not_called(text)
        self.text += text
        if max(len(self.text), len(self._thoughts.held), len(self._unmarked)) > MAX_TEXT:
            raise ServiceError(f"the LLM's reply has more than {MAX_TEXT} characters; it was cut off there")
        return Piece(text, pcm, last, unsaid) if text or pcm or last or unsaid else None

    def _chunks(self, data: str) -> list[dict[str, Any]]:
        """The objects of an event: one; none, where it is the last or a sign of life; or, from services that forget the
        empty line, one a line."""
        word = data.strip(" []\t\r\n").lower() if len(data) < 32 else data
        self.done = self.done or word == "done"
        if self.done or not word or word in _ALIVE:
            return []
        try:
            found = [json.loads(data)]
        except (ValueError, RecursionError) as exc:
            try:
                lines = [line.strip() for line in data.splitlines()]
                found = [json.loads(line) for line in lines if line and line != "[DONE]"]
                self.done = self.done or "[DONE]" in lines
            except (ValueError, RecursionError):
                return self._unread(f"no JSON: {exc}")
        if len(found) == 1 and isinstance(found[0], list):
            found = found[0]
        if not all(isinstance(one, dict) for one in found):
            return self._unread("no object")
        return found

    def _unread(self, why: str) -> list[dict[str, Any]]:
        self._bad += 1
        if self._bad > MAX_BAD:
            raise ServiceError(f"the LLM's stream is broken: {why}")
        self._problem(f"an event of the LLM's is {why:.100}; what was in it is missing")
        return []

    def _problem(self, what: str) -> None:
        if what not in self.problems and len(self.problems) < MAX_BAD:
            self.problems.append(what)

    def _chunk(self, chunk: dict[str, Any], rate: int) -> tuple[str, bytes]:
        given = chunk.get("choices")
        choices = (
            [one for one in given if isinstance(one, dict) and not one.get("index")] if isinstance(given, list) else []
        )
        error = next((error for one in (chunk, *choices) if (error := one.get("error"))), None)
        if given is None:  # an error that does not say so
            error = error or chunk.get("detail") or chunk.get("message")
        if error:
            raise BrokeOff(str(error.get("message", error) if isinstance(error, dict) else error)[:200])
        text, pcm = "", b""
        for choice in choices:
            given = (choice.get("delta"), choice.get("message"), {"content": choice.get("text")})
            delta = next(one for one in given if isinstance(one, dict))
            if delta is given[0]:
                self._streamed |= {name for name, value in delta.items() if value}
            elif delta is given[1]:
                delta = self._news(delta)
            more, sound = self._delta(delta, rate)
            text, pcm = text + more, pcm + sound
            reason = choice.get("finish_reason")
            if isinstance(reason, str) and reason.lower() not in ("", "null", "none"):
                self.finish_reason = reason
                if reason.lower() == "error":
                    raise BrokeOff("finish_reason error")
        return text, pcm

    def _news(self, message: dict[str, Any]) -> dict[str, Any]:
        """What of a message did not come in deltas before it: at the end of a stream it is all of it once more."""
        return {name: value for name, value in message.items() if name not in self._streamed}

    def _delta(self, delta: dict[str, Any], rate: int) -> tuple[str, bytes]:
        text, thought = self._said(delta.get("content"))
        if thought or any(delta.get(name) for name in _THOUGHTS):
            self.moves += 1
            self._thoughts.release()
        if isinstance(reasoning := delta.get("reasoning_content"), str):
            self.reasoning = (self.reasoning + reasoning)[:MAX_REASONING]
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            text += refusal
            self.refusal += refusal
        pcm = b""
        if isinstance(audio := delta.get("audio"), dict):
            if isinstance(transcript := audio.get("transcript"), str):
                text += transcript
            pcm = self._sound(audio.get("data") or "", rate)
        if calls := delta.get("tool_calls"):
            self._pieces.take(calls)
        if isinstance(call := delta.get("function_call"), dict):  # as it was called before there were tools
            self._pieces.take({"index": 0, "function": call})
        self.moves += bool(text or pcm or calls or call)
        return self._thoughts.feed(self._whole(text)) if text else "", pcm

    def _said(self, content: Any) -> tuple[str, bool]:
        """The text of a content, and whether there were thoughts in it: it is a text, or parts."""
        if isinstance(content, list):
            parts = [self._said(part) for part in content]
            return "".join(text for text, _ in parts), any(thought for _, thought in parts)
        if isinstance(content, dict):
            return self._part(content)
        return "" if content is None or isinstance(content, bool) else str(content), False

    def _part(self, part: dict[str, Any]) -> tuple[str, bool]:
        if _thinks(part):
            return "", True
        for name in ("text", "value", "content", "refusal"):
            if name in part:
                return self._said(part[name])
        self._problem(f"the LLM sent a part of type {str(part.get('type'))!r:.60}, which cannot be said")
        return "", False

    def _whole(self, text: str) -> str:
        """The text without the half of a character at its end, which waits for the other."""
        text, self._half = self._half + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return join_halves(text)

    def _end(self) -> str:
        """What was kept back until it was known what follows."""
        text, self._half = join_halves(self._half), ""
        text = self._thoughts.feed(text) + self._thoughts.end()
        if self._cut_off and (half := self._pieces.drop_half() or self._thoughts.drop_half()):
            self._cut_short(half)
        calls: list[dict[str, Any]] = []
        for written in self._thoughts.written:
            calls += (found := read_written(written, self._names))
            if not found:
                self._problem(f"the LLM wrote a call that cannot be read: {written:.100}")
        self._pieces.add_written(calls)
        return text

    def _cut_short(self, call: str) -> None:
        self._half_call = True
        self._problem(f"the LLM was cut off at its length limit in the middle of a call: {call:.100}")

    def _not_called(self, text: str) -> str:
        """What of the text is to be said: nothing, while all of it may be a call that nothing marks, or if it is."""
        text, self._unmarked = self._unmarked + text, ""
        if not text or self.text or not self._names or not _BARE.match(text, partial=not self.over):
            return text
        if not self.over:
            self._unmarked = text
            return ""
        calls = read_bare(text, self._names)
        self._pieces.add_written(calls)
        if not calls and self._cut_off:
            self._cut_short(text)
        return "" if calls or self._cut_off else text

    def _sound(self, data: Any, rate: int) -> bytes:
        try:
            raw = self._odd + base64.b64decode(data, validate=True)
        except (binascii.Error, TypeError, ValueError) as exc:
            raise ServiceError(f"the LLM's sound is no base64: {exc}") from exc
        even = len(raw) // 2 * 2
        self._odd = raw[even:]
        self.audio_ms += even / 2 / rate * 1000
        if self.audio_ms > MAX_AUDIO_MS:
            raise ServiceError(f"the LLM's reply is longer than {MAX_AUDIO_MS // 60_000} minutes; it was cut off there")
        return raw[:even]


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
    llm: Llm,
    messages: Sequence[dict[str, Any]],
    tools: list[dict[str, Any]],
    voice: str | None = None,
    instructions: str | None = None,
) -> dict[str, Any]:
    """The body of a request, its messages in the order of `prompt.arrange`. `llm.params` may change everything but the
    messages and the streaming."""
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
    body["messages"] = arrange([*llm.system_messages, *messages], instructions)
    if "tools" not in body:  # a service refuses them without tools
        body = {name: value for name, value in body.items() if name not in ("tool_choice", "parallel_tool_calls")}
    elif body["messages"][-1]["role"] == "tool" and body.get("tool_choice") not in (None, "auto", "none"):
        body["tool_choice"] = "auto"  # it was called, as it had to be: now the model may answer
    body["stream"] = True
    return fitted(body)


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
        self._unopened: set[tuple[str, Any]] = set()
        """Services and models that have begun with a thought that nothing opened."""

    def _opens_no_thought(self, body: dict[str, Any]) -> bool:
        model = body.get("model")
        return (self.llm.url, model) in self._unopened or bool(_THINKERS.search(str(model or "")))

    async def close(self) -> None:
        await self._http.aclose()

    def _headers(self) -> dict[str, str]:
        """Those that are not the request's."""
        return {**self._own.get(self.llm.url, {}), **self.llm.headers}

    async def stream(self, body: dict[str, Any], completion: Completion) -> AsyncGenerator[Piece, None]:
        """The pieces of the answer to `body`, which also gather in `completion`. A service that is too busy to look at
        it (BUSY) is asked once more, when it wants that.

        Raises:
            ServiceError: the service refused, broke off, stalled, or sent what is no completion.
        """
        for again in (False, True):
            try:
                async with aclosing(self._answer(body, completion)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except ServiceError as exc:
                if again or exc.status not in BUSY or (exc.wait or 0.0) > MAX_WAIT:
                    raise
                wait = exc.seconds_to_wait()
                logger.warning("%s: it is asked again in %.1f s", exc, wait)
            await asyncio.sleep(wait)

    async def _answer(self, body: dict[str, Any], completion: Completion) -> AsyncGenerator[Piece, None]:
        import httpx

        url, key = self.llm.url, self.llm.api_key
        host = urlsplit(url).hostname or ""
        self.rate = OPENAI_RATE if host == "openai.com" or host.endswith(".openai.com") else RATE
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream",
            **self._headers(),
        }
        wait = _Wait(self.timeouts)
        try:
            content = msgspec.json.encode(body)
            if self._opens_no_thought(body):
                completion.hold()
            async with asyncio.timeout(self.timeouts.first_token) as limit:
                response = await self._http.post(url, key=key, headers=headers, content=content)
                try:
                    async for piece in self._pieces(response, completion, limit, wait):
                        yield piece
                finally:
                    if completion.thinks_unopened:
                        self._unopened.add((url, body.get("model")))
                    await response.aclose()
        except TimeoutError as exc:
            if completion.over:
                return
            raise ServiceError(f"the LLM at {site(url)} {wait.over}") from exc
        except (httpx.HTTPError, httpx.InvalidURL, OutwardRefused) as exc:
            raise failure("the LLM", url, exc, key, *self._headers().values()) from exc
        except BrokeOff as exc:
            log_details("the LLM", exc.said, url, key, *self._headers().values())
            raise
        except BadData as exc:
            raise ServiceError(f"the LLM's stream is broken: {exc}") from exc

    async def _pieces(
        self, response: Any, completion: Completion, limit: asyncio.Timeout, wait: _Wait
    ) -> AsyncGenerator[Piece, None]:
        if response.status_code // 100 != 2:
            raise await refusal("the LLM", self.llm.url, response, self.llm.api_key, *self._headers().values())
        loop = asyncio.get_running_loop()
        reader = EventReader()
        wait.begins(loop.time())
        linger, late = 0.0, False
        async for data in response.aiter_bytes():
            for event in reader.feed(data):
                moves, over = completion.moves, completion.over
                if (piece := completion.take(event, self.rate)) is not None:
                    # What is done with the piece is not the service's time.
                    limit.reschedule(None)
                    yield piece
                if completion.moves > moves:
                    wait.moved(loop.time(), completion.began)
                    late = late or over  # a service that says with every piece that it is the last
            if completion.over:  # the stream's own end leaves the connection open for the next turn
                linger = linger or loop.time() + LINGER
            limit.reschedule(linger if linger and not late else wait.until(loop.time()))
        for event in reader.end():
            if (piece := completion.take(event, self.rate)) is not None:
                yield piece
        if not completion.over:
            label = response.headers.get("content-type", "")
            hint = f"; it is labelled {label:.60}" if not completion.moves and "event-stream" not in label else ""
            raise ServiceError(f"the LLM's stream ended in the middle of the reply{hint}")


class _Wait:
    """How long the service may take for what comes next."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._end = self._moved = 0.0
        self._thinks = self._began = False
        self.over = f"did not begin for {timeouts.first_token:g} s"
        """What to say when that is over."""

    def begins(self, now: float) -> None:
        """It answers."""
        self._moved, self._end = now, now + MAX_SECONDS

    def moved(self, now: float, began: bool) -> None:
        """A piece of the reply has come. `began`: one that is not a thought, now or before."""
        self._moved, self._thinks, self._began = now, True, began

    def until(self, now: float) -> float:
        """When it is over, something having come now."""
        seconds = self._timeouts.between if self._began else self._timeouts.first_token
        self.over = f"{'fell silent' if self._thinks else 'did not begin'} for {seconds:g} s"
        until = now + seconds
        if self._moved + ALIVE < until:
            until = self._moved + ALIVE
            self.over = f"sent nothing of a reply for {ALIVE:g} s"
        return min(until, self._end)
