"""agents/rest_of.py: where speech that was stopped goes on."""

from __future__ import annotations

import numpy as np
import pytest

from lipwire.agents.brains.base import TimedWord
from lipwire.agents.rest_of import FADE_MS, rest_of

RATE = 24_000


def tone(ms: float, rate: int = RATE) -> bytes:
    return (np.sin(2 * np.pi * 220 * np.arange(round(ms * rate / 1000)) / rate) * 8000).astype(np.int16).tobytes()


def length(sounds: list[tuple[bytes, int]]) -> float:
    return sum(len(pcm) / 2 / rate * 1000 for pcm, rate in sounds)


WORDS = [TimedWord("one", 0, 400), TimedWord("two", 400, 300), TimedWord("three", 800, 2000)]


@pytest.mark.parametrize(
    ("at", "words", "begin"),
    [
        (0.0, [], 0.0),
        (500.0, [], 500.0),  # a tone: nothing to go by
        (500.0, WORDS, 400.0),  # in "two"
        (339.9, WORDS, 0.0),
        (340.1, WORDS, 340.1),  # as good as heard
        (750.0, WORDS, 750.0),  # between two words
        (1200.0, WORDS, 800.0),
        (2000.0, WORDS, 2000.0),  # too far back
        (2900.0, WORDS, 2900.0),  # behind the last word
        (3100.0, WORDS, 3000.0),  # behind the end
    ],
)
def test_where_it_goes_on(at: float, words: list[TimedWord], begin: float) -> None:
    sounds = [(tone(450), RATE), (tone(550, 16_000), 16_000), (tone(2000), RATE)]
    rest, found = rest_of(sounds, at, words, 0.0)
    assert found == pytest.approx(begin, abs=0.1) and length(rest) == pytest.approx(3000.0 - begin, abs=0.1)
    if begin and rest:
        first = np.abs(np.frombuffer(rest[0][0], np.int16).astype(int))
        fade = round(FADE_MS * rest[0][1] / 1000)
        assert first[0] == 0 and (first[:fade] <= 8000 * np.arange(fade) / fade + 1).all()


def test_positions_are_those_of_the_reply() -> None:
    words = [TimedWord(word.text, word.start_ms + 10_000, word.duration_ms) for word in WORDS]
    assert rest_of([(tone(3000), RATE)], 500.0, words, 10_000.0)[1] == pytest.approx(400.0, abs=0.1)


@pytest.mark.parametrize(("at", "begin"), [(700.0, 630.0), (610.0, 610.0), (1100.0, 1100.0)])
def test_the_last_short_pause(at: float, begin: float) -> None:
    """Words of 600 ms with pauses of 30 ms: it goes back to the end of one, if that is near."""
    sounds = [(tone(600) + bytes(RATE * 30 // 1000 * 2) + tone(600), RATE)]
    assert rest_of(sounds, at, [], 0.0)[1] == pytest.approx(begin, abs=10.1)
