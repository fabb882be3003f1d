"""lipwire.process.link: what one process writes the other one reads, whole and in order, and only what it asked for."""

from __future__ import annotations

import os
import random
import resource
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Struct, msgpack

from lipwire.errors import BadData
from lipwire.process.link import OUT, READ, Link


class Note(Struct, frozen=True, tag=True):
    number: int
    data: bytes = b""


class Deep(Struct, frozen=True, tag=True):
    value: Any


@pytest.fixture
def pair() -> Iterator[tuple[Link[Note], Link[Note]]]:
    a, b = (Link[Note](sock, Note | Deep, fds=4, limit=8 << 20) for sock in socket.socketpair())
    yield a, b
    a.close()
    b.close()


def raw(limit: int = 1000, fds: int = 0) -> tuple[socket.socket, Link[Note]]:
    """A peer that is not to be trusted."""
    ours, theirs = socket.socketpair()
    return theirs, Link(ours, Note | Deep, limit=limit, fds=fds)


def frame(body: bytes) -> bytes:
    return struct.pack("<I", len(body)) + body


def test_messages_arrive_whole_and_in_order(pair: tuple[Link[Note], Link[Note]]) -> None:
    a, b = pair
    rng = random.Random(1)
    notes = [Note(n, rng.randbytes(rng.choice([0, 1, 100, 70_000, 3_000_000]))) for n in range(60)]
    got: list[Note] = []
    for note in notes:
        a.send(note)
        if rng.random() < 0.3:
            got += b.receive() or []
            a.flush()
    while len(got) < len(notes):
        got += b.receive() or []
        a.flush()
    assert got == notes
    assert a.waiting == 0 and b.frames == 60


def test_any_cut_of_the_stream_is_the_same_stream() -> None:
    stream = b"".join(frame(msgpack.encode(Note(n, bytes(n)))) + struct.pack("<I", 0) for n in range(40))
    for seed in range(20):
        rng = random.Random(seed)
        theirs, link = raw()
        got: list[Note] = []
        at = 0
        while at < len(stream):
            at += theirs.send(stream[at : at + rng.randint(1, 60)])
            got += link.receive() or []
        assert got == [Note(n, bytes(n)) for n in range(40)]
        assert theirs.recv(1000) == b"\xff\xff\xff\xff" * 40  # each ping is answered
        link.close()
        theirs.close()


def test_descriptors_arrive_with_their_messages_and_are_not_inherited(pair: tuple[Link[Note], Link[Note]]) -> None:
    a, b = pair
    for n, name in enumerate(("one", "two", "never taken")):
        fd = os.memfd_create(name)
        os.write(fd, bytes([n]))
        a.send(Note(n), [fd])
        os.close(fd)
    assert b.receive() == [Note(0), Note(1), Note(2)]
    assert not any(map(os.get_inheritable, b.fds))
    taken = [b.fds.popleft() for _ in range(2)]
    assert [os.pread(fd, 1, 0) for fd in taken] == [b"\0", b"\1"]
    left = b.fds[0]
    b.close()
    with pytest.raises(OSError):
        os.fstat(left)
    for fd in taken:
        os.close(fd)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("wanted", [0, 2])
def test_descriptors_that_nobody_asked_for(wanted: int) -> None:
    before = open_files()
    theirs, link = raw(fds=wanted)
    fd = os.memfd_create("bomb")
    socket.send_fds(theirs, [frame(msgpack.encode(Note(1)))], [fd] * 100)
    if wanted:
        with pytest.raises(BadData, match="more than the 2 file descriptors"):
            link.receive()
    else:
        assert link.receive() == [Note(1)]
        assert open_files() == before + 3
    link.close()
    theirs.close()
    os.close(fd)
    assert open_files() == before


def test_descriptors_of_what_was_never_sent_are_closed(pair: tuple[Link[Note], Link[Note]]) -> None:
    before = open_files()
    a, b = pair
    fd = os.memfd_create("x")
    a.send(Note(0, bytes(4 << 20)))
    for n in range(5):
        a.send(Note(n), [fd])
    assert open_files() == before + 6 and a.waiting > 3 << 20
    a.close()
    os.close(fd)
    assert open_files() == before - 1
    a.send(Note(1))  # to nobody: no error, nothing kept
    assert a.waiting == 0
    assert b.receive() == []  # the beginning of what was never sent whole
    assert b.receive() is None


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (struct.pack("<I", 1001), "a frame of 1001 bytes, where 1000 is the most"),
        (struct.pack("<I", 0xFFFF_FFFE), "a frame of 4294967294 bytes"),
        (frame(b"\xc1"), "no message"),
        (frame(b"\x81\xa4type\xa4Deep" + b"\x91" * 900), "no message"),
        (frame(msgpack.encode({"type": "Note"})), "missing required field"),
        (frame(msgpack.encode({"type": "Note", "number": "1"})), "Expected `int`"),
        (frame(msgpack.encode({"type": "Other"})), "Invalid value 'Other'"),
        (frame(msgpack.encode(Note(1)) + b"\0"), "no message"),
        (b"Traceback (most recent call last):", "a frame of 1667330644 bytes"),
    ],
)
def test_nonsense(data: bytes, complaint: str) -> None:
    theirs, link = raw()
    theirs.send(data)
    with pytest.raises(BadData, match=complaint):
        link.receive()
    link.close()
    theirs.close()


def test_random_bytes_are_refused_or_waited_for() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        theirs, link = raw()
        data = rng.randbytes(rng.randint(1, 300))
        if seed % 2:
            data = frame(data)
        theirs.send(data)
        try:
            link.receive()
        except BadData:
            pass
        assert len(link._in) <= 1004
        link.close()
        theirs.close()


def test_a_large_frame_is_refused_before_it_is_kept() -> None:
    theirs, link = raw(limit=1 << 20)
    theirs.setblocking(False)
    theirs.send(struct.pack("<I", (1 << 20) + 1))
    with pytest.raises(BadData):
        link.receive()
    assert len(link._in) <= 4
    link.close()
    theirs.close()


def test_a_flood_leaves_the_reader_time() -> None:
    theirs, link = raw()
    stop = threading.Event()

    def flood() -> None:
        data = frame(msgpack.encode(Note(1))) * 2000
        while not stop.is_set():
            try:
                theirs.send(data)
            except OSError:
                return

    thread = threading.Thread(target=flood)
    thread.start()
    most = 0.0
    for _ in range(50):
        began = time.thread_time()
        got = link.receive()
        most = max(most, time.thread_time() - began)
        assert got is not None and len(got) <= 2 * READ // 10
    assert most < 0.25
    stop.set()
    link.close()
    thread.join(10)
    theirs.close()


def test_pings_to_one_who_does_not_read_are_not_answered_for_ever() -> None:
    theirs, link = raw()
    link.waiting = OUT  # as if so much waited
    theirs.send(struct.pack("<I", 0) * 100)
    assert link.receive() == [] and link.frames == 100
    link.waiting = 0
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)
    link.close()
    theirs.close()


def test_threads_send_at_once_and_wait(pair: tuple[Link[Note], Link[Note]]) -> None:
    a, b = pair

    def send(number: int) -> None:
        for n in range(200):
            a.send(Note(number * 1000 + n, bytes(5000)))
            assert a.drain(20)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    got: list[int] = []
    for note in b.messages():
        got.append(note.number)
        if len(got) == 800:
            break
    for thread in threads:
        thread.join(10)
    for number in range(4):
        assert [n for n in got if n // 1000 == number] == [number * 1000 + n for n in range(200)]


def test_draining_gives_up_in_time_and_ends_with_the_peer(pair: tuple[Link[Note], Link[Note]]) -> None:
    a, b = pair
    a.send(Note(1, bytes(4 << 20)))
    began = time.monotonic()
    assert not a.drain(0.1)
    assert 0.09 < time.monotonic() - began < 5
    threading.Timer(0.1, b.close).start()
    assert a.drain(20) and a.waiting == 0
    assert list(a.messages()) == []


def test_waiting_uses_no_processor_time(pair: tuple[Link[Note], Link[Note]]) -> None:
    a, _ = pair
    began = resource.getrusage(resource.RUSAGE_THREAD).ru_utime
    a.wait(0.2)
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_utime - began < 0.05
    assert select.select([a.sock], [], [], 0) == ([], [], [])
