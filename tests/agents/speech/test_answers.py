"""A text to speech service over HTTP: what it may answer, what it may refuse, and when it is asked again."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import av
import msgspec
import numpy as np
import pytest

from lipwire.agents.http import ServiceError
from lipwire.agents.speech import answers
from lipwire.agents.speech.stt import wav
from lipwire.agents.speech.tts import Sound, SynthesisStream
from lipwire.agents.speech.vendors import service
from lipwire.agents.speech.vendors.openai import OpenAiTts
from support.fakes import FakeTts
from support.fakes.chat import tone
from support.fakes.server import Break, Request, Response, error

Answer = Callable[[dict[str, Any]], Response]


class Service(FakeTts):
    """Answers by `make`, whatever is asked of it."""

    def __init__(self, make: Answer, **more: Any) -> None:
        super().__init__(**more)
        self.make = make

    async def answer(self, request: Request) -> Response:
        body: dict[str, Any] = msgspec.json.decode(request.body)
        self.requests.append(body)
        self.asked.append(request.at)
        return self.make(body)


def streamed(data: bytes, kind: str = "audio/pcm", *, piece: int = 1000, cut: int | None = None) -> Response:
    """An answer in pieces; `cut`: bytes after which the connection breaks."""

    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(data) if cut is None else cut, piece):
            yield data[at : at + piece]
        if cut is not None:
            raise Break

    return Response(type=kind, stream=stream())


async def said(engine: OpenAiTts, text: str = "Hello.") -> tuple[bytes, int]:
    async with aclosing(engine.speak(text)) as stream:
        sounds = [sound async for sound in stream]
    (rate,) = {sound.rate for sound in sounds}
    return b"".join(sound.pcm for sound in sounds), rate


PCM = tone(0.25, 24_000)


def mp3(pcm: bytes = PCM) -> bytes:
    sink = io.BytesIO()
    frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[None], format="s16p", layout="mono")
    frame.sample_rate = 24_000
    with av.open(sink, "w", format="mp3") as file:
        stream: Any = file.add_stream("libmp3lame", rate=24_000, layout="mono")
        for piece in (frame, None):
            file.mux(stream.encode(piece))
    return sink.getvalue()


# ------------------------------------------------------------------------------------------------- what it may answer


def as_json(**members: Any) -> bytes:
    return msgspec.json.encode(members)


WAV = wav(PCM, 24_000)
BASE64 = base64.b64encode(WAV).decode()
ANSWERS: dict[str, tuple[str, bytes]] = {
    "a WAV": ("audio/wav", WAV),
    "a WAV by another name": ("text/plain; charset=utf-8", WAV),
    "a WAV said to be JSON": ("application/json", WAV),
    "samples without a type": ("", PCM),
    "Google": ("application/json; charset=UTF-8", as_json(audioContent=BASE64)),
    "over several lines": ("application/json", msgspec.json.format(as_json(audioContent=BASE64), indent=2)),
    "ElevenLabs with times": (
        "application/json",
        b"\n".join(
            as_json(audio_base64=base64.b64encode(PCM[at : at + 3000]).decode()) for at in range(0, 12_000, 3000)
        ),
    ),
    "MiniMax": (
        "text/event-stream",
        b"".join(
            b"data: " + as_json(data={"audio": part.hex(), "status": status}) + b"\n\n"
            for part, status in ((WAV[:5000], 1), (WAV[5000:], 1), (WAV, 2))
        ),
    ),
    "Gemini": (
        "application/json",
        as_json(candidates=[{"content": {"parts": [{"inlineData": {"mimeType": "audio/L16", "data": BASE64}}]}}]),
    ),
    "Sarvam": ("application/json", as_json(request_id="1", audios=[BASE64])),
    "silence first": (
        "application/x-ndjson",
        b"\n".join(as_json(audio=base64.b64encode(one).decode()) for one in (bytes(6000), PCM[6000:])),
    ),
    "OpenAI's events": (
        "text/event-stream",
        b"".join(
            b"event: speech.audio.delta\ndata: " + as_json(type="speech.audio.delta", audio=one) + b"\n\n"
            for one in (base64.b64encode(PCM[:6000]).decode(), base64.b64encode(PCM[6000:]).decode())
        )
        + b"data: [DONE]\n\n",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_it_may_answer(name: str) -> None:
    kind, data = ANSWERS[name]
    async with Service(lambda body: streamed(data, kind, piece=700)) as server:
        engine = OpenAiTts(server.url, voice="alloy")
        begins = bytes(6000) if name == "silence first" else PCM[:6000]
        assert await said(engine) == (begins + PCM[6000:], 24_000)
        await engine.close()


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("text/html", b"<html>Sign in", "'text/html', where sound was expected"),
        ("application/json", b'{"url": "x"}', "'application/json', where sound was expected"),
        ("application/json", b'{"error": {"message": "no"}}', "answered an error"),
        ("application/json", b'{"audioContent": "AAA', "cut off"),
        ("application/json", b'{"audioContent":\n[{\n"x": 1', "cut off"),
        ("application/x-ndjson", b'{"x": 1}\n{"x":]}\n{"x": 1}\n', "what is no JSON"),
        ("application/json", b'{"audioContent": "https://a/b.mp3", "data": "ok"}', "where sound was expected"),
        ("audio/ogg", b"OggS" + bytes(400), "cannot be played"),
    ],
)
async def test_what_is_no_sound_is_told(kind: str, data: bytes, words: str) -> None:
    async with Service(lambda body: streamed(data, kind)) as server:
        engine = OpenAiTts(server.url, voice="alloy")
        with pytest.raises(ServiceError, match=words):
            await said(engine)
        await engine.close()
    assert len(server.requests) == 1


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_objects_over_several_lines_end_where_they_end(size: int) -> None:
    value = {"said": 'a "quoted" [{', "path": "\\", "more": [[], {"{": "}"}], "audio": base64.b64encode(PCM).decode()}
    data = (msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n\n") * 2
    reader = answers.JsonSound()
    found = [reader.take(data[at : at + size]) for at in range(0, len(data), size)]
    assert b"".join(found) == PCM * 2  # each as soon as it is there, and nothing is left for the end
    assert reader.end() == b""


@pytest.mark.parametrize("line", [b"\n", b"[],\n", b'"]",\n', b'{"audio": []},\n'])
def test_what_is_read_once_is_not_read_again_at_each_line(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    read = 0

    def decode(text: bytes) -> Any:
        nonlocal read
        read += len(text)
        return value(text)

    value = answers._value
    monkeypatch.setattr(answers, "_value", decode)
    reader, data = answers.JsonSound(), b"[\n" + line * 20_000
    for at in range(0, len(data), 1000):
        reader.take(data[at : at + 1000])
    with pytest.raises(ServiceError, match="cut off"):
        reader.end()
    assert read <= 2 * len(data)


async def test_sound_begins_before_the_answer_ends() -> None:
    heard = asyncio.Event()
    data = mp3(PCM * 8)

    def make(body: dict[str, Any]) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            yield data[: len(data) * 3 // 4]
            await heard.wait()
            yield data[len(data) * 3 // 4 :]

        return Response(type="audio/mpeg", stream=stream())

    async with Service(make) as server:
        engine = OpenAiTts(server.url, voice="alloy")
        async with aclosing(engine.speak("Hello.")) as stream:
            async for _ in stream:
                heard.set()
        await engine.close()
    assert heard.is_set()


# ------------------------------------------------------------------------------------------------- what it may refuse


def pydantic(*formats: str) -> bytes:
    must = "Input should be " + " or ".join(f"'{name}'" for name in formats)
    return as_json(detail=[{"type": "enum", "loc": ["body", "response_format"], "msg": must, "input": "pcm"}])


@pytest.mark.parametrize(
    ("refusal", "takes", "asked"),
    [
        (error(400, "response_format must be one of mp3, opus, flac, wav").body, "wav", ["pcm", "wav"]),
        (error(400, "Unsupported response_format 'pcm'. Supported: mp3").body, "mp3", ["pcm", "mp3"]),
        (pydantic("aac", "mp3"), "mp3", ["pcm", "mp3"]),
        (error(400, "this response format is not available").body, "mp3", ["pcm", "wav", "mp3"]),
        (error(400, "unknown parameter: response_format").body, None, ["pcm", "wav", "mp3", None]),
        (b"pcm is not supported, use wav", "wav", ["pcm", "wav"]),
    ],
)
async def test_a_service_is_asked_for_the_format_that_it_has(
    refusal: bytes, takes: str | None, asked: list[str | None]
) -> None:
    sound = {"mp3": ("audio/mpeg", mp3()), "wav": ("audio/wav", WAV), None: ("audio/mpeg", mp3())}[takes]

    def make(body: dict[str, Any]) -> Response:
        if body.get("response_format") != takes:
            return Response(422, refusal)
        return streamed(sound[1], sound[0])

    async with Service(make) as server:
        for count in (len(asked), 1):  # another agent, which asks the same service
            engine = OpenAiTts(server.url, voice="alloy")
            pcm, rate = await said(engine)
            assert rate == 24_000 and 0.2 < len(pcm) / 48_000 < 0.35
            await engine.close()
            formats = [request.get("response_format") for request in server.requests[-count:]]
            assert formats == asked[-count:]
        assert len(server.requests) == len(asked) + 1


async def test_a_refusal_that_is_about_something_else_is_one() -> None:
    async with Service(lambda body: error(400, "unknown voice")) as server:
        engine = OpenAiTts(server.url, voice="x")
        with pytest.raises(ServiceError, match="answered 400"):
            await said(engine)
        await engine.close()
    assert len(server.requests) == 1


# ----------------------------------------------------------------------------------------------- when it is asked again


async def speak(engine: OpenAiTts, text: str) -> tuple[list[Any], bytes, list[str]]:
    """What a reply says: the pieces of text; the sound; what was lost."""
    texts: list[Any] = []
    pcm = bytearray()
    lost: list[str] = []

    async def on_sound(sound: Sound) -> None:
        pcm.extend(sound.pcm)

    stream = SynthesisStream(
        engine,
        on_text=lambda text, sound: texts.append(text.strip()),
        on_sound=on_sound,
        on_lost=lambda text, exc: lost.append(f"{text.strip()} {exc}"),
    )
    stream.say(text)
    stream.finish()
    await stream.run()
    return texts, bytes(pcm), lost


TEXT = "First sentence here. Second sentence here. Third sentence here."
SENTENCES = ["First sentence here.", "Second sentence here.", "Third sentence here."]


@pytest.mark.parametrize(
    "fault",
    [
        lambda: error(500, "oops"),
        lambda: Response(429, b"", headers={"retry-after": "0"}),
        lambda: Response(503, b"", headers={"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        lambda: streamed(b""),
        lambda: streamed(PCM, cut=0),
        lambda: streamed(PCM, cut=5000),
        lambda: streamed(WAV, "audio/wav", cut=5000),
        lambda: Response(529, b"overloaded"),
    ],
)
async def test_a_fault_that_passes_costs_nothing_and_says_nothing_twice(
    fault: Callable[[], Response], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)
    caplog.set_level(logging.WARNING)
    failed: list[str] = []

    def make(body: dict[str, Any]) -> Response:
        if body["input"].startswith("Second") and not failed:
            failed.append(body["input"])
            return fault()
        return streamed(PCM)

    async with Service(make) as server:
        engine = OpenAiTts(server.url, voice="alloy")
        texts, pcm, lost = await speak(engine, TEXT)
        await engine.close()
    assert (texts, lost, len(server.requests)) == (SENTENCES, [], 4)
    assert pcm == PCM * 3
    assert "asked again" in caplog.text


async def test_a_stall_in_a_sentence_says_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "BETWEEN", 1.0)
    stalled: list[str] = []

    def make(body: dict[str, Any]) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            yield PCM[:5000]
            if not stalled:
                stalled.append(body["input"])
                await asyncio.sleep(60)
            yield PCM[5000:]

        return Response(type="audio/pcm", stream=stream())

    async with Service(make) as server:
        engine = OpenAiTts(server.url, voice="alloy")
        assert await said(engine) == (PCM, 24_000) and len(server.requests) == 2
        await engine.close()


@pytest.mark.parametrize(
    ("kind", "first", "drip", "whole"),
    [
        ("application/json", b"{", b" ", 60.0),  # never any sound
        ("text/event-stream", b"data: " + as_json(audio=BASE64) + b"\n\n", b": alive\n\n", 60.0),
        ("audio/pcm", PCM, bytes(2), 0.6),  # a little of it for ever
    ],
)
async def test_what_drips_is_not_waited_for(
    kind: str, first: bytes, drip: bytes, whole: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"FIRST_BYTE": 0.5, "BETWEEN": 0.3, "WHOLE": whole}.items():
        monkeypatch.setattr(service, name, seconds)

    def make(body: dict[str, Any]) -> Response:
        async def stream() -> AsyncIterator[bytes]:
            yield first
            while True:
                await asyncio.sleep(0.05)
                yield drip

        return Response(type=kind, stream=stream())

    async with Service(make) as server:
        engine = OpenAiTts(server.url, voice="alloy")
        async with asyncio.timeout(60):
            with pytest.raises(ServiceError, match="stalled"):
                await said(engine)
        await engine.close()


async def test_a_sentence_that_cannot_be_had_is_told_and_the_rest_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)

    def make(body: dict[str, Any]) -> Response:
        return error(500, "oops") if body["input"].startswith("Second") else streamed(PCM)

    async with Service(make) as server:
        engine = OpenAiTts(server.url, voice="alloy")
        texts, pcm, lost = await speak(engine, TEXT)
        assert texts == [SENTENCES[0], SENTENCES[2]] and pcm == PCM * 2 and len(server.requests) == 4
        assert len(lost) == 1 and lost[0].startswith("Second sentence here. text to speech at 127.0.0.1")
        # The rest of a sentence: what came of it is said, and no more.
        server.make = lambda body: streamed(PCM, cut=6000 if body["input"].startswith("First") else None)
        texts, pcm, lost = await speak(engine, TEXT)
        assert texts == SENTENCES and pcm == PCM[:6000] + PCM * 2 and "broke" in lost[0]
        # Nothing at all: that is an error of the reply's.
        server.requests.clear()
        server.make = lambda body: error(401, "no")
        with pytest.raises(ServiceError, match="answered 401"):
            await speak(engine, TEXT + TEXT)
        assert len(server.requests) <= 5  # and it is not asked for ever
        await engine.close()


async def test_one_request_at_a_time_where_that_is_all_it_takes() -> None:
    busy: list[str] = []
    refused = asyncio.Event()

    def make(body: dict[str, Any]) -> Response:
        if busy:
            refused.set()
            return Response(429, b"", headers={"retry-after": "0.05"})
        busy.append(body["input"])

        async def stream() -> AsyncIterator[bytes]:
            try:
                yield PCM[:5000]
                await refused.wait()
                yield PCM[5000:]
            finally:
                busy.clear()

        return Response(type="audio/pcm", stream=stream())

    async with Service(make) as server:
        engine = OpenAiTts(server.url, voice="alloy")
        texts, pcm, lost = await speak(engine, TEXT + " Fourth. Fifth.")
        assert texts == [*SENTENCES, "Fourth.", "Fifth."] and lost == [] and pcm == PCM * 5
        assert len(server.requests) == 6  # refused once, and it has understood
        await engine.close()


async def test_an_interrupt_ends_the_wait() -> None:
    async with Service(lambda body: Response(429, b"", headers={"retry-after": "3600"})) as server:
        engine = OpenAiTts(server.url, voice="alloy")
        task = asyncio.create_task(speak(engine, "Hello."))
        while not server.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=service.FIRST_BYTE)
        assert done and task.cancelled() and len(server.requests) == 1
        await engine.close()


async def test_headers_of_ones_own_go_along_and_azure_gets_its_key() -> None:
    async with Service(lambda body: streamed(PCM)) as server:
        engine = OpenAiTts(server.url, voice="alloy", api_key="k", headers={"X-Title": "mine"})
        await said(engine)
        await engine.close()
        engine = OpenAiTts(server.url, voice="alloy", api_key="k", headers={"Api-Key": "other"})
        await said(engine)
        await engine.close()
    first, second = (request.headers for request in server.received)
    assert (first["authorization"], first["x-title"], first["content-type"]) == ("Bearer k", "mine", "application/json")
    assert second["api-key"] == "other" and "authorization" not in second
    azure = OpenAiTts("https://x.openai.azure.com/openai/deployments/d/audio/speech", voice="en-US-AvaNeural")
    assert azure.voice == "alloy"
    await azure.close()
