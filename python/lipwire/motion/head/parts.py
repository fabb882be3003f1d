"""What a head has besides its skin: eyes, lashes, brows, teeth, tongue, hair, and something to wear."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from ..gltf import LOOK_ASIDE, LOOK_DOWN, LOOK_UP
from .expressions import jaw_moves, rotated
from .sculpt import CENTRE, EYE, EYE_RADIUS, F64, cast, directions, f64, hair, length, skin, smoothstep, unit
from .skin import I64, Skin


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


def net(rows: int, columns: int, *, around: bool, first: int = 0) -> I64:
    """Triangles of a grid of points in row order, seen from where columns run to the right and rows run down."""
    grid = np.arange(rows * columns).reshape(rows, columns) + first
    if around:
        grid = np.concatenate([grid, grid[:, :1]], 1)
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])


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


# ---- eyes -----------------------------------------------------------------------------------------------------------

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


def lashes(on: Skin, shapes: Mapping[str, F64], sign: float) -> Part:
    """The lashes of one eye."""
    side = "Left" if sign > 0 else "Right"
    upper, _ = on.slits[f"eye{side}"]
    middle = EYE * (sign, 1, 1)
    points = _lash_points(on.rest, upper, middle, sign)
    moves = {
        name: _lash_points(on.rest + move, upper, middle, sign) - points
        for name, move in shapes.items()
        if abs(move[upper]).max() > 1e-4
    }
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
    points = _shade_points(on.rest, upper, lower, middle)
    moves = {
        name: _shade_points(on.rest + move, upper, lower, middle) - points
        for name, move in shapes.items()
        if abs(move[upper]).max() + abs(move[lower]).max() > 1e-4
    }
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


# ---- the mouth ------------------------------------------------------------------------------------------------------


def _arch(at: F64, wide: float, front: float, deep: float) -> tuple[F64, F64]:
    """Places (n, 3) along the arch of the teeth, `at` decimetres from its middle, and directions along it."""
    t = np.linspace(-1, 1, 401)
    curve = np.stack([wide * np.sin(t * np.pi / 2), 0 * t, front - deep * (1 - np.cos(t * np.pi / 2))], 1)
    way = np.concatenate([[0], np.cumsum(length(np.diff(curve, axis=0)))]) - 0.0
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
    name, parent = ("Upper", "head") if upper else ("Lower", "head")
    moves = {} if upper else jaw_moves(points)
    gum_moves = {} if upper else jaw_moves(f64(rope))
    return [
        Part(f"teeth{name}", "teeth", points, f64(np.concatenate(all_triangles)).astype(np.int64), parent, c, moves),
        Part(f"gum{name}", "gum", f64(rope), net(n, turns, around=True), parent, None, gum_moves),
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


# ---- hair and clothes -----------------------------------------------------------------------------------------------

EDGE = f64(
    [
        *((-180, -41), (-120, -43), (-75, -44), (-52, -43), (-44, -33), (-40.5, -12), (-39, 4), (-36.5, 17), (-31, 28)),
        *(
            (-22, 37),
            (-10, 43),
            (4, 48),
            (16, 52.5),
            (22, 52),
            (29, 43),
            (34.5, 28),
            (38, 12),
            (40, -4),
            (42, -22),
            (46, -37),
        ),
        *((54, -43), (75, -44), (120, -43), (180, -41)),
    ]
)
"""The hair's edge: azimuth, elevation. It is parted on the person's left."""
PART = unit(f64((0.34, 1.0, 0.62)))
"""Where the hair grows from."""


def hair_part() -> Part:
    """The hair: a shell of strands from the parting down, turned in at its edge."""
    columns, rows = 220, 40
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    a = unit(np.cross(PART, (0.0, 0.0, 1.0)))
    b = np.cross(PART, a)

    def at(angle: F64) -> F64:
        return f64(
            np.cos(angle)[..., None] * PART
            + np.sin(angle)[..., None] * (np.cos(turn)[..., None] * a + np.sin(turn)[..., None] * b)
        )

    def inside(rays: F64) -> F64:
        u = np.degrees(np.arctan2(rays[..., 0], rays[..., 2]))
        return np.degrees(np.arcsin(np.clip(rays[..., 1], -1, 1))) - np.interp(u, EDGE[:, 0], EDGE[:, 1])

    grid = np.linspace(0.01, np.pi - 0.05, 700)
    wild = np.stack([inside(at(np.full(columns, g))) for g in grid])
    first = np.argmax(wild < 0, axis=0)
    last = grid[np.maximum(first, 1)]
    # The edge of the strands, a little uneven as strands are.
    for _ in range(2):
        last = (np.roll(last, 1) + 2 * last + np.roll(last, -1)) / 4
    t = np.linspace(0, 1, rows) ** 0.85
    rays = at(0.02 + (last - 0.02) * t[:, None]).reshape(-1, 3)
    origins = np.tile(CENTRE, (len(rays), 1))
    outer = length(cast(hair, origins, rays) - CENTRE)
    head = length(cast(skin, origins, rays) - CENTRE)
    outer = np.maximum(outer, head + 0.075)
    rng = np.random.default_rng(11)
    tt, column = np.repeat(t, columns), np.tile(turn, rows)
    lock = np.zeros(len(rays))
    for k in (13, 21, 34, 47):
        lock += np.sin(k * column + rng.uniform(0, 2 * np.pi) + 1.2 * np.sin(3 * column + 2.0 * tt)) / k**0.5
    lock = lock / 0.45
    arc = np.repeat(1 - t, columns) * np.tile(last, rows)  # radians to the edge
    low = smoothstep(-25, -38, np.degrees(np.arcsin(rays[:, 1])))
    rim = np.clip(arc / (0.26 - 0.08 * low), 0, 1)
    round_off = np.sqrt(1 - (1 - rim) ** 2)
    full = outer + 0.014 * lock * smoothstep(0.02, 0.35, tt) - 0.03 * smoothstep(0.16, 0.0, tt)
    base = np.minimum(head - 0.10, outer * 0.90)
    radius = base + (full - base) * round_off
    points = CENTRE + rays * radius[:, None]
    shade = np.clip(0.50 + 0.16 * lock + 0.22 * smoothstep(0.25, 0.6, tt) - 0.35 * smoothstep(0.14, 0.0, tt), 0, 1)
    c = blend(colour("#2a1712"), colour("#6d3f28"), shade)
    # Where it hangs free it is turned in: towards the middle and up again, dark. Elsewhere its edge is in the skin.
    edge_rays, edge_radius = rays[-columns:], radius[-columns:]
    extra = []
    for inwards, up in ((0.93, 0.02), (0.80, 0.10), (0.62, 0.30)):
        extra.append(CENTRE + edge_rays * (edge_radius * inwards)[:, None] + f64((0, up, 0)))
    points = np.concatenate([points, *extra, f64([points[:columns].mean(0)])])
    c = np.concatenate([c, np.tile(colour("#1a0d0a"), (3 * columns, 1)), c[:1]])
    triangles = net(rows + 3, columns, around=True)
    free = edge_rays[:, 1] < -0.30
    hidden = (triangles >= rows * columns).any(1) & ~free[triangles % columns].any(1)
    triangles = triangles[~hidden]
    fan = np.stack([np.full(columns, len(points) - 1), np.arange(columns), (np.arange(columns) + 1) % columns], 1)
    triangles = np.concatenate([triangles, fan])
    if _inside_out(points, triangles):
        triangles = triangles[:, ::-1]
    return Part("hair", "hair", f64(points), triangles, "head", c)


def _inside_out(points: F64, triangles: I64) -> bool:
    a, b, c = (points[triangles[:, i]] - CENTRE for i in range(3))
    return bool(np.einsum("ij,ij->", a, np.cross(b, c)) < 0)


def clothes() -> Part:
    """Shoulders in a sweater with a round collar."""
    sections = f64(
        [  # y, half width, half depth, z, roundness
            (-1.28, 0.395, 0.40, -0.275, 2.0),
            (-1.205, 0.425, 0.43, -0.265, 2.0),
            (-1.20, 0.465, 0.47, -0.26, 2.0),
            (-1.24, 0.505, 0.505, -0.255, 2.0),
            (-1.32, 0.525, 0.52, -0.255, 2.0),
            (-1.385, 0.530, 0.515, -0.26, 2.0),
            (-1.43, 0.60, 0.53, -0.27, 2.0),
            (-1.50, 0.78, 0.56, -0.28, 2.1),
            (-1.58, 1.00, 0.59, -0.29, 2.2),
            (-1.68, 1.20, 0.62, -0.30, 2.3),
            (-1.80, 1.35, 0.65, -0.30, 2.4),
            (-1.96, 1.45, 0.69, -0.29, 2.5),
            (-2.20, 1.50, 0.74, -0.27, 2.6),
            (-2.60, 1.50, 0.78, -0.25, 2.6),
            (-3.00, 1.48, 0.78, -0.25, 2.6),
        ]
    )
    fine = np.linspace(0, len(sections) - 1, 57)
    y, wide, deep, z, power = (_smooth(fine, sections[:, i]) for i in range(5))
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    s, c = np.sin(turn), np.cos(turn)

    def signed(v: F64) -> F64:
        return f64(np.sign(v) * abs(v) ** (2 / power[:, None]))

    x = wide[:, None] * signed(np.tile(s, (len(y), 1)))
    zz = z[:, None] + deep[:, None] * signed(np.tile(c, (len(y), 1)))
    # The collar lies lower in front.
    drop = 0.085 * (0.5 + 0.5 * c)[None] * smoothstep(-1.75, -1.25, y)[:, None]
    rib = 0.004 * np.cos(36 * turn)[None] * (smoothstep(-1.40, -1.36, y) * smoothstep(-1.19, -1.22, y))[:, None] * 0
    points = np.stack([x + rib, np.broadcast_to(y[:, None], x.shape) - drop, zz], -1).reshape(-1, 3)
    shade = np.repeat(smoothstep(-1.46, -1.36, y) * 0.35, len(turn))
    tint = blend(colour("#3f6f7a"), colour("#2c525c"), shade)
    return Part("clothes", "clothes", f64(points), net(len(y), len(turn), around=True), "", tint)


def _smooth(at: F64, values: F64) -> F64:
    """A Catmull-Rom curve through values 0, 1, 2..."""
    v = np.concatenate([[2 * values[0] - values[1]], values, [2 * values[-1] - values[-2]]])
    i = np.minimum(at.astype(int), len(values) - 2)
    t = at - i
    p0, p1, p2, p3 = (v[i + k] for k in range(4))
    return f64(p1 + t * ((p2 - p0) / 2 + t * (p0 - 2.5 * p1 + 2 * p2 - p3 / 2 + t * (1.5 * (p1 - p2) + (p3 - p0) / 2))))


def skin_colours(on: Skin) -> F64:
    """The skin's, the lips' and the inside of the mouth's, (n, 3)."""
    p, net_of = on.rest, on.from_net
    c = np.tile(colour("#e7b595"), (on.total, 1))

    def spot(centre: tuple[float, float, float], radius: float) -> F64:
        out = np.zeros(on.total)
        for x in (1, -1):
            out = np.maximum(out, np.exp(-((length((p - f64(centre) * (x, 1, 1)) / radius)) ** 2)))
        return f64(out)

    c = blend(c, colour("#e08c76"), 0.50 * spot((0.36, -0.24, 0.72), 0.19))
    c = blend(c, colour("#de8f78"), 0.42 * spot((0.0, -0.33, 1.03), 0.14))
    c = blend(c, colour("#dd9a80"), 0.30 * spot((0.0, -0.98, 0.80), 0.20))
    c = blend(c, colour("#b5735f"), 0.30 * spot((0.325, 0.08, 0.75), 0.24))
    c = blend(c, colour("#5a2620"), 0.90 * spot((0.058, -0.402, 0.93), 0.036))
    lid = np.zeros(on.total)
    shape = on.lid_shape(np.zeros(on.count), True)
    close = np.exp(-(((on.from_lids) / 2.0) ** 2)) * (shape > 0.02) * (abs(on.from_lids) < 8)
    lid[: on.count] = close
    c = blend(c, colour("#8a4a3e"), 0.40 * lid * ~on.under_eye[on.from_net])
    s = on.s[net_of]
    red = np.where(on.lower, smoothstep(1.18, 0.86, on.d_low), smoothstep(1.22, 0.84, on.d_up))
    red = red * smoothstep(1.03, 0.90, abs(s)) * (on.neck[net_of] == 0) * (abs(on.q) < 12)
    c = blend(c, np.where(on.lower[:, None], colour("#c4605c"), colour("#b95653")), 0.92 * red)
    seam = (
        np.where(on.lower, np.exp(-((on.d_low / 0.12) ** 2)), np.exp(-((on.d_up / 0.12) ** 2)))
        * (abs(s) < 1.02)
        * (on.behind < 0)
    )
    c = blend(c, colour("#7d2f30"), 0.55 * seam * (abs(on.q) < 5))
    behind = on.behind >= 0
    c[behind] = blend(colour("#a14a49"), colour("#2a0a0c"), smoothstep(0.0, 4.5, on.behind[behind]))
    rims = np.arange(on.total) >= on.count
    c[rims & ~behind] = colour("#c98577")
    return c


def everything(on: Skin, shapes: Mapping[str, F64]) -> list[Part]:
    """All parts of the head, the skin first."""
    parts = [Part("face", "skin", on.rest, on.triangles, "skin", skin_colours(on), shapes)]
    for sign in (1.0, -1.0):
        parts += [eye(sign), eye_shade(on, shapes, sign), glint(sign), lashes(on, shapes, sign), brow(on, shapes, sign)]
    return [*parts, *teeth(True), *teeth(False), tongue(), hair_part(), clothes()]
