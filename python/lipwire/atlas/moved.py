"""P slices that say how a stripe has moved, and nothing else: motion vectors without a residual.

A head that goes on by less than a pixel is the picture before, shifted; what blurs meanwhile is an I slice again at
the next anchor. Motion compensation is that of ITU-T H.264, 8.4.2.2, with vectors that stay within the stripe, the
rows that the filters look at included: x264 cannot be told to keep to that. Vectors are chosen for blocks of 16 x 16
or 8 x 8 by squared error and bits, in the order of the slice, as their prediction (8.4.1) has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .box import Box
from .encode import P, Slice
from .picture import BLOCK, U8, planes

I32 = NDArray[np.int32]
Field = I32
"""Vectors of blocks of 8 x 8: (2 rows, 2 columns, 2)."""
Mask = NDArray[np.bool_]
"""Of blocks of 8 x 8: (2 rows, 2 columns)."""
Vector = tuple[int, int]
"""x and y, in quarters of a pixel."""
FAR = 60
"""Quarters of a pixel that anything may have moved by, in x and in y."""
EDGE = FAR // 4 + 1
"""Pixels that the reference is continued by at its left and right, as the standard does."""
STILL = 16 * 16 * 0.75
"""Squared error of a macroblock that is not looked at any closer."""


def _tap(a: I32, axis: int) -> I32:
    """The 6-tap filter between pixels and the next ones, unscaled; the edge repeats."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (2, 3)
    wide = np.pad(a, pad, mode="edge")
    n = a.shape[axis]
    part = [np.take(wide, range(k, k + n), axis) for k in range(6)]
    out: I32 = part[0] - 5 * part[1] + 20 * part[2] + 20 * part[3] - 5 * part[4] + part[5]
    return out


def _next(a: I32, axis: int) -> I32:
    """The neighbour to the right, or below."""
    return np.concatenate([np.take(a, range(1, a.shape[axis]), axis), np.take(a, [-1], axis)], axis)


def quarters(luma: U8) -> NDArray[np.int16]:
    """The 16 planes of samples between pixels (8.4.2.2.1), [4 * y + x] in quarters: (16, h, w)."""
    g = luma.astype(np.int32)
    across, down = _tap(g, 1), _tap(g, 0)
    b, h = (np.clip((t + 16) >> 5, 0, 255) for t in (across, down))
    j = np.clip((_tap(across, 0) + 512) >> 10, 0, 255)
    s, m = _next(b, 0), _next(h, 1)

    def mean(one: I32, other: I32) -> I32:
        return (one + other + 1) >> 1

    rows = (
        (g, mean(g, b), b, mean(_next(g, 1), b)),
        (mean(g, h), mean(b, h), mean(b, j), mean(b, m)),
        (h, mean(h, j), j, mean(j, m)),
        (mean(_next(g, 0), h), mean(h, s), mean(j, s), mean(m, s)),
    )
    return np.stack([plane for row in rows for plane in row]).astype(np.int16)


def _allowed(y: int, size: int, dy: int, height: int) -> bool:
    """Whether a block's prediction lies in the stripe, filters and chroma included."""
    top, bottom = y + (dy >> 2), y + size + (dy >> 2)
    if dy & 3:
        top, bottom = top - 2, bottom + 3
    elif dy & 7:
        bottom += 1  # chroma between two rows
    return top >= 0 and bottom <= height


class _Bits:
    def __init__(self) -> None:
        self._parts: list[str] = []

    def ue(self, value: int) -> None:
        code = bin(value + 1)[2:]
        self._parts.append("0" * (len(code) - 1) + code)

    def se(self, value: int) -> None:
        self.ue(2 * value - 1 if value > 0 else -2 * value)

    def done(self, qp: int) -> Slice:
        text = "".join(self._parts)
        size = -(-len(text) // 8)
        return Slice(int(text.ljust(8 * size, "0"), 2).to_bytes(size, "big"), len(text), qp, P)


_LENGTH = np.array([2 * int(np.log2((2 * v - 1 if v > 0 else -2 * v) + 1)) + 1 for v in range(-2 * FAR, 2 * FAR + 1)])
"""Bits of a signed Exp-Golomb code, from -2 * FAR on."""


class Window:
    """The vectors that are looked at: all between two corners, in quarters of a pixel, none among them."""

    def __init__(self, low: Vector, high: Vector, rows: int) -> None:
        (left, top), (right, bottom) = ((max(-FAR, min(v, 0)) for v in low), (min(FAR, max(v, 0)) for v in high))
        xs, ys = np.arange(left, right + 1), np.arange(top, bottom + 1)
        self._left, self._top, self._across, self._down = left, top, len(xs), len(ys)
        self.x, self.y = (a.reshape(-1) for a in np.meshgrid(xs, ys))
        self.none = self.number((0, 0))
        height = rows * BLOCK
        self.fits8, self.fits16 = (
            np.array([[_allowed(at, size, int(dy), height) for dy in self.y] for at in range(0, height, size)])
            for size in (8, 16)
        )

    def number(self, vector: Vector) -> int:
        """Of a vector; -1: it is not looked at."""
        x, y = vector[0] - self._left, vector[1] - self._top
        return y * self._across + x if 0 <= x < self._across and 0 <= y < self._down else -1

    def best(
        self, errors: NDArray[np.float32], fits: NDArray[np.bool_], predicted: Vector, bit: float
    ) -> tuple[Vector, float]:
        """The vector that costs least in error and bits, and what it costs."""
        length = _LENGTH[self.x - (predicted[0] - 2 * FAR)] + _LENGTH[self.y - (predicted[1] - 2 * FAR)]
        cost = np.where(fits, errors + bit * length, np.inf)
        k = int(np.argmin(cost))
        return (int(self.x[k]), int(self.y[k])), float(cost[k])


class Mover:
    """Finds how stripes of one size have moved."""

    def __init__(self, columns: int, rows: int, qp: int) -> None:
        self.columns, self.rows, self.qp = columns, rows, qp
        self.width, self.height = columns * BLOCK, rows * BLOCK
        self.still = np.zeros((2 * rows, 2 * columns, 2), np.int32)
        """Vectors of what does not move."""
        self._bit = 0.4 * 2 ** ((qp - 12) / 3)
        """What a bit is worth, in squared error."""

    def slice(self, pictures: list[tuple[U8, U8]], low: Vector, high: Vector) -> tuple[Slice, I32] | None:
        """The P slice, and its vectors, that turns each first picture into about the second one, as well as one slice
        can do it for all of them; None: nothing has moved. Vectors between `low` and `high` are looked at."""
        window = Window(low, high, self.rows)
        errors = sum(self._errors(self._between(old), new, window) for old, new in pictures)
        field, coded = self._choose(np.asarray(errors), window, self._bit * len(pictures))
        return None if coded is None else (coded, field)

    def _between(self, picture: U8) -> NDArray[np.int16]:
        luma = planes(picture, self.width, self.height)[0]
        return quarters(np.pad(luma, ((0, 0), (EDGE, EDGE)), mode="edge"))

    def _errors(self, between: NDArray[np.int16], drawn: U8, window: Window) -> NDArray[np.float32]:
        """Squared errors of each block of 8 x 8 under each vector: (2 rows, 2 columns, vectors). Of macroblocks that
        stand still, only under none."""
        target = planes(drawn, self.width, self.height)[0].astype(np.int16)
        out = np.full((2 * self.rows, 2 * self.columns, len(window.x)), np.inf, np.float32)
        none = window.none
        out[..., none] = self._blocks(between, target, 0, 0, 0, self.columns)
        moves = (out[..., none].reshape(self.rows, 2, self.columns, 2).sum((1, 3)) > STILL).any(0)
        if moves.any():
            first, last = int(np.argmax(moves)), self.columns - int(np.argmax(moves[::-1]))
            for k, (x, y) in enumerate(zip(window.x.tolist(), window.y.tolist(), strict=True)):
                if k != none:
                    out[:, 2 * first : 2 * last, k] = self._blocks(between, target, x, y, first, last)
        return out

    def _blocks(
        self, between: NDArray[np.int16], target: NDArray[np.int16], x: int, y: int, first: int, last: int
    ) -> Any:
        left, right = first * BLOCK, last * BLOCK
        plane = between[4 * (y & 3) + (x & 3)]
        down, across = y >> 2, (x >> 2) + EDGE
        rows = np.clip(np.arange(self.height) + down, 0, self.height - 1)
        d = (plane[rows, left + across : right + across] - target[:, left:right]).astype(np.float32)
        return (d * d).reshape(2 * self.rows, 8, -1, 8).sum((1, 3))

    def _choose(self, errors: NDArray[np.float32], window: Window, bit: float) -> tuple[I32, Slice | None]:
        """The vectors of all blocks of 8 x 8, (2 rows, 2 columns, 2), and the slice that says them."""
        field = np.zeros((2 * self.rows, 2 * self.columns, 2), np.int32)
        bits, run, said = _Bits(), 0, False
        none = window.none
        for row in range(self.rows):
            for column in range(self.columns):
                y, x = 2 * row, 2 * column
                part = errors[y : y + 2, x : x + 2]
                predicted = _predicted(field, y, x, 2)
                skip = _skipped(field, y, x, predicted)
                at = window.number(skip)
                skippable = at >= 0 and bool(window.fits16[row, at])
                if skippable and skip == (0, 0) and part[..., none].sum() <= STILL:
                    run += 1
                    continue
                whole = part.sum((0, 1))
                best, cost = window.best(whole, window.fits16[row], predicted, bit)
                cost += 3 * bit
                four, fourfold = self._four(field, part, y, x, window, bit)
                alone = float(whole[at]) if skippable else np.inf
                if alone <= min(cost, fourfold):
                    field[y : y + 2, x : x + 2] = skip
                    run += 1
                    continue
                bits.ue(run)
                run, said = 0, True
                if cost <= fourfold:
                    field[y : y + 2, x : x + 2] = best
                    self._say_one(bits, best, predicted)
                else:
                    field[y : y + 2, x : x + 2] = np.reshape(four, (2, 2, 2))
                    self._say_four(bits, four, [_predicted(field, y + k // 2, x + k % 2, 1) for k in range(4)])
        if not said:
            return field, None
        if run:
            bits.ue(run)
        return field, bits.done(self.qp)

    def around(self, field: I32, box: Box | None, coded: Mask | None = None) -> Slice:
        """The P slice that says these vectors outside a box of macroblocks that are to be intra, and skips those.
        `coded`: macroblocks (rows, columns) that are said in any case, as they have a residual."""
        intra = np.zeros(field.shape[:2], bool)
        if box is not None:
            intra[2 * box.top : 2 * box.bottom, 2 * box.left : 2 * box.right] = True
        bits, run = _Bits(), 0
        for y in range(0, 2 * self.rows, 2):
            for x in range(0, 2 * self.columns, 2):
                four = [(int(vx), int(vy)) for vx, vy in field[y : y + 2, x : x + 2].reshape(4, 2)]
                predicted = _predicted(field, y, x, 2, intra)
                one = all(vector == four[0] for vector in four)
                said = coded is not None and bool(coded[y // 2, x // 2])
                if intra[y, x] or (not said and one and four[0] == _skipped(field, y, x, predicted, intra)):
                    run += 1
                    continue
                bits.ue(run)
                run = 0
                if one:
                    self._say_one(bits, four[0], predicted)
                else:
                    self._say_four(bits, four, [_predicted(field, y + k // 2, x + k % 2, 1, intra) for k in range(4)])
        if run:
            bits.ue(run)
        return bits.done(self.qp)

    def _four(
        self, field: I32, part: NDArray[np.float32], y: int, x: int, window: Window, bit: float
    ) -> tuple[list[Vector], float]:
        """The vectors of a macroblock's quarters, and what they cost. Leaves the field as it was."""
        before = field[y : y + 2, x : x + 2].copy()
        vectors, total = [], 10 * bit
        for k in range(4):
            by, bx = y + k // 2, x + k % 2
            vector, cost = window.best(part[k // 2, k % 2], window.fits8[by], _predicted(field, by, bx, 1), bit)
            field[by, bx] = vector
            vectors.append(vector)
            total += cost
        field[y : y + 2, x : x + 2] = before
        return vectors, total

    def _say_one(self, bits: _Bits, vector: Vector, predicted: Vector) -> None:
        """A macroblock of one vector."""
        bits.ue(0)  # P_L0_16x16
        self._say(bits, [vector], [predicted])

    def _say_four(self, bits: _Bits, four: list[Vector], predicted: list[Vector]) -> None:
        """A macroblock of one vector for each quarter."""
        bits.ue(3)  # P_8x8
        for _ in range(4):
            bits.ue(0)  # P_L0_8x8
        self._say(bits, four, predicted)

    @staticmethod
    def _say(bits: _Bits, vectors: list[Vector], predicted: list[Vector]) -> None:
        for vector, other in zip(vectors, predicted, strict=True):
            bits.se(vector[0] - other[0])
            bits.se(vector[1] - other[1])
        bits.ue(0)  # coded_block_pattern: none

    def moved(self, before: U8, field: I32) -> U8:
        """What a decoder shows behind the slice with these vectors."""
        between, old = self._between(before), planes(before, self.width, self.height)
        out = np.empty(self.width * self.height * 3 // 2, np.uint8)
        luma, *chroma = planes(out, self.width, self.height)
        blocks8 = luma.reshape(2 * self.rows, 8, 2 * self.columns, 8)
        for vector in np.unique(field.reshape(-1, 2), axis=0).tolist():
            x, y = vector
            where = (field == vector).all(2)
            rows = np.clip(np.arange(self.height) + (y >> 2), 0, self.height - 1)
            across = (x >> 2) + EDGE
            plane = between[4 * (y & 3) + (x & 3)][rows, across : across + self.width].astype(np.uint8)
            mask = where[:, None, :, None]
            np.copyto(blocks8, plane.reshape(blocks8.shape), where=mask)
            for to, was in zip(chroma, old[1:], strict=True):
                shifted = _chroma(was, x, y)
                np.copyto(
                    to.reshape(2 * self.rows, 4, 2 * self.columns, 4),
                    shifted.reshape(2 * self.rows, 4, -1, 4),
                    where=mask,
                )
        return out.reshape(self.height * 3 // 2, self.width)


def _chroma(plane: U8, x: int, y: int) -> U8:
    """Chroma, moved: bilinear in eighths (8.4.2.2.2)."""
    height, width = plane.shape
    rows, columns = (np.arange(n) + (v >> 3) for n, v in ((height, y), (width, x)))
    top, below = (np.clip(rows + k, 0, height - 1) for k in (0, 1))
    left, right = (np.clip(columns + k, 0, width - 1) for k in (0, 1))
    fx, fy = x & 7, y & 7
    p = plane.astype(np.int32)
    upper = (8 - fx) * p[top][:, left] + fx * p[top][:, right]
    lower = (8 - fx) * p[below][:, left] + fx * p[below][:, right]
    return (((8 - fy) * upper + fy * lower + 32) >> 6).astype(np.uint8)


def _predicted(field: I32, y: int, x: int, size: int, intra: Mask | None = None) -> Vector:
    """The median prediction of a block of `size` x `size` blocks of 8 x 8 at (y, x): 8.4.1.3, where all refer to one
    picture, but for those that are intra."""
    columns = field.shape[1]
    inside = size == 1 and y % 2 == 1 and x % 2 == 1  # the block to the upper right comes later
    third = (y - 1, x + size) if y and x + size < columns and not inside else (y - 1, x - 1)
    at = ((y, x - 1), (y - 1, x), third)
    known = [(int(field[k][0]), int(field[k][1])) for k in at if min(k) >= 0 and not (intra is not None and intra[k])]
    if len(known) == 1:
        return known[0]
    known += [(0, 0)] * (3 - len(known))
    xs, ys = zip(*known, strict=True)
    return sorted(xs)[1], sorted(ys)[1]


def _skipped(field: I32, y: int, x: int, predicted: Vector, intra: Mask | None = None) -> Vector:
    """The vector of a skipped macroblock (8.4.1.1)."""
    if not y or not x:
        return 0, 0
    for k in ((y, x - 1), (y - 1, x)):
        if not (intra is not None and intra[k]) and not field[k].any():
            return 0, 0
    return predicted
