"""Kit, the built-in mascot: a young fox.

Units as for Aria: 0, 0 is midway between the eyes, x right, y down. Light comes from the upper left.
"""

from __future__ import annotations

import numpy as np

from . import toon
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

FUR_LIGHT, FUR, FUR_DARK, FUR_DEEP = rgb("#ffb066"), rgb("#f58a3c"), rgb("#d9662a"), rgb("#a8441d")
CREAM_LIGHT, CREAM, CREAM_SHADE = rgb("#fffaf1"), rgb("#fdeedb"), rgb("#ecd0b4")
SOCK, SOCK_LIGHT, DARK = rgb("#4a2a22"), rgb("#6d4436"), rgb("#32191a")
SCARF_LIGHT, SCARF, SCARF_DARK = rgb("#3fb0a5"), rgb("#1f8a86"), rgb("#126266")
IRIS_LIGHT, IRIS, IRIS_DARK, BLUSH = rgb("#8fd07a"), rgb("#3f8f52"), rgb("#1f5136"), rgb("#ff9b86")

EYE_X, EYE_Y, MOUTH_Y = 39.0, 0.0, 66.0
JAW_DROP = 11.0
MOUTH = toon.ToonMouth(
    line=rgb("#5c3122"),
    cavity=rgb("#4d161c"),
    cavity_low=rgb("#7a2630"),
    teeth=rgb("#fffdf8"),
    tongue=rgb("#f07f84"),
    tongue_light=rgb("#ffb3b0"),
    half=29.0,
    height=36.0,
    smile=8.0,
    weight=3.3,
    fangs=4.5,
)


def background(view: View) -> F32:
    """A meadow in the morning, flat."""
    h, w = view.height, view.width
    x, y = (f32((np.arange(n) + 0.5) / n) for n in (w, h))
    px = linear((0, 0), (0, 1), (0, rgb("#bfe6ef")), (0.6, rgb("#e8f5e4")), (1, rgb("#fbf3d6")))(x, y)
    px = np.array(np.broadcast_to(px, (3, h, w)))
    unit = float(min(h, w))
    sun = np.hypot((x[None, :] - 0.80) * w / unit, (y[:, None] - 0.20) * h / unit)
    layers = [
        (smoothstep(0.42, 0.10, sun) * 0.55, "#fff6d8"),
        (smoothstep(0.10 + 0.9 / unit, 0.10 - 0.9 / unit, sun), "#fff3c4"),
    ]
    for height, amount, phase, waves, color in (
        (0.60, 0.05, 0.3, 1.1, "#a9d6b0"),
        (0.70, 0.06, 2.0, 0.8, "#86c398"),
        (0.82, 0.05, 4.1, 1.3, "#63ad82"),
    ):
        edge = height + amount * np.sin(2 * np.pi * waves * x + phase)
        layers.append((smoothstep(-0.9 / h, 0.9 / h, y[:, None] - edge[None, :]), color))
    for a, color in layers:
        for plane, value in zip(px, rgb(color), strict=True):
            plane += (np.float32(value) - plane) * f32(a)
    return dithered(px, w, h)


def body(view: View) -> Canvas:
    floor = (view.height - view.oy) / view.scale + 16
    side = max(view.ox, view.width - view.ox) / view.scale + 8
    c = Canvas(view, -min(150, side), 84, min(150, side), floor)
    low = floor + 40
    shape = symmetric([(0, 92), (46, 106), (84, 150), (112, 206), (126, 270), (128, low), (0, low + 10)])
    c.paint(shape, linear((-90, 110), (100, 320), (0, FUR_LIGHT), (0.45, FUR), (1, FUR_DARK)))
    for sx in (-1, 1):
        arm = [(sx * 88, 214), (sx * 82, 262), (sx * 86, low)]
        c.paint(stroke(arm, (1, 5, 7)), FUR_DEEP, 0.45, soft=2.2, atop=True)
    bib = symmetric([(0, 150), (36, 166), (54, 214), (48, 270), (34, low), (0, low)])
    c.paint(bib, linear((0, 150), (0, 330), (0, CREAM_LIGHT), (1, CREAM_SHADE)))
    for sx, y in ((-1, 232), (1, 232), (-1, 262), (1, 262)):
        tuft = [(sx * 26, y), (sx * 20, y + 12), (sx * 9, y + 17)]
        c.paint(stroke(tuft, (0.5, 2.6, 0.5)), CREAM_SHADE, 0.9, soft=0.5, atop=True)
    band = join(
        [(-74, 128), (-40, 150), (0, 157), (40, 150), (74, 128)],
        [(74, 128), (86, 146), (78, 166)],
        [(78, 166), (42, 186), (0, 193), (-42, 186), (-78, 166)],
        [(-78, 166), (-86, 146), (-74, 128)],
    )
    c.paint(band + f32([2, 6]), FUR_DEEP, 0.40, soft=4, atop=True)
    end = join([(18, 178), (40, 200), (52, 250)], [(52, 250), (38, 246), (24, 256)], [(24, 256), (10, 216), (2, 184)])
    c.paint(end + f32([3, 4]), FUR_DEEP, 0.30, soft=3, atop=True)
    c.paint(end, linear((10, 180), (50, 260), (0, SCARF), (1, SCARF_DARK)))
    c.paint(band, linear((-70, 130), (80, 190), (0, SCARF_LIGHT), (0.5, SCARF), (1, SCARF_DARK)))
    for fold in ([(-70, 150), (-34, 168), (4, 173)], [(66, 146), (40, 164), (14, 172)]):
        c.paint(stroke(fold, (0.6, 3.2, 0.6)), SCARF_DARK, 0.55, soft=0.7, atop=True)
    knot = spline([(2, 160), (22, 156), (32, 170), (26, 188), (6, 190), (-2, 176)], closed=True)
    c.paint(knot + f32([1.5, 2]), SCARF_DARK, 0.7, soft=1)
    c.paint(knot, linear((0, 156), (30, 190), (0, SCARF_LIGHT), (1, SCARF)))
    c.glow(0, 106, 66, 30, FUR_DEEP, 0.55)
    return c


def ears(view: View) -> Canvas:
    c = Canvas(view, -112, -160, 112, -20)
    for sx in (-1, 1):
        outer = join(
            [(30, -66), (52, -112), (86, -150)], [(86, -150), (100, -108), (83, -28)], [(83, -28), (60, -30), (30, -66)]
        )
        tip = join(
            [(62, -124), (76, -140), (86, -150)],
            [(86, -150), (94, -130), (98, -112)],
            [(98, -112), (80, -114), (62, -124)],
        )
        inner = join(
            [(50, -72), (64, -106), (84, -130)], [(84, -130), (90, -98), (82, -50)], [(82, -50), (64, -52), (50, -72)]
        )
        flip = f32([sx, 1])
        base = FUR_LIGHT if sx < 0 else FUR
        c.paint(outer * flip, linear((sx * 40, -140), (sx * 90, -40), (0, base), (1, FUR_DARK)))
        c.paint(tip * flip, SOCK, soft=0.3, atop=True)
        c.paint(inner * flip, linear((0, -130), (0, -50), (0, rgb("#e9a99a")), (1, rgb("#c9745f"))))
        for dx in (0, 9, 18):
            wisp = f32([(56 + dx, -58 - dx * 0.3), (60 + dx, -74), (66 + dx, -92 - dx * 0.4)]) * flip
            c.paint(stroke(wisp, (7, 5, 0.5)), CREAM, 0.95)
    return c


def _paint_head(c: Canvas) -> None:
    """Fur and cream, no features: also what the lids are made of."""
    shape = join(
        [(0, -86), (36, -83), (68, -66), (88, -34), (93, 0), (103, 28), (113, 44)],
        [(113, 44), (101, 54), (106, 66)],
        [(106, 66), (88, 70), (84, 82)],
        [(84, 82), (58, 93), (30, 108), (0, 113)],
    )
    shape = np.concatenate([shape, mirror(shape)])
    c.paint(shape, linear((-60, -80), (60, 100), (0, FUR_LIGHT), (0.45, FUR), (1, FUR_DARK)))
    # It reaches beyond the head, so that no rim of orange shows around it.
    cream = join(
        [(0, 20), (10, 6), (24, 14), (48, 30), (72, 26), (90, 24), (112, 43), (124, 50)], [(124, 50), (124, 130)]
    )
    cream = np.concatenate([cream, f32([(0, 130)])])
    cream = np.concatenate([cream, mirror(cream)])
    c.paint(cream, linear((-40, 10), (50, 110), (0, CREAM_LIGHT), (0.6, CREAM), (1, CREAM_SHADE)), atop=True)
    blaze = symmetric([(0, -70), (8, -48), (9, -22), (17, 2), (13, 22), (0, 28)])
    c.paint(blaze, CREAM_LIGHT, 0.30, soft=4, atop=True)
    c.glow(-26, -56, 46, 26, rgb("#ffd3a0"), 0.55)
    for sx in (-1, 1):
        c.glow(sx * 68, 46, 22, 14, BLUSH, 0.42)
        c.glow(sx * EYE_X, 2, 33, 32, FUR_DEEP, 0.22)
    c.glow(96, 40, 40, 60, FUR_DEEP, 0.22)


def head(view: View) -> Canvas:
    c = Canvas(view, -116, -106, 116, 116)
    for x, tilt in ((-12, -10), (10, 6), (0, 0)):
        lock = join(
            [(x - 13, -76), (x - 6 + tilt * 0.4, -94), (x + tilt, -103)],
            [(x + tilt, -103), (x + 8, -90), (x + 14, -76)],
        )
        c.paint(lock, mix(FUR, FUR_LIGHT, 0.55 if x < 0 else 0.2))
    _paint_head(c)
    return c


def chin(view: View) -> Canvas:
    """The lower jaw, that sinks below the head's edge."""
    c = Canvas(view, -66, 60, 66, 128)
    shape = symmetric([(0, 66), (40, 70), (56, 84), (38, 104), (16, 113), (0, 114)])
    c.paint(shape + f32([1, 5]), FUR_DEEP, 0.28, soft=2.5)
    c.paint(shape, linear((0, 66), (0, 114), (0, CREAM), (1, CREAM_SHADE)))
    return c


def muzzle(view: View) -> Canvas:
    """Soft light around the nose, so that it may slide over the face; the nose itself."""
    c = Canvas(view, -50, 12, 50, 100)
    c.glow(0, 62, 44, 34, CREAM_LIGHT, 0.9, atop=False)
    for sx in (-1, 1):
        for i, (x, y) in enumerate(((30, 56), (37, 63), (29, 66))):
            c.paint(ellipse(sx * x, y, 1.25, 1.25), FUR_DARK, 0.55 - 0.08 * i)
    c.paint(stroke([(0, 46), (0, 60)], (2.2, 2.6)), rgb("#5c3122"), 0.9)
    nose = symmetric([(0, 30.5), (9, 30), (15.5, 34), (13, 41.5), (5, 47.5), (0, 48.5)])
    c.paint(nose + f32([0, 2.5]), FUR_DEEP, 0.35, soft=2)
    c.paint(nose, linear((-6, 30), (8, 50), (0, rgb("#5a3a38")), (0.5, DARK), (1, rgb("#1f0f10"))))
    c.paint(ellipse(-4.5, 34.6, 4.4, 2.0), rgb("#ffffff"), 0.75, soft=0.6)
    return c


def _lids(blink: float) -> tuple[F32, F32]:
    """Upper and lower edge of the viewer's right eye around 0, 0, inner to outer corner."""
    shut = f32([(-17, 7), (-9, 11.5), (2, 12.5), (12, 9.5), (19, 3)])
    up = f32([(-17, 5), (-12, -12), (1, -20), (14, -15), (19.5, 0)])
    low = f32([(-17, 5), (-10, 15.5), (1, 19), (13, 13.5), (19.5, 0)])
    b = np.float32(blink)
    return spline(up + (shut - up) * b), spline(low + (shut - low) * max(b, np.float32(0)))


def _eye(path: F32, sx: int) -> F32:
    p = f32(path) + f32([EYE_X, EYE_Y])
    return p if sx > 0 else mirror(p)


def eye_whites(view: View) -> Canvas:
    c = Canvas(view, -64, -28, 64, 24)
    for sx in (-1, 1):
        white = linear((0, -20), (0, 18), (0, rgb("#e3d9d6")), (0.4, rgb("#fffdfa")), (1, rgb("#ffffff")))
        c.paint(ellipse(sx * EYE_X, EYE_Y - 1, 20.5, 23), white)
    return c


def irises(view: View) -> Canvas:
    c = Canvas(view, -62, -24, 62, 24)
    for sx in (-1, 1):
        x, y = sx * (EYE_X - 1.0), EYE_Y + 1.0
        c.paint(
            ellipse(x, y, 14.5, 16),
            radial(x, y + 3, 15, 17, (0, IRIS_LIGHT), (0.55, IRIS), (0.85, IRIS_DARK), (1, rgb("#143524"))),
        )
        c.paint(ellipse(x, y - 0.5, 7.6, 9.6), rgb("#12100f"), soft=0.3)
        c.paint(ellipse(x - 4.6, y - 6.2, 4.3, 4.8), rgb("#ffffff"), 0.98, soft=0.2)
        c.paint(ellipse(x + 5.0, y + 6.4, 2.1, 2.3), rgb("#ffffff"), 0.75, soft=0.3)
    return c


def _feather(c: Canvas) -> F32:
    out = np.zeros((c.h, c.w), np.float32)
    for sx in (-1, 1):
        d = np.hypot((c.ux - sx * EYE_X)[None, :] / 30, (c.uy - EYE_Y)[:, None] / 31)
        out = np.maximum(out, smoothstep(1, 0.84, d))
    return out


def eyelids(view: View) -> list[Canvas]:
    skin = Canvas(view, -72, -34, 72, 34)
    _paint_head(skin)
    feather = _feather(skin)
    out = []
    for blink in blinks(LID_STEPS):
        c = Canvas(view, -72, -34, 72, 34)
        c.px[...] = skin.px
        up, low = _lids(blink)
        opening = np.zeros((c.h, c.w), np.float32)
        for sx in (-1, 1):
            c.glow(sx * EYE_X, EYE_Y - 10 + 12 * max(blink, 0), 20, 13, FUR_LIGHT, 0.6 * max(blink, 0))
            if blink < 0.999:
                opening += c.mask(_eye(np.concatenate([up, low[::-1]]), sx))
        opening = np.minimum(opening, 1)
        c.fade(feather * (1 - opening))
        for sx in (-1, 1):
            c.paint(_eye(stroke(up[::4] + f32([0, 2.2]), (2, 6, 6, 3)), sx), DARK, 0.30, soft=1.4, clip=opening)
            c.paint(_eye(stroke(low[::4], (1.0, 1.6, 1.8, 1.4)), sx), SOCK, 0.85)
            wing = np.concatenate([up[::4], up[-1:] + f32([[5.5, -4 + 4 * max(blink, 0)]])])
            c.paint(_eye(stroke(wing, (1.6, 3.4, 4.2, 4.4, 4.2, 0.6)), sx), DARK)
        out.append(c)
    return out


def cheeks(view: View) -> list[Canvas]:
    """For joy: cheeks that push the lower lids up."""
    skin = Canvas(view, -88, -34, 88, 50)
    _paint_head(skin)
    out = []
    for i in range(EXPRESSION_STEPS):
        c = Canvas(view, -88, -34, 88, 50)
        t = i / (EXPRESSION_STEPS - 1)
        for sx in (-1, 1):
            if not i:
                continue
            edge = spline(
                f32([(-20, 19 - 12 * t), (-8, 17 - 15 * t), (4, 17 - 16 * t), (14, 14 - 13 * t), (22, 9 - 7 * t)])
            )
            below = np.concatenate([edge, f32([(22, 22), (14, 30), (-12, 30), (-21, 24)])])
            mask = c.mask(_eye(below, sx)) * _feather(c)
            c.px += skin.px * mask * (1 - c.px[3])
            c.paint(_eye(stroke(edge[::5], (0.6, 1.8, 2.2, 1.8, 0.6)), sx), SOCK, 0.8 * t)
            c.glow(sx * 62, 34, 22, 13, BLUSH, 0.5 * t, atop=False)
        out.append(c)
    return out


def brows(view: View) -> list[Canvas]:
    out = []
    for i in range(EXPRESSION_STEPS):
        c = Canvas(view, -70, -56, 70, -20)
        t = i / (EXPRESSION_STEPS - 1)
        for sx in (-1, 1):
            line = [(sx * 22, -36 - 8 * t), (sx * 37, -40.5 - 1 * t), (sx * 54, -35 + 7 * t)]
            c.paint(stroke(line, (4.5, 7.0, 2.0)), SOCK, soft=0.3)
        out.append(c)
    return out


def _arm(c: Canvas, place: Place) -> None:
    limb = [(4, 70), (0, 0), (0, -84)]
    c.paint(place(stroke(limb, (58, 50, 42))), linear((70, 0), (160, 0), (0, FUR_LIGHT), (0.45, FUR), (1, FUR_DARK)))
    cuff = join(
        [(-23, -58), (-12, -50), (-6, -60)],
        [(-6, -60), (0, -49), (7, -60)],
        [(7, -60), (13, -50), (23, -58)],
        [(23, -58), (26, -90), (0, -100), (-26, -90), (-23, -58)],
    )
    c.paint(place(cuff), SOCK)
    paw = spline(
        [(-24, -74), (-33, -98), (-28, -118), (-12, -128), (8, -129), (26, -120), (33, -100), (25, -74), (0, -68)],
        closed=True,
    )
    c.paint(place(paw), linear((60, 60), (150, 200), (0, SOCK_LIGHT), (1, SOCK)))
    for x, y in ((-22, -114), (-8, -123), (9, -123), (23, -114)):
        c.paint(place(ellipse(x, y + 3, 9.5, 12.5)), mix(SOCK, SOCK_LIGHT, 0.55))
        c.paint(place(ellipse(x * 0.98, y + 2, 5.0, 6.6)), rgb("#eaa79c"))
    c.paint(
        place(
            spline(
                [(0, -105), (12, -100), (16, -88), (7, -80), (0, -83), (-7, -80), (-16, -88), (-12, -100)], closed=True
            )
        ),
        rgb("#eaa79c"),
    )


def figure(view: View) -> Figure:
    """Every layer."""
    f = Figure(view, (0, 108))
    f.body("body", body(view))
    f.head("ears", ears(view), 0.72)
    f.head("chin", chin(view), 1.02, jaw=JAW_DROP)
    f.head("head", head(view), 0.95)
    f.head("eye_whites", eye_whites(view), 1.10)
    f.head("irises", irises(view), 1.10, gaze_x=5.2, gaze_y=3.4)
    f.head("eyelids", eyelids(view), 1.10, "lids")
    f.head("cheeks", cheeks(view), 1.10, "happy")
    f.head("brows", brows(view), 1.12, "concerned", brow=-6.0, surprised=-3.0)
    f.head("muzzle", muzzle(view), 1.45)
    f.mouth(toon.draw(view, 0.0, MOUTH_Y, MOUTH), 1.34)
    f.body("arm", wave(view, (124, 240), 150, _arm), "wave")
    return f
