"""Chat completions: the stream cut at every byte, against the official client, faults of every kind; and the tools."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from contextlib import aclosing
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire.agents.brains import chat, tools
from lipwire.agents.brains.chat import ChatClient, Completion, Picture, Piece, SseReader, Timeouts
from lipwire.agents.brains.tools import Toolbox
from lipwire.agents.config import Llm, Tool
from lipwire.agents.http import ServiceError
from lipwire.errors import BadData
from support.fakes import Answer, FakeChat, schema
from support.fakes import ToolCall as CallOf
from support.fakes.chat import tone

USER = [{"role": "user", "content": "hi"}]
FAST = Timeouts(first_token=0.3, between=0.2)

RECORDING = (
    b"\xef\xbb\xbf: OPENROUTER PROCESSING\r\n\r\n"
    b'data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\r\n\r\n'
    b'event: message\nid: 7\nretry: 10\ndata:{"choices":[{"index":0,"delta":{"content":"Gr\xc3\xbc\xc3\x9fe, "}}]}\n\n'
    b'data: {"choices":\ndata: [{"index":0,"delta":{"content":"\xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function",'
    b'"function":{"name":"f","arguments":""}}]}}]}\r\r'
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g",'
    b'"arguments":"{}"}},{"index":0,"function":{"arguments":"{\\"x\\": 1}"}}]}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n'
    b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n'
    b"data: [DONE]\n\n"
)


def read(pieces: list[bytes]) -> tuple[list[str], Completion]:
    reader, reply = SseReader(), Completion()
    events = [event for piece in pieces for event in reader.feed(piece)] + reader.end()
    for event in events:
        reply.take(event)
    return events, reply


def check_recording(reply: Completion) -> None:
    assert reply.text == "Grüße, 你好 😀"
    assert [(c.id, c.name, c.arguments) for c in reply.calls] == [("a", "f", '{"x": 1}'), ("b", "g", "{}")]
    assert (reply.finish_reason, reply.done) == ("tool_calls", True)


def test_a_recording_cut_at_every_byte() -> None:
    whole, reply = read([RECORDING])
    check_recording(reply)
    for cut in range(len(RECORDING) + 1):
        events, reply = read([RECORDING[:cut], RECORDING[cut:]])
        assert events == whole, cut
        check_recording(reply)
    events, reply = read([RECORDING[i : i + 1] for i in range(len(RECORDING))])
    assert events == whole
    check_recording(reply)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"data: a", b"data:b", b":c", b"", b"x", b"\r", b"\n", b"\r\n", "ü".encode()])))
def test_any_cut_gives_the_same_events(parts: list[bytes]) -> None:
    data = b"".join(parts)

    def events(pieces: list[bytes]) -> list[str]:
        reader = SseReader()
        return [event for piece in pieces for event in reader.feed(piece)] + reader.end()

    whole = events([data])
    assert events([data[i : i + 1] for i in range(len(data))]) == whole
    assert events([data[i : i + 2] for i in range(0, len(data), 2)]) == whole


def test_an_endless_event_is_refused() -> None:
    for data in (b"data: " + b"x" * 600, b"data: " + b"x" * 100 + b"\n"):
        reader = SseReader(1000)
        with pytest.raises(BadData, match="more than 1000 bytes"):
            for _ in range(100):
                reader.feed(data)


def test_calls_without_an_index_are_several() -> None:
    reply = Completion()
    for name in ("f", "g"):
        function = {"name": name, "arguments": "{}"}
        reply.take(json.dumps({"choices": [{"delta": {"tool_calls": [{"id": name, "function": function}]}}]}))
    assert [call.name for call in reply.calls] == ["f", "g"]


async def ask(
    server: FakeChat, body: dict[str, Any] | None = None, timeouts: Timeouts | None = None, **llm: Any
) -> tuple[Completion, list[Piece]]:
    client = ChatClient(Llm(url=server.url, **llm), timeouts)
    reply, pieces = Completion(), []
    try:
        async with aclosing(client.stream(body or chat.build(client.llm, USER, []), reply)) as stream:
            async for piece in stream:
                pieces.append(piece)
    finally:
        await client.close()
    return reply, pieces


@pytest.mark.parametrize("cut", [None, 1, 7])
async def test_text_comes_as_it_is_sent(cut: int | None) -> None:
    async with FakeChat("Hello there, my friend.", cut=cut, api_key="sk-1") as server:
        reply, pieces = await ask(server, model="m", api_key="sk-1")
        assert reply.text == "Hello there, my friend." and reply.finish_reason == "stop"
        assert [piece.text for piece in pieces] == ["Hello ", "there, ", "my ", "friend.", ""]
        assert [piece.last for piece in pieces] == [False] * 4 + [True]


async def test_it_reads_what_the_official_client_reads() -> None:
    answer = Answer("One moment.", tool_calls=[CallOf("f", '{"a": [1, 2]}'), CallOf("g", "{}")])
    async with FakeChat(answer) as server:
        ours, _ = await ask(server, model="m")
        base = server.url.removesuffix("/chat/completions")
        async with openai.AsyncOpenAI(base_url=base, api_key="x") as official:
            text, arguments = "", dict[int, str]()
            stream = await official.chat.completions.create(model="m", messages=USER, stream=True)  # type: ignore
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
                for call in chunk.choices[0].delta.tool_calls or []:
                    arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
        assert (ours.text, [call.arguments for call in ours.calls]) == (text, list(arguments.values()))


async def test_audio_comes_as_pcm_with_its_transcript() -> None:
    async with FakeChat(Answer("Hello.", audio=0.5), extra=["x"]) as server:
        client = Llm(url=server.url, model="m", output_modalities=["text", "audio"], params={"x": 1})
        reply, pieces = await ask(server, chat.build(client, USER, [], "marin"))
        assert b"".join(piece.pcm for piece in pieces) == tone(0.5, 16_000)
        assert reply.text == "Hello." and reply.audio_ms == 500
        assert server.requests[0]["modalities"] == ["text", "audio"]
        assert server.requests[0]["audio"] == {"voice": "marin", "format": "pcm16"}


def test_sound_cut_within_a_sample_is_put_together() -> None:
    pcm, reply, got = bytes(range(100)), Completion(), b""
    for i in range(0, 100, 7):
        data = base64.b64encode(pcm[i : i + 7]).decode()
        piece = reply.take(json.dumps({"choices": [{"delta": {"audio": {"data": data}}}]}))
        got += piece.pcm if piece else b""
    assert got == pcm


async def test_what_a_request_carries() -> None:
    llm = Llm(
        model="m",
        system_messages=[{"role": "system", "content": "be brief"}],
        params={"temperature": 0.5, "stream": False},
        extra_metadata={"user": "Tomas"},
        metadata_enabled=True,
    )
    box = Toolbox([Tool(name="f", description="d", run=len), Tool(name="g")])
    jpeg = b"\xff\xd8\xff"
    body = chat.build(llm, [chat.with_picture(dict(USER[0]), Picture(jpeg, 0.0))], box.for_chat())
    assert schema.problems("chat", body) == []
    assert body["metadata"] == {"user": "Tomas"} and body["temperature"] == 0.5 and body["stream"] is True
    assert body["messages"][0] == {"role": "system", "content": "be brief"}
    parts = body["messages"][1]["content"]
    assert parts[0] == {"type": "text", "text": "hi"}
    assert parts[1]["image_url"]["url"] == "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
    llm.metadata_enabled = False
    assert "metadata" not in chat.build(llm, USER, [])


BROKEN = [
    (Answer("x", status=401), "answered 401$"),
    (Answer("x", status=500), "answered 500"),
    (Answer("one two three", break_after=2), "failed"),
    (Answer("one two three", end_after=2), "ended in the middle"),
    (Answer("x", first_token=9.0), "did not begin for 0.3 s"),
    (Answer("one two three", stall_after=3), "fell silent for 0.2 s"),
    (Answer(raw=b"data: {]\n\n" * 20), "stream is broken"),
    (Answer(raw=b'data: {"error": {"message": "overloaded"}}\n\n'), "broke off with an error$"),
    (Answer(raw=b"<html>no</html>"), "ended in the middle"),
    (Answer(raw=b"data: " + b"x" * (2 << 20)), "more than 1048576 bytes"),
    (Answer("word " * 20_000), "more than 32768 characters"),
    (Answer(tool_calls=[CallOf("f", "x" * 200_000)]), "more than 65536 characters"),
    (Answer(tool_calls=[CallOf("f")] * 20), "more than 16 functions"),
    (Answer(raw=b'data: {"choices":[{"delta":{"audio":{"data":"*"}}}]}\n\n'), "no base64"),
]


@pytest.mark.parametrize(("answer", "message"), BROKEN)
async def test_a_fault_is_an_error_that_says_what(answer: Answer, message: str) -> None:
    async with FakeChat(answer) as server:
        with pytest.raises(ServiceError, match=message):
            await ask(server, timeouts=FAST if answer.stall_after or answer.first_token else None)


async def test_nobody_there() -> None:
    async with FakeChat() as server:
        pass
    with pytest.raises(ServiceError, match=r"the LLM at 127\.0\.0\.1:\d+ failed"):
        await ask(server)
    with pytest.raises(ServiceError, match="failed"):
        await ask(server, body={}, **{})
    client = ChatClient(Llm(url="ftp://x"))
    with pytest.raises(ServiceError, match="failed"):
        async for _ in client.stream({}, Completion()):
            pass
    await client.close()


async def test_a_connection_that_the_service_closed_between_turns_is_replaced() -> None:
    async with FakeChat() as server:
        client = ChatClient(Llm(url=server.url))
        body = chat.build(client.llm, USER, [])
        for expected in (1, 1, 2):
            if expected == 2:
                server.fail_with = [0]  # cut without an answer, as a stale connection is
            reply = Completion()
            async for _ in client.stream(body, reply):
                pass
            assert (reply.text, server.connections) == ("Hello there.", expected)
        await client.close()


async def test_a_role_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeChat("one two", first_token=0.3) as server:  # the role comes at once
        assert (await ask(server, timeouts=Timeouts(first_token=5.0, between=0.2)))[0].text == "one two"
    monkeypatch.setattr(chat, "MAX_SECONDS", 0.3)
    async with FakeChat("word " * 100, token_interval=0.05) as server:
        with pytest.raises(ServiceError, match="fell silent"):
            await ask(server, timeouts=Timeouts())


async def test_slow_work_on_a_piece_is_not_the_services_fault() -> None:
    async with FakeChat("one two three") as server:
        client, reply = ChatClient(Llm(url=server.url), Timeouts(first_token=2.0, between=1.0)), Completion()
        async for piece in client.stream(chat.build(client.llm, USER, []), reply):
            await asyncio.sleep(1.2 if piece.text == "two " else 0)
        assert reply.text == "one two three"
        await client.close()


async def test_a_reply_that_is_not_streamed_is_read_all_the_same() -> None:
    class Whole(FakeChat):
        async def answer(self, request: Any) -> Any:
            response = await super().answer(request)
            response.stream, response.type = None, "application/json"
            message = {"role": "assistant", "content": "All at once."}
            response.body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
            return response

    async with Whole() as server:
        assert (await ask(server))[0].text == "All at once."


# --------------------------------------------------------------------------------------------------------------- tools

WEATHER = Tool(
    name="weather",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
            "unit": {"enum": ["C", "F"]},
            "spots": {"type": "array", "items": {"type": "object", "required": ["x"]}},
        },
        "required": ["city"],
        "additionalProperties": False,
    },
    run=lambda city, days=1, unit="C", spots=(): {"city": city, "sky": ["blue"] * int(days)},
)


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ('{"city": "Bonn", "days": 2}', {"city": "Bonn", "sky": ["blue", "blue"]}),
        ('{"city": "Bonn", "days": 1.0}', {"city": "Bonn", "sky": ["blue"]}),
        ("", {"error": "city is missing"}),
        ("{", {"error": "the arguments are no JSON: Input data was truncated"}),
        ("[]", {"error": "the arguments must be a JSON object"}),
        ('{"city": 7}', {"error": "city must be string, not 7"}),
        ('{"city": "x", "days": true}', {"error": "days must be integer, not true"}),
        ('{"city": "x", "days": 9}', {"error": "days must be 1 to 7"}),
        ('{"city": "x", "unit": "K"}', {"error": "unit must be one of C, F"}),
        ('{"city": "x", "spots": [{"x": 1}, {}]}', {"error": "spots[1].x is missing"}),
        ('{"city": "x", "town": "y"}', {"error": "town is unknown"}),
    ],
)
async def test_arguments_are_checked_and_the_model_is_told(arguments: str, answer: Any) -> None:
    result, failed = await Toolbox([WEATHER]).run("weather", arguments)
    assert json.loads(result) == answer
    assert (failed is not None) == ("error" in answer)


async def test_deep_arguments_are_an_error() -> None:
    result, failed = await Toolbox([WEATHER]).run("weather", '{"city":' + "[" * 60_000)
    assert failed and "error" in json.loads(result)


async def test_whatever_a_function_does_the_model_gets_an_answer() -> None:
    async def later(n: int = 1) -> int:
        await asyncio.sleep(0)
        return n + 1

    def bad() -> None:
        raise ValueError("no such thing")

    async def never() -> None:
        await asyncio.sleep(60)

    box = Toolbox(
        [
            Tool(name="later", run=later),
            Tool(name="bad", run=bad),
            Tool(name="never", run=never),
            Tool(name="slow", run=lambda: time.sleep(0.6)),
            Tool(name="text", run=lambda: "plain"),
            Tool(name="odd", run=lambda: object()),
            Tool(name="big", run=lambda: "x" * 100_000),
            Tool(name="theirs"),
        ],
        timeout=0.2,
    )
    assert await box.run("later", '{"n": 2}') == ("3", None)
    assert await box.run("text", "") == ("plain", None)
    for name, arguments, message in [
        ("bad", "", "bad failed: no such thing"),
        ("later", '{"m": 1}', "unexpected keyword argument"),
        ("never", "", "did not answer within 0.2 s"),
        ("slow", "", "did not answer within 0.2 s"),
        ("odd", "", "no JSON"),
        ("big", "", "100000 characters"),
        ("nothing", "{}", "no function 'nothing'; there are: later, bad"),
    ]:
        result, failed = await box.run(name, arguments)
        assert failed and message in failed, name
        assert json.loads(result) == {"error": failed}
    assert box.of_client("theirs") and not box.of_client("later") and not box.of_client("nothing")
    assert tools.problem(1, {"type": ["string", "null"]}) == "the arguments must be string or null, not 1"
