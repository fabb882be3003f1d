"""The avatar provider's WebSocket side (protocol.md B): the socket around `protocol.ingest` and `provider`.

Who may come in is decided in the HTTP handshake (401, or 404 for an ended session), because accept-then-close makes a
known client loop for ever. Close codes:

| code | when |
|---|---|
| 1000 | the session was stopped, replaced or idled out; or a newer connection of the same session took over |
| 1008 | `init` for another session than the token's |
| 1009 | a message above the limit |
| 1011 | a fault of ours, or no answer to pings |
| 1012 | the server drains: come back |

Compression is off: base64 of PCM hardly shrinks, and inflating it costs more than everything else per message.
A reader that is slower than its session's events loses the oldest of them; a writer that is faster than we read is
held back by TCP. Neither can grow our memory.
"""

from __future__ import annotations

import asyncio
import http
import logging
from ssl import SSLContext
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ..protocol import messages as m
from ..provider.outbox import Outbox
from ..provider.sessions import CLOSE_DRAIN, CLOSE_FAULT, CLOSE_NORMAL, Provider, ProviderError, ProviderSession
from .listen import BACKLOG, Door, Phase

logger = logging.getLogger("lipwire.ws")

PING_INTERVAL = 20.0
"""Seconds between keepalive pings, and until one counts as lost."""
CLOSE_TIMEOUT = 2.0
"""Seconds a client has to answer a close."""


class WsServer:
    """A listening server. `port` is the bound one."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.port: int = next(iter(server.sockets)).getsockname()[1]

    async def close(self) -> None:
        """Stops listening, closes every connection with 1012 and waits for them."""
        connections = list(self._server.connections)
        self._server.close(close_connections=False)
        await asyncio.gather(*(c.close(CLOSE_DRAIN, "server is shutting down") for c in connections))
        await self._server.wait_closed()


async def serve_ws(
    provider: Provider,
    host: str = "127.0.0.1",
    port: int = 8765,
    *,
    door: Door | None = None,
    ssl: SSLContext | None = None,
) -> WsServer:
    """Starts to serve on host and port (0 = any free one); every path is the same.

    Args:
        door: who may come in, and for how long; one of its own by default.
        ssl: speaks wss with it.

    Raises:
        OSError: the address cannot be bound.
    """
    door = Door() if door is None else door
    adapter = _Adapter(provider, door)
    server = await serve(
        adapter.handle,
        sock=door.listen(host, port),
        backlog=BACKLOG,
        ssl=ssl,
        open_timeout=door.limits.head,
        process_request=adapter.check,
        compression=None,
        server_header="lipwire",
        max_size=provider.config.max_message_bytes,
        max_queue=8,
        ping_interval=PING_INTERVAL,
        ping_timeout=PING_INTERVAL,
        close_timeout=CLOSE_TIMEOUT,
        logger=_quiet_logger(),
    )
    return WsServer(server)


class _Adapter:
    def __init__(self, provider: Provider, door: Door) -> None:
        self.provider = provider
        self._door = door

    def check(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuses a handshake whose token is no good, before anything is accepted."""
        try:
            if self.provider.draining:
                raise ProviderError("NO_CAPACITY", "The server is shutting down")
            connection.session = self.provider.check_token(_bearer(request.headers))  # type: ignore[attr-defined]
        except ProviderError as exc:
            return _refusal(exc)
        if (visit := self._door.visit(connection.transport)) is not None:
            visit.enter(Phase.BUSY)
        return None

    async def handle(self, connection: ServerConnection) -> None:
        """One connection, from handshake to close."""
        session: ProviderSession = connection.session  # type: ignore[attr-defined]
        try:
            ingest, outbox = self.provider.attach(session)
        except ProviderError as exc:
            await connection.close(CLOSE_NORMAL, str(exc))
            return
        session.log.info("connected from %s", connection.remote_address)
        writer = asyncio.create_task(_write(connection, outbox, session))
        try:
            async for message in connection:
                if outbox.closing is not None:
                    break
                self.provider.receive(session, ingest, outbox, message)
        except ConnectionClosed:
            pass
        except Exception:  # the edge of a task
            session.log.exception("handling a message failed")
            outbox.close(CLOSE_FAULT, "internal error")
        finally:
            self.provider.detach(session, outbox)
            if outbox.closing is None:
                writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            session.log.info("disconnected (%s)", connection.close_code)


async def _write(connection: ServerConnection, outbox: Outbox, session: ProviderSession) -> None:
    """Sends what comes into `outbox`, then closes as it says."""
    try:
        while frames := await outbox.take():
            for frame in frames:
                await connection.send(frame)
        code, reason = outbox.closing or (CLOSE_NORMAL, "")
        await connection.close(code, reason)
    except ConnectionClosed:
        pass
    except Exception:  # the edge of a task
        session.log.exception("sending failed")
        await connection.close(CLOSE_FAULT, "internal error")


def _bearer(headers: Headers) -> str:
    values = headers.get_all("Authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise ProviderError("INVALID_TOKEN", "Authorization: Bearer <session_token> expected")
    return token.strip()


def _refusal(error: ProviderError) -> Response:
    body = m.encode(error.reply()).encode()
    headers = Headers(
        {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
    )
    if error.status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(error.status, http.HTTPStatus(error.status).phrase, headers, body)


def _quiet_logger() -> logging.LoggerAdapter[Any]:
    """websockets logs a traceback for every port scan; ours says what matters, with the session id."""
    quiet = logging.getLogger("lipwire.ws.transport")
    quiet.setLevel(logging.CRITICAL)
    return logging.LoggerAdapter(quiet)
