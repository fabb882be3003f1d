"""servers/http.py over real loopback HTTP: every row of the provider's error table, and what operations need."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx
import pytest
import pytest_asyncio
from litestar import get

from lipwire.errors import InvalidArgument, NoCapacity
from lipwire.servers import http
from lipwire.servers.http import HttpServer, create_app, serve_http
from support.provider_stage import KEY, OTHER_KEY, Stage, start_body

pytestmark = pytest.mark.asyncio

AUTH = {"x-api-key": KEY}


class Site:
    """A stage with its HTTP server and a client."""

    def __init__(self, stage: Stage, server: HttpServer, client: httpx.AsyncClient) -> None:
        self.stage, self.server, self.client = stage, server, client

    async def start(self, headers: dict[str, str] | None = None, **changes: Any) -> httpx.Response:
        return await self.client.post("/session/start", headers=headers or AUTH, json=start_body(**changes))

    async def stop(self, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        headers = AUTH if headers is None else headers
        return await self.client.request("DELETE", "/session/stop", headers=headers, json=body)


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    stage = Stage(max_sessions=3, retry_after=4.2)
    server = await serve_http(create_app(stage.provider), port=0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        yield Site(stage, server, client)
    await server.close()


def is_error(response: httpx.Response, status: int, error: str, code: str) -> str:
    body = response.json()
    assert (response.status_code, body["error"], body["code"]) == (status, error, code)
    assert set(body) == {"error", "message", "code"}
    assert response.headers["content-type"].startswith("application/json")
    message: str = body["message"]
    assert message
    return message


# ------------------------------------------------------------------------------------------------------ start, stop


async def test_start_and_stop(site: Site) -> None:
    response = await site.start()
    assert response.status_code == 200
    reply = response.json()
    assert set(reply) == {"session_id", "websocket_address", "session_token"}
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", reply["session_id"])
    assert reply["session_token"].count(".") == 2
    assert reply["websocket_address"] == "ws://127.0.0.1:8765"

    response = await site.stop(session_id=reply["session_id"], session_token=reply["session_token"])
    assert response.status_code == 200
    assert response.json() == {"status": "success", "message": "Session terminated successfully"}
    assert site.stage.made[0].closed == 1
    again = await site.stop(session_id=reply["session_id"], session_token=reply["session_token"])
    is_error(again, 404, "Not found", "SESSION_NOT_FOUND")


async def test_additions_are_granted(site: Site) -> None:
    reply = (await site.start(width=320, height=240, fps=10, unknown={"a": 1})).json()
    assert reply["granted"] == {
        "width": 320,
        "height": 240,
        "fps": 10,
        "bitrate": 106667,
        "sample_rate": 48000,
        "video_encoding": "H264",
        "egress": "both",
    }


async def test_members_that_are_no_fields_are_told_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http.UNKNOWN, "_told", set())
    for _ in range(2):
        assert (await site.start(additional_params={"a": 1})).status_code == 200
    assert [record.getMessage() for record in caplog.records if "is no field" in record.msg] == [
        "/session/start: additional_params is no field that this server knows: it is ignored"
    ]


async def test_stop_as_real_clients_send_it(site: Site) -> None:
    async def fresh() -> Any:
        return (await site.start()).json()

    reply = await fresh()
    assert (await site.stop(session_id=reply["session_id"])).status_code == 200
    reply = await fresh()
    assert (await site.stop(session_token=reply["session_token"])).status_code == 200
    reply = await fresh()
    bearer = {"Authorization": f"Bearer {reply['session_token']}"}
    assert (await site.stop(bearer, session_id=reply["session_id"])).status_code == 200
    reply = await fresh()
    bearer = {"authorization": f"bearer {reply['session_token']}"}
    assert (await site.client.delete("/session/stop", headers=bearer)).status_code == 200
    assert [s.closed for s in site.stage.made] == [1, 1, 1, 1]


async def test_stop_refusals(site: Site) -> None:
    reply = (await site.start()).json()
    for headers in ({}, {"Authorization": "Basic abc"}, {"Authorization": reply["session_token"]}):
        is_error(await site.stop(headers, **reply), 403, "Forbidden", "MISSING_API_KEY")
    bad_bearer = {"Authorization": "Bearer nonsense"}
    is_error(await site.stop(bad_bearer, **reply), 401, "Unauthorized", "INVALID_API_KEY")
    bearer = {"Authorization": f"Bearer {reply['session_token']}"}
    is_error(await site.stop({"x-api-key": "no", **bearer}, **reply), 401, "Unauthorized", "INVALID_API_KEY")
    message = is_error(await site.stop(), 400, "Invalid request", "VALIDATION_ERROR")
    assert message == "Missing required field: session_id"
    assert "session_id" in is_error(await site.stop(session_id=5), 400, "Invalid request", "VALIDATION_ERROR")
    is_error(await site.stop(session_id="nobody"), 404, "Not found", "SESSION_NOT_FOUND")
    is_error(await site.stop(session_token="nonsense"), 404, "Not found", "SESSION_NOT_FOUND")
    is_error(await site.client.delete("/session/stop", headers=AUTH), 400, "Invalid request", "INVALID_JSON")
    assert len(site.stage.provider.sessions) == 1


# --------------------------------------------------------------------------------------------------- the error table


VALIDATION: list[tuple[dict[str, Any], str]] = [
    ({"avatar_id": None}, "Missing required field: avatar_id"),
    ({"channel": None}, "Missing required field: agora_settings.channel"),
    ({"avatar_id": None, "uid": None}, "Missing required field(s): avatar_id, agora_settings.uid"),
    ({"quality": "best"}, 'Invalid value for quality: "best"; allowed: one of low, medium, high'),
    ({"width": 641}, "Invalid value for width: 641; allowed: an even integer 16..1920"),
]


async def test_validation(site: Site) -> None:
    for changes, message in VALIDATION:
        assert is_error(await site.start(**changes), 400, "Invalid request", "VALIDATION_ERROR") == message
    assert site.stage.made == []


async def test_invalid_json(site: Site) -> None:
    bodies = [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 60_000, b'{"a":NaN}']
    kinds = ("application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json", "")
    for body, kind in itertools.product(bodies, kinds):
        headers = {**AUTH, "content-type": kind} if kind else AUTH
        response = await site.client.post("/session/start", headers=headers, content=body)
        is_error(response, 400, "Invalid request", "INVALID_JSON")


async def test_json_must_be_called_json(site: Site) -> None:
    body = json.dumps(start_body()).encode()
    for kind in ("text/plain", "text/plain;charset=UTF-8", "multipart/form-data", "application/x-www-form-urlencoded"):
        response = await site.client.post("/session/start", headers={**AUTH, "content-type": kind}, content=body)
        message = is_error(response, 415, "Unsupported media type", "UNSUPPORTED_MEDIA_TYPE")
        assert "application/json" in message
    assert site.stage.made == []
    # A key in a header is nothing that a page sends without asking first, and real clients leave the type out.
    assert (await site.client.post("/session/start", headers=AUTH, content=body)).status_code == 200


async def test_a_client_that_leaves_in_its_body_is_no_fault(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
    head = f"POST /session/start HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\ncontent-length: 100\r\n\r\n{{"
    writer.write(head.encode())
    await writer.drain()
    assert (await site.client.get("/healthz")).status_code == 200  # it has been taken by now
    writer.close()
    for _ in range(3):
        assert (await site.client.get("/healthz")).status_code == 200
    assert [record for record in caplog.records if record.exc_info] == []


async def test_wrong_key(site: Site) -> None:
    for key in (b"wrong", b"", "clé".encode(), b"\xff\x80", KEY.encode() + b"x"):
        response = await site.client.post("/session/start", headers=[(b"X-Api-Key", key)], json=start_body())
        is_error(response, 401, "Unauthorized", "INVALID_API_KEY")


async def test_missing_key(site: Site) -> None:
    is_error(await site.client.post("/session/start", json=start_body()), 403, "Forbidden", "MISSING_API_KEY")


async def test_order_of_checks(site: Site) -> None:
    url, wrong = "/session/start", {"x-api-key": "wrong"}
    is_error(await site.client.post(url, content=b"{"), 403, "Forbidden", "MISSING_API_KEY")
    is_error(await site.client.post(url, content=b"{", headers=wrong), 401, "Unauthorized", "INVALID_API_KEY")
    is_error(await site.client.post(url, content=b"{", headers=AUTH), 400, "Invalid request", "INVALID_JSON")
    is_error(await site.client.post(url, content=b"{}", headers=AUTH), 400, "Invalid request", "VALIDATION_ERROR")


async def test_unknown_endpoints(site: Site) -> None:
    for method, path in (
        ("GET", "/"),
        ("POST", "/nothing"),
        ("GET", "/session/start"),
        ("POST", "/session/stop"),
        ("PUT", "/session/start"),
        ("GET", "/session/a/b"),
        ("POST", "/metrics"),
    ):
        response = await site.client.request(method, path, headers=AUTH)
        assert path in is_error(response, 404, "Not found", "ENDPOINT_NOT_FOUND")


async def test_channel_in_use(site: Site) -> None:
    await site.start()
    is_error(await site.start({"x-api-key": OTHER_KEY}), 409, "Conflict", "CHANNEL_IN_USE")
    assert (await site.start()).status_code == 200  # the owner replaces its own
    assert [s.closed for s in site.stage.made] == [1, 0]


async def test_body_too_large(site: Site) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    big = json.dumps(start_body(padding="x" * 70_000)).encode()
    for content in (big, chunks()):
        response = await site.client.post("/session/start", headers=AUTH, content=content)
        is_error(response, 413, "Payload too large", "BODY_TOO_LARGE")
    assert (await site.start(padding="x" * 60_000)).status_code == 200


async def test_a_huge_body_is_not_read(site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
    head = (
        f"POST /session/start HTTP/1.1\r\nhost: localhost\r\nx-api-key: {KEY}\r\ncontent-length: 100000000000\r\n\r\n"
    )
    writer.write(head.encode())
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 2)
    writer.close()
    assert (await site.start()).status_code == 200


async def test_limits(site: Site) -> None:
    for uid in "123":
        assert (await site.start(uid=uid)).status_code == 200
    response = await site.start(uid="4")
    is_error(response, 429, "Too many sessions", "SESSION_LIMIT")
    assert response.headers["retry-after"] == "5"
    site.stage.refuse = NoCapacity("no encoder is free", retry_after=0.2)
    response = await site.start(uid="1")
    assert is_error(response, 503, "No capacity", "NO_CAPACITY") == "no encoder is free"
    assert response.headers["retry-after"] == "1"


async def test_the_factory_may_refuse_or_fail(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.stage.refuse = InvalidArgument("unknown avatar: aria")
    assert is_error(await site.start(), 400, "Invalid request", "VALIDATION_ERROR") == "unknown avatar: aria"
    site.stage.refuse = ZeroDivisionError("secret detail")
    message = is_error(await site.start(), 500, "Internal error", "INTERNAL_ERROR")
    assert "secret" not in message
    assert "secret detail" in caplog.text
    site.stage.refuse = None
    assert (await site.start()).status_code == 200


# ------------------------------------------------------------------------------------------------------- operations


async def test_figures(site: Site) -> None:
    reply = (await site.start()).json()
    other = (await site.start(uid="2")).json()
    url = f"/session/{reply['session_id']}"
    bearer = {"Authorization": f"Bearer {reply['session_token']}"}
    for headers in (AUTH, bearer):
        response = await site.client.get(url, headers=headers)
        assert response.status_code == 200
        figures = response.json()
        assert figures["session_id"] == reply["session_id"]
        assert figures["stats"]["frames"] == 3
        assert figures["connected"] is False
        assert reply["session_token"] not in response.text
    is_error(await site.client.get(url), 403, "Forbidden", "MISSING_API_KEY")
    is_error(await site.client.get(url, headers={"x-api-key": "no"}), 401, "Unauthorized", "INVALID_API_KEY")
    is_error(await site.client.get("/session/x", headers=AUTH), 404, "Not found", "SESSION_NOT_FOUND")
    response = await site.client.get(f"/session/{other['session_id']}", headers=bearer)
    is_error(response, 404, "Not found", "SESSION_NOT_FOUND")


async def test_healthz_and_drain(site: Site) -> None:
    await site.start()
    response = await site.client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "sessions": 1})
    await site.stage.provider.close()
    response = await site.client.get("/healthz")
    assert (response.status_code, response.json()) == (503, {"status": "draining", "sessions": 0})
    response = await site.start()
    is_error(response, 503, "No capacity", "NO_CAPACITY")
    assert "retry-after" in response.headers


async def test_metrics(site: Site) -> None:
    await site.start()
    await site.start(uid="2")
    site.stage.made[0].figures["talking"] = True
    session = site.stage.provider.sessions[0]
    ingest, outbox = site.stage.provider.attach(session)
    site.stage.provider.receive(session, ingest, outbox, "nonsense")
    response = await site.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    lines = response.text.splitlines()
    for line in (
        "lipwire_sessions 2.0",
        "lipwire_sessions_limit 3.0",
        "lipwire_sessions_talking 1.0",
        "lipwire_sessions_connected 1.0",
        "lipwire_sessions_started_total 2.0",
        "lipwire_frames_total 6.0",
        "lipwire_frames_late_total 2.0",
        "lipwire_underruns_total 4.0",
        'lipwire_errors_total{code="INVALID_JSON"} 1.0',
    ):
        assert line in lines
    await site.stage.provider.close()
    text = (await site.client.get("/metrics")).text
    assert 'lipwire_sessions_ended_total{reason="shutdown"} 2.0' in text
    assert "lipwire_frames_total 6.0" in text


async def test_the_api_describes_itself(site: Site) -> None:
    schema = (await site.client.get("/schema/openapi.json")).json()
    start = schema["paths"]["/session/start"]["post"]
    body = start["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["required"]) == {"avatar_id", "agora_settings"}
    assert "token" in body["properties"]["agora_settings"]["properties"]
    assert set(start["responses"]) == {*["200", "400", "401", "403", "409", "413", "415", "421", "429", "500", "503"]}
    assert "delete" in schema["paths"]["/session/stop"]
    page = await site.client.get("/schema")
    assert page.headers["content-type"].startswith("text/html")
    for text in ("/session/start", "agora_settings.token", "CHANNEL_IN_USE", "an even integer 16..1920"):
        assert text in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "<script" not in page.text


# ----------------------------------------------------------------------------------------------------------- server


async def test_many_apps_and_extra_routes() -> None:
    @get("/extra", sync_to_thread=False)
    def extra() -> dict[str, str]:
        return {"more": "routes"}

    stage = Stage()
    apps = [create_app(stage.provider, route_handlers=[extra]) for _ in range(3)]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(cast(Any, apps[2])), base_url="http://localhost"
    ) as client:
        assert (await client.get("/extra")).json() == {"more": "routes"}
        assert (await client.post("/session/start", headers=AUTH, json=start_body())).status_code == 200


async def test_server_leaves_nothing() -> None:
    stage = Stage()
    before = asyncio.all_tasks()
    server = await serve_http(create_app(stage.provider), port=0)
    with pytest.raises(OSError, match="in use"):
        await serve_http(create_app(stage.provider), port=server.port)
    async with httpx.AsyncClient(trust_env=False) as client:  # a kept-alive connection must not hold up the close
        assert (await client.get(f"http://127.0.0.1:{server.port}/healthz")).status_code == 200
        await asyncio.wait_for(server.close(), 2)
    await server.close()
    assert asyncio.all_tasks() == before
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", server.port)
    again = await serve_http(create_app(stage.provider), port=server.port)
    await again.close()


async def test_an_app_that_does_not_start() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(RuntimeError):
        await serve_http(app, port=0)
