"""HTTP/1.1 to workers: real sockets, and the other side says what it likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lipwire.app.front.upstream import Lost, Upstream, end_to_end

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Thing: 1\r\nKeep-Alive: 5\r\n\r\nok"


class Server:
    """Keeps what came, a request at a time, and answers as it is told."""

    def __init__(self, answers: list[bytes | None]) -> None:
        self.answers, self.heads, self.connections, self.ended = answers, list[bytes](), 0, 0
        self.came = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                self.came.set()
                answer = self.answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
                if b"content-length" not in answer and b"chunked" not in answer:
                    await reader.read()
        except asyncio.IncompleteReadError:
            pass
        finally:
            self.ended += 1
            writer.close()


@asynccontextmanager
async def listening(path: Path, server: Serve) -> AsyncIterator[Upstream]:
    async with await asyncio.start_unix_server(server, str(path)):
        upstream = Upstream(path=str(path))
        try:
            yield upstream
        finally:
            await upstream.close()


def test_headers_of_one_connection_alone_are_dropped() -> None:
    sent = [
        (b"Connection", b"close, X-Mine"),
        (b"x-mine", b"1"),
        (b"TE", b"trailers"),
        (b"X-Ours", b"2"),
        (b"Upgrade", b"h2c"),
    ]
    assert end_to_end(sent) == [(b"x-ours", b"2")]


async def test_an_answer_and_the_connection_is_kept(tmp_path: Path) -> None:
    server = Server([OK, OK])
    async with listening(tmp_path / "s", server) as upstream:
        for _ in range(2):
            async with await upstream.request("POST", b"/a?b=%20c", [(b"content-length", b"0")]) as answer:
                assert (answer.status, answer.header(b"x-thing"), await answer.read()) == (200, b"1", b"ok")
                assert answer.header(b"keep-alive") is None
    assert server.heads[0].startswith(b"POST /a?b=%20c HTTP/1.1\r\nhost: localhost\r\n")
    assert (server.connections, len(server.heads)) == (1, 2)


async def test_a_body_in_parts(tmp_path: Path) -> None:
    got = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(OK)
        await writer.drain()

    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async with (
        listening(tmp_path / "s", serve) as upstream,
        await upstream.request("POST", b"/", [], parts()) as answer,
    ):
        assert answer.status == 200
    assert bytes(got).endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n") and b"transfer-encoding: chunked" in got


async def test_nobody_there(tmp_path: Path) -> None:
    upstream = Upstream(path=str(tmp_path / "none"))
    with pytest.raises(Lost) as lost:
        await upstream.request("GET", b"/", [])
    assert lost.value.sent is False
    await upstream.close()
    upstream = Upstream(url="http://127.0.0.1:1")
    with pytest.raises(Lost) as lost:
        await upstream.request("GET", b"/", [])
    assert lost.value.sent is False
    await upstream.close()


@pytest.mark.parametrize("answer", [None, b"nonsense\r\n\r\n"], ids=["closes", "says nonsense"])
async def test_one_who_took_the_request_and_did_not_answer(tmp_path: Path, answer: bytes | None) -> None:
    server = Server([answer, OK])
    async with listening(tmp_path / "s", server) as upstream:
        with pytest.raises(Lost) as lost:
            await upstream.request("POST", b"/", [(b"content-length", b"0")])
        assert lost.value.sent is True
    assert len(server.heads) == 1


async def test_one_who_never_answers(tmp_path: Path) -> None:
    server = Server([b""])
    async with listening(tmp_path / "s", server) as upstream:
        with pytest.raises(Lost) as lost:
            await upstream.request("GET", b"/", [], timeout=0.05)
        assert lost.value.sent is True


async def test_an_answer_that_breaks_off(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()
        writer.close()

    async with (
        listening(tmp_path / "s", serve) as upstream,
        await upstream.request("GET", b"/", []) as answer,
    ):
        with pytest.raises(Lost, match="broke off"):
            await answer.read()


async def test_an_answer_that_is_too_long(tmp_path: Path) -> None:
    async with (
        listening(tmp_path / "s", Server([OK])) as upstream,
        await upstream.request("GET", b"/", []) as answer,
    ):
        with pytest.raises(Lost, match="too long"):
            await answer.read(1)


async def test_to_cancel_ends_the_request(tmp_path: Path) -> None:
    """The worker sees that nobody waits for its answer any more."""
    server = Server([b""])
    async with listening(tmp_path / "s", server) as upstream:
        waiting = asyncio.create_task(upstream.request("GET", b"/", []))
        await server.came.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with asyncio.timeout(10):
            while not server.ended:
                await asyncio.sleep(0.01)


async def test_a_websocket_that_cannot_be_asked_for() -> None:
    upstream = Upstream(url="http://127.0.0.1:1")
    for target in ("[/x", "/x#y"):
        with pytest.raises(Lost) as lost:
            await upstream.listen(target, [], [])
        assert lost.value.sent is False
    await upstream.close()
