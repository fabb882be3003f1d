"""A small vector painter on numpy: smooth paths, exact-area anti-aliasing, gradients, soft masks.

Coordinates: a `View` maps drawing units to frame pixels; a `Canvas` is a crop of the frame. Colours are sRGB 0..1
triples (`rgb("#aabbcc")`), blended in sRGB like any illustration program does. Everything is float32 inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Color = tuple[float, float, float]
Gradient = Callable[[F32, F32], F32]
"""From unit coordinates x (w,), y (h,) to colour planes that broadcast to (3, h, w)."""


def rgb(code: str) -> Color:
    """The colour of "#rrggbb", 0..1."""
    return (int(code[1:3], 16) / 255, int(code[3:5], 16) / 255, int(code[5:7], 16) / 255)


def f32(a: ArrayLike) -> F32:
    """As a float32 array."""
    return np.asarray(a, np.float32)


def mix(a: Color, b: Color, t: float) -> Color:
    """`a` at t = 0, `b` at t = 1."""
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


def smoothstep(lo: float, hi: float, x: ArrayLike) -> F32:
    """0 below lo, 1 above hi, a cubic between; lo > hi falls instead of rising."""
    t = np.clip((np.asarray(x, np.float32) - lo) / (hi - lo), 0, 1)
    return f32(t * t * (3 - 2 * t))


# ---- paths: float (n, 2) arrays of points, closed implicitly when filled -----------------------------------------


def spline(points: ArrayLike, closed: bool = False, n: int = 14) -> F32:
    """A centripetal Catmull-Rom curve through the points, n steps a span."""
    p = np.asarray(points, np.float64)
    m = len(p)
    if closed:
        ext = np.concatenate([p[-1:], p, p[:2]])
    else:
        ext = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    d = np.maximum(np.sqrt(np.hypot(*(ext[1:] - ext[:-1]).T)), 1e-6)
    spans = m if closed else m - 1
    p0, p1, p2, p3 = (ext[i : i + spans] for i in range(4))
    d0, d1, d2 = (d[i : i + spans, None] for i in range(3))
    t1 = ((p1 - p0) / d0 - (p2 - p0) / (d0 + d1) + (p2 - p1) / d1) * d1
    t2 = ((p2 - p1) / d1 - (p3 - p1) / (d1 + d2) + (p3 - p2) / d2) * d1
    t = np.linspace(0, 1, n, endpoint=False)[None, :, None]
    a, b, c, e = (q[:, None, :] for q in (p1, t1, p2, t2))
    h = (2 * t**3 - 3 * t**2 + 1) * a + (t**3 - 2 * t**2 + t) * b + (3 * t**2 - 2 * t**3) * c + (t**3 - t**2) * e
    out = h.reshape(-1, 2)
    return (out if closed else np.concatenate([out, p[-1:]])).astype(np.float32)


def join(*parts: ArrayLike) -> F32:
    """One path out of several point lists; each part is smoothed by itself, so the joints are corners."""
    return np.concatenate([spline(q) if len(q) > 2 else np.asarray(q, np.float32) for q in map(np.asarray, parts)])


def mirror(path: ArrayLike) -> F32:
    """The path reflected in x = 0."""
    return (f32(path) * f32([-1, 1]))[::-1]


def symmetric(points: ArrayLike) -> F32:
    """A smooth closed path from its right half, given top to bottom."""
    half = np.asarray(points, np.float64)
    other = (half * [-1, 1])[::-1]
    other = other[np.abs(other[:, 0]) > 1e-6]
    return spline(np.concatenate([half, other]), closed=True)


def ellipse(cx: float, cy: float, rx: float, ry: float, n: int = 64) -> F32:
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([cx + rx * np.cos(t), cy + ry * np.sin(t)], 1).astype(np.float32)


def stroke(points: ArrayLike, widths: Sequence[float]) -> F32:
    """A line along the smooth curve through the points; widths are spread evenly along it and interpolated."""
    c = spline(points)
    length = np.concatenate([[0], np.cumsum(np.hypot(*(c[1:] - c[:-1]).T))])
    s = length / max(float(length[-1]), 1e-6)
    half = np.interp(s, np.linspace(0, 1, len(widths)), widths) / 2
    d = np.gradient(c, axis=0)
    d /= np.maximum(np.hypot(d[:, 0], d[:, 1]), 1e-6)[:, None]
    a = np.linspace(0, np.pi, 19)[1:-1, None]
    normal = np.stack([-d[:, 1], d[:, 0]], 1)
    off = normal * half[:, None]
    cap1 = c[-1] + half[-1] * (np.cos(a) * normal[-1] + np.sin(a) * d[-1])
    cap0 = c[0] + half[0] * (-np.cos(a) * normal[0] - np.sin(a) * d[0])
    return np.concatenate([c + off, cap1, (c - off)[::-1], cap0]).astype(np.float32)


# ---- coverage -------------------------------------------------------------------------------------------------


def _split(p: F64, q: F64, axis: int) -> tuple[F64, F64, NDArray[np.int64]]:
    """Cuts segments p-q (n, 2) at the integers of one axis; returns pieces and the index of their segment."""
    lo, hi = p[:, axis], q[:, axis]
    down = hi < lo
    base = np.floor(np.where(down, hi, lo))
    count = np.maximum(np.ceil(np.where(down, lo, hi)) - base, 1).astype(np.int64)
    idx = np.repeat(np.arange(len(p)), count)
    if len(idx) == len(p):
        return p, q, idx
    j = np.arange(len(idx)) - np.repeat(np.cumsum(count) - count, count)
    # Piece j of a segment runs between cuts j and j + 1, counted along the segment.
    top = base + count
    lo_i, step = lo[idx], np.where(down, -1.0, 1.0)[idx]
    first = np.where(down, top, base)[idx]
    span = np.where(hi == lo, 1.0, hi - lo)[idx]
    t0 = np.where(j == 0, 0.0, (first + step * j - lo_i) / span)
    t1 = np.where(j == count[idx] - 1, 1.0, (first + step * (j + 1) - lo_i) / span)
    d = (q - p)[idx]
    return p[idx] + d * t0[:, None], p[idx] + d * t1[:, None], idx


def coverage_batch(paths: ArrayLike, height: int, width: int) -> F32:
    """Exact pixel coverage (k, height, width), 0..1, of k closed paths (k, n, 2) in pixels."""
    v = np.asarray(paths, np.float64)
    k, n, _ = v.shape
    return _area(v.reshape(-1, 2), np.roll(v, -1, axis=1).reshape(-1, 2), np.repeat(np.arange(k), n), k, height, width)


def coverage(paths: Sequence[ArrayLike], height: int, width: int) -> F32:
    """Exact pixel coverage (height, width), 0..1, of several closed paths of one orientation, as one shape."""
    p = np.concatenate([np.asarray(v, np.float64) for v in paths])
    q = np.concatenate([np.roll(np.asarray(v, np.float64), -1, axis=0) for v in paths])
    return f32(_area(p, q, np.zeros(len(p), np.int64), 1, height, width)[0])


def _area(p: F64, q: F64, image: NDArray[np.int64], k: int, height: int, width: int) -> F32:
    """Each edge p-q of an image is cut at the pixel grid; every piece adds its signed area to its pixel and its height
    to the pixels on its right (a running sum), so the cost follows the outline, not the area."""
    keep = (np.maximum(p[:, 1], q[:, 1]) > 0) & (np.minimum(p[:, 1], q[:, 1]) < height)
    p, q, image = p[keep], q[keep], image[keep]
    p, q, idx = _split(p, q, 1)
    image = image[idx]
    p, q, idx = _split(p, q, 0)
    image = image[idx]
    dy = q[:, 1] - p[:, 1]
    mid = (p + q) * 0.5
    ix = np.floor(mid[:, 0]).astype(np.int64)
    iy = np.floor(mid[:, 1]).astype(np.int64)
    frac = np.where(ix < 0, 0.0, mid[:, 0] - ix)
    ix = np.maximum(ix, 0)
    ok = (iy >= 0) & (iy < height) & (ix < width)
    dy, ix, iy, frac, image = dy[ok], ix[ok], iy[ok], frac[ok], image[ok]
    stride = width + 1
    at = (image * height + iy) * stride + ix
    size = k * height * stride
    acc = np.bincount(at, dy * (1 - frac), size)
    acc += np.bincount(at + 1, dy * frac, size + 1)[:size]
    area = np.cumsum(acc.reshape(k, height, stride).astype(np.float32), axis=2)[:, :, :width]
    return f32(np.minimum(np.abs(area), 1))


def _kernel(sigma: float) -> F32:
    r = max(1, int(np.ceil(2.8 * sigma)))
    x = np.arange(-r, r + 1)
    g = np.exp(-0.5 * (x / sigma) ** 2)
    return f32(g / g.sum())


def resize(a: F32, height: int, width: int) -> F32:
    """Bilinear resize of (h, w) or (h, w, c), edges clamped, pixel centres aligned."""

    def axis(a: F32, n: int, ax: int) -> F32:
        m = a.shape[ax]
        pos = np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1)
        i = np.minimum(pos.astype(np.int64), max(m - 2, 0))
        f = (pos - i).astype(np.float32)
        shape = [1] * a.ndim
        shape[ax] = n
        f = f.reshape(shape)
        return f32(np.take(a, i, ax) * (1 - f) + np.take(a, np.minimum(i + 1, m - 1), ax) * f)

    return axis(axis(a, height, 0), width, 1)


def blur(a: F32, sigma: float) -> F32:
    """Gaussian blur of (h, w), zero outside; large sigmas work on a reduced copy."""
    if sigma < 0.15:
        return a
    if sigma >= 5:
        f = int(sigma // 2.5)
        h, w = a.shape
        ph, pw = -h % f, -w % f
        small = np.pad(a, ((0, ph), (0, pw))).reshape((h + ph) // f, f, (w + pw) // f, f).mean((1, 3))
        return resize(blur(small, sigma / f), h + ph, w + pw)[:h, :w]
    g = _kernel(sigma)
    r = len(g) // 2
    h, w = a.shape
    b = np.pad(a, ((r, r), (0, 0)))
    a = sum(g[i] * b[i : i + h] for i in range(len(g)))
    b = np.pad(a, ((0, 0), (r, r)))
    return f32(sum(g[i] * b[:, i : i + w] for i in range(len(g))))


# ---- gradients ------------------------------------------------------------------------------------------------


def _ramp(t: F32, stops: Sequence[tuple[float, Color]]) -> F32:
    at = [s for s, _ in stops]
    return np.stack([np.interp(t, at, [c[i] for _, c in stops]).astype(np.float32) for i in range(3)])


def linear(p: tuple[float, float], q: tuple[float, float], *stops: tuple[float, Color]) -> Gradient:
    """Colours along the line p -> q; stops are (0..1, colour), ascending."""
    d = np.array(q, float) - p
    d2 = float(d @ d)

    def at(x: F32, y: F32) -> F32:
        return _ramp(((x[None, :] - p[0]) * d[0] + (y[:, None] - p[1]) * d[1]) / d2, stops)

    return at


def radial(cx: float, cy: float, rx: float, ry: float, *stops: tuple[float, Color]) -> Gradient:
    """Colours by the distance from a centre, 1 being the ellipse of radii rx, ry."""

    def at(x: F32, y: F32) -> F32:
        return _ramp(np.hypot(((x - cx) / rx)[None, :], ((y - cy) / ry)[:, None]), stops)

    return at


# ---- view and canvas ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class View:
    """Maps units to frame pixels: frame = unit * scale + (ox, oy)."""

    scale: float
    ox: float
    oy: float
    width: int
    height: int


class Canvas:
    """A crop of the frame to paint on: four planes of premultiplied float32 RGBA, even-sized, on whole pixels."""

    def __init__(self, view: View, left: float, top: float, right: float, bottom: float, pad: int = 3) -> None:
        """The crop covers the box in units plus `pad` pixels on each side."""
        s = view.scale
        self.view = view
        self.x = int(np.floor(left * s + view.ox)) - pad
        self.y = int(np.floor(top * s + view.oy)) - pad
        w = int(np.ceil(right * s + view.ox)) + pad - self.x
        h = int(np.ceil(bottom * s + view.oy)) + pad - self.y
        self.w, self.h = w + (w & 1), h + (h & 1)
        self.px = np.zeros((4, self.h, self.w), np.float32)
        self.ux = ((np.arange(self.w) + 0.5 + self.x - view.ox) / s).astype(np.float32)
        self.uy = ((np.arange(self.h) + 0.5 + self.y - view.oy) / s).astype(np.float32)

    def pixels(self, path: ArrayLike) -> F64:
        """A path in units as one in pixels of this canvas."""
        v = self.view
        return np.asarray(path, np.float64) * v.scale + [v.ox - self.x, v.oy - self.y]

    def _cover(self, shape: F32 | Sequence[F32], soft: float) -> tuple[F32, slice, slice]:
        """Coverage of a path (or several), blurred by `soft` units, and where it lies."""
        paths = [shape] if isinstance(shape, np.ndarray) else list(shape)
        pts = [self.pixels(p) for p in paths]
        lo = np.floor(np.min([p.min(0) for p in pts], 0)).astype(int)
        hi = np.ceil(np.max([p.max(0) for p in pts], 0)).astype(int)
        sigma = soft * self.view.scale
        m = int(np.ceil(3 * sigma)) if sigma >= 0.15 else 0
        # A blurred shape is computed beyond the crop too, else its blur would fade at the crop's edge.
        x0, y0 = np.maximum(lo - m, -m)
        x1, y1 = np.minimum(hi + m, [self.w + m, self.h + m])
        if x1 <= x0 or y1 <= y0 or hi[0] + m <= 0 or hi[1] + m <= 0:
            return np.zeros((0, 0), np.float32), slice(0, 0), slice(0, 0)
        a = coverage([p - [x0, y0] for p in pts], y1 - y0, x1 - x0)
        if m:
            a = blur(a, sigma)
        cx0, cy0, cx1, cy1 = max(x0, 0), max(y0, 0), min(x1, self.w), min(y1, self.h)
        return a[cy0 - y0 : cy1 - y0, cx0 - x0 : cx1 - x0], slice(cy0, cy1), slice(cx0, cx1)

    def mask(self, shape: F32 | Sequence[F32], soft: float = 0) -> F32:
        """Coverage (h, w) of the shape on this canvas."""
        out = np.zeros((self.h, self.w), np.float32)
        a, ys, xs = self._cover(shape, soft)
        out[ys, xs] = a
        return out

    def _blend(self, a: F32, ys: slice, xs: slice, color: Color | Gradient, atop: bool) -> None:
        if a.size == 0:
            return
        dst = self.px[:, ys, xs]
        c = color(self.ux[xs], self.uy[ys]) if callable(color) else f32(color)
        src_a = a * dst[3] if atop else a
        rest = 1 - a
        for i in range(3):
            dst[i] *= rest
            dst[i] += c[i] * src_a
        if not atop:
            dst[3] *= rest
            dst[3] += a

    def paint(
        self,
        shape: F32 | Sequence[F32],
        color: Color | Gradient,
        alpha: float = 1.0,
        *,
        soft: float = 0,
        clip: F32 | None = None,
        atop: bool = False,
    ) -> None:
        """Fills a path (or several, as one) with a colour; `soft` blurs it by that many units, `clip` is an (h, w)
        mask it is multiplied by, `atop` keeps to what is already painted."""
        a, ys, xs = self._cover(shape, soft)
        if a.size and clip is not None:
            a = a * clip[ys, xs]
        self._blend(a * np.float32(alpha), ys, xs, color, atop)

    def glow(
        self,
        cx: float,
        cy: float,
        rx: float,
        ry: float,
        color: Color,
        alpha: float = 1.0,
        *,
        angle: float = 0,
        clip: F32 | None = None,
        atop: bool = True,
    ) -> None:
        """A soft spot that fades to nothing at the ellipse of radii rx, ry, turned by `angle` degrees."""
        r = max(rx, ry)
        xs = slice(*np.searchsorted(self.ux, [cx - r, cx + r]))
        ys = slice(*np.searchsorted(self.uy, [cy - r, cy + r]))
        x, y = (self.ux[xs] - cx)[None, :], (self.uy[ys] - cy)[:, None]
        co, si = np.float32(np.cos(np.radians(angle))), np.float32(np.sin(np.radians(angle)))
        t = np.maximum(1 - ((x * co + y * si) / rx) ** 2 - ((y * co - x * si) / ry) ** 2, 0)
        a = (t * t * np.float32(alpha)).astype(np.float32)
        if a.size and clip is not None:
            a = a * clip[ys, xs]
        self._blend(a, ys, xs, color, atop)

    def wash(self, a: F32, color: Color | Gradient, *, atop: bool = True) -> None:
        """Blends a colour through a mask (h, w) of this canvas."""
        self._blend(a, slice(None), slice(None), color, atop)

    def fade(self, a: F32) -> None:
        """Multiplies everything painted by a mask that broadcasts to (h, w)."""
        self.px *= a

    def image(self) -> NDArray[np.uint8]:
        """Straight-alpha RGBA, 8 bit."""
        return to_rgba8(self.px)


class Stack:
    """k images of one crop, painted together: planes (4, k, h, w) of premultiplied float32 RGBA, even-sized."""

    def __init__(
        self, k: int, view: View, origin: tuple[float, float], box: tuple[float, float, float, float], pad: int = 2
    ) -> None:
        """Paths are in units around `origin`; the crop covers `box` (left, top, right, bottom, in the same units) plus
        `pad` pixels on each side."""
        s = self.scale = view.scale
        cx, cy = origin[0] * s + view.ox, origin[1] * s + view.oy
        self.x, self.y = int(np.floor(cx + box[0] * s)) - pad, int(np.floor(cy + box[1] * s)) - pad
        w = int(np.ceil(cx + box[2] * s)) + pad - self.x
        h = int(np.ceil(cy + box[3] * s)) + pad - self.y
        self.w, self.h = w + (w & 1), h + (h & 1)
        self._offset = np.array([cx - self.x, cy - self.y])
        self.ux = ((np.arange(self.w, dtype=np.float32) + 0.5 - self._offset[0]) / s).astype(np.float32)
        self.uy = ((np.arange(self.h, dtype=np.float32) + 0.5 - self._offset[1]) / s).astype(np.float32)
        self.px = np.zeros((4, k, self.h, self.w), np.float32)

    def mask(self, paths: F64) -> F32:
        """Coverage (k, h, w) of closed paths (k, n, 2), one an image."""
        return coverage_batch(paths * self.scale + self._offset, self.h, self.w)

    def glow(self, cx: ArrayLike, cy: ArrayLike, rx: ArrayLike, ry: ArrayLike) -> F32:
        """Soft spots (k, h, w); each argument is (k, 1)."""
        x = ((self.ux[None] - cx) / rx).astype(np.float32)
        y = ((self.uy[None] - cy) / ry).astype(np.float32)
        t = np.maximum(1 - (x * x)[:, None, :] - (y * y)[:, :, None], 0)
        return f32(t * t)

    def blend(self, a: F32, color: Color | F32) -> None:
        """Paints through masks (k, h, w) with a colour, or colour planes that broadcast to (3, k, h, w)."""
        c = f32(color)
        rest = 1 - a
        for i in range(3):
            self.px[i] *= rest
            self.px[i] += c[i] * a
        self.px[3] *= rest
        self.px[3] += a


def to_rgba8(px: F32) -> NDArray[np.uint8]:
    """Planes (4, ...) of premultiplied float RGBA as straight-alpha 8 bit (..., 4)."""
    out = np.empty((*px.shape[1:], 4), np.uint8)
    a = px[3]
    scale = np.where(a > 1e-4, np.float32(255) / np.maximum(a, np.float32(1e-4)), np.float32(0))
    for i in range(3):
        out[..., i] = np.clip(px[i] * scale + np.float32(0.5), 0, 255)
    out[..., 3] = np.clip(a * np.float32(255) + np.float32(0.5), 0, 255)
    return out
