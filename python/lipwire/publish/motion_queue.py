"""Motion, and sound beside it, that waits for one reader who misses nothing but what it is too slow for: a WebSocket.

The reader takes what is there (`MotionQueue.take`). Where it is slow the older half of what waits is left out, frames
and sound of the same time together; an interrupt leaves out both at once. Headers and events stay: who is too slow even
for those loses its place.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

from .._core import BLOCK, RATE
from ..errors import InvalidArgument
from .audience import Missed
from .motion import CODERS, Ask, Encoding, Kind, Listener, MotionFigures
from .sound import Opus, Sound, SoundPackets

NORMAL, REFUSED, GOING_DOWN, TOO_SLOW = 1000, 1008, 1012, 1013
"""Close codes (RFC 6455, section 7.4.1, and IANA's registry)."""
AGE, AGE_WITH_SOUND = RATE // 3, 2 * RATE
"""Samples of frames that wait, alone and with sound, which a server that stands still for a moment must not cost."""
EVENTS = 256
"""Headers that wait, and events."""
TIMELY = ("frames", "sound")
"""What is of use at its time alone."""
SoundCodec = Literal["none", "pcm16", "opus"]
CODECS: dict[str, int] = {"pcm16": 1, "opus": 2}
"""Number of a codec in a sound record: PCM16 mono at 48 kHz, little endian, and Opus; 20 ms each."""


def check_codec(name: str | None) -> SoundCodec:
    """What sound is asked for; None = none. Raises InvalidArgument."""
    for known in ("none", "pcm16", "opus"):
        if known == (name or "none"):
            codec: SoundCodec = known
            return codec
    raise InvalidArgument(f"sound: there are none, {', '.join(CODECS)}; got {name!r:.40}")


class MotionQueue(Listener):
    """What waits for one reader.

    Args:
        ask: what it is sent. sound: and what besides.
    """

    lossy = False
    missed = Missed()
    """Of sound and pictures, for an `Audience`; what of this is left out is counted where it is handed over."""

    def __init__(self, ask: Ask, sound: SoundCodec = "none") -> None:
        self.ask, self.sound = ask, sound
        self.ended: tuple[int, str] | None = None
        """The close code and reason, where nothing more comes."""
        self._age = AGE if sound == "none" else AGE_WITH_SOUND
        self._waiting: deque[tuple[Kind | Literal["sound"], bytes, int]] = deque()
        self._some = asyncio.Event()

    def put(self, message: bytes, kind: Kind, sample: int) -> int:
        return self._put(message, kind, sample)

    def put_sound(self, message: bytes, sample: int) -> int:
        """A message of sound that begins at `sample` on the clock. Returns as `put`."""
        return self._put(message, "sound", sample)

    def _put(self, message: bytes, kind: Kind | Literal["sound"], sample: int) -> int:
        if self.ended is not None:
            return 1
        dropped = 0
        if kind in TIMELY:
            dropped = self._make_way(sample)
        elif sum(of == kind for of, _, _ in self._waiting) >= EVENTS:
            self.end(TOO_SLOW, "too slow to take events")
            return 1
        self._waiting.append((kind, message, sample))
        self._some.set()
        return dropped

    def _make_way(self, sample: int) -> int:
        """Leaves out what is too old beside what comes for `sample`; returns how many. That is half of what may wait,
        so that there is one gap and not many, and it ends with a frame, so that sound behind it has a face. A clock
        that has gone back leaves all out."""
        oldest = next((at for kind, _, at in self._waiting if kind in TIMELY), sample)
        if abs(sample - oldest) <= self._age:
            return 0
        kept = range(sample - self._age // 2, sample + self._age)
        begins = next((at for kind, _, at in self._waiting if kind == "frames" and at in kept), kept.start)
        return self._keep(lambda kind, at: kind not in TIMELY or begins <= at < kept.stop)

    def _keep(self, stays: Callable[[str, int], bool]) -> int:
        count = len(self._waiting)
        self._waiting = deque(one for one in self._waiting if stays(one[0], one[2]))
        return count - len(self._waiting)

    def interrupt(self) -> None:
        """Frames and sound that wait are dropped."""
        self._keep(lambda kind, _: kind not in TIMELY)

    def drop_sound(self) -> None:
        """Sound that waits is dropped."""
        self._keep(lambda kind, _: kind != "sound")

    def refuse(self, why: str) -> None:
        self.end(REFUSED, why)

    def end(self, code: int, reason: str) -> None:
        """Nothing more comes; what waits is taken first."""
        if self.ended is None:
            self.ended = code, reason
            self._some.set()

    async def take(self) -> bytes | None:
        """The oldest message, as soon as there is one; None = it has ended."""
        while not self._waiting and self.ended is None:
            self._some.clear()
            await self._some.wait()
        return self._waiting.popleft()[1] if self._waiting else None


class MotionSounds:
    """A sound, block by block, for all whose motion comes with it; encoded once for each codec that somebody takes.

    Args:
        figures: where its messages are counted.
    """

    def __init__(self, figures: MotionFigures) -> None:
        self._figures = figures
        self._packets = SoundPackets()
        self._queues: set[MotionQueue] = set()
        self._opus: Opus | None = None

    def add(self, queue: MotionQueue) -> None:
        """Somebody listens, if its `sound` says so."""
        if queue.sound != "none":
            self._queues.add(queue)

    def remove(self, queue: MotionQueue) -> None:
        """Somebody does not any more. Safe to call twice."""
        self._queues.discard(queue)
        if not any(one.sound == "opus" for one in self._queues):
            self._opus = None

    def audio(self, pcm: bytes, sample: int, fades: bool | None = None) -> None:
        """As `sound.Sounds.audio`."""
        if not self._queues:
            self._packets.clear()
            return
        for at in range(0, len(pcm), 2 * BLOCK):
            if (sound := self._packets.add(pcm[at : at + 2 * BLOCK], sample + at // 2, fades)) is not None:
                self._send(sound)

    def interrupt(self) -> None:
        """As `sound.Sounds.interrupt`: what waits is stale."""
        self._packets.interrupt()
        for queue in self._queues:
            queue.drop_sound()

    def _send(self, sound: Sound) -> None:
        made: dict[tuple[SoundCodec, Encoding], list[tuple[bytes, int]]] = {}
        packets: dict[SoundCodec, Sequence[tuple[bytes, int]]] = {}
        for queue in tuple(self._queues):
            key = queue.sound, queue.ask.encoding
            if queue.sound not in packets:
                packets[queue.sound] = self._encode(sound, queue.sound)
            if key not in made:
                coder, codec = CODERS[key[1]], CODECS[queue.sound]
                made[key] = [(coder.sound(at, codec, data), at) for data, at in packets[queue.sound] if at >= 0]
            for message, at in made[key]:
                self._figures.count(messages=1, size=len(message), dropped=queue.put_sound(message, at))

    def _encode(self, sound: Sound, codec: SoundCodec) -> Sequence[tuple[bytes, int]]:
        if codec == "pcm16":
            return [(sound.pcm, sound.sample)]
        if self._opus is None:
            self._opus = Opus()
        return list(self._opus.encode(sound))
