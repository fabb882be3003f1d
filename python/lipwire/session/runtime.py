"""The native engine, hooked up to an asyncio loop.

One engine thread ticks every session of a loop. When a session has something to hand over (a picture, an event, or as
much sound as its publisher takes at a time) it writes to an eventfd, once a tick for all of them; the loop then drains
the rings of those sessions. A runtime starts with its first session and stops with its last.
"""

from __future__ import annotations

import asyncio
import os
from typing import ClassVar, Protocol
from weakref import WeakKeyDictionary

from .._core import Engine, Performer


class Drainable(Protocol):
    """What the runtime needs of a session."""

    performer: Performer

    def drain(self) -> None:
        """Takes everything out of the performer's rings. Must not raise."""


PLACES = 8192
"""Sessions that a loop has at most; more than a core can draw."""


class Runtime:
    """The sessions of one event loop."""

    _of_loop: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Runtime]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._sessions: dict[Performer, Drainable] = {}

    @classmethod
    def current(cls) -> Runtime:
        """The runtime of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in cls._of_loop:
            cls._of_loop[loop] = cls()
        return cls._of_loop[loop]

    @property
    def sessions(self) -> int:
        """How many are attached."""
        return len(self._sessions)

    def stats(self) -> dict[str, int]:
        """The engine's counters (`lw_engine_counters`); empty while it is stopped."""
        return {} if self._engine is None else self._engine.stats()

    def attach(self, session: Drainable) -> None:
        """Starts the session's clock."""
        if self._engine is None:
            self._engine = Engine(PLACES)
            asyncio.get_running_loop().add_reader(self._engine.fd, self._wake)
        self._engine.attach(session.performer)
        self._sessions[session.performer] = session

    async def detach(self, session: Drainable) -> None:
        """Stops the session's clock and drains what it left."""
        if self._sessions.get(session.performer) is not session or self._engine is None:
            return
        await asyncio.to_thread(self._engine.detach, session.performer)
        session.drain()
        self._sessions.pop(session.performer, None)
        if not self._sessions and self._engine is not None:
            engine, self._engine = self._engine, None
            asyncio.get_running_loop().remove_reader(engine.fd)
            await asyncio.to_thread(engine.close)

    def _wake(self) -> None:
        assert self._engine is not None
        try:
            os.read(self._engine.fd, 8)
        except BlockingIOError:
            return
        for performer in self._engine.ready():
            if (session := self._sessions.get(performer)) is not None:
                session.drain()
