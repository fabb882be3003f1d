"""A server from its start to its end in good order, whoever asks for that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

logger = logging.getLogger("lipwire.service")

LAST = 1.0
"""Seconds that the body has to end by itself when the server has."""


class Startable(Protocol):
    """A server: `Service`, or `FrontService`."""

    async def start(self) -> Any: ...
    async def drain(self) -> None: ...
    async def close(self) -> None: ...


async def run_service(service: Startable, body: Callable[[], Coroutine[Any, Any, None]], asked: asyncio.Event) -> None:
    """Starts a service and runs `body` beside it until that ends, or raises, or until `asked` is set: then the service
    drains (`drain`), and the body, which goes on meanwhile, is cancelled. Cancelled, this closes it at once.

    Raises:
        InvalidArgument: a port cannot be had. What `body` raises, before it was asked to end.
    """
    asking = asyncio.ensure_future(asked.wait())
    running: asyncio.Future[None] | None = None
    try:
        await service.start()  # to its end, which is near: what is half open is hard to close
        running = asyncio.ensure_future(body())
        await asyncio.wait({running, asking}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.is_set():
            running.result()
            return
        await service.drain()
        await asyncio.wait({running}, timeout=LAST)
    finally:
        tasks = [task for task in (asking, running) if task is not None]
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if asked.is_set() and isinstance(ended, Exception):
                logger.debug("while it ended: %s", ended)
        await service.close()
