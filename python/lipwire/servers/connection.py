"""A WebSocket connection that works in turns: bytes are parsed a piece at a time, when it is its turn.

`websockets` knows the protocol: the handshake, pings, closes, fragments, limits and all that is wrong with a frame. But
what comes ten to fifty times a second is a whole message of ASCII in one frame, and that takes another way: the core
takes it out of the stream (`_core.TextFrames`), and who listens (`on_text`) hears it in the same callback. There is no
copy of it but the message, no queue and no task to wake. Every other byte goes to `websockets`, in order.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, cast

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from .._core import TextFrames
from .turns import Turns

UNREAD = 256 << 10
"""Bytes that may wait to be sent while more is parsed."""
PIECE = 2048
"""Bytes that `websockets` parses in one step: at most 340 frames."""
LONGEST = 64 << 10
"""Bytes of the longest message that goes past it: half a second of speech. Longer ones are rare, and may be refused."""
READ = 64 << 10
"""Bytes of one read."""


def _call(method: Callable[[], Callable[[], None] | None]) -> None:
    if (found := method()) is not None:
        found()


class Connection(ServerConnection, asyncio.BufferedProtocol):
    """websockets' connection, which parses what one read brings, up to 64 KiB and 10 000 frames, in one go; this one
    takes it in steps.

    Reading stops while something waits to be parsed, while `recv` has frames enough, and while `UNREAD` bytes or more
    wait to be sent. Only pongs can be that many, everything else waits for room: a client that reads nothing is heard,
    and cannot grow our memory.

    Args:
        turns: how the event loop's time is shared.
        buffer: where reads go: one for all connections of a loop, since what a read brings is taken out at once.
        max_size: bytes of a message; a longer one is for `websockets` to refuse.
    """

    def __init__(self, turns: Turns, buffer: memoryview, max_size: int, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.turn = turns.join()
        self.on_text: Callable[[str], None] | None = None
        """Hears the texts that come while `recv` waits, which never sees them. It must not raise, nor take long."""
        self._buffer = buffer
        self._frames = TextFrames(min(LONGEST, max_size))
        self._greeted = False
        """The handshake's request is over, and nothing of a frame came with it: frames are told apart from here on."""
        self._waiting = bytearray()
        """Bytes that have been read and not been parsed."""
        self._short = False
        """They are not all of a frame."""
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
        """More whole frames have come than have been parsed."""
        return bool(self._waiting) and not self._short

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

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        at = 0
        if not self._waiting:  # as a rule: one message, and nothing before it
            while at < nbytes and (end := self._hear(self._buffer, at, nbytes)):
                at = end
        if at < nbytes:
            self._waiting += self._buffer[at:nbytes]
            self._parse()

    def eof_received(self) -> None:
        if not self._waiting:
            return super().eof_received()
        self._eof = True
        self._parse()
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

    def _hear(self, data: memoryview | bytearray, start: int, end: int) -> int:
        """Has the text heard that begins at `start`; where it ends, or 0: that is none, or cannot be heard now."""
        messages = self.recv_messages
        if (
            self.on_text is None
            or not self._tells
            or not messages.get_in_progress  # who hears the others is still busy with one,
            or len(messages.frames)  # or has not woken up to it
            or self._full
            or self.turn.asked
            or not self.turn.free
        ):
            return 0
        found = self._frames.text(data, start, end)
        if found is None:
            return 0
        with self.turn:
            self.on_text(found[0])
        return found[1]

    @property
    def _tells(self) -> bool:
        """Frames are told apart: not in the handshake, nor when the connection closes."""
        return self._greeted and self.protocol.state is State.OPEN

    def _parse(self) -> None:
        """Parses while it may. What is left has to wait: for its turn, for room, or for the rest of a frame."""
        self._short = False
        while self._waiting and not self.turn.asked and not self._stopped:
            if not self.turn.free:
                self.turn.call(self._parse)
                break
            if end := self._hear(self._waiting, 0, len(self._waiting)):
                del self._waiting[:end]
                continue
            size = PIECE
            if self._tells and not (size := self._frames.others(self._waiting, PIECE)):
                self._short = True
                if not self._over:
                    break
                size = PIECE
            piece = bytes(self._waiting[:size])
            del self._waiting[:size]
            with self.turn:
                super().data_received(piece)
            if self.protocol.state is State.CONNECTING:  # a second time: frames came before our answer
                self._greeted = not self._greeted and not self._waiting and piece.endswith(b"\r\n\r\n")
            self._full = self.transport.get_write_buffer_size() > UNREAD
        self._read_or_wait()
        if not self._waiting:
            self._end()

    @property
    def _over(self) -> bool:
        return self._eof or self._lost is not None

    @property
    def _stopped(self) -> bool:
        return self._lost is None and (self._enough or self._full)

    def _read_or_wait(self) -> None:
        if self._lost is not None:
            return
        if (self._waiting and not self._short) or self._stopped or self._held:
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
