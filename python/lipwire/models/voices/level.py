"""A voice's sound as it leaves an engine: without the silence around it, as loud as the others, and without clicks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LEVEL = 10 ** (-20 / 20)
"""Of full scale: the mean power of what is said, without its pauses, as a voice shall have it."""
KNEE = 0.7
"""Of full scale, above which peaks are rounded off, so that none is cut."""
LEAD, TAIL = 0.03, 0.18
"""Seconds that are left of the silence before and behind what is said."""
FADE = 0.005
"""Seconds in which the sound comes and goes."""
_STEP = 0.01
_SILENT = 10 ** (-45 / 20)
"""Below the loudest step of a piece: nothing is said."""
_NOTHING = 10 ** (-60 / 20)
"""Of full scale: a whole piece that is no louder is silence."""
_PAUSE = 10 ** (-30 / 20)
"""The same, of a pause between words: it does not count for the level."""


def _steps(samples: Floats, rate: int) -> NDArray[np.float64]:
    """The level of each 10 ms."""
    size = round(rate * _STEP)
    whole = samples[: len(samples) // size * size].astype(np.float64).reshape(-1, size)
    levels: NDArray[np.float64] = np.sqrt(np.mean(whole**2, axis=1))
    return levels


def trimmed(samples: Floats, rate: int, lead: float = LEAD, tail: float = TAIL) -> tuple[Floats, float]:
    """What is said, with `lead` and `tail` seconds of the silence around it at most; and the seconds that were cut off
    before it. Nothing where all is silent."""
    levels = _steps(samples, rate)
    loudest = levels.max(initial=0.0)
    heard = np.flatnonzero(levels > _SILENT * loudest)
    if loudest < _NOTHING:
        return samples[:0], 0.0
    begin = max(0, round((heard[0] * _STEP - lead) * rate))
    end = min(len(samples), round(((heard[-1] + 1) * _STEP + tail) * rate))
    return samples[begin:end], begin / rate


def active_level(samples: Floats, rate: int) -> float:
    """The mean level, of full scale, of what is said, without pauses; 0 where nothing is."""
    levels = _steps(samples, rate)
    heard = levels[levels > _PAUSE * levels.max(initial=0.0)]
    return float(np.sqrt(np.mean(heard**2))) if len(heard) else 0.0


def softened(samples: Floats) -> Floats:
    """The samples, within full scale: what lies above the KNEE approaches it ever more slowly."""
    over = np.abs(samples) > KNEE
    if over.any():
        above = (np.abs(samples[over]) - KNEE) / (1.0 - KNEE)
        samples[over] = np.sign(samples[over]) * (KNEE + (1.0 - KNEE) * np.tanh(above))
    return samples


class Loudness:
    """Makes the pieces that one voice says as loud as others speak.

    Args:
        gain: what does so, where that is known; None = found out from all that it has said so far.
    """

    def __init__(self, gain: float | None = None) -> None:
        self._gain = gain
        self._power = self._seconds = 0.0

    def pcm(self, samples: Floats, rate: int) -> bytes:
        """PCM16 of a piece, which comes and goes softly."""
        out = softened(samples * np.float32(self._gain or self._found(samples, rate)))
        fade = min(round(FADE * rate), len(out) // 2)
        ramp = np.linspace(0.0, 1.0, fade, endpoint=False, dtype=np.float32)
        out[:fade] *= ramp
        out[len(out) - fade :] *= ramp[::-1]
        return bytes(np.rint(out * 32767.0).astype("<i2"))

    def _found(self, samples: Floats, rate: int) -> float:
        level, seconds = active_level(samples, rate), len(samples) / rate
        self._power += level**2 * seconds
        self._seconds += seconds
        return LEVEL / (self._power / self._seconds) ** 0.5 if self._power > 0.0 else 1.0
