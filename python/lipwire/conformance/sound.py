"""What the kit speaks: a tone that swells and fades, in every encoding of `voice`."""

from __future__ import annotations

from functools import cache

import numpy as np

from ..audio.opus import OpusEncoder
from ..audio.pcm8 import pcm8_encode

RATE = 16_000
"""Hz, where a rule is not about rates."""
RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Hz; the rates that text-to-speech services give."""
OPUS_RATE = 48_000


@cache
def pcm16(seconds: float, rate: int = RATE) -> bytes:
    """PCM16 little-endian mono."""
    t = np.arange(round(seconds * rate)) / rate
    wave = np.sin(2 * np.pi * 220 * t) * (0.2 + 0.15 * np.sin(2 * np.pi * 4 * t))
    return np.rint(wave * 32767).astype("<i2").tobytes()


def pcm8(seconds: float, rate: int = RATE) -> bytes:
    """Unsigned 8-bit mono, 128 = silence."""
    return pcm8_encode(pcm16(seconds, rate))


def opus(seconds: float, frame_ms: int = 20) -> list[bytes]:
    """Raw packets of `frame_ms` each, without a container."""
    encoder = OpusEncoder(OPUS_RATE, bitrate=32_000, frame_ms=frame_ms)
    return list(encoder.encode(pcm16(seconds, OPUS_RATE)))


def pieces(pcm: bytes, rate: int = RATE, ms: float = 20, sample_bytes: int = 2) -> list[bytes]:
    """`pcm` in chunks of `ms`; the last one may be shorter."""
    size = round(rate * ms / 1000) * sample_bytes
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]
