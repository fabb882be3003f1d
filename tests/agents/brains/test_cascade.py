"""The cascade: what is heard, asked, said and remembered, with services that do what they should, and that do not."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from lipwire import resample
from lipwire.agents.brains import make_brain
from lipwire.agents.brains.base import (
    Failed,
    ReplyFinished,
    ReplyStarted,
    ReplyText,
    Services,
    SpeechStarted,
    Stamp,
    UserText,
)
from lipwire.agents.brains.cascade import CascadeBrain
from lipwire.agents.config import AgentConfig, Llm, Tool
from lipwire.agents.options import StandsInFor, Vendor
from lipwire.agents.speech import judge, turn_detector
from lipwire.agents.speech.offline_stt import what_hears
from lipwire.audio import espeak as voice
from lipwire.errors import InvalidArgument, ModelFailed
from lipwire.models.host import ModelHost
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.names import Name
from lipwire.protocol.agent_bodies import InUse
from support.cascade import SILENCE, scene
from support.fakes import Answer, FakeChat, ToolCall
from support.fakes.record import Record
from support.machine import require


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


async def test_a_new_question_takes_the_place_of_the_answer_in_the_making() -> None:
    async with scene([Answer("one two three four.", stall_after=3), "Second."]) as s:
        s.brain.tell("first")
        await s.record.wait(Stamp, name="first_token")
        s.brain.tell("second")
        await s.record.wait(ReplyFinished, 2)
        assert [f.reason for f in s.record.of(ReplyFinished)] == ["cancelled", "done"]
        assert s.asked() == [("user", "first\nsecond")]


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
    monkeypatch.setattr("lipwire.agents.brains.cascade_hearing.GONE_SECONDS", 120.0)
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


@pytest.mark.parametrize(
    ("changes", "stands_in"),
    [
        ({"llm.url": "http://127.0.0.1:2"}, False),
        ({"llm.api_key": "k"}, False),
        ({"llm.api_key": None}, True),
        ({"llm.max_history": 3}, True),
    ],
)
async def test_the_servers_own_model_stands_in_until_the_client_brings_its_own(
    changes: dict[str, Any], stands_in: bool
) -> None:
    config = AgentConfig(name="a", channel="c", voice="alloy", llm=Llm(url="http://127.0.0.1:1"))
    config.stands_in_for = StandsInFor(voice="minimax", model="anthropic")
    brain = CascadeBrain(config, Services(stt_url="http://127.0.0.1:1", tts_url="http://127.0.0.1:1"))
    brain.update(changes)
    assert ("model" in brain.in_use()) is stands_in and brain.in_use()["voice"].instead_of == "minimax"
    await brain.close()


async def test_of_a_clients_vendor_the_name_is_told_whatever_its_voice() -> None:
    vendor = Vendor(name="openai", params={"api_key": "k", "voice": "alloy"})
    llm = Llm(url="http://127.0.0.1:1")
    brain = make_brain(AgentConfig(name="a", channel="c", llm=llm, tts=vendor), Services(end_of_turn="silence"))
    assert isinstance(brain, CascadeBrain)
    assert brain.in_use()["voice"] == InUse(name="openai")
    brain.update({"voice": "nova"})
    assert brain.in_use()["voice"] == InUse(name="openai")
    await brain.close()


# -------------------------------------------------------------------------------------------- what it is told meanwhile


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
