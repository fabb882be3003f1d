"""A fake of the chat completions service (streaming)."""

from __future__ import annotations

import asyncio
import base64
import itertools
import math
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from . import schema
from .server import Break, HttpFake, Request, Response, decode


@dataclass
class ToolCall:
    name: str
    arguments: str = "{}"
    """As sent, in several pieces: need not be JSON."""
    id: str = ""
    """Empty: made."""


@dataclass
class Answer:
    """What the service answers. `text` is sent a word at a time; with `audio` it is the transcript of that many seconds
    of a 220 Hz tone (PCM16, 16 kHz, 40 ms a chunk)."""

    text: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    audio: float = 0.0
    break_after: int | None = None
    """Chunks after which the connection is cut."""
    stall_after: int | None = None
    """Chunks after which nothing comes any more, for `stall` seconds."""
    stall: float = 3600.0
    end_after: int | None = None
    """Chunks after which the stream ends, without a finish_reason and without [DONE]."""
    raw: bytes | None = None
    """The whole of the stream, instead of all that."""
    label: str = "text/event-stream"
    """What the answer is said to be."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    """More of them, where the status is another."""
    first_token: float | None = None
    """None: the server's."""


def tone(seconds: float, rate: int, hz: float = 220.0) -> bytes:
    """PCM16."""
    t = np.arange(round(seconds * rate)) / rate
    return (np.sin(2 * math.pi * hz * t) * 8000).astype("<i2").tobytes()


class FakeChat(HttpFake):
    """`replies` are given in turn, the last for ever; a callable gets the request's body. `url` is the endpoint's.

    Args:
        first_token: seconds from the request to the first chunk with content; token_interval: between chunks.
        extra: members of the request that this service knows beyond OpenAI's (`metadata` of any shape is always known).
        model_optional: a service of one's own may have but one; OpenAI's wants its name.
        cut: bytes of the stream a TCP write carries at most; None = a whole event.
    """

    path = "/v1/chat/completions"

    def __init__(
        self,
        replies: str | Answer | Iterable[str | Answer] | Callable[[dict[str, Any]], str | Answer] = "Hello there.",
        *,
        first_token: float = 0.0,
        token_interval: float = 0.0,
        extra: Iterable[str] = (),
        cut: int | None = None,
        model_optional: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        if callable(replies):
            self._reply = replies
        else:
            given = [replies] if isinstance(replies, str | Answer) else list(replies)
            endless = itertools.chain(given, itertools.repeat(given[-1]))
            self._reply = lambda body: next(endless)
        self.first_token = first_token
        self.token_interval = token_interval
        self.extra = ["metadata", *extra]
        self.cut = cut
        self.model_optional = model_optional
        self.requests: list[dict[str, Any]] = []
        """The bodies."""
        self.asked: list[float] = []
        """Loop time of each request's arrival."""
        self.first_token_at: list[float] = []
        """Loop time when each reply's first content left."""

    async def answer(self, request: Request) -> Response:
        body = decode(request.body)
        if found := self.problems_of(body):
            return self.refuse(found)
        self.requests.append(body)
        self.asked.append(request.at)
        reply = self._reply(body)
        reply = Answer(reply) if isinstance(reply, str) else reply
        if reply.status != 200:
            error = {"error": {"message": "fake failure", "type": "x"}}
            return Response(reply.status, msgspec.json.encode(error), headers=reply.headers)
        return Response(type=reply.label, stream=self._stream(reply, body))

    def problems_of(self, body: Any) -> list[str]:
        """What is wrong with a request."""
        if isinstance(body, dict) and self.model_optional:
            body.setdefault("model", "fake")
        found = schema.problems("chat", body, self.extra)
        if not found and not isinstance(body.get("metadata", {}), dict):
            found = ["chat metadata: an object was expected"]
        if not found and body.get("stream") is not True:
            found = ["chat stream: true was expected"]
        return found

    async def _stream(self, reply: Answer, body: dict[str, Any]) -> AsyncIterator[bytes]:
        if reply.raw is not None:
            for piece in self._pieces(reply.raw):
                yield piece
            return
        for number, event in enumerate(self.events(reply, body)):
            if number == reply.break_after:
                raise Break
            if number == reply.end_after:
                return
            if number == reply.stall_after:
                await asyncio.sleep(reply.stall)
            if number == 1:
                await asyncio.sleep(self.first_token if reply.first_token is None else reply.first_token)
                self.first_token_at.append(asyncio.get_running_loop().time())
            elif number and self.token_interval:
                await asyncio.sleep(self.token_interval)
            for piece in self._pieces(self.framed(event)):
                yield piece
        yield self.end

    def _pieces(self, data: bytes) -> Iterable[bytes]:
        size = self.cut or max(len(data), 1)
        return (data[i : i + size] for i in range(0, len(data), size))

    end = b"data: [DONE]\n\n"

    def framed(self, event: dict[str, Any]) -> bytes:
        """As it is sent."""
        return b"data: " + msgspec.json.encode(event) + b"\n\n"

    def events(self, reply: Answer, body: dict[str, Any]) -> Iterable[dict[str, Any]]:
        count = 0

        def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
            nonlocal count
            count += 1
            choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
            event = {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": body["model"],
                "choices": [choice],
            }
            if "audio" not in delta:  # OpenAI's own schema has no word of it
                assert not schema.problems("chunk", event), schema.problems("chunk", event)
            return event

        yield chunk({"role": "assistant", "content": "" if not reply.tool_calls or reply.text else None})
        if reply.audio:
            yield chunk({"audio": {"id": "audio_1", "transcript": reply.text}})
            pcm = tone(reply.audio, 16_000)
            for i in range(0, len(pcm), 1280):
                yield chunk({"audio": {"id": "audio_1", "data": base64.b64encode(pcm[i : i + 1280]).decode()}})
        else:
            words = reply.text.split(" ")
            for i, word in enumerate(words if reply.text else ()):
                yield chunk({"content": word if i == len(words) - 1 else word + " "})
        for index, call in enumerate(reply.tool_calls):
            call_id = call.id or f"call_{index}_{len(self.requests)}"
            function = {"name": call.name, "arguments": ""}
            yield chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})
            half = len(call.arguments) // 2
            for piece in (call.arguments[:half], call.arguments[half:]):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        end = chunk({}, "tool_calls" if reply.tool_calls else "stop")
        yield end
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 10, "completion_tokens": count, "total_tokens": 10 + count}
            yield {**end, "choices": [], "usage": usage}
