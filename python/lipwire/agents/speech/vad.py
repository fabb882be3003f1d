"""Voice activity: whether somebody speaks. No I/O, no clock: time is counted in frames of 10 ms.

What is taken for speech, in the order of the cost (figures: docs/agents/brains.md):

| step                                                                           | keeps out                     |
|--------------------------------------------------------------------------------|-------------------------------|
| the viseme network's silence class (trained on breath, music and noise)        | noise, breath, most music     |
| level over a noise floor that falls at once and rises by some dB a second      | hum, fans, a quiet background |
| level over -54 dBFS: the network hears a voice as soft as that, too            | others far away, echoes       |
| periodicity: the autocorrelation's peak between 70 and 400 Hz                  | keyboards, coughs, knocks     |
| change of the spectrum within 20 and 40 ms, which a voice cannot help          | held notes, rings, hum        |
| power that does not sit in one line of the spectrum                            | beeps, whistles               |

The last three cost an FFT and are asked only where the first two hear something.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from ..._core import VisemeExtractor
from ...errors import InvalidArgument

Spectrum = npt.NDArray[np.floating[Any]]

FRAME_MS = 10
FRAME = 160
"""Samples in a frame, at 16 kHz."""
LATE = 2
"""Frames by which a probability is late: the network's look-ahead (17.5 ms)."""

_SPAN = 512  # samples of the spectrum: 32 ms, two periods of the lowest voice
_LAG = 4  # frames between the spectra that are compared
_FFT = 768  # >= _SPAN + the longest lag: the autocorrelation does not wrap around
_WINDOW = np.hanning(_SPAN).astype(np.float32)
_PITCH = slice(40, 230)  # lags of 400 to 70 Hz
_BAND = slice(3, 192)  # bins of 60 to 4000 Hz
_OF_WINDOW = np.fft.irfft(np.abs(np.fft.rfft(_WINDOW, _FFT)) ** 2)
_TAPER = (_OF_WINDOW[0] / _OF_WINDOW[_PITCH]).astype(np.float32)

_FLOOR_MIN = 20.0  # dB over one step of 16 bits, RMS
LEAST = 36.0
"""dB over one step of 16 bits (-54 dBFS), RMS: what is softer is not meant for the agent, as clear as it may be."""
_RISE, _RISE_VOICED = 0.05, 0.01  # dB a frame
_FALL = 0.2
_UNVOICED = 0.4  # how probable speech is without any periodicity


def _ramp(x: float, low: float, width: float) -> float:
    return min(max((x - low) / width, 0.0), 1.0)


class Vad:
    """How probable it is that somebody speaks, for each 10 ms of PCM16 mono at 16 kHz.

    `process` answers for the frame that came LATE frames ago. Costs 5 us a frame in silence, 30 in speech.
    """

    sure = 6
    """Frames whose mean decides that somebody speaks: at 0.8, about 60 ms of speech after the first voiced frame."""

    def __init__(self) -> None:
        self._network = VisemeExtractor(early=True)
        self.reset()

    def reset(self) -> None:
        """Forgets all that was heard."""
        self._network.reset()
        self._recent = np.zeros(_SPAN + _LAG * FRAME, np.float32)
        self._silence: deque[float] = deque([1.0], 1)
        self._levels: deque[float] = deque(maxlen=3)
        self._floor: float | None = None
        self._spectra: deque[Spectrum | None] = deque([None] * _LAG, _LAG)
        self._steady = 0.0
        self._periodic = 0.0

    @property
    def floor(self) -> float:
        """The noise floor in dB below full scale."""
        return (_FLOOR_MIN if self._floor is None else self._floor) - 90.3

    def process(self, pcm: bytes) -> float:
        """One frame in, a probability out: 0..1.

        Raises:
            InvalidArgument: the frame is not 10 ms long.
        """
        if len(pcm) != FRAME * 2:
            raise InvalidArgument(f"a frame is {FRAME * 2} bytes (10 ms at 16 kHz), not {len(pcm)}")
        rows = self._network.process(pcm)
        if len(rows):
            self._silence.append(float(rows[-1, 0]))
        network = 1.0 - self._silence[-1]
        recent = self._recent
        recent[:-FRAME] = recent[FRAME:]
        x = recent[-FRAME:]
        x[:] = np.frombuffer(pcm, np.int16)
        level = max(10.0 * float(np.log10(np.dot(x, x) / FRAME + 1.0)), _FLOOR_MIN)
        if self._floor is None:
            self._floor = level
        elif level < self._floor:
            self._floor += (level - self._floor) * _FALL
        else:
            self._floor = min(level, self._floor + (_RISE if network < 0.5 else _RISE_VOICED))
        self._levels.append(level)
        loudest = max(self._levels)
        probable = network * _ramp(loudest - self._floor, 3.0, 6.0)
        if probable < 0.05 or loudest < LEAST:
            self._spectra.append(None)
            self._steady *= 0.5
            self._periodic = 0.0
            return 0.0
        return probable * self._like_a_voice()

    def _like_a_voice(self) -> float:
        before = self._spectra[0]
        if before is None:
            before = self._shape(np.abs(np.fft.rfft(self._recent[:_SPAN] * _WINDOW, _FFT)))
        magnitude = np.abs(np.fft.rfft(self._recent[-_SPAN:] * _WINDOW, _FFT))
        now = self._shape(magnitude)
        power = magnitude * magnitude
        correlation = np.fft.irfft(power, _FFT)
        period = float((correlation[_PITCH] * _TAPER).max()) / (float(correlation[0]) + 1e3)
        self._periodic = max(_ramp(period, 0.4, 0.2), self._periodic - 0.34)
        self._steady += (float(np.dot(now, before)) - self._steady) * 0.5
        close = self._spectra[-2]
        held = float(np.dot(now, close)) if close is not None else 0.0
        self._spectra.append(now)
        band = power[_BAND]
        line = float(np.partition(band, -5)[-5:].sum()) / (float(band.sum()) + 1.0)
        voice = _UNVOICED + (1.0 - _UNVOICED) * self._periodic
        moving = (1.0 - _ramp(self._steady, 0.94, 0.04)) * (1.0 - _ramp(held, 0.975, 0.015))
        return voice * moving * (1.0 - _ramp(line, 0.975, 0.02))

    @staticmethod
    def _shape(magnitude: Spectrum) -> Spectrum:
        """The spectrum's shape, its length 1."""
        shape: Spectrum = np.sqrt(magnitude[_BAND])
        return shape / (float(np.sqrt(np.dot(shape, shape))) + 1e-9)
