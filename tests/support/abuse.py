"""WebSocket clients that mean no good: bytes made beforehand, sent as fast as they are taken, by a thread each."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from support.machine import nice
from support.provider_stage import start_body

TEXT, BINARY, PING, CONTINUATION = 0x1, 0x2, 0x9, 0x0


def frame(payload: bytes | str, opcode: int = TEXT, *, fin: bool = True, mask: bytes = bytes(4)) -> bytes:
    """A client's frame. A mask of zeros is one that RFC 6455 allows."""
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data)
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    if any(mask):
        key = (mask * (size // 4 + 1))[:size]
        data = (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
    return head + mask + data


def message(command: str, **fields: Any) -> bytes:
    return frame(json.dumps({"command": command, **fields}))


def voice(payload: bytes, rate: int = 24000, encoding: str = "PCM16", event_id: str | None = "a") -> bytes:
    audio = base64.b64encode(payload).decode()
    return message("voice", audio=audio, sampleRate=rate, encoding=encoding, event_id=event_id)


def init(session_id: str) -> bytes:
    return message("init", session_id=session_id, **start_body())


def handshake(token: str) -> bytes:
    return (
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


_RNG = random.Random(15)
_LONG = 4_100_000

ABUSES: dict[str, Callable[[], bytes]] = {
    "odd sample rates": lambda: b"".join(voice(bytes(480), 8000 + 25 * n, event_id=None) for n in range(1000)),
    "tiny messages": lambda: frame("{}") * 50_000,
    "empty messages": lambda: frame("") * 100_000,
    "nests of 4 MB": lambda: frame('{"command":"special","content":[' + "[]," * (_LONG // 3) + "[]]}"),
    "unread nests of 4 MB": lambda: frame('{"command":"heartbeat","x":[' + "[]," * (_LONG // 3) + "[]]}"),
    "short nests": lambda: frame('{"command":"special","content":[' + "[]," * 10_000 + "[]]}") * 20,
    "100 000 unknown keys": lambda: message("special", content={f"k{n}": n for n in range(100_000)}),
    "specials of 2 000 unknown keys": lambda: message("special", content={f"k{n}": n for n in range(2000)}) * 20,
    "minutes of voice in a message, and interrupts": lambda: (
        voice(_RNG.randbytes(959_999), 8000, "PCM8") + message("voice_interrupt")
    ),
    "4 MB of voice that finds no room": lambda: voice(bytes(3_000_000), 8000),
    "4 MB of voice with broken base64": lambda: frame(
        '{"command":"voice","sampleRate":8000,"encoding":"PCM16","audio":"' + "A" * _LONG + '!"}'
    ),
    "4 MB of voice as PHP writes it": lambda: frame(
        '{"command":"voice","sampleRate":48000,"encoding":"PCM16","audio":"' + "\\/\\/\\/\\/" * (_LONG // 8) + '"}'
    ),
    "a number of 4 MB": lambda: frame('{"command":"heartbeat","timestamp":' + "1" * _LONG + "}"),
    "white space": lambda: frame('{"command":"heartbeat",' + " " * _LONG + '"x":1}'),
    "init again": lambda: message("init", **start_body()) * 5_000,
    "heartbeats": lambda: message("heartbeat", event_id="h", timestamp=1) * 20_000,
    "errors with long ids": lambda: message("nonsense", event_id="x" * 1000) * 2_000,
    "ids of 4 MB": lambda: voice(bytes(96), event_id="x" * _LONG),
    "binary": lambda: frame(b"\0" * 10, BINARY) * 50_000,
    "text that is no UTF-8": lambda: frame(b'{"command":"\xff\xff"}'),
    "fragments": lambda: (frame('{"x":', fin=False) + frame("1", CONTINUATION, fin=False) * 4000 + frame("}", 0)) * 10,
    "too many fragments": lambda: frame("{", fin=False) + frame("", CONTINUATION, fin=False) * 50_000,
    "pings": lambda: frame(b"p" * 125, PING) * 20_000,
    "Opus that is none": lambda: b"".join(voice(_RNG.randbytes(60), encoding="OPUS") for _ in range(5_000)),
    "interrupts": lambda: message("voice_interrupt") * 20_000,
    "utterances of a sample": lambda: (voice(bytes(2)) + message("voice_end", event_id="a")) * 5_000,
    "a message too large": lambda: b"\x81\xff" + (1 << 32).to_bytes(8, "big") + bytes(100_000),
    "rubbish": lambda: _RNG.randbytes(100_000),
}


class Abuser:
    """Sends what `bytes_of` makes, again and again, over one connection after the other.

    Args:
        reads: whether it takes what the server answers.
        churn: nothing but handshakes and `init`, each on a connection of its own.
    """

    def __init__(
        self, port: int, session_id: str, token: str, data: bytes, *, reads: bool = True, churn: bool = False
    ) -> None:
        self.port, self.session_id, self.token, self.data = port, session_id, token, data
        self.reads, self.churn = reads, churn
        self.sent = 0
        """Bytes."""
        self.connections = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Abuser:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with nice(10):  # as if it were on a machine of its own
            self._abuse()

    def _abuse(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                self.connections += 1
                sock.settimeout(0.2)
                for piece in self._pieces():
                    self._send(sock, piece)

    def _pieces(self) -> Iterator[bytes]:
        yield handshake(self.token) + init(self.session_id)
        while not self._stop.is_set() and not self.churn:
            yield self.data

    def _send(self, sock: socket.socket, data: bytes) -> None:
        left = memoryview(data)
        while left and not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                done = sock.send(left)
                self.sent += done
                left = left[done:]
            if self.reads:
                with contextlib.suppress(BlockingIOError):
                    if not sock.recv(1 << 16, socket.MSG_DONTWAIT):
                        raise ConnectionError


class Conversation:
    """One connection, by hand: what is sent is any bytes."""

    def __init__(self, port: int, session_id: str, token: str) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), 60)
        self._got = b""
        self.send(handshake(token) + init(session_id))

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def until(self, what: bytes) -> bytes:
        """Reads until that was answered; all that was read so far. ConnectionError: it ended before."""
        while what not in self._got:
            data = self._sock.recv(1 << 16)
            if not data:
                raise ConnectionError(self._got[-200:])
            self._got += data
        return self._got

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()
