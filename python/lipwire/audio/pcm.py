"""Plain samples of any width, byte order and number of channels, as they come in pieces: PCM16 mono out.

Names: RFC 3551 and RFC 2586 (L8, L16, L24: network byte order), RFC 3190, ITU-T G.711; "s16le" and its kin as FFmpeg
has them.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from .g711 import alaw_decode, ulaw_decode
from .mono import LiveMix

Encoding = Literal["u8", "s8", "s16", "s24", "s32", "f32", "f64", "ulaw", "alaw"]
WIDTH: dict[Encoding, int] = {
    **{"u8": 1, "s8": 1, "ulaw": 1, "alaw": 1},
    **{"s16": 2, "s24": 3, "s32": 4, "f32": 4, "f64": 8},
}
"""Bytes of a sample."""
MAX_CHANNELS = 64

DOUBT_SECONDS = 0.1
"""Of sound that is held back at most, until it shows its byte order."""
LOUD_ENOUGH = 64
"""Samples other than 0 that show it."""
ROUGHER = 3.0
"""How many times rougher one order has to be than the other, to be the wrong one. Speech read in the wrong order is 10
to 1000 times as rough; white noise at full scale, as rough as before."""


class PcmFormat(Struct, frozen=True, kw_only=True):
    """What the bytes are. `rate` in Hz; samples of the channels alternate."""

    encoding: Encoding = "s16"
    rate: int = 24_000
    channels: int = 1
    big: bool = False
    """The most significant byte comes first."""
    doubtful: bool = False
    """`big` is what it should be by its name; the samples may say otherwise (PCM16 only)."""

    @property
    def frame(self) -> int:
        """Bytes of one sample of every channel."""
        return WIDTH[self.encoding] * self.channels


def pcm16(samples: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
    """PCM16 of samples whose full scale is 1.0, (n,), rounded to nearest."""
    pcm: NDArray[np.int16] = np.minimum(np.rint(np.clip(samples, -1, 1) * 32768), 32767).astype("<i2")
    return pcm


def _levels(data: bytes, encoding: Encoding, big: bool) -> np.ndarray[Any, Any]:
    """Samples as float64, in steps of 16 bits."""
    order = ">" if big else "<"
    match encoding:
        case "u8":
            return (np.frombuffer(data, "u1").astype(float) - 128) * 256
        case "s8":
            return np.frombuffer(data, "i1").astype(float) * 256
        case "s16":
            return np.frombuffer(data, f"{order}i2").astype(float)
        case "s24":
            three = np.frombuffer(data, "u1").reshape(-1, 3)
            four = np.zeros((len(three), 4), "u1")
            four[:, :3] = three[:, ::-1] if big else three
            return (four.view("<i4")[:, 0] << 8).astype(float) / 65536
        case "s32":
            return np.frombuffer(data, f"{order}i4").astype(float) / 65536
        case "f32" | "f64":
            return np.frombuffer(data, f"{order}f{WIDTH[encoding]}").astype(float) * 32768
        case "ulaw":
            return np.frombuffer(ulaw_decode(data), "<i2").astype(float)
        case "alaw":
            return np.frombuffer(alaw_decode(data), "<i2").astype(float)


class PcmReader:
    """Bytes of one format in, cut anywhere; PCM16 mono out."""

    def __init__(self, format: PcmFormat) -> None:
        self.format = format
        self._rest = b""
        self._big = None if format.doubtful and format.encoding == "s16" else format.big
        self._mix = LiveMix(format.channels, format.rate)

    def take(self, data: bytes) -> bytes:
        """More of it."""
        return self._read(self._rest + data, ended=False)

    def end(self) -> bytes:
        """What was held back. Part of a sample is nothing."""
        return self._read(self._rest, ended=True) + pcm16(self._mix.end()).tobytes()

    def _read(self, data: bytes, *, ended: bool) -> bytes:
        f = self.format
        if self._big is None:
            self._big = self._order(data, ended=ended)
        whole = 0 if self._big is None else len(data) // f.frame * f.frame
        self._rest = data[whole:]
        if not whole:
            return b""
        assert self._big is not None
        if f.encoding == "s16" and f.channels == 1 and not self._big:
            return data[:whole]
        levels = _levels(data[:whole], f.encoding, self._big).reshape(-1, f.channels) / 32768
        return pcm16(self._mix.take(np.nan_to_num(levels.T, nan=0.0, posinf=1.0, neginf=-1.0))).tobytes()

    def _order(self, data: bytes, *, ended: bool) -> bool | None:
        """The byte order, once it shows."""
        f = self.format
        whole = len(data) // f.frame * f.frame
        there = np.frombuffer(data[:whole], "<i2")
        if np.count_nonzero(there) < LOUD_ENOUGH * f.channels and not ended:
            return None if whole < DOUBT_SECONDS * f.rate * f.frame else f.big
        said, other = (
            np.abs(np.diff(_levels(data[:whole], "s16", big).reshape(-1, f.channels), axis=0)).sum()
            for big in (f.big, not f.big)
        )
        return not f.big if said > ROUGHER * other else f.big
