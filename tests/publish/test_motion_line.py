"""Motion over WebRTC, with aiortc at the other end: a data channel, and a video of black pictures."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lipwire
from lipwire._core import BLOCK, RATE
from lipwire.channel import Rooms
from lipwire.publish import WebRTC
from lipwire.publish.motion import NO_MOTION, ONLY_SENT, Ask, Motion
from lipwire.publish.motion_line import BAD_ASKS, IN_FLIGHT, MOST, MotionLine
from lipwire.publish.motion_line import CHANNEL as MOTION_CHANNEL
from lipwire.publish.motion_video import BlackVideo, UnitMaker, read_user_data, user_data
from lipwire.publish.peer import LINES, Peer
from lipwire.stream import StreamSpec
from support.motion import Ear, Reader, poses, tone
from support.motion_viewer import MotionViewer, until
from support.proxy import Proxy

SPEC = StreamSpec(session_id="s", width=64, height=48, fps=Fraction(25))


@asynccontextmanager
async def session(**options: Any) -> AsyncIterator[tuple[WebRTC, lipwire.Session]]:
    publisher = WebRTC(ice_host="127.0.0.1", **options)
    async with lipwire.Session(publisher, size=(64, 48), fps=25) as one:
        yield publisher, one


async def test_several_viewers_each_with_what_it_asked_for() -> None:
    """One session: binary and JSON, an interrupt, a new ask, one that is refused, and nobody looks at a picture."""
    async with session() as (publisher, one):
        assert not publisher.takes_motion and publisher.wants == "nothing"
        face, pose = MotionViewer({}), MotionViewer({"sets": ["pose"], "encoding": "json"})
        for viewer in (face, pose):
            await viewer.connect(publisher.answer)
        await until(lambda: len(face.reader.frames) > 3 and len(pose.reader.frames) > 3)
        assert publisher.takes_motion and publisher.wants == "nothing"
        assert isinstance(face.messages[-1], bytes) and isinstance(pose.messages[-1], str)
        assert [name for name, *_ in face.reader.headers[0][3]] == ["arkit", "head"]
        assert list(pose.reader.headers[0]["sets"]) == ["pose"]
        one.write(tone(9.0), RATE, "a")
        await until(lambda: any(kind == "started" for _, _, kind, _ in face.reader.events.values()))
        one.interrupt()
        for viewer in (face, pose):
            await until(lambda viewer=viewer: viewer.reader.generations[max(viewer.reader.frames)] == 1)
            await until(lambda viewer=viewer: len(viewer.reader.events) > 1)
            kinds = [(kind, value) for _, _, kind, value in viewer.reader.events.values()]
            assert kinds[:2] == [("started", "a"), ("interrupt", "a")]
        assert one.stats()["frames_undrawn"] > 3
        before = len(face.messages)
        face.ask("nonsense")
        face.ask({"sets": ["azure"]})
        await until(lambda: any(len(frame) == 1 for frame in face.reader.frames.values()))
        assert any(kind == "error" for _, _, kind, _ in face.reader.alone) and len(face.messages) > before
        figures = publisher.stats()
        assert figures["motion_viewers"] == 2 and figures["motion_messages"] > 10 and figures["motion_bytes"] > 1000
        await face.close()
        await pose.close()
        await until(lambda: not publisher.takes_motion)


@pytest.mark.parametrize("ask", [{}, None])
async def test_where_there_is_no_motion_the_channel_is_closed_and_where_there_is_no_video_none_is_sent(
    ask: Any,
) -> None:
    if ask is not None:
        async with session(egress="video") as (publisher, _):
            viewer = MotionViewer(ask, ("audio", "video"))
            await viewer.connect(publisher.answer)
            await until(lambda: viewer.channel.readyState == "closed")
            assert any(NO_MOTION in str(message) for message in viewer.messages) or viewer.reader.alone
            await viewer.close()
        return
    async with session(egress="motion") as (publisher, _):
        viewer = MotionViewer({}, ("audio", "video"))
        await viewer.connect(publisher.answer)
        await until(lambda: viewer.reader.frames)
        (peer,) = publisher.viewers
        assert peer.takes == {"audio"} and publisher.wants == "nothing"
        await viewer.close()


@pytest.mark.parametrize("codec", ["opus", "PCMU", "G722"])
async def test_the_clock_is_that_of_real_packets(codec: str) -> None:
    """A step in the sound, found in what the packets decode to, is where `clock` says that the step's sample is."""
    publisher, at = WebRTC(ice_host="127.0.0.1"), 20 * 480 + 333
    await publisher.open(SPEC)
    viewer = MotionViewer({"sets": ["azure"]})
    (transceiver,) = viewer.pc.getTransceivers()
    known = viewer_codecs("audio")
    transceiver.setCodecPreferences([one for one in known if one.mimeType.lower() == f"audio/{codec.lower()}"])
    await viewer.connect(publisher.answer)
    await until(lambda: publisher.takes_motion)
    loud = np.where(np.arange(60 * BLOCK) >= at, 1, 0) * np.sin(np.arange(60 * BLOCK) * 0.13) * 20000
    start = 77 * RATE
    for block, frame in itertools.zip_longest(range(60), poses(0.6)):
        if frame is not None:
            publisher.motions.frame(frame, start + frame.sample)
        publisher.audio(loud[block * BLOCK : (block + 1) * BLOCK].astype("<i2").tobytes(), start + block * BLOCK)
    await until(lambda: len(viewer.of("audio")) >= 29 and any(kind == "clock" for _, _, kind, _ in viewer.reader.alone))
    packets = sorted(viewer.of("audio"), key=lambda packet: packet.sequence_number)
    decoder: Any = av.CodecContext.create({"opus": "libopus", "PCMU": "pcm_mulaw", "G722": "g722"}[codec], "r")
    decoder.sample_rate, decoder.layout = {"opus": 48000, "PCMU": 8000, "G722": 16000}[codec], "mono"
    pcm = np.concatenate([
        frame.to_ndarray().astype(float).ravel() / (32768 if frame.format.name.startswith("s16") else 1)
        for packet in packets for frame in decoder.decode(av.Packet(packet.payload))
    ])  # fmt: skip
    heard = int(np.argmax(np.abs(pcm) > 0.1)) * RATE / decoder.sample_rate
    off = viewer.sample_of(packets[0].timestamp) + heard - (start + at)
    assert abs(off) < {"opus": 0.0005, "PCMU": 0.0005, "G722": 0.002}[codec] * RATE
    await viewer.close()
    await publisher.close()


def viewer_codecs(kind: str) -> list[Any]:
    import aiortc

    return list(aiortc.RTCRtpReceiver.getCapabilities(kind).codecs)


async def test_a_bad_network_and_motion_in_the_video() -> None:
    """5 % of the packets are lost, and the others up to 50 ms late; besides, black video has the same as user data."""
    async with session() as (publisher, one), Proxy(loss=0.05, jitter=0.05) as proxy:
        viewer, black = MotionViewer({"sets": ["pose"]}), MotionViewer(kinds=("audio", "video"))
        sent = Ear(Ask(("azure",)))
        publisher.motions.add(sent)
        await viewer.connect(publisher.answer, proxy)
        await black.connect(lambda sdp: publisher.admit(sdp, black=("pose",)))
        await until(lambda: viewer.reader.frames and units(black))
        one.write(tone(6.0), RATE, "a")
        await until(lambda: len(viewer.reader.frames) >= 40 and len(units(black)) >= 40)
        assert proxy.lost > 0
        samples = sorted(viewer.reader.frames)
        missing = {at for kind, _, at in sent.got if kind == "frames" and at in range(samples[0], samples[-1])}
        assert len(missing - set(samples)) <= 8, "a few of forty; test_motion.py has the figure"
        assert [kind for _, _, kind, _ in viewer.reader.events.values()][:1] == ["started"]
        reader = Reader()
        for unit in units(black):
            for message in read_user_data(unit):
                reader.put(message)
        both = set(reader.frames) & set(viewer.reader.frames)
        assert len(both) > 20 and reader.headers
        assert all((reader.frames[sample] == viewer.reader.frames[sample]).all() for sample in both)
        assert [value for _, _, kind, value in reader.events.values() if kind == "started"] == ["a"]
        assert publisher.wants == "nothing", "no picture of the face is made for it"
        plain, none = MotionViewer(kinds=("video",)), MotionViewer()
        only_vp8(plain)
        for without in (plain, none):
            with pytest.raises(lipwire.errors.InvalidArgument, match=r"H\.264"):
                await without.connect(lambda sdp: publisher.admit(sdp, black=()))
        for done in (viewer, black, plain, none):
            await done.close()


def only_vp8(viewer: MotionViewer) -> None:
    (transceiver,) = viewer.pc.getTransceivers()
    transceiver.setCodecPreferences([one for one in viewer_codecs("video") if one.mimeType == "video/VP8"])


def units(viewer: MotionViewer) -> list[bytes]:
    """Access units, Annex B, of packets of H.264 (RFC 6184: single NAL units and STAP-A, which is all that comes)."""
    found: dict[int, bytes] = {}
    for packet in sorted(viewer.of("video"), key=lambda one: one.sequence_number):
        payload, nals = packet.payload, []
        if not payload:
            continue
        if payload[0] & 31 == 24:
            at = 1
            while at < len(payload):
                size = int.from_bytes(payload[at : at + 2], "big")
                nals.append(payload[at + 2 : at + 2 + size])
                at += 2 + size
        else:
            nals = [payload]
        found[packet.timestamp] = found.get(packet.timestamp, b"") + b"".join(b"\0\0\0\1" + nal for nal in nals)
    return list(found.values())


async def test_rooms_move_too() -> None:
    """A voice without a face, and faces, one after the other, for one who watches: a generation each, on the clock of
    the room. Who has pictures takes the place of who has none."""
    rooms, viewer = Rooms(ice_host="127.0.0.1"), MotionViewer({"sets": ["pose"]})
    await viewer.connect(lambda sdp: rooms.answer("lobby", "anna", sdp, role="viewer"))
    async with lipwire.Session(rooms.channel("lobby", "one", egress="motion"), size=(64, 48), fps=25) as first:
        first.write(tone(5.0), RATE)
        await until(lambda: len(viewer.reader.frames) > 5)
        assert first.publisher.stats()["motion_viewers"] == 1 and first.publisher.wants == "nothing"
        first.interrupt()
        await until(lambda: 1 in viewer.reader.generations.values())
        await until(lambda: any(kind == "clock" for _, _, kind, _ in viewer.reader.alone) and viewer.of("audio"))
        heard, moved = viewer.sample_of(viewer.of("audio")[-1].timestamp), max(viewer.reader.frames)
        assert abs(heard - moved) < RATE, "one clock, that of the room"
    async with lipwire.Session(rooms.channel("lobby", "voice"), avatar=None, fps=20):
        await until(lambda: 2 in viewer.reader.generations.values())
        async with lipwire.Session(rooms.channel("lobby", "two"), size=(64, 48), fps=50):
            await until(lambda: 3 in viewer.reader.generations.values())
            assert [tuple(header[2]) for header in viewer.reader.headers[-2:]] == [(20, 1), (50, 1)]
    sender = MotionViewer({}, ())
    sender.pc.addTransceiver("audio", direction="sendonly")
    await sender.connect(lambda sdp: rooms.admit("lobby", "bert", sdp, direction="recvonly"))
    await until(lambda: sender.channel.readyState == "closed")
    assert any(ONLY_SENT in str(message) for message in sender.messages)
    await sender.close()
    black = MotionViewer(kinds=("audio", "video"))
    await black.connect(lambda sdp: rooms.admit("lobby", "carl", sdp, direction="sendonly", black=()))
    await until(lambda: black.pc.connectionState == "connected")
    async with lipwire.Session(rooms.channel("lobby", "three", egress="video"), size=(64, 48)):
        await until(lambda: viewer.channel.readyState == "closed" and black.pc.connectionState == "closed")
    await viewer.close()
    await rooms.close()


class Slow:
    """A data channel that takes as much as it is told to."""

    label = ""
    readyState = "open"
    bufferedAmount = 0

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[..., None]] = {}
        self.sent: list[Any] = []

    def on(self, name: str, handler: Callable[..., None]) -> None:
        self.handlers[name] = handler

    def send(self, data: Any) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.readyState = "closed"


def test_a_slow_viewer_has_the_newest_waiting() -> None:
    channel = Slow()
    line = MotionLine(channel, lambda sample: None, lambda line: None)
    channel.handlers["message"]("{}")
    assert not line.put(b"1", "frames", 0) and channel.sent == [b"1"]
    channel.bufferedAmount = IN_FLIGHT + 1
    assert [line.put(bytes([n]), "frames", n) for n in range(100)] == [False] + 99 * [True]
    channel.bufferedAmount = 0
    channel.handlers["bufferedamountlow"]()
    channel.handlers["bufferedamountlow"]()
    assert channel.sent == [b"1", bytes([99])]
    channel.bufferedAmount = IN_FLIGHT + 1
    line.put(b"stale", "frames", 0)
    line.interrupt()
    channel.handlers["bufferedamountlow"]()
    assert channel.sent[-1] != b"stale"
    channel.bufferedAmount = 1 << 20
    assert line.put(b"event", "event", 0), "left out: it comes again"
    line.refuse("over")
    assert line.closed and channel.readyState == "closed"


@pytest.mark.parametrize("good", [None, "{}"])
def test_who_asks_nonsense_is_told_as_long_as_it_reads_and_not_for_ever(good: str | None) -> None:
    channel = Slow()
    told: list[MotionLine] = []
    line = MotionLine(channel, lambda sample: None, told.append)
    if good is not None:
        channel.handlers["message"](good)
    ask = channel.handlers["message"]
    ask("nonsense")
    assert len(channel.sent) == 1
    channel.bufferedAmount = MOST + 1
    ask("nonsense")
    assert len(channel.sent) == 1, "it reads nothing"
    channel.bufferedAmount = 0
    for _ in range(100):
        ask("nonsense")
    assert len(channel.sent) == BAD_ASKS - 1 and line.closed and channel.readyState == "closed"
    ask("{}")
    assert told == [line] * (1 + (good is not None)), "it has ended"


def test_a_clock_that_was_lost_comes_again_within_the_second() -> None:
    """As the header does: without it the face is not in time with the sound."""
    channel, motion, clocks = Slow(), Motion(), []
    line = MotionLine(channel, lambda sample: (sample, RATE), motion.add)
    motion.begin(Fraction(25))
    channel.handlers["message"]("{}")
    for frame in poses(7.0):
        motion.frame(frame)
        reader = Reader()
        for message in channel.sent:
            reader.put(message)
        channel.sent.clear()
        clocks += [sample for sample, _, kind, _ in reader.alone if kind == "clock"]
    assert [at * 3 // RATE for at in clocks] == [0, 1, 2, 17] and not line.closed


async def test_channels_without_end_are_not_taken() -> None:
    peer, channels = Peer(lambda _: None), [Slow() for _ in range(LINES + 3)]
    for channel in channels:
        channel.label = MOTION_CHANNEL
        peer._open_channel(channel)
    assert [channel.readyState for channel in channels] == ["closed"] * len(channels)
    assert [bool(channel.handlers) for channel in channels] == [True] * LINES + [False] * 3
    await peer.close()


class Units(UnitMaker):
    def __init__(self, sets: tuple[str, ...] = ("azure",)) -> None:
        super().__init__(sets, Fraction(25))
        self.sent: list[tuple[bytes, bool]] = []

    def send(self, unit: bytes, sample: int, key: bool) -> bool:
        self.sent.append((unit, key))
        return False


def test_each_idr_picture_has_the_header_whoever_asked_for_it() -> None:
    """Of whoever comes, who has lost one, another face, and once a second; no other picture has it."""
    motion, made = Motion(), Units()
    motion.begin(Fraction(25))
    motion.add(made)
    for number, frame in enumerate(poses(3.0)):
        if number == 30:
            made.begin()
        if number == 44:
            made.want_key()
        if number == 60:
            motion.begin(Fraction(25), face="another")
        motion.frame(frame)
    ids: list[int] = []
    for unit, key in made.sent:
        reader = Reader()
        for message in read_user_data(unit):
            reader.put(message)
        assert bool(reader.headers) == key and bool(reader.frames) == bool(reader.headers)
        ids += [header[0] for header in reader.headers]
    assert [n for n, (_, key) in enumerate(made.sent) if key] == [0, 25, 30, 44, 60] and len(set(ids)) == 2
    assert (made.sent[60][0].count(b"avatar:another"), made.sent[59][0].count(b"avatar")) == (1, 0)


def test_who_names_no_sets_has_those_of_the_face_that_comes() -> None:
    motion, made = Motion(), Units(())
    motion.add(made)
    for sets in (("azure",), ("visemes", "head")):
        motion.sets = sets
        motion.begin(Fraction(25))
        for frame in poses(0.2):
            motion.frame(frame, motion.generation * RATE + frame.sample)
        reader = Reader()
        for message in read_user_data(made.sent[0][0]):
            reader.put(message)
        assert [group[0] for group in reader.headers[0][3]] == list(sets)
        made.sent.clear()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=600) | st.lists(st.sampled_from([0, 0, 1, 3]), max_size=60).map(bytes), max_size=3))
def test_user_data_comes_back_whatever_is_in_it(messages: list[bytes]) -> None:
    unit = b"".join(b"\0\0\0\1" + user_data(message) for message in messages)
    assert list(read_user_data(unit + b"\0\0\0\1\x06\x05\xff\xff")) == messages


@pytest.mark.parametrize("fps", [25, "30000/1001", 60])
def test_the_video_is_black_to_any_decoder(fps: Any) -> None:
    video = BlackVideo(Fraction(fps))
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.options = {"err_detect": "explode", "flags": "low_delay"}
    for number in range(6):
        unit = video.unit(bytes(number), number in (0, 4))
        (picture,) = decoder.decode(av.Packet(unit))
        planes = picture.to_ndarray()
        assert (planes[: picture.height] == 16).all() and (planes[picture.height :] == 128).all()
        assert len(unit) < 150 and list(read_user_data(unit)) == [bytes(number)]
