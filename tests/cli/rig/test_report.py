"""What is said of a run."""

from __future__ import annotations

import io

import msgspec
from rich.console import Console

from lipwire.cli.rig.calls import Call
from lipwire.cli.rig.nodes import read_metrics
from lipwire.cli.rig.report import Memory, Result, describe
from lipwire.cli.rig.watch import Aftermath, percentile


def call(number: int, **more: object) -> Call:
    fields = {"number": number, "channel": f"call-{number}", "began": 0.0} | more
    return msgspec.convert(fields, Call)


def result(*calls: Call) -> Result:
    found = Result(network="a test's", nodes=2, workers=1, seed=1)
    found.take(calls, missed=3)
    return found


def test_calls_are_counted_by_what_became_of_them() -> None:
    found = result(
        call(0, session_id="a", node="node1", outcome="over", start=0.01, utterances=3, returned=1, dropped=1),
        call(1, session_id="b", node="node2", outcome="died", start=0.03),
        call(2, outcome="refused", start=0.05, retry_after=True, why="503"),
        call(3, session_id="c", node="node1", outcome="over", start=9.0, filler=True),
    )
    starts = found.starts
    assert (starts.placed, starts.refused, starts.hint) == (2, 1, 1)
    assert starts.by_node == {"node1": 1, "node2": 1}
    assert (starts.p50_ms, starts.worst_ms, starts.refusal_p50_ms) == (20.0, 30.0, 50.0)
    assert found.outcomes == {"over": 1, "died": 1, "refused": 1}
    assert (found.utterances, found.drops, found.returns, found.missed) == (3, 1, 1, 3)
    assert found.wrong() == []


def test_what_must_not_be_is_told() -> None:
    found = result(call(0, session_id="a", node="node1", outcome="lost", why="404"), call(1, outcome="failed"))
    found.doubled, found.left_over, found.left = 1, 2, ["process 1 of node1"]
    found.faults = [Aftermath(fault="restart:nats@3", at=3, noticed=4), Aftermath(fault="kill:node2@3", at=3, asked=2)]
    wrong = "; ".join(found.wrong())
    for words in ("1 sessions lost", "1 channels with two", "2 sessions left", "1 starts failed", "1 things left"):
        assert words in wrong
    assert "4 sessions noticed restart:nats@3" in wrong
    assert "2 sessions not reported as over after kill:node2@3" in wrong
    told = found.to_json()
    assert told["wrong"] == found.wrong() and msgspec.json.encode(told)


def test_it_is_printed_whole() -> None:
    found = result(call(0, session_id="a", node="node1", outcome="over", start=0.01))
    found.memory = [Memory(node="node1", before=100 << 20, after=120 << 20, restarted=True)]
    found.faults = [
        Aftermath(fault="kill:node2@3", at=3, died=1, told=[0.1], codes={"1006": 1}, asked=1, reported=[0.5])
    ]
    out = io.StringIO()
    found.print(Console(file=out, width=200))
    said = out.getvalue()
    for words in (
        "1 placed (node1 1)",
        "100 MiB before, 120 after",
        "1 were told after 0.10 s: 1 with 1006",
        "1 of 1 after 0.50",
    ):
        assert words in said
    assert "nothing lost, doubled or left behind" in said
    assert describe(Aftermath(fault="slow:nats=1ms@3", at=3)) == ["done"]


def test_figures_of_all_workers_are_summed() -> None:
    text = """# HELP lipwire_sessions Live sessions
lipwire_sessions{worker="0"} 3.0
lipwire_sessions{worker="1"} 4.0
lipwire_frames_late_total{worker="1"} 2.0
lipwire_sessions_limit{worker="1"} 50.0
"""
    figures = read_metrics(text)
    assert (figures.sessions, figures.late, figures.frames) == (7, 2, 0)


def test_percentiles() -> None:
    assert percentile([], 0.5) is None and percentile([3.0], 0.99) == 3.0
    assert percentile([float(n) for n in range(101)], 0.99) == 99.0
