"""Runs systems over sets and conditions, and reports."""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from rich.table import Table

from lipwire import __version__

from . import closures, metrics, sets, systems
from .conditions import CONDITIONS

CLEAN = "clean"
ROW = sets.RATE // 100


class SetLine(msgspec.Struct, frozen=True):
    name: str
    language: str
    split: str
    source: str
    licence: str
    utterances: int
    seconds: float


class SystemLine(msgspec.Struct, frozen=True):
    name: str
    kind: metrics.Kind
    offline: bool
    delay_ms: int
    """By which the picture lags the sound in all its figures: the best one over the clean sets."""
    real_time_factor: float
    """Seconds of speech a second of CPU, over the clean sets, features included."""


class Line(msgspec.Struct, frozen=True):
    set: str
    condition: str
    system: str
    figures: metrics.Result


class Report(msgspec.Struct, frozen=True):
    lipwire: str
    python: str
    machine: str
    sets: list[SetLine]
    systems: list[SystemLine]
    skipped: dict[str, str]
    """System: why, and how to get it."""
    lines: list[Line]
    closures: list[closures.Closures]
    """Of the clean sets, where Lipwire is among the systems."""


@dataclass(frozen=True)
class Sample:
    """One clean utterance and what the systems said, for the picture: true visemes, then {system: (kind, rows)}, the
    systems' delays taken out."""

    pcm: sets.Samples
    truth: metrics.Rows
    said: dict[str, tuple[metrics.Kind, metrics.Rows]]


def padded(pcm: sets.Samples) -> sets.Samples:
    """Whole rows, and silence after them for systems that are late."""
    rows = len(pcm) // ROW
    return np.concatenate([pcm[: rows * ROW], np.zeros(metrics.PADDING * ROW, np.int16)])


def run(
    labelled: Sequence[sets.LabelledSet],
    chosen: Sequence[systems.System],
    conditions: Sequence[str] = (CLEAN,),
    *,
    skipped: dict[str, str] | None = None,
    sample: tuple[int, int] | None = None,
    progress: Callable[[str, int], None] = lambda what, done: None,
) -> tuple[Report, Sample | None]:
    """Every system on every set under every condition (of CONDITIONS; clean comes first in any case).

    Args:
        sample: (set, utterance) to keep for a picture. progress: told what runs, and how many utterances that did.
    """
    truths = [[u.visemes(s.about.phone_set) for u in s.utterances] for s in labelled]
    conditions = [CLEAN, *(c for c in conditions if c != CLEAN)]
    lines: list[Line] = []
    system_lines: list[SystemLine] = []
    said: dict[str, tuple[metrics.Kind, metrics.Rows]] = {}
    for system in chosen:
        delay = 0
        for condition in conditions:
            # All sets of one condition before any score: the delay comes from all the clean ones.
            answers = [
                system.run(
                    [CONDITIONS[condition](padded(u.pcm)) for u in s.utterances],
                    functools.partial(progress, f"{system.name}, {condition}"),
                )
                for s in labelled
            ]
            pairs = [list(zip(t, a.rows, strict=True)) for t, a in zip(truths, answers, strict=True)]
            if condition == CLEAN:
                delay = metrics.best_delay([pair for some in pairs for pair in some], system.kind)
                seconds = sum(len(padded(u.pcm)) for s in labelled for u in s.utterances) / sets.RATE
                cpu = sum(answer.cpu_seconds for answer in answers)
                factor = seconds / max(cpu, 1e-9)
                system_lines.append(SystemLine(system.name, system.kind, system.offline, 10 * delay, factor))
                if sample is not None:
                    truth, guess = pairs[sample[0]][sample[1]]
                    said[system.name] = system.kind, metrics.shifted(guess, delay, len(truth))
            for s, some in zip(labelled, pairs, strict=True):
                lines.append(Line(s.about.name, condition, system.name, metrics.score(some, system.kind, delay)))
    lips = [
        closures.measure(s, fps, functools.partial(progress, f"closed lips, {fps} frames a second"))
        for s in labelled
        for fps in closure_rates(chosen)
    ]
    report = Report(
        __version__,
        platform.python_version(),
        platform.machine(),
        [_set_line(s) for s in labelled],
        system_lines,
        skipped or {},
        lines,
        lips,
    )
    if sample is None:
        return report, None
    a, b = sample
    return report, Sample(padded(labelled[a].utterances[b].pcm)[: len(truths[a][b]) * ROW], truths[a][b], said)


def closure_rates(chosen: Sequence[systems.System]) -> tuple[int, ...]:
    """At which frame rates the lips are looked at: there are some where Lipwire is among the systems."""
    return closures.RATES if any(system.name == "lipwire" for system in chosen) else ()


def _set_line(s: sets.LabelledSet) -> SetLine:
    about = s.about
    return SetLine(
        about.name, about.language, about.split, about.source, about.licence, len(s.utterances), round(s.seconds, 2)
    )


# ---- tables -------------------------------------------------------------------------------------------------------


def _percent(*values: float | None) -> str:
    """Of two of a kind, whole numbers with a slash; of one, a decimal."""
    digits = 1 if len(values) == 1 else 0
    return "/".join("-" if v is None else f"{100 * v:.{digits}f}" for v in values)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


COLUMNS: dict[str, Callable[[metrics.Result], str]] = {
    "acc15": lambda r: _percent(r.accuracy),
    "F1-15": lambda r: _percent(r.f1),
    "acc7": lambda r: _percent(r.group_accuracy),
    "F1-7": lambda r: _percent(r.group_f1),
    "inside": lambda r: _percent(r.group_f1_inside),
    "PP r/p": lambda r: _percent(r.pp_recall, r.pp_precision),
    "FF r/p": lambda r: _percent(r.ff_recall, r.ff_precision),
    "sil": lambda r: _percent(r.silence_recall),
    "false": lambda r: _percent(r.false_silence),
    "bound ms": lambda r: f"{_number(r.boundary_median_ms, 0)}/{_number(r.boundary_90_ms, 0)}",
    "switch": lambda r: _number(r.group_switches if r.switches is None else r.switches, 2),
}

LEGEND = (
    "acc15, acc7: rows that are right, % (of 15 visemes; of 7 mouths that look different). F1-15, F1-7: mean F1 of the "
    "classes, %. inside: F1-7 without the rows beside a change. PP, FF r/p: closed lips, teeth on the lip: recall / "
    "precision, %. sil: of true silence, shut, %. false: of speech, shut, %. bound ms: how far a change is from the "
    "true one, median / 90 %. switch: changes for each true one; above 1 it flickers. Bold: the best F1-7 of those "
    "that hear live."
)
"""What the columns are, for whoever reads the tables."""


def _closures_table(lines: Sequence[closures.Closures]) -> Table:
    table = Table(title="closed lips in motion (ARKit), clean", title_justify="left", box=None, pad_edge=False)
    table.add_column("set", no_wrap=True)
    for name in ("fps", "p b m", "called PP", "closed", "closed of called, %"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        counts = (line.fps, line.labelled, line.called, line.closed)
        table.add_row(line.set, *map(str, counts), _percent(line.of_called))
    return table


def tables(report: Report) -> Iterator[Table]:
    """One for each set and condition, then the systems'."""
    by_name = {line.name: line for line in report.systems}
    for s in report.sets:
        for condition in dict.fromkeys(line.condition for line in report.lines):
            title = f"{s.name}, {condition} ({s.utterances} utterances, {s.seconds / 60:.1f} min)"
            table = Table(title=title, title_justify="left", box=None, pad_edge=False)
            table.add_column("system", no_wrap=True)
            for name in COLUMNS:
                table.add_column(name, justify="right", no_wrap=True)
            lines = [line for line in report.lines if (line.set, line.condition) == (s.name, condition)]
            best = max((line.figures.group_f1 or 0.0 for line in lines if not by_name[line.system].offline), default=0)
            for line in lines:
                offline = by_name[line.system].offline
                style = "bold" if not offline and line.figures.group_f1 == best else None
                cells = (figure(line.figures) for figure in COLUMNS.values())
                table.add_row(line.system + "*" * offline, *cells, style=style)
            yield table
    if report.closures:
        yield _closures_table(report.closures)
    table = Table(title="systems (* offline: hears the whole file)", title_justify="left", box=None, pad_edge=False)
    for name in ("system", "classes", "best delay, ms", "x real time"):
        table.add_column(name, justify="left" if name == "system" else "right", no_wrap=True)
    for system in report.systems:
        classes = "15" if system.kind == "visemes" else "7"
        name = system.name + "*" * system.offline
        table.add_row(name, classes, str(system.delay_ms), f"{system.real_time_factor:.0f}")
    yield table
