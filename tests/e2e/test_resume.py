"""A lost WebSocket is no leave: what was accepted plays, and the client goes on where it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from lipwire.app.config import Config
from lipwire.app.service import Service
from lipwire.protocol import messages as m
from support import abuse
from support.abuse import Conversation
from support.provider_stage import start_body

pytestmark = pytest.mark.asyncio

RATE = 16000
SECOND = b"\x10\x20" * RATE


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    config = Config(http_port=0, ws_port=0, viewer=False, agora="off", log_level="error", voice_end_timeout_ms=60_000)
    async with Service(config) as service:
        yield service


async def start(service: Service) -> m.StartReply:
    request = m.parse_start(start_body(quality="low"))
    return await service.provider.start(request, service.provider.check_api_key(service.api_key))


async def connect(service: Service, reply: m.StartReply) -> Conversation:
    talk = await asyncio.to_thread(Conversation, service.ws_port, reply.session_id, reply.session_token)
    await until(talk, b"init_ack")
    return talk


async def until(talk: Conversation, what: bytes) -> bytes:
    return await asyncio.wait_for(asyncio.to_thread(talk.until, what), 60)


async def gone(service: Service) -> None:
    while service.provider.sessions[0].outbox is not None:
        await asyncio.sleep(0.01)


def speech(seconds: float) -> bytes:
    return abuse.voice(SECOND[: int(RATE * seconds) * 2], RATE, event_id="v")


async def test_a_connection_breaks_in_an_utterance_and_in_a_message(service: Service) -> None:
    reply = await start(service)
    talk = await connect(service, reply)
    whole = speech(0.5)
    talk.send(speech(0.5) + whole[: len(whole) // 2])
    await until(talk, b"playback_started")
    talk.__exit__()
    await gone(service)
    talk = await connect(service, reply)
    talk.send(whole + abuse.message("voice_end", event_id="v"))  # the message again, whole
    got = await until(talk, b'"playback_finished"')
    finished = got[got.index(b'{"command":"playback_finished"') :]
    assert msgspec.json.decode(finished[: finished.index(b"}") + 1]) == {
        "command": "playback_finished",
        "event_id": "v",
        "position_ms": 1000.0,
        "interrupted": False,
    }
    assert b'"error"' not in got
    assert b"playback_started" not in got  # it is one utterance
    assert service.provider.sessions[0].connections == 2
    talk.__exit__()


async def test_what_was_accepted_plays_to_its_end_with_nobody_there_and_is_told_later(service: Service) -> None:
    reply = await start(service)
    talk = await connect(service, reply)
    talk.send(speech(0.7) + abuse.message("voice_end", event_id="v") + abuse.message("heartbeat", event_id="end"))
    await until(talk, b'"end"')
    talk.__exit__()
    await gone(service)
    await asyncio.wait_for(service.watched[reply.session_id].session.finished(), 60)
    talk = await connect(service, reply)
    got = await until(talk, b'"playback_finished"')
    assert got.index(b'"init_ack"') < got.index(b'"playback_finished"')
    assert b'"position_ms":700.0,"interrupted":false' in got
    talk.__exit__()


async def test_init_again_disturbs_nothing(service: Service) -> None:
    reply = await start(service)
    talk = await connect(service, reply)
    for _ in range(10):
        talk.send(speech(0.1) + abuse.init(reply.session_id))
    talk.send(abuse.message("voice_end", event_id="v"))
    got = await until(talk, b'"playback_finished"')
    assert got.count(b'"init_ack"') == 11
    assert got.count(b'"playback_started"') == 1
    assert b'"position_ms":1000.0,"interrupted":false' in got
    talk.__exit__()


async def test_a_second_connection_takes_over_and_the_speech_goes_on(service: Service) -> None:
    reply = await start(service)
    first = await connect(service, reply)
    first.send(speech(1))
    await until(first, b"playback_started")
    second = await connect(service, reply)
    with pytest.raises(ConnectionError, match="superseded"):
        await until(first, b"never")
    second.send(abuse.message("voice_end", event_id="v"))
    got = await until(second, b'"playback_finished"')
    assert b'"position_ms":1000.0,"interrupted":false' in got
    first.__exit__()
    second.__exit__()


async def test_a_message_too_large_ends_the_connection_and_not_what_came_before(service: Service) -> None:
    reply = await start(service)
    talk = await connect(service, reply)
    data = speech(0.5) + abuse.message("voice_end", event_id="v") + abuse.frame("x" * (4 << 20) + "x")
    await asyncio.to_thread(talk.send, data)
    with pytest.raises(ConnectionError, match=r"\\x03\\xf1"):  # 1009
        await until(talk, b"never")
    await gone(service)
    again = await connect(service, reply)
    assert b'"position_ms":500.0,"interrupted":false' in await until(again, b'"playback_finished"')
    again.__exit__()
