"""What a viewer can tell of RTP without a key: its headers are in the clear (RFC 3711, section 3.1), and say what is
lost, what is missing and what is late."""

from __future__ import annotations

from collections import Counter
from typing import Literal

Kind = Literal["picture", "sound", "again"]

RTP_HEADER = 12
VERSION = 0x80
RTCP_TYPES = range(192, 224)
"""Second byte of RTCP where both share a port (RFC 5761, section 4)."""
OPUS_STEP = 960
"""Ticks of the 48 kHz clock in a packet of 20 ms."""


def is_rtp(packet: bytes) -> bool:
    """Whether a datagram is RTP, in the clear or not: neither STUN, DTLS nor RTCP (RFC 7983)."""
    return len(packet) >= RTP_HEADER and packet[0] & 0xC0 == VERSION and packet[1] not in RTCP_TYPES


class RtpStream:
    """One stream of one viewer. Times are those of the packets' arrival, in s.

    Args:
        kind: of `picture`s, one is there with the packet that has its marker (RFC 6184, RFC 7741); of `sound` each
            packet is whole. What is sent `again` (RFC 4588) is counted, and has no time.
        clock_rate: Hz of the timestamps.
        interval: ticks from one picture to the next, or from one packet of sound to the next.
        limit: seconds after which something is late, against the most punctual since `clear`.
    """

    def __init__(self, kind: Kind, clock_rate: int, interval: int, limit: float) -> None:
        self.kind, self.clock_rate, self.interval, self.limit = kind, clock_rate, interval, limit
        self.highest = 0
        """The highest extended sequence number."""
        self.received = 0
        self._sequence: int | None = None
        self._stamp = 0
        self.clear()

    def clear(self) -> None:
        """Counts from here."""
        self.counts: Counter[str] = Counter()
        self.worst = 0.0
        """Seconds that the latest was late."""
        self._base: float | None = None
        self._last: int | None = None

    def add(self, packet: bytes, now: float) -> None:
        """Takes a packet (`is_rtp`)."""
        self.counts["packets"] += 1
        self.counts["bytes"] += len(packet)
        self.received += 1
        self._count(int.from_bytes(packet[2:4], "big"))
        stamp = int.from_bytes(packet[4:8], "big")
        marker = packet[1] >= 0x80
        if self.kind == "sound" or (self.kind == "picture" and marker):
            self._whole(self._unwrapped(stamp), marker, now)

    def _count(self, sequence: int) -> None:
        if self._sequence is None:
            self._sequence = self.highest = sequence
            return
        step = (sequence - self._sequence) & 0xFFFF
        if step == 0:
            self.counts["repeated"] += 1
        elif step < 0x8000:
            self.counts["lost"] += step - 1
            self._sequence = sequence
            self.highest += step
        else:  # it comes behind one that was sent after it, and had been counted as lost
            self.counts["lost"] -= 1
            self.counts["reordered"] += 1

    def _unwrapped(self, stamp: int) -> int:
        step = (stamp - self._stamp) & 0xFFFFFFFF
        self._stamp += step - (1 << 32) if step >= 1 << 31 else step
        return self._stamp

    def _whole(self, stamp: int, marker: bool, now: float) -> None:
        """A picture, or a packet of sound, is there."""
        self.counts["whole"] += 1
        if self._last is not None and (step := stamp - self._last) > self.interval * 1.5:
            if (
                self.kind == "picture" or not marker
            ):  # a marker begins sound after a silence in which nothing is sent (RFC 3551)
                self.counts["missing"] += round(step / self.interval) - 1
            else:
                self.counts["silences"] += 1
        self._last = stamp
        shift = now - stamp / self.clock_rate
        self._base = shift if self._base is None else min(self._base, shift)
        late = shift - self._base
        self.worst = max(self.worst, late)
        self.counts["late"] += late > self.limit
