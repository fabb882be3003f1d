"""HTTP/1.1 to a worker, over its Unix socket, or to another node's front process, by its URL.

The connections are httpcore's: kept open between requests, never shared by two. A request that has been sent is not
sent again by them, whatever becomes of it; who may do that is the caller's to know (`Lost.sent`).
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpcore
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import InvalidURI

logger = logging.getLogger("lipwire.front")

Headers = list[tuple[bytes, bytes]]
KEEP = 64
"""Connections that are kept open between requests."""
IDLE = 2.0
"""Seconds that one is. A worker closes its end after five: what is sent into a connection that is being closed is lost,
and nobody knows whether it was read."""
LOCAL = "localhost"
"""What a worker is called: every server has this name."""
CONNECT = 2.0
"""Seconds to be let in."""
ANSWER = 60.0
"""Seconds until an answer begins. An agent may take twenty to join."""
HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    }
)
"""Headers that are for one connection alone (RFC 9110, section 7.6.1); so are those that Connection names."""


class Lost(Exception):
    """There is no answer.

    Args:
        sent: the other side may have read the request, and may be doing what it asks.
    """

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


def end_to_end(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Those that go beyond this connection, with names in lower case."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = {part.strip().lower() for name, value in lowered if name == b"connection" for part in value.split(b",")}
    return [(name, value) for name, value in lowered if name not in HOP_BY_HOP and name not in named]


class Answer:
    """What came back: its head, and a body that is to be read, or left, within `async with`."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response
        self.status: int = response.status
        self.headers = end_to_end(response.headers)

    def header(self, name: bytes) -> bytes | None:
        """The first of this (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)

    async def parts(self) -> AsyncIterator[bytes]:
        """The body, as it comes. Raises Lost."""
        try:
            async for part in self._response.aiter_stream():
                yield part
        except httpcore.NetworkError as exc:
            raise Lost(f"the answer broke off: {exc}", sent=True) from exc
        except (httpcore.ProtocolError, httpcore.TimeoutException) as exc:
            raise Lost(f"the answer broke off: {exc}", sent=True) from exc

    async def read(self, limit: int = 4 << 20) -> bytes:
        """All of it. Raises Lost, also for one that is too long."""
        found = bytearray()
        async for part in self.parts():
            found += part
            if len(found) > limit:
                raise Lost("the answer is too long", sent=True)
        return bytes(found)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._response.aclose()


class Upstream:
    """One place that requests are passed on to.

    Args:
        path: of its Unix socket, or else
        url: where it is: http://host:port or https://host:port.
        trust: for https; by default what the system trusts.
    """

    def __init__(self, *, path: str = "", url: str = "", trust: ssl.SSLContext | None = None) -> None:
        self.path, self.url = path, url.rstrip("/")
        parts = urlsplit(self.url or f"http://{LOCAL}")
        self._host = parts.netloc.encode()
        self._secure = parts.scheme == "https"
        self._origin: dict[str, Any] = {
            "scheme": parts.scheme.encode(),
            "host": (parts.hostname or "").encode(),
            "port": parts.port,
        }
        self._prefix = parts.path.encode()
        self._trust = trust if trust is not None or not self._secure else ssl.create_default_context()
        self._pool = httpcore.AsyncConnectionPool(
            uds=path or None,
            ssl_context=self._trust,
            max_connections=None,
            max_keepalive_connections=KEEP,
            keepalive_expiry=IDLE,
        )

    async def request(
        self,
        method: str,
        target: bytes,
        headers: Headers,
        body: bytes | AsyncIterator[bytes] = b"",
        *,
        timeout: float = ANSWER,
    ) -> Answer:
        """Sends a request, and waits for the head of its answer. To cancel it closes the connection.

        Args:
            target: path and query, as they are sent.
            headers: without Host: whose name the client has used is judged by then.
            body: whole, with its Content-Length among the headers, or in parts.

        Raises:
            Lost: there is no answer.
        """
        if not isinstance(body, bytes):
            headers = [*headers, (b"transfer-encoding", b"chunked")]
        request = httpcore.Request(
            method,
            httpcore.URL(**self._origin, target=self._prefix + target),
            headers=[(b"host", self._host), *headers],
            content=body,
            extensions={"timeout": {"connect": CONNECT, "read": timeout, "write": timeout}},
        )
        try:
            return Answer(await self._pool.handle_async_request(request))
        except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout) as exc:
            raise Lost(f"it cannot be reached: {exc}", sent=False) from exc
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as exc:
            raise Lost(f"it gave no answer: {exc}", sent=True) from exc

    async def listen(self, target: str, headers: Headers, subprotocols: Sequence[str]) -> ClientConnection:
        """Opens a WebSocket. Little of what comes waits here: it is of the moment.

        Raises:
            Lost; websockets.InvalidStatus: it is refused, with this answer.
        """
        more = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        options: dict[str, Any] = {
            "additional_headers": more,
            "subprotocols": list(subprotocols) or None,
            "compression": None,
            "user_agent_header": None,
            "proxy": None,
            "open_timeout": CONNECT + 8,
            "ping_interval": None,
            "close_timeout": 2,
            "max_queue": 2,
            "max_size": 4 << 20,
        }
        try:
            if self.path:
                return await unix_connect(self.path, f"ws://{LOCAL}{target}", **options)
            place = ("wss" if self._secure else "ws") + self.url[self.url.index(":") :]
            return await connect(f"{place}{target}", ssl=self._trust, **options)
        except (OSError, TimeoutError, EOFError) as exc:
            raise Lost(f"it cannot be reached: {exc}", sent=False) from exc
        except (InvalidURI, ValueError) as exc:
            raise Lost(f"it cannot be asked for this: {exc}", sent=False) from exc

    async def close(self) -> None:
        """Ends its connections."""
        await self._pool.aclose()
