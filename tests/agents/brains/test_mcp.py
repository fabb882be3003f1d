"""MCP: the tools of real servers, in every way that they answer; servers that are away, and that say nothing good."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from lipwire.agents.brains import mcp
from lipwire.agents.brains.base import BrainEvent, Failed
from lipwire.agents.brains.mcp import OFFERED, STATELESS, McpClient
from lipwire.agents.brains.tools import Caller
from lipwire.agents.config import Tool
from lipwire.agents.http import ServiceClient, ServiceError
from lipwire.agents.options import McpServer
from lipwire.outward import Outward
from support.fakes.mcp import mcp_server
from support.fakes.server import HttpFake, Request, Response
from support.ports import free_ports


@asynccontextmanager
async def client(url: str, **server: Any) -> AsyncIterator[McpClient]:
    http = ServiceClient(10, once=True)
    one = McpClient(McpServer(name="weather", endpoint=url, **server), http)
    try:
        yield one
    finally:
        await one.close()
        await http.aclose()


@pytest.mark.parametrize("options", [{}, {"json_response": True}, {"stateless_http": True}])
async def test_a_real_server_is_asked(options: dict[str, Any]) -> None:
    async with mcp_server(**options) as site, client(site.url, headers={"X-Team": "a"}) as one:
        found = {tool.name: tool for tool in await one.open()}
        assert set(found) == {"forecast", "add", "broken", "slow"}
        assert found["forecast"].description == "The weather in a city."
        assert found["forecast"].parameters["properties"]["city"]["type"] == "string"
        assert json.loads(await one.call("forecast", {"city": "Oslo", "days": 2})) == {"city": "Oslo", "degrees": 22}
        assert await one.call("add", {"a": 2, "b": 3}) == "5"
        with pytest.raises(ServiceError, match="says that it failed") as failed:
            await one.call("broken", {})
        assert "broken" in failed.value.said
        methods = [method for method, _ in site.requests]
        assert methods == ["POST"] * 6
        headers = site.requests[-1][1]
        assert (headers["x-team"], headers["mcp-protocol-version"]) == ("a", OFFERED)
        assert ("mcp-session-id" in headers) == (not options.get("stateless_http"))
    assert (site.requests[-1][0] == "DELETE") == (not options.get("stateless_http"))


async def test_the_newest_revision_is_spoken_where_it_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the real server, which knows both; that only the newest is known is what the other test's server says."""
    ask = McpClient._ask

    async def refuse(self: McpClient, method: str, **params: Any) -> dict[str, Any]:
        if method == "initialize":
            error = {"code": mcp.UNSUPPORTED, "message": "x", "data": {"supported": [STATELESS]}}
            raise mcp._Refused("no", error)
        return await ask(self, method, **params)

    monkeypatch.setattr(McpClient, "_ask", refuse)
    async with mcp_server() as site, client(site.url) as one:
        assert len(await one.open()) == 4
        assert await one.call("add", {"a": 2, "b": 3}) == "5"
        headers = site.requests[-1][1]
        assert headers["mcp-protocol-version"] == STATELESS and "mcp-session-id" not in headers
        assert (headers["mcp-method"], headers["mcp-name"]) == ("tools/call", "add")


async def test_only_what_is_allowed_is_offered() -> None:
    async with mcp_server() as site:
        for allowed, names in ((None, 4), (["*"], 4), (["add", "none"], 1), ([], 0)):
            async with client(site.url, allowed_tools=allowed) as one:
                assert len(await one.open()) == names


async def test_a_session_that_was_forgotten_is_begun_anew() -> None:
    async with mcp_server() as site, client(site.url) as one:
        await one.open()
        one._session = "gone"
        assert await one.call("add", {"a": 1, "b": 1}) == "2"


def caller(events: list[BrainEvent], *servers: McpServer, tools: list[Tool] | None = None, **more: Any) -> Caller:
    return Caller(tools or [], events.append, servers=servers, **more)


async def test_tools_of_several_servers_and_of_the_agents_own_have_names_of_their_own() -> None:
    changes: list[int] = []
    own = Tool(name="add", run=lambda: "mine")
    async with mcp_server() as one, mcp_server() as two:
        servers = McpServer(name="a.b", endpoint=one.url), McpServer(name="two", endpoint=two.url)
        made = caller([], *servers, tools=[own], changed=lambda: changes.append(1))
        assert made.toolbox.names == {"add"}
        await made.ready()
        names = {"forecast", "broken", "slow", "add"}
        assert made.toolbox.names == {*names, "a_b_add", *(f"two_{name}" for name in names)} and len(changes) == 2
        described = {tool["name"] for tool in made.toolbox.for_realtime()}
        assert described == made.toolbox.names
        assert await made.answer("c1", "add", "{}") == "mine"
        assert await made.answer("c2", "a_b_add", '{"a": 2, "b": 2}') == "4"
        assert "b is missing" in await made.answer("c3", "two_add", '{"a": 2}')
        made.replace([])
        assert "a_b_add" not in made.toolbox.names and await made.answer("c4", "add", '{"a": 2, "b": 2}') == "4"
        await made.close()


async def test_a_call_that_fails_is_told_to_the_model_in_words() -> None:
    events: list[BrainEvent] = []
    async with mcp_server() as site:
        made = caller(events, McpServer(name="w", endpoint=site.url, timeout_ms=1000))
        await made.ready()
        assert "broken failed: the MCP server w says that it failed: Error" in await made.answer("c", "broken", "{}")
        assert "slow did not answer within 1 s" in await made.answer("c", "slow", '{"seconds": 30}')
        await made.close()
    failed = [event for event in events if isinstance(event, Failed)]
    assert [event.message for event in failed] == [
        "broken failed: the MCP server w says that it failed",
        "slow did not answer within 1 s",
    ]


async def test_a_server_that_is_away_is_told_of_once_and_tried_again_at_the_next_turn() -> None:
    events: list[BrainEvent] = []
    (port,) = free_ports(1)
    made = caller(events, McpServer(name="w", endpoint=f"http://127.0.0.1:{port}/mcp"))
    for _ in range(3):
        await made.ready()
    (failed,) = events
    assert isinstance(failed, Failed) and failed.minor and failed.code == "TOOL_ERROR"
    assert failed.message.startswith(
        "the tools of the MCP server w are missing until it answers: the MCP server w at 127"
    )
    assert not made.toolbox
    async with mcp_server(port):
        await made.ready()
        assert made.toolbox.names == {"forecast", "add", "broken", "slow"} and len(events) == 1
        await made.close()


class Odd(HttpFake):
    """Answers every message with the same."""

    def __init__(self, status: int, body: bytes, kind: str = "application/json", wait: float = 0.0) -> None:
        super().__init__()
        self.given, self.wait = (status, body, kind), wait

    async def _respond(self, request: Request) -> Response:
        await asyncio.sleep(self.wait)
        status, body, kind = self.given
        return Response(status, body, kind)


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (401, b"no", "text/plain", "answered 401"),
        (401, b'{"error": "unauthorized"}', "application/json", "answered 401"),
        (404, b"{}", "application/json", "answered 404"),
        (200, b"<html>", "text/html", "did not answer initialize"),
        (200, b"{", "application/json", "cannot be read: no JSON"),
        (
            200,
            b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"x"}}',
            "application/json",
            "refused initialize: -32602",
        ),
        (200, b"data: " + b"x" * (2 << 20) + b"\n\n", "text/event-stream", "more than"),
    ],
)
async def test_what_is_no_mcp_is_told(status: int, body: bytes, kind: str, message: str) -> None:
    async with Odd(status, body, kind) as server, client(server.url) as one:
        with pytest.raises(ServiceError, match=message):
            await one.open()


class Scripted(HttpFake):
    """Answers each method with its result, or the whole message that there is for it."""

    def __init__(self, results: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self.results, self.headers = results, headers or {}
        self.sent: list[dict[str, Any]] = []

    async def _respond(self, request: Request) -> Response:
        message = msgspec.json.decode(request.body)
        self.sent.append(message)
        if "id" not in message or "method" not in message:
            return Response(202)
        found = self.results.get(message["method"], {})
        whole = found(message) if callable(found) else {"result": found}
        answers = [{"jsonrpc": "2.0", "id": message["id"], **one} for one in (*whole.pop("before", ()), whole)]
        return Response(body=json.dumps(answers).encode(), headers=self.headers)


@pytest.mark.parametrize(
    ("results", "headers", "told"),
    [
        ({"initialize": {"protocolVersion": "2025-é"}}, {}, "named a revision"),
        ({"initialize": {"protocolVersion": "a\r\nX-Evil: 1"}}, {}, "named a revision"),
        ({"initialize": {"protocolVersion": ["x"]}}, {}, "named a revision"),
        ({}, {"mcp-session-id": "é"}, "named a session"),
        ({}, {"mcp-session-id": "a b"}, "named a session"),
        ({"tools/list": {"tools": 5}}, {}, "tools that are no list"),
    ],
)
async def test_an_odd_answer_is_told_once(
    results: dict[str, Any], headers: dict[str, str], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[BrainEvent] = []
    async with Scripted(results, headers) as server:
        made = caller(events, McpServer(name="w", endpoint=server.url))
        for _ in range(3):
            await made.ready()
        await made.close()
    (failed,) = events
    assert isinstance(failed, Failed) and failed.minor and told in failed.message
    assert "Traceback" not in caplog.text


async def test_whatever_else_breaks_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: McpClient) -> list[Tool]:
        raise KeyError("odd")

    monkeypatch.setattr(McpClient, "open", broken)
    events: list[BrainEvent] = []
    made = caller(events, McpServer(name="w", endpoint="http://127.0.0.1:9/"))
    for _ in range(3):
        await made.ready()
    await made.close()
    (failed,) = events
    assert isinstance(failed, Failed) and "sent what cannot be used (KeyError)" in failed.message
    assert caplog.text.count("Traceback") == 1


async def test_a_flood_of_requests_is_not_answered() -> None:
    asks = [{"id": i, "method": "ping"} for i in range(5000)]
    async with Scripted({"initialize": lambda message: {"before": asks, "result": {}}}) as server:
        async with client(server.url) as one:
            await one.open()
        assert sum("method" not in message for message in server.sent) == mcp.MAX_ASKED


async def test_what_a_server_says_of_a_failure_is_bounded_and_repeats_no_secret() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["e" * 100_000]}}}
    results: dict[str, Any] = {
        "tools/list": {"tools": [{"name": name, "inputSchema": schema} for name in ("long", "echo", "fails")]},
        "tools/call": lambda message: {
            "long": {"error": {"code": "x" * 100_000, "message": "m" * 100_000}},
            "echo": {"error": {"code": -1, "message": "h" * 488 + " Bearer sk-SECRET"}},
            "fails": {"result": {"isError": True, "content": [{"type": "text", "text": "key sk-SECRET"}]}},
        }[message["params"]["name"]],
    }
    events: list[BrainEvent] = []
    async with Scripted(results) as server:
        headers = {"Authorization": "Bearer sk-SECRET"}
        made = caller(events, McpServer(name="w", endpoint=server.url, headers=headers))
        await made.ready()
        for name, arguments in (("long", "{}"), ("long", '{"a": "z"}'), ("echo", "{}"), ("fails", "{}")):
            result = await made.answer("c", name, arguments)
            assert name in result or "must be one of" in result
            assert len(result) < 1100 and "SECRET" not in result
        await made.close()
    failed = [event for event in events if isinstance(event, Failed)]
    assert len(failed) == 4 and all(len(event.message) <= 300 for event in failed)


async def test_a_result_without_a_list_is_empty() -> None:
    results: dict[str, Any] = {"tools/list": {"tools": [{"name": "f"}]}, "tools/call": {"content": 5}}
    async with Scripted(results) as server, client(server.url) as one:
        await one.open()
        assert await one.call("f", {}) == ""


async def test_a_server_that_says_nothing_does_not_hold_up_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp, "WAIT", 0.2)
    events: list[BrainEvent] = []
    async with Odd(200, b"", wait=30.0) as server:
        made = caller(events, McpServer(name="w", endpoint=server.url, timeout_ms=3000))
        await made.ready()
        assert events == []  # it did not wait for the server, which would have been told as late
        async with asyncio.timeout(60):
            while not events:
                await asyncio.sleep(0.05)
        assert "did not answer within 3000 ms" in getattr(events[0], "message", "")
        await made.close()


async def test_it_goes_where_urls_of_requests_may_go() -> None:
    events: list[BrainEvent] = []
    async with mcp_server() as site:
        made = caller(events, McpServer(name="w", endpoint=site.url), outward=Outward())
        await made.ready()
        assert "no public address" in getattr(events[0], "message", "") and site.requests == []
        await made.close()


async def test_what_a_server_asks_meanwhile_is_answered() -> None:
    sent: list[dict[str, Any]] = []
    asks = [
        {"jsonrpc": "2.0", "id": "p", "method": "ping"},
        {"jsonrpc": "2.0", "id": "s", "method": "sampling/createMessage"},
    ]

    class Asking(HttpFake):
        async def _respond(self, request: Request) -> Response:
            message = msgspec.json.decode(request.body)
            sent.append(message)
            if "method" not in message or "id" not in message:
                return Response(202)
            tools = [{"name": "odd.name", "inputSchema": {"type": "object"}}, {"no": "name"}]
            result = {"tools": tools, "protocolVersion": "2024-11-05", "content": [{"type": "image", "data": "x"}]}
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
            events = b"".join(b"data: " + msgspec.json.encode(one) + b"\n\n" for one in (*asks, answer))
            return Response(body=b"id: 1\ndata: \n\n" + events, type="text/event-stream")

    async with Asking() as server, client(server.url) as one:
        assert [tool.name for tool in await one.open()] == ["odd.name"]
        assert await one.call("odd.name", {}) == "(image, which cannot be shown here)"
    answers = [message for message in sent if "method" not in message]
    assert answers[:2] == [
        {"jsonrpc": "2.0", "id": "p", "result": {}},
        {"jsonrpc": "2.0", "id": "s", "error": {"code": mcp.NO_METHOD, "message": "no"}},
    ]


class Forgetful(HttpFake):
    """Forgets its session when it is told to; and fails to begin another one as often as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.session, self.begun, self.fails = "", 0, 0

    async def _respond(self, request: Request) -> Response:
        message = json.loads(request.body) if request.body else {}
        given, headers = request.headers.get("mcp-session-id", ""), dict[str, str]()
        result: dict[str, Any] = {"content": [{"type": "text", "text": "ok"}]}
        match message.get("method"):
            case "initialize":
                self.fails -= 1
                if self.fails >= 0:
                    return Response(503, b"busy", "text/plain")
                self.begun += 1
                self.session = f"session-{self.begun}"
                headers = {"mcp-session-id": self.session}
                result = {"protocolVersion": OFFERED}
            case "tools/list":
                await asyncio.sleep(0.05)
                result = {"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}
            case "tools/call":
                if given != self.session:
                    return Response(404 if given else 400, b"no such session", "text/plain")
                if message["params"]["arguments"].get("slow"):
                    await asyncio.sleep(0.3)
                    headers = {"mcp-session-id": given}
        answer = {"jsonrpc": "2.0", "id": message.get("id"), "result": result}
        return Response(body=msgspec.json.encode(answer), headers=headers)


async def test_calls_at_once_of_a_session_that_was_forgotten_begin_one() -> None:
    async with Forgetful() as server, client(server.url) as one:
        await one.open()
        slow = asyncio.create_task(one.call("t", {"slow": True}))
        await asyncio.sleep(0.1)
        server.session = "another"
        assert await asyncio.gather(*(one.call("t", {}) for _ in range(5))) == ["ok"] * 5
        assert server.begun == 2
        assert await slow == "ok"
        assert await one.call("t", {}) == "ok" and server.begun == 2, "a late answer brings no old session back"


async def test_a_session_that_cannot_be_begun_is_tried_again_at_the_next_call() -> None:
    async with Forgetful() as server, client(server.url) as one:
        await one.open()
        server.session, server.fails = "another", 1
        with pytest.raises(ServiceError, match="503"):
            await one.call("t", {})
        assert await one.call("t", {}) == "ok"
