"""Voice activity and turns: on noise, on made and real speech, and the state machine by itself."""

from __future__ import annotations

import random
import wave
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire import resample
from lipwire.agents.config import TurnDetection
from lipwire.agents.speech.endpointing import MAX_TURN_MS, Endpointer, TurnBoundary
from lipwire.agents.speech.vad import FRAME, FRAME_MS, LATE, Vad
from lipwire.errors import InvalidArgument
from support.paths import SHARED

REAL_SPEECH = SHARED / "speech" / "speech_16k.wav"
RATE = 16_000
Floats = np.ndarray[Any, np.dtype[np.float64]]


def frames(x: Floats) -> list[bytes]:
    pcm = np.clip(x, -32768, 32767).astype("<i2").tobytes()
    return [pcm[i : i + 2 * FRAME] for i in range(0, len(pcm) - 2 * FRAME + 1, 2 * FRAME)]


def turns(x: Floats, config: TurnDetection | None = None) -> list[tuple[int, TurnBoundary]]:
    """(frame at which it was decided, turn event)."""
    vad, detector = Vad(), Endpointer(config or TurnDetection())
    found = []
    for frame in frames(x):
        if (turn := detector.process(vad.process(frame))) is not None:
            found.append((detector.frames, turn))
    return found


def starts(x: Floats) -> int:
    return sum(turn.kind == "started" for _, turn in turns(x))


def at_16k(spoken: tuple[bytes, int]) -> Floats:
    return np.frombuffer(resample(*spoken, RATE), np.int16).astype(float)


def noise(name: str, seconds: float = 12.0) -> Floats:
    rng = np.random.default_rng(7)
    t = np.arange(int(seconds * RATE)) / RATE
    white = rng.standard_normal(len(t))
    if name == "white":
        return white * 600
    if name == "fan":
        smooth = np.convolve(white, np.ones(8) / 8, "same")
        return smooth / smooth.std() * 900 * (1 + 0.3 * np.sin(2 * np.pi * 6 * t))
    if name == "pink":
        spectrum = np.fft.rfft(white) / np.sqrt(np.maximum(np.fft.rfftfreq(len(t), 1 / RATE), 50))
        x = np.fft.irfft(spectrum, len(t))
        return x / x.std() * 600
    if name == "hum":
        return sum((a * np.sin(2 * np.pi * 50 * k * t) for k, a in ((1, 2500), (2, 800), (3, 900))), white * 40)
    if name == "beeps":
        return np.sin(2 * np.pi * 1000 * t) * 6000 * (t % 1 < 0.3)
    if name == "cough":
        x = white * 10.0
        for start in np.arange(0.5, seconds - 1, 2.0):
            count = RATE // 4
            burst = np.convolve(rng.standard_normal(count), np.ones(3) / 3, "same") * np.exp(-np.arange(count) / 1200)
            x[int(start * RATE) :][:count] += burst * 7000
        return x
    assert name == "silence"
    return np.zeros(len(t))


@pytest.mark.parametrize("name", ["silence", "white", "pink", "fan", "hum", "beeps", "cough"])
def test_noise_is_no_speech(name: str) -> None:
    assert starts(noise(name)) == 0


def test_typing_seldom_is() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal(RATE * 20) * 30
    at = np.cumsum(rng.uniform(0.08, 0.35, 80))
    for start in at[at < 19]:
        click = rng.standard_normal(480) * np.exp(-np.arange(480) / rng.uniform(30, 120))
        x[int(start * RATE) :][:480] += click * 6000
    assert starts(x) <= 2


@pytest.mark.parametrize("background", ["silence", "pink", "fan"])
def test_speech_is_heard_from_its_first_to_its_last_sound(
    say: Callable[..., tuple[bytes, int]], background: str
) -> None:
    for text in ("Wait a moment!", "No.", "Yes, that is right.", "Can you repeat that?"):
        speech = at_16k(say(text))
        loud = np.flatnonzero(np.abs(speech) > 1500)
        lead = RATE
        x = np.concatenate([np.zeros(lead), speech, np.zeros(RATE)])
        x += noise(background, 10)[: len(x)] * 0.25
        found = turns(x)
        assert [turn.kind for _, turn in found] == ["started", "stopped"], (text, found)
        (decided, started), (_, stopped) = found
        first, last = (lead + loud[0]) // FRAME, (lead + loud[-1]) // FRAME
        assert first - 8 <= started.frame <= first + 20, text
        assert decided - started.frame <= Vad.sure + LATE + 3  # 10 ms each: what barge-in has to wait for
        assert last - 15 <= stopped.frame <= last + 25, text


@pytest.mark.skipif(not REAL_SPEECH.exists(), reason="no shared/speech; above, generated speech stands in for it")
def test_real_speech() -> None:
    with wave.open(str(REAL_SPEECH)) as file:
        x = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(float)
    found = turns(np.concatenate([x, np.zeros(RATE)]))
    assert [turn.kind for _, turn in found] == ["started", "stopped"] * (len(found) // 2)
    spoken = sum(b.frame - a.frame for (_, a), (_, b) in zip(found[::2], found[1::2], strict=True))
    assert 4 <= len(found) // 2 <= 9
    assert 0.6 < spoken * FRAME / len(x) < 0.95
    assert starts(x * 0.1) >= 4  # 20 dB softer


def test_a_frame_is_ten_milliseconds() -> None:
    with pytest.raises(InvalidArgument, match="320 bytes"):
        Vad().process(bytes(318))


def feed(detector: Endpointer, probabilities: list[float]) -> list[TurnBoundary]:
    return [turn for p in probabilities if (turn := detector.process(p)) is not None]


def test_a_turn_starts_when_it_is_sure_and_ends_after_the_silence() -> None:
    detector = Endpointer(TurnDetection(threshold=0.3, interrupt_threshold=0.8, silence_duration_ms=200))
    assert feed(detector, [0.0] * 50 + [1.0] * 4) == []
    assert feed(detector, [1.0]) == [TurnBoundary("started", 50 - LATE)]
    assert feed(detector, [0.35] * 30 + [0.29] * 17) == []
    assert detector.silence_ms == 190
    assert feed(detector, [0.29]) == [TurnBoundary("stopped", 55 + 30 - LATE)]
    assert not detector.speaking and detector.silence_ms == 0


def test_a_higher_interrupt_threshold_takes_more_and_one_is_never() -> None:
    def needed(threshold: float) -> int | None:
        detector = Endpointer(TurnDetection(interrupt_threshold=threshold))
        return next((i for i in range(1, 50) if detector.process(0.95) is not None), None)

    assert [needed(t) for t in (0.0, 0.3, 0.5, 0.8)] == [1, 2, 4, 6]
    assert needed(0.96) is None
    assert needed(1.0) is None


def test_a_voice_may_have_to_last() -> None:
    config = TurnDetection(interrupt_duration_ms=160, speaking_interrupt_duration_ms=320)

    def needed(probabilities: list[float], *, agent_speaks: bool = False) -> tuple[int, int] | None:
        """Ms of sound before it is known that a turn has begun, and the ms of its first frame; None: none begins."""
        detector = Endpointer(config)
        detector.agent_speaks = agent_speaks
        for ms, probability in enumerate(probabilities, 1):
            if (turn := detector.process(probability)) is not None:
                return (ms - LATE) * FRAME_MS, turn.frame * FRAME_MS
        return None

    assert needed([1.0] * 100) == (160, 0) and needed([1.0] * 100, agent_speaks=True) == (320, 0)
    assert needed([0.0] * 30 + [1.0] * 15 + [0.0] * 30) is None  # too short
    assert needed([1.0] * 10 + [0.0] * 10 + [1.0] * 20) == (190, 0)  # a gap between two words
    assert needed([1.0] * 10 + [0.0] * 40 + [1.0] * 20) == (640, 480)  # two sounds
    assert needed([0.4] * 200) is None  # long, and never sure
    config.interrupt_duration_ms = None
    assert needed([1.0] * 100) == (Vad.sure * FRAME_MS - LATE * FRAME_MS - 10, 0)


def test_a_turn_may_be_begun_by_hand() -> None:
    detector = Endpointer(TurnDetection(start_of_speech="manual", end_of_speech="manual"))
    assert feed(detector, [1.0] * 50) == []
    assert detector.begin() == TurnBoundary("started", 50) and detector.speaking
    assert detector.begin() is None
    assert feed(detector, [0.0] * 100 + [1.0] * 50 + [0.0] * 1000) == [] and detector.silence_ms > 9000
    assert detector.commit() == TurnBoundary("stopped", 200 - LATE)


def test_silence_never_starts_a_turn_whatever_the_thresholds() -> None:
    detector = Endpointer(TurnDetection(threshold=0.0, interrupt_threshold=0.0))
    assert feed(detector, [0.0] * 100) == []


def test_without_detection_a_turn_ends_by_commit() -> None:
    detector = Endpointer(TurnDetection(enabled=False))
    assert [turn.kind for turn in feed(detector, [1.0] * 20 + [0.0] * 500)] == ["started"]
    assert detector.commit() == TurnBoundary("stopped", 20 - LATE)
    assert detector.commit() is None


def test_an_endless_turn_is_ended() -> None:
    detector = Endpointer(TurnDetection())
    endless = [1.0] * (MAX_TURN_MS // FRAME_MS + 20)
    assert [turn.kind for turn in feed(detector, endless)] == ["started", "stopped"]
    assert feed(detector, [0.0] * 30 + [1.0] * 500 + [0.0] * 49) == []  # it goes on, as a crowd does
    assert [turn.kind for turn in feed(detector, [0.0] * 2 + [1.0] * 20)] == ["started"]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 600), st.floats(0, 1), st.floats(0, 1))
def test_turns_alternate_and_move_forward(seed: int, silence: int, threshold: float, interrupt: float) -> None:
    rng = random.Random(seed)
    config = TurnDetection(silence_duration_ms=silence, threshold=threshold, interrupt_threshold=interrupt)
    detector, last, frame = Endpointer(config), "stopped", 0
    for _ in range(20):
        level = rng.random()
        for _ in range(rng.randrange(60)):
            if (turn := detector.process(level * rng.random())) is not None:
                assert turn.kind != last and frame <= turn.frame <= detector.frames
                last, frame = turn.kind, turn.frame
