"""How the melody of an utterance ends: a statement falls below where the voice has been. No I/O, no model.

The fundamental frequency is the highest peak of the autocorrelation of 40 ms, divided by the window's (Boersma, 1993).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
"""Hz."""
SECONDS = 3
"""From the end, over which a voice is heard."""
FALL = 3.0
"""Semitones under the median, from which on the end of an utterance has fallen."""

_SPAN, _STEP, _FFT = 640, 160, 2048
_LAGS = slice(40, 230)  # 400 to 70 Hz
_WINDOW = np.hanning(_SPAN).astype(np.float32)
_OF_WINDOW = np.fft.irfft(np.abs(np.fft.rfft(_WINDOW, _FFT)) ** 2)
_TAPER = _OF_WINDOW[0] / _OF_WINDOW[_LAGS]
_OCTAVE = 0.03
"""Of a peak, for each octave that it is lower: each multiple of a period is one, too."""
_CLEAR = 0.55
"""Height of the peak from which on a sound has a pitch."""
_LAST = 8
"""Frames with a pitch that are the end."""
_FEWEST = 20
_LEAST = 100.0


def fall(pcm: bytes) -> float | None:
    """Semitones by which the last 80 ms of voice lie under the median of the last seconds; None where there is too
    little of it to tell. `pcm`: PCM16 mono at 16 kHz."""
    sound = np.frombuffer(pcm, np.int16)[-RATE * SECONDS :].astype(np.float32)
    if len(sound) < _SPAN:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(sound, _SPAN)[::_STEP]
    frames = frames - frames.mean(1, keepdims=True)
    frames = frames[np.einsum("fs,fs->f", frames, frames) > _LEAST * _SPAN]
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames * _WINDOW, _FFT)) ** 2)
    peaks: NDArray[np.floating] = correlation[:, _LAGS] * _TAPER / correlation[:, :1]
    lags = (peaks - _OCTAVE * np.log2(np.arange(_LAGS.start, _LAGS.stop))).argmax(1)
    voiced = peaks[np.arange(len(lags)), lags] > _CLEAR
    pitch = -12 * np.log2(_LAGS.start + lags[voiced])
    if len(pitch) < _FEWEST:
        return None
    return float(np.median(pitch) - np.median(pitch[-_LAST:]))
