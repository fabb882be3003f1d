"""Which syllables of a speech are stressed: those that are louder and higher than the ones around. No I/O, no model.

    PCM of any rate ──► about 8 kHz ──► power of 10 ms, over 50 ms ──► its peaks: syllables, with their pitch

A syllable is a peak within 100 ms to either side. What is below 4 kHz is looked at, so that an "s" is none.
"""

from __future__ import annotations

import bisect
from statistics import median

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from .prosody import pitches, span_of

AROUND_MS = 1000.0
"""How far to either side the syllables are that one is compared with: a voice sinks in the course of a sentence."""
LEAST = 2.5
"""dB over the middle of those in its sentence, from which on a syllable is stressed,"""
SEMITONE = 0.5
"""and as how many dB a semitone counts."""
FEWEST = 4
"""Syllables of a sentence in which one can be: of fewer there is nothing to tell."""
MOST_PITCH = 6.0
"""Semitones that count: more is an octave that was mistaken."""
LEAST_RATE = 8000
"""Hz of what is listened to."""

_WORK = 0.5
"""Seconds that are listened to at once."""
_NEAR = 10
"""Frames of 10 ms to either side that are lower than a peak."""
_OVER = 2
"""Frames to either side over which the power is taken."""
_CONTEXT = _NEAR + _OVER
_QUIET = 1e4
"""Power (-50 dBFS) from which on there is a syllable."""


class Syllable(Struct, frozen=True):
    """The middle of one: where it is loudest."""

    ms: float
    level: float
    """dB."""
    pitch: float | None
    """Semitones over 1 Hz; None where it has none."""


class Syllables:
    """The syllables of one reply, as its sound comes."""

    def __init__(self) -> None:
        self.known: list[Syllable] = []
        """In order,"""
        self.until_ms = 0.0
        """and known up to here."""
        self._at_ms = 0.0
        """Position of the end of what has been listened to."""
        self._raw = bytearray()
        self._begin(0)

    def _begin(self, rate: int) -> None:
        """What follows has this rate."""
        self._rate = rate
        self._by = max(1, round(rate / LEAST_RATE))
        self._step = max(rate, 0) // 100
        self._raw.clear()
        self._power = np.zeros(_CONTEXT, np.float32)
        """Of the frames whose neighbours are not all known, and of those before them,"""
        self._low = np.zeros(_CONTEXT * (self._step // self._by), np.float32)
        """and their sound."""

    def add(self, pcm: bytes, rate: int) -> None:
        """More of it: PCM16 mono."""
        if rate != self._rate:
            self.catch_up()
            self._at_ms += len(self._raw) / 2 / max(self._rate, 1) * 1000  # less than a frame
            self._begin(rate)
        if rate < LEAST_RATE:
            self._at_ms += len(pcm) / 2 / max(rate, 1) * 1000
            return
        self._raw += pcm
        if len(self._raw) >= 2 * _WORK * rate:
            self._listen()

    def stressed(self, from_ms: float, to_ms: float, after_ms: float = 0.0) -> Syllable | None:
        """The one that is stressed most between two positions, of those after a third; None where none is."""
        among = _between(self.known, from_ms, to_ms)
        if len(among) < FEWEST:
            return None

        def stress(one: Syllable) -> float:
            around = _between(among, one.ms - AROUND_MS, one.ms + AROUND_MS)
            louder = one.level - median(other.level for other in around)
            if one.pitch is None:
                return louder
            higher = one.pitch - median(other.pitch for other in around if other.pitch is not None)
            return louder + SEMITONE * min(max(higher, -MOST_PITCH), MOST_PITCH)

        most = max((one for one in among if one.ms >= after_ms), key=stress, default=None)
        return most if most is not None and stress(most) >= LEAST else None

    def catch_up(self) -> None:
        """Listens to all that is there."""
        if self._rate >= LEAST_RATE and len(self._raw) >= 2 * self._step:
            self._listen()

    def _listen(self) -> None:
        step, per_frame = self._step, self._step // self._by
        count = len(self._raw) // 2 // step
        sound = np.frombuffer(bytes(self._raw[: count * step * 2]), np.int16).reshape(count, step)
        del self._raw[: count * step * 2]
        whole = sound[:, : per_frame * self._by].reshape(-1, self._by).astype(np.float32)
        low = np.einsum("sb->s", whole) / self._by
        frames = low.reshape(count, per_frame)
        self._power = np.concatenate([self._power, np.einsum("fs,fs->f", frames, frames) / per_frame])
        self._low = np.concatenate([self._low, low])
        frame_ms = step / self._rate * 1000
        self._at_ms += count * frame_ms
        begins_ms = self._at_ms - len(self._power) * frame_ms
        if len(self._power) > 2 * _CONTEXT:
            self._find(begins_ms, frame_ms)
            self._power = self._power[-2 * _CONTEXT :]
            self._low = self._low[-2 * _CONTEXT * per_frame :]
        self.until_ms = max(self.until_ms, self._at_ms - _CONTEXT * frame_ms)

    def _find(self, begins_ms: float, frame_ms: float) -> None:
        """The syllables in the frames that have _CONTEXT others to either side."""
        smooth = np.convolve(self._power, np.full(2 * _OVER + 1, 1 / (2 * _OVER + 1), np.float32), "valid")
        near = np.lib.stride_tricks.sliding_window_view(smooth, 2 * _NEAR + 1)
        here = smooth[_NEAR : len(smooth) - _NEAR]
        found = np.flatnonzero((near.argmax(1) == _NEAR) & (here > _QUIET))
        if not len(found):
            return
        middles = found + _CONTEXT
        levels = 10 * np.log10(here[found])
        for middle, level, pitch in zip(middles, levels, self._pitches(middles), strict=True):
            known = None if np.isnan(pitch) else float(pitch)
            self.known.append(Syllable(float(begins_ms + (middle + 0.5) * frame_ms), float(level), known))

    def _pitches(self, middles: NDArray[np.signedinteger]) -> NDArray[np.floating]:
        rate, per_frame = self._rate // self._by, self._step // self._by
        span = span_of(rate)
        first = (middles * per_frame + per_frame // 2 - span // 2)[:, None]
        return pitches(self._low[first + np.arange(span)], rate)


def _between(syllables: list[Syllable], from_ms: float, to_ms: float) -> list[Syllable]:
    first, last = (bisect.bisect_left(syllables, ms, key=lambda one: one.ms) for ms in (from_ms, to_ms))
    return syllables[first:last]
