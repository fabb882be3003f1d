"""Ohm, the built-in robot: a shell, a dark glass, and a face of light.

Units as for Aria: 0, 0 is midway between the eyes, x right, y down. Light comes from the upper left.
"""

from __future__ import annotations

import numpy as np

from . import toon
from .figure import EXPRESSION_STEPS, LID_STEPS, Figure, Place, blinks, dithered, squircle, wave
from .raster import F32, Canvas, View, ellipse, f32, linear, mix, radial, rgb, smoothstep, stroke

SHELL_LIGHT, SHELL, SHELL_DARK, SHELL_DEEP = rgb("#ffffff"), rgb("#e9edf5"), rgb("#b9c3d6"), rgb("#8591ab")
JOINT, JOINT_DARK, JOINT_LIGHT = rgb("#3c4560"), rgb("#262c42"), rgb("#5d6888")
ACCENT, ACCENT_LIGHT, ACCENT_DARK = rgb("#ff8a5c"), rgb("#ffb48f"), rgb("#d9623a")
GLASS, LED, LED_LIGHT, PINK = rgb("#0c1428"), rgb("#62e8ff"), rgb("#d6fbff"), rgb("#ff7fa3")

EYE_X, EYE_Y, MOUTH_Y = 37.0, -12.0, 40.0
MOUTH = toon.ToonMouth(
    line=LED,
    cavity=rgb("#06303d"),
    cavity_low=rgb("#0a5163"),
    teeth=LED_LIGHT,
    tongue=rgb("#ff8a7a"),
    tongue_light=rgb("#ffc1b3"),
    half=33.0,
    height=34.0,
    smile=8.5,
    weight=4.4,
    glow=2.2,
)


def background(view: View) -> F32:
    """Dusk in flat circles."""
    h, w = view.height, view.width
    x, y = (f32((np.arange(n) + 0.5) / n) for n in (w, h))
    px = linear((0, 0), (0.7, 1), (0, rgb("#3a3f86")), (0.55, rgb("#5a5fb4")), (1, rgb("#8a86d8")))(x, y)
    unit = float(min(h, w))
    for cx, cy, r, color, alpha in (
        (0.5, 0.46, 0.62, "#7478cc", 0.55),
        (0.5, 0.46, 0.46, "#8f90e0", 0.50),
        (0.12, 0.16, 0.10, "#a7a5ee", 0.30),
        (0.90, 0.20, 0.055, "#ffb48f", 0.55),
        (0.84, 0.80, 0.16, "#3a3f86", 0.25),
        (0.06, 0.78, 0.07, "#62e8ff", 0.16),
    ):
        d = np.hypot((x[None, :] - cx) * w / unit, (y[:, None] - cy) * h / unit)
        a = smoothstep(r + 0.9 / unit, r - 0.9 / unit, d) * np.float32(alpha)
        for plane, value in zip(px, rgb(color), strict=True):
            plane += (np.float32(value) - plane) * a
    return dithered(px, w, h)


def body(view: View) -> Canvas:
    floor = (view.height - view.oy) / view.scale + 16
    side = max(view.ox, view.width - view.ox) / view.scale + 8
    c = Canvas(view, -min(196, side), 84, min(196, side), floor)
    for i, y in enumerate((102, 114, 126)):
        ring = squircle(0, y + 6, 30 + 3 * i, 8.5, 3.2)
        c.paint(ring, linear((-30, 0), (34, 0), (0, JOINT_LIGHT), (0.4, JOINT), (1, JOINT_DARK)))
    for sx in (-1, 1):
        ball = ellipse(sx * 126, 222, 38, 40)
        shade = radial(sx * 126 - 14, 204, 62, 62, (0, SHELL_LIGHT), (0.45, SHELL), (1, SHELL_DARK))
        c.paint(ball + f32([sx * -3, 3]), SHELL_DEEP, 0.35, soft=4)
        c.paint(ball, shade)
        c.paint(stroke([(sx * 128, 258), (sx * 136, 300), (sx * 138, floor + 30)], (44, 46, 48)), JOINT)
    torso = squircle(0, 268, 122, 130, 3.4)
    c.paint(torso, linear((-110, 140), (120, 330), (0, SHELL_LIGHT), (0.4, SHELL), (1, SHELL_DARK)))
    clip = c.mask(torso)
    c.paint(squircle(0, 128, 70, 30, 2.6), SHELL_DEEP, 0.55, soft=7, clip=clip)
    c.paint(stroke([(-118, 232), (0, 240), (118, 232)], (2.2, 2.2)), SHELL_DARK, 0.9, clip=clip)
    c.paint(stroke([(-118, 234.4), (0, 242.4), (118, 234.4)], (1.4, 1.4)), SHELL_LIGHT, 0.9, clip=clip)
    c.paint(ellipse(0, 196, 22, 22), SHELL_DARK, 0.8)
    c.paint(ellipse(0, 196, 19, 19), JOINT_DARK)
    c.glow(0, 196, 30, 30, ACCENT, 0.45, atop=True)
    c.paint(ellipse(0, 196, 12.5, 12.5), radial(-3, 192, 17, 17, (0, ACCENT_LIGHT), (0.6, ACCENT), (1, ACCENT_DARK)))
    return c


def antenna(view: View) -> Canvas:
    c = Canvas(view, -18, -156, 18, -96)
    c.paint(stroke([(0, -100), (0, -132)], (6, 4.5)), linear((-3, 0), (3, 0), (0, SHELL), (1, SHELL_DEEP)))
    c.paint(ellipse(0, -139, 11, 11), radial(-3.5, -143, 16, 16, (0, ACCENT_LIGHT), (0.55, ACCENT), (1, ACCENT_DARK)))
    c.paint(ellipse(-3.6, -143, 2.9, 2.4), SHELL_LIGHT, 0.85, soft=0.4)
    return c


def head(view: View) -> Canvas:
    c = Canvas(view, -130, -112, 130, 112)
    for sx in (-1, 1):
        c.paint(
            squircle(sx * 108, 2, 18, 34, 3.0),
            linear((0, -30), (0, 38), (0, ACCENT_LIGHT), (0.3, ACCENT), (1, ACCENT_DARK)),
        )
        c.paint(squircle(sx * 118, 2, 5, 18, 2.6), ACCENT_DARK, 0.7)
    shell = squircle(0, 0, 111, 105, 3.3)
    c.paint(shell, linear((-80, -100), (80, 110), (0, SHELL_LIGHT), (0.5, SHELL), (1, SHELL_DARK)))
    clip = c.mask(shell)
    inner = c.mask(squircle(-4, -5, 105, 99, 3.3), soft=5)
    c.wash((1 - inner) * clip * np.float32(0.55), SHELL_DEEP)
    c.paint(stroke([(-70, -86), (-30, -95), (20, -96)], (2, 7, 2)), SHELL_LIGHT, 0.9, soft=2.0, clip=clip)
    c.paint(squircle(0, 5.5, 92, 81, 3.4), SHELL_DEEP, 0.55, soft=1.6, clip=clip)
    c.paint(squircle(0, 6.8, 91, 80, 3.4), SHELL_LIGHT, 0.8, soft=0.6, clip=clip)
    return c


def glass(view: View) -> Canvas:
    c = Canvas(view, -90, -76, 90, 88)
    c.paint(squircle(0, 5, 88, 77, 3.4), GLASS)
    return c


def glare(view: View) -> Canvas:
    """Light on the glass, above the face."""
    c = Canvas(view, -90, -76, 90, 88)
    pane = c.mask(squircle(0, 5, 84, 73, 3.4))
    c.paint(f32([(-110, -90), (-26, -90), (-84, 100), (-160, 100)]), SHELL_LIGHT, 0.055, clip=pane)
    c.paint(f32([(-14, -90), (4, -90), (-54, 100), (-72, 100)]), SHELL_LIGHT, 0.045, clip=pane)
    rim = pane * (1 - c.mask(squircle(2.5, 8.5, 84, 73, 3.4), soft=2))
    c.wash(rim * np.float32(0.30), LED_LIGHT, atop=False)
    return c


def _shine(c: Canvas, path: F32) -> None:
    """A shape of light."""
    c.paint(path, LED, 0.55, soft=3.2)
    c.paint(path, linear((0, EYE_Y - 22), (0, EYE_Y + 22), (0, LED_LIGHT), (0.55, LED), (1, LED)))


def eyes(view: View) -> list[Canvas]:
    out = []
    for blink in blinks(LID_STEPS):
        c = Canvas(view, -66, -48, 66, 28)
        for sx in (-1, 1):
            tall = max(21 * (1 - blink) if blink > 0 else 21 - 30 * blink, 2.2)
            wide = 14.5 + 3.0 * max(blink, 0) - 6 * min(blink, 0)
            _shine(c, squircle(sx * EYE_X, EYE_Y + 3 * max(blink, 0), wide, tall, 3.0))
        out.append(c)
    return out


def cheeks(view: View) -> list[Canvas]:
    """For joy: the glass rises over the eyes from below, and a blush."""
    out = []
    for i in range(EXPRESSION_STEPS):
        c = Canvas(view, -82, -40, 82, 66)
        t = i / (EXPRESSION_STEPS - 1)
        for sx in (-1, 1):
            if i:
                c.paint(ellipse(sx * EYE_X, EYE_Y + 46 - 23 * t, 30, 26), GLASS)
                c.glow(sx * 62, 30, 17, 11, PINK, 0.85 * t, atop=False)
        out.append(c)
    return out


def worry(view: View) -> list[Canvas]:
    """For concern: the glass comes over the outer corners of the eyes from above."""
    out = []
    for i in range(EXPRESSION_STEPS):
        c = Canvas(view, -74, -46, 74, 24)
        t = i / (EXPRESSION_STEPS - 1)
        for sx in (-1, 1):
            if i:
                low = f32([(sx * 8, -36), (sx * 70, -36 + 34 * t), (sx * 70, -44), (sx * 8, -44)])
                c.paint(low + f32([0, 2]), GLASS)
        out.append(c)
    return out


def brows(view: View) -> list[Canvas]:
    out = []
    for i in range(EXPRESSION_STEPS):
        c = Canvas(view, -66, -66, 66, -28)
        t = 7.0 * i / (EXPRESSION_STEPS - 1)
        for sx in (-1, 1):
            bar = stroke([(sx * 23, -45 - t), (sx * 38, -49.5), (sx * 53, -45 + 0.7 * t)], (4.6, 5.2, 4.2))
            c.paint(bar, LED, 0.5, soft=2.4)
            c.paint(bar, mix(LED, LED_LIGHT, 0.35))
        out.append(c)
    return out


def _arm(c: Canvas, place: Place) -> None:
    c.paint(
        place(stroke([(0, 60), (0, -70)], (40, 36))),
        linear((90, 0), (160, 0), (0, JOINT_LIGHT), (0.5, JOINT), (1, JOINT_DARK)),
    )
    c.paint(
        place(squircle(0, -18, 25, 40, 3.2)),
        linear((100, 100), (160, 300), (0, SHELL_LIGHT), (0.5, SHELL), (1, SHELL_DARK)),
    )
    for x, y0, y1 in ((-21, -112, -136), (-7, -116, -150), (7, -116, -150), (21, -112, -138)):
        c.paint(place(stroke([(x * 0.9, y0), (x, y1)], (11.5, 10.5))), JOINT)
        c.paint(place(stroke([(x * 0.95 - 2, y0), (x - 2, y1)], (3, 3))), JOINT_LIGHT, 0.7, soft=0.6)
    c.paint(place(stroke([(-18, -84), (-36, -98), (-42, -112)], (12, 11, 10))), JOINT)
    c.paint(
        place(squircle(0, -96, 29, 25, 3.0)),
        linear((100, 60), (160, 200), (0, SHELL_LIGHT), (0.5, SHELL), (1, SHELL_DARK)),
    )
    c.paint(place(ellipse(0, -95, 10, 10)), ACCENT)


def figure(view: View) -> Figure:
    """Every layer."""
    f = Figure(view, (0, 118))
    f.head("antenna", antenna(view), 0.80)
    f.body("body", body(view))
    f.head("head", head(view), 0.92)
    f.head("glass", glass(view), 1.05)
    f.head("eyes", eyes(view), 1.30, "lids", gaze_x=8.0, gaze_y=5.0)
    f.head("cheeks", cheeks(view), 1.30, "happy", gaze_x=8.0, gaze_y=5.0)
    f.head("worry", worry(view), 1.30, "concerned", gaze_x=8.0, gaze_y=5.0)
    f.head("brows", brows(view), 1.34, "concerned", brow=-6.0, surprised=-2.0)
    f.mouth(toon.draw(view, 0.0, MOUTH_Y, MOUTH), 1.30)
    f.head("glare", glare(view), 1.05)
    f.body("arm", wave(view, (136, 230), 158, _arm), "wave")
    return f
