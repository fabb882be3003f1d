"""The brain that is OpenAI Realtime, over WebSocket (GA shape; the beta's event names are understood as well).

Everything that the service knows of the conversation is kept here too, bounded, so that a connection that breaks is
replaced by one that goes on: instructions, tools and the last messages are sent again. Source: protocol.md D, OpenAI's
Realtime reference.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import structs
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from ..._core import Resampler
from ...errors import BadState, BufferFull
from ...outward import OutwardRefused, site
from ..config import AgentConfig
from ..describe import openai_voice
from ..headers import credentials
from ..http import ServiceError, log_details, reason, said, websocket
from ..update import apply
from . import chat
from .base import (
    HEARD_RATE,
    BrainEvent,
    Failed,
    ReplyAudio,
    ReplyFinished,
    ReplyStarted,
    ReplyText,
    SpeechStarted,
    SpeechStopped,
    UserText,
)
from .context import ChatContext
from .generation import Generation
from .tools import Caller, Toolbox

logger = logging.getLogger("lipwire.agents")

DEFAULT_URL = "wss://api.openai.com/v1/realtime"
DEFAULT_MODEL = "gpt-realtime"
TRANSCRIPTION_MODEL = "gpt-4o-mini-transcribe"
RATE = 24_000
APPEND_MS = 20
"""Sound that is gathered for one message to the service."""
CONNECT = 10.0
STALLED = 15.0
"""Seconds after which a response that does not move is given up."""
BACKOFF = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before each try to connect again; then it is given up."""
MAX_MESSAGE = 16 << 20
MAX_OUT = 1000
"""Messages that wait to be sent; when there are more, sound is dropped, the oldest first."""
MAX_WAITING = 16
"""Replies that may wait for their turn; another one is refused."""
KEPT_REPLIES = 8
"""Replies whose sound can still be cut off after all of it has been handed over."""
PICTURE_SECONDS = 3.0
MAX_AUDIO_MS = 30 * 60_000

GA_NAMES = {
    "response.audio.delta": "response.output_audio.delta",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.text.delta": "response.output_text.delta",
}
HARMLESS = {"response_cancel_not_active", "item_truncate_invalid_item_id", "item_delete_invalid_item_id"}
"""Errors of messages that crossed on their way with what made them needless."""
TAG = "lipwire_reply"
"""The name in a response's metadata under which the id of its reply stands."""


class _Responses(Generation):
    """A reply: one response of the service, or several where functions are called in between."""

    def __init__(self, kind: Literal["chat", "speak"], options: dict[str, Any]) -> None:
        super().__init__(kind)
        self.options = options
        """Members of response.create."""
        self.items: list[tuple[str, float]] = []
        """The service's items, and where in the reply's sound each begins."""
        self.spoken_item: str | None = None
        """The conversation's item that repeats what `speak` said."""
        self.started = self.done = False
        self.calls: list[asyncio.Task[tuple[str, str]]] = []


class RealtimeBrain:
    """Thinks by OpenAI Realtime; a `Brain`."""

    def __init__(self, config: AgentConfig, url: str, model: str, api_key: str | None) -> None:
        self._config = structs.replace(config, llm=copy(config.llm), turn_detection=copy(config.turn_detection))
        self._url = f"{url}{'&' if '?' in url else '?'}model={quote(model)}"
        self._key = api_key
        self._headers = credentials(url, api_key)
        self._caller = Caller(config.tools, lambda event: self._emit(event))
        self._context = ChatContext(config.llm.max_history)
        self._emit: Callable[[BrainEvent], None] = lambda event: None
        self._ws: ClientConnection | None = None
        self._main: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._out: deque[tuple[bool, str]] = deque()
        """(whether it is sound, message)"""
        self._out_changed = asyncio.Event()
        self._ids = itertools.count(1)
        self._fresh()
        self._waiting: deque[_Responses] = deque()
        self._kept: deque[_Responses] = deque(maxlen=KEPT_REPLIES)
        self._picture: chat.Picture | None = None
        self._closed = False

    def _fresh(self) -> None:
        """The state that is a connection's."""
        self._to_service = Resampler(HEARD_RATE, RATE)
        self._append = bytearray()
        self._sent_ms = 0
        """How many ms of sound this connection was sent."""
        self._speaking = False
        self._stopped_ns = 0
        self._item: str | None = None
        """The user's last item."""
        self._partial: dict[str, str] = {}
        self._active: _Responses | None = None
        self._response_id: str | None = None
        self._next: _Responses | None = None
        """The reply that has begun, and is about to be asked for."""
        self._asked: _Responses | None = None
        """The reply whose response was asked for and has not begun."""
        self._progress = time.monotonic()
        """When the response last moved."""
        self._picture_item: str | None = None
        self._echoes = False
        """Whether the service repeats the metadata of what is asked for."""

    # ---- life

    async def open(self, emit: Callable[[BrainEvent], None]) -> None:
        self._emit = emit
        ws = await self._connect()
        self._begin(ws)
        self._main = self._spawn(self._run(ws))

    async def close(self) -> None:
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._ws is not None:  # its task had not begun
            await self._ws.close()
            self._ws = None

    async def _connect(self) -> ClientConnection:
        """Raises ServiceError."""
        where = f"OpenAI Realtime at {site(self._url)}"
        try:
            return await websocket(
                self._url,
                additional_headers=self._headers,
                max_size=MAX_MESSAGE,
                open_timeout=CONNECT,
                close_timeout=1.0,
            )
        except InvalidStatus as exc:
            self._details(f"{exc.response.status_code} {said(bytes(exc.response.body or b''))}")
            raise _Refused(f"{where} answered {exc.response.status_code}", exc.response.status_code) from exc
        except OutwardRefused as exc:
            raise ServiceError(f"{where} sent the connection elsewhere, and that {exc}") from exc
        except (OSError, TimeoutError, WebSocketException, ValueError) as exc:
            self._details(f"{type(exc).__name__}: {exc}")
            raise ServiceError(f"cannot connect to {where}: {reason(exc)}") from exc

    def _details(self, text: str) -> None:
        log_details("OpenAI Realtime", text, self._url, self._key)

    async def _run(self, ws: ClientConnection) -> None:
        while True:
            loop = asyncio.get_running_loop()
            helpers = [loop.create_task(self._write(ws)), loop.create_task(self._watch())]
            reason = "closed"
            try:
                async for text in ws:
                    self._take(text)
                reason = f"the service closed the connection: {ws.close_code}"
                self._details(f"{ws.close_code} {ws.close_reason}")
            except ConnectionClosed as exc:
                reason = f"the connection broke: {ws.close_code}"
                self._details(str(exc))
            finally:
                self._ws = None
                for task in helpers:
                    task.cancel()
                await asyncio.gather(*helpers, return_exceptions=True)
                await ws.close()
            self._lost(reason)
            found = await self._again()
            if found is None:
                return
            ws = found
            self._begin(ws)

    async def _again(self) -> ClientConnection | None:
        error: ServiceError | None = None
        for number, seconds in enumerate(BACKOFF):
            await asyncio.sleep(seconds)
            try:
                return await self._connect()
            except ServiceError as exc:
                error = exc
                if number == 0:
                    self._emit(Failed("REALTIME_ERROR", f"{exc}; it is tried again"))
                if isinstance(exc, _Refused) and exc.status in (401, 403, 404):
                    break
        self._closed = True
        self._emit(Failed("REALTIME_ERROR", f"{error}; given up", fatal=True))
        return None

    def _lost(self, reason: str) -> None:
        """The connection is gone: what was being said is broken off, what waits is said on the next one."""
        logger.info("agent %s: %s", self._config.name, reason)
        active = self._active
        if active is not None and not active.dropped:
            self._emit(Failed("REALTIME_ERROR", reason, active.id))
            self._finish(active, "failed")
        elif self._speaking:
            self._emit(Failed("REALTIME_ERROR", reason))
            self._emit(SpeechStopped(time.monotonic_ns()))
        begun = self._asked or self._next
        if begun is not None and not begun.dropped:
            self._waiting.appendleft(begun)
        self._out.clear()
        self._fresh()

    def _begin(self, ws: ClientConnection) -> None:
        """Tells a new connection all that it has to know."""
        self._ws = ws
        self._send_session()
        for message in self._context.messages():
            self._add_item(message["role"], message["content"])
        self._pump()

    def _session(self) -> dict[str, Any]:
        config = self._config
        detection = config.turn_detection
        vad = {
            "type": "server_vad",
            "threshold": detection.threshold,
            "prefix_padding_ms": detection.prefix_padding_ms,
            "silence_duration_ms": detection.silence_duration_ms,
            "create_response": True,
            "interrupt_response": False,  # the agent may be saying what is not to be interrupted
        }
        pcm = {"type": "audio/pcm", "rate": RATE}
        session: dict[str, Any] = {
            "type": "realtime",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": pcm,
                    "transcription": {"model": TRANSCRIPTION_MODEL, "language": config.language.partition("-")[0]},
                    "turn_detection": vad if detection.enabled else None,
                },
                "output": {"format": pcm, "voice": openai_voice(config.voice)},
            },
            "tools": self._caller.toolbox.for_realtime(),
            "tool_choice": "auto",
        }
        if config.instructions is not None:
            session["instructions"] = config.instructions
        return session

    def _send_session(self) -> None:
        self._send({"type": "session.update", "session": self._session()})

    # ---- out

    def _send(self, event: dict[str, Any]) -> None:
        if self._ws is not None:
            self._put(False, event)

    def _put(self, sound: bool, event: dict[str, Any]) -> None:
        if len(self._out) >= MAX_OUT:
            for i, (is_sound, _) in enumerate(self._out):
                if is_sound:
                    del self._out[i]
                    break
        self._out.append((sound, msgspec.json.encode(event).decode()))
        self._out_changed.set()

    async def _write(self, ws: ClientConnection) -> None:
        try:
            while True:
                while self._out:
                    await ws.send(self._out.popleft()[1])
                self._out_changed.clear()
                await self._out_changed.wait()
        except ConnectionClosed:
            return  # the reader says so

    def _add_item(self, role: str, text: str | None, item_id: str | None = None) -> None:
        if text:
            part = {"type": "output_text" if role == "assistant" else "input_text", "text": text}
            item = {"type": "message", "role": role, "content": [part]}
            self._send({"type": "conversation.item.create", "item": {"id": item_id, **item} if item_id else item})

    def hear(self, pcm: bytes, user: str) -> None:
        if self._ws is None:
            return
        self._sent_ms += len(pcm) * 1000 // (2 * HEARD_RATE)
        self._append += self._to_service.process(pcm)
        if len(self._append) >= APPEND_MS * RATE // 1000 * 2:
            audio = base64.b64encode(self._append).decode()
            self._append.clear()
            self._put(True, {"type": "input_audio_buffer.append", "audio": audio})

    def see(self, user: str, jpeg: bytes) -> None:
        self._picture = chat.Picture(jpeg, time.monotonic())

    def _show(self) -> None:
        """The newest picture goes before what the user says; it takes the place of the one before."""
        picture = self._picture
        if picture is None or "image" not in self._config.llm.input_modalities:
            return
        if time.monotonic() - picture.at > PICTURE_SECONDS:
            return
        if self._picture_item is not None:
            self._send({"type": "conversation.item.delete", "item_id": self._picture_item})
        self._picture_item = f"picture_{next(self._ids)}"
        url = "data:image/jpeg;base64," + base64.b64encode(picture.jpeg).decode()
        content = [{"type": "input_image", "image_url": url}]
        item = {"id": self._picture_item, "type": "message", "role": "user", "content": content}
        self._send({"type": "conversation.item.create", "item": item})

    def tell(self, text: str, role: Literal["user", "system"] = "user", *, respond: bool = True) -> None:
        self._context.add(role, text)
        self._add_item(role, text)
        if respond:
            self._show()
            self._answer({})

    def respond(self, instructions: str | None = None) -> None:
        self._answer({"instructions": instructions} if instructions else {})

    def commit(self) -> None:
        if self._append:
            audio = base64.b64encode(self._append).decode()
            self._append.clear()
            self._put(True, {"type": "input_audio_buffer.append", "audio": audio})
        self._send({"type": "input_audio_buffer.commit"})
        self._stopped_ns = time.monotonic_ns()
        if self._speaking:
            self._speaking = False
            self._emit(SpeechStopped(self._stopped_ns))
        self._answer({})

    def update(self, changes: dict[str, Any]) -> None:
        apply(self._config, changes)
        self._context.limit = self._config.llm.max_history
        if "tools" in changes:
            self._caller.toolbox = Toolbox(self._config.tools)
        if any(not name.startswith("llm.") for name in changes):
            self._send_session()

    def tool_result(self, call_id: str, output: str) -> None:
        self._caller.result(call_id, output)

    # ---- replies

    def _answer(self, options: dict[str, Any]) -> None:
        """The reply that is being made gives way to a new one."""
        for reply in (self._active, *self._waiting):
            if reply is not None and reply.kind == "chat" and not reply.dropped:
                self._break_off(reply)
        self._want(_Responses("chat", options))

    def speak(self, text: str) -> str:
        instructions = f"Say exactly the following text, word for word, and nothing else:\n\n{text}"
        # Out of the conversation, so that it is not taken for an answer; what was said is added to it afterwards.
        reply = _Responses("speak", {"conversation": "none", "input": [], "instructions": instructions, "tools": []})
        self._want(reply)
        return reply.id

    def _want(self, reply: _Responses) -> None:
        """Raises BadState, BufferFull."""
        if self._closed:
            raise BadState("the brain is closed")
        if len(self._waiting) >= MAX_WAITING:
            raise BufferFull(f"{MAX_WAITING} replies wait to be said already")
        self._waiting.append(reply)
        self._pump()

    def _pump(self) -> None:
        """Begins the next reply; the service makes one at a time."""
        if self._ws is None or self._active is not None or self._asked is not None or self._next is not None:
            return
        while self._waiting:
            reply = self._waiting.popleft()
            if not reply.dropped:
                self._next = reply
                self._start(reply)
                # The agent takes that first; it may not want the reply.
                asyncio.get_running_loop().call_soon(self._ask, reply)
                return

    def _ask(self, reply: _Responses) -> None:
        """Asks the service for a reply that has begun."""
        if reply is not self._next:
            return  # the connection broke meanwhile
        self._next = None
        if reply.dropped:
            self._pump()
            return
        self._asked = reply
        self._progress = time.monotonic()
        response = {**reply.options, "metadata": {TAG: reply.id}}
        self._send({"type": "response.create", "event_id": reply.id, "response": response})

    async def _watch(self) -> None:
        """A response that stalls is broken off."""
        while True:
            await asyncio.sleep(STALLED / 10)
            reply = self._active or self._asked
            if reply is None or time.monotonic() - self._progress < STALLED:
                continue
            self._active = self._asked = self._response_id = None
            self._send({"type": "response.cancel"})
            if not reply.dropped:
                reply.dropped = True
                self._emit(Failed("REALTIME_ERROR", f"the response stalled for {STALLED:g} s", reply.id))
                self._finish(reply, "failed")
            self._pump()

    def _start(self, reply: _Responses, asked_ns: int = 0, item_id: str | None = None) -> None:
        if not reply.started:
            reply.started = True
            self._kept.append(reply)
            self._emit(ReplyStarted(reply.id, asked_ns or time.monotonic_ns(), item_id))

    def _finish(self, reply: _Responses, reason: Literal["done", "cancelled", "failed"]) -> None:
        if reply.done:
            return
        reply.done = True
        if reply.kind == "speak" and reply.text.strip():
            reply.spoken_item = f"spoken_{next(self._ids)}"
            self._add_item("assistant", reply.text, reply.spoken_item)
        if reply.started:
            self._emit(ReplyFinished(reply.id, reply.text, reason))

    def _break_off(self, reply: _Responses) -> None:
        reply.dropped = True
        if reply is self._active or reply is self._asked:
            self._send({"type": "response.cancel"})
        self._finish(reply, "cancelled")

    def interrupted(self, reply_id: str, played_ms: float, text: str) -> None:
        reply = next((reply for reply in (*self._kept, *self._waiting) if reply.id == reply_id), None)
        if reply is None:
            return
        reply.text = text
        self._context.said(reply.id, text)
        if reply.kind == "speak":
            if reply.spoken_item is not None:
                self._send({"type": "conversation.item.delete", "item_id": reply.spoken_item})
                reply.spoken_item = None
                if text.strip():
                    reply.spoken_item = f"spoken_{next(self._ids)}"
                    self._add_item("assistant", text, reply.spoken_item)
        else:
            for number, (item_id, start) in enumerate(reply.items):
                end = reply.items[number + 1][1] if number + 1 < len(reply.items) else reply.position_ms
                heard = min(max(played_ms - start, 0.0), end - start)
                under_way = not reply.done and number + 1 == len(reply.items)
                if heard < end - start or under_way:
                    self._send(
                        {
                            "type": "conversation.item.truncate",
                            "item_id": item_id,
                            "content_index": 0,
                            "audio_end_ms": int(heard),
                        }
                    )
        if not reply.done:
            self._break_off(reply)

    # ---- in

    def _take(self, text: str | bytes) -> None:
        try:
            event = msgspec.json.decode(text)
            kind = event["type"]
            handler = getattr(self, "_on_" + GA_NAMES.get(kind, kind).replace(".", "_"), None)
            if handler is not None:
                handler(event)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as exc:
            # What the service sends is its own; what of it is no event costs this one and no more.
            logger.warning("agent %s: not understood: %.200s", self._config.name, text, exc_info=True)
            self._emit(Failed("REALTIME_ERROR", f"the service sent what is no event: {type(exc).__name__}: {exc}"))

    def _on_error(self, event: dict[str, Any]) -> None:
        error = event["error"]
        code, message = error.get("code"), f"the service reported {_word(error)}"
        self._details(str(error.get("message", error)))
        if code in HARMLESS:
            return
        if code == "conversation_already_has_active_response":
            # It is asked for (again) when the other one is over; what we did not ask for answers the user's turn.
            self._waiting.appendleft(self._asked or _Responses("chat", {}))
            self._asked = None
            return
        asked = self._asked
        if asked is None or error.get("event_id") != asked.id:
            self._emit(Failed("REALTIME_ERROR", message))
            return
        self._asked = None
        if not asked.dropped:
            self._emit(Failed("REALTIME_ERROR", message, asked.id))
            self._finish(asked, "failed")
        self._pump()

    def _on_input_audio_buffer_speech_started(self, event: dict[str, Any]) -> None:
        self._speaking = True
        now = time.monotonic_ns()
        ago_ms = self._sent_ms - event["audio_start_ms"] - self._config.turn_detection.prefix_padding_ms
        self._show()
        self._emit(SpeechStarted(now - max(ago_ms, 0) * 1_000_000))

    def _on_input_audio_buffer_speech_stopped(self, event: dict[str, Any]) -> None:
        self._stopped_ns = time.monotonic_ns()
        if self._speaking:
            self._speaking = False
            self._emit(SpeechStopped(self._stopped_ns))

    def _on_input_audio_buffer_committed(self, event: dict[str, Any]) -> None:
        self._item = event["item_id"]

    def _on_conversation_item_input_audio_transcription_delta(self, event: dict[str, Any]) -> None:
        item_id = event["item_id"]
        text = self._partial.get(item_id, "") + (event.get("delta") or "")
        if len(self._partial) >= KEPT_REPLIES and item_id not in self._partial:
            del self._partial[next(iter(self._partial))]
        self._partial[item_id] = text[: chat.MAX_TEXT]
        self._emit(UserText(item_id, self._partial[item_id].strip(), False))

    def _on_conversation_item_input_audio_transcription_completed(self, event: dict[str, Any]) -> None:
        self._partial.pop(event["item_id"], None)
        text = event["transcript"].strip()[: chat.MAX_TEXT]
        if text:
            self._context.add("user", text)
        self._emit(UserText(event["item_id"], text, True))

    def _on_conversation_item_input_audio_transcription_failed(self, event: dict[str, Any]) -> None:
        self._partial.pop(event["item_id"], None)
        # The model hears by itself: the reply comes all the same.
        error = event.get("error") or {}
        self._details(str(error.get("message", error)))
        logger.info("agent %s: no transcript: %s", self._config.name, _word(error))

    def _on_response_created(self, event: dict[str, Any]) -> None:
        response = event["response"]
        self._response_id = response["id"]
        self._progress = time.monotonic()
        tag = (response.get("metadata") or {}).get(TAG)
        self._echoes = self._echoes or tag is not None
        asked = self._asked
        if asked is not None and (tag == asked.id or not self._echoes):
            self._asked, self._active = None, asked
            if asked.dropped:  # broken off while it was asked for
                self._send({"type": "response.cancel"})
        else:  # the service's own voice activity detection asked for it
            self._active = _Responses("chat", {})
            self._start(self._active, self._stopped_ns, self._item)

    def _of(self, event: dict[str, Any]) -> _Responses | None:
        """The reply that an event of a response belongs to; None = nobody wants it any more."""
        reply = self._active
        self._progress = time.monotonic()
        if reply is None or reply.dropped or event.get("response_id", self._response_id) != self._response_id:
            return None
        return reply

    def _stamp(self, reply: _Responses, name: Literal["first_token", "first_audio"]) -> None:
        if (stamp := reply.stamp(name)) is not None:
            self._emit(stamp)

    def _on_response_output_audio_transcript_delta(self, event: dict[str, Any]) -> None:
        reply = self._of(event)
        if reply is None or len(reply.text) >= chat.MAX_TEXT:
            return
        self._stamp(reply, "first_token")
        reply.text += event["delta"]
        self._context.said(reply.id, reply.text)
        self._emit(ReplyText(reply.id, event["delta"]))

    _on_response_output_text_delta = _on_response_output_audio_transcript_delta

    def _on_response_output_audio_delta(self, event: dict[str, Any]) -> None:
        reply = self._of(event)
        if reply is None:
            return
        try:
            pcm = base64.b64decode(event["delta"], validate=True)
        except binascii.Error as exc:
            raise ValueError(f"the sound is no base64: {exc}") from exc
        pcm = pcm[: len(pcm) // 2 * 2]
        if reply.position_ms > MAX_AUDIO_MS:
            self._emit(Failed("REALTIME_ERROR", "the reply is too long; it is cut off", reply.id))
            self._break_off(reply)
            return
        if not reply.items or reply.items[-1][0] != event["item_id"]:
            reply.items.append((event["item_id"], reply.position_ms))
        self._stamp(reply, "first_token")
        self._stamp(reply, "first_audio")
        reply.position_ms += len(pcm) / 2 / RATE * 1000
        self._emit(ReplyAudio(reply.id, pcm, RATE))

    def _on_response_output_item_done(self, event: dict[str, Any]) -> None:
        item, reply = event["item"], self._active
        if item["type"] == "function_call" and reply is not None:
            reply.calls.append(self._spawn(self._call(item["call_id"], item["name"], item.get("arguments") or "")))

    async def _call(self, call_id: str, name: str, arguments: str) -> tuple[str, str]:
        return call_id, await self._caller.answer(call_id, name, arguments)

    def _on_response_done(self, event: dict[str, Any]) -> None:
        response = event["response"]
        if response.get("id", self._response_id) != self._response_id:
            return
        reply, self._active, self._response_id = self._active, None, None
        if reply is not None:
            status = response.get("status")
            if reply.calls:
                self._spawn(self._follow_up(reply, self._ws))
            elif reply.dropped or status in ("completed", "incomplete", None):
                self._finish(reply, "done")
            elif status == "cancelled":
                self._finish(reply, "cancelled")
            else:
                error = (response.get("status_details") or {}).get("error") or {}
                self._details(str(error.get("message", error)))
                word = _word(error) if error else status
                self._emit(Failed("REALTIME_ERROR", f"the response failed: {word}", reply.id))
                self._finish(reply, "failed")
        self._pump()

    async def _follow_up(self, reply: _Responses, ws: ClientConnection | None) -> None:
        """The answers to a response's calls, then the reply goes on."""
        calls, reply.calls = reply.calls, []
        results = await asyncio.gather(*calls)
        if self._ws is not ws:  # the calls were the old connection's
            if not reply.dropped:
                self._emit(Failed("REALTIME_ERROR", "the connection broke while functions were called", reply.id))
                self._finish(reply, "failed")
            return
        for call_id, result in results:
            item = {"type": "function_call_output", "call_id": call_id, "output": result}
            self._send({"type": "conversation.item.create", "item": item})
        if not reply.dropped:
            self._waiting.appendleft(reply)
        self._pump()

    def _spawn(self, run: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("agent %s: a task of its brain failed", self._config.name, exc_info=error)
            fatal = task is self._main
            self._closed = self._closed or fatal
            self._emit(Failed("INTERNAL_ERROR", f"{type(error).__name__}: {error}", fatal=fatal))


def _word(error: dict[str, Any]) -> str:
    """An error's code, or its type. What it says in words stays in the log: it may be an inner service's."""
    for name in ("code", "type"):
        if isinstance(value := error.get(name), str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value):
            return value
    return "an error"


class _Refused(ServiceError):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
