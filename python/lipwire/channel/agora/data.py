"""Data-stream packets within Agora's caps: checked, and paced. Sans-I/O: time is an argument.

A data stream carries at most 1 KB a packet, 60 packets and 30 KB in any second (protocol.md E).
"""

from __future__ import annotations

import math
from collections import deque

from ...errors import BufferFull, InvalidArgument
from ...protocol.transcript import PACKET

PACKETS_A_SECOND, BYTES_A_SECOND = 60, 30 * 1024
MARGIN = 1.04
"""Packets are spread evenly and by this much slower than the caps, so that any second keeps them, by any clock."""
QUEUE = 256 * 1024
"""Bytes that may wait; more is refused."""


def check(data: bytes) -> bytes:
    """`data`, fit for one packet.

    Raises:
        InvalidArgument: empty, larger than a packet, or with a NUL byte (readers in C stop there).
    """
    if not 0 < len(data) <= PACKET:
        raise InvalidArgument(
            f"a data-stream packet holds 1..{PACKET} bytes, not {len(data)}; see protocol.transcript.chunks"
        )
    if 0 in data:
        raise InvalidArgument("a data-stream packet must not have NUL bytes")
    return bytes(data)


class Pacer:
    """A bounded queue that gives a packet when the caps allow it; beside it the newest of another kind, motion, which
    gives way to its next one. Where both wait they take turns.

    Evenly rather than a second's worth at once: the stream is not reliable, and bursts are what networks drop.
    """

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._free_at = -math.inf
        self._newest: bytes | None = None
        self._gave_newest = False

    def __len__(self) -> int:
        return len(self._waiting) + (self._newest is not None)

    def put_newest(self, data: bytes | None) -> None:
        """Takes the place of the last of these, where that still waits; None = none does any more."""
        self._newest = data

    def put(self, data: bytes) -> None:
        """Queues a packet. Raises BufferFull: nothing was taken."""
        if self._bytes + len(data) > QUEUE:
            raise BufferFull(f"{self._bytes} bytes of data messages are waiting")
        self._waiting.append(data)
        self._bytes += len(data)

    def take(self, now: float) -> bytes | None:
        """The next packet, if it may be sent at `now` (seconds, any clock)."""
        if not len(self) or now < self._free_at:
            return None
        if self._newest is not None and not (self._waiting and self._gave_newest):
            data, self._newest, self._gave_newest = self._newest, None, True
        else:
            data, self._gave_newest = self._waiting.popleft(), False
            self._bytes -= len(data)
        self._free_at = now + MARGIN * max(1 / PACKETS_A_SECOND, len(data) / BYTES_A_SECOND)
        return data

    def give_back(self, data: bytes) -> None:
        """Puts the packet that was taken last, and was refused, back to the front."""
        if self._gave_newest:
            self._newest = self._newest or data
            return
        self._waiting.appendleft(data)
        self._bytes += len(data)
