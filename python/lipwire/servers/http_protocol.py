"""An HTTP connection that works in turns: bytes are parsed a piece at a time, when it is its turn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import weakref
from typing import Any, cast

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .listen import Door, Phase, Visit
from .turns import Turns

PIECE = 1024
"""Bytes that are parsed in one step: at most 170 chunks."""
REST = 64 << 10
"""Bytes of a request's body that are parsed after its answer, so that the connection can be used again."""

MAX_HEADERS = 128
"""In a request, give or take those of one piece; as in websockets. Each costs h11 a microsecond, the app several."""
UNSENT = 16 << 10
"""Bytes to a WebSocket's client that wait in asyncio, and in the system's buffer, before who sends them waits."""
PAUSE = 0.05
"""Seconds from one read that is thrown away to the next."""


class Protocol(H11Protocol):
    """uvicorn's, which parses what one read brings, up to 256 KiB and 40 000 chunks, in one go, and has no deadline but
    one between requests. This one takes it in steps, and tells its door what the connection waits for.

    Reading stops while something waits to be parsed: for its turn, or for the app to take what there is. Of a body that
    the answer did not wait for no more than `REST` is parsed. Then our side of the connection is closed, so that the
    client knows; what it still sends is thrown away, slowly: closing at once would have its system discard the answer.
    A head is one step when it is complete, so it has no more than `MAX_HEADERS`, else 400.

    Of uvicorn (0.35 to 0.54) it leans on `logger`, `conn`, `send_400_response`, `cycle`, its `more_body` and
    `response_complete`, the timer of keep-alive, `flow` asking its transport to pause and resume, `handle_events` alone
    parsing, `on_response_complete` being called when a response is complete, and `handle_websocket_upgrade`;
    tests/servers/test_listen.py, test_http_protocol.py and test_motion.py hold each of them.
    """

    def __init__(self, *args: Any, door: Door | None = None, turns: Turns | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self.logger = _transport_logger()
        self.turn = (turns or Turns()).join()
        self._door = door
        self._visit: Visit | None = None
        self._waiting = bytearray()
        """Bytes that have been read and not been parsed."""
        self._resting = False
        """What is thrown away has its pause."""
        self._eof = False
        """The client has closed its side, which is told when all that came is parsed."""
        self._rest = 0
        """Bytes of a body that were parsed after its answer."""
        self._deaf = False
        """Nothing is parsed any more."""
        self._upgraded = False
        """It is a WebSocket's now."""

    # ------------------------------------------------------------------------------------------ what asyncio tells us

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Weak, since we have the flow: a circle would keep the connection when it has ended.
        self.flow = FlowControl(cast(asyncio.Transport, weakref.proxy(self)))
        self._visit = self._door.visit(transport) if self._door is not None else None

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        self._parse()

    def eof_received(self) -> None:
        if not self._waiting or self.scheme == "https":  # TLS closes, whatever is answered here
            return super().eof_received()
        self._eof = True
        return cast(None, True)  # asyncio: the transport stays open

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.clear()  # nobody is there to be answered
        super().connection_lost(exc)

    # ---------------------------------------------------------------------------------------- what uvicorn calls

    def pause_reading(self) -> None:
        """For the flow."""
        self._read_or_wait()

    def resume_reading(self) -> None:
        """For the flow."""
        if self._waiting:
            self.turn.call(self._parse)
        else:
            self._read_or_wait()

    def handle_events(self) -> None:
        """Parses what h11 was given."""
        with self.turn:
            super().handle_events()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hands the connection to uvicorn's WebSocket. What is sent there is of the moment, so little of it waits in
        the system or in asyncio; what came behind the request came too early (RFC 6455, section 4.1)."""
        self._waiting.clear()
        self._upgraded = True
        self.transport.resume_reading()
        self.transport.set_write_buffer_limits(high=UNSENT)
        sock = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError, TypeError):  # uvloop's can only be looked at
            if sock is not None and sock.family == socket.AF_UNIX:  # a front process reads it
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNSENT)
            elif sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        super().handle_websocket_upgrade(event)
        if self._visit is not None:
            self._visit.enter(Phase.BUSY)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._tell(Phase.IDLE)

    # ------------------------------------------------------------------------------------------------ in turns

    def _parse(self) -> None:
        """Parses while it may. What is left has to wait: for its turn, or for the app."""
        parsed = False
        while self._waiting and self._may_parse:
            if not self.turn.free:
                self.turn.call(self._parse)
                break
            parsed = True
            self._take(bytes(self._waiting[:PIECE]))
        if self.transport.is_closing():
            self._waiting.clear()
        if self._upgraded:
            return
        self._read_or_wait()
        if parsed:
            self._tell(Phase.HEAD)
        if self._eof and not self._waiting:
            self.transport.close()

    def _take(self, piece: bytes) -> None:
        """One step."""
        self._rest = self._rest + len(piece) if self._unread_body else 0
        if self._rest > REST and not self._deaf:
            self._hang_up()
        if self._deaf:
            self._waiting.clear()
            self._resting = True
            self.loop.call_later(PAUSE, self._rested)
        else:
            del self._waiting[: len(piece)]
            super().data_received(piece)
            if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0].count(b"\n") > MAX_HEADERS:
                self.send_400_response(f"More than {MAX_HEADERS} headers")

    @property
    def _unread_body(self) -> bool:
        """A request is answered, and its body goes on."""
        return self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY

    def _hang_up(self) -> None:
        self._deaf = True
        if not self.transport.can_write_eof():  # TLS
            self.transport.close()
            return
        self.transport.write_eof()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    @property
    def _may_parse(self) -> bool:
        return not (self.turn.asked or self._resting or self.flow.read_paused or self.transport.is_closing())

    def _rested(self) -> None:
        self._resting = False
        self._parse()

    def _read_or_wait(self) -> None:
        if self._waiting or self.flow.read_paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    # ------------------------------------------------------------------------------------------------ deadlines

    def _tell(self, between: Phase) -> None:
        """The phase of the request that is being served; `between` where there is none."""
        if self._visit is None:
            return
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._visit.enter(between)
        else:
            self._visit.enter(Phase.BODY if cycle.more_body else Phase.BUSY)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, which takes a handshake that was refused with an answer for one that nobody answered, and logs an
    error."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.logger = _transport_logger()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True


def _transport_logger() -> logging.Logger:
    """uvicorn writes a line for every request that is none, as fast as they come. Its errors stay."""
    quiet = logging.getLogger("lipwire.http.transport")
    quiet.setLevel(logging.ERROR)
    return quiet
