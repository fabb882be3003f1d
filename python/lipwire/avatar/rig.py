"""How a pose chooses and moves an avatar's images, in the whole numbers of the compositor (`lw_layer`): the same in the
C core and in a browser."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .art import AXES, Art

COORD_SCALE = 4096
"""Of mouth coordinates."""


class RigLayer(NamedTuple):
    """One layer, as `_core.NativeAvatar` takes it: positions in eighths of a pixel, angles in 65536ths of a turn, gains
    at full deflection of each axis."""

    first: int
    """Number of its first image; 0 is the background."""
    images: int
    """How many."""
    select: int
    """An axis, `_core.SELECT_FIXED` or `_core.SELECT_MOUTH`."""
    x8: int
    y8: int
    kx8: list[int]
    ky8: list[int]
    pivot_x8: int
    pivot_y8: int
    kangle: list[int]


def rig(art: Art) -> list[RigLayer]:
    """The layers, bottom to top."""
    layers: list[RigLayer] = []
    first = 1
    for layer in art.layers:
        if layer.select == "fixed":
            select = _core.SELECT_FIXED
        elif layer.select == "mouth":
            select = _core.SELECT_MOUTH
        else:
            select = AXES.index(layer.select)
        kx, ky = ([round(gains.get(axis, 0.0) * 8) for axis in AXES] for gains in (layer.kx, layer.ky))
        position = round(layer.x * 8), round(layer.y * 8)
        pivot = round((layer.pivot[0] - layer.x) * 8), round((layer.pivot[1] - layer.y) * 8)
        angles = [round(layer.turn.get(axis, 0.0) / 360 * 65536) for axis in AXES]
        layers.append(RigLayer(first, len(layer.images), select, *position, kx, ky, *pivot, angles))
        first += len(layer.images)
    return layers


def mouth_points(art: Art) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Coordinates of the mouth's images, (images, D), and of the visemes, (15, D)."""
    mouth, visemes = (
        np.rint(np.asarray(coords) * COORD_SCALE).astype(np.int16) for coords in (art.mouth_coords, art.viseme_coords)
    )
    return mouth, visemes
