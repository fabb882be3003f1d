"""Plain RTP for the sessions of `lipwire serve`: the offer of a start, its ports, and the way of its speech.

Where packets go is an outward address that came in a request: to what an offer names RTP and RTCP are sent only if
`allowed_outward` lets them, or to who has sent us valid RTP from an address that is public, allowed, or in the offer,
and never to a port below 1024.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from typing import Any

from ..audio.speech_gate import SpeechGate
from ..errors import BadState, InvalidArgument
from ..logs import sampled
from ..outward import Outward, OutwardRefused, is_public
from ..publish.rtp import Outbound, Sender
from ..rtp.endpoint import Endpoint
from ..rtp.inbound import Digit, Inbound
from ..rtp.keys import Opened, Sealed
from ..rtp.negotiation import Media, negotiate
from ..rtp.ports import Pair, Ports, parse_ports
from ..rtp.sdp import Address, write_sdp
from ..rtp.tally import Tally
from ..session.session import Session
from .config import Config

logger = sampled("lipwire.rtp")

PATIENCE = 30.0
"""Seconds for which something is sent to a public address without a packet from there: six times as long as a receiver
that sends reports at all takes to its first."""
ANYWHERE = "192.0.2.1"
"""An address that is nobody's (RFC 5737), to ask for the way to the rest of the world; nothing is sent there."""
LEAST_PORT = 1024
"""What stands below belongs to services that answer whoever asks."""


class _Peer:
    """Where one section's sender is, as far as it is known and allowed."""

    def __init__(self) -> None:
        self.expected: Address | None = None
        self.expected_rtcp: Address | None = None
        """What its description says."""
        self.to: Address | None = None
        self.to_rtcp: Address | None = None
        """Where something may be sent before it has sent anything,"""
        self.named = False
        """and whether the settings say so themselves: it need not show that it is there."""


class RtpDoor:
    """What `rtp` of a start goes through.

    Args:
        config: the settings.
        outward: where packets may go.
        tally: has the jitter buffers of what comes.
    """

    def __init__(self, config: Config, outward: Outward, tally: Tally | None = None) -> None:
        self._config, self._outward, self._tally = config, outward, tally
        self._ports = Ports(config.rtp_host or config.bind, parse_ports(config.rtp_ports)) if config.rtp else None

    async def open(self, sdp: str, *, session_id: str, owner: str) -> RtpCall:
        """Agrees on what is offered, and takes ports.

        Raises:
            InvalidArgument: there is no RTP here, nothing of the offer can be used, or it leads where it may not.
            NoCapacity: there are no ports.
        """
        if self._ports is None:
            raise InvalidArgument("rtp: this server takes none; start it with --rtp (setting rtp)")
        try:
            media = negotiate(sdp)
            peers = [await self._find(one, owner) for one in media]
        except (InvalidArgument, OSError) as exc:
            raise InvalidArgument(f"rtp.sdp: {exc}") from exc
        call = RtpCall(session_id, self._outward, symmetric=self._config.rtp_symmetric, tally=self._tally)
        lines = []
        try:
            for one, peer in zip(media, peers, strict=True):
                lines.append(one.answer(call.add(one, peer, self._ports) if one.used else 0))
        except BaseException:
            call.close()
            raise
        near = next((peer.expected.host for peer in peers if peer.expected is not None), ANYWHERE)
        host = self._config.rtp_public_host or self._ports.source_for(near)
        call.answer = write_sdp(host, lines, number=secrets.randbits(31))
        return call

    async def _find(self, media: Media, owner: str) -> _Peer:
        """Raises OSError: a name in the description is not known."""
        peer = _Peer()
        if not media.used:
            return peer
        section = media.section
        peer.expected, peer.to = await self._place(section.address, owner)
        if peer.to is not None and section.address is not None:
            peer.named = self._outward.names(section.address.host, *peer.to)
        peer.expected_rtcp, peer.to_rtcp = await self._place(section.rtcp_address, owner)
        if media.takes is None and peer.to is None:
            where = "no address" if section.address is None else f"{section.host}, where nothing may be sent"
            raise OutwardRefused(
                f"a section that only receives names {where}; the setting allowed_outward says what may be reached, "
                f"and no port below {LEAST_PORT} is"
            )
        if media.takes is not None and not self._config.rtp_symmetric and peer.expected is None:
            raise InvalidArgument("a section that speaks names no address, and rtp_symmetric is off")
        return peer

    async def _place(self, address: Address | None, owner: str) -> tuple[Address | None, Address | None]:
        """(where that is; the same if something may be sent there)."""
        if address is None:
            return None, None
        try:
            found = await self._outward.of(owner).addresses(address.host, address.port)
        except OutwardRefused:
            try:
                return Address(str(ipaddress.ip_address(address.host)), address.port), None
            except ValueError:  # a name of what may not be known
                return None, None
        assert self._ports is not None
        fitting = [one for one in found if self._ports.reaches(one)]
        if not fitting:
            raise InvalidArgument(f"{address.host} cannot be reached from {self._ports.host}, where RTP is here")
        if ipaddress.ip_address(fitting[0]).is_multicast:
            raise InvalidArgument(f"{address.host} is a multicast address; RTP goes to one peer")
        place = Address(fitting[0], address.port)
        return place, place if address.port >= LEAST_PORT else None


class RtpCall:
    """The RTP of one session."""

    def __init__(self, session_id: str, outward: Outward, *, symmetric: bool, tally: Tally | None = None) -> None:
        self.answer = ""
        """The SDP."""
        self._id, self._outward, self._symmetric, self._tally = session_id, outward, symmetric, tally
        self._cname = f"{session_id[:36]}@lipwire"
        self._endpoints: list[Endpoint] = []
        self._inbound: Inbound | None = None
        self._gate: SpeechGate | None = None
        self._tell: Callable[[Digit], None] = lambda digit: None
        self.publisher: Outbound | None = None
        """What is sent; None = nothing."""

    @property
    def hears(self) -> bool:
        """Whether speech is taken."""
        return self._inbound is not None

    @property
    def shows(self) -> bool:
        """Whether pictures are sent."""
        senders = [] if self.publisher is None else self.publisher.senders
        return any(sender.media.kind == "video" for sender in senders)

    def add(self, media: Media, peer: _Peer, ports: Ports) -> int:
        """Takes a section; its port. Raises NoCapacity."""
        pair = ports.open(mux=media.section.mux)
        try:
            self._endpoints.append(self._endpoint(media, peer, pair))
        except BaseException:
            pair.close()
            raise
        return pair.port

    def _endpoint(self, media: Media, peer: _Peer, pair: Pair) -> Endpoint:
        seal = None if media.our_key is None else Sealed(media.our_key)
        opened = None if media.their_key is None else Opened(media.their_key)
        sender, inbound = None, None
        if media.sends is not None:
            sender = Sender(
                media,
                pair,
                to=peer.to,
                to_rtcp=peer.to_rtcp,
                cname=self._cname,
                seal=seal,
                patience=PATIENCE,
                exempt=peer.to if peer.named else None,
                incoming=lambda: 0 if inbound is None else inbound.packets,
            )
            self.publisher = self.publisher or Outbound()
            self.publisher.senders.append(sender)
        if media.takes is not None:
            inbound = self._inbound = Inbound(
                media.takes,
                self._hear,
                self._press,
                expected=peer.expected,
                expected_rtcp=peer.expected_rtcp,
                symmetric=self._symmetric,
                authentic=opened is not None,
                on_source=lambda address, is_media: self._follow(sender, peer, address, is_media),
                cname=self._cname,
                tally=self._tally,
            )
        return Endpoint(
            pair,
            inbound,
            control=None if sender is None else sender.control,
            opened=opened,
            seal=seal,
            send=None if sender is None else sender.forward,
            allowed=peer.to_rtcp,
            may=lambda address: self._may(address, peer),
        )

    def _may(self, address: Address, peer: _Peer) -> bool:
        """Whether something may be sent to where packets come from, which plain RTP has no proof of."""
        host = address.host
        return address.port >= LEAST_PORT and (
            any(said is not None and said.host == host for said in (peer.expected, peer.expected_rtcp))
            or is_public(ipaddress.ip_address(host))
            or self._outward.names(host, host, address.port)
        )

    def _follow(self, sender: Sender | None, peer: _Peer, address: Address, media: bool) -> None:
        """Sends to where it comes from (symmetric RTP, RFC 4961)."""
        if sender is None:
            return
        may = self._may(address, peer)
        if not may:
            logger.warning(
                "[%s] nothing is sent to %s:%d, where %s comes from: the setting allowed_outward lacks it, or its "
                "port is below %d",
                *(self._id, *address, "RTP" if media else "RTCP", LEAST_PORT),
            )
        if media:
            sender.route(address if may else None)
            if self._inbound is not None and (rtcp_from := self._inbound.rtcp_from) is not None:
                self._follow(sender, peer, rtcp_from, False)  # which may have come first
        elif may and address.host in {at.host for at in (sender.to, peer.expected_rtcp) if at is not None}:
            sender.route_rtcp(address)

    # ----------------------------------------------------------------------------------------------------- a session

    def begin(
        self, session: Session, tell: Callable[[Digit], None], *, closing: Callable[[], bool], guard_ms: int
    ) -> None:
        """What comes is said by `session` from now on, and keys that are pressed are told."""
        self._tell = tell
        if self._inbound is not None:
            self._gate = SpeechGate(
                self._inbound.speech.sample_rate,
                session.write,
                session.end,
                name="rtp",
                closing=closing,
                guard_ms=guard_ms,
            )

    def check_voice(self) -> None:
        """Raises BadState: speech comes by RTP, so that it comes by no other way."""
        if self.hears:
            raise BadState("This session's speech comes by RTP; start one whose SDP has no section that speaks")

    def interrupt(self) -> None:
        """What is being said is void."""
        if self._gate is not None:
            self._gate.interrupt()

    def _hear(self, pcm: bytes, quiet: bool) -> None:
        if self._gate is not None:
            self._gate.process(pcm, quiet)

    def _press(self, digit: Digit) -> None:
        logger.info("[%s] a key was pressed", self._id)  # not which: they are people's numbers and codes
        self._tell(digit)

    @property
    def receiving(self) -> bool:
        """Whether packets of speech come."""
        return self._inbound is not None and self._inbound.active

    def stats(self) -> dict[str, Any]:
        """Figures, JSON-able: `in` (`Inbound.stats`, and `utterances`, `refused`, `unauthenticated`, `flooded`), or
        None; `out` (`Outbound.stats`)."""
        inbound = None
        if self._inbound is not None:
            endpoint = next(one for one in self._endpoints if one.inbound is not None)
            inbound = self._inbound.stats() | {
                "utterances": 0 if self._gate is None else self._gate.utterances,
                "refused": 0 if self._gate is None else self._gate.refused,
                "unauthenticated": endpoint.unauthenticated,
                "flooded": endpoint.flooded,
            }
        return {"in": inbound, "out": [] if self.publisher is None else self.publisher.stats()}

    def fall_silent(self) -> None:
        """The session ends: nothing more is said, and no key is told."""
        self._gate = None
        self._tell = lambda digit: None

    def close(self) -> None:
        """Says goodbye and gives the ports back. Safe to call twice."""
        self.fall_silent()
        for endpoint in self._endpoints:
            endpoint.close()
        for sender in [] if self.publisher is None else self.publisher.senders:
            sender.close()  # where no session has closed the publisher
