"""Pairs of UDP ports, one for RTP and one for RTCP, out of a range; and what comes to them."""

from __future__ import annotations

import random
import re
import socket
import struct
import time
from typing import NamedTuple

from ..errors import InvalidArgument, NoCapacity
from .sdp import Address
from .source import plain

PORTS = "16384-32767"
"""Where ports are taken from, where nobody says otherwise."""
DATAGRAM = 2048
"""Bytes of one that are read; more than any path carries whole."""
TIMESTAMPS = 35
"""SO_TIMESTAMPNS of Linux: the kernel notes when a datagram came, so that a loop that is late takes none for late."""
OLDEST = 1_000_000_000
"""ns: as older than that nothing counts, as where the wall clock was set meanwhile."""
BUFFER = 256 << 10
"""Bytes that may wait in the kernel for one port."""
_TIMESPEC = struct.Struct("@ll")


class Datagram(NamedTuple):
    """What came."""

    data: bytes
    source: Address
    came_ns: int
    """On the monotonic clock."""


def parse_ports(text: str) -> range:
    """The even ports of "16384-32767". Raises InvalidArgument."""
    match = re.fullmatch(r"\s*(\d{1,5})\s*-\s*(\d{1,5})\s*", text)
    if match is None or not 1024 <= int(match[1]) < int(match[2]) <= 65535:
        raise InvalidArgument(f'{text!r:.40} is no range of ports such as "16384-32767", of 1024..65535')
    first, last = int(match[1]), int(match[2])
    ports = range(first + first % 2, last, 2)
    if not ports:
        raise InvalidArgument(f"{text!r:.40} has no even port with the one behind it")
    return ports


class Pair:
    """The sockets of one media section. `rtcp` is None where RTCP comes to the port of RTP."""

    def __init__(self, rtp: socket.socket, rtcp: socket.socket | None) -> None:
        self.rtp, self.rtcp = rtp, rtcp
        self.port: int = rtp.getsockname()[1]

    @property
    def sockets(self) -> list[socket.socket]:
        """One, or both."""
        return [self.rtp] if self.rtcp is None else [self.rtp, self.rtcp]

    def close(self) -> None:
        """Gives the ports back. Safe to call twice."""
        for one in self.sockets:
            one.close()


class Ports:
    """Where pairs come from.

    Args:
        host: the address to listen on. ports: even ones, each of which is taken with the one behind it.
    """

    def __init__(self, host: str, ports: range) -> None:
        self.host, self.ports = host, ports
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET

    def open(self, *, mux: bool = False) -> Pair:
        """A pair that is free; with `mux` RTP's alone.

        Raises:
            NoCapacity: there is none. InvalidArgument: `host` is no address of this machine.
        """
        start = random.randrange(len(self.ports))
        for step in range(len(self.ports)):
            port = self.ports[(start + step) % len(self.ports)]
            opened: list[socket.socket] = []
            try:
                for number in (port,) if mux else (port, port + 1):
                    opened.append(self._bind(number))
            except OSError as exc:
                for one in opened:
                    one.close()
                if exc.errno not in _TAKEN:
                    raise InvalidArgument(
                        f"RTP cannot be received on {self.host}: {exc.strerror}; set rtp_host to an address of this "
                        "machine"
                    ) from exc
                continue
            return Pair(opened[0], opened[1] if len(opened) > 1 else None)
        raise NoCapacity(f"All ports for RTP are in use ({len(self.ports)} pairs; setting rtp_ports)", retry_after=5)

    def _bind(self, port: int) -> socket.socket:
        made = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            made.setsockopt(socket.SOL_SOCKET, TIMESTAMPS, 1)
            made.bind((self.host, port))
        except BaseException:
            made.close()
            raise
        return made

    def reaches(self, address: str) -> bool:
        """Whether an address is of the kind that these ports speak with: `::` speaks with both."""
        return self.host == "::" or (":" in address) == (self._family == socket.AF_INET6)

    def source_for(self, peer: str) -> str:
        """The address of this machine from which packets to `peer` leave, which is what a peer is told where `host` is
        every address. Nothing is sent."""
        if plain(self.host) not in ("0.0.0.0", "::"):
            return self.host
        family = socket.AF_INET6 if ":" in peer else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((peer, 9))
            except OSError:  # no route: nobody will hear anything either
                return "::1" if family == socket.AF_INET6 else "127.0.0.1"
            return str(probe.getsockname()[0])


_TAKEN = {98, 13}
"""EADDRINUSE; EACCES, of a port that the system keeps."""


def receive(of: socket.socket, most: int) -> list[Datagram]:
    """Up to so many datagrams that have come, in the kernel's order; their times do not go back. Those that are longer
    than `DATAGRAM` are empty here."""
    found: list[Datagram] = []
    ahead = time.monotonic_ns() - time.time_ns()
    newest = 0
    while len(found) < most:
        try:
            data, ancillary, flags, address = of.recvmsg(DATAGRAM, 64)
        except (BlockingIOError, InterruptedError):
            break
        except OSError:  # what ICMP says of something that was sent
            found.append(Datagram(b"", Address("", 0), time.monotonic_ns()))
            continue
        now = time.monotonic_ns()
        came = now
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == TIMESTAMPS and len(value) >= _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                came = seconds * 1_000_000_000 + nanoseconds + ahead
        newest = came = max(newest, min(max(came, now - OLDEST), now))
        found.append(Datagram(b"" if flags & socket.MSG_TRUNC else data, Address(plain(address[0]), address[1]), came))
    return found
