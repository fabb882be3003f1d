"""Lists of several workers as one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lipwire.app.front.lists import Part, merge
from lipwire.servers.order import read_order

AGENT = {"name": "n", "channel": "c", "create_ts": 1, "start_ts": 1, "state": "RUNNING"}


def part(order: list[int], body: Any) -> Part:
    return Part(200, [(b"X-Lipwire-Order", ",".join(map(str, order)).encode())], msgspec.json.encode(body))


def agents(numbers: list[int], *, more: bool = False, total: int | None = None) -> Part:
    body = {
        "data": {"count": len(numbers), "list": [{"agent_id": str(n)} | AGENT for n in numbers]},
        "meta": {"cursor": str(numbers[-1]) if more else "", "total": len(numbers) if total is None else total},
        "status": "ok",
    }
    return part(numbers, body)


def read(body: bytes) -> Any:
    found = msgspec.json.decode(body)
    return [one["agent_id"] for one in found["data"]["list"]], found["meta"]["cursor"], found["meta"]["total"]


def test_sessions_and_rooms_in_the_order_in_which_they_came() -> None:
    parts = [
        part([1, 5], {"sessions": ["a", "e"], "capabilities": {"say": True}}),
        part([2, 3], {"sessions": ["b", "c"], "capabilities": {"say": True}}),
        part([], {"sessions": [], "capabilities": {"say": True}}),
    ]
    merged = merge("sessions", parts, 20)
    assert msgspec.json.decode(merged.body) == {"sessions": ["a", "b", "c", "e"], "capabilities": {"say": True}}
    assert merged.order == [1, 2, 3, 5]
    rooms = merge("rooms", [part([9], {"rooms": ["x"]}), part([8], {"rooms": ["y"]})], 20)
    assert msgspec.json.decode(rooms.body) == {"rooms": ["y", "x"]}


def test_pages_of_agents() -> None:
    one, two = agents([1, 4, 6], more=True, total=5), agents([2, 3], total=2)
    merged = merge("agents", [one, two], 3)
    assert read(merged.body) == (["1", "2", "3"], "3", 7)
    assert msgspec.json.decode(merged.body)["status"] == "ok"
    assert merged.order == [1, 2, 3]
    assert read(merge("agents", [agents([4, 6]), agents([])], 3).body) == (["4", "6"], "", 2)
    assert read(merge("agents", [agents([]), agents([])], 3).body) == ([], "", 0)
    # All of what came is shown, and one worker has more.
    assert read(merge("agents", [agents([1, 4], more=True, total=9), agents([])], 2).body) == (["1", "4"], "4", 9)


def test_none_is_left_out_between_pages() -> None:
    """Two of the same microsecond are on one page, since the cursor names it for both."""
    assert read(merge("agents", [agents([1, 7]), agents([7, 8])], 2).body) == (["1", "7", "7"], "7", 4)


def test_a_list_without_its_order_is_none() -> None:
    assert read_order([(b"content-type", b"x")]) == []
    with pytest.raises(ValueError):
        merge("rooms", [part([], {"rooms": ["x"]})], 20)
