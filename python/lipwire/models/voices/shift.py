"""Another voice out of one: its pitch and its formants, each by a factor of its own, at the same pace.

TD-PSOLA (Moulines and Charpentier, "Pitch-synchronous waveform processing techniques for text-to-speech synthesis using
diphones", 1990): the sound is taken apart into grains of two periods, around each opening of the vocal folds; they are
put together again at other distances, which is another pitch, and each is played faster or slower, which is a mouth of
another size. The synthesizer tells the pitch, so where the grains are is known and not guessed. What has no pitch stays
as it is.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[np.float64]


class Shift(Struct, frozen=True):
    """What is changed of a voice."""

    about: str
    """Whose voice it then is."""
    pitch: float = 1.0
    """Times the fundamental frequency."""
    formants: float = 1.0
    """Times the frequencies of the formants; above 1 a smaller head."""
    note: float = 0.0
    """Hz on which all is said, in place of `pitch`; 0 = it goes up and down as it did."""
    gain: float = 1.0
    """What makes it as loud as the voice was."""


SHIFTS: dict[str, Shift] = {
    "child": Shift("a child", pitch=1.35, formants=1.18, gain=1.1),
    "man": Shift("a man", pitch=0.6, formants=0.86, gain=1.15),
    "robot": Shift("a robot", formants=0.92, note=120.0, gain=1.15),
}
"""By what stands behind the "+" of a voice's name."""

VOICED = 40.0
"""Hz, below which there is no pitch."""
_STILL = 0.005
"""Seconds between two grains of what has none."""


def shifted(samples: Floats, rate: int, pitch: Floats, shift: Shift) -> Floats:
    """The same, said by another.

    Args:
        samples: mono, -1 to 1, at `rate` Hz.
        pitch: Hz in as many even steps as there are, each at its middle; below VOICED there is none.
    """
    size = len(samples)
    step = size / len(pitch)
    hz = np.interp((np.arange(size) + 0.5) / step - 0.5, np.arange(len(pitch)), pitch)
    marks, periods, voiced = _marks(hz, rate)
    if not len(marks):
        return samples
    places, taken = _places(marks, periods, voiced, size, rate, shift)
    factor = np.where(voiced[taken], shift.formants, 1.0)
    period = periods[taken]
    gain = np.sqrt(factor * _distances(places, period) / period)
    return _joined(samples, places, marks[taken], period, factor, gain)


def _marks(hz: Places, rate: int) -> tuple[Places, Places, NDArray[np.bool_]]:
    """Where grains have their middles, in samples; the period there; and whether there is pitch."""
    has = hz > VOICED
    phase = np.cumsum(np.where(has, hz, 1.0 / _STILL) / rate)
    at = np.flatnonzero(np.floor(phase[1:]) > np.floor(phase[:-1])) + 1
    periods = np.where(has[at], rate / np.maximum(hz[at], VOICED), _STILL * rate)
    return at.astype(np.float64), periods, has[at]


def _places(
    marks: Places, periods: Places, voiced: NDArray[np.bool_], size: int, rate: int, shift: Shift
) -> tuple[Places, NDArray[np.intp]]:
    """Where the grains of the new voice lie, and which of the old ones each is: the nearest."""
    steps = np.where(voiced, rate / shift.note if shift.note else periods / shift.pitch, periods)
    places = []
    at = float(marks[0])
    grain = 0
    while at < size:
        while grain + 1 < len(marks) and marks[grain + 1] - at < at - marks[grain]:
            grain += 1
        places.append((at, grain))
        at += steps[grain]
    where, which = zip(*places, strict=True)
    return np.array(where), np.array(which, np.intp)


def _distances(places: Places, period: Places) -> Places:
    """How far it is from each grain to the next."""
    return np.append(np.diff(places), period[-1:])


def _joined(samples: Floats, places: Places, middles: Places, period: Places, factor: Places, gain: Places) -> Floats:
    """The grains, each under a window of two periods (Hann's), played `factor` times as fast, at their places."""
    size = len(samples)
    reach = int(np.ceil((period / factor).max())) + 1
    near = np.arange(-reach, reach + 1)
    whole = np.rint(places).astype(np.intp)
    apart = (near[None, :] + (whole - places)[:, None]) * factor[:, None]
    window = np.where(np.abs(apart) < period[:, None], 0.5 + 0.5 * np.cos(np.pi * apart / period[:, None]), 0.0)
    source = np.clip(middles[:, None] + apart, 0.0, size - 1.001)
    below = source.astype(np.intp)
    part = source - below
    grains = (samples[below] * (1.0 - part) + samples[below + 1] * part) * window * gain[:, None]
    target = np.clip(whole[:, None] + near[None, :], 0, size - 1)
    return np.bincount(target.ravel(), grains.ravel(), size).astype(np.float32)
