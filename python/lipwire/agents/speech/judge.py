"""Who says from the sound of a turn whether it is over: Smart Turn, in the process of models."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from ...errors import ModelFailed
from ...models.find import how, there
from ...models.host import Job, ModelHost
from ...models.table import known
from ...models.turn.engine import MODEL
from ...models.wire import Answer, Probability
from ...models.wire import Judge as Question
from ...protocol.agent_bodies import InUse
from ..in_use import instead

logger = logging.getLogger("lipwire.agents")

RULES = "rules"
"""What tells turns without a model: their melody and their last word."""
IN_A_ROW = 3
"""Questions that it fails at, one after another, after which it is not what tells turns, until it answers one."""

OnProbability = Callable[[float | None], None]
"""Gets how probable it is that the turn is over, or None: that will not become known."""


class Asked(Protocol):
    """A question that may have no answer yet."""

    def drop(self) -> None:
        """Nobody wants it any more; nothing is called from now on. Safe to call twice."""


class Judge(Protocol):
    """Judges turns."""

    @property
    def judges(self) -> bool:
        """Whether it can be asked, or will soon."""

    def ask(self, pcm: bytes, on_probability: OnProbability) -> Asked | None:
        """Whether a turn is over, by its sound up to now (PCM16 mono at 16 kHz). None: nobody can be asked."""


class HostJudge:
    """Smart Turn. Until it is loaded, and where it cannot be had, nobody can be asked."""

    _told = False

    def __init__(self) -> None:
        self._host: ModelHost | None = None
        self._warming: asyncio.Task[None] | None = None
        self.ready = False
        """It is loaded."""
        self.fallen = ""
        """Why the rules tell turns in its place."""
        self.on_fall: Callable[[InUse], None] = lambda used: None
        """Called when they do from now on."""
        self._failures = 0
        """In a row."""

    @property
    def in_use(self) -> InUse:
        """What tells turns, and in whose place."""
        return instead(RULES, MODEL, self.fallen) if self.fallen else InUse(name=MODEL)

    def open(self) -> None:
        """Begins to load it, where it is installed."""
        if there(model := known(MODEL)) is None:
            self._fall(f"{MODEL} is not installed. {how(model)}")
            return
        self._host = ModelHost.of()
        self._warming = asyncio.get_running_loop().create_task(self._warm(self._host))

    async def _warm(self, host: ModelHost) -> None:
        try:
            await host.warm("turn")
            self.ready = True
        except ModelFailed as exc:
            self._fall(str(exc))

    def _fall(self, why: str) -> None:
        self._tell(why)
        self.fallen = why
        self.on_fall(self.in_use)

    @classmethod
    def _tell(cls, why: str) -> None:
        if not cls._told:
            logger.warning("the end of a turn is told by its melody and its last word: %s", why)
            cls._told = True

    async def close(self) -> None:
        """Safe to call twice."""
        host, self._host = self._host, None
        if host is None or self._warming is None:
            return
        self._warming.cancel()
        with suppress(asyncio.CancelledError):
            await self._warming
        self.ready = False
        await host.leave()

    @property
    def judges(self) -> bool:
        return self._host is not None and not self.fallen

    def ask(self, pcm: bytes, on_probability: OnProbability) -> Job | None:
        if self._host is None or not self.ready:
            return None

        def answered(answer: Answer) -> None:
            if isinstance(answer, Probability):
                self._failures, self.fallen = 0, ""
                on_probability(answer.value)

        def ended(failed: ModelFailed | None) -> None:
            if failed is None:
                return
            self._failures += 1
            if self._failures == IN_A_ROW:
                self._fall(str(failed))
            on_probability(None)

        return self._host.job("turn", Question(pcm), answered, ended)
