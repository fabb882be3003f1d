"""Speech and pictures out by plain RTP, to whoever has no browser: SIP video telephones, media servers, FFmpeg,
GStreamer.

    out = lipwire.publish.RTP("127.0.0.1", audio_port=5004, video_port=5006)
    Path("face.sdp").write_text(out.sdp)          # ffplay -protocol_whitelist file,udp,rtp face.sdp

    out = lipwire.publish.RTP(offer=their_sdp)
    async with lipwire.Session(out) as session:
        print(out.sdp)                            # the answer, from `open` on

Packets are made, paced, encrypted and sent again by the native sender, as those to browsers are; H.264 that was encoded
beforehand goes out as it is.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Literal

from .._core import RATE, Connection, Frame
from ..errors import BadState, BufferFull, InvalidArgument
from ..rtp.endpoint import Endpoint
from ..rtp.formats import SENT
from ..rtp.keys import Key, Opened, Sealed, check_suites
from ..rtp.negotiation import Media, negotiate
from ..rtp.ports import PORTS, Pair, Ports, parse_ports
from ..rtp.rtcp import Heard
from ..rtp.sdp import Address, Format, connection, parse_sdp, write_sdp
from ..rtp.source import plain
from ..stream import StreamSpec, Unit
from .encoders import KEY_SECONDS
from .native import HISTORY, KINDS, MOST, MTU, LoopNet, Outgoing
from .rates import CLASSES, START
from .sound import PACKET_BLOCKS, Sounds
from .streams import Pictures, PicturesPublisher

logger = logging.getLogger("lipwire.rtp")

SDES = "AES_CM_128_HMAC_SHA1_80"
"""The suite that every receiver with SRTP has (RFC 4568, 6.2.1)."""
FORMATS: dict[str, Format] = {
    "opus": Format(111, "opus", 48000, 2),
    "g722": Format(9, "g722", 8000),
    "pcmu": Format(0, "pcmu", 8000),
    "pcma": Format(8, "pcma", 8000),
}
"""What a receiver is described with that has said nothing itself."""
PICTURES = Format(96, "h264", 90000, 1, "packetization-mode=1;profile-level-id=42e01f")


class Sender:
    """One section's packets out, over its own sockets. It is what `publish.native.Link` is for a browser.

    Args:
        media: what is agreed. pair: its sockets.
        to: where RTP goes; None = nowhere yet (`route`). to_rtcp: where sender reports go; None = with RTP.
        cname: the same for all that is to be played together (RFC 3550, 6.5.1).
        seal: encrypts; None = nothing is.
        patience: seconds of the media clock after which neither RTP nor RTCP is sent to a receiver of whom nothing is
            heard, until something is: nobody is flooded who never asked (as RFC 7675 has it for WebRTC). What counts is
            RTCP of its host that speaks of our SSRC, which takes having received it. None = no such limit.
        exempt: the one address for which there is none.
        incoming: how many packets have come from there besides RTCP.
    """

    def __init__(
        self,
        media: Media,
        pair: Pair,
        *,
        to: Address | None,
        to_rtcp: Address | None,
        cname: str,
        seal: Sealed | None = None,
        patience: float | None = None,
        exempt: Address | None = None,
        incoming: Callable[[], int] = lambda: 0,
    ) -> None:
        assert media.sends is not None
        self.media, self.pair = media, pair
        self._home = LoopNet.current()
        self.net = self._home.net
        protect, protect_rtcp, context, owner = (0, 0, 0, None) if seal is None else seal.native()
        self.connection = Connection(
            self.net,
            -1,
            None,
            protect,
            protect_rtcp,
            context,
            keep=owner,
            start_bitrate=CLASSES[START],
            max_bitrate=MOST,
        )
        self._number = self.connection.id
        self._home.links[self._number] = self
        self._last: dict[str, int] | None = None
        self.to: Address | None = None
        self._to_rtcp: Address | None = None
        self.paused = False
        """Nothing is sent, since nothing was heard."""
        self._patience = None if patience is None else round(patience * RATE)
        self._exempt = exempt
        self._controls, self._incoming = 0, incoming
        self._heard: tuple[int, int] | None = None
        """Packets that had come, and since when there have been no more, on the media clock."""
        sends = media.sends
        name = "h264 in single units" if media.single_units else sends.name
        self.ssrc = secrets.randbelow(2**32 - 1) + 1
        stream = self.connection.stream(
            KINDS.get(name, "audio"),
            self.ssrc,
            sends.payload_type,
            sends.clock_rate,
            cname=cname,
            mode=0 if media.single_units else 1,
            mtu=MTU,
            history_ms=HISTORY[media.kind] if "nack" in media.feedback else 0,
        )
        self.out = Outgoing(self, stream, name, sends.parameter("usedtx") == "1")
        if to is not None:
            self.route(to, to_rtcp)

    def route(self, to: Address | None, to_rtcp: Address | None = None) -> None:
        """Where packets go from now on (None = nowhere, RTCP neither), and RTCP (None = where it went)."""
        self.to, self._to_rtcp = to, to_rtcp or self._to_rtcp
        self._lead()

    def route_rtcp(self, to: Address) -> None:
        """Where RTCP goes from now on; with RTP where it comes to the same port."""
        self._to_rtcp = to
        self._lead()

    def _lead(self) -> None:
        """Tells the native sender."""
        if self._last is not None:
            return
        to, to_rtcp = (None, None) if self.paused else (self.to, self._to_rtcp)
        self.connection.route(-1 if to is None else self.pair.rtp.fileno(), to)
        if self.pair.rtcp is not None:
            apart = to is not None and to_rtcp is not None
            self.connection.rtcp_route(self.pair.rtcp.fileno() if apart else -1, to_rtcp if apart else None)

    def control(self, data: bytes, source: Address) -> None:
        """RTCP that came, in the clear: of the receiver, or of a stranger, which is not heard."""
        ours = self.to is not None and source.host == plain(self.to.host)
        if self._last is None and (ours or self.media.their_key is not None):
            self._controls += ours and self.ssrc in Heard(data).about
            with contextlib.suppress(InvalidArgument, BufferFull):  # no RTCP, or more than there is room for
                self.connection.rtcp(data)

    def keep(self, sample: int) -> None:
        """The media clock is at `sample`: is anybody there?"""
        count = self._controls + self._incoming()
        if self._patience is None or self._last is not None:
            return
        if self.to in (None, self._exempt):
            self._resume()
        elif self._heard is None or self._heard[0] != count:
            self._heard = count, sample
            self._resume()
        elif not self.paused and sample - self._heard[1] >= self._patience:
            logger.info("port %d: the receiver says nothing, and is sent nothing until it does", self.pair.port)
            self.paused = True
            self._lead()

    def _resume(self) -> None:
        if self.paused:
            self.paused = False
            self._lead()

    def forward(self, packet: bytes) -> None:
        """RTCP that is made elsewhere, of a receiver on the same ports."""
        if self._last is None:
            with contextlib.suppress(BufferFull):
                self.connection.forward(packet)

    def told(self, kind: str, value: int) -> None:
        """An event of the native sender."""
        if kind == "rate":
            self.out.on_rate(value)
        elif kind == "error":
            logger.info("port %d: not sent: %s", self.pair.port, os.strerror(value))
        else:
            (self.out.on_key if kind == "key" else self.out.on_behind)()

    def stats(self) -> dict[str, int]:
        """Of `_core.Connection.stats`; of one that is closed the last ones."""
        return self.connection.stats() if self._last is None else self._last

    def close(self) -> None:
        """Says goodbye. Whatever it is sent lets go of it first. Safe to call twice."""
        if self._last is not None:
            return
        self._last = self.connection.stats()
        self.connection.close()
        self._home.leave(self._number)


class Outbound(PicturesPublisher):
    """A publisher over senders that somebody else has made, and closes behind it."""

    audio_blocks = PACKET_BLOCKS
    takes_units = True

    def __init__(self, senders: Sequence[Sender] = ()) -> None:
        self.senders = list(senders)
        self._sounds, self._pictures = Sounds(), Pictures()
        self._fps: Fraction | None = None
        self._key_at: dict[Sender, int] = {}
        """Media clock of the last key frame that was asked for in the place of who cannot ask."""

    async def open(self, spec: StreamSpec) -> None:
        """Begins to send."""
        self._fps = spec.fps
        for sender in self.senders:
            if sender.media.kind == "audio":
                self._sounds.add(sender.out)
            elif spec.width:
                self._pictures.add(sender.out)

    def audio(self, pcm: bytes, sample: int) -> None:
        """Gathers 20 ms, and sends them."""
        for sender in self.senders:
            sender.keep(sample)
        self._sounds.audio(pcm, sample)

    def video(self, frame: Frame) -> None:
        """Has the picture encoded and sent."""
        self._ask_keys(frame.sample)
        self._pictures.show(frame, frame.sample, self._fps)

    def unit(self, unit: Unit) -> None:
        """Sends it as it is."""
        self._ask_keys(unit.sample)
        self._pictures.unit(unit.data, unit.sample, unit.key)

    def _ask_keys(self, sample: int) -> None:
        """In the place of receivers that cannot."""
        for sender in self.senders:
            if sender.media.kind == "video" and not sender.media.asks_for_keys:
                before = self._key_at.setdefault(sender, sample)
                if not 0 <= sample - before < KEY_SECONDS * RATE:
                    self._key_at[sender] = sample
                    sender.out.on_key()

    def interrupt(self) -> None:
        """Silences what waits."""
        self._sounds.interrupt()
        self._pictures.interrupt()

    def stats(self) -> list[dict[str, Any]]:
        """Of each section that is sent, JSON-able: `kind`, `codec`, `to`, whether it is `paused`, and the counters of
        `_core.Connection`."""
        return [
            {
                "kind": one.media.kind,
                "codec": one.out.codec,
                "paused": one.paused,
                "to": None if one.to is None else f"{one.to.host}:{one.to.port}",
                **one.stats(),
            }
            for one in self.senders
        ]

    async def close(self) -> None:
        """Sends no more."""
        for sender in self.senders:
            self._sounds.remove(sender.out)
            self._pictures.remove(sender.out)
            sender.close()


class RTP(Outbound):
    """A publisher for one receiver.

    Either it is named, and reads the description `sdp`; or it has made an `offer`, and `sdp` is the answer.

    Args:
        host: a numeric address that receives. audio_port, video_port: its even ports of RTP, RTCP behind each; 0 =
            nothing of the kind is sent.
        codec: of speech: opus, g722, pcmu or pcma.
        srtp: encrypt, under a key that is in `sdp` (SDES).
        offer: an SDP with sections that receive; in the place of all of those.
        bind: our own address; the answer names it, or the one that leads to the receiver where it is 0.0.0.0 or ::.
        ports: the range that our own ports are taken out of.

    Raises:
        InvalidArgument: no receiver, or a bad one; or nothing of the offer can be sent.
    """

    def __init__(
        self,
        host: str | None = None,
        *,
        audio_port: int = 0,
        video_port: int = 0,
        codec: Literal["opus", "g722", "pcmu", "pcma"] = "opus",
        srtp: bool = False,
        offer: str | None = None,
        bind: str = "0.0.0.0",
        ports: str = PORTS,
    ) -> None:
        super().__init__()
        if (host is None) == (offer is None):
            raise InvalidArgument("RTP goes either to a host, with audio_port or video_port, or to who makes an offer")
        self._ports = Ports(bind, parse_ports(ports))
        self._number = secrets.randbits(31)
        self._endpoints: list[Endpoint] = []
        self._sdp: str | None = None
        if offer is not None:
            if audio_port or video_port or srtp or codec != "opus":
                raise InvalidArgument("an offer says itself which ports, codecs and keys there are")
            self._media = negotiate(offer, takes=False)
        else:
            assert host is not None
            self._media = _described(host, audio_port, video_port, codec, srtp)
            self._sdp = _description(host, self._media, self._number)
        for media in self._media:
            if media.used and media.section.address is None:
                raise InvalidArgument("the receiver's description has no address to send to (c=, m=)")

    @property
    def sdp(self) -> str:
        """What the receiver reads. Raises BadState: the answer to an offer is there when this has been opened."""
        if self._sdp is None:
            raise BadState("the answer to an offer is there when the publisher has been opened")
        return self._sdp

    async def open(self, spec: StreamSpec) -> None:
        """Takes ports, and begins to send.

        Raises:
            InvalidArgument: an address that nothing can be sent to. NoCapacity: there are no ports.
        """
        lines: list[list[str]] = []
        try:
            for media in self._media:
                lines.append(media.answer(self._open(media, spec.session_id) if media.used else 0))
        except BaseException:
            await self.close()
            raise
        if self._sdp is None:
            to = next(one.section.address for one in self._media if one.used)
            assert to is not None
            self._sdp = write_sdp(self._ports.source_for(to.host), lines, number=self._number)
        await super().open(spec)

    def _open(self, media: Media, cname: str) -> int:
        pair = self._ports.open(mux=media.section.mux)
        seal = None if media.our_key is None else Sealed(media.our_key)
        opened = None if media.their_key is None else Opened(media.their_key)
        try:
            sender = Sender(
                media, pair, to=media.section.address, to_rtcp=media.section.rtcp_address, cname=cname[:63], seal=seal
            )
        except BaseException:
            pair.close()
            raise
        self.senders.append(sender)
        self._endpoints.append(Endpoint(pair, None, control=sender.control, opened=opened))
        return pair.port

    async def close(self) -> None:
        """Says goodbye, and gives the ports back."""
        await super().close()
        for endpoint in self._endpoints:
            endpoint.close()


def _described(host: str, audio_port: int, video_port: int, codec: str, srtp: bool) -> list[Media]:
    """What is sent to a receiver that is named."""
    if not (audio_port or video_port):
        raise InvalidArgument("audio_port or video_port must be set")
    if codec not in SENT:
        raise InvalidArgument(f"codec {codec!r}; there are {', '.join(SENT)}")
    if not _is_numeric(host):
        raise InvalidArgument(f"host must be a numeric address, got {host!r:.60}")
    for name, port in (("audio_port", audio_port), ("video_port", video_port)):
        if port and not 0 < port < 65535:
            raise InvalidArgument(f"{name} must be 1..65534, got {port}")
    if srtp:
        check_suites()
    found = []
    for kind, port, sends in (("audio", audio_port, FORMATS[codec]), ("video", video_port, PICTURES)):
        if port:
            protocol = "RTP/SAVP" if srtp else "RTP/AVP"
            text = f"v=0\nc={connection(host)}\nm={kind} {port} {protocol} {sends.payload_type}\na=recvonly"
            key = Key("1", SDES, secrets.token_bytes(30)) if srtp else None
            found.append(Media(parse_sdp(text)[0], sends=sends, our_key=key))
    return found


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _description(host: str, media: Sequence[Media], number: int) -> str:
    """What a player reads: its own address and ports, and what comes to them."""
    sections = []
    for one in media:
        assert one.sends is not None
        lines = [f"m={one.kind} {one.section.port} {one.section.protocol} {one.sends.payload_type}", *one.sends.lines()]
        sections.append(lines + ([] if one.our_key is None else [one.our_key.line()]))
    return write_sdp(host, sections, number=number)
