"""The melody of speech: the pitch of a voice, and how an utterance ends: a statement falls below where the voice has
been. No I/O, no model.

The fundamental frequency is the highest peak of the autocorrelation of 40 ms, divided by the window's (Boersma, 1993).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

RATE = 16_000
"""Hz."""
SECONDS = 3
"""From the end, over which a voice is heard."""
FALL = 3.0
"""Semitones under the median, from which on the end of an utterance has fallen."""

_STEP = 160
_OCTAVE = 0.03
"""Of a peak, for each octave that it is lower: each multiple of a period is one, too."""
_CLEAR = 0.55
"""Height of the peak from which on a sound has a pitch."""
_LAST = 8
"""Frames with a pitch that are the end."""
_FEWEST = 20
_LEAST = 100.0


class _Lens(Struct, frozen=True):
    """How 40 ms at one rate are looked at."""

    window: NDArray[np.floating]
    fft: int
    lags: slice
    """400 to 70 Hz."""
    taper: NDArray[np.floating]
    octaves: NDArray[np.floating]
    """What a peak loses at each lag."""


def span_of(rate: int) -> int:
    """Samples of the frames of `pitches`: 40 ms."""
    return rate // 25


@cache
def _lens(rate: int) -> _Lens:
    span = span_of(rate)
    window = np.hanning(span).astype(np.float32)
    fft = 1 << (2 * span - 1).bit_length()
    lags = slice(rate // 400, rate * 23 // 1600)
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, fft)) ** 2)
    return _Lens(window, fft, lags, of_window[0] / of_window[lags], _OCTAVE * np.log2(np.arange(lags.start, lags.stop)))


def pitches(frames: NDArray[np.floating], rate: int) -> NDArray[np.floating]:
    """The pitch of each of these frames in semitones over 1 Hz; nan where one has none. Each has `span_of` samples, and
    is no silence."""
    lens = _lens(rate)
    frames = frames - frames.mean(1, keepdims=True)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames * lens.window, lens.fft)) ** 2)
    peaks: NDArray[np.floating] = correlation[:, lens.lags] * lens.taper / correlation[:, :1]
    lags = (peaks - lens.octaves).argmax(1)
    voiced = peaks[np.arange(len(lags)), lags] > _CLEAR
    return np.where(voiced, 12 * np.log2(rate / (lens.lags.start + lags)), np.nan)


def fall(pcm: bytes) -> float | None:
    """Semitones by which the last 80 ms of voice lie under the median of the last seconds; None where there is too
    little of it to tell. `pcm`: PCM16 mono at 16 kHz."""
    sound, span = np.frombuffer(pcm, np.int16)[-RATE * SECONDS :].astype(np.float32), span_of(RATE)
    if len(sound) < span:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(sound, span)[::_STEP]
    frames = frames - frames.mean(1, keepdims=True)
    frames = frames[np.einsum("fs,fs->f", frames, frames) > _LEAST * span]
    pitch = pitches(frames, RATE)
    pitch = pitch[~np.isnan(pitch)]
    if len(pitch) < _FEWEST:
        return None
    return float(np.median(pitch) - np.median(pitch[-_LAST:]))
