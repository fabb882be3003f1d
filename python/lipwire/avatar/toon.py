"""Mouths of flat, cartoon faces: a line, an opening with teeth and tongue. The bank's shapes are those of `mouth`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .mouth import shapes
from .raster import F64, Color, Stack, View, blur, f32, mix, smoothstep, to_rgba8


@dataclass(frozen=True, slots=True)
class ToonMouth:
    """How the mouths of one character look; lengths in units."""

    line: Color
    cavity: Color
    cavity_low: Color
    teeth: Color
    tongue: Color
    tongue_light: Color
    half: float
    """Half the width at rest."""
    height: float
    """Of the widest opening."""
    smile: float
    """How far the corners of the resting mouth lie above its middle."""
    weight: float
    """Of the line."""
    glow: float = 0.0
    """Reach of the light around a mouth that shines; 0 for none."""
    fangs: float = 0.0
    """Length of the two pointed teeth."""


class _Opening:
    """k outlines around the resting mouth's middle: attributes are (k, 1), curves (k, n, 2)."""

    def __init__(self, look: ToonMouth, shape: F64) -> None:
        o, w, tuck, tongue, teeth = (shape[:, i : i + 1] for i in range(5))
        self.a = a = np.maximum(o, 0)
        self.tuck, self.tongue, self.teeth = tuck, tongue, teeth
        press = np.clip(-o / 0.2, 0, 1)
        self.press = press
        rnd, wide = np.maximum(-w, 0), np.maximum(w, 0)
        self.round, self.wide = rnd, wide
        gape = smoothstep(0, 0.25, a)
        self.gape = gape
        self.half = look.half * (1 + 0.14 * wide - (0.34 + 0.26 * gape) * rnd - 0.10 * a * (1 - rnd) - 0.07 * press)
        self.half = self.half * (1 - 0.20 * tuck)
        tall = look.height * a * (1 - 0.10 * rnd)
        self.corner = 0.24 * tall * (1 + rnd) - look.smile * (1 - 0.85 * rnd) * (1 - 0.35 * gape) * (1 + 0.35 * wide)
        self.corner = self.corner + look.smile * (0.25 * press + 0.30 * tuck)
        self.up = -0.20 * tall - 1.8 * tuck
        self.low = 0.80 * tall - 1.8 * tuck + 0 * a
        self.power = 0.95 + 0.25 * (1 - rnd) * (1 - gape)
        self.t = np.linspace(np.pi, 0, 37)[None]

    def edge(self, middle: F64) -> F64:
        c, s = np.cos(self.t), np.abs(np.sin(self.t))
        y = self.corner + (middle - self.corner) * s**self.power
        return np.stack([np.broadcast_to(self.half * c, y.shape), y], -1)

    def outline(self, grow: F64) -> F64:
        """The closed opening, grown along its normals by `grow` (k, 1)."""
        top, low = self.edge(self.up), self.edge(self.low)
        low = np.stack([low[..., 0], np.maximum(low[..., 1], top[..., 1])], -1)
        edges, ends = [], []
        for path, sign in ((top, -1.0), (low, 1.0)):
            d = np.gradient(path, axis=1)
            d /= np.maximum(np.hypot(d[..., :1], d[..., 1:]), 1e-6)
            n = np.stack([-d[..., 1], d[..., 0]], -1) * sign
            edges.append(path + n * grow[..., None])
            ends.append((n, d))
        (n_top, d_top), (n_low, d_low) = ends
        caps = []
        for end, way in ((-1, 1.0), (0, -1.0)):  # round ends: from the upper edge's normal to the lower one's
            out = way * (d_top[:, end] + d_low[:, end])
            out /= np.maximum(np.hypot(out[:, :1], out[:, 1:]), 1e-6)
            fan = [n_top[:, end] * a + out * b for a, b in ((0.9, 0.45), (0.45, 0.9))] + [out]
            fan += [n_low[:, end] * a + out * b for a, b in ((0.45, 0.9), (0.9, 0.45))]
            cap = np.stack(fan, 1)
            cap /= np.maximum(np.hypot(cap[..., :1], cap[..., 1:]), 1e-6)
            caps.append(top[:, end, None] + cap * grow[..., None])
        return np.concatenate([edges[0], caps[0], edges[1][:, ::-1], caps[1][:, ::-1]], 1)


def _ellipse(cx: F64, cy: F64, rx: F64, ry: F64) -> F64:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)[None]
    x, y = cx + rx * np.cos(t), cy + ry * np.sin(t)
    return np.stack([np.broadcast_to(x, y.shape), y], -1)


def _paint(p: Stack, m: _Opening, look: ToonMouth) -> None:
    zero = 0 * m.a
    gap = m.low - m.up
    weight = look.weight * (0.52 + 0.10 * m.press + 0.18 * m.gape)
    ring = p.mask(m.outline(weight))
    if look.glow:
        halo = np.stack([blur(one, look.glow * p.scale) for one in ring])
        p.blend(np.minimum(halo * 0.85, 1), look.line)
    p.blend(ring, look.line)
    clip = p.mask(m.outline(zero))
    y = p.uy[None, :, None]
    t = np.clip((y - f32(m.up)[:, :, None]) / f32(np.maximum(gap, 1))[:, :, None], 0, 1)
    p.blend(clip, np.stack([a + (b - a) * t for a, b in zip(look.cavity, look.cavity_low, strict=True)]))

    # The tongue lies low, rises for nn and DD, and comes forward for TH.
    raised, out = np.minimum(m.tongue * 2, 1), np.maximum(m.tongue * 2 - 1, 0)
    show = np.maximum(smoothstep(0.30, 0.5, m.a) * (1 - 0.6 * m.round), raised)
    top = m.low - gap * (0.34 + 0.42 * raised)
    tongue = p.mask(_ellipse(zero, (top + m.low + 7) / 2, m.half * (0.62 + 0.04 * raised), (m.low + 7 - top) / 2))
    p.blend(tongue * clip * f32(show)[:, :, None], look.tongue)

    # Upper teeth: a plate along the upper edge.
    drop = np.minimum(0.17 * look.height * (1 + 0.3 * m.wide), gap * (0.42 + 0.10 * m.wide))
    drop = np.maximum(drop, m.teeth * gap * 0.46)
    drop = drop * (1 - np.clip(m.round * 1.5, 0, 1) * (1 - m.teeth))
    drop = drop + m.tuck * np.maximum(gap + 0.55 * weight - drop, 0)
    upper = m.edge(m.up)
    squeeze = np.stack([(0.86 + 0.06 * m.teeth) * (1 - 0.34 * m.tuck), 1 + zero], -1)
    s = np.abs(np.sin(m.t)) ** (0.35 + 0.25 * m.tuck)
    plate = np.stack([upper[..., 0], upper[..., 1] + drop * s], -1) * squeeze
    plate = np.concatenate([(upper - [0, 4]) * squeeze, plate[:, ::-1]], 1)
    # They lie on the lower lip for FF, below the line of the upper one.
    below = np.clip((y - f32((m.up + m.low) / 2)[:, :, None]) * np.float32(p.scale), 0, 1)
    bite = np.maximum(clip, ring * below * f32(smoothstep(0.2, 0.6, m.tuck))[:, :, None])
    shown = p.mask(plate) * bite * f32(smoothstep(0.2, 1.2, drop))[:, :, None]
    p.blend(shown, look.teeth)
    # In the shade of the upper lip, and with a gap between the two in front where they lie on the lower one.
    dark = mix(look.teeth, look.cavity, 0.38)
    deep = f32(np.clip(0.4 * drop, 0.5, 2.6))[:, :, None]
    p.blend(shown * (1 - np.clip((y - f32(m.up)[:, :, None]) / deep, 0, 1)) * np.float32(0.6), dark)
    gap_line = np.exp(-((p.ux / 0.8) ** 2)).astype(np.float32)[None, None, :]
    p.blend(shown * gap_line * f32(0.8 * m.tuck)[:, :, None], dark)
    if look.fangs:
        for sx in (-1, 1):
            x = sx * m.half * 0.52
            base = m.up + drop - 1.0
            tip = base + look.fangs * (0.35 + 0.65 * m.gape)
            fang = np.stack([np.concatenate([x - 2.6, x, x + 2.6], 1), np.concatenate([base, tip, base], 1)], -1)
            fade = smoothstep(0.12, 0.3, m.a) * (1 - np.clip(m.round * 1.6, 0, 1)) * (1 - m.teeth) * (1 - m.tuck)
            p.blend(p.mask(fang) * clip * f32(fade)[:, :, None], look.teeth)

    # The lower row, where the teeth meet, and the line between.
    lower = m.edge(m.low)
    rise = np.stack([lower[..., 0], lower[..., 1] - gap * 0.44 * s], -1) * squeeze
    row = np.concatenate([rise, ((lower + np.array([0, 4])) * squeeze)[:, ::-1]], 1)
    p.blend(p.mask(row) * clip * f32(m.teeth)[:, :, None], mix(look.teeth, look.cavity, 0.12))

    # The tip between the teeth, over the lower lip.
    cy_tip = m.up + gap * 0.74
    tip = p.mask(_ellipse(zero, cy_tip, m.half * 0.46, gap * 0.30 + 2.2))
    p.blend(tip * np.maximum(clip, ring) * f32(out)[:, :, None], look.tongue)
    shine = p.mask(_ellipse(zero, cy_tip - gap * 0.06, m.half * 0.26, gap * 0.10 + 0.8))
    p.blend(shine * clip * f32(out)[:, :, None], look.tongue_light)


def draw(view: View, cx: float, cy: float, look: ToonMouth) -> tuple[list[NDArray[np.uint8]], int, int]:
    """The bank around the resting mouth's middle (units): straight-alpha images and the crop's corner in pixels."""
    params = shapes()
    reach = 3 + look.weight + 3 * look.glow
    side, top, low = look.half * 1.2 + reach, 0.24 * look.height + look.smile + reach, 0.84 * look.height + reach
    box = (-side, -top, side, low)
    crop = Stack(0, view, (cx, cy), box)
    bank = np.zeros((len(params), crop.h, crop.w, 4), np.uint8)
    step = max(1, 50_000 // (crop.w * crop.h))  # a few at a time, to stay in the CPU's cache
    for i in range(0, len(params), step):
        part = params[i : i + step]
        stack = Stack(len(part), view, (cx, cy), box)
        _paint(stack, _Opening(look, part), look)
        bank[i : i + step] = to_rgba8(stack.px)
    return list(bank), crop.x, crop.y
