"""servers/connection.py over real sockets: one read is parsed in steps, in order, and none of it is lost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import itertools
import json
import random
import socket
import weakref
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lipwire.protocol import messages as m
from lipwire.servers import connection
from lipwire.servers.turns import Turns
from lipwire.servers.ws import serve_ws
from support import abuse
from support.provider_stage import FakeSession, Stage

pytestmark = pytest.mark.asyncio


class Line:
    """A server with one session, and a bare socket to it. The clock of its turns makes every step a millisecond."""

    def __init__(self) -> None:
        self.stage = Stage()
        ticks = itertools.count()
        self.turns = Turns(clock=lambda: next(ticks) / 1000)

    async def open(self) -> None:
        self.server = await serve_ws(self.stage.provider, port=0, turns=self.turns)
        self.reply = await self.stage.start()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        self.writer.write(abuse.handshake(self.reply.session_token))
        assert b"101" in await self.reader.readuntil(b"\r\n\r\n")
        self.writer.write(abuse.init(self.reply.session_id))

    @property
    def fake(self) -> FakeSession:
        return self.stage.made[0]

    async def calls(self, count: int) -> list[str]:
        """The event ids of the first so many `voice` messages."""
        while len(self.fake.calls) < count:
            await asyncio.wait_for(self.fake.arrived.wait(), 20)
            self.fake.arrived.clear()
        return [call[4] for call in self.fake.calls]


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Line]:
    line = Line()
    await line.open()
    yield line
    line.writer.transport.abort()
    await line.server.close()


def burst(count: int) -> bytes:
    return b"".join(abuse.voice(bytes(2), event_id=str(n)) for n in range(count))


async def test_a_burst_takes_many_passes_and_keeps_its_order(line: Line) -> None:
    line.writer.write(burst(500))
    assert await line.calls(500) == [str(n) for n in range(500)]
    assert line.turns.passes > len(burst(500)) / connection.PIECE / 2
    assert line.turns.waits > 100


async def test_what_came_before_the_end_is_heard(line: Line) -> None:
    line.writer.write(burst(400) + abuse.frame((1000).to_bytes(2, "big"), 0x8))
    line.writer.write_eof()
    assert await line.calls(400) == [str(n) for n in range(400)]
    assert (await line.reader.read()).endswith(b"\x88\x02\x03\xe8")
    await gone(line)


async def test_what_came_before_the_connection_broke_is_heard(line: Line) -> None:
    line.writer.write(burst(400))
    await line.writer.drain()
    await line.calls(1)
    line.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    line.writer.transport.abort()  # a reset
    await gone(line)
    heard = [call[4] for call in line.fake.calls]
    assert heard == [str(n) for n in range(len(heard))]


async def gone(line: Line) -> None:
    (session,) = line.stage.provider.sessions
    while session.outbox is not None:
        await asyncio.sleep(0.01)


async def test_pongs_that_nobody_reads_are_bounded(line: Line) -> None:
    (opened,) = line.server._server.all_connections
    assert isinstance(opened, connection.Connection)
    pings = abuse.frame(b"p" * 125, abuse.PING) * 1000
    line.writer.transport.pause_reading()  # type: ignore[attr-defined]
    sock = line.writer.get_extra_info("socket")
    sent = 0
    while sent < 30_000_000 and not opened._full:
        line.writer.write(pings)
        sent += len(pings)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(line.writer.drain(), 0.05)
    assert opened._full
    assert sock.fileno() >= 0
    assert opened.transport.get_write_buffer_size() < connection.UNREAD + 64 * connection.PIECE
    line.writer.transport.resume_reading()  # type: ignore[attr-defined]
    drained = asyncio.create_task(line.reader.read(1 << 30))
    line.writer.write(abuse.voice(bytes(2), event_id="after"))
    reading = asyncio.create_task(_swallow(line.reader, drained))
    assert await line.calls(1) == ["after"]
    reading.cancel()


async def _swallow(reader: asyncio.StreamReader, first: asyncio.Task[bytes]) -> None:
    await first
    while await reader.read(1 << 20):
        pass


async def test_one_that_has_ended_is_freed_without_the_garbage_collector(line: Line) -> None:
    (opened,) = line.server._server.all_connections
    (session,) = line.stage.provider.sessions
    held = {"connection": weakref.ref(opened), "session": weakref.ref(session)}
    gc.collect()
    gc.disable()
    try:
        line.writer.write(burst(5) + abuse.frame((1000).to_bytes(2, "big"), 0x8))
        await line.calls(5)
        line.writer.close()
        await gone(line)
        await line.stage.provider.stop(m.StopRequest(session_id=session.id))
        line.fake.emit = print  # as a real one's, it is held no longer than it is needed
        line.stage.made.clear()
        del opened, session
        async with asyncio.timeout(20):
            while any(ref() is not None for ref in held.values()):  # type: ignore[operator]
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


def voice(event_id: str, payload: bytes = bytes(2)) -> str:
    audio = base64.b64encode(payload).decode()
    fields = {"command": "voice", "audio": audio, "sampleRate": 24000, "encoding": "PCM16", "event_id": event_id}
    return json.dumps(fields, ensure_ascii=False)


def in_some_way(rng: random.Random, event_id: str) -> tuple[str, bytes]:
    """(event id, frames) of a `voice`: most take the short way, others have to take the library's."""
    mask = rng.randbytes(4)
    if rng.random() < 0.6:
        return event_id, abuse.frame(voice(event_id, bytes(2 * rng.randrange(1, 3000))), mask=mask)
    if rng.random() < 0.3:
        return event_id, abuse.frame(voice(event_id, bytes(80_000)), mask=mask)
    if rng.random() < 0.3:
        return event_id + "ü", abuse.frame(voice(event_id + "ü"), mask=mask)
    text, ping = voice(event_id).encode(), abuse.frame(b"p", abuse.PING, mask=mask)
    at = rng.randrange(len(text))
    if rng.random() < 0.3:
        return event_id, ping + abuse.frame(text, mask=mask) + abuse.frame(b"{}", abuse.BINARY, mask=mask)
    parts = abuse.frame(text[:at], fin=False, mask=mask), abuse.frame(text[at:], abuse.CONTINUATION, mask=mask)
    return event_id, parts[0] + ping + parts[1]


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_message_takes_any_way_and_keeps_its_place(line: Line, seed: int) -> None:
    rng = random.Random(seed)
    ids, frames = zip(*(in_some_way(rng, str(n)) for n in range(150)), strict=True)
    stream = b"".join(frames)
    while stream:
        cut = rng.choice((1, 5, 100, 3000, 70_000))
        line.writer.write(stream[:cut])
        stream = stream[cut:]
        if rng.random() < 0.7:
            await asyncio.sleep(0)
    assert await line.calls(150) == list(ids)


async def test_a_whole_text_is_heard_without_the_library(line: Line) -> None:
    (opened,) = line.server._server.all_connections
    received: list[bytes | bytearray] = []
    receive = opened.protocol.receive_data
    opened.protocol.receive_data = lambda data: (received.append(data), receive(data))[1]  # type: ignore[method-assign]
    await asyncio.sleep(0)
    line.writer.write(abuse.frame(voice("0", bytes(9600)), mask=b"\1\2\3\4") + burst(3)[: -len("}")])
    assert await line.calls(3) == ["0", "0", "1"]
    line.writer.write(b"}" + abuse.frame(b"", abuse.PING))
    assert await line.calls(4) == ["0", "0", "1", "2"]
    await line.reader.readuntil(b"\x8a\x00")
    assert received == [abuse.frame(b"", abuse.PING)]


async def test_frames_that_come_with_the_handshake_are_heard(line: Line) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", line.server.port)
    early = abuse.init(line.reply.session_id) + burst(2)
    writer.write(abuse.handshake(line.reply.session_token) + early[:-7])
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    writer.write(early[-7:] + burst(2))
    assert await line.calls(4) == ["0", "1", "0", "1"]
    writer.transport.abort()


async def test_half_a_text_is_no_reason_to_stay(line: Line) -> None:
    line.writer.write(burst(1) + abuse.frame(voice("x"))[:-1])
    assert await line.calls(1) == ["0"]
    line.writer.write_eof()
    await gone(line)
    assert len(line.fake.calls) == 1


async def test_what_goes_wrong_with_a_text_closes_with_1011(line: Line) -> None:
    line.fake.fail = RuntimeError("a fault of ours")
    line.writer.write(burst(1))
    assert (await line.reader.read()).find((1011).to_bytes(2, "big")) >= 0
    await gone(line)
