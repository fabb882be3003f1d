"""v2's `tools` and `mcp_servers`, of `llm` and of `mllm`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ....errors import InvalidArgument
from ....protocol import agent_bodies as b
from ...checks import says_json
from ...config import Tool
from ...describe import Changes
from ...headers import check_headers
from ...options import McpServer, ToolServer
from ..reading import Given

PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
EVERYWHERE = r"template_variables\.[^{}]+|tool_call_id"
ALLOWED = {"url": rf"args\.[^{{}}]+|{EVERYWHERE}", "body": rf"args\.[^{{}}]+|{EVERYWHERE}", "headers": EVERYWHERE}
"""What may be put in where."""


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
                given.must(f"tools[{n}].function.name", f"another than that of tools[{names.index(name)}]")
    if "mcp_servers" in given:
        changes["llm.mcp_servers"] = [_mcp(one) for one in given.items("mcp_servers", b.McpSpec)]
    return changes


def _tool(given: Given) -> Tool:
    function, server = given.below("function"), given.below("server")
    parameters = function.get("parameters", {"type": "object", "properties": {}})
    if parameters.get("type") != "object" or not isinstance(parameters.get("properties", {}), dict):
        function.must("parameters", 'a JSON Schema {"type": "object", "properties": {...}}')
    url, body, method = server.get("url", ""), server.get("body"), server.get("method", "POST")
    if method == "GET" and body is not None:
        server.refuse("body", "must be left out with method GET, which has none: put the values into url")
    _check_places(server, "url", url, whole=False)
    host = re.match(r"https?://([^/?#]*)", url)
    if host and "{{" in host[1]:
        server.refuse("url", "must have its host without {{...}}: what the model says does not choose whom to ask")
    for name, value in server.get("headers", {}).items():
        _check_places(server, f"headers.{name}", value, whole=True)
    if "headers" in server:
        _check_headers(server)
    if body is not None:
        _check_body(server, "body", body)
    return Tool(
        name=function.get("name", ""),
        description=function.get("description", ""),
        parameters=parameters,
        server=ToolServer(
            url=url,
            method=method,
            headers=server.get("headers", {}),
            body=body,
            timeout_ms=server.get("timeout_ms", 10_000),
        ),
    )


def _check_headers(given: Given) -> None:
    """Their placeholders are looked at elsewhere: what takes their place is checked when it is there."""
    found = {name: value for name, value in given.get("headers").items() if not says_json(name, value)}
    try:
        check_headers({name: PLACEHOLDER.sub("x", value) for name, value in found.items()})
    except InvalidArgument as exc:
        given.refuse("headers", str(exc))


def _check_body(given: Given, path: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_body(given, f"{path}.{str(name)[:80]}", inner)
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            _check_body(given, f"{path}[{n}]", inner)
    elif isinstance(value, str):
        _check_places(given, path, value, whole=True)


def _check_places(given: Given, path: str, text: str, *, whole: bool) -> None:
    """What may be put in. `whole`: the text is a constant or exactly one of them."""
    found = PLACEHOLDER.findall(text)
    rule = ALLOWED[path.partition(".")[0]]
    if all(re.fullmatch(rule, name.strip()) for name in found) and (
        not whole or not found or PLACEHOLDER.fullmatch(text)
    ):
        return
    args = "{{args.x}}, " if "args" in rule else ""
    exactly = "a constant or exactly one of " if whole else "a URL with none but "
    words = f"must be {exactly}{args}{{{{template_variables.x}}}} and {{{{tool_call_id}}}}"
    given.refuse(path, words)


def _mcp(given: Given) -> McpServer:
    names = given.get("allowed_tools", ["*"])
    if "headers" in given:
        _check_headers(given)
    return McpServer(
        name=given.get("name", ""),
        endpoint=given.get("endpoint", ""),
        headers=given.get("headers", {}),
        allowed_tools=None if "*" in names else names,
        timeout_ms=given.get("timeout_ms", 10_000),
    )
