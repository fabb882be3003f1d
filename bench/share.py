"""A 1080p picture from one process to another, both on one core, 25 a second: CPU a frame on both sides, and latency.

In turn: the shared ring with pictures drawn in place (`Performer(memory=...)`), the ring with one copy, a pipe with
FlatBuffers messages, `multiprocessing.shared_memory` slots with a queue of their numbers; beside them memcpy of the
picture. Each side's CPU: the writer's thread in the call that sends, the reader's process from its first frame to its
last. The reader looks at three places of each picture, which follow from its number, and at no more of it: what it does
with the rest costs the same whichever way it came. Latency: before the call -> the reader has a view and has looked.
"""

from __future__ import annotations

import fcntl
import importlib.util
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

import harness
from harness import Results
from lipwire import Frame, SharedReader, SharedWriter, _core

W, H, FPS = 1920, 1080, 25
BYTES = W * H * 3 // 2
PLACES = (0, BYTES // 2 // 8, BYTES // 8 - 1)
SLOTS, KEEP = 8, 4
GOAL = 20
FORK = multiprocessing.get_context("fork")
Bytes = NDArray[np.uint8]
Received = Iterator[tuple[int, int, Any]]
"""Of each picture: its number, when it was sent (ns), a buffer."""


def stamp(pixels: Any, number: int) -> None:
    words = np.frombuffer(pixels, np.uint8).view(np.int64)
    for place in PLACES:
        words[place] = number * 1_000_003 + place


def check(pixels: Any, number: int) -> None:
    words = np.frombuffer(pixels, np.uint8).view(np.int64)
    for place in PLACES:
        if words[place] != number * 1_000_003 + place:
            raise AssertionError(f"picture {number} is not whole")


# ---------------------------------------------------------------------------------------------------------- transports


class Ring:
    """The shared ring. `sample` carries the time of sending."""

    def __init__(self, in_place: bool) -> None:
        self.writer = SharedWriter(W, H, slots=SLOTS + KEEP, keep=KEEP)
        self.performer = _core.Performer(None, (100, 1), size=(W, H), memory=self.writer) if in_place else None
        self.frame = Frame(W, H)

    def picture(self) -> Any:
        """Memory to draw the next picture in."""
        if self.performer is not None:
            self.performer.tick()
            while self.performer.read_pcm() is not None:
                pass
            frame = self.performer.read_frame()
            assert frame is not None
            self.frame = frame
        return self.frame

    def send(self, number: int, now: int) -> None:
        self.writer.write_frame(self.frame, now)

    def receive(self, frames: int) -> Received:
        reader = SharedReader(self.writer)
        reader.seek(0)
        number = 0
        while number < frames:
            reader.wait(10)
            while (frame := reader.read_frame()) is not None:
                yield number, frame.sample, frame
                assert frame.valid
                number += 1


class Pipe:
    """A FlatBuffers message {number, sent, pixels}, its length before it."""

    def __init__(self) -> None:
        self.ends = os.pipe()
        for end in self.ends:
            fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, 1 << 20)  # the most that an ordinary user may have
        self.pixels = bytearray(BYTES)
        self.drawn = b""

    def picture(self) -> Any:
        return self.pixels

    def ready(self) -> None:
        """The builder takes bytes only; a program may happen to have its picture in some, so this is not counted."""
        self.drawn = bytes(self.pixels)

    def send(self, number: int, now: int) -> None:
        import flatbuffers

        b = flatbuffers.Builder(BYTES + 1024)
        vector = b.CreateByteVector(self.drawn)
        b.StartObject(3)
        b.PrependInt64Slot(0, number, -1)
        b.PrependInt64Slot(1, now, -1)
        b.PrependUOffsetTRelativeSlot(2, vector, 0)
        b.FinishSizePrefixed(b.EndObject())
        left = memoryview(b.Output())
        while left:
            left = left[os.write(self.ends[1], left) :]

    def receive(self, frames: int) -> Received:
        from flatbuffers import encode, number_types, packer, table

        message = memoryview(bytearray(BYTES + 4096))
        for _ in range(frames):
            self._fill(message[:4])
            size = int.from_bytes(message[:4], "little")
            self._fill(message[:size])
            root = table.Table(message, encode.Get(packer.uoffset, message, 0))
            number, now = (root.Get(number_types.Int64Flags, root.Pos + root.Offset(at)) for at in (4, 6))
            yield number, now, root.GetVectorAsNumpy(number_types.Uint8Flags, root.Offset(8))

    def _fill(self, part: memoryview) -> None:
        while part:
            part = part[os.readv(self.ends[0], [part]) :]


class Slots:
    """Slots in `SharedMemory`, their numbers in a queue without a thread of its own."""

    def __init__(self) -> None:
        self.memory = SharedMemory(create=True, size=SLOTS * BYTES)
        self.queue = FORK.SimpleQueue()
        self.pixels = np.zeros(BYTES, np.uint8)

    def picture(self) -> Any:
        return self.pixels

    def send(self, number: int, now: int) -> None:
        at = number % SLOTS * BYTES
        np.frombuffer(self.memory.buf, np.uint8, BYTES, at)[:] = self.pixels
        self.queue.put((number, now))

    def receive(self, frames: int) -> Received:
        for _ in range(frames):
            number, now = self.queue.get()
            yield number, now, np.frombuffer(self.memory.buf, np.uint8, BYTES, number % SLOTS * BYTES)

    def unlink(self) -> None:
        self.memory.unlink()


# ------------------------------------------------------------------------------------------------------------- measure


def read_all(transport: Any, frames: int, told: Connection) -> None:
    latencies, began = [], 0
    told.send("ready")
    for number, sent, pixels in transport.receive(frames):
        check(pixels, number)
        latencies.append((time.monotonic_ns() - sent) / 1000)
        del pixels
        if number == 0:
            began = time.process_time_ns()
    told.send((latencies[1:], (time.process_time_ns() - began) / (frames - 1) / 1000))
    told.close()
    os._exit(0)  # what was forked with it is the writer's to put away


def measure(make: Callable[[], Any], frames: int) -> dict[str, Any]:
    """Microseconds of CPU a frame, of each side, and the latencies."""
    transport = make()
    mine, theirs = FORK.Pipe()
    child = FORK.Process(target=read_all, args=(transport, frames, theirs))
    child.start()
    assert mine.recv() == "ready"
    time.sleep(0.2)
    taken = []
    due = time.monotonic_ns()
    for number in range(frames):
        due += 1_000_000_000 // FPS
        time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
        stamp(transport.picture(), number)
        if hasattr(transport, "ready"):
            transport.ready()
        now, cpu = time.monotonic_ns(), time.thread_time_ns()
        transport.send(number, now)
        taken.append((time.thread_time_ns() - cpu) / 1000)
    if not mine.poll(30):
        raise AssertionError("the reader has not got every picture")
    latencies, reader = mine.recv()
    child.join()
    if hasattr(transport, "unlink"):
        transport.unlink()
    writer = sum(taken[1:]) / (frames - 1)
    return {"cpu": writer + reader, "writer": writer, "reader": reader, "latencies": latencies}


def memcpy(rounds: int) -> float:
    """Median microseconds; each time another pair of buffers, as with pictures that come and go."""
    buffers = [np.full(BYTES, n, np.uint8) for n in range(SLOTS)]
    taken = []
    for n in range(rounds):
        began = time.thread_time_ns()
        np.copyto(buffers[n % SLOTS], buffers[(n + 3) % SLOTS])
        taken.append((time.thread_time_ns() - began) / 1000)
    return harness.percentile(taken, 50)


def run(results: Results, quick: bool) -> None:
    makers: dict[str, Callable[[], Any]] = {
        "ring, drawn in place": lambda: Ring(True),
        "ring, one copy": lambda: Ring(False),
        "shared_memory + queue": Slots,
    }
    if importlib.util.find_spec("flatbuffers"):
        makers["pipe + FlatBuffers"] = Pipe
    else:
        results.skip("pipe + FlatBuffers", "pip install flatbuffers")
    harness.one_core()
    frames, rounds = (26, 1) if quick else (101, 4)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in makers}
    copies = []
    for _ in range(rounds):
        for name, make in makers.items():
            runs[name].append(measure(make, frames))
        copies.append(memcpy(200))
    copy = min(copies)
    results.add("memcpy", copy, "us per frame", n=len(copies) * 200)
    best = {name: min(run["cpu"] for run in got) for name, got in runs.items()}
    for name, got in runs.items():
        latencies = [value for run in got for value in run["latencies"]]
        pick = min(got, key=lambda run: run["cpu"])
        extra: dict[str, Any] = {key: pick[key] for key in ("writer", "reader")} | {"memcpys": best[name] / copy}
        goal = None
        if name == "ring, drawn in place":
            extra["times"] = {peer: best[peer] / best[name] for peer in best if peer != name}
            if "pipe + FlatBuffers" in best:
                goal = f"<= {best['pipe + FlatBuffers'] / GOAL:.4g}"
        results.add(name, best[name], "us per frame", n=len(latencies), goal=goal, **extra)
        results.add(f"{name}, latency", harness.percentile(latencies, 50), "us", n=len(latencies),
                    **harness.spread(latencies))  # fmt: skip


if __name__ == "__main__":
    harness.main(run, __doc__)
