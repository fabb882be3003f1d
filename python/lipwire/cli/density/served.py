"""What is measured: a script of its own, so that another build's interpreter can run it, with that build's lipwire.

    python -P served.py features                          what this build has, as JSON
    python -P served.py render SPEECH OUT AVATAR SIZE FPS how fast it makes a film of a speech file, as JSON
    python -P served.py serve MODE WANTS SPEECH RATE AVATAR SIZE FPS

`serve` takes orders, a line of JSON each, and answers each with one. MODE is `process` (sessions in this process, which
it speaks to itself; order `set`) or `service` (the whole of `lipwire serve`, whose clients are elsewhere). WANTS says
what becomes of a session's pictures: `pictures`, `nothing` and `units` go to a sink that counts, `x264` to one encoder
a session, `viewers` to whoever watches. SPEECH holds raw PCM16 at RATE.

It uses what every build since 0.4 has, and nothing of `lipwire.cli.density`.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import heapq
import inspect
import json
import logging
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lipwire import _core
from lipwire.session import runtime
from lipwire.session.offline import render
from lipwire.session.session import Session
from lipwire.stream import Publisher, StreamSpec

BLOCK, RATE = _core.BLOCK, _core.RATE
PIECE, LEAD = 1.0, 0.5
"""Seconds of speech that the sessions of this process are given at a time, and how long before it is needed."""
STATS = ("late", "underruns", "pcm_dropped", "utterances")
ENGINE = ("lost_ticks", "late_ticks", "busy_ns")


def features() -> dict[str, Any]:
    """What this build is, and which of the lanes' needs it has."""
    return {
        "version": version("lipwire"),
        "core": hashlib.sha256(Path(_core.__file__).read_bytes()).hexdigest()[:8],
        "python": sys.version.split()[0],
        "places": getattr(runtime, "PLACES", 1024),
        "wants": hasattr(Publisher, "wants"),
        "units": hasattr(Publisher, "unit"),
        "atlas": find_spec("lipwire.atlas") is not None,
        "service": find_spec("litestar") is not None,
        "webrtc": find_spec("aiortc") is not None,
    }


class Tally:
    """What the sinks of all sessions saw since the last `clear`."""

    def __init__(self, fps: int) -> None:
        self.interval = RATE // fps
        """Samples from one picture to the next,"""
        self.limit = 1_000_000_000 // fps
        """and ns: what comes later than that is late."""
        self.now: Counter[str] = Counter()
        self.worst = 0
        """ns that the latest sound or picture was late."""

    def clear(self) -> None:
        self.now.clear()
        self.worst = 0

    def late(self, what: str, ns: int) -> None:
        """Something came so much after its time."""
        if ns > self.worst:
            self.worst = ns
        if ns > self.limit:
            self.now[what] += 1


class Sink(Publisher):
    """Counts what it is handed: what is missing, and what is late. A picture says when it was due; sound and units are
    late against the most punctual since `clear`."""

    wants: Any = "pictures"
    takes_units = False
    audio_blocks = 2
    """10 ms that it takes at a time, where a build can give it more than one: 20 ms, as those who encode sound."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.clear()

    def clear(self) -> None:
        """Begins anew."""
        self._next_block = self._next_picture = self._next_look = -1
        self._sound_base = self._unit_base = 1 << 63

    async def open(self, spec: StreamSpec) -> None:
        """Nothing to open."""

    def audio(self, pcm: bytes, sample: int) -> None:
        """Counts blocks; one in 40 ms is looked at for its time."""
        tally, blocks = self.tally, len(pcm) // (2 * BLOCK)
        tally.now["blocks"] += blocks
        if sample != self._next_block and self._next_block >= 0:
            tally.now["lost_blocks"] += abs(sample - self._next_block) // BLOCK
        self._next_block = sample + blocks * BLOCK
        if sample >= self._next_look:
            self._next_look = sample + 4 * BLOCK
            now = time.monotonic_ns() - sample * 1_000_000_000 // RATE
            self._sound_base = min(self._sound_base, now)
            tally.late("late_sound", now - self._sound_base)

    def video(self, frame: Any) -> None:
        """Counts a picture."""
        self.tally.now["drawn"] += 1
        self.tally.late("late_pictures", time.monotonic_ns() - frame.due_ns)
        self.picture(frame.sample)

    def unit(self, unit: Any) -> None:
        """Counts an access unit."""
        self.tally.now["units"] += 1
        self.tally.now["unit_bytes"] += len(unit.data)
        now = time.monotonic_ns() - unit.sample * 1_000_000_000 // RATE
        self._unit_base = min(self._unit_base, now)
        self.tally.late("late_pictures", now - self._unit_base)
        self.picture(unit.sample)

    def picture(self, sample: int) -> None:
        """Whether none is missing before this one."""
        if self._next_picture >= 0:
            self.tally.now["missing_pictures"] += max(0, round((sample - self._next_picture) / self.tally.interval))
        self._next_picture = sample + self.tally.interval


class Nothing(Sink):
    """Nobody looks."""

    wants = "nothing"


class Units(Sink):
    """As for a channel that takes what is encoded. What comes as a picture all the same would have to be encoded."""

    wants = "units"
    takes_units = True


class X264(Sink):
    """Encodes every picture as x264's fastest does, which is the least that an encoder a session costs. A picture is
    there when it is encoded."""

    _pool = ThreadPoolExecutor(1, "density-x264")

    def __init__(self, tally: Tally) -> None:
        super().__init__(tally)
        self._codec: Any = None
        self._waiting = 0

    async def open(self, spec: StreamSpec) -> None:
        """One encoder, one thread."""
        import av

        codec: Any = av.CodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt = spec.width, spec.height, "yuv420p"
        codec.framerate, codec.time_base = spec.fps, 1 / spec.fps
        codec.bit_rate, codec.thread_count = 800_000, 1
        codec.options = {"preset": "ultrafast", "tune": "zerolatency"}
        self._codec = codec

    def video(self, frame: Any) -> None:
        """Queues it, uncopied; where two wait already it is missing."""
        if self._waiting < 2:
            self._waiting += 1
            self._pool.submit(self._encode, frame, asyncio.get_running_loop())

    def _encode(self, frame: Any, loop: asyncio.AbstractEventLoop) -> None:
        from lipwire.publish.pyav import picture

        size = sum(packet.size for packet in self._codec.encode(picture(frame.i420, frame.matrix)))
        loop.call_soon_threadsafe(self._encoded, frame.sample, frame.due_ns, size)

    def _encoded(self, sample: int, due_ns: int, size: int) -> None:
        self._waiting -= 1
        self.tally.late("late_pictures", time.monotonic_ns() - due_ns)
        self.tally.now["encoded"] += 1
        self.tally.now["encoded_bytes"] += size
        self.picture(sample)


SINKS: dict[str, type[Sink]] = {"pictures": Sink, "nothing": Nothing, "units": Units, "x264": X264}


class Stage:
    """The sessions that are measured, wherever they come from."""

    def __init__(self, wants: str, fps: int) -> None:
        self.tally = Tally(fps)
        self.kind = SINKS.get(wants)
        self.sinks: list[Sink] = []
        self._before: Counter[str] = Counter()

    @property
    def sessions(self) -> list[Any]:
        """Those that live."""
        raise NotImplementedError

    def sink(self) -> Sink | None:
        """What the next session publishes to; None: to whoever watches."""
        if self.kind is None:
            return None
        self.sinks.append(self.kind(self.tally))
        return self.sinks[-1]

    def counters(self) -> Counter[str]:
        """What the sessions and the engine count by themselves, since ever."""
        found: Counter[str] = Counter()
        for session in self.sessions:
            stats = session.stats()
            found.update({name: stats[name] for name in STATS})
            if isinstance(viewers := stats.get("viewers"), dict):
                found.update({name: viewers.get(name, 0) for name in ("sound_dropped", "pictures_dropped")})
        engine = runtime.Runtime.current().stats()
        found.update({name: engine.get(name, 0) for name in ENGINE})
        return found

    def begin(self) -> dict[str, Any]:
        """From now on it counts."""
        self.tally.clear()
        for sink in self.sinks:
            sink.clear()
        self._before = self.counters()
        return {}

    def end(self) -> dict[str, Any]:
        """What there was since."""
        counts = self.counters()
        counts.subtract(self._before)
        counts.update(self.tally.now)
        latencies = sorted(s.latency.total_ms for s in self.sessions if s.latency is not None)
        return {
            "sessions": len(self.sessions),
            "worst_ms": self.tally.worst / 1e6,
            "mouth_p50_ms": latencies[len(latencies) // 2] if latencies else None,
            "counts": dict(counts),
        }

    async def order(self, order: dict[str, Any]) -> dict[str, Any]:
        """Does what it is told."""
        return {"begin": self.begin, "end": self.end}[order["do"]]()


class InProcess(Stage):
    """Sessions of this process, which all talk without end."""

    def __init__(self, wants: str, fps: int, pcm: bytes, rate: int, avatar: str, size: tuple[int, int]) -> None:
        super().__init__(wants, fps)
        self._pcm, self._rate, self._avatar, self._size, self._fps = pcm + pcm, rate, avatar, size, fps
        self._sessions: list[Session] = []
        self._due: list[tuple[float, int, Session]] = []
        self._made = 0
        self._feeding: asyncio.Task[None] | None = None

    @property
    def sessions(self) -> list[Any]:
        return self._sessions

    async def order(self, order: dict[str, Any]) -> dict[str, Any]:
        if order["do"] == "set":
            return await self._set(order["sessions"])
        return await super().order(order)

    async def _set(self, count: int) -> dict[str, Any]:
        """Makes it so many."""
        self._feeding = self._feeding or asyncio.create_task(self._feed())
        while len(self._sessions) < count:
            self._made += 1
            sink = self.sink()
            assert sink is not None
            session = Session(sink, avatar=self._avatar, size=self._size, fps=self._fps, seed=self._made)
            self._sessions.append(await session.start())
            # Their pieces come at all moments, and begin at all places of the text.
            heapq.heappush(self._due, (time.monotonic() + self._made * 0.618 % PIECE, self._made, session))
        leaving, self._sessions = self._sessions[count:], self._sessions[:count]
        del self.sinks[count:]
        self._due = [due for due in self._due if due[2] not in leaving]
        heapq.heapify(self._due)
        await asyncio.gather(*(session.close() for session in leaving))
        return {"sessions": len(self._sessions)}

    async def _feed(self) -> None:
        piece = int(PIECE * self._rate) * 2
        places: dict[int, int] = {}
        while True:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                due, number, session = heapq.heappop(self._due)
                at = places.get(number)
                if at is None:  # the first is longer, and so always is there in time
                    at = number * 7919 * 2 % (len(self._pcm) // 2)
                    session.write(self._pcm[at : at + int(LEAD * self._rate) * 2], self._rate)
                    at += int(LEAD * self._rate) * 2
                at %= len(self._pcm) // 2
                session.write(self._pcm[at : at + piece], self._rate)
                places[number] = at + piece
                heapq.heappush(self._due, (due + PIECE, number, session))
            await asyncio.sleep(0.01)


class Served(Stage):
    """`lipwire serve`, whose sessions publish to our sinks, or to whoever watches."""

    def __init__(self, wants: str, fps: int) -> None:
        super().__init__(wants, fps)
        self.service: Any = None

    @property
    def sessions(self) -> list[Any]:
        return [watched.session for watched in self.service.watched.values()]

    async def open(self, avatar: str) -> dict[str, Any]:
        """Starts it; where it is."""
        from lipwire.app.config import Config
        from lipwire.app.service import LiveAvatar, Service

        stage = self

        class Ours(Service):
            async def _make_session(self, session_id: str, request: Any, granted: Any, emit: Any) -> LiveAvatar:
                await self.start_background()
                live = LiveAvatar(self, session_id, request, granted, emit)
                if (sink := stage.sink()) is not None:
                    live.publisher = sink
                return await live.start()

        key = os.environ["DENSITY_KEY"]
        unlimited: dict[str, Any] = {
            "max_sessions": 1024,
            "max_viewers": 1024,
            "max_pixel_rate": 0,
            "max_viewers_per_address": 0,
            "joins_a_minute": 0,
            "address_request_rate": 0,
            "key_request_rate": 1e6,
            "max_late_percent": 0,
            "max_busy_percent": 0,
            "max_lag_ms": 0,
        }
        ports: dict[str, Any] = {"host": "127.0.0.1", "http_port": 0, "ws_port": 0, "viewer_port": 0}
        config = Config(api_key=key, avatar=avatar, agora="off", ice_host="127.0.0.1", **ports, **unlimited)
        self.service = await Ours(config).start()
        gc.collect()
        gc.freeze()  # as `lipwire serve` does
        return {"http": self.service.http_url, "viewer": self.service.viewer_url}

    async def order(self, order: dict[str, Any]) -> dict[str, Any]:
        if order["do"] == "set":  # sinks of sessions that have ended count for nothing, but are looked at
            living = {id(session.publisher) for session in self.sessions}
            self.sinks = [sink for sink in self.sinks if id(sink) in living]
            return {"sessions": len(self.sessions)}
        return await super().order(order)


def rendered(speech: str, out: str, avatar: str, size: str, fps: str) -> dict[str, Any]:
    """How many times real time, the better of two; the first draws the avatar, too."""
    speed, seconds = 0.0, 0.0
    options: dict[str, Any] = {"avatar": avatar, "size": pixels(size), "fps": int(fps)}
    if "preencoded" in inspect.signature(render).parameters:
        options["preencoded"] = "auto"
    for _ in range(2):
        began = time.process_time()
        result = render(speech, out, **options)
        if result.speed > speed:
            speed, seconds = result.speed, time.process_time() - began
    return {"speed": speed, "duration": result.duration, "cpu": seconds, "bytes": Path(out).stat().st_size}


async def serve(mode: str, wants: str, speech: str, rate: str, avatar: str, size: str, fps: str) -> None:
    """Does what it is told until its orders end."""
    stage: Stage
    hello: dict[str, Any] = {}
    if mode == "process":
        stage = InProcess(wants, int(fps), Path(speech).read_bytes(), int(rate), avatar, pixels(size))
        gc.freeze()
    else:
        stage = served = Served(wants, int(fps))
        hello = await served.open(avatar)
    tell(hello | {"pid": os.getpid()})
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        tell(await stage.order(json.loads(line)))


def pixels(size: str) -> tuple[int, int]:
    """WIDTHxHEIGHT."""
    width, _, height = size.partition("x")
    return int(width), int(height)


def tell(what: dict[str, Any]) -> None:
    """An answer."""
    sys.__stdout__.write(json.dumps(what) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]


def main() -> None:
    """See above."""
    what, *arguments = sys.argv[1:]
    logging.basicConfig(level=logging.ERROR)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    calls: dict[str, Callable[[], None]] = {
        "features": lambda: tell(features()),
        "render": lambda: tell(rendered(*arguments)),
        "serve": lambda: asyncio.run(serve(*arguments)),
    }
    calls[what]()


if __name__ == "__main__":
    main()
