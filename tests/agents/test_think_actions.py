"""What becomes of a text that is to be thought of; how a conversation does it is in test_conversation.py."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.replies import Reply
from lipwire.agents.think_actions import MAX_LATER, Later, ThinkActions, Thought
from lipwire.errors import BufferFull, InvalidArgument


def test_the_actions_of_the_states() -> None:
    usual = ThinkActions()
    assert [usual.of(state) for state in ("idle", "listening", "thinking", "speaking")] == [
        "interrupt", "interrupt", "interrupt", "ignore"
    ]  # fmt: skip
    asked = ThinkActions(listening="inject", thinking="append", speaking="append")
    assert [asked.of(state) for state in ("idle", "thinking", "speaking")] == ["inject", "append", "append"]


@pytest.mark.parametrize("wrong", [{"thinking": "inject"}, {"speaking": "x"}, {"listening": None}])
def test_no_such_action(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=f"while {next(iter(wrong))} must be one of "):
        ThinkActions(**wrong)


def test_what_waits_is_bounded_and_keeps_its_order() -> None:
    later = Later()
    thoughts = [Thought(Reply("think"), str(n), {}) for n in range(MAX_LATER)]
    for thought in thoughts:
        later.add(thought)
    with pytest.raises(BufferFull):
        later.add(thoughts[0])
    assert later.next() is thoughts[0] and later.next() is thoughts[1]
    assert later.clear() and not later.clear() and not later
    assert [thought.reply.state for thought in thoughts] == ["asked"] * 2 + ["refused"] * (MAX_LATER - 2)
