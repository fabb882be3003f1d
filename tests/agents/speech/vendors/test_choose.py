"""Which vendors there are, what they are asked for, and what is refused."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from lipwire.agents.http import ServiceError
from lipwire.agents.options import Vendor
from lipwire.agents.speech.stt import HttpStt
from lipwire.agents.speech.tts import Sound, Tts
from lipwire.agents.speech.vendors.choose import check_vendor, make_vendor_stt, make_vendor_tts
from lipwire.agents.speech.vendors.microsoft import MicrosoftTts
from lipwire.agents.speech.vendors.openai import OpenAiTts
from lipwire.agents.speech.vendors.params import Kind
from lipwire.agents.speech.vendors.socket_stt import SocketStt
from lipwire.agents.speech.vendors.socket_tts import SocketTts
from lipwire.errors import InvalidArgument
from lipwire.outward import Outward
from support.fakes import FakeStt, FakeTts
from support.fakes.server import HttpFake, Request, Response, decode
from support.fakes.vendors import FakeMicrosoftTts
from support.machine import require

VOICE = {"mode": "id", "id": "v"}


def tts(name: str, at: str = "", headers: dict[str, str] | None = None, **params: Any) -> Any:
    return make_vendor_tts(Vendor(name=name, params=params, url=at), language="de-DE", headers=headers or {})


def stt(name: str, keywords: list[str] | None = None, **params: Any) -> Any:
    return make_vendor_stt(
        Vendor(name=name, params=params, keywords=keywords or []), language="de-DE", headers={"x-title": "mine"}
    )


async def said(engine: Tts, text: str = "Hello.") -> list[Sound]:
    try:
        return [sound async for sound in engine.speak(text)]
    finally:
        await engine.close()


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("kind", "name", "params", "message"),
    [
        ("tts", "rime", {}, "tts.vendor 'rime' is not called by this server; cartesia, deepgram, elevenlabs, "
         "generic_http, microsoft, minimax, openai are"),
        ("asr", "speechmatics", {}, "asr.vendor 'speechmatics' is not called by this server; deepgram, microsoft, "
         "openai are"),
        ("tts", "elevenlabs", {"voice_id": "v", "model_id": "m"}, "tts.params.key is missing"),
        ("tts", "elevenlabs", {"key": "k", "model_id": "m"}, "tts.params.voice_id is missing"),
        ("tts", "elevenlabs", {"key": "k", "model_id": "m", "voice_id": "v", "stability": 2},
         "tts.params.stability must be a number from 0 to 1"),
        ("tts", "elevenlabs", {"key": "k", "model_id": "m", "voice_id": "v", "sample_rate": 11_025},
         "tts.params.sample_rate must be one of 8000, 16000, 22050, 24000, 44100, 48000"),
        ("tts", "elevenlabs", {"key": "k", "model_id": "m", "voice_id": "v", "mood": "x"},
         "tts.params.mood is not known here; known are key, api_key, voice_id, model_id, "),
        ("tts", "cartesia", {"api_key": "k", "model_id": "m"}, "tts.params.voice is missing: {mode: 'id', id: ...}"),
        ("tts", "cartesia", {"api_key": "k", "model_id": "m", "voice": "v"}, "tts.params.voice must be an object"),
        ("tts", "cartesia", {"api_key": "k", "model_id": "m", "voice": {"mode": "embedding"}},
         "tts.params.voice.mode must be one of id"),
        ("tts", "cartesia", {"api_key": "k", "model_id": "m", "voice": VOICE, "output_format": {"container": "mp3"}},
         "tts.params.output_format.container must be one of raw"),
        ("tts", "deepgram", {"api_key": "k"}, "tts.params.model is missing"),
        ("tts", "deepgram", {"api_key": "k", "model": "m", "base_url": "x"},
         "tts.params.base_url is no URL that begins with http:// or https:// or ws:// or wss://"),
        ("tts", "microsoft", {"key": "k", "voice_name": "v"}, "tts.params.region is missing"),
        ("tts", "microsoft", {"key": "k", "voice_name": "v", "region": "evil.example/"},
         "tts.params.region is no region of Azure's, as eastus is one"),
        ("tts", "minimax", {"key": "k", "model": "m"}, "tts.params.voice_setting.voice_id is missing"),
        ("tts", "minimax", {"key": "k", "model": "m", "voice_setting": {"voice_id": "v", "speed": 9}},
         "tts.params.voice_setting.speed must be a number from 0.5 to 2"),
        ("tts", "openai", {"voice": "alloy"}, "tts.params.api_key is missing"),
        ("tts", "openai", {"api_key": "k", "voice": "alloy", "sample_rate": 16_000},
         "tts.params.sample_rate must be one of 24000"),
        ("tts", "generic_http", {}, "tts.url is missing"),
        ("asr", "deepgram", {}, "asr.params.key is missing"),
        ("asr", "deepgram", {"key": "k", "sample_rate": 8000}, "asr.params.sample_rate must be one of 16000"),
        ("asr", "microsoft", {"key": "k", "region": "eastus", "language": "auto"},
         "asr.params.language must be one of Azure's with its region, as en-US is"),
        ("asr", "openai", {"api_key": "k", "input_audio_transcription": {"mood": 1}},
         "asr.params.input_audio_transcription.mood is not known here; known are model, prompt, language"),
    ],
)  # fmt: skip
def test_what_cannot_be_called_is_refused_in_words(kind: Kind, name: str, params: Any, message: str) -> None:
    with pytest.raises(InvalidArgument) as told:
        check_vendor(kind, Vendor(name=name, params=params))
    assert str(told.value).startswith(message)


@pytest.mark.parametrize(
    ("kind", "name", "params", "url"),
    [
        ("tts", "elevenlabs", {"key": "k", "voice_id": "a/b", "model_id": "m", "base_url": "wss://api.elevenlabs.io/v1"},
         "wss://api.elevenlabs.io/v1/text-to-speech/a%2Fb/stream-input?model_id=m&output_format=pcm_24000&auto_mode=true"),
        ("tts", "cartesia", {"api_key": "k", "voice": VOICE, "model_id": "m"}, "wss://api.cartesia.ai/tts/websocket"),
        ("tts", "deepgram", {"api_key": "k", "model": "m"},
         "wss://api.deepgram.com/v1/speak?model=m&encoding=linear16&sample_rate=24000"),
        ("tts", "minimax", {"key": "k", "group_id": "g", "model": "m", "voice_setting": {"voice_id": "v"},
                            "url": "wss://api-uw.minimax.io/ws/v1/t2a_v2"},
         "wss://api-uw.minimax.io/ws/v1/t2a_v2?GroupId=g"),
        ("tts", "microsoft", {"key": "k", "region": "WestEurope", "voice_name": "v"},
         "https://westeurope.tts.speech.microsoft.com/cognitiveservices/v1"),
        ("tts", "openai", {"api_key": "k", "voice": "coral"}, "https://api.openai.com/v1/audio/speech"),
        ("tts", "openai", {"api_key": "k", "voice": "coral", "base_url": "https://x.example/openai/v1/"},
         "https://x.example/openai/v1/audio/speech"),
        ("asr", "deepgram", {"key": "k"}, "wss://api.deepgram.com/v1/listen?model=nova-3&language=de-DE&encoding="
         "linear16&sample_rate=16000&channels=1&interim_results=true&endpointing=false&punctuate=true"),
        ("asr", "microsoft", {"key": "k", "region": "eastus"},
         "wss://eastus.stt.speech.microsoft.com/speech/recognition/conversation/cognitiveservices/v1"
         "?language=de-DE&format=detailed&wordLevelTimestamps=true"),
        ("asr", "openai", {"api_key": "k"}, "https://api.openai.com/v1/audio/transcriptions"),
    ],
)  # fmt: skip
def test_where_each_is_called(kind: Kind, name: str, params: Any, url: str) -> None:
    check_vendor(kind, Vendor(name=name, params=params))
    assert (tts if kind == "tts" else stt)(name, **params).url == url


# --------------------------------------------------------------------------------------------------------- OpenAI, HTTP


async def test_openai_with_a_key_and_a_model_of_the_client() -> None:
    async with FakeTts(api_key="theirs") as fake:
        base = fake.url.removesuffix("/audio/speech")
        engine = tts("openai", api_key="theirs", voice="coral", model="tts-1", base_url=base, instructions="Gently.",
                     speed=1.5)  # fmt: skip
        assert isinstance(engine, OpenAiTts)
        assert {sound.rate for sound in await said(engine)} == {24_000}
        assert fake.requests == [
            {"model": "tts-1", "voice": "coral", "input": "Hello.", "instructions": "Gently.", "speed": 1.5,
             "response_format": "pcm"}
        ]  # fmt: skip


class Generic(HttpFake):
    """Knows OpenAI's protocol, and more: it answers with samples of the rate that is asked for, and does not say so."""

    path = "/mine/"

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[Any] = []

    async def answer(self, request: Request) -> Response:
        body = decode(request.body)
        self.bodies.append((body, request.headers.get("authorization"), request.headers.get("x-mine")))
        return Response(body=bytes(2 * (body.get("sample_rate") or 24_000)), type="application/octet-stream")


async def test_a_service_of_the_clients_own_gets_all_that_its_params_say() -> None:
    async with Generic() as fake:
        full = {"api_key": "k", "model": "m", "voice": "a", "speed": 1.2, "sample_rate": 16_000,
                "instruction": "Softly", "response_format": "pcm", "mood": {"of": "today"}}  # fmt: skip
        found = await said(tts("generic_http", fake.url, headers={"x-mine": "yes"}, **full))
        assert (len(found[0].pcm), found[0].rate) == (32_000, 16_000)
        body = {name: value for name, value in full.items() if name != "api_key"} | {"input": "Hello."}
        assert fake.bodies[0] == (body, "Bearer k", "yes")
        found = await said(tts("generic_http", fake.url))
        assert found[0].rate == 24_000
        assert fake.bodies[1] == ({"input": "Hello.", "response_format": "pcm"}, None, None)


async def test_openai_hears_with_a_prompt_and_keywords() -> None:
    async with FakeStt("good morning", api_key="k") as fake:
        base = fake.url.removesuffix("/audio/transcriptions")
        form = {"model": "gpt-4o-mini-transcribe", "prompt": "About trains.", "language": "en"}
        engine = stt("openai", ["Kit", "Ohm"], api_key="k", base_url=base, input_audio_transcription=form)
        assert isinstance(engine, HttpStt)
        hearing = engine.hear(lambda text: None)
        hearing.feed(bytes(32_000))
        assert (await hearing.finish()).text == "good morning"
        assert fake.requests == [{**form, "prompt": "About trains. Kit, Ohm", "response_format": "json"}]
        assert fake.received[0].headers["x-title"] == "mine"
        await engine.close()


@pytest.mark.parametrize("name", ["openai", "microsoft", "generic_http"])
async def test_a_url_of_a_request_leads_to_public_addresses_only(name: str) -> None:
    async with Generic() as fake:
        params = {"api_key": "k", "voice": "v"} if name == "openai" else {"key": "k", "voice_name": "v"}
        params |= {"base_url": fake.url} if name != "generic_http" else {}
        vendor = Vendor(name=name, params={} if name == "generic_http" else params, url=fake.url)
        engine = make_vendor_tts(vendor, language="en", headers={}, outward=Outward())
        with pytest.raises(ServiceError, match=r"text to speech leads to 127\.0\.0\.1, which is no public address"):
            await said(engine)
        assert fake.connections == 0


# ---------------------------------------------------------------------------------------------------------------- Azure


async def test_azure_speaks(say: Callable[[str], tuple[bytes, int]]) -> None:
    async with FakeMicrosoftTts(voice=say) as fake:
        engine = tts("microsoft", key="k", region="eastus", voice_name="en-US-AvaNeural", endpoint=fake.url,
                     speed=1.2, volume=80)  # fmt: skip
        assert isinstance(engine, MicrosoftTts)
        text = 'Is 1 < 2 & "so on"?'
        found = await said(engine, text)
        assert {sound.rate for sound in found} == {24_000} and len(found) > 5
        assert fake.texts == [text]
        assert 'xml:lang="en-US"' in fake.documents[0] and "<prosody rate='1.2' volume='80'>" in fake.documents[0]
        found = await said(tts("microsoft", key="k", voice_name="mine", endpoint=fake.url, sample_rate=16_000))
        assert {sound.rate for sound in found} == {16_000}
        assert 'xml:lang="de-DE"' in fake.documents[1] and "prosody" not in fake.documents[1]


async def test_azure_fails_as_every_service_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipwire.agents.http.WAIT", 0.0)
    async with FakeMicrosoftTts(cut_after=3) as fake:
        params: dict[str, Any] = {"voice_name": "v", "endpoint": fake.url}
        with pytest.raises(ServiceError, match=r"text to speech at 127\.0\.0\.1:\d+ answered 401"):
            await said(tts("microsoft", key="wrong", **params))
        with pytest.raises(ServiceError, match="failed: it broke off"):
            await said(tts("microsoft", key="k", **params))
        fake.cut_after, fake.fail_with = None, [429]
        assert len(b"".join([sound.pcm for sound in await said(tts("microsoft", key="k", **params))])) > 10_000
        fake.fail_with = [503, 503]
        with pytest.raises(ServiceError, match="answered 503"):
            await said(tts("microsoft", key="k", **params))


# ---------------------------------------------------------------------------------------------------------------- voice


@pytest.mark.parametrize(
    ("name", "params", "read"),
    [
        ("elevenlabs", {"key": "k", "voice_id": "a", "model_id": "m"}, lambda made: made.url.split("/")[-2]),
        ("cartesia", {"api_key": "k", "voice": VOICE, "model_id": "m"},
         lambda made: made.speech.request["voice"]["id"]),
        ("deepgram", {"api_key": "k", "model": "m"}, lambda made: made.url.partition("model=")[2].partition("&")[0]),
        ("minimax", {"key": "k", "model": "m", "voice_setting": {"voice_id": "v", "speed": 1}},
         lambda made: made.speech.start["voice_setting"]["voice_id"]),
        ("microsoft", {"key": "k", "region": "eastus", "voice_name": "v"}, lambda made: made.voice),
        ("openai", {"api_key": "k", "voice": "alloy"}, lambda made: made.voice),
    ],
)  # fmt: skip
def test_another_voice_takes_the_place_of_the_one_in_the_params(name: str, params: Any, read: Any) -> None:
    vendor = Vendor(name=name, params=params)
    assert read(make_vendor_tts(vendor, language="en", headers={}, voice="other")) == "other"
    assert read(make_vendor_tts(vendor, language="en", headers={})) != "other"


async def test_engines_are_shared() -> None:
    made = [tts("deepgram", api_key="k", model="m"), tts("cartesia", api_key="k", voice=VOICE, model_id="m")]
    assert {type(one) for one in made} == {SocketTts}
    assert {type(stt(name, key="k", region="eastus")) for name in ("microsoft",)} == {SocketStt}
    await asyncio.gather(*(one.close() for one in made))


# --------------------------------------------------------------------------------------------------------- Agora's SDK


def _of_agentkit() -> list[tuple[Kind, Any]]:
    """Every vendor of ours as AgentKit writes it, with every field that it has."""
    require(importlib.util.find_spec("agora_agent"), "agora-agents")
    kit: Any = importlib.import_module("agora_agent.agentkit.vendors")
    wss = "wss://x.example/v1"
    return [
        ("tts", kit.ElevenLabsTTS(key="k", model_id="m", voice_id="v", base_url=wss, sample_rate=16_000, style=0.1,
                                  optimize_streaming_latency=3, stability=0.5, similarity_boost=0.5,
                                  use_speaker_boost=True, skip_patterns=[1])),
        ("tts", kit.MicrosoftTTS(key="k", region="eastus", voice_name="v", sample_rate=48_000, speed=1.1, volume=70)),
        ("tts", kit.OpenAITTS(api_key="k", voice="coral", model="m", base_url="https://x.example/v1",
                              instructions="Gently.", speed=1.5)),
        ("tts", kit.CartesiaTTS(api_key="k", voice_id="v", model_id="m", base_url=wss, language="en",
                                sample_rate=44_100)),
        ("tts", kit.DeepgramTTS(api_key="k", model="m", base_url=wss, sample_rate=24_000)),
        ("tts", kit.MiniMaxTTS(key="k", group_id="g", model="m", voice_id="v", speed=1, vol=1, pitch=0, emotion="happy",
                               latex_read=False, english_normalization=True, sample_rate=16_000, language_boost="auto",
                               pronunciation_dict={"tone": ["a/b"]}, url=wss)),
        ("tts", kit.MiniMaxTTS(key="k", group_id="g", model="m", timber_weights=[{"voice_id": "v", "weight": 1}])),
        ("tts", kit.GenericTTS(url="http://x.example/speech", headers={"x-mine": "a"}, model="m", voice="v", speed=1.0,
                               api_key="k", sample_rate=16_000, response_format="pcm", instruction="Softly.")),
        ("asr", kit.DeepgramSTT(api_key="k", model="nova-3", language="en-US", keyterm="Lipwire", smart_format=True,
                                punctuation=True)),
        ("asr", kit.MicrosoftSTT(key="k", region="eastus", language="en-US",
                                 additional_params={"phrase_list": ["Lipwire"]})),
        ("asr", kit.OpenAISTT(api_key="k", model="m", language="en", prompt="Trains.")),
    ]  # fmt: skip


def test_all_that_agoras_sdk_says_of_them_is_known() -> None:
    seen = set()
    for kind, of_sdk in _of_agentkit():
        said = of_sdk.to_config()
        check_vendor(kind, Vendor(name=said["vendor"], params=said["params"], url=said.get("url", "")))
        seen.add((kind, said["vendor"]))
    assert len(seen) == 10
