"""Interrupts by the thousand, in any state of a session, and how much of what was interrupted still leaves.

Speech is a level, above zero before an interrupt and below it afterwards, and the other way round after the next one: a
sample of the old sign behind an interrupt is stale. What has left a publisher is what its listener was given: an
encoder, a reader of shared memory, another member of a room, the SDK of a channel. Time is what the session is ticked.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from msgspec import Struct, field

import lipwire
from lipwire import _core
from lipwire.audio import g711
from lipwire.channel import Rooms
from lipwire.channel.agora import wire
from lipwire.channel.agora.channel import Agora, AgoraOptions
from lipwire.channel.agora.feed import FeedReader, FeedWriter
from lipwire.channel.agora.worker import Member
from lipwire.channel.base import ChannelEvent, Heard
from lipwire.channel.room.browser import Browser
from lipwire.errors import BufferFull
from lipwire.publish import File, Null, Shared, Tee, WebRTC
from lipwire.publish.film import FilmWriter
from lipwire.publish.peer import Peer
from lipwire.publish.sound import Sound, SoundStream
from lipwire.stream import Publisher, StreamSpec
from support.agent_puppet import Clock

RATE, BLOCK = _core.RATE, _core.BLOCK
LEVEL = 8000
HEARD = 200
"""Above it a sample is speech; below may be the ringing of a resampler."""
ALLOWED = BLOCK
"""Samples of old speech behind an interrupt: 10 ms."""
RING = 62
"""Blocks that nobody takes, of the 64 that a performer holds."""


class Outlet:
    """A publisher, and what has left it."""

    rate = RATE

    def __init__(self) -> None:
        self.publisher: Any = None
        self.heard: list[np.ndarray[Any, Any]] = []
        self.left = 0
        """Samples."""

    def take(self, pcm: bytes) -> None:
        """What leaves."""
        self.heard.append(np.frombuffer(pcm, "<i2"))
        self.left += len(pcm) // 2

    async def open(self) -> None:
        """Before the session is made."""

    async def opened(self, session: lipwire.Session) -> None:
        """When it runs."""

    def listen(self, chance: random.Random) -> None:
        """After each turn of the loop: the listener takes what it likes."""

    async def close(self) -> None: ...


class Recorded(Outlet):
    """What a session hands over, as a publisher of one's own, or the null one, gets it."""

    def __init__(self, tee: bool = False) -> None:
        super().__init__()
        outlet = self

        class Recorder(Null):
            def audio(self, pcm: bytes, sample: int) -> None:
                super().audio(pcm, sample)
                outlet.take(pcm)

        self.publisher = Tee(Null(), Recorder()) if tee else Recorder()


class Filed(Outlet):
    """What is recorded: it has been played when it is handed over, and the encoder takes it as it was."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        outlet = self
        self.encoded = bytearray()

        class Recording(File):
            def audio(self, pcm: bytes, sample: int) -> None:
                super().audio(pcm, sample)
                outlet.take(pcm)

        class Writer(FilmWriter):
            def audio(self, pcm: bytes, sample: int) -> None:
                super().audio(pcm, sample)
                outlet.encoded += pcm

        self.publisher = Recording(path)
        self._kind = Writer

    async def opened(self, session: lipwire.Session) -> None:
        self.publisher._writer.__class__ = self._kind

    async def close(self) -> None:
        assert bytes(self.encoded) == b"".join(block.tobytes() for block in self.heard)


class Ears(SoundStream):
    """Takes what an encoder would, in its place."""

    def __init__(self, take: Callable[[Sound], None]) -> None:
        super().__init__("opus")
        self._take = take

    def __len__(self) -> int:
        return 1

    def send(self, sound: Sound) -> None:
        self._take(sound)


class Viewed(Outlet):
    """What goes into the encoder of the browsers that watch."""

    def __init__(self, tee: bool = False) -> None:
        super().__init__()
        self.tee = tee

    async def open(self) -> None:
        viewers = WebRTC()
        self.publisher = Tee(Null(), Tee(viewers)) if self.tee else viewers
        viewers._sounds._streams["opus"] = Ears(lambda sound: self.take(sound.pcm))


class Room(Outlet):
    """What browsers in a room get: of the member that is interrupted, or of one beside it that leads the mix. `speaks`:
    one that has a microphone of its own."""

    def __init__(self, leads: bool = True, speaks: bool = False) -> None:
        super().__init__()
        self.leads, self.speaks = leads, speaks

    async def open(self) -> None:
        self.rooms = Rooms()
        self.publisher = self.rooms.channel("lobby", "agent")
        self.other: lipwire.Session | None = None
        if not self.leads:
            self.other = lipwire.Session(self.rooms.channel("lobby", "first"), avatar=None)
            await self.other.start()

    async def opened(self, session: lipwire.Session) -> None:
        self.peer = Peer(lambda _: None)
        self.peer.connected = True
        room = self.rooms._rooms["lobby"]
        browser = room.browsers["anna"] = Browser(room, "anna")
        browser.peer, browser.joined = self.peer, True
        browser._receivers[self.peer], browser._tasks[self.peer] = {}, set()
        if self.speaks:
            browser.sounds = room.sounds.fork()
        (browser.sounds or room.sounds)._streams["opus"] = Ears(lambda sound: self.take(sound.pcm))

    async def close(self) -> None:
        if self.other is not None:
            await self.other.close()
        await self.rooms.close()
        await self.peer.close()


class Beside(Outlet):
    """What another member in the same process hears."""

    rate = 16_000

    async def open(self) -> None:
        self.rooms = Rooms()
        self.publisher = self.rooms.channel("lobby", "agent")
        listener = self.rooms.channel("lobby", "listener", self._hear)
        await listener.open(StreamSpec(session_id="", width=0, height=0, fps=Fraction(25)))
        listener.subscribe()

    def _hear(self, event: ChannelEvent) -> None:
        if isinstance(event, Heard):
            self.take(event.pcm)

    async def close(self) -> None:
        await self.rooms.close()


class Ring(Outlet):
    """What a reader of shared memory gets, at any pace."""

    def __init__(self) -> None:
        super().__init__()
        self.publisher = Shared(seconds=2.0)

    async def opened(self, session: lipwire.Session) -> None:
        self.reader = lipwire.SharedReader(self.publisher.ring)

    def listen(self, chance: random.Random) -> None:
        while chance.random() < 0.7 and (block := self.reader.read_pcm()) is not None:
            self.take(bytes(block))


class Agoras(Outlet):
    """What the SDK gets in a worker: blocks, or packets of an encoder. The channel, its feed and the worker's member
    are the real ones; the session's process and the worker's take turns."""

    def __init__(self, encoded: bool) -> None:
        super().__init__()
        self.encoded = encoded
        self.member: Any = None
        self.rate = 8000 if encoded else RATE

    async def open(self) -> None:
        outlet = self

        class InProcess(Agora):
            async def open(self, spec: StreamSpec) -> None:
                self.feed = FeedWriter(spec)
                self._worker, self.state = outlet, "connected"  # type: ignore[assignment]
                ring, page = (os.dup(fd) for fd in self.feed.fds)
                join = wire.Join(
                    session=1, token="", channel="c", uid="1", width=0, height=0, fps=25.0, video=False, codec="H264",
                    kbps=1, rtc_codec=8 if outlet.encoded else None, audio_scenario=0, receive=False, seen_every=1.0,
                )  # fmt: skip
                outlet.member = Member(join, FeedReader(ring, page), outlet, SimpleQueue())  # type: ignore[arg-type]
                outlet.member.connected = True

            async def close(self) -> None:
                self._worker = None
                assert self.feed is not None
                outlet.member.feed.close()
                self.feed.close()

        self.publisher = InProcess(AgoraOptions(app_id="0" * 32, token="", channel="c", uid="1"))
        self.now = 0.0

    def listen(self, chance: random.Random) -> None:
        self.now += 0.01
        if chance.random() < 0.8:  # else it comes late
            self.member.pump(self.now)

    # as the SDK

    def connect(self, join: wire.Join, tell: Callable[[Any], None]) -> Agoras:
        return self

    def sound(self, block: Any, sample: int) -> int:
        self.take(bytes(block))
        return 0

    def packet(self, packet: bytes, samples: int, rate: int, at: int) -> int:
        self.take(g711.alaw_decode(packet))
        return 0


OUTLETS: dict[str, Callable[[Path], Outlet]] = {
    "null": lambda _: Recorded(),
    "tee": lambda _: Recorded(tee=True),
    "file": lambda folder: Filed(folder / "out.mp4"),
    "webrtc": lambda _: Viewed(),
    "webrtc behind a tee": lambda _: Viewed(tee=True),
    "shared memory": lambda _: Ring(),
    "room": lambda _: Room(),
    "room, who speaks": lambda _: Room(speaks=True),
    "room, not leading": lambda _: Room(leads=False),
    "member of the room": lambda _: Beside(),
    "agora": lambda _: Agoras(encoded=False),
    "agora, encoded": lambda _: Agoras(encoded=True),
}


class Found(Struct):
    """What came of it."""

    interrupts: int = 0
    stale: list[int] = field(default_factory=list)
    """Samples at 48 kHz of old speech behind each interrupt."""
    states: Counter[str] = field(default_factory=Counter)
    """In which the session was interrupted."""
    pictures: int = 0
    """Handed over that knew nothing of the interrupt."""
    spoken: int = 0
    """Samples of speech that left, stale or not."""

    @property
    def violations(self) -> int:
        return sum(stale > ALLOWED for stale in self.stale) + self.pictures

    def histogram(self) -> dict[str, int]:
        """Interrupts by how much left: 0, up to the fade's 5 ms, up to 10 ms, more."""
        bounds = (("0", 0), ("<= 5 ms", RATE // 200), ("<= 10 ms", ALLOWED))
        counts = dict.fromkeys([name for name, _ in bounds] + ["> 10 ms"], 0)
        for stale in self.stale:
            counts[next((name for name, bound in bounds if stale <= bound), "> 10 ms")] += 1
        return counts


STATES = ("idle", "prebuffering", "playing", "dry", "grace", "fading", "stalled", "stalled 500 ms")


class Play:
    """One session, and what is done to it."""

    def __init__(self, outlet: Outlet, seed: int, pictures: bool) -> None:
        self.outlet = outlet
        self.chance = random.Random(seed)
        self.pictures = pictures
        self.sign = 1
        self.written = False
        self.waiting = 0
        self.found = Found()
        self.marks: list[tuple[int, int]] = []
        """(samples that had left, sign of what was old) at each interrupt."""

    async def run(self, count: int) -> Found:
        self.clock = Clock()
        await self.outlet.open()
        face: dict[str, Any] = {} if self.pictures or isinstance(self.outlet, Filed) else {"avatar": None}
        self.session = lipwire.Session(
            self.outlet.publisher, width=64, height=36, voice_end_timeout=0.2, capacity=2.0, **face
        )
        if self.pictures:
            self._watch_pictures(self.session._out)
        await self.session.start()
        await self.outlet.opened(self.session)
        while self.found.interrupts < count:
            state = self.chance.choice(STATES)
            getattr(self, "_" + state.split()[0])(500 if "500" in state else 0)
            self._interrupt(state)
            if self.chance.random() < 0.3:
                self._tick(self.chance.randrange(40))
            if self.found.interrupts % 50 == 0:
                await asyncio.sleep(0)
        self._tick(100)
        await self.session.close()
        await self.outlet.close()
        self._count()
        return self.found

    def _watch_pictures(self, out: Publisher) -> None:
        video = out.video

        def watched(frame: lipwire.Frame) -> None:
            self.found.pictures += frame.generation < self.found.interrupts
            video(frame)

        out.video = watched  # type: ignore[method-assign]

    # ---- the states in which it is interrupted

    def _idle(self, _: int) -> None:
        self._tick(self.chance.randrange(3))

    def _prebuffering(self, _: int) -> None:
        self._write(20)
        self._tick(self.chance.randrange(3))

    def _playing(self, _: int) -> None:
        self._write(self.chance.choice([100, 200, 400]))
        self._tick(self.chance.randrange(1, 30))

    def _dry(self, _: int) -> None:
        self._write(self.chance.choice([65, 100]))
        self._tick(self.chance.randrange(8, 30))

    def _grace(self, _: int) -> None:
        self._write(100)
        self.session.end("u")
        self._tick(self.chance.randrange(1, 20))
        if self.chance.random() < 0.5:
            self._write(40)
            self._tick(self.chance.randrange(3))

    def _fading(self, _: int) -> None:
        self._write(200)
        self._tick(self.chance.randrange(5, 15))
        self._interrupt("playing")
        self._tick(self.chance.randrange(2))
        if self.chance.random() < 0.5:
            self._write(self.chance.choice([20, 100]))

    def _stalled(self, ms: int) -> None:
        self._write(self.chance.choice([100, 400, 1000]))
        self._tick(self.chance.randrange(20))
        self._stall(ms // 10 or self.chance.randrange(1, 20))
        if self.chance.random() < 0.3:  # the loop drains before it reads the message
            self._tick(1)

    # ---- what happens

    def _write(self, ms: int) -> None:
        rate = self.chance.choice([RATE, RATE, 24_000, 16_000])
        try:
            self.session.write(np.full(rate * ms // 1000, self.sign * LEVEL, "<i2").tobytes(), rate, "u")
            self.written = True
        except BufferFull:
            pass

    def _tick(self, blocks: int) -> None:
        for _ in range(blocks):
            self.clock.tick()
            self.waiting = 0
            self.outlet.listen(self.chance)

    def _stall(self, blocks: int) -> None:
        """The loop stands still; the engine goes on."""
        for _ in range(min(blocks, RING - self.waiting)):
            self.clock.now += BLOCK
            for session in tuple(self.clock._sessions):
                session.tick(self.clock.now * 1_000_000_000 // RATE)
            self.waiting += 1

    def _interrupt(self, state: str) -> None:
        self.session.interrupt()
        self.found.interrupts += 1
        self.found.states[state] += 1
        if self.written:
            self.sign, self.written = -self.sign, False
        self.marks.append((self.outlet.left, -self.sign))

    def _count(self) -> None:
        sound = np.concatenate(self.outlet.heard) if self.outlet.heard else np.zeros(0, "<i2")
        self.found.spoken = int(np.count_nonzero(np.abs(sound.astype(int)) > HEARD)) * (RATE // self.outlet.rate)
        ends = [at for at, _ in self.marks[1:]] + [len(sound)]
        for (at, sign), end in zip(self.marks, ends, strict=True):
            stale = np.count_nonzero(sound[at:end].astype(int) * sign > HEARD)
            self.found.stale.append(int(stale) * (RATE // self.outlet.rate))


async def interrupted(name: str, count: int, folder: Path, *, seed: int = 1, pictures: bool = False) -> Found:
    """`count` interrupts of a session that goes into the outlet of this name."""
    return await Play(OUTLETS[name](folder), seed, pictures).run(count)
