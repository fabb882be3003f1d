"""The brain that is OpenAI Realtime, over WebSocket (GA shape; the beta's event names are understood as well).

Everything that the service knows of the conversation is kept here too, bounded, so that a connection that breaks is
replaced by one that goes on: instructions, tools and the last messages are sent again. Source: protocol.md D, OpenAI's
Realtime reference.

    RealtimeLink      the connection, and the next one
    RealtimeReplies   what waits, is asked for, is under way
    RealtimeOutput    the text and the sound of answers
    RealtimeBrain     what agents say to it, and what the service does
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Literal

import msgspec
from msgspec import structs

from ..._core import Resampler
from ...outward import Outward
from ...protocol.agent_bodies import InUse
from ..config import MAX_TURN_MS, AgentConfig
from ..face_tags import plain as without_tags
from ..in_use import Part
from ..realtime_socket import RATE, exactly, with_model, word
from ..speech.mixer import UserMixer
from ..speech.tts import Tts
from ..update import apply
from . import chat
from .base import HEARD_RATE, BrainEvent, Failed, SpeechStarted, SpeechStopped, UserText
from .calls import MAX_ARGUMENTS
from .completion import MAX_TEXT
from .realtime_link import RealtimeLink
from .realtime_output import RealtimeOutput
from .realtime_replies import KEPT_REPLIES, MAX_ID, RealtimeReplies, RealtimeReply, check_id
from .realtime_session import session
from .realtime_state import RealtimeState
from .tools import Caller

logger = logging.getLogger("lipwire.agents")

APPEND_MS = 20
"""Sound that is gathered for one message to the service."""
PICTURE_SECONDS = 3.0
"""How old a picture may be that is shown."""

GA_NAMES = {
    f"response.{name}.{end}": f"response.output_{name}.{end}"
    for name in ("audio", "audio_transcript", "text")
    for end in ("delta", "done")
}
HARMLESS = {"response_cancel_not_active", "item_truncate_invalid_item_id", "item_delete_invalid_item_id"}
"""Errors of messages that crossed on their way with what made them needless."""


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
        self._model = model
        self._state = RealtimeState(self._config)
        self._caller = Caller(
            config.tools,
            lambda event: self._state.emit(event),
            servers=config.llm.mcp_servers,
            outward=outward,
            variables=config.llm.template_variables,
            changed=self._send_session,
        )
        self._link = RealtimeLink(
            with_model(url, model),
            api_key,
            None if own else outward,
            take=self._take,
            begin=self._begin,
            lost=self._lost,
            failed=self._gone,
        )
        self._replies = RealtimeReplies(self._state, self._link, self._caller)
        self._output = RealtimeOutput(self._state, self._replies, tts)
        self._mixer = UserMixer()
        self._picture: chat.Picture | None = None
        self._fresh()

    def _fresh(self) -> None:
        """The state that is a connection's."""
        self._to_service = Resampler(HEARD_RATE, RATE)
        self._append = bytearray()
        self._sent_ms = 0
        """How many ms of sound this connection was sent."""
        self._speaking = False
        self._partial: dict[str, str] = {}
        """What is known of users' items in the making."""
        self._picture_item: str | None = None
        self._state.item, self._state.stopped_ns = None, 0

    # ---- life

    async def open(self, emit: Callable[[BrainEvent], None]) -> None:
        self._state.emit = emit
        ws = await self._link.open()
        self._begin()
        self._state.main = self._state.spawn(self._link.run(ws))
        self._state.spawn(self._replies.watch())
        self._caller.start()

    async def close(self) -> None:
        self._state.closed = True
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._link.close()  # its task may not have begun
        await self._caller.close()

    def _lost(self, reason: str, telling: bool) -> None:
        """The connection is gone: what was being said is broken off, what waits is said on the next one."""
        logger.info("agent %s: %s", self._config.name, reason)
        told = self._replies.lost(reason)
        if (telling or self._speaking) and not told:
            self._state.complain("REALTIME_ERROR", reason)
        if self._speaking:  # the next connection will not know it
            self._state.emit(SpeechStopped(time.monotonic_ns()))
        self._fresh()

    def _gone(self, message: str, last: bool) -> None:
        """Connecting anew failed."""
        self._state.closed = self._state.closed or last
        self._state.emit(Failed("REALTIME_ERROR", message, fatal=last))

    def _begin(self) -> None:
        """Tells a new connection all that it has to know."""
        self._send_session()
        for message in self._state.context.messages():
            if message["role"] == "call":
                self._link.add_call(message["call_id"], message["name"], message["arguments"])
                self._link.add_result(message["call_id"], message["content"])
            else:
                self._link.add_item(message["role"], message["content"])
        self._replies.pump()

    def _send_session(self) -> None:
        tools = self._caller.toolbox.for_realtime()
        self._link.send({"type": "session.update", "session": session(self._config, tools)})

    def in_use(self) -> dict[Part, InUse]:
        """The model, and what speaks."""
        return {"model": InUse(name=self._model), "voice": self._output.in_use}

    # ---- what agents say to it

    def hear(self, pcm: bytes, user: str) -> None:
        if self._link.ws is None:
            return
        for frame in self._mixer.hear(pcm, user):
            self._sent_ms += len(frame) * 1000 // (2 * HEARD_RATE)
            self._append += self._to_service.process(frame)
        if len(self._append) >= APPEND_MS * RATE // 1000 * 2:
            self._link.add_sound(self._append)
            self._append.clear()

    def see(self, user: str, jpeg: bytes, *, sent: bool = False) -> None:
        if sent and "image" in self._config.llm.input_modalities:
            self._link.add_picture(f"sent_{next(self._state.ids)}", jpeg)  # it stays in the conversation
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
            self._link.delete(self._picture_item)
        self._picture_item = f"picture_{next(self._state.ids)}"
        self._link.add_picture(self._picture_item, picture.jpeg)

    def tell(
        self,
        text: str,
        role: Literal["user", "system"] = "user",
        *,
        respond: bool = True,
        metadata: Mapping[str, str] | None = None,
        interruptable: bool = True,
    ) -> str | None:
        self._caller.start()
        self._state.context.add(role, text)
        self._link.add_item(role, text)
        if not respond:
            return None
        self._show()
        return self._replies.answer(RealtimeReply("chat", {}), kept=not interruptable)

    def respond(self, instructions: str | None = None) -> str:
        return self._replies.answer(RealtimeReply("chat", {"instructions": instructions} if instructions else {}))

    def commit(self) -> None:
        if self._append:
            self._link.add_sound(self._append)
            self._append.clear()
        self._link.send({"type": "input_audio_buffer.commit"})
        self._state.stopped_ns = time.monotonic_ns()
        self._speaking = False
        answer = RealtimeReply("chat", {})
        self._state.emit(SpeechStopped(self._state.stopped_ns, reply_id=answer.id))
        self._replies.answer(answer)

    def update(self, changes: dict[str, Any]) -> None:
        apply(self._config, changes)
        self._state.context.limit = self._config.llm.max_history
        if "tools" in changes:
            self._caller.replace(self._config.tools)
        if any(not name.startswith("llm.") for name in changes):
            self._send_session()

    def tool_result(self, call_id: str, output: str) -> None:
        self._caller.result(call_id, output)

    def speak(self, text: str) -> str:
        instructions = exactly(without_tags(text))
        # Out of the conversation, so that it is not taken for an answer; what was said is added to it afterwards.
        reply = RealtimeReply("speak", {"conversation": "none", "input": [], "instructions": instructions, "tools": []})
        self._replies.want(reply)
        return reply.id

    def remember(self, reply_id: str, text: str) -> None:
        self._replies.remember(reply_id, text)

    def interrupted(self, reply_id: str, played_ms: float, text: str) -> None:
        self._replies.interrupted(reply_id, played_ms, text)

    # ---- what the service does

    def _take(self, text: str | bytes) -> None:
        try:
            event = msgspec.json.decode(text)
            kind = event["type"]
            for name in ("item_id", "response_id"):
                check_id(event.get(name, ""))
            handler = getattr(self, "_on_" + GA_NAMES.get(kind, kind).replace(".", "_"), None)
            if handler is not None:
                handler(event)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as exc:
            # What the service sends is its own; what of it is no event costs this one and no more.
            why = f"the service sent what is no event: {type(exc).__name__}: {exc!s:.200}"
            if self._state.complain("REALTIME_ERROR", why):
                logger.warning("agent %s: not understood: %s", self._config.name, type(exc).__name__)
                self._link.details(f"not understood: {text!s:.200}")

    def _on_error(self, event: dict[str, Any]) -> None:
        error = event["error"]
        code, message = error.get("code"), f"the service reported {word(error)}"
        self._link.details(str(error.get("message", error)))
        if code in HARMLESS:
            return
        asked, about = self._replies.asked, error.get("event_id")
        if code == "conversation_already_has_active_response":
            self._replies.in_the_way(asked if about in (None, getattr(asked, "id", None)) else None, about)
            return
        if asked is None or about != asked.id:
            self._state.complain("REALTIME_ERROR", message)
            return
        self._replies.asked = None
        if not asked.dropped:
            self._state.emit(Failed("REALTIME_ERROR", message, asked.id))
            self._replies.finish(asked, "failed")
        self._replies.pump()

    def _on_input_audio_buffer_speech_started(self, event: dict[str, Any]) -> None:
        self._caller.start()
        self._speaking = True
        now = time.monotonic_ns()
        ago_ms = self._sent_ms - event["audio_start_ms"] - self._config.turn_detection.prefix_padding_ms
        self._show()
        ago_ms = min(max(ago_ms, 0), MAX_TURN_MS)  # whatever number the service has sent
        self._state.emit(SpeechStarted(now - round(ago_ms * 1_000_000), event.get("item_id")))

    def _on_input_audio_buffer_speech_stopped(self, event: dict[str, Any]) -> None:
        self._state.stopped_ns = time.monotonic_ns()
        if self._speaking:
            self._speaking = False
            self._state.emit(SpeechStopped(self._state.stopped_ns, event.get("item_id")))

    def _on_input_audio_buffer_committed(self, event: dict[str, Any]) -> None:
        self._state.item = event["item_id"]
        self._state.context.place("user", event["item_id"])  # what was said becomes known later

    def _on_conversation_item_input_audio_transcription_delta(self, event: dict[str, Any]) -> None:
        item_id = event["item_id"]
        text = self._partial.get(item_id, "") + (event.get("delta") or "")
        if len(self._partial) >= KEPT_REPLIES and item_id not in self._partial:
            del self._partial[next(iter(self._partial))]
        self._partial[item_id] = text[:MAX_TEXT]
        self._state.emit(UserText(item_id, self._partial[item_id].strip(), False))

    def _on_conversation_item_input_audio_transcription_completed(self, event: dict[str, Any]) -> None:
        self._partial.pop(event["item_id"], None)
        text = event["transcript"].strip()[:MAX_TEXT]
        self._state.context.text("user", event["item_id"], text)
        self._state.emit(UserText(event["item_id"], text, True))

    def _on_conversation_item_input_audio_transcription_failed(self, event: dict[str, Any]) -> None:
        self._partial.pop(event["item_id"], None)
        # The model hears by itself: the reply comes all the same.
        error = event.get("error") or {}
        self._link.details(str(error.get("message", error)))
        self._state.complain("STT_ERROR", f"there is no transcript: the service reported {word(error)}", minor=True)

    def _on_response_created(self, event: dict[str, Any]) -> None:
        self._replies.created(event)

    def _on_response_output_audio_transcript_delta(self, event: dict[str, Any]) -> None:
        reply = self._replies.of(event)
        if reply is not None:
            self._output.told(reply, event, event["delta"])

    def _on_response_output_audio_transcript_done(self, event: dict[str, Any]) -> None:
        """All of it at once, from a service that has not sent it bit by bit."""
        reply = self._replies.of(event)
        if reply is not None and event.get("item_id", "") not in reply.told and (text := event.get("transcript")):
            self._output.told(reply, event, text)

    def _on_response_output_text_delta(self, event: dict[str, Any]) -> None:
        reply = self._replies.of(event)
        if reply is not None:
            self._output.written(reply, event, event["delta"])

    def _on_response_output_text_done(self, event: dict[str, Any]) -> None:
        reply = self._replies.of(event)
        if reply is not None and event.get("item_id", "") not in reply.told and (text := event.get("text")):
            self._output.written(reply, event, text)

    def _on_response_output_audio_delta(self, event: dict[str, Any]) -> None:
        reply = self._replies.of(event)
        if reply is not None:
            self._output.heard(reply, event)

    def _on_response_output_item_done(self, event: dict[str, Any]) -> None:
        item, response = event["item"], self._replies.response(event.get("response_id"))
        if item["type"] != "function_call" or response is None:
            return
        if item.get("status") == "incomplete":  # broken off before all of its arguments were there
            if check_id(item.get("id")):
                self._link.delete(item["id"])
            return
        if max(len(item["call_id"]), len(item["name"])) > MAX_ID:
            raise ValueError("a call is too long")
        arguments = (item.get("arguments") or "")[: MAX_ARGUMENTS + 1]  # which the model is told to be too many
        self._replies.call(response.reply, item["call_id"], item["name"], arguments)

    def _on_response_done(self, event: dict[str, Any]) -> None:
        done = event["response"]
        response = self._replies.response(done.get("id"))
        if response is not None:
            self._replies.moved(response)
            self._replies.over(response, done)
