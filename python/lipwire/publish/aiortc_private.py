"""What aiortc has no public way for. Its private names, and those of what it stands on (aioice, pylibsrtp), stand in
this file alone; tests/publish/test_aiortc_private.py checks each of them, and ran against aiortc 1.13 to 1.16 (aioice
0.13), which is what the extra `webrtc` allows. Nothing is changed but single objects: an application that uses aiortc
itself finds it as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from aiortc import (
    RTCCertificate,
    RTCConfiguration,
    RTCIceCandidate,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
)
from aiortc.codecs import CODECS
from aiortc.rtcicetransport import RTCIceGatherer, candidate_to_aioice
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpHeaderExtensionParameters
from aiortc.rtcrtpreceiver import StreamStatistics
from msgspec import Struct
from pylibsrtp._binding import ffi, lib

from .ice import IceServer

LOOPBACK = "127.0.0.1"
CIPHERS = b":".join(
    b"ECDHE-%s-%s" % (key, cipher)
    for cipher in (b"AES128-GCM-SHA256", b"CHACHA20-POLY1305", b"AES256-GCM-SHA384", b"AES128-SHA", b"AES256-SHA")
    for key in (b"ECDSA", b"RSA")
)
"""aiortc has those of ECDSA alone, and none in common with a peer whose certificate is of RSA, as GStreamer's is."""
GATHERING = 2
"""Seconds that a STUN or TURN server may take; without an answer a connection is offered without it. aioice gives it
five, which the one who waits for the answer to its offer would notice."""
HEED_EVERY = 1.0
"""Seconds; what a peer asks more often is not heeded."""
MAX_SOURCES = 8
"""That a receiver keeps account of, the newest: a receiver report has room for 31 (RFC 3550, section 6.4.2), and who
sends may name as many as it likes."""
logger = logging.getLogger("lipwire.webrtc")


def take_over(transceiver: Any, start: Callable[[Any], None]) -> None:
    """Has somebody else send what a transceiver has negotiated: `start` is called with the RTCRtpSendParameters when
    its connection is encrypted, and aiortc's own sender never begins. Before the answer is set."""

    async def send(parameters: Any) -> None:
        start(parameters)

    vars(transceiver.sender)["send"] = send


def ssrcs(sender: Any) -> tuple[int, int]:
    """Those that the answer names: of what is sent, and of what is sent again."""
    return sender._ssrc, sender._rtx_ssrc


class Path(Struct, frozen=True):
    """Where a connection's packets leave, and where they go."""

    pair: Any
    """aioice's candidate pair."""
    fd: int
    """Of its socket, which is aioice's."""
    address: tuple[str, int] | None
    """None: of the TURN server, which the socket is connected to,"""
    channel: int = 0
    """on this channel (RFC 8656, section 12)."""


def path(transport: Any, known: Path | None = None) -> Path:
    """The one that ICE has chosen for a DTLS transport; `known` itself where that has not changed, or is lost."""
    pair = transport.transport._connection._nominated.get(1)
    if known is not None and (pair is None or pair is known.pair):
        return known
    way = pair.protocol.transport
    relay = getattr(way, "_TurnTransport__inner_protocol", None)
    if relay is None:
        return Path(pair, way.get_extra_info("socket").fileno(), pair.remote_addr)
    fd = relay.transport.get_extra_info("socket").fileno()
    return Path(pair, fd, None, relay.peer_to_channel[pair.remote_addr])  # bound by the checks that chose it


def srtp(transport: Any) -> tuple[int, int, int, Any]:
    """(libsrtp's function that protects RTP, that for RTCP, the context of what a DTLS transport sends; who owns
    that). The first three are addresses. Once it is encrypted."""

    def address(of: Any) -> int:
        return int(ffi.cast("intptr_t", of))

    session = transport._tx_srtp
    protect, protect_rtcp = (address(ffi.addressof(lib, name)) for name in ("srtp_protect", "srtp_protect_rtcp"))
    return protect, protect_rtcp, address(session._srtp[0]), session


def divert_rtcp(transport: Any, received: Callable[[bytes], None], send: Callable[[bytes], None]) -> None:
    """Gives `received` the RTCP that comes over a DTLS transport, decrypted; aiortc gets it, too, where something of it
    receives. What aiortc has to send, which is RTCP of its receivers, is given to `send`: the SRTP context may have one
    user."""
    handle, router = transport._handle_rtcp_data, transport._rtp_router

    async def came(data: bytes) -> None:
        received(data)
        if router.receivers:
            await handle(data)

    async def leave(data: bytes) -> None:
        send(data)

    vars(transport).update(_handle_rtcp_data=came, _send_rtp=leave)


def add_transport_cc(transceiver: Any, uri: str, number: int) -> None:
    """Has the answer take transport-wide feedback, which aiortc does not know, by the number that the offer gave the
    extension. After the offer is taken, before the answer is made."""
    extension = RTCRtpHeaderExtensionParameters(id=number, uri=uri)
    transceiver._headerExtensions = [*transceiver._headerExtensions, extension]
    for codec in transceiver._codecs:  # copies, of this connection
        if not codec.mimeType.lower().endswith("/rtx"):
            codec.rtcpFeedback = [*codec.rtcpFeedback, RTCRtcpFeedback(type="transport-cc")]


def keep_codec(transceiver: Any, name: str) -> bool:
    """Has the answer take no other codec than this (video/H264, say) and its retransmission. False: the offer has none.
    After the offer is taken, before the answer is made."""
    kept = {codec.payloadType for codec in transceiver._codecs if codec.mimeType.lower() == name.lower()}
    transceiver._codecs = [
        codec for codec in transceiver._codecs if codec.payloadType in kept or codec.parameters.get("apt") in kept
    ]
    return bool(kept)


def has_codec(kind: str, codecs: list[Any]) -> bool:
    """Whether aiortc has one of a section's codecs."""
    return bool(find_common_codecs(CODECS[kind], codecs))


class _Certificate(RTCCertificate):
    """aiortc's own, with the ciphers of RSA."""

    def _create_ssl_context(self, *args: Any, **kwargs: Any) -> Any:
        context = super()._create_ssl_context(*args, **kwargs)
        context.set_cipher_list(CIPHERS)
        return context


def use_certificate(pc: RTCPeerConnection) -> None:
    """Lets a connection shake hands with a peer whose certificate is of RSA. Before the offer is taken."""
    name = "_RTCPeerConnection__certificates"
    if hasattr(pc, name) and hasattr(RTCCertificate, "_create_ssl_context"):
        setattr(pc, name, [_Certificate.generateCertificate()])


def contain(pc: RTCPeerConnection) -> None:
    """Keeps what fails while a connection is made within it. aiortc makes it in a task that nobody waits for, and which
    raises, among others, where a connection is closed while its first transport connects: asyncio would log that as an
    error of the server. Who made the connection closes it when it does not come about. Before the offer is taken."""
    connect = getattr(pc, "_RTCPeerConnection__connect", None)
    if connect is None:
        return

    async def contained() -> None:
        try:
            await connect()
        except Exception as exc:  # the edge of aiortc's task
            logger.info("a connection did not come about: %s", exc or type(exc).__name__)

    vars(pc)["_RTCPeerConnection__connect"] = contained


def offer_addresses(pc: RTCPeerConnection, host: str | None) -> None:
    """Has a connection offer its media on `host`, or on every address of the machine. After the offer was taken, before
    the answer is set.

    aioice leaves out 127.0.0.1; a machine without a network still has it, so it is the last resort.
    """
    transports = {transceiver.receiver.transport for transceiver in pc.getTransceivers()}
    if pc.sctp is not None:
        transports.add(pc.sctp.transport)
    for transport in transports:
        connection: Any = getattr(transport.transport.iceGatherer, "_connection", None)
        if (gather := getattr(connection, "get_component_candidates", None)) is not None:
            connection.get_component_candidates = _on(host, gather)


def _on(host: str | None, gather: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def candidates(component: int, addresses: list[str], timeout: float = GATHERING) -> Any:
        return await gather(component=component, addresses=[host] if host else addresses or [LOOPBACK], timeout=timeout)

    return candidates


# ------------------------------------------------------------------------------------------ ICE, after the answer


def ice_of(pc: RTCPeerConnection, mid: str) -> Any:
    """The RTCIceTransport of a media section; None = there is no such section."""
    for transceiver in pc.getTransceivers():
        if transceiver.mid == mid:
            return transceiver.receiver.transport.transport
    return pc.sctp.transport.transport if pc.sctp is not None and pc.sctp.mid == mid else None


def ice_connection(ice: Any) -> Any:
    """aioice's connection of an RTCIceTransport."""
    return ice._connection


def ice_names(ice: Any) -> tuple[str | None, str | None]:
    """The peer's username fragment and password in the ICE session that there is."""
    return ice._connection.remote_username, ice._connection.remote_password


async def add_candidate(connection: Any, candidate: RTCIceCandidate) -> None:
    """Gives aioice's connection one more of the peer's candidates. That there are no more it is never told (RFC 8838,
    section 14): it would give up before checks come from where we were not told of, such as what stands behind a
    name."""
    with contextlib.suppress(ValueError):  # the offer said that these were all
        await connection.add_remote_candidate(candidate_to_aioice(candidate))


def heed_checks(connection: Any) -> None:
    """Has aioice's connection go on while its peer asks whether we are there, over the path that is used and under the
    passwords of both, even if it does not answer when it is asked itself. FFmpeg's WHIP does not, and would be taken
    for gone after 30 s. For what only receives: to whom media is sent has to answer (RFC 7675). Safe to call twice."""
    if "check_incoming" in vars(connection):
        return
    check, loop, heeded = connection.check_incoming, asyncio.get_running_loop(), 0.0

    def came(message: Any, address: tuple[str, int], protocol: Any) -> None:
        nonlocal heeded
        check(message, address, protocol)
        asking = connection._query_consent_task
        used = any(pair.remote_addr == address for pair in connection._nominated.values())
        if asking is not None and used and loop.time() - heeded > HEED_EVERY:
            heeded = loop.time()
            asking.cancel()
            connection._query_consent_task = loop.create_task(connection.query_consent())  # which counts anew

    vars(connection)["check_incoming"] = came


class Restart:
    """A new ICE session for a connection that goes on over its old path until the new one is found (RFC 8839, section
    4.4.1.1.1), which aiortc has no way for: another of aioice's connections, which receives for the same reader.

    Args:
        ice: the RTCIceTransport, whose ICE is complete.
        servers: STUN and TURN. host: as in `offer_addresses`.
        names: the peer's new username fragment and password. candidates: its new candidates.
    """

    def __init__(
        self,
        ice: Any,
        servers: list[IceServer],
        host: str | None,
        names: tuple[str, str],
        candidates: list[RTCIceCandidate],
    ) -> None:
        self._ice, old = ice, ice._connection
        self.names, self._candidates = names, candidates
        self.connection: Any = RTCIceGatherer(configuration(servers).iceServers)._connection
        self.connection.ice_controlling = old.ice_controlling
        self.connection.remote_is_lite = old.remote_is_lite
        self.connection.remote_username, self.connection.remote_password = names
        self.connection._queue = old._queue
        gather = self.connection.get_component_candidates
        vars(self.connection)["get_component_candidates"] = _on(host, gather)

    async def gather(self) -> list[str]:
        """Our new candidates, as they stand behind a=candidate:."""
        await self.connection.gather_candidates()
        for candidate in self._candidates:
            await add_candidate(self.connection, candidate)
        return [candidate.to_sdp() for candidate in self.connection.local_candidates]

    async def connect(self) -> None:
        """Finds the new path. The old one no longer has to be answered for. Raises ConnectionError."""
        old = self._ice._connection
        consent, old._query_consent_task = old._query_consent_task, None
        if consent is not None:
            consent.cancel()
        await self.connection.connect()

    async def move(self, moved: Callable[[], None]) -> None:
        """Moves there; `moved` is called before the old path is closed."""
        ice, old, monitor = self._ice, self._ice._connection, "_RTCIceTransport__monitor_task"
        getattr(ice, monitor).cancel()  # which would take the end of the old connection for the end of all
        ice._connection = ice.iceGatherer._connection = self.connection
        ice._recv, ice._send = self.connection.recv, self.connection.send
        setattr(ice, monitor, asyncio.ensure_future(ice._monitor()))
        moved()
        old._queue = asyncio.Queue()  # its end must not reach the reader, who has the queue that both had
        await asyncio.shield(_release(old))

    async def give_up(self) -> None:
        """Ends it without the connection, which stays as it is. Safe to call twice."""
        self.connection._queue = asyncio.Queue()
        await asyncio.shield(_release(self.connection))


async def _release(connection: Any) -> None:
    await connection.close()
    _come_apart(connection)


def configuration(servers: list[IceServer]) -> RTCConfiguration:
    """For a connection of aiortc's. Without servers it asks none, where aiortc would ask one of Google's."""
    return RTCConfiguration(
        iceServers=[
            RTCIceServer(urls=server.url, username=server.username or None, credential=server.credential or None)
            for server in servers
        ]
    )


def let_go(pc: RTCPeerConnection) -> None:
    """Has a connection that is closed come apart: its transports call it, and it has them. A circle of the two would
    stay, with the packets that it keeps for retransmission, until Python looks for garbage."""
    vars(pc).pop("_RTCPeerConnection__connect", None)  # ours, which has the one that it stands for
    for transceiver in pc.getTransceivers():
        vars(transceiver.sender).pop("send", None)
        for name in ("receive", "_handle_rtp_packet"):
            vars(transceiver.receiver).pop(name, None)
    transports = {transceiver.receiver.transport for transceiver in pc.getTransceivers()}
    if pc.sctp is not None:
        pc.sctp.remove_all_listeners()
        transports.add(pc.sctp.transport)
    for transport in transports:
        for name in ("_handle_rtcp_data", "_send_rtp"):
            vars(transport).pop(name, None)
        ice = transport.transport
        for emitter in (transport, ice, ice.iceGatherer):
            emitter.remove_all_listeners()
        if (connection := getattr(ice.iceGatherer, "_connection", None)) is not None:
            _come_apart(connection)


def _come_apart(connection: Any) -> None:
    for name in ("get_component_candidates", "check_incoming"):  # ours, which have those that they stand for
        vars(connection).pop(name, None)
    getattr(connection, "_check_list", []).clear()  # pairs have their sockets' protocols, and those have it


class _Newest(dict[int, Any]):
    """A dict that keeps its `MAX_SOURCES` newest keys."""

    def __setitem__(self, key: int, value: Any) -> None:
        if key not in self and len(self) >= MAX_SOURCES:
            del self[next(iter(self))]
        super().__setitem__(key, value)


def bound_sources(receiver: RTCRtpReceiver) -> None:
    """Has a receiver keep account of few sources, and so what routes packets to it. Its reports of too many fail: that
    ends the task that makes them, and whoever stops it waits for that task for ever; or, where they are about the bit
    rate, the one that reads packets. After the offer is taken, which may give it another transport. Safe to call
    twice."""
    prefix = "_RTCRtpReceiver__"
    kept: list[tuple[Any, str]] = [
        (receiver, f"{prefix}{name}") for name in ("active_ssrc", "lsr", "lsr_time", "remote_streams")
    ]
    kept.append((getattr(receiver, f"{prefix}remote_bitrate_estimator", None), "ssrcs"))  # of sound there is none
    kept.append((receiver.transport._rtp_router, "ssrc_table"))
    for owner, name in kept:
        if not isinstance(getattr(owner, name, None), (_Newest, type(None))):
            setattr(owner, name, _Newest())


async def abandon(pc: RTCPeerConnection) -> None:
    """Ends what runs of a connection that does not close: the tasks and threads of its receivers, and its
    transports."""
    transports = {transceiver.receiver.transport for transceiver in pc.getTransceivers()}
    for transceiver in pc.getTransceivers():
        task = getattr(transceiver.receiver, "_RTCRtpReceiver__rtcp_task", None)
        if task is not None:
            task.cancel()
        transceiver.receiver._handle_disconnect()
    if pc.sctp is not None:
        transports.add(pc.sctp.transport)
    for transport in transports:
        await transport.stop()
        await transport.transport.stop()
        await transport.transport._connection.close()  # which the one before left out where it was cancelled
    pc.remove_all_listeners()


def receive(receiver: RTCRtpReceiver, wanted: bool) -> None:
    """Has what a browser sends decoded, or its packets dropped before that."""
    if hasattr(receiver, "_enabled"):
        receiver._enabled = wanted


def take_packets(receiver: RTCRtpReceiver, put: Callable[[str, Any], None]) -> None:
    """Has somebody else play what a receiver gets: `put` is called with (the codec's name in lower case, RtpPacket) for
    each packet, as it comes. aiortc's jitter buffer, its decoder and the thread of that never begin; its receiver
    reports (RFC 3550, section 6.4.2) go on. Before the answer is set."""
    prefix = "_RTCRtpReceiver__"
    codecs: dict[int, Any] = {}
    bound_sources(receiver)
    streams: dict[int, StreamStatistics] = getattr(receiver, f"{prefix}remote_streams")

    async def receive(parameters: Any) -> None:
        if not codecs:
            codecs.update((codec.payloadType, codec) for codec in parameters.codecs)
            receiver.transport._register_rtp_receiver(receiver, parameters)
            vars(receiver)[f"{prefix}rtcp_task"] = asyncio.ensure_future(receiver._run_rtcp())
            vars(receiver)[f"{prefix}started"] = True

    async def handle(packet: Any, arrival_time_ms: int) -> None:
        codec = codecs.get(packet.payload_type)
        if codec is None or not receiver._enabled:
            return
        if packet.ssrc not in streams:
            streams[packet.ssrc] = StreamStatistics(codec.clockRate)
        streams[packet.ssrc].add(packet)
        put(codec.mimeType.lower().partition("/")[2], packet)

    vars(receiver).update(receive=receive, _handle_rtp_packet=handle)
