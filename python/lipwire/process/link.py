"""One end of a link between two processes: MessagePack over a Unix socket pair, and file descriptors with it.

A frame is four bytes of length, little-endian, and a body of so many. Two lengths have no body: PING, which `receive`
answers at the other end without a word to anybody, and PONG, the answer. What arrives is not trusted: a frame may be so
large and no larger, its body is decoded into the types that are expected, and descriptors arrive only where they are.
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from ..errors import BadData

T = TypeVar("T")

LIMIT = 16 << 20
"""Bytes of a frame, where nothing else is said."""
OUT = 8 << 20
"""Bytes waiting to be sent, above which the other end does not read; what can be missed is not sent then."""
READ = 1 << 17
"""Bytes after which `receive` gives what it has, so that a flood leaves its caller time for others."""

_LENGTH = struct.Struct("<I")
PING, PONG = 0, 0xFFFF_FFFF
_encode = msgspec.msgpack.Encoder().encode
_RIGHTS = socket.CMSG_LEN(253 * array.array("i").itemsize)
"""Bytes for as many file descriptors as Linux hands over at once (SCM_MAX_FD)."""


class Link(Generic[T]):
    """One end. `send` may be called from any thread, everything else from one.

    Args:
        sock: a connected stream socket, which the link takes over.
        incoming: the type of what arrives, as msgspec decodes it.
        limit: bytes of a frame that are taken.
        fds: file descriptors that may arrive and wait to be taken. With 0 the system discards them.
    """

    def __init__(self, sock: socket.socket, incoming: Any, *, limit: int = LIMIT, fds: int = 0) -> None:
        self.sock = sock
        sock.setblocking(False)
        self._decode = msgspec.msgpack.Decoder(incoming).decode
        self._limit, self._most_fds = limit, fds
        self._in = bytearray()
        self._out: deque[tuple[memoryview, list[int]]] = deque()
        self._sending = threading.Lock()
        self._closed = False
        self.waiting = 0
        """Bytes that could not be sent yet."""
        self.frames = 0
        """Whole frames that arrived, pings and their answers among them."""
        self.fds: deque[int] = deque()
        """File descriptors that arrived and were not taken, in the order in which they were sent."""

    # ---------------------------------------------------------------------------------------------------------- out

    def send(self, message: Any, fds: Sequence[int] = ()) -> None:
        """Queues a message, with duplicates of `fds`, and sends what can be sent without waiting. To a peer that is
        gone nothing is sent; `receive` tells of it."""
        body = _encode(message)
        self._put(_LENGTH.pack(len(body)) + body, fds)

    def ping(self) -> None:
        """Asks the other end for a sign of life, which counts in `frames`."""
        self._put(_LENGTH.pack(PING), ())

    def _put(self, data: bytes, fds: Sequence[int]) -> None:
        with self._sending:
            if not self._closed:
                self._out.append((memoryview(data), [os.dup(fd) for fd in fds]))
                self.waiting += len(data)
                self._flush()

    def flush(self) -> None:
        """Sends what can be sent without waiting."""
        with self._sending:
            if not self._closed:
                self._flush()

    def _flush(self) -> None:
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

    def drain(self, timeout: float | None = None) -> bool:
        """Waits until everything has been sent, or the peer is gone; False after `timeout` seconds."""
        poll = select.poll()
        poll.register(self.sock, select.POLLOUT)
        while self.waiting:
            if not poll.poll(None if timeout is None else timeout * 1000):
                return False
            self.flush()
        return True

    # ----------------------------------------------------------------------------------------------------------- in

    def receive(self) -> list[T] | None:
        """What has arrived, without waiting; None once the peer is gone.

        Raises:
            BadData: what arrived is too large, cannot be decoded, or brought descriptors that nobody asked for. The
                link is of no use afterwards.
        """
        messages: list[T] = []
        taken = 0
        while taken < READ:
            try:
                data = self._read()
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                return messages or None
            taken += len(data)
            self._in += data
            self._cut(messages)
        return messages

    def _read(self) -> bytes:
        if not self._most_fds:
            return self.sock.recv(READ)
        # Not socket.recv_fds, which takes flags and ignores them: what this process starts would inherit them.
        data, rights, flags, _ = self.sock.recvmsg(READ, _RIGHTS, socket.MSG_CMSG_CLOEXEC)
        for level, kind, payload in rights:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds = array.array("i")
                fds.frombytes(payload[: len(payload) // fds.itemsize * fds.itemsize])
                self.fds.extend(fds)
        if len(self.fds) > self._most_fds or flags & socket.MSG_CTRUNC:
            raise BadData(f"more than the {self._most_fds} file descriptors that may wait here")
        return data

    def _cut(self, messages: list[T]) -> None:
        at = 0
        while len(self._in) - at >= 4:
            (length,) = _LENGTH.unpack_from(self._in, at)
            if length == PING:
                if self.waiting < OUT:
                    self._put(_LENGTH.pack(PONG), ())
            elif length != PONG:
                if length > self._limit:
                    raise BadData(f"a frame of {length} bytes, where {self._limit} is the most that is taken")
                if len(self._in) - at - 4 < length:
                    break
                try:
                    messages.append(self._decode(bytes(self._in[at + 4 : at + 4 + length])))
                except (msgspec.MsgspecError, RecursionError) as exc:
                    raise BadData(f"a frame that is no message: {exc}") from exc
                at += length
            at += 4
            self.frames += 1
        del self._in[:at]

    def wait(self, timeout: float | None = None) -> None:
        """Waits until there is something to `receive`, for `timeout` seconds at most; sends meanwhile what waits."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | (select.POLLOUT if self.waiting else 0))
        poll.poll(None if timeout is None else timeout * 1000)
        self.flush()

    def messages(self) -> Iterator[T]:
        """What arrives, one after the other, waiting for it; ends when the peer is gone.

        Raises:
            BadData: as `receive`.
        """
        while (arrived := self.receive()) is not None:
            if not arrived:
                self.wait()
            yield from arrived

    def close(self) -> None:
        """Closes the socket, and the descriptors that nobody took. Safe to call twice."""
        with self._sending:
            self._closed = True
            self._forget()
            self.sock.close()
        while self.fds:
            os.close(self.fds.popleft())
