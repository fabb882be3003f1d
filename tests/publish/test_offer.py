"""Offers that can be answered in part, and those that leave out what they may: what plays, between two real peers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import aiortc
import pytest
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcdtlstransport import generate_certificate
from cryptography.hazmat.primitives.asymmetric import rsa

from lipwire import _core
from lipwire.errors import InvalidArgument
from lipwire.publish.fragment import MAX_CANDIDATES
from lipwire.publish.offer import TRANSPORT_CC, parse_offer
from lipwire.publish.peer import Peer
from lipwire.publish.sound import Sounds
from lipwire.publish.streams import Pictures

UNKNOWN = "m=video 9 UDP/TLS/RTP/SAVPF 120\r\nc=IN IP4 0.0.0.0\r\na=recvonly\r\na=mid:zz\r\na=rtpmap:120 AV1/90000\r\n"
"""A section without a codec that is known here; its transport is that of its bundle."""
OFF = "m=audio 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:zz\r\na=inactive\r\n"
"""One that its sender has switched off."""
OTHER = "m=text 9 UDP/TLS/RTP/SAVPF 98\r\nc=IN IP4 0.0.0.0\r\na=mid:zz\r\na=rtpmap:98 t140/1000\r\n"
H264 = re.compile(r"a=fmtp:\d+ [^\r]*packetization-mode[^\r]*\r\n")


class Client:
    """Somebody else's peer, which takes what it is offered."""

    def __init__(self, *kinds: str, codec: str | None = None, certificate: Any = None) -> None:
        self.pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        if certificate is not None:
            vars(self.pc)["_RTCPeerConnection__certificates"] = [certificate]
        for kind in kinds:
            transceiver = self.pc.addTransceiver(kind, direction="recvonly")
            if kind == "video" and codec is not None:
                known = aiortc.RTCRtpReceiver.getCapabilities("video").codecs
                transceiver.setCodecPreferences([one for one in known if one.mimeType == codec])
        if not kinds:
            self.pc.createDataChannel("lipwire")
        self.got: dict[str, Any] = {}
        self.pc.on("track", lambda track: self.tasks.append(asyncio.create_task(self._read(track))))
        self.tasks: list[asyncio.Task[None]] = []

    async def _read(self, track: Any) -> None:
        try:
            while True:
                self.got[track.kind] = await track.recv()
        except MediaStreamError:
            pass

    async def offer(self) -> str:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        return str(self.pc.localDescription.sdp)

    async def close(self) -> None:
        await self.pc.close()
        for task in self.tasks:
            task.cancel()


async def answered(
    client: Client,
    edit: Callable[[str], str] = str,
    undo: Callable[[str], str] = str,
    plays: tuple[str, ...] = ("audio", "video"),
) -> str:
    """The answer to what `edit` makes of the client's offer; `undo` makes of it what the client takes. Waits until it
    plays what it shall."""
    changed = asyncio.Event()
    peer = Peer(lambda _: changed.set(), ice_host="127.0.0.1")
    performer, sounds, pictures = _core.Performer(None, (50, 1), size=(64, 48)), Sounds(), Pictures()
    peer.hear(sounds)
    peer.watch(pictures)
    try:
        sdp, _ = await peer.answer(edit(await client.offer()))
        await client.pc.setRemoteDescription(aiortc.RTCSessionDescription(undo(sdp), "answer"))
        async with asyncio.timeout(30):
            await changed.wait()
            while not set(plays) <= set(client.got):
                performer.tick()
                while (block := performer.read_pcm()) is not None:
                    sounds.audio(*block)
                while (frame := performer.read_frame()) is not None:
                    pictures.show(frame, frame.sample)
                    del frame
                await asyncio.sleep(0.01)
        assert peer.connected and set(client.got) == set(plays)
        assert peer.takes == set(plays)
        return sdp
    finally:
        await peer.close()
        await client.close()


def before(section: str) -> Callable[[str], str]:
    """Puts a section in front of an offer's, at the head of its bundle."""

    def put(sdp: str) -> str:
        session, m, rest = re.sub(r"a=group:BUNDLE", "a=group:BUNDLE zz", sdp).partition("m=")
        own = [line for line in rest.split("\r\n") if line.startswith(("a=ice-", "a=fingerprint", "a=setup", "a=cand"))]
        transport = "\r\n".join(own) + "\r\n" if "m=video" in section else ""
        return session + section + transport + m + rest

    return put


def behind(section: str) -> Callable[[str], str]:
    return lambda sdp: re.sub(r"(a=group:BUNDLE[^\r]*)", r"\1 zz", sdp) + section


def cut(sdp: str) -> str:
    """The answer without the section that was rejected, which aiortc cannot take."""
    rejected = re.search(r"m=\w+ 0 UDP.*?(?=m=|\Z)", sdp, re.S)
    assert rejected is not None and "a=mid:zz\r\n" in rejected[0] and "a=inactive" in rejected[0]
    assert re.search(r"a=group:BUNDLE[^\r]* zz", sdp) is None
    return sdp.replace(rejected[0], "")


@pytest.mark.parametrize("kinds", [("audio", "video"), ("audio",), ("video",)])
@pytest.mark.parametrize("put", [before(UNKNOWN), behind(UNKNOWN), behind(OFF), before(OTHER)], ids=range(4))
async def test_one_section_is_rejected_and_the_others_play(kinds: tuple[str, ...], put: Callable[[str], str]) -> None:
    sdp = await answered(Client(*kinds), put, cut, plays=kinds)
    assert len(re.findall("^m=", sdp, re.M)) == len(kinds) + 1


async def test_one_section_of_a_kind_plays() -> None:
    """Of others nothing is taken either."""
    client = Client("audio", "video", "audio", "video", "video")
    for transceiver in client.pc.getTransceivers():
        transceiver.direction = "sendrecv"
    sdp = await answered(client)
    assert re.findall("m=(?:audio|video) .*?a=(sendrecv|inactive)", sdp, re.S) == ["sendrecv"] * 2 + ["inactive"] * 3


async def test_candidates_of_an_offer_are_those_that_we_can_use_and_few() -> None:
    client = Client("audio", "video")
    sdp = re.sub(r"a=(candidate|end-of-candidates)[^\r]*\r\n", "", await client.offer())
    await client.close()

    def put(candidates: list[str]) -> str:
        return re.sub(r"(a=mid:\d\r\n)", lambda mid: mid[1] + "".join(f"a=candidate:{c}\r\n" for c in candidates), sdp)

    host = "1 1 udp 1 {} 9 typ host"
    good = [host.format(f"127.0.0.{number + 1}") for number in range(40)]
    bad = [
        host.format("x.local"),
        host.format("example.org"),
        good[0].replace("udp", "tcp"),
        good[0].replace(" 9 ", " 0 "),
    ]
    offer = parse_offer(put(bad + good))
    kept = re.findall("a=candidate:([^\r]*)", offer.sdp)
    assert kept == good + good[: MAX_CANDIDATES - 40] and offer.candidates == MAX_CANDIDATES
    with pytest.raises(InvalidArgument, match="a=candidate is malformed"):
        parse_offer(put(["1 1 udp 1 x.local\t9 typ host"]))


async def test_a_data_channel_alone() -> None:
    await answered(Client(), plays=())


async def test_what_is_all_unknown_is_refused_in_words() -> None:
    client = Client("audio")
    sdp = (await client.offer()).replace("opus/48000", "lyra/16000")
    sdp = re.sub(r"m=audio (\d+) (\S+) [^\r]*", r"m=audio \1 \2 96", sdp)
    sdp = re.sub(r"a=rtpmap:(0|8|9) [^\r]*\r\n", "", sdp)
    with pytest.raises(InvalidArgument, match=r"no media section.*Opus.*VP8 or H\.264"):
        parse_offer(sdp + OFF)
    await client.close()


async def test_payload_types_of_rfc_3551_need_no_name() -> None:
    """And what aiortc's parser stops at is left out: sources and extensions with more, or less, than it knows."""

    def plain(sdp: str) -> str:
        sdp = re.sub(r"a=rtpmap:(0|8|9) [^\r]*\r\n", "", sdp).replace("opus/48000", "lyra/16000")
        odd = "a=ssrc:77 label\r\na=extmap:9/recvonly urn:x:y with more\r\na=fmtp:77 x=1\r\n"
        return sdp.replace("a=mid:0\r\n", f"a=mid:0\r\n{odd}")

    sdp = await answered(Client("audio"), plain, plays=("audio",))
    assert "PCMU/8000" in sdp


async def test_bundled_sections_leave_their_transport_to_the_first() -> None:
    """RFC 8829, section 5.2.1: a=bundle-only."""

    def bundled(sdp: str) -> str:
        head, video, rest = sdp.partition("m=video")
        rest = re.sub(r"a=(ice-ufrag|ice-pwd|fingerprint|setup|candidate)[^\r]*\r\n", "", rest)
        return head + video + re.sub(r"^ \d+ ", " 0 ", rest) + "a=bundle-only\r\n"

    await answered(Client("audio", "video"), bundled)


class Rsa(aiortc.RTCCertificate):
    """Of a peer that knows RSA alone, as GStreamer's certificate is."""

    def _create_ssl_context(self, *args: Any, **kwargs: Any) -> Any:
        context = super()._create_ssl_context(*args, **kwargs)
        context.set_cipher_list(b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-SHA")
        return context


async def test_a_peer_with_a_certificate_of_rsa() -> None:
    key: Any = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    await answered(Client("audio", "video", certificate=Rsa(key=key, cert=generate_certificate(key))))


@pytest.mark.parametrize(
    ("offered", "single"),
    [
        ("", True),  # RFC 6184, section 8.1: then it is packetization-mode 0
        ("profile-level-id=42e01f", True),
        ("packetization-mode=0;profile-level-id=4d001f", True),
        ("packetization-mode=1;profile-level-id=640c1f", False),
    ],
)
async def test_h264_of_other_words(offered: str, single: bool) -> None:
    """aiortc has one profile and packetization-mode 1. Whoever decodes any profile decodes constrained baseline."""
    theirs: dict[str, str] = {}

    def other(sdp: str) -> str:
        theirs.update((line.split()[0], line) for line in H264.findall(sdp))
        return H264.sub(lambda line: f"{line[0].split()[0]} {offered}\r\n" if offered else "", sdp)

    def as_before(sdp: str) -> str:
        formats = [line for line in sdp.split("\r\n") if line.startswith("a=fmtp") and "apt=" not in line]
        assert all(line.endswith(offered) for line in formats) if offered else not formats
        for number, line in ((name.split(":")[1], line) for name, line in theirs.items()):
            sdp = re.sub(rf"a=fmtp:{number} [^\r]*\r\n", "", sdp)
            sdp = sdp.replace(f"a=rtpmap:{number} H264/90000\r\n", f"a=rtpmap:{number} H264/90000\r\n{line}")
        return sdp

    client = Client("video", codec="video/H264")
    sdp = await answered(client, other, as_before, plays=("video",))
    number = int(re.search(r"m=video \d+ \S+ (\d+)", sdp)[1])  # type: ignore[index]
    client = Client("video", codec="video/H264")
    assert (number in parse_offer(other(await client.offer())).single_units) is single
    await client.close()


# ------------------------------------------------------------------------------------------------ shapes of browsers

SAFARI = """\
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
TRANSPORT
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
TRANSPORT
a=mid:1
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:14 urn:ietf:params:rtp-hdrext:toffset
a=extmap:13 urn:3gpp:video-orientation
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 H264/90000
REMB96
a=rtcp-fb:96 transport-cc
a=rtcp-fb:96 ccm fir
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rtpmap:102 H264/90000
a=rtcp-fb:102 transport-cc
a=rtcp-fb:102 ccm fir
a=rtcp-fb:102 nack
a=rtcp-fb:102 nack pli
a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
a=rtpmap:103 rtx/90000
a=fmtp:103 apt=102
"""
"""H.264 alone, of two profiles, and no VP8. TRANSPORT and REMB96 are filled in."""


@pytest.mark.parametrize("remb", [True, False])
async def test_an_offer_of_safaris_shape_is_answered_with_h264(remb: bool) -> None:
    """Feedback about the path is REMB, which comes once a second; transport-wide feedback where there is no other."""
    client = Client("audio", "video", codec="video/H264")
    own = await client.offer()
    transport = "\n".join(
        re.findall(r"a=(?:ice-\w+:.*|fingerprint:sha-256.*|setup:.*|candidate:.*)", own.split("m=video")[0])
    )
    body = SAFARI.replace("TRANSPORT", transport.replace("\r", "")).replace(
        "REMB96", "a=rtcp-fb:96 goog-remb" if remb else "a=x-nothing"
    )
    sdp = own.split("m=")[0] + body.replace("\n", "\r\n")
    offer = parse_offer(sdp)
    assert offer.no_silence == {111} and offer.single_units == set()
    assert offer.transport_cc("1") == (0 if remb else 3) and offer.transport_cc("0") == 3
    peer = Peer(lambda _: None, ice_host="127.0.0.1")
    try:
        answer, _ = await peer.answer(sdp)
        _, audio, video = answer.split("m=")
        assert audio.startswith("audio") and " 111 " in audio.split("\r\n")[0] + " "
        assert video.split("\r\n")[0].split(" ")[3:] == ["102", "103"], "constrained baseline is what we have"
        assert "a=sendonly" in video and "a=rtcp-fb:102 nack pli" in video
        assert (f"a=extmap:3 {TRANSPORT_CC}" in video) is not remb
        assert ("a=rtcp-fb:102 transport-cc" in video) is not remb
        assert "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid" in video
    finally:
        await peer.close()
        await client.close()
