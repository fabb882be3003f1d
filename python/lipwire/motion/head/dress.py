"""Hair, and something to wear."""

from __future__ import annotations

import numpy as np

from .parts import Part, blend, colour, net
from .sculpt import CENTRE, F64, cast, f64, length, skin, smoothstep, unit
from .sculpt import hair as bulk
from .skin import I64

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


def hair() -> Part:
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
    outer = length(cast(bulk, origins, rays) - CENTRE)
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
    points = np.stack([x, np.broadcast_to(y[:, None], x.shape) - drop, zz], -1).reshape(-1, 3)
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
