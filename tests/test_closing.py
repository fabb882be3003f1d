"""What hangs or fails while it is closed is told of, and nobody waits for it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from lipwire.closing import close_within

logger = logging.getLogger("test.closing")


async def test_what_closes_is_waited_for_and_said_nothing_of(caplog: pytest.LogCaptureFixture) -> None:
    closed = asyncio.Event()

    async def close() -> None:
        await asyncio.sleep(0)
        closed.set()

    await close_within(60, close, "it", logger)
    assert closed.is_set()
    assert caplog.records == []


async def test_what_fails_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def close() -> None:
        raise OSError("no")

    await close_within(60, close, "it", logger)
    (record,) = caplog.records
    assert record.getMessage() == "closing it failed"
    assert record.exc_info is not None and isinstance(record.exc_info[1], OSError)


async def test_what_heeds_no_cancellation_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    release, cancelled = asyncio.Event(), asyncio.Event()

    async def close() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                cancelled.set()

    await close_within(0, close, "it", logger)
    assert [record.getMessage() for record in caplog.records] == ["it: not closed within 0 s, and given up"]
    await cancelled.wait()
    release.set()
