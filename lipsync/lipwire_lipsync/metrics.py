"""What is measured. Rows are 10 ms; a system says one viseme a row (15 classes) or, if it draws fewer mouths, one of
the 7 mouth groups.

- Accuracy and macro-F1 (the mean over the classes that occur) of visemes and of groups, over all rows and "inside":
  rows at least 20 ms from a change of the true viseme. Accuracy misleads: always answering group B scores 44 to 54 %.
- Events of the lips, which eyes do not forgive: PP (closed) and FF (lip on teeth). A true run of 30 ms or more is
  recalled if it is predicted anywhere within its bounds +-20 ms; a predicted run is precise if the truth has it
  anywhere within its bounds +-30 ms.
- Silence recall: of truly silent rows, those predicted silent. False silence: of spoken rows, those predicted silent.
- Boundaries: for each change of the true group, the distance to the nearest predicted change into the same group, if
  there is one within 100 ms: median, 90th percentile, and the share found.
- Switches: predicted changes of viseme for each true one (of groups, too): above 1 the mouth flickers.

PP, FF and silence are mouth groups as well as visemes, so these figures mean the same for either kind of system.

A system may be late. Its predictions are in system time: what a live player knows once a row's 10 ms have come in. The
delay is the constant by which the picture lags the sound and scores best; `best_delay` finds it, one for a system.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from . import labels

Rows = npt.NDArray[np.integer]
Kind = Literal["visemes", "groups"]

DELAYS = range(-6, 17)
"""Rows: -60 to 160 ms."""
PADDING = max(DELAYS)
"""Rows that a system is to go on for after the end of the speech, so that it can be late."""

INSIDE = 2
EVENT_LENGTH, RECALL_REACH, PRECISION_REACH = 3, 2, 3
BOUNDARY_REACH = 10
_VISEMES, _GROUPS = len(labels.VISEMES), len(labels.GROUPS)
_SILENCE, _CLOSED, _TEETH = (labels.GROUPS.index(g) for g in "XAG")


class Result(msgspec.Struct, frozen=True):
    """Shares are 0..1. None: nothing of the kind occurred, or the system has no visemes."""

    rows: int
    accuracy: float | None
    f1: float | None
    accuracy_inside: float | None
    f1_inside: float | None
    group_accuracy: float | None
    group_f1: float | None
    group_accuracy_inside: float | None
    group_f1_inside: float | None
    pp_recall: float | None
    pp_precision: float | None
    ff_recall: float | None
    ff_precision: float | None
    silence_recall: float | None
    false_silence: float | None
    boundary_median_ms: float | None
    boundary_90_ms: float | None
    boundaries_found: float | None
    switches: float | None
    group_switches: float | None


def runs(rows: Rows) -> tuple[Rows, Rows, Rows]:
    """Starts, ends (exclusive) and values of the stretches of equal values."""
    cuts = np.flatnonzero(np.diff(rows)) + 1
    starts = np.concatenate([np.zeros(min(1, len(rows)), np.int64), cuts])
    return starts, np.concatenate([cuts, np.full(min(1, len(rows)), len(rows))]), rows[starts]


def confusion(truth: Rows, guess: Rows, classes: int) -> npt.NDArray[np.int64]:
    """[truth, guess] counts."""
    return np.bincount(truth * classes + guess, minlength=classes * classes).reshape(classes, classes)


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _accuracy(counts: npt.NDArray[np.int64]) -> float | None:
    return _ratio(counts.trace(), counts.sum())


def _macro_f1(counts: npt.NDArray[np.int64]) -> float | None:
    occurs = counts.sum(1) > 0
    if not occurs.any():
        return None
    f1 = 2 * counts.diagonal() / np.maximum(1, counts.sum(0) + counts.sum(1))
    return float(f1[occurs].mean())


def _touched(event: npt.NDArray[np.bool_], starts: Rows, ends: Rows, reach: int) -> npt.NDArray[np.bool_]:
    """Which of the stretches, widened by `reach`, have an event in them."""
    sums = np.concatenate([[0], event.cumsum()])
    return np.asarray(sums[np.minimum(ends + reach, len(event))] > sums[np.maximum(starts - reach, 0)])


class Score:
    """Adds up utterances. `kind` is what the guesses are: viseme or group indices. The truth is in visemes."""

    def __init__(self, kind: Kind = "visemes") -> None:
        self.kind = kind
        self._visemes = np.zeros((2, _VISEMES, _VISEMES), np.int64)  # all rows, inside rows
        self._groups = np.zeros((2, _GROUPS, _GROUPS), np.int64)
        self._events = {group: np.zeros(4, np.int64) for group in (_CLOSED, _TEETH)}
        self._errors: list[npt.NDArray[np.int64]] = []
        self._boundaries = 0
        self._switches = np.zeros((2, 2), np.int64)  # visemes, groups; predicted, true

    def add(self, truth: Rows, guess: Rows) -> None:
        """One utterance. Raises ValueError: not the same number of rows."""
        if len(truth) != len(guess):
            raise ValueError(f"{len(truth)} true rows, {len(guess)} predicted ones")
        changes = runs(truth)[0][1:]
        inside = np.ones(len(truth), bool)
        for offset in range(-INSIDE, INSIDE):
            inside[np.clip(changes + offset, 0, len(truth) - 1)] = False
        true_groups = labels.GROUP_OF[truth]
        if self.kind == "visemes":
            groups = labels.GROUP_OF[guess]
            self._visemes[0] += confusion(truth, guess, _VISEMES)
            self._visemes[1] += confusion(truth[inside], guess[inside], _VISEMES)
            self._switches[0] += np.count_nonzero(np.diff(guess)), len(changes)
        else:
            groups = guess
        self._groups[0] += confusion(true_groups, groups, _GROUPS)
        self._groups[1] += confusion(true_groups[inside], groups[inside], _GROUPS)
        true_runs, guessed_runs = runs(true_groups), runs(groups)
        self._switches[1] += len(guessed_runs[0]) - 1, len(true_runs[0]) - 1
        for group, counts in self._events.items():
            starts, ends = (edge[true_runs[2] == group] for edge in true_runs[:2])
            long = ends - starts >= EVENT_LENGTH
            found = _touched(groups == group, starts[long], ends[long], RECALL_REACH)
            starts, ends = (edge[guessed_runs[2] == group] for edge in guessed_runs[:2])
            right = _touched(true_groups == group, starts, ends, PRECISION_REACH)
            counts += found.sum(), len(found), right.sum(), len(right)
        for group in range(_GROUPS):
            wanted, had = (starts[1:][values[1:] == group] for starts, _, values in (true_runs, guessed_runs))
            self._boundaries += len(wanted)
            if len(wanted) and len(had):
                at = np.searchsorted(had, wanted)
                near = np.minimum(
                    np.abs(wanted - had[np.maximum(at - 1, 0)]), np.abs(had[np.minimum(at, len(had) - 1)] - wanted)
                )
                self._errors.append(near[near <= BOUNDARY_REACH])

    def result(self) -> Result:
        errors = 10 * np.concatenate(self._errors) if self._errors else np.zeros(0)
        closed, teeth = self._events[_CLOSED], self._events[_TEETH]
        silent, spoken = self._groups[0, _SILENCE], np.delete(self._groups[0], _SILENCE, axis=0)
        return Result(
            rows=int(self._groups[0].sum()),
            accuracy=_accuracy(self._visemes[0]),
            f1=_macro_f1(self._visemes[0]),
            accuracy_inside=_accuracy(self._visemes[1]),
            f1_inside=_macro_f1(self._visemes[1]),
            group_accuracy=_accuracy(self._groups[0]),
            group_f1=_macro_f1(self._groups[0]),
            group_accuracy_inside=_accuracy(self._groups[1]),
            group_f1_inside=_macro_f1(self._groups[1]),
            pp_recall=_ratio(closed[0], closed[1]),
            pp_precision=_ratio(closed[2], closed[3]),
            ff_recall=_ratio(teeth[0], teeth[1]),
            ff_precision=_ratio(teeth[2], teeth[3]),
            silence_recall=_ratio(silent[_SILENCE], silent.sum()),
            false_silence=_ratio(spoken[:, _SILENCE].sum(), spoken.sum()),
            boundary_median_ms=float(np.median(errors)) if len(errors) else None,
            boundary_90_ms=float(np.percentile(errors, 90)) if len(errors) else None,
            boundaries_found=_ratio(len(errors), self._boundaries),
            switches=_ratio(*self._switches[0]),
            group_switches=_ratio(*self._switches[1]),
        )


def shifted(guess: Rows, delay: int, count: int) -> Rows:
    """The `count` rows that a picture shows which lags the sound by `delay` rows: row i has guess[i + delay]. What was
    not said is silence (index 0 of visemes and of groups)."""
    out = np.zeros(count, np.int64)
    first, last = max(0, -delay), min(count, len(guess) - delay)
    out[first:last] = guess[first + delay : last + delay]
    return out


def best_delay(pairs: Iterable[tuple[Rows, Rows]], kind: Kind = "visemes") -> int:
    """Rows by which the guesses of `pairs` of (truth, guess) lag: the delay of highest viseme accuracy, or for a system
    of groups of highest macro-F1. Of equals the one nearest to none."""
    size = _VISEMES if kind == "visemes" else _GROUPS
    counts = np.zeros((len(DELAYS), size, size), np.int64)
    for truth, guess in pairs:
        aim = truth if kind == "visemes" else labels.GROUP_OF[truth]
        for i, delay in enumerate(DELAYS):
            counts[i] += confusion(aim, shifted(guess, delay, len(truth)), size)
    figure = _accuracy if kind == "visemes" else _macro_f1
    return max(zip(DELAYS, counts, strict=True), key=lambda item: (figure(item[1]) or 0.0, -abs(item[0])))[0]


def score(pairs: Sequence[tuple[Rows, Rows]], kind: Kind, delay: int) -> Result:
    """The figures of `pairs` of (truth, guess in system time), the picture lagging by `delay` rows."""
    total = Score(kind)
    for truth, guess in pairs:
        total.add(truth, shifted(guess, delay, len(truth)))
    return total.result()
