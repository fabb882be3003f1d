"""Closing what may hang or fail, so that nothing else waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any


async def close_within(
    seconds: float, close: Callable[[], Awaitable[None]], what: str, log: logging.Logger | logging.LoggerAdapter[Any]
) -> None:
    """Closes something. Where that takes longer it is given up, even if it heeds no cancellation (`asyncio.timeout`
    would wait for it); where it fails, that is logged."""
    closing = asyncio.ensure_future(close())
    try:
        if not (await asyncio.wait({closing}, timeout=seconds))[0]:
            log.error("%s: not closed within %g s, and given up", what, seconds)
        elif (error := None if closing.cancelled() else closing.exception()) is not None:
            log.error("closing %s failed", what, exc_info=error)
    finally:
        closing.cancel()
