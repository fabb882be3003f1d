"""Sessions that a client gave up on and never stopped: the next one for the same channel and uid takes their place."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from lipwire.protocol import messages as m
from lipwire.provider.sessions import ProviderError
from support.provider_stage import OTHER_KEY, Stage

pytestmark = pytest.mark.asyncio


async def test_an_orphan_is_ended_even_while_it_still_starts() -> None:
    stage = Stage()
    stage.gate = asyncio.Event()
    given_up = asyncio.create_task(stage.start())
    await asyncio.sleep(0)
    again = asyncio.create_task(stage.start())
    await asyncio.sleep(0)
    stage.gate.set()
    orphan, reply = await asyncio.gather(given_up, again)
    assert [session.id for session in stage.provider.sessions] == [reply.session_id]
    assert stage.made[0].closed == 1
    with pytest.raises(ProviderError, match="not found"):
        stage.provider.check_token(orphan.session_token)
    assert stage.provider.ended_total == {"replaced": 1}


async def test_a_start_that_was_given_up_leaves_nothing_behind() -> None:
    stage = Stage()
    stage.gate = asyncio.Event()
    given_up = asyncio.create_task(stage.start())
    await asyncio.sleep(0)
    given_up.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await given_up
    stage.gate.set()
    reply = await stage.start()
    assert [session.id for session in stage.provider.sessions] == [reply.session_id]


async def test_another_owner_is_refused_while_the_first_starts_and_after() -> None:
    stage = Stage()
    stage.gate = asyncio.Event()
    first = asyncio.create_task(stage.start())
    await asyncio.sleep(0)
    other = asyncio.create_task(stage.start(OTHER_KEY))
    await asyncio.sleep(0)
    stage.gate.set()
    reply = await first
    for attempt in (other, stage.start(OTHER_KEY)):
        with pytest.raises(ProviderError) as caught:
            await attempt
        assert caught.value.code == "CHANNEL_IN_USE"
    assert [session.id for session in stage.provider.sessions] == [reply.session_id]
    assert stage.made[0].closed == 0


async def test_what_the_orphan_said_last_reaches_its_client() -> None:
    stage = Stage()
    await stage.start()
    session = stage.provider.sessions[0]
    _, outbox = stage.provider.attach(session)
    stage.made[0].emit(m.PlaybackFinished("v", 40.0, True))
    await stage.start()
    assert outbox.pop() == [m.encode(m.PlaybackFinished("v", 40.0, True))]
    assert outbox.closing == (1000, "session ended: replaced")
