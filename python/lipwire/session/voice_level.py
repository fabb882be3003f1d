"""How loud the voice of a recording is, for who has all of it before it is spoken."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .. import _core

RATE = 16_000
"""Hz that the viseme extractor takes."""
MEASURED = 600.0
"""Seconds that are listened to, at most."""
_STEP = RATE // 10
_FIRST = 10
"""Steps of speech that the extractor needs to find the level."""


def voice_level(chunks: Iterable[bytes], rate: int) -> float | None:
    """The level of the voice's louder frames in PCM16 mono, dBFS, as `_core.Performer` takes it, of the first MEASURED
    seconds; None where nobody speaks."""
    pcm = _narrow(chunks, rate)
    found: float | None = None
    for _ in range(2):  # the second time from what the first one has found at last
        levels = _levels(pcm, found)
        if not levels:
            return None
        found = levels[-1]
    settled = levels[_FIRST:] or levels[-1:]
    return float(np.median(settled))


def _narrow(chunks: Iterable[bytes], rate: int) -> bytes:
    """At the viseme extractor's rate."""
    resampler = _core.Resampler(rate, RATE)
    out = bytearray()
    for chunk in chunks:
        out += resampler.process(chunk)
        if len(out) >= 2 * MEASURED * RATE:
            break
    return bytes(out + resampler.flush())


def _levels(pcm: bytes, voice: float | None) -> list[float]:
    """The extractor's opinion after each step in which it has changed."""
    extractor = _core.VisemeExtractor(voice=voice)
    out, before = [], extractor.voice
    for at in range(0, len(pcm), 2 * _STEP):
        extractor.process(pcm[at : at + 2 * _STEP])
        if extractor.voice != before:
            before = extractor.voice
            out.append(before)
    return out
