"""Where the time of an utterance goes, stage by stage: what it took, and how that is spread."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterable, Mapping

from msgspec import Struct

from ..protocol.messages import PlaybackFinished

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0)
"""Upper bounds of a histogram's buckets, in seconds."""
RECENT = 100
"""Values of a stage that percentiles are made of: the newest."""


class Spoken(Struct, kw_only=True):
    """The way of an utterance. Times in ns are CLOCK_MONOTONIC's; None: that was not reached, or not yet."""

    came_ns: int
    """The first chunk of it came to the session."""
    written_ns: int
    """It was PCM."""
    started_ns: int | None = None
    """The tick that its first sample belongs to."""
    mouth_ns: int | None = None
    """The tick of the first picture of it with an open mouth,"""
    shown_ns: int | None = None
    """and when the publisher was given that."""
    underruns: int = 0
    stages: dict[str, float] = {}
    """Seconds of each stage: the members of `Latency`, without `_ms`, and their `total`."""
    session_id: str = ""
    finished: PlaybackFinished | None = None
    finished_ns: int | None = None
    span: tuple[int, int] | None = None
    """Media clock of its first sample, and of its end; None: nothing of it was heard."""

    def end(self, session_id: str, finished: PlaybackFinished, now_ns: int) -> None:
        """It is over."""
        self.session_id, self.finished, self.finished_ns = session_id, finished, now_ns


class Histogram:
    """Values of one stage, in seconds: all of them counted in buckets, the newest kept. 1 KiB."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def add(self, seconds: float) -> None:
        """Counts a value."""
        self.counts[bisect.bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds
        self._recent.append(seconds)

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound, how many are not above it), as Prometheus has it; the last is +Inf."""
        total, rows = 0, []
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self.counts, strict=True):
            total += count
            rows.append((bound, float(total)))
        return rows

    def figures(self) -> dict[str, float]:
        """`count` of all, and of the newest `p50_ms`, `p95_ms` (nearest rank) and `max_ms`."""
        values = sorted(self._recent)
        if not values:
            return {"count": 0}
        rank = {name: values[max(0, -(-len(values) * part // 100) - 1)] for name, part in (("p50", 50), ("p95", 95))}
        return {"count": sum(self.counts)} | {
            f"{name}_ms": round(1000 * value, 1) for name, value in (*rank.items(), ("max", values[-1]))
        }


class Stages:
    """A histogram for each stage. Stages are few and named by this package."""

    def __init__(self) -> None:
        self.histograms: dict[str, Histogram] = {}

    def add(self, seconds: Mapping[str, float]) -> None:
        """Counts a value of each of these stages."""
        for name, value in seconds.items():
            self.histograms.setdefault(name, Histogram()).add(value)

    def figures(self) -> dict[str, dict[str, float]]:
        """`Histogram.figures` of each stage, JSON-able."""
        return {name: histogram.figures() for name, histogram in self.histograms.items()}

    def rows(self) -> Iterable[tuple[str, list[tuple[str, float]], float]]:
        """(stage, buckets, sum in seconds) of each, for /metrics."""
        return [(name, histogram.buckets(), histogram.sum) for name, histogram in sorted(self.histograms.items())]
