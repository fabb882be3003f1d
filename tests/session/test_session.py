"""Live sessions on the real engine: what comes out, when the events come, and that nothing stale surfaces."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lipwire
from lipwire import _core
from lipwire.audio import espeak as voice
from lipwire.errors import BadState, BufferFull, InvalidArgument
from lipwire.protocol.messages import PlaybackFinished, PlaybackStarted, Underrun
from lipwire.stream import StreamSpec
from support.machine import engine_threads

pytestmark = pytest.mark.kernels

RATE, BLOCK = _core.RATE, _core.BLOCK
WAIT = 60


def tone(seconds: float, hz: float = 200.0, rate: int = RATE, peak: int = 8000) -> bytes:
    t = np.arange(round(seconds * rate)) / rate
    return (np.sin(2 * np.pi * hz * t) * peak).astype(np.int16).tobytes()


class Recorder:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.starts: list[int] = []
        self.frames: list[tuple[int, int, bool]] = []
        """(sample, end of the sound handed over so far, mouth open)"""
        self.opened = self.closed = 0
        self.came = asyncio.Event()

    async def open(self, spec: StreamSpec) -> None:
        self.opened += 1

    def audio(self, pcm: bytes, sample: int) -> None:
        self.blocks.append(pcm)
        self.starts.append(sample)
        self.came.set()

    def video(self, frame: lipwire.Frame) -> None:
        self.frames.append((frame.sample, self.starts[-1] + BLOCK, frame.mouth_open))

    async def close(self) -> None:
        self.closed += 1

    @property
    def pcm(self) -> np.ndarray[Any, np.dtype[np.int16]]:
        """All of the sound, from sample 0 of the clock; a gap would show as a wrong length."""
        assert self.starts == list(range(0, len(self.starts) * BLOCK, BLOCK))
        return np.frombuffer(b"".join(self.blocks), np.int16)

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until `condition` holds; it is looked at with every block."""
        async with asyncio.timeout(WAIT):
            while not condition():
                self.came.clear()
                await self.came.wait()


class Stage:
    """A session, what it published and what it said."""

    def __init__(self, **options: Any) -> None:
        self.out = Recorder()
        self.events: list[Any] = []
        self.session = lipwire.Session(
            options.pop("publisher", self.out), width=64, height=36, on_event=self.events.append, **options
        )

    async def __aenter__(self) -> Stage:
        await self.session.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def finished(self) -> None:
        await asyncio.wait_for(self.session.finished(), WAIT)

    def heard(self) -> tuple[int, int]:
        """First and last sample that are not silent."""
        loud = np.flatnonzero(self.out.pcm)
        return int(loud[0]), int(loud[-1])


# ------------------------------------------------------------------------------------------------ what is played


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
async def test_an_utterance_is_played_whole_and_said_so(rate: int) -> None:
    async with Stage(voice_end_grace=0.05) as stage:
        speech = tone(0.5, rate=rate)
        for at in range(0, len(speech), 1000):
            stage.session.write(speech[at : at + 1000], rate, "a")
        stage.session.end("a")
        await stage.finished()
    assert stage.events == [PlaybackStarted("a"), PlaybackFinished("a", 500.0, False)]
    first, last = stage.heard()
    assert last - first == pytest.approx(0.5 * RATE, abs=60)
    assert (stage.out.opened, stage.out.closed) == (1, 1)


async def test_speech_opens_the_mouth_and_its_latency_is_measured() -> None:
    spoken = voice.speak("Hello there.")
    async with Stage(voice_end_grace=0.02) as stage:
        stage.session.write(spoken.pcm, spoken.rate)
        stage.session.end()
        await stage.finished()
        assert stage.session.latency is not None and stage.session.latency.total_ms > 0
    assert any(mouth for _, _, mouth in stage.out.frames)


async def test_48_khz_is_bit_exact() -> None:
    noise = np.random.default_rng(1).integers(-20000, 20000, RATE // 2, dtype=np.int16).tobytes()
    speech = bytes(960) + noise + bytes(960)  # starts and ends in silence: nothing has to be faded
    async with Stage(voice_end_grace=0.02) as stage:
        stage.session.write(speech, RATE)
        stage.session.end()
        await stage.finished()
    first, _ = stage.heard()
    assert speech in stage.out.pcm.tobytes()
    assert (first - 480) % BLOCK in (0, 1)  # it began with a block; noise may begin with a zero


async def test_a_greeting_right_after_the_start_is_heard_whole() -> None:
    greeting = tone(0.3) + bytes(960)
    for _ in range(5):
        async with Stage(voice_end_grace=0.02) as stage:
            stage.session.write(greeting, RATE, "hello")
            stage.session.end("hello")
            await stage.finished()
        assert greeting in stage.out.pcm.tobytes()
        assert stage.events == [PlaybackStarted("hello"), PlaybackFinished("hello", 310.0, False)]


async def test_sound_has_no_gap_and_the_picture_stays_with_it() -> None:
    async with Stage(fps=25) as stage:
        stage.session.write(tone(1.0), RATE)
        stage.session.end()
        await stage.finished()
        stats = stage.session.stats()
    assert len(stage.out.pcm) == round(stage.session.stats()["clock_s"] * RATE)
    assert stats["max_skew_ms"] <= 40
    for sample, sound, _ in stage.out.frames:
        assert sample % (RATE // 25) == 0
        assert abs(sound - sample) <= RATE // 25
    assert stats["pcm_dropped"] == 0


async def test_a_loop_that_stalls_parts_no_picture_from_its_sound() -> None:
    async with Stage(fps=25) as stage:
        stage.session.write(tone(1.0), RATE)
        stage.session.end()
        await stage.out.until(lambda: len(stage.out.frames) > 5)
        time.sleep(0.3)  # another task of the host hogs the loop
        await stage.finished()
        assert stage.session.max_skew_ms <= 40
    assert len(stage.out.pcm) == round(stage.session.stats()["clock_s"] * RATE)
    for sample, sound, _ in stage.out.frames:
        assert abs(sound - sample) <= RATE // 25


# -------------------------------------------------------------------------------------------- where utterances end


async def test_audio_within_the_grace_still_belongs() -> None:
    async with Stage(voice_end_grace=0.5) as stage:
        stage.session.write(tone(0.2), RATE, "a")
        stage.session.end("a")
        stage.session.write(tone(0.3), RATE, "a")
        await stage.finished()
    assert stage.events == [PlaybackStarted("a"), PlaybackFinished("a", 500.0, False)]


async def test_audio_after_the_grace_is_the_next_utterance() -> None:
    async with Stage(voice_end_grace=0.02) as stage:
        stage.session.write(tone(0.1), RATE, "a")
        stage.session.end("a")
        await stage.finished()
        stage.session.write(tone(0.1), RATE, "a")
        stage.session.end("a")
        await stage.finished()
    assert stage.events == [PlaybackStarted("a"), PlaybackFinished("a", 100.0, False)] * 2


async def test_without_voice_end_it_ends_by_itself() -> None:
    async with Stage(voice_end_timeout=0.1) as stage:
        stage.session.write(tone(0.2), RATE, "a")
        await stage.finished()
        assert stage.session.stats()["state"] == "idle"
    assert stage.events == [PlaybackStarted("a"), PlaybackFinished("a", 200.0, False)]


async def test_a_timeout_of_zero_ends_at_once() -> None:
    async with Stage(voice_end_timeout=0) as stage:
        stage.session.write(tone(0.2), RATE, "a")
        await stage.finished()
        clock = len(stage.out.pcm)
    assert clock - stage.heard()[1] < 0.5 * RATE


async def test_a_gap_in_the_speech_is_an_underrun() -> None:
    async with Stage(voice_end_timeout=10.0, voice_end_grace=0.02) as stage:
        stage.session.write(tone(0.2), RATE, "a")
        await stage.out.until(lambda: stage.events and stage.heard()[1] < len(stage.out.pcm) - 2 * BLOCK)
        stage.session.write(tone(0.3), RATE, "a")
        stage.session.end("a")
        await stage.finished()
        assert stage.session.stats()["underruns"] == 1
    started, underrun, finished = stage.events
    assert (started, finished) == (PlaybackStarted("a"), PlaybackFinished("a", 500.0, False))
    assert isinstance(underrun, Underrun)
    assert underrun.position_ms == 200.0
    first, last = stage.heard()
    assert (last - first) / 48 == pytest.approx(500 + underrun.duration_ms, abs=2)


async def test_ids_that_name_utterances_part_them_within_the_grace() -> None:
    async with Stage(voice_end_grace=5.0) as stage:
        stage.session.write(tone(0.1), RATE, "a")
        stage.session.end("a")
        stage.session.write(tone(0.1), RATE, "a")  # late, but its own
        stage.session.write(tone(0.1), RATE, "b")
        stage.session.write(tone(0.1), RATE, "b")
        stage.session.write(tone(0.1), RATE, "b")
        stage.session.end("b")
        stage.session.write(tone(0.1), RATE, "c")
        stage.session.performer.end(0)
        await stage.finished()
    assert stage.events == [
        PlaybackStarted("a"),
        PlaybackFinished("a", 200.0, False),
        PlaybackStarted("b"),
        PlaybackFinished("b", 300.0, False),
        PlaybackStarted("c"),
        PlaybackFinished("c", 100.0, False),
    ]


async def test_ids_that_name_messages_leave_it_to_the_grace() -> None:
    async with Stage(voice_end_grace=0.5) as stage:
        stage.session.write(tone(0.1), RATE, "1")
        stage.session.write(tone(0.1), RATE, "2")
        stage.session.end("3")
        stage.session.write(tone(0.1), RATE, "4")
        await stage.finished()
    assert stage.events == [PlaybackStarted("1"), PlaybackFinished("1", 300.0, False)]


async def test_no_ids_at_all() -> None:
    async with Stage(voice_end_grace=0.1) as stage:
        stage.session.write(tone(0.1), RATE)
        stage.session.end()
        stage.session.write(tone(0.1), RATE)
        await stage.finished()
    assert stage.events == [PlaybackStarted(None), PlaybackFinished(None, 200.0, False)]


async def test_a_publisher_that_does_not_open_leaves_no_thread_of_what_draws() -> None:
    class Refusing(Recorder):
        async def open(self, spec: StreamSpec) -> None:
            raise BadState("the room is full")

    class Slate(lipwire.Renderer):
        closed = 0

        def draw(self, *_: Any) -> None: ...

        def close(self) -> None:
            self.closed += 1

    slate = Slate()
    session = lipwire.Session(Refusing(), avatar=slate, width=64, height=36)
    with pytest.raises(BadState, match="full"):
        await session.start()
    assert slate.closed == 1 and not any(thread.name == "lipwire-Slate" for thread in threading.enumerate())


# ---------------------------------------------------------------------------------------------------- interrupting


async def test_an_interrupt_tells_what_was_heard() -> None:
    async with Stage() as stage:
        stage.session.write(tone(5.0), RATE, "a")
        stage.session.end("a")
        await stage.out.until(lambda: np.count_nonzero(stage.out.pcm) > 20 * BLOCK)
        stage.session.interrupt()
        clock = stage.session.stats()["clock_s"] * RATE
        await stage.finished()
        await stage.out.until(lambda: len(stage.out.pcm) > clock + 20 * BLOCK)
    started, finished = stage.events
    assert started == PlaybackStarted("a")
    assert (finished.event_id, finished.interrupted) == ("a", True)
    first, last = stage.heard()
    assert last < clock + 2 * BLOCK
    assert finished.position_ms == pytest.approx((last - first) / 48, abs=1.0)
    steps = np.abs(np.diff(stage.out.pcm.astype(int)))
    assert steps.max() < 600  # a fade and no click: the tone itself steps by 210 at most


async def test_an_interrupt_drops_every_utterance_that_waits() -> None:
    async with Stage() as stage:
        for name in "abc":
            stage.session.write(tone(1.0), RATE, name)
            stage.session.end(name)
        await stage.out.until(lambda: stage.events)
        stage.session.interrupt()
        await stage.finished()
    assert [(e.event_id, type(e)) for e in stage.events] == [
        ("a", PlaybackStarted),
        ("a", PlaybackFinished),
        ("b", PlaybackFinished),
        ("c", PlaybackFinished),
    ]
    assert [(e.position_ms > 0, e.interrupted) for e in stage.events[1:]] == [
        (True, True),
        (False, True),
        (False, True),
    ]


async def test_an_interrupt_of_nothing_is_nothing() -> None:
    async with Stage(voice_end_grace=0.02) as stage:
        stage.session.interrupt()
        stage.session.interrupt("x")
        stage.session.write(tone(0.1), RATE, "a")
        stage.session.end("a")
        await stage.finished()
    assert stage.events == [PlaybackStarted("a"), PlaybackFinished("a", 100.0, False)]


async def test_fifty_interrupts_and_nothing_stale() -> None:
    """Every utterance is a tone of its own. All are multiples of 100 Hz, so in a block of 10 ms any two of them are
    orthogonal: the share of an old one in a block is measured exactly."""
    pitches = [400 + 100 * n for n in range(50)]
    stops = []
    async with Stage() as stage:
        for n, hz in enumerate(pitches):
            stage.session.write(tone(2.0, hz), RATE, str(n))
            if n % 2:
                stage.session.end(str(n))
            before = len(stage.out.blocks)
            await stage.out.until(lambda before=before: len(stage.out.blocks) >= before + 5)  # type: ignore[misc]
            stage.session.interrupt(str(n))
            stops.append(round(stage.session.stats()["clock_s"] * RATE))
        stage.session.write(tone(0.2, 300) + bytes(960), RATE, "last")
        stage.session.end("last")
        await stage.finished()
    pcm = stage.out.pcm
    assert (tone(0.2, 300) + bytes(960)) in pcm.tobytes()
    spoken = [e.event_id for e in stage.events if isinstance(e, PlaybackStarted)]
    assert spoken == [*map(str, range(50)), "last"]
    finished = [e for e in stage.events if isinstance(e, PlaybackFinished)]
    assert [(e.event_id, e.interrupted) for e in finished] == [*((str(n), True) for n in range(50)), ("last", False)]
    assert all(0 < e.position_ms < 2000 for e in finished)

    phase = 2 * np.pi * np.outer(pitches, np.arange(BLOCK)) / RATE
    blocks = pcm.reshape(-1, BLOCK).astype(float)
    power = ((blocks @ np.cos(phase).T) ** 2 + (blocks @ np.sin(phase).T) ** 2) * 4 / BLOCK**2
    fading = np.any(blocks, axis=1) & ~np.any(blocks[:, 240:], axis=1)  # 5 ms of a tone is close to every other
    assert np.count_nonzero(fading) <= 50
    for n, stop in enumerate(stops):
        assert power[: stop // BLOCK + 2, n].max() > 7000**2  # it was heard
        # After the block in the making and the one that fades, not a trace of it.
        assert power[stop // BLOCK + 2 :, n][~fading[stop // BLOCK + 2 :]].max() < 30**2


# ------------------------------------------------------------------------------------------------- limits and faults


async def test_bad_input_is_refused_and_what_was_accepted_is_played() -> None:
    async with Stage(voice_end_grace=0.02, capacity=1.0) as stage:
        session = stage.session
        session.write(tone(0.1), RATE, "a")
        for call in (
            lambda: session.write(b"odd", RATE),
            lambda: session.write(b"ok", 7999),
            lambda: session.write(b"ok", 48001),
            lambda: session.voice(b"ok", "MP3", RATE),
            lambda: session.voice(b"odd", "PCM16", RATE),
            lambda: session.voice(b"\x03", "OPUS", RATE),
            lambda: session.write(tone(1.1), RATE),
        ):
            with pytest.raises((InvalidArgument, lipwire.LipwireError)):
                call()
        with pytest.raises(BufferFull):
            session.write(bytes(2 * RATE), RATE)
        session.write(b"", RATE)
        session.write(tone(0.1), RATE, "a")
        session.end("a")
        await stage.finished()
    assert stage.events == [PlaybackStarted("a"), PlaybackFinished("a", 200.0, False)]


async def test_calls_that_do_not_fit_the_state() -> None:
    stage = Stage()
    session = stage.session
    calls: list[Callable[[], object]] = [
        lambda: session.write(b"ok", RATE),
        lambda: session.voice(b"ok", "PCM16", RATE),
        session.end,
        session.interrupt,
    ]
    for call in calls:
        with pytest.raises(BadState):
            call()
    await session.close()  # was never started
    await session.start()
    with pytest.raises(BadState):
        await session.start()
    session.write(tone(5), RATE)
    await session.close()
    await session.close()
    await stage.finished()  # nobody waits for ever
    for call in calls:
        with pytest.raises(BadState):
            call()
    with pytest.raises(BadState):
        await session.start()
    assert stage.out.closed == 1
    assert session.stats()["clock_s"] >= 0


@pytest.mark.parametrize("options", [{"fps": 101}, {"fps": 0}, {"capacity": 0.0001}, {"prebuffer": 700.0}])
async def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        await Stage(**options).session.start()
    with pytest.raises(InvalidArgument):
        await lipwire.Session(lipwire.publish.Null(), width=63).start()
    with pytest.raises(InvalidArgument):
        lipwire.Session(lipwire.publish.Null(), avatar="nobody")


class Faulty(Recorder):
    """Raises in `audio` or `video`."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def audio(self, pcm: bytes, sample: int) -> None:
        super().audio(pcm, sample)
        if self.where == "audio":
            raise OSError("the cable is out")

    def video(self, frame: lipwire.Frame) -> None:
        super().video(frame)
        if self.where == "video":
            raise OSError("the screen is dark")


@pytest.mark.parametrize("where", ["audio", "video"])
async def test_a_publisher_that_raises_stops_no_other_session(where: str, caplog: pytest.LogCaptureFixture) -> None:
    faulty = Stage(publisher=Faulty(where))
    async with faulty, Stage(voice_end_grace=0.02) as other:
        faulty.session.write(tone(0.5), RATE)
        for name in "ab":
            other.session.write(tone(0.2), RATE, name)
            other.session.end(name)
            await other.finished()
    assert [e.event_id for e in other.events] == ["a", "a", "b", "b"]
    assert len(other.out.pcm) == round(other.session.stats()["clock_s"] * RATE)
    assert caplog.text.count("handing over failed") == 1
    assert faulty.session.id in caplog.text


async def test_a_picture_that_fails_costs_no_event() -> None:
    stage = Stage(publisher=Faulty("video"), voice_end_grace=0.02, fps=100)
    async with stage:
        stage.session.write(tone(0.2), RATE, "a")
        stage.session.end("a")
        await asyncio.wait_for(stage.session.finished(), 1)
    assert stage.events == [PlaybackStarted("a"), PlaybackFinished("a", 200.0, False)]


async def test_a_publisher_that_does_not_open_fails_the_start() -> None:
    class Closed(Recorder):
        async def open(self, spec: StreamSpec) -> None:
            raise InvalidArgument("no such channel")

    stage = Stage(publisher=Closed())
    with pytest.raises(InvalidArgument, match="no such channel"):
        await stage.session.start()
    await stage.session.close()
    assert not engine_threads()


# --------------------------------------------------------------------------------------------------- many and often


async def test_starts_take_no_place_of_the_viewers_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiortc encodes in the loop's executor. However many avatars are being drawn, it has room."""
    loop, drawn, finish = asyncio.get_running_loop(), threading.Event(), threading.Event()
    really = lipwire.Avatar.at

    def slow(avatar: lipwire.Avatar, width: int, height: int) -> _core.NativeAvatar:
        drawn.set()
        assert finish.wait(WAIT)
        return really(avatar, width, height)

    monkeypatch.setattr(lipwire.Avatar, "at", slow)
    loop.set_default_executor(ThreadPoolExecutor(3))
    stages = [Stage(publisher=lipwire.publish.Null()) for _ in range(6)]
    starts = [asyncio.create_task(stage.session.start()) for stage in stages]
    try:
        while not drawn.is_set():
            await asyncio.sleep(0.01)
        encoding = [loop.run_in_executor(None, threading.get_ident) for _ in range(10)]
        await asyncio.wait_for(asyncio.gather(*encoding), WAIT / 2)
    finally:
        finish.set()
        await asyncio.gather(*starts)
        await asyncio.gather(*(stage.session.close() for stage in stages))


async def test_ten_sessions_at_once() -> None:
    stages = [Stage(voice_end_grace=0.02) for _ in range(10)]
    for stage in stages:
        await stage.session.start()
    assert len(engine_threads()) == 1
    try:
        for n, stage in enumerate(stages):
            stage.session.write(tone(0.5, 300 + 100 * n) + bytes(960), RATE, str(n))
            stage.session.end(str(n))
        await asyncio.gather(*(stage.finished() for stage in stages))
    finally:
        await asyncio.gather(*(stage.session.close() for stage in stages))
    for n, stage in enumerate(stages):
        assert (tone(0.5, 300 + 100 * n) + bytes(960)) in stage.out.pcm.tobytes()
        assert stage.events == [PlaybackStarted(str(n)), PlaybackFinished(str(n), 510.0, False)]
        assert stage.session.stats()["pcm_dropped"] == 0
    assert not engine_threads()


def resident() -> int:
    """Bytes of memory in use by this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_starting_and_closing_leaves_nothing_behind() -> None:
    async def cycle() -> weakref.ref[lipwire.Session]:
        stage = Stage(publisher=lipwire.publish.Null())
        async with stage:
            stage.session.write(tone(1.0), RATE)
            await asyncio.sleep(0.02)
        return weakref.ref(stage.session)

    for _ in range(5):
        last = await cycle()
    gc.collect()
    files = len(os.listdir("/proc/self/fd"))
    tracemalloc.start()
    before, native = tracemalloc.get_traced_memory()[0], resident()
    for _ in range(30):
        last = await cycle()
    async with asyncio.timeout(WAIT):  # a callback of the last one may still wait for its turn in the loop
        while last() is not None:
            await asyncio.sleep(0.01)
            gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 500_000
    assert resident() - native < 30 * 400_000  # a session's rings and its second of speech are larger
    assert len(os.listdir("/proc/self/fd")) <= files  # what tests before this one left may be collected meanwhile
    assert not engine_threads()


def test_an_event_loop_is_let_go() -> None:
    async def once() -> weakref.ref[asyncio.AbstractEventLoop]:
        async with Stage(publisher=lipwire.publish.Null()):
            return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(once())
    gc.collect()
    assert loop() is None


# ------------------------------------------------------------------------------------------- heard, and sound only


async def test_what_was_heard_is_counted_in_samples_without_underruns() -> None:
    heard: list[tuple[str | None, float]] = []

    class Listener(Recorder):
        def audio(self, pcm: bytes, sample: int) -> None:
            super().audio(pcm, sample)
            heard.append(stage.session.heard)

    out = Listener()
    stage = Stage(publisher=out, avatar=None, voice_end_grace=0.0, voice_end_timeout=30.0)
    assert stage.session.heard == (None, 0.0)
    async with stage.session as session:
        session.write(tone(0.1), RATE, "a")
        await out.until(lambda: heard[-4:] == [("a", 100.0)] * 4)  # it has run dry, and goes on
        session.write(tone(0.2), RATE, "a")
        session.end("a")
        await session.finished()
        assert session.heard == (None, 0.0)
    positions = [ms for name, ms in heard if name == "a"]
    assert positions == sorted(positions) and positions[0] == 10.0 and positions[-1] == 300.0
    assert [e.position_ms for e in stage.events if isinstance(e, PlaybackFinished)] == [300.0]
    # Every block that speaks adds what it speaks: the count is that of the samples handed over.
    loud = np.flatnonzero(np.abs(out.pcm) > 0)
    assert loud[-1] - loud[0] > 0.32 * RATE


async def test_a_session_without_a_face_is_sound_only() -> None:
    out = Recorder()
    async with lipwire.Session(out, avatar=None) as session:
        assert (session.width, session.height, session.avatar) == (0, 0, "")
        session.write(tone(1.2), RATE)
        session.end()
        await session.finished()
        stats = session.stats()
    assert not out.frames and stats["frames"] >= 1 and stats["late"] == 0 and stats["native_bytes"] < 200_000
    assert np.count_nonzero(out.pcm) > 1.1 * RATE


class Watched(Recorder):
    wants: Any = "nothing"


async def test_what_nobody_looks_at_is_not_drawn_and_all_else_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    out = Watched()
    stage = Stage(publisher=out, voice_end_grace=0.0)
    spoken = voice.speak("Papa.")
    async with stage.session as session:
        session.write(spoken.pcm, spoken.rate, "a")
        session.end("a")
        await stage.finished()
        unseen = session.stats()
        assert not out.frames and unseen["frames_unseen"] == unseen["frames"] > 5 and unseen["late"] == 0
        assert session.latency is not None and 0 < session.latency.total_ms < 10_000
        assert unseen["stages"]["total"]["count"] == 1 and unseen["fps"] == 0
        out.wants = "pictures"  # somebody comes, in the middle of it all
        await out.until(lambda: len(out.frames) > 2)
        out.wants = "nothing"  # and goes
        await out.until(lambda: session.stats()["frames_unseen"] > unseen["frames_unseen"] + 5)
        shown = len(out.frames)
        out.wants = "fireworks"
        await out.until(lambda: session.failures["wants"])
        out.wants = "nothing"
        session.write(tone(0.1), RATE, "b")
        session.end("b")
        await stage.finished()
        assert session.failures == {"wants": 1} and len(out.frames) == shown
    assert "one of nothing, pictures" in caplog.text
    assert out.pcm.size == round(session.stats()["clock_s"] * RATE)
    assert [type(event) for event in stage.events] == [PlaybackStarted, PlaybackFinished] * 2
    samples = [sample for sample, _, _ in out.frames]
    assert samples == list(range(samples[0], samples[-1] + 1, RATE // 25))


async def test_a_file_without_pictures_is_refused(tmp_path: Path) -> None:
    session = lipwire.Session(lipwire.publish.File(tmp_path / "x.mp4"), avatar=None)
    with pytest.raises(InvalidArgument, match="sound only"):
        await session.start()
    assert not list(tmp_path.iterdir())


class Several(Recorder):
    """Takes three blocks at a time, and keeps how many came."""

    audio_blocks = 3

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.behind: list[int] = []
        """How far behind the end of the newest sound each picture is."""

    def audio(self, pcm: bytes, sample: int) -> None:
        self.sizes.append(len(pcm) // 2 // BLOCK)
        for n in range(self.sizes[-1]):
            super().audio(pcm[2 * n * BLOCK : 2 * (n + 1) * BLOCK], sample + n * BLOCK)

    def video(self, frame: lipwire.Frame) -> None:
        super().video(frame)
        self.behind.append(self.starts[-1] + BLOCK - frame.sample)


@pytest.mark.parametrize("fps", [1, 25, 100])
async def test_a_publisher_that_takes_several_blocks_gets_them_in_clock_order(fps: int) -> None:
    out = Several()
    async with Stage(publisher=out, fps=fps) as stage:
        stage.session.write(tone(0.5), RATE, "a")
        stage.session.end("a")
        await stage.session.finished()
        await out.until(lambda: len(out.blocks) > 100 and len(out.frames) > 1)
        late = stage.session.stats()["late"]
    assert set(out.sizes) <= {1, 2, 3}
    assert sum(out.sizes) * BLOCK == len(out.pcm)
    if not late:  # where it is 100 a second each block has a picture of its own
        assert (max(out.sizes) == 1) == (fps == 100)
    assert all(0 < behind <= BLOCK for behind in out.behind)
    assert np.abs(out.pcm).max() > 7000
    assert [(e.event_id, getattr(e, "position_ms", 0)) for e in stage.events] == [("a", 0), ("a", 500.0)]
