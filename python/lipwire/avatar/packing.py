"""Images of an avatar packed into few larger ones, each of them trimmed to what it shows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument

GAP = 1
"""Transparent pixels around each image: who samples at a fraction of a pixel finds its border, not its neighbour."""
WIDE = 2048
"""Pixels that a sheet is wide, unless an image needs more."""
TALL = 4096
MOST = 40 * 1024 * 1024
"""Pixels of all sheets."""

Pixels = NDArray[np.uint8]


class Piece(NamedTuple):
    """Where an image lies: pixels (x, y) to (x + w, y + h) of a sheet, a transparent border among them, are those of
    the image from (dx, dy) on, which may be -1."""

    sheet: int
    x: int
    y: int
    w: int
    h: int
    dx: int
    dy: int


def visible(image: Pixels) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the pixels with alpha > 0; None: there are none."""
    alpha = image[..., 3]
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def pack(images: list[Pixels]) -> tuple[list[Pixels], list[Piece | None]]:
    """Puts images, (h, w, 4) with straight alpha, on sheets.

    Returns:
        The sheets, and where each image lies; None for one that shows nothing. Images that show the same share a place.
        What is transparent is black.

    Raises:
        InvalidArgument: all together they would have more than `MOST` pixels.
    """
    boxes = [visible(image) for image in images]
    cut: dict[bytes, list[int]] = {}
    for i, box in enumerate(boxes):
        if box is not None:
            left, top, right, bottom = box
            seen = np.ascontiguousarray(images[i][top:bottom, left:right])
            cut.setdefault(repr(seen.shape).encode() + seen.tobytes(), []).append(i)
    sizes = {users[0]: _size(boxes[users[0]]) for users in cut.values()}
    places, shapes = _shelves(sizes)
    if sum(w * h for w, h in shapes) > MOST:
        raise InvalidArgument(f"the avatar's images have more than {MOST >> 20} million pixels at this size")
    sheets = [np.zeros((h, w, 4), np.uint8) for w, h in shapes]
    pieces: list[Piece | None] = [None] * len(images)
    for users in cut.values():
        sheet, x, y = places[users[0]]
        for i in users:
            left, top, right, bottom = boxes[i] or (0, 0, 0, 0)
            w, h = right - left, bottom - top
            pieces[i] = Piece(sheet, x, y, w + 2 * GAP, h + 2 * GAP, left - GAP, top - GAP)
        seen = images[users[0]][top:bottom, left:right]
        there = sheets[sheet][y + GAP : y + GAP + h, x + GAP : x + GAP + w]
        np.multiply(seen, seen[..., 3:] > 0, out=there)
    return sheets, pieces


def _size(box: tuple[int, int, int, int] | None) -> tuple[int, int]:
    left, top, right, bottom = box or (0, 0, 0, 0)
    return right - left + 2 * GAP, bottom - top + 2 * GAP


def _shelves(sizes: dict[int, tuple[int, int]]) -> tuple[dict[int, tuple[int, int, int]], list[tuple[int, int]]]:
    """Rows of images, the highest first: of each its (sheet, x, y), and of each sheet its width and height."""
    wide = max([WIDE, *(w for w, _ in sizes.values())])
    places: dict[int, tuple[int, int, int]] = {}
    shapes: list[tuple[int, int]] = []
    x = y = shelf = right = 0
    for i, (w, h) in sorted(sizes.items(), key=lambda item: (-item[1][1], item[0])):
        if x + w > wide:
            x, y, shelf = 0, y + shelf, 0
        if y + h > TALL and y:
            shapes.append((right, y))
            x = y = shelf = right = 0
        places[i] = len(shapes), x, y
        x, shelf = x + w, max(shelf, h)
        right = max(right, x)
    if places:
        shapes.append((right, y + shelf))
    return places, shapes
