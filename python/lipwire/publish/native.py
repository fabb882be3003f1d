"""The native sender (`_core.Net`) on an event loop: connections that aiortc has made, and what is sent over them.

aiortc negotiates, finds a path and shakes hands; from then on sound and pictures leave from the sender's own thread,
under the keys and from the socket of that connection. What comes from the peer still comes through aiortc.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol
from weakref import WeakKeyDictionary

from .._core import RATE, Connection, Group, Net
from ..errors import BufferFull, InvalidArgument
from . import aiortc_private
from .offer import ABS_SEND_TIME, MID_EXTENSION, TRANSPORT_CC
from .rates import CLASSES, START

logger = logging.getLogger("lipwire.webrtc")

MTU = 1200
"""Bytes of a datagram at most: what passes on all paths that IPv6 allows, within a tunnel."""
HISTORY = {"video": 1000, "audio": 0}
"""ms for which packets are kept to be sent again; of sound nobody asks for it."""
MOST = 10_000_000
"""Bit/s that a path is ever believed to carry."""
KINDS: dict[str, Literal["h264", "vp8", "opus"]] = {
    "h264": "h264",
    "h264 in single units": "h264",
    "vp8": "vp8",
    "opus": "opus",
}
"""Codec -> the native sender's name for how it is made into packets; others are sent as they are."""


def _nothing(*_: Any) -> None:
    """Nobody listens."""


class Told(Protocol):
    """Who sends over a connection of the native sender."""

    def told(self, kind: str, value: int) -> None:
        """An event of it: rate, key, behind or error."""


class Carrier(Protocol):
    """What outgoing media leave by."""

    net: Net
    connection: Connection

    def stats(self) -> dict[str, int]:
        """Of `_core.Connection.stats`; of one that is closed the last ones."""


class LoopNet:
    """The native sender of an event loop: there while there are connections."""

    _of: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, LoopNet]] = WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.net = Net()
        self.links: dict[int, Told] = {}
        self._loop = loop
        loop.add_reader(self.net.fileno(), self._tell)

    @classmethod
    def current(cls) -> LoopNet:
        """Of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in cls._of:
            cls._of[loop] = cls(loop)
        return cls._of[loop]

    def _tell(self) -> None:
        for number, kind, value in self.net.events():
            if (link := self.links.get(number)) is not None:
                link.told(kind, value)

    def leave(self, number: int) -> None:
        """A connection was closed; the last one takes the sender along."""
        self.links.pop(number, None)
        if not self.links and self._of.get(self._loop) is self:
            del self._of[self._loop]
            self._loop.remove_reader(self.net.fileno())
            self.net.close()


class Outgoing:
    """One kind of media that a connection is sent."""

    def __init__(
        self, link: Carrier, stream: int, codec: str, dtx: bool = False, clock: tuple[int, int] = (0, RATE)
    ) -> None:
        self.link, self.stream = link, stream
        self._first, self.clock_rate = clock
        self.codec = codec
        """opus, pcmu, pcma, g722, vp8, h264, or "h264 in single units"."""
        self.dtx = dtx
        """It prefers to be sent no silence."""
        self.missed = 0
        """What was left out for it, for want of time."""
        self.on_key: Callable[[], None] = _nothing
        """Called where the receiver needs a key frame,"""
        self.on_behind: Callable[[], None] = _nothing
        """where its pictures were given up, because they waited too long,"""
        self.on_rate: Callable[[int], None] = _nothing
        """with the bit/s that its path carries,"""
        self.on_end: Callable[[], None] = _nothing
        """and where nothing will come any more."""

    def timestamp(self, sample: int) -> int:
        """The RTP timestamp of what is sent for this sample of the clock."""
        return (self._first + sample * self.clock_rate // RATE) % 2**32

    def quiet(self) -> None:
        """Nobody listens any more."""
        self.on_key = self.on_behind = self.on_rate = self.on_end = _nothing


class Fan:
    """Outgoing media of several connections that are sent the same."""

    def __init__(self, kind: Literal["h264", "vp8", "opus", "audio"], mode: int = 1) -> None:
        self._kind, self._mode = kind, mode
        self._group: Group | None = None
        self._members: set[Outgoing] = set()

    def __len__(self) -> int:
        return len(self._members)

    def add(self, out: Outgoing) -> None:
        """One more; pictures begin with the next key frame."""
        if self._group is None:
            self._group = Group(out.link.net, self._kind, mode=self._mode, mtu=MTU)
        self._members.add(out)
        self._group.add(out.link.connection, out.stream)

    def remove(self, out: Outgoing) -> None:
        """One less. Safe to call twice; before its link is closed."""
        if self._group is None or out not in self._members:
            return
        self._members.discard(out)
        self._group.remove(out.link.connection, out.stream)
        if not self._members:
            self._group.close()
            self._group = None

    def send(self, data: bytes, sample: int, key: bool, duration: int = 0) -> None:
        """To all. Raises BufferFull: nobody is sent it."""
        if self._group is not None:
            self._group.send(data, sample, key=key, duration=duration)

    def miss(self) -> None:
        """Everyone has missed one."""
        for out in self._members:
            out.missed += 1


class Link:
    """A connection of aiortc's, as soon as it is encrypted.

    Args:
        transport: its RTCDtlsTransport.
    """

    def __init__(self, transport: Any) -> None:
        self._home = LoopNet.current()
        self.net = self._home.net
        self._transport = transport
        self._path = aiortc_private.path(transport)
        protect, protect_rtcp, context, session = aiortc_private.srtp(transport)
        self.connection = Connection(
            self.net,
            -1,
            None,
            protect,
            protect_rtcp,
            context,
            keep=session,
            start_bitrate=CLASSES[START],
            max_bitrate=MOST,
        )
        self.connection.route(self._path.fd, self._path.address, self._path.channel)
        self._number = self.connection.id
        self._outs: dict[int, Outgoing] = {}
        self._last: dict[str, int] | None = None
        """Its figures at the end."""
        self._home.links[self._number] = self
        aiortc_private.divert_rtcp(transport, self._received, self._forward)

    def stream(self, kind: str, ssrcs: tuple[int, int], parameters: Any, *, single: bool, dtx: bool) -> Outgoing:
        """What is sent of a kind of media.

        Args:
            kind: audio or video.
            ssrcs: its own, and that of retransmissions.
            parameters: RTCRtpSendParameters, as negotiated.
            single: H.264 in packets of one NAL unit. dtx: it prefers to be sent no silence.
        """
        first = parameters.codecs[0]
        codec = first.mimeType.lower().removeprefix(f"{kind}/")
        if codec == "h264" and single:
            codec = "h264 in single units"
        again = next((c.payloadType for c in parameters.codecs if c.parameters.get("apt") == first.payloadType), 0)
        extensions = {one.uri: one.id for one in parameters.headerExtensions if 0 < one.id < 15}
        begin = secrets.randbits(32), secrets.randbits(16)  # RFC 3550, section 5.1
        mid = parameters.muxId if MID_EXTENSION in extensions and 0 < len(parameters.muxId) <= 16 else None
        stream = self.connection.stream(
            KINDS.get(codec, "audio"),
            ssrcs[0],
            first.payloadType,
            first.clockRate,
            cname=parameters.rtcp.cname,
            mid=None if mid is None else (extensions[MID_EXTENSION], mid),
            abs_send_time_id=extensions.get(ABS_SEND_TIME, 0),
            twcc_id=extensions.get(TRANSPORT_CC, 0),
            rtx_ssrc=ssrcs[1] if again else 0,
            rtx_payload_type=again,
            mode=0 if single else 1,
            mtu=MTU,
            history_ms=HISTORY[kind],
            first=begin,
        )
        out = self._outs[stream] = Outgoing(self, stream, codec, dtx, (begin[0], first.clockRate))
        return out

    def stats(self) -> dict[str, int]:
        """Of `_core.Connection.stats`; of one that is closed the last ones."""
        return self.connection.stats() if self._last is None else self._last

    def close(self) -> None:
        """Ends it. Whatever it is sent lets go of it first. Safe to call twice."""
        if self._last is not None:
            return
        self._last = self.connection.stats()
        self.connection.close()
        self._outs.clear()
        self._home.leave(self._number)

    def told(self, kind: str, value: int) -> None:
        """An event of the sender."""
        if kind == "rate":
            for out in self._outs.values():
                out.on_rate(value)
        elif kind == "error":
            logger.info("connection %d: not sent: %s", self._number, os.strerror(value))
        elif (found := self._outs.get(value)) is not None:
            (found.on_key if kind == "key" else found.on_behind)()

    def reroute(self) -> None:
        """Takes the path that the peer has chosen."""
        if self._last is not None:
            return
        path = aiortc_private.path(self._transport, self._path)
        if path is not self._path:
            self._path = path
            self.connection.route(path.fd, path.address, path.channel)

    def _received(self, data: bytes) -> None:
        """RTCP of the peer. It may have chosen another path since the last."""
        if self._last is not None:
            return
        self.reroute()
        with contextlib.suppress(InvalidArgument, BufferFull):  # no RTCP, or more than there is room for
            self.connection.rtcp(data)

    def _forward(self, data: bytes) -> None:
        """RTCP of aiortc's receivers."""
        if self._last is None:
            with contextlib.suppress(InvalidArgument, BufferFull):  # it would end the task of aiortc's that makes it
                self.connection.forward(data)
