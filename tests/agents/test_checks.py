"""What cannot be had is refused in words."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.checks import check_mcp, check_realtime, check_style, check_tools
from lipwire.agents.config import Llm, Tool
from lipwire.agents.options import McpServer, Realtime, ToolServer
from lipwire.errors import InvalidArgument


def test_what_a_style_cannot_do_is_refused_in_words() -> None:
    dify = Llm(style="dify")
    check_style(dify)
    check_style(Llm(custom=True, metadata_enabled=True, output_modalities=["audio"]), [Tool(name="f")])
    for bad, tools, message in (
        (dify, [Tool(name="f")], "llm.tools: an app of Dify's has its tools there"),
        (Llm(style="dify", mcp_servers=[McpServer(name="m", endpoint="x")]), [], "llm.mcp_servers: an app"),
        (Llm(style="gemini", output_modalities=["audio"]), [], "llm.output_modalities: a service of style 'gemini'"),
        (Llm(style="anthropic", custom=True), [], "llm.vendor: 'custom' is of style 'openai'"),
        (Llm(style="anthropic", metadata_enabled=True), [], "llm.extra_metadata: a service of style"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            check_style(bad, tools)


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ({"url": "https://{{args.x}}/"}, r"llm\.tools\[0\]\.server\.url has .* where its host is"),
        ({"headers": {"X": "a {{tool_call_id}}"}}, r"llm\.tools\[0\]\.server\.headers X: has .* beside other text"),
        ({"headers": {"Content-Length": "3"}}, "Content-Length, which is not to be said"),
        ({"headers": {"Content-Type": "text/xml"}}, "Content-Type, which is not to be said"),
        ({"method": "GET", "body": {}}, "server.body: a GET has none"),
        ({"body": {"a": "{{args.y}}"}}, "server.body a: has .*no argument"),
    ],
)
def test_a_tool_whose_server_cannot_be_called_is_refused(server: dict[str, Any], message: str) -> None:
    parameters = {"type": "object", "properties": {"x": {"type": "string"}}}
    good: dict[str, Any] = {
        "url": "https://a.example/{{args.x}}",
        "headers": {"content-type": "application/json; charset=utf-8"},
    }
    check_tools([Tool(name="f", parameters=parameters, server=ToolServer(**good)), Tool(name="g")], {})
    with pytest.raises(InvalidArgument, match=message):
        check_tools(
            [Tool(name="f", parameters=parameters, server=ToolServer(**{"url": "https://a.example", **server}))], {}
        )


def test_mcp_servers() -> None:
    headers = {"Authorization": "Bearer x", "Content-Type": "application/json"}
    check_mcp([McpServer(name="a", endpoint="x", headers=headers), McpServer(name="b", endpoint="x")])
    with pytest.raises(InvalidArgument, match=r"llm\.mcp_servers\[1\]\.name: another one has the name 'a'"):
        check_mcp([McpServer(name="a", endpoint="x"), McpServer(name="a", endpoint="y")])
    with pytest.raises(InvalidArgument, match=r"llm\.mcp_servers\[0\]\.headers has Host"):
        check_mcp([McpServer(name="a", endpoint="x", headers={"Host": "y"})])


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"params": {"temperature": 0.5}}, "mllm.params.temperature: OpenAI Realtime has none"),
        ({"params": {"tools": []}}, "mllm.params.tools: functions are mllm.tools"),
        ({"params": {"output_audio_format": "g711_ulaw"}}, "mllm.params.output_audio_format: the sound is PCM"),
        ({"turn_detection": {"type": "none"}}, "must be server_vad or semantic_vad, got 'none'"),
    ],
)
def test_what_a_realtime_model_cannot_do_is_refused(theirs: dict[str, Any], message: str) -> None:
    check_realtime(Realtime())
    params = {"input_audio_format": "pcm16", "temperature": 0.5}
    check_realtime(Realtime(url="wss://own.example/", params=params, turn_detection={"type": "semantic_vad"}))
    with pytest.raises(InvalidArgument, match=message):
        check_realtime(Realtime(**theirs))
