"""Gemini: what is asked against what Google's own client asks, and answers of every kind."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from google import genai
from google.genai import types

from lipwire.agents.brains.completion import Completion
from lipwire.agents.brains.dialects.base import question
from lipwire.agents.brains.dialects.gemini import Gemini
from lipwire.agents.config import Llm, Tool
from lipwire.agents.http import ServiceError
from support.asking import Talk
from support.fakes import Answer, ToolCall
from support.fakes.dialects import FakeGemini

SYSTEM = [{"role": "system", "content": "Be brief."}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
GOOGLE = "https://generativelanguage.googleapis.com/v1beta/models/g:streamGenerateContent"
PLACE = "projects/p/locations/l/publishers/google/models/g:streamGenerateContent"
VERTEX = f"https://us-east1-aiplatform.googleapis.com/v1/{PLACE}"


def weather(city: str) -> str:
    return f"21 degrees in {city}"


TOOL = Tool(name="weather", description="The weather.", parameters=WEATHER, run=weather)


def llm(server: FakeGemini, **more: Any) -> Llm:
    params = {"model": "gemini-x", **more.pop("params", {})}
    url = server.url.removesuffix("?alt=sse")
    return Llm(url=url, style="gemini", system_messages=SYSTEM, params=params, **more)


def camel(value: Any) -> Any:
    """google-genai writes some members with underscores, which the API reads as well, and base64 for URLs."""
    if isinstance(value, dict):
        named = {re.sub(r"_([a-z])", lambda m: m[1].upper(), k): camel(v) for k, v in value.items()}
        return {k: v.replace("-", "+").replace("_", "/") if k == "data" else v for k, v in named.items()}
    if isinstance(value, list):
        return [camel(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


async def test_a_question_is_what_the_official_client_asks() -> None:
    answers: list[Answer | str] = [
        Answer("Wait.", tool_calls=[ToolCall("weather", '{"city": "Oslo"}', id="c1")]),
        "It is mild.",
        "x",
        "x",
    ]
    async with FakeGemini(answers, api_key="AIza1") as server:
        params = {"temperature": 0.5, "top_p": 0.9, "top_k": 3, "max_output_tokens": 99}
        async with Talk(llm(server, api_key="AIza1", params=params), [TOOL]) as talk:
            assert await talk.say("The weather?") == "Wait.It is mild."
            assert await talk.say("And here?", jpeg=b"\xff\xd8\xff") == "x"
        base = server.url.partition("/v1beta")[0]
        official = genai.Client(api_key="AIza1", http_options=types.HttpOptions(base_url=base, api_version="v1beta"))
        call = types.FunctionCall(id="c1", name="weather", args={"city": "Oslo"})
        result = types.FunctionResponse(id="c1", name="weather", response={"output": "21 degrees in Oslo"})
        contents = [
            types.Content(role="user", parts=[types.Part(text="The weather?")]),
            types.Content(
                role="model",
                parts=[types.Part(text="Wait."), types.Part(function_call=call, thought_signature=b"signed")],
            ),
            types.Content(role="user", parts=[types.Part(function_response=result)]),
            types.Content(role="model", parts=[types.Part(text="It is mild.")]),
            types.Content(
                role="user",
                parts=[
                    types.Part(text="And here?"),
                    types.Part.from_bytes(data=b"\xff\xd8\xff", mime_type="image/jpeg"),
                ],
            ),
        ]
        function = types.FunctionDeclaration(name="weather", description="The weather.", parameters_json_schema=WEATHER)
        config = types.GenerateContentConfig(
            system_instruction=types.Content(parts=[types.Part(text="Be brief.")]),
            temperature=0.5,
            top_p=0.9,
            top_k=3,
            max_output_tokens=99,
            tools=[types.Tool(function_declarations=[function])],
        )
        stream = await official.aio.models.generate_content_stream(model="gemini-x", contents=contents, config=config)
        assert "".join([chunk.text or "" async for chunk in stream]) == "x"
        await official.aio.aclose()
        ours, theirs = server.received[-2:]
        assert camel(json.loads(ours.body)) == camel(json.loads(theirs.body))
        assert (ours.method, ours.path) == (theirs.method, theirs.path)
        assert ours.headers["x-goog-api-key"] == theirs.headers["x-goog-api-key"] == "AIza1"
        assert "authorization" not in ours.headers and "authorization" not in theirs.headers


def test_where_it_goes_and_with_which_key() -> None:
    dialect = Gemini()

    def of(url: str, key: str | None) -> tuple[str, dict[str, str]]:
        asked = Llm(url=url, api_key=key, style="gemini")
        return dialect.url(asked), dialect.headers(asked, {})

    assert of(GOOGLE, "AIza1") == (f"{GOOGLE}?alt=sse", {"x-goog-api-key": "AIza1"})
    assert of(f"{GOOGLE}?alt=sse&key=k", None) == (f"{GOOGLE}?alt=sse&key=k", {})  # as AgentKit sends it
    assert of(f"{GOOGLE}?key=k", None)[0] == f"{GOOGLE}?key=k&alt=sse"
    assert of(VERTEX, "ya29.token")[1] == {"authorization": "Bearer ya29.token"}
    assert of(VERTEX, "AQ.key")[1] == {"x-goog-api-key": "AQ.key"}
    assert dialect.headers(Llm(url=GOOGLE, api_key="k"), {"x-goog-api-key": "own"}) == {}


def test_params_have_their_places() -> None:
    given = {
        "model": "g",
        "max_tokens": 9,
        "stop": ["x"],
        "generationConfig": {"candidateCount": 1},
        "thinking_config": {"thinking_budget": 0},
        "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        "tools": [{"googleSearch": {}}],
        "tool_choice": "required",
    }
    function = {"function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}
    asked = question(Llm(style="gemini", params=given), [{"role": "user", "content": "hi"}], [function])
    body = Gemini().body(Llm(style="gemini", params=given), asked)
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {
            "maxOutputTokens": 9,
            "stopSequences": ["x"],
            "thinkingConfig": {"thinking_budget": 0},
            "candidateCount": 1,
        },
        "safetySettings": given["safety_settings"],
        "tools": [{"functionDeclarations": [{"name": "f", "description": "d"}]}, {"googleSearch": {}}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    }


async def test_it_is_told_to_answer_where_it_has_called_enough() -> None:
    calls = [ToolCall("weather", '{"city": "Oslo"}'), ToolCall("weather", '{"city": "Rome"}')]
    async with FakeGemini([Answer(tool_calls=calls), "Mild.", "x"]) as server, Talk(llm(server), [TOOL]) as talk:
        assert await talk.say("hi") == "Mild."
        answers = server.requests[1]["contents"][2]["parts"]
        assert [one["functionResponse"]["response"]["output"] for one in answers] == [
            "21 degrees in Oslo",
            "21 degrees in Rome",
        ]
        assert "id" not in answers[0]["functionResponse"]  # the service named none
        talk.context.add("user", "and?")
        await talk.once(may_call=False)
        assert server.requests[-1]["toolConfig"] == {"functionCallingConfig": {"mode": "NONE"}}


def read(*events: Any) -> Completion:
    answer = Completion(read=Gemini().reader())
    for event in events:
        answer.take(json.dumps(event))
    return answer


def candidate(text: str = "", reason: str = "STOP") -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": reason}]}


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (candidate(reason="SAFETY"), "content filter"),
        (candidate("And so", reason="PROHIBITED_CONTENT"), "content filter"),
        ({"promptFeedback": {"blockReason": "OTHER"}}, "content filter"),
        (candidate(reason="MAX_TOKENS"), "length limit"),
        (candidate(reason="MALFORMED_FUNCTION_CALL"), "calls no function"),
        (candidate(), "answered with nothing"),
    ],
)
def test_an_answer_without_a_word_is_told(event: dict[str, Any], message: str) -> None:
    answer = read(event)
    assert answer.over and message in (answer.shortcoming(False) or "")


def test_an_array_is_read_as_the_events_that_it_holds() -> None:
    first = {"candidates": [{"content": {"parts": [{"text": "Hello "}]}}]}
    assert read([first, candidate("there.")]).text == "Hello there."


async def test_errors_are_told_without_the_services_words() -> None:
    async with FakeGemini("x", api_key="AIza1") as server, Talk(llm(server, api_key="AIza2")) as talk:
        with pytest.raises(ServiceError, match=r"answered 401$"):
            await talk.say("hi")
    raw = b'data: {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}\n\n'
    async with FakeGemini(Answer(raw=raw)) as server, Talk(llm(server)) as talk:
        with pytest.raises(ServiceError, match=r"broke off with an error$"):
            await talk.say("hi")
