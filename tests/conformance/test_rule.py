"""Rules as a whole, choosing some of them, and what a target may be."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lipwire.conformance import RULES, Target
from lipwire.conformance.rule import GROUPS, Rule, select
from lipwire.errors import InvalidArgument

ID = re.compile(r"[a-z]+(\.[a-z0-9]+(-[a-z0-9]+)*)+")


def test_ids_are_unique_and_stand_in_their_groups() -> None:
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    assert {rule.group for rule in RULES} == GROUPS.keys()
    order = list(GROUPS)
    assert [order.index(rule.group) for rule in RULES] == sorted(order.index(rule.group) for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_says_all_that_a_report_needs(rule: Rule) -> None:
    assert ID.fullmatch(rule.id)
    for text in (rule.title, rule.source, rule.why, rule.does, rule.expects, rule.fix):
        assert len(text) > 2 and text == text.strip()
    assert rule.why.endswith(".") and rule.fix.endswith(".")
    if rule.group in ("feedback", "speech", "timing"):
        assert rule.level == "should" and rule.needs, "events are Lipwire's: no provider must send them"
    if rule.level == "must":
        assert not rule.needs


def test_choosing() -> None:
    assert select(RULES) == list(RULES)
    assert {rule.group for rule in select(RULES, ["http", "life"])} == {"http", "life"}
    assert [rule.id for rule in select(RULES, ["life.resume"])] == [
        "life.resume",
        "life.resume.many",
        "life.resume.speech",
    ]
    assert [rule.id for rule in select(RULES, ["life.stop.code", "http.cors"])] == ["http.cors", "life.stop.code"]
    assert not any(rule.slow for rule in select(RULES, quick=True))
    assert [rule.id for rule in select(RULES, ["life.idle.never"], quick=True)] == ["life.idle.never"]
    with pytest.raises(InvalidArgument, match="no rule and no group is called 'handshakes'; groups: http, handshake"):
        select(RULES, ["http", "handshakes"])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"http": "127.0.0.1:8764"}, "--http 127.0.0.1:8764: a URL that begins with http:// or https://"),
        ({"http": "ws://a"}, "--http ws://a"),
        ({"ws": "http://a"}, "--ws http://a: a URL that begins with ws:// or wss://"),
        ({"api_key": ""}, "--api-key or LIPWIRE_API_KEY"),
    ],
)
def test_a_target_that_cannot_be_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(told)):
        Target(**({"http": "http://127.0.0.1:8764", "api_key": "k"} | fields))
