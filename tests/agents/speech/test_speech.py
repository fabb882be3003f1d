"""Speech to text and text to speech: the services, and the offline pair."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipwire import resample
from lipwire.agents.brains.base import TimedWord
from lipwire.agents.http import ServiceError
from lipwire.agents.speech import stt, tts
from lipwire.agents.speech.sphinx import stt as sphinx
from lipwire.agents.speech.sphinx.stt import SphinxStt
from lipwire.agents.speech.stt import HttpStt, Transcript
from lipwire.agents.speech.tts import OfflineTts, Sound, SynthesisStream
from lipwire.agents.speech.vendors import service
from lipwire.agents.speech.vendors.openai import OpenAiTts
from lipwire.audio import espeak as voice
from lipwire.errors import InvalidArgument, ModelFailed
from lipwire.models.voices.catalogue import missing
from lipwire.models.voices.espeak import espeak_voice
from lipwire.models.voices.live import LiveVoices
from lipwire.models.voices.names import Name
from lipwire.models.wire import Spoken
from lipwire.protocol.agent_bodies import InUse
from support.fakes import FakeStt, FakeTts
from support.fakes.server import Response
from support.machine import require

# ------------------------------------------------------------------------------------------------------ text to speech


async def sounds(engine: tts.Tts, text: str = "Hello.") -> list[Sound]:
    async with aclosing(engine.speak(text)) as stream:
        return [sound async for sound in stream]


async def test_a_service_speaks() -> None:
    async with FakeTts(api_key="k") as server:
        engine = OpenAiTts(server.url, voice="en-US-AvaNeural", model="tts-1", api_key="k")
        for _ in range(2):
            got = await sounds(engine)
            assert sum(len(s.pcm) for s in got) == round(6 * 0.06 * 24_000) * 2
            assert {s.rate for s in got} == {24_000}
        assert server.requests[0] == {
            "model": "tts-1",
            "voice": "en-US-AvaNeural",
            "input": "Hello.",
            "response_format": "pcm",
        }
        assert server.connections == 1
        await engine.close()


@pytest.mark.parametrize(
    ("options", "fails", "message"),
    [({}, [500, 500], "answered 500"), ({}, [0, 0, 0, 0], "failed"), ({"break_after": 2}, [], "failed")],
)
async def test_a_service_that_fails_says_how(
    options: dict[str, Any], fails: list[int], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)
    async with FakeTts(**options) as server:
        server.fail_with = fails
        engine = OpenAiTts(server.url, voice="alloy")
        with pytest.raises(ServiceError, match=message):
            await sounds(engine, "Hello there, my friend.")
        await engine.close()


@pytest.mark.parametrize(
    ("kind", "body", "result"),
    [
        ("audio/pcm;rate=16000", b"\1\2\3\4", (b"\1\2\3\4", 16_000)),
        ("audio/wav", stt.wav(b"\1\2\3\4", 22_050), (b"\1\2\3\4", 22_050)),
        ("application/json", b'{"url": "x"}', "where sound was expected"),
        ("audio/mpeg", b"ID3" + bytes(100), "cannot be played"),
        ("audio/pcm", b"", "sent no sound"),
        ("audio/wav", stt.wav(b"\1\2", 999), "999 Hz"),
    ],
)
async def test_what_a_service_may_answer(kind: str, body: bytes, result: Any) -> None:
    class Other(FakeTts):
        async def answer(self, request: Any) -> Response:
            async def stream() -> Any:
                for i in range(len(body)):
                    yield body[i : i + 1]

            return Response(type=kind, stream=stream())

    async with Other() as server:
        engine = OpenAiTts(server.url, voice="alloy")
        if isinstance(result, str):
            with pytest.raises(ServiceError, match=result):
                await sounds(engine)
        else:
            got = await sounds(engine)
            assert (b"".join(s.pcm for s in got), got[0].rate) == result
        await engine.close()


async def test_a_service_that_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FIRST_BYTE", 0.1)
    monkeypatch.setattr(service, "BETWEEN", 0.1)
    stalls: list[dict[str, Any]] = [{"first_byte": 5.0}, {"speed": 0.01}]
    for options in stalls:
        async with FakeTts(**options) as server:
            engine = OpenAiTts(server.url, voice="alloy")
            with pytest.raises(ServiceError, match="stalled"):
                await sounds(engine)
            await engine.close()


def test_voice_ids_find_a_voice() -> None:
    require(voice.available(), "espeak-ng")
    wanted = {
        ("en-US-AndrewMultilingualNeural", "en-US"): "en-us",
        ("en-US-AvaNeural", "en-US"): "en-us+f3",
        ("zh-CN-XiaoxiaoNeural", "zh-CN"): "cmn+f3",
        ("pt-BR-AntonioNeural", "pt-BR"): "pt-br",
        ("en-GB-RyanNeural", "en-GB"): "en",
        ("es-MX-JorgeNeural", "es-MX"): "es-419",
        ("alloy", "de-DE"): "de",
        ("shimmer", "en-US"): "en-us+f3",
        ("fr+m2", "en-US"): "fr+m2",
        ("+f3", "de-DE"): "de+f3",
        ("", "en-US"): "en-us",
        ("en-GB+f3", "en-US"): "en-GB+f3",
        ("en-us+nobody", "en-US"): "en-us",
        ("", "no-NO"): "no-no",
        ("xx-XX-NobodyNeural", "it-IT"): "it",
    }
    assert {ids: espeak_voice(*ids) for ids in wanted} == wanted
    with pytest.raises(InvalidArgument, match="set tts_url"):
        espeak_voice("xx-XX-NobodyNeural", "zz")


async def test_the_offline_voice_says_when_which_word_is_said() -> None:
    require(voice.available(), "espeak-ng")
    engine = OfflineTts("en-us", "en-US")
    text = "I paid 23.50 for it — e.g. yesterday, didn't I?"
    (sound,) = await sounds(engine, text)
    assert sound.whole and sound.rate == 22_050
    assert " ".join(word.text for word in sound.words) == text
    starts = [word.start_ms for word in sound.words]
    assert starts == sorted(starts) and starts[0] == 0
    last = sound.words[-1]
    assert abs(last.start_ms + last.duration_ms - len(sound.pcm) / 2 / sound.rate * 1000) < 2
    for language, text in (("zh-CN", "这座城市的历史。"), ("ja-JP", "この町の歴史は。"), ("th-TH", "ประวัติศาสตร์")):
        (sound,) = await sounds(OfflineTts("", language), text)
        assert "".join(word.text for word in sound.words) == text and len(sound.words) >= 7
        assert sound.words[3].start_ms < sound.words[4].start_ms < len(sound.pcm) / 2 / sound.rate * 1000
    (sound,) = await sounds(engine, "ß" * 5001)  # more than espeak-ng takes at a time
    assert sound.pcm
    with pytest.raises(ServiceError, match="no text to speak"):
        await sounds(engine, " ")


async def test_a_voice_that_fails_and_was_only_the_default_gives_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    require(voice.available() and not missing(Name("hibari", "heart")), "espeak-ng, hibari-tts")

    async def fails(*_: Any) -> Any:
        await asyncio.sleep(0)
        raise ModelFailed("the process of models does not start")
        yield

    async def ready(*_: Any) -> None:
        return None

    monkeypatch.setattr(LiveVoices, "warm", ready)
    monkeypatch.setattr(LiveVoices, "_once", fails)
    engine = OfflineTts("hibari:heart", "en-US", spare="en-us+f3")
    both = await asyncio.gather(*(sounds(engine, "Hello there.") for _ in range(2)))  # two fail at a time
    for (sound,) in (*both, await sounds(engine, "Hello there.")):
        assert (sound.rate, [word.text for word in sound.words]) == (22_050, ["Hello", "there."])
    assert str(engine.voice) == "espeak:en-us+f3"
    told = [record.message for record in caplog.records if "in place of" in record.message]
    assert told == ["espeak:en-us+f3 speaks in place of hibari:heart: the process of models does not start"]
    with pytest.raises(ServiceError, match="the voice hibari:heart: the process of models does not start"):
        await sounds(OfflineTts("hibari:heart", "en-US"), "Hello there.")
    await engine.close()


async def test_a_voice_that_is_long_in_loading_costs_seconds_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    require(voice.available() and not missing(Name("hibari", "heart")), "espeak-ng, hibari-tts")
    loaded = asyncio.Event()
    fell: list[InUse] = []

    async def hangs(*_: Any) -> None:
        await loaded.wait()

    async def says(*_: Any) -> Any:
        yield Spoken(bytes(4800), 24_000)

    monkeypatch.setattr(LiveVoices, "warm", hangs)
    monkeypatch.setattr(LiveVoices, "_once", says)
    monkeypatch.setattr(tts, "LOADING", 0.05)
    engine = OfflineTts("hibari:heart", "en-US", spare="en-us+f3")
    engine.on_fall = fell.append
    both = await asyncio.gather(*(sounds(engine, "Hello there.") for _ in range(2)))
    monkeypatch.setattr(tts, "LOADING", 600.0)  # it is not waited for again
    for (sound,) in (*both, await sounds(engine, "Hello there.")):
        assert sound.rate == 22_050
    why = "it is not loaded after 0.05 s"
    assert fell == [InUse(name="espeak:en-us+f3", instead_of="hibari:heart", because=why)] == [engine.in_use]
    loaded.set()
    await engine.warm()
    (sound,) = await sounds(engine, "Hello there.")
    assert sound.rate == 24_000 and engine.in_use == InUse(name="hibari:heart")
    loaded.clear()
    other = OfflineTts("hibari:heart", "en-US")  # asked for by name: nothing else speaks
    (sound,) = await sounds(other, "Hello there.")
    assert sound.rate == 24_000
    await engine.close()
    leaving = OfflineTts("hibari:heart", "en-US", spare="en-us+f3")
    warming = asyncio.create_task(leaving.warm())
    await asyncio.sleep(0)
    await leaving.close()
    warming.cancel()


@pytest.mark.parametrize(
    ("text", "marks", "timed"),
    [
        ("I paid it.", {0: 0.0, 2: 0.2, 7: 0.6}, [("I", 0, 200), ("paid", 200, 400), ("it.", 600, 400)]),
        ("I paid it.", {2: 0.2, 7: 0.6}, [("I paid", 0, 600), ("it.", 600, 400)]),
        ("I paid it.", {0: 0.0, 7: 0.6}, [("I paid", 0, 600), ("it.", 600, 400)]),
        ("— … yes", {4: 0.1}, [("— … yes", 0, 1000)]),
        ("これ", {1: 0.5}, [("こ", 0, 500), ("れ", 500, 500)]),
        ("...", {}, []),
    ],
)
def test_words_that_are_not_marked_are_not_lost(
    text: str, marks: dict[int, float], timed: list[tuple[str, int, int]]
) -> None:
    words = tts.words(text, [(at, first) for first, at in marks.items()], 1.0)
    assert [(word.text, word.start_ms, word.duration_ms) for word in words] == timed


class Slow:
    """A voice whose pieces take as long as they say: "0.2 text"."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def close(self) -> None: ...

    async def speak(self, text: str) -> Any:
        self.log.append(f"asked {text}")
        try:
            await asyncio.sleep(float(text.split()[0]))
        except asyncio.CancelledError:
            self.log.append(f"cancelled {text}")
            raise
        self.log.append(f"made {text}")
        if "fail" in text:
            raise ServiceError("no voice")
        yield Sound(text.encode(), 8000)
        yield Sound(b"..", 8000)


def speaker(engine: tts.Tts) -> tuple[SynthesisStream, list[Any]]:
    got: list[Any] = []

    async def on_sound(sound: Sound) -> None:
        got.append(sound.pcm)

    return SynthesisStream(engine, on_text=lambda t, s: got.append(t), on_sound=on_sound, on_stage=got.append), got


async def test_pieces_keep_their_order_and_the_next_is_made_meanwhile() -> None:
    engine = Slow()
    one, got = speaker(engine)
    one.say("0.2 a. 0 b. ")
    one.say('0 c. "...')
    one.finish()
    await one.run()
    asked = [engine.log.index(f"asked {text}") for text in ("0.2 a.", "0 b.", "0 c.")]
    assert asked[0] < asked[1] < engine.log.index("made 0.2 a.") < asked[2]
    assert got == [
        *("first_sentence", "tts_asked"),
        *("0.2 a. ", b"0.2 a.", b".."),
        *("0 b. ", b"0 b.", b".."),
        *("0 c. ", b"0 c.", b".."),
        '"...',
    ]


async def test_a_cancelled_reply_stops_at_once() -> None:
    engine = Slow()
    one, got = speaker(engine)
    one.say("9 a. 9 b. 0 c. ")
    task = asyncio.create_task(one.run())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(engine.log) == ["asked 9 a.", "asked 9 b.", "cancelled 9 a.", "cancelled 9 b."]
    assert got == ["first_sentence", "tts_asked"]


async def test_what_was_made_before_a_failure_is_said() -> None:
    one, got = speaker(Slow())
    one.say("0 a. 0 fail. 0 fail. 0 go. 0 fail. 0 fail. 0 fail. ")
    one.finish()
    with pytest.raises(ServiceError, match="no voice"):  # three in a row
        await one.run()
    assert got[2:] == ["0 a. ", b"0 a.", b"..", "0 go. ", b"0 go.", b".."]


async def test_many_short_pieces_are_joined() -> None:
    engine = Slow()
    one, got = speaker(engine)
    text = "".join(f"0 n{i}. " for i in range(500))
    one.say(text)
    assert len(one._pieces) < 500 * 8 / 100
    one.finish()
    await one.run()
    assert "".join(x for x in got[2:] if isinstance(x, str)) == text
    assert [entry for entry in engine.log if "asked" in entry][:3] == ["asked 0 n0.", "asked 0 n1.", "asked 0 n2."]


async def test_a_voice_that_crashes_is_a_failure() -> None:
    one, _ = speaker(Slow())
    one.say("nothing. ")  # no number
    one.finish()
    with pytest.raises(ServiceError, match="ValueError"):
        await one.run()


# ------------------------------------------------------------------------------------------------------ speech to text


async def transcribe(engine: stt.Stt, pcm: bytes, on_partial: Callable[[str], None] = lambda text: None) -> Transcript:
    hearing = engine.hear(on_partial)
    for i in range(0, len(pcm), 320):
        hearing.feed(pcm[i : i + 320])
    return await hearing.finish()


async def test_a_service_understands() -> None:
    async with FakeStt(" good morning ", api_key="k") as server:
        engine = HttpStt(server.url, language="de-DE", api_key="k")
        assert await transcribe(engine, bytes(32_000)) == Transcript("good morning")
        assert server.seconds == [1.0]
        assert server.requests[0] == {"model": "gpt-transcribe", "language": "de", "response_format": "json"}
        engine.model = "whisper-1"
        assert await transcribe(engine, bytes(32_000)) == Transcript(
            "good morning", (TimedWord("good", 0, 500), TimedWord("morning", 500, 500))
        )
        await engine.close()


async def test_a_service_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)
    async with FakeStt(lambda pcm, rate: "x" * 20_000) as server:
        engine = HttpStt(server.url, language="en-US")
        assert len((await transcribe(engine, bytes(3200))).text) == stt.MAX_TEXT
        for fails, message in (([401], "answered 401"), ([0, 0, 0, 0], "failed")):
            server.fail_with = fails
            with pytest.raises(ServiceError, match=message):
                await transcribe(engine, bytes(3200))
        await engine.close()

    class Other(FakeStt):
        async def answer(self, request: Any) -> Response:
            return Response(body=b'{"words": 1}')

    async with Other() as server:
        engine = HttpStt(server.url, language="en-US")
        with pytest.raises(ServiceError, match="no transcription"):
            await transcribe(engine, bytes(3200))
        await engine.close()


async def test_a_service_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stt, "TIMEOUT", 0.1)
    async with FakeStt(latency=5) as server:
        engine = HttpStt(server.url, language="en-US")
        with pytest.raises(ServiceError, match="did not answer"):
            await transcribe(engine, bytes(3200))
        await engine.close()


def spoken(say: Callable[..., tuple[bytes, int]], text: str) -> bytes:
    return bytes(3200) + resample(*say(text), 16_000) + bytes(6400)


async def test_the_offline_recognizer(say: Callable[..., tuple[bytes, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    require("pocketsphinx" in sys.modules or importlib.util.find_spec("pocketsphinx"), "pocketsphinx")
    monkeypatch.setattr(sphinx, "TIMEOUT", 120.0)  # on a busy machine it is slow, and that is all
    engine = SphinxStt("en-US")
    other = SphinxStt("en-GB")
    await engine.open()
    await other.open()
    pool = engine._pool
    assert pool is other._pool is not None
    partials: list[str] = []
    pcm = spoken(say, "I would like to go to the station.")
    first = await transcribe(engine, pcm, partials.append)
    assert "would like to" in first.text and "to" in first.text.split()
    assert " ".join(word.text for word in first.words) == first.text
    starts = [word.start_ms for word in first.words]
    assert starts == sorted(starts) and 0 < starts[-1] < len(pcm) / 32
    assert partials
    # dropped in the middle, and after the end: the next utterance is heard as if nothing had been
    dropped = engine.hear(partials.append)
    dropped.feed(pcm[:32_000])
    await asyncio.sleep(0.05)
    dropped.drop()
    dropped.drop()
    silent = await transcribe(engine, bytes(16_000))
    again, third = await asyncio.gather(transcribe(engine, pcm), transcribe(other, pcm))
    assert "would like to" in again.text and "would like to" in third.text  # whatever a recognizer heard before
    assert len(silent.text.split()) <= 1
    # a recognizer that dies is an error, and the next utterance has a new one
    hearing = engine.hear(partials.append)
    while hearing._worker is None:  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
    os.kill(hearing._worker.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(ServiceError, match="died"):
        await hearing.finish()
    assert "would like to" in (await transcribe(engine, pcm)).text
    await engine.close()
    assert "would like to" in (await transcribe(other, pcm)).text
    await other.close()
    assert not pool._idle


async def test_what_a_dropped_utterance_said_is_told_to_nobody(say: Callable[..., tuple[bytes, int]]) -> None:
    require(importlib.util.find_spec("pocketsphinx"), "pocketsphinx")
    engine = SphinxStt("en-US")
    await engine.open()
    one, two = list[str](), list[str]()
    dropped = engine.hear(one.append)
    while dropped._worker is None:  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    recognizer = dropped._worker  # type: ignore[attr-defined]
    dropped.feed(spoken(say, "I would like to go to the station."))
    dropped.drop()  # its partial result is not there yet
    next_one = engine.hear(two.append)
    next_one.feed(bytes(16_000))
    while next_one._worker is None:  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    assert next_one._worker is recognizer  # type: ignore[attr-defined]
    await next_one.finish()
    await engine.close()
    assert not one and not any(word in " ".join(two) for word in ("like", "station"))


async def test_a_recognizer_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require(importlib.util.find_spec("pocketsphinx"), "pocketsphinx")
    (tmp_path / "pocketsphinx.py").write_text("raise ImportError('its library is of another machine')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine = SphinxStt("en-US")
    with pytest.raises(ServiceError, match=r"did not start: .* code 1 .*its library is of another machine"):
        await engine.open()
    await engine.close()


def test_the_offline_recognizer_knows_english_only() -> None:
    with pytest.raises(InvalidArgument, match="knows English only, not 'de-DE'"):
        SphinxStt("de-DE")


def test_a_wav_is_what_was_heard() -> None:
    pcm = np.arange(-50, 50, dtype="<i2").tobytes()
    assert stt.wav(pcm)[44:] == pcm
