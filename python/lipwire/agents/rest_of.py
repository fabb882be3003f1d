"""Where speech that was stopped goes on: at the beginning of the word in which it was. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .brains.base import TimedWord

LONGEST_WORD_MS = 600.0
"""A word that began longer ago is not said again: its times may be wrong, and it would be tedious."""
HEARD_MS = 60.0
"""A word of which no more than this is left has been heard, and is not said again."""
SEARCHED_MS = 400.0
"""How far back the pause before a word is looked for where the times of words are not known."""
PAUSE_DB = 15.0
"""How much softer than what is around it such a pause is."""
FADE_MS = 5.0
_WINDOW_MS = 10.0

Sound = tuple[bytes, int]
"""PCM16 mono, and its rate."""


def rest_of(
    sounds: Sequence[Sound], at_ms: float, words: Sequence[TimedWord], from_ms: float
) -> tuple[list[Sound], float]:
    """What is left of `sounds` when they were stopped at `at_ms`, from the beginning of the word there on: (sounds, the
    position at which they begin). It fades in, so that nothing clicks.

    The beginning is that of the word in `words`, whose times are counted from `from_ms` before `sounds`; where none is
    known the last short pause within SEARCHED_MS; where there is none, `at_ms`: it goes on where it stopped.
    """
    if at_ms <= 0.0:
        return list(sounds), 0.0
    word = next((word for word in words if word.start_ms <= at_ms + from_ms < word.start_ms + word.duration_ms), None)
    if word is not None:
        back = word.start_ms - from_ms
        left = back + word.duration_ms - at_ms
        begin = back if left > HEARD_MS and at_ms - back <= LONGEST_WORD_MS else at_ms
    elif words:
        begin = at_ms
    else:
        begin = _pause(sounds, at_ms)
    return _from(sounds, max(begin, 0.0))


def _from(sounds: Sequence[Sound], begin_ms: float) -> tuple[list[Sound], float]:
    rest: list[Sound] = []
    position = 0.0
    start: float | None = None
    for pcm, rate in sounds:
        ms = len(pcm) / 2 / rate * 1000
        if position + ms > begin_ms:
            skip = max(round((begin_ms - position) * rate / 1000), 0)
            if len(pcm) > skip * 2:
                if start is None:
                    start = position + skip / rate * 1000
                    pcm = _fade_in(pcm[skip * 2 :], rate)
                rest.append((pcm, rate))
        position += ms
    return rest, position if start is None else start


def _fade_in(pcm: bytes, rate: int) -> bytes:
    samples = np.frombuffer(pcm, np.int16).copy()
    count = min(round(FADE_MS * rate / 1000), len(samples))
    samples[:count] = (samples[:count] * (np.arange(count) / count)).astype(np.int16)
    return samples.tobytes()


def _pause(sounds: Sequence[Sound], at_ms: float) -> float:
    """The end of the last short pause before `at_ms`; that itself where there is none."""
    levels: list[tuple[float, float]] = []
    position = 0.0
    for pcm, rate in sounds:
        ms = len(pcm) / 2 / rate * 1000
        if position + ms > at_ms - SEARCHED_MS and position < at_ms:
            size = round(_WINDOW_MS * rate / 1000)
            samples = np.frombuffer(pcm, np.int16).astype(np.float32)
            for first in range(0, len(samples) - size + 1, size):
                end = position + (first + size) / rate * 1000
                if at_ms - SEARCHED_MS <= end <= at_ms:
                    window = samples[first : first + size]
                    levels.append((end, float(np.dot(window, window)) / size))
        position += ms
    if not levels:
        return at_ms
    limit = max(power for _, power in levels) / 10 ** (PAUSE_DB / 10)
    return next((end for end, power in reversed(levels) if power <= limit), at_ms)
