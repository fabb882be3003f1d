"""What a brain emits, and waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from lipwire.agents.brains.base import BrainEvent, ReplyAudio, ReplyText

E = TypeVar("E")


class Record:
    """Give it to `Brain.open`."""

    def __init__(self) -> None:
        self.events: list[BrainEvent] = []
        self.on: Callable[[BrainEvent], None] | None = None
        """Called with each event with the event loop's next turn, as an agent takes them."""
        self._changed = asyncio.Event()

    def __call__(self, event: BrainEvent) -> None:
        self.events.append(event)
        if self.on is not None:
            asyncio.get_running_loop().call_soon(self.on, event)
        self._changed.set()

    def of(self, kind: type[E], **members: Any) -> list[E]:
        """Those of a kind whose members are these."""
        return [
            event
            for event in self.events
            if isinstance(event, kind) and all(getattr(event, name) == value for name, value in members.items())
        ]

    async def wait(self, kind: type[E], count: int = 1, seconds: float = 120.0, **members: Any) -> E:
        """Until there are `count` of them: the last of these."""
        try:
            async with asyncio.timeout(seconds):
                while len(found := self.of(kind, **members)) < count:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            seen = [event for event in self.events if not isinstance(event, ReplyAudio)]
            raise AssertionError(f"no {count} x {kind.__name__} {members} in {seen}") from None
        return found[count - 1]

    def kinds(self) -> list[str]:
        """Names of the events in order, those that repeat once."""
        names: list[str] = []
        for event in self.events:
            name = type(event).__name__
            if not names or names[-1] != name:
                names.append(name)
        return names

    def text(self, reply_id: str) -> str:
        return "".join(event.text for event in self.of(ReplyText, reply_id=reply_id))

    def seconds(self, reply_id: str) -> float:
        """Of sound."""
        return sum(len(event.pcm) / 2 / event.rate for event in self.of(ReplyAudio, reply_id=reply_id))
