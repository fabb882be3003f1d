"""A fake of OpenAI Realtime (WebSocket, GA shape; the beta's event names on demand)."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from lipwire import resample

from . import schema
from .chat import ToolCall, tone

RATE = 24_000
LOUD = 400
"""RMS over which the fake's voice activity detection hears speech."""

BETA_NAMES = {
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "conversation.item.added": "conversation.item.created",
}


@dataclass
class Say:
    """A response: `text` spoken (as a tone of `seconds` where the service has no voice), then the calls."""

    text: str = "Hello there."
    seconds: float = 1.0
    tool_calls: list[ToolCall] = field(default_factory=list)
    close_after: int | None = None
    """Chunks of sound (100 ms) after which the connection is cut."""
    fail: str = ""
    """Message with which it fails, at once."""


class FakeRealtime:
    """`url` is the base, without `?model=`.

    Args:
        says: responses in turn, the last for ever; or a callable that gets the conversation's items.
        heard: transcripts of the user's turns, in turn, the last for ever.
        latency: seconds from the request for a response to its first sound; speed: times real time at which sound
            leaves, 0 = at once.
        voice: text -> (PCM16, Hz).
        beta: sends the event names of the beta.
        refuse: statuses with which the next handshakes are refused, one each.
    """

    def __init__(
        self,
        says: str | Say | Iterable[str | Say] | Callable[[list[dict[str, Any]]], Say] = "Hello there.",
        *,
        heard: str | Iterable[str] = "hello",
        latency: float = 0.0,
        speed: float = 0.0,
        voice: Callable[[str], tuple[bytes, int]] | None = None,
        beta: bool = False,
        api_key: str | None = None,
        refuse: Iterable[int] = (),
        check: bool = True,
    ) -> None:
        if callable(says):
            self.say = says
        else:
            given = [says] if isinstance(says, str | Say) else list(says)
            endless = itertools.chain(given, itertools.repeat(given[-1]))

            def in_turn(items: list[dict[str, Any]]) -> Say:
                one = next(endless)
                return Say(one) if isinstance(one, str) else one

            self.say = in_turn
        words = [heard] if isinstance(heard, str) else list(heard)
        self.heard = itertools.chain(words, itertools.repeat(words[-1]))
        self.latency = latency
        self.speed = speed
        self.voice = voice
        self.beta = beta
        self.api_key = api_key
        self.refuse = list(refuse)
        self.check = check
        self.url = ""
        self.events: list[dict[str, Any]] = []
        """What the client sent, but for the sound."""
        self.sessions: list[dict[str, Any]] = []
        """The session of every session.update."""
        self.connections: list[Connection] = []
        self.problems: list[str] = []
        self.audio_bytes = 0
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0, process_request=self._admit, max_size=16 << 20)
        port = next(iter(self._server.sockets)).getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/v1/realtime"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()
        if exc is None and self.check:
            assert not self.problems, self.problems

    async def sound(self, say: Say) -> bytes:
        if self.voice is None:
            return tone(say.seconds, RATE)
        return resample(*await asyncio.to_thread(self.voice, say.text), RATE)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The client's events of this type."""
        return [event for event in self.events if event["type"] == kind]

    async def drop(self) -> None:
        """Cuts every connection, as a crash would."""
        for connection in self.connections:
            connection.ws.transport.abort()

    def _admit(self, ws: ServerConnection, request: Request) -> Response | None:
        if self.refuse:
            return ws.respond(HTTPStatus(self.refuse.pop(0)), "refused\n")
        if self.api_key is not None and request.headers.get("Authorization") != f"Bearer {self.api_key}":
            return ws.respond(HTTPStatus.UNAUTHORIZED, "Incorrect API key provided\n")
        if "model=" not in request.path:
            self.problems.append(f"the URL has no model: {request.path}")
        if "OpenAI-Beta" in request.headers:
            self.problems.append("the header OpenAI-Beta asks for the old protocol")
        return None

    async def _serve(self, ws: ServerConnection) -> None:
        connection = Connection(self, ws)
        self.connections.append(connection)
        try:
            await connection.run()
        except ConnectionClosed:
            pass
        finally:
            connection.stop()


class Connection:
    """One session."""

    def __init__(self, server: FakeRealtime, ws: ServerConnection) -> None:
        self.server = server
        self.ws = ws
        self.session: dict[str, Any] = {"type": "realtime", "output_modalities": ["audio"]}
        self.items: dict[str, dict[str, Any]] = {}
        self.audio_ms: dict[str, float] = {}
        """Sound sent of each item."""
        self.calls: set[str] = set()
        self._ids = itertools.count(1)
        self._buffer = bytearray()
        self._position_ms = 0.0
        self._speaking = False
        self._silence_ms = 0.0
        self._item = ""
        self._response: asyncio.Task[None] | None = None

    def stop(self) -> None:
        if self._response is not None:
            self._response.cancel()

    def _id(self, kind: str) -> str:
        return f"{kind}_{id(self) % 9973}_{next(self._ids)}"

    async def send(self, kind: str, **members: Any) -> None:
        event = {"type": kind, "event_id": self._id("event"), **members}
        found = schema.problems("realtime-server", event)
        assert not found, found  # the fake itself is wrong
        if self.server.beta:
            event["type"] = BETA_NAMES.get(kind, kind)
            if kind == "conversation.item.done":
                return
        await self.ws.send(msgspec.json.encode(event).decode())

    async def error(self, message: str, code: str, event: dict[str, Any]) -> None:
        if code != "response_cancel_not_active":  # it may cross the end of the response on its way
            self.server.problems.append(f"{event.get('type')}: {code}: {message}")
        error = {"type": "invalid_request_error", "code": code, "message": message, "event_id": event.get("event_id")}
        await self.send("error", error=error)

    async def run(self) -> None:
        await self.send("session.created", session=self.session)
        async for text in self.ws:
            event = msgspec.json.decode(text)
            found = schema.problems("realtime-client", event)
            if found:
                await self.error("; ".join(found), "invalid_event", event)
                continue
            if event["type"] != "input_audio_buffer.append":
                self.server.events.append(event)
            await getattr(self, "_on_" + event["type"].replace(".", "_"))(event)

    # ---- what the client sends

    async def _on_session_update(self, event: dict[str, Any]) -> None:
        for name, value in event["session"].items():
            if name == "audio" and "audio" in self.session:
                for side in value:
                    self.session["audio"].setdefault(side, {}).update(value[side])
            else:
                self.session[name] = value
        self.server.sessions.append(msgspec.json.decode(msgspec.json.encode(self.session)))
        await self.send("session.updated", session=self.session)

    def _vad(self) -> dict[str, Any] | None:
        default = {"type": "server_vad", "silence_duration_ms": 500}
        vad = self.session.get("audio", {}).get("input", {}).get("turn_detection", default)
        return None if vad is None else {**default, **vad}

    async def _on_input_audio_buffer_append(self, event: dict[str, Any]) -> None:
        pcm = base64.b64decode(event["audio"], validate=True)
        if not pcm or len(pcm) % 2:
            await self.error("the sound is no PCM16", "invalid_value", event)
            return
        self.server.audio_bytes += len(pcm)
        self._buffer += pcm
        ms = len(pcm) / 2 / RATE * 1000
        self._position_ms += ms
        vad = self._vad()
        if vad is None:
            return
        x = np.frombuffer(pcm, np.int16).astype(float)
        if np.sqrt((x**2).mean()) > LOUD:
            self._silence_ms = 0.0
            if not self._speaking:
                self._speaking, self._item = True, self._id("item")
                start = max(0, int(self._position_ms - ms))
                await self.send("input_audio_buffer.speech_started", audio_start_ms=start, item_id=self._item)
                if vad.get("interrupt_response", True):
                    await self._cancel("turn_detected")
        elif self._speaking:
            self._silence_ms += ms
            if self._silence_ms >= vad["silence_duration_ms"]:
                self._speaking = False
                end = int(self._position_ms)
                await self.send("input_audio_buffer.speech_stopped", audio_end_ms=end, item_id=self._item)
                await self._committed()
                if vad.get("create_response", True):
                    self._respond({})

    async def _on_input_audio_buffer_commit(self, event: dict[str, Any]) -> None:
        if len(self._buffer) < RATE // 10 * 2:
            await self.error("Expected at least 100ms of audio", "input_audio_buffer_commit_empty", event)
            return
        self._item, self._speaking = self._item or self._id("item"), False
        await self._committed()

    async def _on_input_audio_buffer_clear(self, event: dict[str, Any]) -> None:
        self._buffer.clear()
        self._speaking = False
        await self.send("input_audio_buffer.cleared")

    async def _committed(self) -> None:
        item_id, self._item = self._item, ""
        self._buffer.clear()
        await self.send("input_audio_buffer.committed", item_id=item_id)
        content = [{"type": "input_audio", "transcript": None}]
        await self._add({"id": item_id, "type": "message", "role": "user", "status": "completed", "content": content})
        if self.session.get("audio", {}).get("input", {}).get("transcription"):
            text = next(self.server.heard)
            first = text.partition(" ")[0]
            kind = "conversation.item.input_audio_transcription"
            await self.send(f"{kind}.delta", item_id=item_id, content_index=0, delta=first)
            usage = {"type": "duration", "seconds": 1.0}
            await self.send(f"{kind}.completed", item_id=item_id, content_index=0, transcript=text, usage=usage)

    async def _add(self, item: dict[str, Any]) -> None:
        self.items[item["id"]] = item
        await self.send("conversation.item.added", item=item)
        await self.send("conversation.item.done", item=item)

    async def _on_conversation_item_create(self, event: dict[str, Any]) -> None:
        item = {"id": self._id("item"), "object": "realtime.item", "status": "completed", **event["item"]}
        if item["type"] == "function_call_output" and item["call_id"] not in self.calls:
            await self.error(f"Tool call ID '{item['call_id']}' not found", "invalid_tool_call_id", event)
            return
        if item["id"] in self.items:
            await self.error(f"Item '{item['id']}' already exists", "item_create_duplicate_item_id", event)
            return
        if item["type"] == "function_call":
            self.calls.add(item["call_id"])
        if item["type"] == "message":
            wanted = {"user": "input_", "system": "input_text", "assistant": "output_"}[item["role"]]
            for part in item["content"]:
                if not part["type"].startswith(wanted):
                    await self.error(f"{part['type']} in a message of {item['role']}", "invalid_value", event)
                    return
        await self._add(item)

    async def _on_conversation_item_delete(self, event: dict[str, Any]) -> None:
        if self.items.pop(event["item_id"], None) is None:
            await self.error("no such item", "item_delete_invalid_item_id", event)
            return
        await self.send("conversation.item.deleted", item_id=event["item_id"])

    async def _on_conversation_item_truncate(self, event: dict[str, Any]) -> None:
        item_id, end = event["item_id"], event["audio_end_ms"]
        if item_id not in self.items or event["content_index"] != 0:
            await self.error(f"no sound of item '{item_id}'", "item_truncate_invalid_item_id", event)
            return
        if end < 0 or end > self.audio_ms.get(item_id, 0) + 1:
            sent = self.audio_ms.get(item_id, 0)
            await self.error(f"Audio content of {sent}ms is already shorter than {end}ms", "invalid_value", event)
            return
        self.audio_ms[item_id] = end
        await self.send("conversation.item.truncated", item_id=item_id, audio_end_ms=end, content_index=0)

    async def _on_response_cancel(self, event: dict[str, Any]) -> None:
        if not await self._cancel("client_cancelled"):
            await self.error("Cancellation failed: no active response found", "response_cancel_not_active", event)

    async def _on_response_create(self, event: dict[str, Any]) -> None:
        if self._response is not None and not self._response.done():
            await self.error("an active response is in progress", "conversation_already_has_active_response", event)
            return
        self._respond(event.get("response") or {})

    # ---- what it says

    async def _cancel(self, reason: str) -> bool:
        task = self._response
        if task is None or task.done():
            return False
        task.cancel(reason)
        await asyncio.gather(task, return_exceptions=True)
        return True

    def _respond(self, options: dict[str, Any]) -> None:
        self._response = asyncio.get_running_loop().create_task(self._response_of(options))

    async def _response_of(self, options: dict[str, Any]) -> None:
        response: dict[str, Any] = {
            "id": self._id("resp"),
            "object": "realtime.response",
            "status": "in_progress",
            "output": [],
        }
        if options.get("metadata"):
            response["metadata"] = options["metadata"]
        try:
            await self.send("response.created", response=response)
            say = self.server.say(list(self.items.values()))
            if say.fail:
                details = {"type": "failed", "error": {"type": "server_error", "code": "fake"}}
                await self.send("response.done", response={**response, "status": "failed", "status_details": details})
                return
            await asyncio.sleep(self.server.latency)
            index = 0
            if say.text:
                response["output"].append(await self._say(response["id"], say))
                index = 1
            for number, call in enumerate(say.tool_calls, index):
                response["output"].append(await self._call(response["id"], number, call))
            await self.send("response.done", response={**response, "status": "completed"})
        except asyncio.CancelledError as exc:
            details = {"type": "cancelled", "reason": exc.args[0] if exc.args else "client_cancelled"}
            done = {**response, "status": "cancelled", "status_details": details}
            try:
                await self.send("response.done", response=done)
            except ConnectionClosed:
                pass
        except ConnectionClosed:
            pass

    async def _say(self, response_id: str, say: Say) -> dict[str, Any]:
        item_id = self._id("item")
        item = {"id": item_id, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        where = {"response_id": response_id, "item_id": item_id, "output_index": 0, "content_index": 0}
        await self.send("response.output_item.added", response_id=response_id, output_index=0, item=item)
        self.items[item_id] = item
        await self.send("conversation.item.added", item=item)
        await self.send("response.content_part.added", **where, part={"type": "audio", "transcript": ""})
        pcm = await self.server.sound(say)
        size = RATE // 10 * 2
        words = say.text.split(" ")
        count = max(-(-len(pcm) // size), 1)
        self.audio_ms[item_id] = 0.0
        for number in range(count):
            if number == say.close_after:
                self.ws.transport.abort()
                raise asyncio.CancelledError
            said = words[number * len(words) // count : (number + 1) * len(words) // count]
            if said:
                delta = " ".join(said) + ("" if (number + 1) * len(words) // count == len(words) else " ")
                await self.send("response.output_audio_transcript.delta", **where, delta=delta)
            piece = pcm[number * size : (number + 1) * size]
            self.audio_ms[item_id] += len(piece) / 2 / RATE * 1000
            await self.send("response.output_audio.delta", **where, delta=base64.b64encode(piece).decode())
            if self.server.speed:
                await asyncio.sleep(0.1 / self.server.speed)
        await self.send("response.output_audio.done", **where)
        await self.send("response.output_audio_transcript.done", **where, transcript=say.text)
        part = {"type": "audio", "transcript": say.text}
        await self.send("response.content_part.done", **where, part=part)
        content = [{"type": "output_audio", "transcript": say.text}]
        done = {**item, "status": "completed", "content": content}
        self.items[item_id] = done
        await self.send("conversation.item.done", item=done)
        await self.send("response.output_item.done", response_id=response_id, output_index=0, item=done)
        return done

    async def _call(self, response_id: str, index: int, call: ToolCall) -> dict[str, Any]:
        item_id, call_id = self._id("item"), call.id or self._id("call")
        self.calls.add(call_id)
        item = {"id": item_id, "type": "function_call", "name": call.name, "call_id": call_id, "arguments": ""}
        where = {"response_id": response_id, "item_id": item_id, "output_index": index, "call_id": call_id}
        await self.send("response.output_item.added", response_id=response_id, output_index=index, item=item)
        half = len(call.arguments) // 2
        for piece in (call.arguments[:half], call.arguments[half:]):
            await self.send("response.function_call_arguments.delta", **where, delta=piece)
        await self.send("response.function_call_arguments.done", **where, name=call.name, arguments=call.arguments)
        done = {**item, "arguments": call.arguments, "status": "completed"}
        await self._add(done)
        await self.send("response.output_item.done", response_id=response_id, output_index=index, item=done)
        return done
