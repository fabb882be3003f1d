"""What aiortc has no public way for. Its private names stand in this file alone; tests/publish/test_aiortc_private.py
checks each of them, and ran against aiortc 1.13 to 1.16 (aioice 0.13), which is what the extra `webrtc` allows. Where a
name is missing nothing is changed, and the connection works without.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from aiortc import RTCCertificate, RTCPeerConnection, RTCRtpReceiver
from aiortc.codecs import CODECS
from aiortc.rtcpeerconnection import find_common_codecs

from .encoders import H264, SingleUnits, Vp8

LOOPBACK = "127.0.0.1"
CIPHERS = b":".join(
    b"ECDHE-%s-%s" % (key, cipher)
    for cipher in (b"AES128-GCM-SHA256", b"CHACHA20-POLY1305", b"AES256-GCM-SHA384", b"AES128-SHA", b"AES256-SHA")
    for key in (b"ECDSA", b"RSA")
)
"""aiortc has those of ECDSA alone, and none in common with a peer whose certificate is of RSA, as GStreamer's is."""
logger = logging.getLogger("lipwire.webrtc")


_ENCODERS = {"video/vp8": Vp8, "video/h264": H264}


def use_encoders(pc: RTCPeerConnection, single_units: set[int]) -> None:
    """Has a connection encode its pictures as `encoders` does; H.264 of the payload types `single_units` in such. After
    the answer, before anything is sent."""
    for transceiver in pc.getTransceivers():
        codecs = getattr(transceiver, "_codecs", [])
        kind = _ENCODERS.get(codecs[0].mimeType.lower()) if codecs else None
        if kind is H264 and codecs[0].payloadType in single_units:
            kind = SingleUnits
        sender: Any = transceiver.sender
        if kind is not None and getattr(sender, "_RTCRtpSender__encoder", True) is None:
            sender._RTCRtpSender__encoder = kind()


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


def sends(pc: RTCPeerConnection, kind: str) -> str:
    """What a connection sends a kind of media as, in small letters; "" = it sends none, or there is no telling. After
    the answer."""
    for transceiver in pc.getTransceivers():
        codecs = getattr(transceiver, "_codecs", [])
        if transceiver.kind == kind and codecs:
            return str(codecs[0].mimeType).lower()
    return ""


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
    transports = {transceiver.receiver.transport for transceiver in pc.getTransceivers()}
    if pc.sctp is not None:
        pc.sctp.remove_all_listeners()
        transports.add(pc.sctp.transport)
    for transport in transports:
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
