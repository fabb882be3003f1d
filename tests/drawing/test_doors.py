"""Other people's renderers: in Python, compiled, and sources of frames; good ones and bad."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from fractions import Fraction
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import lipwire
from lipwire import _core
from lipwire.audio import espeak as voice
from lipwire.avatar.art import AXES
from lipwire.avatar.builtin import BUILTIN
from lipwire.drawing import source_worker
from lipwire.drawing.frame_source import Image, SourceRunner
from lipwire.drawing.stage import Stage, stage_for
from lipwire.errors import InvalidArgument
from lipwire.protocol.messages import PlaybackFinished, PlaybackStarted
from lipwire.session.offline import perform
from lipwire.stream import StreamSpec
from support.paths import ROOT

pytestmark = pytest.mark.xdist_group("shared memory")  # they look at, and use, what /dev/shm holds under Python's names

RATE, BLOCK = _core.RATE, _core.BLOCK
SIZE = (64, 36)
STEP = RATE // 25
WAIT = 60


def tone(seconds: float, peak: int = 8000) -> bytes:
    return (np.sin(np.arange(round(seconds * RATE)) * 0.03) * peak).astype(np.int16).tobytes()


def pulses(seconds: float) -> bytes:
    """At 120 Hz, a little uneven: a tone is no voice, and has no loudness of one."""
    at = np.arange(round(seconds * RATE))
    return (np.exp(-(at % 400) / 20) * (9000 + 3000 * np.sin(at // 400))).astype(np.int16).tobytes()


def spec() -> StreamSpec:
    return StreamSpec(session_id="test", width=SIZE[0], height=SIZE[1], fps=Fraction(25))


class Recorder:
    """A publisher that keeps the sound, and of each frame its sample, its luma and what it said of itself."""

    def __init__(self) -> None:
        self.sound = b""
        self.frames: list[tuple[int, int, bool]] = []
        self.cut = 0
        """Media clock when it was interrupted."""

    async def open(self, spec: StreamSpec) -> None: ...
    async def close(self) -> None: ...

    def audio(self, pcm: bytes, sample: int) -> None:
        assert sample * 2 == len(self.sound)
        self.sound += pcm

    def video(self, frame: lipwire.Frame) -> None:
        y, u, _ = frame.planes
        assert (y == y[0, 0]).all()
        self.frames.append((frame.sample, int(y[0, 0]), frame.changed))
        assert u[0, 0] == 128


def offline(face: Any, seconds: float = 0.6, sound: bytes | None = None) -> tuple[Recorder, Stage]:
    stage = stage_for(face, spec())
    out = Recorder()
    for item in perform(iter([sound or tone(seconds)]), RATE, stage):
        if isinstance(item, tuple):
            out.audio(*item)
        else:
            out.video(item)
            del item
    return out, stage


async def live(
    face: Any, seconds: float = 0.6, interrupt: float | None = None
) -> tuple[Recorder, list[Any], dict[str, Any]]:
    """A session that says one utterance: (what was published, events, stats)."""
    out, events = Recorder(), list[Any]()
    session = lipwire.Session(
        out, avatar=face, width=SIZE[0], height=SIZE[1], on_event=events.append, voice_end_grace=0.02
    )
    async with session:
        session.write(tone(seconds), RATE, "a")
        session.end("a")
        if interrupt is not None:
            async with asyncio.timeout(WAIT):
                while len(out.sound) < interrupt * RATE * 2:
                    await asyncio.sleep(0.005)
            out.cut = round(session.stats()["clock_s"] * RATE)
            session.interrupt("a")
            await asyncio.sleep(0.3)
        await asyncio.wait_for(session.finished(), WAIT)
        await asyncio.sleep(0.1)
        stats = session.stats()
    return out, events, stats


def heard(out: Recorder) -> tuple[int, int]:
    """First and last sample that are not silent."""
    loud = np.flatnonzero(np.frombuffer(out.sound, np.int16))
    return int(loud[0]), int(loud[-1])


def level(frame: lipwire.Frame) -> int:
    """A grey that names the frame."""
    return 20 + frame.sequence % 200


# ------------------------------------------------------------------------------------------------------ in Python


class Grey(lipwire.Renderer):
    """Draws a grey that names the frame, and keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.loudness: list[float] = []
        self.threads: set[int] = set()

    def open(self, spec: StreamSpec) -> None:
        self.calls.append("open")

    def draw(self, frame: lipwire.Frame) -> bool | None:
        y, u, v = frame.planes
        y[:], u[:], v[:] = level(frame), 128, 128
        self.loudness.append(frame.loudness)
        self.threads.add(threading.get_ident())
        return None

    def close(self) -> None:
        self.calls.append("close")


def test_a_renderer_draws_every_frame_offline() -> None:
    face = Grey()
    out, _ = offline(face, sound=pulses(0.6))
    assert [sample for sample, _, _ in out.frames] == list(range(0, len(out.frames) * STEP, STEP))
    assert [luma for _, luma, _ in out.frames] == [20 + i % 200 for i in range(len(out.frames))]
    assert face.calls == ["open", "close"]
    assert max(face.loudness) > 0.3 > min(face.loudness)


async def test_a_renderer_draws_live_on_a_thread_of_its_own() -> None:
    face = Grey()
    out, events, stats = await live(face)
    assert events == [PlaybackStarted("a"), PlaybackFinished("a", 600.0, False)]
    assert all(luma == 20 + sample // STEP % 200 for sample, luma, _ in out.frames)
    assert out.frames
    assert face.threads and threading.get_ident() not in face.threads
    assert face.calls == ["open", "close"]
    assert stats["drawing"]["name"] == "Grey" and stats["drawing"]["errors"] == 0
    assert stats["drawing"]["draws"] >= len(out.frames) - 1


class Moody(Grey):
    """Raises in every third frame, having spoilt it; and says of every fourth that nothing changed."""

    def draw(self, frame: lipwire.Frame) -> bool | None:
        if frame.sequence % 4 == 3:
            return False
        super().draw(frame)
        if frame.sequence % 3 == 2:
            raise RuntimeError("no idea")
        return None


def test_a_renderer_that_raises_leaves_the_last_good_picture(caplog: pytest.LogCaptureFixture) -> None:
    out, stage = offline(Moody())
    good = 16
    for i, (_, luma, changed) in enumerate(out.frames):
        fails, same = i % 3 == 2 and i % 4 != 3, i % 4 == 3
        assert changed != (fails or same)
        if not (fails or same):
            good = 20 + i % 200
        assert luma == good
    errors = sum(i % 3 == 2 and i % 4 != 3 for i in range(len(out.frames)))
    assert (stage.stats() or {})["errors"] == errors
    assert [r.getMessage() for r in caplog.records].count(
        "[test] Moody failed to draw; the last good picture stays"
    ) == 1


async def test_a_slow_renderer_costs_its_own_frames_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    class Sloth(Grey):
        def draw(self, frame: lipwire.Frame) -> bool | None:
            time.sleep(0.2)
            return super().draw(frame)

    out, events, stats = await live(Sloth(), seconds=1.5)
    assert events[-1] == PlaybackFinished("a", 1500.0, False)
    first, last = heard(out)
    assert last - first == pytest.approx(1.5 * RATE, abs=60)  # the sound did not wait
    assert stats["late"] > 0 and stats["drawing"]["slow"] > 0
    assert "Sloth took" in caplog.text


async def test_a_renderer_that_fails_at_all_it_does_leaves_the_session_alive() -> None:
    class Broken(lipwire.Renderer):
        def open(self, spec: StreamSpec) -> None:
            raise OSError("no model")

        def draw(self, frame: lipwire.Frame) -> bool | None:
            raise OSError("no model")

        def close(self) -> None:
            raise OSError("no model")

    out, events, stats = await live(Broken())
    assert events[-1] == PlaybackFinished("a", 600.0, False)
    assert {luma for _, luma, _ in out.frames} == {16}
    assert stats["drawing"]["errors"] > 1


@pytest.mark.parametrize("face", [Grey, 7, object()])
def test_what_cannot_draw_is_refused(face: Any) -> None:
    with pytest.raises(InvalidArgument):
        stage_for(face, spec())


# ------------------------------------------------------------------------------------------------------- compiled

C_HOOK = r"""
#include <stdint.h>
#include <string.h>
#include "lipwire/performer.h"
int draw(void *user, uint8_t *i420, const lw_draw_info *info)
{
    size_t luma = (size_t)info->width * info->height;
    memset(i420, 20 + (int)(info->sequence % 200), luma);
    memset(i420 + luma, 128, luma / 2);
    if (user)
        ++*(int32_t *)user;
    if (info->sequence % 4 == 3)
        return LW_DRAW_SAME;
    return info->sequence % 3 == 2 ? -5 : 0;
}
"""


@pytest.fixture(scope="module")
def c_hook(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("hook")
    (folder / "hook.c").write_text(C_HOOK)
    include = f"-I{ROOT / 'csrc/include'}"
    command = ["cc", "-shared", "-fPIC", "-O2", include, str(folder / "hook.c"), "-o", str(folder / "hook.so")]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(folder / "hook.so"))


def address(library: ctypes.CDLL) -> int:
    value = ctypes.cast(library.draw, ctypes.c_void_p).value
    assert value
    return value


def test_a_hook_in_c_draws_and_its_status_counts(c_hook: ctypes.CDLL) -> None:
    state = np.zeros(1, np.int32)
    face = lipwire.Hook(address(c_hook), name="grey", state=state, keep=c_hook)
    stage = stage_for(face, spec())
    performer = stage.performer(frame_slots=4)
    good, errors = 16, 0
    for i in range(200):
        performer.tick()
        while performer.read_pcm() or performer.read_event():
            pass
        if (frame := performer.read_frame()) is None:
            continue
        at = frame.sequence
        same, fails = at % 4 == 3, at % 4 != 3 and at % 3 == 2
        errors += fails
        if not (same or fails):
            good = 20 + at % 200
        y, u, v = frame.planes
        assert (y == good).all() and (u == 128).all() and (v == 128).all(), f"frame {at} of tick {i}"
        assert frame.changed != (same or fails)
        del frame, y, u, v
    stats = stage.stats()
    assert stats is not None and stats["name"] == "grey"
    assert (stats["draws"], stats["errors"]) == (50, errors)
    assert state[0] == 0, "each session has its own copy"


async def test_a_hook_draws_live(c_hook: ctypes.CDLL) -> None:
    out, events, stats = await live(lipwire.Hook(address(c_hook), name="grey", keep=c_hook))
    assert events == [PlaybackStarted("a"), PlaybackFinished("a", 600.0, False)]
    good = [(sample, luma) for sample, luma, changed in out.frames if changed]
    assert good and all(luma == 20 + sample // STEP % 200 for sample, luma in good)
    assert stats["drawing"]["errors"] > 0 and stats["drawing"]["draws"] >= len(out.frames)


def test_a_numba_hook_draws_what_it_is_told() -> None:
    pytest.importorskip("numba")

    @lipwire.hook
    def draw(y, u, v, frame):  # type: ignore[no-untyped-def]
        y[:, :] = 20 + frame.sequence % 200
        u[:, :] = 128
        v[:, :] = 128

    out, _ = offline(draw)
    assert [luma for _, luma, _ in out.frames] == [20 + i % 200 for i in range(len(out.frames))]

    @lipwire.hook(state=np.zeros(3))
    def pose(y, u, v, frame, state):  # type: ignore[no-untyped-def]
        state[0] += 1
        y[:, :] = 16 + int(frame.loudness * 100)
        y[0, 0] = 16 + int(frame.viseme[10] * 100)
        y[0, 1] = 16 + int(state[0])
        y[0, 2] = frame.width
        y[0, 3] = frame.height
        y[0, 4] = 128 + int(frame.axis[0] * 100)
        u[:, :] = 128
        v[:, :] = 128

    performer = stage_for(pose, spec()).performer(frame_slots=4, seed=3)
    performer.write(tone(2.0), RATE)
    seen = 0
    for _ in range(100):
        performer.tick()
        while performer.read_pcm() or performer.read_event():
            pass
        if (frame := performer.read_frame()) is not None:
            y = frame.planes[0]
            seen += 1
            expected = [16 + int(frame.visemes[10] * 100), 16 + seen, *SIZE, 128 + int(frame.axes[0] * 100)]
            assert y[0, :5].tolist() == expected
            assert y[1, 1] == 16 + int(frame.loudness * 100)
            del frame, y
    assert seen == 25


def test_a_numba_hook_that_goes_wrong_is_counted() -> None:
    pytest.importorskip("numba")

    @lipwire.hook
    def wild(y, u, v, frame):  # type: ignore[no-untyped-def]
        y[:, :] = 20 + frame.sequence % 200
        u[:, :] = 128
        v[:, :] = 128
        if frame.sequence % 2:
            y[frame.height + 1000, 0] = 1
        return 0

    out, _ = offline(wild)
    assert [luma for _, luma, _ in out.frames] == [20 + (i & ~1) % 200 for i in range(len(out.frames))]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def f(y, u, v): pass", "must take (y, u, v, frame)"),
        ("def f(y, u, v, frame): return frame.sadness", "cannot be compiled"),
        ("def f(y, u, v, frame): return 1.5", "must return nothing or a whole number"),
    ],
)
def test_a_hook_that_cannot_be_is_refused(source: str, says: str) -> None:
    pytest.importorskip("numba")
    names: dict[str, Any] = {}
    exec(source, names)
    with pytest.raises(InvalidArgument) as caught:
        lipwire.hook(names["f"])
    assert says in str(caught.value)


def test_a_hook_that_is_slow_or_fails_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "slow.c").write_text(
        "#include <unistd.h>\nint draw(void *u, unsigned char *p, const void *i)"
        " { (void)u; (void)p; (void)i; usleep(8000); return -1; }\n"
    )
    subprocess.run(["cc", "-shared", "-fPIC", tmp_path / "slow.c", "-o", tmp_path / "slow.so"], check=True)
    library = ctypes.CDLL(str(tmp_path / "slow.so"))
    out, stage = offline(lipwire.Hook(address(library), name="sloth", keep=library), seconds=1.2)
    assert {luma for _, luma, _ in out.frames} == {16}, "black, where there never was a good picture"
    assert "the hook sloth failed" in caplog.text and "the hook sloth took" in caplog.text
    assert len(caplog.records) == 2
    stats = stage.stats() or {}
    assert stats["errors"] == stats["draws"] and stats["slow"] > 0 and stats["worst_ms"] >= 8


def test_hooks_need_an_address_and_frames(c_hook: ctypes.CDLL) -> None:
    with pytest.raises(InvalidArgument):
        lipwire.Hook(0, name="none")
    hook = lipwire.Hook(address(c_hook), name="grey", keep=c_hook)
    for size, slots in [(None, 6), ((15, 16), 6), ((64, 5000), 6), ((64, 36), 1)]:
        with pytest.raises(InvalidArgument):
            _core.Performer(None, size=size, draw=hook.bind(), frame_slots=slots)


# -------------------------------------------------------------------------------------------------- frame sources


class Model(lipwire.FrameSource):
    """Answers each piece of speech with the frames that lie in it, in a grey that names their sample."""

    latency = 0.2

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.pieces: list[tuple[int, int]] = []

    def open(self, spec: StreamSpec, emit: Any) -> None:
        self.calls.append("open")

    def speech(self, pcm: np.ndarray[Any, np.dtype[np.int16]], sample: int) -> Iterable[tuple[int, Image]]:
        self.pieces.append((sample, len(pcm)))
        for at in range(-(-sample // STEP) * STEP, sample + 3 * len(pcm), STEP):
            yield at, self.picture(at)

    @staticmethod
    def picture(at: int) -> Image:
        image = np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8)
        image[: SIZE[1]] = 20 + at // STEP % 200
        return image

    def finish(self) -> None:
        self.calls.append("finish")

    def interrupt(self) -> None:
        self.calls.append("interrupt")

    def close(self) -> None:
        self.calls.append("close")


def check_sync(out: Recorder, delay: int, start: int = 0) -> int:
    """Every frame in the middle of the speech shows the sample that is heard; how many those are."""
    first, last = heard(out)
    inner = [(sample, luma) for sample, luma, _ in out.frames if first + 2 * STEP <= sample < last - 2 * STEP]
    for sample, luma in inner:
        assert luma == 20 + (sample - delay) // STEP % 200
    return len(inner)


def test_the_sound_waits_for_the_source_and_stays_with_its_frames() -> None:
    model = Model()
    out, _ = offline(model, seconds=1.0)
    first, last = heard(out)
    assert first == pytest.approx(0.2 * RATE, abs=2) and last - first == pytest.approx(RATE, abs=60)
    assert check_sync(out, first // STEP * STEP) >= 20
    assert model.calls == ["open", "finish", "close"]
    # All of the speech was heard, in pieces that follow on each other.
    assert model.pieces[0] == (0, 640) and sum(n for _, n in model.pieces) == pytest.approx(16000, abs=160)
    ends = [sample + 3 * n for sample, n in model.pieces]
    assert ends[:-1] == [sample for sample, _ in model.pieces[1:]]


async def test_a_source_live_with_events_when_it_is_heard() -> None:
    model = Model()
    model.idle = [Model.picture(0)]
    out, events, stats = await live(model, seconds=1.0)
    assert events == [PlaybackStarted("a"), PlaybackFinished("a", 1000.0, False)]
    first, last = heard(out)
    assert last - first == pytest.approx(RATE, abs=60) or stats["pcm_dropped"]  # a loop that stood still for 640 ms
    delay = round(0.2 * RATE)
    inner = [(s, luma) for s, luma, _ in out.frames if first + 2 * STEP <= s < last - 2 * STEP]
    other = [s for s, luma in inner if luma != 20 + round((s - delay) / STEP) % 200]
    told = stats["drawing"]["gaps"] + stats["drawing"]["late"]
    assert len(other) < len(inner) and len(other) <= told  # where the source was too busy it is told
    assert stats["drawing"]["errors"] == 0


def test_a_frame_that_comes_after_its_time_is_shown_and_counted() -> None:
    class Late(lipwire.FrameSource):
        answers_later = True

        def open(self, spec: StreamSpec, emit: Any) -> None:
            self.emit = emit

        def speech(self, pcm: np.ndarray[Any, np.dtype[np.int16]], sample: int) -> Iterable[tuple[int, Image]]:
            return ()

    source = Late()
    runner = SourceRunner(source, spec())
    frame = lipwire.Frame(*SIZE)
    runner.emit(5 * STEP, Model.picture(5 * STEP))
    runner.show(frame, 5 * STEP, True)
    assert (runner.stats.shown, runner.stats.late, runner.stats.gaps) == (1, 0, 0)
    runner.emit(6 * STEP, Model.picture(6 * STEP))
    runner.show(frame, 7 * STEP, True)  # what is due now has not come; what was due before has
    assert frame.planes[0][0, 0] == 26
    assert (runner.stats.shown, runner.stats.late, runner.stats.gaps) == (2, 1, 0)
    runner.close()


async def test_latency_counts_the_delay() -> None:
    spoken = voice.speak("Hello there, how are you?", "en-us")
    session = lipwire.Session(Recorder(), avatar=Model(), width=SIZE[0], height=SIZE[1])
    async with session:
        session.write(spoken.pcm, spoken.rate)
        session.end()
        await asyncio.wait_for(session.finished(), WAIT)
        assert session.latency is not None
        assert session.latency.delay_ms == 200 and session.latency.total_ms > 200


async def test_an_interrupt_is_heard_at_once_though_the_sound_was_waiting() -> None:
    model = Model()
    out, events, _ = await live(model, seconds=3.0, interrupt=1.0)
    first, last = heard(out)
    assert (last - out.cut) / RATE < 0.06, "nothing is heard later than 60 ms after the interrupt"
    assert events[0] == PlaybackStarted("a")
    said = events[1]
    assert isinstance(said, PlaybackFinished) and said.interrupted
    assert said.position_ms == pytest.approx((last - first) / 48, abs=50)
    assert len(events) == 2
    assert "interrupt" in model.calls


async def test_speech_after_an_interrupt_is_whole() -> None:
    out, events = Recorder(), list[Any]()
    session = lipwire.Session(
        out, avatar=Model(), width=SIZE[0], height=SIZE[1], on_event=events.append, voice_end_grace=0.02
    )
    async with session:
        for name in ("a", "b", "c"):
            session.write(tone(2.0), RATE, name)
            await asyncio.sleep(0.35)
            session.interrupt(name)
        session.write(tone(0.5), RATE, "d")
        session.end("d")
        await asyncio.wait_for(session.finished(), WAIT)
    assert [(e.event_id, e.interrupted) for e in events if isinstance(e, PlaybackFinished)] == [
        ("a", True), ("b", True), ("c", True), ("d", False),
    ]  # fmt: skip
    assert tone(0.5)[600:-600] in out.sound


class Late(Model):
    """Frames come backwards in twos, and each one twice."""

    def speech(self, pcm: np.ndarray[Any, np.dtype[np.int16]], sample: int) -> Iterable[tuple[int, Image]]:
        frames = list(super().speech(pcm, sample))
        return [*frames[::-1], *frames]


def test_frames_out_of_order_are_put_in_order() -> None:
    model = Late()
    model.block = 1280
    out, _ = offline(model, seconds=1.0)
    assert check_sync(out, round(0.2 * RATE)) >= 20


async def test_frames_that_come_too_late_are_dropped_and_idle_ones_shown() -> None:
    class Tardy(Model):
        def speech(self, pcm: np.ndarray[Any, np.dtype[np.int16]], sample: int) -> Iterable[tuple[int, Image]]:
            return [(at - RATE, image) for at, image in super().speech(pcm, sample)]

    model = Tardy()
    model.idle = [np.full((36, 64, 3), 128, np.uint8)]
    out, events, stats = await live(model)
    assert events[-1] == PlaybackFinished("a", 600.0, False)
    assert {luma for _, luma, _ in out.frames[-8:]} == {126}
    assert stats["drawing"]["gaps"] > 0


async def test_a_source_that_stalls_or_dies_costs_frames_only(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()

    class Stalls(Model):
        def speech(self, pcm: np.ndarray[Any, np.dtype[np.int16]], sample: int) -> Iterable[tuple[int, Image]]:
            release.wait(WAIT)
            return super().speech(pcm, sample)

    class Dies(Model):
        def speech(self, pcm: np.ndarray[Any, np.dtype[np.int16]], sample: int) -> Iterable[tuple[int, Image]]:
            raise MemoryError("the GPU is full")

    for model in (Stalls(), Dies()):
        out, events, stats = await live(model, seconds=1.0)
        release.set()
        assert events == [PlaybackStarted("a"), PlaybackFinished("a", 1000.0, False)]
        first, last = heard(out)
        assert last - first == pytest.approx(RATE, abs=60)
        assert stats["drawing"]["gaps"] > 0
    assert "Dies failed; idle pictures take over" in caplog.text


@pytest.mark.parametrize(
    "frame",
    [
        (0, np.zeros((36, 64), np.uint8)),
        (0, np.zeros((54, 64), np.float32)),
        (0, "picture"),
        ("zero", np.zeros((54, 64), np.uint8)),
        5,
    ],
)
def test_nonsense_for_a_frame_is_counted(frame: Any) -> None:
    class Nonsense(Model):
        def speech(self, pcm: np.ndarray[Any, np.dtype[np.int16]], sample: int) -> Iterable[tuple[int, Image]]:
            return [frame]

    out, stage = offline(Nonsense())
    assert out.frames and {luma for _, luma, _ in out.frames} == {16}
    assert (stage.stats() or {})["errors"] >= 10


@pytest.mark.parametrize(("latency", "block"), [(-1, 640), (11, 640), (0.1, 3), (0.1, 20000)])
def test_a_source_says_what_it_can_keep(latency: float, block: int) -> None:
    model = Model()
    model.latency, model.block = latency, block
    with pytest.raises(InvalidArgument):
        offline(model)


# ----------------------------------------------------------------------------------------- in a process of its own


class Mortal(Model):
    """Ends its process, as a crash would, at the first speech after `until`."""

    def __init__(self, mark: str, until: int) -> None:
        super().__init__()
        self.mark, self.until = Path(mark), until

    def speech(self, pcm: np.ndarray[Any, np.dtype[np.int16]], sample: int) -> Iterable[tuple[int, Image]]:
        if sample > self.until and not self.mark.exists():
            self.mark.touch()
            os._exit(7)
        return super().speech(pcm, sample)


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("psm_*")}


def test_a_source_in_another_process_is_no_different() -> None:
    resource_tracker.ensure_running()  # multiprocessing's own, which stays
    before, files = shared_memory(), len(os.listdir("/proc/self/fd"))
    out, stage = offline(lipwire.ProcessSource(Model), seconds=1.0)
    # Its first frames wait for an interpreter to start, which an offline run does too.
    assert check_sync(out, round(0.2 * RATE)) >= 20
    assert (stage.stats() or {})["errors"] == 0
    assert shared_memory() <= before and len(os.listdir("/proc/self/fd")) <= files


async def test_a_process_that_dies_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = shared_memory()
    source = lipwire.ProcessSource(Mortal, str(tmp_path / "died"), RATE)
    out, events = Recorder(), list[Any]()
    session = lipwire.Session(out, avatar=source, width=SIZE[0], height=SIZE[1], on_event=events.append)
    async with session, asyncio.timeout(60):
        while source.restarts == 0 or source.pid is None or not session.stats()["drawing"]["shown"]:
            session.write(tone(0.1), RATE)
            await asyncio.sleep(0.1)
        shown = session.stats()["drawing"]["shown"]
        while session.stats()["drawing"]["shown"] < shown + 10:
            session.write(tone(0.1), RATE)
            await asyncio.sleep(0.1)
    assert "ended with code 7" in caplog.text
    assert source.restarts == 1 and source.pid is None
    assert shared_memory() <= before


def test_a_program_without_a_guard_is_told_so(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import lipwire\n"
        "from fractions import Fraction\n"
        "from lipwire.stream import StreamSpec\n"
        "source = lipwire.ProcessSource(lipwire.FrameSource)\n"
        "source.open(StreamSpec(session_id='s', width=64, height=36, fps=Fraction(25)), print)\n"
        "source.close()\n"
    )
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert 'under `if __name__ == "__main__"`' in done.stderr and "can only join a started process" not in done.stderr


class Liar(Model):
    """Tells its parent of a frame in a slot that there is not."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self.mark = Path(mark)

    def speech(self, pcm: np.ndarray[Any, np.dtype[np.int16]], sample: int) -> Iterable[tuple[int, Image]]:
        if not self.mark.exists():
            self.mark.touch()
            lie = msgspec.msgpack.encode(source_worker.Made(0, 0, 10**6))
            for fd in Path("/proc/self/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # that of this very look
                    if os.readlink(fd).startswith("socket:"):
                        os.write(int(fd.name), len(lie).to_bytes(4, "little") + lie)
            time.sleep(60)
        return super().speech(pcm, sample)


def test_a_process_that_lies_is_replaced_and_one_that_comes_late_knows_of_interrupts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames: list[int] = []
    source = lipwire.ProcessSource(Liar, str(tmp_path / "lied"))
    source.open(spec(), lambda sample, image: frames.append(sample))
    source.interrupt()
    sample = 0
    until = time.monotonic() + 60
    while not frames and time.monotonic() < until:
        source.speech(np.zeros(640, np.int16), sample)
        sample += 640 * 3
        if source.restarts and not source._up:
            source.interrupt()
        time.sleep(0.04)
    assert frames and source.restarts == 1
    assert "it sent nonsense: a frame that is no message: Expected `int` <= 15" in caplog.text
    source.close()
    assert source.pid is None


def test_what_does_not_pickle_is_told(caplog: pytest.LogCaptureFixture) -> None:
    source = lipwire.ProcessSource(Mortal, lambda: None, 0)
    source.open(spec(), print)
    source.close()
    assert "could not be started: " in caplog.text and "pickle" in caplog.text


HANGING = """
import os, sys, time
from fractions import Fraction
import numpy as np
import lipwire
from lipwire.stream import StreamSpec
class Hanging(lipwire.FrameSource):
    def speech(self, pcm, sample):
        while HANGS:
            time.sleep(1)
HANGS = len(sys.argv) > 1
if __name__ == "__main__":
    source = lipwire.ProcessSource(Hanging)
    source.open(StreamSpec(session_id='s', width=64, height=36, fps=Fraction(25)), print)
    source.speech(np.zeros(640, np.int16), 0)
    print(source.pid, flush=True)
    if HANGS:
        time.sleep(600)
"""


@pytest.mark.parametrize("killed", [True, False])
def test_a_process_ends_with_the_program(tmp_path: Path, killed: bool) -> None:
    """Killed while the source hangs; or at its end, without having closed anything."""
    program = tmp_path / "program.py"
    program.write_text(HANGING)
    command = [sys.executable, str(program), *(["hangs"] if killed else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None and parent.stderr is not None
        pid = int(parent.stdout.readline())
        if killed:
            parent.kill()
        else:
            assert parent.wait(20) == 0 and parent.stderr.read() == ""
        until = time.monotonic() + 20
        while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
            assert time.monotonic() < until
            time.sleep(0.05)


def test_the_same_seed_is_another_life_for_each_avatar() -> None:
    """And nobody is seen half asleep on the first picture, which becomes the thumbnail."""
    blinks: dict[str, list[float]] = {}
    for name in BUILTIN:
        stage = Stage(lipwire.Avatar.load(name), StreamSpec(session_id=name, width=64, height=36, fps=Fraction(25)))
        stage.prepare()
        performer = stage.performer(seed=0, frame_slots=1)
        blinks[name] = []
        for _ in range(800):
            performer.tick()
            performer.read_pcm()
            frame = performer.read_frame()
            if frame is not None and frame.axes[AXES.index("blink")] > 0:
                blinks[name].append(frame.sample / _core.RATE)
            del frame
    assert all(0.5 < min(times) < 6 for times in blinks.values())
    assert len({min(times) for times in blinks.values()}) == len(BUILTIN)
