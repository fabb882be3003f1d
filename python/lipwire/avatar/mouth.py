"""Aria's mouth: a bank of shapes over (open, width, tuck, tongue, teeth), drawn as one batch.

open    -0.2 pressed together (PP), 0 resting, 1 wide open (aa)
width   -1 small, round and pushed forward (U) .. 0 at rest .. 1 spread in a smile (I)
tuck    0..1 lower lip drawn under the upper teeth (FF)
tongue  0..1 tip behind the upper teeth (nn, DD) at 0.5, between the teeth (TH) at 1
teeth   0..1 rows of teeth brought together (SS, CH)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .art import VISEMES
from .raster import F32, F64, Color, Stack, View, f32, mix, rgb, smoothstep, to_rgba8

SCALE = np.array([1.0, 0.55, 0.6, 0.5, 0.4])
"""How much a unit of each parameter counts when the nearest image is chosen."""

_VISEME_SHAPES = {
    "sil": (0.0, 0.0, 0, 0, 0),
    "PP": (-0.2, -0.05, 0, 0, 0),
    "FF": (0.13, 0.1, 1, 0, 0),
    "TH": (0.26, 0.1, 0, 1, 0),
    "DD": (0.22, 0.15, 0, 0.5, 0),
    "kk": (0.30, 0.15, 0, 0, 0),
    "CH": (0.24, -0.6, 0, 0, 1),
    "SS": (0.14, 0.55, 0, 0, 1),
    "nn": (0.16, 0.1, 0, 0.5, 0),
    "RR": (0.24, -0.45, 0, 0, 0),
    "aa": (1.0, 0.0, 0, 0, 0),
    "E": (0.50, 0.5, 0, 0, 0),
    "I": (0.24, 1.0, 0, 0, 0),
    "O": (0.60, -0.70, 0, 0, 0),
    "U": (0.28, -1.0, 0, 0, 0),
}

LIP_UPPER, LIP_LOWER, LIP_DARK = rgb("#b9564f"), rgb("#d3736a"), rgb("#8c3a38")
LIP_LIGHT, CAVITY, CAVITY_DEEP = rgb("#f3b1a6"), rgb("#5a1f22"), rgb("#2c0d11")
TEETH, TEETH_SHADE, TONGUE, TONGUE_DARK = rgb("#fdf9f3"), rgb("#cdbab0"), rgb("#d0666a"), rgb("#9a3c44")
TOOTH_GAP, LOWER_TEETH = rgb("#8d6f68"), rgb("#a48d86")
SKIN_SHADE = rgb("#c98263")

TOOTH_EDGES = (0.0, 6.3, 11.2, 15.8, 19.6, 22.8)
"""Where one upper tooth ends and the next one begins, units from the middle: incisors, canines, and what is seen of the
others."""

BOX = (-40.0, -20.0, 40.0, 46.0)
"""Left, top, right, bottom of the sprite in units around the middle of the resting mouth."""


def shapes() -> F64:
    """The bank's parameters, (k, 5) in the order of the module's list."""
    widths = (-1.0, -0.7, -0.35, 0.0, 0.35, 0.7, 1.0)
    opens = (-0.2, -0.1, 0.0, 0.05, 0.1, 0.16, 0.22, 0.29, 0.37, 0.46, 0.56, 0.67, 0.78, 0.89, 1.0)
    grid = [(o, w, 0.0, 0.0, 0.0) for o in opens for w in widths]
    grid += [(o, w, 0.0, 0.0, t) for t in (0.5, 1.0) for o in (0.08, 0.15, 0.24) for w in (-0.9, -0.5, 0.1, 0.6)]
    grid += [(o, w, 0.0, 0.5, 0.0) for o in (0.09, 0.16, 0.23, 0.34, 0.46) for w in (-0.45, 0.1, 0.6)]
    grid += [(o, w, 0.0, 1.0, 0.0) for o in (0.14, 0.26, 0.38) for w in (-0.4, 0.1, 0.6)]
    for tuck, levels in ((0.33, (0.0, 0.10, 0.25)), (0.67, (0.04, 0.08, 0.14, 0.24)), (1.0, (0.08, 0.13, 0.21))):
        grid += [(o, w, tuck, 0.0, 0.0) for o in levels for w in (-0.4, 0.1, 0.6)]
    return np.array(grid)


def coords(shape: ArrayLike) -> F64:
    """Mouth coordinates of parameters (..., 5)."""
    out: F64 = np.asarray(shape, np.float64) * SCALE
    return out


def viseme_coords() -> F64:
    """(15, 5), in the order of VISEMES."""
    return coords([_VISEME_SHAPES[v] for v in VISEMES])


class _Lips:
    """The outlines of k mouths: each attribute is (k, n) or (k, 1), units around the resting mouth's middle."""

    def __init__(self, shape: F64) -> None:
        o, w, tuck, tongue, _ = (shape[:, i : i + 1] for i in range(5))
        self.open = a = np.maximum(o, 0)
        press = np.clip(-o / 0.2, 0, 1)
        rnd, wide = np.maximum(-w, 0), np.maximum(w, 0)
        self.round = rnd
        gape = smoothstep(0.0, 0.35, a)
        # Half widths of the lips and of the opening between them.
        self.half = half = 29.5 + 3.5 * wide - 11.0 * rnd - (4.2 * rnd + 1.5) * gape - 2.6 * a + 0.6 * press
        corner = 1.0 + 5.2 * rnd * gape + 0.7 * gape
        self.inner = np.maximum(half - corner, 2)
        # Heights: middles of the edges of the opening, and lip thickness.
        height = 31.0 * a * (1 - 0.22 * rnd) * (1 + 0.04 * wide)
        # The corners' height: a gentle smile at rest, with a last upward turn.
        smile = 3.9 * (1 - 0.75 * rnd) * (1 - 0.45 * gape) + 1.8 * wide - 0.6 * press
        self.corner_y = 0.20 * height - smile
        self.lift = 2.6 * (1 - rnd) * (1 - 0.75 * gape)
        lifted = 0.16 + 0.12 * smoothstep(0.15, 0.7, a) * (1 - 0.6 * rnd)
        self.up = -lifted * height - 2.3 * tuck + 0.5 * press
        self.low = (1 - lifted) * height - 3.3 * tuck - 0.2 * press
        self.thick_up = (6.9 + 1.9 * rnd - 1.4 * wide - 1.6 * a) * (1 - 0.50 * press) * (1 - 0.10 * tuck)
        self.thick_low = (8.9 + 2.2 * rnd - 1.6 * wide - 0.6 * a) * (1 - 0.45 * press) * (1 - 0.36 * tuck)
        self.press, self.tuck, self.tongue = press, tuck, tongue
        # Roundness of the opening's corners: pointed at rest, an ellipse when rounded.
        self.power = 1.25 - 0.30 * rnd * gape - 0.22 * smoothstep(0.3, 1.0, a) * (1 - rnd) + 0.75 * tuck

    def curve(self, n: int) -> tuple[F64, F64]:
        """cos and sin of the parameter along an edge from the left to the right corner, (1, n)."""
        t = np.linspace(np.pi, 0, n)[None]
        return np.cos(t), np.abs(np.sin(t))

    def edge(self, middle: F64, n: int = 41, bow: float = 0.0) -> F64:
        """An edge of the opening through the corners and `middle`, (k, n, 2)."""
        c, s = self.curve(n)
        y = self.corner_y + (middle - self.corner_y) * s**self.power - self.lift * c**6
        y = y + bow * np.exp(-((c / 0.22) ** 2)) * (1 - 0.6 * smoothstep(0, 0.4, self.open)) * (1 - self.round)
        return np.stack([np.broadcast_to(self.inner * c, y.shape), y], -1)

    def outer_up(self, n: int = 61) -> F64:
        c, s = self.curve(n)
        top = self.up - self.thick_up
        y = self.corner_y + (top - self.corner_y) * s ** (1.5 - 0.55 * self.round - 0.25 * self.open) - self.lift * c**6
        dip = 2.0 * (1 - 0.45 * self.round) * (1 - 0.35 * self.press)
        y = y + dip * np.exp(-((c / 0.15) ** 2)) - 0.55 * np.exp(-(((np.abs(c) - 0.30) / 0.2) ** 2))
        return np.stack([np.broadcast_to(self.half * c, y.shape), y], -1)

    def outer_low(self, n: int = 61) -> F64:
        c, s = self.curve(n)
        y = self.corner_y + (self.low + self.thick_low - self.corner_y) * s ** (1.22 - 0.30 * self.round)
        y = y - self.lift * c**6
        return np.stack([np.broadcast_to(self.half * c, y.shape), y], -1)


def _closed(top: F64, bottom: F64) -> F64:
    return np.concatenate([top, bottom[:, ::-1]], 1)


def _between(y: F32, top: F64, bottom: F64) -> F32:
    """0 at top, 1 at bottom, (k, h, 1) from (k, 1) bounds."""
    return f32(np.clip((y[None] - top) / np.maximum(bottom - top, 1e-3), 0, 1))[:, :, None]


def _tint(a: Color, b: Color, t: F32) -> F32:
    """Colour planes (3, ...) from a at t = 0 to b at t = 1."""
    return np.stack([np.float32(x) * (1 - t) + np.float32(y) * t for x, y in zip(a, b, strict=True)])


def _paint(p: Stack, m: _Lips, width: F64, shut: F64) -> None:
    upper, lower = m.edge(m.up, bow=0.6), m.edge(m.low, bow=0.35)
    lower = np.stack([lower[..., 0], np.maximum(lower[..., 1], upper[..., 1])], -1)
    out_up, out_low = m.outer_up(), m.outer_low()

    # On the skin: the shade under the lower lip, and the corners' dimples.
    bottom = m.low + m.thick_low
    under = p.glow(0 * m.half, bottom + 3.2, m.half * 0.72, 6.5 + 0 * m.half)
    p.blend(under * f32(0.50 + 0.22 * m.tuck)[:, :, None], SKIN_SHADE)
    for sx in (-1, 1):
        p.blend(
            p.glow(sx * (m.half + 1.0), m.corner_y - m.lift, 4.2 + 0 * m.half, 4.0 + 0 * m.half)
            * f32(0.42 - 0.20 * m.round)[:, :, None],
            SKIN_SHADE,
        )

    lips = p.mask(_closed(out_up, out_low))
    # The upper lip's darker tone gives way at the corners, so that the lips join without an edge.
    t = _between(p.uy, m.corner_y - 1, m.corner_y + 5)
    p.blend(lips, _tint(mix(LIP_UPPER, LIP_DARK, 0.2), mix(LIP_LOWER, LIP_DARK, 0.06), t))
    upper_lip = p.mask(_closed(out_up, m.edge(m.up, 61, bow=0.6)))
    p.blend(upper_lip, _tint(LIP_UPPER, LIP_DARK, 0.35 * _between(p.uy, m.up - m.thick_up, m.up)))
    shine = p.glow(-0.12 * m.half, m.low + m.thick_low * 0.42, m.half * 0.50, m.thick_low * 0.40)
    p.blend(shine * lips * f32(0.62 * (1 - 0.5 * m.tuck))[:, :, None], LIP_LIGHT)
    shine = p.glow(-0.22 * m.half, m.up - m.thick_up * 0.72, m.half * 0.30, m.thick_up * 0.34)
    p.blend(shine * lips * np.float32(0.38), LIP_LIGHT)

    _inside(p, m, _closed(upper, lower), width, shut)

    # The line between closed lips; it gives way to the opening's own edge.
    line = (1 - smoothstep(0.0, 0.12, m.open)) * (1 - 0.8 * m.tuck)
    half_line = 0.62 - 0.10 * m.press
    c = np.cos(np.linspace(np.pi, 0, 41))[None]
    thin = half_line * (1 - 0.55 * c**4)
    mid = (upper + lower) / 2
    seam = _closed(mid - np.stack([0 * thin, thin], -1), mid + np.stack([0 * thin, thin], -1))
    p.blend(p.mask(seam) * f32(line)[:, :, None] * np.float32(0.85), rgb("#7c302f"))


def _inside(p: Stack, m: _Lips, outline: F64, width: F64, shut: F64) -> None:
    """What shows between the lips: cavity, tongue, teeth."""
    clip = p.mask(outline)
    p.blend(clip, _tint(CAVITY_DEEP, CAVITY, _between(p.uy, m.up, m.low + 2)))
    zero = 0 * m.half
    gap = m.low - m.up

    # The tongue lies low; it rises for nn and DD and comes forward for TH.
    raised = np.minimum(m.tongue * 2, 1)
    out = np.maximum(m.tongue * 2 - 1, 0)
    rise = np.clip(m.open * 1.1, 0.0, 0.7) * (1 - 0.5 * m.round)
    top = m.low - gap * (0.46 * rise + (0.62 - 0.46 * rise) * raised) + 1.2 * out * zero
    wide = m.inner * (0.72 - 0.14 * raised)
    c = np.linspace(0, 2 * np.pi, 48, endpoint=False)[None]
    deep = m.low + 8
    tongue = np.stack([wide * np.cos(c), (top + deep) / 2 + (deep - top) / 2 * np.sin(c)], -1)
    show = np.maximum(smoothstep(0.18, 0.4, m.open), raised)
    a = p.mask(tongue) * clip * f32(show)[:, :, None]
    p.blend(a, _tint(TONGUE_DARK, TONGUE, _between(p.uy, top, m.low + 1)))
    p.blend(p.glow(zero, top + gap * 0.34, wide * 0.6, gap * 0.24 + 1.5) * a * np.float32(0.45), rgb("#ee9a98"))

    wide_open = smoothstep(0.25, 0.7, m.open)
    _lower_teeth(p, m, clip, shut, raised, wide_open)
    drop = _upper_teeth(p, m, clip, width, shut, wide_open)

    # The tongue's tip over the lower teeth and lip for TH.
    tip = np.stack(
        [
            m.inner * 0.50 * np.cos(np.linspace(0, 2 * np.pi, 48, endpoint=False))[None],
            m.up
            + drop
            + gap * 0.34
            + 0.4
            + (gap * 0.34 + 1.2) * np.sin(np.linspace(0, 2 * np.pi, 48, endpoint=False))[None],
        ],
        -1,
    )
    a = p.mask(tip) * clip * f32(out)[:, :, None]
    p.blend(a, TONGUE)
    p.blend(
        p.glow(zero - 1, m.up + drop + gap * 0.36, m.inner * 0.36, gap * 0.24 + 0.8) * a * np.float32(0.6),
        rgb("#f2aaa6"),
    )

    # The upper lip's shadow on all of it, and the rim where lip turns inwards.
    t = 1 - _between(p.uy, m.up - 1, m.up + 2.4 + 3.4 * m.open)
    p.blend(clip * t * np.float32(0.44), rgb("#2c0d11"))


def _upper_teeth(p: Stack, m: _Lips, clip: F32, width: F64, shut: F64, wide_open: F32) -> F64:
    """A row along the upper lip that narrows to the corners, tooth by tooth; it lies on the lower lip where that is
    drawn in (FF). Returns how far it reaches down, (k, 1)."""
    zero = 0 * m.half
    gap = m.low - m.up
    wide = np.clip(width, 0, 1)
    part = 0.50 + 0.14 * wide + 0.12 * np.maximum(shut, 0)
    drop = np.minimum(5.4 + 1.8 * m.open + 0.8 * wide, gap * part + 0.2)
    drop = np.where(m.tongue > 0.75, np.minimum(drop, gap * 0.42), drop)
    drop = drop * (1 - 0.95 * np.clip(m.round * 1.35, 0, 1) * (1 - shut))
    drop = drop + m.tuck * np.maximum(gap + 1.9 - drop, 0)
    base = m.edge(m.up, 81, bow=0.6)
    _, s = m.curve(81)
    reach = 1 - 0.20 * m.tuck
    x = base[..., 0] * reach
    notch = np.zeros_like(x)
    for edge in TOOTH_EDGES:
        notch = np.maximum(notch, np.exp(-(((np.abs(x) - edge) / 1.0) ** 2)))
    low = base[..., 1] + (drop - 0.45 * np.minimum(notch, 1) * smoothstep(2.0, 4.0, drop)) * s ** (0.45 + 0.5 * m.tuck)
    squeeze = np.concatenate([(1 - 0.06 * m.open) * reach, 1 + zero], 1)[:, None, :]
    strip = _closed((base - f32([0, 3])) * squeeze, np.stack([base[..., 0], low], -1) * squeeze)
    lip = p.mask(_closed(m.edge(m.up, bow=0.6), m.edge(m.low + 3.4 * m.tuck, bow=0.35)))
    on = np.maximum(clip, lip * f32(smoothstep(0.2, 0.7, m.tuck))[:, :, None])
    a = p.mask(strip) * on * f32(smoothstep(0.3, 1.6, drop))[:, :, None]
    # Towards the corners they go into the dark: at once in shade, and fading where the mouth is wide open.
    across = f32(np.abs(p.ux[None] / m.inner))
    fade = np.clip(1 - f32(0.75 + 0.6 * m.tuck) * across**3, 0, 1)[:, None, :]
    a = a * (1 - wide_open * smoothstep(0.74, 0.97, across))[:, None, :]
    # The lip above throws its shadow on them.
    shade = 0.62 * _between(p.uy, m.up + np.minimum(0.8 * drop, 4.0), m.up - 0.5)
    tone = _tint(TEETH, TEETH_SHADE, shade) * (0.45 + 0.55 * fade)
    p.blend(a, tone)
    lines = np.zeros((len(drop), 1, p.w), np.float32)
    thin = max(0.42, 0.6 / p.scale)
    for edge in TOOTH_EDGES:
        lines = np.maximum(lines, np.exp(-(((np.abs(p.ux) - edge) / thin) ** 2)).astype(np.float32)[None, None, :])
    p.blend(a * lines * f32(0.30 * smoothstep(1.6, 4.0, drop))[:, :, None], TOOTH_GAP)
    # What they press on is in their shade.
    rim = p.glow(zero, m.up + drop + 0.7, m.inner * 0.55, 1.5 + zero) * _lip_below(p, m, drop)
    p.blend(rim * f32(0.75 * m.tuck)[:, :, None], LIP_DARK)
    return np.asarray(drop, np.float64)


def _lip_below(p: Stack, m: _Lips, drop: F64) -> F32:
    """The lower lip from `drop` below the opening's upper edge on, (k, h, w)."""
    return p.mask(_closed(m.edge(m.up + drop), m.outer_low(41)))


def _lower_teeth(p: Stack, m: _Lips, clip: F32, shut: F64, raised: F64, wide_open: F32) -> None:
    """A hint in the dark at wide openings, a full row when the teeth meet."""
    zero = 0 * m.half
    gap = m.low - m.up
    _, s = m.curve(41)
    tall = np.maximum(3.6 * smoothstep(0.45, 0.9, m.open) * (1 - m.round), shut * gap * 0.42)
    row = np.maximum(0.55 * smoothstep(0.45, 0.8, m.open) * (1 - m.round) * (1 - raised), shut)
    lower = m.edge(m.low, bow=0.35)
    squeeze = np.concatenate([0.94 - 0.22 * m.open, 1 + zero], 1)[:, None, :]
    edge = np.stack([lower[..., 0], lower[..., 1] - tall * s**0.45], -1)
    strip = _closed(edge * squeeze, (lower + f32([0, 8])) * squeeze)
    across = f32(np.abs(p.ux[None] / m.inner))
    fade = np.clip(1 - 0.75 * across**3, 0, 1)[:, None, :]
    a = f32(p.mask(strip) * clip * (f32(row) * (1 - wide_open * smoothstep(0.30, 0.66, across)))[:, None, :])
    tone = _tint(LOWER_TEETH, mix(TEETH_SHADE, TEETH, 0.35), f32(shut)[:, :, None])
    p.blend(a, tone * (0.50 + 0.45 * fade))
    lines, thin = np.zeros(p.w, np.float32), max(0.4, 0.6 / p.scale)
    for i in range(5):
        lines = np.maximum(lines, np.exp(-(((np.abs(p.ux) - 4.2 * i) / thin) ** 2)).astype(np.float32))
    p.blend(a * lines[None, None, :] * np.float32(0.40), TOOTH_GAP)


def draw(view: View, cx: float, cy: float) -> tuple[list[NDArray[np.uint8]], int, int]:
    """The bank around the resting mouth's middle (units): straight-alpha images and the crop's corner in pixels."""
    params = shapes()
    full = Stack(0, view, (cx, cy), BOX)
    bank = np.zeros((len(params), full.h, full.w, 4), np.uint8)
    # A few at a time, to stay in the CPU's cache, and only as many rows as their lowest lip needs.
    step = max(1, 50_000 // (full.w * full.h))
    for i in range(0, len(params), step):
        part = params[i : i + step]
        m = _Lips(part)
        low = min(float((m.low + m.thick_low).max()) + 10, BOX[3])
        p = Stack(len(part), view, (cx, cy), (*BOX[:3], low))
        _paint(p, m, part[:, 1:2], part[:, 4:5])
        bank[i : i + step, : p.h] = to_rgba8(p.px)
    return list(bank), full.x, full.y
