"""app/agent_page.py: how large a face the page gets."""

from __future__ import annotations

import pytest

from lipwire.agents.config import AgentConfig
from lipwire.app.agent_page import fit
from lipwire.servers.rooms import PICTURE, AgentRequest, parse_agent_request


def agent(width: int, height: int, avatar: str | None = "aria") -> AgentConfig:
    return AgentConfig(name="n", channel="c", avatar=avatar, width=width, height=height)


@pytest.mark.parametrize(
    ("asked", "room", "given"),
    [
        ((1280, 720), 1280 * 720, (1280, 720)),
        ((1280, 720), 1280 * 720 - 1, (960, 540)),
        ((720, 1280), 960 * 540, (540, 960)),
        ((1280, 720), 0, (640, 360)),  # not even that: the manager refuses it, and says which limit
        ((642, 362), 600 * 300, (482, 272)),
        ((16, 16), 0, (16, 16)),
    ],
)
def test_as_large_as_there_is_room_for(asked: tuple[int, int], room: int, given: tuple[int, int]) -> None:
    wanted = agent(*asked)
    fit(wanted, lambda owner, rate: rate <= room * wanted.fps)
    assert (wanted.width, wanted.height) == given


def test_no_face_needs_no_room() -> None:
    wanted = agent(1280, 720, None)
    fit(wanted, lambda owner, rate: pytest.fail("asked"))
    assert (wanted.width, wanted.height) == (1280, 720)


def test_the_page_asks_for_a_size_or_gets_a_sharp_one() -> None:
    default = AgentRequest(channel="c").config("echo", "aria")
    assert (default.width, default.height) == PICTURE == (1280, 720)
    asked = parse_agent_request({"channel": "c", "width": 720, "height": 1280}).config("echo", "aria")
    assert (asked.width, asked.height) == (720, 1280)
