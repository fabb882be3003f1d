"""Eyes, with the lids' shadow and a light in them, lashes and brows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..gltf import LOOK_ASIDE, LOOK_DOWN, LOOK_UP
from .expressions import rotated
from .parts import Part, blend, colour, net
from .sculpt import CENTRE, EYE, EYE_RADIUS, F64, cast, directions, f64, skin, smoothstep, unit
from .skin import I64, Skin

IRIS, PUPIL = 29.5, 11.8
"""Degrees from the middle of the eye to their edges."""


def eye(sign: float) -> Part:
    """An eyeball about its own middle, which looks along +Z. `sign` is 1 for the left, -1 for the right one."""
    rings = f64([0, 6, 10, 11.7, 13.4, 15, 18, 21, 24, 26.5, 28.5, 30, 31.5, 33.5, 37, 45, 56, 70, 85, 100])
    turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    at, turn = (a.ravel() for a in np.meshgrid(rings, turns, indexing="ij"))
    # The iris lies a little flatter than the ball, the cornea's bulge is left to the light.
    flat = 0.045 * smoothstep(IRIS + 2, IRIS - 9, at) + 0.008 * smoothstep(PUPIL + 2, PUPIL - 3, at)
    radius = EYE_RADIUS * (1 - flat)
    ar = np.radians(at)
    points = radius[:, None] * np.stack([np.sin(ar) * np.cos(turn), np.sin(ar) * np.sin(turn), np.cos(ar)], 1)
    rng = np.random.default_rng(7)
    fibre = sum(np.sin(k * turn + rng.uniform(0, 6.28)) / 3 for k in (7, 11, 16, 23))
    depth = np.clip((at - PUPIL) / (IRIS - PUPIL), 0, 1)
    light = 0.5 - 0.5 * np.sin(turn)  # from below
    iris = blend(colour("#3b6f78"), colour("#8fd0c9"), np.clip(0.18 + 0.55 * light + 0.10 * fibre, 0, 1))
    iris = blend(iris, colour("#b98b4a"), 0.45 * smoothstep(0.45, 0.0, depth))
    iris = blend(iris, colour("#10262c"), 0.92 * smoothstep(0.72, 1.0, depth))
    white = blend(colour("#f4f1ee"), colour("#e2b9ae"), 0.75 * smoothstep(50, 88, at))
    c = blend(iris, white, smoothstep(IRIS - 0.6, IRIS + 1.4, at))
    c = blend(colour("#07090b") + 0 * c, c, smoothstep(PUPIL - 0.7, PUPIL + 1.0, at))
    side = "Left" if sign > 0 else "Right"
    origin = np.zeros(3)
    moves = {
        f"eyeLookUp{side}": rotated(points, origin, "x", -LOOK_UP) - points,
        f"eyeLookDown{side}": rotated(points, origin, "x", LOOK_DOWN) - points,
        f"eyeLookIn{side}": rotated(points, origin, "y", -sign * LOOK_ASIDE) - points,
        f"eyeLookOut{side}": rotated(points, origin, "y", sign * LOOK_ASIDE) - points,
    }
    return Part(f"eye{side}", "eye", points, net(len(rings), len(turns), around=True), f"{side.lower()}Eye", c, moves)


def _lash_points(p: F64, upper: I64, middle: F64, sign: float) -> F64:
    """The lashes of an upper lid, of where the skin's points are: a fringe that is longest outwards, 4 rows."""
    edge = p[upper]
    t = np.linspace(0, 1, len(edge)) if sign > 0 else np.linspace(1, 0, len(edge))  # 0 at the nose
    out = unit(edge - middle)
    long = (0.006 + 0.034 * smoothstep(0.05, 0.85, t)) * smoothstep(-0.02, 0.10, t) * smoothstep(1.0, 0.70, t)
    aside = np.stack([sign * 0.50 * smoothstep(0.35, 1.0, t), np.full_like(t, 0.15), 0 * t], 1)
    rows = []
    for away, up, thick in ((-0.004, 0.006, 0), (0.45, 0.10, 0), (1.0, 0.55, 0), (-0.004, 0.010, 1)):
        rows.append(
            edge
            + (out + aside) * (away * long)[:, None]
            + np.stack([0 * t, up * long + 0.004 * thick * smoothstep(1.0, 0.7, t), 0 * t + 0.004], 1)
        )
    return f64(np.concatenate(rows))


def _following(
    points_of: Callable[[F64], F64], on: Skin, shapes: Mapping[str, F64], *rims: I64
) -> tuple[F64, dict[str, F64]]:
    """(what the skin at rest makes of it, how each shape that moves one of the rims moves it)."""
    points = points_of(on.rest)
    moved = {name: move for name, move in shapes.items() if sum(abs(move[rim]).max() for rim in rims) > 1e-4}
    return points, {name: points_of(on.rest + move) - points for name, move in moved.items()}


def lashes(on: Skin, shapes: Mapping[str, F64], sign: float) -> Part:
    """The lashes of one eye."""
    side = "Left" if sign > 0 else "Right"
    upper, _ = on.slits[f"eye{side}"]
    middle = EYE * (sign, 1, 1)
    points, moves = _following(lambda p: _lash_points(p, upper, middle, sign), on, shapes, upper)
    return Part(f"lashes{side}", "lashes", points, net(4, len(upper), around=False), moves=moves)


def _shade_points(p: F64, upper: I64, lower: I64, middle: F64) -> F64:
    rows = []
    for t in (0.0, 0.10, 0.22, 0.36, 0.55, 0.80, 1.0):
        between = unit(p[upper] - middle) * (1 - t) + unit(p[lower] - middle) * t
        rows.append(middle + unit(between) * (EYE_RADIUS + 0.0035))
    return f64(np.concatenate(rows))


def eye_shade(on: Skin, shapes: Mapping[str, F64], sign: float) -> Part:
    """The lids' shadow on an eye: a film just over it, as dark as the lid is near."""
    side = "Left" if sign > 0 else "Right"
    upper, lower = on.slits[f"eye{side}"]
    middle = EYE * (sign, 1, 1)
    points, moves = _following(lambda p: _shade_points(p, upper, lower, middle), on, shapes, upper, lower)
    n = len(upper)
    down = np.repeat([0.72, 0.46, 0.24, 0.10, 0.02, 0.05, 0.26], n)
    ends = np.tile(1 - np.sqrt(np.clip(1 - np.linspace(-1, 1, n) ** 2, 0, 1)), 7)
    alpha = np.clip(down + 0.30 * ends**2, 0, 0.8)
    c = np.concatenate([np.tile(colour("#3a1712"), (7 * n, 1)), alpha[:, None]], 1)
    return Part(f"eyeShade{side}", "shade", points, net(7, n, around=False), colours=c, moves=moves)


def glint(sign: float) -> Part:
    """The light in an eye, which stays where it is when the eye turns: a large spot, and a small one across."""
    points: list[F64] = []
    colours: list[F64] = []
    triangles: list[I64] = []
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    for (x, y), radius, strength in (((-0.055, 0.060), 0.027, 0.95), ((0.050, -0.052), 0.015, 0.40)):
        at = len(points) * 61
        spot = [
            f64([(x, y)]),
            *(f64((x, y)) + r * radius * np.stack([np.cos(turn), np.sin(turn)], 1) for r in (0.55, 0.8, 1.0)),
        ]
        flat = np.concatenate(spot)
        depth = np.sqrt((EYE_RADIUS + 0.008) ** 2 - (flat**2).sum(1))
        points.append(np.concatenate([flat, depth[:, None]], 1))
        alpha = strength * np.concatenate([[1.0], np.repeat([1.0, 0.8, 0.0], 20)])
        colours.append(np.concatenate([np.ones((61, 3)), alpha[:, None]], 1))
        following = np.roll(np.arange(20), -1)
        triangles.append(at + np.stack([np.zeros(20, int), 1 + np.arange(20), 1 + following], 1))
        for ring in (1, 21):
            a, b = ring + np.arange(20), ring + following
            triangles.append(at + np.concatenate([np.stack([a, a + 20, b + 20], 1), np.stack([a, b + 20, b], 1)]))
    side = "Left" if sign > 0 else "Right"
    here = np.concatenate(points) + EYE * (sign, 1, 1)
    return Part(f"glint{side}", "glint", f64(here), np.concatenate(triangles), colours=np.concatenate(colours))


class Carried:
    """Takes points along with the skin near them."""

    def __init__(self, on: Skin, points: F64, near: int = 8) -> None:
        front = np.flatnonzero(on.behind < 0)[: on.count]
        front = front[on.neck[front] == 0]
        far = ((points[:, None, :] - on.rest[None, front, :]) ** 2).sum(-1)
        nearest = np.argpartition(far, near, axis=1)[:, :near]
        weight = 1 / (np.take_along_axis(far, nearest, 1) + 2e-4)
        self._of, self._weight = front[nearest], weight / weight.sum(1, keepdims=True)

    def moves(self, shapes: Mapping[str, F64]) -> dict[str, F64]:
        """Their movements, those that are not 0 everywhere."""
        made = {name: np.einsum("ij,ijk->ik", self._weight, move[self._of]) for name, move in shapes.items()}
        return {name: f64(move) for name, move in made.items() if abs(move).max() > 1e-4}


def brow(on: Skin, shapes: Mapping[str, F64], sign: float) -> Part:
    """One eyebrow, a low ridge that lies on the skin."""
    t = np.linspace(0, 1, 22)
    u = 8.2 + 29.5 * t
    e = 28.8 + 4.4 * np.sin(np.pi * np.clip(t * 0.84 + 0.04, 0, 1)) - 2.2 * t**3 + 0.7 * (1 - t) ** 3
    half = (1.60 * (1 - 0.55 * t) * np.sqrt(smoothstep(-0.02, 0.20, t)) + 0.04) * smoothstep(1.06, 0.70, t)
    across = np.linspace(-1, 1, 7)
    uu, ee = np.broadcast_to(u, (7, 22)), e - across[:, None] * half
    rays = directions(sign * uu.ravel(), ee.ravel())
    points = cast(skin, np.tile(CENTRE, (len(rays), 1)), rays)
    high = (np.sqrt(np.clip(1 - across**2, 0, 1))[:, None] * (0.006 + 0.022 * half / 1.45)).ravel() - 0.004
    carried = Carried(on, points)
    points = points + rays * high[:, None]
    triangles = net(7, 22, around=False)
    side = "Left" if sign > 0 else "Right"
    return Part(
        f"brow{side}", "brows", points, triangles if sign > 0 else triangles[:, ::-1], moves=carried.moves(shapes)
    )
