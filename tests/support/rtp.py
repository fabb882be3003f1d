"""The native sender with a socket of the test's at its other end: plain RTP, on time that the test turns."""

from __future__ import annotations

import socket
import struct
from types import SimpleNamespace
from typing import Any, Self

from aiortc.codecs.h264 import h264_depayload
from aiortc.codecs.vpx import vp8_depayload
from msgspec import Struct

from lipwire._core import RATE, Connection, Net
from lipwire.publish.native import KINDS, Outgoing

CLOCKS = {"opus": 48_000, "pcmu": 8000, "pcma": 8000, "g722": 8000}
"""Hz of timestamps; of pictures 90 000."""
SECOND = 1_000_000_000


class Packet(Struct, frozen=True):
    """Of RTP (RFC 3550, section 5.1)."""

    payload_type: int
    marker: bool
    number: int
    timestamp: int
    ssrc: int
    payload: bytes


def read_packet(data: bytes) -> Packet | None:
    """None: it is RTCP (RFC 5761, section 4)."""
    if 192 <= data[1] <= 223:
        return None
    first, second, number, timestamp, ssrc = struct.unpack("!BBHII", data[:12])
    at = 12 + 4 * (first & 15)
    if first & 16:
        at += 4 + 4 * int.from_bytes(data[at + 2 : at + 4])
    return Packet(second & 127, bool(second & 128), number, timestamp, ssrc, data[at:])


class Unit(Struct, frozen=True):
    """An access unit, as a receiver puts it together."""

    sample: int
    data: bytes


class Wire:
    """What a Link is, for one stream. The first packet has the number 0, and its timestamp is its sample's.

    Args:
        net: of which it is a connection; None = one of its own.
    """

    def __init__(self, codec: str, *, net: Net | None = None, dtx: bool = False) -> None:
        self.net = Net(manual=True) if net is None else net
        self.codec = codec
        self._own = net is None
        self._far, self._near = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self._far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self._far.bind(("127.0.0.1", 0))
        self._far.setblocking(False)
        self._near.setblocking(False)
        self._now = 0
        self.connection = Connection(self.net, self._near.fileno(), self._far.getsockname())
        self._clock = CLOCKS.get(codec, 90_000)
        stream = self.connection.stream(
            KINDS.get(codec, "audio"),
            1234,
            96,
            self._clock,
            cname="wire",
            mode=0 if codec == "h264 in single units" else 1,
            first=(0, 0),
        )
        link: Any = SimpleNamespace(net=self.net, connection=self.connection)
        self.out = Outgoing(link, stream, codec, dtx)

    def packets(self) -> list[Packet]:
        """What has come since the last time, a second later."""
        for _ in range(100):
            self._now += SECOND // 100
            self.net.run(self._now)
        got: list[Packet] = []
        while True:
            try:
                packet = read_packet(self._far.recv(2048))
            except BlockingIOError:
                return got
            if packet is not None:
                got.append(packet)

    def units(self) -> list[Unit]:
        """The same, by access units."""
        depayload: Any = vp8_depayload if self.codec == "vp8" else h264_depayload
        units, data = [], b""
        for packet in self.packets():
            data += depayload(packet.payload)
            if packet.marker:
                units.append(Unit(packet.timestamp * RATE // self._clock, data))
                data = b""
        assert not data
        return units

    def close(self) -> None:
        self.connection.close()
        if self._own:
            self.net.close()
        self._far.close()
        self._near.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
