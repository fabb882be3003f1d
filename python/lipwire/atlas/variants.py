"""Which states a stripe of the mouth or of the eyes can show: those that leave least of what real speech visits
undrawn.

States are clustered by the squared error of the pictures that they make; what a session then chooses by is a table (of
mouth images) and a weight for each axis, fitted to the same errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..avatar.art import Art
from .harvest import BLINK, BROW, GAZE_X, GAZE_Y, JAW, LIDS, Poses, mouth_images
from .picture import BLOCK, Easel

F64 = NDArray[np.float64]
PARTS: dict[str, tuple[int, ...]] = {"mouth": (JAW,), "eyes": (BLINK, GAZE_X, GAZE_Y, BROW, LIDS)}
"""The axes that move a part of the face; the mouth has its images besides."""
STATES = 520
"""Different states of a part that are looked at, at most: the most frequent."""
SCALE = 1 << 16
"""Costs are squared errors of luma, summed, times this."""
_GRID = {JAW: 2048, BLINK: 4096, GAZE_X: 2048, GAZE_Y: 2048, BROW: 4096, LIDS: 2048}
"""Steps of q15 within which states count as one."""
_PIXELS = 1 << 14
MOST_WEIGHT = 1 << 20
FACTORS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.85, 1.2, 1.5, 2.0, 3.0, 10.0, 50.0)
ROUNDS = 12
"""How weights are bettered."""


@dataclass(frozen=True, slots=True)
class Visited:
    """States of one part: `poses`, at rest but for that part, how many frames show each, and which mouth image."""

    poses: Poses
    weight: F64
    mouth: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.poses)


@dataclass(frozen=True, slots=True)
class Variants:
    """`poses` are what is drawn, the first at rest; the rest is as `lw_atlas_stripe` has it. `error`: mean squared
    error of luma, summed over the stripe, of showing the variant that is chosen in a state's place."""

    poses: Poses
    weights: NDArray[np.int32]
    costs: NDArray[np.int64] | None
    error: float

    def __len__(self) -> int:
        return len(self.poses)


def visited(art: Art, part: str, seen: list[tuple[float, Poses]]) -> Visited:
    """The states of a part in poses that were seen; each of the lists counts as much as its number says. The first
    state is rest."""
    axes = list(PARTS[part])
    rest = Poses.rest()
    counts: dict[tuple[int, ...], list[Any]] = {}
    for share, poses in seen:
        mouths = mouth_images(art, poses.visemes) if part == "mouth" else np.zeros(len(poses), np.int64)
        for i in range(len(poses)):
            key = (int(mouths[i]), *(round(int(poses.axes[i, a]) / _GRID[a]) for a in axes))
            entry = counts.setdefault(key, [0.0, poses.axes[i, axes], poses.visemes[i], int(mouths[i])])
            entry[0] += share / len(poses)
    common = sorted(counts.values(), key=lambda entry: -entry[0])[:STATES]
    n = len(common) + 1
    out = Poses(np.repeat(rest.axes, n, 0), np.repeat(rest.visemes, n, 0))
    for i, (_, state, visemes, _) in enumerate(common, 1):
        out.axes[i, axes] = state
        if part == "mouth":
            out.visemes[i] = visemes
    weight = np.array([0.0, *(entry[0] for entry in common)])
    images = [int(mouth_images(art, rest.visemes)[0]) if part == "mouth" else 0, *(entry[3] for entry in common)]
    return Visited(out, weight / max(weight.sum(), 1e-9), np.array(images))


def distances(easel: Easel, states: Visited, first: int, rows: int) -> F64:
    """Squared errors of luma between all states' pictures at rest, summed over rows of macroblocks: (n, n)."""
    top, bottom = first * BLOCK, (first + rows) * BLOCK
    part = easel.y[top:bottom]
    pictures = np.empty((len(states), *part.shape), np.uint8)
    for i in range(len(states)):
        easel.draw(states.poses, i)
        pictures[i] = part
    changed = (pictures != pictures[:1]).any(0)
    pixels = pictures[:, changed].astype(np.float32)
    if not pixels.size:
        return np.zeros((len(states),) * 2)
    pixels -= pixels.mean(0)
    square = (pixels * pixels).sum(1, dtype=np.float64)
    d: F64 = square[:, None] + square[None] - 2.0 * (pixels @ pixels.T)
    return np.maximum(d, 0)


def choose(art: Art, part: str, states: Visited, d: F64, most: int) -> Variants:
    """The variants of a stripe, and what a session chooses one by."""
    medoids = _medoids(d, states.weight, most)
    poses = states.poses[medoids]
    axes = list(PARTS[part])
    costs = None
    base = np.zeros((len(states), len(medoids)))
    if part == "mouth":
        table = mouth_errors(art)[:, states.mouth[medoids]]
        base = table[states.mouth]
        costs = np.rint(table * SCALE).astype(np.int64)
    apart = (states.poses.axes[:, None, axes].astype(np.float64) - poses.axes[None][:, :, axes]) ** 2
    near = np.argsort(d[:, medoids], 1)[:, :4]
    rows = np.arange(len(states))[:, None]
    fitted = _fit(apart[rows, near].reshape(-1, len(axes)), (d[rows, medoids[near]] - base[rows, near]).reshape(-1))
    found, error = _bettered(
        np.clip(np.rint(fitted * SCALE), 0, MOST_WEIGHT),
        lambda tried: float((states.weight * d[rows[:, 0], medoids[np.argmin(base * SCALE + apart @ tried, 1)]]).sum()),
    )
    weights = np.zeros(_core.AXES, np.int32)
    weights[axes] = found
    return Variants(poses, weights, costs, error)


def _bettered(weights: F64, error: Callable[[F64], float]) -> tuple[F64, float]:
    """Weights near to these that leave the least error: one after the other is tried larger and smaller."""
    best = error(weights)
    for _ in range(ROUNDS):
        before = best
        for k in range(len(weights)):
            for factor in FACTORS:
                tried = weights.copy()
                tried[k] = min(np.rint(max(tried[k], 1.0) * factor), MOST_WEIGHT)
                now = error(tried)
                if now < best:
                    weights, best = tried, now
        if best == before:
            break
    return weights, best


def _medoids(d: F64, weight: F64, most: int) -> NDArray[np.int64]:
    """Indices of at most so many states, the first one among them, that are nearest to all: greedy, then bettered."""
    chosen = [0]
    best = d[0].copy()
    while len(chosen) < min(most, len(d)):
        gain = weight @ np.maximum(best[:, None] - d, 0)
        pick = int(np.argmax(gain))
        if gain[pick] <= 0:
            break
        chosen.append(pick)
        best = np.minimum(best, d[pick])
    for _ in range(6):
        nearest = np.argmin(d[:, chosen], 1)
        moved = False
        for k in range(1, len(chosen)):
            members = np.flatnonzero(nearest == k)
            if len(members):
                middle = int(members[np.argmin(d[np.ix_(members, members)] @ weight[members])])
                moved |= middle != chosen[k]
                chosen[k] = middle
        if not moved:
            break
    return np.array(chosen)


def _fit(features: F64, error: F64) -> F64:
    """Weights >= 0 whose sum over the features is nearest to the error."""
    weights = np.zeros(features.shape[1])
    used: NDArray[np.bool_] = np.asarray((features > 0).any(0))
    while used.any():
        scale = features[:, used].max(0)
        found = np.linalg.lstsq(features[:, used] / scale, error, rcond=None)[0] / scale
        if (found >= 0).all():
            weights[used] = found
            break
        used[np.flatnonzero(used)[np.argmin(found)]] = False
    return weights


def mouth_errors(art: Art) -> F64:
    """Squared errors of luma between the images of the mouth's bank, drawn on plain skin: (mouths, mouths)."""
    layer = next(layer for layer in art.layers if layer.select == "mouth")
    images = np.stack(layer.images).astype(np.float32)
    stride = max(1, round((images.shape[1] * images.shape[2] / _PIXELS) ** 0.5))
    images = images[:, ::stride, ::stride]
    alpha = images[..., 3] / 255
    luma = images[..., :3] @ np.array([0.2126, 0.7152, 0.0722], np.float32) * (219 / 255)
    shown = (luma * alpha + _skin(art, layer) * (1 - alpha)).reshape(len(images), -1)
    shown -= shown.mean(0)
    square = (shown * shown).sum(1, dtype=np.float64)
    d: F64 = np.maximum(square[:, None] + square[None] - 2.0 * (shown @ shown.T), 0) * stride**2
    np.fill_diagonal(d, 0)
    return d


def _skin(art: Art, mouth: Any) -> float:
    """About how bright it is around the mouth: luma below the middle of its image at rest, of what lies under it."""
    y = int(mouth.y + mouth.images[0].shape[0] / 2)
    x = int(mouth.x + mouth.images[0].shape[1] / 2)
    under = next(i for i, layer in enumerate(art.layers) if layer is mouth)
    for layer in reversed(art.layers[:under]):
        h, w = layer.images[0].shape[:2]
        row, column = y - int(layer.y), x - int(layer.x)
        if 0 <= row < h and 0 <= column < w and layer.images[0][row, column, 3] > 250:
            r, g, b = (float(c) for c in layer.images[0][row, column, :3])
            return (0.2126 * r + 0.7152 * g + 0.0722 * b) * 219 / 255
    return 128.0
