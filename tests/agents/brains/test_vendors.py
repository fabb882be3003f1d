"""Agents that speak and hear by vendors that a client brings along: turns, times of words, interruptions, failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lipwire.agents.brains import make_brain
from lipwire.agents.brains.base import Brain, Failed, ReplyAudio, ReplyFinished, ReplyText, Services, UserText
from lipwire.agents.config import AgentConfig, Llm
from lipwire.agents.options import Vendor
from lipwire.app.agent_setup import AgentSetup
from lipwire.app.config import Config
from lipwire.errors import InvalidArgument
from support.fakes import FakeChat, FakeStt
from support.fakes.record import Record
from support.fakes.sockets import SocketFake
from support.fakes.vendors import (
    FakeCartesia,
    FakeDeepgramEars,
    FakeDeepgramSpeech,
    FakeElevenLabs,
    FakeMicrosoftEars,
    FakeMicrosoftTts,
    FakeMiniMax,
)

ANSWER = "I would like to go. There is a train at noon."
SPEAKS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "elevenlabs": (FakeElevenLabs, {"key": "k", "model_id": "m", "voice_id": "rachel"}),
    "cartesia": (FakeCartesia, {"api_key": "k", "model_id": "m", "voice": {"mode": "id", "id": "v"}}),
    "deepgram": (FakeDeepgramSpeech, {"api_key": "k", "model": "m"}),
    "minimax": (FakeMiniMax, {"key": "k", "model": "m", "voice_setting": {"voice_id": "v"}}),
    "microsoft": (FakeMicrosoftTts, {"key": "k", "voice_name": "en-US-AvaNeural"}),
}
ALL = pytest.mark.parametrize("name", SPEAKS)


@asynccontextmanager
async def agent(
    name: str, *, asr: Vendor | None = None, params: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Brain, Record, Any]]:
    make, given = SPEAKS[name]
    async with make(**options) as fake, FakeChat(ANSWER) as chat, FakeStt("good morning") as stt:
        vendor = Vendor(name=name, params={**given, "base_url": fake.url, **(params or {})})
        config = AgentConfig(name="a", channel="c", llm=Llm(url=chat.url, model="m"), tts=vendor, asr=asr)
        brain = make_brain(config, Services(stt_url=stt.url, end_of_turn="silence"))
        record = Record()
        await brain.open(record)
        try:
            yield brain, record, fake
        finally:
            await brain.close()


@ALL
async def test_an_agent_answers_by_each(name: str, say: Callable[[str], tuple[bytes, int]]) -> None:
    async with agent(name, voice=say) as (brain, record, _):
        brain.tell("When?")
        done = await record.wait(ReplyFinished)
        assert (done.text, done.reason) == (ANSWER, "done")
        assert not record.of(Failed)
        assert record.seconds(done.reply_id) > 2.0
        words = [word for event in record.of(ReplyText) for word in event.words]
        if name in ("elevenlabs", "cartesia"):
            assert " ".join(word.text for word in words) == ANSWER
            starts = [word.start_ms for word in words]
            assert starts == sorted(starts)
            second = next(event for event in record.of(ReplyText) if event.text.strip().startswith("There"))
            there = next(word for word in words if word.text == "There")
            assert second.at_ms is not None and 0 <= there.start_ms - second.at_ms < 100
        else:
            assert not words


@ALL
async def test_an_interruption_in_the_middle_ends_it(name: str) -> None:
    slow: dict[str, Any] = {} if name == "microsoft" else {"speed": 1.0}
    async with agent(name, **slow) as (brain, record, fake):
        reply = brain.speak("This is a sentence that goes on and on and on and on.")
        await record.wait(ReplyAudio)
        brain.interrupted(reply, 100.0, "This")
        assert (await record.wait(ReplyFinished)).reason == "cancelled"
        heard = record.seconds(reply)
        fake.speed = 0.0
        again = brain.speak("Yes.")
        await record.wait(ReplyFinished, reply_id=again)
        assert record.seconds(again) == pytest.approx(0.24, abs=0.001)
        assert record.seconds(reply) == heard  # nothing of it came later
        if isinstance(fake, SocketFake):
            async with asyncio.timeout(60):
                while len(fake.open) > 2:
                    await asyncio.sleep(0.01)


@ALL
async def test_what_fails_is_told_as_of_any_service(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)
    key = "api_key" if "api_key" in SPEAKS[name][1] else "key"
    async with agent(name, params={key: "wrong"}) as (brain, record, _):
        brain.tell("When?")
        failed = await record.wait(Failed)
        assert failed.code == "TTS_ERROR" and "answered 401" in failed.message and "wrong" not in failed.message
        assert (await record.wait(ReplyFinished)).reason == "failed"
    async with agent(name) as (brain, record, fake):
        if isinstance(fake, SocketFake):
            fake.refuse = [429]
        else:
            fake.fail_with = [429]
        brain.tell("When?")
        assert (await record.wait(ReplyFinished)).reason == "done"
        assert not record.of(Failed)


@pytest.mark.parametrize(("name", "make"), [("deepgram", FakeDeepgramEars), ("microsoft", FakeMicrosoftEars)])
async def test_an_agent_hears_by_each(
    name: str, make: type[SocketFake], say: Callable[[str], tuple[bytes, int]]
) -> None:
    from lipwire import resample

    async with make() as ears:
        ears.says = "good evening"  # type: ignore[attr-defined]
        params = {"key": "k", "url": ears.url} if name == "deepgram" else {"key": "k", "endpoint": ears.url}
        async with agent("cartesia", asr=Vendor(name=name, params=params)) as (brain, record, _):
            speech = bytes(16_000) + resample(*say("Can you hear me now, my friend?"), 16_000) + bytes(40_000)
            for i in range(0, len(speech) - 319, 320):
                brain.hear(speech[i : i + 320], "7")
                await asyncio.sleep(0.002)
            user = await record.wait(UserText, final=True)
            assert not record.of(Failed)
            assert user.text.lower().rstrip(".") == "good evening"
            assert len(user.words) == 2 and user.words[0].start_ms < user.words[1].start_ms
            assert (await record.wait(ReplyFinished)).text == ANSWER
            assert record.of(UserText, final=False)  # texts so far
            fed = max(ears.seconds) if isinstance(ears, FakeDeepgramEars) else ears.requests[-1]["seconds"]  # type: ignore[attr-defined]
            assert 1.5 < fed < 4.0  # the prefix padding and all of the speech


def test_a_join_is_refused_where_the_vendor_cannot_be_called() -> None:
    setup = AgentSetup(Config(agent_brain="cascade", llm_url="http://127.0.0.1:1/v1/chat/completions"))
    config = AgentConfig(name="a", channel="c", tts=Vendor(name="rime", params={"api_key": "k"}))
    with pytest.raises(InvalidArgument, match=r"tts\.vendor 'rime' is not called by this server; cartesia, deepgram"):
        setup.prepare(config)
    config = AgentConfig(name="a", channel="c", asr=Vendor(name="deepgram", params={"model": "nova-3"}))
    with pytest.raises(InvalidArgument, match=r"asr\.params\.key is missing"):
        setup.prepare(config)
    good = Vendor(name="deepgram", params={"key": "k"})
    config = AgentConfig(name="a", channel="c", asr=good, stt_headers={"x-title": "mine"})
    setup.prepare(config)  # headers go to the vendor
    assert setup.ears(config) == "deepgram"
    setup = AgentSetup(Config(agent_brain="echo"))
    config = AgentConfig(
        name="a", channel="c", asr=Vendor(name="deepgram", params={"key": "topsecret"}), stt_headers={"x-title": "mine"}
    )
    with pytest.raises(InvalidArgument, match=r"asr\.headers: .*brain echo asks no such service") as told:
        setup.prepare(config)
    assert "topsecret" not in str(told.value)
