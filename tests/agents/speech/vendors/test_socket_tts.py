"""Text to speech by vendors over WebSockets: what is sent, heard and told, and what goes wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from lipwire.agents.http import ServiceError
from lipwire.agents.options import Vendor
from lipwire.agents.speech import vendors
from lipwire.agents.speech.tts import Sound, Tts
from lipwire.agents.speech.vendors import choose, service
from lipwire.outward import Outward
from support.fakes.sockets import SocketFake
from support.fakes.vendors import FakeCartesia, FakeDeepgramSpeech, FakeElevenLabs, FakeMiniMax

TEXT = "I would like to go to the station."
PARAMS: dict[str, dict[str, Any]] = {
    "elevenlabs": {"key": "k", "model_id": "eleven_flash_v2_5", "voice_id": "rachel"},
    "cartesia": {"api_key": "k", "model_id": "sonic-2", "voice": {"mode": "id", "id": "v"}},
    "deepgram": {"api_key": "k", "model": "aura-2-thalia-en"},
    "minimax": {"key": "k", "group_id": "g", "model": "speech-2.6-turbo", "voice_setting": {"voice_id": "E"}},
}
FAKES: dict[str, type[SocketFake]] = {
    "elevenlabs": FakeElevenLabs,
    "cartesia": FakeCartesia,
    "deepgram": FakeDeepgramSpeech,
    "minimax": FakeMiniMax,
}
URL = {"elevenlabs": "base_url", "cartesia": "base_url", "deepgram": "base_url", "minimax": "url"}
ALL = pytest.mark.parametrize("name", PARAMS)


def vendor(name: str, fake: SocketFake, **params: Any) -> Vendor:
    return Vendor(name=name, params={**PARAMS[name], URL[name]: fake.url, **params})


@asynccontextmanager
async def speaking(name: str, params: dict[str, Any] | None = None, **options: Any) -> Any:
    async with FAKES[name](**options) as fake:
        made = choose.make_vendor_tts(vendor(name, fake, **params or {}), language="en-US", headers={"x-title": "mine"})
        try:
            yield fake, made
        finally:
            await made.close()


async def sounds(tts: Tts, text: str = TEXT) -> list[Sound]:
    async with aclosing(tts.speak(text)) as stream:
        return [sound async for sound in stream]


def seconds(found: list[Sound]) -> float:
    return sum(len(sound.pcm) / 2 / sound.rate for sound in found)


@ALL
async def test_a_text_is_said_as_the_vendor_says_it(name: str, say: Callable[[str], tuple[bytes, int]]) -> None:
    async with speaking(name, voice=say) as (fake, tts):
        for _ in range(2):
            found = await sounds(tts)
            assert {sound.rate for sound in found} == {24_000}
            pcm = b"".join(sound.pcm for sound in found)
            assert pcm == fake.made(TEXT, 24_000)  # every sample, though pieces end in the middle of one
            assert np.abs(np.frombuffer(pcm, "<i2")).max() > 3000
        assert fake.handshakes[0].headers["x-title"] == "mine"
        texts = [m.get("transcript") or m.get("text") for m in fake.messages if m.get("transcript") or m.get("text")]
        assert [text.strip() for text in texts if text.strip()] == [TEXT, TEXT]
        if name != "elevenlabs":  # whose connection serves one text
            assert len(fake.handshakes) == 1


@pytest.mark.parametrize(("name", "params"), [
    ("elevenlabs", {"sample_rate": 16_000}),
    ("cartesia", {"output_format": {"container": "raw", "sample_rate": 16_000}}),
    ("deepgram", {"sample_rate": 16_000}),
    ("minimax", {"audio_setting": {"sample_rate": 16_000}}),
])  # fmt: skip
async def test_the_rate_is_the_one_that_is_asked_for(name: str, params: dict[str, Any]) -> None:
    async with speaking(name, params) as (_, tts):
        found = await sounds(tts)
        assert {sound.rate for sound in found} == {16_000}
        assert seconds(found) == pytest.approx(len(TEXT) * 0.06, abs=0.001)


@ALL
async def test_the_first_sound_does_not_wait_for_the_rest(name: str) -> None:
    async with speaking(name, speed=2.0) as (_, tts):
        loop = asyncio.get_running_loop()
        began = loop.time()
        at = [loop.time() - began async for _ in tts.speak(TEXT)]
        assert at[0] < 0.3 < 0.8 < at[-1]


@pytest.mark.parametrize("name", ["elevenlabs", "cartesia"])
async def test_words_have_their_times(name: str) -> None:
    async with speaking(name) as (_, tts):
        found = await sounds(tts)
        words = [word for sound in found for word in sound.words]
        assert " ".join(word.text for word in words) == TEXT
        starts = [word.start_ms for word in words]
        assert starts == sorted(starts) and starts[0] == 0
        whole = seconds(found) * 1000
        assert whole * 0.75 < starts[-1] < whole
        assert words[-1].start_ms + words[-1].duration_ms == pytest.approx(whole, abs=80)


@ALL
async def test_an_interruption_ends_what_is_sent_and_the_next_text_is_ready_sooner(name: str) -> None:
    async with speaking(name, speed=1.0) as (fake, tts):
        stream = tts.speak(TEXT)
        await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(60):
            while len(fake.handshakes) < 2 or len(fake.open) > 1:
                await asyncio.sleep(0.01)
        fake.speed = 0.0
        assert seconds(await sounds(tts, "Yes.")) == pytest.approx(0.24, abs=0.001)
        assert len(fake.handshakes) <= (2 if name != "elevenlabs" else 3)  # the connection made ahead was used


@ALL
async def test_a_key_that_is_wrong_is_told_by_status_and_kept_secret(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = "key" if "key" in PARAMS[name] else "api_key"
    with caplog.at_level(logging.DEBUG):
        async with speaking(name, {key: "topsecret"}) as (fake, tts):
            with pytest.raises(ServiceError, match=r"text to speech at 127\.0\.0\.1:\d+ answered 401") as told:
                await sounds(tts)
            assert told.value.status == 401
            assert len(fake.handshakes) == 1
    assert "topsecret" not in caplog.text + str(told.value)


@ALL
async def test_a_busy_service_is_asked_once_more(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)
    async with speaking(name, refuse=[429]) as (fake, tts):
        assert seconds(await sounds(tts)) == pytest.approx(len(TEXT) * 0.06, abs=0.001)
        fake.refuse = [503, 503, 503]  # one for the connection that ElevenLabs' next text has been made ahead
        for ws in list(fake.open):
            ws.transport.abort()
        await asyncio.sleep(0.05)
        with pytest.raises(ServiceError, match="answered 503"):
            await sounds(tts)


@ALL
async def test_a_cut_connection_is_made_anew_and_nothing_is_said_twice(
    name: str, say: Callable[[str], tuple[bytes, int]]
) -> None:
    async with speaking(name, voice=say, cut_after=[4]) as (fake, tts):
        found = await sounds(tts)
        if name == "elevenlabs":
            assert len(fake.handshakes) >= 2
        assert b"".join(sound.pcm for sound in found) == fake.made(TEXT, 24_000)
        if name in ("cartesia", "elevenlabs"):
            assert " ".join(word.text for sound in found for word in sound.words) == TEXT
    async with speaking(name, cut_after=[2, 2]) as (_, tts):
        with pytest.raises(ServiceError, match="failed: the connection broke"):
            await sounds(tts)


@ALL
async def test_silence_is_waited_for_no_longer_than_that(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (service, vendors.socket_tts):
        monkeypatch.setattr(module, "FIRST_BYTE", 0.2)
    async with speaking(name, latency=0.7, check=False) as (_, tts):
        with pytest.raises(ServiceError, match="stalled"):
            await sounds(tts)


@pytest.mark.parametrize(("drip", "whole"), [('{"type":"Metadata"}', 60.0), (bytes(2), 0.6)])
async def test_what_drips_is_not_waited_for(drip: str | bytes, whole: float, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, span in {"FIRST_BYTE": 0.5, "BETWEEN": 0.3, "WHOLE": whole}.items():
        monkeypatch.setattr(vendors.socket_tts, name, span)

    class Drips(FakeDeepgramSpeech):
        async def talk(self, ws: Any) -> None:
            await self.next(ws)
            await ws.send(bytes(4800))
            while True:
                await ws.send(drip)
                await asyncio.sleep(0.05)

    async with Drips() as fake:
        tts = choose.make_vendor_tts(vendor("deepgram", fake), language="en", headers={})
        async with asyncio.timeout(60):
            with pytest.raises(ServiceError, match="stalled"):
                await sounds(tts)
        await tts.close()


@pytest.mark.parametrize(("name", "error", "status"), [
    ("elevenlabs", "quota_exceeded", 402),
    ("elevenlabs", "voice_not_found", 404),
    ("elevenlabs", "something_else", 0),
    ("cartesia", 400, 400),
    ("cartesia", 402, 402),
    ("minimax", 1004, 401),
    ("minimax", 1008, 402),
    ("minimax", 4711, 0),
])  # fmt: skip
async def test_errors_in_messages_are_told(name: str, error: Any, status: int) -> None:
    async with speaking(name) as (fake, tts):
        fake.error = error
        words = f"answered {status}" if status else "reported an error"
        with pytest.raises(ServiceError, match=words):
            await sounds(tts)


async def test_a_service_of_minimax_that_is_asked_too_much_gets_one_text_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)
    async with speaking("minimax") as (fake, tts):
        fake.error = 1002
        with pytest.raises(ServiceError, match="answered 429"):
            await sounds(tts)
        fake.error, fake.most_open = 0, 0
        await asyncio.gather(*(sounds(tts) for _ in range(4)))
        assert fake.most_open == 1


async def test_what_is_no_message_of_the_protocol() -> None:
    class Other(FakeCartesia):
        answer: str | bytes

        async def talk(self, ws: Any) -> None:
            await self.next(ws)
            await ws.send(self.answer)

    for answer in ("no JSON", "[1]", '{"type": "chunk"}', '{"type": "chunk", "data": "%"}', b"\0\1"):
        async with Other() as fake:
            fake.answer = answer
            tts = choose.make_vendor_tts(vendor("cartesia", fake), language="en", headers={})
            with pytest.raises(ServiceError, match="no message of its protocol"):
                await sounds(tts)
            await tts.close()


async def test_a_url_of_a_request_leads_to_public_addresses_only() -> None:
    async with FakeCartesia(check=False) as fake:
        tts = choose.make_vendor_tts(vendor("cartesia", fake), language="en", headers={}, outward=Outward())
        with pytest.raises(
            ServiceError, match=r"text to speech at 127\.0\.0\.1:\d+ leads to 127\.0\.0\.1, which is no public address"
        ):
            await sounds(tts)
        assert not fake.handshakes
        await tts.close()


async def test_closing_leaves_no_connection() -> None:
    async with speaking("cartesia", speed=1.0) as (fake, tts):
        first = asyncio.create_task(sounds(tts))
        await asyncio.sleep(0.3)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await tts.close()
        async with asyncio.timeout(60):
            while fake.open:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("taken", [False, True])
async def test_an_interruption_at_the_worst_moment_leaves_no_connection(taken: bool) -> None:
    async with speaking("deepgram", speed=1.0) as (fake, tts):
        stream = tts.speak(TEXT)
        await anext(stream)
        await stream.aclose()  # another connection is made ahead
        ahead = tts._ahead
        second = asyncio.create_task(sounds(tts))
        while not ahead.done():
            await asyncio.sleep(0)
        second.cancel()  # who waits for it has not run since
        if taken:
            await tts.close()
        await asyncio.gather(second, return_exceptions=True)
        assert len(tts._free) + (tts._ahead is not None) == (not taken)
        async with asyncio.timeout(60):
            while len(fake.open) != (not taken):
                await asyncio.sleep(0.01)
        if not taken:
            fake.speed = 0.0
            assert seconds(await sounds(tts)) > 1 and len(fake.handshakes) == 2
