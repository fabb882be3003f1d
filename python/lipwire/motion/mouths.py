"""Which of Rhubarb Lip Sync's mouth shapes is drawn when: for programs that change a drawing from time to time, as
cartoons do, in place of moving it.

A shape is held for long enough to be seen, and of all ways to do so that one is taken that shows the most of what the
visemes say: dynamic programming over frames, shapes and how long each has been held."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from .track import MotionTrack

SHAPES = "ABCDEFGHX"
"""A closed, B narrow, C open, D wide open, E slightly rounded, F puckered, G lip on teeth, H tongue up, X idle."""
SHAPE_OF = {
    **{"sil": "X", "PP": "A", "FF": "G", "TH": "B", "DD": "B", "kk": "B", "CH": "B", "SS": "B", "nn": "B", "RR": "B"},
    **{"aa": "D", "E": "C", "ih": "B", "oh": "E", "ou": "F"},
}
"""By viseme, as Rhubarb draws its phones (its README, "Mouth shapes")."""
HELD = 0.07
"""Seconds that a shape stays, at least: what Rhubarb has."""
RESTED = 0.12
"""The same for X: in a pause of less than half of that the mouth stays as it is."""
TONGUE = ("nn", 0.5)
"""The viseme that is H rather than B, where it is so much of a run between two open mouths: the tongue shows."""
OPEN = "CDE"
BETWEEN = {
    **{("A", "D"): "C", ("D", "A"): "C", ("B", "D"): "C", ("D", "B"): "C", ("G", "D"): "C", ("D", "G"): "C"},
    **{("X", "D"): "C", ("D", "X"): "C", ("C", "F"): "E", ("F", "C"): "E", ("D", "F"): "E", ("F", "D"): "E"},
}
"""What is shown on the way from one shape to another that is far from it (its README says so of C and E)."""
WAY = (0.04, 0.08)
"""Seconds that it is shown: a third of the wider or rounder shape's, at most the second; not at all below the first."""
WAY_OFF = "DF"
"""Whose time that is."""


class MouthCue(Struct, frozen=True):
    """A shape, and from when to when it is drawn, in seconds."""

    start: float
    end: float
    shape: str


def mouth_cues(track: MotionTrack) -> list[MouthCue]:
    """The shapes from the beginning to the end, without gaps, no two alike in a row; at least one.

    Raises:
        InvalidArgument: the track has not the set `visemes`.
    """
    weights = track.of("visemes")
    names = track.header.sets["visemes"]
    if not len(weights):
        return [MouthCue(0.0, 0.0, "X")]
    rate = float(track.header.fps)
    shown = _shown(_by_shape(weights, names), rate)
    edges = [0, *(np.flatnonzero(np.diff(shown)) + 1).tolist(), len(shown)]
    times = np.append(track.seconds, track.duration)
    runs = [
        (float(times[begin]), float(times[end]), _letter(shown, weights[:, names.index(TONGUE[0])], begin, end))
        for begin, end in pairwise(edges)
    ]
    return [MouthCue(*run) for run in _joined(_with_ways(runs))]


def _by_shape(weights: NDArray[np.float32], names: Sequence[str]) -> NDArray[np.float64]:
    """(n, shapes): how much of each shape is in a frame; what the visemes leave is rest."""
    found = np.zeros((len(weights), len(SHAPES)))
    for column, name in enumerate(names):
        found[:, SHAPES.index(SHAPE_OF.get(name, "B"))] += weights[:, column]
    found[:, SHAPES.index("X")] += np.maximum(0.0, 1.0 - weights.sum(axis=1))
    return found


def _shown(weights: NDArray[np.float64], rate: float) -> NDArray[np.intp]:
    """(n,): the shape of each frame."""
    count, shapes = weights.shape
    least = [max(1, round((RESTED if shape == "X" else HELD) * rate)) for shape in SHAPES]
    if count < max(least):
        return np.full(count, int(weights.sum(axis=0).argmax()))
    sums = np.vstack([np.zeros(shapes), weights.cumsum(axis=0)]).tolist()
    # best[t][s]: the most that frames before t can be worth, where the last run is of shape s and held for long enough.
    nothing = float("-inf")
    best = [[0.0] * shapes]
    began: list[list[int]] = [[0] * shapes]
    tops: list[tuple[int, float, float]] = [(-1, 0.0, 0.0)]
    for t in range(1, count + 1):
        row, starts = [], []
        for s in range(shapes):
            since = t - least[s]
            value, start = nothing, 0
            if t > 1 and best[t - 1][s] > nothing:
                value, start = best[t - 1][s] + sums[t][s] - sums[t - 1][s], began[t - 1][s]
            if since >= 0:
                top, first, second = tops[since]
                fresh = (second if top == s else first) + sums[t][s] - sums[since][s]
                if fresh > value:
                    value, start = fresh, since
            row.append(value)
            starts.append(start)
        best.append(row)
        began.append(starts)
        top = max(range(shapes), key=row.__getitem__)
        tops.append((top, row[top], max(row[:top] + row[top + 1 :])))
    return _traced(best, began, count)


def _traced(best: list[list[float]], began: list[list[int]], count: int) -> NDArray[np.intp]:
    """The way that led to the best end."""
    shown = np.zeros(count, dtype=np.intp)
    t, before = count, -1
    while t > 0:
        s = max((s for s in range(len(SHAPES)) if s != before), key=best[t].__getitem__)
        shown[began[t][s] : t] = s
        t, before = began[t][s], s
    return shown


def _letter(shown: NDArray[np.intp], tongue: NDArray[np.float32], begin: int, end: int) -> str:
    """A run's shape; H, where the tongue shows in it."""
    letter = SHAPES[shown[begin]]
    if letter != "B" or begin == 0 or end == len(shown):
        return letter
    around = SHAPES[shown[begin - 1]], SHAPES[shown[end]]
    return "H" if set(around) <= set(OPEN) and tongue[begin:end].mean() >= TONGUE[1] else "B"


def _with_ways(runs: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Puts shapes between those that are far from each other."""
    found: list[tuple[float, float, str]] = []
    for run in runs:
        way = BETWEEN.get((found[-1][2], run[2])) if found else None
        if way is not None:
            before = found[-1]
            taken = run if run[2] in WAY_OFF else before
            length = min((taken[1] - taken[0]) / 3, WAY[1])
            if length >= WAY[0]:
                at = run[0]
                begin, end = (at, at + length) if taken is run else (at - length, at)
                found[-1] = (before[0], begin, before[2])
                found.append((begin, end, way))
                run = (end, run[1], run[2])
        found.append(run)
    return found


def _joined(runs: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    found: list[tuple[float, float, str]] = []
    for start, end, shape in runs:
        if found and found[-1][2] == shape:
            found[-1] = (found[-1][0], end, shape)
        else:
            found.append((start, end, shape))
    return found
