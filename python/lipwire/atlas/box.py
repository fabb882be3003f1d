"""Boxes: the macroblocks of a stripe that a variant can change, and that a change of it encodes anew.

All else of the stripe is moved or skipped. So nothing outside a box may have come from where variants differ at the
place before: the filters of motion compensation look at some pixels around."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .picture import BLOCK, U8, planes

DIFFERENT = 2
"""Levels of luma or colour that variants may be apart and still count as one: less than what is coded anyway."""
TAPS = (2, 3)
"""Pixels before and behind a block that the filters between pixels look at."""


class Box(NamedTuple):
    """Macroblocks of a stripe, or pixels of it."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    def part(self, stripe: U8, width: int, height: int) -> U8:
        """A box of macroblocks out of a stripe (I420, `width` x `height` pixels), as a picture of its own."""
        cut = []
        for plane, size in zip(planes(stripe, width, height), (BLOCK, BLOCK // 2, BLOCK // 2), strict=True):
            cut.append(plane[self.top * size : self.bottom * size, self.left * size : self.right * size].reshape(-1))
        return np.concatenate(cut).reshape(self.height * BLOCK * 3 // 2, self.width * BLOCK)

    def put(self, stripe: U8, inside: U8, width: int, height: int) -> U8:
        """A copy of a stripe with another picture in the box."""
        out = stripe.copy()
        new = planes(inside, self.width * BLOCK, self.height * BLOCK)
        for plane, source, size in zip(planes(out, width, height), new, (BLOCK, BLOCK // 2, BLOCK // 2), strict=True):
            plane[self.top * size : self.bottom * size, self.left * size : self.right * size] = source
        return out

    def without(self, stripe: NDArray[Any], width: int, height: int) -> NDArray[Any]:
        """A copy of a stripe whose box is black."""
        out = stripe.copy()
        for plane, size in zip(planes(out, width, height), (BLOCK, BLOCK // 2, BLOCK // 2), strict=True):
            plane[self.top * size : self.bottom * size, self.left * size : self.right * size] = 0
        return out


class Spread:
    """What pictures of one stripe, added one by one, have at least and at most."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._least: U8 | None = None
        self._most: U8 | None = None

    def add(self, stripe: U8) -> None:
        if self._least is None or self._most is None:
            self._least, self._most = stripe.copy(), stripe.copy()
        else:
            np.minimum(self._least, stripe, out=self._least)
            np.maximum(self._most, stripe, out=self._most)

    def differ(self) -> Box | None:
        """The pixels where they are not alike; None: there are none."""
        assert self._least is not None and self._most is not None
        apart = [
            plane > DIFFERENT for plane in planes(self._most - self._least, self._width, self._height)
        ]  # Y and, of half the size, U and V
        rows = np.logical_or(apart[0].any(1), np.repeat((apart[1] | apart[2]).any(1), 2))
        columns = np.logical_or(apart[0].any(0), np.repeat((apart[1] | apart[2]).any(0), 2))
        if not rows.any():
            return None
        top, bottom = np.flatnonzero(rows)[[0, -1]]
        left, right = np.flatnonzero(columns)[[0, -1]]
        return Box(int(left), int(top), int(right - left) + 1, int(bottom - top) + 1)


def reached(field: NDArray[np.int32], pixels: Box | None) -> NDArray[np.bool_]:
    """The macroblocks (rows, columns) that vectors of blocks of 8 x 8 (2 rows, 2 columns, 2) make of anything of those
    pixels of the picture before."""
    rows, columns = field.shape[0] // 2, field.shape[1] // 2
    if pixels is None:
        return np.zeros((rows, columns), bool)
    x, y = field[..., 0], field[..., 1]
    across, down = np.arange(2 * columns)[None] * 8 + (x >> 2), np.arange(2 * rows)[:, None] * 8 + (y >> 2)
    # Colours have half the pixels, and lie between two of them at every second whole one of luma.
    wide, high = (x & 7) != 0, (y & 7) != 0
    hit = (across - TAPS[0] * wide < pixels.right) & (across + 8 + TAPS[1] * wide > pixels.left)
    hit &= (down - TAPS[0] * high < pixels.bottom) & (down + 8 + TAPS[1] * high > pixels.top)
    found: NDArray[np.bool_] = hit.reshape(rows, 2, columns, 2).any((1, 3))
    return found


def bounds(pixels: Box | None, more: Iterable[NDArray[np.bool_]]) -> Box | None:
    """The smallest box of macroblocks that has all of these pixels, and these macroblocks; None: there are none."""
    ys: list[int] = []
    xs: list[int] = []
    if pixels is not None:
        ys += [pixels.top // BLOCK, (pixels.bottom - 1) // BLOCK]
        xs += [pixels.left // BLOCK, (pixels.right - 1) // BLOCK]
    for macroblocks in more:
        at = np.argwhere(macroblocks)
        if len(at):
            ys += [int(at[:, 0].min()), int(at[:, 0].max())]
            xs += [int(at[:, 1].min()), int(at[:, 1].max())]
    if not xs:
        return None
    return Box(min(xs), min(ys), max(xs) - min(xs) + 1, max(ys) - min(ys) + 1)
