"""v2's `tools` and `mcp_servers`, of `llm` and of `mllm`. Whether their places and headers can be filled is looked at
where agents are prepared."""

from __future__ import annotations

from ....protocol import agent_bodies as b
from ...config import Tool
from ...describe import Changes
from ...options import McpServer, ToolServer
from ..reading import Given


def tools(given: Given, *, enabled: bool | None) -> Changes:
    """The tools of a section. `enabled`: `advanced_features.enable_tools`, None = it is not said."""
    changes: Changes = {}
    for name in ("tools", "mcp_servers"):
        if given.get(name) and enabled is None:
            given.refuse(name, "needs advanced_features.enable_tools: true (false: they are not used)")
    if not enabled:
        return changes
    if "tools" in given:
        changes["tools"] = made = [_tool(one) for one in given.items("tools", b.ToolSpec)]
        names = [tool.name.lower() for tool in made]
        for n, name in enumerate(names):
            if name and name in names[:n]:
                taken = f"tools[{names.index(name)}]"
                given.refuse(f"tools[{n}].function.name", f"must be another than that of {taken}, whatever the case")
    if "mcp_servers" in given:
        changes["llm.mcp_servers"] = [_mcp(one) for one in given.items("mcp_servers", b.McpSpec)]
    return changes


def _tool(given: Given) -> Tool:
    function, server = given.below("function"), given.below("server")
    parameters = function.get("parameters", {"type": "object", "properties": {}})
    if parameters.get("type") != "object" or not isinstance(parameters.get("properties", {}), dict):
        function.must("parameters", 'a JSON Schema {"type": "object", "properties": {...}}')
    return Tool(
        name=function.get("name", ""),
        description=function.get("description", ""),
        parameters=parameters,
        server=ToolServer(
            url=server.get("url", ""),
            method=server.get("method", "POST"),
            headers=server.get("headers", {}),
            body=server.get("body"),
            timeout_ms=server.get("timeout_ms", 10_000),
        ),
    )


def _mcp(given: Given) -> McpServer:
    names = given.get("allowed_tools", ["*"])
    return McpServer(
        name=given.get("name", ""),
        endpoint=given.get("endpoint", ""),
        headers=given.get("headers", {}),
        allowed_tools=None if "*" in names else names,
        timeout_ms=given.get("timeout_ms", 10_000),
    )
