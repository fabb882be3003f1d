"""OpenAI Realtime: sessions, turns, calls, barge-in, and connections that break."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from lipwire.agents.brains import calls, make_brain, realtime_link, realtime_output, realtime_replies, realtime_state
from lipwire.agents.brains.base import (
    Failed,
    ReplyAudio,
    ReplyFinished,
    ReplyStarted,
    ReplyText,
    Services,
    SpeechStarted,
    SpeechStopped,
    Stamp,
    ToolCalled,
    UserText,
)
from lipwire.agents.brains.calls import MAX_ARGUMENTS
from lipwire.agents.brains.completion import MAX_TEXT
from lipwire.agents.brains.realtime import RealtimeBrain
from lipwire.agents.config import MAX_TURN_MS, AgentConfig, Llm, Tool, TurnDetection
from lipwire.agents.http import ServiceError
from lipwire.agents.speech.tts import OfflineTts, Sound
from lipwire.errors import BadState, BufferFull
from lipwire.protocol.agent_bodies import InUse
from support.fakes import FakeRealtime, Say, ToolCall
from support.fakes.record import Record

LOUD = (np.sin(np.arange(160) / 5) * 8000).astype(np.int16).tobytes()
SILENCE = bytes(320)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_link, "BACKOFF", (0.02, 0.02, 0.02))


@asynccontextmanager
async def scene(
    says: Any = "Hello there.", *, server: dict[str, Any] | None = None, **config: Any
) -> AsyncIterator[tuple[RealtimeBrain, Record, FakeRealtime]]:
    async with FakeRealtime(says, **server or {}) as fake:
        agent = AgentConfig(name="a", channel="c", brain="realtime", **config)
        services = Services(openai_url=fake.url, openai_api_key="sk-1", realtime_model="gpt-realtime")
        brain, record = make_brain(agent, services), Record()
        assert isinstance(brain, RealtimeBrain)
        await brain.open(record)
        try:
            yield brain, record, fake
        finally:
            await brain.close()
            await brain.close()
            assert not [task for task in brain._state.tasks if not task.done()]


async def hear(brain: RealtimeBrain, frame: bytes, count: int) -> None:
    for _ in range(count):
        brain.hear(frame, "7")
        await asyncio.sleep(0)


async def until(condition: Any, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def sent_items(fake: FakeRealtime) -> list[tuple[str, str]]:
    items = [event["item"] for event in fake.of("conversation.item.create")]
    return [(item["role"], item["content"][0]["text"]) for item in items if item["type"] == "message"]


@pytest.mark.parametrize("beta", [False, True])
async def test_a_turn_from_speech_to_speech(beta: bool) -> None:
    config = {"instructions": "be kind", "voice": "marin", "tools": [Tool(name="f", description="d")]}
    server = {"beta": beta, "api_key": "sk-1", "heard": "good morning"}
    async with scene(Say("Hello there, friend.", 0.5), server=server, **config) as (brain, record, fake):
        await hear(brain, SILENCE, 20)
        await hear(brain, LOUD, 30)
        await hear(brain, SILENCE, 60)
        done = await record.wait(ReplyFinished)
        assert (done.text, done.reason) == ("Hello there, friend.", "done")
        kinds = record.kinds()
        assert kinds[:4] == ["SpeechStarted", "SpeechStopped", "UserText", "ReplyStarted"]
        partial, final = record.of(UserText)
        assert (partial.text, partial.final, final.text, final.final) == ("good", False, "good morning", True)
        started = record.of(ReplyStarted)[0]
        assert started.item_id == final.item_id and started.reply_id == done.reply_id
        assert record.of(SpeechStarted)[0].onset_ns <= record.of(SpeechStopped)[0].end_ns == started.asked_ns
        assert record.text(done.reply_id) == done.text
        assert record.seconds(done.reply_id) == pytest.approx(0.5)
        assert {audio.rate for audio in record.of(ReplyAudio)} == {24_000}
        assert [stamp.name for stamp in record.of(Stamp)] == ["first_token", "first_audio"]
        await until(lambda: abs(fake.audio_bytes / 48_000 - 1.1) < 0.03)  # 16 kHz in, 24 kHz out
        session = fake.sessions[0]
        assert session["instructions"] == "be kind" and session["tools"][0]["name"] == "f"
        assert session["audio"]["output"] == {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "marin"}
        assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 500
        assert session["audio"]["input"]["transcription"]["language"] == "en"


async def test_without_turn_detection_commit_ends_the_turn() -> None:
    async with scene(turn_detection=TurnDetection(enabled=False)) as (brain, record, fake):
        await hear(brain, LOUD, 31)  # an odd piece waits to be sent
        brain.commit()
        await record.wait(ReplyFinished)
        assert fake.sessions[0]["audio"]["input"]["turn_detection"] is None
        assert len(fake.of("input_audio_buffer.commit")) == len(fake.of("response.create")) == 1
        brain.update({"turn_detection.enabled": True, "instructions": "be brief", "llm.model": "x"})
        await until(lambda: len(fake.sessions) == 2)
        assert fake.sessions[1]["instructions"] == "be brief"
        assert fake.sessions[1]["audio"]["input"]["turn_detection"]["type"] == "server_vad"


@pytest.mark.parametrize("detects", [True, False])
async def test_the_answer_to_a_turn_that_commit_ends_is_known_though_it_has_to_wait(detects: bool) -> None:
    async with script(turn_detection=TurnDetection(enabled=detects)) as (brain, record, service):
        await service.begin("r1")
        await service.say("r1", "A long answer.")
        await record.wait(ReplyAudio)
        if detects:
            await service.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u2")
            await record.wait(SpeechStarted)
        brain.commit()
        named = (await record.wait(SpeechStopped)).reply_id
        assert named and len(record.of(ReplyStarted)) == 1
        brain.interrupted(named, 0.0, "")
        await service.end("r1", "cancelled")
        after = brain.tell("And Rome?")
        await until(lambda: service.of("response.create"))
        assert [event["event_id"] for event in service.of("response.create")] == [after]


async def test_text_in_and_instructions_for_one_reply() -> None:
    async with scene(llm=Llm(input_modalities=["text", "image"])) as (brain, record, fake):
        brain.tell("you are in Bonn", "system", respond=False)
        for jpeg in (b"\xff\xd8old", b"\xff\xd8new"):
            brain.see("7", jpeg)
        brain.tell("hi")
        await record.wait(ReplyFinished)
        brain.respond("in French")
        await record.wait(ReplyFinished, 2)
        brain.see("7", b"\xff\xd8sent", sent=True)
        await until(lambda: len(fake.of("conversation.item.create")) == 4)
        created = [event["item"] for event in fake.of("conversation.item.create")]
        assert created[3]["content"][0]["image_url"] == "data:image/jpeg;base64,/9hzZW50"
        assert created[0]["role"] == "system" and created[1]["content"] == [{"type": "input_text", "text": "hi"}]
        assert created[2]["content"][0]["image_url"] == "data:image/jpeg;base64,/9huZXc="
        assert [e["response"].get("instructions") for e in fake.of("response.create")] == [None, "in French"]


async def test_barge_in_cuts_off_at_what_was_heard() -> None:
    async with scene(Say("one two three four five", 5.0), server={"speed": 20.0}) as (brain, record, fake):
        brain.tell("count")
        await record.wait(ReplyAudio, 8)
        reply_id = record.of(ReplyStarted)[0].reply_id
        brain.interrupted(reply_id, 432.7, "one two")
        assert record.of(ReplyFinished) == [ReplyFinished(reply_id, "one two", "cancelled")]
        count = len(record.events)
        await until(lambda: fake.of("conversation.item.truncate"))
        await until(lambda: not brain._replies.under_way)
        assert len(record.events) == count
        truncate = fake.of("conversation.item.truncate")[0]
        assert (truncate["audio_end_ms"], truncate["content_index"]) == (432, 0)
        assert len(fake.of("response.cancel")) == 1
        # all of it was handed over, and it is cut off while it is played
        fake.speed = 0.0
        brain.tell("again")
        done = await record.wait(ReplyFinished, 2)
        brain.interrupted(done.reply_id, 1000.0, "one")
        await until(lambda: len(fake.of("conversation.item.truncate")) == 2)
        assert fake.of("conversation.item.truncate")[1]["audio_end_ms"] == 1000
        assert len(fake.of("response.cancel")) == 1
        brain.interrupted(done.reply_id, 99_999.0, "one two three four five")  # heard to the end
        brain.interrupted("nobody knows it", 0.0, "")
        assert brain._state.context.messages()[-1]["content"] == "one two three four five"


async def test_the_server_hears_the_user_and_the_agent_decides() -> None:
    async with scene(Say("a long story", 5.0), server={"speed": 5.0}) as (brain, record, _):
        record.on = lambda event: (  # type: ignore[assignment]
            [brain.interrupted(r.reply_id, 100.0, "a") for r in record.of(ReplyStarted)]
            if isinstance(event, SpeechStarted)
            else None
        )
        brain.tell("tell me")
        await record.wait(ReplyAudio)
        await hear(brain, LOUD, 20)
        assert (await record.wait(ReplyFinished)).reason == "cancelled"
        await hear(brain, SILENCE, 60)
        await record.wait(ReplyStarted, 2)
        await record.wait(ReplyAudio, 2, reply_id=record.of(ReplyStarted)[1].reply_id)


async def test_speak_is_said_out_of_the_conversation_and_then_part_of_it() -> None:
    async with scene(Say("Welcome.", 0.3)) as (brain, record, fake):
        reply_id = brain.speak("Welcome.")
        done = await record.wait(ReplyFinished)
        assert (done.reply_id, done.text) == (reply_id, "Welcome.")
        response = fake.of("response.create")[0]["response"]
        assert response["conversation"] == "none" and response["instructions"].endswith("\n\nWelcome.")
        await until(lambda: sent_items(fake) == [("assistant", "Welcome.")])
        brain.interrupted(reply_id, 100.0, "Wel")
        await until(lambda: sent_items(fake)[1:] == [("assistant", "Wel")])
        assert len(fake.of("conversation.item.delete")) == 1
        first, second = brain.speak("One."), brain.speak("Two.")
        assert [(await record.wait(ReplyFinished, i)).reply_id for i in (2, 3)] == [first, second]


async def test_what_a_recording_said_is_part_of_the_conversation() -> None:
    async with scene() as (brain, record, fake):
        brain.remember("greeting_1", "<face smile/>Welcome! How are you?")
        await until(lambda: sent_items(fake) == [("assistant", "Welcome! How are you?")])
        brain.interrupted("greeting_1", 300.0, "Welcome!")
        await until(lambda: sent_items(fake)[-1] == ("assistant", "Welcome!"))
        assert len(fake.of("conversation.item.delete")) == 1 and not record.events
        assert brain._state.context.messages() == [{"role": "assistant", "content": "Welcome!"}]


async def test_an_answer_that_is_to_stay_is_not_given_up_for_another() -> None:
    async with script() as (brain, record, service):
        brain.tell("one", interruptable=False)
        await until(lambda: service.of("response.create"))
        brain.tell("two")
        await service.begin("r1", metadata=service.of("response.create")[0]["response"]["metadata"])
        await service.say("r1", "One.")
        await service.end("r1")
        await until(lambda: len(service.of("response.create")) == 2)
        assert (await record.wait(ReplyFinished)).reason == "done" and not service.of("response.cancel")


async def test_an_answer_is_known_by_its_id_before_it_begins() -> None:
    async with script() as (brain, record, service):
        first = brain.tell("one", interruptable=False)
        await until(lambda: service.of("response.create"))
        second, third = brain.respond(), brain.tell("three")
        assert brain.tell("four", respond=False) is None
        assert third is not None
        brain.interrupted(third, 0.0, "")
        await service.begin("r1", metadata=service.of("response.create")[0]["response"]["metadata"])
        await service.end("r1")
        await record.wait(ReplyFinished)
        brain.tell("five")
        await until(lambda: len(service.of("response.create")) == 2)
        begun = [event.reply_id for event in record.of(ReplyStarted)]
        assert begun[0] == first and len(begun) == 2 and not {second, third} & set(begun)


async def test_a_reply_that_is_refused_as_it_begins_is_none() -> None:
    async with scene() as (brain, record, fake):
        record.on = lambda event: (  # type: ignore[assignment]
            brain.interrupted(event.reply_id, 0.0, "") if isinstance(event, ReplyStarted) else None
        )
        brain.tell("hi")
        brain.speak("hello")
        await until(lambda: sent_items(fake))
        assert [f.reason for f in record.of(ReplyFinished)] == ["cancelled"] * 2
        assert not fake.of("response.create") and brain._replies.asked is None


async def test_a_new_question_takes_the_place_of_the_answer_in_the_making() -> None:
    async with scene(Say("a long story", 5.0), server={"speed": 20.0}) as (brain, record, fake):
        brain.tell("first")
        await record.wait(ReplyAudio)
        fake.speed = 0.0
        brain.tell("second")
        brain.tell("third")
        await record.wait(ReplyFinished, reason="done")
        assert [f.reason for f in record.of(ReplyFinished)] == ["cancelled", "done"]
        assert sent_items(fake) == [("user", "first"), ("user", "second"), ("user", "third")]


async def test_functions_of_ours_and_of_the_clients() -> None:
    calls = [ToolCall("add", '{"a": 1, "b": 2}'), ToolCall("locate"), ToolCall("nothing")]
    says = [Say("One moment.", 0.2, tool_calls=calls), Say("Three, in Bonn.", 0.3)]
    box = [Tool(name="add", run=lambda a, b: a + b), Tool(name="locate")]
    async with scene(says, tools=box) as (brain, record, fake):
        brain.tell("how much?")
        asked = await record.wait(ToolCalled, handled=False)
        brain.tool_result(asked.call_id, "Bonn")
        done = await record.wait(ReplyFinished)
        assert done.text == "One moment. Three, in Bonn." and len(record.of(ReplyStarted)) == 1
        assert record.seconds(done.reply_id) == pytest.approx(0.5)
        outputs = [e["item"] for e in fake.of("conversation.item.create")]
        answers = [item["output"] for item in outputs if item["type"] == "function_call_output"]
        assert answers[:2] == ["3", "Bonn"] and "no function" in json.loads(answers[2])["error"]
        assert record.of(Failed)[0].code == "TOOL_ERROR"
        # the sound of a reply runs on over its items: what was heard ends in the second one
        brain.interrupted(done.reply_id, 300.0, "One moment. Three")
        await until(lambda: fake.of("conversation.item.truncate"))
        assert [e["audio_end_ms"] for e in fake.of("conversation.item.truncate")] == [100]


async def test_a_connection_that_breaks_in_mid_sentence_is_replaced() -> None:
    says = [Say("First.", 0.1), Say("I was about to", 2.0, close_after=5), Say("Back again.", 0.2)]
    tools = [Tool(name="f")]
    async with scene(says, instructions="be kind", tools=tools) as (brain, record, fake):
        brain.tell("one")
        await record.wait(ReplyFinished)
        brain.tell("two")
        failed = await record.wait(Failed)
        done = await record.wait(ReplyFinished, 2)
        assert (failed.code, failed.reply_id, failed.fatal) == ("REALTIME_ERROR", done.reply_id, False)
        assert done.reason == "failed" and done.text and "I was about to".startswith(done.text.strip())
        spoken = brain.speak("Sorry.")  # while nobody is there
        assert (await record.wait(ReplyFinished, 3)).reply_id == spoken
        assert len(fake.connections) == 2
        assert fake.sessions[1]["instructions"] == "be kind" and fake.sessions[1]["tools"]
        replayed = sent_items(fake)[2:6]
        assert replayed == [("user", "one"), ("assistant", "First."), ("user", "two"), ("assistant", done.text)]


async def test_a_connection_that_breaks_in_silence_is_replaced_in_silence() -> None:
    async with scene(llm=Llm(max_history=1)) as (brain, record, fake):
        for i in range(3):
            brain.tell(f"q{i}")
            await record.wait(ReplyFinished, i + 1)
        await fake.drop()
        await until(lambda: len(fake.connections) == 2 and len(fake.sessions) == 2)
        brain.tell("there?")
        await record.wait(ReplyFinished, 4)
        assert not record.of(Failed)
        assert sent_items(fake)[3:] == [("user", "q2"), ("assistant", "Hello there."), ("user", "there?")]


@pytest.mark.parametrize("answers", [True, False])
async def test_a_connection_that_breaks_while_a_user_speaks_ends_that(answers: bool) -> None:
    """Also into an answer: the next connection does not know that somebody spoke, and will not say when it is over."""
    async with script() as (_, record, service):
        await service.begin("r1")
        await service.say("r1", "I was about to")
        await service.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u1")
        if not answers:
            await service.end("r1")
        await record.wait(SpeechStarted)
        await service.connections[-1].close(1001)
        await record.wait(SpeechStopped)
        assert [failed.reply_id is not None for failed in record.of(Failed)] == [answers]
        await until(lambda: len(service.connections) == 2)
        await service.user("u2")
        assert (await record.wait(SpeechStopped, 2)).item_id == "u2"


async def test_a_service_that_stays_away_is_given_up() -> None:
    async with scene() as (brain, record, fake):
        fake.refuse = [503, 503, 503]
        await fake.drop()
        await record.wait(Failed, fatal=True)
        assert [f.fatal for f in record.of(Failed)] == [False, True]
        assert "503" in record.of(Failed)[1].message
        with pytest.raises(BadState):
            brain.speak("anybody?")


async def test_closed_before_anything_happened() -> None:
    async with FakeRealtime() as fake:
        brain = RealtimeBrain(AgentConfig(name="a", channel="c"), fake.url, "m", None)
        await brain.open(lambda event: None)
        await brain.close()
        await until(lambda: fake.connections[0].ws.close_code == 1000)


async def test_who_is_refused_is_told_so() -> None:
    async with FakeRealtime(api_key="right") as fake:
        brain = RealtimeBrain(AgentConfig(name="a", channel="c"), fake.url, "m", "wrong")
        with pytest.raises(ServiceError, match=r"answered 401$"):
            await brain.open(lambda event: None)
        await brain.close()
    brain = RealtimeBrain(AgentConfig(name="a", channel="c"), fake.url, "m", None)
    with pytest.raises(
        ServiceError, match=r"cannot connect to OpenAI Realtime at 127\.0\.0\.1:\d+: Connection refused$"
    ):
        await brain.open(lambda event: None)


async def test_a_response_that_fails_is_reported() -> None:
    async with scene([Say(fail="no capacity"), "Fine."]) as (brain, record, _):
        brain.tell("hi")
        failed = await record.wait(Failed)
        done = await record.wait(ReplyFinished)
        assert (failed.reply_id, done.reason) == (done.reply_id, "failed") and "fake" in failed.message
        brain.tell("hi")
        assert (await record.wait(ReplyFinished, 2)).text == "Fine."


async def test_a_response_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_replies, "STALLED", 0.2)
    async with scene(server={"latency": 60.0}) as (brain, record, fake):
        brain.tell("hi")
        failed = await record.wait(Failed)
        assert failed.message == "the response stalled for 0.2 s"
        assert (await record.wait(ReplyFinished)).reason == "failed"
        fake.latency = 0.0
        brain.tell("hi")
        assert (await record.wait(ReplyFinished, 2)).reason == "done"


async def test_an_error_of_the_service_is_reported_and_life_goes_on() -> None:
    async with scene(server={"check": False}) as (brain, record, fake):
        brain.commit()  # of nothing
        failed = await record.wait(Failed)
        assert failed.message == "the service reported input_audio_buffer_commit_empty" and failed.reply_id is None
        brain.tell("hi")
        assert (await record.wait(ReplyFinished, reason="done")).text == "Hello there."
        assert "commit" in fake.problems[0]


BROKEN = ["", "{", "[]", "7", '{"type": 3}', '{"type": "response.done"}', '{"type": "error", "error": "x"}', "[" * 9999]


async def test_whatever_the_service_sends_costs_no_more_than_an_event() -> None:
    async def serve_nonsense(ws: ServerConnection) -> None:
        for text in BROKEN:
            await ws.send(text)
        delta = {"type": "response.output_audio.delta", "item_id": "i", "delta": "*"}
        for event in (
            {"type": "response.created", "response": {"id": "r"}},
            {"type": "response.output_audio_transcript.delta", "response_id": "r", "delta": "Hello."},
            delta,
            {**delta, "delta": "AAAA"},
            {"type": "response.output_item.done", "item": {"type": "message"}},
            {"type": "never.heard.of"},
            {"type": "response.done", "response": {"id": "r", "status": "completed"}},
        ):
            await ws.send(json.dumps(event))
        async for _ in ws:
            pass

    async with serve(serve_nonsense, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        brain, record = RealtimeBrain(AgentConfig(name="a", channel="c"), f"ws://127.0.0.1:{port}", "m", None), Record()
        await brain.open(record)
        done = await record.wait(ReplyFinished)
        assert (done.text, done.reason) == ("Hello.", "done")
        assert len(record.of(ReplyText)) == len(record.of(ReplyAudio)) == 1
        assert all(failed.code == "REALTIME_ERROR" and not failed.fatal for failed in record.of(Failed))
        await brain.close()


async def test_what_it_uses() -> None:
    async with scene() as (brain, _, _):
        assert brain.in_use() == {"model": InUse(name="gpt-realtime"), "voice": InUse(name=brain._config.voice)}


async def test_a_brain_whose_queue_fails_says_so() -> None:
    async with scene() as (brain, record, _):

        def fail(event: Any) -> None:
            if isinstance(event, ReplyText):
                raise RuntimeError("the agent's own")
            record(event)

        brain._state.emit = fail
        brain.tell("hi")
        failed = await record.wait(Failed, fatal=True)
        assert (failed.code, failed.message) == ("INTERNAL_ERROR", "RuntimeError: the agent's own")


async def test_what_waits_is_bounded() -> None:
    async with scene(server={"latency": 60.0}) as (brain, _, _):
        brain.speak("one")
        for _ in range(realtime_replies.MAX_WAITING):
            brain.speak("more")
        with pytest.raises(BufferFull):
            brain.speak("too much")
        for _ in range(5000):  # 50 s while nothing can be sent
            brain.hear(SILENCE, "7")
        assert len(brain._link.out) <= realtime_link.MAX_OUT
        assert [t for sound, t in brain._link.out if not sound]
        await brain.close()
        with pytest.raises(BadState):
            brain.speak("closed")


@pytest.mark.parametrize("bound", ["time", "bytes", "messages"])
async def test_a_service_that_takes_nothing_has_failed(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever there is of it: pictures and texts are no sound, and are not dropped."""
    monkeypatch.setattr(realtime_link, "STUCK", 0.3 if bound == "time" else 60.0)
    if bound == "bytes":
        monkeypatch.setattr(realtime_link, "MAX_LEFT_BYTES", 1 << 20)
    elif bound == "messages":
        monkeypatch.setattr(realtime_link, "MAX_LEFT", 100)
    connections: list[ServerConnection] = []
    over = asyncio.Event()

    async def service(ws: ServerConnection) -> None:
        connections.append(ws)
        if len(connections) == 1:
            await over.wait()  # nobody takes what comes
            ws.transport.abort()
        async for _ in ws:
            pass

    async with serve(service, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        config = AgentConfig(name="a", channel="c", llm=Llm(input_modalities=["text", "image"]))
        brain, record = RealtimeBrain(config, f"ws://127.0.0.1:{port}", "m", None), Record()
        await brain.open(record)
        picture = np.random.default_rng(1).bytes(200_000)
        for _ in range(150):
            brain.see("7", picture, sent=True)
            if bound == "time":
                await asyncio.sleep(0)
        failed = await record.wait(Failed)
        assert failed.code == "REALTIME_ERROR" and not failed.fatal
        assert ("taken nothing for 0.3 s" if bound == "time" else "does not take what it is sent") in failed.message
        await until(lambda: len(connections) == 2 and brain._link.ws is not None)
        assert brain._link._out_bytes == sum(len(text) for _, text in brain._link.out)
        over.set()
        await brain.close()


# ------------------------------------------------------------------------- a service whose every event is the test's


class Scripted:
    """One that says what it is told to, and notes what it hears."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.sound = bytearray()
        self.connections: list[ServerConnection] = []

    async def serve(self, ws: ServerConnection) -> None:
        self.connections.append(ws)
        async for text in ws:
            event = json.loads(text)
            if event["type"] == "input_audio_buffer.append":
                self.sound += base64.b64decode(event["audio"])
            else:
                self.events.append(event)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    async def send(self, kind: str, **members: Any) -> None:
        await self.connections[-1].send(json.dumps({"type": kind, **members}))

    async def user(self, item: str) -> None:
        await self.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id=item)
        await self.send("input_audio_buffer.speech_stopped", audio_end_ms=500, item_id=item)
        await self.send("input_audio_buffer.committed", item_id=item, previous_item_id=None)

    async def transcript(self, item: str, text: str) -> None:
        kind = "conversation.item.input_audio_transcription.completed"
        await self.send(kind, item_id=item, content_index=0, transcript=text)

    async def begin(self, response: str, **members: Any) -> None:
        await self.send("response.created", response={"id": response, "status": "in_progress", **members})

    async def say(
        self, response: str, text: str, seconds: float = 0.1, names: str = "output_audio", item: str = "", part: int = 0
    ) -> None:
        where = {"response_id": response, "item_id": item or f"item_{response}", "content_index": part}
        await self.send(f"response.{names}_transcript.delta", **where, delta=text)
        sound = base64.b64encode(LOUD * round(seconds * 150)).decode()
        await self.send(f"response.{names}.delta", **where, delta=sound)

    async def write(self, response: str, text: str, item: str = "t", names: str = "output_text") -> None:
        where = {"response_id": response, "item_id": item, "content_index": 0}
        await self.send(f"response.{names}.delta", **where, delta=text)

    async def call(self, response: str, call: str, arguments: str = "{}", status: str = "completed") -> None:
        item = {"type": "function_call", "id": f"item_{call}", "status": status, "call_id": call, "name": "book"}
        await self.send("response.output_item.done", response_id=response, item={**item, "arguments": arguments})

    async def end(self, response: str, status: str = "completed", **details: Any) -> None:
        more = {"status_details": details} if details else {}
        await self.send("response.done", response={"id": response, "status": status, **more})


@asynccontextmanager
async def script(tts: Any = None, **config: Any) -> AsyncIterator[tuple[RealtimeBrain, Record, Scripted]]:
    scripted = Scripted()
    async with serve(scripted.serve, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        brain = RealtimeBrain(AgentConfig(name="a", channel="c", brain="realtime", **config), url, "m", None, tts=tts)
        record = Record()
        await brain.open(record)
        await until(lambda: scripted.connections and scripted.events)
        try:
            yield brain, record, scripted
        finally:
            await brain.close()


def contents(service: Scripted) -> list[tuple[str, str]]:
    items = [event["item"] for event in service.of("conversation.item.create")]
    return [(item["role"], item["content"][0]["text"]) for item in items]


async def test_what_is_said_late_stands_where_it_was_said() -> None:
    async with script() as (_, record, service):
        for n in (1, 2):
            await service.user(f"u{n}")
            await service.begin(f"r{n}")
            await service.say(f"r{n}", f"answer {n}")
            await service.end(f"r{n}")
        await service.user("u3")  # of which no text comes
        await service.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u4")
        await service.begin("r3")  # it answers what was said, not what is being said
        assert [(await record.wait(ReplyStarted, n)).item_id for n in (1, 2, 3)] == ["u1", "u2", "u3"]
        await service.end("r3")
        for n in (2, 1):
            await service.transcript(f"u{n}", f"question {n}")
        await record.wait(UserText, 2)
        await service.connections[-1].close(1001)
        await until(lambda: len(contents(service)) == 4)
        assert [text for _, text in contents(service)] == ["question 1", "answer 1", "question 2", "answer 2"]


@pytest.mark.parametrize("names", ["output_audio", "audio"])
async def test_responses_are_told_apart(names: str) -> None:
    """Two at once, one of them out of the conversation; events of others, which are nobody's."""
    async with script() as (brain, record, service):
        await service.begin("r1")
        await service.say("r1", "One. ", names=names)
        await record.wait(ReplyAudio)
        said = brain.speak("Two.")  # it waits
        await service.begin("r2")  # the service's own
        await service.say("r2", "Another. ", names=names)
        await service.say("r1", "One more.", names=names)
        await service.say("never", "Nobody's.", names=names)
        await service.end("never")
        await service.end("r2")
        await service.say("r1", " And more.", names=names)
        await service.end("r1")
        await until(lambda: service.of("response.create"))
        await service.begin("r3", conversation_id="conv")  # not the one that was asked for: that is beside it
        await service.begin("r4", conversation_id=None)
        await service.say("r4", "Two.", names=names)
        brain.interrupted((await record.wait(ReplyStarted, 4)).reply_id, 0.0, "")  # r3
        await service.end("r4")
        done = [await record.wait(ReplyFinished, n) for n in (1, 2, 3, 4)]
        texts = {finished.reply_id: (finished.text, finished.reason) for finished in done}
        assert texts[said] == ("Two.", "done")
        assert list(texts.values())[:2] == [("Another. ", "done"), ("One. One more. And more.", "done")]
        await until(lambda: service.of("response.cancel"))
        assert [event["response_id"] for event in service.of("response.cancel")] == ["r3"]
        assert not record.of(Failed)


async def test_a_response_of_which_the_end_never_comes_mutes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_replies, "SUPERSEDED", 0.2)
    async with script() as (brain, record, service):
        await service.begin("r1")
        await service.say("r1", "I was")
        await service.begin("r2")
        await service.say("r2", "A whole answer.")
        await service.end("r2")
        await record.wait(ReplyFinished, 2)
        assert [finished.text for finished in record.of(ReplyFinished)] == ["A whole answer.", "I was"]
        brain.respond()
        await until(lambda: service.of("response.create"))
        assert not record.of(Failed)


async def test_a_response_that_is_in_the_way_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_replies, "SUPERSEDED", 0.2)
    async with script() as (brain, record, service):
        busy = {"code": "conversation_already_has_active_response", "type": "invalid_request_error", "message": "x"}
        brain.tell("hi")
        for n in (1, 2):  # nobody knows of which one, and its end is never told
            await until(lambda n=n: len(service.of("response.create")) == n)
            await service.send("error", error={**busy, "event_id": service.of("response.create")[-1]["event_id"]})
        await until(lambda: len(service.of("response.create")) == 3)
        await service.begin("r1", metadata=service.of("response.create")[2]["response"]["metadata"])
        await service.user("u1")
        await service.send("error", error={**busy, "event_id": None})  # the service could not answer u1 by itself
        await service.say("r1", "Hello.")
        await service.end("r1")
        await until(lambda: len(service.of("response.create")) == 4)
        assert [started.item_id for started in record.of(ReplyStarted)] == [None, "u1"]
        assert not record.of(Failed)


@pytest.mark.parametrize(
    ("status", "details", "text", "failed", "reason"),
    [
        ("incomplete", {"reason": "max_output_tokens"}, "As far as", ("max_output_tokens", True), "done"),
        ("incomplete", {"reason": "content_filter"}, "", ("content_filter", False), "failed"),
        ("failed", {"error": {"code": "server_error"}}, "As far as", ("server_error", False), "failed"),
        ("cancelled", {"reason": "turn_detected"}, "As far as", None, "failed"),
        ("cancelled", {"reason": "client_cancelled"}, "As far as", ("client_cancelled", True), "failed"),
        ("cancelled", {}, "", ("no reason given", False), "failed"),
    ],
)
async def test_how_a_response_ends_is_told(
    status: str, details: dict[str, Any], text: str, failed: tuple[str, bool] | None, reason: str
) -> None:
    async with script() as (_, record, service):
        await service.begin("r1")
        if text:
            await service.say("r1", text)
        await service.end("r1", status, **details)
        done = await record.wait(ReplyFinished)
        assert (done.text, done.reason) == (text, reason)
        told = [(one.message.rpartition(": ")[2], one.minor) for one in record.of(Failed)]
        assert told == ([failed] if failed else [])


async def test_a_transcript_that_fails_is_told() -> None:
    async with script() as (_, record, service):
        await service.user("u1")
        kind = "conversation.item.input_audio_transcription.failed"
        await service.send(kind, item_id="u1", content_index=0, error={"code": "audio_unintelligible"})
        failed = await record.wait(Failed)
        assert (failed.code, failed.minor) == ("STT_ERROR", True) and "audio_unintelligible" in failed.message


@pytest.mark.parametrize("names", ["output_text", "text"])
async def test_an_answer_in_text_is_spoken(names: str) -> None:
    async with script(lambda config: OfflineTts("en-us", config.language)) as (brain, record, service):
        voice = brain.in_use()["voice"]
        assert not voice.instead_of
        await service.begin("r1")
        await service.write("r1", "This comes as text. ", names=names)
        await service.write("r1", "So does this.", names=names)
        await service.say("r1", "And this is sound.", 0.5)
        await service.end("r1")
        done = await record.wait(ReplyFinished)
        assert done.reason == "done" and "".join(done.text.split()) == "Thiscomesastext.Sodoesthis.Andthisissound."
        used = brain.in_use()["voice"]
        assert used.name.startswith("espeak:") and used.instead_of == f"the model's {voice.name}".strip()
        assert used.because == "the service answered in text"
        assert [sound.rate for sound in record.of(ReplyAudio)][-1] == 24_000 and record.seconds(done.reply_id) > 2.0
        assert brain._state.context.messages()[-1]["content"] == done.text and not record.of(Failed)
        await service.begin("r2")
        await service.send("response.output_text.done", response_id="r2", item_id="x", text="All of it at once.")
        brain.interrupted((await record.wait(ReplyStarted, 2)).reply_id, 0.0, "")
        assert (await record.wait(ReplyFinished, 2)).reason == "cancelled"
        await service.begin("r3")  # the text of sound, that comes before it
        await service.write("r3", "The", "item_r3", names=names)
        await service.say("r3", " same.", 0.2)
        await service.end("r3")
        done = await record.wait(ReplyFinished, 3)
        assert done.text == "The same." and record.seconds(done.reply_id) == pytest.approx(0.2, abs=0.01)


async def test_parts_of_an_answer_are_not_glued_together() -> None:
    """Neither told, nor remembered, nor spoken."""
    async with script(lambda config: OfflineTts("en-us", config.language)) as (brain, record, service):
        await service.begin("r1")
        for item, part, text in (("a", 0, "Let me"), ("a", 0, " see."), ("b", 0, "It is five."), ("b", 1, "Or six.")):
            await service.say("r1", text, item=item, part=part)
        await service.send(
            "response.output_audio_transcript.done", response_id="r1", item_id="c", content_index=0, transcript=" Or."
        )
        await service.end("r1")
        done = await record.wait(ReplyFinished)
        assert done.text == "Let me see. It is five. Or six. Or." == record.text(done.reply_id)
        assert brain._state.context.messages()[-1]["content"] == done.text
        await service.begin("r2")
        for item, text in (("d", "First"), ("d", " this"), ("e", "Then that")):
            await service.write("r2", text, item)
        await service.end("r2")
        done = await record.wait(ReplyFinished, 2)
        assert done.text == "First this Then that" == record.text(done.reply_id)
        assert [one.text for one in record.of(ReplyText, reply_id=done.reply_id)] == ["First this", " Then that"]
        assert brain._state.context.messages()[-1]["content"] == done.text and not record.of(Failed)


async def test_an_answer_in_text_is_told_where_there_is_no_voice() -> None:
    async with script() as (_, record, service):
        await service.begin("r1")
        await service.write("r1", "Read ")
        await service.write("r1", "this.")
        await service.end("r1")
        done = await record.wait(ReplyFinished)
        assert (done.text, record.text(done.reply_id)) == ("Read this.", "Read this.")
        assert [(failed.code, failed.minor) for failed in record.of(Failed)] == [("TTS_ERROR", True)]


async def test_however_many_users_speak_the_service_hears_one_stream() -> None:
    async with script() as (brain, _, service):
        for _ in range(100):
            for user, frame in (("7", SILENCE), ("8", LOUD), ("9", SILENCE)):
                brain.hear(frame, user)
        await until(lambda: len(service.sound) >= 46_000)
        assert 46_000 <= len(service.sound) <= 48_000
        heard = np.frombuffer(bytes(service.sound), np.int16)[4800:22_800]  # without what is gathered first
        assert (np.abs(heard.reshape(-1, 120)).max(1) > 4000).all()


# ------------------------------------------------------------------------------------------------------------- calls


class Booking:
    """A function that takes until it is let."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
        self.let = asyncio.Event()
        self.tools = [Tool(name="book", run=self._run)]

    async def _run(self, **arguments: Any) -> str:
        self.made.append(arguments)
        await self.let.wait()
        return f"booked {len(self.made)}"


def results(service: Scripted) -> dict[str, str]:
    items = [event["item"] for event in service.of("conversation.item.create")]
    return {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}


async def test_a_call_that_was_broken_off_is_not_made() -> None:
    booking = Booking()
    booking.let.set()
    async with script(tools=booking.tools) as (_, record, service):
        await service.begin("r1")
        await service.call("r1", "c1", "", "incomplete")
        await service.end("r1", "cancelled", type="cancelled", reason="turn_detected")
        await service.begin("r2")
        await service.call("r2", "c2", "")
        await service.end("r2")
        await until(lambda: service.of("response.create"))
        assert booking.made == [{}] and list(results(service)) == ["c2"]
        assert [event["item_id"] for event in service.of("conversation.item.delete")] == ["item_c1"]
        assert [call.call_id for call in record.of(ToolCalled)] == ["c2"]


async def test_a_call_that_still_runs_is_not_made_again() -> None:
    """A cough while it runs: the model sees no result, and asks for it anew."""
    booking = Booking()
    async with script(tools=booking.tools) as (brain, record, service):
        await service.begin("r1")
        await service.call("r1", "c1", '{"seats": 2}')
        await service.end("r1")
        brain.interrupted((await record.wait(ReplyStarted)).reply_id, 0.0, "")
        await service.begin("r2")
        for call, arguments in (("c2", '{ "seats": 2 }'), ("c3", '{"seats": 3}'), ("c4", '{"seats": 3}')):
            await service.call("r2", call, arguments)  # two of one response are two
        await service.end("r2")
        await until(lambda: len(booking.made) == 3)
        booking.let.set()
        await until(lambda: service.of("response.create"))
        assert [made["seats"] for made in booking.made] == [2, 3, 3]
        assert results(service) == dict.fromkeys(["c1", "c2", "c3", "c4"], "booked 3")
        await service.begin("r3")
        await service.call("r3", "c5", '{"seats": 2}')  # its result is known: it is meant
        await until(lambda: len(booking.made) == 4)


@pytest.mark.parametrize("when", ["response under way", "away", "after", "told"])
async def test_what_a_call_brought_outlives_the_connection(when: str) -> None:
    booking = Booking()
    async with script(tools=booking.tools) as (brain, record, service):
        await service.user("u1")
        await service.transcript("u1", "Book it.")
        await service.begin("r1")
        await service.call("r1", "c1", '{"seats": 2}')
        if when != "response under way":
            await service.end("r1")
        await until(lambda: booking.made)
        if when == "told":
            booking.let.set()
            await until(lambda: service.of("response.create"))
        first = len(service.events)
        await service.connections[-1].close(1001)
        await until(lambda: brain._link.ws is None)
        if when == "away":
            booking.let.set()
        await until(lambda: len(service.events) > first + 1)
        booking.let.set()
        await until(lambda: len(service.of("response.create")) == 1 + (when == "told"))
        told = [event["item"] for event in service.events[first:] if event["type"] == "conversation.item.create"]
        call = {"type": "function_call", "call_id": "c1", "name": "book", "arguments": '{"seats": 2}'}
        assert [item["type"] for item in told] == ["message", "function_call", "function_call_output"]
        assert told[1] == call and told[2]["output"] == "booked 1" and told[2]["call_id"] == "c1"
        await service.begin("r2")
        await service.say("r2", "It is booked.")
        await service.end("r2")
        done = await record.wait(ReplyFinished)
        assert (done.text, done.reason) == ("It is booked.", "done")
        assert len(record.of(ReplyStarted)) == len(booking.made) == 1 and not record.of(Failed)


# ------------------------------------------------------------------------------------------- a service without measure


async def test_responses_that_nobody_asked_for_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    most = realtime_replies.MAX_UNASKED
    async with script() as (brain, record, service):

        async def answers(first: int, number: int) -> None:
            for n in range(first, first + number):
                await service.begin(f"r{n}")
                await service.say(f"r{n}", "More!")
                await service.end(f"r{n}")

        await answers(0, most + 10)
        failed = await record.wait(Failed)
        assert failed.minor and f"more than {most} responses within 60 s that nobody asked for" in failed.message
        await until(lambda: len(service.of("response.cancel")) == 10)
        assert len(record.of(ReplyStarted)) == most and not brain._replies.under_way
        brain.tell("What is it?")
        await until(lambda: service.of("response.create"))
        await service.begin("ours", metadata=service.of("response.create")[0]["response"]["metadata"])
        await service.say("ours", "It is nothing.")
        await service.end("ours")
        done = await record.wait(ReplyFinished, count=most + 1)
        assert (done.text, done.reason) == ("It is nothing.", "done"), "what is asked for is said"
        monkeypatch.setattr(realtime_replies, "UNASKED_SECONDS", 0.0)
        await answers(100, 1)
        assert (await record.wait(ReplyFinished, count=most + 2)).text == "More!"


async def test_faults_without_number_are_told_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    async with script() as (_, record, service):

        async def flood() -> None:
            known = len(record.of(UserText))
            for n in range(10):
                await service.connections[-1].send("no event")
                await service.send("error", error={"code": f"code_{n}", "message": "no"})
                await service.send("conversation.item.input_audio_transcription.failed", item_id=f"u{n}", error={})
                await service.begin(f"failed{n}")
                await service.end(f"failed{n}", "failed")
            for n in range(40):
                await service.begin(f"never{n}")
            await service.transcript("u", "Hello.")
            await record.wait(UserText, known + 1)

        await flood()
        assert len(record.of(Failed)) == realtime_state.MAX_COMPLAINTS
        assert "no event" in record.of(Failed)[0].message
        monkeypatch.setattr(realtime_state, "COMPLAINTS_SECONDS", 0.0)
        await flood()
        assert len(record.of(Failed)) > 3 * realtime_state.MAX_COMPLAINTS


async def test_a_response_calls_only_so_many_functions_at_once() -> None:
    booking = Booking()
    async with script(tools=booking.tools) as (brain, record, service):
        await service.begin("r1")
        for n in range(40):
            await service.call("r1", f"c{n}", json.dumps({"seats": n}))
        done = await record.wait(ReplyFinished)
        assert done.reason == "cancelled" and "more functions at once" in record.of(Failed)[0].message
        await until(lambda: len(booking.made) == calls.MAX_CALLS)
        for r in range(20):  # nor do all of them together
            await service.begin(f"more{r}")
            for n in range(10):
                await service.call(f"more{r}", f"c{r}-{n}", json.dumps({"seats": 100 * r + 50 + n}))
            await service.end(f"more{r}")
        await service.transcript("u", "Hello.")
        await record.wait(UserText)
        assert (
            len(booking.made) <= len(brain._state.tasks) <= realtime_replies.MAX_TASKS + 20
        )  # with those that wait for results
        booking.let.set()
        await until(lambda: len(results(service)) == len(booking.made))


async def test_a_reply_calls_functions_only_so_often() -> None:
    booking = Booking()
    booking.let.set()
    async with script(tools=booking.tools) as (_, record, service):
        for n in range(calls.MAX_ROUNDS):
            tag = {"metadata": service.of("response.create")[-1]["response"]["metadata"]} if n else {}
            await service.begin(f"r{n}", **tag)
            await service.call(f"r{n}", f"c{n}", json.dumps({"seats": n}))
            await service.end(f"r{n}")
            await until(lambda made=n + 1: len(service.of("response.create")) == made)
        asked = [event["response"] for event in service.of("response.create")]
        assert [one.get("tool_choice") for one in asked] == [None] * (calls.MAX_ROUNDS - 1) + ["none"]
        await service.begin("last", metadata=asked[-1]["metadata"])
        await service.call("last", "c", json.dumps({"seats": 99}))
        await service.end("last")
        assert (await record.wait(ReplyFinished)).reason == "cancelled"
        assert [failed.message for failed in record.of(Failed)] == [
            "the service calls functions 9 times; its reply is cut off"
        ]
        assert len(record.of(ReplyStarted)) == 1 and len(booking.made) == calls.MAX_ROUNDS


class Mumbles(OfflineTts):
    """Never comes to an end."""

    async def speak(self, text: str) -> AsyncGenerator[Sound, None]:
        await asyncio.sleep(600)
        yield Sound(b"", 16_000)


async def test_text_without_end_is_cut_off() -> None:
    text = "word " * 20_000
    async with script(lambda config: Mumbles("en-us", config.language)) as (brain, record, service):
        await service.begin("r1")
        for _ in range(3):
            await service.say("r1", text)
        await service.end("r1")
        done = await record.wait(ReplyFinished)
        assert (len(done.text), done.reason) == (MAX_TEXT, "cancelled")
        await service.begin("r2")
        for _ in range(3):
            await service.write("r2", text)
        await service.transcript("u", "Hello.")
        await record.wait(UserText)
        assert sum(map(len, brain._replies.under_way["r2"].reply.written.values())) == MAX_TEXT
        assert [failed.message for failed in record.of(Failed)] == ["the reply is too long; it is cut off"] * 2


async def test_a_call_with_too_many_arguments_is_answered_and_the_reply_goes_on() -> None:
    box = [Tool(name="book", run=lambda: "seen")]
    async with script(tools=box) as (_, record, service):
        await service.begin("r1")
        await service.call("r1", "c1", json.dumps({"n": "x" * MAX_ARGUMENTS}))
        await service.end("r1")
        await until(lambda: len(service.of("response.create")) == 1)
        items = [event["item"] for event in service.of("conversation.item.create")]
        [output] = [item["output"] for item in items if item["type"] == "function_call_output"]
        assert "are allowed" in output and not record.of(ReplyFinished)
        assert [failed.code for failed in record.of(Failed)] == ["TOOL_ERROR"]


async def test_what_the_service_sends_is_only_for_the_operator(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "lipwire.agents")
    async with script() as (_, record, service):
        await service.send("response.created", response="inner-host")
        await record.wait(Failed)
        await until(lambda: "inner-host" in caplog.text)
    told = [line for line in caplog.records if line.levelname != "DEBUG"]
    assert [line.getMessage() for line in told] == ["agent a: not understood: TypeError"]
    assert told[0].exc_info is None


@pytest.mark.parametrize("ms", [-1e308, 1e308, -(10**40), 0.5])
async def test_when_a_user_began_to_speak_is_within_a_turn_whatever_the_service_says(ms: float) -> None:
    async with script() as (_, record, service):
        await service.send("input_audio_buffer.speech_started", audio_start_ms=ms, item_id="u1")
        started = await record.wait(SpeechStarted)
        assert isinstance(started.onset_ns, int)
        assert 0 <= time.monotonic_ns() - started.onset_ns <= (MAX_TURN_MS + 10_000) * 1_000_000


async def test_what_waits_behind_text_that_is_read_aloud_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_output, "MAX_BEHIND", 100_000)
    async with script(lambda config: Mumbles("en-us", config.language)) as (brain, record, service):
        await service.begin("r1")
        await service.write("r1", "This comes as text. ")
        for _ in range(100):
            await service.say("r1", "", 0.1)
        assert (await record.wait(ReplyFinished)).reason == "cancelled"
        assert [failed.message for failed in record.of(Failed)] == ["the reply is too long; it is cut off"]
        await until(lambda: service.of("response.cancel"))
        assert [event["response_id"] for event in service.of("response.cancel")] == ["r1"]
        assert not brain._replies.under_way["r1"].reply.behind


async def test_what_the_service_names_is_bounded() -> None:
    async with script() as (brain, record, service):
        await service.begin("r" * 1000)
        await service.begin("r1")
        await service.say("r1", "Hello.", item="i" * 1000)
        await service.call("r1", "c" * 1000)
        for n in range(realtime_output.MAX_ITEMS + 10):
            await service.say("r1", "a", 0.01, item=f"item{n}")
        assert (await record.wait(ReplyFinished)).reason == "cancelled"
        told = [failed.message.rpartition(": ")[2] for failed in record.of(Failed)]
        assert told == [
            *["an id is too long"] * 3,
            "a call is too long",
            "the reply is too long; it is cut off",
        ]
        assert len(brain._replies.under_way["r1"].reply.told) <= realtime_output.MAX_ITEMS + 1
        await service.begin("r2")
        for n in range(realtime_output.MAX_ITEMS + 10):
            await service.send("response.output_audio.delta", response_id="r2", item_id=f"item{n}", delta="AAAA")
        assert (await record.wait(ReplyFinished, 2)).reason == "cancelled"
        assert len(brain._replies.under_way["r2"].reply.items) <= realtime_output.MAX_ITEMS + 1
