"""What cannot be had is refused in words."""

from __future__ import annotations

import pytest

from lipwire.agents.checks import check_style
from lipwire.agents.config import Llm, McpServer, Tool
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
