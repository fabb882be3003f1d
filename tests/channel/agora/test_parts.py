"""The parts of lipwire.channel.agora that need no SDK: the feed, pacing of data messages, the encoders, the worker."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lipwire import Frame, G722Decoder, Session, SharedWriter
from lipwire._core import BLOCK, SharedPcm
from lipwire.audio import g711, opus
from lipwire.audio.fade import fade_out
from lipwire.channel.agora import wire
from lipwire.channel.agora.codec import AudioEncoder
from lipwire.channel.agora.data import BYTES_A_SECOND, PACKET, PACKETS_A_SECOND, QUEUE, Pacer
from lipwire.channel.agora.feed import FADEABLE, PICTURES, SILENCE, SOUND_BLOCKS, FeedReader, FeedWriter
from lipwire.channel.agora.units import LIMIT, Units
from lipwire.channel.agora.worker import Worker
from lipwire.channel.base import Connection, Trouble
from lipwire.errors import BadData, BufferFull, InvalidArgument
from lipwire.process.link import Link
from lipwire.publish import Null
from lipwire.stream import StreamSpec

Ends = tuple[FeedWriter, FeedReader]
SPEC = StreamSpec(session_id="test", width=64, height=36, fps=Fraction(25))


def follow(writer: FeedWriter) -> FeedReader:
    ring, page = writer.fds
    return FeedReader(os.dup(ring), os.dup(page))


@pytest.fixture
def feed() -> Iterator[Ends]:
    writer = FeedWriter(SPEC)
    reader = follow(writer)
    yield writer, reader
    reader.close()
    reader.close()
    writer.close()
    writer.close()


def test_units_wait_for_their_sound_and_begin_with_a_key() -> None:
    def unit(number: int, key: bool = False) -> wire.Unit:
        return wire.Unit(1, number * 1920, b"x", key)

    units = Units()
    assert not units.put(unit(0)) and units.put(unit(1, True)) and units.put(unit(2)) and units.put(unit(3))
    assert list(units.due(1919)) == [] and list(units.due(2 * 1920)) == [unit(1, True), unit(2)]
    units.clear()
    assert not units.put(unit(4)) and list(units.due(10**9)) == []
    assert units.put(unit(5, True))
    for number in range(6, 5 + LIMIT):
        assert units.put(unit(number))
    assert not units.put(unit(5 + LIMIT)) and list(units.due(10**9)) == []  # too many: all are lost, up to a key
    assert units.put(unit(100, True)) and list(units.due(10**9)) == [unit(100, True)]


def block(n: int) -> bytes:
    return bytes([n % 251]) * 960


def write(writer: FeedWriter, numbers: Iterable[int]) -> None:
    for n in numbers:
        writer.sound(block(n), n * 480)


def take(reader: FeedReader) -> list[tuple[int, int]]:
    taken = []
    while (pcm := reader.block()) is not None:
        taken.append((memoryview(pcm)[0], pcm.sample // 480))
        reader.take()
        reader.sent(pcm.sample + 480)
    return taken


def picture(value: int) -> Frame:
    frame = Frame(64, 36)
    memoryview(frame)[:] = bytes([value]) * (64 * 54)
    return frame


# ------------------------------------------------------------------------------------------------------------ feed


def test_sound_arrives_in_order(feed: Ends) -> None:
    writer, reader = feed
    assert reader.block() is None and reader.waiting == 0
    write(writer, range(3))
    assert writer.waiting == reader.waiting == 3
    assert reader.block() is reader.block()
    assert reader.waiting == 3
    assert take(reader) == [(0, 0), (1, 1), (2, 2)]
    assert writer.stats() | {"written": 3, "waiting": 0, "lost": 0} == writer.stats()
    with pytest.raises(InvalidArgument):
        writer.sound(b"odd", 0)


def test_a_clock_that_runs_already(feed: Ends) -> None:
    writer, reader = feed
    write(writer, range(100, 102))
    assert writer.waiting == 2
    assert take(reader) == [(100, 100), (101, 101)]
    assert writer.stats()["lost"] == writer.waiting == 0


def test_a_second_reader_goes_on_where_the_first_had_sent(feed: Ends) -> None:
    writer, reader = feed
    write(writer, range(5))
    assert reader.block() is not None
    reader.take()
    reader.sent(480)
    assert reader.block() is not None
    reader.take()  # but not sent
    other = follow(writer)
    assert take(other) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert writer.stats()["lost"] == 0
    other.close()


def test_a_full_ring_loses_the_oldest_and_counts(feed: Ends) -> None:
    writer, reader = feed
    write(writer, range(SOUND_BLOCKS + 10))
    assert take(reader) == [(n % 251, n) for n in range(10, SOUND_BLOCKS + 10)]
    assert writer.stats()["lost"] == 10
    write(writer, range(SOUND_BLOCKS + 10, 2 * SOUND_BLOCKS + 15))
    other = follow(writer)
    assert writer.stats()["lost"] == 15
    assert len(take(other)) == SOUND_BLOCKS
    assert writer.stats()["lost"] == 15
    other.close()


def test_dropping(feed: Ends) -> None:
    writer, reader = feed
    write(writer, range(4))
    writer.picture(picture(1), 0)
    assert reader.block() is not None  # held, and stale from now on
    writer.drop()
    assert writer.waiting == 0
    write(writer, [9])
    writer.picture(picture(2), 9 * 480)
    assert take(reader) == [(9, 9)]
    frame = reader.picture(9 * 480)
    assert frame is not None and memoryview(frame)[0] == 2
    assert writer.stats() | {"lost": 0, "late": 0, "pictures_lost": 0} == writer.stats()


def speech(n: int) -> bytes:
    return np.full(BLOCK, 1000 + n, "<i2").tobytes()


@pytest.mark.parametrize("waiting", [0, 1, 3, 20, 100])
def test_what_an_interrupt_drops_ends_in_one_fade(feed: Ends, waiting: int) -> None:
    """Of what waits nothing is sent but the first 5 ms, faded; the session's own fade, then, is silent."""
    writer, reader = feed
    for n in range(10 + waiting):
        writer.sound(speech(n), n * BLOCK)
    sent = [bytes(send(reader)) for _ in range(10)]
    writer.drop(fade=True)
    session_s = fade_out(speech(10 + waiting))
    writer.sound(session_s, (10 + waiting) * BLOCK)
    writer.sound(speech(500), (11 + waiting) * BLOCK)
    while reader.block() is not None:
        sent.append(bytes(send(reader)))
    assert sent[:10] == [speech(n) for n in range(10)] and sent[-1] == speech(500)
    kept = 0 < waiting <= FADEABLE
    between = [fade_out(speech(10)), SILENCE] if kept else [session_s]
    assert sent[10:-1] == between
    assert writer.waiting == 0


def test_nobody_hears_a_fade_of_what_waited_for_a_worker(feed: Ends) -> None:
    writer, reader = feed
    writer.sound(speech(1), 0)
    writer.drop()
    writer.sound(speech(2), BLOCK)
    assert bytes(send(reader)) == speech(2) and reader.block() is None


def send(reader: FeedReader) -> SharedPcm:
    """What the worker does with a block."""
    block = reader.block()
    assert block is not None
    reader.take()
    reader.sent(block.sample + BLOCK)
    return block


@pytest.mark.parametrize("codec", [0, 8, 9, 120, 122])
def test_half_a_packet_fades_out(codec: int) -> None:
    encoder = AudioEncoder(codec)
    assert not encoder.interrupt()
    assert encoder.encode(speech(3000)) == []
    assert encoder.interrupt()
    left = np.frombuffer(bytes(encoder._pcm), "<i2")
    assert len(left) == encoder.rate // 100 and not left[encoder.rate // 200 :].any()


def test_a_picture_waits_for_its_sound_and_the_newest_is_shown(feed: Ends) -> None:
    writer, reader = feed
    for n in range(4):
        writer.picture(picture(10 + n), n * 1920)
    assert reader.picture(-1) is None
    frame = reader.picture(1919)
    assert frame is not None and (frame.i420[0, 0], frame.sample, writer.stats()["late"]) == (10, 0, 0)
    reader.shown(frame)
    frame = reader.picture(5760)
    assert frame is not None and (frame.i420[0, 0], frame.sample, writer.stats()["late"]) == (13, 5760, 2)
    reader.shown(frame)
    assert reader.picture(10**9) is None
    assert writer.stats()["pictures_shown"] == 2


def test_a_reader_that_keeps_up_needs_two_slots(feed: Ends) -> None:
    writer, reader = feed
    resident = []
    for n in range(300):
        writer.picture(picture(n % 256), n)
        frame = reader.picture(n)
        assert frame is not None and memoryview(frame)[7] == n % 256 and frame.slot < 2
        reader.shown(frame)
        resident.append(os.fstat(writer.fds[0]).st_blocks)
    assert resident[-1] == resident[PICTURES + 1]  # the list of pictures has been round by then
    assert writer.stats()["pictures_lost"] == 0


def test_without_a_reader_pictures_wait_and_then_the_oldest_go(feed: Ends) -> None:
    writer, reader = feed
    for n in range(PICTURES + 5):
        writer.picture(picture(n), n)
    for n in range(5, PICTURES + 5):
        frame = reader.picture(n)
        assert frame is not None and memoryview(frame)[0] == n and frame.valid
        reader.shown(frame)
    assert writer.stats()["pictures_lost"] == 5
    writer.picture(picture(77), 100)
    frame = reader.picture(100)
    assert frame is not None and memoryview(frame)[0] == 77


async def test_a_session_draws_in_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    class Fed(Null):
        def memory(self, spec: StreamSpec, slots: int) -> SharedWriter:
            self.feed = FeedWriter(spec, slots)
            self.reader = follow(self.feed)
            return self.feed.ring

        def interrupt(self) -> None:
            self.feed.drop()

        def video(self, frame: Frame) -> None:
            self.feed.picture(frame)
            shown = self.reader.picture(frame.sample)
            assert shown is not None and shown.valid
            taken.append((shown.slot, bytes(shown) == bytes(frame)))
            self.reader.shown(shown)

    publisher = Fed()
    async with Session(publisher, width=64, height=36):
        while len(taken) < 20:
            await asyncio.sleep(0.02)
    assert {same for _, same in taken} == {True}
    assert max(slot for slot, _ in taken) <= 3
    publisher.reader.close()
    publisher.feed.close()


def test_the_feed_refuses_what_it_does_not_know(tmp_path: Path, feed: Ends) -> None:
    path = tmp_path / "no"
    path.write_bytes(bytes(8192))
    ring, page = feed[0].fds
    descriptors = len(os.listdir("/proc/self/fd"))
    with path.open("r+b") as file:
        with pytest.raises(BadData):
            FeedReader(os.dup(file.fileno()), os.dup(page))
        with pytest.raises(InvalidArgument, match="version"):
            FeedReader(os.dup(ring), os.dup(file.fileno()))
        os.ftruncate(file.fileno(), 100)
        with pytest.raises(InvalidArgument, match="page"):
            FeedReader(os.dup(ring), os.dup(file.fileno()))
    assert len(os.listdir("/proc/self/fd")) == descriptors


# ------------------------------------------------------------------------------------------------------------ data


@pytest.mark.parametrize("size", [1, 100, 512, 513, 1024])
def test_the_caps_hold_in_every_second(size: int) -> None:
    pacer, sent = Pacer(), []
    for tick in range(1000):
        now = tick * 0.01
        if len(pacer) < 10:
            pacer.put(b"x" * size)
        while pacer.take(now) is not None:
            sent.append(now)
    for start in sent:
        inside = [t for t in sent if start <= t < start + 1]
        assert len(inside) <= PACKETS_A_SECOND and len(inside) * size <= BYTES_A_SECOND
    assert len(sent) >= 0.55 * 10 * min(PACKETS_A_SECOND, BYTES_A_SECOND / size)


def test_the_queue_is_bounded_and_what_is_given_back_comes_first() -> None:
    pacer = Pacer()
    for _ in range(QUEUE // PACKET):
        pacer.put(b"x" * PACKET)
    with pytest.raises(BufferFull):
        pacer.put(b"y")
    first = pacer.take(0.0)
    assert first is not None and pacer.take(0.01) is None
    pacer.give_back(b"z")
    assert pacer.take(1.0) == b"z"


# -------------------------------------------------------------------------------------------------------- encoders


@pytest.mark.parametrize("rtc_codec", [0, 8, 9, 120, 122])
def test_what_is_encoded_is_the_sound(rtc_codec: int) -> None:
    t = np.arange(48_000) / 48_000
    pcm = (np.sin(2 * np.pi * 440 * t) * 9000).astype(np.int16).tobytes()
    encoder = AudioEncoder(rtc_codec)
    packets = [p for at in range(0, len(pcm), 960) for p in encoder.encode(pcm[at : at + 960])]
    assert 49 <= len(packets) <= 50
    if rtc_codec in (120, 122):
        parsed = opus.parse(packets[0])
        assert parsed.samples == 960
        assert parsed.bandwidth == ("WB" if rtc_codec == 120 else "FB")
        decoder = opus.OpusDecoder(channels=1)
        rate, sound = 48_000, b"".join(decoder.decode(p) for p in packets)
    elif rtc_codec == 9:
        rate, sound = 16_000, G722Decoder().decode(b"".join(packets))
    else:
        decode = g711.ulaw_decode if rtc_codec == 0 else g711.alaw_decode
        rate, sound = 8_000, decode(b"".join(packets))
    heard = np.frombuffer(sound, np.int16)[rate // 4 :].astype(float)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert abs(int(spectrum.argmax()) * rate / len(heard) - 440) < 3
    assert 5500 < np.sqrt((heard**2).mean()) < 7200


# ---------------------------------------------------------------------------------------------------------- worker


class FakeConnection:
    """What the worker sees of a connection; `faults` raise."""

    def __init__(self, session: int, post: Callable[[object], None], faults: set[str]) -> None:
        self.sent: list[int] = []
        self.closed = False
        self._faults = faults
        if "connect" in faults:
            raise ZeroDivisionError("connect")
        post(Connection("connected"))

    def sound(self, pcm: memoryview, sample: int) -> int:
        if "sound" in self._faults:
            raise ZeroDivisionError("sound")
        self.sent.append(sample)
        return 0

    def renew(self, token: str) -> int:
        raise ZeroDivisionError("renew")

    def close(self) -> None:
        self.closed = True


class FakeSdk:
    def __init__(self, faults: dict[int, set[str]]) -> None:
        self.connections: dict[int, FakeConnection] = {}
        self.closed = False
        self._faults = faults

    def connect(self, join: wire.Join, post: Callable[[object], None]) -> FakeConnection:
        made = FakeConnection(join.session, post, self._faults.get(join.session, set()))
        self.connections[join.session] = made
        return made

    def close(self) -> None:
        self.closed = True


def joining(session: int) -> wire.Join:
    return wire.Join(
        session=session,
        token="t",
        channel="c",
        uid=str(session),
        width=64,
        height=36,
        fps=25.0,
        video=False,
        codec="H264",
        kbps=100,
        rtc_codec=None,
        audio_scenario=9,
        receive=False,
        seen_every=1.0,
    )


def test_what_one_session_raises_does_not_end_the_others() -> None:
    ours, theirs = socket.socketpair()
    sdk = FakeSdk({1: {"sound"}, 2: {"connect"}})
    worker = Worker(Link(theirs, wire.Command, fds=10), sdk)  # type: ignore[arg-type]

    def run() -> None:
        worker.run()
        worker.close()

    thread = threading.Thread(target=run)
    thread.start()
    link: Link[wire.Report] = Link(ours, wire.Report)
    feeds = [FeedWriter(SPEC) for _ in range(3)]
    for session, feed in enumerate(feeds, 1):
        link.send(joining(session), feed.fds)
    link.send(wire.Renew(3, "new"))
    link.send(wire.Leave(77))
    link.ping()
    reports: list[wire.Report] = []

    def wait_for(report: wire.Report) -> None:
        while report not in reports:
            assert select.select([ours], [], [], 10)[0], f"{report} did not come: {reports}"
            got = link.receive()
            assert got is not None
            reports.extend(got)

    wait_for(wire.Left(77))
    assert wire.Happened(2, Connection("failed", "connect")) in reports
    assert wire.Happened(3, Trouble("renew", message="renew")) in reports
    wait_for(wire.Happened(3, Connection("connected")))
    for feed in feeds:
        feed.sound(block(1), 480)
    wait_for(wire.Happened(1, Connection("failed", "ZeroDivisionError: sound")))
    while feeds[2].waiting:
        time.sleep(0.001)
    link.send(wire.Leave(3))
    wait_for(wire.Left(3))
    assert link.frames == len(reports) + 1  # the ping was answered
    link.close()
    thread.join(10)
    assert not thread.is_alive() and sdk.closed
    assert sdk.connections[1].closed and sdk.connections[3].closed
    assert sdk.connections[3].sent == [480]
    for feed in feeds:
        feed.close()
