"""How a call sounds behind a jitter buffer, and how late: for any buffer that is given L16, from its output alone.

What is said has noise of one step in it, so that no two stretches of it are the same: wherever the output has WINDOW
samples as they were sent, it is known which those are. That gives the delay of each sample, and with what lies between
two such stretches the part that is not as it was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pesq import pesq

WINDOW = 24
SEGMENT_S, SEGMENTS = 9.0, 3
"""What PESQ hears at once, it is made for 8 to 12 s; and of how many, spread over the call, the mean is taken."""
FLOOR_DB = -60.0
"""Below the loudest band of the speech, for the log-spectral distance."""

Samples = NDArray[np.int16]
Places = NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    mos: float
    """PESQ (ITU-T P.862.2 at 16 kHz, P.862.1 at 8 kHz), the mean of the segments."""
    lsd: float
    """Log-spectral distance in dB, the mean of all 20 ms."""
    delay: float
    """From a sample's capture to its playing, ms, mean; the 20 ms that a packet takes to fill are in it."""
    delay95: float
    altered: float
    """Per cent of the output that is not as it was sent: concealed, stretched, faded, silent."""


def measure(said: Samples, heard: Samples, rate: int, started_ns: int, skew: float) -> Quality:
    """`heard` begins at `started_ns`, `said` was captured from 0 on by a clock that is `skew` faster."""
    exact = places(said, heard)
    copied = np.flatnonzero(np.isfinite(exact))
    if len(copied) < rate:
        raise ValueError("hardly anything of what was said is in what was heard")
    played = started_ns / 1e6 + copied * 1000.0 / rate
    delays = played - exact[copied] * 1000.0 / rate / (1.0 + skew)
    first, last = copied[0], copied[-1]
    course = np.interp(np.arange(first, last + 1), copied, exact[copied])
    body = heard[first : last + 1]
    return Quality(
        mos=_mos(said, body, course, rate),
        lsd=_log_spectral_distance(said, body, course, rate),
        delay=float(delays.mean()),
        delay95=float(np.percentile(delays, 95)),
        altered=100.0 * (1.0 - len(copied) / len(body)),
    )


def places(said: Samples, heard: Samples) -> Places:
    """For each sample heard which one it is of those said; NaN where it is not as it was sent."""
    of_said, of_heard = _hashes(said), _hashes(heard)
    order = np.argsort(of_said, kind="stable")
    at = np.minimum(np.searchsorted(of_said[order], of_heard), len(order) - 1)
    found = of_said[order][at] == of_heard
    start = order[at]
    result = np.full(len(heard), np.nan)
    for offset in range(WINDOW):
        part = result[offset : offset + len(start)]
        part[found] = start[found] + offset
    return result


def _hashes(samples: Samples) -> NDArray[np.uint64]:
    """One of each WINDOW samples that follow on one another."""
    values = samples.astype(np.int64).astype(np.uint64)
    count = len(values) - WINDOW + 1
    result = np.zeros(count, np.uint64)
    for offset in range(WINDOW):
        result = result * np.uint64(0x9E3779B97F4A7C15) + values[offset : offset + count]
    return result


def aligned_mos(said: Samples, heard: Samples, rate: int) -> float:
    """PESQ of what has been coded, so that no sample is as it was: all is moved by the one delay at which both are most
    alike, and PESQ finds the rest."""
    size = 1 << (len(said) + len(heard)).bit_length()
    alike = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size)), size)
    delay = int(np.argmax(alike[: len(heard)]))
    body = heard[delay : delay + len(said)]
    return _mos(said, body, np.arange(len(body), dtype=np.float64), rate)


def _mos(said: Samples, body: Samples, course: Places, rate: int) -> float:
    scores = []
    reached = np.maximum.accumulate(course)
    parts = max(1, round((reached[-1] - reached[0]) / rate / SEGMENT_S))
    segments = list(pairwise(np.linspace(reached[0], reached[-1], parts + 1)))
    for at in np.unique(np.linspace(0, parts - 1, SEGMENTS).round().astype(int)):
        begin, end = segments[at]
        a, b = np.searchsorted(reached, (begin, end))
        clean = said[int(begin) : int(end)].astype(np.float32)
        scores.append(pesq(rate, clean, body[a:b].astype(np.float32), "wb" if rate == 16000 else "nb"))
    return float(np.mean(scores))


def _log_spectral_distance(said: Samples, body: Samples, course: Places, rate: int) -> float:
    size, hop = rate // 50, rate // 100
    starts = np.arange(0, len(body) - size, hop)
    there = np.clip(np.rint(course[starts + size // 2]).astype(int) - size // 2, 0, len(said) - size)
    taken = np.arange(size)
    window = np.hanning(size)
    heard = _spectra(body[starts[:, None] + taken], window)
    clean = _spectra(said[there[:, None] + taken], window)
    floor = clean.max() * 10 ** (FLOOR_DB / 10)
    difference = 10 * np.log10((heard + floor) / (clean + floor))
    return float(np.sqrt((difference**2).mean(axis=1)).mean())


def _spectra(frames: Samples, window: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
