"""A WebSocket connection that works in turns: bytes are parsed a piece at a time, when it is its turn."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, cast

from websockets.asyncio.server import ServerConnection

from .turns import Turns

UNREAD = 256 << 10
"""Bytes that may wait to be sent while more is parsed."""
PIECE = 2048
"""Bytes that are parsed in one step: at most 340 frames."""


def _call(method: Callable[[], Callable[[], None] | None]) -> None:
    if (found := method()) is not None:
        found()


class Connection(ServerConnection):
    """websockets' connection, which parses what one read brings, up to 256 KiB and 40 000 frames, in one go; this one
    takes it in steps.

    Reading stops while something waits to be parsed, while `recv` has frames enough, and while `UNREAD` bytes or more
    wait to be sent. Only pongs can be that many, everything else waits for room: a client that reads nothing is heard,
    and cannot grow our memory.
    """

    def __init__(self, turns: Turns, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.turn = turns.join()
        self._waiting = bytearray()
        """Bytes that have been read and not been parsed."""
        self._enough = False
        """`recv` has frames enough."""
        self._full = False
        """What is sent waits."""
        self._held = False
        """Nothing more is taken from the socket."""
        self._eof = False
        self._lost: tuple[Exception | None] | None = None
        """The transport is gone, with this; told when all that came is parsed."""

    @property
    def unread(self) -> bool:
        """More has come than has been parsed."""
        return bool(self._waiting)

    def hold(self, held: bool) -> None:
        """Takes nothing more from the socket, or goes on with it; what has been read is parsed in any case."""
        if held != self._held:
            self._held = held
            self._read_or_wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Weak, since the connection has the messages: a circle would keep it, and its session, when both have ended.
        pause, resume = weakref.WeakMethod(self._pause_frames), weakref.WeakMethod(self._resume_frames)
        self.recv_messages.pause = lambda: _call(pause)
        self.recv_messages.resume = lambda: _call(resume)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = (exc,)
        self._parse()

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        self._parse()

    def eof_received(self) -> None:
        if not self._waiting:
            return super().eof_received()
        self._eof = True
        return cast(None, True)  # asyncio: the transport stays open

    def resume_writing(self) -> None:
        super().resume_writing()
        self._full = False
        self._parse()

    def _pause_frames(self) -> None:
        self._enough = True

    def _resume_frames(self) -> None:
        self._enough = False
        self.turn.call(self._parse)

    def _parse(self) -> None:
        """Parses while it may. What is left has to wait: for its turn, or for room."""
        while self._waiting and not self.turn.asked and not self._stopped:
            if not self.turn.free:
                self.turn.call(self._parse)
                break
            piece = bytes(self._waiting[:PIECE])
            del self._waiting[:PIECE]
            with self.turn:
                super().data_received(piece)
            self._full = self.transport.get_write_buffer_size() > UNREAD
        self._read_or_wait()
        if not self._waiting:
            self._end()

    @property
    def _stopped(self) -> bool:
        return self._lost is None and (self._enough or self._full)

    def _read_or_wait(self) -> None:
        if self._lost is not None:
            return
        if self._waiting or self._stopped or self._held:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _end(self) -> None:
        """Everything that came is parsed: now the end may be told."""
        if self._eof:
            self._eof = False
            super().eof_received()
            self.transport.close()
        if self._lost is not None:
            (exc,), self._lost = self._lost, None
            super().connection_lost(exc)
