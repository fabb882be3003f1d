"""The parts of lipwire.publish.agora that need no SDK: the feed, pacing of data messages, the link, the encoders."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lipwire import G722Decoder, g711, opus
from lipwire.errors import BufferFull, InvalidArgument
from lipwire.publish import agora_wire as wire
from lipwire.publish.agora_codec import AudioEncoder
from lipwire.publish.agora_data import BYTES_A_SECOND, PACKET, PACKETS_A_SECOND, QUEUE, Pacer
from lipwire.publish.agora_feed import PICTURE_SLOTS, SOUND_SLOTS, FeedReader, FeedWriter
from lipwire.publish.agora_worker import Worker
from lipwire.publish.channel import Connection, Message, Trouble

Ends = tuple[FeedWriter, FeedReader]


@pytest.fixture
def feed() -> Iterator[Ends]:
    writer = FeedWriter(64, 36)
    reader = FeedReader(os.dup(writer.fd))
    yield writer, reader
    reader.close()
    reader.close()
    writer.close()
    writer.close()


def block(n: int) -> bytes:
    return bytes([n % 251]) * 960


def take(reader: FeedReader) -> list[tuple[int, int]]:
    taken = []
    while reader.waiting():
        pcm, sample = reader.block()
        taken.append((pcm[0], sample))
        reader.advance()
        reader.commit()
    return taken


def picture(value: int) -> np.ndarray:
    return np.full((54, 64), value, np.uint8)


# ------------------------------------------------------------------------------------------------------------ feed


def test_sound_arrives_in_order(feed: Ends) -> None:
    writer, reader = feed
    assert reader.waiting() == 0
    for n in range(3):
        writer.sound(block(n), n * 480)
    assert take(reader) == [(0, 0), (1, 480), (2, 960)]
    assert writer.stats() | {"written": 3, "sent": 3, "waiting": 0, "lost": 0} == writer.stats()
    with pytest.raises(InvalidArgument):
        writer.sound(b"odd", 0)


def test_a_second_reader_goes_on_where_the_first_had_sent(feed: Ends) -> None:
    writer, reader = feed
    for n in range(5):
        writer.sound(block(n), n)
    reader.waiting()
    reader.advance()
    reader.commit()
    reader.advance()  # taken, but not sent
    other = FeedReader(os.dup(writer.fd))
    assert take(other) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    other.close()


def test_a_full_ring_loses_the_oldest_and_counts(feed: Ends) -> None:
    writer, reader = feed
    for n in range(SOUND_SLOTS + 10):
        writer.sound(block(n), n)
    taken = take(reader)
    assert [sample for _, sample in taken] == list(range(11, SOUND_SLOTS + 10))
    assert all(value == sample % 251 for value, sample in taken)
    assert writer.stats()["lost"] == 11


def test_dropping(feed: Ends) -> None:
    writer, reader = feed
    for n in range(4):
        writer.sound(block(n), n)
    writer.drop()
    writer.sound(block(9), 9)
    assert take(reader) == [(9, 9)]
    assert writer.stats()["lost"] == 0


def test_a_picture_waits_for_its_sound_and_the_newest_is_shown(feed: Ends) -> None:
    writer, reader = feed
    for n in range(4):
        writer.picture(picture(10 + n), n * 1920)
    assert reader.picture(-1) is None
    found = reader.picture(1919)
    assert found is not None and (found[0][0], found[1], writer.stats()["late"]) == (10, 0, 0)
    reader.shown()
    found = reader.picture(5760)
    assert found is not None and (found[0][0], found[1], writer.stats()["late"]) == (13, 5760, 2)
    assert len(found[0]) == 64 * 36 * 3 // 2
    reader.shown()
    assert reader.picture(10**9) is None
    del found


def test_a_reader_that_keeps_up_needs_two_slots(feed: Ends) -> None:
    writer, reader = feed
    resident = []
    for n in range(300):
        writer.picture(picture(n % 256), n)
        found = reader.picture(n)
        assert found is not None and found[0][7] == n % 256
        del found
        reader.shown()
        resident.append(os.fstat(writer.fd).st_blocks)
    assert resident[-1] == resident[2]
    assert writer.dropped_pictures == 0


def test_without_a_reader_pictures_fill_their_slots_and_then_drop(feed: Ends) -> None:
    writer, reader = feed
    for n in range(PICTURE_SLOTS + 5):
        writer.picture(picture(n), n)
    assert writer.dropped_pictures == 5
    for n in range(PICTURE_SLOTS):
        found = reader.picture(n)
        assert found is not None and found[0][0] == n
        del found
        reader.shown()
    writer.picture(picture(77), 100)
    found = reader.picture(100)
    assert found is not None and found[0][0] == 77
    del found


def test_the_feed_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "no"
    path.write_bytes(bytes(8192))
    with path.open("r+b") as file, pytest.raises(InvalidArgument):
        FeedReader(file.fileno())
    writer = FeedWriter(64, 36)
    os.ftruncate(writer.fd, 8192)
    with pytest.raises(InvalidArgument, match="short"):
        FeedReader(writer.fd)


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


# ------------------------------------------------------------------------------------------------------------ link


def test_a_link_carries_messages_and_descriptors_in_order() -> None:
    a, b = socket.socketpair()
    here: wire.Link[wire.Report] = wire.Link(a, wire.Report)
    there: wire.Link[wire.Command] = wire.Link(b, wire.Command)
    fds = [os.memfd_create(name) for name in ("one", "two", "never taken")]
    for n, fd in enumerate(fds):
        os.write(fd, bytes([n]))
        here.send(wire.Leave(n), fd)
    assert there.receive() == [wire.Leave(0), wire.Leave(1), wire.Leave(2)]
    assert [os.pread(there.fds.popleft(), 1, 0) for _ in range(2)] == [b"\0", b"\1"]
    big = wire.Happened(1, Message("someone", os.urandom(3_000_000)))
    there.send(big)
    there.send(wire.Happened(2, Connection("connected")))
    assert there.waiting > 0
    got: list[wire.Report] = []
    while len(got) < 2:
        got += here.receive() or []
        there.flush()
    assert got == [big, wire.Happened(2, Connection("connected"))]
    here.close()
    assert there.receive() is None
    there.send(wire.Pong(1))  # to nobody: no error, nothing kept
    assert there.waiting == 0
    left = there.fds[0]
    there.close()
    with pytest.raises(OSError):
        os.fstat(left)


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
    worker = Worker(theirs, sdk)  # type: ignore[arg-type]
    thread = threading.Thread(target=worker.run)
    thread.start()
    link: wire.Link[wire.Report] = wire.Link(ours, wire.Report)
    feeds = [FeedWriter(64, 36) for _ in range(3)]
    for session, feed in enumerate(feeds, 1):
        link.send(joining(session), feed.fd)
    link.send(wire.Renew(3, "new"))
    link.send(wire.Leave(77))
    link.send(wire.Ping(5))
    reports: list[wire.Report] = []

    def wait_for(report: wire.Report) -> None:
        while report not in reports:
            select.select([ours], [], [], 10)
            got = link.receive()
            assert got, f"{report} did not come: {reports}"
            reports.extend(got)

    wait_for(wire.Pong(5))
    assert wire.Left(77) in reports
    assert wire.Happened(2, Connection("failed", "connect")) in reports
    assert wire.Happened(3, Trouble("renew", message="renew")) in reports
    wait_for(wire.Happened(3, Connection("connected")))
    for feed in feeds:
        feed.sound(block(1), 480)
    wait_for(wire.Happened(1, Connection("failed", "ZeroDivisionError: sound")))
    while feeds[2].stats()["sent"] == 0:
        time.sleep(0.001)
    link.send(wire.Leave(3))
    wait_for(wire.Left(3))
    link.close()
    thread.join(10)
    assert not thread.is_alive() and sdk.closed
    assert sdk.connections[1].closed and sdk.connections[3].closed
    assert sdk.connections[3].sent == [480]
    for feed in feeds:
        feed.close()
