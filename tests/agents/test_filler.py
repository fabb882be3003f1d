"""When something is said in the place of an answer that does not come, and what."""

from __future__ import annotations

from itertools import pairwise

import pytest

from lipwire.agents.config import AgentConfig
from lipwire.agents.filler import Fillers, check_filler
from lipwire.agents.options import Filler
from lipwire.errors import InvalidArgument

WAIT = 1500 * 48
ONE, MANY = Filler(phrases=["Well."]), [f"phrase {n}" for n in range(5)]


def said(filler: Filler, count: int, seed: str = "a") -> list[str]:
    fillers, found = Fillers(seed), []
    for n in range(count):
        fillers.wait(n * 10 * WAIT)
        found.append(fillers.look(filler, n * 10 * WAIT + WAIT))
    return found


def test_once_for_each_answer_that_is_late() -> None:
    fillers = Fillers("a")
    assert fillers.look(ONE, 10 * WAIT) == "", "nobody waits"
    fillers.wait(0)
    assert (
        fillers.look(ONE, WAIT - 1) == "" and fillers.look(ONE, WAIT) == "Well." and fillers.look(ONE, 9 * WAIT) == ""
    )
    fillers.wait(10 * WAIT)
    fillers.over()
    assert fillers.look(ONE, 12 * WAIT) == "", "it was in time"


def test_in_turn() -> None:
    assert said(Filler(phrases=MANY, order="round_robin"), 12) == [*MANY, *MANY, *MANY[:2]]


def test_by_chance_each_comes_once_before_any_comes_again() -> None:
    filler = Filler(phrases=MANY)
    orders = [said(filler, 50, seed) for seed in ("a", "b", "c")]
    assert said(filler, 50, "a") == orders[0] and orders[0] != orders[1] != orders[2]
    for order in orders:
        rounds = [order[at : at + 5] for at in range(0, 50, 5)]
        assert all(sorted(one) == MANY for one in rounds) and len({tuple(one) for one in rounds}) > 3
        assert all(one != after for one, after in pairwise(order)), "never twice in a row"


def test_what_has_no_phrases_says_nothing() -> None:
    assert said(Filler(), 3) == ["", "", ""] and said(Filler(phrases=["Well.", " "]), 3) == ["Well."] * 3


def test_which_agents_have_none() -> None:
    check_filler(AgentConfig(name="a", channel="c"))
    check_filler(AgentConfig(name="a", channel="c", filler=ONE))
    with pytest.raises(InvalidArgument, match=r"filler_words: there must be a phrase"):
        check_filler(AgentConfig(name="a", channel="c", filler=Filler(phrases=[" "])))
    with pytest.raises(InvalidArgument, match=r"filler_words: a realtime model"):
        check_filler(AgentConfig(name="a", channel="c", filler=ONE, brain="realtime"))
