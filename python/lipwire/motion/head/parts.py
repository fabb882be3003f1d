"""What a head is made of: meshes of one material each, and what making them takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from .sculpt import F64, f64
from .skin import I64


class Part(Struct):
    """A mesh of one material."""

    name: str
    material: str
    points: F64
    triangles: I64
    parent: str = "head"
    """The node that it hangs on."""
    colours: F64 | None = None
    """(n, 3) or (n, 4), sRGB 0..1."""
    moves: Mapping[str, F64] = {}
    """Movements by ARKit's names."""


def colour(code: str) -> F64:
    """Of "#rrggbb": (3,), sRGB 0..1."""
    return f64([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def blend(a: F64, b: F64, t: F64) -> F64:
    """Colours (n, 3): `a` where t is 0, `b` where it is 1."""
    return f64(a + (b - a) * np.asarray(t)[..., None])


def net(rows: int, columns: int, *, around: bool) -> I64:
    """Triangles of a grid of points in row order, seen from where columns run to the right and rows run down."""
    grid = np.arange(rows * columns).reshape(rows, columns)
    if around:
        grid = np.concatenate([grid, grid[:, :1]], 1)
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
