"""What the session's process and the Agora worker say to each other: MessagePack, each with a length before it.

The stream is a Unix socket pair. A `Join` carries the two file descriptors of the session's feed; they arrive in order.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

from ..base import ChannelEvent

RtcCodec = Literal[0, 8, 9, 120, 122]
OUT = 8 << 20
"""Bytes that may wait to be sent; above it, what can be missed is."""
READ = 1 << 18


class Join(Struct, frozen=True, tag=True, kw_only=True):
    """Be in a channel as a broadcaster."""

    session: int
    token: str
    channel: str
    uid: str
    width: int
    height: int
    fps: float
    video: bool
    codec: str
    kbps: int
    rtc_codec: RtcCodec | None
    audio_scenario: int
    receive: bool
    seen_every: float


class Leave(Struct, frozen=True, tag=True):
    session: int


class Renew(Struct, frozen=True, tag=True):
    session: int
    token: str


class Send(Struct, frozen=True, tag=True):
    """One packet for the data stream."""

    session: int
    data: bytes


class Note(Struct, frozen=True, tag=True):
    """Metadata that travels with the sound."""

    session: int
    data: bytes


class Subscribe(Struct, frozen=True, tag=True):
    session: int
    user: str | None
    audio: bool
    video: bool


class Ping(Struct, frozen=True, tag=True):
    number: int


Command = Join | Leave | Renew | Send | Note | Subscribe | Ping


class Pong(Struct, frozen=True, tag=True):
    number: int


class Left(Struct, frozen=True, tag=True):
    """The connection is gone and released."""

    session: int


class Happened(Struct, frozen=True, tag=True):
    session: int
    event: ChannelEvent


class Broken(Struct, frozen=True, tag=True):
    """The SDK cannot be used here; the process ends."""

    reason: str


Report = Pong | Left | Happened | Broken

T = TypeVar("T")
_LENGTH = struct.Struct("<I")
_encode = msgspec.msgpack.Encoder().encode


class Link(Generic[T]):
    """One end: a non-blocking socket with what waits on both sides.

    Args:
        incoming: the type of what arrives.
    """

    def __init__(self, sock: socket.socket, incoming: Any) -> None:
        self.sock = sock
        sock.setblocking(False)
        self._decode = msgspec.msgpack.Decoder(incoming).decode
        self._in = bytearray()
        self._out: deque[tuple[memoryview, list[int]]] = deque()
        self.waiting = 0
        """Bytes that could not be sent yet."""
        self.fds: deque[int] = deque()
        """File descriptors that arrived and were not taken."""

    def send(self, message: Any, fds: Sequence[int] = ()) -> None:
        """Queues a message, with duplicates of `fds`, and sends what can be sent."""
        body = _encode(message)
        self._out.append((memoryview(_LENGTH.pack(len(body)) + body), [os.dup(fd) for fd in fds]))
        self.waiting += len(body) + 4
        self.flush()

    def flush(self) -> None:
        """Sends what can be sent. A closed peer is noticed by `receive`."""
        try:
            while self._out:
                data, fds = self._out[0]
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
                sent = self.sock.sendmsg([data], rights, socket.MSG_NOSIGNAL)
                for fd in fds:
                    os.close(fd)
                self.waiting -= sent
                if sent == len(data):
                    self._out.popleft()
                else:
                    self._out[0] = (data[sent:], [])
        except BlockingIOError:
            pass
        except OSError:
            self._forget()

    def _forget(self) -> None:
        for _, fds in self._out:
            for fd in fds:
                os.close(fd)
        self._out.clear()
        self.waiting = 0

    def receive(self) -> list[T] | None:
        """What has arrived; None once the peer is gone."""
        messages: list[T] = []
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self.sock, READ, 32)
            except BlockingIOError:
                return messages
            except OSError:
                return messages or None
            self.fds.extend(fds)
            if not data:
                return messages or None
            self._in += data
            at = 0
            while len(self._in) - at >= 4:
                (length,) = _LENGTH.unpack_from(self._in, at)
                if len(self._in) - at - 4 < length:
                    break
                messages.append(self._decode(bytes(self._in[at + 4 : at + 4 + length])))
                at += 4 + length
            del self._in[:at]

    def close(self) -> None:
        """Closes the socket, and the descriptors that nobody took."""
        self.sock.close()
        self._forget()
        while self.fds:
            os.close(self.fds.popleft())
