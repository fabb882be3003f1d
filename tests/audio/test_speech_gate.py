"""Continuous sound to utterances: what begins one, what ends one, and that nothing of it is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lipwire.audio.speech_gate import HANGOVER_MS, LEAD, ONSET_OF, STOPPED_MS, SpeechGate
from lipwire.errors import BufferFull, InvalidArgument

RATE = 8000
SIZE = RATE // 100


class Said:
    """What a gate has said."""

    def __init__(self, **options: Any) -> None:
        self.spoken: dict[str, bytes] = {}
        self.ended: list[str] = []
        self.closing = False
        self.full = False
        self.gate = SpeechGate(RATE, self.write, self.ended.append, name="t", closing=lambda: self.closing, **options)

    def write(self, pcm: bytes, rate: int, event_id: str) -> None:
        assert rate == RATE
        if self.full:
            raise BufferFull("full")
        self.spoken[event_id] = self.spoken.get(event_id, b"") + pcm

    def hear(self, sound: np.ndarray[Any, Any], quiet: bool = False) -> None:
        for at in range(0, len(sound), SIZE):
            self.gate.process(sound[at : at + SIZE].astype(np.int16).tobytes(), quiet)

    def blocks(self, event_id: str) -> int:
        return len(self.spoken[event_id]) // (2 * SIZE)


def noise(blocks: int, rms: float, seed: int = 1) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(0, rms, blocks * SIZE)


def voice(blocks: int, peak: float = 6000) -> np.ndarray[Any, Any]:
    """Syllables: a hum that swells four times a second."""
    t = np.arange(blocks * SIZE) / RATE
    return peak * np.sin(2 * np.pi * 200 * t) * (0.55 - 0.45 * np.cos(2 * np.pi * 4 * t))


@pytest.mark.parametrize("background", [0.0, 3.0, 60.0])
def test_two_words_and_the_noise_around_them(background: float) -> None:
    said = Said()
    pause = HANGOVER_MS // 10 + 60
    nothing = np.zeros(pause * SIZE)
    sound = np.concatenate([np.zeros(200 * SIZE), voice(100), nothing, voice(100, 5000), nothing])
    sound = sound + noise(len(sound) // SIZE, background)
    said.hear(sound)
    assert said.ended == ["t-1", "t-2"] == list(said.spoken)
    for number, begins in ((1, 200), (2, 300 + pause)):
        spoken = said.spoken[f"t-{number}"]
        at = sound.astype(np.int16).tobytes().index(spoken)  # bit for bit, and one piece
        begun, ended = at // (2 * SIZE), (at + len(spoken)) // (2 * SIZE)
        assert begins - LEAD - ONSET_OF <= begun <= begins, "its first sound is there"
        assert begins + 100 <= ended <= begins + 100 + HANGOVER_MS // 10 + 1, "and its last"
    assert said.gate.utterances == 2 and not said.gate.speaking


def test_pauses_within_a_sentence_are_kept() -> None:
    said = Said()
    said.hear(np.concatenate([noise(50, 2), voice(60), np.zeros(40 * SIZE), voice(60), np.zeros(80 * SIZE)]))
    assert said.ended == ["t-1"]


def test_noise_and_clicks_are_nothing_and_noise_that_begins_is_got_used_to() -> None:
    said = Said()
    hiss = noise(600, 40)
    for at in range(0, 600, 50):
        hiss[at * SIZE : at * SIZE + 20] += 20000
    said.hear(hiss)
    assert said.spoken == {}
    louder = Said()
    louder.hear(np.concatenate([noise(100, 5), noise(3000, 200, 2)]))
    assert louder.gate.utterances == 1 and louder.ended == ["t-1"]


def test_who_stops_sending_has_ended() -> None:
    said = Said()
    said.hear(voice(50))
    assert said.gate.speaking
    said.hear(np.zeros(STOPPED_MS // 10 * SIZE), quiet=True)
    assert said.ended == ["t-1"]
    loud = Said()
    loud.hear(voice(300), quiet=True)  # comfort noise, however loud
    assert loud.spoken == {}


def test_an_interrupt_ends_it_and_what_comes_is_new() -> None:
    said = Said(guard_ms=200)
    said.hear(voice(50))
    said.gate.interrupt()
    assert not said.gate.speaking and said.ended == []
    before = said.blocks("t-1")
    said.hear(voice(19))
    assert said.blocks("t-1") == before and list(said.spoken) == ["t-1"]
    said.hear(voice(30))
    assert list(said.spoken) == ["t-1", "t-2"]
    said.gate.close()
    said.gate.close()
    assert said.ended == ["t-2"]


def test_nothing_new_begins_while_it_closes_and_what_is_refused_is_dropped_whole() -> None:
    said = Said()
    said.hear(voice(50))
    said.closing = True
    said.hear(np.concatenate([voice(20), np.zeros(70 * SIZE), voice(50)]))
    assert said.ended == ["t-1"] and list(said.spoken) == ["t-1"]
    said.closing, said.full = False, True
    said.hear(voice(30))
    said.full = False
    said.hear(np.concatenate([voice(30), np.zeros(70 * SIZE), voice(30)]))
    assert list(said.spoken) == ["t-1", "t-3"] and said.ended == ["t-1", "t-2"] and said.gate.refused == 1


def test_what_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="10 ms at 8000"):
        Said().gate.process(bytes(3))
    for rate in (11025, 4000, 96000):
        with pytest.raises(InvalidArgument, match=str(rate)):
            SpeechGate(rate, lambda *_: None, lambda _: None)
