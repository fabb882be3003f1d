"""Motion, encoded once for all who asked for the same."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest

from lipwire._core import MOTION_SETS, RATE
from lipwire.errors import InvalidArgument
from lipwire.protocol.messages import MotionSet
from lipwire.publish import motion as module
from lipwire.publish.motion import HEADERS, MAX_VALUE, Ask, Motion, MotionFigures, check_ask, parse_ask
from lipwire.publish.motion_queue import AGE, AGE_WITH_SOUND, TOO_SLOW, MotionQueue, MotionSounds, check_codec
from lipwire.stream import Cue
from support.motion import Ear, Reader, poses, tone

FPS = Fraction(25)
STEP = RATE // 25


def begun(*ears: Any, fps: Fraction = FPS, figures: MotionFigures | None = None) -> Motion:
    motion = Motion(figures)
    motion.begin(fps)
    for ear in ears:
        motion.add(ear)
    return motion


def read(ear: Ear) -> Reader:
    reader = Reader()
    for _, message, _ in ear.got:
        reader.put(message)
    return reader


@pytest.mark.parametrize(
    ("message", "ask"),
    [
        ("{}", Ask()),
        ('{"sets":["head","arkit"]}', Ask(("arkit", "head"))),
        (b'{"sets":["pose"],"encoding":"json","more":1}', Ask(("pose",), "json")),
        ('{"sets":["face"]}', "'face'"),
        ('{"sets":[]}', "got none"),
        ('{"encoding":"xml"}', "'xml'"),
        ('{"sets":"pose"}', "expected"),
        ("[1]", "expected"),
        (b"\xff", "expected"),
        ("[" * 900, "expected"),
        (" " * 2000, "2000 bytes"),
    ],
)
def test_what_is_asked_for(message: str | bytes, ask: Ask | str) -> None:
    if isinstance(ask, Ask):
        assert parse_ask(message) == ask
        return
    with pytest.raises(InvalidArgument, match=ask):
        parse_ask(message)


def test_the_words_of_the_protocol_are_the_core_s() -> None:
    assert set(MotionSet.__args__) == set(MOTION_SETS)  # type: ignore[attr-defined]
    assert check_ask(None, None) == Ask() and check_codec(None) == "none"
    with pytest.raises(InvalidArgument, match="'mp3'"):
        check_codec("mp3")


def test_the_same_is_encoded_once_and_nothing_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Ask] = []
    real = module.make_encoder
    monkeypatch.setattr(module, "make_encoder", lambda ask, *a, **more: (made.append(ask), real(ask, *a, **more))[1])
    total = MotionFigures()
    motion, frames = begun(figures=total), poses(0.4)
    motion.frame(frames[0])
    motion.cue(Cue("started", "a", 0))
    assert not motion.takes and not made and total.messages == 0
    ears = [Ear(), Ear(), Ear(Ask(("pose",))), Ear(Ask(encoding="json")), Ear(lossy=False)]
    for ear in ears:
        motion.add(ear)
    assert motion.takes and len(made) == 4 and len(motion) == total.viewers == 5
    for frame in frames[1:]:
        motion.frame(frame)
    assert ears[0].got == ears[1].got and len(ears[0].of("frames")) == len(frames) - 1
    assert total.messages == sum(len(ear.got) for ear in ears)
    assert total.bytes == sum(len(message) for ear in ears for _, message, _ in ear.got) and not total.dropped
    for ear in ears:
        motion.remove(ear)
        motion.remove(ear)
    count = total.messages
    motion.frame(frames[0], RATE)
    assert not motion.takes and total.viewers == 0 and total.messages == count


@pytest.mark.parametrize("encoding", ["binary", "json"])
def test_what_is_read_is_what_the_face_did(encoding: Any) -> None:
    lossy, sure = Ear(Ask(("pose",), encoding)), Ear(Ask(("pose",), encoding), lossy=False)
    motion, frames = begun(lossy, sure), poses(0.5)
    for frame in frames:
        motion.frame(frame)
    for ear in (lossy, sure):
        reader = read(ear)
        assert list(reader.frames) == [frame.sample for frame in frames]
        for frame in frames:
            mine = np.concatenate([frame.axes, frame.visemes, [frame.loudness]])
            assert np.abs(reader.frames[frame.sample] - mine).max() <= 1 / 32767
    assert len(sure.of("header")) == 1


def test_loss_costs_no_event_and_few_frames() -> None:
    """5 % of the messages are lost, and those that come change places."""
    ear = Ear()
    motion, frames = begun(ear), poses(20.0)
    for number, frame in enumerate(frames):
        motion.frame(frame)
        if number % 25 == 7:
            motion.cue(Cue("gesture", f"{number}", frame.sample))
    rng = random.Random(5)
    order = sorted(range(len(ear.got)), key=lambda number: number + rng.choice((0, 0, 0, 2.5)))
    reader, lost = Reader(), {number for number in order if number > 2 and rng.random() < 0.05}
    for number in order:
        if number not in lost:
            reader.put(ear.got[number][1])
    assert len(lost) > 20
    assert [value for _, _, _, value in reader.events.values()] == [f"{n}" for n in range(7, len(frames), 25)]
    assert len(reader.frames) >= 0.995 * len(frames), "the next message has a lost one's frame"


def test_a_newcomer_has_headers_and_a_broadcast_has_them_for_ever() -> None:
    early, cast = Ear(), Ear(anew=True)
    motion, frames = begun(early, cast), poses(2.2)
    for frame in frames:
        motion.frame(frame)
    late = Ear()
    motion.add(late)
    assert [kind for kind, _, _ in late.got] == ["header"], "at once"
    samples = [sample for kind, _, sample in early.got if kind == "header"]
    assert len(samples) == 1 + HEADERS and samples[-1] <= RATE
    reader = read(cast)
    assert len(reader.headers) == 3 and not cast.of("header"), "in messages of frames, once a second"
    for number, frame in enumerate(frames[:30]):
        motion.frame(frame, 20 * RATE + number * STEP)
    spread = [sample - 20 * RATE for kind, _, sample in late.got[1:] if kind == "header"]
    assert len(spread) == HEADERS and RATE // 4 < spread[0] < spread[1] - RATE // 4, "and not in one burst later"
    small = Ear(anew=True, most=200)
    motion.add(small)
    motion.frame(frames[0], 30 * RATE)
    assert all(len(message) <= 200 for message in small.of("frames")) and small.of("event"), "apart, where it is long"


def test_a_stride_has_every_frame_in_fewer_messages() -> None:
    ear = Ear(stride=3)
    motion, frames = begun(ear, fps=Fraction(60)), poses(0.5, (60, 1))
    for frame in frames:
        motion.frame(frame)
    assert len(ear.of("frames")) == len(frames) // 3
    assert set(read(ear).frames) == {frame.sample for frame in frames[: len(frames) // 3 * 3]}
    every_second = Reader()
    for message in (ear.of("header")[0], *ear.of("frames")[::2]):
        every_second.put(message)
    assert set(every_second.frames) >= {frame.sample for frame in frames[: len(frames) // 3 * 3 - 3]}


def test_an_interrupt_and_a_new_face_are_generations() -> None:
    ear = Ear()
    motion, frames = begun(ear), poses(0.4)
    motion.frame(frames[0])
    motion.interrupt()
    motion.cue(Cue("interrupt", "x" * 100_000, frames[1].sample))
    motion.frame(frames[1], 5000)
    motion.begin(Fraction(50))
    motion.frame(frames[2], 6000)
    reader = read(ear)
    assert reader.generations == {frames[0].sample: 0, 5000: 1, 6000: 2} and ear.interrupts == 1
    assert reader.events[1] == (frames[1].sample, 1, "interrupt", "x" * MAX_VALUE)
    assert [tuple(header[2]) for header in reader.headers] == [(25, 1), (50, 1)]
    assert len({header[0] for header in reader.headers}) == 2, "another id"


def test_between_two_faces_nobody_is_told_of_either() -> None:
    early, late = Ear(), Ear()
    motion, frames = begun(early), poses(0.2)
    motion.frame(frames[0])
    told = list(early.got)
    motion.end()
    motion.add(late)
    motion.frame(frames[1], 4000)
    motion.cue(Cue("state", "idle", 4000))
    assert early.got == told and not late.got and motion.takes
    motion.begin(Fraction(50), face="kit")
    motion.frame(frames[2], 6000)
    for ear in (early, late):
        reader = read(ear)
        assert [tuple(header[2]) for header in reader.headers][-1] == (50, 1) and reader.generations[6000] == 1
        assert [value for _, _, _, value in reader.alone][-1] == "avatar:kit"


def test_where_there_is_no_motion_it_is_said() -> None:
    before, after = Ear(), Ear()
    motion = Motion()
    motion.add(before)
    assert motion.takes and not before.got, "there is no face yet"
    motion.begin(FPS, "no motion here")
    motion.add(after)
    assert before.refused == after.refused == ["no motion here"] and not motion.takes


def kinds(queue: MotionQueue) -> set[str]:
    return {kind for kind, _, _ in queue._waiting}


@pytest.mark.parametrize(("sound", "age"), [("none", AGE), ("pcm16", AGE_WITH_SOUND)])
async def test_a_reader_that_stands_still_misses_what_is_old_and_no_event(sound: Any, age: int) -> None:
    figures = MotionFigures()
    queue, sounds = MotionQueue(Ask(), sound), MotionSounds(figures)
    motion, (frame, *_) = begun(queue, figures=figures), poses(0.1)
    sounds.add(queue)
    speech = tone(0.04)
    for at in range(0, 5 * RATE, STEP):
        motion.frame(frame, at)
        sounds.audio(speech, at)
        waits = [sample for kind, _, sample in queue._waiting if kind != "header"]
        assert at - age <= min(waits) and (at < age or min(waits) <= at - age // 2 + STEP)
    motion.cue(Cue("state", "idle", 5))
    reader, count = Reader(), len(queue._waiting)
    for _ in range(count):
        reader.put(await queue.take() or b"")
    assert len(reader.headers) == len(reader.events) == 1
    assert count + figures.dropped == figures.messages and max(reader.frames) == 5 * RATE - STEP
    assert [at for at, _, _ in reader.sounds] == [s for at in reader.frames for s in (at, at + 960) if sound != "none"]
    queue.put(b"", "frames", 100 * RATE)
    queue.put(b"", "frames", 9)
    assert [at for _, _, at in queue._waiting] == [9], "a clock that has gone back"
    motion.interrupt()
    for number in range(300):
        motion.cue(Cue("state", "idle", number))
    assert queue.ended == (TOO_SLOW, "too slow to take events"), "it has an end"
    assert kinds(queue) == {"event"}


async def test_on_a_line_that_is_too_slow_every_sound_has_its_face() -> None:
    """80 % of the bytes a second that there are, for 30 s."""
    queue, sounds = MotionQueue(Ask(), "pcm16"), MotionSounds(MotionFigures())
    motion, (frame, *_) = begun(queue), poses(0.1)
    sounds.add(queue)
    speech, made, taken, reader = tone(0.04), 0.0, 0.0, Reader()
    for at in range(0, 30 * RATE, STEP):
        before = motion.figures.bytes + sounds._figures.bytes
        motion.frame(frame, at)
        sounds.audio(speech, at)
        made += motion.figures.bytes + sounds._figures.bytes - before
        while taken < 0.8 * made and queue._waiting:
            message = await queue.take() or b""
            taken += len(message)
            reader.put(message)
    assert {at - at % STEP for at, _, _ in reader.sounds} <= set(reader.frames)
    assert len(reader.sounds) > 0.75 * 30 * 50 and len(reader.frames) > 0.75 * 30 * 25
    gaps = [b - a for (a, *_), (b, *_) in itertools.pairwise(reader.sounds) if b - a != 960]
    assert 2 < len(gaps) < 8, "few, and long"


def test_an_interrupt_of_sound_alone_takes_what_waits_of_it() -> None:
    """As of one in a room who is not its face."""
    queue, sounds = MotionQueue(Ask(), "pcm16"), MotionSounds(MotionFigures())
    motion, (frame, *_) = begun(queue), poses(0.1)
    sounds.add(queue)
    motion.frame(frame)
    sounds.audio(tone(0.1), 0)
    assert kinds(queue) == {"header", "frames", "sound"}
    sounds.interrupt()
    assert kinds(queue) == {"header", "frames"}
    motion.interrupt()
    assert kinds(queue) == {"header"}


async def test_opus_and_json_beside_motion() -> None:
    figures = MotionFigures()
    binary, text = MotionQueue(Ask(), "opus"), MotionQueue(Ask(encoding="json"), "pcm16")
    sounds = MotionSounds(figures)
    for queue in (binary, text):
        sounds.add(queue)
    sounds.audio(tone(0.1), 0)
    reader = Reader()
    for _ in range(len(binary._waiting)):
        reader.put(await binary.take() or b"")
    assert len(reader.sounds) == 4 and {codec for _, codec, _ in reader.sounds} == {2}
    assert reader.sounds[1][0] - reader.sounds[0][0] == 960 and reader.sounds[0][0] == 960 - 312
    first = msgspec.json.decode(await text.take() or b"")
    assert (first["type"], first["sample"], first["codec"], len(first["data"])) == ("sound", 0, "pcm16", 2560)
    sounds.remove(binary)
    text.end(1000, "over")
    while await text.take() is not None:
        pass
    assert text.ended == (1000, "over") and text.put_sound(b"", 0) == 1
