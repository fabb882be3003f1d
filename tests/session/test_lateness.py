"""Speech that is late catches up in its pauses, and only there; a prebuffer grows with jitter and shrinks again.

The sender, the machine that stands still and the clock are all turned by hand.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lipwire
from lipwire import _core
from lipwire.audio import espeak
from lipwire.protocol.messages import PlaybackFinished, Underrun
from lipwire.publish import Null
from lipwire.session.session import SessionEvent
from lipwire.stream import Publisher
from support.agent_puppet import Clock

RATE, BLOCK = _core.RATE, _core.BLOCK
Samples = np.ndarray[Any, np.dtype[np.int16]]


def talk(seconds: float, seed: int = 1, noise: int = 20) -> Samples:
    """Phrases of 0.5 to 2 s between pauses of 0.05 to 0.7 s. A phrase is noise that never goes near zero, so that each
    of its samples can be found again; a pause has a little noise of its own. Softly it begins and ends, unfaded."""
    rng = np.random.default_rng(seed)
    pieces, length = [np.ones(BLOCK, np.int64)], BLOCK
    while length < seconds * RATE:
        phrase = rng.integers(500, 9000, rng.integers(RATE // 2, 2 * RATE)) * rng.choice([-1, 1])
        pause = rng.integers(-noise, noise + 1, rng.integers(RATE // 20, 7 * RATE // 10))
        pieces += [phrase, pause]
        length += len(phrase) + len(pause)
    speech = np.concatenate(pieces)[: round(seconds * RATE)].astype(np.int16)
    speech[-BLOCK:] = 1
    return speech


def pauses(sound: Samples) -> list[tuple[int, int]]:
    """(first, behind the last) of the runs of at least 20 ms in which nothing reaches 64."""
    loud = np.concatenate([[True], np.abs(sound.astype(int)) >= 64, [True]])
    edges = np.flatnonzero(np.diff(loud.astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= RATE // 50]


class Sound(Publisher):
    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def audio(self, pcm: bytes, sample: int) -> None:
        self.blocks.append(pcm)

    def video(self, frame: lipwire.Frame) -> None: ...


class Line:
    """A sender and a session, 10 ms at a time: what is due on the way arrives, then the session ticks."""

    def __init__(self, **options: Any) -> None:
        self.now = 0
        self.waiting = 0
        """Ms of speech that have waited at most."""
        self.out = Sound()
        self.events: list[SessionEvent] = []
        self.clock = Clock()
        self.session = lipwire.Session(
            self.out,
            avatar=None,
            width=0,
            height=0,
            on_event=self.events.append,
            clock=lambda: self.now,
            **{"voice_end_timeout": 5.0, "voice_end_grace": 0.0} | options,
        )

    async def run(
        self,
        speech: Samples,
        arrives: Callable[[float], float] = lambda t: t,
        *,
        chunk: float = 0.02,
        speed: float = 1.0,
        stands_still: tuple[float, float] | None = None,
    ) -> Samples:
        """Sends `speech` in chunks, each when complete at `speed` and then at `arrives` of that time, and plays it
        to its end. `stands_still`: between these times of the sender nothing arrives here and nothing ticks."""
        await self.session.start()
        size = round(chunk * RATE)
        due = [(arrives((at + size) / RATE / speed), at) for at in range(0, len(speech), size)]
        due = [(max(time for time, _ in due[max(0, n - 50) : n + 1]), at) for n, (_, at) in enumerate(due)]  # in order
        ended = False
        wall = 0.0
        while not any(isinstance(event, PlaybackFinished) for event in self.events):
            wall += 0.01
            if stands_still and stands_still[0] <= wall < stands_still[1]:
                continue
            self.now = round(wall * 1e9) + 1
            while due and due[0][0] <= wall:
                at = due.pop(0)[1]
                self.session.write(speech[at : at + size].tobytes(), RATE, "a")
            if not due and not ended:
                ended = True
                self.session.end("a")
            self.clock.tick()
            self.waiting = max(self.waiting, self.session.stats()["buffered_ms"])
            await asyncio.sleep(0)
            assert wall < len(speech) / RATE + 30
        self.stats = self.session.stats()
        await self.session.close()
        return np.frombuffer(b"".join(self.out.blocks), np.int16)


def check_shortened(speech: Samples, sound: Samples) -> float:
    """Every sample that is not silence is there, in order; pauses are as they were or shorter, by half at most and to
    no less than 100 ms. Returns ms left out."""
    heard, said = (each[int(np.argmax(np.abs(each.astype(int)) >= 500)) :] for each in (sound, speech))
    assert np.array_equal(heard[np.abs(heard.astype(int)) >= 500], said[np.abs(said.astype(int)) >= 500])
    missing = 0
    for (a, b), (c, d) in zip(pauses(said)[:-1], pauses(heard)[:-1], strict=False):
        before, after = b - a, d - c
        assert after <= before
        if after < before:
            assert after >= RATE // 10 and after >= before // 2 - BLOCK
        missing += before - after
    return missing / (RATE / 1000)


# --------------------------------------------------------------------------------------------------------- catching up


async def test_speech_is_on_time_again_after_the_machine_stood_still() -> None:
    speech = talk(60)
    line = Line()
    sound = await line.run(speech, stands_still=(5.0, 8.0))
    left_out = check_shortened(speech, sound)
    assert left_out == pytest.approx(line.stats["caught_up_ms"], abs=1)
    assert 2900 <= left_out <= 3100, "all of the three seconds"
    end = next(event for event in line.events if isinstance(event, PlaybackFinished))
    assert end == PlaybackFinished("a", 60_000.0, False), "positions are those of the sender's own sound"


async def test_it_stays_late_where_that_is_asked_for() -> None:
    speech = talk(30)
    line = Line(catch_up=False)
    sound = await line.run(speech, stands_still=(5.0, 8.0))
    assert check_shortened(speech, sound) == 0 == line.stats["caught_up_ms"]


async def test_speech_is_on_time_again_after_the_network_stood_still() -> None:
    """Nothing arrives for 2 s, then all of it: speech ran dry, and goes on where it was."""
    speech = talk(40)
    line = Line()
    await line.run(speech, lambda t: 12.0 if 10.0 < t < 12.0 else t)
    assert 1850 <= line.stats["caught_up_ms"] <= 2100


async def test_a_sender_whose_clock_is_fast_is_never_late_by_much() -> None:
    """300 ppm are 180 ms in ten minutes of one utterance, and would be seconds in hours. Where it waited for 60 ms at
    first, 150 ms wait at most: prebuffer, chunk, and what is too little to catch up."""
    most = []
    for catch_up in (True, False):
        line = Line(catch_up=catch_up)
        await line.run(talk(600), speed=1.0003)
        most.append(line.waiting)
        assert not any(isinstance(event, Underrun) for event in line.events)
        assert line.stats["caught_up_ms"] == 0 or catch_up
    assert most[0] <= 160 and most[1] >= 220


@pytest.mark.parametrize("speed", [1.02, 1.05, 1.1, 1.5, 2.0, 50.0])
@pytest.mark.parametrize("chunk", [0.02, 0.1, 3.0])
async def test_a_burst_keeps_every_pause(speed: float, chunk: float) -> None:
    speech = talk(20)
    plain = await Line(catch_up=False).run(speech, chunk=chunk, speed=speed)
    line = Line()
    assert np.array_equal(await line.run(speech, chunk=chunk, speed=speed), plain)
    assert line.stats["caught_up_ms"] == 0
    if speed >= 1.1:  # large chunks of a slower sender run dry once
        assert speech[:-240].tobytes() in plain.tobytes()


@pytest.mark.parametrize("lead", [0.1, 0.2, 0.24, 0.3])
@pytest.mark.parametrize("jitter", [0.0, 0.12])
async def test_a_sender_who_keeps_a_lead_keeps_every_pause(lead: float, jitter: float) -> None:
    """What he sends early is for times when his network is late."""
    late = random.Random(1)
    line = Line()
    await line.run(talk(20), lambda t: max(0.0, t - lead) + (jitter if t > 12 and late.random() < 0.05 else 0.0))
    assert line.stats["caught_up_ms"] == 0


async def test_speech_with_a_lead_is_on_time_again_after_the_machine_stood_still() -> None:
    """But for what he was ahead, which keeps its pauses."""
    line = Line()
    await line.run(talk(60), lambda t: max(0.0, t - 0.2), stands_still=(5.0, 8.0))
    assert 2700 <= line.stats["caught_up_ms"] <= 3100


@pytest.mark.parametrize("gap", [1.0, 3.0, 8.0])
async def test_sentences_in_one_utterance_keep_their_pauses(gap: float) -> None:
    """Each is synthesized at once; what lies between them took the language model its time."""
    speech = talk(24)
    line = Line(catch_up=True)
    await line.run(speech, lambda t: (t // 3.0) * gap + t % 3.0 / 50)
    assert line.stats["caught_up_ms"] == 0


async def test_on_time_nothing_is_left_out() -> None:
    jitter = random.Random(1)
    for chunk in (0.01, 0.02, 0.1, 0.2):
        speech = talk(20)
        line = Line()
        await line.run(speech, lambda t: t + jitter.uniform(0, 0.03), chunk=chunk)
        assert line.stats["caught_up_ms"] <= 60


def test_the_mouth_follows_the_shortened_speech() -> None:
    """While it catches up, every pose is that of the shortened speech said in one go; but for the voice's level, which
    it knows from before it stood still."""
    spoken = espeak.speak("Mama may buy me a map. Papa may pay for a big boat. Bob has five bananas, and Fay has none.")
    voice = np.frombuffer(lipwire.resample(spoken.pcm, spoken.rate, RATE), np.int16)
    speech = np.concatenate([np.concatenate([voice, np.zeros(RATE // 2, np.int16)])] * 4)

    def perform(samples: Samples, burst: bool) -> tuple[Samples, dict[int, NDArray[np.float32]]]:
        """(sound, mouths by sample where all within 100 ms was known). If no burst, the machine stands still between
        3 and 5 s."""
        performer = _core.Performer(None, (100, 1), size=(64, 36), catch_up=True)
        sound, mouths, at, tick = [], {}, 0, 0
        while at < len(samples) or performer.stats()["active"]:
            tick += 1
            if not burst and 300 <= tick < 500:
                continue
            size = len(samples) - at if burst else min(tick * BLOCK, len(samples)) - at
            performer.write(samples[at : at + size].tobytes(), RATE, tick * 10_000_000)
            at += size
            rich = performer.stats()["buffered"] >= 14 * BLOCK
            performer.tick()
            while (block := performer.read_pcm()) is not None:
                sound.append(block[0])
            while (frame := performer.read_frame()) is not None:
                if rich:
                    mouths[frame.sample] = np.array(frame.visemes)
                del frame
            while performer.read_event() is not None:
                pass
        assert (performer.stats()["caught_up"] > RATE // 2) is not burst
        return np.frombuffer(b"".join(sound), np.int16), mouths

    heard, seen = perform(speech, False)
    begins = 5 * BLOCK  # when the prebuffer was there
    assert not heard[:begins].any()
    again, expected = perform(heard[begins:], True)
    same = [
        float(np.abs(pose - expected[sample - begins]).max())
        for sample, pose in sorted(seen.items())
        if sample - begins in expected
    ]
    assert len(same) > 2000 and np.array_equal(again[: len(heard) - begins], heard[begins:])
    behind = np.array(same[30:])  # of the stall itself the smoothed mouth knows for a while
    assert np.median(behind) < 0.01 and (behind < 0.25).mean() > 0.95


# ----------------------------------------------------------------------------------------------------------- jitter


async def underruns(line: Line) -> tuple[int, int]:
    """(gaps in the first, in the second half) of 80 utterances of 1.5 s, whose chunks are late by up to 160 ms."""
    late, counts = random.Random(3), []
    await line.session.start()
    speech = talk(1.5)
    for utterance in range(80):
        due, last = [], 0.0
        for at in range(0, len(speech), BLOCK * 2):
            last = max(last, at / RATE + (late.uniform(0.1, 0.16) if late.random() < 0.1 else 0.0))
            due.append((last, at))
        for tick in range(220):
            line.now += 10_000_000
            while due and due[0][0] <= tick / 100:
                at = due.pop(0)[1]
                line.session.write(speech[at : at + BLOCK * 2].tobytes(), RATE, f"{utterance}")
                if not due:
                    line.session.end()
            line.clock.tick()
        counts.append(sum(isinstance(event, Underrun) for event in line.events))
    line.stats = line.session.stats()
    await line.session.close()
    return counts[39], counts[-1] - counts[39]


async def test_the_prebuffer_grows_with_jitter() -> None:
    line = Line()
    first, second = await underruns(line)
    assert 60 < line.stats["prebuffer_ms"] <= 240
    fixed = Line(prebuffer_max=0.0)
    before, after = await underruns(fixed)
    assert fixed.stats["prebuffer_ms"] == 60
    assert before > 30 and after > 30, "every other utterance had a gap"
    assert first < before / 2 and second < after / 4


async def test_a_steady_sender_keeps_the_small_one() -> None:
    line = Line()
    await line.run(talk(20))
    assert line.stats["prebuffer_ms"] == 60 and line.stats["underruns"] == 0


async def test_the_prebuffer_shrinks_again() -> None:
    line = Line()
    await line.run(talk(180), lambda t: t + 0.15 if 5.0 < t < 5.15 else t)
    assert 60 <= line.stats["prebuffer_ms"] < 75


async def test_a_pause_of_the_sender_is_no_jitter() -> None:
    line = Line()
    await line.run(talk(20), lambda t: t + 1.0 if t > 10 else t)
    assert line.stats["underruns"] == 1 and line.stats["prebuffer_ms"] == 60


async def test_a_most_below_the_prebuffer_is_the_prebuffer() -> None:
    for most in (-1.0, 0.0, 0.03):
        session = lipwire.Session(Null(), avatar=None, width=0, height=0, prebuffer_max=most)
        await session.start()
        assert session.stats()["prebuffer_ms"] == 60
        await session.close()
