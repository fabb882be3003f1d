"""Shared rings from Python: the layout as documented, sessions that other processes follow, and how both sides die."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lipwire
from lipwire import Frame, SharedReader, SharedWriter, _core
from lipwire.errors import BadData, BadState, InvalidArgument
from lipwire.publish import Shared

W, H = 64, 36
BLOCK = bytes(range(240)) * 4


def tone(seconds: float) -> bytes:
    t = np.arange(int(seconds * 48000)) / 48000
    return (np.sin(2 * np.pi * 300 * t) * 9000).astype(np.int16).tobytes()


def picture(shade: int) -> Frame:
    frame = Frame(W, H)
    frame.i420[:] = shade
    return frame


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Neither descriptors nor mappings of rings nor names."""

    def held() -> tuple[int, int, int]:
        gc.collect()
        maps = Path("/proc/self/maps").read_text()
        names = [name for name in os.listdir("/dev/shm") if name.startswith(f"lipwire-{os.getpid()}-")]
        return len(os.listdir("/proc/self/fd")), maps.count("memfd:lipwire"), len(names)

    before = held()
    yield
    assert held() == before


def test_the_layout_is_the_documented_one() -> None:
    writer = SharedWriter(W, H, (30, 1), session="abc", matrix="bt601", slots=3, keep=2, pcm_blocks=5)
    writer.write_pcm(BLOCK, 480)
    writer.write_pcm(BLOCK[::-1], 960)
    assert writer.interrupt() == 1
    writer.write_frame(picture(77), sample=1600)
    raw = os.pread(writer.fileno(), 1 << 20, 0)
    assert struct.unpack_from("<8sIIQ64s", raw, 0) == (b"LWSHARE\0", 1, 4096, len(raw), b"abc".ljust(64, b"\0"))
    assert struct.unpack_from("<8i", raw, 88) == (W, H, 30, 1, 1, 48000, 480, os.getpid())
    assert struct.unpack_from("<4i", raw, 120) == (5, 3, 2, 0)
    pcm, entries, frames, stride = struct.unpack_from("<4Q", raw, 136)
    assert (pcm, entries, frames, stride) == (4096, 4096 + 5 * 1024, 12288, 4096)
    assert len(raw) == frames + 3 * stride
    assert struct.unpack_from("<2q", raw, 256) == (2, 0)
    assert struct.unpack_from("<2q", raw, 320) == (1, 0)
    generation, beat, clock, ended, wake = struct.unpack_from("<3q2I", raw, 384)
    assert (generation, clock, ended, wake) == (1, 1440, 0, 4) and 0 <= time.monotonic_ns() - beat < 60e9
    assert struct.unpack_from("<2q", raw, pcm + 1024)[:2] == (960, 0)
    assert raw[pcm + 1024 + 64 : pcm + 2048] == BLOCK[::-1]
    sample, sequence, born, utterance, due, published, slot, flags, number = struct.unpack_from(
        "<3qQ2qiIq", raw, entries
    )
    assert (sample, sequence, born, utterance, due, slot, flags, number) == (1600, 0, 1, 0, 0, 0, 0, 0)
    assert published == beat
    assert raw[frames : frames + W * H * 3 // 2] == bytes([77]) * (W * H * 3 // 2)


def test_what_is_written_is_read() -> None:
    writer = SharedWriter(W, H, session="größer", slots=4)
    reader = SharedReader(writer)
    assert (reader.width, reader.height, reader.fps, reader.session) == (W, H, (25, 1), "größer")
    assert (reader.matrix, reader.pid, reader.lag, reader.lost) == ("bt709", os.getpid(), (0, 0), (0, 0))
    assert reader.read_pcm() is None and reader.read_frame() is None and not reader.wait(0)
    writer.write_pcm(BLOCK, 0)
    writer.write_frame(picture(5), sample=1920)
    assert reader.wait(10) and reader.lag == (1, 1)
    block, frame = reader.read_pcm(), reader.read_frame()
    assert block is not None and frame is not None
    assert (bytes(block), block.sample, block.generation) == (BLOCK, 0, 0)
    assert (frame.sample, frame.changed, frame.utterance) == (1920, True, 0)
    assert (frame.i420 == 5).all() and frame.i420.shape == (H * 3 // 2, W)
    assert memoryview(frame).readonly and memoryview(block).readonly and not frame.i420.flags.writeable
    assert block.valid and frame.valid
    for shade in range(3):
        writer.write_frame(picture(shade))
    assert not frame.valid and block.valid
    writer.close()
    writer.close()
    assert reader.ended and not reader.alive and reader.wait(10) and reader.lag == (0, 3)
    with pytest.raises(BadState):
        writer.write_pcm(BLOCK, 480)


def test_a_view_outlives_reader_and_writer() -> None:
    writer = SharedWriter(W, H)
    reader = SharedReader(writer.path)
    writer.write_frame(picture(9))
    frame = reader.read_frame()
    assert frame is not None
    view = frame.i420
    del writer, reader, frame
    gc.collect()
    assert (view == 9).all()


def test_interrupt_drops_what_is_older_and_seek_finds_what_is_left() -> None:
    writer = SharedWriter(0, 0, pcm_blocks=10)
    reader = SharedReader(writer)
    for n in range(15):
        if n == 12:
            assert writer.interrupt() == 1
        writer.write_pcm(BLOCK, 480 * n)
    block = reader.read_pcm()
    assert block is not None and (block.sample, block.generation, reader.generation) == (12 * 480, 1, 1)
    assert reader.lost == (5, 0) and reader.stats()["pcm_stale"] == 7
    assert reader.seek(13 * 480 + 479) == 0
    block = reader.read_pcm()
    assert block is not None and block.sample == 13 * 480
    assert reader.seek(4 * 480 + 100) == 380
    assert reader.seek() == 0 and reader.read_pcm() is None
    with pytest.raises(InvalidArgument):
        reader.seek(-1)


@pytest.mark.parametrize(
    "args, options",
    [
        ((33, 36), {}),
        ((W, H, (0, 1)), {}),
        ((W, H), {"slots": 1}),
        ((W, H), {"slots": 4, "keep": 4}),
        ((W, H), {"pcm_blocks": 1}),
        ((W, H), {"session": "x" * 64}),
        ((W, H), {"matrix": "rgb"}),
    ],
)
def test_what_a_writer_refuses(args: tuple[Any, ...], options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        SharedWriter(*args, **options)


def test_what_a_reader_refuses(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(bytes(8192))
    with pytest.raises(BadData, match="no shared ring"):
        SharedReader(str(other))
    writer = SharedWriter(W, H)
    raw = bytearray(os.pread(writer.fileno(), 1 << 20, 0))
    raw[8] = 2
    other.write_bytes(raw)
    with pytest.raises(BadData, match="another version"):
        SharedReader(other)
    with pytest.raises(FileNotFoundError):
        SharedReader(str(tmp_path / "none"))
    with pytest.raises(BadData, match="no file"):
        SharedReader(-1)
    for kind in (_core.SharedFrame, _core.SharedPcm):
        with pytest.raises(TypeError):
            kind()
    with pytest.raises(InvalidArgument):
        writer.write_frame(Frame(W, H + 2))
    with pytest.raises(InvalidArgument):
        writer.write_pcm(bytes(958), 0)


def test_a_performer_draws_where_readers_look() -> None:
    avatar = lipwire.Avatar.load("aria").at(W, H)
    writer = SharedWriter(W, H, slots=6, keep=3)
    plain = _core.Performer(avatar, seed=3)
    performer = _core.Performer(avatar, seed=3, memory=writer)
    reader = SharedReader(writer)
    for p in (plain, performer):
        p.write(tone(1.0), 48000)
    first = None
    for _ in range(200):
        plain.tick()
        performer.tick()
        want, frame = plain.read_frame(), performer.read_frame()
        if want is None or frame is None:
            assert want is frame
            continue
        writer.write_frame(frame)
        seen = reader.read_frame()
        assert seen is not None and seen.valid
        assert (seen.sample, seen.sequence, seen.changed) == (want.sample, want.sequence, want.changed)
        assert (seen.i420 == want.i420).all()
        # One memory, two mappings: what is written by one address is read by the other.
        assert (frame.i420.ctypes.data - seen.i420.ctypes.data) % 4096 == 0
        first = (frame.i420.ctypes.data - seen.i420.ctypes.data) if first is None else first
        assert frame.i420.ctypes.data - seen.i420.ctypes.data == first
        frame.i420[0, 0] ^= 1
        assert seen.i420[0, 0] == frame.i420[0, 0] != want.i420[0, 0]
        frame.i420[0, 0] ^= 1
    assert performer.stats()["frames_dropped"] == 0
    assert performer.stats()["bytes"] < plain.stats()["bytes"]
    with pytest.raises(BadState):
        _core.Performer(avatar, memory=writer)
    with pytest.raises(InvalidArgument):
        _core.Performer(avatar, memory=SharedWriter(W, H + 2))
    with pytest.raises(InvalidArgument):
        writer.write_frame(picture(1))


def test_the_last_pictures_outlive_the_end() -> None:
    writer = SharedWriter(W, H, slots=6, keep=2)
    performer = _core.Performer(lipwire.Avatar.load("aria").at(W, H), (100, 1), memory=writer)
    reader = SharedReader(writer)
    for _ in range(5):
        performer.tick()
        frame = performer.read_frame()
        assert frame is not None
        writer.write_frame(frame)
    slot = frame.i420.ctypes.data
    del frame
    writer.close()
    gc.collect()
    last = [reader.read_frame(), reader.read_frame()]
    shown = [None if seen is None else bytes(seen) for seen in last]
    performer.write(tone(1.0), 48000)
    for _ in range(60):
        performer.tick()
        drawn = performer.read_frame()
        assert drawn is not None and drawn.i420.ctypes.data != slot
    assert [None if seen is None else bytes(seen) for seen in last] == shown and all(shown)
    assert all(seen is not None and seen.valid for seen in last)
    assert drawn is not None
    with pytest.raises(BadState):
        writer.write_frame(drawn)


def test_a_held_frame_keeps_its_slot() -> None:
    writer = SharedWriter(W, H, slots=4, keep=1)
    performer = _core.Performer(lipwire.Avatar.load("aria").at(W, H), (100, 1), memory=writer)
    performer.tick()
    mine = performer.read_frame()
    assert mine is not None
    writer.write_frame(mine)
    shown = bytes(mine)
    for _ in range(20):
        performer.tick()
        frame = performer.read_frame()
        assert frame is not None
        writer.write_frame(frame)
        assert frame.i420.ctypes.data != mine.i420.ctypes.data
    assert bytes(mine) == shown


# ------------------------------------------------------------------------------------------------------- two processes

FOLLOW = """
import json, sys
from lipwire import SharedReader
reader = SharedReader(int(sys.argv[1]) if sys.argv[1].isdigit() else sys.argv[1])
reader.seek(0)
print("ready", flush=True)
if not reader.alive:
    reader.wait(10)  # a slow start: nobody has written, or beaten, meanwhile
blocks, frames, loud, gaps, bad, at = 0, 0, 0, 0, 0, None
while not (reader.ended and reader.lag == (0, 0)) and (reader.alive or reader.ended):
    reader.wait(5)
    while (block := reader.read_pcm()) is not None:
        loud += any(bytes(block))
        gaps += at is not None and block.sample != at
        bad += not block.valid
        at = block.sample + 480
        blocks += 1
    while (frame := reader.read_frame()) is not None:
        frames += frame.i420.max() > 60
        bad += not frame.valid
print(json.dumps(dict(blocks=blocks, frames=int(frames), loud=loud, gaps=gaps, bad=bad, lost=reader.lost,
                      ended=reader.ended)))
"""


def follower(ring: SharedWriter | str, **options: Any) -> subprocess.Popen[str]:
    where = ring if isinstance(ring, str) else ring.path
    child = subprocess.Popen([sys.executable, "-c", FOLLOW, where], stdout=subprocess.PIPE, text=True, **options)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize("named", [False, True])
async def test_another_process_follows_a_session(named: bool) -> None:
    publisher = Shared(named=named)
    with pytest.raises(BadState):
        _ = publisher.ring
    async with lipwire.Session(publisher, width=W, height=H) as session:
        child = await asyncio.to_thread(follower, publisher.ring)
        doomed = await asyncio.to_thread(follower, publisher.ring)
        session.write(tone(1.0), 48000)
        session.end()
        await asyncio.sleep(0.3)
        doomed.send_signal(signal.SIGKILL)
        doomed.communicate()
        await session.finished()
        stats = session.stats()
    out, _ = await asyncio.to_thread(child.communicate)
    heard = json.loads(out)
    assert child.returncode == 0 and heard["ended"] and heard["gaps"] == 0 and heard["lost"][0] == 0
    assert heard["loud"] >= 99 and heard["frames"] + heard["lost"][1] + stats["late"] >= 24 and heard["frames"] > 0
    assert stats["pcm_dropped"] == 0
    assert not (named and os.path.exists(f"/dev/shm/lipwire-{os.getpid()}-0"))


async def test_an_interrupt_reaches_the_readers() -> None:
    publisher = Shared()
    async with lipwire.Session(publisher, width=W, height=H) as session:
        reader = SharedReader(publisher.ring)
        session.write(tone(5.0), 48000)
        while session.stats()["clock_s"] < 0.3:
            await asyncio.sleep(0.02)
        assert reader.lag[0] > 10
        session.interrupt()
        mark = reader.stats()["clock"]
        while reader.stats()["clock"] < mark + 4800:
            await asyncio.sleep(0.02)
        block = reader.read_pcm()
        assert block is not None and block.generation == 1 and block.sample == mark
        assert reader.stats()["pcm_stale"] > 10


def test_a_ring_is_handed_over_by_descriptor() -> None:
    writer = SharedWriter(W, H)
    fd = os.dup(writer.fileno())
    os.set_inheritable(fd, True)
    child = follower(str(fd), pass_fds=(fd,))
    os.close(fd)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(ours, [b"x"], [writer.fileno()])
        _, fds, _, _ = socket.recv_fds(theirs, 1, 1)
        reader = SharedReader(fds[0])
        os.close(fds[0])
    writer.write_pcm(BLOCK, 0)
    writer.close()
    assert json.loads(child.communicate()[0])["blocks"] == 1
    block = reader.read_pcm()
    assert block is not None and bytes(block) == BLOCK


WRITE = """
import sys, time
from lipwire import SharedWriter
writer = SharedWriter(64, 36, named=sys.argv[1] == "1")
print(writer.path, flush=True)
for n in range(10**9):
    writer.write_pcm(bytes(960), 480 * n)
    time.sleep(0.005)
"""


@pytest.mark.parametrize("named", ["0", "1"])
def test_a_killed_writer_is_noticed_and_leaves_nothing(named: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITE, named], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    path = child.stdout.readline().strip()
    reader = SharedReader(path)
    heard = 0
    while heard < 20:
        assert reader.wait(20) and reader.alive
        while reader.read_pcm() is not None:
            heard += 1
    child.kill()
    child.communicate()
    while reader.read_pcm() is not None:
        pass
    silent_from = reader.stats()["heartbeat_ns"]
    assert not reader.wait(60) and not reader.alive and not reader.ended
    assert time.monotonic_ns() - silent_from >= _core.SHARE_SILENT * 1e9
    _core.share_sweep()
    assert not os.path.exists(path)


def test_a_forked_child_ends_nothing() -> None:
    writer = SharedWriter(W, H, named=True)
    reader = SharedReader(writer)
    pid = os.fork()
    if pid == 0:
        writer.close()
        del writer
        os._exit(0)
    os.waitpid(pid, 0)
    assert reader.alive and os.path.exists(writer.path)
    writer.write_pcm(BLOCK, 0)
    assert reader.lag == (1, 0)
