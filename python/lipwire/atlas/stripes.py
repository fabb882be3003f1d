"""Where a picture is cut: rows of macroblocks that the mouth changes, that the eyes change, that move, that stand
still.

Slices are rows, and eyes and mouth go up and down with the head: where both reach one row, it is cut where least is
lost."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument
from .harvest import WALK, Poses
from .picture import BLOCK, Easel
from .variants import Visited
from .walk import Walk

F64 = NDArray[np.float64]
SEEN = 64 * 12**2
"""Squared error of luma in a row of macroblocks that is looked after: 64 pixels that are 12 off."""
NARROW = 2
"""Rows between eyes and mouth that are no stripe of their own: what moves goes out of them at once."""
SAMPLED_PLACES, SAMPLED_STATES = 14, 16


Kind = Literal["static", "moving", "choice"]


@dataclass(frozen=True, slots=True)
class Stripe:
    """`rows` rows of macroblocks from `first` on; `kind` is static, moving or choice, `part` of PARTS or ""."""

    kind: Kind
    first: int
    rows: int
    part: str = ""


def cut(easel: Easel, walk: Walk, states: dict[str, Visited]) -> list[Stripe]:
    """The stripes for a walk, and for the states that the parts have, from top to bottom.

    Raises:
        InvalidArgument: the picture is so small that no row would be left to a part.
    """
    places = _extremes(walk)
    changes = {part: _changes(easel, places, states[part]) for part in states}
    spans = {part: _span(change.max((0, 1))) for part, change in changes.items()}
    energy = {
        part: np.einsum("psr,s->r", change, _shares(states[part])) / len(places) for part, change in changes.items()
    }
    ordered = sorted((part for part, span in spans.items() if span[1]), key=lambda part: float(_middle(energy[part])))
    for upper, lower in itertools.pairwise(ordered):
        spans[upper], spans[lower] = _parted(spans[upper], spans[lower], energy[upper], energy[lower])
    taken = {part: range(*spans[part]) for part in ordered}
    gone = [part for part in ordered if not taken[part]]
    if gone:
        raise InvalidArgument(
            f"cannot be pre-encoded at {easel.width}x{easel.height}: the {' and the '.join(ordered)} share rows of "
            f"{BLOCK} pixels, and the {gone[0]} would never move; take a larger size"
        )
    if len(ordered) == 2 and 0 < spans[ordered[1]][0] - spans[ordered[0]][1] <= NARROW:
        spans[ordered[0]] = spans[ordered[0]][0], spans[ordered[1]][0]
    taken = {part: range(*spans[part]) for part in ordered}
    moving = _moving(easel, walk)
    stripes: list[Stripe] = []
    for row in range(easel.rows):
        part = next((part for part in taken if row in taken[part]), "")
        kind: Kind = "choice" if part else "moving" if moving[row] else "static"
        if stripes and (stripes[-1].kind, stripes[-1].part) == (kind, part):
            last = stripes.pop()
            stripes.append(Stripe(kind, last.first, last.rows + 1, part))
        else:
            stripes.append(Stripe(kind, row, 1, part))
    return stripes


def _extremes(walk: Walk) -> NDArray[np.int16]:
    """Places that reach furthest, and some between."""
    axes = walk.axes.astype(np.int64)
    some = {0, *np.linspace(0, len(axes) - 1, SAMPLED_PLACES // 2).astype(int)}
    for axis in WALK[:3]:
        some |= {int(axes[:, axis].argmin()), int(axes[:, axis].argmax())}
    return walk.axes[sorted(some)]


def _sampled(states: Visited) -> NDArray[np.int64]:
    return (
        np.unique(np.linspace(1, len(states) - 1, SAMPLED_STATES).astype(np.int64))
        if len(states) > 1
        else np.zeros(1, np.int64)
    )


def _shares(states: Visited) -> F64:
    weight = states.weight[_sampled(states)]
    return weight / max(float(weight.sum()), 1e-9)


def _changes(easel: Easel, places: NDArray[np.int16], states: Visited) -> F64:
    """Squared errors that a part's states make against rest: (places, states, rows of macroblocks)."""
    picked = _sampled(states)
    rest = Poses.rest()
    out = np.zeros((len(places), len(picked), easel.rows))
    for i, place in enumerate(places):
        still = easel.show(at_place(rest.axes[0], place), rest.visemes[0]).y.astype(np.int32)
        for k, state in enumerate(picked):
            easel.show(at_place(states.poses.axes[state], place), states.poses.visemes[state])
            out[i, k] = by_rows(((easel.y - still) ** 2).sum(1))
    return out


def at_place(axes: NDArray[np.int16], place: NDArray[np.int16]) -> NDArray[np.int16]:
    """A pose's axes with the head where the place has it."""
    out = axes.copy()
    out[list(WALK)] = place[list(WALK)]
    return out


def by_rows(lines: NDArray[np.int64]) -> F64:
    """Sums over the lines of each row of macroblocks."""
    padded = np.zeros(-(-len(lines) // BLOCK) * BLOCK)
    padded[: len(lines)] = lines
    summed: F64 = padded.reshape(-1, BLOCK).sum(1)
    return summed


def _span(worst: F64) -> tuple[int, int]:
    """First row and the one behind the last that a part must have; (0, 0): it changes nothing."""
    rows = np.flatnonzero(worst > SEEN)
    return (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)


def _middle(energy: F64) -> float:
    return float((energy * np.arange(len(energy))).sum() / max(float(energy.sum()), 1e-9))


def _parted(
    upper: tuple[int, int], lower: tuple[int, int], up: F64, low: F64
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The spans of two parts without a common row."""
    if upper[1] <= lower[0]:
        return upper, lower
    top, bottom = min(upper[0], lower[0]), max(upper[1], lower[1])
    at = min(range(top, bottom + 1), key=lambda row: float(up[row:].sum() + low[:row].sum()))
    return (min(upper[0], at), min(upper[1], at)), (max(lower[0], at), max(lower[1], at))


def _moving(easel: Easel, walk: Walk) -> NDArray[np.bool_]:
    """Whether anything moves in each row of macroblocks."""
    rest = Poses.rest()
    first: list[bytes] = []
    moves = np.zeros(easel.rows, bool)
    for place in walk.axes:
        easel.show(at_place(rest.axes[0], place), rest.visemes[0])
        now = [easel.stripe(row, 1).tobytes() for row in range(easel.rows)]
        first = first or now
        moves |= [a != b for a, b in zip(now, first, strict=True)]
    return moves
