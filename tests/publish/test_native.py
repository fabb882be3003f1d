"""The native sender over connections of aiortc's: real ones, whose other end is aiortc, too."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import sys
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

import aiortc
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

import lipwire
from lipwire._core import RATE
from lipwire.avatar import Avatar
from lipwire.channel import Rooms
from lipwire.publish import WebRTC
from lipwire.publish.native import Link, LoopNet
from lipwire.publish.streams import KEY_EVERY
from lipwire.session import session as session_module
from support.proxy import Proxy
from support.small_atlas import small_atlas

RTP = aiortc.rtp


def tone(seconds: float, hz: float = 300.0) -> bytes:
    t = np.arange(int(seconds * RATE)) / RATE
    return (np.sin(2 * np.pi * hz * t) * 9000).astype("<i2").tobytes()


class Viewer:
    """Somebody else's peer, which keeps what comes: RTP as it is, sound and pictures decoded."""

    def __init__(self, codec: str = "video/VP8") -> None:
        self.pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self.packets: list[Any] = []
        self.pictures: list[int] = []
        """When each came, in RTP's time from the first on, and"""
        self.levels: list[float] = []
        """how loud each packet of sound was."""
        self.tasks: list[asyncio.Task[None]] = []
        self.pc.on("track", lambda track: self.tasks.append(asyncio.create_task(self._read(track))))
        for kind in ("audio", "video"):
            transceiver = self.pc.addTransceiver(kind, direction="recvonly")
            if kind == "video":
                known = aiortc.RTCRtpReceiver.getCapabilities("video").codecs
                transceiver.setCodecPreferences([c for c in known if c.mimeType in (codec, "video/rtx")])

    async def join(self, publisher: WebRTC, proxy: Proxy | None = None) -> None:
        await self.connect(publisher.answer, proxy)

    async def connect(self, ask: Callable[[str], Awaitable[tuple[str, str]]], proxy: Proxy | None = None) -> None:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        offer = self.pc.localDescription.sdp
        sdp, kind = await ask(offer if proxy is None else proxy.hide(offer))
        sdp = sdp if proxy is None else proxy.detour(sdp)
        await self.pc.setRemoteDescription(aiortc.RTCSessionDescription(sdp, kind))
        transport: Any = self.pc.getTransceivers()[0].receiver.transport
        handle = transport._handle_rtp_data

        async def keep(data: bytes, arrival_time_ms: int) -> None:
            self.packets.append(RTP.RtpPacket.parse(data, transport._rtp_header_extensions_map))
            await handle(data, arrival_time_ms=arrival_time_ms)

        transport._handle_rtp_data = keep

    async def _read(self, track: Any) -> None:
        try:
            while True:
                frame = await track.recv()
                if track.kind == "video":
                    self.pictures.append(frame.pts)
                else:
                    self.levels.append(float(np.abs(frame.to_ndarray()).max()))
        except MediaStreamError:
            pass

    def of(self, kind: str) -> list[Any]:
        """RTP packets of a kind of media."""
        (transceiver,) = (t for t in self.pc.getTransceivers() if t.kind == kind)
        numbers = {codec.payloadType for codec in transceiver._codecs}
        return [packet for packet in self.packets if packet.payload_type in numbers]

    async def send(self, packet: Any) -> None:
        """RTCP."""
        await self.pc.getTransceivers()[0].receiver.transport._send_rtp(bytes(packet))

    async def close(self) -> None:
        await self.pc.close()
        for task in self.tasks:
            task.cancel()
        self.tasks.clear()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def keys(packets: list[Any]) -> int:
    """Key frames of VP8 among packets (RFC 7741, section 4.3)."""
    return sum(bool(p.payload[0] & 0x10) and not p.payload[4] & 1 for p in packets if len(p.payload) > 4)


async def test_what_is_negotiated_is_sent() -> None:
    publisher, viewer = WebRTC(ice_host="127.0.0.1"), Viewer()
    async with lipwire.Session(publisher, size=(64, 48), fps=25) as session:
        session.write(tone(20.0), RATE)
        await viewer.join(publisher)
        await until(lambda: len(viewer.pictures) > 5 and viewer.levels[-5:] and min(viewer.levels[-5:]) > 6000)
        (peer,) = publisher.viewers
        assert peer.takes == {"audio", "video"}
        for transceiver in viewer.pc.getTransceivers():
            packets = viewer.of(transceiver.kind)
            described = peer.pc.localDescription.sdp.split("m=")
            section = next(one for one in described if one.startswith(transceiver.kind))
            assert {p.ssrc for p in packets} == {int(section.split("a=ssrc:")[1].split(" ")[0])}
            assert {p.extensions.mid for p in packets} == {transceiver.mid}
            numbers = [p.sequence_number for p in packets]
            assert all((b - a) % 65536 == 1 for a, b in itertools.pairwise(numbers))
        assert all(p.extensions.abs_send_time is not None for p in viewer.of("video"))
        steps = {
            (b.timestamp - a.timestamp) % 2**32
            for a, b in zip(viewer.of("audio"), viewer.of("audio")[1:], strict=False)
        }
        assert steps == {960}
        (out,) = (out for kind, out in peer._out.items() if kind == "video")
        assert out.link.stats()["packets"] >= len(viewer.packets)
        await viewer.close()
        await until(lambda: not publisher.viewers)
        assert out.link.stats()["packets"] > 0, "figures stay"
        assert publisher.missed.sound == 0


async def test_who_asks_for_a_key_frame_is_sent_one() -> None:
    publisher, viewer = WebRTC(ice_host="127.0.0.1"), Viewer()
    async with lipwire.Session(publisher, size=(320, 180), fps=25):
        await viewer.join(publisher)
        await until(lambda: len(viewer.pictures) > KEY_EVERY * 25 // RATE + 3)
        media = viewer.of("video")[0].ssrc
        before = keys(viewer.of("video"))
        await viewer.send(RTP.RtcpPsfbPacket(fmt=RTP.RTCP_PSFB_PLI, ssrc=1, media_ssrc=media))
        await until(lambda: keys(viewer.of("video")) > before)
        await viewer.send(b"\x8f\xce\x00\x01nonsense")  # what is no RTCP ends nothing
        slow = RTP.RtcpPsfbPacket(fmt=RTP.RTCP_PSFB_APP, ssrc=1, media_ssrc=0, fci=RTP.pack_remb_fci(40_000, [media]))
        async with asyncio.timeout(60):
            while not any(level == 0 for _, level in publisher._pictures._encoded):
                await viewer.send(slow)  # again: the viewer's own aiortc says otherwise between
                await asyncio.sleep(0.02)
        shown = len(viewer.pictures)
        await until(lambda: len(viewer.pictures) > shown + 5)
        await viewer.close()


async def test_a_viewer_on_a_bad_network_plays_and_the_others_do_not_notice() -> None:
    """5 % of the packets to it are lost, and the others come up to 50 ms late, in any order."""
    publisher, fine, bad = WebRTC(ice_host="127.0.0.1"), Viewer(), Viewer()
    async with lipwire.Session(publisher, size=(320, 180), fps=25) as session, Proxy(loss=0.05, jitter=0.05) as proxy:
        session.write(tone(30.0), RATE)
        await fine.join(publisher)
        await bad.join(publisher, proxy)
        await until(lambda: len(publisher.viewers) == 2)
        await until(lambda: len(bad.pictures) > 80 and len(fine.pictures) > 80 and proxy.lost > 10)
        packets = fine.of("video")
        assert all((b.sequence_number - a.sequence_number) % 65536 == 1 for a, b in itertools.pairwise(packets))
        links = [link for peer in publisher.viewers for link in peer._links.values()]
        assert sum(link.stats()["retransmitted"] for link in links) > 0
        # However often the bad one asks for key frames, and however long this takes; and where it changes its class.
        lasted = (packets[-1].timestamp - packets[0].timestamp) % 2**32 * RATE // 90_000
        assert keys(packets) <= 3 + lasted // KEY_EVERY
        assert publisher.missed.sound == 0
        await bad.close()
        await fine.close()


async def test_the_last_one_takes_the_sender_along() -> None:
    """And its descriptors."""
    publisher = WebRTC(ice_host="127.0.0.1")
    others = {id(one) for one in gc.get_objects() if type(one) is Link}  # what a test that failed holds
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    async with lipwire.Session(publisher, size=(64, 48), fps=Fraction(25)):
        viewers = [Viewer() for _ in range(2)]
        for viewer in viewers:
            await viewer.join(publisher)
        await until(lambda: all(viewer.pictures for viewer in viewers))
        loop = asyncio.get_running_loop()
        assert len(LoopNet._of[loop].links) == 2
        await viewers[0].close()
        await until(lambda: len(publisher.viewers) == 1)
        shown = len(viewers[1].pictures)
        await until(lambda: len(viewers[1].pictures) > shown + 3)
        await viewers[1].close()
        await until(lambda: not publisher.viewers)
        assert loop not in LoopNet._of
        del viewer
        viewers.clear()
        await until(lambda: not {id(one) for one in gc.get_objects() if type(one) is Link} - others)
    if before:
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before + 1)


@pytest.mark.parametrize("codec", ["video/H264", "video/VP8"])
async def test_sound_and_pictures_of_one_moment_have_one_time(codec: str) -> None:
    """By the sender reports (RFC 3550, section 6.4.1), which is what receivers align them by."""
    publisher, viewer = WebRTC(ice_host="127.0.0.1"), Viewer(codec)
    reports: dict[int, Any] = {}
    async with lipwire.Session(publisher, size=(64, 48), fps=25) as session:
        session.write(tone(20.0), RATE)
        await viewer.join(publisher)
        for transceiver in viewer.pc.getTransceivers():
            receiver: Any = transceiver.receiver
            handle = receiver._handle_rtcp_packet

            async def keep(packet: Any, handle: Any = handle) -> None:
                if isinstance(packet, RTP.RtcpSrPacket):
                    reports[packet.ssrc] = packet.sender_info
                await handle(packet)

            receiver._handle_rtcp_packet = keep
        await until(lambda: len(reports) == 2 and len(viewer.pictures) > 5)
        await viewer.close()
    clocks = {viewer.of("audio")[0].ssrc: 48_000, viewer.of("video")[0].ssrc: 90_000}

    def wall(packet: Any) -> float:
        info, clock = reports[packet.ssrc], clocks[packet.ssrc]
        ahead = (packet.timestamp - info.rtp_timestamp + 2**31) % 2**32 - 2**31
        return float(info.ntp_timestamp / 2**32 + ahead / clock)

    # Pictures are shown, and blocks of sound begin, at multiples of 480 samples; but for the delay of the encoder.
    steps = [(wall(sound) - wall(viewer.of("video")[-1])) * RATE for sound in viewer.of("audio")[-10:]]
    ahead = round(lipwire.opus.OpusEncoder().lookahead * RATE)
    for step in steps:
        off = (step + ahead + 240) % 480 - 240
        assert abs(off) < 24 and abs(step) < RATE // 2, "half a millisecond"


@pytest.mark.parametrize("in_room", [False, True])
async def test_video_that_was_encoded_before_reaches_who_takes_h264(
    in_room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an encoder; what was not comes from one, and who takes VP8 has one all the time."""
    avatar = Avatar.load("kit")
    atlas = small_atlas(avatar, 64, 50)
    monkeypatch.setattr(session_module, "find_atlas", lambda *_: atlas)
    rooms = Rooms(ice_host="127.0.0.1")
    publisher = rooms.channel("lobby", "agent") if in_room else WebRTC(ice_host="127.0.0.1")

    async def join(viewer: Viewer, user: str) -> None:
        if isinstance(publisher, WebRTC):
            await viewer.join(publisher)
        else:
            await viewer.connect(lambda sdp: rooms.answer("lobby", user, sdp, role="viewer"))

    first, second, other = Viewer("video/H264"), Viewer("video/H264"), Viewer("video/VP8")
    async with lipwire.Session(publisher, avatar=avatar, size=(64, 50)) as session:
        assert publisher.wants == "nothing"
        await join(first, "anna")
        await until(lambda: len(first.pictures) > 20 and publisher.wants == "units")
        pictures = publisher._pictures if isinstance(publisher, WebRTC) else rooms._rooms["lobby"].pictures
        assert pictures.encoders == 0
        await join(second, "bob")
        await join(other, "cleo")
        await until(lambda: len(second.pictures) > 20 and len(other.pictures) > 20)
        assert publisher.wants == "both" and pictures.encoders == 1
        session.special({"emotion": "happy"})  # of which there is none
        await until(lambda: pictures.encoders == 2)
        seen = len(first.pictures)
        await until(lambda: len(first.pictures) > seen + 10)
        session.special({"emotion": "neutral"})
        await until(lambda: pictures.encoders == 1)
        seen = len(first.pictures)
        await until(lambda: len(first.pictures) > seen + 10)
        times = [packet.timestamp for packet in first.of("video") if packet.marker]
        steps = {(b - a) % 2**32 for a, b in itertools.pairwise(times)}
        assert min(steps) == 3600 and len(times) == len(set(times)), "each picture once"
        for viewer in (first, second, other):
            numbers = [packet.sequence_number for packet in viewer.of("video")]
            assert all((b - a) % 65536 == 1 for a, b in itertools.pairwise(numbers))
            await viewer.close()
        await until(lambda: publisher.wants == "nothing")
    await rooms.close()
