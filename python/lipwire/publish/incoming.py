"""What a peer says, from its packets to 10 ms of PCM every 10 ms: through a `JitterBuffer`, in place of aiortc's, which
hands out a frame for each packet that comes and never catches up.

Time is an argument (nanoseconds of any steady clock) but for the `Ticker`, which has that of the machine.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

from msgspec import Struct

from .._core import RATE, JitterBuffer, Resampler
from ..rtp.tally import Tally
from . import aiortc_private

logger = logging.getLogger("lipwire.webrtc")

MS = 1_000_000
TICK = 10 * MS
QUIET_FOR = 15_000 * MS
"""For so long silence is handed over in place of what does not come: longer than any silence that ends a turn."""
LATE = 30 * MS
"""By more than this the event loop is late, and what has come is perhaps yet to be read: the ticks that were missed
come so much after, all at once, with the times at which they were due."""
MAX_BEHIND = 5_000 * MS
"""Ticks are made up for that far back; the rest of a longer standstill is not."""
MAX_DELAY_MS = 5_000
"""Sound may lag by that much, on the worst of networks, or after such a standstill."""
CHANGE_EVERY = 100 * MS
"""What comes of another source, or in another codec, sooner after the last that did is dropped: each costs a new
buffer."""
MAX_PACKETS = 512
MAX_PAYLOAD = 2048
"""Bytes of a packet: more than any codec here needs."""
BLOCK_BYTES = RATE // 100 * 2
FILLED = ("concealed", "comfort", "idle")


class Format(Struct, frozen=True):
    """A codec, as it comes by RTP (RFC 3551, RFC 7587)."""

    codec: Literal["opus", "g722", "pcmu", "pcma"]
    rate: int
    """Hz of what it is decoded to."""
    clock_rate: int
    """Hz of its timestamps."""


FORMATS: dict[str, Format] = {
    form.codec: form
    for form in (
        Format("opus", RATE, 48_000),
        Format("g722", 16_000, 8_000),
        Format("pcmu", 8_000, 8_000),
        Format("pcma", 8_000, 8_000),
    )
}
"""By codec."""


class Incoming:
    """The sound of one peer.

    Args:
        block: called with (10 ms of PCM16 mono at 48 kHz, what most of it is, as `JitterBuffer.get_into` says), once
            for each tick from the first packet on; when nothing has come for `QUIET_FOR` it pauses until something
            does.
        tally: has its jitter buffers, too.
    """

    def __init__(self, block: Callable[[bytes, str], None], tally: Tally | None = None) -> None:
        self.used = False
        """Whether any sound has ever come."""
        self.filled_ms = 0
        """ms that were made up, or silent, in place of what was lost or not sent."""
        self._block = block
        self._tally = tally or Tally()
        self._buffer: JitterBuffer | None = None
        self._source: tuple[str, int] | None = None
        self._format = FORMATS["opus"]
        self._up: Resampler | None = None
        self._pcm = bytearray()
        self._quiet = 0
        """ns without anything to play."""
        self._came: tuple[int, int] | None = None
        """When the newest packet came, and its timestamp."""
        self._began: int | None = None
        """When the first of its source did."""

    @property
    def awake(self) -> bool:
        """Whether ticks are wanted."""
        return self._buffer is not None and self._quiet < QUIET_FOR

    def put(
        self,
        codec: str,
        ssrc: int,
        sequence: int,
        timestamp: int,
        payload: bytes,
        now_ns: int,
        since_ns: int | None = None,
    ) -> None:
        """A packet came, of one of `FORMATS`. One of another source, or in another codec, begins anew, once in
        `CHANGE_EVERY`. After `close` it is ignored.

        Args:
            since_ns: where nobody looked from then until now, so that it came at any time between: as evenly as it was
                sent, is assumed.
        """
        if self._block is _nowhere:
            return
        if (codec, ssrc) != self._source:
            if self._began is not None and now_ns - self._began < CHANGE_EVERY:
                return
            self._began = now_ns
            self._begin(codec, ssrc)
        assert self._buffer is not None
        if since_ns is not None and self._came is not None:
            sent = (timestamp - self._came[1] + (1 << 31)) % (1 << 32) - (1 << 31)
            even = self._came[0] + sent * 1_000_000_000 // self._format.clock_rate
            now_ns = min(now_ns, max(since_ns, even))
        self._came = (now_ns, timestamp)
        if self._buffer.put_payload(sequence, timestamp, payload, now_ns):
            self._quiet = 0

    def _begin(self, codec: str, ssrc: int) -> None:
        self._drop()
        self.used = True
        self._source, self._format = (codec, ssrc), FORMATS[codec]
        rate = self._format.rate
        self._buffer = self._tally.add(
            JitterBuffer(self._format.codec, sample_rate=rate, max_delay_ms=MAX_DELAY_MS, max_packets=MAX_PACKETS)
        )
        self._up = None if rate == RATE else Resampler(rate, RATE)

    def tick(self, now_ns: int) -> None:
        """10 ms are due."""
        if self._buffer is None:
            return
        pcm = bytearray(self._format.rate // 100 * 2)
        kind = self._buffer.get_into(pcm, now_ns)
        self._quiet = self._quiet + TICK if kind == "idle" else 0
        self.filled_ms += 10 * (kind in FILLED)
        self._pcm += pcm if self._up is None else self._up.process(pcm)
        while len(self._pcm) >= BLOCK_BYTES:
            block = bytes(self._pcm[:BLOCK_BYTES])
            del self._pcm[:BLOCK_BYTES]
            self._block(block, kind)

    def stats(self) -> dict[str, float]:
        """As `JitterBuffer.stats`; {} before anything has come."""
        return {} if self._buffer is None else self._buffer.stats()

    def close(self) -> None:
        """What waits is dropped, and nothing is handed over any more. Safe to call twice."""
        self._drop()
        self._block = _nowhere  # who takes it may have this

    def _drop(self) -> None:
        if self._buffer is not None:
            self._tally.close(self._buffer)
        self._buffer = self._source = self._came = None


def _nowhere(pcm: bytes, kind: str) -> None:
    """Nobody takes it any more."""


class Ticker:
    """Ticks every 10 ms, for all sound that comes over one event loop; it rests while none does."""

    _of: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Ticker]] = WeakKeyDictionary()

    def __init__(self) -> None:
        self._members: dict[Incoming, None] = {}
        self._due = 0
        self._handle: asyncio.TimerHandle | None = None
        self._waited = False

    @classmethod
    def current(cls) -> Ticker:
        """Of the running loop."""
        return cls._of.setdefault(asyncio.get_running_loop(), cls())

    def overdue(self, now_ns: int) -> int | None:
        """Since when the loop has looked at nothing; None = it is in time."""
        return self._due if self._handle is not None and now_ns - self._due > LATE else None

    def add(self, incoming: Incoming) -> None:
        """Ticks for it, from now on until it is no longer awake. Safe to call twice."""
        self._members[incoming] = None
        if self._handle is None:
            self._due = time.monotonic_ns() + TICK
            self._again(TICK)

    def _again(self, wait: int) -> None:
        self._handle = asyncio.get_running_loop().call_later(wait / 1e9, self._tick)

    def _tick(self) -> None:
        now = time.monotonic_ns()
        if now - self._due > LATE and not self._waited:
            self._waited = True
            self._again(LATE)
            return
        self._waited = False
        self._due = max(self._due, now - MAX_BEHIND)
        while self._due <= now:
            for incoming in tuple(self._members):
                self._tick_one(incoming)
            self._due += TICK
        self._members = {incoming: None for incoming in self._members if incoming.awake}
        self._handle = None
        if self._members:
            self._again(self._due - now)

    def _tick_one(self, incoming: Incoming) -> None:
        try:
            if incoming.awake:
                incoming.tick(self._due)
        except Exception:  # the edge: one peer's odd sound must not end the others'
            logger.exception("the sound of a peer cannot be used")
            incoming.close()


def take_sound(receiver: Any, incoming: Incoming, wanted: Callable[[], bool]) -> None:
    """Gives `incoming` the packets that a receiver of aiortc's gets, from now on, while they are `wanted`."""
    ticker = Ticker.current()

    def put(codec: str, packet: Any) -> None:
        if codec not in FORMATS or not 0 < len(packet.payload) <= MAX_PAYLOAD or not wanted():
            return
        now = time.monotonic_ns()
        incoming.put(
            *(codec, packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload),
            now_ns=now,
            since_ns=ticker.overdue(now),
        )
        ticker.add(incoming)

    aiortc_private.take_packets(receiver, put)
