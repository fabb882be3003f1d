"""The private names of aiortc, aioice and pylibsrtp that Lipwire uses are there, and do what they are used for, in the
installed releases; and an application that uses aiortc itself finds it as it was."""

from __future__ import annotations

import asyncio
import copy
import gc
from collections.abc import AsyncIterator
from typing import Any

import aioice.ice
import aiortc
import aiortc.codecs
import aiortc.codecs.h264 as h264
import aiortc.codecs.vpx as vpx
import aiortc.rtcdtlstransport
import av
import numpy as np
import pylibsrtp
import pytest
import pytest_asyncio
from aiortc.mediastreams import VideoStreamTrack

from lipwire.publish import aiortc_private as private
from lipwire.publish import peer as peers
from lipwire.publish.offer import TRANSPORT_CC
from lipwire.publish.peer import Peer


async def offer(*kinds: str) -> str:
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    try:
        pc.createDataChannel("lipwire")
        for kind in kinds:
            pc.addTransceiver(kind, direction="sendrecv")
        await pc.setLocalDescription(await pc.createOffer())
        return str(pc.localDescription.sdp)
    finally:
        await pc.close()


def candidates(sdp: str) -> set[str]:
    return {line.split()[4] for line in sdp.splitlines() if line.startswith("a=candidate")}


async def test_media_is_offered_on_one_address_of_one_connection() -> None:
    bound, free = Peer(lambda _: None, ice_host="127.0.0.1"), Peer(lambda _: None)
    try:
        sdp = await offer("audio", "video")
        assert candidates((await bound.answer(sdp))[0]) == {"127.0.0.1"}
        others = set(aioice.ice.get_host_addresses(True, True)) or {"127.0.0.1"}
        assert candidates((await free.answer(sdp))[0]) == others
    finally:
        await bound.close()
        await free.close()


async def test_what_a_browser_sends_is_decoded_when_it_is_wanted() -> None:
    tracks: list[Any] = []
    peer = Peer(lambda _: None, on_track=tracks.append)
    try:
        await peer.answer(await offer("audio"))
        (receiver,) = (t.receiver for t in tracks)
        private.receive(receiver, False)
        assert receiver._enabled is False
        private.receive(receiver, True)
        assert receiver._enabled is True
        private.take_packets(receiver, lambda codec, packet: None)
        assert {"receive", "_handle_rtp_packet"} <= set(vars(receiver))
    finally:
        await peer.close()
    assert not {"receive", "_handle_rtp_packet"} & set(vars(receiver))  # it comes apart


async def test_what_fails_while_a_connection_is_made_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "_RTCPeerConnection__connect"
    assert hasattr(aiortc.RTCPeerConnection, name)
    tried: list[Any] = []

    async def failing(self: Any) -> None:
        tried.append(self)
        raise aiortc.exceptions.InvalidStateError("RTCIceTransport is closed")

    sdp = await offer("audio")
    monkeypatch.setattr(aiortc.RTCPeerConnection, name, failing)
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    peer = Peer(lambda _: None, ice_host="127.0.0.1")
    await peer.answer(sdp)
    while len(tried) < 2:  # when the offer is taken, and when the answer is made
        await asyncio.sleep(0)
    await peer.close()
    assert tried == [peer.pc, peer.pc] and name not in vars(peer.pc)
    gc.collect()
    assert told == []


async def test_who_asks_over_the_path_that_is_used_is_there() -> None:
    """Though it may not answer when it is asked, as FFmpeg's WHIP does not."""
    ours, theirs = (aioice.Connection(ice_controlling=controlling) for controlling in (False, True))
    for one, other in ((ours, theirs), (theirs, ours)):
        vars(one)["get_component_candidates"] = private._on("127.0.0.1", one.get_component_candidates)
        await one.gather_candidates()
        other.remote_username, other.remote_password = one.local_username, one.local_password
    for candidate in ours.local_candidates:
        await theirs.add_remote_candidate(candidate)
    await theirs.add_remote_candidate(None)
    private.heed_checks(ours)
    private.heed_checks(ours)
    await asyncio.gather(ours.connect(), theirs.connect())
    pair: Any = theirs._nominated[1]

    async def ask() -> Any:
        key = str(theirs.remote_password).encode()
        request = theirs.build_request(pair, nominate=False)
        await pair.protocol.request(request, pair.remote_addr, integrity_key=key)
        return ours._query_consent_task

    first = ours._query_consent_task
    second = await ask()
    assert second is not first and await ask() is second, "once in a while"
    elsewhere = theirs.build_request(pair, nominate=False)
    private._come_apart(ours)
    private.heed_checks(ours)
    ours.check_incoming(elsewhere, ("127.0.0.1", 9), ours._nominated[1].protocol)
    assert ours._query_consent_task is second, "not over this path"
    third = await ask()
    await asyncio.sleep(0)
    assert third is not second and first.cancelled() and second.cancelled() and not third.done()
    await asyncio.gather(ours.close(), theirs.close())


async def test_few_sources_of_a_receiver_are_kept_account_of() -> None:
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    receiver: Any = pc.addTransceiver("video").receiver
    private.bound_sources(receiver)
    streams, seen = (getattr(receiver, f"_RTCRtpReceiver__{name}") for name in ("remote_streams", "active_ssrc"))
    private.take_packets(receiver, lambda codec, packet: None)
    assert receiver._RTCRtpReceiver__remote_streams is streams
    for ssrc in (*range(100), 95):
        streams[ssrc] = seen[ssrc] = ssrc
    assert list(streams) == list(seen) == list(range(92, 100))
    await pc.close()
    private.let_go(pc)


async def test_a_flood_of_sources_leaves_nothing_and_the_bit_rate_is_reported() -> None:
    """Each packet of another source, as whoever sends may have it: a report about 256 of them could not be written, and
    the task that reads the connection would end."""
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    receiver: Any = pc.addTransceiver("video").receiver
    router = receiver.transport._rtp_router
    private.bound_sources(receiver)
    router.register_receiver(receiver, ssrcs=[], payload_types=[100])
    reports: list[Any] = []

    async def report(packet: Any) -> None:
        reports.append(packet)

    vars(receiver).update(_send_rtcp=report, _RTCRtpReceiver__rtcp_ssrc=1)
    for number in range(1000):
        packet = aiortc.rtp.RtpPacket(payload_type=100, ssrc=number, payload=bytes(1000))
        packet.extensions.abs_send_time = number * 20 * (1 << 18) // 1000 % (1 << 24)  # ms, in 6.18 bits of seconds
        assert router.route_rtp(packet) is receiver
        await receiver._handle_rtp_packet(packet, arrival_time_ms=20 * number)
    newest = list(range(1000 - private.MAX_SOURCES, 1000))
    assert list(router.ssrc_table) == newest == list(receiver._RTCRtpReceiver__active_ssrc)
    assert list(receiver._RTCRtpReceiver__remote_bitrate_estimator.ssrcs) == newest
    named = [aiortc.rtp.unpack_remb_fci(one.fci)[1] for one in reports]
    assert len(named) > 10 and named[-1] == list(range(named[-1][-1] - private.MAX_SOURCES + 1, named[-1][-1] + 1))
    router.unregister_receiver(receiver)
    assert not router.ssrc_table
    await pc.close()
    private.let_go(pc)


async def test_a_connection_that_aiortc_does_not_close_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the task of a receiver's reports has failed, for which `stop` waits."""
    monkeypatch.setattr(peers, "CLOSE_TIMEOUT", 0.1)

    def spoil(transceiver: Any) -> None:
        async def fails() -> None:
            transceiver.receiver._RTCRtpReceiver__rtcp_started.set()

        vars(transceiver.receiver)["_run_rtcp"] = fails

    peer = Peer(lambda _: None, on_track=spoil, ice_host="127.0.0.1")
    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    for kind in ("audio", "video"):
        pc.addTransceiver(kind)
    await pc.setLocalDescription(await pc.createOffer())
    answer, kind = await peer.answer(pc.localDescription.sdp)
    await pc.setRemoteDescription(aiortc.RTCSessionDescription(answer, kind))
    receivers: list[Any] = [t.receiver for t in peer.pc.getTransceivers()]
    async with asyncio.timeout(30):
        while not (peer._links and all(one._RTCRtpReceiver__started for one in receivers)):
            await asyncio.sleep(0.01)
        (transport,) = {one.transport for one in receivers}
        connection = transport.transport._connection
        peer._links[transport]._forward(b"\x80\xc9" + bytes(3000))  # aiortc makes it, and must not hear that it fails
        await peer.close()
    assert connection._closed and transport.transport.state == "closed"
    assert all(one._RTCRtpReceiver__decoder_thread is None for one in receivers)
    await pc.close()


# ----------------------------------------------------------------------------------------------- what is sent by others


class Grey(VideoStreamTrack):
    """A camera."""

    async def recv(self) -> av.VideoFrame:
        pts, base = await self.next_timestamp()
        frame = av.VideoFrame.from_ndarray(np.full((72, 64), 100, np.uint8), format="yuv420p")
        frame.pts, frame.time_base = pts, base
        return frame


class Pair:
    """Two connections of aiortc's, as an application has them. They are connected."""

    def __init__(self) -> None:
        self.offerer, self.answerer = (
            aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[])) for _ in range(2)
        )
        self.started: list[Any] = []
        self.transceiver: Any = None

    async def connect(self, take: bool) -> None:
        self.offerer.addTransceiver("video", direction="recvonly")
        await self.offerer.setLocalDescription(await self.offerer.createOffer())
        await self.answerer.setRemoteDescription(self.offerer.localDescription)
        (self.transceiver,) = self.answerer.getTransceivers()
        if take:
            self.transceiver.direction = "sendrecv"
            private.take_over(self.transceiver, self.started.append)
        else:
            self.answerer.addTrack(Grey())
        private.offer_addresses(self.answerer, "127.0.0.1")
        await self.answerer.setLocalDescription(await self.answerer.createAnswer())
        await self.offerer.setRemoteDescription(self.answerer.localDescription)
        async with asyncio.timeout(30):
            while {self.offerer.connectionState, self.answerer.connectionState} != {"connected"}:
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        await self.offerer.close()
        await self.answerer.close()


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    made = Pair()
    yield made
    await made.close()


async def test_sending_is_taken_over(pair: Pair) -> None:
    await pair.connect(take=True)
    sender, transport = pair.transceiver.sender, pair.transceiver.sender.transport
    assert sender._RTCRtpSender__started is False
    (parameters,) = pair.started
    described = pair.answerer.localDescription.sdp
    assert [f"a=ssrc:{number} " in described for number in private.ssrcs(sender)] == [True, True]
    assert f"cname:{parameters.rtcp.cname}" in described
    assert parameters.codecs[0].mimeType == "video/VP8" and parameters.muxId == "0"
    path = private.path(transport)
    assert private.path(transport, path) is path
    pairs = transport.transport._connection._nominated
    assert path.address == pairs[1].remote_addr and path.fd >= 0
    pairs.clear()  # as when ICE is closed
    assert private.path(transport, path) is path
    protect, protect_rtcp, context, session = private.srtp(transport)
    assert (
        isinstance(session, pylibsrtp.Session)
        and len({protect, protect_rtcp, context}) == 3
        and all((protect, context))
    )
    await pair.close()
    private.let_go(pair.answerer)
    assert "send" not in vars(sender)


async def test_rtcp_reaches_both(pair: Pair) -> None:
    await pair.connect(take=True)
    transport: Any = pair.transceiver.sender.transport
    came: list[bytes] = []
    left: list[bytes] = []
    handled: list[bytes] = []

    async def handle(data: bytes) -> None:
        handled.append(data)

    transport._handle_rtcp_data = handle
    private.divert_rtcp(transport, came.append, left.append)
    far: Any = pair.offerer.getTransceivers()[0].receiver.transport
    await far._send_rtp(bytes(aiortc.rtp.RtcpRrPacket(ssrc=7)))
    async with asyncio.timeout(60):
        while not came:
            await asyncio.sleep(0.01)
    assert aiortc.rtp.RtcpPacket.parse(came[0])[0].ssrc == 7
    assert not handled, "aiortc receives nothing here"
    transport._rtp_router.receivers.add(object())
    await transport._handle_rtcp_data(b"\x80")
    assert handled == [b"\x80"]
    transport._rtp_router.receivers.clear()
    await transport._send_rtp(b"of a receiver")
    assert left == [b"of a receiver"]
    await pair.close()
    private.let_go(pair.answerer)
    assert not {"_handle_rtcp_data", "_send_rtp"} & set(vars(transport))


async def test_transport_wide_feedback_is_answered_where_it_is_asked_for(pair: Pair) -> None:
    pair.offerer.addTransceiver("video", direction="recvonly")
    await pair.offerer.setLocalDescription(await pair.offerer.createOffer())
    await pair.answerer.setRemoteDescription(pair.offerer.localDescription)
    (transceiver,) = pair.answerer.getTransceivers()
    before = copy.deepcopy(aiortc.codecs.CODECS), copy.deepcopy(aiortc.codecs.HEADER_EXTENSIONS)
    private.add_transport_cc(transceiver, TRANSPORT_CC, 9)
    sdp = (await pair.answerer.createAnswer()).sdp
    assert f"a=extmap:9 {TRANSPORT_CC}\r\n" in sdp
    assert sdp.count(" transport-cc\r\n") == sum(not c.mimeType.endswith("rtx") for c in transceiver._codecs)
    assert before == (aiortc.codecs.CODECS, aiortc.codecs.HEADER_EXTENSIONS)


# ---------------------------------------------------------------------------------------------- aiortc in other hands


def defaults() -> list[Any]:
    """All of aiortc's that anybody could have changed."""
    modules = [aiortc.codecs, vpx, h264, aiortc.rtcdtlstransport, aiortc.rtp, aiortc.rtcpeerconnection, aioice.ice]
    kinds = [
        *(aiortc.RTCPeerConnection, aiortc.RTCRtpSender, aiortc.RTCRtpReceiver, aiortc.RTCRtpTransceiver),
        *(aiortc.RTCDtlsTransport, aiortc.RTCIceTransport, aiortc.RTCCertificate, aioice.Connection, vpx.Vp8Encoder),
    ]
    found = [dict(vars(one)) for one in [*modules, *kinds]]
    return [found, copy.deepcopy([aiortc.codecs.CODECS, aiortc.codecs.HEADER_EXTENSIONS])]


async def test_an_application_that_uses_aiortc_itself_sees_its_defaults(pair: Pair) -> None:
    """While it is connected by us as well, and afterwards."""
    before = defaults()
    peer = Peer(lambda _: None, ice_host="127.0.0.1")
    await peer.answer(await offer("audio", "video"))
    try:
        assert defaults() == before
        await pair.connect(take=False)
        sender: Any = pair.transceiver.sender
        picture = await asyncio.wait_for(pair.offerer.getReceivers()[0].track.recv(), 30)
        assert (picture.width, picture.height) == (64, 48)  # its own sender sends
        encoder = sender._RTCRtpSender__encoder
        assert type(encoder) is vpx.Vp8Encoder and encoder.target_bitrate == vpx.DEFAULT_BITRATE
        certificate = aiortc.RTCCertificate.generateCertificate()
        context = certificate._create_ssl_context(aiortc.rtcdtlstransport.SRTP_PROFILES)
        assert type(context).__module__ == "OpenSSL.SSL"
        sdp = pair.answerer.localDescription.sdp
        assert TRANSPORT_CC not in sdp and "goog-remb" in sdp
        (certificate,) = vars(pair.answerer)["_RTCPeerConnection__certificates"]
        assert type(certificate) is aiortc.RTCCertificate
    finally:
        await peer.close()
    assert defaults() == before
