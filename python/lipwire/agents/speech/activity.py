"""Voice activity in one stream: Silero's network where it is installed, else Lipwire's own `Vad`.

| step                                                                 | keeps out                                 |
|----------------------------------------------------------------------|-------------------------------------------|
| level: softer than -54 dBFS is nothing, and costs nothing            | silence, others far away                  |
| Silero, three times over the same stream, a third of its chunk apart | nearly all else                           |
| where speech begins: change of the spectrum within 40 ms             | held notes                                |

Figures: docs/agents/brains.md.

One Silero gives a probability each 32 ms. Three of them give one each 10.7 ms, of sound that is 16 ms old on average;
and a knock or a cough that one of them takes for speech where it happens to begin, the others do not.
"""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np

from ...errors import InvalidArgument, ModelFailed
from ...models.turn.silero import CHUNK, CONTEXT, Floats, Question, Silero
from .vad import FRAME, LEAST, Vad

logger = logging.getLogger("lipwire.agents")

PHASES = 3
SOFT = 3
"""Frames that are softer than `LEAST` after which nobody speaks,"""
ASLEEP = 30
"""and after which nothing is computed."""
MOVING = 12
"""Frames of speech in a row after which it needs no more proof that it moves,"""
HELD = 0.99
"""and the correlation of two spectra from which on it does not. That of people who begin to speak is 0.98 at most."""
_LAG = 4 * FRAME
_KEPT = CHUNK + _LAG
_WINDOW = np.hanning(CHUNK).astype(np.float32)
_BAND = slice(2, 128)  # bins of 60 to 4000 Hz
_LOUD = FRAME * 10 ** (LEAST / 10)
"""Sum of the squares of a frame's samples."""


class Activity(Protocol):
    """How probable it is that somebody speaks, for each 10 ms of PCM16 mono at 16 kHz, some `vad.LATE` frames late."""

    sure: int
    """Frames whose mean decides that somebody speaks."""

    def process(self, pcm: bytes) -> float:
        """One frame in, a probability out: 0..1. Raises InvalidArgument: the frame is not 10 ms long."""


class SileroActivity:
    """An `Activity` by Silero. What comes out of a frame is used with the next one, so that the frames of all streams
    that come in 10 ms are one batch."""

    sure = 5

    def __init__(self, silero: Silero) -> None:
        self._silero = silero
        self._recent = np.zeros(_KEPT, np.float32)
        self._states = [silero.rested] * PHASES
        self._question: Question | None = None
        self._samples = self._chunks = 0
        self._soft = ASLEEP
        self._probability = 0.0
        self._moved = 0

    def process(self, pcm: bytes) -> float:
        if len(pcm) != FRAME * 2:
            raise InvalidArgument(f"a frame is {FRAME * 2} bytes (10 ms at 16 kHz), not {len(pcm)}")
        if (asked := self._question) is not None:
            self._probability = asked.answer()
            self._states[(self._chunks - 1) % PHASES] = asked.state
            self._question = None
        recent = self._recent
        recent[:-FRAME] = recent[FRAME:]
        x = recent[-FRAME:]
        x[:] = np.frombuffer(pcm, np.int16)
        loud = float(np.dot(x, x)) >= _LOUD
        x /= 32768
        self._soft = 0 if loud else self._soft + 1
        self._samples += FRAME
        end = (self._chunks + 1) * CHUNK // PHASES
        if end <= self._samples:
            self._chunks += 1
            if self._soft < ASLEEP:
                last = _KEPT - (self._samples - end)
                chunk = recent[last - CONTEXT - CHUNK : last].copy()
                self._question = self._silero.ask(chunk, self._states[(self._chunks - 1) % PHASES])
        if self._soft == ASLEEP:
            self._states = [self._silero.rested] * PHASES
            self._probability = 0.0
        return self._probability if self._soft < SOFT and self._moves() else 0.0

    def _moves(self) -> bool:
        """Whether this can be a voice that begins, or is one that has."""
        if self._probability < 0.5:
            self._moved = 0
        elif self._moved < MOVING:
            now, before = _shape(self._recent[_LAG:]), _shape(self._recent[:CHUNK])
            self._moved = self._moved + 1 if float(np.dot(now, before)) < HELD else 0
            return self._moved > 0
        return True


def _shape(x: Floats) -> Floats:
    """The spectrum's shape, its length 1."""
    shape = np.sqrt(np.abs(np.fft.rfft(x * _WINDOW))[_BAND]).astype(np.float32)
    made: Floats = shape / (np.sqrt(np.dot(shape, shape)) + np.float32(1e-9))
    return made


_told = False


def best() -> Activity:
    """For a new stream: Silero, or Lipwire's own where that cannot be had, which the log says once."""
    global _told
    try:
        return SileroActivity(Silero.shared())
    except ModelFailed as exc:
        if not _told:
            logger.warning("Lipwire's own voice activity is used, which takes more noises for speech: %s", exc)
            _told = True
        return Vad()
