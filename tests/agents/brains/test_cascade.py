"""The cascade: what is heard, asked, said and remembered, with services that do what they should, and that do not."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from lipwire import resample
from lipwire.agents.brains import cascade, make_brain, prompt, tools
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
    TimedWord,
    ToolCalled,
    UserText,
)
from lipwire.agents.brains.calls import MAX_ROUNDS
from lipwire.agents.brains.cascade import CascadeBrain
from lipwire.agents.brains.chat import Timeouts
from lipwire.agents.config import AgentConfig, Llm, Tool, TurnDetection
from lipwire.agents.face_tags import Feeling, Mark
from lipwire.agents.options import McpServer, ToolServer, Vendor
from lipwire.agents.speech import judge, turn_detector
from lipwire.agents.speech.judge import OnProbability
from lipwire.agents.speech.offline_stt import OfflineStt, what_hears
from lipwire.agents.speech.stt import HttpStt, Transcript
from lipwire.agents.speech.vendors.openai import OpenAiTts
from lipwire.audio import espeak as voice
from lipwire.errors import BadState, BufferFull, InvalidArgument, ModelFailed
from lipwire.models.host import ModelHost
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.names import Name
from lipwire.protocol.agent_bodies import InUse
from support.fakes import Answer, FakeChat, FakeStt, FakeTts, ToolCall
from support.fakes.mcp import mcp_server
from support.fakes.record import Record
from support.machine import require

FAST = Timeouts(first_token=1.5, between=1.0)
SILENCE = bytes(320)


class Scene:
    """A cascade with its services."""

    def __init__(self, brain: CascadeBrain, record: Record, chat: FakeChat, stt: FakeStt, tts: FakeTts) -> None:
        self.brain, self.record, self.chat, self.stt, self.tts = brain, record, chat, stt, tts

    async def hear(self, pcm: bytes, silence_ms: int = 0, user: str = "7", step: float = 0.0) -> None:
        pcm += SILENCE * (silence_ms // 10)
        for i in range(0, len(pcm) - 319, 320):
            self.brain.hear(pcm[i : i + 320], user)
            await asyncio.sleep(step)

    def asked(self, number: int = -1) -> list[tuple[str, Any]]:
        """(role, content) of a request's messages."""
        return [(m["role"], m.get("content")) for m in self.chat.requests[number]["messages"]]


@asynccontextmanager
async def scene(
    replies: Any = "Hello there.",
    texts: Any = "good morning",
    *,
    chat: dict[str, Any] | None = None,
    stt: dict[str, Any] | None = None,
    tts: dict[str, Any] | None = None,
    llm: dict[str, Any] | None = None,
    **config: Any,
) -> AsyncIterator[Scene]:
    async with FakeChat(replies, **chat or {}) as a, FakeStt(texts, **stt or {}) as b, FakeTts(**tts or {}) as c:
        agent = AgentConfig(name="a", channel="c", llm=Llm(url=a.url, **llm or {}), **config)
        brain, record = (
            CascadeBrain(agent, Services(stt_url=b.url, tts_url=c.url, end_of_turn="silence"), timeouts=FAST),
            Record(),
        )
        await brain.open(record)
        try:
            yield Scene(brain, record, a, b, c)
        finally:
            await brain.close()
            await brain.close()
            assert not brain._tasks and not brain._replies


@pytest.fixture(scope="module")
def speech() -> bytes:
    """16 kHz, without silence at the ends."""
    require(voice.available(), "espeak-ng")
    x = np.frombuffer(resample(*voice.synthesize("Can you hear me now, my friend?"), 16_000), np.int16)
    loud = np.flatnonzero(np.abs(x) > 500)
    return x[loud[0] : loud[-1]].tobytes()


async def test_a_turn_from_speech_to_speech(speech: bytes) -> None:
    async with scene("Hello there. How can I help?", llm={"model": "m"}) as s:
        await s.hear(SILENCE * 50 + speech, 700)
        done = await s.record.wait(ReplyFinished)
        assert (done.text, done.reason) == ("Hello there. How can I help?", "done")
        assert s.record.kinds()[:5] == ["SpeechStarted", "SpeechStopped", "UserText", "ReplyStarted", "Stamp"]
        user = s.record.of(UserText)[-1]
        started = s.record.of(ReplyStarted)[0]
        assert (user.text, user.final, user.item_id) == ("good morning", True, started.item_id)
        assert s.asked() == [("user", "good morning")]
        # the prefix padding and all of the speech went to speech to text, once
        assert len(s.stt.requests) == 1
        assert len(speech) / 32_000 + 0.2 <= s.stt.seconds[0] <= len(speech) / 32_000 + 0.3 + 0.6
        assert s.tts.texts == ["Hello there.", "How can I help?"]
        assert s.record.text(done.reply_id) == done.text
        assert s.record.seconds(done.reply_id) == pytest.approx(len("Hello there.How can I help?") * 0.06)
        second = s.record.of(ReplyText)[1]
        assert (second.text, second.at_ms) == ("How can I help?", round(len("Hello there.") * 60))
        stamps = [stamp.name for stamp in s.record.of(Stamp)]
        assert stamps == ["first_token", "first_sentence", "tts_asked", "first_audio"]
        times = [started.asked_ns, *(stamp.at_ns for stamp in s.record.of(Stamp))]
        assert times == sorted(times)
        await s.hear(speech, 700)
        await s.record.wait(ReplyFinished, 2)
        assert s.asked() == [("user", "good morning"), ("assistant", done.text), ("user", "good morning")]
        assert s.chat.connections == 1  # kept open between turns


async def test_who_goes_on_is_heard_whole_and_answered_once(speech: bytes) -> None:
    # 350 ms of silence are more than half of 500 and less than all of it
    async with scene(texts=lambda pcm, rate: f"{len(pcm) / 32_000:.1f}") as s:
        await s.hear(SILENCE * 50 + speech, 350, step=0.001)
        await s.hear(speech, 700, step=0.001)
        await s.record.wait(ReplyFinished)
        assert len(s.record.of(SpeechStarted)) == len(s.record.of(SpeechStopped)) == len(s.chat.requests) == 1
        final = s.record.of(UserText, final=True)
        assert len(final) == 1 and float(final[0].text) >= 2 * len(speech) / 32_000 + 0.3
        assert 2 <= len(s.stt.requests) <= 4


async def test_speech_that_is_none_is_not_answered(speech: bytes) -> None:
    async with scene(texts=["", "yes"]) as s:
        await s.hear(SILENCE * 20 + speech, 700)
        assert (await s.record.wait(UserText, final=True)).text == ""
        await s.hear(speech, 700)
        await s.record.wait(ReplyFinished)
        assert s.asked() == [("user", "yes")] and len(s.chat.requests) == 1


async def test_an_answer_that_a_cough_cut_off_before_it_was_heard_is_given_again(speech: bytes) -> None:
    async with scene(texts=["tell me", ""], tts={"first_byte": 10.0}) as s:
        s.record.on = lambda event: (  # type: ignore[assignment]
            [s.brain.interrupted(r.reply_id, 0.0, "") for r in s.record.of(ReplyStarted)]
            if isinstance(event, SpeechStarted)
            else None
        )
        await s.hear(SILENCE * 20 + speech, 700)
        await s.record.wait(Stamp, name="tts_asked")
        s.tts.first_byte = 0.0  # of the next
        await s.hear(speech, 700)
        assert (await s.record.wait(ReplyFinished, 2)).reason == "done"
        assert s.record.of(ReplyFinished)[0].reason == "cancelled"
        assert [s.asked(i) for i in (0, 1)] == [[("user", "tell me")]] * 2


async def test_a_backchannel_keeps_no_question_waiting(speech: bytes) -> None:
    async with scene(texts=["What does it cost?", "Okay."]) as s:
        heard, answer = asyncio.Event(), s.stt.answer

        async def slow(request: Any) -> Any:
            response = await answer(request)
            await heard.wait()
            return response

        s.stt.answer = slow  # type: ignore[method-assign]
        s.brain.doubt(True)
        await s.hear(SILENCE * 20 + speech, 700)
        await s.hear(speech[:16_000])  # its text comes only now, while the user speaks again
        await s.record.wait(SpeechStarted, 2)
        heard.set()
        await s.record.wait(UserText, final=True)
        await s.hear(speech[16_000:], 700)
        await s.record.wait(ReplyFinished)
        assert s.asked() == [("user", "What does it cost?\nOkay.")] and len(s.chat.requests) == 1
        await s.hear(speech, 700)  # nothing waits: the agent goes on
        await s.record.wait(UserText, 3, final=True)
        assert len(s.record.of(ReplyStarted)) == 1


async def test_a_second_user_waits_and_one_who_leaves_in_mid_turn_is_answered(
    speech: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cascade, "GONE_SECONDS", 0.2)
    async with scene(turn_detection=TurnDetection(silence_duration_ms=400)) as s:
        await s.hear(SILENCE * 20 + speech)
        await s.hear(speech, 500, user="8")  # talks into it
        assert len(s.record.of(SpeechStarted)) == 1
        await s.record.wait(ReplyFinished)  # user 7 is gone without a silence
        await s.hear(SILENCE * 20 + speech, 700, user="8")
        await s.record.wait(ReplyFinished, 2)
        for i in range(20):
            await s.hear(SILENCE, user=f"many{i}")
        assert len(s.brain._detectors) == cascade.MAX_USERS


class Says:
    """Judges every turn alike, and at once."""

    def __init__(self, probability: float | None) -> None:
        self.probability = probability

    def ask(self, pcm: bytes, on_probability: OnProbability) -> Says:
        on_probability(self.probability)
        return self

    def drop(self) -> None: ...

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("text", "probability", "silence", "ends"),
    [
        ("good morning", 0.9, None, (200, 300)),
        ("I would like to", 0.9, None, (900, 1050)),
        ("good morning", 0.1, None, (900, 1050)),
        ("good morning", 0.1, 300, (280, 400)),
        ("I would like to", 0.9, 400, (380, 500)),
        ("", 0.1, None, (200, 400)),  # a noise
        ("uh-huh", 0.1, None, (900, 1050)),
        ("uh-huh, into what is said", 0.1, None, (200, 400)),
    ],
)
async def test_a_whole_sentence_is_answered_sooner_than_one_that_is_not(
    speech: bytes, text: str, probability: float, silence: int | None, ends: tuple[int, int]
) -> None:
    detection = TurnDetection(silence_duration_ms=silence, max_wait_ms=900)
    text, doubted, _ = text.partition(", into what is said")
    async with scene(texts=text, turn_detection=detection) as s:
        s.brain._make_detector._judged, s.brain._make_detector._judge = True, Says(probability)  # type: ignore[assignment]
        s.brain.doubt(bool(doubted))
        await s.hear(SILENCE * 20 + speech)
        silent = 0
        while not s.record.of(SpeechStopped) and silent < 2000:
            await s.hear(SILENCE)
            silent += 10
            if (turn := s.brain._turn) is not None and turn.result is not None:
                await asyncio.wait([turn.result])  # the service is as quick as it can be
        assert ends[0] <= silent <= ends[1]
        assert (await s.record.wait(UserText, final=True)).text == text
        assert len(s.stt.requests) == 1


async def test_a_language_that_changes_before_anybody_has_spoken_holds() -> None:
    async with scene() as s:
        s.brain.update({"language": "de-DE"})
        await s.hear(SILENCE)
        assert s.brain._detectors["7"].language == "de-DE"
        s.brain.update({"language": "fr-FR"})
        await s.hear(SILENCE, user="8")
        assert {detector.language for detector in s.brain._detectors.values()} == {"fr-FR"}


async def test_without_turn_detection_commit_ends_the_turn(speech: bytes) -> None:
    async with scene(turn_detection=TurnDetection(enabled=False)) as s:
        s.brain.commit()  # nobody has spoken
        await s.hear(SILENCE * 20 + speech, 2000)
        assert s.record.kinds() == ["SpeechStarted"] and not s.stt.requests
        s.brain.commit()
        await s.record.wait(ReplyFinished)
        assert len(s.stt.requests) == 1


async def test_speak_is_said_without_thinking_and_in_order() -> None:
    async with scene(tts={"first_byte": 0.02}) as s:
        first, second = s.brain.speak("Welcome. How are you?"), s.brain.speak("Goodbye.")
        s.brain.tell("hi")
        done = [(await s.record.wait(ReplyFinished, i)).reply_id for i in (1, 2, 3)]
        assert done[:2] == [first, second]
        assert s.asked()[-1] == ("user", "hi")
        order = [event.reply_id for event in s.record.of(ReplyAudio)]
        assert order == sorted(order, key=done.index)
        s.brain.tell("and?")
        await s.record.wait(ReplyFinished, 4)
        said = [text for role, text in s.asked() if role == "assistant"]
        assert said == ["Welcome. How are you?\nGoodbye.\nHello there."]


async def test_what_was_not_heard_is_not_remembered() -> None:
    async with scene("One two three. Four five six. Seven.", chat={"token_interval": 0.01}, tts={"speed": 2.0}) as s:
        s.brain.tell("count")
        await s.record.wait(ReplyText)
        reply_id = s.record.of(ReplyStarted)[0].reply_id
        s.brain.interrupted(reply_id, 300.0, "One two")
        assert s.record.of(ReplyFinished) == [ReplyFinished(reply_id, "One two", "cancelled")]
        count = len(s.record.events)
        await asyncio.sleep(0.2)
        assert len(s.record.events) == count  # nothing of it surfaces any more
        s.brain.tell("go on")
        await s.record.wait(ReplyFinished, 2)
        assert s.asked() == [("user", "count"), ("assistant", "One two"), ("user", "go on")]
        # all of it was handed over, and it is cut off while it is played
        last = s.record.of(ReplyFinished)[-1].reply_id
        s.brain.interrupted(last, 100.0, "")
        s.brain.tell("so?")
        await s.record.wait(ReplyFinished, 3)
        assert s.asked()[-1] == ("user", "go on\nso?")
        s.brain.interrupted("nobody knows it", 0.0, "x")


async def test_a_new_question_takes_the_place_of_the_answer_in_the_making() -> None:
    async with scene([Answer("one two three four.", stall_after=3), "Second."]) as s:
        s.brain.tell("first")
        await s.record.wait(Stamp, name="first_token")
        s.brain.tell("second")
        await s.record.wait(ReplyFinished, 2)
        assert [f.reason for f in s.record.of(ReplyFinished)] == ["cancelled", "done"]
        assert s.asked() == [("user", "first\nsecond")]


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


async def test_the_service_sends_the_sound_itself() -> None:
    llm = {"output_modalities": ["audio"]}
    async with scene([Answer("Hello you.", audio=0.4), "Only text."], llm=llm) as s:
        reply_id = s.brain.speak("Welcome.")
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished, 2)
        assert s.record.of(ReplyFinished)[0].reply_id == reply_id
        assert done.text == "Hello you." == s.record.text(done.reply_id)
        assert s.record.seconds(done.reply_id) == pytest.approx(0.4)
        assert {a.rate for a in s.record.of(ReplyAudio, reply_id=done.reply_id)} == {16_000}
        assert s.tts.texts == ["Welcome."]
        s.brain.tell("again")  # a service that was asked for sound and sends none is spoken for
        done = await s.record.wait(ReplyFinished, 3)
        assert s.tts.texts[1:] == ["Only text."] and done.text == "Only text."


async def test_a_picture_is_shown_while_it_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(llm={"input_modalities": ["text", "image"]}) as s:
        for jpeg in (b"old", b"new"):
            s.brain.see("7", jpeg)
        s.brain.tell("what do you see?")
        await s.record.wait(ReplyFinished)
        parts = s.asked()[-1][1]
        assert parts[0] == {"type": "text", "text": "what do you see?"}
        assert parts[1]["image_url"]["url"] == "data:image/jpeg;base64," + base64.b64encode(b"new").decode()
        monkeypatch.setattr(cascade, "PICTURE_SECONDS", -1.0)
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


async def test_a_fault_of_the_voice_and_of_the_ear(speech: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)
    async with scene() as s:
        s.tts.fail_with = [500, 500]
        s.brain.tell("hi")
        failed = await s.record.wait(Failed)
        assert (failed.code, "answered 500" in failed.message) == ("TTS_ERROR", True)
        assert (await s.record.wait(ReplyFinished)).reason == "failed"
        s.stt.fail_with = [503, 503]
        await s.hear(SILENCE * 20 + speech, 700)
        failed = await s.record.wait(Failed, 2)
        assert (failed.code, failed.reply_id) == ("STT_ERROR", None)
        await s.hear(speech, 700)
        assert (await s.record.wait(ReplyFinished, 2)).reason == "done"


async def test_a_placeholder_is_no_turn(speech: bytes) -> None:
    async with scene(texts="[BLANK_AUDIO]") as s:
        await s.hear(SILENCE * 20 + speech, 700)
        user = await s.record.wait(UserText)
        assert (user.text, user.final) == ("", True)
    assert not s.chat.requests and not s.record.of(ReplyStarted)


async def test_headers_go_where_they_belong() -> None:
    own = {"X-A": "1", "X-B": "2"}
    services = Services(stt_url="http://a", tts_url="http://b", llm_url="http://c", llm_headers=own, tts_headers=own)
    config = AgentConfig(name="a", channel="c", llm=Llm(url="http://c"), tts_headers={"X-A": "mine"})
    brain = CascadeBrain(config, services)
    assert isinstance(brain._tts, OpenAiTts) and isinstance(brain._stt, HttpStt)
    assert (brain._tts.headers, brain._stt.headers) == ({"X-A": "mine", "X-B": "2"}, {})
    assert brain._chat._headers() == own
    await brain.close()


async def test_a_sentence_that_is_lost_is_told_and_the_rest_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)
    async with scene("One two three. Four five six.", tts={"speed": 100.0}) as s:
        s.tts.fail_with = [400]
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished)
        assert (done.text, done.reason) == (s.record.text(done.reply_id), "done")
        assert done.text.strip() in ("One two three.", "Four five six.")
        (failed,) = s.record.of(Failed)
        assert (failed.code, failed.reply_id, failed.minor) == ("TTS_ERROR", done.reply_id, True)
        assert "14 characters were not said" in failed.message or "15 characters" in failed.message
        assert s.brain._context.messages()[-1] == {"role": "assistant", "content": done.text}


async def test_what_changes_holds_from_the_next_request_on() -> None:
    async with scene() as s, FakeChat("From the other one.", api_key="k2") as other:
        s.brain.tell("hi")
        s.brain.update(
            {
                "llm.url": other.url,
                "llm.api_key": "k2",
                "llm.metadata_enabled": True,
                "llm.extra_metadata": {"user": "Tomas"},
                "voice": "onyx",
                "turn_detection.threshold": 0.9,
            }
        )
        await s.record.wait(ReplyFinished)
        s.brain.tell("hi")
        assert (await s.record.wait(ReplyFinished, 2)).text == "From the other one."
        assert other.requests[0]["metadata"] == {"user": "Tomas"}
        assert s.tts.requests[-1]["voice"] == "onyx"


async def test_a_voice_that_there_is_not_leaves_the_old_one() -> None:
    require(voice.available(), "espeak-ng")
    async with FakeChat() as chat, FakeStt() as stt:
        config = AgentConfig(name="a", channel="c", llm=Llm(url=chat.url), language="zz", voice="en-us")
        with pytest.raises(InvalidArgument, match="set tts_url"):
            CascadeBrain(structs_replace(config, voice="xx-XX-NobodyNeural"), Services(stt_url=stt.url))
        brain, record = CascadeBrain(config, Services(stt_url=stt.url, end_of_turn="silence")), Record()
        await brain.open(record)
        with pytest.raises(InvalidArgument, match="set tts_url"):
            brain.update({"instructions": "Be another.", "voice": "xx-XX-NobodyNeural"})
        assert (brain._config.voice, brain._config.instructions) == ("en-us", config.instructions)
        brain.speak("Still here.")
        await record.wait(ReplyFinished, reason="done")
        await brain.close()


def structs_replace(config: AgentConfig, **changes: Any) -> AgentConfig:
    from msgspec import structs

    return structs.replace(config, **changes)


async def test_a_reply_that_is_refused_as_it_begins_is_none() -> None:
    async with scene() as s:
        s.record.on = lambda event: (  # type: ignore[assignment]
            s.brain.interrupted(event.reply_id, 0.0, "") if isinstance(event, ReplyStarted) else None
        )
        s.brain.tell("hi")
        s.brain.speak("hello")
        await asyncio.sleep(0.05)
        assert [f.reason for f in s.record.of(ReplyFinished)] == ["cancelled"] * 2
        assert not s.chat.requests and not s.tts.requests and not s.brain._replies


async def test_only_so_many_replies_wait() -> None:
    async with scene(tts={"first_byte": 5.0}) as s:
        for _ in range(cascade.MAX_WAITING):
            s.brain.speak("Hello.")
        with pytest.raises(BufferFull, match="16 replies"):
            s.brain.speak("Hello.")
        assert len(s.tts.requests) == 0
        await s.brain.close()
        with pytest.raises(BadState):
            s.brain.speak("Hello.")
        s.brain.hear(SILENCE, "7")


async def test_a_reply_is_not_handed_over_hours_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade, "AHEAD_MS", 500)
    async with scene() as s:
        s.brain.speak("A long sentence that never ends. " * 10)
        await s.record.wait(ReplyAudio)
        await asyncio.sleep(0.5)
        heard = sum(len(a.pcm) / 2 / a.rate for a in s.record.of(ReplyAudio))
        assert 0.5 <= heard < 15  # of 19 s


def test_what_a_brain_needs() -> None:
    config = AgentConfig(name="a", channel="c")
    with pytest.raises(InvalidArgument, match=r"llm\.url"):
        make_brain(config, Services())
    config.brain = "realtime"
    with pytest.raises(InvalidArgument, match="OPENAI_API_KEY"):
        make_brain(config, Services())


async def test_the_whole_loop_offline(say: Callable[[str], tuple[bytes, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """No account: whisper hears, espeak-ng speaks; only the LLM is a (local) service."""
    require(what_hears("en-US") == ("whisper-tiny.en", ""), "whisper-tiny.en")
    # However slow the machine is: who says nothing while it is awaited is still there, and is waited for.
    monkeypatch.setattr("lipwire.agents.brains.cascade.GONE_SECONDS", 120.0)
    monkeypatch.setattr("lipwire.agents.speech.whisper_stt.TIMEOUT", 120.0)
    spoken = resample(*say("I would like to go to the station."), 16_000)
    spoken = SILENCE * 30 + spoken[: len(spoken) // 320 * 320]
    async with FakeChat("Take the second street on the left, then go on.") as chat:
        config = AgentConfig(name="a", channel="c", llm=Llm(url=chat.url))
        brain, record = make_brain(config, Services(end_of_turn="silence")), Record()
        await brain.open(record)
        middle = len(spoken) // 640 * 320
        for i in range(0, middle, 320):
            brain.hear(spoken[i : i + 320], "7")
        await record.wait(UserText, final=False)
        for i in range(middle, len(spoken), 320):
            brain.hear(spoken[i : i + 320], "7")
        for _ in range(100):
            brain.hear(SILENCE, "7")
        done = await record.wait(ReplyFinished)
        assert {"would", "go", "to"} <= set(chat.requests[0]["messages"][0]["content"].split())
        assert record.of(UserText, final=True)[0].words
        texts = record.of(ReplyText)
        words = [word for text in texts for word in text.words]
        assert " ".join(word.text for word in words) == done.text
        assert texts[0].at_ms == 0 and all(text.duration_ms for text in texts)
        assert record.seconds(done.reply_id) > 1.5
        await brain.close()


async def test_what_a_long_talker_has_said_is_not_heard_anew_at_each_pause(
    say: Callable[[str], tuple[bytes, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every part of the turn is in its text, once, at its time; what is heard is not its square."""
    require(what_hears("en-US")[0] == "whisper-tiny.en", "whisper-tiny.en")
    lengths: list[int] = []

    class Counting(OfflineStt):
        async def open(self) -> None:
            pass

        def hear(self, on_partial: Callable[[str], None]) -> Any:
            return Listener()

    class Listener:
        """Says how many s it has heard."""

        def __init__(self) -> None:
            self.heard = 0

        def feed(self, pcm: bytes) -> None:
            self.heard += len(pcm)

        async def finish(self) -> Transcript:
            lengths.append(self.heard)
            ms = self.heard // 32
            return Transcript(f"{ms}ms.", (TimedWord(f"{ms}ms.", 0, ms),))

        def drop(self) -> None:
            pass

    monkeypatch.setattr(cascade, "OfflineStt", Counting)
    sentence = resample(*say("I would like to go to the station and then on to the market."), 16_000)
    sentence = sentence[: len(sentence) // 320 * 320] + SILENCE * 40
    turn = SILENCE * 30 + sentence * round(40 * 32_000 / len(sentence))
    async with FakeChat("Yes.") as chat:
        config = AgentConfig(name="a", channel="c", llm=Llm(url=chat.url))
        config.turn_detection = TurnDetection(silence_duration_ms=600)
        brain, record = make_brain(config, Services(end_of_turn="silence")), Record()
        await brain.open(record)
        for i in range(0, len(turn), 320):
            brain.hear(turn[i : i + 320], "7")
            await asyncio.sleep(0)
        for _ in range(80):
            brain.hear(SILENCE, "7")
            await asyncio.sleep(0)
        said = await record.wait(UserText, final=True)
        await brain.close()
    seconds = len(turn) / 32_000
    assert len(record.of(SpeechStarted)) == 1 and len(lengths) > 8, lengths
    assert max(lengths) / 32_000 < cascade.SETTLE_MS / 1000 + 2 * len(sentence) / 32_000, "seconds heard at a time"
    parts = [int(text.removesuffix("ms.")) for text in said.text.split()]
    assert len(parts) > 2 and [word.duration_ms for word in said.words] == parts
    assert seconds - 1 < sum(parts) / 1000 < seconds + 1.5, (parts, seconds)
    for before, after in itertools.pairwise(said.words):  # each begins within the silence behind the one before
        assert before.start_ms + before.duration_ms - after.start_ms == 50


# ------------------------------------------------------------------------------------------------------- face tags


async def test_what_a_model_says_of_its_face_is_neither_said_nor_shown() -> None:
    """Nor remembered; and where it stood is told with the sentence that it stands in."""
    written = "<face smile wave/> Hello there. Well, <face nod/>yes. <face evil/>Bye. <face concerned/>"
    async with scene(written) as s:
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished)
        assert done.text.split() == ["Hello", "there.", "Well,", "yes.", "Bye."] and done.reason == "done"
        assert s.tts.texts == ["Hello there.", "Well, yes.", "Bye."]
        marks = [(one.text.strip(), mark.at, mark.feeling) for one in s.record.of(ReplyText) for mark in one.marks]
        assert [mark[:2] for mark in marks] == [("Hello there.", 0), ("Well, yes.", 6), ("Bye.", 5)]
        assert [mark[2] for mark in marks] == [Feeling("happy", "wave"), Feeling(None, "nod"), Feeling("concerned")]
        s.brain.speak("<face smile/>Good.")
        await s.record.wait(ReplyFinished, 2)
        assert s.tts.texts[-1] == "Good." and s.record.of(ReplyText)[-1].marks == (Mark(0, Feeling("happy")),)
        s.brain.tell("and?")
        await s.record.wait(ReplyFinished, 3)
        assert not any("face" in str(content) for _, content in s.asked())


async def test_a_face_shows_nothing_of_a_thought_that_nothing_opened() -> None:
    async with scene("<face concerned/>I should say hello.</think><face smile/>Hello.") as s:
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished)
        assert done.text == "Hello."
        assert [one.marks for one in s.record.of(ReplyText) if one.text] == [(Mark(0, Feeling("happy")),)]


async def test_what_falls_back_is_told_to_who_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require(what_hears("en")[0] == "whisper-tiny.en" and find_spec("pocketsphinx"), "whisper-tiny.en and pocketsphinx")
    require(not missing(Name("hibari", "heart")), "hibari-tts")
    require(voice.available(), "espeak-ng")

    async def damaged(self: ModelHost, engine: str, what: str = "") -> None:
        raise ModelFailed(f"/srv/models/{engine}.onnx is damaged")

    monkeypatch.setattr(ModelHost, "warm", damaged)
    monkeypatch.setattr(turn_detector.Silero, "shared", lambda: damaged_file())
    monkeypatch.setattr(judge, "there", lambda model: None)

    def damaged_file() -> None:
        raise ModelFailed("silero-vad is not there")

    async with FakeChat("Hello.") as chat:
        config = AgentConfig(name="a", channel="c", llm=Llm(url=chat.url))
        brain, record = make_brain(config, Services()), Record()
        assert isinstance(brain, CascadeBrain)
        await brain.open(record)
        await record.wait(Failed, 4)
        told = record.of(Failed)
        used = brain.in_use()
        await brain.close()
    assert all(failed.minor and failed.reply_id is None for failed in told)
    assert sorted(failed.message for failed in told) == sorted(
        [
            "ears: pocketsphinx in place of whisper-tiny.en: ears.onnx is damaged",
            f"voice: {used['voice'].name} in place of hibari:heart: voice.onnx is damaged",
            f"turns: rules in place of smart-turn: {used['turns'].because}",
            "activity: Lipwire's own in place of silero-vad: silero-vad is not there",
        ]
    )
    assert used["ears"] == InUse(
        name="pocketsphinx", instead_of="whisper-tiny.en", because="ears.onnx is damaged"
    ) and used["voice"].name.startswith("espeak:")
    changed = make_brain(AgentConfig(name="a", channel="c", voice="alloy", llm=Llm(url="http://127.0.0.1:1")), Services(
        stt_url="http://127.0.0.1:1/v1/audio/transcriptions", tts_url="http://127.0.0.1:1/v1/audio/speech"
    ))  # fmt: skip
    assert isinstance(changed, CascadeBrain)
    assert changed.in_use()["ears"] == InUse(name="gpt-transcribe") and changed.in_use()["voice"].name == "alloy"
    await changed.close()


async def test_of_a_clients_vendor_the_name_is_told_whatever_its_voice() -> None:
    vendor = Vendor(name="openai", params={"api_key": "k", "voice": "alloy"})
    llm = Llm(url="http://127.0.0.1:1")
    brain = make_brain(AgentConfig(name="a", channel="c", llm=llm, tts=vendor), Services(end_of_turn="silence"))
    assert isinstance(brain, CascadeBrain)
    assert brain.in_use()["voice"] == InUse(name="openai")
    brain.update({"voice": "nova"})
    assert brain.in_use()["voice"] == InUse(name="openai")
    await brain.close()


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


async def test_the_voice_of_before_is_closed_though_the_agent_ends_meanwhile() -> None:
    closed = []
    async with scene(chat={"first_token": 5.0}) as s:
        old = s.brain._tts
        close = old.close

        async def closes() -> None:
            closed.append(old)
            await close()

        old.close = closes  # type: ignore[method-assign]
        s.brain.tell("hello")
        s.brain.update({"voice": "nova"})
        await asyncio.sleep(0.05)
        assert s.brain._tts is not old and not closed
    assert closed == [old]


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


async def test_an_empty_answer_may_be_passed_over() -> None:
    async with scene(["", "Now."], llm={"ignore_empty": True}) as s:
        s.brain.tell("hello")
        done = await s.record.wait(ReplyFinished)
        assert (done.reason, done.text, s.record.of(Failed)) == ("done", "", [])
    async with scene([""]) as s:
        s.brain.tell("hello")
        assert "answered with nothing" in (await s.record.wait(Failed)).message


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


# ------------------------------------------------------------------------------------------------ skipped brackets


async def test_brackets_are_told_behind_their_sentence_and_not_spoken() -> None:
    async with scene("Well (nods) it is [sic] late. Good (yawns (a lot)) night", skip_patterns=[3]) as s:
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished)
        assert s.tts.texts == ["Well it is [sic] late.", "Good night"]
        assert done.text == "Well it is [sic] late. (nods) Good night (yawns (a lot))" and done.reason == "done"
        texts = s.record.of(ReplyText, reply_id=done.reply_id)
        assert "".join(one.text for one in texts) == done.text
        _, nods, second, yawns = texts
        assert (nods.text, nods.at_ms, nods.duration_ms) == ("(nods) ", second.at_ms, 0)
        assert yawns.text == " (yawns (a lot))" and yawns.at_ms == round(s.record.seconds(done.reply_id) * 1000)
        s.brain.interrupted(done.reply_id, 10.0, "Well")
        s.brain.speak("(smiles) Of course. (bows)")
        done = await s.record.wait(ReplyFinished, 2)
        assert done.text.strip() == "(smiles) Of course. (bows)" and s.tts.texts[-1] == "Of course."
        s.brain.tell("and?")
        await s.record.wait(ReplyFinished, 3)
        assert [text.split() for role, text in s.asked() if role == "assistant"] == [
            ["Well", "(smiles)", "Of", "course.", "(bows)"]
        ]


async def test_a_reply_of_brackets_alone_has_no_sound() -> None:
    async with scene("(nods)", skip_patterns=[3]) as s:
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished)
        assert (
            (done.text.strip(), done.reason) == ("(nods)", "done") and not s.record.of(ReplyAudio) and not s.tts.texts
        )


async def test_a_bracket_that_is_not_closed_is_spoken_in_the_end() -> None:
    async with scene("It is late (or is it? No.", skip_patterns=[3]) as s:
        s.brain.tell("hi")
        done = await s.record.wait(ReplyFinished)
        assert done.text == "It is late (or is it? No." and " ".join(s.tts.texts) == "It is late (or is it? No."


async def test_brackets_have_times_where_words_have() -> None:
    require(voice.available(), "espeak-ng")
    async with FakeChat("Well (nods) yes. Good.") as chat:
        agent = AgentConfig(name="a", channel="c", llm=Llm(url=chat.url), skip_patterns=[3], voice="espeak:en-us")
        brain, record = CascadeBrain(agent, Services(end_of_turn="silence"), timeouts=FAST), Record()
        await brain.open(record)
        brain.tell("hi")
        done = await record.wait(ReplyFinished)
        await brain.close()
        words = [word for one in record.of(ReplyText) for word in one.words]
        assert [word.text for word in words] == ["Well", "yes.", "(nods)", "Good."]
        assert [word.start_ms for word in words] == sorted(word.start_ms for word in words)
        assert words[2].duration_ms == 0
        assert done.text == "Well yes. (nods) Good."


# ------------------------------------------------------------------------------------------- what it is told meanwhile


@pytest.mark.parametrize("heard", ["And now?", ""])
async def test_what_it_is_told_while_a_user_speaks_is_answered_with_that(speech: bytes, heard: str) -> None:
    """Also where it was no speech after all."""
    async with scene(texts=heard, llm={"metadata_enabled": True}) as s:
        await s.hear(SILENCE * 20 + speech[:16_000])
        await s.record.wait(SpeechStarted)
        s.brain.tell("It rains.", respond=False, metadata={"screen": "3"})
        assert not s.chat.requests
        await s.hear(speech[16_000:], 700)
        await s.record.wait(ReplyFinished)
        assert s.asked() == [("user", f"It rains.\n{heard}".strip())] and len(s.chat.requests) == 1
        assert s.chat.requests[0]["metadata"] == {"screen": "3"}


async def test_an_answer_that_is_to_stay_stays_when_another_one_is_due() -> None:
    async with scene(["One of two.", "Two of two."], tts={"first_byte": 0.3}) as s:
        s.brain.tell("one", interruptable=False)
        await s.record.wait(Stamp, name="tts_asked")
        s.brain.tell("two")
        await s.record.wait(ReplyFinished, 2)
        assert [(done.text, done.reason) for done in s.record.of(ReplyFinished)] == [
            ("One of two.", "done"),
            ("Two of two.", "done"),
        ]
        assert s.asked(1) == [("user", "one"), ("assistant", "One of two."), ("user", "two")]


async def test_a_question_waits_for_the_answer_that_is_to_stay() -> None:
    """Also where that has not begun, or calls functions: each is asked of the model once."""
    asked = [Answer(tool_calls=[ToolCall("look")]), "One.", "Two."]
    async with scene(asked, tools=[Tool(name="look", run=lambda: "seen")], llm={"metadata_enabled": True}) as s:
        s.brain.tell("one", interruptable=False, metadata={"n": "1"})
        s.brain.tell("two", metadata={"n": "2"})
        await s.record.wait(ReplyFinished, 2)
        assert [done.text for done in s.record.of(ReplyFinished)] == ["One.", "Two."]
        assert [request["metadata"]["n"] for request in s.chat.requests] == ["1", "1", "2"]
        assert [role for role, _ in s.asked(1)] == ["user", "assistant", "tool"]
        assert s.asked()[0] == ("user", "one") and s.asked()[-2:] == [("assistant", "One."), ("user", "two")]
    async with scene([Answer(status=400), "Two."]) as s:  # the first one fails
        s.brain.tell("one", interruptable=False)
        s.brain.tell("two")
        await s.record.wait(ReplyFinished, 2)
        assert [done.reason for done in s.record.of(ReplyFinished)] == ["failed", "done"]
        assert s.asked() == [("user", "one\ntwo")]
