"""agents/rest/actions.py: bodies and queries of what a running agent is asked, and pages of its turns."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lipwire.agents.errors import InvalidAgentRequest
from lipwire.agents.rest.actions import parse_think, parse_turns_query, turns_page
from lipwire.agents.turns import Turns
from lipwire.protocol import agent_actions as a


def test_think_and_its_defaults() -> None:
    said = parse_think({"text": "The user has pressed a button."})
    assert (said.on_listening_action, said.on_thinking_action, said.on_speaking_action) == (
        "interrupt",
        "interrupt",
        "ignore",
    )
    assert (said.interruptable, said.metadata) == (True, {})
    said = parse_think({"text": "x", "on_listening_action": "inject", "metadata": {"k": "v"}, "interruptable": None})
    assert (said.on_listening_action, said.metadata, said.interruptable) == ("inject", {"k": "v"}, True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "text is required"),
        ({"text": ""}, "text must be"),
        ({"text": "  "}, "more than spaces"),
        ({"text": "x" * 16_385}, "1 to 16384 characters"),
        ({"text": "x", "on_listening_action": "wait"}, 'must be inject, interrupt, append or ignore, got "wait"'),
        ({"text": "x", "on_thinking_action": "inject"}, "must be interrupt, append or ignore"),
        ({"text": "x", "on_speaking_action": "inject"}, "must be interrupt, append or ignore"),
        ({"text": "x", "interruptable": 1}, "interruptable must be true or false, got 1"),
        ({"text": "x", "metadata": {"k": 1}}, "metadata must be an object of at most 64 strings"),
        ({"text": "x", "metadata": {str(n): "" for n in range(65)}}, "at most 64 strings"),
    ],
)
def test_bad_thoughts(body: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidAgentRequest, match=words):
        parse_think(body)


def test_the_query_of_turns() -> None:
    assert parse_turns_query({}) == a.TurnsQuery(page_index=1, page_size=50)
    assert parse_turns_query({"page_index": "3", "page_size": "7", "more": "x"}) == a.TurnsQuery(
        page_index=3, page_size=7
    )
    for bad in ({"page_index": "0"}, {"page_size": "51"}, {"page_size": "0"}, {"page_index": "x"}, {"page_size": "²"}):
        with pytest.raises(InvalidAgentRequest, match=f"{next(iter(bad))} must be an integer 1"):
            parse_turns_query(bad)


def test_pages_of_turns() -> None:
    turns = Turns()
    for _ in range(7):
        turns.end(turns.begin("speak", 0), "finished", 1)
    seen = []
    for index in (1, 2, 3):
        page, where = turns_page(turns.as_list(), a.TurnsQuery(page_index=index, page_size=3), "a1", "lobby")
        seen += [turn.turn_id for turn in page]
        assert msgspec.to_builtins(where) == {"page_index": index, "total_pages": 3, "is_last_page": index == 3}
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    page, where = turns_page(turns.as_list(), a.TurnsQuery(page_index=4, page_size=3), "a1", "lobby")
    assert (page, where.is_last_page) == ([], True)
    page, where = turns_page([], a.TurnsQuery(), "a1", "lobby")
    assert (page, where) == ([], a.Pagination(page_index=1, total_pages=1, is_last_page=True))


def test_a_turn_that_goes_on_has_no_end() -> None:
    turns = Turns()
    turns.begin("speech", 0)
    (turn,), _ = turns_page(turns.as_list(), a.TurnsQuery(), "a1", "lobby")
    assert "end" not in msgspec.to_builtins(turn)
