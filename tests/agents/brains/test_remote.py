"""Functions that a server of the client's answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from lipwire.agents.brains.base import BrainEvent, Failed, ToolCalled
from lipwire.agents.brains.remote import MAX_ANSWER
from lipwire.agents.brains.tools import Caller
from lipwire.agents.config import Tool
from lipwire.agents.options import ToolServer
from lipwire.outward import Outward
from support.fakes.server import Break, HttpFake, Request, Response

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "units": {"type": "string"}},
    "required": ["city"],
}


class FakeServer(HttpFake):
    """Answers what it is given, and keeps what it was asked."""

    def __init__(self, answer: Callable[[Request], Response] | None = None) -> None:
        super().__init__()
        self._answer = answer or (lambda request: Response(body=b'{"degrees": 21}'))

    async def _respond(self, request: Request) -> Response:
        return self._answer(request)


def caller(events: list[BrainEvent], outward: Outward | None = None, **server: Any) -> Caller:
    tool = Tool(name="weather", parameters=PARAMETERS, server=ToolServer(**server))
    return Caller([tool], events.append, outward=outward, variables={"key": "s3cret"})


async def call(one: Caller, arguments: str) -> Any:
    try:
        return await one.answer("call_1", "weather", arguments)
    finally:
        await one.close()


async def test_a_post_has_the_values_that_it_asks_for() -> None:
    events: list[BrainEvent] = []
    async with FakeServer() as server:
        body = {"place": "{{args.city}}", "days": "{{args.days}}", "units": "{{args.units}}", "source": "agent"}
        headers = {
            "X-Key": "{{template_variables.key}}",
            "X-Call": "{{tool_call_id}}",
            "Content-Type": "application/json",
        }
        one = caller(events, url=f"{server.url}w/{{{{args.city}}}}", headers=headers, body=body)
        assert await call(one, '{"city": "Bad Ems", "days": 2}') == '{"degrees": 21}'  # as it came
        (request,) = server.received
        assert (request.method, request.path) == ("POST", "/w/Bad%20Ems")
        assert json.loads(request.body) == {"place": "Bad Ems", "days": 2, "source": "agent"}
        assert (request.headers["x-key"], request.headers["x-call"]) == ("s3cret", "call_1")
        assert request.headers["content-type"] == "application/json"
    assert events == [ToolCalled("call_1", "weather", '{"city": "Bad Ems", "days": 2}', True)]


async def test_a_get_has_no_body() -> None:
    async with FakeServer(lambda request: Response(body="21 °C".encode(), type="text/plain")) as server:
        one = caller([], url=f"{server.url}?q={{{{args.city}}}}", method="GET")
        assert await call(one, '{"city": "a&b"}') == "21 °C"
        (request,) = server.received
        assert (request.method, request.path, request.body) == ("GET", "/?q=a%26b", b"")
        assert "content-type" not in request.headers


@pytest.mark.parametrize(
    ("answer", "told", "said"),
    [
        (lambda r: Response(500, b'{"error": "no such city"}'), "answered 500", "no such city"),
        (lambda r: Response(302, headers={"location": "http://elsewhere.example/"}), "answered 302, and redirects", ""),
        (lambda r: Response(body=b"x" * (MAX_ANSWER + 1)), f"more than {MAX_ANSWER} bytes", ""),
    ],
)
async def test_a_fault_is_told_to_the_model_in_words(answer: Any, told: str, said: str) -> None:
    events: list[BrainEvent] = []
    async with FakeServer(answer) as server:
        result = json.loads(await call(caller(events, url=server.url), '{"city": "x"}'))
    assert told in result["error"] and said in result["error"] and "weather failed" in result["error"]
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.code == "TOOL_ERROR" and told in failed.message
    assert "s3cret" not in failed.message  # what a server says is not for everyone


async def test_a_page_that_repeats_a_secret_is_not_told_to_the_model() -> None:
    def listed(request: Request) -> Response:
        return Response(500, f"{request.path} failed; headers: {request.headers}".encode(), "text/plain")

    async with FakeServer(listed) as server:
        for secret in (
            {"headers": {"Authorization": "Bearer sk-SECRET"}},
            {"url": f"{server.url}?key=sk-SECRET"},
            {"url": f"{server.url}?key={{{{template_variables.key}}}}"},
            {"url": server.url.replace("//", "//me:sk-SECRET@")},
        ):
            result = await call(caller([], **({"url": server.url} | secret)), '{"city": "x"}')
            assert "answered 500" in result and "SECRET" not in result and "s3cret" not in result, secret
        plain = caller([], url=f"{server.url}{{{{args.city}}}}", method="GET", headers={"Accept": "text/plain"})
        assert "Bad%20Ems failed" in await call(plain, '{"city": "Bad Ems"}')  # the model's own words it may read


@pytest.mark.parametrize(
    ("charset", "body", "read"),
    [
        ("ISO-8859-1", b"21 \xb0C", "21 °C"),
        ("utf-16", "21 °C".encode("utf-16"), "21 °C"),
        ("Shift_JIS", "東京".encode("shift_jis"), "東京"),
        ("unicode_escape", rb"\ud83d", "charset"),
        ("idna", b"xn--\xff", "charset"),
        ("undefined", b"x", "charset"),
        ("utf-7", b"+2D0-", "charset"),
        ("punycode", b"\xff", "charset"),
        ("x" * 5000, b"x", "charset"),
    ],
)
async def test_a_server_chooses_among_charsets_and_no_other_codecs(charset: str, body: bytes, read: str) -> None:
    async with FakeServer(lambda request: Response(body=body, type=f"text/plain; charset={charset}")) as server:
        result = await call(caller([], url=server.url), '{"city": "x"}')
    assert read in result and len(result) < 300
    result.encode()


async def test_a_call_is_made_once_whatever_breaks() -> None:
    def cut(request: Request) -> Response:
        raise Break

    events: list[BrainEvent] = []
    async with FakeServer(cut) as server:
        result = await call(caller(events, url=server.url), '{"city": "x"}')
        assert "failed" in result and len(server.received) == 1  # it may have had its effect


async def test_wrong_arguments_are_not_sent() -> None:
    async with FakeServer() as server:
        assert "city is missing" in await call(caller([], url=server.url), "{}")
        assert server.received == []


async def test_a_server_that_is_slow_is_given_up() -> None:
    async def forever() -> Any:
        yield b"x"
        await asyncio.sleep(60)

    async with FakeServer(lambda request: Response(stream=forever())) as server:
        tool = Tool(name="weather", server=ToolServer(url=server.url, timeout_ms=200))
        one = Caller([tool], lambda event: None)
        assert "did not answer within 0.2 s" in await call(one, "{}")


async def test_it_goes_where_urls_of_requests_may_go() -> None:
    events: list[BrainEvent] = []
    async with FakeServer() as server:
        result = await call(caller(events, Outward(), url=server.url), '{"city": "x"}')
        assert "no public address" in result and server.received == []
        allowed = caller(events, Outward(["127.0.0.1"]), url=server.url)
        assert await call(allowed, '{"city": "x"}') == '{"degrees": 21}'


async def test_what_a_server_repeats_of_a_body_is_not_told_unless_it_is_the_models() -> None:
    def repeated(request: Request) -> Response:
        return Response(422, json.dumps({"detail": [{"msg": "bad city", "input": json.loads(request.body)}]}).encode())

    body = {"in": [{"api_key": "sk-BODY-SECRET"}], "key": "{{template_variables.key}}", "city": "{{args.city}}"}
    async with FakeServer(repeated) as server:
        result = await call(caller([], url=server.url, body=body), '{"city": "Bad Ems"}')
    assert "bad city" in result and "Bad Ems" in result and "SECRET" not in result


async def test_what_is_no_secret_of_this_request_is_told() -> None:
    tool = Tool(name="weather", parameters=PARAMETERS)
    wrong = "no flights from Berlin today; try Munich, it is paid"
    async with FakeServer(lambda request: Response(404, wrong.encode(), "text/plain")) as server:
        tool.server = ToolServer(url=f"{server.url}?from={{{{template_variables.city}}}}&format=text")
        one = Caller([tool], lambda event: None, variables={"city": "Berlin", "state": "paid"})
        result = await call(one, '{"city": "x"}')
    assert "no flights from *** today; try Munich, it is paid" in result


async def test_of_a_body_a_variable_is_a_secret_though_it_is_short_and_a_word_is_none() -> None:
    wrong = "pin 48213 is wrong; no flight today, find another"
    body = {"task": "find me a flight", "mode": "find", "pin": "{{template_variables.pin}}"}
    tool = Tool(name="weather", parameters=PARAMETERS)
    async with FakeServer(lambda request: Response(404, wrong.encode(), "text/plain")) as server:
        tool.server = ToolServer(url=server.url, body=body)
        one = Caller([tool], lambda event: None, variables={"pin": "48213"})
        result = await call(one, '{"city": "x"}')
    assert "pin *** is wrong; no flight today, find another" in result
