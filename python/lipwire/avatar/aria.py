"""Aria, the built-in presenter: everything but her mouth.

Units: 0, 0 is midway between the eyes, x right, y down; the chin is at y = 121, the top of the hair at -138. Light
comes from the upper left. Each function paints one layer and returns its canvas (or canvases, for a bank).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from . import mouth
from .figure import EXPRESSION_STEPS, LID_STEPS, Figure, Place, blinks, dithered, wave
from .raster import (
    F32,
    Canvas,
    View,
    ellipse,
    f32,
    join,
    linear,
    mirror,
    mix,
    radial,
    rgb,
    smoothstep,
    spline,
    stroke,
    symmetric,
)

SKIN_LIGHT, SKIN, SKIN_DARK = rgb("#fbdcc3"), rgb("#f3c5a5"), rgb("#e3a683")
SKIN_SHADE, SKIN_DEEP, BLUSH = rgb("#cf8a68"), rgb("#a95f48"), rgb("#ee8472")
HAIR_LIGHT, HAIR, HAIR_DARK, HAIR_DEEP = rgb("#9a6248"), rgb("#5d382d"), rgb("#432722"), rgb("#2b1817")
HAIR_SHINE = rgb("#cf9470")
LASH, BROW = rgb("#2a1716"), rgb("#573529")
JACKET_LIGHT, JACKET, JACKET_DARK = rgb("#35708a"), rgb("#23556e"), rgb("#153a50")
BLOUSE, BLOUSE_SHADE = rgb("#fdf8f1"), rgb("#d9cdc4")
IRIS_LIGHT, IRIS, IRIS_DARK = rgb("#a9743f"), rgb("#74472a"), rgb("#3a2118")

MOUTH_Y = 77.0
JAW_STEPS = 12
JAW_DROP = 13.0
"""Units the chin sinks at jaw = 1."""


def background(view: View) -> F32:
    """The room behind her, out of focus: planes (4, h, w), 0..1, opaque."""
    h, w = view.height, view.width
    f = max(1, round(view.scale * 1.6))
    sh, sw = -(-h // f), -(-w // f)
    x = ((np.arange(sw) + 0.5) * f / w).astype(np.float32)
    y = ((np.arange(sh) + 0.5) * f / h).astype(np.float32)
    px = linear((0.0, 0.0), (1.0, 1.0), (0, rgb("#f6efe6")), (0.45, rgb("#dbe5e6")), (1, rgb("#9fbcc6")))(x, y)
    unit = (h * w) ** 0.5
    ux, uy = x * w / unit, y * h / unit

    def spot(cx: float, cy: float, r: float, color: str, alpha: float, edge: float) -> None:
        d = np.hypot(ux[None, :] - cx * w / unit, uy[:, None] - cy * h / unit)
        a = smoothstep(r * (1 + edge), r * (1 - edge), d) * np.float32(alpha)
        for plane, value in zip(px, rgb(color), strict=True):
            plane += (np.float32(value) - plane) * a

    spot(0.50, 0.36, 0.30, "#fffaf2", 0.55, 0.95)
    spot(0.10, 0.95, 0.45, "#7fa6b3", 0.45, 0.95)
    spot(0.97, 0.10, 0.40, "#f7dcc0", 0.50, 0.95)
    for cx, cy, r, color, alpha in (
        (0.13, 0.22, 0.090, "#ffffff", 0.30),
        (0.24, 0.47, 0.050, "#fff3e0", 0.30),
        (0.05, 0.58, 0.070, "#bfd6db", 0.35),
        (0.90, 0.30, 0.105, "#fff1df", 0.32),
        (0.79, 0.13, 0.045, "#ffffff", 0.34),
        (0.97, 0.62, 0.075, "#8fb2bf", 0.28),
        (0.81, 0.56, 0.034, "#ffffff", 0.26),
        (0.29, 0.10, 0.032, "#f7dcc0", 0.40),
    ):
        spot(cx, cy, r, color, alpha, 0.12)
        spot(cx, cy, r * 0.82, color, -alpha * 0.25, 0.25)
    vignette = np.hypot(x[None, :] - 0.5, (y[:, None] - 0.45) * 0.9)
    px *= 1 - 0.22 * smoothstep(0.42, 0.85, vignette)
    return dithered(px, w, h)


# ---- body -----------------------------------------------------------------------------------------------------


def body(view: View) -> Canvas:
    """Neck, blouse and jacket; reaches below the frame so that breathing never shows an end."""
    floor = (view.height - view.oy) / view.scale + 16
    side = max(view.ox, view.width - view.ox) / view.scale + 8
    c = Canvas(view, -min(212, side), 58, min(212, side), floor)
    low = floor + 40

    skin = symmetric([(0, 60), (33, 70), (36, 114), (45, 138), (72, 158), (130, 190), (100, 330), (0, 340)])
    c.paint(skin, linear((0, 80), (0, 230), (0, SKIN_DARK), (0.45, SKIN), (1, SKIN_LIGHT)))
    c.glow(44, 120, 34, 80, SKIN_SHADE, 0.55)
    c.glow(-42, 118, 22, 70, SKIN_SHADE, 0.30)
    chin = symmetric([(0, 40), (70, 60), (62, 104), (36, 134), (0, 148)])
    c.paint(chin + f32([5, 2]), SKIN_SHADE, 0.75, soft=6, atop=True)
    for sx in (-1, 1):  # collar bones and the neck's tendons
        bone = f32([(sx * 12, 186), (sx * 34, 180), (sx * 66, 172)])
        c.paint(stroke(bone, (2, 5, 2)), SKIN_SHADE, 0.42, soft=2, atop=True)
        c.paint(stroke(bone + f32([0, -4]), (1, 4, 1)), SKIN_LIGHT, 0.6, soft=1.6, atop=True)
        tendon = [(sx * 25, 132), (sx * 18, 160), (sx * 9, 184)]
        c.paint(stroke(tendon, (1, 5, 2)), SKIN_SHADE, 0.22, soft=2.4, atop=True)
    c.glow(0, 190, 11, 10, SKIN_SHADE, 0.18)

    neckline = [(-52, 148), (-40, 190), (-20, 220), (0, 236), (20, 220), (40, 190), (52, 148)]
    blouse = np.concatenate([spline(neckline), f32([(90, 170), (90, low), (-90, low), (-90, 170)])])
    c.paint(blouse + f32([0, -4]), SKIN_DEEP, 0.35, soft=3, atop=True)
    c.paint(blouse, linear((-60, 180), (60, 330), (0, BLOUSE), (1, mix(BLOUSE, BLOUSE_SHADE, 0.55))))
    c.paint(stroke([(x, y + 4.5) for x, y in neckline], (1.2, 1.2)), BLOUSE_SHADE, 0.8)
    for x, w in ((-14, 5), (16, 6)):
        fold = [(x, 240), (x * 0.8, 290), (x * 0.9, low)]
        c.paint(stroke(fold, (1, w, w)), BLOUSE_SHADE, 0.55, soft=2.5)

    for sx in (-1, 1):
        _jacket(c, sx, low)
    return c


def _jacket(c: Canvas, sx: int, low: float) -> None:
    """One half of the jacket; sx = 1 is the viewer's right, in the shade."""
    flip = f32([sx, 1])
    base = mix(JACKET_LIGHT, JACKET, 0.35) if sx < 0 else JACKET
    dark = mix(JACKET, JACKET_DARK, 0.45) if sx < 0 else JACKET_DARK
    shell = (
        join(
            [(41, 134), (54, 142), (92, 161), (140, 180), (171, 203), (188, 250), (196, 330), (204, low)],
            [(204, low), (-4, low)],
            [(-4, low), (-2, 320), (16, 270), (34, 215), (43, 168), (41, 134)],
        )
        * flip
    )
    lapel_shadow = join([(42, 130), (40, 205), (10, 285), (-6, 330)], [(24, 345), (60, 262), (80, 220), (62, 150)])
    c.paint(shell, linear((sx * 40.0, 150.0), (sx * 190.0, 330.0), (0, base), (0.6, mix(base, dark, 0.5)), (1, dark)))
    clip = c.mask(shell)
    c.paint((lapel_shadow + f32([6, 5])) * flip, JACKET_DARK, 0.6, soft=4, clip=clip)
    if sx < 0:
        shoulder = f32([(-66, 155), (-105, 171), (-146, 187), (-174, 214)])
        c.paint(stroke(shoulder, (2, 9, 9, 2)), JACKET_LIGHT, 0.8, soft=3.5, clip=clip)
    sleeve = [(sx * 146, 236), (sx * 140, 290), (sx * 142, low)]
    c.paint(stroke(sleeve, (1, 5, 7)), JACKET_DARK, 0.65, soft=2.5, clip=clip)
    # The collar and the lapel, with its notch.
    lapel = (
        join(
            [(40, 132), (43, 168), (33, 216), (15, 268), (-5, 322)],
            [(-5, 322), (26, 296), (56, 250), (74, 216)],
            [(74, 216), (60, 207), (76, 196)],
            [(76, 196), (74, 170), (60, 147), (40, 132)],
        )
        * flip
    )
    c.paint(lapel, linear((sx * 40.0, 140.0), (sx * 50.0, 300.0), (0, mix(base, JACKET_LIGHT, 0.4)), (1, base)))
    inner = c.mask(lapel)
    c.paint(
        stroke(f32([(40, 132), (43, 168), (33, 216), (15, 268), (-5, 322)]) * flip, (2.2, 2.2)),
        JACKET_LIGHT,
        0.75,
        soft=0.5,
        clip=inner,
    )
    edge = f32([(-5, 322), (26, 296), (56, 250), (74, 216)]) * flip
    c.paint(stroke(edge, (1.0, 1.0)), JACKET_DARK, 0.55, soft=0.3)
    seam = f32([(60, 207), (50, 203), (38, 203)]) * flip
    c.paint(stroke(seam, (1.3, 0.8)), JACKET_DARK, 0.6)


# ---- head -----------------------------------------------------------------------------------------------------


def _sink(path: ArrayLike, jaw: float) -> F32:
    """Moves what lies below the cheekbones with the jaw."""
    p = np.array(path, np.float32)
    t = smoothstep(38, 112, p[:, 1]) * np.float32(jaw)
    p[:, 1] += t * JAW_DROP
    p[:, 0] *= 1 - 0.035 * t
    return p


def _face_outline(jaw: float = 0.0) -> F32:
    return _sink(
        symmetric(
            [
                (0, -119),
                (42, -112),
                (70, -88),
                (80, -48),
                (81.5, -6),
                (79.5, 28),
                (72, 60),
                (57, 87),
                (36, 108),
                (16, 119),
                (0, 122),
            ]
        ),
        jaw,
    )


def _paint_face(c: Canvas, jaw: float = 0.0) -> None:
    """Skin with its shading, no features: also what the eyelids and the lower face are made of."""
    face = _face_outline(jaw)
    c.paint(face, linear((-50, -90), (45, 120), (0, SKIN_LIGHT), (0.5, SKIN), (1, mix(SKIN, SKIN_DARK, 0.55))))
    # A broad turn into the shade on the right, a narrow one on the left.
    inner = c.mask(face * f32([0.93, 0.97]) + f32([-9, -5]), soft=11)
    c.wash((1 - inner) * np.float32(0.55), SKIN_SHADE)
    drop = jaw * JAW_DROP
    c.glow(0, 104 + drop, 30, 17, SKIN_LIGHT, 0.55)
    c.glow(-30, 26, 36, 26, SKIN_LIGHT, 0.65)
    c.glow(26, 24, 28, 22, SKIN_LIGHT, 0.30)
    c.glow(-8, -66, 54, 40, SKIN_LIGHT, 0.55)
    for sx in (-1, 1):
        c.glow(sx * 50, 41, 36, 25, BLUSH, 0.30, angle=-sx * 14)
        c.glow(sx * 40, -13, 34, 15, SKIN_SHADE, 0.30, angle=sx * 4)  # the socket's shade
        c.glow(sx * 17, -7, 12, 20, SKIN_SHADE, 0.30)
        c.glow(sx * 40, 15, 27, 10, SKIN_SHADE, 0.16)
        smile = [(sx * 20, 50), (sx * 29, 59), (sx * 35.5, 70)]
        c.paint(stroke(_sink(smile, 0.4 * jaw), (0.5, 3.2, 0.5)), SKIN_SHADE, 0.26, soft=1.8, atop=True)
    shade = [p + f32([3, 10]) for p in _fringe()]
    c.paint(shade, SKIN_SHADE, 0.75, soft=6, atop=True)


def head(view: View) -> Canvas:
    """The face without features."""
    c = Canvas(view, -86, -122, 100, 124)
    ear = spline([(78, -14), (87, -15), (95, -6), (96, 10), (91, 27), (86, 38), (79, 40), (74, 20)], closed=True)
    c.paint(ear, linear((80, -10), (90, 40), (0, SKIN), (1, SKIN_DARK)))
    c.paint(stroke([(83, -6), (90, -3), (90, 10), (86, 22)], (0.8, 2.6, 2.4, 1)), SKIN_DEEP, 0.45, soft=1.2, atop=True)
    c.glow(82, 14, 9, 24, SKIN_DEEP, 0.55)
    _paint_face(c)
    c.paint(
        ellipse(86.6, 37.6, 3.3, 3.3),
        radial(85.6, 36.4, 5, 5, (0, rgb("#ffffff")), (0.5, rgb("#f6ead6")), (1, rgb("#c2a582"))),
    )
    return c


def lower_face(view: View, count: int = JAW_STEPS) -> list[Canvas]:
    """Cheeks and chin for jaw 0..1, fading into the head above, with the shadow they cast on the neck."""
    out = []
    for i in range(count):
        jaw = i / (count - 1)
        face, c = (Canvas(view, -86, 44, 86, 150 + JAW_DROP) for _ in range(2))
        _paint_face(face, jaw)
        throat = smoothstep(43, 22, np.abs(c.ux))[None, :] * smoothstep(150 + JAW_DROP, 120, c.uy)[:, None]
        c.paint(_face_outline(jaw) + f32([3, 13]), rgb("#7d3f2e"), 0.50, soft=4.5, clip=throat)
        c.px *= 1 - face.px[3]
        c.px += face.px
        c.fade(smoothstep(46, 66, c.uy)[:, None])
        out.append(c)
    return out


def nose(view: View) -> Canvas:
    """Nothing but soft light and shade, so that it may slide over the face."""
    c = Canvas(view, -30, -36, 30, 74)
    c.paint(stroke([(10, -20), (7, 0), (8, 20), (11, 34)], (3, 6, 7, 4)), SKIN_SHADE, 0.30, soft=3.5)
    c.paint(stroke([(-2, -14), (-2.5, 8), (-2, 30)], (3, 6, 8)), SKIN_LIGHT, 0.60, soft=3)
    c.glow(0, 57, 22, 10, SKIN_SHADE, 0.50, atop=False)
    under = join(
        [(-13.5, 45), (-9, 51), (-3, 52.5), (0, 54.5), (3, 52.5), (9, 51), (13.5, 45)],
        [(13.5, 45), (8, 55), (0, 58), (-8, 55), (-13.5, 45)],
    )
    c.paint(under, SKIN_SHADE, 0.55, soft=1.6)
    for sx in (-1, 1):
        c.paint(
            stroke([(sx * 10.4, 50.2), (sx * 7, 49.2), (sx * 3.6, 51.6)], (1.6, 3.0, 1.2)), SKIN_DEEP, 0.85, soft=0.6
        )
        wing = [(sx * 12.4, 37), (sx * 15, 43), (sx * 13.6, 48.5), (sx * 11, 50)]
        c.paint(stroke(wing, (0.4, 1.8, 2.0, 0.8)), SKIN_DEEP, 0.42 if sx < 0 else 0.55, soft=0.7)
    c.glow(-2.5, 41, 8.5, 7, rgb("#fff1e4"), 0.55, atop=False)
    return c


# ---- eyes -----------------------------------------------------------------------------------------------------

EYE_X, EYE_Y = 40.5, 0.0
_INNER, _OUTER = (-20.0, 4.6), (21.5, -2.0)
_UPPER_OPEN = ((-14.5, -3.6), (-4.5, -10.6), (7.5, -11.4), (17.0, -7.0))
_UPPER_SHUT = ((-12.5, 8.2), (-3.0, 10.6), (8.0, 9.8), (16.5, 5.6))
_LOWER_OPEN = ((-11.5, 7.9), (-1.0, 9.7), (9.5, 7.4), (17.0, 2.6))


def _lids(blink: float) -> tuple[F32, F32]:
    """Upper and lower lid edges of the viewer's right eye, inner to outer corner, around 0, 0."""
    b, shut = np.float32(blink), np.float32(max(blink, 0.0))
    up = f32(_UPPER_OPEN) * (1 - b) + f32(_UPPER_SHUT) * b
    low = f32(_LOWER_OPEN) * (1 - shut) + f32(_UPPER_SHUT) * shut
    inner, outer = f32([_INNER]), f32([_OUTER]) + f32([[0.3, 2.2]]) * b
    return spline(np.concatenate([inner, up, outer])), spline(np.concatenate([inner, low, outer]))


def _place(path: F32, sx: int) -> F32:
    """From the viewer's right eye around 0, 0 to either eye of the face."""
    p = np.asarray(path, np.float32) + f32([EYE_X, EYE_Y])
    return p if sx > 0 else mirror(p)


def eye_whites(view: View) -> Canvas:
    c = Canvas(view, -66, -21, 66, 15)
    up, low = _lids(blinks(LID_STEPS)[0])
    for sx in (-1, 1):
        shape = _place(np.concatenate([up, low[::-1]]), sx)
        white = linear((0, -13), (0, 11), (0, rgb("#d9cfcd")), (0.45, rgb("#fbf7f4")), (1, rgb("#f3ebe7")))
        c.paint(shape, white)
        c.glow(sx * (EYE_X - 19), 4.5, 6, 5, rgb("#e59a8c"), 0.8)
        c.glow(sx * (EYE_X + 20), 0, 7, 8, rgb("#d8b9ae"), 0.6)
    return c


def irises(view: View) -> Canvas:
    c = Canvas(view, -66, -18, 66, 17)
    for sx in (-1, 1):
        x, y, r = sx * (EYE_X - 0.4), -1.2, 12.6
        c.paint(
            ellipse(x, y, r, r),
            radial(x, y + 1.5, r, r, (0, IRIS_LIGHT), (0.55, IRIS), (0.80, mix(IRIS, IRIS_DARK, 0.5)), (1, IRIS_DARK)),
        )
        c.glow(x, y + 7.2, 9.5, 5.6, rgb("#d9a05c"), 0.85)
        c.paint(ellipse(x, y, 5.7, 5.7), rgb("#170c0b"), 1.0, soft=0.35)
        c.paint(ellipse(x - 3.8, y - 4.6, 3.1, 3.3), rgb("#ffffff"), 0.97, soft=0.25)
        c.paint(ellipse(x + 4.6, y + 5.0, 1.5, 1.5), rgb("#ffffff"), 0.65, soft=0.3)
    return c


def eyelids(view: View) -> list[Canvas]:
    """Skin around the eye openings, with lashes, over the `lids` axis; what lies below shows through the openings."""
    skin = Canvas(view, -76, -31, 76, 29)
    _paint_face(skin)
    feather = np.zeros((skin.h, skin.w), np.float32)
    for sx in (-1, 1):
        d = np.hypot((skin.ux - sx * EYE_X)[None, :] / 33, (skin.uy + 1)[:, None] / 25)
        feather = np.maximum(feather, smoothstep(1, 0.82, d))
    out = []
    for blink in blinks(LID_STEPS):
        c = Canvas(view, -76, -31, 76, 29)
        c.px[...] = skin.px
        _eyelid_bank(c, blink, feather)
        out.append(c)
    return out


def _eyelid_bank(c: Canvas, blink: float, feather: F32) -> None:
    up, low = _lids(blink)
    crease = f32([(-18, -1.5), (-12.5, -10.5), (-2, -17.2), (9, -17.6), (18.5, -12), (24, -5)])
    crease = spline(crease + f32([0, 2.2]) * np.float32(blink))
    opening = np.zeros((c.h, c.w), np.float32)
    for sx in (-1, 1):
        lid = np.concatenate([up, crease[::-1]])
        c.paint(_place(lid, sx), mix(SKIN_SHADE, BLUSH, 0.25), 0.30 + 0.12 * blink, soft=1.5, atop=True)
        c.glow(sx * (EYE_X - 2), -8 + 8 * blink, 15, 7, SKIN_LIGHT, 0.55 * max(blink, 0.0))
        c.paint(
            _place(stroke(crease[::4], (0.5, 1.7, 1.9, 1.6, 0.5)), sx),
            SKIN_DEEP,
            0.62 - 0.22 * blink,
            soft=0.5,
            atop=True,
        )
        fold = low + f32([1, 5.5 - 2 * blink])
        c.paint(_place(stroke(fold[::6], (0.3, 1.8, 0.3)), sx), SKIN_SHADE, 0.35, soft=1.2, atop=True)
        if blink < 0.999:
            opening += c.mask(_place(np.concatenate([up, low[::-1]]), sx))
    opening = np.minimum(opening, 1)
    c.fade(feather * (1 - opening))
    for sx in (-1, 1):
        # The upper lid's shadow on the eyeball.
        shade = stroke(up[::4] + f32([0, 1.6]), (3, 6, 6, 4))
        c.paint(_place(shade, sx), rgb("#3a2220"), 0.42, soft=1.3, clip=opening)
        c.paint(_place(stroke(low[::4], (0.6, 1.1, 1.3, 1.0)), sx), mix(SKIN_DEEP, LASH, 0.35), 0.75, soft=0.25)
        # Lashes: one tapering line that runs out into a wing, and two short ones inside it.
        tip = up[-1] + f32([5.4, -4.2 + 2.4 * blink])
        line = np.concatenate([up[::4] + f32([0, -0.6]), up[-1:] + f32([0.8, -0.5]), tip[None]])
        c.paint(_place(stroke(line, (0.7, 1.9, 2.8, 3.5, 3.9, 3.4, 0.4)), sx), LASH)
        for t, dx, dy in ((0.79, 4.0, -4.6), (0.91, 5.2, -4.6)):
            root = up[int(t * (len(up) - 1))] + f32([0, -0.8 + 1.2 * blink])
            end = root + f32([dx - 0.6 * blink, dy * (1 - blink) + 3.8 * blink])
            mid = (root + end) / 2 + f32([0.7, 0.6 - 0.2 * blink])
            c.paint(_place(stroke([root, mid, end], (2.4, 1.7, 0.3)), sx), LASH)


def brows(view: View) -> list[Canvas]:
    """Over the `concerned` axis: their inner ends rise and draw together."""
    out = []
    for i in range(EXPRESSION_STEPS):
        c = Canvas(view, -74, -54, 74, -18)
        t = i / (EXPRESSION_STEPS - 1)
        for sx in (-1, 1):
            spine = f32([(17, -31.5), (29, -35.5), (44, -38.5), (57, -37), (69, -29)])
            spine += f32([(-2.5, -11), (-2, -6.5), (0, 0.5), (0, 4), (0, 4)]) * np.float32(t)
            shape = c.mask(_flip(stroke(spine, (4.4, 6.8, 6.4, 4.2, 0.5)), sx), soft=0.7)
            c.wash(shape * (0.36 + 0.52 * smoothstep(14, 42, np.abs(c.ux))), BROW, atop=False)
        out.append(c)
    return out


def cheeks(view: View) -> list[Canvas]:
    """Over the `happy` axis: cheeks that push the lower lids up, and a blush."""
    skin = Canvas(view, -76, -14, 76, 62)
    _paint_face(skin)
    out = []
    for i in range(EXPRESSION_STEPS):
        c = Canvas(view, -76, -14, 76, 62)
        t = i / (EXPRESSION_STEPS - 1)
        for sx in (-1, 1):
            if not i:
                continue
            edge = f32(
                [
                    (-21, 6),
                    (-11.5, 8.6 - 2.2 * t),
                    (-1, 10.4 - 3.4 * t),
                    (9.5, 8.0 - 2.8 * t),
                    (17, 3.2 - 1.2 * t),
                    (23, -1),
                ]
            )
            edge = spline(edge)
            d = np.hypot((c.ux - sx * EYE_X)[None, :] / 33, (c.uy - 6)[:, None] / 22)
            below = np.concatenate([edge, f32([(24, 16), (12, 27), (-12, 27), (-22, 18)])])
            mask = c.mask(_place(below, sx)) * smoothstep(1, 0.72, d)
            c.px += skin.px * mask * (1 - c.px[3])
            c.paint(
                _place(stroke(edge[::5], (0.4, 1.1, 1.4, 1.2, 0.5)), sx), mix(SKIN_DEEP, LASH, 0.3), 0.75 * t, soft=0.25
            )
            fold = edge + f32([0.5, 6.5])
            c.paint(_place(stroke(fold[6::6], (0.3, 2.0, 0.3)), sx), SKIN_SHADE, 0.5 * t, soft=1.1)
            c.glow(sx * 50, 38, 25, 17, BLUSH, 0.34 * t, atop=False)
        out.append(c)
    return out


def arm(c: Canvas, place: Place) -> None:
    """Forearm and open hand, for `figure.wave`."""
    sleeve = join(
        [(-25, -48), (0, -52), (25, -48)],
        [(25, -48), (31, 10), (44, 90)],
        [(44, 90), (-34, 90)],
        [(-34, 90), (-30, 10), (-25, -48)],
    )
    c.paint(
        place(stroke([(0, -30), (0, -78)], (30, 25))),
        linear((60, 0), (160, 0), (0, SKIN_LIGHT), (0.6, SKIN), (1, SKIN_DARK)),
    )
    palm = [
        (-21, -84),
        (-25, -102),
        (-25, -118),
        (-14, -127),
        (4, -129),
        (19, -125),
        (24, -112),
        (22, -94),
        (14, -76),
        (-13, -74),
    ]
    light = linear((60, 40), (170, 220), (0, SKIN_LIGHT), (0.5, SKIN), (1, SKIN_DARK))
    fingers = (
        ((-19, -112), (-24, -140), (-27, -157), 11.5),
        ((-7, -118), (-8, -150), (-9, -170), 12.5),
        ((6, -118), (8, -150), (9, -167), 12.0),
        ((17, -113), (22, -138), (26, -153), 10.5),
    )
    thumb = [(-17, -88), (-33, -104), (-42, -121)]
    outline = [stroke([a, b, e], (w + 1.6, w + 1.6, w - 0.2)) for a, b, e, w in fingers] + [
        stroke(thumb, (18, 14.5, 10.5))
    ]
    for path in outline:
        c.paint(place(path), SKIN_SHADE)
    for a, b, e, w in fingers:
        c.paint(place(stroke([a, b, e], (w, w, w - 1.8))), light)
    c.paint(place(stroke(thumb, (17, 13, 9))), light)
    c.paint(place(spline(palm, closed=True)), light)
    for x, y in ((-13, -122), (-1, -126), (12, -123)):
        c.paint(place(stroke([(x, y), (x * 1.04, y - 9)], (0.6, 1.6))), SKIN_SHADE, 0.9, soft=0.4)
    for line in (
        [(-18, -110), (-4, -116), (17, -113)],
        [(-19, -101), (-2, -104), (14, -98)],
        [(-14, -105), (-6, -96), (-6, -82)],
    ):
        c.paint(place(stroke(line, (0.4, 1.6, 0.4))), SKIN_SHADE, 0.75, soft=0.5)
    c.paint(
        place(stroke([(-19, -54), (0, -58), (19, -54)], (11, 11, 11))),
        linear((90, 0), (160, 0), (0, BLOUSE), (1, BLOUSE_SHADE)),
    )
    c.paint(place(sleeve), linear((90, 0), (190, 0), (0, JACKET_LIGHT), (0.45, JACKET), (1, JACKET_DARK)))
    c.paint(place(stroke([(-24, -42), (0, -46), (24, -42)], (1.4, 1.4))), JACKET_DARK, 0.7, soft=0.5)
    c.paint(place(stroke([(-10, -20), (-4, 16), (-8, 60)], (0.5, 5, 6))), JACKET_DARK, 0.5, soft=2)


def _flip(path: F32, sx: int) -> F32:
    return path if sx > 0 else mirror(path)


# ---- hair -----------------------------------------------------------------------------------------------------


# Each side of the front hair lies between two curves that run from the parting to the tips.
_LEFT_OUTER = [
    (25, -137),
    (-6, -141),
    (-42, -133),
    (-74, -113),
    (-96, -78),
    (-106, -36),
    (-107, 8),
    (-106, 44),
    (-111, 80),
    (-115, 112),
    (-108, 139),
    (-92, 154),
    (-72, 160),
]
_LEFT_INNER = [
    (25, -99),
    (4, -88),
    (-24, -71),
    (-52, -47),
    (-72, -17),
    (-80, 16),
    (-80, 46),
    (-84, 76),
    (-92, 104),
    (-90, 128),
    (-79, 148),
    (-66, 159),
]
_RIGHT_OUTER = [
    (21, -137),
    (50, -133),
    (78, -114),
    (98, -80),
    (107, -38),
    (109, 6),
    (108, 44),
    (112, 80),
    (115, 112),
    (108, 138),
    (92, 152),
    (73, 157),
]
_RIGHT_INNER = [
    (25, -99),
    (42, -84),
    (60, -60),
    (73, -34),
    (82, -14),
    (93, -1),
    (97, 18),
    (94, 44),
    (89, 76),
    (90, 104),
    (88, 128),
    (78, 147),
    (67, 156),
]


def _fringe() -> list[F32]:
    """The two sides of the hair in front, parted on the viewer's right of the middle."""
    return [
        np.concatenate([spline(_LEFT_OUTER), spline(_LEFT_INNER)[::-1]]),
        np.concatenate([spline(_RIGHT_OUTER), spline(_RIGHT_INNER)[::-1]]),
    ]


def _even(points: ArrayLike, n: int = 40) -> F32:
    """n points evenly spaced along the smooth curve."""
    c = spline(points)
    d = np.concatenate([[0], np.cumsum(np.hypot(*(c[1:] - c[:-1]).T))])
    at = np.linspace(0, d[-1], n)
    return np.stack([np.interp(at, d, c[:, 0]), np.interp(at, d, c[:, 1])], 1).astype(np.float32)


def hair_back(view: View) -> Canvas:
    """The hair behind the neck."""
    c = Canvas(view, -114, -140, 114, 172)
    shape = symmetric(
        [(0, -134), (60, -122), (94, -70), (104, 0), (105, 60), (110, 104), (104, 140), (84, 158), (50, 160), (0, 156)]
    )
    c.paint(shape, linear((-100, 0), (100, 60), (0, HAIR_DARK), (0.5, HAIR_DEEP), (1, HAIR_DEEP)))
    locks = [stroke([(x * 0.9, 20), (x, 90), (x * 0.9, 156)], (1, 4, 0.5)) for x in (-92, -76, -60, 60, 78, 94)]
    c.paint(locks, HAIR, 0.30, soft=1.2, atop=True)
    c.glow(0, 110, 70, 70, rgb("#160b0b"), 0.6)
    return c


def hair_front(view: View) -> Canvas:
    """The parted hair that frames the face."""
    c = Canvas(view, -120, -144, 120, 164)
    curves = ((_LEFT_OUTER, _LEFT_INNER), (_RIGHT_OUTER, _RIGHT_INNER))
    for side, shape, (outer, inner) in zip((-1, 1), _fringe(), curves, strict=True):
        clip = c.mask(shape)
        light = mix(HAIR, HAIR_LIGHT, 0.30 if side < 0 else 0.12)
        c.wash(clip, linear((-90, -130), (100, 150), (0, light), (0.5, HAIR), (1, HAIR_DARK)), atop=False)
        a, b = _even(inner), _even(outer)

        def lock(t: float, lo: float, hi: float, a: F32 = a, b: F32 = b) -> F32:
            i = slice(int(lo * 39), int(hi * 39) + 1)
            return ((1 - t) * a + t * b)[i][::2]

        # Depth: the inner edge and the undersides of the waves are dark.
        c.paint(stroke(a[8:], (2, 12, 14, 16, 10)), HAIR_DEEP, 0.50, soft=5, clip=clip)
        c.paint(stroke(lock(0.98, 0.45, 1.0), (1, 10, 12, 8)), HAIR_DEEP, 0.32, soft=4, clip=clip)
        dark = [
            stroke(lock(t, lo, hi), (0.3, 2.6, 3.0, 2.2, 0.3))
            for t, lo, hi in (
                (0.10, 0.05, 0.95),
                (0.27, 0.02, 0.62),
                (0.42, 0.30, 1.0),
                (0.58, 0.02, 0.80),
                (0.74, 0.28, 0.98),
                (0.88, 0.05, 0.70),
            )
        ]
        c.paint(dark, HAIR_DEEP, 0.42, soft=0.7, clip=clip)
        pale = [
            stroke(lock(t, lo, hi), (0.3, 3.4, 4.0, 2.4, 0.3))
            for t, lo, hi in (
                (0.19, 0.05, 0.60),
                (0.34, 0.10, 0.90),
                (0.50, 0.04, 0.60),
                (0.66, 0.10, 0.95),
                (0.81, 0.05, 0.62),
                (0.93, 0.18, 0.60),
            )
        ]
        c.paint(pale, HAIR_LIGHT, 0.34 if side < 0 else 0.24, soft=0.9, clip=clip)
        # Gloss: short fine strokes gathered into a band over the crown, and a weaker one on the wave.
        shine = [
            stroke(lock(0.12 + 0.08 * i, 0.15 + 0.012 * (i % 3), 0.40 - 0.02 * (i % 2)), (0.2, 3.6, 0.2))
            for i in range(11)
        ]
        c.paint(shine, HAIR_SHINE, 0.46 if side < 0 else 0.30, soft=1.1, clip=clip)
        shine = [stroke(lock(0.25 + 0.1 * i, 0.70, 0.90 - 0.02 * (i % 2)), (0.2, 3.0, 0.2)) for i in range(6)]
        c.paint(shine, HAIR_SHINE, 0.26 if side < 0 else 0.16, soft=1.1, clip=clip)
    c.paint(stroke([(23, -137), (22.5, -120), (25, -99)], (0.6, 1.8, 1.0)), HAIR_DEEP, 0.65, soft=0.7, atop=True)
    return c


def figure(view: View) -> Figure:
    """Every layer."""
    f = Figure(view, (0, 112))
    f.head("hair_back", hair_back(view), 0.70)
    f.body("body", body(view))
    f.head("head", head(view), 0.95)
    f.head("lower_face", lower_face(view), 0.97, "jaw")
    f.head("nose", nose(view), 1.24)
    f.head("eye_whites", eye_whites(view), 1.06)
    f.head("irises", irises(view), 1.06, gaze_x=4.6, gaze_y=2.8)
    f.head("eyelids", eyelids(view), 1.06, "lids")
    f.head("cheeks", cheeks(view), 1.06, "happy")
    f.head("brows", brows(view), 1.07, "concerned", brow=-4.5, surprised=-2.5)
    f.mouth(mouth.draw(view, 0.0, MOUTH_Y), 1.12)
    f.head("hair_front", hair_front(view), 0.93)
    f.body("arm", wave(view, (142, 248), 172, arm), "wave")
    return f
