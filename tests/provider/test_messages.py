"""A connection's messages and events, without a socket: what waits for a client that is away, and long messages."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from lipwire.protocol import messages as m
from lipwire.protocol.ingest import Ingest
from lipwire.provider.outbox import Outbox
from lipwire.provider.sessions import MISSED, PIECE, ProviderSession
from support.provider_stage import Stage, start_body


def say_init(stage: Stage, session: ProviderSession, ingest: Ingest, outbox: Outbox) -> None:
    stage.provider.receive(session, ingest, outbox, json.dumps({"command": "init", **start_body()}))


@pytest.mark.asyncio
async def test_who_comes_back_hears_what_it_missed() -> None:
    stage = Stage()
    await stage.start()
    fake, session = stage.made[0], stage.provider.sessions[0]
    ingest, outbox = stage.provider.attach(session)
    say_init(stage, session, ingest, outbox)
    assert [type(m.decode_event(f)) for f in await outbox.take()] == [m.InitAck]
    fake.emit(m.PlaybackStarted("a"))  # is not sent any more
    stage.provider.receive(session, ingest, outbox, '{"command":"heartbeat"}')  # nor is its answer
    stage.provider.detach(session, outbox)
    fake.emit(m.PlaybackFinished("a", 500.0))
    ingest, outbox = stage.provider.attach(session)
    assert outbox.pop() == []
    say_init(stage, session, ingest, outbox)
    acked, *missed = [m.decode_event(f) for f in await outbox.take()]
    assert isinstance(acked, m.InitAck)
    assert missed == [m.PlaybackStarted("a"), m.PlaybackFinished("a", 500.0)]
    say_init(stage, session, ingest, outbox)
    assert [type(m.decode_event(f)) for f in await outbox.take()] == [m.InitAck]  # each is told once
    stage.provider.detach(session, outbox)
    for n in range(MISSED + 10):
        fake.emit(m.PlaybackStarted(str(n)))
    ingest, outbox = stage.provider.attach(session)
    say_init(stage, session, ingest, outbox)
    assert (session.events_dropped, outbox.dropped) == (10, 0)
    first, *rest = outbox.pop()
    assert isinstance(m.decode_event(first), m.InitAck)
    assert rest[-1] == m.encode(m.PlaybackStarted(str(MISSED + 9)))


@pytest.mark.asyncio
async def test_a_flood_of_answers_takes_no_place_of_an_event() -> None:
    outbox = Outbox(3)
    outbox.put("event 1")
    for n in range(10):
        outbox.put(f"answer {n}", answer=True)
    assert outbox.dropped == 8
    outbox.put("event 2")
    assert outbox.pop() == ["answer 0", "answer 1", "event 2"]


@pytest.mark.asyncio
async def test_minutes_in_a_message_are_written_in_pieces_or_not_at_all() -> None:
    stage = Stage()
    await stage.start()
    fake, session = stage.made[0], stage.provider.sessions[0]
    ingest, outbox = stage.provider.attach(session)
    say_init(stage, session, ingest, outbox)
    outbox.pop()
    speech = bytes(range(250)) * 3000

    def voice(size: int, event_id: str, encoding: str = "PCM16") -> list[Any]:
        audio = base64.b64encode(speech[:size]).decode()
        message = {"command": "voice", "audio": audio, "sampleRate": 48000, "encoding": encoding, "event_id": event_id}
        steps = stage.provider.steps(session, ingest, outbox, json.dumps(message))
        return list(steps)

    assert len(voice(3 * PIECE + 2, "long")) == 3
    assert fake.spoken == speech[: 3 * PIECE + 2]
    assert {call[4] for call in fake.calls} == {"long"}
    assert max(len(call[1]) for call in fake.calls) == PIECE
    assert stage.provider.messages_total["voice"] == 1
    fake.calls.clear()
    fake.space = 5.0
    assert voice(500_000, "too long") == []  # 5.2 s
    assert fake.calls == []
    (told,) = outbox.pop()
    event = m.decode_event(told)
    assert isinstance(event, m.ErrorEvent)
    assert (event.code, event.event_id) == ("BUFFER_FULL", "too long")
    assert "5.0 s left, the chunk is 5.2 s" in event.message


@pytest.mark.asyncio
async def test_an_interrupt_from_elsewhere_ends_a_long_message() -> None:
    stage = Stage()
    await stage.start()
    fake, session = stage.made[0], stage.provider.sessions[0]
    ingest, outbox = stage.provider.attach(session)
    say_init(stage, session, ingest, outbox)
    audio = base64.b64encode(bytes(5 * PIECE)).decode()
    message = {"command": "voice", "audio": audio, "sampleRate": 48000, "encoding": "PCM16"}
    steps = stage.provider.steps(session, ingest, outbox, json.dumps(message))
    assert next(steps)
    assert next(steps)
    fake.generation += 1
    assert list(steps) == []
    assert len(fake.spoken) == 2 * PIECE
