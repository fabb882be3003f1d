"""A real MCP server, of the official package, on 127.0.0.1."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from pydantic import BaseModel

App = Callable[[Any, Any, Any], Awaitable[None]]


class Forecast(BaseModel):
    city: str
    degrees: int


def tools() -> MCPServer:
    """What it offers."""
    server = MCPServer("weather")

    @server.tool()
    def forecast(city: str, days: int = 1) -> Forecast:
        """The weather in a city."""
        return Forecast(city=city, degrees=20 + days)

    @server.tool()
    def add(a: int, b: int) -> int:
        """A sum."""
        return a + b

    @server.tool()
    def broken() -> str:
        """Fails."""
        raise ValueError("the sensor is off")

    @server.tool()
    async def slow(seconds: float) -> str:
        """Takes its time."""
        await asyncio.sleep(seconds)
        return "done"

    return server


class McpSite:
    """A server that runs; `requests` are the headers of what it was asked."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.url = ""
        self.requests: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.requests.append((scope["method"], headers))
        await self._app(scope, receive, send)


@asynccontextmanager
async def mcp_server(port: int = 0, **options: Any) -> AsyncIterator[McpSite]:
    """`options`: as `streamable_http_app` has them."""
    site = McpSite(tools().streamable_http_app(**options))
    server = uvicorn.Server(uvicorn.Config(site, port=port, log_level="error", lifespan="on"))
    running = asyncio.get_running_loop().create_task(server.serve())
    try:
        while not server.started:
            assert not running.done(), "the MCP server did not start"
            await asyncio.sleep(0.01)
        site.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mcp"
        yield site
    finally:
        server.should_exit = server.force_exit = True
        await running
