"""Drawn pictures as encoders take them: whole macroblocks, and stripes of them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .harvest import ONE, Poses

U8 = NDArray[np.uint8]
BLOCK = 16
"""Pixels of a macroblock's side."""


def blocks(pixels: int) -> int:
    """Macroblocks that so many pixels take."""
    return -(-pixels // BLOCK)


def planes(i420: NDArray[Any], width: int, height: int) -> tuple[U8, U8, U8]:
    """Views of an I420 picture's Y, U and V."""
    flat, luma, half = i420.reshape(-1), width * height, (height // 2, width // 2)
    quarter = luma // 4
    y, u, v = flat[:luma], flat[luma : luma + quarter], flat[luma + quarter : luma + 2 * quarter]
    return y.reshape(height, width), u.reshape(half), v.reshape(half)


class Easel:
    """Draws poses of an avatar, and cuts stripes out of them."""

    def __init__(self, avatar: _core.NativeAvatar) -> None:
        self.width, self.height = avatar.width, avatar.height
        self.columns, self.rows = blocks(self.width), blocks(self.height)
        self.canvas = _core.Canvas(avatar)
        self.y, self.u, self.v = planes(self.canvas.i420, self.width, self.height)

    def draw(self, poses: Poses, at: int = 0) -> Easel:
        poses.draw(self.canvas, at)
        return self

    def show(self, axes: NDArray[Any], visemes: NDArray[Any]) -> Easel:
        self.canvas.draw(axes / ONE, visemes / ONE)
        return self

    def stripe(self, first: int, rows: int) -> U8:
        """Macroblock rows as an I420 picture (rows * 16 * 3 / 2, columns * 16); what is over the frame's edge
        repeats its last pixels."""
        side, height = self.columns * BLOCK, rows * BLOCK
        out = np.empty(side * height * 3 // 2, np.uint8)
        for plane, to, size in zip((self.y, self.u, self.v), planes(out, side, height), (16, 8, 8), strict=True):
            part = plane[first * size : (first + rows) * size]
            to[: len(part), : part.shape[1]] = part
            to[len(part) :, : part.shape[1]] = part[-1]
            to[:, part.shape[1] :] = to[:, part.shape[1] - 1 : part.shape[1]]
        return out.reshape(height * 3 // 2, side)


def visible(i420: U8, width: int, first: int, rows: int, columns: int) -> bytes:
    """A digest of lines first .. first + rows of a picture of `width` (all even), as far as `columns`."""
    height = i420.size * 2 // 3 // width
    y, u, v = planes(i420, width, height)
    found = hashlib.blake2b(y[first : first + rows, :columns].tobytes(), digest_size=16)
    for plane in (u, v):
        found.update(plane[first // 2 : (first + rows) // 2, : columns // 2].tobytes())
    return found.digest()


def digest(i420: U8) -> bytes:
    """Of a whole picture."""
    return hashlib.blake2b(i420.tobytes(), digest_size=16).digest()


def rows_of(i420: U8, columns: int, first: int, rows: int) -> U8:
    """Macroblock rows of a picture that is `columns` macroblocks wide: (rows * 16 * 3 / 2, columns * 16)."""
    side, height = columns * BLOCK, rows * BLOCK
    whole = planes(i420, side, i420.size * 2 // 3 // side)
    cut = [plane[first * size : (first + rows) * size] for plane, size in zip(whole, (16, 8, 8), strict=True)]
    return np.concatenate([plane.reshape(-1) for plane in cut]).reshape(height * 3 // 2, side)
