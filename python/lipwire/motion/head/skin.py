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
    """The net, its fields, and where its points are with the lids as they are told. Points of the net come first, then
    those that hang on its slits."""

    def __init__(self) -> None:
        self.quads: list[I64] = []
        self.slits: dict[str, tuple[I64, I64]] = {}
        """The upper and the lower points of each, from its one end to the other, which they share."""
        half = f64(COLUMNS)
        self._weave(np.concatenate([-half[:0:-1], half]))
        self._shape_rows()
        self._hang()
        self._relief = self._lip_relief()
        e, _ = self._open_lids((1, 1), (1, 1))
        self._rest_e = e
        self._rest_cast = cast(skin, self._origins, directions(self.u, e))
        self.rest = self.place()
        """Every point's place (n, 3), at rest."""
        self._fields()

    def _weave(self, u_of: F64) -> None:
        """The net: rows, columns, slits, and quads between them."""
        rows, columns = len(ROWS) + NECK, len(u_of)
        down = np.linspace(0, 1, NECK + 1)[1:]
        e_of, neck_of = np.concatenate([ROWS, -50 * (1 - down)]), np.concatenate([np.zeros(len(ROWS)), down])
        mouth_row, eye_row = ROWS.index(MOUTH_ROW), ROWS.index(EYE_ROW)
        grid = np.arange(rows * columns).reshape(rows, columns)
        lower = grid.copy()  # what the quads under a row take as their upper edge
        twice: list[tuple[int, int]] = []  # row and column of a slit's lower points
        for name, row, start, stop in (
            ("mouth", mouth_row, -MOUTH_HALF, MOUTH_HALF),
            ("eyeLeft", eye_row, EYE_FROM, EYE_TO),
            ("eyeRight", eye_row, -EYE_TO, -EYE_FROM),
        ):
            a, b = int(np.argmin(abs(u_of - start))), int(np.argmin(abs(u_of - stop)))
            lower[row, a + 1 : b] = grid.size + len(twice) + np.arange(b - a - 1)
            twice += [(row, column) for column in range(a + 1, b)]
            self.slits[name] = (grid[row, a : b + 1], lower[row, a : b + 1].copy())
        self.count = grid.size + len(twice)
        """Points of the net."""
        upper_edge, lower_edge = (np.concatenate([points, points[:, :1]], 1) for points in (lower[:-1], grid[1:]))
        corners = [upper_edge[:, :-1], lower_edge[:, :-1], lower_edge[:, 1:], upper_edge[:, 1:]]
        self.quads.append(np.stack(corners, -1).reshape(-1, 4))
        at = np.concatenate([np.indices(grid.shape).reshape(2, -1), np.array(twice).T], 1)
        self.row, self.column = at
        self.u, self.e0, self.neck = u_of[self.column], e_of[self.row], neck_of[self.row]
        """Of each point: azimuth and elevation in degrees, rows still straight; 0 on the head, to 1 down the neck."""
        is_lower = np.arange(self.count) >= grid.size
        self.under_mouth = (self.row > mouth_row) | (is_lower & (self.row == mouth_row))
        self.under_eye = (self.row > eye_row) | (is_lower & (self.row == eye_row))
        self._beside_mouth, self._beside_eyes = grid[mouth_row, self.column], grid[eye_row, self.column]
        self._origins = CENTRE + self.neck[:, None] * (0, -1.62, -0.34)

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
        self.from_lips = self.e - self.e[self._beside_mouth]
        self.from_lids = self.e - self.e[self._beside_eyes]

    def lid_shape(self, x: F64, upper: bool) -> F64:
        """How open an eye is in each column, 0..1; `x` is how far from the slit, 0..1."""
        t = (abs(self.u) - (EYE_FROM + EYE_TO) / 2) / ((EYE_TO - EYE_FROM) / 2)
        t = t / (1 + 0.5 * x)
        t = t + (0.16 if upper else -0.20) * (1 - np.minimum(t * t, 1))
        return f64(np.maximum(1 - abs(t) ** 2.3, 0) ** 0.72)

    def place(self, left: tuple[float, float] = (1, 1), right: tuple[float, float] = (1, 1)) -> F64:
        """Every point's place (n, 3). `left`, `right`: how far the upper and the lower lid are open: 1 rest, 0 shut."""
        e, crease = self._open_lids(left, right)
        rays = directions(self.u, e)
        moved = np.flatnonzero(e != self._rest_e)
        points = self._rest_cast.copy()
        points[moved] = cast(skin, self._origins[moved], rays[moved])
        points += rays * (self._relief - crease)[:, None]
        return np.concatenate([points, *(hang(points) for hang in self._hangers)])

    def _open_lids(self, left: tuple[float, float], right: tuple[float, float]) -> tuple[F64, F64]:
        """The points' elevations, and how deep the lids' folds are."""
        e, crease = self.e.copy(), np.zeros(self.count)
        for sign, (up, low) in ((1, left), (-1, right)):
            side = (np.sign(self.u) == sign) & (self.neck == 0)
            for upper, amount, reach, angle in ((True, up, REACH[0], LIDS[0]), (False, low, REACH[1], LIDS[1])):
                part = side & (self.under_eye != upper)
                x = np.clip(abs(self.from_lids) / reach, 0, 2)
                fall = ((1 - x) + np.sqrt((1 - x) ** 2 + 0.02)) / (1 + np.sqrt(1.02))
                shape = self.lid_shape(np.clip(x, 0, 1.2), upper)
                e = np.where(part, e + (1 if upper else -1) * amount * angle * shape * fall, e)
                if upper:
                    fold = 0.020 * np.exp(-(((x - 0.40) / 0.10) ** 2)) * np.clip(0.35 + 0.65 * amount, 0, 1.2)
                else:
                    fold = 0.006 * np.exp(-(((x - 0.55) / 0.16) ** 2))
                crease = np.where(part, fold * shape, crease)
        return e, crease

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
        self._begun: list[tuple[I64, int, NDArray[np.bool_]]] = [
            (np.arange(self.count), -1, self.under_mouth)
        ]  # of each row: the net's points that it goes with, how far behind the lips, whether under the mouth's slit
        for name, sign in (("eyeLeft", 1), ("eyeRight", -1)):
            for edge, upper in zip(self.slits[name], (True, False), strict=True):
                before = edge
                for radius in (EYE_RADIUS + 0.006, EYE_RADIUS * 0.94):
                    hang = partial(_on_ball, edge, EYE * (sign, 1, 1), radius)
                    before = self._add_row(hang, edge, before, upper, -1, lower=False)
        ends = []
        for edge, upper in zip(self.slits["mouth"], (True, False), strict=True):
            taper = np.sqrt(1 - np.clip(self.s[edge] ** 2, 0, 1))
            before = edge
            for k, (away, depth, wide) in enumerate(INNER):
                up = (1 if upper else -1) * away * taper**0.7
                move = np.stack([0 * up, up, np.full(len(edge), depth)], 1)
                before = self._add_row(partial(_behind, edge, move, wide), edge, before, upper, k, lower=not upper)
            ends.append(before)
        self._strip(ends[0], ends[1], True)
        self.from_net = np.concatenate([edge for edge, _, _ in self._begun])
        """Of every point the one of the net whose place among rows and columns it has."""
        self.behind = np.concatenate([np.full(len(edge), k) for edge, k, _ in self._begun])
        """Which row of the mouth's wall a point is of; -1: none."""
        self.lower = np.concatenate([lower for _, _, lower in self._begun])
        """Whether a point is under the mouth's slit, or hangs on its lower edge."""
        self.total = len(self.from_net)
        self.triangles = self._triangles()

    def _add_row(
        self, hang: Callable[[F64], F64], edge: I64, before: I64, upper: bool, behind: int, *, lower: bool
    ) -> I64:
        """Another row that hangs on an edge, after the row `before`: its points."""
        start = sum(len(points) for points, _, _ in self._begun)
        new = np.arange(start, start + len(edge))
        self._hangers.append(hang)
        self._strip(before, new, upper)
        self._begun.append((edge, behind, np.full(len(edge), lower)))
        return new

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
        held = np.where(behind, f64(HELD)[np.maximum(self.behind, 0)], 1.0)
        d_up, d_low = (d[net] for d in self._lip_distance())
        at = np.where(behind, 0, 1)
        self.upper_lip = np.where(~self.lower, taper * held * smoothstep(2.5, 0.8, d_up * at), 0)
        self.lower_lip = np.where(self.lower, taper * held * smoothstep(2.3, 0.8, d_low * at), 0)
        """Each lip with what is near it, for movements that part them."""
        self.d_up, self.d_low, self.held, self.q = d_up, d_low, held, q
        """Distances from the slit, 1 at the edge of the red; how much the lips' own movements take along; degrees below
        the slit."""
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
