"""Chat completions: the stream cut at every byte, against the official client, faults of every kind; and the tools."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from contextlib import aclosing, nullcontext, suppress
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from lipwire.agents.brains import chat, tools
from lipwire.agents.brains.calls import Call
from lipwire.agents.brains.chat import ChatClient, Picture, Timeouts
from lipwire.agents.brains.completion import Completion, Piece
from lipwire.agents.brains.dialects.openai import build
from lipwire.agents.brains.sse import SseReader
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


def test_lines_without_a_word_count_too() -> None:
    reader = SseReader(1000)
    with pytest.raises(BadData, match="more than 1000 bytes"):
        reader.feed(b"data:\n" * 1001)


async def ask(
    server: FakeChat, body: dict[str, Any] | None = None, timeouts: Timeouts | None = None, **llm: Any
) -> tuple[Completion, list[Piece]]:
    client = ChatClient(Llm(url=server.url, **llm), timeouts)
    reply, pieces = Completion(), []
    try:
        async with aclosing(client.stream(body or build(client.llm, USER, []), reply)) as stream:
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
        reply, pieces = await ask(server, build(client, USER, [], "marin"))
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
    body = build(llm, [chat.with_picture(dict(USER[0]), Picture(jpeg, 0.0))], box.for_chat())
    assert schema.problems("chat", body) == []
    assert body["metadata"] == {"user": "Tomas"} and body["temperature"] == 0.5 and body["stream"] is True
    assert body["messages"][0] == {"role": "system", "content": "be brief"}
    parts = body["messages"][1]["content"]
    assert parts[0] == {"type": "text", "text": "hi"}
    assert parts[1]["image_url"]["url"] == "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
    llm.metadata_enabled = False
    assert "metadata" not in build(llm, USER, [])
    llm.params = {"tool_choice": "required", "parallel_tool_calls": False}  # once a question, not for ever
    called: list[dict[str, Any]] = [
        *USER,
        {"role": "assistant", "content": None, "tool_calls": [Call("a", "f").as_message()]},
    ]
    answered = [*called, {"role": "tool", "tool_call_id": "a", "content": "1"}]
    assert build(llm, USER, box.for_chat())["tool_choice"] == "required"
    assert build(llm, answered, box.for_chat())["tool_choice"] == "auto"
    assert build(llm, answered, []).keys() == {"model", "messages", "stream"}


def event(*deltas: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """An event for each delta, the last with the reason; `more`: members of the choice."""
    reasons = [None] * (len(deltas) - 1) + [finish]
    choices = [
        {"index": 0, "delta": one, "finish_reason": why, **more} for one, why in zip(deltas, reasons, strict=True)
    ]
    return b"".join(b"data: " + json.dumps({"choices": [one]}).encode() + b"\n\n" for one in choices)


def whole(message: dict[str, Any], finish: str = "stop") -> bytes:
    """An answer that is not streamed, as somebody prints it."""
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}]}, indent=1).encode()


def again(message: dict[str, Any], finish: str = "stop") -> bytes:
    """The last event of a service that ends with all of the answer once more."""
    return b"data: " + json.dumps(json.loads(whole(message, finish))).encode() + b"\n\n"


BROKEN = [
    (Answer("x", status=401), "answered 401$"),
    (Answer("x", status=500), "answered 500"),
    (Answer("one two three", break_after=2), "failed"),
    (Answer("one two three", end_after=2), "ended in the middle"),
    (Answer("x", first_token=9.0), "did not begin for 0.3 s"),
    (Answer("one two three", stall_after=3), "fell silent for 0.2 s"),
    (Answer(raw=b"data: {]\n\n" * 20), "stream is broken"),
    *(
        (Answer(raw=b"data: " + error + b"\n\n", label=label), "broke off with an error$")
        for label in ("text/event-stream", "application/json")
        for error in (
            b'{"error": {"message": "overloaded"}}',
            b'{"error": "overloaded"}',
            b'[{"error": {"code": 400}}]',
            b'{"object": "error", "message": "too long", "code": 400}',
            b'{"type": "error", "message": "overloaded"}',
            b'{"detail": "Not Found"}',
            b'{"choices": [{"delta": {}, "error": {"code": 502}}]}',
            b'{"choices": [{"delta": {"content": ""}, "finish_reason": "error"}]}',
        )
    ),
    (Answer(raw=b'{"error": {"message": "overloaded"}}', label="application/json"), "broke off with an error$"),
    (Answer(raw=b'[{"error": {"message": "overloaded"}}]', label="text/event-stream"), "broke off with an error$"),
    (
        Answer(raw=event({"content": []}).replace(b"[]}", b"[" * 2000 + b"]" * 2000 + b"}")),
        "nested too deeply|ended in",
    ),
    (Answer(raw=b"", label="application/json"), "ended in the middle"),
    (Answer(raw=b"<html>no</html>", label="text/html"), "ended in the middle of the reply; it is labelled text/html$"),
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


@pytest.mark.parametrize(
    ("status", "after", "asked", "answer"),
    [
        (429, {"retry-after": "0.1"}, 2, "Fine."),
        (503, {}, 2, "Fine."),
        (529, {"retry-after-ms": "1"}, 2, "Fine."),
        (429, {"retry-after": "3600"}, 1, ""),
        (500, {"retry-after": "0"}, 1, ""),  # it may have been thought about
        (401, {}, 1, ""),
    ],
)
async def test_a_service_that_is_busy_is_asked_once_more(
    status: int, after: dict[str, str], asked: int, answer: str
) -> None:
    async with FakeChat([Answer(status=status, headers=after), "Fine."]) as server:
        client, reply = ChatClient(Llm(url=server.url)), Completion()
        with nullcontext() if answer else pytest.raises(ServiceError, match=f"answered {status}"):
            async for _ in client.stream(build(client.llm, USER, []), reply):
                pass
        assert (reply.text, len(server.requests)) == (answer, asked)
        await client.close()
    async with FakeChat(Answer(status=429, headers={"retry-after": "0"})) as server:
        with pytest.raises(ServiceError, match="answered 429"):
            await ask(server)
        assert len(server.requests) == 2


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
        body = build(client.llm, USER, [])
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
        async for piece in client.stream(build(client.llm, USER, []), reply):
            await asyncio.sleep(1.2 if piece.text == "two " else 0)
        assert reply.text == "one two three"
        await client.close()


STOP, DONE = event({}, finish="stop"), b"data: [DONE]\n\n"
HELLO = event({"role": "assistant", "content": ""}, {"content": "Hello "}, {"content": "there."})
PARTS = [{"type": "text", "text": "Hello "}, {"type": "text", "text": {"value": "there."}}]
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
READ: dict[str, tuple[bytes, str]] = {
    "no done": (HELLO + STOP, "text/event-stream; charset=utf-8"),
    "no reason": (HELLO + DONE, ""),
    "plain text": (HELLO + STOP + DONE, "text/plain"),
    "called JSON": (HELLO + STOP + DONE, "application/json"),
    "called HTML": (b": ping\n\n" + HELLO + STOP, "text/html"),
    "a mark and blanks": (b"\xef\xbb\xbf\n\n" + HELLO + STOP, "application/octet-stream"),
    "no blank after the colon": (HELLO.replace(b"data: ", b"data:") + b"data:[DONE]", "text/event-stream"),
    "CR LF": ((HELLO + STOP).replace(b"\n", b"\r\n"), "text/event-stream"),
    "CR": ((HELLO + STOP).replace(b"\n", b"\r"), "text/event-stream"),
    "no empty lines": ((HELLO + STOP + DONE).replace(b"\n\n", b"\n"), "text/event-stream"),
    "not streamed": (whole({"role": "assistant", "content": "Hello there."}), "application/json"),
    "not streamed, called a stream": (whole({"content": "Hello there."}), "text/event-stream"),
    "not streamed, after a mark": (b"\xef\xbb\xbf" + whole({"content": PARTS}), "application/json"),
    "a line each": ((HELLO + STOP).replace(b"data: ", b"").replace(b"\n\n", b"\n"), "application/x-ndjson"),
    "usage, and events without a choice": (
        b'data: {"choices":[],"prompt_filter_results":[]}\n\ndata: {}\n\ndata: {"choices":null,"error":null}\n\n'
        + HELLO + STOP + b'data: {"choices":[],"usage":{"total_tokens":3}}\n\n' + DONE, "text/event-stream"),
    "data that is none": (b"data:\n\ndata: ping\n\n" + HELLO + b"data: \n\n" + STOP + b"data: DONE\n\n", ""),
    "other choices": (HELLO + event({"content": "No!"}, index=1) + STOP, "text/event-stream"),
    "reasons that are none": (event({"content": "Hello "}, finish="") + event({"content": "there."}, finish="null")
                              + STOP, ""),
    "parts": (event({"content": PARTS}) + STOP, "text/event-stream"),
    "parts one by one": (event({"content": PARTS[:1]}, {"content": PARTS[1]}) + STOP, "text/event-stream"),
    "all of it once more at its end": (HELLO + again({"role": "assistant", "content": "Hello there."}), ""),
    "all of it once more after its end": (HELLO + STOP + again({"content": PARTS}), ""),
    "messages for deltas": (event({}, message={"content": "Hello "}).replace(b'"delta": {}, ', b"") + event(
                            {}, finish="stop", message={"content": "there."}).replace(b'"delta": {}, ', b""), ""),
    "only thoughts as deltas": (event({"reasoning_content": "hm"}) + again({"content": "Hello there."}), ""),
    "old completions": (b'data: {"choices":[{"text":"Hello there.","finish_reason":"stop"}]}\n\n', ""),
    "a refusal": (event({"refusal": "Hello "}, {"refusal": "there."}) + STOP, ""),
    "thoughts beside": (event({"reasoning_content": "hm"}, {"reasoning": "hm"}, {"reasoning_details": [{"text": "hm"}]})
                        + HELLO + STOP, "text/event-stream"),
    "thoughts in parts": (event({"content": [THOUGHT]}, {"content": [{"type": "reasoning", "text": "x"}, *PARTS]})
                          + STOP, "text/event-stream"),
    "thoughts in text": (event({"content": "<thi"}, {"content": "nk>hm</th"}, {"content": "ink>\n\nHello there."},
                               {"content": "<"}, {"content": "think>and"}) + STOP, "text/event-stream"),
    "thoughts not streamed": (whole({"content": "hm, hm</think>Hello there.", "reasoning_content": "hm"}), ""),
    "thoughts that nothing opened": (event({"content": "Hm, a greeting. "}, {"content": "I greet.</think>"}) + HELLO
                                     + STOP, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
async def test_whatever_form_it_has_it_is_read(name: str) -> None:
    raw, label = READ[name]
    for cut in (None, 1):
        async with FakeChat(Answer(raw=raw, label=label), cut=cut) as server:
            reply, pieces = await ask(server)
        said = "".join("" if piece is None else piece.text for piece in pieces[_unsaid(pieces) :])
        assert (reply.text, said) == ("Hello there.", "Hello there.")
        assert reply.problems == [] and reply.shortcoming(False) is None and reply.began


def _unsaid(pieces: list[Piece]) -> int:
    return next((i for i in reversed(range(len(pieces))) if pieces[i].unsaid), 0)


async def test_halves_of_a_character_are_put_together() -> None:
    raw = event({"content": "a \ud83d"}, {"content": "\ude00 b"}, {"content": "\ud83d"}, {"content": "c \ude00"}) + STOP
    async with FakeChat(Answer(raw=raw)) as server:
        reply, pieces = await ask(server)
    assert reply.text == "a 😀 b\ufffdc \ufffd" == "".join(piece.text for piece in pieces)
    assert json.loads(json.dumps(build(Llm(), [{"role": "user", "content": reply.text}], [])))


async def test_half_a_character_breaks_neither_what_is_told_nor_what_is_asked() -> None:
    half = "\ud83d"
    call = {"index": 0, "id": half, "function": {"name": "f", "arguments": json.dumps({"a": half})}}
    delta = {"reasoning_content": half, "refusal": f"No{half}", "tool_calls": [call], "content": [{"type": half}]}
    end = b"data: " + json.dumps({"choices": [{"delta": {}, "finish_reason": half}]}).encode() + b"\n\n"
    async with FakeChat(Answer(raw=event(delta) + end)) as server:
        reply, _ = await ask(server)
        for text in (*reply.problems, reply.refusal, reply.finish_reason):
            assert text is not None and text.encode()
        made: dict[str, Any] = {"role": "assistant", "content": reply.text, "reasoning_content": reply.reasoning}
        made["tool_calls"] = [call.as_message() for call in reply.calls]
        answer = {"role": "tool", "tool_call_id": reply.calls[0].id, "content": "ok"}
        await ask(server, build(Llm(), [*USER, made, answer], []))
        assert server.requests[1]["messages"][1]["reasoning_content"] == "\ufffd"


def test_members_that_nobody_reads_are_not_kept() -> None:
    reply = Completion()
    for n in range(100):
        reply.take(json.dumps({"choices": [{"delta": {f"x{n}": 1, "content": "a"}}]}))
    assert reply._streamed == {"content"}


@pytest.mark.parametrize(
    ("reason", "delta", "message"),
    [
        ("content_filter", {}, "held back by its content filter"),
        ("content_filter", {"content": "And so "}, "held back by its content filter"),
        ("SAFETY", {}, "held back by its content filter"),
        ("PROHIBITED_CONTENT: x", {}, "held back by its content filter"),
        ("length", {}, r"length limit \(length\) before its answer"),
        ("length", {"reasoning_content": "hm"}, r"length limit \(length\) before its thoughts"),
        ("length", {"content": "<think>hm"}, r"length limit \(length\) before its thoughts"),
        ("MAX_TOKENS", {"content": " \n"}, "length limit"),
        ("stop", {}, r"with nothing \(stop\)"),
        ("stop", {"content": None}, r"with nothing \(stop\)"),
        ("stop", {"content": "<think>hm</think>"}, r"with nothing \(stop\)"),
        ("tool_calls", {"tool_calls": []}, "calls no function"),
        ("malformed_function_call", {}, "calls no function"),
    ],
)
async def test_an_answer_without_a_word_is_told(reason: str, delta: dict[str, Any], message: str) -> None:
    for raw, label in ((event(delta, finish=reason) + DONE, ""), (whole(delta, reason), "application/json")):
        async with FakeChat(Answer(raw=raw, label=label)) as server:
            reply, _ = await ask(server)
        assert re.search(message, reply.shortcoming(False) or "")
    assert (reply.shortcoming(True) is None) == (reason == "stop")


CUT = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x": 1'}}
FIRST = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x": 1}'}}
SECOND = {"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}


@pytest.mark.parametrize(
    ("delta", "made", "told"),
    [
        ({"tool_calls": [CUT]}, [], "middle of a call: f$"),
        ({"tool_calls": [FIRST, SECOND]}, ["f"], "middle of a call: g$"),
        ({"tool_calls": [FIRST]}, ["f"], None),
        ({"content": '<tool_call>{"name": "f", "argu'}, [], "middle of a call: {"),
        ({"content": "<function=f><parameter=x>1</parameter><parameter=y>2"}, [], "middle of a call: <function=f>"),
        ({"content": '<tool_call>{"name": "f", "arguments": {}}'}, ["f"], None),
        ({"content": "Yes. <think>hm"}, [], None),
        ({"content": '{"name": "f", "parameters": {"x'}, [], 'middle of a call: {"name'),
    ],
)
def test_a_call_that_was_cut_off_is_not_made(delta: dict[str, Any], made: list[str], told: str | None) -> None:
    def answer(reason: str) -> Completion:
        reply = Completion(("f", "g"))
        reply.take(event(delta, finish=reason)[6:].decode())
        return reply

    reply = answer("length")
    assert [call.name for call in reply.calls] == made
    assert len(reply.problems) == (told is not None) and all(re.search(told or "", one) for one in reply.problems)
    if made or reply.text:
        assert reply.shortcoming(False) is None
    else:
        assert reply.shortcoming(False) == "the LLM was cut off at its length limit (length) in the middle of a call"
    assert "cut off" not in str(answer("stop").problems)


BARE = '{"name": "f", "parameters": {"x": 1}}'


@pytest.mark.parametrize(
    ("text", "said", "made"),
    [
        (BARE, "", ["f"]),
        (f"```json\n{BARE}\n```", "", ["f"]),
        (f"<think>hm</think>\n[{BARE}]", "", ["f"]),
        (f"{BARE}</think>Hello.", "Hello.", []),
        (BARE.replace("f", "no", 1), BARE.replace("f", "no", 1), []),
        (f"So: {BARE}", f"So: {BARE}", []),
        ('{"a": 1}', '{"a": 1}', []),
        ("[laughs] Hello.", "[laughs] Hello.", []),
    ],
)
@pytest.mark.parametrize("step", [1, 100])
def test_a_text_that_is_only_a_call_is_one(text: str, said: str, made: list[str], step: int) -> None:
    reply, heard = Completion(("f", "g")), ""
    for delta in [*(text[i : i + step] for i in range(0, len(text), step)), None]:
        choice = {"delta": {"content": delta}, "finish_reason": None if delta else "stop"}
        if (piece := reply.take(json.dumps({"choices": [choice]}))) is not None:
            heard = piece.text if piece.unsaid else heard + piece.text
    assert (reply.text, heard, [call.name for call in reply.calls]) == (said, said, made)
    assert not reply.problems


async def test_calls_that_come_once_more_with_all_of_the_answer_are_made_once() -> None:
    message = {"content": "Hello there.", "tool_calls": [{"id": "z", **FIRST}]}
    written = event({"content": 'Hello there.<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>'})
    for raw in (HELLO + event({"tool_calls": [FIRST]}) + again(message, "tool_calls"), HELLO + again(message),
                written + event({"tool_calls": [FIRST]}, finish="tool_calls")):  # fmt: skip
        async with FakeChat(Answer(raw=raw)) as server:
            reply, _ = await ask(server)
        assert reply.text == "Hello there." and [(call.name, call.arguments) for call in reply.calls] == [
            ("f", '{"x": 1}')
        ]


async def test_what_cannot_be_read_is_told() -> None:
    raw = b"data: {oops\n\ndata: 7\n\n" + event({"content": [{"type": "image", "url": "x"}]}) + HELLO + STOP
    async with FakeChat(Answer(raw=raw)) as server:
        reply, _ = await ask(server)
    assert reply.text == "Hello there."
    assert [re.search("no JSON|no object|'image'", problem) is not None for problem in reply.problems] == [True] * 3


async def test_a_model_that_opens_no_thought_is_known_from_then_on() -> None:
    raw = event({"content": "Hm, a greeting. "}, {"content": "</think>"}) + HELLO + STOP
    async with FakeChat(Answer(raw=raw)) as server:
        client = ChatClient(Llm(url=server.url, model="m"))
        unsaid = []
        for _ in range(2):
            pieces = [piece async for piece in client.stream(build(client.llm, USER, []), Completion())]
            unsaid.append(any(piece.unsaid for piece in pieces))
        client.llm = Llm(url=server.url, model="deepseek-ai/DeepSeek-R1-Distill-Qwen-7B")  # it is known of this one
        pieces = [piece async for piece in client.stream(build(client.llm, USER, []), Completion())]
        assert [*unsaid, any(piece.unsaid for piece in pieces)] == [True, False, False]
        await client.close()


async def test_a_service_that_says_with_every_piece_that_it_is_the_last_is_heard_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Eager(FakeChat):
        async def _stream(self, reply: Answer, body: dict[str, Any]) -> Any:
            yield event({"content": "One "}, finish="stop") + event({"content": "two "}, finish="stop")
            await asyncio.sleep(0.3)
            yield event({"content": "three."}, finish="stop")

    monkeypatch.setattr(chat, "LINGER", 0.05)
    async with Eager() as server:
        assert (await ask(server))[0].text == "One two three."


async def test_signs_of_life_are_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(FakeChat):
        async def _stream(self, reply: Answer, body: dict[str, Any]) -> Any:
            for _ in range(5):
                yield reply.raw
                await asyncio.sleep(0.3)
            yield HELLO + STOP

    async def said(sign: bytes) -> str:
        async with Slow(Answer(raw=sign)) as server:
            return (await ask(server, timeouts=Timeouts(first_token=1.2, between=1.2)))[0].text

    signs = (
        b": ping\n\n",
        b"data: {}\n\n",
        event({"reasoning_content": "hm"}),
        event({"content": "<think>hm</think>"}),
    )
    assert await asyncio.gather(*map(said, signs)) == ["Hello there."] * 4
    monkeypatch.setattr(chat, "ALIVE", 0.7)
    with pytest.raises(ServiceError, match=r"sent nothing of a reply for 0.7 s"):
        await said(signs[0])


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

    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await released.wait()

    async def cancelled() -> None:
        raise asyncio.CancelledError

    class Model(BaseModel):
        text: str = "sunny"
        more: str | None = None

    released = asyncio.Event()
    box = Toolbox(
        [
            Tool(name="later", run=later),
            Tool(name="bad", run=bad),
            Tool(name="never", run=never),
            Tool(name="stubborn", run=stubborn),
            Tool(name="cancelled", run=cancelled),
            Tool(name="model", run=lambda: [Model()]),
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
    assert await box.run("model", "") == ('[{"text":"sunny"}]', None)
    for name, arguments, message in [
        ("bad", "", "bad failed: no such thing"),
        ("later", '{"m": 1}', "unexpected keyword argument"),
        ("never", "", "did not answer within 0.2 s"),
        ("stubborn", "", "did not answer within 0.2 s"),
        ("cancelled", "", "cancelled was cancelled"),
        ("slow", "", "did not answer within 0.2 s"),
        ("odd", "", "no JSON"),
        ("big", "", "100000 characters"),
        ("nothing", "{}", "no function 'nothing'; there are: later, bad"),
    ]:
        result, failed = await box.run(name, arguments)
        assert failed and message in failed, name
        assert json.loads(result) == {"error": failed}
    released.set()
    assert [box.known(name) for name in ("functions.later", "later<|channel|>json", " bad ", "x.y")] == [
        "later",
        "later",
        "bad",
        "x.y",
    ]
    assert box.of_client("theirs") and not box.of_client("later") and not box.of_client("nothing")
    assert tools.problem(1, {"type": ["string", "null"]}) == "the arguments must be string or null, not 1"
