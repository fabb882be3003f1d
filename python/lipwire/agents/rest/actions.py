"""What a running agent is asked to do and asked about over REST v2: bodies and queries read, answers made
(`protocol.agent_actions`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ...protocol import agent_actions as a
from ...protocol.agent_bodies import Fault
from ..turn_report import report
from .reading import check_body


def parse_think(body: Mapping[str, Any]) -> a.Think:
    """The body of think. Raises InvalidAgentRequest, which names each bad field."""

    def blank(found: Mapping[str, Any]) -> Iterator[Fault]:
        if not found.get("text", "x").strip():
            yield Fault("text", f"must be 1 to {a.MAX_THINK} characters, and more than spaces")

    return a.Think(**check_body(a.Think, body, "think", blank))


def parse_turns_query(query: Mapping[str, str]) -> a.TurnsQuery:
    """The query of turns. Raises InvalidAgentRequest, which names each bad member."""
    given: dict[str, Any] = {}
    for name in a.TurnsQuery.__struct_fields__:
        if text := query.get(name):
            number = text.isascii() and text.isdecimal() and len(text) < 10
            given[name] = int(text) if number else text
    return a.TurnsQuery(**check_body(a.TurnsQuery, given))


def turns_page(
    turns: Sequence[Mapping[str, Any]], asked: a.TurnsQuery, agent_id: str, channel: str, *, whole: bool = True
) -> tuple[list[a.TurnTold], a.Pagination]:
    """One page of an agent's turns, as `Agent.turns` has them; a page after the last is empty. `whole`: as of
    `report`."""
    pages = max(1, -(-len(turns) // asked.page_size))
    first = (asked.page_index - 1) * asked.page_size
    told = [report(turn, agent_id, channel, whole=whole) for turn in turns[first : first + asked.page_size]]
    where = a.Pagination(page_index=asked.page_index, total_pages=pages, is_last_page=asked.page_index >= pages)
    return msgspec.convert(told, list[a.TurnTold]), where
