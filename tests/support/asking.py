"""A chat service asked as the cascade asks it, without ears and voice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from lipwire.agents.brains.chat import ChatClient, Picture, Timeouts, with_picture
from lipwire.agents.brains.completion import Completion
from lipwire.agents.brains.context import ChatContext
from lipwire.agents.brains.dialects.base import question
from lipwire.agents.brains.tools import Toolbox
from lipwire.agents.config import Llm, Tool


class Talk:
    """A conversation by text with one service; `context` is what is remembered of it."""

    def __init__(self, llm: Llm, tools: Sequence[Tool] = (), timeouts: Timeouts | None = None) -> None:
        self.client, self.context, self.toolbox = (
            ChatClient(llm, timeouts),
            ChatContext(llm.max_history),
            Toolbox(tools),
        )
        self.number = 0

    async def __aenter__(self) -> Talk:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.client.close()

    async def once(self, reply: str = "", *, may_call: bool = True, jpeg: bytes = b"") -> Completion:
        """One request about the conversation so far."""
        messages = self.context.messages(reply)
        if jpeg:
            messages[-1] = with_picture(messages[-1], Picture(jpeg, 0.0))
        asked = question(self.client.llm, messages, self.toolbox.for_chat(), may_call=may_call)
        answer = self.client.completion(self.toolbox.names)
        async with aclosing(self.client.stream(await self.client.body(asked), answer)) as stream:
            async for _ in stream:
                pass
        return answer

    async def say(self, text: str, *, heard: str | None = None, jpeg: bytes = b"") -> str:
        """A user's message -> the answer, functions called in between. `heard`: what the user hears of it."""
        self.context.add("user", text)
        self.number += 1
        reply, said = f"r{self.number}", ""
        while True:
            answer = await self.once(reply, jpeg=jpeg)
            said += answer.text
            assert answer.shortcoming(bool(said)) is None, answer.shortcoming(bool(said))
            if not answer.calls:
                break
            made = self.context.called(reply, answer.text, answer.calls, answer.reasoning)
            for call in made.calls:
                made.results[call.id], _ = await self.toolbox.run(call.name, call.arguments)
        self.context.said(reply, said if heard is None else heard)
        return said

    @property
    def sent(self) -> Any:
        """What was asked, as messages."""
        return self.context.messages()
