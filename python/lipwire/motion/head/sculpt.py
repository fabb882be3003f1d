"""The head as clay: signed distances of round shapes, joined softly, and rays that find their surface.

Units are decimetres: a head is about 2.4 high. +Y is up, the face looks along +Z, +X is the person's left. Distances
are those of Inigo Quilez's articles on distance functions (bounds for ellipsoids, exact for capsules).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]

CENTRE = np.array([0.0, -0.15, 0.0])
"""Where the rays of the head start: each meets the surface once."""
EYE = np.array([0.325, 0.050, 0.525])
"""The middle of the left eyeball; the right one's is mirrored."""
EYE_RADIUS = 0.225
LID = 0.022
"""How thick a lid is, over the eyeball."""


def f64(values: ArrayLike) -> F64:
    """As a float64 array."""
    return np.asarray(values, np.float64)


def length(v: F64) -> F64:
    """Of vectors along the last axis."""
    return f64(np.sqrt(np.einsum("...i,...i->...", v, v)))


def unit(v: F64) -> F64:
    """Of length 1; a vector of no length stays."""
    return f64(v / np.maximum(length(v), 1e-12)[..., None])


def smoothstep(lo: float, hi: float, x: ArrayLike) -> F64:
    """0 below lo, 1 above hi, a cubic between; lo > hi falls instead of rising."""
    t = np.clip((f64(x) - lo) / (hi - lo), 0, 1)
    return f64(t * t * (3 - 2 * t))


def join(a: F64, b: F64, soft: float) -> F64:
    """Both shapes, with a seam that is rounded within `soft`."""
    h = np.maximum(soft - np.abs(a - b), 0) / soft
    return f64(np.minimum(a, b) - h * h * soft / 4)


def cut(a: F64, b: F64, soft: float) -> F64:
    """The first without the second."""
    return -join(-a, b, soft)


def ellipsoid(p: F64, centre: ArrayLike, radii: ArrayLike) -> F64:
    """Signed distance (a bound) of points (n, 3) to an ellipsoid along the axes."""
    q = (p - f64(centre)) / f64(radii)
    k = length(q)
    return f64(k * (k - 1) / np.maximum(length(q / f64(radii)), 1e-9))


def capsule(p: F64, a: ArrayLike, b: ArrayLike, ra: float, rb: float) -> F64:
    """Signed distance of points (n, 3) to a rod with round ends, of radius `ra` at `a` and `rb` at `b`."""
    pa, ba = p - f64(a), f64(b) - f64(a)
    h = np.clip(pa @ ba / (ba @ ba), 0, 1)
    return f64(length(pa - h[:, None] * ba) - (ra + (rb - ra) * h))


def skin(p: F64) -> F64:
    """Signed distance of points (n, 3) to the bare head and neck, lids shut, without lips."""
    mirrored = p * (-1, 1, 1)

    def both(shape: Callable[[F64], F64], seam: float = 1e-6) -> F64:
        """A shape of the left side, and its like on the right."""
        return join(shape(p), shape(mirrored), seam)

    d = ellipsoid(p, (0, 0.36, -0.10), (0.79, 0.88, 0.95))
    d = join(d, ellipsoid(p, (0, -0.26, 0.16), (0.62, 0.79, 0.655)), 0.26)
    d = join(d, both(lambda q: capsule(q, (0.45, -0.40, -0.02), (0.13, -0.95, 0.55), 0.13, 0.12)), 0.30)
    d = join(d, ellipsoid(p, (0, -0.96, 0.64), (0.20, 0.15, 0.19)), 0.24)
    d = join(d, both(lambda q: ellipsoid(q, (0.36, -0.20, 0.53), (0.225, 0.215, 0.225))), 0.30)
    d = join(d, both(lambda q: capsule(q, (0.10, 0.31, 0.74), (0.46, 0.30, 0.60), 0.10, 0.08), 0.16), 0.20)
    d = join(d, ellipsoid(p, (0, -0.63, 0.60), (0.37, 0.27, 0.265)), 0.18)
    # Sockets, and the eyeballs under their lids in them.
    d = cut(d, both(lambda q: ellipsoid(q, (0.315, 0.07, 0.90), (0.27, 0.19, 0.20))), 0.20)
    d = join(d, both(lambda q: ellipsoid(q, EYE, np.full(3, EYE_RADIUS + LID))), 0.055)
    # The nose: bridge, tip, wings, what stands between them, nostrils.
    d = join(d, capsule(p, (0, 0.17, 0.760), (0, -0.27, 0.955), 0.045, 0.066), 0.12)
    d = join(d, ellipsoid(p, (0, -0.315, 0.965), (0.080, 0.078, 0.092)), 0.10)
    d = join(d, both(lambda q: ellipsoid(q, (0.088, -0.345, 0.875), (0.046, 0.050, 0.075))), 0.085)
    d = cut(d, both(lambda q: ellipsoid(q, (0.052, -0.415, 0.920), (0.028, 0.024, 0.040))), 0.03)
    # The groove from the nose to the lip, and the one over the chin.
    d = cut(d, capsule(p, (0, -0.44, 0.945), (0, -0.53, 0.965), 0.024, 0.028), 0.05)
    d = cut(d, capsule(p, (-0.13, -0.835, 0.955), (0.13, -0.835, 0.955), 0.06, 0.06), 0.12)
    return join(d, capsule(p, (0, -0.45, -0.24), (0, -2.1, -0.36), 0.385, 0.40), 0.32)


def hair(p: F64) -> F64:
    """Signed distance of points (n, 3) to the bulk of the hair."""
    d = ellipsoid(p, (0, 0.37, -0.09), (0.92, 0.985, 1.08))
    return join(d, ellipsoid(p, (0, -0.42, -0.20), (0.90, 0.80, 0.82)), 0.30)


def directions(u: ArrayLike, e: ArrayLike) -> F64:
    """Unit vectors (n, 3) towards azimuth `u` (0 is the front, + the person's left) and elevation `e`, in degrees."""
    ur, er = np.radians(f64(u)), np.radians(f64(e))
    return np.stack([np.cos(er) * np.sin(ur), np.sin(er), np.cos(er) * np.cos(ur)], -1)


def cast(shape: Callable[[F64], F64], origins: F64, rays: F64, far: float = 2.3, steps: int = 56) -> F64:
    """Where rays (n, 3) meet a shape, come from outside: (n, 3). They must start inside it."""
    t = np.full(len(rays), far)
    todo = np.arange(len(rays))  # those that have not arrived
    for _ in range(steps):
        move = 0.85 * shape(origins[todo] + t[todo, None] * rays[todo])
        t[todo] = np.maximum(t[todo] - move, 0.02)
        todo = todo[abs(move) > 2e-6]
        if not len(todo):
            break
    return f64(origins + t[:, None] * rays)
