"""servers/guard.py in front of the real server, both of its HTTP ports and its WebSocket: raw requests, as a browser
or an attacker would send them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from lipwire.app.config import Config
from lipwire.app.service import Service
from support.provider_stage import start_body

KEY = "a key for the guard"
AUTH = {"x-api-key": KEY}
APP = "https://app.example"
C = "/api/conversational-ai-agent/v2/projects/p"
EVIL_HOST, EVIL_ORIGIN = {"host": "evil.example"}, {"origin": "https://evil.example"}

HTTP_ROUTES = [
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/schema"),
    ("GET", "/schema/openapi.json"),
    ("POST", "/session/start"),
    ("DELETE", "/session/stop"),
    ("GET", "/session/x"),
    ("POST", f"{C}/join"),
    ("GET", f"{C}/agents"),
    ("POST", f"/cn{C}/agents/x/leave"),
    ("POST", "/start_agent"),
    ("POST", "/stop"),
    ("GET", "/token"),
    ("OPTIONS", "/session/start"),
    ("GET", "/nothing"),
    ("HEAD", "/healthz"),
]
VIEWER_ROUTES = [
    ("GET", "/"),
    ("GET", "/viewer.js"),
    ("GET", "/agent"),
    ("GET", "/api/sessions"),
    ("POST", "/whep/x"),
    ("POST", "/whip/x"),
    ("POST", "/whep/rooms/x"),
    ("POST", "/whip/rooms/x"),
    ("POST", "/rtc/rooms/x"),
    ("PATCH", "/whep/peers/x"),
    ("DELETE", "/whip/peers/x"),
    ("DELETE", "/rtc/peers/x"),
    ("POST", "/api/sessions/x/say"),
    ("POST", "/api/sessions/x/interrupt"),
    ("GET", "/api/config"),
    ("GET", "/api/rooms"),
    ("POST", "/api/rooms"),
    ("POST", "/api/rooms/x/offer"),
    ("POST", "/api/rooms/x/leave"),
    ("POST", "/api/agents"),
    ("POST", "/api/agents/stop"),
    ("GET", "/schema/openapi.json"),
]


class Site:
    def __init__(self, service: Service, client: httpx.AsyncClient) -> None:
        self.service, self.client = service, client

    async def call(self, port: str, method: str, path: str, headers: dict[str, str], **more: Any) -> httpx.Response:
        base = f"http://127.0.0.1:{getattr(self.service, port)}"
        return await self.client.request(method, base + path, headers=headers, **more)


def settings(**more: Any) -> Config:
    return Config(http_port=0, ws_port=0, viewer_port=0, api_key=KEY, host="127.0.0.1", ice_host="127.0.0.1", **more)


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    config = settings(allowed_origins=(APP,), public_hosts=("avatar.example",))
    async with Service(config) as service, httpx.AsyncClient(trust_env=False) as client:
        yield Site(service, client)


@pytest_asyncio.fixture
async def keyless() -> AsyncIterator[Site]:
    """Without a key in its settings: on this machine the pages ask nobody for anything."""
    config = Config(http_port=0, ws_port=0, viewer_port=0, ice_host="127.0.0.1")
    async with Service(config) as service, httpx.AsyncClient(trust_env=False) as client:
        yield Site(service, client)


ROUTES = [("http_port", *route) for route in HTTP_ROUTES] + [("viewer_port", *route) for route in VIEWER_ROUTES]


async def test_no_route_answers_to_another_name_or_another_page(site: Site) -> None:
    for port, method, path in ROUTES:
        for headers, status, code in (
            (EVIL_HOST, 421, "HOST_NOT_ALLOWED"),
            (EVIL_HOST | AUTH, 421, "HOST_NOT_ALLOWED"),
            ({"host": "evil.example", "origin": "http://evil.example"}, 421, "HOST_NOT_ALLOWED"),
            (EVIL_ORIGIN, 403, "ORIGIN_NOT_ALLOWED"),
            (EVIL_ORIGIN | AUTH, 403, "ORIGIN_NOT_ALLOWED"),
            ({"origin": "null"}, 403, "ORIGIN_NOT_ALLOWED"),
        ):
            reply = await site.call(port, method, path, headers, json={} if method == "POST" else None)
            assert reply.status_code == status, (port, method, path, headers)
            assert "access-control-allow-origin" not in reply.headers
            if method != "HEAD":
                assert reply.json()["code"] == code
                assert set(reply.json()) == {"error", "message", "code"}
    assert site.service.provider.started_total == site.service.agents.started_total == 0
    assert site.service.rooms.list() == {}


async def test_no_route_says_that_any_page_may_read(site: Site) -> None:
    for port, method, path in ROUTES:
        for headers in ({}, AUTH, {"origin": APP}):
            reply = await site.call(port, method, path, headers)
            allowed = reply.headers.get("access-control-allow-origin")
            assert allowed == (APP if "origin" in headers else None), (port, method, path)
            assert ("origin" in reply.headers.get("vary", "")) is ("origin" in headers)


async def test_a_page_that_is_allowed_asks_first_and_then_starts_a_session(site: Site) -> None:
    asked = {
        "origin": APP,
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key, content-type",
    }
    for path in ("/session/start", "/session/stop", f"{C}/join", "/start_agent", "/nothing"):
        reply = await site.call("http_port", "OPTIONS", path, asked)
        assert (reply.status_code, reply.content) == (204, b"")
        assert reply.headers["access-control-allow-origin"] == APP
        assert {"GET", "POST", "DELETE"} <= set(reply.headers["access-control-allow-methods"].split(", "))
        allowed = set(reply.headers["access-control-allow-headers"].split(", "))
        assert {"content-type", "x-api-key", "authorization"} <= allowed
        refused = await site.call("http_port", "OPTIONS", path, asked | {"origin": "https://evil.example"})
        assert refused.status_code == 403
    reply = await site.call(
        "http_port", "POST", "/session/start", AUTH | {"origin": APP}, json=start_body(width=64, height=64)
    )
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == APP
    reply = await site.call("http_port", "POST", "/session/start", {"origin": APP}, json=start_body())
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (403, APP)  # it may read why
    network = asked | {"access-control-request-private-network": "true"}
    reply = await site.call("http_port", "OPTIONS", "/session/start", network)
    assert reply.headers["access-control-allow-private-network"] == "true"


async def test_names_that_are_the_servers_own(site: Site) -> None:
    for port in ("http_port", "viewer_port"):
        path = "/healthz" if port == "http_port" else "/"
        for host in ("localhost", "127.0.0.1:9", "[::1]", "avatar.example", "app.example", "x.localhost:1"):
            assert (await site.call(port, "GET", path, {"host": host})).status_code == 200
            same = {"host": host, "origin": f"http://{host}"}
            assert (await site.call(port, "GET", path, same)).status_code == 200


async def test_who_may_frame_the_pages(site: Site) -> None:
    for port, path in (("viewer_port", "/"), ("viewer_port", "/agent"), ("http_port", "/schema")):
        reply = await site.call(port, "GET", path, {})
        assert f"frame-ancestors 'self' {APP} https://avatar.example" in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
    async with Service(settings()) as service:
        reply = await Site(service, site.client).call("viewer_port", "GET", "/", {})
        assert reply.headers["content-security-policy"].endswith("frame-ancestors 'self'")
        assert "strict-transport-security" not in reply.headers


async def test_the_websocket_asks_the_same(site: Site) -> None:
    reply = await site.call("http_port", "POST", "/session/start", AUTH, json=start_body(width=64, height=64))
    token = {"Authorization": f"Bearer {reply.json()['session_token']}"}
    url = f"ws://127.0.0.1:{site.service.ws_port}"
    for headers, status in (
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": f"http://127.0.0.1:{site.service.viewer_port}"}, 403),
    ):
        with pytest.raises(InvalidStatus) as caught:
            await connect(url, additional_headers=token | headers, proxy=None)
        assert caught.value.response.status_code == status
    with pytest.raises(InvalidStatus) as caught:
        await connect(
            f"ws://evil.example:{site.service.ws_port}", host="127.0.0.1", additional_headers=token, proxy=None
        )
    assert caught.value.response.status_code == 421
    assert b"HOST_NOT_ALLOWED" in caught.value.response.body
    with pytest.raises(InvalidStatus) as caught:
        evil, port = "ws://evil.example", site.service.viewer_port
        await connect(f"{evil}:{port}/motion/x", host="127.0.0.1", additional_headers=token, proxy=None)
    assert caught.value.response.status_code == 421
    assert b"HOST_NOT_ALLOWED" in caught.value.response.body
    for headers in ({}, {"Origin": APP}, {"Origin": f"http://127.0.0.1:{site.service.ws_port}"}):
        async with connect(url, additional_headers=token | headers, proxy=None):
            pass


async def test_plain_text_reaches_nothing(keyless: Site) -> None:
    site, auth = keyless, {"x-api-key": keyless.service.api_key}
    routes = [path for method, path in VIEWER_ROUTES if method == "POST"]
    for path in routes:
        if "/api/sessions/" in path or path in ("/whep/x", "/whip/x"):
            continue  # there is none; below there is
        for kind in ("text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            headers = {"content-type": kind} if kind else {}
            reply = await site.call("viewer_port", "POST", path, headers, content=b'{"name": "x", "channel": "x"}')
            assert reply.status_code == 415, (path, kind)
            assert reply.json()["code"] == "UNSUPPORTED_MEDIA_TYPE"
    assert site.service.rooms.list() == {}
    reply = await site.call("http_port", "POST", "/session/start", auth, json=start_body(width=64, height=64))
    session = reply.json()["session_id"]
    for where in (f"/whep/{session}", f"/api/sessions/{session}/say", f"/api/sessions/{session}/interrupt"):
        reply_ = await site.call("viewer_port", "POST", where, {"content-type": "text/plain"}, content=b"{}")
        assert (reply_.status_code, reply_.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_the_app_mounted_below_a_prefix_keeps_its_guard() -> None:
    import lipwire

    app = lipwire.create_app(settings(viewer=False, public_hosts=("host.example",)))

    async def host(scope: Any, receive: Any, send: Any) -> None:
        inner = {**scope, "path": scope["path"].removeprefix("/avatar"), "root_path": "/avatar"}
        await app({**inner, "raw_path": inner["path"].encode()}, receive, send)

    transport = httpx.ASGITransport(host)
    try:
        for base, status in (("http://host.example", 200), ("http://localhost", 200), ("http://evil.example", 421)):
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                assert (await client.get("/avatar/healthz")).status_code == status
    finally:
        await app.state.service.close()
