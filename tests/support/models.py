"""Owners of jobs in the process of models."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from lipwire.errors import ModelFailed
from lipwire.models.host import Job, ModelHost
from lipwire.models.wire import Answer, EngineName, Request
from support.child_owner import children

LONG = 60.0
"""Seconds in which anything happens, on any machine."""


@contextlib.contextmanager
def no_child_left() -> Iterator[None]:
    before = children()
    yield
    assert children() == before


class Owner:
    """Of a job: what it was told."""

    def __init__(self, host: ModelHost, engine: EngineName, request: Request) -> None:
        self.answers: list[Answer] = []
        self.end: asyncio.Future[ModelFailed | None] = asyncio.get_running_loop().create_future()
        self.job: Job = host.job(engine, request, self.answers.append, self.end.set_result)

    async def over(self) -> ModelFailed | None:
        return await asyncio.wait_for(self.end, LONG)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(LONG):
            while not condition():
                await asyncio.sleep(0.005)
