"""Anthropic's Messages API: what is asked against what its own client asks, and answers of every kind."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

from lipwire.agents.brains.chat import ChatClient
from lipwire.agents.brains.completion import MAX_REASONING, Completion
from lipwire.agents.brains.dialects.anthropic import BY_BEARER, MAX_TOKENS, VERSION, Anthropic
from lipwire.agents.config import Llm, Tool
from lipwire.agents.http import ServiceError
from support.asking import Talk
from support.fakes import Answer, ToolCall
from support.fakes.dialects import FakeAnthropic

SYSTEM = [{"role": "system", "content": "Be brief."}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def weather(city: str) -> dict[str, Any]:
    return {"city": city, "degrees": 21}


TOOL = Tool(name="weather", description="The weather.", parameters=WEATHER, run=weather)


def llm(server: FakeAnthropic, **more: Any) -> Llm:
    params = {"model": "claude", **more.pop("params", {})}
    return Llm(url=server.url, style="anthropic", system_messages=SYSTEM, params=params, **more)


async def test_a_question_is_what_the_official_client_asks() -> None:
    async with FakeAnthropic("Hello there, my friend.", api_key="k") as server:
        async with Talk(llm(server, api_key="k", params={"temperature": 0.5, "max_tokens": 99}), [TOOL]) as talk:
            assert await talk.say("hi", jpeg=b"\xff\xd8") == "Hello there, my friend."
        async with anthropic.AsyncAnthropic(
            api_key="k",
            base_url=server.url.removesuffix("/v1/messages"),
            default_headers={"anthropic-version": VERSION},
        ) as official:
            image = {"type": "base64", "media_type": "image/jpeg", "data": "/9g="}
            stream = await official.messages.create(
                model="claude",
                max_tokens=99,
                system="Be brief.",
                messages=[
                    {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image", "source": image}]}  # type: ignore
                ],
                tools=[{"name": "weather", "description": "The weather.", "input_schema": WEATHER}],  # type: ignore
                extra_body={"temperature": 0.5},
                stream=True,
            )
            text = [event.delta.text async for event in stream if event.type == "content_block_delta"]  # type: ignore
        assert "".join(text) == "Hello there, my friend."
        ours, theirs = server.received
        assert json.loads(ours.body) == json.loads(theirs.body)
        assert (ours.method, ours.path) == (theirs.method, theirs.path)
        assert ours.headers["x-api-key"] == "k" and "authorization" not in ours.headers
        assert ours.headers["content-type"] == theirs.headers["content-type"]
        assert ours.headers["anthropic-version"] == VERSION


def test_the_key_goes_as_the_version_has_it() -> None:
    llm, dialect = Llm(url="https://api.anthropic.com/v1/messages", api_key="k", style="anthropic"), Anthropic()
    assert dialect.headers(llm, {}) == {"anthropic-version": VERSION, "x-api-key": "k"}
    newer = dialect.headers(llm, {"anthropic-version": BY_BEARER})
    assert newer == {"anthropic-version": BY_BEARER, "authorization": "Bearer k"}
    assert anthropic.Anthropic(api_key="k").default_headers["anthropic-version"] == BY_BEARER
    assert anthropic.Anthropic(api_key="k").auth_headers == {"Authorization": "Bearer k"}
    assert "x-api-key" not in dialect.headers(llm, {"authorization": "Bearer other"})


async def test_functions_are_called_and_answered_and_stay_in_the_conversation() -> None:
    calls = [ToolCall("weather", '{"city": "Oslo"}'), ToolCall("weather", '{"town": 1}')]
    async with FakeAnthropic([Answer("One moment.", tool_calls=calls), "It is 21 degrees.", "Bye."]) as server:
        async with Talk(llm(server), [TOOL]) as talk:
            assert await talk.say("The weather?") == "One moment.It is 21 degrees."
            assert await talk.say("Thanks.") == "Bye."
            talk.toolbox = type(talk.toolbox)([])
            await talk.say("And now?")  # there are no functions any more, and the calls are still told of
        second, last = server.requests[1], server.requests[-1]
        assert second["max_tokens"] == MAX_TOKENS
        uses = [block for block in second["messages"][1]["content"] if block["type"] == "tool_use"]
        assert [use["input"] for use in uses] == [{"city": "Oslo"}, {"town": 1}]
        results = second["messages"][2]["content"]
        assert json.loads(results[0]["content"]) == {"city": "Oslo", "degrees": 21} and "is_error" not in results[0]
        assert results[1]["is_error"] and "city is missing" in results[1]["content"]
        assert last["tools"][0]["name"] == "weather" and last["tool_choice"] == {"type": "none"}


async def test_it_is_told_to_answer_where_it_has_called_enough() -> None:
    async with FakeAnthropic("Fine.") as server, Talk(llm(server, params={"tool_choice": "required"}), [TOOL]) as talk:
        talk.context.add("user", "hi")
        await talk.once(may_call=False)
        assert server.requests[-1]["tool_choice"] == {"type": "none"}
        await talk.once()
        assert server.requests[-1]["tool_choice"] == {"type": "any"}
        assert [tool["name"] for tool in server.requests[-1]["tools"]] == ["weather"]


async def test_thoughts_are_not_said_and_go_back_with_the_calls_that_they_led_to() -> None:
    answers: list[Answer | str] = [Answer("Wait.", tool_calls=[ToolCall("weather", '{"city": "Oslo"}')]), "It is mild."]
    async with FakeAnthropic(answers) as server:
        server.thought = "The user wants to know."
        thinking = {"type": "enabled", "budget_tokens": 1024}
        async with Talk(llm(server, params={"thinking": thinking}), [TOOL]) as talk:
            assert await talk.say("The weather?") == "Wait.It is mild."
        block = server.requests[1]["messages"][1]["content"][0]
        assert block == {"type": "thinking", "thinking": "The user wants to know.", "signature": "c2lnbmVk"}


def read(*events: dict[str, Any]) -> Completion:
    answer = Completion(read=Anthropic().reader())
    for event in events:
        answer.take(json.dumps(event))
    return answer


END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}}


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("refusal", "held back by its content filter"),
        ("max_tokens", r"length limit \(max_tokens\)"),
        ("model_context_window_exceeded", "length limit"),
        ("tool_use", "calls no function"),
        ("end_turn", "answered with nothing"),
    ],
)
def test_an_answer_without_a_word_is_told(reason: str, message: str) -> None:
    answer = read({"type": "message_delta", "delta": {"stop_reason": reason}})
    assert answer.over
    with pytest.raises(AssertionError, match=message):
        assert answer.shortcoming(False) is None, answer.shortcoming(False)


def test_what_is_not_streamed_is_read() -> None:
    content = [
        {"type": "thinking", "thinking": "Hm.", "signature": "x"},
        {"type": "text", "text": "Hello."},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
    ]
    answer = read({"type": "message", "role": "assistant", "content": content, "stop_reason": "tool_use"})
    assert answer.text == "Hello." and answer.over
    call = answer.calls[0]
    assert (call.id, call.name, json.loads(call.arguments)) == ("t1", "f", {"a": 1})
    assert call.extra == {"anthropic": {"thinking": [content[0]]}}


@pytest.mark.parametrize("member", ["thinking", "data", "signature", "else"])
def test_thoughts_are_kept_only_so_long(member: str) -> None:
    dialect = Anthropic().reader()
    answer = Completion(read=dialect)
    for n in range(20):
        block = {"type": "thinking", "thinking": "", member: "x" * 50_000}
        answer.take(json.dumps({"type": "content_block_start", "index": n, "content_block": block}))
        assert len(json.dumps(dialect._thoughts)) < 2 * MAX_REASONING  # type: ignore[attr-defined]
    assert answer.moves == 20
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    answer.take(json.dumps({"type": "content_block_start", "index": 20, "content_block": call}))
    answer.take(json.dumps(END))
    assert [call.extra for call in answer.calls] == [None]


def test_events_that_nobody_knows_do_no_harm() -> None:
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    answer = read(
        {"type": "something_new"},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": ""}},
        {"type": "content_block_start"},  # broken
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "Hi."}},
        END,
    )
    assert (answer.text, answer.over, answer.shortcoming(False)) == ("Hi.", True, None)
    assert len(answer.problems) == 1 and "not what it should be" in answer.problems[0]


async def test_errors_are_told_without_the_services_words() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    raw = b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n"
    async with FakeAnthropic(Answer(raw=raw)) as server, Talk(llm(server)) as talk:
        with pytest.raises(ServiceError, match=r"broke off with an error$"):
            await talk.say("hi")
    async with FakeAnthropic("x", api_key="right") as server, Talk(llm(server, api_key="wrong")) as talk:
        with pytest.raises(ServiceError, match=r"answered 401$"):
            await talk.say("hi")
    async with FakeAnthropic(Answer("one two three", end_after=5)) as server, Talk(llm(server)) as talk:
        with pytest.raises(ServiceError, match="ended in the middle"):
            await talk.say("hi")


async def test_headers_of_the_clients_go_under_the_engines_own() -> None:
    headers = {"Anthropic-Version": "2024-01-01", "Accept": "text/html", "X-Team": "a"}
    async with FakeAnthropic("Hi.") as server, Talk(llm(server, api_key="k", headers=headers)) as talk:
        await talk.say("hi")
        got = server.received[0].headers
        assert (got["anthropic-version"], got["x-team"], got["x-api-key"]) == ("2024-01-01", "a", "k")
        assert got["accept"] == "text/event-stream"
    assert ChatClient(Llm(style="anthropic")).dialect.__class__ is Anthropic
