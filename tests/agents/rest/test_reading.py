"""agents/rest/reading.py: fields by their paths, whole numbers, lists of objects, members that nobody knows."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct, field

from lipwire.agents.errors import InvalidAgentRequest
from lipwire.agents.rest import reading
from lipwire.agents.rest.wire import check_urls, parse_join
from lipwire.logs import MAX_UNKNOWN
from lipwire.outward import Outward
from lipwire.protocol.agent_bodies import Fault, Open
from support.agent_bodies import V1, V2, changed

Count = Annotated[int, Meta(ge=0, le=9, description="an integer 0..9")]


class Item(Struct, kw_only=True):
    n: Count
    tags: Annotated[list[Count], Meta(description="a list of integers")] = field(default_factory=list)


class More(Open, kw_only=True):
    n: Count = 0


class Body(Struct, kw_only=True):
    n: Count = 0
    item: Item | None = None
    more: More = field(default_factory=More)
    items: Annotated[list[Item], Meta(max_length=2, description="a list of at most 2 items")] = field(
        default_factory=list
    )


def read(body: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    faults: list[Fault] = []
    unknown: list[str] = []
    found = reading.leaves(Body, body, faults, unknown=unknown)
    return found, [str(fault) for fault in faults], unknown


def test_whole_numbers() -> None:
    found, faults, _ = read({"n": 4.0, "items": [{"n": 1.0, "tags": [1.0, 2]}]})
    assert (found["n"], found["items"], faults) == (4, [{"n": 1, "tags": [1, 2]}], [])
    assert type(found["n"]) is int and type(found["items"][0]["tags"][0]) is int
    for wrong in (4.5, float("inf"), "4", True, 10.0):
        assert read({"n": wrong})[1][0].startswith("n must be an integer 0..9, got ")
    config = parse_join(changed(V2, "properties.llm.max_history", 400.0), "v2")
    assert (config.llm.max_history, type(config.llm.max_history)) == (400, int)
    assert parse_join(changed(V1, "properties.rtc_codec", 8.0), "v1").rtc_codec == 8
    assert parse_join(changed(V1, "properties.agent_rtc_uid", "77"), "v1").uid == "77"


def test_objects_with_members_of_somebody_elses_are_kept() -> None:
    found, faults, unknown = read({"more": {"n": 1, "x": {"y": 2}, "gone": None}, "z": 3})
    assert (found["more"], found["more.n"], faults, unknown) == ({"n": 1, "x": {"y": 2}}, 1, [], ["z"])


def test_lists_of_objects() -> None:
    found, faults, unknown = read({"items": [{"n": 1, "x": 1}, {"n": None}]})
    assert faults == ["items[1].n is required"]
    assert unknown == ["items[0].x"]
    assert found["items"][0] == {"n": 1}
    for wrong, got in (("x", "a string"), ({}, "an object"), ([{"n": 1}] * 3, "3 of them"), (["x"], "")):
        told = (
            f"items must be a list of at most 2 items, got {got}" if got else "items[0] must be an object, got a string"
        )
        assert read({"items": wrong})[1] == [told]


LONG = "must be a string of at most 65536 characters, by a name of at most 256"


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("labels", {"a": 1, "b": "x"}, [".a must be a string, got a number"]),
        ("labels", {"a": None, "b": [1]}, [".a must be a string, got null", ".b must be a string, got a list"]),
        ("labels", {"a": "x" * 65_537}, [f".a {LONG}"]),
        ("labels", {"n" * 257: "x"}, [f".{'n' * 80} {LONG}"]),
        ("labels", dict.fromkeys(map(str, range(257)), ""),
         [" must be an object of at most 256 strings by name, got 257 of them"]),
        ("labels", {str(n): n for n in range(300)}, [f".{n} must be a string, got a number" for n in range(8)]),
        ("llm.template_variables", {"a": 5}, [".a must be a string, got a number"]),
        ("llm.headers", {"A": "s3cret", "B": ["s3cret"]}, [".B must be a string, got a list"]),
        ("llm.params", {"model": {"a": 1}, "key": "s3cret"}, [".model must be a string, got an object"]),
        ("llm.params", ["x"], [" must be an object; its model a string, got a list"]),
        ("labels", ["x"], [" must be an object of at most 256 strings by name, got a list"]),
        ("llm.tools", {"a": 1}, [" must be a list of at most 128 tools, got an object"]),
        ("llm.mcp_servers", [5, {"name": "a", "endpoint": "https://a"}, "s3cret"],
         ["[0] must be an object, got a number", "[2] must be an object, got a string"]),
        ("llm.mcp_servers", [{}] * 33, [" must be a list of at most 32 servers, got 33 of them"]),
        ("llm.tools", [[]], ["[0] must be an object, got a list"]),
        ("mllm.tools", [{}] * 129, [" must be a list of at most 128 tools, got 129 of them"]),
    ],
)  # fmt: skip
def test_a_wrong_member_is_named(path: str, value: Any, told: list[str]) -> None:
    with pytest.raises(InvalidAgentRequest) as caught:
        parse_join(changed(V2, f"properties.{path}", value), "v2")
    assert [str(fault).removeprefix(f"properties.{path}") for fault in caught.value.faults] == told


def test_members_that_nobody_knows_are_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for one in (reading.UNKNOWN, reading.UNHEARD):
        monkeypatch.setattr(one, "_told", set())
    body = changed(changed(V2, "properties.llm.temprature", 1), "properties.tts.params.pitch", 2)
    body = changed(body, "properties.a\nb", 3)
    with caplog.at_level(logging.WARNING, "lipwire.agents"):
        parse_join(body, "v2")
        parse_join(body, "v2")
        assert [record.message.split()[1] for record in caplog.records] == [
            "properties.llm.temprature",
            "properties.a?b",
            "where",
        ]
        told = caplog.records[2].message
        assert told.startswith(
            "join, where the server's own ears and voice stand in: properties.tts.params.pitch is no"
        )
        with pytest.raises(InvalidAgentRequest):
            parse_join(changed(body, "properties.other", 1) | {"name": ""}, "v2")
        many = {f"x{n}": n for n in range(1000)}
        parse_join({**V2, "properties": V2["properties"] | many}, "v2")
    assert len(caplog.records) == MAX_UNKNOWN + 1


async def test_every_url_is_looked_at() -> None:
    private = "http://10.0.0.1/x"
    tool = {"function": {"name": "t"}, "server": {"method": "GET", "url": private}}
    more = {
        "llm": {
            "url": private,
            "greeting_audio_url": private,
            "tools": [tool],
            "mcp_servers": [{"name": "m", "endpoint": private}],
        },
        "mllm": {"url": "wss://10.0.0.1/x"},
        "tts": {"vendor": "generic_http", "url": private},
        "advanced_features": {"enable_tools": True},
    }
    body = {**V2, "properties": V2["properties"] | more}
    with pytest.raises(InvalidAgentRequest) as caught:
        await check_urls(body, "v2", Outward())
    assert {fault.loc.removeprefix("properties.") for fault in caught.value.faults} == {
        "llm.url",
        "llm.greeting_audio_url",
        "llm.tools[0].server.url",
        "llm.mcp_servers[0].endpoint",
        "mllm.url",
        "tts.url",
    }
    body["properties"]["mllm"] = {"url": "wss://10.0.0.1/x", "enable": False}
    with pytest.raises(InvalidAgentRequest) as caught:
        await check_urls(body, "v2", Outward())
    assert "properties.mllm.url" not in {fault.loc for fault in caught.value.faults}
    await check_urls(body, "v2", Outward(["10.0.0.0/8"]))
    body["properties"]["advanced_features"] = {"enable_tools": False}
    with pytest.raises(InvalidAgentRequest) as caught:
        await check_urls(body, "v2", Outward())
    assert not any("tools" in fault.loc or "mcp" in fault.loc for fault in caught.value.faults)
    assert parse_join(changed(V2, "properties", body["properties"] | {"llm": {"tools": "x"}}), "v2").tools == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("llm", "s3cret"),
        ("llm.headers", "authorization: Bearer s3cret"),
        ("llm.api_key", {"key": "s3cret"}),
        ("llm.params", ["s3cret"]),
        ("llm.template_variables", "s3cret"),
        ("llm.mcp_servers", {"headers": {"authorization": "s3cret"}}),
        ("asr.params", "s3cret"),
        ("tts.params", "s3cret"),
        ("mllm.params", "s3cret"),
        ("mllm.api_key", ["s3cret"]),
        ("rtc.encryption_key", ["s3cret"]),
        ("token", ["s3cret"]),
    ],
)
def test_what_may_be_a_key_does_not_come_back(path: str, value: Any) -> None:
    with pytest.raises(InvalidAgentRequest) as caught:
        parse_join(changed(V2, f"properties.{path}", value), "v2")
    told = str(caught.value)
    assert f"properties.{path} must be " in told and ", got " in told and "s3cret" not in told


def test_the_sort_of_what_may_be_a_key_is_told() -> None:
    for value, sort in ((5, "a number"), (True, "true or false"), ([], "a list"), ({}, "an object")):
        with pytest.raises(InvalidAgentRequest, match=f"llm.api_key must be .*, got {sort}$"):
            parse_join(changed(V2, "properties.llm.api_key", value), "v2")
