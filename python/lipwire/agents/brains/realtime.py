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
from collections.abc import Callable, Coroutine, Mapping
from copy import copy
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from ..._core import Resampler
from ...errors import BadState, BufferFull, LipwireError
from ...outward import Outward
from ..config import AgentConfig
from ..face_tags import plain as without_tags
from ..headers import credentials
from ..http import ServiceError
from ..realtime_socket import RATE, WORD, connect, details, exactly, with_model, word
from ..speech.mixer import UserMixer
from ..speech.tts import Tts
from ..update import apply
from . import chat
from .aloud import ReadAloud
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
from .calls import MAX_ARGUMENTS, MAX_CALLS, MAX_ROUNDS, read_arguments, valid_arguments
from .completion import MAX_TEXT
from .generation import Generation
from .items import Items
from .realtime_session import session
from .tools import Caller

logger = logging.getLogger("lipwire.agents")

APPEND_MS = 20
"""Sound that is gathered for one message to the service."""
STALLED = 15.0
"""Seconds after which a response that does not move is given up."""
SUPERSEDED = 2.0
"""Seconds after which a response that does not move is over where it was cancelled, or a newer one has moved meanwhile:
the service makes one answer at a time, so it has forgotten to say so."""
TRIES = 10
"""Times that a response is asked for where another one is in the way."""
BACKOFF = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before each try to connect again; then it is given up."""
MAX_OUT = 1000
"""Messages that wait to be sent; when there are more, sound is dropped, the oldest first."""
MAX_WAITING = 16
"""Replies that may wait for their turn; another one is refused."""
KEPT_REPLIES = 8
"""Replies whose sound can still be cut off after all of it has been handed over."""
PICTURE_SECONDS = 3.0
MAX_AUDIO_MS = 30 * 60_000
MAX_RESPONSES = 16
"""Responses under way; the oldest is forgotten."""
MAX_ID = 256
"""Characters of an id of the service's."""
MAX_ITEMS = 256
"""The service's items that one reply may be made of."""
MAX_BEHIND = 32 << 20
"""Bytes of events that may wait for text that is read aloud: some 8 minutes of sound."""
MAX_TASKS = 128
"""Calls of functions that may run at once, whichever responses they are of."""
MAX_COMPLAINTS = 8
"""Faults of the service's that are told within COMPLAINTS_SECONDS; more of them say nothing new."""
COMPLAINTS_SECONDS = 60.0

GA_NAMES = {
    f"response.{name}.{end}": f"response.output_{name}.{end}"
    for name in ("audio", "audio_transcript", "text")
    for end in ("delta", "done")
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
        self.calls: list[_Call] = []
        self.item: str | None = None
        """The user's item that it answers, where the service was to answer it by itself."""
        self.tries = 0
        """How often it was asked for in vain."""
        self.told: set[str] = set()
        """The service's items of which text has come,"""
        self.part: tuple[str, int] | None = None
        """and the item and its part that the newest text is of."""
        self.aloud: tuple[ReadAloud, asyncio.Task[None]] | None = None
        """Says what the service sends as text alone."""
        self.written: dict[str, str] = {}
        """Such text, by the service's items."""
        self.mute = False
        """Such text cannot be said, which has been told."""
        self.behind: list[dict[str, Any]] = []
        """Events that came behind such text, until that has been handed over,"""
        self.behind_bytes = 0
        """and how many bytes they have."""
        self.length = 0
        """Characters of text that have come of it."""
        self.rounds = 0
        """How often it has called functions."""


class _Call(Struct, eq=False):
    """A call of a function that a response asked for. `arguments`: JSON, as they may be sent back; `key`: the same for
    all calls of a function with these arguments, however they are written."""

    id: str
    name: str
    arguments: str
    key: tuple[str, bytes]
    result: asyncio.Task[str]
    """Those of equal calls may be one."""


def _check_id(value: Any) -> Any:
    """The id, or what stands in its place. Raises ValueError: it is too long to be kept."""
    if isinstance(value, str) and len(value) > MAX_ID:
        raise ValueError("an id is too long")
    return value


class _Response(Struct, eq=False):
    """A response of the service that is under way."""

    id: str
    reply: _Responses
    number: int
    """Counts the responses of a connection."""
    moved: float
    """When something of it came last."""


class RealtimeBrain:
    """Thinks by OpenAI Realtime; a `Brain`.

    Args:
        tts: makes the text to speech for answers that the service gives in text alone; None = these are only told.
            Raises LipwireError where there is none.
        outward: where the URLs of requests may lead; None = anywhere.
        own: `url` is the operator's.
    """

    def __init__(
        self,
        config: AgentConfig,
        url: str,
        model: str,
        api_key: str | None,
        *,
        tts: Callable[[AgentConfig], Tts] | None = None,
        outward: Outward | None = None,
        own: bool = True,
    ) -> None:
        self._config = structs.replace(
            config, llm=copy(config.llm), turn_detection=copy(config.turn_detection), realtime=copy(config.realtime)
        )
        self._url = with_model(url, model)
        self._key = api_key
        self._headers = credentials(url, api_key)
        self._caller = Caller(
            config.tools,
            lambda event: self._emit(event),
            servers=config.llm.mcp_servers,
            outward=outward,
            variables=config.llm.template_variables,
            changed=self._send_session,
        )
        self._tts = tts
        self._outward = None if own else outward
        self._context = Items(config.llm.max_history)
        for message in config.realtime.messages if config.realtime is not None else ():
            self._context.told(message)
        self._mixer = UserMixer()
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
        self._running: dict[tuple[str, bytes], asyncio.Task[str]] = {}
        """The calls whose results the service has not been told, by their keys."""
        self._kept: deque[_Responses] = deque(maxlen=KEPT_REPLIES)
        self._picture: chat.Picture | None = None
        self._complained: deque[float] = deque(maxlen=MAX_COMPLAINTS)
        """When faults of the service's were told last."""
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
        self._responses: dict[str, _Response] = {}
        """What is under way, by the service's ids, in the order in which it began."""
        self._numbers = itertools.count(1)
        self._newest_moved = 0
        """The number of the newest response that has moved, or ended."""
        self._next: _Responses | None = None
        """The reply that has begun, and is about to be asked for."""
        self._asked: _Responses | None = None
        """The reply whose response was asked for and has not begun."""
        self._asked_at = time.monotonic()
        self._picture_item: str | None = None
        self._echoes = False
        """Whether the service repeats the metadata of what is asked for."""

    # ---- life

    async def open(self, emit: Callable[[BrainEvent], None]) -> None:
        self._emit = emit
        ws = await self._connect()
        self._begin(ws)
        self._main = self._spawn(self._run(ws))
        self._caller.start()

    async def close(self) -> None:
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._ws is not None:  # its task had not begun
            await self._ws.close()
            self._ws = None
        await self._caller.close()

    async def _connect(self) -> ClientConnection:
        """Raises ServiceError."""
        return await connect(self._url, self._headers, self._key, self._outward)

    def _details(self, text: str) -> None:
        details(text, self._url, self._key)

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
                if exc.status in (401, 403, 404):
                    break
        self._closed = True
        self._emit(Failed("REALTIME_ERROR", f"{error}; given up", fatal=True))
        return None

    def _lost(self, reason: str) -> None:
        """The connection is gone: what was being said is broken off, what waits is said on the next one."""
        logger.info("agent %s: %s", self._config.name, reason)
        replies = list(dict.fromkeys(response.reply for response in self._responses.values()))
        for reply in replies:
            if reply.calls:  # it goes on with their results
                self._spawn(self._follow_up(reply, None))
        active = [reply for reply in replies if not reply.dropped and not reply.calls]
        for reply in active:
            self._complain("REALTIME_ERROR", reason, reply.id)
            self._finish(reply, "failed")
        if self._speaking:  # the next connection will not know it
            if not active:
                self._complain("REALTIME_ERROR", reason)
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
            if message["role"] == "call":
                self._add_call(message["call_id"], message["name"], message["arguments"])
                self._add_result(message["call_id"], message["content"])
            else:
                self._add_item(message["role"], message["content"])
        self._pump()

    def _send_session(self) -> None:
        self._send({"type": "session.update", "session": session(self._config, self._caller.toolbox.for_realtime())})

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

    def _add_call(self, call_id: str, name: str, arguments: str) -> None:
        item = {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}
        self._send({"type": "conversation.item.create", "item": item})

    def _add_result(self, call_id: str, result: str) -> None:
        item = {"type": "function_call_output", "call_id": call_id, "output": result}
        self._send({"type": "conversation.item.create", "item": item})

    def hear(self, pcm: bytes, user: str) -> None:
        if self._ws is None:
            return
        for frame in self._mixer.hear(pcm, user):
            self._sent_ms += len(frame) * 1000 // (2 * HEARD_RATE)
            self._append += self._to_service.process(frame)
        if len(self._append) >= APPEND_MS * RATE // 1000 * 2:
            audio = base64.b64encode(self._append).decode()
            self._append.clear()
            self._put(True, {"type": "input_audio_buffer.append", "audio": audio})

    def see(self, user: str, jpeg: bytes, *, sent: bool = False) -> None:
        if sent and "image" in self._config.llm.input_modalities:
            self._add_picture(f"sent_{next(self._ids)}", jpeg)  # it stays in the conversation
        elif not sent:
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
        self._add_picture(self._picture_item, picture.jpeg)

    def _add_picture(self, item_id: str, jpeg: bytes) -> None:
        url = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
        content = [{"type": "input_image", "image_url": url}]
        item = {"id": item_id, "type": "message", "role": "user", "content": content}
        self._send({"type": "conversation.item.create", "item": item})

    def tell(
        self,
        text: str,
        role: Literal["user", "system"] = "user",
        *,
        respond: bool = True,
        metadata: Mapping[str, str] | None = None,
        interruptable: bool = True,
    ) -> None:
        self._caller.start()
        self._context.add(role, text)
        self._add_item(role, text)
        if respond:
            self._show()
            self._answer({}, kept=not interruptable)

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
            self._caller.replace(self._config.tools)
        if any(not name.startswith("llm.") for name in changes):
            self._send_session()

    def tool_result(self, call_id: str, output: str) -> None:
        self._caller.result(call_id, output)

    # ---- replies

    def _answer(self, options: dict[str, Any], *, kept: bool = False) -> None:
        """The reply that is being made gives way to a new one."""
        under_way = [response.reply for response in self._responses.values()]
        for reply in (*under_way, self._asked, self._next, *self._waiting):
            if reply is not None and reply.kind == "chat" and not (reply.dropped or reply.kept):
                self._break_off(reply)
        answer = _Responses("chat", options)
        answer.kept = kept
        self._want(answer)

    def speak(self, text: str) -> str:
        instructions = exactly(without_tags(text))
        # Out of the conversation, so that it is not taken for an answer; what was said is added to it afterwards.
        reply = _Responses("speak", {"conversation": "none", "input": [], "instructions": instructions, "tools": []})
        self._want(reply)
        return reply.id

    def remember(self, reply_id: str, text: str) -> None:
        """See `Remembering`."""
        reply = _Responses("speak", {})
        reply.id, reply.text = reply_id, without_tags(text)
        self._kept.append(reply)
        self._context.said(reply.id, reply.text)
        self._finish(reply, "done")

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
        if self._ws is None or self._responses or self._asked is not None or self._next is not None:
            return
        while self._waiting:
            reply = self._waiting.popleft()
            if not reply.dropped:
                self._next = reply
                self._start(reply, item_id=reply.item)
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
        self._asked_at = time.monotonic()
        response = {**reply.options, "metadata": {TAG: reply.id}}
        self._send({"type": "response.create", "event_id": reply.id, "response": response})

    async def _watch(self) -> None:
        """Responses that stall are broken off; what could not be asked for is asked for again."""
        while True:
            await asyncio.sleep(min(STALLED / 10, SUPERSEDED / 4))
            now = time.monotonic()
            for response in list(self._responses.values()):
                still = now - response.moved
                if still >= STALLED:
                    self._give_up(response)
                elif still >= SUPERSEDED and (response.reply.dropped or response.number < self._newest_moved):
                    logger.info("agent %s: response %s has not ended", self._config.name, response.id)
                    self._cancel(response)
                    self._over(response, {"status": "completed"})
            asked = self._asked
            if asked is not None and now - self._asked_at >= STALLED:
                self._asked = None
                self._stalled(asked)
            self._pump()

    def _give_up(self, response: _Response) -> None:
        self._responses.pop(response.id, None)
        self._cancel(response)
        self._stalled(response.reply)
        if response.reply.calls:
            self._spawn(self._follow_up(response.reply, self._ws))

    def _stalled(self, reply: _Responses) -> None:
        if not reply.dropped:
            reply.dropped = True
            self._complain("REALTIME_ERROR", f"the response stalled for {STALLED:g} s", reply.id)
            self._finish(reply, "failed")

    def _cancel(self, response: _Response) -> None:
        """By its name: without one the service would cancel whatever it is making in the conversation, and nothing of
        what is made beside it."""
        self._send({"type": "response.cancel", "response_id": response.id})

    def _start(self, reply: _Responses, asked_ns: int = 0, item_id: str | None = None) -> None:
        if not reply.started:
            reply.started = True
            self._kept.append(reply)
            self._emit(ReplyStarted(reply.id, asked_ns or time.monotonic_ns(), item_id))

    def _finish(self, reply: _Responses, reason: Literal["done", "cancelled", "failed"]) -> None:
        if reply.done:
            return
        if reply.aloud is not None:
            aloud, task = reply.aloud
            if reason == "done" and not reply.dropped:
                aloud.finish()  # which finishes the reply
                return
            reply.aloud = None
            task.cancel()
        reply.done = True
        reply.behind.clear()
        if reply.kind == "speak" and reply.text.strip():
            reply.spoken_item = f"spoken_{next(self._ids)}"
            self._add_item("assistant", reply.text, reply.spoken_item)
        if reply.started:
            self._emit(ReplyFinished(reply.id, reply.text, reason))

    def _break_off(self, reply: _Responses) -> None:
        """Nothing more of it is wanted. What has been asked for and has not begun is cancelled as it begins."""
        reply.dropped = True
        for response in self._responses.values():
            if response.reply is reply:
                self._cancel(response)
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
                if not heard:  # nobody has heard any of it
                    self._send({"type": "conversation.item.delete", "item_id": item_id})
                elif heard < end - start or under_way:
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
            for name in ("item_id", "response_id"):
                _check_id(event.get(name, ""))
            handler = getattr(self, "_on_" + GA_NAMES.get(kind, kind).replace(".", "_"), None)
            if handler is not None:
                handler(event)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as exc:
            # What the service sends is its own; what of it is no event costs this one and no more.
            why = f"the service sent what is no event: {type(exc).__name__}: {exc!s:.200}"
            if self._complain("REALTIME_ERROR", why):
                logger.warning("agent %s: not understood: %.200s", self._config.name, text, exc_info=True)

    def _complain(self, code: str, message: str, reply_id: str | None = None, *, minor: bool = False) -> bool:
        """Tells a fault of the service's, of which there may be any number; returns whether it was told."""
        now = time.monotonic()
        if len(self._complained) == MAX_COMPLAINTS and now - self._complained[0] < COMPLAINTS_SECONDS:
            return False
        self._complained.append(now)
        self._emit(Failed(code, message, reply_id, minor=minor))
        return True

    def _on_error(self, event: dict[str, Any]) -> None:
        error = event["error"]
        code, message = error.get("code"), f"the service reported {word(error)}"
        self._details(str(error.get("message", error)))
        if code in HARMLESS:
            return
        asked, about = self._asked, error.get("event_id")
        if code == "conversation_already_has_active_response":
            self._in_the_way(asked if about in (None, getattr(asked, "id", None)) else None, about)
            return
        if asked is None or about != asked.id:
            self._complain("REALTIME_ERROR", message)
            return
        self._asked = None
        if not asked.dropped:
            self._emit(Failed("REALTIME_ERROR", message, asked.id))
            self._finish(asked, "failed")
        self._pump()

    def _in_the_way(self, asked: _Responses | None, about: str | None) -> None:
        """Another response keeps the service from one: it is asked for again when that is over."""
        if asked is None:
            if about is None and len(self._waiting) < MAX_WAITING:  # what we did not ask for answers the user's turn
                answer = _Responses("chat", {})
                answer.item = self._item
                self._waiting.appendleft(answer)
            return
        self._asked = None
        asked.tries += 1
        if asked.tries < TRIES:
            self._waiting.appendleft(asked)
        elif not asked.dropped:
            self._emit(Failed("REALTIME_ERROR", "the service is always at another response", asked.id))
            self._finish(asked, "failed")

    def _on_input_audio_buffer_speech_started(self, event: dict[str, Any]) -> None:
        self._caller.start()
        self._speaking = True
        now = time.monotonic_ns()
        ago_ms = self._sent_ms - event["audio_start_ms"] - self._config.turn_detection.prefix_padding_ms
        self._show()
        self._emit(SpeechStarted(now - max(ago_ms, 0) * 1_000_000, event.get("item_id")))

    def _on_input_audio_buffer_speech_stopped(self, event: dict[str, Any]) -> None:
        self._stopped_ns = time.monotonic_ns()
        if self._speaking:
            self._speaking = False
            self._emit(SpeechStopped(self._stopped_ns, event.get("item_id")))

    def _on_input_audio_buffer_committed(self, event: dict[str, Any]) -> None:
        self._item = event["item_id"]
        self._context.place("user", event["item_id"])  # what was said becomes known later

    def _on_conversation_item_input_audio_transcription_delta(self, event: dict[str, Any]) -> None:
        item_id = event["item_id"]
        text = self._partial.get(item_id, "") + (event.get("delta") or "")
        if len(self._partial) >= KEPT_REPLIES and item_id not in self._partial:
            del self._partial[next(iter(self._partial))]
        self._partial[item_id] = text[:MAX_TEXT]
        self._emit(UserText(item_id, self._partial[item_id].strip(), False))

    def _on_conversation_item_input_audio_transcription_completed(self, event: dict[str, Any]) -> None:
        self._partial.pop(event["item_id"], None)
        text = event["transcript"].strip()[:MAX_TEXT]
        self._context.text("user", event["item_id"], text)
        self._emit(UserText(event["item_id"], text, True))

    def _on_conversation_item_input_audio_transcription_failed(self, event: dict[str, Any]) -> None:
        self._partial.pop(event["item_id"], None)
        # The model hears by itself: the reply comes all the same.
        error = event.get("error") or {}
        self._details(str(error.get("message", error)))
        self._complain("STT_ERROR", f"there is no transcript: the service reported {word(error)}", minor=True)

    def _on_response_created(self, event: dict[str, Any]) -> None:
        created = event["response"]
        response_id = _check_id(created["id"])
        if response_id in self._responses:
            return
        tag = (created.get("metadata") or {}).get(TAG)
        self._echoes = self._echoes or tag is not None
        asked = self._asked
        if asked is not None and self._is_answer_to(asked, created, tag):
            self._asked, reply = None, asked
        else:
            known = (one for one in self._kept if tag is not None and one.id == tag)
            reply = next(known, None) or _Responses("chat", {})
        if len(self._responses) >= MAX_RESPONSES:
            self._give_up(next(iter(self._responses.values())))
        response = _Response(response_id, reply, next(self._numbers), time.monotonic())
        self._responses[response_id] = response
        if reply.dropped or reply.done:  # broken off, or given up, while it was asked for
            self._cancel(response)
            return
        if not reply.started:  # the service's own voice activity detection asked for it
            self._start(reply, self._stopped_ns, self._item)
        if reply.kind == "chat":
            self._context.place("assistant", reply.id)

    def _is_answer_to(self, asked: _Responses, created: dict[str, Any], tag: str | None) -> bool:
        """Whether a response that begins is the one that was asked for last. Services that do not repeat the metadata
        say at least which conversation it belongs to, or nothing."""
        if tag is not None or self._echoes:
            return tag == asked.id
        if "conversation_id" in created:
            return (created["conversation_id"] is None) == (asked.kind == "speak")
        return True

    def _response(self, response_id: str | None) -> _Response | None:
        """The response of that id; of a service that names none, the newest."""
        if response_id is None:
            return next(reversed(self._responses.values()), None)
        return self._responses.get(response_id)

    def _of(self, event: dict[str, Any]) -> _Responses | None:
        """The reply that an event of a response belongs to; None = nobody wants it any more."""
        response = self._response(event.get("response_id"))
        if response is None:
            return None
        response.moved = time.monotonic()
        self._newest_moved = max(self._newest_moved, response.number)
        return None if response.reply.dropped else response.reply

    def _stamp(self, reply: _Responses, name: Literal["first_token", "first_audio"]) -> None:
        if (stamp := reply.stamp(name)) is not None:
            self._emit(stamp)

    def _on_response_output_audio_transcript_delta(self, event: dict[str, Any]) -> None:
        reply = self._of(event)
        if reply is not None:
            self._told(reply, event, event["delta"])

    def _on_response_output_audio_transcript_done(self, event: dict[str, Any]) -> None:
        """All of it at once, from a service that has not sent it bit by bit."""
        reply = self._of(event)
        if reply is not None and event.get("item_id", "") not in reply.told and (text := event.get("transcript")):
            self._told(reply, event, text)

    def _told(self, reply: _Responses, event: dict[str, Any], text: str) -> None:
        if reply.aloud is not None:
            self._wait(reply, event)
            return
        if self._tells(reply, event):
            reply.next_part()
        if not (text := self._counted(reply, text)):
            return
        self._stamp(reply, "first_token")
        if not (text := reply.reads(text)):
            return
        text, marks = reply.adds(text)
        self._context.said(reply.id, reply.text)
        self._emit(ReplyText(reply.id, text, marks=marks))

    def _tells(self, reply: _Responses, event: dict[str, Any]) -> bool:
        """Text of one of the service's items has come. Returns whether it begins another part of the answer than the
        text before it: the two are not one text."""
        item_id = event.get("item_id", "")
        reply.told.add(item_id)
        before, reply.part = reply.part, (item_id, event.get("content_index") or 0)
        return before not in (None, reply.part)

    def _on_response_output_text_delta(self, event: dict[str, Any]) -> None:
        reply = self._of(event)
        if reply is not None:
            self._written(reply, event, event["delta"])

    def _on_response_output_text_done(self, event: dict[str, Any]) -> None:
        reply = self._of(event)
        if reply is not None and event.get("item_id", "") not in reply.told and (text := event.get("text")):
            self._written(reply, event, text)

    def _written(self, reply: _Responses, event: dict[str, Any], text: str) -> None:
        """Text of an answer that has no sound: the agent's own voice says it; without one it is told."""
        item_id = event.get("item_id", "")
        if reply.behind:
            self._wait(reply, event)
            return
        if any(item == item_id for item, _ in reply.items) or (reply.aloud is None and not self._read_aloud(reply)):
            self._told(reply, event, text)
            return
        assert reply.aloud is not None
        if self._tells(reply, event):
            reply.aloud[0].next_part()
        if not (text := self._counted(reply, text)):
            return
        reply.written[item_id] = reply.written.get(item_id, "") + text
        self._stamp(reply, "first_token")
        reply.aloud[0].say(text)

    def _counted(self, reply: _Responses, text: str) -> str:
        """What of a piece of a reply's text is taken."""
        if len(reply.told) > MAX_ITEMS:
            self._too_long(reply)
            return ""
        text = text[: MAX_TEXT - reply.length]
        reply.length += len(text)
        return text

    def _wait(self, reply: _Responses, event: dict[str, Any]) -> None:
        """An event waits until the text before it has been read aloud."""
        reply.behind.append(event)
        reply.behind_bytes += 1024 + len(msgspec.json.encode(event))  # a small one takes more than its letters
        if reply.behind_bytes > MAX_BEHIND:
            self._too_long(reply)

    def _too_long(self, reply: _Responses) -> None:
        if not reply.dropped:
            self._complain("REALTIME_ERROR", "the reply is too long; it is cut off", reply.id)
            self._break_off(reply)

    def _read_aloud(self, reply: _Responses) -> bool:
        """Begins to read a reply aloud; returns whether there is a voice for it."""
        if reply.mute:
            return False
        message = "the agent has no text to speech"
        if self._tts is not None:
            try:
                tts = self._tts(self._config)
            except LipwireError as exc:
                message = str(exc)
            else:
                language = self._config.language
                aloud = ReadAloud(tts, reply, self._said_aloud, lambda good: self._aloud_over(reply, good), language)
                reply.aloud = aloud, self._spawn(aloud.run())
                return True
        reply.mute = True
        message = f"the service answered in text, which cannot be said: {message}"
        self._emit(Failed("TTS_ERROR", message, reply.id, minor=True))
        return False

    def _said_aloud(self, event: BrainEvent) -> None:
        if isinstance(event, ReplyText):
            reply = next((one for one in self._kept if one.id == event.reply_id), None)
            if reply is not None:
                self._context.said(reply.id, reply.text)
        self._emit(event)

    def _follow(self, reply: _Responses) -> None:
        """What came behind text that was read aloud."""
        behind, reply.behind, reply.behind_bytes = reply.behind, [], 0
        for event in behind:
            if reply.dropped:
                return
            if event["type"].endswith("audio.delta"):
                self._sound(reply, event)
            else:
                self._told(reply, event, event.get("delta") or event.get("transcript") or event.get("text") or "")

    def _aloud_over(self, reply: _Responses, good: bool) -> None:
        """All that came as text has been handed over: what came behind it follows."""
        reply.aloud = None
        reply.mute = reply.mute or not good
        if reply.done or reply.dropped:
            return
        self._follow(reply)
        if not any(response.reply is reply for response in self._responses.values()) and not reply.calls:
            self._finish(reply, "done" if good else "failed")
        self._pump()

    def _on_response_output_audio_delta(self, event: dict[str, Any]) -> None:
        reply = self._of(event)
        if reply is None:
            return
        text = reply.written.get(event.get("item_id", ""))
        if reply.aloud is not None and text is not None and not reply.position_ms:
            reply.aloud[1].cancel()  # the text is that of sound, which comes after all
            reply.aloud = None
            reply.restart()
            reply.length = len(reply.text)
            self._told(reply, event, text)
            self._follow(reply)
        if reply.aloud is None:
            self._sound(reply, event)
        else:
            self._wait(reply, event)

    def _sound(self, reply: _Responses, event: dict[str, Any]) -> None:
        try:
            pcm = base64.b64decode(event["delta"], validate=True)
        except binascii.Error as exc:
            raise ValueError(f"the sound is no base64: {exc}") from exc
        pcm = pcm[: len(pcm) // 2 * 2]
        if reply.position_ms > MAX_AUDIO_MS or len(reply.items) > MAX_ITEMS:
            self._too_long(reply)
            return
        if not reply.items or reply.items[-1][0] != event["item_id"]:
            reply.items.append((event["item_id"], reply.position_ms))
        self._stamp(reply, "first_token")
        self._stamp(reply, "first_audio")
        reply.position_ms += len(pcm) / 2 / RATE * 1000
        self._emit(ReplyAudio(reply.id, pcm, RATE))

    def _on_response_output_item_done(self, event: dict[str, Any]) -> None:
        item, response = event["item"], self._response(event.get("response_id"))
        if item["type"] != "function_call" or response is None:
            return
        if item.get("status") == "incomplete":  # broken off before all of its arguments were there
            if _check_id(item.get("id")):
                self._send({"type": "conversation.item.delete", "item_id": item["id"]})
            return
        if max(len(item["call_id"]), len(item["name"])) > MAX_ID or len(item.get("arguments") or "") > MAX_ARGUMENTS:
            raise ValueError("a call is too long")
        self._call(response.reply, item["call_id"], item["name"], item.get("arguments") or "")

    def _call(self, reply: _Responses, call_id: str, name: str, arguments: str) -> None:
        """Runs a function. Where another response asked for just that, and has not been told the result, it is run
        once for both: the model asks anew for what it does not see answered. One that makes too many is broken off."""
        if len(reply.calls) >= MAX_CALLS or reply.rounds >= MAX_ROUNDS or len(self._tasks) >= MAX_TASKS:
            if not reply.dropped:
                few = reply.rounds < MAX_ROUNDS
                what = "more functions at once than it may" if few else f"functions {MAX_ROUNDS + 1} times"
                self._complain("REALTIME_ERROR", f"the service calls {what}; its reply is cut off", reply.id)
                self._break_off(reply)
            return
        key = name, msgspec.json.encode(read_arguments(arguments), order="sorted")
        result = self._running.get(key)
        if result is None or any(call.result is result for call in reply.calls):
            self._running[key] = result = self._spawn(self._caller.answer(call_id, name, arguments))
        reply.calls.append(_Call(call_id, name, valid_arguments(arguments), key, result))

    def _on_response_done(self, event: dict[str, Any]) -> None:
        done = event["response"]
        response = self._response(done.get("id"))
        if response is not None:
            self._newest_moved = max(self._newest_moved, response.number)
            self._over(response, done)

    def _over(self, response: _Response, done: dict[str, Any]) -> None:
        """A response is over, by what the service says of it."""
        self._responses.pop(response.id, None)
        reply, status = response.reply, done.get("status")
        details = done.get("status_details") or {}
        if reply.calls:
            self._spawn(self._follow_up(reply, self._ws))
        elif reply.dropped or status in ("completed", None):
            self._finish(reply, "done")
        elif status in ("incomplete", "cancelled"):
            self._cut_short(reply, status, details.get("reason"))
        else:
            error = details.get("error") or {}
            self._details(str(error.get("message", error)))
            why = word(error) if error else status
            self._complain("REALTIME_ERROR", f"the response failed: {why}", reply.id)
            self._finish(reply, "failed")
        self._pump()

    def _cut_short(self, reply: _Responses, status: str, why: Any) -> None:
        """The service ended a response before its end. What it has said of it stands, and is told to be a part; where
        it has said nothing, the answer has failed."""
        why = why if isinstance(why, str) and re.fullmatch(WORD, why) else "no reason given"
        begun = bool(reply.text.strip() or reply.position_ms or reply.aloud)
        if why != "turn_detected":  # else the user speaks, which everybody knows
            self._complain("REALTIME_ERROR", f"the response is {status}: {why}", reply.id, minor=begun)
        if reply.aloud is not None or (begun and status == "incomplete"):
            self._finish(reply, "done")
        else:
            self._finish(reply, "failed")

    async def _follow_up(self, reply: _Responses, ws: ClientConnection | None) -> None:
        """The answers to a response's calls, then the reply goes on. `ws`: the connection that knows of the calls.
        Where there is none now, the next one is told of them as it begins."""
        calls, reply.calls = reply.calls, []
        reply.rounds += 1
        if reply.rounds >= MAX_ROUNDS:  # it has to answer now
            reply.options = {**reply.options, "tool_choice": "none"}
        try:
            results = await asyncio.gather(*[call.result for call in calls])
        finally:
            for call in calls:
                if self._running.get(call.key) is call.result:
                    del self._running[call.key]
        for call, result in zip(calls, results, strict=True):
            self._context.called(reply.id, call.id, call.name, call.arguments, result)
            if self._ws is not ws:  # the call was the old connection's
                self._add_call(call.id, call.name, call.arguments)
            self._add_result(call.id, result)
        if not reply.dropped and not reply.done:
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
