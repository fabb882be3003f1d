"""The native sender with a socket of the test's at its other end: plain RTP, on time that the test turns."""

from __future__ import annotations

import socket
import struct
from types import SimpleNamespace
from typing import Any, Self

from aiortc import rtp
from aiortc.codecs.h264 import h264_depayload
from aiortc.codecs.vpx import vp8_depayload
from msgspec import Struct

from lipwire._core import RATE, Connection, Net
from lipwire.publish.native import KINDS, Outgoing

CLOCKS = {"opus": 48_000, "pcmu": 8000, "pcma": 8000, "g722": 8000}
"""Hz of timestamps; of pictures 90 000."""
SECOND = 1_000_000_000
SSRC = 1234


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
        self._got: list[Packet] = []
        self.highest = 0
        """Number of the newest packet that has come."""
        self.connection = Connection(self.net, self._near.fileno(), self._far.getsockname())
        self._clock = CLOCKS.get(codec, 90_000)
        stream = self.connection.stream(
            KINDS.get(codec, "audio"),
            SSRC,
            96,
            self._clock,
            cname="wire",
            mode=0 if codec == "h264 in single units" else 1,
            first=(0, 0),
        )
        link: Any = SimpleNamespace(net=self.net, connection=self.connection)
        self.out = Outgoing(link, stream, codec, dtx)

    def run(self, seconds: float) -> None:
        """Time passes, of all connections of the net."""
        for _ in range(round(100 * seconds)):
            self._now += SECOND // 100
            self.net.run(self._now)
        while True:
            try:
                packet = read_packet(self._far.recv(2048))
            except BlockingIOError:
                return
            if packet is not None:
                self._got.append(packet)
                self.highest = packet.number

    def packets(self) -> list[Packet]:
        """What has come since the last time, a second later."""
        self.run(1)
        got, self._got = self._got, []
        return got

    def report(self, lost: float = 0.0, carries: int | None = None) -> None:
        """The receiver's report: the share of the packets that was `lost` since the last, and, if it says that, the
        bit/s that it can take."""
        block = rtp.RtcpReceiverInfo(SSRC, round(256 * lost), 0, self.highest, 0, 0, 0)
        told = bytes(rtp.RtcpRrPacket(ssrc=1, reports=[block]))
        if carries is not None:
            fci = rtp.pack_remb_fci(carries, [SSRC])
            told += bytes(rtp.RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=fci))
        self.connection.rtcp(told)

    def tell(self) -> None:
        """What the sender tells of this connection, where nobody else listens to its net."""
        for number, kind, value in self.net.events():
            if number != self.connection.id:
                continue
            if kind == "rate":
                self.out.on_rate(value)
            elif kind != "error":
                (self.out.on_key if kind == "key" else self.out.on_behind)()

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
