"""What has arrived is played: at once, all of it, and as one signal, whatever its rate, its encoding and its pieces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lipwire
from lipwire import _core, opus
from lipwire.protocol.messages import PlaybackFinished, PlaybackStarted, Underrun
from lipwire.session.session import SessionEvent
from support.agent_puppet import Clock

RATE, BLOCK = _core.RATE, _core.BLOCK
RATES = (8000, 12000, 16000, 24000, 32000, 48000, 11025, 22050, 44100, 16001)
"""First those of which a piece of 10 ms ends with an output."""


def tone(seconds: float, rate: int, at: float = 0.0, hz: float = 500.0) -> np.ndarray[Any, np.dtype[np.int16]]:
    """A tone whose phase is that of second `at`."""
    moments = at + np.arange(round(seconds * rate)) / rate
    return (8000 * np.cos(2 * np.pi * hz * moments)).astype("<i2")


class Line:
    """A performer, what it played and what it told."""

    def __init__(self, **options: Any) -> None:
        self.performer = _core.Performer(None, (1, 1), **options)
        self.blocks: list[bytes] = []
        self.events: list[tuple[int, int, int, int, int]] = []

    def tick(self, ticks: int = 1) -> None:
        for _ in range(ticks):
            self.performer.tick()
            while (block := self.performer.read_pcm()) is not None:
                self.blocks.append(block[0])
            while (event := self.performer.read_event()) is not None:
                self.events.append(event)

    @property
    def sound(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.frombuffer(b"".join(self.blocks), "<i2").astype(float)

    def of(self, kind: int) -> list[tuple[int, int, int, int, int]]:
        return [event for event in self.events if event[0] == kind]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("chunk", [0.0007, 0.013, 0.02, 0.06, 0.1, 0.5])
def test_an_utterance_that_nobody_ends_is_heard_to_its_last_sample(rate: int, chunk: float) -> None:
    line, pcm = Line(dry_timeout=0.1, prebuffer_max=0.24), tone(0.5, rate)
    step = max(1, int(rate * chunk))
    for at in range(0, len(pcm), step):
        line.performer.write(pcm[at : at + step], rate, 0)
    line.tick(80)
    (finished,) = line.of(_core.EVENT_FINISHED)
    assert finished[4] == -(-len(pcm) * RATE // rate) and not line.of(_core.EVENT_UNDERRUN)
    assert line.performer.stats()["prebuffer"] == _core.PREBUFFER * RATE


@pytest.mark.parametrize("rate", RATES)
def test_a_pause_of_the_sender_moves_nothing_behind_it(rate: int) -> None:
    line, pcm = Line(), tone(0.5, rate)
    half = len(pcm) // 2
    line.performer.write(pcm[:half], rate)
    line.tick(50)
    line.performer.write(pcm[half:], rate)
    line.performer.end()
    line.tick(50)
    (late,), (finished,) = line.of(_core.EVENT_UNDERRUN), line.of(_core.EVENT_FINISHED)
    assert late[4] == -(-half * RATE // rate), "all that had come was heard before the pause"
    assert finished[4] == late[4] - (-(len(pcm) - half) * RATE // rate)


def test_as_much_as_the_prebuffer_starts_at_once() -> None:
    line = Line(prebuffer=0.06)
    for at in range(3):
        line.performer.write(tone(0.02, 8000, at * 0.02), 8000)
        assert not line.events
    line.tick()
    assert [event[0] for event in line.events] == [_core.EVENT_STARTED]


def clicks(sound: np.ndarray[Any, Any], around: list[float], hz: float = 500.0) -> float:
    """How far it is from the tone that it is elsewhere, within 6 ms of these seconds."""
    start = int(np.flatnonzero(sound)[0])
    moments = (np.arange(len(sound)) - start) / RATE
    waves = np.stack([np.sin(2 * np.pi * hz * moments), np.cos(2 * np.pi * hz * moments)], 1)
    calm = slice(start + 1000, start + 4000)
    off = np.abs(sound - waves @ np.linalg.lstsq(waves[calm], sound[calm], rcond=None)[0])
    return float(max(off[start + round(at * RATE) - 300 : start + round(at * RATE) + 300].max() for at in around))


@pytest.mark.parametrize("pieces", [0.01, 0.1])
@pytest.mark.parametrize("hz", [500.0, 3100.0])
def test_a_tone_goes_on_while_its_rate_changes(pieces: float, hz: float) -> None:
    """In every pair of rates, back and forth; each was a click of half the tone, and moved what came behind it."""
    order = [rate for one in RATES for other in RATES if one < other for rate in (one, other, one)]
    line, now, around = Line(capacity=60.0), 0.0, []
    line.performer.write(tone(0.2, 24000, hz=hz), 24000)
    now = 0.2
    for rate in order:
        around.append(now)
        part = tone(0.1, rate, now, hz)
        step = int(pieces * rate)
        for at in range(0, len(part), step):
            line.performer.write(part[at : at + step], rate)
        now += len(part) / rate
    line.performer.end()
    line.tick(round(now * 100) + 20)
    (finished,) = line.of(_core.EVENT_FINISHED)
    assert abs(finished[4] - now * RATE) <= 1, "no sample is lost, and none is added"
    assert clicks(line.sound, around, hz) < 160


def test_a_change_behind_a_pause_is_whole_too() -> None:
    """The old rate's end was played as if nothing followed."""
    line = Line()
    line.performer.write(tone(0.2, 8000), 8000)
    line.tick(40)
    line.performer.write(tone(0.2, 24000, 0.2), 24000)
    line.performer.end()
    line.tick(60)
    (finished,) = line.of(_core.EVENT_FINISHED)
    assert finished[4] == 0.4 * RATE and [event[4] for event in line.of(_core.EVENT_UNDERRUN)] == [0.2 * RATE]


@pytest.mark.parametrize("rates", [(8000, 8000), (8000, 16000), (22050, 24000)])
def test_what_comes_within_the_grace_of_an_end_goes_on(rates: tuple[int, int]) -> None:
    line = Line()
    line.performer.write(tone(0.3, rates[0]), rates[0])
    line.performer.end(0.2)
    line.tick(10)
    line.performer.write(tone(0.3, rates[1], 0.3), rates[1])
    line.tick(80)
    (finished,) = line.of(_core.EVENT_FINISHED)
    assert finished[4] == 0.6 * RATE and not line.of(_core.EVENT_UNDERRUN)
    assert clicks(line.sound, [0.3]) < 160


class Ear(lipwire.Publisher):
    def __init__(self) -> None:
        self.blocks: list[bytes] = []

    def audio(self, pcm: bytes, sample: int) -> None:
        self.blocks.append(pcm)

    def video(self, frame: lipwire.Frame) -> None: ...


async def test_the_encodings_of_the_wire() -> None:
    """PCM16, PCM8 and Opus in one utterance, which nobody ends."""
    clock, ear = Clock(), Ear()
    events: list[SessionEvent] = []
    async with lipwire.Session(
        ear, avatar=None, width=0, height=0, on_event=events.append, voice_end_timeout=0.1
    ) as session:
        session.voice(tone(0.3, 24000).tobytes(), "PCM16", 24000, "a")
        eighth = np.rint(tone(0.3, 16000, 0.3) / 256 + 128).astype(np.uint8)
        session.voice(eighth.tobytes(), "PCM8", 16000, "a")
        session.voice(tone(0.3, 8000, 0.6).tobytes(), "PCM16", 8000, "a")
        (packet,) = opus.OpusEncoder(RATE, 1, frame_ms=20).encode(bytes(1920))
        session.voice(packet, "OPUS", RATE, "a")
        session.voice(tone(0.1, 11025).tobytes(), "PCM16", 11025, "a")
        for _ in range(130):
            clock.tick()
    assert events == [PlaybackStarted("a"), PlaybackFinished("a", 1020.0, False)]
    sound = np.frombuffer(b"".join(ear.blocks), "<i2").astype(float)
    assert clicks(sound, [0.3, 0.6]) < 160


async def test_underruns_tell_what_had_come() -> None:
    clock, ear = Clock(), Ear()
    events: list[SessionEvent] = []
    async with lipwire.Session(ear, avatar=None, width=0, height=0, on_event=events.append) as session:
        session.write(tone(0.5, 8000), 8000, "a")
        for _ in range(70):
            clock.tick()
        session.write(tone(0.5, 8000), 8000, "a")
        session.end("a")
        for _ in range(100):
            clock.tick()
    assert [event.position_ms for event in events if isinstance(event, Underrun | PlaybackFinished)] == [500.0, 1000.0]
