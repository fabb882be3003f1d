"""agents/options.py: the ranges that it names are those of the wire, and its defaults those that a body gets."""

from __future__ import annotations

import re
import typing
from typing import Any

import msgspec
import pytest

from lipwire.agents import options
from lipwire.agents.config import AgentConfig
from lipwire.agents.rest.wire import parse_join
from lipwire.protocol.agent_bodies.v2.llm import GreetingConfigs
from lipwire.protocol.agent_bodies.v2.session import FixedTime, SilenceConfig
from lipwire.protocol.agent_bodies.v2.tools import Server
from support.agent_bodies import V2, changed
from support.docstrings import of_fields

RANGES = (
    (options.Greeting, "delay_ms", GreetingConfigs, "delay_ms"),
    (options.Greeting, "audio_timeout_ms", GreetingConfigs, "audio_download_timeout_ms"),
    (options.Filler, "wait_ms", FixedTime, "response_wait_ms"),
    (options.Silence, "timeout_ms", SilenceConfig, "timeout_ms"),
    (options.ToolServer, "timeout_ms", Server, "timeout_ms"),
)


@pytest.mark.parametrize(("option", "name", "body", "field"), RANGES)
def test_ranges_are_those_of_the_wire(option: Any, name: str, body: Any, field: str) -> None:
    low, high = map(int, re.findall(r"(\d+)\.\.(\d+)", of_fields(option)[name])[0])
    (info,) = [info for info in msgspec.structs.fields(body) if info.name == field]
    (meta,) = [meta for meta in info.type.__metadata__ if isinstance(meta, msgspec.Meta)]
    assert (max(meta.ge or 0, low), meta.le) == (low, high)  # a silence of 0 ms is none at all
    bare = typing.get_args(info.type)[0]
    assert bare is int


def test_defaults_are_those_of_a_body_that_says_the_least() -> None:
    least: dict[str, Any] = {
        "interruption": {},
        "filler_words": {"content": {"static_config": {"phrases": ["hm"]}}},
        "parameters": {"silence_config": {"timeout_ms": 5, "content": "x"}},
        "llm": {"greeting_configs": {}},
        "advanced_features": {"enable_tools": True},
    }
    body = V2
    for name, value in least.items():
        body = changed(body, f"properties.{name}", value)
    config = parse_join(changed(body, "properties.llm.greeting_configs.delay_ms", 0), "v2")
    assert config.interruption == options.Interruption()
    assert config.greeting == options.Greeting(mode="single_every")  # v2's own
    assert config.filler == options.Filler(phrases=["hm"])
    assert config.silence == options.Silence(timeout_ms=5, content="x")
    nothing = AgentConfig(name="n", channel="c")
    assert (nothing.filler, nothing.silence, nothing.realtime, nothing.encryption, nothing.provider) == (None,) * 5
