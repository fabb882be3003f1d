"""Voice activity by Silero in a stream of 10 ms frames, and what there is without it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lipwire import resample
from lipwire.agents.config import TurnDetection
from lipwire.agents.speech import activity as module
from lipwire.agents.speech.activity import SileroActivity, best
from lipwire.agents.speech.turn_detector import TurnDetector
from lipwire.agents.speech.vad import FRAME, Vad
from lipwire.errors import InvalidArgument, ModelFailed
from lipwire.models.find import there
from lipwire.models.table import known
from lipwire.models.turn.silero import Silero
from support.machine import require

RATE = 16_000
Floats = np.ndarray[Any, np.dtype[np.float64]]


@pytest.fixture(scope="module")
def silero() -> Silero:
    require(there(known("silero-vad")), "silero-vad")
    return Silero.shared()


def frames(x: Floats) -> list[bytes]:
    pcm = np.clip(x, -32768, 32767).astype("<i2").tobytes()
    return [pcm[i : i + 2 * FRAME] for i in range(0, len(pcm) - 2 * FRAME + 1, 2 * FRAME)]


def turns(silero: Silero, x: Floats) -> list[tuple[str, int, int]]:
    """(kind, ms at which it was decided, ms from which on it is)"""
    detector = TurnDetector(TurnDetection(silence_duration_ms=300), activity=SileroActivity(silero))
    found: list[tuple[str, int, int]] = []
    for number, frame in enumerate(frames(x), 1):
        if (event := detector.hear(frame)) is not None:
            found.append((event.kind, number * 10, event.frame * 10))
    return found


def typing() -> Floats:
    random, x = np.random.default_rng(3), np.random.default_rng(4).standard_normal(RATE * 12) * 20
    for start in np.cumsum(random.uniform(0.08, 0.35, 50)):
        t = np.arange(960)
        click = random.standard_normal(960) * np.exp(-t / 60) * 4000
        ring = np.sin(2 * np.pi * random.uniform(300, 900) * t / RATE) * np.exp(-t / 300) * 4000
        at = int(start * RATE)
        x[at : at + 960] += (click + ring)[: max(len(x) - at, 0)]
    return x


def held() -> Floats:
    """An organ's chord that changes every second."""
    t, x = np.arange(RATE) / RATE, []
    for root in (220.0, 261.6, 293.7, 196.0) * 2:
        tones = (root * ratio * k for ratio in (1, 1.26, 1.5) for k in (1, 2, 4, 8))
        x.append(sum((np.sin(2 * np.pi * hz * t) for hz in tones), 0 * t) * 900)
    return np.concatenate(x)


@pytest.mark.parametrize("name", ["typing", "organ", "coughs"])
def test_noises_are_no_speech(silero: Silero, name: str) -> None:
    random = np.random.default_rng(5)
    x = {"typing": typing, "organ": held, "coughs": lambda: random.standard_normal(RATE * 8) * 10.0}[name]()
    if name == "coughs":
        for start in range(RATE // 2, len(x) - RATE, RATE):
            x[start : start + 4000] += random.standard_normal(4000) * np.exp(-np.arange(4000) / 1200) * 7000
    assert turns(silero, x) == []


@pytest.mark.parametrize("gain", [1.0, 0.2])
def test_speech_is_heard_from_its_first_to_its_last_sound(
    silero: Silero, say: Callable[[str], tuple[bytes, int]], gain: float
) -> None:
    for text in ("Wait a moment!", "No.", "Yes, that is right."):
        speech = np.frombuffer(resample(*say(text), RATE), np.int16).astype(float) * gain
        loud = np.flatnonzero(np.abs(speech) > 1500 * gain)
        found = turns(silero, np.concatenate([np.zeros(RATE), speech, np.zeros(RATE)]))
        assert [kind for kind, _, _ in found] == ["started", "stopped"], text
        (_, decided, began), (_, _, ended) = found
        first, last = 1000 + loud[0] / 16, 1000 + loud[-1] / 16
        assert first - 80 <= began <= first + 150, text
        assert decided - began <= 110
        assert last - 100 <= ended <= last + 150, text


def test_silence_costs_nothing(silero: Silero, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    ask = Silero.ask
    monkeypatch.setattr(Silero, "ask", lambda *args: asked.append(1) or ask(*args))
    activity, quiet = SileroActivity(silero), np.random.default_rng(1).standard_normal(RATE * 2) * 5
    assert {activity.process(frame) for frame in frames(quiet)} == {0.0} and not asked
    for frame in frames(np.random.default_rng(1).standard_normal(RATE) * 900):
        activity.process(frame)
    busy = len(asked)
    assert busy == pytest.approx(94, abs=2)  # three in 32 ms
    for frame in frames(quiet):
        activity.process(frame)
    assert len(asked) - busy <= 30


def test_streams_do_not_disturb_each_other(silero: Silero, say: Callable[[str], tuple[bytes, int]]) -> None:
    speech = np.frombuffer(resample(*say("Can you repeat that?"), RATE), np.int16).astype(float)
    one, two, alone = SileroActivity(silero), SileroActivity(silero), SileroActivity(silero)
    for spoken, noise in zip(frames(speech), frames(typing()), strict=False):
        told = one.process(spoken)
        two.process(noise)
        assert told == pytest.approx(alone.process(spoken), abs=1e-4)


def test_a_frame_is_ten_milliseconds(silero: Silero) -> None:
    with pytest.raises(InvalidArgument, match="320 bytes"):
        SileroActivity(silero).process(bytes(318))


def test_without_silero_it_is_our_own_and_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing() -> Silero:
        raise ModelFailed("the model silero-vad is not there")

    monkeypatch.setattr(Silero, "shared", missing)
    monkeypatch.setattr(module, "_told", False)
    with caplog.at_level(logging.WARNING, "lipwire.agents"):
        assert [type(best()) for _ in range(3)] == [Vad] * 3
    assert [record.message for record in caplog.records] == [
        "Lipwire's own voice activity is used, which takes more noises for speech: the model silero-vad is not there"
    ]
