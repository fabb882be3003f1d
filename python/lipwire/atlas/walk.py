"""Where the head goes: segments of the real motion, bent so that each begins and ends at rest, and thinned to places.

A node is one frame of a segment; a place is a position of head and body. Nodes that differ by less than anybody sees
share a place, and cost nothing to go through."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..avatar.art import AXES, Art
from .harvest import BREATH, HEAD_X, HEAD_Y, MODES, ONE, ROLL, TURN, WALK, Poses, watch

SECONDS = 4
"""Of a segment: one breath."""
ANCHOR_EVERY = 8
"""Nodes from one anchor to the next."""
WATCHED = 90
"""Seconds of each mode that segments are cut out of."""
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a mode's segments are made."""

    count: int
    turn: float = 1.0
    """What is left of the head's turns. Eyes look where the motion says, the head goes where the walk does: who thinks
    and looks aside would turn the head away from what he looks at."""


MANNERS = {"idle": Manner(2), "listening": Manner(1), "thinking": Manner(1, turn=0.3), "speaking": Manner(4)}


@dataclass(frozen=True, slots=True)
class Segment:
    """A chain of nodes; `places` has one number a node."""

    modes: int
    places: list[int]


@dataclass(frozen=True, slots=True)
class Walk:
    """`axes` is int16 (places, AXES), of which WALK count; place 0 is rest."""

    axes: NDArray[np.int16]
    segments: list[Segment]


class Reach:
    """How far the layers of a drawing move with the head: by the corners of what they show."""

    def __init__(self, art: Art) -> None:
        corners: list[tuple[float, float]] = []
        pivots: list[tuple[float, float]] = []
        kx: list[list[float]] = []
        ky: list[list[float]] = []
        turn: list[list[float]] = []
        for layer in art.layers:
            seen = layer.images[0][..., 3] > 8
            if not seen.any() or not any(layer.kx.get(a) or layer.ky.get(a) or layer.turn.get(a) for a in _NAMES):
                continue
            ys, xs = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
            left, right = (float(np.clip(layer.x + x, 0, art.width)) for x in (xs[0], xs[-1] + 1))
            top, bottom = (float(np.clip(layer.y + y, 0, art.height)) for y in (ys[0], ys[-1] + 1))
            for corner in ((left, top), (right, top), (left, bottom), (right, bottom)):
                corners.append(corner)
                pivots.append(layer.pivot)
                for gains, of in ((kx, layer.kx), (ky, layer.ky), (turn, layer.turn)):
                    gains.append([of.get(a, 0.0) for a in _NAMES])
        shape = (len(corners), len(_NAMES))
        self._arms = np.reshape(corners, (-1, 2)) - np.reshape(pivots, (-1, 2))
        self._pivots = np.reshape(pivots, (-1, 2))
        self._kx, self._ky, self._turn = (np.reshape(gains, shape) for gains in (kx, ky, turn))

    def at(self, axes: NDArray[np.int16]) -> F64:
        """Where the corners are, in pixels: (n, corners, 2) for axes (n, AXES)."""
        part = axes[:, list(WALK)].astype(np.float64) / ONE
        angle = np.radians(part @ self._turn.T)
        cos, sin = np.cos(angle), np.sin(angle)
        x, y = self._arms.T
        places = np.stack([x * cos - y * sin + part @ self._kx.T, x * sin + y * cos + part @ self._ky.T], -1)
        where: F64 = places + self._pivots
        return where

    def window(self, before: NDArray[np.int16], after: NDArray[np.int16]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Where anything comes from that moves from axes (AXES,) to others: the least and the most in x and y, in
        quarters of a pixel, and one more."""
        one, other = self.at(np.stack([before, after]))
        moved = np.concatenate([(one - other) * 4, np.zeros((1, 2))])
        low, high = np.floor(moved.min(0)).astype(int) - 1, np.ceil(moved.max(0)).astype(int) + 1
        return (int(low[0]), int(low[1])), (int(high[0]), int(high[1]))


_NAMES = [AXES[axis] for axis in WALK]


def far(a: F64, b: F64) -> F64:
    """The most that a corner moves between positions (..., corners, 2), in pixels."""
    if a.shape[-2] == 0:
        return np.zeros(np.broadcast_shapes(a.shape[:-2], b.shape[:-2]))
    moved: F64 = np.hypot(*np.moveaxis(a - b, -1, 0)).max(-1)
    return moved


def plan(art: Art, fps: Fraction, said: tuple[bytes, int], step: float, most: int) -> Walk:
    """The segments of all modes. `step`: pixels that the head goes at once, at least; it is raised until there are no
    more than `most` places."""
    reach = Reach(art)
    nodes = round(SECONDS * fps)
    paths = [(mode, path) for mode in MODES for path in _paths(mode, fps, nodes, reach, said)]
    while True:
        walk = _thinned(paths, reach, step)
        if len(walk.axes) <= most or step > 64:
            return walk
        step *= 1.15


def _paths(mode: str, fps: Fraction, nodes: int, reach: Reach, said: tuple[bytes, int]) -> list[NDArray[np.int16]]:
    """A mode's segments, before they are thinned: int16 (nodes, AXES) each."""
    manner = MANNERS[mode]
    parts = [watch(mode, fps, WATCHED / 2, seed, said) for seed in (11, 12)]
    windows: list[tuple[float, F64]] = []
    for poses in parts:
        windows += _windows(poses, nodes, reach, manner)
    windows.sort(key=lambda window: window[0])
    chosen = [axes for _, axes in windows[: manner.count]]
    return [_breathing(np.rint(_bent(axes)).astype(np.int16)) for axes in chosen]


def _windows(poses: Poses, nodes: int, reach: Reach, manner: Manner) -> list[tuple[float, F64]]:
    """(how ill it suits, head axes (nodes + 1, AXES)) of windows that do not overlap: those that begin and end near
    rest and move as much as the mode does as a rule."""
    axes = poses.axes.copy()
    axes[:, HEAD_X] = np.rint(axes[:, HEAD_X] * manner.turn)
    axes[:, BREATH] = 0
    where = reach.at(axes)
    away = far(where, reach.at(Poses.rest().axes))
    way = np.concatenate([[0.0], np.cumsum(far(where[1:], where[:-1]))])
    starts = np.arange(0, len(axes) - nodes, max(1, nodes // 20))
    if not len(starts):
        return []
    moved = way[starts + nodes] - way[starts]
    ill = away[starts] + away[starts + nodes] + 0.15 * np.abs(moved - np.median(moved))
    found: list[tuple[float, F64]] = []
    taken: list[int] = []
    for i in np.argsort(ill, kind="stable"):
        start = int(starts[i])
        if all(abs(start - other) >= nodes for other in taken):
            taken.append(start)
            found.append((float(ill[i]), axes[start : start + nodes + 1].astype(np.float64)))
    return found


def _bent(axes: F64) -> F64:
    """A path (nodes + 1, AXES) of which both ends are drawn to rest; without its last pose, which is the next one's
    first."""
    nodes = len(axes) - 1
    t = np.clip(np.arange(nodes + 1) / (0.4 * nodes), 0, 1)
    ease = (1 - t * t * (3 - 2 * t))[:, None]
    out = axes - axes[:1] * ease - axes[-1:] * ease[::-1]
    return np.clip(out[:-1], -ONE, ONE)


def _breathing(axes: NDArray[np.int16]) -> NDArray[np.int16]:
    """With one breath, and the axis that follows the head's turn."""
    phase = np.arange(len(axes)) / len(axes)
    axes[:, BREATH] = np.rint((1 - np.cos(2 * np.pi * phase)) / 2 * ONE)
    axes[:, TURN] = (axes[:, HEAD_X].astype(np.int32) + ONE) // 2
    keep = np.isin(np.arange(axes.shape[1]), WALK)
    axes[:, ~keep] = 0
    return axes


def _thinned(paths: list[tuple[str, NDArray[np.int16]]], reach: Reach, step: float) -> Walk:
    rest = _breathing(np.zeros((1, len(AXES)), np.int16))[0]
    places = [rest]
    number = {rest.tobytes(): 0}
    segments = []
    for mode, path in paths:
        where, row = reach.at(path), [0]
        shown = reach.at(rest[None])[0]
        for axes, corners in zip(path[1:], where[1:], strict=True):
            if float(far(corners, shown)) >= step:
                key = axes.tobytes()
                if key not in number:
                    number[key] = len(places)
                    places.append(axes)
                shown = corners
                row.append(number[key])
            else:
                row.append(row[-1])
        segments.append(Segment(1 << MODES.index(mode), row))
    return Walk(np.array(places), segments)


__all__ = ["ANCHOR_EVERY", "HEAD_X", "HEAD_Y", "ROLL", "Reach", "Segment", "Walk", "far", "plan"]
