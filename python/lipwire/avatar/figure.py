"""What the built-in avatars share: how layers follow the head, the arm that waves, lids as a bank of one axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .art import Layer
from .raster import F32, Canvas, View, f32, resize

LID_STEPS, EXPRESSION_STEPS, ARM_STEPS = 9, 5, 12
LIDS_AT_REST = 2
"""Index of the image in a bank of LID_STEPS that the `lids` axis shows at rest (a quarter of the way)."""
ROLL = 7.0
"""Degrees that a head tilts at full deflection."""
SWAY = 0.032 * 440
"""Units that the head's middle moves at full deflection; each layer takes a share: the nearer, the larger."""
LIFT = 0.006 * 440
"""Units that the chest rises with a breath."""

Place = Callable[[ArrayLike], F32]
"""Moves points of an arm, drawn upright, to where the arm is."""


def blinks(count: int) -> list[float]:
    """How far the lids are shut in each image of a bank over the `lids` axis: below 0 wider than at rest, 1 shut."""
    at = np.linspace(0, 1, count)
    return [float(v - 0.25) / (0.75 if v > 0.25 else 1.5) for v in at]


class Figure:
    """Collects the layers of a character, bottom to top."""

    def __init__(self, view: View, pivot: tuple[float, float]) -> None:
        """`pivot` is where the head turns, in units."""
        self.view = view
        self.layers: list[Layer] = []
        self._pivot = (pivot[0] * view.scale + view.ox, pivot[1] * view.scale + view.oy)

    def _add(
        self,
        name: str,
        art: Canvas | list[Canvas],
        select: str,
        kx: dict[str, float],
        ky: dict[str, float],
        roll: float,
    ) -> None:
        bank = art if isinstance(art, list) else [art]
        s = self.view.scale
        kx, ky = ({axis: units * s for axis, units in k.items() if units} for k in (kx, ky))
        turn = {"head_roll": roll} if roll else {}
        images = [c.image() for c in bank]
        self.layers.append(Layer(name, images, float(bank[0].x), float(bank[0].y), select, kx, ky, turn, self._pivot))

    def head(self, name: str, art: Canvas | list[Canvas], depth: float, select: str = "fixed", **units: float) -> None:
        """A layer of the head. `depth` is its share of the head's movement; `units` what other axes move it by, along x
        for those whose name ends in _x."""
        kx = {"head_x": depth * SWAY} | {a: u for a, u in units.items() if a.endswith("_x")}
        ky = {"head_y": depth * SWAY, "breath": -0.35 * LIFT} | {a: u for a, u in units.items() if not a.endswith("_x")}
        self._add(name, art, select, kx, ky, ROLL)

    def body(self, name: str, art: Canvas | list[Canvas], select: str = "fixed") -> None:
        """A layer of the body, that breathes."""
        self._add(name, art, select, {"head_x": 0.08 * SWAY}, {"breath": -LIFT}, 0.0)

    def mouth(self, bank: tuple[list[NDArray[np.uint8]], int, int], depth: float) -> None:
        images, x, y = bank
        s = self.view.scale
        kx = {"head_x": depth * SWAY * s}
        ky = {"head_y": depth * SWAY * s, "breath": -0.35 * LIFT * s}
        turn = {"head_roll": ROLL}
        self.layers.append(Layer("mouth", images, float(x), float(y), "mouth", kx, ky, turn, self._pivot))


def wave(view: View, elbow: tuple[float, float], reach: float, paint: Callable[[Canvas, Place], None]) -> list[Canvas]:
    """The images of an arm for the `wave` axis 0..1: down out of the frame, rising, then to and fro from 0.4 on.
    `paint` draws it upright, the elbow at 0, 0 and the fingers at -reach."""
    floor, side = (view.height - view.oy) / view.scale, (view.width - view.ox) / view.scale
    elbow = min(elbow[0], side - 40), elbow[1]
    out = []
    right = min(elbow[0] + reach * 0.95, side + 16)
    for i in range(ARM_STEPS):
        at = i / (ARM_STEPS - 1)
        c = Canvas(view, elbow[0] - reach * 0.62, elbow[1] - reach - 12, right, max(floor, elbow[1]) + 14)
        rise = min(at / 0.4, 1.0)
        swing = max(at - 0.4, 0.0) / 0.6
        angle = np.radians(30 * (1 - rise) + 24 - 36 * swing)
        turn = f32([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        drop = (1 - rise) * (reach + 30 + max(floor - elbow[1], 0))
        shift = f32([elbow[0], elbow[1] + drop])

        def place(points: ArrayLike, turn: F32 = turn, shift: F32 = shift) -> F32:
            return f32(f32(points) @ turn + shift)

        if i:
            paint(c, place)
        out.append(c)
    return out


def squircle(cx: float, cy: float, rx: float, ry: float, power: float = 4.0, n: int = 96) -> F32:
    """A rounded box: |x / rx|^power + |y / ry|^power = 1."""
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    x, y = np.cos(t), np.sin(t)
    return f32(
        np.stack([cx + rx * np.sign(x) * np.abs(x) ** (2 / power), cy + ry * np.sign(y) * np.abs(y) ** (2 / power)], 1)
    )


def dithered(planes: F32, width: int, height: int) -> F32:
    """Colour planes (3, h, w) at a frame's size, opaque (4, height, width), with a 4 x 4 ordered dither of one 8-bit
    step, which hides the bands of a slow gradient."""
    bayer = f32([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 - np.float32(0.5)
    bayer = np.tile(bayer / np.float32(255), (-(-height // 4), -(-width // 4)))[:height, :width]
    out = np.ones((4, height, width), np.float32)
    for i in range(3):
        np.add(resize(planes[i], height, width), bayer, out=out[i])
    return out
