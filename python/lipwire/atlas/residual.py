"""What motion leaves, coded: the transform, its quantizer, and what a decoder makes of them (ITU-T H.264, 8.5), for all
macroblocks of a stripe at once."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .box import Box
from .picture import BLOCK, U8, planes

I32 = NDArray[np.int32]
I16 = NDArray[np.int16]
LEVELS = 384
"""Of a macroblock: 16 blocks of luma, 2 x 4 of chroma's DC, 2 x 4 blocks of 15."""
MOST = 2000
"""Levels beyond are cut off."""
ROUNDING = 1 / 6
"""Of a quantizer's step, as the reference encoder has it for what is predicted from other pictures."""
_FORWARD = np.array([[1, 1, 1, 1], [2, 1, -1, -2], [1, -1, -1, 1], [1, -2, 2, -1]], np.int32)
_CLASS = np.array([[0, 2, 0, 2], [2, 1, 2, 1], [0, 2, 0, 2], [2, 1, 2, 1]])
"""Which of three scales a coefficient has."""
_SCALE = np.array([[10, 16, 13], [11, 18, 14], [13, 20, 16], [14, 23, 18], [16, 25, 20], [18, 29, 23]], np.int32)
"""By QP % 6: what a level is worth (8.5.9)."""
_QUANT = np.array(
    [
        [13107, 5243, 8066],
        [11916, 4660, 7490],
        [10082, 4194, 6554],
        [9362, 3647, 5825],
        [8192, 3355, 5243],
        [7282, 2893, 4559],
    ],
    np.int64,
)
"""2^15 over that, and over what the transform multiplies by."""
_SCAN = np.array([0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15])
"""Where the coefficients are that come one after the other (8.5.6)."""
_ORDER = np.array([0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15])
"""Luma blocks in the order in which they are coded, numbered row by row (6.4.3)."""
_CHROMA = [29, 30, 31, 32, 32, 33, 34, 34, 35, 35, 36, 36, 37, 37, 37, 38, 38, 38, 39, 39, 39, 39]
"""QPC from a qPI of 30 on (table 8-15)."""
_OFFSET = -6
"""chroma_qp_index_offset."""


class Residual(NamedTuple):
    """`levels`: int16 (macroblocks, LEVELS); `coded`: bool (rows, columns), which macroblocks have some; `added`:
    int16, what it adds to a picture as I420, before samples are clipped."""

    levels: I16
    coded: NDArray[np.bool_]
    added: I16


@dataclass(frozen=True, slots=True)
class Packed:
    """The same, in little memory."""

    coded: NDArray[np.bool_]
    _levels: bytes
    _added: bytes

    @classmethod
    def of(cls, left: Residual) -> Packed:
        return cls(left.coded, zlib.compress(left.levels.tobytes(), 1), zlib.compress(left.added.tobytes(), 1))

    def levels(self) -> I16:
        return np.frombuffer(zlib.decompress(self._levels), np.int16).reshape(-1, LEVELS)

    def added(self) -> I16:
        return np.frombuffer(zlib.decompress(self._added), np.int16).reshape(-1, self.coded.shape[1] * BLOCK)

    def without(self, box: Box) -> Packed:
        """With nothing in a box of macroblocks."""
        rows, columns = self.coded.shape
        mask = np.ones((rows, columns), bool)
        mask[box.top : box.bottom, box.left : box.right] = False
        if not (self.coded & ~mask).any():
            return self
        coded = self.coded & mask
        levels = self.levels() * coded.reshape(-1, 1)
        added = box.without(self.added(), columns * BLOCK, rows * BLOCK)
        return Packed.of(Residual(levels.astype(np.int16), coded, added))


def chroma_qp(qp: int) -> int:
    """QPC (8.5.8)."""
    index = max(0, qp + _OFFSET)
    return index if index < 30 else _CHROMA[index - 30]


def add(predicted: U8, added: I16) -> U8:
    """What a decoder shows."""
    out: U8 = np.clip(predicted.astype(np.int16) + added, 0, 255).astype(np.uint8)
    return out


def residual(
    predicted: U8, drawn: U8, columns: int, rows: int, qp: int, bit: float, leave: NDArray[np.bool_]
) -> Residual:
    """What turns a picture of a stripe (I420) into about another one. A block is coded where that takes more off the
    squared error than `bit` for each of its bits; macroblocks (rows, columns) of `leave` are left as they are."""
    size = columns * BLOCK, rows * BLOCK
    added = np.zeros(predicted.shape, np.int16)
    levels = np.zeros((rows * columns, LEVELS), np.int16)
    parts = zip(
        planes(predicted, *size), planes(drawn, *size), planes(added, *size), (qp, *[chroma_qp(qp)] * 2), strict=True
    )
    gains, prices, found = [], [], []
    for k, (before, after, to, q) in enumerate(parts):
        blocks = _blocks(after.astype(np.int32) - before)
        coefficients = _FORWARD @ blocks @ _FORWARD.T
        quantized = _quantized(coefficients, q, 15 + q // 6)
        dc = None
        if k:
            dc = _quantized_dc(coefficients[..., 0, 0], q)
            quantized[..., 0, 0] = 0
        error = (blocks**2).sum((2, 3), dtype=np.int64)
        ac_bits = _bits(quantized)
        worth = error - ((blocks - _inverse(quantized, dc, q)) ** 2).sum((2, 3), dtype=np.int64)
        quantized[worth < bit * ac_bits] = 0
        if dc is not None and not quantized.any() and not dc.any():
            dc = None
        made = _inverse(quantized, dc, q)
        worth = error - ((blocks - made) ** 2).sum((2, 3), dtype=np.int64)
        gains.append(_per_macroblock(worth, rows, columns))
        price = _per_macroblock(_bits(quantized), rows, columns)
        prices.append(price if dc is None else price + _dc_bits(dc))
        found.append((quantized, dc, made, to))
    coded = (sum(gains) > bit * (8 + sum(prices))) & ~leave
    for k, (quantized, dc, made, to) in enumerate(found):
        per = 4 if k == 0 else 2
        keep = np.repeat(np.repeat(coded, per, 0), per, 1)
        made = np.where(keep[..., None, None], made, 0)
        to[...] = made.transpose(0, 2, 1, 3).reshape(to.shape)
        scan = quantized.reshape(*quantized.shape[:2], 16)[..., _SCAN]
        mine = scan.reshape(rows, per, columns, per, 16).transpose(0, 2, 1, 3, 4).reshape(rows * columns, per * per, 16)
        if k == 0:
            levels[:, :256] = mine[:, _ORDER].reshape(-1, 256)
        else:
            if dc is not None:
                levels[:, 252 + 4 * k : 256 + 4 * k] = dc.reshape(rows * columns, 4)
            levels[:, 204 + 60 * k : 264 + 60 * k] = mine[:, :, 1:].reshape(-1, 60)
    levels[~coded.reshape(-1)] = 0
    has = levels.any(1).reshape(rows, columns)
    return Residual(levels, has, added)


def _blocks(plane: I32) -> I32:
    """(h / 4, w / 4, 4, 4)"""
    height, width = plane.shape
    return plane.reshape(height // 4, 4, width // 4, 4).transpose(0, 2, 1, 3)


def _per_macroblock(of_blocks: NDArray[np.int64], rows: int, columns: int) -> NDArray[np.int64]:
    summed: NDArray[np.int64] = of_blocks.reshape(rows, of_blocks.shape[0] // rows, columns, -1).sum((1, 3))
    return summed


def _quantized(coefficients: I32, qp: int, shift: int) -> I32:
    scale = _QUANT[qp % 6][_CLASS]
    found = (np.abs(coefficients) * scale + int((1 << shift) * ROUNDING)) >> shift
    out: I32 = (np.sign(coefficients) * np.minimum(found, MOST)).astype(np.int32)
    return out


def _quantized_dc(dc: I32, qp: int) -> I32:
    """Of chroma: (rows, columns, 4)."""
    four = dc.reshape(dc.shape[0] // 2, 2, dc.shape[1] // 2, 2).transpose(0, 2, 1, 3)
    a, b, c, d = (four[..., y, x] for y in (0, 1) for x in (0, 1))
    turned = np.stack([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d], -1)
    shift = 16 + qp // 6
    found = (np.abs(turned) * _QUANT[qp % 6][0] + int((1 << shift) * ROUNDING)) >> shift
    out: I32 = (np.sign(turned) * np.minimum(found, MOST)).astype(np.int32)
    return out


def _inverse(levels: I32, dc: I32 | None, qp: int) -> I32:
    """What is added to the prediction (8.5.10 to 8.5.12)."""
    d = levels * (_SCALE[qp % 6][_CLASS] << (qp // 6))
    if dc is not None:
        a, b, c, e = (dc[..., k] for k in range(4))
        turned = np.stack([a + b + c + e, a - b + c - e, a + b - c - e, a - b - c + e], -1)
        worth = ((turned * (16 * _SCALE[qp % 6][0])) << (qp // 6)) >> 5
        rows, columns = dc.shape[:2]
        d[..., 0, 0] = worth.reshape(rows, columns, 2, 2).transpose(0, 2, 1, 3).reshape(2 * rows, 2 * columns)
    for _ in range(2):  # each row, then each column
        e0, e1 = d[..., 0] + d[..., 2], d[..., 0] - d[..., 2]
        e2, e3 = (d[..., 1] >> 1) - d[..., 3], d[..., 1] + (d[..., 3] >> 1)
        d = np.stack([e0 + e3, e1 + e2, e1 - e2, e0 - e3], -1).swapaxes(-1, -2)
    out: I32 = (d + 32) >> 6
    return out


def _bits(levels: I32) -> NDArray[np.int64]:
    """About how many bits blocks take."""
    size = np.abs(levels)
    each = np.where(size > 0, 3.5 + 2 * np.log2(np.maximum(size, 1)), 0).sum((2, 3))
    out: NDArray[np.int64] = np.rint(each + np.where(each > 0, 2, 0)).astype(np.int64)
    return out


def _dc_bits(dc: I32) -> NDArray[np.int64]:
    size = np.abs(dc)
    out: NDArray[np.int64] = np.rint(np.where(size > 0, 2.5 + 2 * np.log2(np.maximum(size, 1)), 0).sum(-1)).astype(
        np.int64
    )
    return out
