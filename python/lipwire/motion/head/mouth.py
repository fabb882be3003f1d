"""Teeth, gums and the tongue."""

from __future__ import annotations

import numpy as np

from .expressions import jaw_moves
from .parts import Part, blend, colour, net
from .sculpt import F64, f64, length, smoothstep, unit
from .skin import I64


def _arch(at: F64, wide: float, front: float, deep: float) -> tuple[F64, F64]:
    """Places (n, 3) along the arch of the teeth, `at` decimetres from its middle, and directions along it."""
    t = np.linspace(-1, 1, 401)
    curve = np.stack([wide * np.sin(t * np.pi / 2), 0 * t, front - deep * (1 - np.cos(t * np.pi / 2))], 1)
    way = np.concatenate([[0], np.cumsum(length(np.diff(curve, axis=0)))])
    way -= way[200]
    place = np.stack([np.interp(at, way, curve[:, i]) for i in range(3)], 1)
    ahead = np.stack([np.interp(at + 0.01, way, curve[:, i]) for i in range(3)], 1)
    return f64(place), unit(f64(ahead - place))


WIDTHS_UPPER = (0.076, 0.064, 0.070, 0.066, 0.066, 0.085, 0.085)
WIDTHS_LOWER = (0.054, 0.058, 0.066, 0.066, 0.066, 0.088, 0.088)


def _superquadric(rings: int, turns: int, power: float) -> F64:
    """Points of a rounded box of half width 1, in row order; rows go down."""
    lat = np.linspace(np.pi / 2, -np.pi / 2, rings)
    lon = np.linspace(0, 2 * np.pi, turns, endpoint=False)
    a, b = np.meshgrid(lat, lon, indexing="ij")

    def signed(v: F64) -> F64:
        return f64(np.sign(v) * abs(v) ** power)

    # Counter-clockwise as seen from above, so that `net` faces outwards.
    x, z, y = signed(np.cos(a)) * signed(np.cos(b)), signed(np.cos(a)) * -signed(np.sin(b)), signed(np.sin(a))
    return np.stack([x.ravel(), y.ravel(), z.ravel()], 1)


def teeth(upper: bool) -> list[Part]:
    """A row of teeth, and its gum."""
    widths = WIDTHS_UPPER if upper else WIDTHS_LOWER
    wide, front, deep = (0.262, 0.762, 0.38) if upper else (0.245, 0.738, 0.36)
    edge = -0.684 if upper else -0.674
    box = _superquadric(11, 16, 0.38)
    shell = net(11, 16, around=True)
    all_points: list[F64] = []
    all_triangles: list[I64] = []
    for sign in (1, -1):
        at = 0.0
        for number, width in enumerate(widths):
            place, along = _arch(f64([sign * (at + width / 2)]), wide, front, deep)
            at += width
            tall = (0.150 if number < 3 else 0.125) if upper else 0.125
            lift = (0.0, 0.007, 0.002, 0.008, 0.012, 0.016, 0.020)[number] * (1 if upper else 0.6)
            tooth = box * (width / 2 * 1.01, tall / 2, 0.034 if number < 3 else 0.05)
            # Narrower at the gum, bowed to the front.
            towards_gum = tooth[:, 1] / tall * (1 if upper else -1) + 0.5
            tooth = tooth * np.stack([1 - 0.05 * towards_gum, np.ones(len(tooth)), np.ones(len(tooth))], 1)
            out = np.cross(along[0], (0, 1, 0))
            middle = place[0] + (0, (edge + lift + tall / 2) if upper else (edge - lift - tall / 2), 0)
            placed = middle + tooth[:, :1] * along[0] + tooth[:, 1:2] * (0, 1, 0) + tooth[:, 2:] * out
            all_triangles.append(shell + len(box) * len(all_points))
            all_points.append(placed)
    points = f64(np.concatenate(all_points))
    ivory = np.clip((points[:, 1] - edge) * (1 if upper else -1) / 0.15, 0, 1)
    depth = smoothstep(0.72, 0.46, points[:, 2])
    c = blend(blend(colour("#f1ebe1"), colour("#e0d5c4"), ivory), colour("#6e5648"), 0.9 * depth)
    # The gum: a rope along the arch.
    n, turns = 33, 10
    ring = np.linspace(0, 2 * np.pi, turns, endpoint=False)
    total = sum(widths)
    place, along = _arch(np.linspace(-total, total, n), wide, front - 0.004, deep)
    out = np.cross(along, (0, 1, 0))
    level = (edge + 0.170) if upper else (edge - 0.155)
    # Going around: up, then out, so that rows along the arch face outwards.
    rope = (
        place[:, None]
        + out[:, None] * (np.cos(ring) * 0.040)[None, :, None]
        + f64((0, 1, 0)) * (level + np.sin(ring) * 0.062)[None, :, None]
    )
    rope = rope.reshape(-1, 3)
    name = "Upper" if upper else "Lower"
    moves = {} if upper else jaw_moves(points)
    gum_moves = {} if upper else jaw_moves(f64(rope))
    return [
        Part(f"teeth{name}", "teeth", points, f64(np.concatenate(all_triangles)).astype(np.int64), "head", c, moves),
        Part(f"gum{name}", "gum", f64(rope), net(n, turns, around=True), "head", None, gum_moves),
    ]


def tongue() -> Part:
    """The tongue, at rest on the floor of the mouth."""
    along, turns = 18, 20
    t = np.linspace(0, 1, along)
    ring = np.linspace(0, 2 * np.pi, turns, endpoint=False)
    wide = 0.175 * np.sqrt(np.clip(1 - (np.clip(t - 0.30, 0, 1) / 0.702) ** 2.6, 0, 1)) * smoothstep(-0.4, 0.25, t)
    thick = 0.070 * np.sqrt(np.clip(1 - (np.clip(t - 0.30, 0, 1) / 0.705) ** 3.2, 0, 1)) + 0.004
    z = 0.20 + 0.525 * t
    y = -0.665 - 0.075 * t + 0.02 * np.sin(np.pi * t)
    x = np.cos(ring)[None] * wide[:, None]
    groove = 0.018 * np.exp(-((np.cos(ring) / 0.22) ** 2)) * (np.sin(ring) > 0)
    up = (
        y[:, None]
        + np.sin(ring)[None] * thick[:, None]
        - groove[None] * smoothstep(0, 0.4, t)[:, None] * smoothstep(1.0, 0.8, t)[:, None]
    )
    points = np.stack([x, up, np.broadcast_to(z[:, None], x.shape)], -1).reshape(-1, 3)
    tt = np.repeat(t, turns)[:, None]
    moves = jaw_moves(points)
    reach = smoothstep(0.25, 1.0, tt[:, 0])[:, None]
    moves["tongueOut"] = (
        reach * (0, 0.125, 0.36)
        + (reach**3) * (0, -0.05, 0.02)
        + smoothstep(0, 0.5, tt[:, 0])[:, None] * (0, 0.012, 0.03)
    )
    c = blend(colour("#3c1216"), colour("#c9605f"), smoothstep(0.25, 0.95, tt[:, 0]))
    triangles = net(along, turns, around=True)[:, ::-1]
    tip = f64([points[-turns:].mean(0)])
    fan = np.stack(
        [
            np.full(turns, len(points)),
            np.arange(turns) + len(points) - turns,
            (np.arange(turns) + 1) % turns + len(points) - turns,
        ],
        1,
    )
    moves = {name: np.concatenate([m, m[-turns:].mean(0)[None]]) for name, m in moves.items()}
    return Part(
        "tongue",
        "tongue",
        np.concatenate([points, tip]),
        np.concatenate([triangles, fan]),
        "head",
        np.concatenate([c, c[-1:]]),
        moves,
    )
