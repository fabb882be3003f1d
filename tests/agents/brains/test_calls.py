"""Calls as services send them, and as they go back: each is made with its own arguments, and is valid for ever."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire.agents.brains import calls
from lipwire.agents.brains.calls import (
    Call,
    CallPieces,
    read_arguments,
    read_bare,
    read_written,
    valid_arguments,
    valid_name,
    with_own_ids,
)
from lipwire.agents.brains.completion import Completion
from lipwire.agents.http import ServiceError

OSLO, ROME = '{"city":"Oslo"}', '{"city":"Rome"}'
BOTH = [("weather", {"city": "Oslo"}), ("time", {"city": "Rome"})]
NAMES = ("weather", "time", "ti")
W, T, N = "weather", "time", None


def part(index: Any, call_id: Any = None, name: Any = None, arguments: Any = None) -> dict[str, Any]:
    """A piece of a call; what is None is left out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    head = {key: value for key, value in (("index", index), ("id", call_id)) if value is not None}
    return {**head, "type": "function", "function": function}


p = part


def made(*events: Any) -> list[Call]:
    pieces = CallPieces(NAMES)
    for event in events:
        pieces.take(event)
    return pieces.calls()


@pytest.mark.parametrize(
    "events",
    [
        [[p(0, "a", W, OSLO)], [p(1, "b", T, ROME)]],
        [[p(0, "a", W, OSLO)], [p(0, "b", T, ROME)]],
        [[p(0, "a", W, OSLO), p(0, "b", T, ROME)]],
        [[p(0, "a", W, "")], [p(0, N, N, OSLO)], [p(0, "b", T, "")], [p(0, N, N, ROME)]],
        [[p(0, "a", W)], [p(1, "b", T)], [p(1, N, N, ROME), p(0, N, N, OSLO)]],
        [[p(N, "a", W, OSLO)], [p(N, "b", T, ROME)]],
        [[p(N, "a", W, OSLO[:5])], [p(N, N, N, OSLO[5:])], [p(N, "b", T, ROME)]],
        [[p(N, "a", W), p(N, "b", T)], [p(N, N, N, OSLO), p(N, N, N, ROME)]],
        [[p(0, "a", W, {"city": "Oslo"})], [p(1, "b", T, {"city": "Rome"})]],
        [[p(0, "a", W, "")], [p(0, "", "", OSLO)], [p(1, "b", T, "")], [p(1, "", "", ROME)]],
        # no ids at all, one id for both, numbers, one that comes late
        [[p(0, N, W, OSLO)], [p(0, N, T, ROME)]],
        [[p(N, N, W, OSLO)], [p(N, N, T, ROME)]],
        [[p(0, "x", W, OSLO)], [p(1, "x", T, ROME)]],
        [[p(0, "x", W, OSLO)], [p(0, "x", T, ROME)]],
        [[p(0, 7, W, OSLO)], [p(0, 8, T, ROME)]],
        [[p(0, N, W, OSLO[:3])], [p(0, "a", N, OSLO[3:])], [p(1, "b", T, ROME)]],
        # the name with every piece, in pieces, or last
        [[p(0, "a", W, OSLO[:5])], [p(0, "a", W, OSLO[5:])], [p(1, "b", T, ROME)]],
        [[p(0, "a", "wea")], [p(0, N, "ther", OSLO)], [p(1, "b", "ti")], [p(1, "b", "me")], [p(1, N, N, ROME)]],
        [[p(0, "a", N, OSLO)], [p(0, N, W)], [p(1, "b", N, ROME)], [p(1, N, T)]],
        # each piece with all before it
        [[p(0, "a", W, OSLO[:4])], [p(0, N, N, OSLO[:8])], [p(0, N, N, OSLO)], [p(1, "b", T, "{")], [p(1, N, N, ROME)]],
        [[p(0, "a", W, OSLO)], [p(0, "a", W, "")], [p(0, "a", W, OSLO)], [p(1, "b", T, ROME)]],
        # a number for each piece; the whole once more at the end; places that are kept; strings of numbers
        [[p(0, "a", W)], [p(1, N, N, OSLO)], [p(2, "b", T)], [p(3, N, N, ROME)]],
        [[p(0, "a", W, OSLO)], [p(1, "b", T, ROME)], [p(0, "a", W, OSLO), p(1, "b", T, ROME)]],
        [[p(0, "a", W, OSLO)], [p(0, N, W, " " + OSLO)], [p(1, "b", T, ROME)], [p(1, N, T, ROME)]],
        [[p(0), p(1)], [p(0, "a", W, OSLO)], [p(1, "b", T, ROME)], [p(1), N, 5]],
        [[p("0", "a", W, OSLO)], [p("1", "b", T, ROME)]],
        [p(0, "a", W, OSLO), [{"id": "b", "name": T, "arguments": ROME}]],
        [[p(0, "a", W, json.dumps(OSLO))], [p(1, "b", T, " " + ROME + "\n")]],
        [[p(0, "a", W, "{}")], [p(0, N, N, OSLO)], [p(1, "b", T, ROME)]],
    ],
)  # fmt: skip
def test_two_calls_are_two_calls(events: list[Any]) -> None:
    found = made(*events)
    assert [(call.name, read_arguments(call.arguments)) for call in found] == BOTH
    assert len({call.id for call in found}) == 2 and all(call.id for call in found)
    for call in found:
        assert isinstance(json.loads(call.as_message()["function"]["arguments"]), dict)


def test_one_function_twice_is_two_calls() -> None:
    for ids in (("a", "b"), ("a", "a"), (None, None)):
        for index in (0, None):
            found = made([part(index, ids[0], "weather", OSLO)], [part(index, ids[1], "weather", ROME)])
            assert [call.arguments for call in found] == [OSLO, ROME]
            pieces = [
                [part(index, None, "weather", "")],
                [part(index, None, None, OSLO[:4])],
                [part(index, None, None, OSLO[4:])],
            ]
            again = [
                [part(index, None, "weather", "")],
                [part(index, None, None, ROME[:4])],
                [part(index, None, None, ROME[4:])],
            ]
            assert [(call.name, call.arguments) for call in made(*pieces, *again)] == [(W, OSLO), (W, ROME)]
    found = made([part(0, None, "weather")], [part(0, None, "time")])  # without arguments
    assert [call.name for call in found] == ["weather", "time"]


def test_half_characters_and_what_a_service_wants_to_see_again() -> None:
    signed = {"index": 0, "id": "a", "extra_content": {"google": {"thought_signature": "c2ln"}}}
    found = made(
        [{**signed, "function": {"name": "weather", "arguments": '{"city":"\ud83d'}}],
        [part(0, None, None, '\ude00"}')],
    )
    assert read_arguments(found[0].arguments) == {"city": "😀"}
    assert found[0].as_message()["extra_content"] == signed["extra_content"]
    assert "extra_content" not in made([part(0, "a", "weather")])[0].as_message()


HALF = "\ud83d"


def test_half_a_character_for_ever_is_none_that_goes_back() -> None:
    """One that stays alone, as itself or written \\ud83d, cannot be sent: no later request would be made."""
    for arguments in (json.dumps({HALF: HALF}), json.dumps({HALF: HALF}, ensure_ascii=False), {HALF: [HALF]}):
        (call,) = made([part(0, f"a{HALF}", f"weather{HALF}", arguments)])
        assert call.id == "a\ufffd" and call.name == "weather\ufffd"
        sent = json.loads(msgspec.json.encode(call.as_message()))
        assert sent["id"] == "a\ufffd" and "\ufffd" in json.loads(sent["function"]["arguments"])
        assert msgspec.json.encode(read_arguments(call.arguments))


def test_whatever_is_in_it_a_request_can_be_made() -> None:
    body = {"messages": [{"content": HALF}, {"content": f"{HALF}\ude00"}], "at": {HALF: None}, "number": 10**30}
    sent = json.loads(calls.encode(body))
    assert sent == {"messages": [{"content": "\ufffd"}, {"content": "😀"}], "at": {"\ufffd": None}, "number": 10**30}
    assert calls.encode({"a": "b"}) == b'{"a":"b"}'


def test_there_are_bounds() -> None:
    with pytest.raises(ServiceError, match="more than 16 functions"):
        made(*([part(n, f"c{n}", "time", "{}")] for n in range(calls.MAX_CALLS + 1)))
    with pytest.raises(ServiceError, match="more than 65536 characters"):
        made(*([part(0, "a", "time", "x" * 10_000)] for _ in range(8)))
    with pytest.raises(ServiceError, match="more than 65536 characters"):
        made([part(0, "a" * 70_000, "time", "{}")])
    with pytest.raises(ServiceError, match="more than 256 characters"):
        made(*([part(0, "a", "time" * n)] for n in range(1, 99)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (OSLO, {"city": "Oslo"}),
        ("", {}),
        ("  \n", {}),
        ("null", {}),
        ('""', {}),
        (json.dumps(OSLO), {"city": "Oslo"}),
        (json.dumps(json.dumps(OSLO)), {"city": "Oslo"}),
        ("{}{}", {}),
        ("{}" + OSLO, {"city": "Oslo"}),
        (OSLO + "\n" + OSLO, {"city": "Oslo"}),
        (OSLO + ROME, "no JSON"),
        ('{"city": "Os', "no JSON"),
        ("{'city': 'Oslo'}", "no JSON"),
        ('{"n": NaN}', "no JSON"),
        ("[]", "must be a JSON object"),
        ("7", "must be a JSON object"),
        ('{"a":' * 5000, "no JSON"),
    ],
)
def test_arguments_are_read_and_sent_back_as_an_object(text: str, value: Any) -> None:
    read = read_arguments(text)
    assert value in read if isinstance(value, str) else read == value
    assert json.loads(valid_arguments(text)) == ({} if isinstance(value, str) else value)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec=None)), st.text(), st.text(max_size=5))
def test_whatever_comes_is_valid_when_it_goes_back(name: str, arguments: str, call_id: str) -> None:
    found = made([part(0, call_id, name or "x", arguments)])
    for call in found:
        message = json.loads(json.dumps(call.as_message()).encode())
        assert isinstance(json.loads(message["function"]["arguments"]), dict)
        assert 1 <= len(message["function"]["name"]) <= 64
        assert message["id"]


@pytest.mark.parametrize(
    "text",
    [
        '\n{"name": "weather", "arguments": {"city": "Oslo"}}\n',
        '{"name": "weather", "parameters": {"city": "Oslo"}}',
        '{"type": "function", "function": {"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}}',
        '[{"name": "weather", "arguments": {"city": "Oslo"}}]',
        'weather[ARGS]{"city": "Oslo"}',
        'weather{"city": "Oslo"}',
        '<function=weather>{"city": "Oslo"}</function>',
        '<function=weather>{"city": "Oslo"}',
        "<function=weather>\n<parameter=city>\nOslo\n</parameter>\n</function>",
        '[{"tool_call_id": "0", "tool_name": "weather", "parameters": {"city": "Oslo"}}]',
        '<｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{"city": "Oslo"}\n```<｜tool▁call▁end｜>',
        '<｜tool▁call▁begin｜>weather<｜tool▁sep｜>{"city": "Oslo"}<｜tool▁call▁end｜>',
        '<|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>{"city": "Oslo"}<|tool_call_end|>',
        "weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n",
        '<invoke name="weather">\n<parameter name="city">Oslo</parameter>\n</invoke>',
        '<｜DSML｜invoke name="weather"><｜DSML｜parameter name="city" string="true">Oslo</｜DSML｜parameter>',
    ],
)
def test_calls_that_were_written_into_the_text(text: str) -> None:
    both = CallPieces()
    both.add_written(read_written(f"{text}[TOOL_CALLS]{text}"))
    assert [(call.name, read_arguments(call.arguments)) for call in both.calls()] == [BOTH[0]] * 2


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "weather", "arguments": {"city": "Oslo"}}\n{"name": "time", "parameters": {"city": "Rome"}}',
        '\n{"name": "weather", "arguments": {"city": "Oslo"}};{"function": {"name": "time", "arguments": '
        '{"city": "Rome"}}} ',
        '[{"name": "weather", "arguments": {"city": "Oslo"}}, {"name": "time", "arguments": {"city": "Rome"}}]',
        '<｜tool▁call▁begin｜>weather<｜tool▁sep｜>{"city": "Oslo"}<｜tool▁call▁end｜>'
        '<｜tool▁call▁begin｜>function<｜tool▁sep｜>time\n```json\n{"city": "Rome"}\n```',
        '<|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>{"city": "Oslo"}<|tool_call_end|>'
        '<|tool_call_begin|>time<|tool_call_argument_begin|>{"city": "Rome"}',
        '<invoke name="weather"><parameter name="city">Oslo</parameter></invoke>'
        "<invoke name='time'><parameter name='city'>Rome</parameter></invoke>",
    ],
)
def test_two_that_were_written_at_once(text: str) -> None:
    pieces = CallPieces()
    pieces.add_written(read_written(text))
    assert [(call.name, read_arguments(call.arguments)) for call in pieces.calls()] == BOTH


def test_all_of_a_text_is_a_call_if_it_names_a_function_that_there_is() -> None:
    call = '{"name": "weather", "parameters": {"city": "Oslo"}}'
    for text in (call, f"[{call}]", f"```json\n{call}\n```", f"```\n{call}\n```\n"):
        assert read_bare(text, NAMES) == read_written(call)
        assert read_bare(text, ("time",)) == read_bare(f"So: {text}", NAMES) == []
    assert read_written(" weather\n", NAMES) == [{"function": {"name": "weather", "arguments": None}}]


def test_a_call_that_is_also_written_is_one() -> None:
    pieces = CallPieces(NAMES)
    pieces.take([part(0, "a", "get.weather", '{"city": "Oslo"}')])
    written = (("get_weather", OSLO), ("get_weather", ROME), ("time", ROME), ("time", "{}"))
    pieces.add_written([call for name, arguments in written for call in read_written(f"{name}{arguments}")])
    assert [(call.name, call.arguments) for call in pieces.calls()[1:]] == [("get_weather", ROME), (T, ROME), (T, "{}")]


@pytest.mark.parametrize(
    "text", ["", "weather", '{"city": "Oslo"}', "[7]", '{"name": ["x"]}', "{" * 50_000, "a" + " " * 50_000 + "{"]
)
def test_what_is_no_call_is_none(text: str) -> None:
    assert read_written(text) == []


def test_names_and_ids() -> None:
    assert valid_name("get_weather") == "get_weather"
    assert valid_name("functions.get weather!") == "functions_get_weather"
    assert valid_name("天気") == "unknown" and len(valid_name("x" * 100)) == 64
    own = with_own_ids([Call("call_0", "a"), Call("call_0", "b"), Call("", "c"), Call("d", "d")], {"d"})
    assert own[0].id == "call_0" and len({call.id for call in own} | {"d"}) == 5
    assert all(len(call.id) == 9 and call.id.isalnum() for call in own[1:])


def test_many_objects_are_read_in_one_pass() -> None:
    many = "".join(f'{{"a":{n}}} ' for n in range(6000))
    same = '{"a":1}\n{} ' * 6000
    began = time.process_time()
    for _ in range(20):
        assert isinstance(read_arguments(many), str)
        assert read_arguments(same) == {"a": 1}
    assert time.process_time() - began < 3  # 20 s and more where each is looked up among all before it


def test_what_goes_back_with_calls_is_bounded() -> None:
    reply = Completion()
    small: Any = {"google": {"thought_signature": "s" * 1000}}
    large: Any = {"google": {"thought_signature": [[]] * 100_000}}
    for number, extra in enumerate((small, large, small)):
        call = {**part(number, f"c{number}", "weather", OSLO), "extra_content": extra}
        reply.take(json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}))
    reply.take(json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}))
    assert [call.extra for call in reply.calls][:2] == [small, None]
    assert reply.problems == [
        f"the LLM's call of weather has more to be sent back than {calls.MAX_EXTRA} bytes; it is left out"
    ]
