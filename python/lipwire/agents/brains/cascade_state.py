"""What the parts of the cascade have in common: its settings, the conversation, and what they tell outwards."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from ..config import AgentConfig
from ..http import ServiceError
from .base import BrainEvent, Failed
from .context import ChatContext

logger = logging.getLogger("lipwire.agents")


class CascadeState:
    """Args: config: the brain's own copy."""

    def __init__(self, config: AgentConfig) -> None:
        self.config = config
        self.context = ChatContext(config.llm.max_history)
        self.emit: Callable[[BrainEvent], None] = lambda event: None
        """Tells the agent."""
        self.tasks: set[asyncio.Task[Any]] = set()
        self.open = False

    def spawn(self, run: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs something; what fails in it is told."""
        task = asyncio.get_running_loop().create_task(run)
        self.tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ServiceError):
            logger.error("agent %s: a task of its brain failed", self.config.name, exc_info=error)
            self.emit(Failed("INTERNAL_ERROR", f"{type(error).__name__}: {error}"))

    async def end_tasks(self) -> None:
        """Breaks off all that runs."""
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
