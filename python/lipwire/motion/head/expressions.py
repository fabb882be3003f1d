"""The 52 expressions of ARKit as movements of the skin's points, each at full weight.

What each looks like is as Apple's documentation of ARFaceAnchor.BlendShapeLocation describes it; left and right are
the person's own. A movement that is to keep the lips together is a function of the place alone, so that points that lie
in one place stay so.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .sculpt import EYE, F64, f64, smoothstep, unit
from .skin import Skin

JAW_PIVOT = f64((0, -0.14, -0.06))
JAW_ANGLE = 0.29
"""Radians of a jaw that is wide open."""
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


def shapes(skin: Skin) -> dict[str, F64]:
    """Movements (n, 3) by ARKit's names."""
    p = skin.rest
    out: dict[str, F64] = {}

    def hill(centre: ArrayLike, radii: ArrayLike, move: ArrayLike) -> F64:
        """Of the left side."""
        return f64(bump(p, centre, radii)[:, None] * f64(move))

    def mirrored(centre: ArrayLike, radii: ArrayLike, move: ArrayLike) -> F64:
        flip = f64((-1, 1, 1))
        return hill(f64(centre) * flip, radii, f64(move) * flip)

    def sides(name: str, make: Callable[[Callable[[ArrayLike, ArrayLike, ArrayLike], F64], F64, float], F64]) -> None:
        """Both of a pair: `make` gets `hill` of the side, its share of points in the middle, and its sign of x."""
        out[name + "Left"] = make(hill, skin.left[:, None], 1.0)
        out[name + "Right"] = make(mirrored, 1 - skin.left[:, None], -1.0)

    _eyes(skin, out, sides)
    _brows(skin, out, hill, mirrored, sides)
    _jaw(skin, out)
    _mouth(skin, out, sides)
    sides(
        "cheekSquint",
        lambda h, _, x: h((0.40, -0.13, 0.66), (0.30, 0.25, 0.5), (0.0, 0.055, 0.018)) + _lower_lid(skin, x, 0.6),
    )
    sides(
        "noseSneer",
        lambda h, _, x: (
            h((0.12, -0.33, 0.88), (0.16, 0.22, 0.3), (0.012, 0.055, 0.0))
            + h((0.17, -0.50, 0.86), (0.16, 0.16, 0.3), (0, 0.035, 0.01))
            + h((0.09, 0.06, 0.80), (0.14, 0.18, 0.3), (0, 0.012, 0.01))
        ),
    )
    hollow = bump(p, (0.40, -0.50, 0.56), (0.27, 0.31, 0.4)) + bump(p, (-0.40, -0.50, 0.56), (0.27, 0.31, 0.4))
    lips = bump(p, (0, -0.64, 0.88), (0.30, 0.2, 0.3))
    out["cheekPuff"] = unit(p - f64((0, -0.45, 0.1))) * 0.135 * hollow[:, None] + lips[:, None] * (0, 0, 0.03)
    tongue = skin.lower_lip[:, None] * (0, -0.060, 0.012) + skin.upper_lip[:, None] * (0, 0.022, 0.008)
    out["tongueOut"] = tongue
    return out


def _lower_lid(skin: Skin, side: float, amount: float) -> F64:
    lids = (1, 1 - 0.55 * amount)
    return skin.place(*((lids, (1, 1)) if side > 0 else ((1, 1), lids))) - skin.rest


def _eyes(skin: Skin, out: dict[str, F64], sides: Callable[..., None]) -> None:
    def lids(up: float, low: float) -> Callable[..., F64]:
        def make(_h: object, _m: object, x: float) -> F64:
            return skin.place(*(((up, low), (1, 1)) if x > 0 else ((1, 1), (up, low)))) - skin.rest

        return make

    sides("eyeBlink", lids(0, 0))
    sides("eyeWide", lids(1.30, 1.12))
    sides("eyeLookUp", lids(1.16, 0.90))
    sides("eyeLookDown", lids(0.58, 1.14))

    def squint(h: Callable[..., F64], _m: object, x: float) -> F64:
        lid = lids(0.84, 0.42)(h, _m, x)
        return lid + h((0.36, -0.12, 0.70), (0.30, 0.20, 0.4), (0, 0.028, 0.008))

    sides("eyeSquint", squint)

    def look(to: float) -> Callable[..., F64]:
        def make(h: Callable[..., F64], _m: object, x: float) -> F64:
            return h((EYE[0] + 0.06 * to, EYE[1], 0.74), (0.2, 0.16, 0.3), (0.012 * to, 0, 0.008))

        return make

    sides("eyeLookIn", look(-1))
    sides("eyeLookOut", look(1))


def _brows(
    skin: Skin, out: dict[str, F64], hill: Callable[..., F64], mirrored: Callable[..., F64], sides: Callable[..., None]
) -> None:
    sides(
        "browDown",
        lambda h, _m, x: (
            h((0.22, 0.34, 0.80), (0.36, 0.20, 0.5), (-0.030, -0.075, 0.012))
            + h((0.44, 0.34, 0.70), (0.26, 0.2, 0.5), (0, -0.020, 0))
        ),
    )
    sides("browOuterUp", lambda h, _m, x: h((0.42, 0.37, 0.72), (0.36, 0.26, 0.5), (0, 0.100, -0.012)))
    inner = hill((0.14, 0.38, 0.84), (0.30, 0.26, 0.5), (0.008, 0.095, -0.006))
    out["browInnerUp"] = inner + mirrored((0.14, 0.38, 0.84), (0.30, 0.26, 0.5), (0.008, 0.095, -0.006))


def _jaw(skin: Skin, out: dict[str, F64]) -> None:
    p, jaw = skin.rest, skin.jaw[:, None]
    for name, move in jaw_moves(p).items():
        out[name] = move * (jaw if name == "jawOpen" else skin.jaw_shut[:, None])
    # Wide open, the corners come in a little.
    narrow = bump(p, CORNER, (0.20, 0.22, 0.3)) - bump(p, f64(CORNER) * (-1, 1, 1), (0.20, 0.22, 0.3))
    out["jawOpen"] = out["jawOpen"] + narrow[:, None] * (-0.030, 0, 0)
    # The lips meet again, whatever the jaw does: the lower one makes most of the way.
    upper, lower = skin.slits["mouth"]
    gap = out["jawOpen"][upper] - out["jawOpen"][lower]
    q = abs(skin.q)
    along = skin.s[skin.from_net] / (1 + q / 30)
    gap = np.stack([np.interp(along, skin.s[upper], gap[:, i], left=0, right=0) for i in range(3)], 1)
    share = np.where(skin.lower, -0.74, 0.26) * np.where(skin.lower, smoothstep(19, 0, q), smoothstep(11, 0, q))
    held = np.where(skin.behind >= 0, skin.held, 1.0)
    out["mouthClose"] = -gap * (share * held)[:, None]


def _mouth(skin: Skin, out: dict[str, F64], sides: Callable[..., None]) -> None:
    p = skin.rest
    up, low = skin.upper_lip[:, None], skin.lower_lip[:, None]
    s = np.clip(skin.s[skin.from_net], -1.6, 1.6)
    around = bump(p, (0, -0.64, 0.86), (0.44, 0.34, 0.42))[:, None]
    inwards = -(p * (1, 0, 0)) * around
    side = np.where(abs(s) < 1.6, s, 0)[:, None]

    funnel = (
        inwards * 0.42
        + around * (0, 0, 0.085)
        + (1 - 0.30 * np.exp(-((side / 0.35) ** 2))) * (up * (0, 0.066, 0.050) + low * (0, -0.076, 0.045))
    )
    out["mouthFunnel"] = funnel
    pout = bump(p, (0, -0.645, 0.90), (0.26, 0.20, 0.34))[:, None]
    out["mouthPucker"] = inwards * 0.60 + pout * (0, 0, 0.115)
    for name, x in (("mouthLeft", 1.0), ("mouthRight", -1.0)):
        out[name] = around * (0.105 * x, 0, 0) + bump(p, f64(CORNER) * (x, 1, 1), (0.25, 0.25, 0.4))[:, None] * (
            0.02 * x,
            0.02,
            -0.02,
        )
    red_low, red_up = smoothstep(2.2, 0.2, skin.d_low)[:, None], smoothstep(2.4, 0.2, skin.d_up)[:, None]
    out["mouthRollLower"] = low * red_low * (0, 0.030, -0.080) + around * (0, 0.006, -0.006)
    out["mouthRollUpper"] = up * red_up * (0, -0.020, -0.062)
    lips = bump(p, (0, -0.64, 0.88), (0.30, 0.22, 0.36))[:, None]
    chin = bump(p, (0, -0.93, 0.78), (0.30, 0.22, 0.36))[:, None]
    out["mouthShrugLower"] = lips * (0, 0.050, 0.018) + chin * (0, 0.065, 0.010) + low * (0, 0.0, 0.015)
    out["mouthShrugUpper"] = lips * (0, 0.038, 0.022) + bump(p, (0, -0.53, 0.90), (0.25, 0.14, 0.3))[:, None] * (
        0,
        0.02,
        0.012,
    )

    def smile(h: Callable[..., F64], _m: F64, x: float) -> F64:
        return (
            h(CORNER, (0.38, 0.27, 0.46), (0.105, 0.092, -0.042))
            + h((0.09, -0.66, 0.88), (0.26, 0.20, 0.3), (0.008, 0.014, -0.014))
            + h((0.40, -0.26, 0.68), (0.28, 0.22, 0.4), (0.014, 0.048, 0.048))
            + h((0.28, -0.46, 0.80), (0.12, 0.16, 0.3), (0.02, 0.02, -0.020))
        )

    sides("mouthSmile", smile)
    sides(
        "mouthFrown",
        lambda h, _m, x: (
            h(CORNER, (0.24, 0.24, 0.4), (0.020, -0.090, -0.014))
            + h((0.2, -0.82, 0.80), (0.2, 0.16, 0.3), (0, -0.02, 0.012))
        ),
    )
    sides("mouthDimple", lambda h, _m, x: h(CORNER, (0.20, 0.20, 0.36), (0.052, 0.016, -0.060)))
    sides("mouthStretch", lambda h, _m, x: h(CORNER, (0.32, 0.28, 0.46), (0.110, -0.030, -0.045)))

    def press(h: Callable[..., F64], m: F64, x: float) -> F64:
        flat = (
            f64((0, 0, -0.018))
            * (skin.behind < 0)[:, None]
            * smoothstep(1.5, 0.6, np.minimum(skin.d_up, skin.d_low))[:, None]
        )
        thin = up * smoothstep(2.2, 0.9, skin.d_up)[:, None] * skin_rise(skin, True) + low * skin_rise(skin, False)
        return f64(m * (flat * (up + low) + thin)) + h(CORNER, (0.16, 0.16, 0.34), (0.024, 0.004, -0.022))

    sides("mouthPress", press)
    wide = np.clip(1 - side**2, 0, 1)
    sides(
        "mouthLowerDown",
        lambda h, m, x: (
            m * (low * (0.006 * x, -0.088, 0.010)) * (0.55 + 0.45 * wide)
            + h((0.16, -0.84, 0.82), (0.24, 0.2, 0.36), (0.008, -0.020, 0))
        ),
    )
    sides(
        "mouthUpperUp",
        lambda h, m, x: (
            m * (up * (0.004 * x, 0.074, 0.006)) * (0.55 + 0.45 * wide)
            + h((0.16, -0.44, 0.84), (0.20, 0.18, 0.36), (0.010, 0.030, 0.014))
        ),
    )


def skin_rise(skin: Skin, upper: bool) -> F64:
    """Moves the red of a lip towards where the lips meet; the line itself stays."""
    d = skin.d_up if upper else skin.d_low
    amount = 0.030 * np.clip(d, 0, 1.2) * (skin.behind < 0)
    return f64(np.stack([0 * amount, (-amount if upper else amount), 0 * amount], 1))
