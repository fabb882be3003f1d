"""The avatar provider's WebSocket side (protocol.md B): the socket around `protocol.ingest` and `provider`.

Who may come in is decided in the HTTP handshake (421 and 403 as `guard` says, 401, 404 for an ended session), because
accept-then-close makes a known client loop for ever. Close codes:

| code | when |
|---|---|
| 1000 | the session was stopped, replaced or idled out; or a newer connection took over, and this one is read out |
| 1002, 1007 | frames that break RFC 6455; text that is no UTF-8 |
| 1008 | `init` for another session than the token's, or none within `INIT_TIMEOUT` |
| 1009 | a message above the limit, or in more than 4096 fragments |
| 1011 | a fault of ours, or no answer to pings |
| 1012 | the server drains: come back |

Compression is off: base64 of PCM hardly shrinks, and inflating it costs more than everything else per message.
A reader that is slower than its session's events loses the oldest of them; a writer that is faster than we read is
held back by TCP. Neither can grow our memory.

No client can hold the event loop: all connections work in turns (`turns`, `connection`), a bounded step at a time.
One session has few connections at a time; more are refused with 503 in the handshake.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http
import logging
from collections import Counter
from ssl import SSLContext
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ..logs import sampled
from ..protocol import messages as m
from ..protocol.ingest import Ingest
from ..provider.authority import ASKING_FROM
from ..provider.outbox import CLOSE_DRAIN, CLOSE_FAULT, CLOSE_NORMAL, Outbox
from ..provider.sessions import Provider, ProviderError, ProviderSession
from .allowlist import Allowlist, NotAllowed
from .connection import READ, Connection
from .errors import refusal_headers
from .forwarded import asking_from
from .guard import refusal
from .listen import BACKLOG, Door, Phase
from .turns import Turns

logger = sampled("lipwire.ws")

PING_INTERVAL = 20.0
"""Seconds between keepalive pings, and until one counts as lost."""
CLOSE_TIMEOUT = 2.0
"""Seconds a client has to answer a close."""
INIT_TIMEOUT = 10.0
"""Seconds until the first `init` of a connection; later it is closed with 1008."""
DRAIN_TIMEOUT = 5.0
"""Seconds a client has to take what is queued for it before a close; then the connection is cut."""
SESSION_CONNECTIONS = 8
"""Connections that one session may have open at a time: one that counts, and those it replaced that still close."""
SEND_COST, CHARACTER_COST = 30e-6, 1e-9
"""Seconds that sending a frame counts for, and a character of a message received: what websockets does out of our
sight."""
QUIET, READ_OUT = 0.05, 1.0
"""Seconds without a message after which a connection that a newer one replaces is read out; and after which no more is
taken from its socket, so that what has come is all."""
CLOSE_POLICY = 1008


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
    allowlist: Allowlist | None = None,
    ssl: SSLContext | None = None,
    turns: Turns | None = None,
    init_timeout: float = INIT_TIMEOUT,
) -> WsServer:
    """Starts to serve on host and port (0 = any free one); every path is the same.

    Args:
        door: who may come in, and for how long; one of its own by default.
        allowlist: the names of this server, and the pages that may call it; as for `http.create_app`.
        ssl: speaks wss with it.
        turns: how the event loop's time is shared; servers on one loop may share one.
        init_timeout: seconds until the first `init` of a connection.

    Raises:
        OSError: the address cannot be bound.
    """
    door = Door() if door is None else door
    adapter = _Adapter(provider, door, allowlist or Allowlist(), init_timeout)
    size = provider.config.max_message_bytes
    connection: Any = functools.partial(Connection, turns or Turns(), memoryview(bytearray(READ)), size)
    server = await serve(
        adapter.handle,
        sock=door.listen(host, port),
        backlog=BACKLOG,
        ssl=ssl,
        open_timeout=door.limits.head,
        process_request=adapter.check,
        create_connection=connection,
        compression=None,
        server_header="lipwire",
        max_size=size,
        max_queue=8,
        ping_interval=PING_INTERVAL,
        ping_timeout=PING_INTERVAL,
        close_timeout=CLOSE_TIMEOUT,
        logger=_quiet_logger(),
    )
    return WsServer(server)


class _Adapter:
    def __init__(self, provider: Provider, door: Door, allowlist: Allowlist, init_timeout: float) -> None:
        self.provider = provider
        self._door, self._allowlist = door, allowlist
        self.init_timeout = init_timeout
        self._open: Counter[str] = Counter()
        """Connections that are open, by session."""

    async def check(self, opened: ServerConnection, request: Request) -> Response | None:
        """Refuses a handshake of a strange page, whose token is no good, or that is one too many, before anything is
        accepted."""
        connection = cast(Connection, opened)
        await connection.turn.ready()
        with connection.turn:
            headers, secure = request.headers, connection.transport.get_extra_info("sslcontext") is not None
            peer = str((connection.remote_address or ("",))[0])
            ASKING_FROM.set(asking_from(peer, headers.get_all("X-Forwarded-For")))
            try:
                self._allowlist.check(headers.get_all("Host"), headers.get_all("Origin"), secure=secure)
                session = self._admit(request)
            except NotAllowed as exc:
                return _refusal(refusal(exc))
            except ProviderError as exc:
                return _refusal(exc)
        self._open[session.id] += 1
        connection.session = session  # type: ignore[attr-defined]
        connection.connection_lost_waiter.add_done_callback(lambda _: self._gone(session))
        if (visit := self._door.visit(connection.transport)) is not None:
            visit.enter(Phase.BUSY)
        return None

    def _admit(self, request: Request) -> ProviderSession:
        provider = self.provider
        if provider.draining:
            raise self._no_room("The server is shutting down")
        session = provider.check_token(_bearer(request.headers))
        if self._open[session.id] >= SESSION_CONNECTIONS:
            raise self._no_room(f"{SESSION_CONNECTIONS} connections of this session are still open")
        return session

    def _no_room(self, why: str) -> ProviderError:
        return ProviderError("NO_CAPACITY", why, retry_after=self.provider.config.retry_after)

    def _gone(self, session: ProviderSession) -> None:
        self._open[session.id] -= 1
        if not self._open[session.id]:
            del self._open[session.id]

    async def handle(self, opened: ServerConnection) -> None:
        """One connection, from handshake to close."""
        connection = cast(Connection, opened)
        session: ProviderSession = connection.session  # type: ignore[attr-defined]
        try:
            ingest, outbox = self.provider.attach(session)
        except ProviderError as exc:
            await connection.close(CLOSE_NORMAL, str(exc))
            return
        session.log.info("connected from %s", connection.remote_address)
        writer = asyncio.create_task(_write(connection, outbox, session))
        deadline = asyncio.get_running_loop().call_later(self.init_timeout, self._no_init, ingest, outbox)
        try:
            await self._read(connection, session, ingest, outbox)
        except ConnectionClosed:
            pass
        except Exception:  # the edge of a task
            session.log.exception("handling a message failed")
            outbox.close(CLOSE_FAULT, "internal error")
        finally:
            outbox.read_out()
            connection.on_text = None
            deadline.cancel()
            if outbox.closing is None:
                writer.cancel()
            await asyncio.gather(writer, _discard(connection), return_exceptions=True)
            self.provider.detach(session, outbox)
            session.log.info("disconnected (%s)", connection.close_code)

    async def _read(self, connection: Connection, session: ProviderSession, ingest: Ingest, outbox: Outbox) -> None:
        """Message after message, in steps, each when it is the connection's turn. Most of them are texts that the
        connection has heard before they get here."""
        turn = connection.turn
        reading = _Reading(connection, outbox)
        await outbox.first()  # bounded: what came there before
        connection.on_text = functools.partial(self._hear, session, ingest, outbox, reading)
        while outbox.closing is None:
            reading.begun = False
            message = await connection.recv()
            reading.begun = True
            reading.count += 1
            turn.charge(len(message) * CHARACTER_COST)
            steps = self.provider.steps(session, ingest, outbox, message)
            more = True
            while more and outbox.closing is None:
                await turn.ready()
                with turn:
                    more = next(steps, False)

    def _hear(self, session: ProviderSession, ingest: Ingest, outbox: Outbox, reading: _Reading, text: str) -> None:
        """A message, in the connection's turn. It is short, and so it is one step."""
        if outbox.closing is not None:
            return
        reading.count += 1
        try:
            self.provider.receive(session, ingest, outbox, text)
        except Exception:  # the edge: the loop goes on, the connection closes
            session.log.exception("handling a message failed")
            outbox.close(CLOSE_FAULT, "internal error")

    def _no_init(self, ingest: Ingest, outbox: Outbox) -> None:
        if not ingest.initialized:
            outbox.close(CLOSE_POLICY, f"no init within {self.init_timeout:g} s")


class _Reading:
    """Where one connection's reader stands, and when it has read all that came before a newer connection did."""

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self._connection, self._outbox = connection, outbox
        self.count = 0
        """Messages read."""
        self.begun = True
        """The newest of them is not done, or it is not time to read."""
        self._seen = -1
        outbox.on_superseded = self._superseded

    def _superseded(self) -> None:
        self._until = asyncio.get_running_loop().time() + READ_OUT
        self._look()

    def _look(self) -> None:
        """Is it read out? However long that takes on a busy machine; but a client may send on for ever."""
        if self._outbox.closing is not None:
            return
        loop = asyncio.get_running_loop()
        self._connection.hold(loop.time() > self._until)
        if self._seen == self.count and not self.begun and not self._connection.unread:
            self._connection.hold(False)  # its answer to the close is to be read
            self._outbox.close_superseded()
        else:
            self._seen = self.count
            loop.call_later(QUIET, self._look)


async def _discard(connection: Connection) -> None:
    """Reads on until the end, so that the client's answer to a close is found behind whatever it sends before."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            message = await connection.recv()
            connection.turn.charge(len(message) * CHARACTER_COST)
            await connection.turn.ready()


async def _write(connection: Connection, outbox: Outbox, session: ProviderSession) -> None:
    """Sends what comes into `outbox`, then closes as it says. A client that takes nothing is cut off."""
    cut = _Cut(connection.transport)
    outbox.on_close = cut.later
    try:
        while frames := await outbox.take():
            for frame in frames:
                await connection.turn.ready()
                await connection.send(frame)
                connection.turn.charge(SEND_COST)
        code, reason = outbox.closing or (CLOSE_NORMAL, "")
        await connection.close(code, reason)
    except ConnectionClosed:
        pass
    except Exception:  # the edge of a task
        session.log.exception("sending failed")
        await connection.close(CLOSE_FAULT, "internal error")
    finally:
        cut.cancel()


class _Cut:
    """Cuts a connection off, unless it is cancelled within `DRAIN_TIMEOUT`."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._timer: asyncio.TimerHandle | None = None

    def later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(DRAIN_TIMEOUT, self._transport.abort)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


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
    headers.update(refusal_headers(error))
    return Response(error.status, http.HTTPStatus(error.status).phrase, headers, body)


def _quiet_logger() -> logging.LoggerAdapter[Any]:
    """websockets logs a traceback for every port scan; ours says what matters, with the session id."""
    quiet = logging.getLogger("lipwire.ws.transport")
    quiet.setLevel(logging.CRITICAL)
    return logging.LoggerAdapter(quiet)
