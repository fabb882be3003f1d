"""Faults as they are written down."""

from __future__ import annotations

import pytest

from lipwire.cli.rig.script import GRAMMAR, UNDONE, WHOM, Fault, Slowness, parse, steps
from lipwire.errors import InvalidArgument


def read(text: str) -> Fault:
    return parse(text, nodes=3, workers=2, seconds=30)


@pytest.mark.parametrize(
    "text, fault",
    [
        ("kill:node2@10", Fault(do="kill", part="node", node=2, at=10)),
        ("kill:node2@10+5", Fault(do="kill", part="node", node=2, at=10, lasts=5)),
        ("kill:node3/1@2.5", Fault(do="kill", part="worker", node=3, worker=1, at=2.5)),
        ("freeze:node1/front@0+1", Fault(do="freeze", part="front", node=1, at=0, lasts=1)),
        ("restart:nats@10", Fault(do="restart", part="nats", at=10)),
        ("full:all@1+29", Fault(do="full", part="all", at=1, lasts=29)),
        ("slow:node1=80ms,2%@5", Fault(do="slow", part="node", node=1, at=5, how=Slowness(80, 2.0))),
        ("slow:nats=0.5%@5+1", Fault(do="slow", part="nats", at=5, lasts=1, how=Slowness(0, 0.5))),
        (" thaw:node2@30 ", Fault(do="thaw", part="node", node=2, at=30)),
    ],
)
def test_what_is_written_is_read_and_named(text: str, fault: Fault) -> None:
    assert read(text) == fault
    again = fault.name if fault.do != "slow" else text
    assert read(again) == fault


@pytest.mark.parametrize(
    "text, why",
    [
        ("kill node2", "WHAT:WHOM@SECONDS"),
        ("kill:node2", "WHAT:WHOM@SECONDS"),
        ("kill:node2@-1", "WHAT:WHOM@SECONDS"),
        ("drown:node2@1", "there is no 'drown'"),
        ("kill:node4@1", "there are 3 nodes"),
        ("kill:node0@1", "WHAT:WHOM@SECONDS"),
        ("kill:node1/2@1", "2 workers"),
        ("kill:all@1", "kill is for front, nats, node, worker"),
        ("cut:node1/0@1", "cut is for nats, node"),
        ("kill:node1@31", "30 s"),
        ("kill:node1@29+2", "30 s"),
        ("thaw:node1@1+1", "not undone"),
        ("kill:node1/0@1+1", "started again by its front"),
        ("slow:node1@1", "say how"),
        ("slow:node1=fast@1", "say how"),
        ("kill:node1=80ms@1", "takes no '='"),
    ],
)
def test_what_is_none_is_refused_in_words(text: str, why: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(text)
    assert why in str(caught.value) and text in str(caught.value)


def test_steps_come_in_order_and_undo_what_lasts() -> None:
    faults = [read("freeze:node1@10+4"), read("restart:nats@3"), read("kill:node2@12")]
    assert [(step.at, step.fault.do, step.undo) for step in steps(faults)] == [
        (3, "restart", False),
        (3, "restart", True),
        (10, "freeze", False),
        (12, "kill", False),
        (14, "freeze", True),
    ]


def test_help_tells_of_all_that_can_be_done() -> None:
    for do in WHOM:
        assert f"{do}:" in GRAMMAR
    assert set(UNDONE) | set(UNDONE.values()) <= set(WHOM)
