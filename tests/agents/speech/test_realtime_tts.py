"""Text to speech by OpenAI Realtime, at a service that does what it should, and at one that does not."""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing
from datetime import date
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from lipwire.agents import http
from lipwire.agents.brains.base import Failed, ReplyFinished, ReplyText, Services
from lipwire.agents.brains.cascade import CascadeBrain
from lipwire.agents.brains.speech_services import make_tts
from lipwire.agents.config import AgentConfig, Llm
from lipwire.agents.http import ServiceError
from lipwire.agents.realtime_socket import connect, exactly
from lipwire.agents.speech import realtime_tts
from lipwire.agents.speech.realtime_tts import RealtimeTts, UntilItEnds
from lipwire.agents.speech.tts import Tts
from lipwire.agents.speech.vendors.openai import OpenAiTts
from support.fakes import FakeChat, FakeRealtime, FakeTts
from support.fakes.realtime import Say
from support.fakes.record import Record

SPEECH = "https://api.openai.com/v1/audio/speech"
END = date(2027, 1, 6)
MODEL = "gpt-realtime-2.1-mini"


def reads(**options: Any) -> FakeRealtime:
    """A service that says what it is told to, 60 ms a character."""

    def say(items: list[dict[str, Any]]) -> Say:
        text = fake.of("response.create")[-1]["response"]["instructions"].removeprefix(exactly(""))
        return Say(text, seconds=len(text) * 0.06)

    fake = FakeRealtime(say, **options)
    return fake


def tts(fake: FakeRealtime, **more: Any) -> RealtimeTts:
    return RealtimeTts(fake.url, **{"voice": "coral", "model": MODEL, "api_key": "sk-1"} | more)


async def seconds(speech: Tts, text: str) -> float:
    async with aclosing(speech.speak(text)) as sounds:
        return sum([len(sound.pcm) / 2 / sound.rate async for sound in sounds])


@pytest.mark.parametrize("beta", [False, True])
async def test_sentences_one_after_another_on_one_connection(beta: bool) -> None:
    async with reads(api_key="sk-1", beta=beta) as fake:
        speech = tts(fake, voice="nova")
        both = await asyncio.gather(seconds(speech, "Hello there."), seconds(speech, "How are you?"))
        assert both == pytest.approx([12 * 0.06, 12 * 0.06])
        await speech.close()
        await speech.close()
        assert len(fake.connections) == 1
        (session,) = fake.sessions
        assert session["audio"]["output"]["voice"] == "shimmer" and session["audio"]["input"]["turn_detection"] is None
        first, second = [event["response"] for event in fake.of("response.create")]
        assert (first["conversation"], first["input"], first["tools"]) == ("none", [], [])
        assert first["instructions"] == exactly("Hello there.") and second["instructions"] == exactly("How are you?")


async def test_who_is_interrupted_gets_nothing_old_later() -> None:
    async with reads(speed=2.0) as fake:
        speech = tts(fake)
        async with aclosing(speech.speak("A long sentence that nobody hears to its end.")) as sounds:
            await anext(sounds)
        assert await seconds(speech, "New.") == pytest.approx(4 * 0.06)
        assert len(fake.connections) == 2
        reading = asyncio.create_task(seconds(speech, "Another one that is cancelled."))
        while len(fake.of("response.create")) < 3:
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await seconds(speech, "Last.") == pytest.approx(5 * 0.06)
        await speech.close()


async def test_who_is_interrupted_while_a_connection_is_made_leaves_it_to_the_next() -> None:
    async with reads(speed=2.0) as fake:
        speech = tts(fake)
        async with aclosing(speech.speak("A long sentence that nobody hears to its end.")) as sounds:
            await anext(sounds)
        opening = speech._opening
        assert opening is not None
        second = asyncio.create_task(seconds(speech, "Another one that is cancelled."))
        while not opening.done():
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert await seconds(speech, "New.") == pytest.approx(4 * 0.06)
        assert len(fake.connections) == 2
        await speech.close()


@pytest.mark.parametrize(
    ("says", "options", "message"),
    [
        ([Say(fail="no"), "x"], {}, "failed: fake"),
        ([Say("Cut off.", 1.0, close_after=0), Say("x", 0.5)], {}, None),  # nothing was heard: it is asked again
        ([Say("Cut off.", 1.0, close_after=3), "x"], {}, "broke off"),  # not where something was
        ("x", {"refuse": [500, 503]}, "answered 503"),
        (Say("x", 0.5), {"refuse": [429]}, None),
        ("x", {"refuse": [401]}, "answered 401"),
        (Say("", 0.0), {}, "sent no sound"),
        (Say("x", 0.5), {"latency": 5.0}, "stalled"),
    ],
)
async def test_what_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, says: Any, options: dict[str, Any], message: str | None
) -> None:
    if "latency" in options:
        monkeypatch.setattr(realtime_tts, "FIRST_BYTE", 0.05)
    monkeypatch.setattr(http, "WAIT", 0.0)
    async with FakeRealtime(says, **options) as fake:
        speech = tts(fake)
        if message is None:
            assert await seconds(speech, "x") == pytest.approx(0.5)
        else:
            with pytest.raises(ServiceError, match=message) as told:
                await seconds(speech, "x")
            assert "127.0.0.1" not in str(told.value) or "answered" in message
        assert not fake.refuse
        await speech.close()


async def test_what_may_pass_of_a_connection_is_told() -> None:
    def busy(ws: ServerConnection, request: Request) -> Response:
        response = ws.respond(HTTPStatus(int(request.path[1:4])), "no")
        response.headers["Retry-After"] = "2"
        return response

    async def failed(url: str) -> tuple[int, bool, float | None]:
        with pytest.raises(ServiceError) as told:
            await connect(url, {}, None)
        return told.value.status, told.value.passing, told.value.wait

    async with serve(lambda ws: ws.wait_closed(), "127.0.0.1", 0, process_request=busy) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        assert await failed(f"ws://127.0.0.1:{port}/503") == (503, True, 2.0)
        assert await failed(f"ws://127.0.0.1:{port}/403") == (403, False, 2.0)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        assert await failed(f"ws://127.0.0.1:{deaf.getsockname()[1]}") == (0, True, None)
    assert await failed("ws://") == (0, False, None)


async def test_a_cascade_speaks_by_it_when_audio_speech_has_ended() -> None:
    async with reads(api_key="sk-1") as fake, FakeChat("Hello there. How can I help?") as chat:
        config = AgentConfig(name="a", channel="c", voice="coral", llm=Llm(url=chat.url))
        stt = "http://127.0.0.1:1/v1/audio/transcriptions"
        services = Services(stt_url=stt, tts_url=SPEECH, openai_url=fake.url, openai_api_key="sk-1", today=END)
        brain, record = CascadeBrain(config, services), Record()
        await brain.open(record)
        brain.tell("hi")
        done = await record.wait(ReplyFinished)
        assert (done.text, done.reason) == ("Hello there. How can I help?", "done") and not record.of(Failed)
        assert [one.text.strip() for one in record.of(ReplyText)] == ["Hello there.", "How can I help?"]
        assert record.seconds(done.reply_id) == pytest.approx(27 * 0.06)
        await brain.close()

    def made(today: date, url: str = SPEECH) -> type:
        return type(make_tts(config, Services(stt_url=stt, tts_url=url, openai_api_key="k", today=today)))

    assert (made(END), made(date(2027, 1, 5))) == (RealtimeTts, UntilItEnds)
    assert made(END, "http://127.0.0.1:1/v1/audio/speech") is OpenAiTts


async def test_audio_speech_that_is_gone_before_its_day_is_followed() -> None:
    async with FakeTts() as old, reads() as fake:
        made: list[RealtimeTts] = []

        def successor() -> RealtimeTts:
            made.append(tts(fake))
            return made[-1]

        speech = UntilItEnds(OpenAiTts(old.url, voice="coral"), successor)
        assert await seconds(speech, "Here.") == pytest.approx(5 * 0.06) and not made
        old.fail_with = [401]
        with pytest.raises(ServiceError, match="401"):
            await seconds(speech, "Here.")
        old.fail_with = [404, 404]
        both = await asyncio.gather(seconds(speech, "Gone."), seconds(speech, "And on."))
        assert both == pytest.approx([5 * 0.06, 7 * 0.06]) and len(made) == 1
        assert len(fake.connections) == 1 and len(fake.of("response.create")) == 2
        fake.refuse = [404]
        await fake.drop()
        with pytest.raises(ServiceError):
            await seconds(speech, "Gone as well.")
        await speech.close()
