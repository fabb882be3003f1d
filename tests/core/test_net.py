"""The native sender from Python: SRTP as pylibsrtp reads it, real peers that decode, loss, and what is refused.

What it does packet by packet is tested in C (tests/c/test_net.c)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import random
import re
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pylibsrtp
import pytest
from aiortc import rtp
from aiortc.codecs.h264 import h264_depayload
from aiortc.codecs.vpx import vp8_depayload
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from pylibsrtp import _binding  # type: ignore[attr-defined]

from lipwire import _core
from lipwire.errors import BadState, BufferFull, InvalidArgument

MS = 10**6
KEYS = {
    "SHA1_80": (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80, bytes(range(30))),
    "GCM": (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM, bytes(range(28))),
}
EXTENSIONS = rtp.HeaderExtensionsMap()
EXTENSIONS.configure(
    RTCRtpParameters(
        headerExtensions=[
            RTCRtpHeaderExtensionParameters(id=1, uri="urn:ietf:params:rtp-hdrext:sdes:mid"),
            RTCRtpHeaderExtensionParameters(id=2, uri="http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"),
            RTCRtpHeaderExtensionParameters(
                id=3, uri="http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            ),
        ]
    )
)
VIDEO: dict[str, Any] = {"cname": "lipwire", "mid": (1, "0"), "abs_send_time_id": 2, "twcc_id": 3}


def session(key: str, kind: int) -> pylibsrtp.Session:
    profile, secret = KEYS[key]
    policy = pylibsrtp.Policy(key=secret, ssrc_type=kind, srtp_profile=profile)
    policy.allow_repeat_tx = True
    policy.window_size = 1024
    return pylibsrtp.Session(policy)


def address_of(function: str) -> int:
    return int(_binding.ffi.cast("intptr_t", _binding.ffi.addressof(_binding.lib, function)))


def protected(key: str) -> dict[str, Any]:
    """What `Connection` needs for SRTP."""
    made = session(key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
    return {
        "srtp_protect": address_of("srtp_protect"),
        "srtp_protect_rtcp": address_of("srtp_protect_rtcp"),
        "context": int(_binding.ffi.cast("intptr_t", made._srtp[0])),
        "keep": made,
    }


class Ends:
    """A UDP socket that sends, and one that receives."""

    def __init__(self) -> None:
        self.out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.out.bind(("127.0.0.1", 0))
        self.back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.back.bind(("127.0.0.1", 0))
        self.back.setblocking(False)

    def connect(self, net: _core.Net, **options: Any) -> _core.Connection:
        return _core.Connection(net, self.out.fileno(), self.back.getsockname(), **options)

    def datagrams(self) -> Iterator[bytes]:
        while True:
            try:
                yield self.back.recv(2048)
            except BlockingIOError:
                return

    def close(self) -> None:
        self.out.close()
        self.back.close()


@pytest.fixture
def ends() -> Iterator[Callable[[], Ends]]:
    made: list[Ends] = []

    def make() -> Ends:
        made.append(Ends())
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def net() -> Iterator[_core.Net]:
    """A net without a thread; it closes only when every connection has gone."""
    made = _core.Net(4096, manual=True, wall_ns=1_700_000_000 * 10**9)
    made.run(10**12)
    yield made
    gc.collect()
    assert made.stats()["packets_free"] == 4096
    made.close()


def pictures(count: int, codec: str) -> list[bytes]:
    """Access units of a picture that changes; every 25th a key frame."""
    context: Any = av.CodecContext.create({"h264": "libx264", "vp8": "libvpx"}[codec], "w")
    context.width, context.height, context.pix_fmt = 160, 120, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
    context.gop_size, context.bit_rate = 25, 300_000
    context.options = {
        "h264": {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x264-params": "slice-max-size=900:keyint=25:min-keyint=25",
        },
        # A positive cpu-used is adapted to the time that encoding takes, and the pictures with it.
        "vp8": {"deadline": "realtime", "lag-in-frames": "0", "kf-max-dist": "25", "cpu-used": "-8"},
    }[codec]
    noise = np.random.default_rng(1).integers(0, 255, (180, 160), np.uint8)
    units = []
    for i in range(count):
        frame = av.VideoFrame.from_ndarray(np.roll(noise, 3 * i, 0), format="yuv420p")
        frame.pts = i
        units += [bytes(packet) for packet in context.encode(frame)]
    units += [bytes(packet) for packet in context.encode(None)]
    assert len(units) == count
    return units


def nals(unit: bytes) -> list[bytes]:
    """Of an access unit, without delimiters."""
    return [nal for nal in re.split(rb"\x00{2,}\x01", unit) if nal and nal[0] & 31 != 9]


def is_key(unit: bytes, codec: str) -> bool:
    return not unit[0] & 1 if codec == "vp8" else any(nal[0] & 31 == 5 for nal in nals(unit))


@pytest.mark.parametrize("key", KEYS)
def test_srtp_as_pylibsrtp_and_aiortc_read_it(net: _core.Net, ends: Callable[[], Ends], key: str) -> None:
    end = ends()
    inbound = session(key, pylibsrtp.Policy.SSRC_ANY_INBOUND)
    connection = end.connect(net, **protected(key))
    video = connection.stream("h264", 4000000000, 102, 90000, first=(90, 65535), **VIDEO)
    sound = connection.stream("opus", 7, 111, 48000, cname="lipwire", first=(48, 1), history_ms=0)
    unit = b"\0\0\0\1\x65" + bytes(range(1, 256)) * 12
    assert connection.send(video, unit, 1920, True) == 3
    assert connection.send(sound, b"sound", 960, duration=960) == 1
    for ms in range(30):
        net.run(10**12 + ms * MS)
    raw = list(end.datagrams())
    packets = [rtp.RtpPacket.parse(inbound.unprotect(data), EXTENSIONS) for data in raw if not rtp.is_rtcp(data)]
    pictured = [packet for packet in packets if packet.ssrc == 4000000000]
    assert [(p.sequence_number, p.timestamp, p.marker) for p in pictured] == [
        (65535, 3690, 0),
        (0, 3690, 0),
        (1, 3690, 1),
    ]
    assert [p.extensions.mid for p in pictured] == ["0"] * 3
    assert [p.extensions.transport_sequence_number for p in pictured] == [0, 1, 2]
    assert all(p.extensions.abs_send_time is not None for p in pictured)
    assert b"".join(h264_depayload(p.payload) for p in pictured) == unit
    (heard,) = (packet for packet in packets if packet.ssrc == 7)
    assert (heard.payload, heard.payload_type, heard.timestamp) == (b"sound", 111, 1008)
    reports = [rtp.RtcpPacket.parse(inbound.unprotect_rtcp(data)) for data in raw if rtp.is_rtcp(data)]
    assert sorted(report[0].ssrc for report in reports) == [7, 4000000000]  # type: ignore[union-attr]
    assert all(isinstance(report[1], rtp.RtcpSdesPacket) for report in reports)

    # Without an RTX stream the same datagram comes once more.
    for number in (65535, 1):
        connection.rtcp(bytes(rtp.RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=4000000000, lost=[number])))
    net.run(10**12 + 100 * MS)
    again = [data for data in end.datagrams() if not rtp.is_rtcp(data)]
    assert (
        again
        == [raw[i] for i in range(len(raw)) if not rtp.is_rtcp(raw[i]) and raw[i][8:12] == b"\xee\x6b\x28\x00"][::2]
    )

    # What others have to say to this peer goes through the same context.
    connection.forward(bytes(rtp.RtcpRrPacket(ssrc=9)))
    connection.close()
    last = [rtp.RtcpPacket.parse(inbound.unprotect_rtcp(data)) for data in end.datagrams()]
    assert isinstance(last[0][0], rtp.RtcpRrPacket)
    assert [type(packets[-1]) for packets in last[1:]] == [rtp.RtcpByePacket] * 2


class Ffmpeg:
    """What FFmpeg makes of an SDP with SRTP keys, while `play` sends; (stream type, pts in s, bytes) of each packet."""

    def __init__(self, folder: Path, codec: str, ports: tuple[int, int]) -> None:
        key = base64.b64encode(KEYS["SHA1_80"][1]).decode()
        lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"]
        for port, media, number, codec_line in (
            (ports[0], "video", 102, {"h264": "H264/90000", "vp8": "VP8/90000"}[codec]),
            (ports[1], "audio", 111, "opus/48000/2"),
        ):
            lines += [f"m={media} {port} RTP/SAVP {number}", f"a=rtpmap:{number} {codec_line}"]
            lines += ["a=fmtp:102 packetization-mode=1"] * (codec == "h264" and media == "video")
            lines.append(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}")
        self.codec = codec
        self.path = folder / "peer.sdp"
        self.path.write_text("\r\n".join(lines) + "\r\n")

    def read(self, most: int) -> tuple[list[tuple[str, float, bytes]], int]:
        """Also, how many pictures it has decoded, from a key frame on."""
        options = {"protocol_whitelist": "file,udp,rtp,srtp,crypto", "analyzeduration": "200000", "probesize": "50000"}
        packets: list[tuple[str, float, bytes]] = []
        begun, decoded = False, 0
        with av.open(str(self.path), format="sdp", options=options, timeout=20) as container:
            for packet in container.demux():
                if packet.pts is None:
                    continue
                assert not packet.is_corrupt
                packets.append((packet.stream.type, float(packet.pts * packet.time_base), bytes(packet)))
                begun |= packet.stream.type == "video" and is_key(packets[-1][2], self.codec)
                if packet.stream.type == "video" and begun:
                    decoded += len(packet.decode())
                if len(packets) >= most:
                    break
        return packets, decoded


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_ffmpeg_plays_it_and_sound_and_pictures_align(tmp_path: Path, ends: Callable[[], Ends], codec: str) -> None:
    units = pictures(50, codec)
    encoder = _core.OpusEncoder(48000, frame_ms=20)
    tone = (np.random.default_rng(2).normal(0, 3000, 96000)).astype("<i2")
    sounds = encoder.encode(tone)[:100]
    out, *taken = ends().out, ends().back, ends().back
    ports = taken[0].getsockname()[1], taken[1].getsockname()[1]
    for one in taken:
        one.close()  # they are FFmpeg's now
    peer, stop = Ffmpeg(tmp_path, codec, ports), threading.Event()

    def play() -> None:
        """Four times as fast as it is, until the peer has enough."""
        net = _core.Net(4096, manual=True, wall_ns=1_700_000_000 * 10**9)
        made = [
            _core.Connection(net, out.fileno(), ("127.0.0.1", port), **protected("SHA1_80"), start_bitrate=4_000_000)
            for port in ports
        ]
        made[0].stream(codec, 5, 102, 90000, cname="c")  # type: ignore[arg-type]
        made[1].stream("opus", 6, 111, 48000, cname="c", history_ms=0)
        step = 0
        while not stop.is_set():
            made[1].send(0, sounds[step % 100], 960 * step, duration=960)
            if step % 2 == 0:
                made[0].send(0, units[step // 2 % 50], 960 * step, step // 2 % 25 == 0)
            for ms in range(20):
                net.run(10**12 + (20 * step + ms) * MS)
            step += 1
            time.sleep(0.005)
        for one in made:
            one.close()
        net.close()

    thread = threading.Thread(target=play)
    thread.start()
    try:
        packets, decoded = peer.read(300)
    finally:
        stop.set()
        thread.join()
    known = {tuple(nals(unit)) if codec == "h264" else unit: i for i, unit in enumerate(units)}
    heard = {sound: i for i, sound in enumerate(sounds)}
    offsets: dict[str, list[float]] = {"video": [], "audio": []}
    for kind, pts, data in packets[100:]:
        if kind == "audio":
            offsets[kind].append((pts - heard[data] * 0.02) % 2.0)
        else:
            offsets[kind].append((pts - known[tuple(nals(data)) if codec == "h264" else data] * 0.04) % 2.0)
    assert decoded >= 60
    assert len(offsets["video"]) > 40 and len(offsets["audio"]) > 80
    apart = (np.median(offsets["video"]) - np.median(offsets["audio"]) + 1) % 2 - 1
    assert abs(apart) < 0.001, "a picture and the sound of its sample have one time"


class Viewer:
    """A receiver behind a path that loses and delays: it asks for what is missing, and puts pictures together.

    It sees a gap by what comes after it, so that nothing is lost once `whole` is set: the last packet among it."""

    whole = False

    def __init__(self, end: Ends, loss: float, jitter_ms: int, seed: int) -> None:
        self.end, self.loss, self.jitter, self.random = end, loss, jitter_ms, random.Random(seed)
        self.flying: list[tuple[int, int, bytes]] = []
        self.packets: dict[int, rtp.RtpPacket] = {}
        self.asked: dict[int, int] = {}
        self.first = self.last = self.copies = self.dropped = self.rtx = 0

    def step(self, now: int, connection: _core.Connection) -> None:
        for data in self.end.datagrams():
            if not self.whole and self.random.random() < self.loss:
                self.dropped += 1
                continue
            self.flying.append((now + self.random.randint(0, self.jitter), len(self.flying), data))
        for item in sorted(one for one in self.flying if one[0] <= now):
            self.flying.remove(item)
            if not rtp.is_rtcp(item[2]):
                self._take(rtp.RtpPacket.parse(item[2]))
        if now % 20 == 0:
            self._ask(now, connection)

    def _take(self, packet: rtp.RtpPacket) -> None:
        if packet.ssrc == 6:
            packet = rtp.unwrap_rtx(packet, 102, 5)
            self.rtx += 1
        self.first = self.first if self.packets else packet.sequence_number
        self.last = max(self.last, packet.sequence_number)
        self.copies += packet.sequence_number in self.packets
        self.packets[packet.sequence_number] = packet

    def _ask(self, now: int, connection: _core.Connection) -> None:
        lost = [n for n in range(1, self.last) if n not in self.packets and now - self.asked.get(n, -1000) >= 100]
        self.asked |= dict.fromkeys(lost, now)
        if lost:
            connection.rtcp(bytes(rtp.RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=5, lost=lost)))

    def units(self, depayload: Callable[[bytes], bytes]) -> list[bytes]:
        units, unit = [], b""
        for number in sorted(self.packets):
            unit += depayload(self.packets[number].payload)
            if self.packets[number].marker:
                units.append(unit)
                unit = b""
        return units


@pytest.mark.parametrize(("codec", "depayload"), [("h264", h264_depayload), ("vp8", vp8_depayload)])
def test_a_viewer_with_loss_and_jitter_gets_every_picture(
    net: _core.Net, ends: Callable[[], Ends], codec: Any, depayload: Callable[[bytes], bytes]
) -> None:
    units = pictures(75, codec)
    group = _core.Group(net, codec)
    viewers = [Viewer(ends(), 0.05, 50, 3), Viewer(ends(), 0.0, 0, 4)]
    connections = [viewer.end.connect(net) for viewer in viewers]
    for connection in connections:
        connection.stream(codec, 5, 102, 90000, cname="c", rtx_ssrc=6, rtx_payload_type=103, first=(0, 1))
        group.add(connection, 0)
    for ms in range(75 * 40 + 800):
        if ms % 40 == 0 and ms // 40 < 75:
            group.send(units[ms // 40], 48 * ms, ms // 40 % 25 == 0)
        net.run(10**12 + ms * MS)
        for viewer, connection in zip(viewers, connections, strict=True):
            viewer.whole = ms >= 74 * 40
            viewer.step(ms, connection)
    decoder: Any = av.CodecContext.create(codec, "r")
    for viewer in viewers:
        got = viewer.units(depayload)
        if codec == "h264":
            assert [nals(unit) for unit in got] == [nals(unit) for unit in units]
        else:
            assert got == units
    assert sum(len(decoder.decode(av.Packet(unit))) for unit in got) >= 74
    assert viewers[0].dropped > 5 and viewers[0].rtx > 5, "it was lossy"
    assert viewers[1].rtx == 0 and viewers[1].copies == 0, "the other one did not notice"
    assert not any(event[1] == "behind" for event in net.events())
    assert connections[0].stats()["retransmitted"] >= viewers[0].rtx
    for connection in connections:
        connection.close()
    group.close()


def test_the_thread_sends_and_tells(ends: Callable[[], Ends]) -> None:
    async def run() -> None:
        net = _core.Net(1024)
        group = _core.Group(net, "opus")
        end = ends()
        made = [end.connect(net) for _ in range(30)]
        for connection in made:
            connection.stream("opus", 9, 111, 48000, cname="c", history_ms=0)
            group.add(connection, 0)
        assert group.send(b"sound", 0, duration=960) == 1
        got: list[bytes] = []
        while len(got) < 30:
            select.select([end.back], [], [], 10)
            got += [data for data in end.datagrams() if not rtp.is_rtcp(data)]
        assert {data[12:] for data in got} == {b"sound"}

        woken = asyncio.Event()
        asyncio.get_running_loop().add_reader(net.fileno(), woken.set)
        video = made[4].stream("vp8", 10, 96, 90000, cname="c")
        made[4].send(video, b"no key frame", 0)
        await asyncio.wait_for(woken.wait(), 10)
        assert net.events() == [(made[4].id, "key", video)]
        assert net.events() == [] and not select.select([net], [], [], 0)[0]
        asyncio.get_running_loop().remove_reader(net.fileno())

        with pytest.raises(BadState, match="still has connections"):
            net.close()
        assert net.stats()["connections"] == 30
        for connection in made:
            connection.close()
            connection.close()
        group.close()
        net.close()
        net.close()

    asyncio.run(run())


def test_what_is_dropped_is_closed(ends: Callable[[], Ends]) -> None:
    net = _core.Net(64)
    end = ends()
    connection, group = end.connect(net, **protected("GCM")), _core.Group(net, "opus")
    connection.stream("opus", 9, 111, 48000, cname="c", history_ms=0)
    group.add(connection, 0)
    group.send(b"sound", 0)
    del net, connection, group
    gc.collect()
    select.select([end.back], [], [], 10)
    inbound = session("GCM", pylibsrtp.Policy.SSRC_ANY_INBOUND)
    kinds = [type(rtp.RtcpPacket.parse(inbound.unprotect_rtcp(d))[-1]) for d in end.datagrams() if rtp.is_rtcp(d)]
    assert kinds[-1] is rtp.RtcpByePacket


def test_one_that_is_closed_by_another_thread_says_so() -> None:
    """A race: what came too late read freed memory, which ended the process once in a thousand rounds or so."""

    def ask(net: _core.Net, group: _core.Group, asked: threading.Event, said: list[str]) -> None:
        for call in (lambda: group.send(b"sound", 0), lambda: (net.stats(), net.events())):
            with pytest.raises(BadState) as error:
                while True:
                    with contextlib.suppress(BufferFull):
                        call()
                    asked.set()
            said.append(str(error.value))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(50):
            net, asked, said = _core.Net(64), threading.Event(), list[str]()
            group = _core.Group(net, "opus")
            thread = threading.Thread(target=ask, args=(net, group, asked, said))
            thread.start()
            assert asked.wait(10)
            with pytest.raises(BadState, match="still has"):
                net.close()
            group.close()
            net.close()
            thread.join(10)
            assert said == ["the group is closed", "the net is closed"]
    finally:
        sys.setswitchinterval(interval)


def test_what_is_refused(net: _core.Net, ends: Callable[[], Ends]) -> None:
    end = ends()
    connection, group = end.connect(net), _core.Group(net, "h264")
    sound = connection.stream("opus", 1, 111, 48000, cname="c")
    video = connection.stream("h264", 2, 102, 90000, cname="c", mode=0)
    for message, call in {
        "kind 'av1'; there are h264": lambda: _core.Group(net, "av1"),  # type: ignore[arg-type]
        "out of range": lambda: connection.stream("opus", 1, 111, 48000, cname="c"),
        "ssrc -1; it has 32 bits": lambda: connection.stream("opus", -1, 111, 48000, cname="c"),
        "no RTP packets can be made of": lambda: connection.send(video, b"no start code", 0),
        "1500 bytes that no RTP packets": lambda: connection.send(sound, bytes(1500), 0),
        "sample -5": lambda: connection.send(sound, b"x", -5),
        "stream 0 in the group": lambda: group.add(connection, sound),
        "stream 1 in the group": lambda: group.add(connection, video),
        "bytes of RTCP": lambda: connection.rtcp(b""),
        "packet of 1473 bytes": lambda: connection.forward(bytes(1473)),
        "route to": lambda: connection.route(end.out.fileno(), ("example.org", 9)),
        "RTCP route to": lambda: connection.rtcp_route(end.out.fileno(), ("example.org", 9)),
        "connection to": lambda: _core.Connection(net, -1, ("127.0.0.1", 9)),
        "net": lambda: _core.Net(3),
    }.items():
        with pytest.raises(InvalidArgument, match=message):
            call()
    with pytest.raises(BadState, match="stream 0 in the group"):
        other = _core.Net(64, manual=True)
        _core.Group(other, "opus").add(connection, sound)
    with pytest.raises(BadState, match="thread of its own"):
        _core.Net(64).run(1)
    with pytest.raises(BufferFull):
        for sample in range(5000):
            connection.send(sound, b"x", sample)
    assert net.stats()["refused"] == 1
    net.run(10**12 + MS)
    connection.close()
    with pytest.raises(BadState, match="connection is closed"):
        connection.send(sound, b"x", 0)
    group.close()
    with pytest.raises(BadState, match="group is closed"):
        group.send(b"x", 0)


def test_a_new_route_and_ipv6(net: _core.Net, ends: Callable[[], Ends]) -> None:
    first = ends()
    connection = _core.Connection(net)
    sound = connection.stream("audio", 1, 9, 8000, cname="c", first=(0, 0), history_ms=0)
    connection.send(sound, b"nowhere", 0)
    connection.route(first.out.fileno(), first.back.getsockname())
    first.out.close()  # it has its own
    connection.send(sound, b"here", 960)
    net.run(10**12)
    assert [data[12:] for data in first.datagrams() if not rtp.is_rtcp(data)] == [b"here"]
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as out,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as back,
    ):
        back.bind(("::1", 0))
        out.bind(("::", 0))
        connection.route(out.fileno(), back.getsockname())
        connection.send(sound, b"there", 1920)
        net.run(10**12 + MS)
        assert back.recv(99)[4:8] == (1920 // 6).to_bytes(4, "big")
        connection.route(out.fileno(), first.back.getsockname())  # an IPv4 peer of an IPv6 socket
        connection.send(sound, b"and here", 2880)
        net.run(10**12 + 2 * MS)
    assert [data[12:] for data in first.datagrams() if not rtp.is_rtcp(data)] == [b"and here"]
    beside = ends()
    connection.rtcp_route(beside.out.fileno(), beside.back.getsockname())
    connection.close()
    assert [data[1] for data in beside.datagrams()] == [200]  # a sender report, with its BYE
    assert list(first.datagrams()) == []
