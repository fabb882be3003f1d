"""Speech and pictures out by plain RTP, to FFmpeg as the one that plays them, and to sockets of the test's."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import lipwire
from lipwire import Frame, StreamSpec
from lipwire.errors import BadState, InvalidArgument
from lipwire.publish.rtp import RTP, SDES, Sender
from lipwire.rtp.keys import Key
from lipwire.rtp.ports import Ports
from lipwire.rtp.rtcp import Reception, is_rtcp, receiver_report
from lipwire.rtp.sdp import Address, parse_sdp
from support.gstreamer import exists
from support.guest import amplitude
from support.machine import require
from support.rtp_offers import free_pairs
from support.rtp_peers import Receiver

BLOCK = 480
SPEC = StreamSpec(session_id="s", width=64, height=48, fps=Fraction(25))


def block(number: int) -> bytes:
    """10 ms of a tone of 300 Hz."""
    t = np.arange(number * BLOCK, (number + 1) * BLOCK) / 48000
    return (8000 * np.sin(2 * np.pi * 300 * t)).astype(np.int16).tobytes()


def picture(number: int) -> Frame:
    frame = Frame(SPEC.width, SPEC.height)
    y, u, v = frame.planes
    y[:], u[:], v[:] = 100, 90, 160
    y[:, (2 * number) % 48 : (2 * number) % 48 + 12] = 200
    return frame


class Feed:
    """Hands sound and pictures over at their pace until somebody has had enough."""

    def __init__(self, out: RTP, pictures: bool = True) -> None:
        self.out, self.pictures = out, pictures
        self.enough = threading.Event()

    async def run(self) -> None:
        number = 0
        while not self.enough.is_set():
            self.out.audio(block(number), number * BLOCK)
            if self.pictures and number % 4 == 0:
                self.out._ask_keys(number * BLOCK)
                self.out._pictures.show(picture(number // 4), number * BLOCK, SPEC.fps)
            number += 1
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("codec, srtp", [("opus", False), ("g722", True)])
async def test_ffmpeg_plays_our_description(codec: Any, srtp: bool, tmp_path: Path) -> None:
    audio, video = free_pairs(2)
    out = RTP("127.0.0.1", audio_port=audio, video_port=video, codec=codec, srtp=srtp)
    assert [one.port for one in parse_sdp(out.sdp)] == [audio, video]
    await out.open(SPEC)
    feed = Feed(out)

    def play() -> tuple[list[Any], list[Any]]:
        try:
            receiver = Receiver(out.sdp, tmp_path)
            try:
                return receiver.frames("audio", 40), receiver.frames("video", 3)
            finally:
                receiver.close()
        finally:
            feed.enough.set()

    (sound, pictures), _ = await asyncio.gather(asyncio.to_thread(play), feed.run())
    rate = sound[0].sample_rate
    pcm = np.concatenate([np.asarray(one.to_ndarray(), np.float64).reshape(-1) for one in sound[10:]])
    if sound[0].format.name.startswith("flt"):
        pcm *= 32768
    assert rate == {"opus": 48000, "g722": 16000}[codec]
    assert amplitude(pcm, 300.0, rate) == pytest.approx(8000, rel=0.2)
    assert (pictures[0].width, pictures[0].height) == (64, 48)
    luma = pictures[-1].to_ndarray(format="gray")
    assert luma.max() > 180 and abs(int(np.median(luma)) - 100) < 12
    stats = out.stats()
    assert [one["kind"] for one in stats] == ["audio", "video"] and all(one["packets"] > 0 for one in stats)
    await out.close()


async def test_gstreamer_plays_what_is_sent(tmp_path: Path) -> None:
    parts = [
        "udpsrc",
        "rtpjitterbuffer",
        "rtph264depay",
        "avdec_h264",
        "videoconvert",
        "rtppcmudepay",
        "mulawdec",
        "identity",
    ]
    require(exists(*parts), f"GStreamer's {', '.join(parts)}")
    audio, video = free_pairs(2)
    out = RTP("127.0.0.1", audio_port=audio, video_port=video, codec="pcmu")
    caps = "application/x-rtp,media={},clock-rate={},encoding-name={},payload={}".format
    sound, pictures = tmp_path / "sound", tmp_path / "pictures"
    playing = await asyncio.create_subprocess_exec(
        *("gst-launch-1.0", "-q"),
        *("udpsrc", f"port={audio}", f"caps={caps('audio', 8000, 'PCMU', 0)}", "!", "rtppcmudepay", "!", "mulawdec"),
        *("!", "identity", "eos-after=40", "!", "filesink", f"location={sound}"),
        *("udpsrc", f"port={video}", f"caps={caps('video', 90000, 'H264', 96)}", "!", "rtpjitterbuffer"),
        *("!", "rtph264depay", "!", "avdec_h264", "!", "videoconvert", "!", "video/x-raw,format=I420"),
        *("!", "identity", "eos-after=5", "!", "filesink", f"location={pictures}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    await out.open(SPEC)
    feed = Feed(out)
    feeding = asyncio.create_task(feed.run())
    try:
        said, _ = await asyncio.wait_for(playing.communicate(), 60)
    finally:
        if playing.returncode is None:
            playing.kill()
        feed.enough.set()
        await feeding
        await out.close()
    assert playing.returncode == 0, said
    pcm = np.frombuffer(sound.read_bytes(), np.int16).astype(np.float64)[160 * 10 :]
    assert amplitude(pcm, 300.0, 8000) == pytest.approx(8000, rel=0.2)
    frame = np.frombuffer(pictures.read_bytes(), np.uint8)[-64 * 48 * 3 // 2 :][: 64 * 48]
    assert frame.max() > 180 and abs(int(np.median(frame)) - 100) < 12


OFFER = """v=0
c=IN IP4 127.0.0.1
m=audio {} RTP/AVP 8 0
a=recvonly
m=video {} RTP/AVPF 97
a=rtpmap:97 H264/90000
a=fmtp:97 packetization-mode=0
a=rtcp-fb:97 nack pli
a=rtcp-mux
a=recvonly
"""


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_an_offer_is_answered_and_reports_go_to_their_own_port() -> None:
    audio, video = free_pairs(2)
    out = RTP(offer=OFFER.format(audio, video), bind="127.0.0.1")
    with pytest.raises(BadState, match="opened"):
        _ = out.sdp
    with pytest.raises(InvalidArgument, match="an offer says itself"):
        RTP(offer=OFFER.format(audio, video), codec="pcmu")
    sockets = {port: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for port in (audio, audio + 1, video)}
    for port, one in sockets.items():
        one.bind(("127.0.0.1", port))
        one.setblocking(False)
    await out.open(SPEC)
    sound, pictures = parse_sdp(out.sdp)
    assert [one.direction for one in (sound, pictures)] == ["sendonly", "sendonly"]
    assert sound.payload_types == ("8",) and pictures.mux and not sound.mux and sound.host == "127.0.0.1"
    found: dict[int, list[bytes]] = {port: [] for port in sockets}

    def enough() -> bool:
        for port, one in sockets.items():
            while True:
                try:
                    found[port].append(one.recv(2048))
                except BlockingIOError:
                    break
        return len(found[audio]) > 10 and bool(found[audio + 1]) and any(map(is_rtcp, found[video]))

    feed = Feed(out)
    feeding = asyncio.create_task(feed.run())
    await until(enough)
    assert not any(map(is_rtcp, found[audio])) and all(map(is_rtcp, found[audio + 1]))
    assert all(data[1] & 127 == 8 and len(data) == 12 + 160 for data in found[audio])
    media = [data for data in found[video] if not is_rtcp(data)]
    assert all(data[1] & 127 == 97 and 0 < data[12] & 31 < 24 for data in media)  # single NAL units
    before = out.senders[1].stats()["key_requests"]
    ssrc = int.from_bytes(media[0][8:12])
    pli = b"\x81\xce\x00\x02" + (1).to_bytes(4) + ssrc.to_bytes(4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.2", 0))  # another host than the receiver
        stranger.sendto(pli, ("127.0.0.1", out.senders[1].pair.port))
        sockets[video].sendto(pli, ("127.0.0.1", out.senders[1].pair.port))
        await until(lambda: out.senders[1].stats()["key_requests"] > before)
    assert out.senders[1].stats()["key_requests"] == before + 1
    feed.enough.set()
    await feeding
    out.interrupt()
    await out.close()
    await out.close()
    for one in sockets.values():
        one.close()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({}, "either to a host"),
        ({"host": "127.0.0.1", "offer": "v=0"}, "either to a host"),
        ({"host": "127.0.0.1"}, "audio_port or video_port"),
        ({"host": "example.org", "audio_port": 5004}, "numeric"),
        ({"host": "127.0.0.1", "audio_port": 65535}, "1..65534"),
        ({"host": "127.0.0.1", "audio_port": 5004, "codec": "mp3"}, "there are opus"),
        ({"host": "127.0.0.1", "audio_port": 5004, "ports": "1-2"}, "range of ports"),
        ({"offer": "v=0\nm=audio 4000 RTP/AVP 0\na=recvonly"}, "no address to send to"),
        ({"offer": "v=0\nc=IN IP4 192.0.2.1\nm=audio 4000 RTP/AVP 0\na=sendonly"}, "nothing of the SDP"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        RTP(**arguments)


async def test_a_session_speaks_by_rtp() -> None:
    (audio,) = free_pairs(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", audio))
        listener.setblocking(False)
        out = lipwire.publish.RTP("127.0.0.1", audio_port=audio, codec="pcma")
        async with lipwire.Session(out, avatar=None) as session:
            session.write(b"".join(map(block, range(20))), 48000)
            session.end()
            loud: list[int] = []

            def heard() -> bool:
                while True:
                    try:
                        data = listener.recv(2048)
                    except BlockingIOError:
                        return len(loud) > 5
                    loud.extend([1] * (not is_rtcp(data) and len(set(data[12:])) > 20))

            await until(heard)
            assert out.wants == "nothing"


async def test_who_is_never_heard_of_is_sent_no_more_until_it_is() -> None:
    (port,) = free_pairs(1)
    media = RTP("127.0.0.1", audio_port=port, codec="pcmu")._media[0]
    pair = Ports("127.0.0.1", free_pairs(2)[1:]).open()
    came = [0]
    there = Address("127.0.0.1", port)
    reports = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    reports.bind(("127.0.0.1", 0))
    reports.settimeout(20)
    to_rtcp = Address(*reports.getsockname())
    sender = Sender(media, pair, to=there, to_rtcp=to_rtcp, cname="c", patience=30.0, incoming=lambda: came[0])
    paused = []
    for second, packets in ((0, 0), (29, 0), (30, 0), (31, 0), (32, 1), (61, 1), (62, 1), (63, 2)):
        came[0] = packets
        sender.keep(second * 48000)
        paused.append(sender.paused)
    assert paused == [False, False, True, True, False, False, True, False]
    sender.keep(94 * 48000)
    assert sender.paused
    block = Reception(sender.ssrc, 8000, 0).block(0)
    signs = [
        (b"x", "127.0.0.1"),
        (receiver_report(1, "r", []), "127.0.0.1"),  # which takes no packet of ours to say
        (receiver_report(1, "r", [Reception(sender.ssrc ^ 1, 8000, 0).block(0)]), "127.0.0.1"),
        (receiver_report(1, "r", [block]), "127.0.0.2"),
    ]
    for encrypted in (False, True):
        for data, host in signs:
            sender.media = replace(media, their_key=Key("1", SDES, bytes(30)) if encrypted else None)
            sender.control(data, Address(host, 9))
            sender.keep(95 * 48000)
            assert sender.paused
    sender.forward(receiver_report(2, "while it is paused", []))
    sender.control(receiver_report(1, "r", [block]), Address("127.0.0.1", 9))
    sender.keep(96 * 48000)
    assert not sender.paused
    sender.forward(receiver_report(2, "and after that", []))
    while b"after" not in (data := reports.recv(2048)):
        assert b"while" not in data, "RTCP pauses, too"
    reports.close()
    sender.keep(200 * 48000)
    assert sender.paused
    sender.close()
    sender = Sender(media, pair, to=there, to_rtcp=None, cname="c", patience=30.0, exempt=there)
    for second in (0, 100):
        sender.keep(second * 48000)
    assert not sender.paused, "who is named in so many words need not show that it is there"
    for second in (101, 200):
        sender.route(Address("127.0.0.1", port + 1))  # whoever else has to
        sender.keep(second * 48000)
    assert sender.paused
    sender.close()
    pair.close()
