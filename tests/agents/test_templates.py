"""Values of a tool's server that stand for others: what is put in, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.agents.templates import (
    Values,
    check_body,
    check_headers_of,
    check_url,
    in_body,
    in_headers,
    in_url,
    variables_in,
)
from lipwire.errors import InvalidArgument

VALUES = Values(
    args={"city": "Bad Ems/ü", "days": 3, "flags": {"a": [True, None]}, "whole": "x"},
    template_variables={"key": "s3cret"},
    tool_call_id="call_1",
)


def test_values_are_put_into_a_url() -> None:
    url = "https://a.example/w/{{args.city}}?d={{ args.days }}&f={{args.flags}}"
    assert in_url(f"{url}&k={{{{template_variables.key}}}}#{{{{tool_call_id}}}}", VALUES) == (
        "https://a.example/w/Bad%20Ems%2F%C3%BC?d=3&f=%7B%22a%22%3A%5Btrue%2Cnull%5D%7D&k=s3cret#call_1"
    )
    assert in_url("https://a.example/?q={{args.none}}", VALUES) == "https://a.example/?q="
    for dots in (".", ".."):
        with pytest.raises(InvalidArgument, match="must not be"):
            in_url("https://a.example/{{args.x}}/secret", Values(args={"x": dots}))


def test_a_body_keeps_the_types() -> None:
    body = {
        "days": "{{args.days}}",
        "all": ["{{args.flags}}", "{{args.none}}", 1, None],
        "gone": "{{args.none}}",
        "deep": {"id": " {{tool_call_id}} ", "same": "constant {x}"},
    }
    assert in_body(body, VALUES) == {
        "days": 3,
        "all": [{"a": [True, None]}, 1, None],
        "deep": {"id": "call_1", "same": "constant {x}"},
    }
    assert in_body("{{args.flags}}", VALUES) == {"a": [True, None]}


def test_headers_stay_what_headers_may_be() -> None:
    made = in_headers({"X-Key": "{{template_variables.key}}", "X-Id": "{{tool_call_id}}", "X": "y"}, VALUES)
    assert made == {"X-Key": "s3cret", "X-Id": "call_1", "X": "y"}
    assert in_headers({"X-Id": "{{tool_call_id}}"}, Values(tool_call_id="a\r\nB: c")) == {"X-Id": "a__B: c"}


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: check_url("https://{{args.x}}/a", {"x": {}}, {}), "where its host is"),
        (lambda: check_url("{{args.x}}://a", {"x": {}}, {}), "where its host is|places may stand"),
        (lambda: check_url("https://a/{{args.y}}", {"x": {}}, {}), "no argument of that name"),
        (lambda: check_url("https://a/{{x}}", {"x": {}}, {}), r"only \{\{args.x\}\}, \{\{template_variables.x\}\} or"),
        (lambda: check_headers_of({"X": "{{args.x}}"}, {}), r"X: has .*, where only \{\{template_variables.x\}\} or"),
        (lambda: check_headers_of({"X": "Bearer {{template_variables.k}}"}, {"k": "v"}), "X: .* beside other text"),
        (lambda: check_headers_of({"X": "{{template_variables.k}}"}, {}), "llm.template_variables has none"),
        (lambda: check_body({"a": [{"b": "{{args.y}}"}]}, {"x": {}}, {}), "a.0.b: has .*no argument"),
        (lambda: check_body("x {{args.x}}", {"x": {}}, {}), "^has .* beside other text"),
    ],
)
def test_what_stands_for_nothing_is_refused(check: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        check()


def test_what_may_be_is_accepted() -> None:
    check_url("https://a/{{args.x}}?{{tool_call_id}}", {"x": {}}, {})
    check_headers_of({"X": "{{template_variables.k}}", "Y": "{{tool_call_id}}", "Z": "plain {z}"}, {"k": "v"})
    check_body({"a": ["{{args.x}}", 1], "b": None}, {"x": {}}, {})
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    with pytest.raises(InvalidArgument, match="nested deeper"):
        check_body(deep, {}, {})


def test_which_variables_stand_in_what_a_server_gets() -> None:
    url = "https://a.example/{{ template_variables.in_url }}/x?{{args.city}}={{template_variables.a b}}"
    body = {"list": [{"deep": "{{template_variables.in_body}}"}, 5, None], "id": "{{tool_call_id}}"}
    assert variables_in([url, {"x-key": "{{template_variables.key}}"}, body]) == {"in_url", "key", "in_body"}
    assert variables_in(None) == set()
