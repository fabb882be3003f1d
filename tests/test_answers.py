"""answers.py over loopback: bodies that are as long as they may be, too long, and compressed."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
import pytest_asyncio

from lipwire.answers import IDENTITY, beginning, read_all
from lipwire.errors import BadData
from lipwire.provider.client import MOST_ANSWERED, Direct, ProviderFault

pytestmark = pytest.mark.asyncio
BODIES = {"/small": b"x" * 1000, "/large": b"y" * (2 * MOST_ANSWERED), "/packed": gzip.compress(bytes(50_000_000))}


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    """Of a server that answers BODIES, as 500 below /bad."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        status = "500 No" if path.startswith("/bad") else "200 OK"
        path = path.removeprefix("/bad")
        body, how = BODIES[path], "content-encoding: gzip\r\n" if path == "/packed" else ""
        head = f"HTTP/1.1 {status}\r\n{how}content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_bodies_are_bounded_and_not_unpacked(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, headers=IDENTITY, trust_env=False) as http:

        async def ask(read: Callable[[httpx.Response, int], Awaitable[bytes]], path: str, most: int) -> bytes:
            async with http.stream("GET", path) as reply:
                return await read(reply, most)

        assert await ask(read_all, "/small", 1000) == BODIES["/small"]
        with pytest.raises(BadData, match="more than 999 bytes"):
            await ask(read_all, "/small", 999)
        with pytest.raises(httpx.DecodingError, match="compressed"):
            await ask(read_all, "/packed", 1 << 30)
        assert await ask(beginning, "/large", 1000) == b"y" * 1000
        assert await ask(beginning, "/small", 9999) == BODIES["/small"]
        assert await ask(beginning, "/packed", 1000) == b""


async def test_a_provider_cannot_fill_the_memory(url: str) -> None:
    line = Direct(url)
    try:
        assert await line.call("POST", f"{url}/small", {}, b"{}") == BODIES["/small"]
        for path, words in (("/large", f"more than {MOST_ANSWERED} bytes"), ("/packed", "compressed")):
            with pytest.raises(ProviderFault, match=words) as fault:
                await line.call("POST", url + path, {}, b"{}")
            assert fault.value.status is None
            with pytest.raises(ProviderFault, match="answered 500: ") as fault:
                await line.call("POST", f"{url}/bad{path}", {}, b"{}")
            assert fault.value.status == 500 and len(str(fault.value)) < 500
    finally:
        await line.close()


async def test_a_body_in_many_pieces_is_gathered_in_one_pass() -> None:
    class Small(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for _ in range(400_000):
                yield b"12345"

    began = time.process_time()
    for read in (read_all, beginning):
        assert len(await read(httpx.Response(200, stream=Small()), 2_000_000)) == 2_000_000
    assert time.process_time() - began < 20  # minutes, where each piece copies all before it
