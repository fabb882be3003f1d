"""Histograms of stages, and what a session puts into them."""

from __future__ import annotations

import numpy as np
import pytest

from app.test_service import pulses
from lipwire.publish import Null
from lipwire.session.session import Session
from lipwire.session.stages import BUCKETS, RECENT, Histogram, Spoken, Stages


def test_percentiles_are_of_the_newest_and_buckets_of_all() -> None:
    histogram = Histogram()
    assert histogram.figures() == {"count": 0}
    for _ in range(50):
        histogram.add(10.0)
    for n in range(1, RECENT + 1):
        histogram.add(n / 1000)
    figures = histogram.figures()
    assert figures == {"count": 50 + RECENT, "p50_ms": 50.0, "p95_ms": 95.0, "max_ms": 100.0}
    buckets = dict(histogram.buckets())
    assert buckets["0.01"] == 10 and buckets["0.1"] == 100 and buckets["5.0"] == 100 and buckets["+Inf"] == 150
    assert histogram.sum == pytest.approx(505.05)
    assert list(buckets.values()) == sorted(buckets.values())


def test_a_bound_belongs_to_its_own_bucket_and_one_value_is_every_percentile() -> None:
    for bound in BUCKETS:
        histogram = Histogram()
        histogram.add(bound)
        assert dict(histogram.buckets())[str(bound)] == 1
        figures = histogram.figures()
        assert figures["p50_ms"] == figures["p95_ms"] == figures["max_ms"] == round(1000 * bound, 1)


def test_memory_is_bounded() -> None:
    stages = Stages()
    for _ in range(10 * RECENT):
        stages.add({"buffer": 0.1, "total": 0.2})
    assert {name: figures["count"] for name, figures in stages.figures().items()} == {"buffer": 1000, "total": 1000}
    assert [len(histogram._recent) for histogram in stages.histograms.values()] == [RECENT, RECENT]
    assert [name for name, _, _ in stages.rows()] == ["buffer", "total"]


async def test_a_session_tells_each_utterance_once_with_its_way() -> None:
    told: list[Spoken] = []
    async with Session(Null(), width=64, height=36) as session:
        session.on_spoken = told.append
        for event_id, encoding in (("a", "PCM16"), ("b", "PCM8")):
            pcm = pulses(0.4)
            payload = (
                pcm if encoding == "PCM16" else (np.frombuffer(pcm, np.int16) // 256 + 128).astype(np.uint8).tobytes()
            )
            session.voice(payload, encoding, 16_000, event_id)
            session.end(event_id)
            await session.finished()
        session.voice(pulses(5.0), "PCM16", 16_000, "c")
        session.interrupt()
        await session.finished()
        figures = session.stats()["stages"]
    assert [(of.finished.event_id, of.finished.interrupted) for of in told if of.finished] == [
        ("a", False), ("b", False), ("c", True),
    ]  # fmt: skip
    for of in told[:2]:
        assert of.session_id == session.id and of.started_ns and of.mouth_ns and of.shown_ns and of.finished_ns
        assert of.came_ns <= of.written_ns < of.started_ns <= of.mouth_ns <= of.shown_ns < of.finished_ns
        parts = {name: seconds for name, seconds in of.stages.items() if name != "total"}
        assert parts.keys() == {"decode", "buffer", "mouth", "handover", "delay"}
        assert sum(parts.values()) == pytest.approx(of.stages["total"])
    assert figures["total"]["count"] == 2 and figures["total"]["p50_ms"] > 0
