"""servers/http_protocol.py over real sockets: one read is parsed in steps, in order, and what was asked is answered."""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from websockets.asyncio.client import connect

from lipwire.servers.http import serve_http
from lipwire.servers.http_protocol import PIECE, REST
from lipwire.servers.listen import Door, Limits
from lipwire.servers.turns import Turn, Turns

CHUNKED = b"POST /read HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
REFUSED = b"POST /refuse HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
GET = b"GET /%d HTTP/1.1\r\nhost: localhost\r\n\r\n"
END = b"0\r\n\r\n"
PATIENCE = 20.0


class Site:
    """A server whose app answers with the length of the body, but /refuse at once; the clock of its turns makes every
    step a millisecond."""

    def __init__(self) -> None:
        ticks = itertools.count()
        self.turns = Turns(clock=lambda: next(ticks) / 1000)
        self.door = Door(Limits(idle=0.2))
        self.asked: list[str] = []
        self.bodies: list[int] = []
        self.gone = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        self.asked.append(scope["path"])
        size, more = 0, scope["path"] != "/refuse"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
                return
            size, more = size + len(message["body"]), message["more_body"]
        self.bodies.append(size)
        body = b"%d " % size
        headers = [(b"content-length", str(len(body)).encode())]
        await send(
            {"type": "http.response.start", "status": 200 if scope["path"] != "/refuse" else 403, "headers": headers}
        )
        await send({"type": "http.response.body", "body": body})

    async def open(self, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        self.writers.append(writer)
        writer.write(data)
        return reader, writer

    async def __aenter__(self) -> Site:
        self.writers: list[asyncio.StreamWriter] = []
        self.server = await serve_http(self, port=0, door=self.door, turns=self.turns)
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self.writers:
            writer.transport.abort()
        await self.server.close()


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    async with asyncio.timeout(PATIENCE), Site() as site:
        yield site


def chunks(count: int) -> bytes:
    return b"1\r\nx\r\n" * count


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and the body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    return int(head.split()[1]), await reader.readuntil(b" ")


async def test_a_body_of_tiny_chunks_takes_many_passes(site: Site) -> None:
    data = CHUNKED + chunks(20_000) + END
    reader, _ = await site.open(data)
    assert await answered(reader) == (200, b"20000 ")
    assert site.turns.passes > len(data) / PIECE / 4
    assert site.turns.waits > 20


async def test_so_does_the_body_of_a_request_that_waits_for_another_ones_answer(site: Site) -> None:
    data = CHUNKED + chunks(20_000) + END
    reader, _ = await site.open(GET % 1 + data + data + GET % 2)
    assert [await answered(reader) for _ in range(4)] == [
        (200, b"0 "),
        (200, b"20000 "),
        (200, b"20000 "),
        (200, b"0 "),
    ]
    assert site.turns.passes > 2 * len(data) / PIECE / 4


async def test_many_requests_in_one_read_are_answered_in_order(site: Site) -> None:
    reader, _ = await site.open(b"".join(GET % n for n in range(500)))
    assert [await answered(reader) for _ in range(500)] == [(200, b"0 ")] * 500
    assert site.asked == [f"/{n}" for n in range(500)]


async def test_a_large_body_is_taken_as_the_app_takes_it(site: Site) -> None:
    size = 3_000_000
    head = b"POST /read HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % size
    reader, _ = await site.open(head + bytes(size))
    assert await answered(reader) == (200, b"%d " % size)


async def test_what_came_before_the_end_is_heard(site: Site) -> None:
    _, writer = await site.open(CHUNKED + chunks(5000) + END)
    writer.write_eof()
    while site.bodies != [5000]:
        await asyncio.sleep(0.001)
    while len(site.door):
        await asyncio.sleep(0.001)


async def test_a_connection_that_breaks_is_told_and_freed(site: Site) -> None:
    _, writer = await site.open(CHUNKED + chunks(30_000))
    while not site.asked:
        await asyncio.sleep(0.001)
    (opened,) = (weakref.ref(protocol) for protocol in site.server._server.server_state.connections)
    gc.collect()
    gc.disable()
    try:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()  # a reset
        await site.gone.wait()
        while len(site.door):
            await asyncio.sleep(0.001)
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert opened() is None
    finally:
        gc.enable()


async def test_the_rest_of_a_short_body_is_read_and_the_connection_used_again(site: Site) -> None:
    reader, writer = await site.open(REFUSED + chunks(1000))
    assert await answered(reader) == (403, b"0 ")
    writer.write(chunks(1000) + END + CHUNKED + chunks(7) + END)
    assert await answered(reader) == (200, b"7 ")


async def test_a_body_that_goes_on_after_its_answer_ends_the_connection_and_the_answer_is_read(site: Site) -> None:
    reader, writer = await site.open(REFUSED + chunks(1000))
    assert await answered(reader) == (403, b"0 ")
    before = site.turns.clock()
    writer.write(chunks(100_000))
    assert await reader.read() == b""
    for _ in range(20):
        writer.write(chunks(10_000))
        await asyncio.sleep(0)
    # A step reads the clock twice; no more of them than `REST` has pieces, and what was thrown away took none.
    assert site.turns.clock() - before < (2 * REST / PIECE + 20) / 1000
    while len(site.door):
        await asyncio.sleep(0.001)
    assert site.asked == ["/refuse"]


async def test_a_head_of_many_headers_is_refused_before_it_is_parsed_and_one_of_some_is_not(site: Site) -> None:
    some = (GET % 1)[:-2] + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 100) for n in range(100)) + b"\r\n"
    reader, _ = await site.open(some + GET % 2)
    assert [(await answered(reader))[0] for _ in range(2)] == [200, 200]
    reader, _ = await site.open((GET % 3)[:-2] + b"a:\r\n" * 3900)
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    assert site.asked == ["/1", "/2"]


class Reluctant(Turns):
    """It is nobody's turn, the first time."""

    asked = 0

    def _free(self, turn: Turn) -> bool:
        self.asked += 1
        return self.asked > 1 and super()._free(turn)


async def test_a_websocket_is_read_whose_request_had_to_wait_for_its_turn() -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        assert scope["type"] == "websocket" and (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": (await receive())["text"]})
        await send({"type": "websocket.close"})

    server = await serve_http(echo, port=0, turns=Reluctant())
    async with asyncio.timeout(20), connect(f"ws://127.0.0.1:{server.port}/", proxy=None) as ws:
        await ws.send("heard")
        assert await ws.recv() == "heard"
    await server.close()
