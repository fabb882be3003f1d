"""agents/describe.py: every door's agents are filled in one place."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.config import AgentConfig
from lipwire.agents.describe import apply, make_config, openai_voice, prompt, system_messages
from lipwire.agents.rest.wire import parse_join, parse_start_agent, start_agent_config
from lipwire.app.agent_command import describe_agent
from lipwire.app.config import Config
from lipwire.servers.rooms import AgentRequest
from support.agent_bodies import V2, changed


def test_what_is_not_asked_for_is_the_default() -> None:
    assert make_config("n", "c", {}) == AgentConfig(name="n", channel="c")
    made = make_config("n", "c", {"llm.model": "m", "turn_detection.threshold": 0.5, "avatar": "kit"})
    assert (made.llm.model, made.turn_detection.threshold, made.avatar, made.voice) == (
        "m",
        0.5,
        "kit",
        AgentConfig(name="", channel="").voice,
    )


def test_values_are_the_configs_own() -> None:
    uids = ["1"]
    one, other = make_config("n", "c", {"remote_uids": uids}), make_config("m", "c", {"remote_uids": uids})
    one.remote_uids.append("2")
    apply(other, {"llm.model": "m"})
    assert (uids, other.remote_uids, one.llm.model) == (["1"], ["1"], None)


def test_the_same_wish_at_every_door_is_the_same_agent() -> None:
    """But for its name, and for what each door says of its own."""
    wire = changed(V2, "properties.llm.system_messages", [{"role": "system", "content": "Be kind."}])
    wire = changed(wire, "properties.llm.greeting_message", "Hi")
    doors = [
        parse_join(wire, "v2"),
        AgentRequest(channel="c", prompt="Be kind.", greeting="Hi", avatar="").config("realtime", "aria"),
        describe_agent(Config(openai_api_key="k"), "c", prompt="Be kind.", greeting="Hi"),
    ]
    expected = [{"role": "system", "content": "Be kind."}]
    for agent in doors:
        assert (agent.instructions, agent.llm.system_messages) == ("Be kind.", expected)
        assert (agent.llm.greeting_message, agent.avatar) == ("Hi", None)
    process = start_agent_config(parse_start_agent({"channel_name": "c", "system_instruction": "Be kind."}))
    assert (process.instructions, process.llm.system_messages) == ("Be kind.", expected)
    assert {agent.voice for agent in (*doors, process)} == {""}  # that of the face, which each may have


def test_a_prompt_can_be_taken_away() -> None:
    assert prompt("") == {"llm.system_messages": [], "instructions": None}
    messages = [
        {"role": "system", "content": "a"},
        {"role": "user", "content": "b"},
        {"role": "developer", "content": "c"},
    ]
    assert system_messages(messages) == {"llm.system_messages": messages, "instructions": "a\n\nc"}


@pytest.mark.parametrize(
    "message", [{}, {"role": "system"}, {"role": 1, "content": ""}, {"role": "user", "content": 1}]
)
def test_what_is_no_message(message: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no message"):
        system_messages([message])


@pytest.mark.parametrize(
    ("voice", "asked"),
    [
        ("alloy", "alloy"), ("cedar", "cedar"), ("en-US-AndrewMultilingualNeural", "alloy"), ("en-us", "alloy"),
        ("en-us+f3", "alloy"), ("+f3", "alloy"),
        ("zh-CN-XiaoxiaoNeural", "alloy"), ("my-voice", "my-voice"), ("af_bella", "af_bella"),
    ],
)  # fmt: skip
def test_voices_of_other_services(voice: str, asked: str) -> None:
    assert openai_voice(voice) == asked
