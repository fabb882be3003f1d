"""What the parts of a realtime brain have in common: its settings, the conversation, and what they tell outwards."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from ..config import AgentConfig
from .base import BrainEvent, Failed
from .items import Items

logger = logging.getLogger("lipwire.agents")

MAX_COMPLAINTS = 8
"""Faults of the service's that are told within COMPLAINTS_SECONDS; more of them say nothing new."""
COMPLAINTS_SECONDS = 60.0


class RealtimeState:
    """Args: config: the brain's own copy."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.context = Items(config.llm.max_history)
        for message in config.realtime.messages if config.realtime is not None else ():
            self.context.told(message)
        self.emit: Callable[[BrainEvent], None] = lambda event: None
        """Tells the agent."""
        self.ids = itertools.count(1)
        """Of items that are ours."""
        self.tasks: set[asyncio.Task[Any]] = set()
        self.main: asyncio.Task[Any] | None = None
        """The task without which there is no brain."""
        self.closed = False
        self.item: str | None = None
        """The user's last item, on this connection,"""
        self.stopped_ns = 0
        """and when the user stopped speaking."""
        self._complained: deque[float] = deque(maxlen=MAX_COMPLAINTS)
        """When faults of the service's were told last."""

    def complain(self, code: str, message: str, reply_id: str | None = None, *, minor: bool = False) -> bool:
        """Tells a fault of the service's, of which there may be any number; returns whether it was told."""
        now = time.monotonic()
        if len(self._complained) == MAX_COMPLAINTS and now - self._complained[0] < COMPLAINTS_SECONDS:
            return False
        self._complained.append(now)
        self.emit(Failed(code, message, reply_id, minor=minor))
        return True

    def spawn(self, run: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs something; what fails in it is told."""
        task = asyncio.get_running_loop().create_task(run)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("agent %s: a task of its brain failed", self.config.name, exc_info=error)
            fatal = task is self.main
            self.closed = self.closed or fatal
            self.emit(Failed("INTERNAL_ERROR", f"{type(error).__name__}: {error}", fatal=fatal))
