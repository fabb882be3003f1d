"""What happens to speech between a mouth and us: noise, codecs, telephone lines, levels.

Every condition keeps the length and the time of the sound (a codec's delay is taken out), so labels stay true.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lipwire import G722Decoder, G722Encoder
from lipwire.audio import g711
from lipwire.audio.opus import OpusDecoder, OpusEncoder

from .sets import RATE, Samples

Floats = npt.NDArray[np.floating[Any]]


def _pcm(x: Floats) -> Samples:
    return np.clip(np.round(x), -32768, 32767).astype(np.int16)


def noise(count: int, colour: str, seed: int) -> Floats:
    """Noise of power 1: "white" (flat) or "pink" (-3 dB an octave above 50 Hz)."""
    x = np.random.default_rng(seed).standard_normal(count)
    if colour == "pink":
        frequency = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 50.0)
        x = np.fft.irfft(np.fft.rfft(x) / np.sqrt(frequency), count)
    return np.asarray(x / np.sqrt((x**2).mean()))


def _with_noise(colour: str, snr_db: float) -> Callable[[Samples], Samples]:
    def change(pcm: Samples) -> Samples:
        x = pcm.astype(float)
        spoken = x[np.abs(x) > 0]  # digital silence around the speech is no part of its level
        power = (spoken**2).mean() if len(spoken) else 0.0
        return _pcm(x + noise(len(x), colour, zlib.crc32(pcm.tobytes())) * np.sqrt(power) * 10 ** (-snr_db / 20))

    return change


def _with_gain(db: float) -> Callable[[Samples], Samples]:
    return lambda pcm: _pcm(pcm * 10 ** (db / 20))


def _delayed(code: Callable[[bytes], bytes], delay: int) -> Callable[[Samples], Samples]:
    """A codec that is `delay` samples late, in whole frames of 20 ms."""

    def change(pcm: Samples) -> Samples:
        padding = -(len(pcm) + delay) % (RATE // 50) + delay
        coded = np.frombuffer(code(np.pad(pcm, (0, padding)).tobytes()), np.int16)
        return coded[delay : delay + len(pcm)]

    return change


def _g722(pcm: bytes) -> bytes:
    return bytes(G722Decoder().decode(G722Encoder().encode(pcm)))


OPUS_BITRATE = 16_000


def _opus(pcm: Samples) -> Samples:
    encoder, decoder = OpusEncoder(RATE, 1, OPUS_BITRATE), OpusDecoder(RATE)

    def code(data: bytes) -> bytes:
        return b"".join(decoder.decode(packet) for packet in [*encoder.encode(data), *encoder.flush()])

    return _delayed(code, round(encoder.lookahead * RATE))(pcm)


def _telephone(pcm: Samples) -> Samples:
    """300 to 3400 Hz, G.711 mu-law at 8 kHz."""
    count = len(pcm) + len(pcm) % 2
    spectrum = np.fft.rfft(pcm.astype(float), count)
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    spectrum[(frequency < 300) | (frequency > 3400)] = 0
    low = np.fft.irfft(spectrum[: count // 4 + 1], count // 2) / 2
    coded = np.frombuffer(g711.ulaw_decode(g711.ulaw_encode(_pcm(low).tobytes())), np.int16)
    return _pcm(np.fft.irfft(np.fft.rfft(coded.astype(float)), count) * 2)[: len(pcm)]


G722_DELAY = 22
"""Samples: the quadrature mirror filters of both directions (ITU-T G.722: 24 coefficients each)."""

CONDITIONS: dict[str, Callable[[Samples], Samples]] = {
    "clean": lambda pcm: pcm,
    "white-15dB": _with_noise("white", 15),
    "white-10dB": _with_noise("white", 10),
    "pink-15dB": _with_noise("pink", 15),
    "pink-10dB": _with_noise("pink", 10),
    "g722": _delayed(_g722, G722_DELAY),
    "opus-16k": _opus,
    "telephone": _telephone,
    "gain+12dB": _with_gain(12),
    "gain-12dB": _with_gain(-12),
}
