"""The 52 expressions of ARKit as movements of the skin's points, each at full weight.

What each looks like is as Apple's documentation of ARFaceAnchor.BlendShapeLocation describes it; left and right are
the person's own. A movement that is to keep the lips together is a function of the place alone, so that points that lie
in one place stay so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .sculpt import EYE, F64, f64, smoothstep, unit
from .skin import Skin

JAW_PIVOT = f64((0, -0.14, -0.06))
JAW_ANGLE = 0.29
"""Radians of a jaw that is wide open."""
Hill = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
"""Where its middle is, how far it reaches, which way its middle moves."""
CORNER = (0.235, -0.625, 0.80)
"""The left corner of the mouth."""


def rotated(points: F64, pivot: F64, axis: str, angle: float) -> F64:
    """Points (n, 3) turned about an axis through `pivot`, right handed, in radians."""
    c, s = np.cos(angle), np.sin(angle)
    turn = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis]
    return f64((points - pivot) @ f64(turn).T + pivot)


def jaw_moves(points: F64) -> dict[str, F64]:
    """How points (n, 3) that are all jaw move with it: for teeth, tongue, and the skin by its share."""
    opened = rotated(points, JAW_PIVOT, "x", JAW_ANGLE) - points
    opened += f64((0, 0, -0.02))
    still = np.zeros_like(points)
    return {
        "jawOpen": opened,
        "jawForward": still + f64((0, -0.01, 0.085)),
        "jawLeft": still + f64((0.095, -0.01, 0)),
        "jawRight": still + f64((-0.095, -0.01, 0)),
    }


def bump(points: F64, centre: ArrayLike, radii: ArrayLike) -> F64:
    """A smooth hill (n,) over an ellipsoid: 1 in its middle, 0 outside it."""
    q = (points - f64(centre)) / f64(radii)
    return f64(np.maximum(1 - np.einsum("ij,ij->i", q, q), 0) ** 2)


LIDS: dict[str, tuple[float, float]] = {
    "eyeBlink": (0, 0),
    "eyeLookDown": (0.58, 1.14),
    "eyeLookUp": (1.16, 0.90),
    "eyeSquint": (0.84, 0.42),
    "eyeWide": (1.30, 1.12),
    "cheekSquint": (1, 0.67),
}
"""How far the upper and the lower lid stand open; 1 is rest."""
HILLS: dict[str, tuple[Hill, ...]] = {
    "browDown": (
        ((0.22, 0.34, 0.80), (0.36, 0.20, 0.5), (-0.030, -0.075, 0.012)),
        ((0.44, 0.34, 0.70), (0.26, 0.20, 0.5), (0, -0.020, 0)),
    ),
    "browOuterUp": (((0.42, 0.37, 0.72), (0.36, 0.26, 0.5), (0, 0.100, -0.012)),),
    "cheekSquint": (((0.40, -0.13, 0.66), (0.30, 0.25, 0.5), (0, 0.055, 0.018)),),
    "eyeLookIn": (((EYE[0] - 0.06, EYE[1], 0.74), (0.2, 0.16, 0.3), (-0.012, 0, 0.008)),),
    "eyeLookOut": (((EYE[0] + 0.06, EYE[1], 0.74), (0.2, 0.16, 0.3), (0.012, 0, 0.008)),),
    "eyeSquint": (((0.36, -0.12, 0.70), (0.30, 0.20, 0.4), (0, 0.028, 0.008)),),
    "mouthDimple": ((CORNER, (0.20, 0.20, 0.36), (0.052, 0.016, -0.060)),),
    "mouthFrown": (
        (CORNER, (0.24, 0.24, 0.4), (0.020, -0.090, -0.014)),
        ((0.20, -0.82, 0.80), (0.20, 0.16, 0.3), (0, -0.020, 0.012)),
    ),
    "mouthLowerDown": (((0.16, -0.84, 0.82), (0.24, 0.20, 0.36), (0.008, -0.020, 0)),),
    "mouthPress": ((CORNER, (0.16, 0.16, 0.34), (0.024, 0.004, -0.022)),),
    "mouthSmile": (
        (CORNER, (0.38, 0.27, 0.46), (0.105, 0.092, -0.042)),
        ((0.09, -0.66, 0.88), (0.26, 0.20, 0.3), (0.008, 0.014, -0.014)),
        ((0.40, -0.26, 0.68), (0.28, 0.22, 0.4), (0.014, 0.048, 0.048)),  # the cheek, and the fold under it
        ((0.28, -0.46, 0.80), (0.12, 0.16, 0.3), (0.020, 0.020, -0.020)),
    ),
    "mouthStretch": ((CORNER, (0.32, 0.28, 0.46), (0.110, -0.030, -0.045)),),
    "mouthUpperUp": (((0.16, -0.44, 0.84), (0.20, 0.18, 0.36), (0.010, 0.030, 0.014)),),
    "noseSneer": (
        ((0.12, -0.33, 0.88), (0.16, 0.22, 0.3), (0.012, 0.055, 0)),
        ((0.17, -0.50, 0.86), (0.16, 0.16, 0.3), (0, 0.035, 0.010)),
        ((0.09, 0.06, 0.80), (0.14, 0.18, 0.3), (0, 0.012, 0.010)),
    ),
}
"""Of the left one of each pair; the right one is its mirror image."""
BROW_UP: Hill = ((0.14, 0.38, 0.84), (0.30, 0.26, 0.5), (0.008, 0.095, -0.006))
AROUND = ((0, -0.64, 0.86), (0.44, 0.34, 0.42))
"""What goes along when the mouth does."""


def shapes(skin: Skin) -> dict[str, F64]:
    """Movements (n, 3) by ARKit's names."""
    out: dict[str, F64] = {}
    for side, sign, share in (("Left", 1, skin.left), ("Right", -1, 1 - skin.left)):
        for name in sorted({*LIDS, *HILLS}):
            move = sum((_hill(skin.rest, hill, sign) for hill in HILLS.get(name, ())), np.zeros_like(skin.rest))
            if name in LIDS:
                move += _lids(skin, *LIDS[name], sign)
            out[name + side] = move
        for name, move in _lips_of_a_side(skin, sign).items():
            out[name + side] += share[:, None] * move
        out[f"mouth{side}"] = _aside(skin, sign)
    out["browInnerUp"] = _hill(skin.rest, BROW_UP, 1) + _hill(skin.rest, BROW_UP, -1)
    return out | _jaw(skin) | _mouth(skin)


def _hill(points: F64, hill: Hill, sign: int) -> F64:
    """The movement of a hill on the left (`sign` 1) or right side (-1)."""
    centre, radii, move = hill
    flip = f64((sign, 1, 1))
    return f64(bump(points, f64(centre) * flip, radii)[:, None] * (f64(move) * flip))


def _lids(skin: Skin, up: float, low: float, sign: int) -> F64:
    rest = (1.0, 1.0)
    return skin.place(*(((up, low), rest) if sign > 0 else (rest, (up, low)))) - skin.rest


def _jaw(skin: Skin) -> dict[str, F64]:
    p = skin.rest
    out = {name: f64(move * skin.jaw_shut[:, None]) for name, move in jaw_moves(p).items()}
    # Wide open, the lips part, and the corners come in a little.
    narrow = bump(p, CORNER, (0.20, 0.22, 0.3)) - bump(p, f64(CORNER) * (-1, 1, 1), (0.20, 0.22, 0.3))
    opened = jaw_moves(p)["jawOpen"] * skin.jaw[:, None] + narrow[:, None] * f64((-0.030, 0, 0))
    # They meet again, whatever the jaw does: the lower one makes most of the way.
    upper, lower = skin.slits["mouth"]
    gap = opened[upper] - opened[lower]
    q = abs(skin.q)
    along = skin.s[skin.from_net] / (1 + q / 30)
    gap = np.stack([np.interp(along, skin.s[upper], gap[:, i], left=0, right=0) for i in range(3)], 1)
    share = np.where(skin.lower, 0.74 * smoothstep(19, 0, q), -0.26 * smoothstep(11, 0, q))
    return out | {"jawOpen": f64(opened), "mouthClose": f64(gap * (share * skin.held)[:, None])}


def _aside(skin: Skin, sign: int) -> F64:
    """The whole mouth to one side, and the corner there up a little."""
    around = bump(skin.rest, *AROUND)[:, None] * f64((0.105 * sign, 0, 0))
    return f64(around + _hill(skin.rest, (CORNER, (0.25, 0.25, 0.4), (0.02, 0.02, -0.02)), sign))


def _lips_of_a_side(skin: Skin, sign: int) -> dict[str, F64]:
    """What parts the lips or presses them together, before it is cut to one side."""
    up, low = skin.upper_lip[:, None], skin.lower_lip[:, None]
    in_the_middle = 0.55 + 0.45 * np.clip(1 - _along(skin) ** 2, 0, 1)
    red = ((skin.behind < 0) * smoothstep(1.5, 0.6, np.minimum(skin.d_up, skin.d_low)))[:, None]
    flat = (up + low) * red * f64((0, 0, -0.018))
    thin = up * smoothstep(2.2, 0.9, skin.d_up)[:, None] * _to_the_line(skin, True) + low * _to_the_line(skin, False)
    return {
        "mouthPress": f64(flat + thin),
        "mouthLowerDown": f64(low * f64((0.006 * sign, -0.088, 0.010)) * in_the_middle),
        "mouthUpperUp": f64(up * f64((0.004 * sign, 0.074, 0.006)) * in_the_middle),
    }


def _along(skin: Skin) -> F64:
    """(n, 1): where points are along the mouth, -1..1 from corner to corner; 0 where they are far from it."""
    s = skin.s[skin.from_net]
    return f64(np.where(abs(s) < 1.6, s, 0)[:, None])


def _to_the_line(skin: Skin, upper: bool) -> F64:
    """Moves the red of a lip towards where the lips meet; the line itself stays."""
    d = skin.d_up if upper else skin.d_low
    amount = 0.030 * np.clip(d, 0, 1.2) * (skin.behind < 0)
    return f64(amount[:, None] * f64((0, -1 if upper else 1, 0)))


def _mouth(skin: Skin) -> dict[str, F64]:
    p = skin.rest
    up, low = skin.upper_lip[:, None], skin.lower_lip[:, None]

    def hill(centre: ArrayLike, radii: ArrayLike, move: ArrayLike) -> F64:
        return f64(bump(p, centre, radii)[:, None] * f64(move))

    def hills(centre: tuple[float, float, float], radii: ArrayLike) -> F64:
        return bump(p, centre, radii) + bump(p, f64(centre) * (-1, 1, 1), radii)

    inwards = -bump(p, *AROUND)[:, None] * p * (1, 0, 0)
    rounder = 1 - 0.30 * np.exp(-((_along(skin) / 0.35) ** 2))
    parted = up * f64((0, 0.066, 0.050)) + low * f64((0, -0.076, 0.045))
    lips = ((0, -0.64, 0.88), (0.30, 0.22, 0.36))
    puffed = unit(p - f64((0, -0.45, 0.1))) * 0.135 * hills((0.40, -0.50, 0.56), (0.27, 0.31, 0.4))[:, None]
    moves = {
        "cheekPuff": puffed + hill((0, -0.64, 0.88), (0.30, 0.2, 0.3), (0, 0, 0.03)),
        "mouthFunnel": inwards * 0.42 + hill(*AROUND, (0, 0, 0.085)) + rounder * parted,
        "mouthPucker": inwards * 0.60 + hill((0, -0.645, 0.90), (0.26, 0.20, 0.34), (0, 0, 0.115)),
        "mouthRollLower": low * smoothstep(2.2, 0.2, skin.d_low)[:, None] * f64((0, 0.030, -0.080))
        + hill(*AROUND, (0, 0.006, -0.006)),
        "mouthRollUpper": up * smoothstep(2.4, 0.2, skin.d_up)[:, None] * f64((0, -0.020, -0.062)),
        "mouthShrugLower": hill(*lips, (0, 0.050, 0.018))
        + hill((0, -0.93, 0.78), (0.30, 0.22, 0.36), (0, 0.065, 0.010))
        + low * f64((0, 0, 0.015)),
        "mouthShrugUpper": hill(*lips, (0, 0.038, 0.022)) + hill((0, -0.53, 0.90), (0.25, 0.14, 0.3), (0, 0.02, 0.012)),
        "tongueOut": low * f64((0, -0.060, 0.012)) + up * f64((0, 0.022, 0.008)),
    }
    return {name: f64(move) for name, move in moves.items()}
