"""Requests passed on, with the front's app served by the real HTTP server, before a worker that the test plays."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from lipwire.app.front.relay import Body, Gone, ask, give, headers_of, may_repeat, pass_socket, target_of, while_there
from lipwire.app.front.upstream import Lost, Upstream
from lipwire.provider.authority import ASKING_FROM
from lipwire.servers.http import serve_http


class Stage:
    """A worker's app, and a front before it that does nothing but pass on."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream, self.lost, self.gone = upstream, list[Lost](), 0
        self.done = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError
        try:
            if scope["type"] == "websocket":
                await pass_socket(self.upstream, scope, receive, send, [])
                return
            body = Body(receive)
            await body.read()
            if not body.whole:
                async with await ask(self.upstream, scope, body, []) as answer:
                    await give(answer, send)
                return
            with while_there(receive):
                async with await ask(self.upstream, scope, body, []) as answer:
                    await give(answer, send)
        except Lost as exc:
            self.lost.append(exc)
            raise
        except Gone:
            self.gone += 1
        finally:
            self.done.set()


@asynccontextmanager
async def staged(path: Path, app: Any) -> AsyncIterator[tuple[Stage, str, int]]:
    """The worker's app is ASGI, on a Unix socket."""
    worker = await serve_http(app, path=str(path))
    stage = Stage(Upstream(path=str(path)))
    front = await serve_http(stage, port=0)
    try:
        yield stage, f"http://127.0.0.1:{front.port}", front.port
    finally:
        await front.close()
        await stage.upstream.close()
        await worker.close()


def app(handle: Callable[..., Any]) -> Any:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError
        await handle(scope, receive, send)

    return asgi


async def tell_back(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what came."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    told = {
        "method": scope["method"],
        "raw": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "client": scope["client"],
        "length": len(body),
    }
    await send({"type": "http.response.start", "status": 207, "headers": [(b"x-many", b"1"), (b"x-many", b"2")]})
    await send({"type": "http.response.body", "body": json.dumps(told).encode(), "more_body": False})


async def test_a_request_arrives_as_it_was_sent(tmp_path: Path) -> None:
    sent = {
        "X-Api-Key": "k\xfc",
        "Origin": "http://page.example",
        "X-Forwarded-For": "203.0.113.9",
        "X-Lipwire-Order": "1",
        "Connection": "keep-alive, X-Mine",
        "X-Mine": "1",
    }
    async with staged(tmp_path / "s", app(tell_back)) as (_, url, _), httpx.AsyncClient(trust_env=False) as http:
        reply = await http.post(f"{url}/a%2Fb%20c/?x=%26&y", content=b"12345", headers=httpx.Headers(sent, "latin-1"))
        told = reply.json()
        assert reply.status_code == 207 and reply.headers.get_list("x-many") == ["1", "2"]
        assert len(reply.headers.get_list("date")) == 1
        assert (told["method"], told["raw"], told["query"]) == ("POST", "/a%2Fb%20c/", "x=%26&y")
        headers = {name: value for name, value in told["headers"]}
        assert (headers["x-api-key"], headers["content-length"], told["length"]) == ("k\xfc", "5", 5)
        assert not {"origin", "x-forwarded-for", "x-lipwire-order", "x-mine", "connection"} & set(headers)
        assert (await http.head(f"{url}/x")).status_code == 207
        assert headers["host"] == "localhost", "the client's has been judged"


async def test_a_client_of_http_1_0_names_no_host(tmp_path: Path) -> None:
    async with staged(tmp_path / "s", app(tell_back)) as (_, _, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /x HTTP/1.0\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 207 ")
        writer.close()


async def test_a_large_body_streams(tmp_path: Path) -> None:
    """More than any route takes is not kept here."""
    size = 3 << 20

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(size >> 16):
            yield bytes(1 << 16)

    async with staged(tmp_path / "s", app(tell_back)) as (_, url, _), httpx.AsyncClient(trust_env=False) as http:
        assert (await http.post(url, content=parts())).json()["length"] == size


async def test_an_answer_streams(tmp_path: Path) -> None:
    """A part that is there arrives before the next is made."""
    more = asyncio.Event()

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await more.wait()
        await send({"type": "http.response.body", "body": b"two", "more_body": False})

    async with (
        staged(tmp_path / "s", app(serve)) as (_, url, _),
        httpx.AsyncClient(trust_env=False) as http,
        http.stream("GET", url) as reply,
    ):
        parts = reply.aiter_raw()
        assert await anext(parts) == b"one"
        more.set()
        assert b"".join([part async for part in parts]) == b"two"


async def test_a_client_that_goes_ends_the_workers_request(tmp_path: Path) -> None:
    came, gone = asyncio.Event(), asyncio.Event()

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        came.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    async with staged(tmp_path / "s", app(serve)) as (stage, _, port):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await asyncio.wait_for(came.wait(), 10)
        await asyncio.wait_for(gone.wait(), 10)
        await asyncio.wait_for(stage.done.wait(), 10)
        assert (stage.gone, stage.lost) == (1, [])


async def test_a_client_that_goes_before_its_body_is_there_reaches_no_worker(tmp_path: Path) -> None:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("a request came")

    async with staged(tmp_path / "s", app(serve)) as (stage, _, port):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
            await asyncio.sleep(0.05)
        await asyncio.wait_for(stage.done.wait(), 10)
        assert (stage.gone, stage.lost) == (1, [])


@pytest.mark.parametrize("length", [b"content-length: 100\r\n", b"transfer-encoding: chunked\r\n"])
async def test_an_answer_that_breaks_off_is_no_other_answer(tmp_path: Path, length: bytes) -> None:
    """What the client gets breaks off, too."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n4\r\nhalf\r\n")
        await writer.drain()
        writer.close()

    stage = Stage(Upstream(path=str(tmp_path / "s")))
    front = await serve_http(stage, port=0)
    async with await asyncio.start_unix_server(serve, str(tmp_path / "s")), httpx.AsyncClient(trust_env=False) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"http://127.0.0.1:{front.port}")
    await front.close()
    await stage.upstream.close()
    assert (stage.gone, stage.lost) == (1, [])


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST", "PATCH"])
async def test_what_is_not_idempotent_is_never_sent_twice(tmp_path: Path, method: str) -> None:
    came = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        await reader.readuntil(b"\r\n\r\n")
        came += 1
        writer.close()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope, body = {"method": method, "path": "/", "headers": [(b"host", b"localhost")]}, Body(receive)
    async with await asyncio.start_unix_server(serve, str(tmp_path / "s")):
        upstream = Upstream(path=str(tmp_path / "s"))
        with pytest.raises(Lost) as lost:
            await ask(upstream, scope, body, [])
        await upstream.close()
    assert came == 1
    assert may_repeat(scope, body, lost.value) is (method in ("GET", "DELETE"))
    assert may_repeat(scope, body, Lost("", sent=False))


def test_where_a_request_comes_from_is_told() -> None:
    ASKING_FROM.set("192.0.2.7")
    scope = {"method": "GET", "headers": [(b"x-forwarded-for", b"203.0.113.1")]}
    assert headers_of(scope) == [(b"x-forwarded-for", b"192.0.2.7")]
    ASKING_FROM.set("")
    assert headers_of(scope) == []
    assert target_of({"path": "/\xe4", "raw_path": b"", "query_string": b""}) == "/\xe4".encode()


@pytest.mark.parametrize(
    ("raw", "query", "expected"),
    [
        (b"/x#y", b"", b"/x"),
        (b"/x", b"a#b", b"/x?a"),
        (b"/x#y?a", b"b", b"/x"),
        (b"@127.0.0.1:9/x", b"", b"/@127.0.0.1:9/x"),
        (b"http://127.0.0.1:9/x", b"", b"/http://127.0.0.1:9/x"),
        (b"*", b"", b"/*"),
    ],
)
def test_a_target_leads_to_no_other_place(raw: bytes, query: bytes, expected: bytes) -> None:
    """Whatever it is put behind."""
    assert target_of({"path": raw.decode(), "raw_path": raw, "query_string": query}) == expected


# ------------------------------------------------------------------------------------------------------- WebSockets


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Says back what it hears; "end" ends it."""
    await receive()
    headers = dict(scope["headers"])
    if b"refuse" in scope["query_string"]:
        start = {"type": "websocket.http.response.start", "status": 404, "headers": [(b"x-why", b"gone")]}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": b'{"code":"SESSION_NOT_FOUND"}'})
        return
    protocol = scope["subprotocols"][0] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": protocol, "headers": []})
    await send({"type": "websocket.send", "text": headers.get(b"authorization", b"").decode()})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            closed.append(message.get("code"))
            return
        if message.get("text") == "end":
            await send({"type": "websocket.close", "code": 4321, "reason": "as asked"})
            return
        await send({"type": "websocket.send", "bytes": message.get("bytes"), "text": message.get("text")})


closed: list[Any] = []


async def test_a_websocket_both_ways(tmp_path: Path) -> None:
    closed.clear()
    async with staged(tmp_path / "s", app(echo)) as (stage, url, _):
        place = url.replace("http", "ws")
        options: Any = {"proxy": None, "additional_headers": {"Authorization": "Bearer t"}}
        async with connect(f"{place}/motion/x?a=b", subprotocols=["one", "two"], **options) as ws:  # type: ignore[list-item]
            assert (ws.subprotocol, await ws.recv()) == ("one", "Bearer t")
            await ws.send("text")
            assert await ws.recv() == "text"
            await ws.send(bytes(range(256)))
            assert await ws.recv() == bytes(range(256))
            await ws.send("end")
            with pytest.raises(ConnectionClosed) as over:
                await ws.recv()
            assert over.value.rcvd is not None
            assert (over.value.rcvd.code, over.value.rcvd.reason) == (4321, "as asked")
        async with connect(place, **options) as ws:
            await ws.recv()
            await ws.close(3000)
        async with asyncio.timeout(10):
            while closed != [3000]:
                await asyncio.sleep(0.01)
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{place}/?refuse", **options)
        answer = refused.value.response
        assert (answer.status_code, answer.headers["x-why"]) == (404, "gone")
        assert json.loads(answer.body) == {"code": "SESSION_NOT_FOUND"}
        assert stage.lost == []


async def test_a_websocket_of_a_worker_that_dies_ends(tmp_path: Path) -> None:
    async with (
        staged(tmp_path / "s", app(echo)) as (_, url, _),
        connect(url.replace("http", "ws"), proxy=None) as ws,
    ):
        await ws.recv()
        # As a process that is killed does: its sockets close without a word.
        for task in asyncio.all_tasks():
            coro: Any = task.get_coro()
            if coro.__qualname__.endswith("run_asgi"):
                transport = coro.cr_frame.f_locals["self"].transport
                if transport.get_extra_info("socket").family == socket.AF_UNIX:
                    transport.abort()
        with pytest.raises(ConnectionClosed) as over:
            await asyncio.wait_for(ws.recv(), 10)
        assert over.value.rcvd is not None and over.value.rcvd.code == 1011
