"""How the cascade thinks: what is asked for a reply, of a chat service or of what answers in its place, and the rounds
of functions that this calls.

    ChatContext -> ChatClient <-> Caller
                       | text as it comes
                       v
                 SynthesisStream

A function has effects. So it belongs to the conversation and not to the reply that called it: it runs once, to its end,
whatever becomes of the reply, and the next request waits for what comes of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Protocol

from ..describe import openai_voice
from ..face_tags import plain as without_tags
from ..http import ServiceError
from ..speech.tts import SynthesisStream
from . import chat
from .base import SENT_SECONDS, Failed, Services
from .calls import MAX_ROUNDS, Call
from .cascade_replies import CascadeReplies, ChainedReply
from .cascade_state import CascadeState
from .completion import Completion, Piece
from .context import Round
from .dialects import Question
from .dialects.base import question
from .tools import Caller

REFUSES_BODY = (400, 413, 422)
"""Statuses that may be for what a request says: the same would be refused again."""
PICTURE_SECONDS = 3.0
"""Age at which a picture is too old to be shown to the model."""


class Thinker(Protocol):
    """What answers in the place of a chat service, by itself and at once."""

    def answer(self, messages: Sequence[dict[str, Any]]) -> str:
        """The answer to a chat, whose messages are as `ChatContext` has them."""


class CascadeThinking:
    """Gives replies the model's words.

    Args:
        thinker: answers; None = the chat service that `llm` names.
    """

    def __init__(
        self,
        state: CascadeState,
        services: Services,
        replies: CascadeReplies,
        caller: Caller,
        timeouts: chat.Timeouts | None,
        thinker: Thinker | None,
    ) -> None:
        self._state, self._replies, self._caller = state, replies, caller
        own = {services.llm_url: services.llm_headers} if services.llm_url else {}
        self._chat = chat.ChatClient(state.config.llm, timeouts, services.outward, own)
        self._thinker = thinker
        self._picture: chat.Picture | None = None
        self._sent: chat.Picture | None = None
        """The newest that a user has sent."""
        self._calls: set[asyncio.Task[Any]] = set()
        """The functions that run."""

    async def close(self) -> None:
        await self._chat.close()

    def update(self) -> None:
        """The settings have changed."""
        self._chat.llm = self._state.config.llm

    def see(self, jpeg: bytes, *, sent: bool) -> None:
        """A picture; `sent` by the user, and not only seen."""
        picture = chat.Picture(jpeg, time.monotonic())
        if sent:
            self._sent = picture
        else:
            self._picture = picture

    async def think(
        self, reply: ChainedReply, speech: SynthesisStream, instructions: str | None, after: asyncio.Task[None] | None
    ) -> None:
        if after is not None:
            await asyncio.wait([after])
        if instructions:
            self._state.context.note(reply.id, instructions)
        try:
            for other in reply.before:
                if other.kept:  # else the model answers that question once more
                    await other.finished.wait()
            while self._calls:
                await asyncio.wait(self._calls)
            await self._caller.ready()
            if self._thinker is None:
                await self._chat_rounds(reply, speech)
            else:
                self._replies.stamp(reply, "first_token")
                speech.say(reply.reads(self._thinker.answer(self._state.context.messages(reply.id)), last=True))
        finally:
            self._state.context.noted(reply.id)

    def _question(
        self, reply: ChainedReply, tools: list[dict[str, Any]], picture: chat.Picture | None, *, may_call: bool
    ) -> Question:
        """What is asked for the next part of a reply."""
        llm = self._state.config.llm
        messages = self._state.context.messages(reply.id, stamped=llm.custom)
        if picture is not None:
            last = next((i for i in reversed(range(len(messages))) if messages[i]["role"] == "user"), None)
            if last is None:
                messages.append(chat.with_picture({"role": "user", "content": ""}, picture))
            else:
                messages[last] = chat.with_picture(messages[last], picture)
        voice = openai_voice(self._state.config.voice)
        instructions = self._state.config.instructions
        metadata = self._state.context.metadata(reply.id)
        return question(
            llm, messages, tools, voice=voice, instructions=instructions, may_call=may_call, metadata=metadata
        )

    def _fresh_picture(self) -> chat.Picture | None:
        if "image" not in self._state.config.llm.input_modalities:
            return None
        now = time.monotonic()
        kept = (self._sent, SENT_SECONDS), (self._picture, PICTURE_SECONDS)
        return next((one for one, seconds in kept if one is not None and now - one.at <= seconds), None)

    async def _chat_rounds(self, reply: ChainedReply, speech: SynthesisStream) -> None:
        """Asks until there is an answer without calls. Raises ServiceError: what came is none."""
        picture, said = self._fresh_picture(), False
        for left in reversed(range(MAX_ROUNDS + 1)):
            toolbox = self._caller.toolbox
            answer = self._chat.completion(toolbox.names)
            asked = self._question(reply, toolbox.for_chat(), picture, may_call=left > 0)
            unanswered = list(self._state.context.unanswered(reply.id))
            body = await self._chat.body(asked)
            reply.next_part()
            try:
                async with aclosing(self._chat.stream(body, answer)) as stream:
                    async for piece in stream:
                        await self._piece(reply, speech, piece, answer)
            except ServiceError as exc:
                if exc.status in REFUSES_BODY:
                    self._state.context.refused(unanswered)
                raise
            speech.end_sentence()
            for problem in answer.problems:
                self._state.emit(Failed("LLM_ERROR", problem, reply.id, minor=True))
            if answer.refusal:
                self._state.emit(Failed("LLM_REFUSED", f"the LLM refused: {answer.refusal:.200}", reply.id, minor=True))
            if (shortcoming := answer.shortcoming(said or self._state.config.llm.ignore_empty)) is not None:
                raise ServiceError(shortcoming)
            said = said or bool(answer.text.strip() or answer.audio_ms)
            if not answer.calls:
                return
            if not left and not answer.text.strip():
                raise ServiceError(f"the LLM called functions {MAX_ROUNDS + 1} times and gave no answer")
            if not left:
                return
            called = self._state.context.called(reply.id, without_tags(answer.text), answer.calls, answer.reasoning)
            running = [self._state.spawn(self._call(called, call)) for call in called.calls]
            for task in running:
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)
            await asyncio.wait(running)

    async def _call(self, called: Round, call: Call) -> None:
        called.results[call.id] = await self._caller.answer(call.id, call.name, call.arguments)

    async def _piece(self, reply: ChainedReply, speech: SynthesisStream, piece: Piece, answer: Completion) -> None:
        if piece.unsaid:
            speech.retract()
            reply.unheard = ""
            reply.restart()
        if piece.text or piece.pcm:
            self._replies.stamp(reply, "first_token")
        text = reply.reads(piece.text, last=piece.last)
        if "audio" not in self._state.config.llm.output_modalities:
            if text:
                speech.say(text)
            if piece.last:
                speech.end_sentence()
            return
        reply.unheard += text
        if piece.pcm:
            for other in reply.before:
                await other.finished.wait()
            self._replies.transcript(reply)
            await self._replies.sound(reply, piece.pcm, self._chat.rate)
        if piece.last and answer.audio_ms:
            self._replies.transcript(reply)
        elif piece.last:  # it was asked for sound and sent none
            speech.say(reply.unheard)
            reply.unheard = ""
