"""What aiortc has no public way for. Its private names, and those of what it stands on (aioice, pylibsrtp), stand in
this file alone; tests/publish/test_aiortc_private.py checks each of them, and ran against aiortc 1.13 to 1.16 (aioice
0.13), which is what the extra `webrtc` allows. Nothing is changed but single objects: an application that uses aiortc
itself finds it as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from aiortc import RTCCertificate, RTCPeerConnection, RTCRtpReceiver
from aiortc.codecs import CODECS
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpHeaderExtensionParameters
from msgspec import Struct
from pylibsrtp._binding import ffi, lib

LOOPBACK = "127.0.0.1"
CIPHERS = b":".join(
    b"ECDHE-%s-%s" % (key, cipher)
    for cipher in (b"AES128-GCM-SHA256", b"CHACHA20-POLY1305", b"AES256-GCM-SHA384", b"AES128-SHA", b"AES256-SHA")
    for key in (b"ECDSA", b"RSA")
)
"""aiortc has those of ECDSA alone, and none in common with a peer whose certificate is of RSA, as GStreamer's is."""
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
    address: tuple[str, int]


def path(transport: Any, known: Path | None = None) -> Path:
    """The one that ICE has chosen for a DTLS transport; `known` itself where that has not changed, or is lost."""
    pair = transport.transport._connection._nominated.get(1)
    if known is not None and (pair is None or pair is known.pair):
        return known
    return Path(pair, pair.protocol.transport.get_extra_info("socket").fileno(), pair.remote_addr)


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
    async def candidates(component: int, addresses: list[str], **more: Any) -> Any:
        return await gather(component=component, addresses=[host] if host else addresses or [LOOPBACK], **more)

    return candidates


def let_go(pc: RTCPeerConnection) -> None:
    """Has a connection that is closed come apart: its transports call it, and it has them. A circle of the two would
    stay, with the packets that it keeps for retransmission, until Python looks for garbage."""
    vars(pc).pop("_RTCPeerConnection__connect", None)  # ours, which has the one that it stands for
    for transceiver in pc.getTransceivers():
        vars(transceiver.sender).pop("send", None)
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
        connection: Any = getattr(ice.iceGatherer, "_connection", None)
        if connection is not None:
            vars(connection).pop("get_component_candidates", None)  # ours, which has the one that it stands for
            getattr(connection, "_check_list", []).clear()  # pairs have their sockets' protocols, and those have it


def receive(receiver: RTCRtpReceiver, wanted: bool) -> None:
    """Has what a browser sends decoded, or its packets dropped before that."""
    if hasattr(receiver, "_enabled"):
        receiver._enabled = wanted


def hold_nothing_back(receiver: RTCRtpReceiver) -> None:
    """Lets each packet of sound go as it comes. aiortc holds four back before it lets one go, which is 60 ms of every
    answer; who places packets by their own times does not need that."""
    if (jitter := getattr(receiver, "_RTCRtpReceiver__jitter_buffer", None)) is not None:
        jitter._prefetch = 1
