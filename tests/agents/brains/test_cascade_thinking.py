"""How the cascade thinks: what is asked, which functions are called, and answers that are none."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from typing import Any

import pytest

from lipwire.agents.brains import cascade_thinking, prompt, tools
from lipwire.agents.brains.base import (
    Failed,
    ReplyAudio,
    ReplyFinished,
    ReplyStarted,
    Services,
    SpeechStarted,
    ToolCalled,
    UserText,
)
from lipwire.agents.brains.calls import MAX_ROUNDS
from lipwire.agents.brains.cascade import CascadeBrain
from lipwire.agents.config import AgentConfig, Llm, Tool
from lipwire.agents.options import McpServer, ToolServer
from support.cascade import SILENCE, Scene, scene
from support.fakes import Answer, ToolCall
from support.fakes.mcp import mcp_server


async def test_users_and_agents_messages_are_counted_separately() -> None:
    async with scene(
        llm={"max_history": 2, "system_messages": [{"role": "system", "content": "be brief"}]},
        instructions="be kind",
    ) as s:
        for i in range(5):
            s.brain.tell(f"q{i}")
            await s.record.wait(ReplyFinished, i + 1)
        assert s.asked() == [
            ("system", "be brief\n\nbe kind"),
            ("user", prompt.OPENING),
            ("assistant", "Hello there."),
            ("user", "q3"),
            ("assistant", "Hello there."),
            ("user", "q4"),
        ]
        s.brain.update({"llm.max_history": 0, "instructions": None})
        s.brain.tell("alone", respond=False)
        s.brain.respond("in French")
        await s.record.wait(ReplyFinished, 6)
        assert s.asked() == [("system", "be brief"), ("user", "alone\n<system>in French</system>")]
        s.brain.tell("and now?")
        await s.record.wait(ReplyFinished, 7)
        assert s.asked() == [("system", "be brief"), ("user", "and now?")]


async def test_the_operators_headers_go_to_the_operators_service() -> None:
    own = {"X-A": "1", "X-B": "2"}
    for url, headers in (("http://127.0.0.1:1", own), ("http://127.0.0.1:2", {})):
        services = Services(llm_url="http://127.0.0.1:1", llm_headers=own, tts_url="http://a", stt_url="http://b")
        brain = CascadeBrain(AgentConfig(name="a", channel="c", llm=Llm(url=url)), services)
        assert brain._thinking._chat._headers() == headers
        await brain.close()


async def test_functions_of_ours_and_of_the_clients() -> None:
    calls = [ToolCall("add", '{"a": 1, "b": 2}'), ToolCall("locate"), ToolCall("nothing"), ToolCall("add", "{")]
    replies = [Answer("One moment.", tool_calls=calls), "It is three, in Bonn."]
    box = [
        Tool(name="add", parameters={"type": "object", "required": ["a", "b"]}, run=lambda a, b: a + b),
        Tool(name="locate"),
    ]
    async with scene(replies, tools=box) as s:
        s.brain.tell("how much?")
        asked = await s.record.wait(ToolCalled, handled=False)
        s.brain.tool_result("unknown", "x")
        s.brain.tool_result(asked.call_id, "Bonn")
        s.brain.tool_result(asked.call_id, "twice")
        done = await s.record.wait(ReplyFinished)
        assert done.text == "One moment. It is three, in Bonn." and done.reason == "done"
        messages = s.chat.requests[1]["messages"]
        assert messages[1]["content"] == "One moment." and len(messages[1]["tool_calls"]) == 4
        results = [message["content"] for message in messages[2:]]
        assert results[:2] == ["3", "Bonn"]
        assert "no function 'nothing'" in json.loads(results[2])["error"]
        assert "no JSON" in json.loads(results[3])["error"]
        assert [f.code for f in s.record.of(Failed)] == ["TOOL_ERROR"] * 2
        assert all(f.reply_id is None and not f.fatal for f in s.record.of(Failed))
        s.brain.tell("thanks")
        await s.record.wait(ReplyFinished, 2)
        assert [role for role, _ in s.asked()] == ["user", "assistant", *["tool"] * 4, "assistant", "user"]
        assert [text for role, text in s.asked() if role == "assistant"] == ["One moment.", "It is three, in Bonn."]


async def test_a_client_that_does_not_answer_and_a_model_that_only_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "CLIENT_TIMEOUT", 0.05)

    def reply(body: dict[str, Any]) -> Answer:
        return Answer(tool_calls=[ToolCall("locate", id="same")]) if body.get("tools") else Answer("I give up.")

    async with scene(reply, tools=[Tool(name="locate")]) as s:
        s.brain.tell("where am I?")
        assert (await s.record.wait(ReplyFinished)).text == "I give up."
        assert len(s.chat.requests) == MAX_ROUNDS + 1
        assert "did not answer within" in s.record.of(Failed)[0].message
    async with scene('{"name": "f", "parameters": {}}', tools=[Tool(name="f", run=lambda: 1)]) as s:
        s.brain.tell("where am I?")
        assert (await s.record.wait(ReplyFinished)).text == "" and s.tts.texts == []
        assert "and gave no answer" in s.record.of(Failed)[0].message


# ------------------------------------------------------------------------------------------ functions that have effects


class Booking:
    """A function with effects, that takes its time; and a model that calls it unless it knows what came of it."""

    def __init__(self, kind: str = "async", result: str = "booked") -> None:
        self.begun, self.result, self.go = 0, result, threading.Event()
        self.tool = Tool(name="book", run={"async": self.run, "thread": self.run_blocking, "client": None}[kind])

    async def run(self) -> str:
        self.begun += 1
        while not self.go.is_set():
            await asyncio.sleep(0.005)
        if self.result == "raise":
            raise RuntimeError("fully booked")
        return self.result

    def run_blocking(self) -> str:
        self.begun += 1
        assert self.go.wait(20)
        return self.result

    def model(self, body: dict[str, Any]) -> Answer:
        known = any(message["role"] == "tool" for message in body["messages"])
        return Answer("Your table is booked.") if known else Answer(tool_calls=[ToolCall("book")])

    async def until_it_runs(self, scene: Scene) -> None:
        scene.brain.tell("book a table")
        while not (self.begun or scene.record.of(ToolCalled)):
            await asyncio.sleep(0.005)


def cut_off(s: Scene) -> None:
    """What is being said is interrupted, and nothing of it was heard."""
    for started in s.record.of(ReplyStarted):
        s.brain.interrupted(started.reply_id, 0.0, "")


async def nothing(s: Scene, speech: bytes) -> None: ...


async def a_cough(s: Scene, speech: bytes) -> None:
    s.record.on = lambda event: cut_off(s) if isinstance(event, SpeechStarted) else None  # type: ignore[assignment]
    await s.hear(SILENCE * 20 + speech, 700)
    await s.record.wait(UserText, final=True)


async def two_coughs(s: Scene, speech: bytes) -> None:
    await a_cough(s, speech)
    await s.hear(speech, 700)
    await s.record.wait(UserText, 2, final=True)


async def an_interruption(s: Scene, speech: bytes) -> None:
    cut_off(s)
    s.brain.tell("and?", respond=False)
    s.brain.respond()


async def another_question(s: Scene, speech: bytes) -> None:
    for text in ("are you there?", "hello?"):
        cut_off(s)
        s.brain.tell(text)


async def words_of_the_operators(s: Scene, speech: bytes) -> None:
    cut_off(s)
    s.brain.speak("One moment.")
    s.brain.tell("It is late.", "system", respond=False)
    s.brain.update({"tools": [], "llm.max_history": 0, "llm.model": "other"})
    s.brain.tell("well?")


@pytest.mark.parametrize("kind", ["async", "thread", "client"])
@pytest.mark.parametrize(
    "meanwhile", [nothing, a_cough, two_coughs, an_interruption, another_question, words_of_the_operators]
)
async def test_a_function_runs_once_and_what_came_of_it_is_told(meanwhile: Any, kind: str, speech: bytes) -> None:
    booking = Booking(kind)
    async with scene(booking.model, "", tools=[booking.tool]) as s:
        await booking.until_it_runs(s)
        await meanwhile(s, speech)
        await asyncio.sleep(0.05)
        assert len(s.chat.requests) == 1  # what comes of it belongs before the answer
        booking.go.set()
        if kind == "client":
            s.brain.tool_result(s.record.of(ToolCalled)[0].call_id, "booked")
        done = await s.record.wait(ReplyFinished, 1, text="Your table is booked.")
        assert done.reason == "done" and booking.begun == (kind != "client")
        assert len(s.record.of(ToolCalled)) == 1 and len(s.chat.requests) == 2
        roles = [role for role, _ in s.asked() if role in ("assistant", "tool")]
        assert ("tool", "booked") in s.asked() and roles[:2] == ["assistant", "tool"]


async def test_its_failure_or_its_silence_is_told_as_well() -> None:
    for result, answer in (("raise", "fully booked"), ("never", "did not answer within 0.2 s")):
        booking = Booking(result=result)
        async with scene(booking.model, tools=[booking.tool]) as s:
            s.brain._caller.toolbox._timeout = 0.2
            await booking.until_it_runs(s)
            cut_off(s)
            if result == "raise":
                booking.go.set()
            s.brain.tell("and?")
            await s.record.wait(ReplyFinished, text="Your table is booked.")
            assert booking.begun == 1 and answer in s.chat.requests[-1]["messages"][2]["content"]
            assert s.record.of(Failed)[0].code == "TOOL_ERROR"


async def test_what_came_of_it_is_kept_where_nobody_asks_and_an_answer_is_due_where_none_was_heard(
    speech: bytes,
) -> None:
    booking = Booking()
    asked = [Answer("One moment.", tool_calls=[ToolCall("book")]), "Your table is booked."]
    async with scene(asked, "", tools=[booking.tool]) as s:
        await booking.until_it_runs(s)
        await s.record.wait(ReplyAudio)
        started = s.record.of(ReplyStarted)[0]
        s.record.on = lambda event: (  # type: ignore[assignment]
            s.brain.interrupted(started.reply_id, 400.0, "One") if isinstance(event, SpeechStarted) else None
        )
        await s.hear(SILENCE * 20 + speech, 700)  # a cough, after the first words
        booking.go.set()
        assert (await s.record.wait(ReplyFinished, reason="done")).text == "Your table is booked."
        assert s.asked() == [("user", "book a table"), ("assistant", "One"), ("tool", "booked")]
    booking = Booking()
    async with scene(booking.model, tools=[booking.tool]) as s:
        await booking.until_it_runs(s)
        cut_off(s)
        booking.go.set()
        await asyncio.sleep(0.05)
        assert len(s.chat.requests) == 1  # it was stopped, and nobody asks
        s.brain.tell("thanks")
        await s.record.wait(ReplyFinished, reason="done")
        assert [role for role, _ in s.asked()] == ["user", "assistant", "tool", "assistant", "user"]
    booking = Booking()
    async with scene(booking.model, tools=[booking.tool]) as s:
        await booking.until_it_runs(s)  # and the agent is stopped: `scene` looks at what is left


async def test_what_a_model_calls_wrongly_spoils_no_later_question() -> None:
    wrong = ['{"city": "Os', "[]", "null", '"{}"', ""]
    calls = [ToolCall(" functions.f", text, id="same") for text in wrong] + [ToolCall("no such thing!", "{")]
    async with scene([Answer(tool_calls=calls), "Well.", "Fine."], tools=[Tool(name="f", run=lambda: 1)]) as s:
        for number in (1, 2):
            s.brain.tell("hi")
            await s.record.wait(ReplyFinished, number)
        made = [call for message in s.chat.requests[-1]["messages"] for call in message.get("tool_calls") or ()]
        assert [call["function"]["arguments"] for call in made] == ["{}"] * 6
        assert [call["function"]["name"] for call in made] == ["functions_f"] * 5 + ["no_such_thing"]
        assert len({call["id"] for call in made}) == 6
        results = [message["content"] for message in s.chat.requests[-1]["messages"] if message["role"] == "tool"]
        assert ["error" in result for result in results] == [True, True, False, False, False, True]
        assert {called.arguments for called in s.record.of(ToolCalled)} == {"{}"}


async def test_a_call_that_is_written_into_the_text_is_made_and_not_said() -> None:
    said = 'One moment. <tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    async with scene([said, "Done.", "<tool_call>f()</tool_call>Well."], tools=[Tool(name="f", run=lambda: 7)]) as s:
        s.brain.tell("hi")
        assert (await s.record.wait(ReplyFinished)).text == "One moment. Done."
        assert s.asked()[-2:] == [("assistant", "One moment."), ("tool", "7")]
        assert s.tts.texts == ["One moment.", "Done."] and s.record.of(ToolCalled)[0].name == "f"
        s.brain.tell("and?")
        assert (await s.record.wait(ReplyFinished, 2)).text == "Well."
        assert [f.message for f in s.record.of(Failed, minor=True)] == ["the LLM wrote a call that cannot be read: f()"]


async def test_functions_of_servers_are_called_in_a_turn_and_servers_that_are_away_cost_their_functions_alone() -> None:
    calls = [ToolCall("add", '{"a": 2, "b": 3}'), ToolCall("forecast", '{"city": "Oslo"}')]
    async with mcp_server() as site:
        servers = [
            McpServer(name="w", endpoint=site.url),
            McpServer(name="away", endpoint="http://127.0.0.1:1/mcp"),
        ]
        own = Tool(name="add", server=ToolServer(url=f"{site.url}/none", method="GET"))
        answers = [Answer(tool_calls=calls), "It is 21 degrees.", "Bye."]
        async with scene(answers, llm={"mcp_servers": servers}, tools=[own]) as s:
            s.brain.tell("hello")
            assert (await s.record.wait(ReplyFinished)).text == "It is 21 degrees."
            s.brain.tell("bye")
            await s.record.wait(ReplyFinished, 2)
            names = {tool["function"]["name"] for tool in s.chat.requests[0]["tools"]}
            assert names == {"add", "w_add", "forecast", "broken", "slow"}
            results = [m["content"] for m in s.chat.requests[1]["messages"] if m["role"] == "tool"]
            assert "add failed: its server at 127.0.0.1" in results[0] and "answered 404" in results[0]
            assert json.loads(results[1]) == {"city": "Oslo", "degrees": 21}
            (away,) = s.record.of(Failed, minor=True)
            assert away.message.startswith("the tools of the MCP server away are missing until it answers")
            assert s.brain._caller._tools == [own]


# ------------------------------------------------------------------------------------------------ questions and answers


async def test_an_answer_that_is_none_fails_and_what_was_missed_is_told() -> None:
    def stream(delta: dict[str, Any], reason: str) -> Answer:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return Answer(raw=b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")

    call = [ToolCall("f")]
    odd = Answer(raw=b"data: {\n\n" + (stream({"content": "Hello."}, "stop").raw or b""))
    for replies, reason, told in (
        ([stream({}, "content_filter")], "failed", "content filter"),
        ([stream({"content": "So,"}, "content_filter")], "failed", "content filter"),
        ([stream({"content": "<think>hm"}, "length")], "failed", "length limit"),
        ([Answer(tool_calls=call), stream({}, "stop")], "failed", "with nothing"),
        ([Answer("Goodbye.", tool_calls=call), stream({}, "stop")], "done", None),
        ([stream({"refusal": "I will not."}, "stop")], "done", "the LLM refused: I will not."),
        ([odd], "done", "no JSON"),
    ):
        async with scene(replies, tools=[Tool(name="f", run=lambda: 1)]) as s:
            s.brain.tell("hi")
            done = await s.record.wait(ReplyFinished)
            failures = s.record.of(Failed)
            assert done.reason == reason and len(failures) == (told is not None), told
            assert all(told in failed.message for failed in failures if told)
            assert {(failed.reply_id, failed.minor) for failed in failures} <= {(done.reply_id, reason == "done")}


async def test_an_empty_answer_may_be_passed_over() -> None:
    async with scene(["", "Now."], llm={"ignore_empty": True}) as s:
        s.brain.tell("hello")
        done = await s.record.wait(ReplyFinished)
        assert (done.reason, done.text, s.record.of(Failed)) == ("done", "", [])
    async with scene([""]) as s:
        s.brain.tell("hello")
        assert "answered with nothing" in (await s.record.wait(Failed)).message


async def test_thoughts_are_neither_said_nor_remembered() -> None:
    def stream(*texts: str) -> Answer:
        deltas = [{"reasoning_content": "hm, hm"}, *({"content": text} for text in texts)]
        choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        choices += [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        return Answer(raw=b"".join(b"data: " + json.dumps({"choices": [c]}).encode() + b"\n\n" for c in choices))

    opened = stream("<think>The user greets.", "</think>\n\n", "Hello! ", "How can I help?")
    unopened = stream("The user greets. I greet back. ", "</think>\n\n", "Hello! ", "How can I help?")
    for reply in (opened, unopened):
        async with scene([reply, "Fine."]) as s:
            s.brain.tell("hi")
            done = await s.record.wait(ReplyFinished)
            assert done.text == "Hello! How can I help?" == s.record.text(done.reply_id)
            s.brain.tell("and?")
            await s.record.wait(ReplyFinished, 2)
            assert s.asked()[1] == ("assistant", done.text) and "greets" not in str(s.tts.texts)


async def test_a_picture_is_shown_while_it_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(llm={"input_modalities": ["text", "image"]}) as s:
        for jpeg in (b"old", b"new"):
            s.brain.see("7", jpeg)
        s.brain.tell("what do you see?")
        await s.record.wait(ReplyFinished)
        parts = s.asked()[-1][1]
        assert parts[0] == {"type": "text", "text": "what do you see?"}
        assert parts[1]["image_url"]["url"] == "data:image/jpeg;base64," + base64.b64encode(b"new").decode()
        monkeypatch.setattr(cascade_thinking, "PICTURE_SECONDS", -1.0)
        s.brain.tell("and now?")
        await s.record.wait(ReplyFinished, 2)
        assert s.asked() == [("user", "what do you see?"), ("assistant", "Hello there."), ("user", "and now?")]
        s.brain.see("7", b"sent", sent=True)  # by the user, and so it stays, whatever the camera sees
        s.brain.see("7", b"seen")
        for n, question in enumerate(("what is that?", "and what colour is it?")):
            s.brain.tell(question)
            await s.record.wait(ReplyFinished, 3 + n)
            parts = s.asked()[-1][1]
            assert parts[0] == {"type": "text", "text": question}
            assert parts[1]["image_url"]["url"] == "data:image/jpeg;base64," + base64.b64encode(b"sent").decode()


FAULTS = [
    ([Answer("x", status=500)], "LLM_ERROR", "answered 500"),
    ([Answer("One. Two three", break_after=4)], "LLM_ERROR", "failed"),
    ([Answer("x", first_token=9.0)], "LLM_ERROR", "did not begin"),
    ([Answer("One. Two three", stall_after=4)], "LLM_ERROR", "fell silent"),
    ([Answer(raw=b"data: {]\n\n" * 20)], "LLM_ERROR", "broken"),
    ([Answer("wo. " * 12_000)], "LLM_ERROR", "more than 32768"),
]


@pytest.mark.parametrize(("replies", "code", "message"), FAULTS)
async def test_a_fault_of_the_llm_is_reported_and_the_next_turn_is_fine(
    replies: list[Answer], code: str, message: str
) -> None:
    async with scene([*replies, "All good."], tts={"seconds_per_character": 0.0005}) as s:
        s.brain.tell("hi")
        failed = await s.record.wait(Failed)
        done = await s.record.wait(ReplyFinished)
        assert failed.code == code and message in failed.message and not failed.fatal
        assert (failed.reply_id, done.reason) == (done.reply_id, "failed")
        assert done.text == s.record.text(done.reply_id)  # what came before is said
        s.brain.tell("again")
        assert (await s.record.wait(ReplyFinished, 2)).text == "All good."


@pytest.mark.parametrize("custom", [False, True])
async def test_what_a_service_refuses_is_asked_of_it_once(custom: bool) -> None:
    def answer(body: Any) -> Any:
        told = [body, *body["messages"]]
        return Answer(status=400) if any("screen" in (one.get("metadata") or {}) for one in told) else "Fine."

    async with scene(answer, llm={"metadata_enabled": True, "custom": custom}) as s:
        for n, more in enumerate(({"screen": "x"}, None, None)):
            s.brain.tell(f"question {n}", metadata=more)
            done = await s.record.wait(ReplyFinished, n + 1)
            assert done.reason == ("failed" if n == 0 else "done")
        assert s.asked()[0][1].startswith("question 0")


@pytest.mark.parametrize("fails", [Answer(status=503), Answer(status=401), Answer("Well", break_after=1)])
async def test_what_fails_by_the_way_takes_no_metadata_with_it(fails: Answer) -> None:
    healthy = False

    async with scene(lambda body: "Fine." if healthy else fails, llm={"metadata_enabled": True, "custom": True}) as s:
        s.brain.tell("question 0", metadata={"ticket": "17"})
        assert (await s.record.wait(ReplyFinished)).reason == "failed"
        healthy = True
        s.brain.tell("question 1")
        assert (await s.record.wait(ReplyFinished, 2)).reason == "done"
        stamped = [one["metadata"] for one in s.chat.requests[-1]["messages"] if "metadata" in one]
        assert stamped == [{"ticket": "17"}]


async def test_a_custom_service_is_told_the_turn_and_the_time_of_each_message() -> None:
    system = [{"role": "system", "content": "Be brief."}]
    told = {"custom": True, "metadata_enabled": True, "extra_metadata": {"who": "x"}, "system_messages": system}
    async with scene(["Hi.", "Bye."], llm=told) as s:
        s.brain.tell("hello", metadata={"screen": "3"})
        await s.record.wait(ReplyFinished)
        s.brain.tell("bye")
        await s.record.wait(ReplyFinished, 2)
        first, second = s.chat.requests
        assert first["metadata"] == {"who": "x", "screen": "3"} and second["metadata"] == {"who": "x"}
        assert first["messages"][1]["metadata"] == {"screen": "3"}
        turns = [(m["role"], m["turn_id"]) for m in second["messages"]]
        assert turns == [("system", 0), ("user", 0), ("assistant", 0), ("user", 1)]
        times = [m["timestamp"] for m in second["messages"]]
        assert times == sorted(times) and abs(times[-1] - time.time() * 1000) < 60_000
    async with scene("Hi.") as s:
        s.brain.tell("hello", metadata={"screen": "3"})
        await s.record.wait(ReplyFinished)
        assert s.chat.requests[0]["messages"] == [{"role": "user", "content": "hello"}]
        assert "metadata" not in s.chat.requests[0]
