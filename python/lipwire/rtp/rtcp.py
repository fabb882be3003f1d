"""What a receiver says and hears of a stream (RTCP, RFC 3550): receiver reports out, sender reports in.

What a sender says is written by the native sender (`csrc/net/rtcp.c`).
"""

from __future__ import annotations

import struct

SENDER, RECEIVER, DESCRIPTION, GOODBYE = 200, 201, 202, 203
FEEDBACK = (205, 206)
INTERVAL = 5.0
"""Seconds between two reports, half as much or more at random (RFC 3550, 6.2 and 6.3.1)."""
MAX_DROPOUT, MAX_MISORDER = 3000, 100
"""Packets by which a sequence number may leap, and lag (RFC 3550, A.1)."""
MOST_PACKETS = 16
"""Of a compound packet that are looked at."""
NTP_SECOND = 1 << 16
"""Of the middle 32 bits of an NTP timestamp."""


def is_rtcp(packet: bytes) -> bool:
    """Which of the two a packet on a shared port is (RFC 5761, 4)."""
    return len(packet) > 1 and 192 <= packet[1] <= 223


class Reception:
    """What one SSRC's packets tell, as receiver reports say it (RFC 3550, 6.4.1, A.3 and A.8). Times in ns.

    Args:
        ssrc: its own. clock_rate: Hz of its timestamps. sequence: the first number.
    """

    def __init__(self, ssrc: int, clock_rate: int, sequence: int) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.received = 0
        self._base = self._highest = sequence
        self._expected_before = self._received_before = 0
        self._transit: int | None = None
        self._jitter = 0.0
        self._report: tuple[int, int] | None = None
        """Of the last sender report: the middle 32 bits of its NTP time, and when it came."""

    def take(self, sequence: int, timestamp: int, now_ns: int, *, timed: bool = True) -> None:
        """A packet. `timed`: it left at the time of its timestamp. A telephone event's is that of its beginning."""
        step = (sequence - self._highest) & 0xFFFF
        if step < MAX_DROPOUT:
            self._highest += step
        elif step < 0x10000 - MAX_MISORDER:  # it begins anew
            self._base = self._highest = sequence
            self.received = self._expected_before = self._received_before = 0
            self._transit = None
        self.received += 1
        if not timed:
            return
        arrival = now_ns * self.clock_rate // 1_000_000_000
        transit = (arrival - timestamp) & 0xFFFFFFFF
        if self._transit is not None:
            change = (transit - self._transit + 0x80000000) % 0x100000000 - 0x80000000
            self._jitter += (min(abs(change), 10 * self.clock_rate) - self._jitter) / 16
        self._transit = transit

    def report_came(self, ntp_middle: int, now_ns: int) -> None:
        """A sender report of it."""
        self._report = ntp_middle, now_ns

    @property
    def expected(self) -> int:
        """Packets that there were, by their numbers."""
        return self._highest - self._base + 1

    @property
    def lost(self) -> int:
        """Packets that did not come; negative: some came twice."""
        return self.expected - self.received

    @property
    def jitter_ms(self) -> float:
        """Of their arrival."""
        return 1000 * self._jitter / self.clock_rate

    def block(self, now_ns: int) -> bytes:
        """The report block, and begins the next interval."""
        expected, received = self.expected - self._expected_before, self.received - self._received_before
        self._expected_before, self._received_before = self.expected, self.received
        gone = expected - received
        fraction = min(255, (gone << 8) // expected) if expected > 0 and gone > 0 else 0
        lost = max(-0x800000, min(0x7FFFFF, self.lost)) & 0xFFFFFF
        last = delay = 0
        if self._report is not None:
            last = self._report[0]
            delay = min(0xFFFFFFFF, max(0, now_ns - self._report[1]) * NTP_SECOND // 1_000_000_000)
        jitter = min(0xFFFFFFFF, int(self._jitter))
        highest = self._highest & 0xFFFFFFFF
        return struct.pack("!IIIIII", self.ssrc, fraction << 24 | lost, highest, jitter, last, delay)


def receiver_report(ssrc: int, cname: str, blocks: list[bytes]) -> bytes:
    """RR and SDES with the CNAME, a compound packet (RFC 3550, 6.1). `blocks`: up to 31."""
    report = struct.pack("!BBHI", 0x80 | len(blocks), RECEIVER, 1 + 6 * len(blocks), ssrc) + b"".join(blocks)
    name = cname.encode()[:63]
    chunk = struct.pack("!IBB", ssrc, 1, len(name)) + name
    chunk += bytes(4 - len(chunk) % 4)  # at least one, up to the next word
    return report + struct.pack("!BBH", 0x81, DESCRIPTION, len(chunk) // 4) + chunk


def goodbye(ssrc: int) -> bytes:
    """BYE, to stand behind a report."""
    return struct.pack("!BBHI", 0x81, GOODBYE, 1, ssrc)


class Heard:
    """What a compound packet says to a receiver. Malformed ones say what stands in front of the fault."""

    def __init__(self, packet: bytes) -> None:
        self.reports: dict[int, int] = {}
        """SSRC -> the middle 32 bits of its sender report's NTP time."""
        self.about: set[int] = set()
        """SSRCs that report blocks and feedback (RFC 4585) speak of: who says that has received something of theirs."""
        self.gone: set[int] = set()
        """SSRCs that said goodbye."""
        self.malformed = False
        at, count = 0, 0
        while at < len(packet) and count < MOST_PACKETS:
            size = self._read(packet, at)
            if size == 0:
                self.malformed = True
                return
            at += size
            count += 1

    def _read(self, packet: bytes, at: int) -> int:
        """One of them; its size, 0 = it is malformed."""
        if len(packet) - at < 4 or packet[at] >> 6 != 2:
            return 0
        items, kind, words = packet[at] & 31, packet[at + 1], int.from_bytes(packet[at + 2 : at + 4])
        size = 4 * (words + 1)
        if size > len(packet) - at:
            return 0
        if kind == SENDER:
            if size < 28:
                return 0
            self.reports[int.from_bytes(packet[at + 4 : at + 8])] = int.from_bytes(packet[at + 10 : at + 14])
            self._blocks(packet, at + 28, at + size, items)
        elif kind == RECEIVER:
            self._blocks(packet, at + 8, at + size, items)
        elif kind in FEEDBACK and size >= 12:
            self.about.add(int.from_bytes(packet[at + 8 : at + 12]))
        elif kind == GOODBYE:
            if size < 4 + 4 * items:
                return 0
            self.gone |= {int.from_bytes(packet[i : i + 4]) for i in range(at + 4, at + 4 + 4 * items, 4)}
        return size

    def _blocks(self, packet: bytes, at: int, end: int, count: int) -> None:
        """Those that are there."""
        self.about |= {int.from_bytes(packet[i : i + 4]) for i in range(at, min(at + 24 * count, end - 23), 24)}
