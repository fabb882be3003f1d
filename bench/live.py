"""The server's side of the live benchmarks: a Service whose sessions are tapped, and a peer that speaks to it. No
benchmark by itself."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from lipwire.app.config import Config
from lipwire.app.service import LiveAvatar, Service
from lipwire.avatar.builtin import draw
from lipwire.servers.connection import Connection
from lipwire.session.session import Latency
from lipwire.stream import Publisher
from peer import Order

NS = time.monotonic_ns
VISIBLE = 24
"""Levels of luma (of 219) by which a pixel must change to count as moved."""


class Arrival(Struct):
    """The first chunk of an utterance."""

    utterance: int
    bytes_ns: list[int]
    """When bytes came out of the socket since the message before."""
    write_ns: int
    """When it was parsed and on its way into the engine."""


class Shown(Struct):
    """A frame as the publisher got it."""

    ns: int
    sample: int
    utterance: int
    mouth_open: bool
    weight: float
    """0..1: how much of the pose is not rest."""
    audio_at: int
    """Position of the newest block of sound that the publisher had by then."""


class Tap(Publisher):
    """A publisher that notes what it is handed, and when, and passes it on."""

    def __init__(self, session: LiveAvatar) -> None:
        self.inner = session._out
        self.session = session
        self.frames: list[Shown] = []
        self.blocks: list[tuple[int, int]] = []
        """(time, position) of each block of sound."""
        self.sounds: list[tuple[int, int]] = []
        """(time, position) of each first sample that is not silence after silence."""
        self.gaps = 0
        self.loud = 0
        self.latencies: dict[int, Latency] = {}
        self.moved: dict[int, tuple[int, int]] = {}
        """Pixels of the mouth that changed visibly: with the first frame of an utterance whose mouth is open against
        the frame before, and in that frame against the one before it (rest)."""
        self._mouth = mouth_box(session.width, session.height)
        self._seen: list[np.ndarray] = []
        self._next: int | None = None
        self._silent = True

    async def open(self, spec: Any) -> None:
        await self.inner.open(spec)

    async def close(self) -> None:
        await self.inner.close()

    def interrupt(self) -> None:
        self.inner.interrupt()

    def audio(self, pcm: bytes, sample: int) -> None:
        now = NS()
        self.gaps += self._next is not None and sample != self._next
        self._next = sample + len(pcm) // 2
        self.blocks.append((now, sample))
        silent = not any(pcm)
        self.loud += not silent
        if self._silent and not silent:
            first = next(i for i, byte in enumerate(pcm) if byte) // 2
            self.sounds.append((now, sample + first))
        self._silent = silent
        self.inner.audio(pcm, sample)

    def video(self, frame: Any) -> None:
        now = NS()
        weight = 1.0 - float(frame.visemes[0])
        shown = Shown(now, frame.sample, frame.utterance, frame.mouth_open, weight, self.blocks[-1][1])
        self.frames.append(shown)
        self._seen = [*self._seen[-2:], frame.i420[self._mouth].copy()]
        if shown.mouth_open and shown.utterance and shown.utterance not in self.moved and len(self._seen) == 3:
            before, rest, first = self._seen
            self.moved[shown.utterance] = visibly(rest, first), visibly(before, rest)
            # The session measures when this call has returned.
            asyncio.get_running_loop().call_soon(self._note, shown.utterance)
        self.inner.video(frame)

    def _note(self, utterance: int) -> None:
        if self.session.latency is not None:
            self.latencies[utterance] = self.session.latency


@cache
def mouth_box(width: int, height: int) -> tuple[slice, slice]:
    """Where the mouth is in a frame, as an index into its luma. Slow the first time."""
    layer = next(layer for layer in draw("aria", width, height).layers if layer.select == "mouth")
    h, w = layer.images[0].shape[:2]
    return slice(int(layer.y), int(layer.y) + h), slice(int(layer.x), int(layer.x) + w)


def visibly(a: np.ndarray, b: np.ndarray) -> int:
    """Pixels that differ by more than VISIBLE."""
    return int(np.count_nonzero(np.abs(a.astype(np.int16) - b.astype(np.int16)) > VISIBLE))


class Machine:
    """How punctual the machine itself is: a process that does nothing but wake up every 10 ms and note how late it was,
    and the time that the hypervisor took away. What is late here is not ours."""

    CODE = (
        "import sys,time\n"
        "late=[];due=time.monotonic()+.01;end=due+float(sys.argv[1])\n"
        "while due<end:\n"
        " time.sleep(max(0,due-time.monotonic()));now=time.monotonic();late.append(now-due);due=max(due,now-.01)+.01\n"
        "print(sum(x>=.01 for x in late),max(late)*1e3,sorted(late)[len(late)*99//100]*1e3)"
    )

    async def watch(self, seconds: float) -> dict[str, float]:
        """Late wake-ups (10 ms or more), the worst and the p99 in ms, and stolen ms."""
        stolen = self._stolen()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", self.CODE, str(seconds), stdout=asyncio.subprocess.PIPE
        )
        try:
            out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        count, worst, p99 = out.split()
        return {
            "machine_late_10ms": int(count),
            "machine_worst_ms": float(worst),
            "machine_p99_ms": float(p99),
            "machine_stolen_ms": self._stolen() - stolen,
        }

    @staticmethod
    def _stolen() -> float:
        return int(Path("/proc/stat").read_text().split()[8]) * 1000 / os.sysconf("SC_CLK_TCK")


class Live:
    """A running Service. `taps` and `arrivals` fill as sessions start and speech comes in."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.taps: dict[str, Tap] = {}
        self.arrivals: dict[str, Arrival] = {}
        """By event id."""
        self._bytes: list[int] = []

    def hook(self) -> None:
        """Puts the stop-watches in: at the socket, before the parser, before the engine, before the publisher."""
        live, provider = self, self.service.provider
        make, steps, read = provider._make_session, provider.steps, Connection.buffer_updated

        async def make_session(*args: Any) -> LiveAvatar:
            session = await make(*args)
            # It runs already, and sounds the same: the stop-watch goes between.
            session._out = live.taps[session.id] = Tap(session)
            write = session._write  # what both write and voice come to

            def timed_write(pcm: Any, rate: int, event_id: str | None, came_ns: int | None = None) -> None:
                now = NS()
                write(pcm, rate, event_id, came_ns)
                if event_id is not None and event_id not in live.arrivals:
                    live.arrivals[event_id] = Arrival(session.performer.writing, live._bytes, now)

            session._write = timed_write
            return session

        def timed_steps(*args: Any) -> Iterator[Literal[True]]:
            yield from steps(*args)
            live._bytes = []

        def timed_read(connection: Connection, nbytes: int) -> None:
            live._bytes.append(NS())
            read(connection, nbytes)

        provider._make_session, provider.steps = make_session, timed_steps
        Connection.buffer_updated = timed_read

    async def speak(self, **order: Any) -> list[dict[str, Any]]:
        """Runs a peer to its end; the lines it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("peer.py")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        given = Order(url=self.service.http_url, api_key=self.service.api_key, **order)
        try:
            out, _ = await process.communicate(msgspec.json.encode(given) + b"\n")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, "the peer failed"
        return [json.loads(line) for line in out.splitlines()]


@asynccontextmanager
async def serving() -> AsyncIterator[Live]:
    """A Service as `lipwire serve` starts it, with default settings, on free ports of the loopback."""
    mouth_box(640, 360)  # here, so that it does not stall the loop later
    async with Service(Config(http_port=0, ws_port=0, viewer=False)) as service:
        live = Live(service)
        live.hook()
        yield live
