"""v2: `tools` and `mcp_servers` of `llm` and of `mllm`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from ..fields import Headers, Text, Url

ToolName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)", description="1 to 64 letters, digits, _ or -")]
ServerName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9.-]{1,48}$(?!\n)", description="1 to 48 letters, digits, . or -")]
TimeoutMs = Annotated[int, Meta(ge=1000, le=100_000, description="an integer 1000..100000")]
Names = Annotated[
    list[Annotated[str, Meta(max_length=256)]], Meta(max_length=256, description='at most 256 names; ["*"] = all')
]


class Function(Struct, kw_only=True):
    """What the model is told of a tool."""

    name: ToolName
    description: Text = ""
    parameters: Annotated[dict[str, Any], Meta(description='a JSON Schema {"type": "object", "properties": {...}}')] = (
        field(default_factory=lambda: {"type": "object", "properties": {}})
    )


class Execution(Struct, kw_only=True):
    """How a tool runs."""

    mode: Annotated[Literal["sync"], Meta(description='"sync"')] = "sync"


class Server(Struct, kw_only=True):
    """Who answers for a tool."""

    method: Annotated[Literal["GET", "POST"], Meta(description='"GET" or "POST"')]
    url: Url
    headers: Headers = field(default_factory=dict)
    body: Annotated[dict[str, Any], Meta(description="an object")] = field(default_factory=dict)
    timeout_ms: TimeoutMs = 10_000


class ToolSpec(Struct, kw_only=True):
    """A function that the model may call, and the HTTP service that answers for it."""

    type: Annotated[Literal["function"], Meta(description='"function"')] = "function"
    function: Function
    execution: Execution = field(default_factory=Execution)
    server: Server


class McpSpec(Struct, kw_only=True):
    """A server of tools by the Model Context Protocol."""

    name: ServerName
    endpoint: Url
    transport: Annotated[Literal["streamable_http"], Meta(description='"streamable_http"')] = "streamable_http"
    headers: Headers = field(default_factory=dict)
    allowed_tools: Names = field(default_factory=lambda: ["*"])
    timeout_ms: TimeoutMs = 10_000


Tools = Annotated[list[ToolSpec], Meta(max_length=128, description="a list of at most 128 tools")]
McpServers = Annotated[list[McpSpec], Meta(max_length=32, description="a list of at most 32 servers")]
