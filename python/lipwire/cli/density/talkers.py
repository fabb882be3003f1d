"""Clients that talk without end over WebSockets, as a voice engine does: many of them in one process, at little cost.

A client of Lipwire's own costs 40 us a message; here messages are made once, for all, and what a session costs this
process is a system call a message. They are real ones all the same: JSON with base64, masked (RFC 6455, section 5.3).
"""

from __future__ import annotations

import asyncio
import base64
import heapq
import json
import os
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from msgspec import Struct

UTTERANCE, PAUSE = 4.0, 0.2
"""Seconds that somebody talks, and rests."""
LEAD = 0.1
"""Seconds that speech is sent before its time, as services do that make it faster than it is said. What comes later
than that is an underrun."""
HEARTBEAT = 10.0
OVERDUE = 1.0
"""Seconds after the end of an utterance in which it must have been told to be over."""
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
FINAL = 0x80


def frame(opcode: int, payload: bytes, key: bytes | None = None) -> bytes:
    """A client's frame: whole, masked with `key`."""
    key = key or os.urandom(4)
    size = len(payload)
    if size < 126:
        head = bytes([FINAL | opcode, FINAL | size])
    elif size < 1 << 16:
        head = bytes([FINAL | opcode, FINAL | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([FINAL | opcode, FINAL | 127]) + size.to_bytes(8, "big")
    data = np.frombuffer(payload, np.uint8)
    mask = np.frombuffer((key * (size // 4 + 1))[:size], np.uint8)
    return head + key + (data ^ mask).tobytes()


def message(**fields: Any) -> bytes:
    """A message on the wire."""
    return frame(TEXT, json.dumps(fields).encode())


class Utterance(Struct):
    """What is sent of one."""

    event_id: str
    chunks: list[bytes]
    end: bytes
    ms: float
    """How long it is."""


def utterances(pcm: bytes, rate: int, chunk_ms: int) -> list[Utterance]:
    """A text, in pieces of `UTTERANCE` seconds; what is left at its end stays out."""
    found = []
    size, step = int(UTTERANCE * rate) * 2, rate * chunk_ms // 1000 * 2
    for number in range(max(1, len(pcm) // size)):
        speech, name = pcm[number * size :][:size], f"utterance-{number}"
        common = {"command": "voice", "sampleRate": rate, "encoding": "PCM16", "event_id": name}
        chunks = [
            message(**common, audio=base64.b64encode(speech[at : at + step]).decode())
            for at in range(0, len(speech), step)
        ]
        end = message(command="voice_end", event_id=name)
        found.append(Utterance(name, chunks, end, len(speech) / 2 / rate * 1000))
    return found


class Tally:
    """What all talkers saw since `clear`."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        """Seconds after its first byte in which an utterance must be heard."""
        self.clear()

    def clear(self) -> None:
        self.counts: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        """Events of the server, by name."""
        self.starts: list[float] = []
        """Seconds from the first byte of each utterance to its first sound."""
        self.late = 0.0
        """Seconds that this process itself was late at worst."""
        self.since = time.monotonic()


class Talker(asyncio.Protocol):
    """One session's client: its WebSocket, and where it is in its text."""

    def __init__(self, number: int, script: list[Utterance], chunk: float, tally: Tally) -> None:
        self.number, self.script, self.chunk, self.tally = number, script, chunk, tally
        self.session_id = ""
        self.token = ""
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self._greeting = b""
        self._open = False
        self._at, self._piece = number % len(script), 0
        self._began = 0.0
        self._heartbeat = 0.0
        self._waiting: dict[str, tuple[float, float, float]] = {}
        """Utterance -> when it began, when it must be over, its ms; until it is told to be over."""

    # --------------------------------------------------------------------------------------------------- connection

    async def connect(self, reply: dict[str, Any], fields: dict[str, Any]) -> None:
        """Opens the WebSocket that /session/start told of, and says `init`."""
        self.session_id, self.token = reply["session_id"], reply["session_token"]
        url = urlsplit(reply["websocket_address"])
        key = base64.b64encode(os.urandom(16)).decode()
        self._greeting = (
            f"GET {url.path or '/'} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nAuthorization: Bearer {self.token}\r\n\r\n"
        ).encode()
        await asyncio.get_running_loop().create_connection(lambda: self, url.hostname, url.port)
        async with asyncio.timeout(30):
            await self.ready
        self._write(message(command="init", session_id=self.session_id, **fields))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(self._greeting)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self.tally.counts["disconnected"] += 1
        self._open = False
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"the server closed the WebSocket in its handshake: {exc}"))

    def close(self) -> None:
        """Hangs up."""
        self._open = False
        if self._transport is not None:
            self._transport.abort() if isinstance(self._transport, asyncio.Transport) else self._transport.close()

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.ready.done():
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self.ready.set_exception(ConnectionError(f"the server refused the WebSocket: {head[:200]!r}"))
                return
            self._buffer, self._open = rest, True
            self.ready.set_result(None)
        while (taken := self._next_frame()) is not None:
            self._take(*taken)

    def _next_frame(self) -> tuple[int, bytes] | None:
        """The next of the server's frames, which are short and whole."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1] & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(buffer[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(buffer[2:10], "big"), 10
        if len(buffer) < at + size:
            return None
        self._buffer = buffer[at + size :]
        return buffer[0] & 0x0F, buffer[at : at + size]

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._write(frame(PONG, payload))
        elif opcode == TEXT:
            self._hear(json.loads(payload))

    def _hear(self, event: dict[str, Any]) -> None:
        tally, now, kind = self.tally, time.monotonic(), event["command"]
        tally.events[kind] += 1
        if kind == "playback_started" and (known := self._waiting.get(event["event_id"])) is not None:
            tally.starts.append(now - known[0])
            tally.counts["late_starts"] += now - known[0] > tally.limit
        elif kind == "playback_finished":
            _, _, ms = self._waiting.pop(event["event_id"], (0.0, 0.0, event["position_ms"]))
            tally.counts["lost_ms"] += max(0, round(ms - event["position_ms"]))
            tally.counts["utterances"] += 1
        elif kind == "underrun":
            tally.counts["underruns"] += 1
        elif kind == "error":
            tally.counts["errors"] += 1

    # --------------------------------------------------------------------------------------------------------- talk

    def begin(self, now: float) -> float:
        """When it says its first word: people do not begin all at once, and not all at the beginning."""
        self._heartbeat = now + HEARTBEAT * (self.number * 0.618 % 1)
        return now + (UTTERANCE + PAUSE) * (self.number * 0.618 % 1)

    def step(self, due: float) -> float | None:
        """Sends what is due; when the next is. None: it has hung up."""
        if not self._open:
            return None
        utterance = self.script[self._at]
        if self._piece == 0:
            self._began = due
            over = due + (utterance.ms + 1000 * OVERDUE) / 1000
            self._waiting[utterance.event_id] = (time.monotonic(), over, utterance.ms)
            if due >= self._heartbeat:
                self._heartbeat += HEARTBEAT
                self._write(message(command="heartbeat", event_id="beat", timestamp=0))
        self._write(utterance.chunks[self._piece])
        self._piece += 1
        if self._piece < len(utterance.chunks):
            return self._began + max(0.0, self._piece * self.chunk - LEAD)
        self._write(utterance.end)
        self._at, self._piece = (self._at + 1) % len(self.script), 0
        return self._began + utterance.ms / 1000 + PAUSE

    def overdue(self, now: float) -> int:
        """Utterances that should have been told to be over long since."""
        return sum(over < now for _, over, _ in self._waiting.values())


class Metronome:
    """Gives every talker its turn, and knows how late it was itself."""

    STEP = 0.002
    """Seconds that it sleeps at most."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self._due: list[tuple[float, int, Talker]] = []

    def add(self, talker: Talker) -> None:
        """One more talks."""
        heapq.heappush(self._due, (talker.begin(time.monotonic()), talker.number, talker))

    async def run(self) -> None:
        """Never ends."""
        due, tally, wake = self._due, self.tally, time.monotonic()
        while True:
            now = time.monotonic()
            tally.late = max(tally.late, now - wake)
            while due and due[0][0] <= now:
                at, number, talker = heapq.heappop(due)
                following = talker.step(at)
                if following is not None:
                    heapq.heappush(due, (following, number, talker))
            wake = min(due[0][0], now + self.STEP) if due else now + self.STEP
            await asyncio.sleep(max(0.0, wake - time.monotonic()))
