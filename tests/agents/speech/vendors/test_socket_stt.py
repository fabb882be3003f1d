"""Speech to text by vendors over WebSockets: texts so far, the whole one at once, and what goes wrong."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from lipwire.agents.brains.base import TimedWord
from lipwire.agents.http import ServiceError
from lipwire.agents.options import Vendor
from lipwire.agents.speech.stt import MAX_TEXT, Hearing, Stt, Transcript
from lipwire.agents.speech.vendors import choose, socket_stt
from lipwire.outward import Outward
from support.fakes.sockets import SocketFake
from support.fakes.vendors import FakeDeepgramEars, FakeMicrosoftEars, spoken

PARAMS: dict[str, dict[str, Any]] = {
    "deepgram": {"key": "k", "model": "nova-3", "language": "en-US"},
    "microsoft": {"key": "k", "language": "en-US"},
}
FAKES: dict[str, type[SocketFake]] = {"deepgram": FakeDeepgramEars, "microsoft": FakeMicrosoftEars}
URL = {"deepgram": "url", "microsoft": "endpoint"}
ALL = pytest.mark.parametrize("name", PARAMS)


@asynccontextmanager
async def listening(name: str, params: dict[str, Any] | None = None, *, keywords: Any = (), **options: Any) -> Any:
    async with FAKES[name](**options) as fake:
        vendor = Vendor(
            name=name, params={**PARAMS[name], URL[name]: fake.url, **(params or {})}, keywords=list(keywords)
        )
        stt = choose.make_vendor_stt(vendor, language="de-DE", headers={"x-title": "mine"})
        await stt.open()
        try:
            yield fake, stt
        finally:
            await stt.close()
            async with asyncio.timeout(60):
                while fake.open:
                    await asyncio.sleep(0.01)


async def speak(hearing: Hearing, pcm: bytes, step: float = 0.0) -> None:
    """As a brain feeds it; `step` seconds each 10 ms."""
    for i in range(0, len(pcm), 320):
        hearing.feed(pcm[i : i + 320])
        await asyncio.sleep(step)


async def heard(stt: Stt, pcm: bytes, partials: list[str] | None = None) -> Transcript:
    hearing = stt.hear((partials if partials is not None else []).append)
    await speak(hearing, pcm)
    return await hearing.finish()


def plain(text: str) -> str:
    return text.lower().rstrip(".")


@ALL
async def test_texts_come_while_one_speaks_and_the_whole_one_at_its_end(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_stt, "SETTLE", 600.0)  # what is waited for where nothing comes
    async with listening(name) as (fake, stt):
        partials: list[str] = []
        hearing = stt.hear(partials.append)
        await speak(hearing, spoken("alpha", "bravo", "charlie", "delta"), 0.003)
        shown = len(partials)
        async with asyncio.timeout(60):
            whole = await hearing.finish()
        assert plain(whole.text) == "alpha bravo charlie delta"
        assert [plain(word.text) for word in whole.words] == ["alpha", "bravo", "charlie", "delta"]
        assert [word.start_ms for word in whole.words] == pytest.approx([0, 300, 600, 900], abs=20)
        assert [word.duration_ms for word in whole.words] == pytest.approx([200] * 4, abs=20)
        assert shown >= 2 and plain(partials[shown - 1]).startswith("alpha bravo")
        assert len(partials) == shown
        assert fake.handshakes[0].headers["x-title"] == "mine"


@ALL
async def test_a_connection_serves_one_utterance_after_another(name: str) -> None:
    async with listening(name) as (fake, stt):
        assert plain((await heard(stt, spoken("alpha", "bravo"))).text) == "alpha bravo"
        second = await heard(stt, spoken("echo", "golf"))
        assert plain(second.text) == "echo golf"
        assert second.words[0].start_ms == pytest.approx(0, abs=20)  # of its own sound, not of the connection's
        assert len(fake.handshakes) == 1
        silent = await heard(stt, bytes(16_000))
        assert silent.text == "" and silent.words == ()


@ALL
async def test_who_goes_on_after_what_seemed_the_end_is_heard_whole(name: str) -> None:
    async with listening(name) as (fake, stt):
        for cancelled in (True, False):
            fake.latency = 1.0 if cancelled else 0.0
            first = stt.hear(lambda text: None)
            pcm = spoken("alpha", "bravo")
            await speak(first, pcm)
            result = asyncio.create_task(first.finish())
            if cancelled:
                await asyncio.sleep(0.1)
                assert not result.done()
            else:
                await result
            result.cancel()
            await asyncio.gather(result, return_exceptions=True)
            fake.latency = 0.0
            again = stt.hear(lambda text: None)  # as the cascade does: all of it, and then what is new
            again.feed(pcm)
            await speak(again, spoken("charlie"))
            whole = await again.finish()
            assert plain(whole.text.replace(".", "")) == "alpha bravo charlie"
            assert [word.start_ms for word in whole.words] == pytest.approx([0, 300, 600], abs=20)
        if name == "deepgram":  # nothing was sent twice
            assert fake.seconds == [pytest.approx(1.8, abs=0.01)]


@ALL
async def test_two_utterances_at_a_time_have_a_connection_each(name: str) -> None:
    async with listening(name, latency=0.3) as (fake, stt):
        first, second = stt.hear(lambda text: None), stt.hear(lambda text: None)
        await speak(first, spoken("alpha"))
        result = asyncio.create_task(first.finish())
        await asyncio.sleep(0.05)
        await speak(second, spoken("hotel"))
        texts = [(await result).text, (await second.finish()).text]
        assert list(map(plain, texts)) == ["alpha", "hotel"]
        assert len(fake.handshakes) == 2


@ALL
async def test_a_cut_connection_is_made_anew_and_all_of_the_utterance_is_sent_again(name: str) -> None:
    if name == "microsoft":
        async with listening(name) as (fake, stt):
            hearing = stt.hear(lambda text: None)
            await speak(hearing, spoken("alpha", "bravo"))
            await asyncio.sleep(0.1)
            for ws in list(fake.open):
                ws.transport.abort()
            await speak(hearing, spoken("charlie"))
            assert plain((await hearing.finish()).text) == "alpha bravo charlie"
            assert len(fake.handshakes) == 2
        return
    async with listening(name, cut_after=[4, None]) as (fake, stt):
        hearing = stt.hear(lambda text: None)
        await speak(hearing, spoken("alpha", "bravo", "charlie"), 0.002)
        assert plain((await hearing.finish()).text) == "alpha bravo charlie"
        assert len(fake.handshakes) == 2
    async with listening(name, cut_after=[4, 4]) as (_, stt):
        with pytest.raises(ServiceError, match=r"speech to text at 127\.0\.0\.1:\d+ failed: the connection broke"):
            await heard(stt, spoken("alpha", "bravo", "charlie"))
        fake_again = await heard(stt, spoken("delta"))  # the next one has another
        assert plain(fake_again.text) == "delta"


@ALL
@pytest.mark.parametrize("status", [401, 400])
async def test_a_refusal_is_told_by_its_status(name: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        key = {"key": "topsecret"} if status == 401 else {}
        async with listening(name, key, refuse=[] if status == 401 else [status]) as (fake, stt):
            with pytest.raises(ServiceError, match=f"speech to text at .* answered {status}") as told:
                await heard(stt, spoken("alpha"))
            assert len(fake.handshakes) == 1
    assert "topsecret" not in caplog.text + str(told.value)


@ALL
async def test_a_busy_service_is_asked_once_more(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)
    async with listening(name, refuse=[429]) as (_, stt):
        assert plain((await heard(stt, spoken("alpha"))).text) == "alpha"
    async with listening(name, refuse=[429, 503]) as (_, stt):
        with pytest.raises(ServiceError, match="answered 503"):
            await heard(stt, spoken("alpha"))


@ALL
async def test_a_service_that_does_not_answer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_stt, "TIMEOUT", 0.3)
    monkeypatch.setattr(socket_stt, "SETTLE", 0.1)
    async with listening(name, latency=1.0) as (fake, stt):
        fake.mute = True
        with pytest.raises(ServiceError, match=r"did not answer within 0\.3 s"):
            await heard(stt, spoken("alpha", "bravo", "charlie", "delta"))


async def test_what_deepgram_has_told_already_it_does_not_tell_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_stt, "SETTLE", 0.2)
    async with listening("deepgram") as (fake, stt):
        fake.silent = True
        assert plain((await heard(stt, spoken("alpha", "bravo"))).text) == "alpha bravo"


async def test_a_quiet_connection_is_kept_alive_and_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_stt, "KEEP_ALIVE", 0.05)
    monkeypatch.setattr(socket_stt, "IDLE", 0.4)
    async with listening("deepgram") as (fake, stt):
        await heard(stt, spoken("alpha"))
        await asyncio.sleep(0.3)
        alive = [message for message in fake.messages if message["type"] == "KeepAlive"]
        assert 2 <= len(alive) <= 8 and len(fake.open) == 1
        async with asyncio.timeout(60):
            while fake.open:
                await asyncio.sleep(0.01)
        assert plain((await heard(stt, spoken("bravo"))).text) == "bravo"
        assert len(fake.handshakes) == 2


@ALL
async def test_an_utterance_that_nobody_wants_ends_its_connection(name: str) -> None:
    async with listening(name) as (fake, stt):
        hearing = stt.hear(lambda text: None)
        await speak(hearing, spoken("alpha"))
        await asyncio.sleep(0.1)
        hearing.drop()
        hearing.drop()
        async with asyncio.timeout(60):
            while fake.open:
                await asyncio.sleep(0.01)
        assert plain((await heard(stt, spoken("bravo"))).text) == "bravo"


async def test_what_deepgram_is_asked() -> None:
    async with listening("deepgram", {"keyterm": "Lipwire", "smart_format": True}, keywords=["Kit", "Ohm"]) as (f, stt):
        await heard(stt, spoken("alpha"))
        query = f.handshakes[0].query
        assert [value for name, value in query if name == "keyterm"] == ["Lipwire", "Kit", "Ohm"]
        assert dict(query) | {"keyterm": ""} == {
            **{"model": "nova-3", "language": "en-US", "encoding": "linear16", "sample_rate": "16000", "channels": "1"},
            **{"interim_results": "true", "endpointing": "false", "punctuate": "true", "smart_format": "true"},
            "keyterm": "",
        }
        assert {message["type"] for message in f.messages} == {"Finalize"}
    async with listening("deepgram", {"model": "nova-2", "language": None}, keywords=["Kit:2"]) as (f, stt):
        await heard(stt, spoken("alpha"))
        query = f.handshakes[0].query
        assert ("keywords", "Kit:2") in query and ("language", "de-DE") in query
        assert "keyterm" not in dict(query)


async def test_what_azure_is_asked() -> None:
    async with listening("microsoft", {"phrase_list": ["Lipwire"]}, keywords=["Kit"]) as (fake, stt):
        await heard(stt, spoken("alpha"))
        await heard(stt, spoken("bravo"))
        assert fake.query == {"language": "en-US", "format": "detailed", "wordLevelTimestamps": "true"}
        groups = [{"type": "Generic", "items": [{"text": "Lipwire"}, {"text": "Kit"}]}]
        assert [request["context"]["dgi"]["groups"] for request in fake.requests] == [groups] * 2
        assert [request["seconds"] for request in fake.requests] == pytest.approx([0.3, 0.3])
        assert fake.paths == ["speech.config", "speech.context", "audio", "speech.context", "audio"]


async def test_a_url_of_a_request_leads_to_public_addresses_only() -> None:
    async with FakeDeepgramEars() as fake:
        vendor = Vendor(name="deepgram", params={**PARAMS["deepgram"], "url": fake.url})
        stt = choose.make_vendor_stt(vendor, language="en", headers={}, outward=Outward())
        with pytest.raises(
            ServiceError, match=r"speech to text at 127\.0\.0\.1:\d+ leads to 127\.0\.0\.1, which is no public address"
        ):
            await heard(stt, spoken("alpha"))
        assert not fake.handshakes
        await stt.close()


async def test_nothing_was_said() -> None:
    async with listening("deepgram") as (fake, stt):
        assert await stt.hear(lambda text: None).finish() == Transcript("")
        assert not fake.handshakes


def test_a_text_of_a_script_without_spaces_gets_none() -> None:
    utterance = socket_stt._Utterance(None, lambda text: None)  # type: ignore[arg-type]
    for text in ("你好", "世界。"):
        utterance.heard(socket_stt.Heard(text, [TimedWord(text, 0, 1)], True))
    assert utterance._text() == "你好世界。"


def test_a_service_that_hears_without_end_fills_nothing() -> None:
    seen: list[int] = []
    utterance = socket_stt._Utterance(None, lambda text: seen.append(len(text)))  # type: ignore[arg-type]
    utterance.heard(socket_stt.Heard("x" * 10_000_000))
    began = time.process_time()
    for _ in range(20_000):
        utterance.heard(socket_stt.Heard("ab", [TimedWord("ab", 0, 1), TimedWord("x" * 100, 0, 1)], True))
    assert time.process_time() - began < 5
    assert max(seen) == len(utterance._text()) == MAX_TEXT
    assert len(seen) < MAX_TEXT  # nothing new is no news
    assert sum(len(word.text) for word in utterance._words) <= 2 * MAX_TEXT


@pytest.mark.parametrize("broken_off", [False, True])
async def test_nothing_is_sent_again_after_the_end(broken_off: bool) -> None:
    async with listening("deepgram") as (fake, stt):
        fake.mute = fake.silent = True
        first = stt.hear(lambda text: None)
        await speak(first, spoken("alpha", "bravo", "charlie"))
        result = asyncio.create_task(first.finish())
        await asyncio.sleep(0.1)
        await speak(stt.hear(lambda text: None), spoken("bravo"))
        await asyncio.sleep(0.1)
        if broken_off:
            result.cancel()
            async with asyncio.timeout(60):
                while len(fake.open) > 1:  # nobody waits for it
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            await stt.close()
        await asyncio.gather(result, return_exceptions=True)
        assert len(fake.handshakes) == 2


async def test_who_goes_on_at_once_is_the_same_utterance() -> None:
    async with listening("deepgram", latency=0.3) as (fake, stt):
        pcm = spoken("alpha", "bravo")
        first = stt.hear(lambda text: None)
        await speak(first, pcm)
        result = asyncio.create_task(first.finish())
        await asyncio.sleep(0.1)
        result.cancel()
        again = stt.hear(lambda text: None)
        again.feed(pcm)  # though the other one has not heard of it yet
        fake.latency = 0.0
        await speak(again, spoken("charlie"))
        assert plain((await again.finish()).text.replace(".", "")) == "alpha bravo charlie"
        assert len(fake.handshakes) == 1


class Says(FakeDeepgramEars):
    """The same all the time, whatever it is told."""

    answer: bytes

    async def talk(self, ws: Any) -> None:
        await ws.recv()
        while True:
            await ws.send(self.answer.decode())
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(("transcript", "start", "words"), [
    ("a", 0.0, r"did not answer within 0\.3 s"),
    (5, 0.0, "no message of its protocol"),
    ("a", 1e308, "no message of its protocol"),
])  # fmt: skip
async def test_a_service_that_talks_on(
    transcript: Any, start: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_stt, "TIMEOUT", 0.3)
    monkeypatch.setattr(socket_stt, "SETTLE", 0.1)
    word = {"word": "a", "start": start, "end": start}
    best = {"transcript": transcript, "words": [word]}
    async with Says() as fake:
        results = {"type": "Results", "start": 0.0, "duration": 0.1, "channel": {"alternatives": [best]}}
        fake.answer = msgspec.json.encode(results)
        vendor = Vendor(name="deepgram", params={**PARAMS["deepgram"], "url": fake.url})
        stt = choose.make_vendor_stt(vendor, language="en", headers={})
        async with asyncio.timeout(60):
            with pytest.raises(ServiceError, match=words):
                await heard(stt, spoken("alpha", "bravo", "charlie"))
        await stt.close()


@ALL
async def test_after_the_end_nothing_is_opened(name: str) -> None:
    async with listening(name) as (fake, stt):
        assert plain((await heard(stt, spoken("alpha"))).text) == "alpha"
        await stt.close()
        with pytest.raises(ServiceError, match="has been closed"):
            await heard(stt, spoken("bravo"))
        assert len(fake.handshakes) == 1
