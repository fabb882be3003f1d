"""Any order of writes, ends, interrupts and stalls of the event loop: the sound is gapless, nothing stale is heard,
every utterance ends once, with as much of it as was heard, and the session comes to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lipwire
from lipwire import _core
from lipwire.audio import espeak
from lipwire.audio.fade import FADE
from lipwire.protocol.messages import PlaybackFinished
from lipwire.session.session import SessionEvent
from lipwire.stream import Publisher
from support.agent_puppet import Clock

RATE, BLOCK = _core.RATE, _core.BLOCK
LEVEL = 8000
"""Of the speech: above zero before the first interrupt, below it before the second, and so on."""
RING = 60
"""Blocks that nobody takes, of the 64 that a performer holds."""


class Recorder(Publisher):
    """Takes so many blocks at a time, at most."""

    def __init__(self, most: int) -> None:
        self.audio_blocks = most
        self.blocks: list[bytes] = []
        self.at: list[int] = []

    def audio(self, pcm: bytes, sample: int) -> None:
        assert len(pcm) in range(2 * BLOCK, 2 * BLOCK * (self.audio_blocks + 1), 2 * BLOCK)
        for at in range(0, len(pcm), 2 * BLOCK):
            self.blocks.append(pcm[at : at + 2 * BLOCK])
            self.at.append(sample + at // 2)

    def video(self, frame: lipwire.Frame) -> None: ...


class Source(lipwire.FrameSource):
    def __init__(self, latency: float) -> None:
        self.latency = latency

    def speech(self, pcm: Any, sample: int) -> Iterable[tuple[int, Any]]:
        return ()


class Play:
    """A session, and what was done to it."""

    def __init__(self, latency: float | None, most: int = 1, **options: Any) -> None:
        self.recorder = Recorder(most)
        self.events: list[SessionEvent] = []
        self.clock = Clock()
        self.cuts = [0]
        self.written: set[int] = set()
        self.waiting = 0
        self.session = lipwire.Session(
            self.recorder,
            avatar=None if latency is None else Source(latency),
            width=64,
            height=36,
            on_event=self.events.append,
            **options,
        )

    def write(self, name: str, ms: int, rate: int) -> None:
        """0 ms: one sample, which the resampler holds back."""
        level = LEVEL if len(self.cuts) % 2 else -LEVEL
        self.session.write(np.full(max(1, rate * ms // 1000), level, "<i2").tobytes(), rate, name)
        self.written.add(self.session.performer.utterance)

    def interrupt(self) -> None:
        self.session.interrupt()
        self.cuts.append(len(self.recorder.blocks) * BLOCK)

    def step(self, blocks: int, stalled: bool) -> None:
        for _ in range(blocks):
            if not stalled:
                self.clock.tick()
                self.waiting = 0
            elif self.waiting < RING:
                self.session.performer.tick()
                self.waiting += 1

    def check(self) -> None:
        assert self.recorder.at == list(range(0, len(self.recorder.at) * BLOCK, BLOCK))
        assert self.session._idle.is_set() and not self.session._utterances
        ends = [event for event in self.events if isinstance(event, PlaybackFinished)]
        assert len(ends) == len(self.written)
        sound = np.frombuffer(b"".join(self.recorder.blocks), "<i2").astype(int)
        for n, (cut, following) in enumerate(zip(self.cuts, [*self.cuts[1:], len(sound)], strict=True)):
            heard = sound[cut + (FADE if n else 0) : following] * (1 if n % 2 == 0 else -1)
            assert heard.min(initial=0) > -200, f"stale sound after sample {cut}"  # resamplers ring
        told = sum(end.position_ms for end in ends)
        sounding = np.count_nonzero(sound) / (RATE / 1000)
        # Fades end in a few zeros, and so do edges and whatever is a rounding to 0.1 ms.
        assert told == pytest.approx(sounding, abs=2 + 2 * len(ends) + 6 * len(self.cuts))


step = st.one_of(
    st.tuples(
        st.just("write"),
        st.integers(0, 3),
        st.sampled_from([0, 1, 7, 20, 100, 250]),
        st.sampled_from([8000, 16000, 48000]),
    ),
    st.tuples(st.just("end"), st.integers(0, 3)),
    st.tuples(st.just("interrupt")),
    st.tuples(st.just("step"), st.sampled_from([1, 3, 10, 40]), st.booleans()),
)


@pytest.mark.parametrize("latency", [None, 0.0, 0.1])
@settings(max_examples=60, deadline=None)
@given(
    st.lists(step, min_size=3, max_size=20),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.sampled_from([0.0, 0.06]),
    st.sampled_from([1, 3]),
)
def test_any_order(
    latency: float | None, steps: list[tuple[Any, ...]], grace: float, prebuffer: float, most: int
) -> None:
    async def run() -> None:
        play = Play(latency, most, voice_end_grace=grace, prebuffer=prebuffer, voice_end_timeout=0.1)
        await play.session.start()
        for what, *how in steps:
            match what:
                case "write":
                    play.write(f"u{how[0]}", *how[1:])
                case "end":
                    play.session.end(f"u{how[0]}")
                case "interrupt":
                    play.interrupt()
                case _:
                    play.step(*how)
        play.session.end()
        play.step(300, False)
        await play.session.close()
        play.check()

    asyncio.run(run())


@pytest.mark.parametrize(("fps", "stalls"), [(25, False), (25, True), (30, True), (100, False)])
def test_the_mouth_closes_and_stays_closed(fps: int, stalls: bool) -> None:
    """At every phase of a block, of a frame and of the recognizer's hop, and whatever frames nobody has taken yet: a
    mouth that is seen shut stays so until there is new speech. (One of 2 664 opened after the sound had stopped.)"""
    spoken = espeak.speak("Papa may buy five big maps, but Bob and Fay have a hobby: peeling apples.")
    speech, rate = np.frombuffer(spoken.pcm, "<i2"), spoken.rate
    avatar = lipwire.Avatar.load("aria").at(64, 36)
    performer = _core.Performer(avatar, (fps, 1), seed=fps)
    random = Random(fps + stalls)
    shown, opened, seen, generation = False, 0, 0, 0

    def look() -> list[bool]:
        nonlocal shown
        before = shown
        while performer.read_pcm() is not None or performer.read_event() is not None:
            pass
        rose = []
        while (frame := performer.read_frame()) is not None:
            if frame.generation >= generation:
                shown = frame.mouth_open
                rose.append(shown and not before)
                before = shown
            del frame
        return rose

    for _ in range(1000):
        length = random.randrange(rate // 5, rate)
        at = random.randrange(len(speech) - length)
        performer.write(speech[at : at + length].tobytes(), rate)
        if random.random() < 0.3:
            performer.end(0)
        for _ in range(random.randrange(7, 60)):
            performer.tick()
            look()
        for _ in range(random.randrange(20) if stalls else 0):
            performer.tick()
        opened += shown
        generation = performer.interrupt()
        for _ in range(60):
            performer.tick()
            seen += any(look())
        assert not shown
    assert opened > 200 and seen == 0


async def test_speech_that_the_resampler_held_back_is_interrupted_as_well() -> None:
    """Its number was given to the next utterance, which went by the name of the first and counted as interrupted."""
    play = Play(None)
    await play.session.start()
    play.write("first", 0, 16000)
    play.interrupt()
    play.write("second", 200, 48000)
    play.session.end("second")
    play.step(60, False)
    await play.session.finished()
    assert [event for event in play.events if isinstance(event, PlaybackFinished)] == [
        PlaybackFinished("first", 0.0, True),
        PlaybackFinished("second", 200.0, False),
    ]
    await play.session.close()


async def test_what_was_heard_of_speech_that_waited_for_its_picture() -> None:
    """It had been heard to its last sample, and ran dry: the delay of the source is not taken off that."""
    play = Play(0.2, voice_end_timeout=5.0)
    await play.session.start()
    play.write("a", 300, 48000)
    play.step(70, False)
    assert play.session.heard == ("a", 300.0)
    play.interrupt()
    play.step(10, False)
    assert PlaybackFinished("a", 300.0, True) in play.events
    await play.session.close()


async def test_a_source_without_latency_is_cut_without_a_click() -> None:
    play = Play(0.0)
    await play.session.start()
    play.write("a", 1000, 48000)
    play.step(50, False)
    play.interrupt()
    play.step(10, False)
    sound = np.frombuffer(b"".join(play.recorder.blocks), "<i2").astype(int)
    assert np.abs(np.diff(sound[play.cuts[-1] - 10 :])).max() < 500
    await play.session.close()


async def test_new_speech_behind_a_stall_is_whole() -> None:
    play = Play(None, prebuffer=0.0)
    await play.session.start()
    play.step(5, True)
    play.interrupt()
    play.write("new", 100, 48000)
    play.session.end("new")
    play.step(30, False)
    sound = np.frombuffer(b"".join(play.recorder.blocks), "<i2")
    assert np.count_nonzero(sound) > 4700
    await play.session.close()


@pytest.mark.parametrize("interrupts", [1, 2, 3])
@pytest.mark.parametrize(("latency", "most"), [(None, 1), (None, 7), (0.2, 1)])
async def test_positions_behind_a_stall_are_what_was_heard(latency: float | None, most: int, interrupts: int) -> None:
    """A client that interrupts again before the engine's next block has been read: what the stall had made ready was
    never handed over."""
    play = Play(latency, most)
    await play.session.start()
    play.write("a", 5000, 48000)
    play.step(70, False)
    heard = play.session.heard
    for _ in range(50):
        play.session.performer.tick()
    for _ in range(interrupts):
        play.interrupt()
        play.session.drain()
        assert play.session.heard in (heard, (None, 0.0)), "told of already, or as it was"
    play.step(60, False)
    [end] = [event for event in play.events if isinstance(event, PlaybackFinished)]
    sound = np.frombuffer(b"".join(play.recorder.blocks), "<i2")
    loud_ms = np.count_nonzero(sound) / (RATE / 1000)
    assert end.interrupted and abs(end.position_ms - loud_ms) <= 6, "the fade is 5 ms"
    await play.session.close()
