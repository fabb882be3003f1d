"""The skin: one net over the head, with slits for the eyes and the mouth.

The net's rows are elevations and its columns azimuths, as seen from the middle of the head. A slit is a stretch of one
row whose points are there twice, for the upper and the lower lip or lid: shut, both lie in the same place, so that
nothing can show between them. What lies inside hangs on the slits: the rims of the lids, and of the lips the whole of
the mouth's wall.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .sculpt import CENTRE, EYE, EYE_RADIUS, F64, cast, directions, f64, length, skin, smoothstep, unit

I64 = NDArray[np.int64]

COLUMNS = (
    *np.arange(0, 38.1, 1.0875),
    *np.arange(40.2, 70, 3.0),
    *np.arange(72.5, 178, 7.4),
)
"""Azimuths of one side, in degrees."""
MOUTH_ROW, EYE_ROW = -29.2, 12.2
"""Elevations at which the lips meet, and the lids where they are shut."""
ROWS = (
    *np.linspace(86, 52, 6, endpoint=False),
    *np.linspace(52, 34, 9, endpoint=False),
    *np.linspace(34, EYE_ROW, 22, endpoint=False),
    *np.linspace(EYE_ROW, 3, 10, endpoint=False),
    *np.linspace(3, -14, 12, endpoint=False),
    *np.linspace(-14, -22.6, 9, endpoint=False),
    *np.linspace(-22.6, MOUTH_ROW, 10, endpoint=False),
    *np.linspace(MOUTH_ROW, -37.4, 12, endpoint=False),
    *np.linspace(-37.4, -50, 9, endpoint=False),
)
"""From the crown to the chin; the neck's follow."""
NECK = 13
"""Rows of the neck."""
MOUTH_HALF = 17.4
"""Half of the mouth, in degrees of azimuth: a column's."""
EYE_FROM, EYE_TO = 10.875, 33.7125
"""Azimuths of the corners of an eye: columns'."""
LIDS = (7.7, 4.5)
"""How far the lids stand open at rest, in degrees above and below the row where they meet."""
REACH = (16.5, 8.6)
"""How far above and below that row the skin follows the lids."""
LIPS = (4.9, 6.2)
"""How high the lips are in the middle, in degrees."""

INNER = (
    (0.014, -0.022, 0.99),
    (0.045, -0.055, 0.98),
    (0.11, -0.090, 0.97),
    (0.20, -0.13, 0.98),
    (0.27, -0.21, 1.02),
    (0.27, -0.34, 1.06),
    (0.23, -0.52, 1.00),
    (0.02, -0.66, 0.70),
)
"""The mouth's wall behind the lips, row by row: away from where they meet, along the depth, how wide it is there."""
HELD = (1.0, 1.0, 0.9, 0.6, 0.25, 0.0, 0.0, 0.0)
"""How much of a lip's own movement each of them takes part in."""


class Skin:
    """The net, its fields, and where its points are with the lids as they are told."""

    def __init__(self) -> None:
        half = f64(COLUMNS)
        self.u_of = np.concatenate([-half[:0:-1], half])
        rows, columns = len(ROWS) + NECK, len(self.u_of)
        self.rows, self.columns = rows, columns
        down = np.linspace(0, 1, NECK + 1)[1:]
        self.e_of = np.concatenate([ROWS, -50 * (1 - down)])
        self.neck_of = np.concatenate([np.zeros(len(ROWS)), down])
        self.mouth_row = ROWS.index(MOUTH_ROW)
        self.eye_row = ROWS.index(EYE_ROW)
        grid = np.arange(rows * columns).reshape(rows, columns)
        self.grid = grid
        self.row, self.column = (a.ravel() for a in np.indices((rows, columns)))
        below = np.zeros(rows * columns, bool)  # of a slit's points: the lower one
        self.quads: list[I64] = []
        lower = grid.copy()  # what the quads under a row take as their upper edge
        self.slits: dict[str, tuple[I64, I64]] = {}
        extra_row, extra_column = [], []
        at = rows * columns
        for name, row, start, stop in (
            ("mouth", self.mouth_row, -MOUTH_HALF, MOUTH_HALF),
            ("eyeLeft", self.eye_row, EYE_FROM, EYE_TO),
            ("eyeRight", self.eye_row, -EYE_TO, -EYE_FROM),
        ):
            a, b = int(np.argmin(abs(self.u_of - start))), int(np.argmin(abs(self.u_of - stop)))
            inside = np.arange(a + 1, b)
            lower[row, inside] = at + np.arange(len(inside))
            extra_row.append(np.full(len(inside), row))
            extra_column.append(inside)
            at += len(inside)
            self.slits[name] = (grid[row, a : b + 1].copy(), lower[row, a : b + 1].copy())
        self.row = np.concatenate([self.row, *extra_row])
        self.column = np.concatenate([self.column, *extra_column])
        below = np.concatenate([below, np.ones(at - rows * columns, bool)])
        self.count = at
        """Points of the net itself; those of the rims and the mouth's wall follow."""
        wrap = np.arange(columns + 1) % columns
        for j in range(rows - 1):
            self.quads.append(
                np.stack([lower[j, wrap[:-1]], grid[j + 1, wrap[:-1]], grid[j + 1, wrap[1:]], lower[j, wrap[1:]]], 1)
            )
        self.u, self.e0 = self.u_of[self.column], self.e_of[self.row]
        self.neck = self.neck_of[self.row]
        self._shape_rows()
        self.under_mouth = (self.row > self.mouth_row) | (below & (self.row == self.mouth_row))
        self.under_eye = (self.row > self.eye_row) | (below & (self.row == self.eye_row))
        self._hang()
        self._relief = self._lip_relief()
        self._cast, self._cast_at = np.zeros((self.count, 3)), np.full(self.count, np.inf)  # of the lids at rest
        self.rest = self.place()
        self.normals = self.normals_of(self.rest)
        self._fields()

    # ---- where points are ---------------------------------------------------------------------------------------

    def _shape_rows(self) -> None:
        """Bends the rows of the mouth and of the eyes: the upper lip's dip, corners of the eyes that rise outwards."""
        s = self.u / MOUTH_HALF
        near = np.exp(-(((self.e0 - MOUTH_ROW) / 5.0) ** 2))
        dip = (
            -0.35 * np.exp(-((s / 0.30) ** 2))
            + 0.30 * np.exp(-(((abs(s) - 0.42) / 0.28) ** 2))
            + 0.55 * s**2 * (abs(s) < 1.5)
        )
        self.e = self.e0 + near * np.where(abs(s) < 1.5, dip, 0.55 * 2.25 * np.exp(1.5 - abs(s)))
        across = (abs(self.u) - 22) / 11
        near = (
            np.exp(-(((self.e0 - EYE_ROW) / 9.0) ** 2))
            * smoothstep(56, 36, abs(self.u))
            * smoothstep(2, 10, abs(self.u))
        )
        self.e = self.e + near * 1.25 * np.clip(across, -1.2, 1.6)
        self.s = s
        self.from_lips = self.e - self.e[self._row_point(self.mouth_row)]
        self.from_lids = self.e - self.e[self._row_point(self.eye_row)]

    def _row_point(self, row: int) -> I64:
        return np.asarray(self.grid[row, self.column], np.int64)

    def lid_shape(self, x: F64, upper: bool) -> F64:
        """How open an eye is in each column, 0..1; `x` is how far from the slit, 0..1."""
        t = (abs(self.u) - (EYE_FROM + EYE_TO) / 2) / ((EYE_TO - EYE_FROM) / 2)
        t = t / (1 + 0.5 * x)
        t = t + (0.16 if upper else -0.20) * (1 - np.minimum(t * t, 1))
        return f64(np.maximum(1 - abs(t) ** 2.3, 0) ** 0.72)

    def place(self, left: tuple[float, float] = (1, 1), right: tuple[float, float] = (1, 1)) -> F64:
        """Every point's place (n, 3). `left`, `right`: how far the upper and the lower lid are open: 1 rest, 0 shut."""
        e = self.e.copy()
        crease = np.zeros(self.count)
        for sign, (up, low) in ((1, left), (-1, right)):
            side = (np.sign(self.u) == sign) & (self.neck == 0)
            for upper, amount, reach, angle in ((True, up, REACH[0], LIDS[0]), (False, low, REACH[1], LIDS[1])):
                part = side & (self.under_eye != upper)
                x = np.clip(abs(self.from_lids) / reach, 0, 2)
                fall = ((1 - x) + np.sqrt((1 - x) ** 2 + 0.02)) / (1 + np.sqrt(1.02))
                shape = self.lid_shape(np.clip(x, 0, 1.2), upper)
                e = np.where(part, e + (1 if upper else -1) * amount * angle * shape * fall, e)
                if upper:
                    fold = 0.020 * np.exp(-(((x - 0.40) / 0.10) ** 2)) * shape * np.clip(0.35 + 0.65 * amount, 0, 1.2)
                else:
                    fold = 0.006 * np.exp(-(((x - 0.55) / 0.16) ** 2)) * shape
                crease = np.where(part, fold, crease)
        rays = directions(self.u, e)
        moved = np.flatnonzero(abs(e - self._cast_at) > 1e-9)
        origins = CENTRE + self.neck[moved, None] * (0, -1.62, -0.34)
        points = self._cast.copy()
        points[moved] = cast(skin, origins, rays[moved])
        if len(moved) == self.count:
            self._cast, self._cast_at = points, e
        points = points + rays * (self._relief - crease)[:, None]
        return np.concatenate([points, *(hang(points) for hang in self._hangers)])

    def _lip_relief(self) -> F64:
        """How far the lips stand out of the skin."""
        s = np.clip(abs(self.s), 0, 1)
        taper = np.sqrt(1 - s**2)
        d_up, d_low = self._lip_distance()
        out = np.zeros(self.count)
        for under, d, high in ((False, d_up, 0.032), (True, d_low, 0.044)):
            belly = np.sin(np.pi * np.clip((d + 0.30) / 1.30, 0, 1)) ** 1.15
            line = np.exp(-((d / 0.16) ** 2))
            edge = 0.10 * np.exp(-(((d - 1.02) / 0.12) ** 2)) if not under else 0
            even = (high - 0.032) * np.sin(np.pi * 0.30 / 1.30) ** 1.15 * taper**0.8  # both lips meet at one height
            relief = taper**0.8 * high * (belly + edge) - (0.028 * taper + 0.010 + even) * line
            out = np.where(self.under_mouth == under, np.where(abs(self.s) <= 1, relief, 0), out)
        beyond = (abs(self.s) > 1) & (abs(self.s) < 1.4)
        pit = 0.014 * np.exp(-(((abs(self.s) - 1.02) / 0.09) ** 2) - (self.from_lips / 1.6) ** 2)
        return f64(np.where(beyond | (abs(self.s) <= 1), out - pit, out))

    def _lip_distance(self) -> tuple[F64, F64]:
        """Of points above and below the slit: 0 there, 1 at the edge of the red."""
        s = np.clip(abs(self.s), 0, 0.999)
        up = (
            LIPS[0]
            * (1 - s**2.2) ** 0.75
            * (1 - 0.20 * np.exp(-((s / 0.13) ** 2)) + 0.07 * np.exp(-(((s - 0.27) / 0.16) ** 2)))
        )
        low = LIPS[1] * (1 - s**2.4) ** 0.70
        d = abs(self.from_lips)
        return f64(d / np.maximum(up, 0.5)), f64(d / np.maximum(low, 0.5))

    # ---- what hangs on the slits --------------------------------------------------------------------------------

    def _hang(self) -> None:
        """The rims of the lids and the wall of the mouth: more points and quads."""
        self._hangers: list[Callable[[F64], F64]] = []
        self.at_slit: list[I64] = [np.arange(self.count)]  # of each point the net's point whose fields it has
        self.depth: list[F64] = [np.full(self.count, -1.0)]  # rows behind the lips; -1: the net's own
        self.inner_lower: list[NDArray[np.bool_]] = [self.under_mouth]
        at = self.count
        for name, sign in (("eyeLeft", 1), ("eyeRight", -1)):
            for edge, upper in zip(self.slits[name], (True, False), strict=True):
                middle = EYE * (sign, 1, 1)
                for step, radius in enumerate((EYE_RADIUS + 0.006, EYE_RADIUS * 0.94)):
                    self._hangers.append(partial(_on_ball, edge, middle, radius))
                    before = edge if step == 0 else np.arange(at - len(edge), at)
                    self._strip(before, np.arange(at, at + len(edge)), upper)
                    at += len(edge)
                    self.at_slit.append(edge)
                    self.depth.append(np.full(len(edge), -1.0))
                    self.inner_lower.append(np.zeros(len(edge), bool))
        ends = []
        for edge, upper in zip(self.slits["mouth"], (True, False), strict=True):
            s = np.clip(abs(self.s[edge]), 0, 1)
            taper = np.sqrt(1 - s**2)
            before = edge
            for k, (away, depth, wide) in enumerate(INNER):
                sign = 1 if upper else -1
                move = np.stack([np.zeros(len(edge)), sign * away * taper**0.7, np.full(len(edge), depth)], 1)
                self._hangers.append(partial(_behind, edge, move, wide))
                new = np.arange(at, at + len(edge))
                self._strip(before, new, upper)
                before = new
                at += len(edge)
                self.at_slit.append(edge)
                self.depth.append(np.full(len(edge), float(k)))
                self.inner_lower.append(np.full(len(edge), not upper))
            ends.append(before)
        self._strip(ends[0], ends[1], True)
        self.total = at
        self.from_net = np.concatenate(self.at_slit)
        self.behind = np.concatenate(self.depth)
        self.lower = np.concatenate(self.inner_lower)
        self.triangles = self._triangles()

    def _strip(self, outer: I64, inner: I64, upper: bool) -> None:
        """Quads from a row to the next one inwards, seen from the front: of an upper slit the inner row is below."""
        a, b = (outer, inner) if upper else (inner, outer)
        self.quads.append(np.stack([a[:-1], b[:-1], b[1:], a[1:]], 1))

    def _triangles(self) -> I64:
        """Each quad cut along the diagonal whose ends are as alike as can be, seen from the red of the lips."""
        quads = np.concatenate(self.quads)
        d_up, d_low = self._lip_distance()
        red = np.clip(np.where(self.under_mouth, d_low, d_up), 0, 2)[self.from_net]
        a, b, c, d = quads.T
        other = abs(red[a] - red[c]) > abs(red[b] - red[d]) + 1e-6
        # Where nothing is to choose, both halves of the face are each other's mirror image.
        other |= (abs(abs(red[a] - red[c]) - abs(red[b] - red[d])) <= 1e-6) & (self.u[self.from_net[a]] < 0)
        one, two = quads[~other], quads[other]
        cuts = [one[:, [0, 1, 2]], one[:, [0, 2, 3]], two[:, [0, 1, 3]], two[:, [1, 2, 3]]]
        return np.concatenate(cuts)

    def normals_of(self, points: F64) -> F64:
        """Normals (n, 3) by the areas of the faces around; alike where points of different rows lie in one place at
        the ends of slits."""
        return vertex_normals(points, self.triangles)

    # ---- fields -------------------------------------------------------------------------------------------------

    def _fields(self) -> None:
        """What the expressions are made of, for each point, 0..1."""
        net = self.from_net
        s, q = self.s[net], -self.from_lips[net]
        behind = self.behind >= 0
        q = np.where(behind, 0, q)
        inside = 1 - (s / (1 + abs(q) / 22)) ** 2
        wide = np.sqrt((inside + np.sqrt(inside**2 + (0.045 * np.minimum(abs(q), 12)) ** 2)) / 2)
        wide = np.minimum(wide, 1)
        jaw = np.where(
            self.lower,
            0.5 + 0.5 * wide + (0.5 - 0.5 * wide) * smoothstep(0, 15, q),
            (0.5 - 0.5 * wide) * smoothstep(17, 0, -q),
        )
        back = np.select([self.behind == len(INNER) - 1, self.behind == len(INNER) - 2], [1.0, 0.4], 0.0)
        jaw = jaw * (1 - back) + 0.45 * back
        share = smoothstep(84, 32, abs(self.u[net])) * smoothstep(0.62, 0.04, self.neck[net])
        self.jaw = jaw * share
        """With a slit between the lips: which of them opens with the jaw."""
        together = np.where(q > 0, 0.5 + 0.5 * smoothstep(0, 15, q), 0.5 * smoothstep(17, 0, -q))
        self.jaw_shut = (together * (1 - back) + 0.45 * back) * share
        """Without one: both lips go half of the way."""
        taper = np.sqrt(np.clip(1 - s**2, 0, 1))
        held = np.where(behind, f64(HELD)[np.maximum(self.behind, 0).astype(int)], 1.0)
        d_up, d_low = (d[net] for d in self._lip_distance())
        at = np.where(behind, 0, 1)
        self.upper_lip = np.where(~self.lower, taper * held * smoothstep(2.5, 0.8, d_up * at), 0)
        self.lower_lip = np.where(self.lower, taper * held * smoothstep(2.3, 0.8, d_low * at), 0)
        self.d_up, self.d_low, self.held, self.q = d_up, d_low, held, q
        self.left = smoothstep(-0.09, 0.09, self.rest[:, 0])


def _on_ball(edge: I64, middle: F64, radius: float, points: F64) -> F64:
    """Points of an edge, drawn to a ball's surface."""
    return f64(middle + unit(points[edge] - middle) * radius)


def _behind(edge: I64, move: F64, wide: float, points: F64) -> F64:
    """Points of an edge, moved, and drawn together or apart."""
    return f64((points[edge] + move) * (wide, 1, 1))


def vertex_normals(points: F64, triangles: I64) -> F64:
    """Unit normals (n, 3): the sum of the faces' around each point, by their areas."""
    a, b, c = (points[triangles[:, i]] for i in range(3))
    faces = np.cross(b - a, c - a)
    out = np.zeros_like(points)
    for axis in range(3):
        for corner in range(3):
            out[:, axis] += np.bincount(triangles[:, corner], faces[:, axis], len(points))
    return np.where(length(out)[:, None] > 1e-14, unit(out), (0.0, 0.0, 1.0))
