"""Motion into an Agora channel: the packets, and the channel with the SDK's double."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire.channel.agora.channel import Agora, AgoraOptions, Workers
from lipwire.channel.agora.data import Pacer
from lipwire.channel.agora.motion import MOST, PREFIX, MotionPackets, stuff, unstuff
from lipwire.channel.base import Message
from lipwire.errors import InvalidArgument
from lipwire.protocol.transcript import PACKET
from lipwire.publish.motion import Motion
from lipwire.publish.motion_video import read_user_data
from lipwire.stream import Cue, StreamSpec
from support.agora_double.harness import APP, Double
from support.motion import Reader, poses

BLOCK = 480


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=MOST) | st.lists(st.sampled_from([0, 1, 255]), max_size=MOST).map(bytes))
def test_a_packet_has_no_nul_and_its_message(message: bytes) -> None:
    packet = stuff(message)
    assert 0 not in packet and len(packet) <= PACKET and unstuff(packet) == message


@pytest.mark.parametrize("packet", [b"", b"id|1|1|e30=", PREFIX + b"\x05ab", PREFIX + b"\0"])
def test_what_is_none_of_motion(packet: bytes) -> None:
    assert unstuff(packet) is None


def test_transcripts_and_motion_take_turns() -> None:
    """30 messages a second of motion, and as many transcripts as there are: neither waits for the other's end."""
    pacer, sent, now = Pacer(), [], 0.0
    for number in range(20):
        pacer.put(b"t%d" % number)
    for tick in range(200):
        if tick % 3 == 0:
            pacer.put_newest(b"m%d" % tick)
        if (data := pacer.take(now)) is not None:
            sent.append(data)
        now += 0.01
    kinds = "".join(data[:1].decode() for data in sent)
    assert kinds.startswith("mtmtmt") and kinds.count("t") == 20 and kinds.count("m") >= 40
    pacer.put_newest(b"older")
    pacer.put_newest(b"newer")
    assert pacer.take(now + 1) == b"newer" and not len(pacer)
    pacer.give_back(b"newer")
    assert pacer.take(now + 2) == b"newer"
    pacer.put_newest(b"stale")
    pacer.put_newest(None)
    assert pacer.take(now + 3) is None


@pytest.mark.parametrize("fps", [(25, 1), (60, 1)])
def test_a_second_keeps_the_caps_of_the_service(fps: tuple[int, int]) -> None:
    """Every frame of ten seconds, with the largest sets that fit, through the pacer, by the clock of the media."""
    pacer, motion, sent, told = Pacer(), Motion(), [], []

    def tell(command: Any) -> bool:
        told.append(command)
        (pacer.put if command.kept else pacer.put_newest)(command.data)
        return False

    motion.begin(Fraction(*fps))
    motion.add(MotionPackets(1, ("arkit", "head"), Fraction(*fps), tell))
    frames = poses(10.0, fps)
    at = 0
    for tick in range(1000):
        while at < len(frames) and frames[at].sample <= tick * BLOCK:
            motion.frame(frames[at])
            at += 1
        if tick % 100 == 50:
            motion.cue(Cue("gesture", str(tick), tick * BLOCK))
        while (data := pacer.take(tick / 100)) is not None:
            sent.append((tick, data))
    assert max(len(data) for _, data in sent) <= PACKET
    for begin in range(0, 900, 10):
        second = [data for tick, data in sent if begin <= tick < begin + 100]
        assert len(second) <= 60 and sum(map(len, second)) <= 30 * 1024
    reader = Reader()
    for _, data in sent:
        reader.put(unstuff(data) or b"")
    assert len(reader.frames) >= len(frames) - 2 and len(reader.events) == 10 and len(reader.headers) >= 10
    with pytest.raises(InvalidArgument, match="fewer sets"):
        MotionPackets(1, ("visemes", "arkit", "head", "pose", "azure"), Fraction(25), tell)


@pytest.mark.agora
@pytest.mark.parametrize("carrier", ["data", "sei"])
async def test_a_channel_has_motion_where_that_is_asked_for(double: Double, carrier: Any) -> None:
    spec = StreamSpec(session_id="test", width=64, height=36, fps=Fraction(25))
    events: list[Any] = []
    workers = Workers()
    options: dict[str, Any] = {"app_id": APP, "token": "token", "channel": "room"}
    hears = Agora(AgoraOptions(uid="2", receive=True, video=False, **options), events.append, workers=workers)
    face = Agora(
        AgoraOptions(uid="1", egress="motion", motion_carrier=carrier, motion_sets=("pose",), **options),
        workers=workers,
    )
    await hears.open(StreamSpec(session_id="hears", width=0, height=0, fps=Fraction(25)))
    await face.open(spec)
    assert face.takes_motion and face.wants == "nothing" and not face.takes_units and not hears.takes_motion
    reader, frames, video = Reader(), poses(10.0), double.folder / "video.1"
    for number, frame in enumerate(frames):
        for block in range(4):
            face.audio(bytes(2 * BLOCK), (4 * number + block) * BLOCK)
        face.motion(frame)
        await asyncio.sleep(0.04)
        if carrier == "data":
            while events:
                if isinstance(event := events.pop(), Message):
                    reader.put(unstuff(event.data) or b"")
        elif video.exists():
            for message in read_user_data(video.read_bytes()):
                reader.put(message)
        if len(reader.frames) >= 8:
            break
    assert reader.headers and set(reader.frames) <= {frame.sample for frame in frames} and len(reader.frames) >= 8
    if carrier == "sei":
        assert len(pictures(video.read_bytes())) >= 4
    assert face.stats()["motion_messages"] >= 8
    face.interrupt()
    await face.close()
    await hears.close()
    with pytest.raises(InvalidArgument, match="SEI"):
        Agora(AgoraOptions(uid="1", egress="both", motion_carrier="sei", **options))


def pictures(stream: bytes) -> list[Any]:
    decoder: Any = av.CodecContext.create("h264", "r")
    found = []
    for packet in decoder.parse(stream):
        found += decoder.decode(packet)
    assert all((picture.to_ndarray()[: picture.height] == 16).all() for picture in found)
    return found
