"""servers/ws.py over real loopback WebSockets: who gets in, every rule of the protocol, and every close code."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.protocol import State

from lipwire.errors import BufferFull
from lipwire.protocol import messages as m
from lipwire.protocol.access import Access
from lipwire.protocol.tokens import issue_access
from lipwire.servers.ws import SESSION_CONNECTIONS, WsServer, serve_ws
from support.abuse import Conversation, frame
from support.provider_stage import FakeSession, Stage, start_body

pytestmark = pytest.mark.asyncio

PCM = bytes(range(240)) * 4


class Wire:
    """A stage with its WebSocket server and one started session."""

    def __init__(self, stage: Stage, server: WsServer, reply: m.StartReply) -> None:
        self.stage, self.server, self.reply = stage, server, reply

    @property
    def fake(self) -> FakeSession:
        return self.stage.made[0]

    async def connect(self, token: str | None = None, path: str = "/", **kwargs: Any) -> ClientConnection:
        headers = {"authorization": f"Bearer {self.reply.session_token if token is None else token}"}
        return await connect(
            f"ws://127.0.0.1:{self.server.port}{path}",
            additional_headers=kwargs.pop("additional_headers", headers),
            proxy=None,
            **kwargs,
        )

    async def ready(self) -> ClientConnection:
        """Connected, and `init` is done."""
        ws = await self.connect()
        await say(ws, command="init", session_id=self.reply.session_id, **start_body())
        assert isinstance(await hear(ws), m.InitAck)
        return ws


@pytest_asyncio.fixture
async def wire() -> AsyncIterator[Wire]:
    stage = Stage()
    server = await serve_ws(stage.provider, port=0)
    yield Wire(stage, server, await stage.start())
    await server.close()


async def say(ws: ClientConnection, **message: Any) -> None:
    await ws.send(json.dumps(message))


async def voice(ws: ClientConnection, payload: bytes = PCM, event_id: str = "v", **more: Any) -> None:
    audio = base64.b64encode(payload).decode()
    fields = {"command": "voice", "audio": audio, "sampleRate": 24000, "encoding": "PCM16", "event_id": event_id}
    await say(ws, **(fields | more))


async def hear(ws: ClientConnection) -> Any:
    frame = await asyncio.wait_for(ws.recv(), 5)
    assert isinstance(frame, str)
    event = m.decode_event(frame)
    assert event is not None, frame
    return event


async def beat(ws: ClientConnection) -> None:
    """A round trip: everything sent before has been handled."""
    await say(ws, command="heartbeat", event_id="beat", timestamp=1)
    assert await hear(ws) == m.HeartbeatAck("beat", 1)


async def closes(ws: ClientConnection) -> tuple[int, str]:
    """Waits for the end: code and reason of the server's close."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await asyncio.wait_for(ws.recv(), 5)
    received = caught.value.rcvd
    assert received is not None
    return received.code, received.reason


async def refusal(wire: Wire, **kwargs: Any) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as caught:
        await wire.connect(**kwargs)
    response = caught.value.response
    assert response.headers["content-type"] == "application/json"
    body = msgspec.json.decode(response.body or b"", type=m.ErrorReply)
    assert body.message
    return response.status_code, body.code


# -------------------------------------------------------------------------------------------------------- handshake


async def test_who_guesses_behind_a_proxy_waits_by_himself(wire: Wire) -> None:
    async def guess(forwarded: str) -> int:
        headers = {"authorization": "Bearer nonsense", "x-forwarded-for": forwarded}
        return (await refusal(wire, additional_headers=headers))[0]

    for guesser in ("192.0.2.1", "nobody"):
        assert [await guess(guesser) for _ in range(8)] == [401] * 6 + [429] * 2
    assert await guess("192.0.2.2") == 401
    assert await guess("198.51.100.1, 192.0.2.1") == 429


async def test_refused_in_the_handshake(wire: Wire) -> None:
    secret = wire.stage.provider.config.session_secret
    good = wire.reply.session_token
    for headers in (
        {},
        {"authorization": good},
        {"authorization": "Bearer"},
        {"authorization": "Bearer   "},
        {"authorization": f"Basic {good}"},
        [("authorization", f"Bearer {good}"), ("authorization", f"Bearer {good}")],
    ):
        assert await refusal(wire, additional_headers=headers) == (401, "INVALID_TOKEN")
    access = Access(subject="session", id="no-such-session", role="speak")
    forged = issue_access(access, secret[::-1], now=wire.stage.wall, ttl=60)
    for token in ("nonsense", good[:-3] + "xyz", forged):
        assert await refusal(wire, token=token) == (401, "INVALID_TOKEN")
    unknown = issue_access(access, secret, now=wire.stage.wall, ttl=60)
    assert await refusal(wire, token=unknown) == (404, "SESSION_NOT_FOUND")
    await (await wire.ready()).close()


async def test_expired_and_ended(wire: Wire) -> None:
    wire.stage.wall += 25 * 3600
    assert await refusal(wire) == (401, "INVALID_TOKEN")
    wire.stage.wall -= 25 * 3600
    await wire.stage.provider.stop(m.StopRequest(session_id=wire.reply.session_id))
    assert await refusal(wire) == (404, "SESSION_NOT_FOUND")


async def test_a_session_has_few_connections_at_a_time(wire: Wire) -> None:
    def rude() -> Conversation:  # it does not answer a close
        talk = Conversation(wire.server.port, wire.reply.session_id, wire.reply.session_token)
        talk.until(b"init_ack")
        return talk

    talks = [await asyncio.to_thread(rude) for _ in range(SESSION_CONNECTIONS)]
    with pytest.raises(ConnectionError, match="NO_CAPACITY"):
        await asyncio.to_thread(rude)
    talks[-1].send(frame("{}"))
    assert b"UNKNOWN_COMMAND" in await asyncio.to_thread(talks[-1].until, b"error")  # the newest one counts
    for talk in talks:
        talk.__exit__()


async def test_a_connection_that_never_says_init_is_closed(wire: Wire) -> None:
    server = await serve_ws(wire.stage.provider, port=0, init_timeout=0.05)
    silent = Wire(wire.stage, server, wire.reply)
    ws = await silent.connect()
    assert await closes(ws) == (1008, "no init within 0.05 s")
    ws = await silent.connect()
    await say(ws, command="init", session_id="another")
    assert (await closes(ws))[0] == 1008
    await server.close()


async def test_a_client_that_takes_nothing_does_not_hold_up_a_close(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipwire.servers.ws.DRAIN_TIMEOUT", 0.05)
    ws = await wire.ready()
    ws.transport.pause_reading()
    session = wire.stage.provider.sessions[0]
    while session.outbox is not None and not session.outbox.dropped:  # the socket and the queue are full
        for _ in range(100):
            wire.fake.emit(m.ErrorEvent("TEST", "x" * 10_000))
        await asyncio.sleep(0)
    await wire.stage.provider.stop(m.StopRequest(session_id=wire.reply.session_id))
    while session.outbox is not None:
        await asyncio.sleep(0.01)


async def test_draining_refuses(wire: Wire) -> None:
    wire.stage.provider.draining = True
    assert await refusal(wire) == (503, "NO_CAPACITY")


async def test_any_path_and_no_compression(wire: Wire) -> None:
    for path in ("/", "/v1/websocket", "/a/b?c=d"):
        ws = await wire.connect(path=path)
        assert ws.protocol.extensions == []
        await beat(ws)
        await ws.close()


# ---------------------------------------------------------------------------------------------------------- talking


async def test_a_conversation(wire: Wire) -> None:
    ws = await wire.ready()
    await voice(ws, event_id="1")
    await voice(ws, b"\x80" * 80, "2", sampleRate=8000, encoding="PCM8")
    await voice(ws, b"\xfcopus", "3", sampleRate=48000, encoding="OPUS")
    await say(ws, command="voice_end", event_id="4")
    await say(ws, command="voice_interrupt", event_id="5")
    await say(ws, command="special", content={"gesture": "nod"}, event_id="6", unknown="key")
    await beat(ws)
    assert wire.fake.calls == [
        ("voice", PCM, "PCM16", 24000, "1"),
        ("voice", b"\x80" * 80, "PCM8", 8000, "2"),
        ("voice", b"\xfcopus", "OPUS", 48000, "3"),
        ("voice_end", "4"),
        ("interrupt", "5"),
        ("special", {"gesture": "nod"}, "6"),
    ]
    for event in (
        m.PlaybackStarted("1"),
        m.Underrun(100, 20),
        m.PlaybackFinished("1", 1234.5, True),
        m.ErrorEvent("BAD", "told", "7"),
    ):
        wire.fake.emit(event)
        assert await hear(ws) == event
    await ws.close()


async def test_bad_messages_are_answered_and_nothing_is_lost(wire: Wire) -> None:
    ws = await wire.connect()
    await voice(ws, event_id="early")
    assert await hear(ws) == m.ErrorEvent("NOT_INITIALIZED", "voice before init", "early")
    await say(ws, command="init", session_id=wire.reply.session_id, **start_body(quality="best"))
    assert (await hear(ws)).code == "VALIDATION_ERROR"
    await say(ws, command="init", session_id=wire.reply.session_id, **start_body())
    await hear(ws)
    spoken = b""
    bad: list[tuple[str, str | bytes]] = [
        ("INVALID_JSON", "{"),
        ("INVALID_JSON", "[1]"),
        ("UNSUPPORTED_DATA", b"\0\1\2"),
        ("UNKNOWN_COMMAND", '{"command":"dance"}'),
        ("INVALID_AUDIO", '{"command":"voice","audio":"a===","sampleRate":24000,"encoding":"PCM16"}'),
        ("INVALID_AUDIO", '{"command":"voice","audio":"AAAA","sampleRate":24000,"encoding":"PCM16"}'),
        ("VALIDATION_ERROR", '{"command":"voice","audio":"AAA=","sampleRate":7999,"encoding":"PCM16"}'),
        ("UNSUPPORTED_ENCODING", '{"command":"voice","audio":"AAA=","sampleRate":24000,"encoding":"MP3"}'),
        ("VALIDATION_ERROR", '{"command":"voice","sampleRate":24000,"encoding":"PCM16"}'),
        ("INVALID_JSON", '{"command":"voice_end","x":' + "[" * 10_000),
    ]
    for n, (code, message) in enumerate(bad):
        chunk = bytes([n]) * 960
        spoken += chunk
        await voice(ws, chunk)
        await ws.send(message)
        event = await hear(ws)
        assert (event.code, bool(event.message)) == (code, True)
    await beat(ws)
    assert wire.fake.spoken == spoken
    assert wire.fake.closed == 0
    figures = wire.stage.provider.describe(wire.stage.provider.sessions[0])
    assert figures["errors"] == len(bad) + 2
    await ws.close()


async def test_a_session_that_is_full_says_so(wire: Wire) -> None:
    ws = await wire.ready()
    wire.fake.fail = BufferFull("60 s of speech are queued")
    await voice(ws, event_id="too much")
    assert await hear(ws) == m.ErrorEvent("BUFFER_FULL", "60 s of speech are queued", "too much")
    await voice(ws)
    await beat(ws)
    assert len(wire.fake.calls) == 1
    await ws.close()


async def test_a_burst_arrives_whole(wire: Wire) -> None:
    ws = await wire.ready()
    chunks = [bytes([n % 256]) * 4800 for n in range(1000)]  # 100 s of speech at once
    for chunk in chunks:
        await voice(ws, chunk)
    await beat(ws)
    assert wire.fake.spoken == b"".join(chunks)
    await ws.close()


async def test_reconnect_resumes_the_session(wire: Wire) -> None:
    for n in range(3):
        ws = await wire.ready()
        await say(ws, command="init", session_id=wire.reply.session_id, **start_body())
        if n:
            assert await hear(ws) == m.PlaybackStarted("while nobody listened")
        assert isinstance(await hear(ws), m.InitAck)
        await voice(ws, event_id=str(n))
        await beat(ws)
        ws.transport.abort()
        while wire.stage.provider.sessions[0].outbox is not None:
            await asyncio.sleep(0.005)
        wire.fake.emit(m.PlaybackStarted("while nobody listened"))
    assert [call[4] for call in wire.fake.calls] == ["0", "1", "2"]
    assert len(wire.stage.made) == 1
    assert wire.fake.closed == 0


# ------------------------------------------------------------------------------------------------------ close codes


async def test_init_of_another_session_closes_1008(wire: Wire) -> None:
    ws = await wire.ready()
    await say(ws, command="init", session_id="somebody-else", **start_body())
    assert (await hear(ws)).code == "SESSION_MISMATCH"
    assert (await closes(ws))[0] == 1008
    assert wire.fake.closed == 0
    await (await wire.ready()).close()


async def test_100_mb_close_1009_and_the_server_lives(wire: Wire) -> None:
    ws = await wire.ready()
    await voice(ws, event_id="before")
    await beat(ws)
    try:
        await ws.send("x" * 100_000_000)
    except ConnectionClosed:
        pass
    assert (await closes(ws))[0] == 1009
    other = await wire.ready()
    await voice(other, event_id="after")
    await beat(other)
    assert [call[4] for call in wire.fake.calls] == ["before", "after"]
    await other.close()


async def test_just_too_large_closes_1009(wire: Wire) -> None:
    ws = await wire.ready()
    limit = wire.stage.provider.config.max_message_bytes
    head = '{"command":"voice","audio":"AAAA","sampleRate":8000,"encoding":"PCM8","x":"'
    await ws.send(head + "x" * (limit - len(head) - 2) + '"}')
    await beat(ws)
    assert wire.fake.calls == [("voice", bytes(3), "PCM8", 8000, None)]
    await ws.send("x" * (limit + 1))
    assert (await closes(ws))[0] == 1009


async def test_an_announced_100_mb_is_refused_before_it_is_sent(wire: Wire) -> None:
    ws = await wire.ready()
    ws.transport.write(b"\x81\xff" + (100_000_000).to_bytes(8, "big") + b"mask")
    assert (await closes(ws))[0] == 1009


async def test_a_newer_connection_takes_over(wire: Wire) -> None:
    first = await wire.ready()
    second = await wire.ready()
    assert await closes(first) == (1000, "superseded by a newer connection")
    await voice(second)
    wire.fake.emit(m.PlaybackStarted("v"))
    assert await hear(second) == m.PlaybackStarted("v")
    await beat(second)
    assert len(wire.fake.calls) == 1
    await second.close()


@pytest.mark.parametrize("leaves", ["stays", "closes", "breaks"])
async def test_what_the_old_connection_had_sent_comes_before_the_newer_ones(wire: Wire, leaves: str) -> None:
    first = await wire.ready()
    for _ in range(300):
        await voice(first, event_id="before")
    await first.send('{"command":"voice_interrupt","event_id":"i"}')
    if leaves == "closes":
        closing = asyncio.create_task(first.close())
    elif leaves == "breaks":
        first.transport.close()  # FIN behind what was sent
    second = await wire.ready()
    await voice(second, event_id="after")
    await beat(second)
    told = [call[4] if call[0] == "voice" else call[0] for call in wire.fake.calls]
    assert told == ["before"] * 300 + ["interrupt", "after"]
    if leaves == "closes":
        await closing
    await second.close()


async def test_an_old_connection_that_sends_on_is_not_read_for_ever(wire: Wire) -> None:
    first = await wire.ready()

    async def flood() -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await voice(first, event_id="old")
                await asyncio.sleep(0)

    flooding = asyncio.create_task(flood())
    second = await wire.ready()
    await voice(second, event_id="new")
    await beat(second)
    assert wire.fake.calls[-1][4] == "new"
    assert await closes(first) == (1000, "superseded by a newer connection")
    await flooding
    await second.close()


@pytest.mark.parametrize(("reason", "code"), [("stopped", 1000), ("replaced", 1000), ("idle", 1000), ("failed", 1011)])
async def test_the_end_of_a_session(wire: Wire, reason: Any, code: int) -> None:
    ws = await wire.ready()
    wire.fake.emit(m.PlaybackFinished("last words", 1, True))
    await wire.stage.provider.end(wire.stage.provider.sessions[0], reason)
    assert isinstance(await hear(ws), m.PlaybackFinished)
    assert await closes(ws) == (code, f"session ended: {reason}")
    assert await refusal(wire) == (404, "SESSION_NOT_FOUND")


async def test_a_fault_closes_1011(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    ws = await wire.ready()
    wire.fake.fail = ZeroDivisionError("a bug")
    with caplog.at_level(logging.ERROR):
        await voice(ws)
        assert (await closes(ws))[0] == 1011
    assert "a bug" in caplog.text
    assert wire.reply.session_id in caplog.text
    await (await wire.ready()).close()
    assert wire.fake.closed == 0


async def test_drain_closes_1012(wire: Wire) -> None:
    ws = await wire.ready()
    before = asyncio.all_tasks()
    await asyncio.gather(wire.server.close(), _code_is(ws, 1012))
    with pytest.raises(OSError, match=r"refused|failed"):
        await wire.connect()
    assert len(asyncio.all_tasks()) < len(before)
    assert wire.fake.closed == 0  # the provider ends sessions, not the socket


async def test_provider_shutdown_closes_1012(wire: Wire) -> None:
    ws = await wire.ready()
    await asyncio.gather(wire.stage.provider.close(), _code_is(ws, 1012))


async def _code_is(ws: ClientConnection, code: int) -> None:
    assert (await closes(ws))[0] == code


# ------------------------------------------------------------------------------------------------------- hard times


async def test_a_reader_that_sleeps_costs_bounded_memory(wire: Wire) -> None:
    ws = await wire.ready()
    session = wire.stage.provider.sessions[0]
    ws.transport.pause_reading()
    text = "x" * 10_000
    for n in range(3000):  # 30 MB of events
        wire.fake.emit(m.ErrorEvent("TEST", text, str(n)))
        if n % 100 == 0:
            await asyncio.sleep(0)
    assert session.outbox is not None
    assert session.outbox.dropped > 1000
    for _ in range(100):
        await voice(ws)  # its speech is still heard
    while len(wire.fake.calls) < 100:
        await asyncio.wait_for(wire.fake.arrived.wait(), 5)
        wire.fake.arrived.clear()
    ws.transport.resume_reading()
    last = None
    while last != "2999":  # the newest survives
        last = (await hear(ws)).event_id
    await ws.close()


async def test_rubbish_on_the_port(wire: Wire) -> None:
    for data in (b"", b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", b"POST /session/start HTTP/1.1\r\nhost: x\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", wire.server.port)) as sock:
            sock.sendall(data)
            await asyncio.sleep(0.01)
    ws = await wire.ready()
    ws.transport.write(b"\xff" * 100)  # reserved bits and an unknown opcode
    assert (await closes(ws))[0] == 1002
    ws = await wire.ready()
    ws.transport.write(b"\x81\x82\0\0\0\0\xff\xff")  # text that is no UTF-8
    assert (await closes(ws))[0] == 1007
    assert wire.fake.closed == 0
    await (await wire.ready()).close()


async def test_many_sessions_at_once() -> None:
    stage = Stage()
    server = await serve_ws(stage.provider, port=0)

    async def talk(uid: int) -> None:
        wire = Wire(stage, server, await stage.start(uid=str(uid)))
        ws = await wire.connect()
        await say(ws, command="init", session_id=wire.reply.session_id, **start_body())
        await hear(ws)
        for n in range(50):
            await voice(ws, bytes([uid]) * 960, str(n))
        await beat(ws)
        await ws.close()
        assert ws.state is State.CLOSED

    await asyncio.gather(*(talk(uid) for uid in range(20)))
    assert sorted(s.spoken for s in stage.made) == [bytes([uid]) * 960 * 50 for uid in range(20)]
    await server.close()
    await stage.provider.close()
    assert all(s.closed == 1 for s in stage.made)
