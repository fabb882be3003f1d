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

logger = logging.getLogger("lipwire.agents")

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
        self._failed = False

    def open(self) -> None:
        """Begins to load it, where it is installed."""
        if there(model := known(MODEL)) is None:
            self._tell(f"{MODEL} is not installed. {how(model)}")
            return
        self._host = ModelHost.of()
        self._warming = asyncio.get_running_loop().create_task(self._warm(self._host))

    async def _warm(self, host: ModelHost) -> None:
        try:
            await host.warm("turn")
            self.ready = True
        except ModelFailed as exc:
            self._failed = True
            self._tell(str(exc))

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
        return self._host is not None and not self._failed

    def ask(self, pcm: bytes, on_probability: OnProbability) -> Job | None:
        if self._host is None or not self.ready:
            return None

        def answered(answer: Answer) -> None:
            if isinstance(answer, Probability):
                on_probability(answer.value)

        def ended(failed: ModelFailed | None) -> None:
            if failed is not None:
                on_probability(None)

        return self._host.job("turn", Question(pcm), answered, ended)
