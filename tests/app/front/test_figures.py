"""/metrics of several workers as one text, read by Prometheus' own parser."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from lipwire.app.front.figures import FrontCollector, Reserving, merge_texts
from lipwire.cluster.view import NodeView, WorkerView


def text(sessions: int) -> str:
    registry = CollectorRegistry()
    Gauge("sessions", "Live sessions", registry=registry).set(sessions)
    ended = Counter("ended", "Ended, by reason", ["reason"], registry=registry)
    ended.labels('a "quoted" {reason}\n').inc(sessions)
    seconds = Histogram("stage_seconds", "By stage", ["stage"], buckets=(1, 2), registry=registry)
    seconds.labels("a").observe(sessions)
    return generate_latest(registry).decode()


def test_each_sample_says_whose_it_is_and_sums_are_right() -> None:
    merged = merge_texts([({"worker": "0", "node": "x"}, text(1)), ({"worker": "1", "node": "x"}, text(2)), ({}, "")])
    families = {family.name: family for family in text_string_to_metric_families(merged)}
    assert [(s.labels, s.value) for s in families["sessions"].samples] == [
        ({"worker": "0", "node": "x"}, 1),
        ({"worker": "1", "node": "x"}, 2),
    ]
    assert families["sessions"].documentation == "Live sessions"
    assert merged.count("# TYPE sessions gauge") == merged.count("# HELP stage_seconds By stage") == 1
    totals = [s for s in families["ended"].samples if s.name == "ended_total"]
    assert sum(s.value for s in totals) == 3
    assert {s.labels["reason"] for s in totals} == {'a "quoted" {reason}\n'}
    inf = [s for s in families["stage_seconds"].samples if s.labels.get("le") == "+Inf"]
    assert (sum(s.value for s in inf), {s.labels["worker"] for s in inf}) == (2, {"0", "1"})


def test_metrics_of_one_kind_stand_together() -> None:
    """Prometheus takes a metric's lines in one group only (exposition formats, text format details)."""
    merged = merge_texts([({"worker": str(n)}, text(n)) for n in range(3)])
    names = [line.partition("{")[0] for line in merged.splitlines() if not line.startswith("#")]
    groups = [name for n, name in enumerate(names) if n == 0 or names[n - 1] != name]
    assert len([name for name in groups if name == "sessions"]) == 1


def test_the_clusters_own_figures() -> None:
    reserving = Reserving()
    reserving.note(0.0004, True)
    reserving.note(0.003, True)
    reserving.note(2.0, False)
    assert reserving.median_ms == 3.0
    workers = [
        WorkerView(index=0, pid=1, state="up", used=700, capacity=50_000, restarts=2),
        WorkerView(index=1, pid=2, state="starting", capacity=50_000),
    ]
    registry = CollectorRegistry()
    registry.register(FrontCollector(lambda: NodeView(name="a", state="up", workers=workers), reserving))
    told = generate_latest(registry).decode()
    for line in (
        'lipwire_workers{state="up"} 1.0',
        'lipwire_workers{state="starting"} 1.0',
        'lipwire_worker_used{worker="0"} 700.0',
        'lipwire_worker_capacity{worker="1"} 50000.0',
        'lipwire_worker_restarts_total{worker="0"} 2.0',
        "lipwire_places_given_total 2.0",
        "lipwire_places_refused_total 1.0",
        'lipwire_reserve_seconds_bucket{le="0.0005"} 1.0',
        'lipwire_reserve_seconds_bucket{le="0.005"} 2.0',
        'lipwire_reserve_seconds_bucket{le="0.5"} 2.0',
        'lipwire_reserve_seconds_bucket{le="+Inf"} 3.0',
        "lipwire_reserve_seconds_sum 2.0034",
    ):
        assert line in told.splitlines()
