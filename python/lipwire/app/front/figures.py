"""GET /metrics of many workers: what each says, with a label for which it is, and the cluster's own figures.

Sums over that label are what one process would say: nothing is counted by two.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from statistics import median

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ...cluster.view import NodeView

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (.*)")
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""Seconds that a reservation takes."""
LAST = 256
"""Reservations whose median is told."""


def merge_texts(texts: Iterable[tuple[Mapping[str, str], str]]) -> str:
    """Texts in Prometheus' format, each with labels of its own for all of its samples, as one text in which each
    metric is described once."""
    about: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for labels, text in texts:
        added = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        family = ""
        for line in text.splitlines():
            if line.startswith("#"):
                family = [*line.split(" ", 3), "", ""][2]
                known = about.setdefault(family, [])
                if line not in known and len(known) < 2:
                    known.append(line)
                samples.setdefault(family, [])
            elif (match := _SAMPLE.fullmatch(line)) is not None:
                name, own, value = match.groups()
                inner = ",".join(part for part in (added, own) if part)
                samples.setdefault(family, []).append(f"{name}{{{inner}}} {value}" if inner else f"{name} {value}")
    return "".join(f"{line}\n" for family, lines in samples.items() for line in (*about.get(family, ()), *lines))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class Reserving:
    """How long reservations took, and how they ended."""

    def __init__(self) -> None:
        self.placed = self.refused = 0
        self.seconds = 0.0
        self._last: deque[float] = deque(maxlen=LAST)
        self._counts = [0] * (len(BUCKETS) + 1)

    def note(self, seconds: float, placed: bool) -> None:
        """One more."""
        self.placed += placed
        self.refused += not placed
        self.seconds += seconds
        self._last.append(seconds)
        self._counts[next((n for n, most in enumerate(BUCKETS) if seconds <= most), len(BUCKETS))] += 1

    @property
    def median_ms(self) -> float:
        """Of the last ones."""
        return round(1000 * median(self._last), 3) if self._last else 0.0

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: each with all below it."""
        found, below = [], 0
        for most, count in zip((*map(str, BUCKETS), "+Inf"), self._counts, strict=True):
            below += count
            found.append((most, float(below)))
        return found


class FrontCollector(Collector):
    """The cluster's own figures, of this node.

    Args:
        view: of it.
    """

    def __init__(self, view: Callable[[], NodeView], reserving: Reserving) -> None:
        self._view, self._reserving = view, reserving

    def collect(self) -> Iterable[Metric]:
        node = self._view()
        states = GaugeMetricFamily("lipwire_workers", "Workers of this node, by state", labels=["state"])
        for state in ("starting", "up", "full", "draining", "silent", "down"):
            states.add_metric([state], sum(worker.state == state for worker in node.workers))
        yield states
        for name, text, value in (
            ("used", "Weight that runs or is reserved (1000: a face of 640x360 at 25/s)", "used"),
            ("capacity", "Weight that a worker takes", "capacity"),
        ):
            family = GaugeMetricFamily(f"lipwire_worker_{name}", text, labels=["worker"])
            for worker in node.workers:
                family.add_metric([str(worker.index)], getattr(worker, value))
            yield family
        restarts = CounterMetricFamily(
            "lipwire_worker_restarts", "How often another worker took a dead one's place", labels=["worker"]
        )
        for worker in node.workers:
            restarts.add_metric([str(worker.index)], worker.restarts)
        yield restarts
        r = self._reserving
        yield CounterMetricFamily("lipwire_places_given", "Starts that found a place", r.placed)
        yield CounterMetricFamily("lipwire_places_refused", "Starts that found none", r.refused)
        seconds = HistogramMetricFamily("lipwire_reserve_seconds", "How long a place was looked for")
        seconds.add_metric([], r.buckets(), r.seconds)
        yield seconds
