"""The brain that is a chain: voice activity, speech to text, chat completions, text to speech.

    CascadeHearing    hear -> TurnDetector -> Hearing -> a user's turn, as text
    CascadeThinking   ChatContext -> ChatClient <-> Caller: the words of an answer
    CascadeReplies    SynthesisStream -> ReplyText, ReplyAudio, one reply after the other
    CascadeBrain      what agents say to it, and when an answer is due

What is done before it is known to be wanted: speech is turned into text before the turn has ended (on this machine
after 100 ms of silence; by a service when the turn is taken for whole, or after half of the silence that ends it), and
again only if the user goes on. So the request for a reply leaves when the turn ends, if speech to text is that quick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Literal

from msgspec import structs

from ...protocol.agent_bodies import InUse
from ...protocol.transcript import AgentState
from ..config import AgentConfig
from ..face_tags import plain as without_tags
from ..in_use import Part, standing_in
from ..speech.pauses import asks_for_pause
from ..update import apply
from . import chat
from .base import BrainEvent, Services
from .cascade_hearing import CascadeHearing, UserTurn
from .cascade_replies import CascadeReplies, given
from .cascade_state import CascadeState
from .cascade_thinking import CascadeThinking, Thinker
from .tools import Caller


class CascadeBrain:
    """Thinks by the chain above; a `Brain`.

    Args:
        thinker: answers; None = the chat service that `config.llm` names.

    Raises:
        InvalidArgument, BadState: the speech to text or the text to speech cannot be had.
    """

    def __init__(
        self,
        config: AgentConfig,
        services: Services,
        *,
        timeouts: chat.Timeouts | None = None,
        thinker: Thinker | None = None,
    ) -> None:
        state = CascadeState(structs.replace(config, llm=copy(config.llm), turn_detection=copy(config.turn_detection)))
        self._state = state
        self._caller = Caller(
            config.tools,
            lambda event: state.emit(event),
            servers=config.llm.mcp_servers,
            outward=services.outward,
            variables=config.llm.template_variables,
        )
        self._hearing = CascadeHearing(state, services, self._understood)
        self._replies = CascadeReplies(state, services)
        self._thinking = CascadeThinking(state, services, self._replies, self._caller, timeouts, thinker)
        self._unanswered = False
        """Whether an answer is due when the user has finished."""

    # ---- life

    async def open(self, emit: Callable[[BrainEvent], None]) -> None:
        self._state.emit = emit
        await self._hearing.open()
        self._state.open = True
        self._caller.start()
        self._replies.begin_voice()

    def in_use(self) -> dict[Part, InUse]:
        """What it hears, speaks and tells turns with; of a service, what that is asked for."""
        config = self._state.config
        used = self._hearing.in_use()
        used["voice"] = self._replies.in_use()
        if config.stands_in_for.model:
            used["model"] = InUse(name=config.llm.model or "the service's own")
        return standing_in(used, config.stands_in_for)

    async def close(self) -> None:
        self._state.open = False
        self._hearing.drop()
        await self._state.end_tasks()
        await self._hearing.close()
        await self._replies.close()
        await self._thinking.close()
        await self._caller.close()

    # ---- hearing

    def hear(self, pcm: bytes, user: str) -> None:
        self._hearing.hear(pcm, user)

    def agent_is(self, state: AgentState) -> None:
        self._hearing.agent_is(state)

    def begin(self, user: str) -> None:
        self._hearing.begin(user)

    def doubt(self, on: bool) -> None:
        self._hearing.doubt(on)

    def commit(self) -> None:
        self._hearing.commit()

    def see(self, user: str, jpeg: bytes, *, sent: bool = False) -> None:
        self._thinking.see(jpeg, sent=sent)

    def _understood(self, turn: UserTurn, text: str) -> None:
        """What becomes of what a user said."""
        if turn.aside:
            return  # the conversation says what becomes of it
        if turn.replaced is not None:
            if text:
                self._state.context.insert(turn.replaced, text)
            return
        if turn.doubtful and not self._unanswered and self._hearing.is_backchannel(text):
            return  # the agent goes on with what it says
        if text:
            self._state.context.add("user", text)
            detection = self._state.config.turn_detection
            waits = detection.end_of_speech == "semantic" and detection.pause_state
            self._unanswered = not (waits and asks_for_pause(text, self._state.config.language))
        if self._unanswered and not self._hearing.goes_on:  # else it is answered with what is being said
            self._answer(None, turn.item_id if text else None)

    # ---- being told

    def tell(
        self,
        text: str,
        role: Literal["user", "system"] = "user",
        *,
        respond: bool = True,
        metadata: Mapping[str, str] | None = None,
        interruptable: bool = True,
    ) -> str | None:
        understood = self._replace() if respond else None
        self._state.context.add(role, text, metadata)
        if respond:
            after = understood if role == "system" else None
            return self._answer(None, None, kept=not interruptable, after=after)
        if self._hearing.turn is not None:
            self._unanswered = True
        return None

    def respond(self, instructions: str | None = None) -> str:
        return self._answer(instructions, None, after=self._replace())

    def _replace(self) -> asyncio.Task[None] | None:
        """What is asked now is answered in the place of what a user has said and is not understood yet. Returns what
        understands that: what is no question itself answers the user's."""
        return self._hearing.replace(self._state.context.place())

    def update(self, changes: dict[str, Any]) -> None:
        tts = self._replies.as_asked(changes) if "voice" in changes else None
        config = self._state.config
        apply(config, changes)
        if changes.get("llm.url") or changes.get("llm.api_key"):  # the client brings what it had not
            config.stands_in_for = structs.replace(config.stands_in_for, model="")
        self._state.context.limit = config.llm.max_history
        self._thinking.update()
        self._hearing.update()
        if "tools" in changes:
            self._caller.replace(config.tools)
        if tts is not None:
            self._replies.speak_by(tts)

    def tool_result(self, call_id: str, output: str) -> None:
        self._caller.result(call_id, output)

    # ---- replies

    def _answer(
        self,
        instructions: str | None,
        item_id: str | None,
        *,
        kept: bool = False,
        after: asyncio.Task[None] | None = None,
    ) -> str:
        self._unanswered = False
        self._replies.drop_answers()
        reply = self._replies.begin(
            "chat", lambda reply, speech: self._thinking.think(reply, speech, instructions, after), item_id
        )
        if kept:
            reply.kept = True
            self._state.context.expect(reply.id)
        return reply.id

    def speak(self, text: str) -> str:
        return self._replies.begin("speak", given(text)).id

    def remember(self, reply_id: str, text: str) -> None:
        """See `Remembering`."""
        self._state.context.said(reply_id, without_tags(text), given=True)

    def fill(self, text: str) -> str:
        """See `Filling`."""
        return self._replies.begin("speak", given(text), aside=True).id

    def interrupted(self, reply_id: str, played_ms: float, text: str) -> None:
        reply = self._replies.get(reply_id)
        if reply is not None:
            reply.text = text
            self._replies.drop(reply)
        if (reply is not None and not reply.aside) or self._state.context.knows(reply_id):
            self._state.context.said(reply_id, text)
        if reply is not None and reply.kind == "chat" and self._hearing.goes_on:
            # Where nothing of the answer was heard, it is due again if what interrupted it turns out to be no speech.
            self._unanswered = self._unanswered or not text.strip() or self._state.context.owes(reply_id)
