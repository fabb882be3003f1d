"""agents/rest/places.py: what is refused behind the door is named by the path by which the client sent it."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.errors import InvalidAgentRequest
from lipwire.agents.rest.places import Door, as_sent
from lipwire.agents.rest.wire import parse_join
from lipwire.app.agent_setup import AgentSetup
from lipwire.app.config import Config
from lipwire.errors import InvalidArgument
from support.agent_bodies import V2, changed

KEYED = {"openai_api_key": "ours"}
TOOL = {"type": "function", "function": {"name": "t"}, "server": {"method": "POST", "url": "https://a.example.org/x"}}
BAD_TOOL = TOOL | {"function": {"name": "u"}, "server": {"method": "POST", "url": "https://{{args.x}}.example.org"}}
MCP = {"name": "m", "endpoint": "https://mcp.example.org"}
ON = {"advanced_features": {"enable_tools": True}}
START = "turn_detection.config.start_of_speech"


@pytest.mark.parametrize(
    ("settings", "more", "path"),
    [
        (KEYED, ON | {"llm": {"tools": [TOOL, BAD_TOOL]}}, "llm.tools[1].server.url"),
        (KEYED, ON | {"mllm": {"api_key": "k", "tools": [BAD_TOOL]}}, "mllm.tools[0].server.url"),
        (KEYED, ON | {"mllm": {"api_key": "k", "mcp_servers": [MCP, MCP]}}, "mllm.mcp_servers[1].name"),
        (KEYED, ON | {"llm": {"mcp_servers": [MCP | {"headers": {"Host": "x"}}]}}, "llm.mcp_servers[0].headers"),
        ({}, {"llm": {}}, "llm.url"),
        ({}, {"mllm": {"enable": True}}, "mllm.api_key"),
        ({"agent_brain": "echo"}, {"mllm": {"enable": True}}, "mllm"),
        (KEYED, {"rtc": {"encryption_key": "k", "encryption_mode": 1}}, "rtc.encryption_key"),
        (KEYED, {"avatar": {"params": {"avatar_id": "nobody"}}}, "avatar.params.avatar_id"),
        (KEYED, {"interruption": {"mode": "keywords"}}, "interruption"),
        (KEYED, {"turn_detection": {"interrupt_mode": "keyword"}}, "turn_detection.interrupt_mode"),
        (KEYED, {"turn_detection": {"config": {"start_of_speech": {"mode": "keywords"}}}}, f"{START}.mode"),
        (
            {"agent_brain": "echo"},
            {
                "turn_detection": {
                    "config": {"start_of_speech": {"vad_config": {"speaking_interrupt_duration_ms": 300}}}
                }
            },
            f"{START}.vad_config.speaking_interrupt_duration_ms",
        ),
        ({"agent_brain": "echo"}, {"asr": {"params": {"keyterms": ["x"]}}}, "asr.params.keyterms"),
        (KEYED, {"tts": {"vendor": "rime", "params": {"api_key": "k"}}}, "tts.vendor"),
        (KEYED, {"asr": {"vendor": "deepgram", "params": {"key": "k", "pitch": 1}}}, "asr.params.pitch"),
        (KEYED, {"tts": {"skip_patterns": [3]}, "mllm": {"api_key": "k"}}, "tts.skip_patterns"),
        (
            KEYED,
            {"filler_words": {"content": {"static_config": {"phrases": ["hm"]}}}, "mllm": {"api_key": "k"}},
            "filler_words",
        ),
        ({"agent_brain": "echo"}, {"asr": {"headers": {"X": "y"}}}, "asr.headers"),
        (KEYED, {"record": {}}, "record"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_field_has_its_path(settings: dict[str, Any], more: dict[str, Any], path: str) -> None:
    body = {**V2, "properties": V2["properties"] | more}

    def avatar(name: str) -> str:
        raise InvalidArgument(f"unknown avatar {name!r}")

    with pytest.raises(InvalidArgument) as refused:
        AgentSetup(Config(**settings), avatar=avatar).prepare(parse_join(body, "v2"))
    told = as_sent(refused.value, body, "v2")
    assert isinstance(told, InvalidAgentRequest)
    assert str(told).startswith((f"properties.{path}: ", f"properties.{path} "))
    assert [fault.loc for fault in told.faults] == [f"properties.{path}"]


@pytest.mark.parametrize(
    ("door", "path"),
    [("v1", "properties.avatar.params.avatar_id"), ("processes", "avatar")],
)
def test_other_doors(door: Door, path: str) -> None:
    error = as_sent(InvalidArgument("avatar.params.avatar_id: unknown avatar 'x'"), {"properties": {}}, door)
    assert str(error) == f"{path}: unknown avatar 'x'"


def test_v1_has_its_own_names() -> None:
    body = {"properties": {"custom_llm": {"url": "x"}, "vad": {}}}
    assert str(as_sent(InvalidArgument("llm.url: no"), body, "v1")) == "properties.custom_llm.url: no"


def test_an_update_may_do_without_properties() -> None:
    error = InvalidArgument("mllm.params.tools: functions are mllm.tools")
    bare: dict[str, Any] = {"mllm": {"params": {"tools": []}}}
    assert str(as_sent(error, bare, "v2")) == str(error)
    assert str(as_sent(error, {"properties": bare}, "v2")) == f"properties.{error}"


def test_what_names_no_field_stays() -> None:
    for text in ("the voice is none", "token of this server", "https://a.b: c", "somebody.else: x", ""):
        error = InvalidArgument(text)
        assert as_sent(error, V2, "v2") is error
    with pytest.raises(InvalidAgentRequest) as refused:
        parse_join(changed(V2, "properties.llm.url", 5), "v2")
    assert as_sent(refused.value, V2, "v2") is refused.value
