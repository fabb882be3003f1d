"""The table of routes against the routes that the apps really have."""

from __future__ import annotations

import re
from typing import Any

import pytest
import pytest_asyncio
from litestar.routes import HTTPRoute, WebSocketRoute

from lipwire.app.config import Config
from lipwire.app.front.routes import API, PAGES, Route, Table
from lipwire.app.service import Service

NOT_HERE = {("GET", "/token"), ("POST", "/token")}
"""The pages' where Agora's SDK is installed."""


@pytest_asyncio.fixture
async def apps() -> Any:
    """The two apps of a server that has everything which can be served."""
    config = Config(
        http_port=0,
        ws_port=0,
        viewer_port=0,
        agora_app_id="0123456789abcdef" * 2,
        agora_web_sdk="https://sdk.example/agora.js",
    )
    async with Service(config) as service:
        assert service._viewer is not None
        yield service.app, service._viewer._server.config.app


def routes_of(app: Any) -> set[tuple[str, str]]:
    """(method, path with names for values) of all that an app answers; OPTIONS where somebody has written it."""
    found = set()
    for route in app.routes:
        path = route.path_format
        if isinstance(route, WebSocketRoute):
            found.add(("WEBSOCKET", path))
        else:
            assert isinstance(route, HTTPRoute)
            written = {
                str(method)
                for handler in route.route_handlers
                for method in handler.http_methods
                if method != "OPTIONS" or handler.fn.__name__ == "options"
            }
            found |= {(method, path) for method in written}
    return found


def listed(routes: tuple[Route, ...]) -> set[tuple[str, str]]:
    return {(method, _nameless(route.path)) for route in routes for method in route.methods}


def _nameless(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def test_what_is_written_out_counts_before_names() -> None:
    table = Table(API)
    assert table.find("POST", "/session/start").where == "start session"
    assert table.find("POST", "/session/start/").where == "start session"
    figures = table.find("GET", "/session/abc")
    assert (figures.where, figures.values, figures.asks) == ("session", {"session_id": "abc"}, "key or token")
    # Litestar answers those, too, in its own words.
    for method, path in (("GET", "/session/start"), ("GET", "/nothing"), ("PUT", "/session/stop"), ("GET", "//a/b/c")):
        found = table.find(method, path)
        assert (found.where, found.asks, found.known) == ("any", "nobody", False)
    assert Table(PAGES).find("GET", "/whep/rooms/a").where == "room"
    assert Table(PAGES).find("GET", "/whep/abc").where == "session"
    assert Table(PAGES).find("GET", "/viewer.js").known
    assert not Table(PAGES).find("GET", "/viewer").known


@pytest.mark.parametrize("number", [0, 1], ids=["http_port", "viewer_port"])
async def test_every_route_is_in_the_table_and_no_other(apps: Any, number: int) -> None:
    """One that is new must be put there: nobody knows else to which worker it belongs."""
    routes = (API, PAGES)[number]
    table = Table(routes)
    answered = routes_of(apps[number])
    missing = []
    for method, path in sorted(answered):
        found = table.find(method, path.replace("{", "").replace("}", ""))
        if not found.known:
            missing.append(f"{method} {path}")
    assert missing == []
    written = {one for one in listed(routes) - NOT_HERE if "}.{" not in one[1]}
    assert written - {(method, _nameless(path)) for method, path in answered} == set(), "answered by nobody"
