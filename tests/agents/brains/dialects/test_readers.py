"""Whatever a service sends, its reader makes of it an answer, or an error in words."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire.agents.brains.completion import Completion
from lipwire.agents.brains.dialects import dialect_of
from lipwire.agents.config import Llm
from lipwire.agents.http import ServiceError
from support.fakes import Answer, ToolCall
from support.fakes.dialects import FakeAnthropic, FakeDify, FakeGemini

ANSWER = Answer("Hello there.", tool_calls=[ToolCall("f", '{"a": 1}', id="c1"), ToolCall("g", "{}", id="c2")])
BODY = {"model": "m", "query": "hi", "thinking": {}, "conversation_id": "c"}


def events(style: str) -> list[dict[str, Any]]:
    """What its fake sends."""
    if style == "anthropic":
        thinks = FakeAnthropic()
        thinks.thought = "Hm, well."
        return list(thinks.events(ANSWER, BODY))
    return list((FakeGemini() if style == "gemini" else FakeDify(agent=True)).events(ANSWER, BODY))


STREAMS = {style: events(style) for style in ("anthropic", "gemini", "dify")}
scalars = [st.none(), st.booleans(), st.integers(-2, 3), st.floats(allow_nan=False), st.sampled_from(["", "x", "{"])]
names = st.sampled_from(["type", "text", "a"])
junk = st.recursive(
    st.one_of(*scalars),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner)),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for name, part in inner for one in places(part, (*path, name)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copied = copy.copy(value)
    copied[path[0]] = put(value[path[0]], path[1:], new)
    return copied


@pytest.mark.parametrize("style", STREAMS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_broken_events_are_told(style: Any, data: st.DataObject) -> None:
    stream = list(STREAMS[style])
    for _ in range(data.draw(st.integers(1, 4))):
        number = data.draw(st.integers(0, len(stream) - 1))
        path = data.draw(st.sampled_from(places(stream[number])))
        stream[number] = put(stream[number], path, data.draw(junk))
    answer = Completion(["f", "g"], dialect_of(Llm(style=style)).reader())
    try:
        for event in stream:
            answer.take(json.dumps(event))
        assert isinstance(answer.text, str)
        assert all(isinstance(call.as_message(), dict) for call in answer.calls)
        answer.shortcoming(False)
    except ServiceError as exc:
        assert str(exc)
