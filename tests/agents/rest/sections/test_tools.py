"""agents/rest/sections/tools.py: tools over HTTP, and MCP servers."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.config import AgentConfig
from lipwire.agents.errors import InvalidAgentRequest
from lipwire.agents.options import McpServer, ToolServer
from lipwire.agents.rest.wire import parse_join
from support.agent_bodies import V2, changed

ON = {"enable_tools": True}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
    "execution": {"mode": "sync"},
    "server": {
        "method": "POST",
        "url": "https://tools.example.org/weather",
        "headers": {"X-Call": "{{tool_call_id}}"},
        "body": {"place": "{{args.place}}", "n": 5},
        "timeout_ms": 2000.0,
    },
}
MCP = {"name": "notes-1", "endpoint": "https://mcp.example.org/mcp", "headers": {"X": "y"}, "timeout_ms": 5000}


def joined(features: Any = ON, **llm: Any) -> AgentConfig:
    section = V2["properties"]["llm"] | llm
    return parse_join({**V2, "properties": V2["properties"] | {"llm": section, "advanced_features": features}}, "v2")


def test_tools() -> None:
    (tool,) = joined(tools=[WEATHER]).tools
    assert (tool.name, tool.description, tool.run) == ("weather", "The weather of a place.", None)
    assert tool.parameters == WEATHER["function"]["parameters"]
    assert tool.server == ToolServer(
        url="https://tools.example.org/weather",
        method="POST",
        headers={"X-Call": "{{tool_call_id}}"},
        body={"place": "{{args.place}}", "n": 5},
        timeout_ms=2000,
    )
    (plain,) = joined(tools=[{"function": {"name": "now"}, "server": {"method": "GET", "url": "https://a/b"}}]).tools
    assert plain.parameters == {"type": "object", "properties": {}}
    assert plain.server == ToolServer(url="https://a/b", method="GET")


def test_mcp_servers() -> None:
    for names, allowed in ((None, None), (["*", "a"], None), ([], []), (["a"], ["a"])):
        (server,) = joined(
            mcp_servers=[{**MCP, "transport": "streamable_http", "allowed_tools": names}]
        ).llm.mcp_servers
        assert server == McpServer(
            name="notes-1",
            endpoint="https://mcp.example.org/mcp",
            headers={"X": "y"},
            allowed_tools=allowed,
            timeout_ms=5000,
        )


def test_they_are_to_be_enabled() -> None:
    for features in (None, {}, {"enable_rtm": True}):
        with pytest.raises(InvalidAgentRequest, match=r"llm\.tools needs advanced_features\.enable_tools: true"):
            joined(features, tools=[WEATHER])
    off = joined({"enable_tools": False}, tools=[WEATHER], mcp_servers=[MCP])
    assert (off.tools, off.llm.mcp_servers) == ([], [])
    assert joined(None, tools=[], mcp_servers=None).tools == []


def test_those_of_a_realtime_model() -> None:
    body = changed(changed(V2, "properties.advanced_features", ON), "properties.mllm.tools", [WEATHER])
    config = parse_join(changed(body, "properties.mllm.mcp_servers", [MCP]), "v2")
    assert ([tool.name for tool in config.tools], [one.name for one in config.llm.mcp_servers]) == (
        ["weather"],
        ["notes-1"],
    )


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("function.name", "the weather", "must be 1 to 64 letters, digits, _ or -"),
        ("function.name", None, "is required"),
        ("function", None, "is required"),
        ("function.parameters", {"type": "string"}, 'must be a JSON Schema {"type": "object"'),
        ("type", "retrieval", 'must be "function"'),
        ("execution.mode", "async", 'must be "sync"'),
        ("server", None, "is required"),
        ("server.method", "PUT", 'must be "GET" or "POST"'),
        ("server.url", "ftp://a", "must be an http:// or https:// URL"),
        ("server.timeout_ms", 999, "must be an integer 1000..100000"),
        ("server.headers", 5, "must be an object of header names"),
        ("server.headers.X", 5, "must be a string, got a number"),
    ],
)
def test_each_field_of_a_tool_is_checked_and_named(path: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidAgentRequest) as caught:
        joined(tools=[WEATHER, changed(WEATHER, path, value)])
    assert str(caught.value).startswith(f"properties.llm.tools[1].{path} {words}")


def test_two_tools_have_two_names() -> None:
    with pytest.raises(
        InvalidAgentRequest, match=r"tools\[1\]\.function\.name must be another than that of tools\[0\]"
    ):
        joined(tools=[WEATHER, changed(WEATHER, "function.name", "Weather")])


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "a b"), ("name", "x" * 49), ("endpoint", "x"), ("transport", "sse"), ("timeout_ms", 5), ("headers", 5)],
)
def test_each_field_of_an_mcp_server_is_checked_and_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidAgentRequest) as caught:
        joined(mcp_servers=[{**MCP, field: value}])
    assert str(caught.value).startswith(f"properties.llm.mcp_servers[0].{field} must be ")
