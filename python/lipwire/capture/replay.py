"""Plays a recording again: the same messages at the same places of the media clock, through the code that ran live.

The wire's messages go through `Provider.receive`, `Ingest` and `Session`; only the clock is another. It stands still
until the driver moves it: to where each message found it, and on to where each of its calls took effect. So every
sample and every picture comes out as it did, which the recording's checksums prove or refute.
"""

from __future__ import annotations

import asyncio
import os
import time
import zlib
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from .. import _core
from ..avatar import Avatar
from ..errors import BadData, InvalidArgument
from ..protocol import messages as m
from ..provider.sessions import Provider, ProviderConfig, ProviderSession
from ..publish.tee import Tee
from ..session.runtime import Runtime
from ..session.session import Session
from ..stream import Publisher, PublisherLike
from . import records as r
from .file import read
from .outcome import Outcome

BEYOND = 5 * _core.RATE
"""Samples that a replay may go on beyond the last that is known, for what is being said to end."""


OF_CHANNEL = ("CHANNEL_INTERRUPTED", "CHANNEL_FAILED", "TOKEN_EXPIRING")
"""Codes of errors that a channel's events make (`channel.base.client_event`)."""
PICTURES_BEHIND = _core.RATE // 5
"""Samples that what is known of pictures may lag what is known of sound."""


class Told(Struct):
    """What a recording says came out."""

    spans: list[r.Played] = field(default_factory=list)
    """In the order of the clock."""
    pictures: dict[int, int] = field(default_factory=dict)
    """Place -> checksum."""
    events: list[str] = field(default_factory=list)
    lost: int = 0
    ended: str | None = None
    """None: the file breaks off."""
    uncertain: int = 0
    """Calls whose place is known but for a tick."""
    end: int = 0
    """Media clock of the last thing known."""

    def sound(self, sample: int) -> int | None:
        """The checksum of the block at `sample`; None: it was not handed over, or nobody knows."""
        at = bisect_right(self.spans, sample, key=lambda span: span.begin) - 1
        if at < 0:
            return None
        span = self.spans[at]
        number = (sample - span.begin) // _core.BLOCK
        return span.sound[number] if number < len(span.sound) else None

    def overrun(self, sample: int) -> bool:
        """Whether the block at `sample` was made and never handed over."""
        return sample < self.played and self.sound(sample) is None

    @property
    def played(self) -> int:
        """Media clock behind the last block known to have been handed over."""
        return self.spans[-1].begin + len(self.spans[-1].sound) * _core.BLOCK if self.spans else 0


LONGEST = 24 * 3600
"""Seconds of a session that is played again."""


def _check(header: r.Header, told: Told) -> None:
    """A file may come from anybody. Raises BadData."""
    s = header.settings
    seconds = (s.prebuffer, s.prebuffer_max, s.capacity, s.voice_end_grace, s.voice_end_timeout, s.guard_window)
    if not all(0 <= value <= 3600 for value in seconds) or not 0 <= s.seed < 1 << 32 or min(s.fps) < 1:
        raise BadData("the recording's settings are out of range")
    if told.end > LONGEST * _core.RATE:
        raise BadData(f"the recording says that its session took more than {LONGEST // 3600} hours")


def look(path: str | os.PathLike[str]) -> tuple[r.Header, Told]:
    """A recording's header and all it says of what came out. Raises as `file.read`."""
    header: r.Header | None = None
    told = Told()
    for record in read(path):
        if isinstance(record, r.Header):
            header = record
        elif isinstance(record, r.Played):
            if record.sound:
                told.spans.append(record)
            told.pictures.update(record.pictures)
        elif isinstance(record, r.Sent) and not _of_channel(record.text):
            told.events.append(record.text)
        elif isinstance(record, r.Received | r.Continued | r.Called):
            told.uncertain += sum(place < 0 for place in record.ops)
            told.end = max(told.end, record.at, *map(_place, record.ops))
        elif isinstance(record, r.Lost):
            told.lost += record.count
        elif isinstance(record, r.Ended):
            told.ended = record.reason
    if header is None:
        raise BadData(f"{os.fspath(path)} is no recording of Lipwire")
    told.end = max(told.end, told.played)
    _check(header, told)
    return header, told


def _of_channel(text: str) -> bool:
    """Whether an event came of the session's channel, or of who spoke by RTP: a replay has neither."""
    event = m.decode_event(text)
    return isinstance(event, m.Dtmf) or (isinstance(event, m.ErrorEvent) and event.code in OF_CHANNEL)


def _place(op: int) -> int:
    return op if op >= 0 else -1 - op


class Clockwork(Runtime):
    """A session's clock that is moved by hand."""

    def __init__(self, told: Told) -> None:
        super().__init__()
        self._told = told
        self._performer: _core.Performer | None = None
        self._session: Any = None
        self.clock = 0
        """Samples made,"""
        self.taken = 0
        """and taken out of the rings."""
        self.places: deque[int] = deque()
        """Where the next calls took effect."""
        self.interrupts = False
        """The next call is an interrupt."""
        self.astray = 0
        """Calls that the recording knows nothing of."""

    def attach(self, session: Any) -> None:
        self._session, self._performer = session, session.performer
        session.performer.before = self._bring

    async def detach(self, session: Any) -> None:
        session.performer.before = None
        session.drain()

    def _bring(self) -> None:
        """Before a call: to where it took effect."""
        if not self.places:
            self.astray += 1
            return
        place = _place(self.places.popleft())
        while True:
            if self.interrupts:
                self._session.take_pictures()
            if self.clock >= place:
                return
            self._tick()

    def step(self) -> None:
        """Makes the next 10 ms, and hands over what was handed over of it."""
        self.drain()
        self._tick()
        self.drain()

    def peek(self) -> None:
        """Makes the next 10 ms, of which nothing but the events is taken."""
        self._tick()
        self._session.take_events()

    def drain(self) -> None:
        """Hands over what has been made."""
        if self.taken < self.clock:
            self.taken = self.clock
            self._session.drain()

    def _tick(self) -> None:
        assert self._performer is not None
        sample = self.clock
        self._performer.tick(draw=self._session.shows(sample))
        self.clock += _core.BLOCK
        # When the loop stood still the ring ran over: then it was full of what had waited longer. Here it is, too, if
        # nobody had taken that when the next message came; else this block finds it empty, and goes the same way.
        if self.taken == sample and self._told.overrun(sample):
            self._performer.read_pcm()
            self.taken = self.clock


class ReplaySession(Session):
    """A Session on a clockwork; hands over the pictures that were."""

    def __init__(self, clockwork: Clockwork, told: Told, publisher: Publisher | PublisherLike, **options: Any) -> None:
        super().__init__(publisher, **options)
        self._clockwork, self._told = clockwork, told
        self._waiting: deque[tuple[int, int, int, int, int]] = deque()
        self._acted = 0

    def _find_runtime(self) -> Runtime:
        return self._clockwork

    def shows(self, sample: int) -> bool:
        """Whether the picture that is due in the block at `sample`, if there is one, was handed over. One that was not
        is not made: after an interrupt the mouth goes on from the last picture that was taken."""
        # Of a file that breaks off, the last pictures may be missing.
        known = sample < self._told.played - (0 if self._told.ended else PICTURES_BEHIND)
        per = _core.RATE / self.fps
        return not known or int(-(-sample // per) * per) in self._told.pictures

    def take_pictures(self) -> None:
        """Hands over those that have been made, whose sound is not taken yet."""
        while (frame := self.performer.read_frame()) is not None:
            self._frame(frame)

    def interrupt(self, event_id: str | None = None) -> None:
        """What was handed over of the pictures made before had been taken by then: later it would have been stale."""
        self._clockwork.interrupts = True
        try:
            super().interrupt(event_id)
        finally:
            self._clockwork.interrupts = False

    def _tell(self, *event: int) -> None:
        """Not at once: a message may have come between the sound that an event belongs to and the event."""
        kind, value, number, sample, played = event
        if kind != _core.EVENT_MOUTH:
            self._waiting.append((kind, value, number, sample, played))

    def act(self, until: int | None = None) -> bool:
        """Acts on events until that many are acted on in all, or on all there are. False: there are too few yet."""
        while self._waiting and (until is None or self._acted < until):
            self._acted += 1
            super()._tell(*self._waiting.popleft())
        return until is None or self._acted >= until

    def take_events(self) -> None:
        """Those of the engine whose sound is not taken yet."""
        while (event := self.performer.read_event()) is not None:
            self._tell(*event)

    def voice_end(self, event_id: str | None) -> None:
        """The wire's name for `end`."""
        self.end(event_id)

    def renew(self, token: str) -> None:
        """There is no channel."""
        raise InvalidArgument("a replay has no channel")


class Compare(Publisher):
    """Holds what comes out against what the recording says; and the provider's Tap, for the events."""

    def __init__(self, told: Told, outcome: Outcome) -> None:
        self._told, self._outcome = told, outcome
        self._events = deque(told.events)

    def audio(self, pcm: bytes, sample: int) -> None:
        self._outcome.blocks += 1
        expected = self._told.sound(sample)
        if expected is None:
            self._outcome.unknown += 1
        elif expected != zlib.crc32(pcm):
            self._outcome.differ("sound", sample)

    def video(self, frame: _core.Frame) -> None:
        self._outcome.pictures += 1
        expected = self._told.pictures.get(frame.sample)
        if expected is not None and expected != zlib.crc32(frame):
            self._outcome.differ("picture", frame.sample)

    def connected(self, connection: object, now: float) -> None:
        """Nothing to compare."""

    disconnected = connected

    def receives(self, connection: object, message: str | bytes, now: float) -> None:
        """Nothing to compare."""

    def received(self, events: Any) -> None:
        """Nothing to compare."""

    pauses = received

    def resumes(self, connection: object, now: float) -> None:
        """Nothing to compare."""

    def drains(self, now: float) -> None:
        """Nothing to compare."""

    def sent(self, event: m.ServerEvent) -> None:
        self._outcome.events += 1
        text = r.clean_event(m.encode(event))
        if self._events and (expected := self._events.popleft()) != text:
            self._outcome.differ_event(expected, text)

    def end(self, reason: str) -> None:
        """What did not come at all."""
        if reason == "complete":
            for expected in self._events:
                self._outcome.differ_event(expected, "nothing")


class Replay:
    """A recording, ready to be played.

    Args:
        path: the file.
        publisher: where sound and pictures go; None: nowhere, they are only compared.
        avatar: the face, where it is another than the recording names or lies elsewhere: then pictures differ.
        pace: times real time; None = as fast as possible.
        on_event: called with each server event.

    Raises:
        InvalidArgument: the file cannot be read, or its avatar is not here. BadData: it is none, or a newer one.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        publisher: Publisher | PublisherLike | None = None,
        *,
        avatar: str | None = None,
        pace: float | None = None,
        on_event: Callable[[m.ServerEvent], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.path = Path(path)
        self.header, self._told = look(path)
        self._pace, self._clock, self._sleep = pace, clock, sleep
        self._on_event = on_event
        told, settings = self._told, self.header.settings
        self.outcome = Outcome(
            complete=told.ended not in (None, "limit"), lost=told.lost, uncertain=told.uncertain, cpu=self.header.cpu
        )
        self._compare = Compare(told, self.outcome)
        self._work = Clockwork(told)
        self._now = self.header.origin
        name = avatar or settings.avatar
        if avatar is None and name not in Avatar.builtin():  # a name out of a file is never taken for a path
            raise InvalidArgument(f"the avatar {name!r} of the recording is not built in: give its path, --avatar PATH")
        self.session = ReplaySession(
            self._work,
            told,
            self._compare if publisher is None else Tee(publisher, self._compare),
            avatar=Avatar.load(name) if settings.width else None,
            size=(settings.width, settings.height),
            fps=Fraction(*settings.fps),
            session_id=self.header.session_id,
            on_event=self._on_session_event,
            voice_end_grace=settings.voice_end_grace,
            voice_end_timeout=settings.voice_end_timeout,
            prebuffer=settings.prebuffer,
            prebuffer_max=settings.prebuffer_max,
            catch_up=settings.catch_up,
            capacity=settings.capacity,
            seed=settings.seed,
            clock=lambda: r.in_ns(self._now),
            preencoded="off",
        )
        self._provider = Provider(
            ProviderConfig(
                api_key="replay",
                guard_window=settings.guard_window,
                check_rate=settings.check_rate,
                correct_rate=settings.correct_rate,
                voice_end_grace=settings.voice_end_grace,
            ),
            _nobody_makes_one,
            clock=lambda: self._now,
        )
        self._live = ProviderSession(self.session.id, self.header.request, "", self._now, Counter())
        self._live.granted = self.header.granted
        self._live.tap = self._compare
        self._live.live = self.session
        self._wires: dict[int, Any] = {}
        self._unfinished: dict[int, Iterator[Any]] = {}
        """The newest message of each connection."""

    def _on_session_event(self, event: Any) -> None:
        self._live.emit(event)
        if self._on_event is not None:
            self._on_event(event)

    async def run(self, begin: Callable[[], Awaitable[None]] | None = None) -> Outcome:
        """Plays all of it, as soon as `begin` has returned, if it is given; how it compares."""
        async with self.session:
            if begin is not None:
                await begin()
            self._began = self._clock()
            for record in read(self.path):
                await self._play(record)
            await self._advance(self._told.end)
            self.session.act()
            if self._told.ended is None or self._told.ended == "limit":
                last = self._work.clock + BEYOND
                while self._work.clock < last and self.session.performer.stats()["active"]:
                    await self._advance(self._work.clock + _core.BLOCK)
        self.session.act()
        self._compare.end("complete" if self.outcome.complete and not self.outcome.lost else "")
        self.outcome.astray = self._work.astray + len(self._work.places)
        self.outcome.clock = self._work.clock
        return self.outcome

    async def _play(self, record: r.Record) -> None:
        if isinstance(record, r.Connected):
            self._now = record.t
            self._wires[record.connection] = self._provider.attach(self._live)
        elif isinstance(record, r.Disconnected):
            if (wire := self._wires.pop(record.connection, None)) is not None:
                self._provider.detach(self._live, wire[1])
        elif isinstance(record, r.Received):
            await self._come_to(record)
            self._receive(record)
        elif isinstance(record, r.Continued):
            await self._come_to(record)
            next(self._unfinished.get(record.connection, iter(())), None)
        elif isinstance(record, r.Draining):
            self._provider.draining = True
        elif isinstance(record, r.Called):
            await self._come_to(record)
            self._call(record)

    async def _come_to(self, record: r.Received | r.Continued | r.Called) -> None:
        await self._advance(record.at)
        if not self.session.act(record.told):  # it was read within the tick that made it, before its sound
            self._work.peek()
            self.session.act(record.told)
        self._now = record.t
        self.outcome.astray += len(self._work.places)
        self._work.places = deque(record.ops)

    def _receive(self, record: r.Received) -> None:
        self.outcome.messages += 1
        wire = self._wires.get(record.connection)
        if wire is None:  # its beginning was lost
            wire = self._wires[record.connection] = self._provider.attach(self._live)
        ingest, outbox = wire
        message: str | bytes = record.text or "" if not record.binary else bytes(record.binary)
        steps = self._unfinished[record.connection] = self._provider.steps(self._live, ingest, outbox, message)
        next(steps, None)

    def _call(self, record: r.Called) -> None:
        if record.what == "write":
            self.session.write(record.pcm, record.rate, record.event_id)
        elif record.what == "end":
            self.session.end(record.event_id)
        elif record.what == "interrupt":
            self.session.interrupt(record.event_id)
        elif record.what == "special":
            self.session.special(record.content, record.event_id)

    async def _advance(self, to: int) -> None:
        """Plays on until the clock is at `to`."""
        while self._work.clock < to:
            if self._pace is not None:
                due = self._began + self._work.clock / _core.RATE / self._pace
                if (wait := due - self._clock()) > 0:
                    await self._sleep(wait)
            self._work.step()
        if self._work.taken < to:
            self._work.drain()


async def _nobody_makes_one(*_: Any) -> Any:
    raise InvalidArgument("a replay starts no other session")
