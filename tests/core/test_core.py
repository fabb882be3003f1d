"""The compiled core: chunked == one-shot, the same input gives the same bytes, documented errors, owned memory."""

from __future__ import annotations

import array
import contextlib
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lipwire
from lipwire import Resampler, VisemeExtractor, VisemeExtractorBatch, _core, resample
from lipwire.errors import BadState, BufferFull, InvalidArgument, LipwireError

pytestmark = pytest.mark.kernels

BLOCK, RATE = _core.BLOCK, _core.RATE
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
SIZE = (64, 36)

examples = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="module")
def avatar() -> _core.NativeAvatar:
    return lipwire.Avatar.load("aria").at(*SIZE)


def noise(samples: int, seed: int = 0, peak: int = 32767) -> bytes:
    """White noise that swells and fades, so that there are loud and quiet stretches."""
    swell = np.sin(np.linspace(0, 9, samples)) ** 2
    return (np.random.default_rng(seed).uniform(-peak, peak, samples) * swell).astype(np.int16).tobytes()


def tone(seconds: float, rate: int = RATE, hz: float = 220.0, peak: int = 12000) -> bytes:
    t = np.arange(round(seconds * rate)) / rate
    return (np.sin(2 * np.pi * hz * t) * peak).astype(np.int16).tobytes()


def cut(data: bytes, at: list[int]) -> Iterator[bytes]:
    """`data` cut at these samples; some pieces may be empty."""
    places = sorted(2 * min(i, len(data) // 2) for i in at)
    return (data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True))


cuts = st.lists(st.integers(0, 5000), max_size=12)


# --------------------------------------------------------------------------------------------- chunked == one-shot


@examples
@given(st.integers(0, 5000), st.integers(0, 9), cuts)
def test_visemes_chunked_is_one_shot(samples: int, seed: int, at: list[int]) -> None:
    data = noise(samples, seed)
    expected = VisemeExtractor().process_channels(data)
    parts = VisemeExtractor()
    rows = np.concatenate([parts.process_channels(piece) for piece in cut(data, at)])
    assert rows.tobytes() == expected.tobytes()
    weights = expected[:, : _core.VISEMES]
    assert np.array_equal(VisemeExtractor().process(data), weights)
    assert weights.dtype == np.float32
    assert np.all(weights >= 0)
    assert np.allclose(weights.sum(axis=1), 1, atol=1e-3)


@pytest.mark.parametrize(("early", "most"), [(False, 0.0625), (True, 0.02)])
def test_visemes_of_silence_rest_and_the_lookahead_is_kept(early: bool, most: float) -> None:
    extractor = VisemeExtractor(early=early)
    assert 0 <= extractor.lookahead <= most
    rows = extractor.process_channels(bytes(32000))  # 1 s
    assert len(rows) == pytest.approx(100 - extractor.lookahead * 100, abs=1)
    assert np.all(rows[:, 0] == 1)
    assert np.all(rows[:, 15] == 0)


def test_visemes_of_a_voice_open_the_jaw(say: Callable[[str], tuple[bytes, int]]) -> None:
    rows = VisemeExtractor().process_channels(resample(*say("father, all of our cars are large"), 16_000))
    assert rows[:, 15].max() > 0.3
    assert rows[:, 1:15].sum(axis=1).max() > 0.8


@examples
@given(st.integers(1, 20), st.booleans(), st.integers(0, 9), st.lists(st.integers(0, 700), min_size=1, max_size=6))
def test_a_batch_of_visemes_is_each_alone(sessions: int, early: bool, seed: int, pieces: list[int]) -> None:
    batch = VisemeExtractorBatch(sessions, early=early)
    alone = [VisemeExtractor(early=early) for _ in range(sessions)]
    assert (batch.sessions, batch.lookahead) == (sessions, alone[0].lookahead)
    for turn, piece in enumerate(pieces):
        pcm = [noise(piece * (s + 1) % 3001, seed + s + 9 * turn) if (turn + s) % 4 else None for s in range(sessions)]
        if turn == 2:
            batch.reset(sessions - 1)
            alone[-1].reset()
        rows = batch.process_channels_many(list[Any](pcm))
        assert [r.dtype for r in rows] == [np.dtype(np.float32)] * sessions
        for got, extractor, x in zip(rows, alone, pcm, strict=True):
            want = extractor.process_channels(x or b"")
            assert got.shape == want.shape and got.tobytes() == want.tobytes()
    batch.reset()
    same = noise(2000, seed)
    want = VisemeExtractor(early=early).process(same)
    assert all(np.array_equal(got, want) for got in batch.process_many([same] * sessions))


def test_a_batch_of_visemes_refuses_and_takes_nothing() -> None:
    for sessions in (0, -1, 65537):
        with pytest.raises(ValueError, match="sessions"):
            VisemeExtractorBatch(sessions)
    batch = VisemeExtractorBatch(2)
    held = bytearray(noise(500, 1))
    for bad, message in (([b""], "as many buffers"), ([held, b"odd"], "session 1: .* even number"), ([held, 5], "int")):
        with pytest.raises((ValueError, TypeError), match=message):
            batch.process_many(bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        batch.process_many(None)  # type: ignore[arg-type]
    for session in (-2, 2):
        with pytest.raises(ValueError, match="of 2"):
            batch.reset(session)
    pcm = noise(3000, 2)
    rows = batch.process_many([pcm, None])
    assert np.array_equal(rows[0], VisemeExtractor().process(pcm))
    assert rows[1].shape == (0, 15)
    held.extend(b"no buffer is held")


def run(performer: _core.Performer, script: list[tuple[Any, ...]]) -> tuple[bytes, list[bytes], list[Any]]:
    """Plays a script; everything that came out: sound, pictures, events."""
    sound, pictures, events = [], [], []
    for command, *args in script:
        if command != "tick":
            getattr(performer, command)(*args)
            continue
        for _ in range(args[0]):
            performer.tick()
            while (block := performer.read_pcm()) is not None:
                sound.append(block[0])
            while (frame := performer.read_frame()) is not None:
                pictures.append(bytes(frame) + repr((frame.sample, frame.sequence, frame.utterance)).encode())
                del frame
            while (event := performer.read_event()) is not None:
                events.append(event)
    return b"".join(sound), pictures, events


steps = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 4000).map(lambda n: noise(n, n)), st.sampled_from(RATES)),
    st.tuples(st.just("end"), st.sampled_from([0.0, 0.05])),
    st.tuples(st.just("interrupt")),
    st.tuples(st.just("tick"), st.integers(1, 12)),
)


@settings(max_examples=25, deadline=None)
@given(script=st.lists(steps, max_size=20), seed=st.integers(0, 2**32 - 1))
def test_same_input_same_bytes(avatar: _core.NativeAvatar, script: list[tuple[Any, ...]], seed: int) -> None:
    script = [*script, ("end", 0.0), ("tick", 20)]
    first = run(_core.Performer(avatar, seed=seed), script)
    assert run(_core.Performer(avatar, seed=seed), script) == first
    ticks = sum(step[1] for step in script if step[0] == "tick")
    assert len(first[0]) == ticks * BLOCK * 2


@settings(max_examples=25, deadline=None)
@given(rate=st.sampled_from(RATES), samples=st.integers(1, 5000), at=cuts)
def test_chunks_do_not_change_what_is_performed(
    avatar: _core.NativeAvatar, rate: int, samples: int, at: list[int]
) -> None:
    data = noise(samples, 3, 9000)
    rest: list[tuple[Any, ...]] = [("end", 0.0), ("tick", 90)]
    whole = run(_core.Performer(avatar), [("write", data, rate), *rest])
    assert run(_core.Performer(avatar), [*(("write", piece, rate) for piece in cut(data, at)), *rest]) == whole
    finished = [e for e in whole[2] if e[0] == _core.EVENT_FINISHED]
    assert [e[4] for e in finished] == [math.ceil(samples * RATE / rate)]


def test_another_seed_is_another_idle_life(avatar: _core.NativeAvatar) -> None:
    script: list[tuple[Any, ...]] = [("tick", 600)]
    assert run(_core.Performer(avatar, seed=1), script)[1] != run(_core.Performer(avatar, seed=2), script)[1]


def test_48_khz_with_a_quiet_start_and_end_is_bit_exact() -> None:
    speech = tone(0.5) + bytes(960)
    sound, _, _ = run(_core.Performer(None), [("write", speech, RATE), ("end", 0.0), ("tick", 60)])
    assert sound.startswith(speech)
    assert not any(sound[len(speech) :])


# ------------------------------------------------------------------------------------------------------------ errors


def test_errors_are_lipwire_errors_and_builtins(avatar: _core.NativeAvatar) -> None:
    refused: list[Callable[[], Any]] = [
        lambda: Resampler(7999, RATE),
        lambda: Resampler(RATE, 48001),
        lambda: Resampler(RATE, 8001),
        lambda: Resampler(8000, RATE).process(b"odd"),
        lambda: VisemeExtractor().process(b"odd"),
        lambda: _core.Performer(avatar).write(b"odd", 8000),
        lambda: _core.Performer(avatar).write(b"ok", 7975),
        lambda: _core.Performer(avatar).write(b"ok", 48025),
        lambda: _core.Performer(avatar).end(-1),
        lambda: _core.Performer(avatar, (101, 1)),
        lambda: _core.Performer(avatar, (1, 2)),
        lambda: _core.Performer(avatar, (0, 0)),
        lambda: _core.Performer(avatar, frame_slots=-1),
        lambda: _core.Performer(avatar, capacity=-1),
        lambda: _core.Performer(avatar, capacity=3601),
        lambda: _core.Performer(avatar, prebuffer=601),
        lambda: _core.Engine(0),
        lambda: _core.NativeAvatar(64, 36, [], []),
        lambda: _core.NativeAvatar(63, 36, [np.zeros((36, 63, 4), np.uint8)], []),
        lambda: _core.NativeAvatar(64, 36, [np.zeros((36, 64, 3), np.uint8)], []),
        lambda: _core.NativeAvatar(64, 36, [np.zeros((36, 62, 4), np.uint8)], []),
        lambda: lipwire.Avatar.load("nobody"),
        lambda: lipwire.Avatar.load("aria").at(65, 36),
        lambda: lipwire.Avatar.load("aria").at(64, 14),
    ]
    for n, call in enumerate(refused):
        with pytest.raises(InvalidArgument) as caught:
            call()
        assert isinstance(caught.value, ValueError), n
        assert isinstance(caught.value, LipwireError), n
        assert str(caught.value), n


def test_a_full_buffer_takes_nothing(avatar: _core.NativeAvatar) -> None:
    performer = _core.Performer(avatar, capacity=1.0)
    performer.write(bytes(RATE), RATE)
    space = performer.space
    for error in (BufferFull, BlockingIOError, LipwireError):
        with pytest.raises(error, match="left"):
            performer.write(bytes(RATE + 200), RATE)
    assert performer.space == space
    performer.interrupt()
    performer.tick()
    performer.write(bytes(RATE), RATE)


def test_a_closed_engine_says_so(avatar: _core.NativeAvatar) -> None:
    engine = _core.Engine(1)
    first = _core.Performer(None)
    engine.attach(first)
    with pytest.raises(BufferFull):
        engine.attach(_core.Performer(None))
    engine.detach(_core.Performer(None))  # was never attached
    engine.detach(first)
    engine.detach(first)
    engine.attach(_core.Performer(None))
    engine.close()
    engine.close()
    for kind in (BadState, RuntimeError):
        with pytest.raises(kind):
            _ = engine.fd
        with pytest.raises(kind):
            engine.attach(first)
        with pytest.raises(kind):
            engine.stats()
    engine.detach(first)


@pytest.mark.parametrize("value", ["text", 5, None])
def test_what_is_no_buffer_is_a_type_error(value: Any) -> None:
    for call in (
        Resampler(8000, RATE).process,
        VisemeExtractor().process,
        lambda v: _core.Performer(None).write(v, 8000),
    ):
        with pytest.raises(TypeError):
            call(value)


def ends(program: str) -> tuple[int, str]:
    """Exit code and stderr of a Python of its own: for what may crash."""
    head = "import gc, time, lipwire, numpy as np\nfrom lipwire import _core\n"
    done = subprocess.run([sys.executable, "-c", head + program], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "_core.Canvas(lipwire.Avatar.load('aria').at(64, 36)).draw([], [0] * 15)",
        "_core.Canvas(lipwire.Avatar.load('aria').at(64, 36)).draw([0] * 8, [])",
        "_core.NativeAvatar(64, 36, [np.zeros((36, 64, 4), np.uint8)] * 2, [(1, 1, -1, 0, 0, [], [])])",
    ],
)
def test_a_short_list_is_an_error_and_no_crash(code: str) -> None:
    returncode, errors = ends(code)
    assert returncode == 1
    assert "Error" in errors


def test_the_clock_goes_before_other_work_where_that_is_permitted() -> None:
    program = """
import os
def nices(): return {int(t): os.getpriority(os.PRIO_PROCESS, int(t)) for t in os.listdir("/proc/self/task")}
try:
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    permitted = True
except PermissionError:
    permitted = False
before = nices()
engine = _core.Engine()
engine.attach(_core.Performer(None))
while engine.stats()["ticks"] < 1:
    time.sleep(0.005)
new = [nice for thread, nice in nices().items() if thread not in before]
assert new == [-10 if permitted else 0], new
assert {thread: nices()[thread] for thread in before} == before
"""
    assert ends(program) == (0, "")


@pytest.mark.parametrize("seconds", [0.7, 0.9, 1.2])
def test_a_machine_that_stands_still_costs_no_sound(seconds: float) -> None:
    """All threads stop, as they do where a machine sleeps; then more is due at once than the ring holds."""
    program = f"""
import asyncio, os, subprocess
class Heard(lipwire.publish.Null):
    samples = 0
    def audio(self, pcm, sample):
        self.samples += np.count_nonzero(np.frombuffer(pcm, np.int16))
async def main():
    heard = Heard()
    async with lipwire.Session(heard, avatar=None, capacity=30) as session:
        session.write(np.full(3 * 48000, 5000, np.int16), 48000)
        session.end()
        stop = "sleep 0.5; kill -STOP $1; sleep {seconds}; kill -CONT $1"
        stopper = subprocess.Popen(["sh", "-c", stop, "sh", str(os.getpid())])
        await session.finished()
        assert stopper.wait() == 0
        assert session.stats()["pcm_dropped"] == 0, session.stats()
    assert heard.samples >= 3 * 48000 - 2 * 480, heard.samples  # but for the fades
asyncio.run(main())
"""
    assert ends(program) == (0, "")


def test_an_engine_that_is_garbage_in_a_cycle_stops_first() -> None:
    program = """
class Box: pass
for _ in range(20):
    engine = _core.Engine()
    for _ in range(20):
        engine.attach(_core.Performer(None))
    box = Box()
    box.engine, box.box = engine, box
    del engine, box
    gc.collect()
    time.sleep(0.05)
"""
    assert ends(program) == (0, "")


# ------------------------------------------------------------------------------------------------------------ memory


def forms(pcm: bytes) -> list[Any]:
    """The same bytes as everything that is a buffer, odd addresses included."""
    shifted = bytearray(b"\0" + pcm + b"\0")
    odd = memoryview(shifted)[1:-1]
    assert np.frombuffer(odd, np.uint8).ctypes.data % 2 == 1 or np.frombuffer(shifted, np.uint8).ctypes.data % 2 == 1
    samples = np.frombuffer(pcm, np.int16)
    wide = np.zeros((2, len(samples)), np.int16)
    wide[1] = samples
    return [pcm, bytearray(pcm), memoryview(pcm), odd, samples, samples.copy(), wide[1], array.array("h", pcm)]


def test_any_buffer_will_do_and_is_not_kept() -> None:
    pcm = noise(3001, 5)
    expected = Resampler(16000, RATE).process(pcm)
    rows = VisemeExtractor().process(pcm).tobytes()
    played = run(_core.Performer(None), [("write", pcm, 16000), ("end",), ("tick", 30)])
    for form in forms(pcm):
        assert Resampler(16000, RATE).process(form) == expected
        assert VisemeExtractor().process(form).tobytes() == rows
        assert run(_core.Performer(None), [("write", form, 16000), ("end",), ("tick", 30)]) == played
    data = bytearray(pcm)
    Resampler(16000, RATE).process(data)
    VisemeExtractor().process(data)
    performer = _core.Performer(None)
    performer.write(data, 16000)
    data.clear()  # would raise BufferError if any of them still held it
    performer.end()
    assert run(performer, [("tick", 30)]) == played


def test_a_numpy_view_keeps_the_slot(avatar: _core.NativeAvatar) -> None:
    performer = _core.Performer(avatar, (100, 1), frame_slots=2)
    performer.tick()
    frame = performer.read_frame()
    assert frame is not None
    y = frame.planes[0]
    assert y.shape == (SIZE[1], SIZE[0])
    assert np.shares_memory(y, frame.i420)
    shown = y.tobytes()
    del frame
    performer.write(tone(2), RATE)
    for _ in range(200):  # the other slot goes round and round, and never comes near the one that is held
        performer.tick()
        other = performer.read_frame()
        assert other is not None
        assert not np.shares_memory(other.i420, y)
        del other
    assert y.tobytes() == shown
    assert performer.stats()["frames_dropped"] == 0
    del performer
    assert y.tobytes() == shown  # the view keeps the performer, too


def test_frames_are_dropped_and_counted_while_every_slot_is_held(avatar: _core.NativeAvatar) -> None:
    performer = _core.Performer(avatar, (100, 1), frame_slots=3)
    held = []
    for _ in range(10):
        performer.tick()
        if (frame := performer.read_frame()) is not None:
            held.append(frame)
    assert [f.sequence for f in held] == [0, 1, 2]
    assert performer.stats()["frames_dropped"] == 7
    del held[1], frame
    performer.tick()
    after = performer.read_frame()
    assert after is not None
    assert after.sequence == 10
    assert after.sample == 10 * BLOCK
    assert performer.stats()["frames"] == 4


def test_frames_may_be_released_on_any_thread(avatar: _core.NativeAvatar) -> None:
    performer = _core.Performer(avatar, (100, 1), frame_slots=2)
    for _ in range(50):
        performer.tick()
        box = [performer.read_frame()]
        assert box[0] is not None
        thread = threading.Thread(target=box.clear)
        thread.start()
        thread.join()
    assert performer.stats()["frames_dropped"] == 0


unit = st.floats(-1, 1)
poses = st.tuples(
    st.lists(unit, min_size=_core.AXES, max_size=_core.AXES), st.lists(st.floats(0, 1), min_size=15, max_size=15)
)


@settings(max_examples=30, deadline=None)
@given(st.lists(poses, min_size=1, max_size=6))
def test_redrawing_what_changed_is_redrawing_all(
    avatar: _core.NativeAvatar, shown: list[tuple[list[float], list[float]]]
) -> None:
    canvas = _core.Canvas(avatar)
    full = SIZE[0] * SIZE[1]
    for axes, visemes in shown:
        canvas.draw(axes, visemes)
        fresh = _core.Canvas(avatar)
        assert fresh.draw(axes, visemes) >= full
        assert np.array_equal(canvas.i420, fresh.i420)
        assert canvas.mouth_open == fresh.mouth_open
        assert canvas.draw(axes, visemes) == 0
    canvas.i420[:] = 0
    canvas.forget()
    assert canvas.draw(axes, visemes) >= full
    assert np.array_equal(canvas.i420, fresh.i420)


def test_calls_take_turns_with_ticks_and_say_where_they_took_effect() -> None:
    performer = _core.Performer(None, turns=True)
    assert performer.moments == []
    performer.write(bytes(960), 48_000)
    performer.tick()
    performer.end()
    performer.tick()
    performer.set(_core.MOTION_STATE, 1)
    performer.interrupt()
    with pytest.raises(ValueError):
        performer.write(bytes(2), 12)
    assert performer.moments == [0, _core.BLOCK, 2 * _core.BLOCK, 2 * _core.BLOCK, 2 * _core.BLOCK]
    assert _core.Performer(None).moments is None


def test_turns_hold_against_a_running_engine() -> None:
    engine = _core.Engine()
    performer = _core.Performer(None, turns=True)
    engine.attach(performer)
    try:
        while performer.stats()["clock"] < 50 * _core.BLOCK:
            with contextlib.suppress(BufferFull):  # so many utterances wait for the next tick
                performer.write(bytes(64), 48_000)
            performer.interrupt()
            while performer.read_pcm() is not None:
                pass
    finally:
        engine.close()
    assert performer.moments is not None and len(performer.moments) > 100
    certain = [moment for moment in performer.moments if moment >= 0]
    assert certain == sorted(certain) and {moment % _core.BLOCK for moment in certain} == {0}
    assert performer.stats()["clock"] >= certain[-1]


def test_whoever_ticks_is_called_before_each_call() -> None:
    performer = _core.Performer(None)
    called: list[int] = []

    def before() -> None:
        called.append(performer.stats()["clock"])
        performer.tick()

    performer.before = before
    performer.write(bytes(2), 48_000)
    performer.end()
    performer.set(_core.MOTION_STATE, 1)
    performer.interrupt()
    assert called == [0, 480, 960, 1440]


def test_settings_that_no_integer_holds_are_refused() -> None:
    """Seconds are cast to samples: beyond 32 bits that would be undefined."""
    for seconds in (1e300, -1e300, float("nan"), float("inf"), 1e6):
        with pytest.raises(InvalidArgument):
            _core.Performer(None, capacity=seconds)
        with pytest.raises(InvalidArgument):
            _core.Performer(None, prebuffer=seconds)
    for seconds in (-1e300, float("nan")):
        with pytest.raises(InvalidArgument):
            _core.Performer(None, dry_timeout=seconds)
        with pytest.raises(InvalidArgument):
            _core.Performer(None).end(seconds)
        _core.Performer(None, prebuffer_max=seconds)  # below the prebuffer: it stays as it is
    _core.Performer(None, prebuffer_max=1e300).end(1e300)  # up to the capacity


def test_the_turn_is_not_held_while_waiting_for_the_interpreter() -> None:
    """A long chunk is queued without the interpreter; getting that back may take as long as others like."""
    engine, performer = _core.Engine(), _core.Performer(None, (25, 1), turns=True)
    engine.attach(performer)
    over, before = threading.Event(), sys.getswitchinterval()

    def busy() -> None:
        while not over.is_set():
            sum(range(500))

    thread = threading.Thread(target=busy)
    sys.setswitchinterval(0.05)
    thread.start()
    try:
        for _ in range(16):
            performer.write(bytes(2 * 24000), 48000)
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)
        engine.detach(performer)
        engine.close()
    assert performer.moments is not None
    uncertain = sum(moment < 0 for moment in performer.moments)
    assert uncertain <= 4, f"{uncertain} of {len(performer.moments)} calls held up the clock"


def test_a_drain_gives_runs_of_sound_and_pictures_in_clock_order() -> None:
    performer = _core.Performer(None, (10, 1), size=(64, 36), batch=64)
    for tick in range(25):
        performer.tick(tick)
    events, items = performer.drain(4)
    assert events == []
    clock, shown = 0, []
    for item in items:
        if isinstance(item, _core.Frame):
            assert clock - _core.BLOCK <= item.sample < clock
            shown.append(item.sample)
        else:
            pcm, sample, heeded, utterance, played = item
            assert (sample, heeded, utterance, played) == (clock, 0, 0, 0)
            assert len(pcm) in range(2 * _core.BLOCK, 9 * _core.BLOCK, 2 * _core.BLOCK)
            clock += len(pcm) // 2
    assert clock == 25 * _core.BLOCK
    assert shown == [0, 4800, 9600]
    assert performer.drain(4) == ([], [])
    for tick in range(100):  # the ring holds 64: those behind are dropped
        performer.tick(tick)
    performer.read_pcm()
    performer.tick(0)
    starts = [(item[1], len(item[0])) for item in performer.drain(64)[1] if isinstance(item, tuple)]
    ends = [sample + size // 2 for sample, size in starts]
    gaps = [(end, start) for end, (start, _) in zip(ends, starts[1:], strict=False) if end != start]
    assert gaps == [((25 + 64) * _core.BLOCK, (25 + 100) * _core.BLOCK)]
