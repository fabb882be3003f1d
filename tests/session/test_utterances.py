"""The life of an utterance, whatever a client does: it begins once and ends once with its own id; `finished()` returns.

No test waits for time: the clock is turned by hand.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lipwire
from lipwire import _core, opus
from lipwire.errors import BufferFull, InvalidArgument
from lipwire.protocol.messages import PlaybackFinished, PlaybackStarted
from lipwire.session.session import SessionEvent
from lipwire.stream import Publisher
from support.agent_puppet import Clock

RATE, BLOCK = _core.RATE, _core.BLOCK


class Life:
    """A session without a picture, what it was given and what it said."""

    def __init__(self, **options: Any) -> None:
        self.out = Sound()
        self.events: list[SessionEvent] = []
        self.failing = False
        self.clock = Clock()
        self.given: dict[int, tuple[str | None, float]] = {}
        """Number -> (id of its first chunk, ms written), in order."""
        self.session = lipwire.Session(self.out, avatar=None, width=0, height=0, on_event=self._on_event, **options)

    def _on_event(self, event: SessionEvent) -> None:
        self.events.append(event)
        if self.failing:
            raise RuntimeError("on purpose")

    def fail(self, failing: bool) -> None:
        self.failing = self.out.failing = failing

    def write(self, samples: int, rate: int, event_id: str | None) -> None:
        self.session.write(np.full(samples, 8000, "<i2").tobytes(), rate, event_id)
        if samples:
            number = self.session.performer.utterance
            name, ms = self.given.get(number, (event_id, 0.0))
            self.given[number] = name, ms + samples * 1000 / rate

    def step(self, ticks: int = 1) -> None:
        for _ in range(ticks):
            self.clock.tick()

    def stall(self, ticks: int) -> None:
        """The engine goes on, nobody reads."""
        for _ in range(ticks):
            self.session.performer.tick()

    def ends(self) -> list[PlaybackFinished]:
        return [event for event in self.events if isinstance(event, PlaybackFinished)]

    async def over(self) -> None:
        """Nothing has to happen any more for `finished()` to return."""
        async with asyncio.timeout(60):
            await self.session.finished()

    def check(self) -> None:
        speaking: str | type | None = Life
        ends = iter(self.given.values())
        for event in self.events:
            if isinstance(event, PlaybackStarted):
                assert speaking is Life, "two begin at once"
                speaking = event.event_id
            elif isinstance(event, PlaybackFinished):
                name, ms = next(ends)
                assert event.event_id == name
                assert speaking in (name, Life) and (speaking is not Life or event.interrupted)
                speaking = Life
                if event.interrupted:
                    assert event.position_ms <= ms + 0.2
                else:
                    assert ms - 0.1 <= event.position_ms <= ms + 0.2
        assert speaking is Life and next(ends, None) is None, "an utterance did not end"


class Sound(Publisher):
    def __init__(self) -> None:
        self.failing = False
        self.blocks: list[bytes] = []

    def audio(self, pcm: bytes, sample: int) -> None:
        if self.failing:
            raise RuntimeError("on purpose")
        self.blocks.append(pcm)

    def video(self, frame: lipwire.Frame) -> None: ...

    @property
    def pcm(self) -> np.ndarray[Any, np.dtype[np.int16]]:
        return np.frombuffer(b"".join(self.blocks), "<i2")


@pytest.fixture
async def life() -> Any:
    life = Life(voice_end_grace=0.1, voice_end_timeout=0.2)
    await life.session.start()
    yield life
    await life.session.close()


# --------------------------------------------------------------------------------------------------- any order at all

step = st.one_of(
    st.tuples(
        st.just("write"),
        st.sampled_from([0, 1, 2, 23, 24, 100, 480, 2000, 9000]),
        st.sampled_from([8000, 11025, 16000, 16001, 44100, 48000]),
        st.sampled_from(["a", "b", "c", None]),
    ),
    st.tuples(st.just("end"), st.sampled_from(["a", "b", None])),
    st.tuples(st.just("interrupt")),
    st.tuples(st.just("step"), st.sampled_from([1, 2, 10, 25, 60])),
    st.tuples(st.just("stall"), st.sampled_from([1, 10, 60, 90])),
    st.tuples(st.just("fail"), st.booleans()),
    st.tuples(st.just("many"), st.sampled_from([10, 300]), st.booleans()),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(step, min_size=2, max_size=25),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.sampled_from([0.0, 0.06]),
    st.booleans(),
)
def test_any_order(steps: list[tuple[Any, ...]], grace: float, prebuffer: float, closes: bool) -> None:
    async def run() -> None:
        life = Life(voice_end_grace=grace, prebuffer=prebuffer, voice_end_timeout=0.1, capacity=5.0)
        await life.session.start()
        for what, *how in steps:
            match what:
                case "write":
                    try:
                        life.write(*how)
                    except BufferFull:
                        life.step(20)
                case "end":
                    life.session.end(*how)
                case "interrupt":
                    life.session.interrupt()
                case "step":
                    life.step(*how)
                case "stall":
                    life.stall(*how)
                case "fail":
                    life.fail(*how)
                case "many":
                    many(life, *how)
        waiting = asyncio.ensure_future(life.session.finished())
        await asyncio.sleep(0)
        if closes:
            await life.session.close()
        else:
            life.step(700)  # all that waits, and the patience with what has no end
            assert life.session.performer.stats()["buffered"] == 0
        async with asyncio.timeout(60):
            await waiting
        life.check()
        await life.session.close()
        life.check()

    asyncio.run(run())


def many(life: Life, count: int, interrupted: bool) -> None:
    for n in range(count):
        try:
            life.write(3, 16000, f"m{n}")
        except BufferFull:
            life.stall(1)
        (life.session.interrupt if interrupted else life.session.end)()


# --------------------------------------------------------------------------------- less than a resampler looks ahead


@pytest.mark.parametrize("samples", [1, 23, 24])
async def test_a_few_samples_without_an_end_are_an_utterance_too(life: Life, samples: int) -> None:
    """They never began, and `finished()` waited for ever."""
    life.write(samples, 16000, "a")
    life.step(60)
    await life.over()
    assert life.events == [PlaybackStarted("a"), PlaybackFinished("a", round(samples / 16, 1), False)]
    life.write(8000, 16000, "b")
    life.session.end("b")
    life.step(80)
    assert life.ends()[1:] == [PlaybackFinished("b", 500.0, False)]


async def test_nothing_at_all_is_no_utterance(life: Life) -> None:
    """Its number stayed in the interrupt, and the next utterance counted as cut off."""
    life.write(0, 16000, "nothing")
    life.session.interrupt()
    life.write(8000, 16000, "a")
    life.session.end("a")
    life.step(80)
    await life.over()
    assert life.events == [PlaybackStarted("a"), PlaybackFinished("a", 500.0, False)]


# ---------------------------------------------------------------------------------------------------- more than fits


async def test_no_end_is_lost_while_nobody_reads(life: Life) -> None:
    """The ring of events overflowed: utterances never ended, and their ids stuck."""
    refused = 0
    for n in range(3000):
        try:
            life.write(240, RATE, f"u{n}")
            life.session.end()
            life.session.performer.end(0)
        except BufferFull:
            refused += 1
        life.stall(1)
    assert refused > 2000, "of which 256 at most may wait to be told"
    life.step(400)
    await life.over()
    life.check()
    assert len(life.ends()) == 3000 - refused
    life.write(480, RATE, "last")
    life.step(60)
    assert life.ends()[-1] == PlaybackFinished("last", 10.0, False)


async def test_too_many_that_wait_are_refused_whole(life: Life) -> None:
    life.write(RATE, RATE, "first")
    life.session.performer.end(0)
    accepted = 0
    with pytest.raises(BufferFull, match="utterances"):
        while True:
            life.write(1, 16000, f"u{accepted}")  # less than the resampler looks ahead
            life.session.performer.end(0)
            accepted += 1
    assert accepted == 127
    life.step(300)
    await life.over()
    life.check()


async def test_a_source_that_delays_keeps_every_id() -> None:
    class Late(lipwire.FrameSource):
        latency = 1.0

        def speech(self, pcm: Any, sample: int) -> Any:
            return ()

    events: list[SessionEvent] = []
    clock = Clock()
    session = lipwire.Session(Sound(), avatar=Late(), width=64, height=36, on_event=events.append, prebuffer=0.0)
    await session.start()
    names: list[str] = []
    for n in range(8000):
        try:
            session.write(bytes(96), RATE, f"u{n}")
        except BufferFull:
            pass
        else:
            names.append(f"u{n}")
            session.performer.end(0)
        if n % 20 == 0:
            clock.tick()
    for _ in range(300):
        clock.tick()
    assert 1024 < len(names) < 8000
    assert [event.event_id for event in events if isinstance(event, PlaybackFinished)] == names
    await session.close()


# ------------------------------------------------------------------------------------------------------- closing


async def test_closing_tells_of_what_was_cut_off(life: Life) -> None:
    life.write(RATE, RATE, "a")
    life.session.end("a")
    life.write(RATE, RATE, "b")
    life.step(50)
    waiting = asyncio.ensure_future(life.session.finished())
    await asyncio.sleep(0)
    assert not waiting.done()
    await life.session.close()
    async with asyncio.timeout(60):
        await waiting
    assert life.events == [
        PlaybackStarted("a"),
        PlaybackFinished("a", 500.0, True),
        PlaybackFinished("b", 0.0, True),
    ]
    await life.session.close()
    assert len(life.events) == 3


async def test_a_session_that_finds_no_place_holds_nothing() -> None:
    """It counted as running, without a clock: `finished()` waited for ever."""
    clock = Clock()

    def no_place(session: Any) -> None:
        raise BufferFull("no place")

    clock.attach = no_place  # type: ignore[method-assign]
    closed: list[bool] = []

    class Closing(Sound):
        async def close(self) -> None:
            closed.append(True)

    session = lipwire.Session(Closing(), avatar=None, width=0, height=0)
    with pytest.raises(BufferFull):
        await session.start()
    assert closed == [True]
    with pytest.raises(lipwire.LipwireError):
        session.write(bytes(960), RATE)
    await session.close()


# -------------------------------------------------------------------------------------------------------- voice_end


@pytest.mark.parametrize("ends", ["early", "late", "missing", "doubled", "before anything"])
async def test_voice_end_at_any_time(life: Life, ends: str) -> None:
    if ends == "before anything":
        life.session.end("a")
    life.write(4800, RATE, "a")
    if ends == "early":
        life.session.end("a")
        life.step(5)
        life.write(2400, RATE, "a")  # within the grace
    life.step(12)
    if ends == "doubled":
        for _ in range(1000):
            life.session.end("a")
    life.step(60)
    if ends == "late":
        life.session.end("a")
    await life.over()
    assert life.events == [PlaybackStarted("a"), PlaybackFinished("a", 150.0 if ends == "early" else 100.0, False)]
    life.write(4800, RATE, "b")
    life.session.end("b")
    life.step(60)
    assert life.ends()[1:] == [PlaybackFinished("b", 100.0, False)]


# ---------------------------------------------------------------------------------------------------------- lengths


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
async def test_ten_milliseconds(life: Life, rate: int) -> None:
    life.write(rate // 100, rate, "a")
    life.session.end("a")
    life.step(40)
    await life.over()
    assert life.events == [PlaybackStarted("a"), PlaybackFinished("a", 10.0, False)]
    assert np.count_nonzero(life.out.pcm) > 200


SECOND = (np.arange(16000) % 160 * 100).astype("<i2").tobytes()


async def test_ten_minutes_in_a_burst() -> None:
    """At 50 times real time all of it waits, and is said."""
    life = Life(voice_end_grace=0.0)
    await life.session.start()
    for _ in range(600):
        life.session.write(SECOND, 16000, "long")
        life.step(2)
    life.session.end("long")
    life.step(60_000 - 1200 + 10)
    await life.over()
    assert life.ends() == [PlaybackFinished("long", 600_000.0, False)]
    await life.session.close()


async def test_a_burst_of_more_than_fits() -> None:
    """What does not fit is refused, and what was taken is said."""
    life = Life(voice_end_grace=0.0, capacity=60.0)
    await life.session.start()
    accepted = refused = 0
    for _ in range(150):
        try:
            life.session.write(SECOND, 16000, "long")
            accepted += 1
        except BufferFull as exc:
            assert "the speech buffer has 0." in str(exc)
            refused += 1
        life.step(2)
    assert 60 <= accepted <= 64 and refused == 150 - accepted
    life.session.end("long")
    life.step(100 * (accepted + 1))
    await life.over()
    assert life.ends() == [PlaybackFinished("long", 1000.0 * accepted, False)]
    await life.session.close()


@pytest.mark.parametrize("state", ["waiting", "playing", "dry", "in its grace", "over", "idle", "just interrupted"])
async def test_an_interrupt_in_each_state(life: Life, state: str) -> None:
    if state != "idle":
        life.write(480 if state == "waiting" else 4800, RATE, "a")
    if state in ("in its grace", "over"):
        life.session.end("a")
    life.step({"idle": 0, "waiting": 1, "dry": 20, "over": 60}.get(state, 8))
    if state == "just interrupted":
        life.session.interrupt()
    life.session.interrupt()
    cut = len(life.out.blocks) * BLOCK
    life.step(30)
    await life.over()
    life.check()
    assert not life.out.pcm[cut + 240 :].any()
    assert [end.interrupted for end in life.ends()] == {"idle": [], "over": [False]}.get(state, [True])
    life.write(4800, RATE, "b")
    life.session.end("b")
    life.step(60)
    assert life.ends()[-1] == PlaybackFinished("b", 100.0, False)


def resident() -> float:
    """MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


async def test_memory_of_a_backlog_is_given_back(life: Life) -> None:
    minute = bytes(range(256)) * (60 * RATE * 2 // 256)
    before = resident()
    for _ in range(9):
        life.session.write(minute, RATE, "long")
    assert resident() - before > 45
    life.session.interrupt()
    life.step(2)
    assert resident() - before < 15, "without another write"


def drained(performer: _core.Performer) -> bytes:
    """The sound of one tick."""
    performer.tick()
    block = performer.read_pcm()
    assert block is not None and performer.read_pcm() is None
    while performer.read_event() is not None:
        pass
    return block[0]


def test_speech_that_never_runs_dry_takes_no_more_memory() -> None:
    performer, chunk = _core.Performer(None, (1, 1)), b"\x10\x10" * BLOCK
    for _ in range(20):
        performer.write(chunk, RATE)
    before = resident()
    for _ in range(3 * 60 * 100):
        performer.write(chunk, RATE)
        drained(performer)
    assert performer.stats()["underruns"] == 0 and performer.stats()["active"]
    assert resident() - before < 4, "17 MB have been said"


@pytest.mark.parametrize("capacity", [0.1, 0.68, 2.7, 5.4, 7.0])
def test_what_waits_is_kept_where_the_ring_comes_round(capacity: float) -> None:
    """Memory is given back in pieces larger than a block; where the buffer is kept full, new speech lies in them."""
    speech = np.random.default_rng(1).integers(100, 9000, 30 * RATE).astype("<i2")
    speech[:BLOCK] = 1
    sound: list[bytes] = []
    performer, at = _core.Performer(None, (1, 1), capacity=capacity), 0
    while len(sound) < 2990:
        while performer.space >= 0.02 and at < len(speech):
            performer.write(speech[at : at + BLOCK], RATE)
            at += BLOCK
        performer.give_back()
        sound.append(drained(performer))
    heard = np.frombuffer(b"".join(sound), "<i2")
    begins = int(np.argmax(heard != 0))
    assert begins < 8 * BLOCK and np.array_equal(heard[begins:], speech[: len(heard) - begins])


@pytest.mark.parametrize("refused", ["no room", "odd", "rate", "no room at another rate", "too many", "nothing"])
async def test_a_refused_write_has_no_effect(refused: str) -> None:
    """One with a new id, within the grace of the utterance before, whose late rest comes behind it."""

    async def live(refused: str) -> tuple[list[SessionEvent], bytes]:
        life = Life(capacity=1.0)
        await life.session.start()
        life.write(1600, 16000, "a")
        life.session.end("a")
        life.step(3)
        if refused in ("no room", "no room at another rate"):
            with pytest.raises(BufferFull):
                life.session.write(bytes(2 * 96000), 16000 if refused == "no room" else 24000, "b")
        elif refused in ("odd", "rate"):
            with pytest.raises(InvalidArgument):
                life.session.write(bytes(96 + (refused == "odd")), 16000 if refused == "odd" else 7999, "b")
        elif refused == "too many":
            with pytest.MonkeyPatch.context() as patch, pytest.raises(BufferFull):
                patch.setattr("lipwire.session.session.MAX_UTTERANCES", 1)
                life.session.write(bytes(960), 16000, "b")
        life.write(1600, 16000, "a")
        life.session.end("a")
        life.step(60)
        await life.session.close()
        return life.events, b"".join(life.out.blocks)

    events, sound = await live(refused)
    assert (events, sound) == await live("nothing")
    assert events == [PlaybackStarted("a"), PlaybackFinished("a", 200.0, False)]


def test_a_fresh_write_begins_an_utterance_if_it_is_taken() -> None:
    for held in (False, True):  # the first is less than the resampler looks ahead
        performer = _core.Performer(None, (1, 1), capacity=0.25)
        performer.write(b"\x10\x10" * (1 if held else 1600), 16000)
        for rate in (16000, 24000):
            with pytest.raises(BufferFull, match=r"s left, the chunk is"):
                performer.write(bytes(2 * 7200), rate, fresh=True)
            assert performer.writing == performer.utterance == 1
        performer.write(b"\x10\x10" * 1600, 16000, fresh=True)
        assert performer.utterance == 2
        ends = []
        performer.end()
        for _ in range(40):
            performer.tick()
            while performer.read_pcm() is not None:
                pass
            while (event := performer.read_event()) is not None:
                ends += [(event[2], event[4])] if event[0] == _core.EVENT_FINISHED else []
        assert ends == [(1, 3 if held else 4800), (2, 4800)]


async def test_opus_that_does_not_fit_is_not_decoded() -> None:
    """A packet of 120 ms costs 150 us to decode: who fills the buffer could have that done for nothing, for ever."""
    life = Life(capacity=1.0)
    await life.session.start()
    life.write(RATE - 480, RATE, "a")
    packet = opus.pack([opus.OpusEncoder(RATE, 1, frame_ms=20).encode(bytes(1920))[0]] * 6)
    with pytest.raises(BufferFull):
        life.session.voice(packet, "OPUS", RATE, "a")
    assert life.session._decoder._opus is None
    life.session.interrupt()
    life.step(2)
    life.session.voice(packet, "OPUS", RATE, "b")
    life.session.end("b")
    life.step(60)
    assert life.ends()[-1] == PlaybackFinished("b", 120.0, False)
    await life.session.close()
