"""A request passed on, and its answer passed back; a WebSocket likewise."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from litestar.types import Message, Receive, Send
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from ...logs import sampled
from ...provider.authority import ASKING_FROM
from ...servers.errors import MAX_BODY
from . import hop as h
from .upstream import Answer, Headers, Lost, Upstream, end_to_end

logger = sampled("lipwire.front")

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Methods that may be sent twice (RFC 9110, section 9.2.2)."""
DROPPED = frozenset({b"host", b"origin", b"expect", b"x-forwarded-for", b"x-forwarded-proto", b"content-length"})
"""Of a request: who passes it on says these itself, has answered them, or has judged them (`guard`), and dresses the
answer for a page of that origin."""
HANDSHAKE = b"sec-websocket-"


class Gone(Exception):
    """The client is, or it has the beginning of an answer that broke off: nothing more can be said to it."""


class Body:
    """A request's body, as it comes from the client: as much as any route takes is read whole, what is more in parts.

    Args:
        receive: ASGI's.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.read_so_far = b""
        self.whole = False

    async def read(self) -> bytes:
        """All of it, where it has no more than a route takes; else the beginning (`whole` is false). Raises Gone."""
        while not self.whole and len(self.read_so_far) <= MAX_BODY:
            self.read_so_far += await self._part()
        return self.read_so_far

    async def _part(self) -> bytes:
        message: Any = await self._receive()
        if message["type"] == "http.disconnect":
            raise Gone
        self.whole = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    async def parts(self) -> AsyncIterator[bytes]:
        """From the beginning. Raises Gone."""
        yield self.read_so_far
        while not self.whole:
            yield await self._part()


@contextlib.contextmanager
def while_there(receive: Receive) -> Iterator[None]:
    """Ends what is within, with Gone, as soon as the client is gone. The request's body must have been read."""
    task = asyncio.current_task()
    assert task is not None
    gone = asyncio.ensure_future(_disconnected(receive))
    told = False

    def tell(_: asyncio.Future[None]) -> None:
        nonlocal told
        if not gone.cancelled():
            told = True
            task.cancel()

    gone.add_done_callback(tell)
    try:
        yield
    except asyncio.CancelledError:
        if told and task.uncancel() <= 0:
            raise Gone from None
        raise
    finally:
        gone.remove_done_callback(tell)
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def target_of(scope: Any) -> bytes:
    """Path and query of a request as the client has sent them, from a slash on and without a fragment: behind the name
    of a place it is a URL, which leads there and nowhere else."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    target = (raw + b"?" + query if query else raw).partition(b"#")[0]
    return target if target.startswith(b"/") else b"/" + target


def headers_of(scope: Any, body: bytes | None = b"") -> Headers:
    """What a worker is sent of a request's headers, and from where it came."""
    kept = [
        (name, value)
        for name, value in end_to_end(scope["headers"])
        if name not in DROPPED and not name.startswith((h.PREFIX, HANDSHAKE))
    ]
    address = ASKING_FROM.get()
    if address:
        kept.append((b"x-forwarded-for", address.encode("latin-1", "replace")))
    if body is not None and (body or scope.get("method") not in ("GET", "HEAD", "OPTIONS")):
        kept.append((b"content-length", str(len(body)).encode()))
    return kept


async def ask(upstream: Upstream, scope: Any, body: Body, more: Headers) -> Answer:
    """Passes a request on.

    Raises:
        Lost: there is none. Gone: the client is.
    """
    method, target = scope["method"], target_of(scope)
    data = await body.read()
    if not body.whole:
        return await upstream.request(method, target, headers_of(scope, None) + more, body.parts())
    return await upstream.request(method, target, headers_of(scope, data) + more, data)


def may_repeat(scope: Any, body: Body, exc: Lost) -> bool:
    """Whether a request that had no answer may be sent once more: nobody has read it, or its method allows it."""
    return body.whole and (not exc.sent or scope["method"] in IDEMPOTENT)


async def give(answer: Answer, send: Send) -> None:
    """Passes an answer back, as it comes. Raises Gone: it broke off, and so does what the client gets."""
    headers = [(name, value) for name, value in answer.headers if name != b"date"]  # there is one of ours
    start: Message = {"type": "http.response.start", "status": answer.status, "headers": headers}
    await send(start)
    try:
        async for part in answer.parts():
            await send({"type": "http.response.body", "body": part, "more_body": True})
    except Lost as exc:
        logger.warning("%s", exc)
        raise Gone from exc
    await send({"type": "http.response.body", "body": b"", "more_body": False})


# ------------------------------------------------------------------------------------------------------- WebSockets


async def pass_socket(
    upstream: Upstream,
    scope: Any,
    receive: Receive,
    send: Any,
    more: Headers,
    accepted: Callable[[], object] = lambda: None,
) -> None:
    """A WebSocket from its handshake to its end: what the worker refuses is refused with its answer, and the codes of
    closing are passed on both ways.

    Raises:
        Lost: the worker cannot be reached; nothing was answered.
    """
    headers = headers_of(scope, None) + more
    await receive()  # websocket.connect
    try:
        socket = await upstream.listen(target_of(scope).decode("latin-1"), headers, scope["subprotocols"])
    except InvalidStatus as exc:
        await _refuse(exc, send)
        return
    except InvalidHandshake as exc:
        raise Lost(f"it gave no answer: {exc}", sent=True) from exc
    try:
        accepted()
        await send({"type": "websocket.accept", "subprotocol": socket.subprotocol, "headers": []})
        await _both_ways(socket, receive, send)
    finally:
        await asyncio.shield(socket.close())


async def _refuse(exc: InvalidStatus, send: Callable[[Any], Awaitable[None]]) -> None:
    """As the worker did it: by HTTP."""
    raw = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in exc.response.headers.raw_items()
    ]
    headers = [(name, value) for name, value in end_to_end(raw) if name not in (b"date", b"content-length")]
    body = bytes(exc.response.body or b"")
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "websocket.http.response.start", "status": exc.response.status_code, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})


async def _both_ways(socket: ClientConnection, receive: Receive, send: Any) -> None:
    up = asyncio.create_task(_up(socket, receive), name="lipwire-front-socket")
    try:
        try:
            async for message in socket:
                kind = "text" if isinstance(message, str) else "bytes"
                await send({"type": "websocket.send", kind: message})
        except ConnectionClosed:
            pass
        if not up.done():
            code = socket.close_code or 1006
            # 1006 and 1005 cannot be sent: a worker that died looks like one that had to stop (RFC 6455, 7.4.1).
            code = 1011 if code in (1005, 1006) else code
            await send({"type": "websocket.close", "code": code, "reason": socket.close_reason or ""})
    except Exception:  # uvicorn's ClientDisconnected, which is no name of ours: the client has gone
        if not up.done():
            await asyncio.wait({up}, timeout=1)
    finally:
        up.cancel()
        await asyncio.gather(up, return_exceptions=True)


async def _up(socket: ClientConnection, receive: Receive) -> None:
    while True:
        message: Any = await receive()
        if message["type"] == "websocket.disconnect":
            code = message.get("code", 1000)
            with contextlib.suppress(Exception):
                await socket.close(code if code not in (1005, 1006, None) else 1000)
            return
        text = message.get("text")
        await socket.send(text if text is not None else message.get("bytes") or b"")
