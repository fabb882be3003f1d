"""Sound as whisper sees it: the logarithm of its power in bands of the mel scale, a column every 10 ms.

The formula is whisper's ("Robust Speech Recognition via Large-Scale Weak Supervision", 2022, section 2.1), with the
mel scale of Slaney's Auditory Toolbox (1998); other models that were built on whisper's encoder take the same.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
"""Hz."""
HOP = 160
"""Samples from one column to the next."""
WINDOW = 400
"""Samples of which a column is made."""
RANGE = 8.0
"""Powers of ten under the loudest value, beneath which all is the same."""

Features = NDArray[np.float32]
Samples = NDArray[np.int16]

_LINEAR_HZ, _LINEAR_MEL = 1000.0, 15.0
_STEP = np.log(6.4) / 27.0


def _mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's scale: linear up to 1 kHz, logarithmic above."""
    above = _LINEAR_MEL + np.log(np.maximum(hz, _LINEAR_HZ) / _LINEAR_HZ) / _STEP
    return np.where(hz < _LINEAR_HZ, hz * (_LINEAR_MEL / _LINEAR_HZ), above)


def _hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = _LINEAR_HZ * np.exp(_STEP * (np.maximum(mel, _LINEAR_MEL) - _LINEAR_MEL))
    return np.where(mel < _LINEAR_MEL, mel * (_LINEAR_HZ / _LINEAR_MEL), above)


@cache
def bands(count: int) -> Features:
    """Triangles over the bins of a spectrum, [count, WINDOW // 2 + 1], each of the same area."""
    bins = np.arange(WINDOW // 2 + 1) * (RATE / WINDOW)
    edges = _hz(np.linspace(0.0, _mel(np.array(RATE / 2.0)), count + 2))
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - low) / (peak - low), (high - bins) / (high - peak)
    return (np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low))).astype(np.float32)


@cache
def _window() -> Features:
    """Hann's, periodic."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


def log_mel(samples: NDArray[np.float32], count: int = 80) -> Features:
    """Whisper's features of sound.

    Args:
        samples: mono at 16 kHz, -1 to 1; at least WINDOW / 2 + 1 of them.
        count: bands; 80, or 128 for the large models from version 3 on.

    Returns:
        [count, len(samples) // HOP], about -1 to 1.5.
    """
    around = np.pad(samples.astype(np.float32, copy=False), WINDOW // 2, mode="reflect")
    columns = np.lib.stride_tricks.sliding_window_view(around, WINDOW)[::HOP][: len(samples) // HOP]
    spectrum = np.fft.rfft(columns * _window(), axis=1)
    power = spectrum.real.astype(np.float32) ** 2 + spectrum.imag.astype(np.float32) ** 2
    logs = np.log10(np.maximum(bands(count) @ power.T, 1e-10))
    return np.ascontiguousarray((np.maximum(logs, logs.max(initial=-10.0) - RANGE) + 4.0) / 4.0, np.float32)
