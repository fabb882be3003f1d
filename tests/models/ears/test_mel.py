"""lipwire.models.ears.mel, beside its formula written out by its definition, in double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from lipwire.models.ears.mel import HOP, RATE, WINDOW, log_mel


def hz_of(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def by_definition(samples: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    top = 15 + 27 * math.log(8) / math.log(6.4)
    edges = [hz_of(top * n / (count + 1)) for n in range(count + 2)]
    triangles = np.zeros((count, WINDOW // 2 + 1))
    for band, (low, peak, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for line in range(WINDOW // 2 + 1):
            hz = line * RATE / WINDOW
            if low <= hz <= high:
                height = (hz - low) / (peak - low) if hz <= peak else (high - hz) / (high - peak)
                triangles[band, line] = height * 2 / (high - low)
    x = samples.astype(float)
    mirrored = np.concatenate([x[WINDOW // 2 : 0 : -1], x, x[-2 : -2 - WINDOW // 2 : -1]])
    n = np.arange(WINDOW)
    wave = np.exp(-2j * np.pi * np.outer(np.arange(WINDOW // 2 + 1), n) / WINDOW)
    window = np.sin(np.pi * n / WINDOW) ** 2
    columns = np.stack([mirrored[at * HOP : at * HOP + WINDOW] * window for at in range(len(x) // HOP)])
    logs = np.log10(np.maximum(triangles @ np.abs(wave @ columns.T) ** 2, 1e-10))
    return (np.maximum(logs, logs.max() - 8) + 4) / 4


@pytest.mark.parametrize("count", [80, 128])
def test_it_is_whispers_formula(count: int) -> None:
    random = np.random.default_rng(1)
    t = np.arange(RATE // 2 + 77) / RATE
    sweep = 0.3 * np.sin(2 * np.pi * (80 + 4000 * t) * t) + random.normal(0, 1e-3, len(t))
    sound = np.concatenate([sweep, np.zeros(RATE // 4)]).astype(np.float32)
    made = log_mel(sound, count)
    assert made.shape == (count, len(sound) // HOP) and made.dtype == np.float32 and made.flags.c_contiguous
    assert np.abs(made - by_definition(sound, count)).max() < 1e-4


def test_silence_is_even() -> None:
    assert np.ptp(log_mel(np.zeros(4000, np.float32))) == 0
