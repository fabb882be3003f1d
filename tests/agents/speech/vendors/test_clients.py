"""What is sent to each vendor, beside what its own client sends to the same server: cartesia 4.2, deepgram-sdk 7.17,
elevenlabs 2.78 and openai from PyPI, Azure's SDK from npm. MiniMax has no client of its own there: its fake is by its
documentation."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import openai
import pytest

from lipwire.agents.options import Vendor
from lipwire.agents.speech.vendors.choose import make_vendor_stt, make_vendor_tts
from support import npm
from support.fakes import FakeTts
from support.fakes.sockets import Handshake, SocketFake
from support.fakes.vendors import FakeCartesia, FakeDeepgramEars, FakeDeepgramSpeech, FakeElevenLabs, FakeMicrosoftEars
from support.fakes.vendors import spoken as words
from support.machine import require

TEXT = "I would like to go."


def client_of(name: str) -> Any:
    """A vendor's client."""
    require(importlib.util.find_spec(name), name)
    return importlib.import_module(name)


async def speak(fake: SocketFake, name: str, **params: Any) -> bytes:
    tts = make_vendor_tts(Vendor(name=name, params={"base_url": fake.url, **params}), language="en", headers={})
    pcm = b"".join([sound.pcm async for sound in tts.speak(TEXT)])
    await tts.close()
    return pcm


async def hear(fake: SocketFake, name: str, pcm: bytes, keywords: list[str], **params: Any) -> str:
    vendor = Vendor(name=name, params={"key": "k", **params}, keywords=keywords)
    stt = make_vendor_stt(vendor, language="en-US", headers={})
    hearing = stt.hear(lambda text: None)
    hearing.feed(pcm)
    text = (await hearing.finish()).text
    await stt.close()
    return text


def same(ours: Handshake, theirs: Handshake, *headers: str) -> None:
    """The same place, by the same credentials; the names in our query are among theirs."""
    assert ours.path == theirs.path
    assert {name: ours.headers[name] for name in headers} == {name: theirs.headers[name] for name in headers}
    more = set(ours.query) - set(theirs.query)
    assert not more, f"their client does not send {more}"


async def test_cartesia() -> None:
    cartesia = client_of("cartesia")
    async with FakeCartesia() as fake:
        voice = {"mode": "id", "id": "v"}
        pcm = await speak(fake, "cartesia", api_key="k", model_id="sonic-2", language="en", voice=voice)
        client = cartesia.AsyncCartesia(api_key="k", websocket_base_url=fake.url)
        async with client.tts.websocket_connect() as connection:
            context = connection.context("theirs")
            await context.send(
                model_id="sonic-2",
                transcript=TEXT,
                voice=voice,
                output_format={"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000},
                language="en",
                add_timestamps=True,
                continue_=False,
            )
            heard = [event async for event in context.receive()]
        await client.close()
        assert b"".join(event.audio or b"" for event in heard if event.type == "chunk") == pcm
        same(fake.handshakes[0], fake.handshakes[-1], "authorization", "cartesia-version")
        ours, theirs = fake.messages
        assert {**ours, "context_id": "theirs"} == theirs


async def test_deepgram_speaks() -> None:
    deepgram = client_of("deepgram")
    async with FakeDeepgramSpeech() as fake:
        pcm = await speak(fake, "deepgram", api_key="k", model="aura-2-thalia-en")
        client = deepgram.AsyncDeepgramClient(api_key="k", environment=_environment(fake))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it uses websockets.legacy
            options = {"model": "aura-2-thalia-en", "encoding": "linear16", "sample_rate": 24_000}
            async with client.speak.v1.connect(**options) as connection:
                from deepgram.speak.v1.types import SpeakV1Text

                await connection.send_text(SpeakV1Text(text=TEXT, type="Speak"))
                await connection.send_flush()
                heard = b""
                async for message in connection:
                    heard += message if isinstance(message, bytes) else b""
                    if getattr(message, "type", "") == "Flushed":
                        break
        assert heard == pcm
        same(fake.handshakes[0], fake.handshakes[-1], "authorization")
        assert fake.messages[:2] == fake.messages[2:4]


async def test_deepgram_hears() -> None:
    deepgram = client_of("deepgram")
    async with FakeDeepgramEars() as fake:
        pcm = words("alpha", "bravo")
        text = await hear(fake, "deepgram", pcm, ["Kit", "Ohm"], url=fake.url, smart_format=True)
        client = deepgram.AsyncDeepgramClient(api_key="k", environment=_environment(fake))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            async with client.listen.v1.connect(
                model="nova-3",
                language="en-US",
                encoding="linear16",
                sample_rate=16_000,
                channels=1,
                interim_results=True,
                endpointing=False,
                punctuate=True,
                smart_format=True,
                keyterm=["Kit", "Ohm"],
            ) as connection:
                await connection.send_media(pcm)
                await connection.send_finalize()
                async for message in connection:
                    if message.type == "Results" and message.from_finalize:
                        assert message.channel.alternatives[0].transcript == text
                        break
        same(fake.handshakes[0], fake.handshakes[-1], "authorization")
        assert fake.messages[0] == fake.messages[1] == {"type": "Finalize"}


def _environment(fake: SocketFake) -> Any:
    from deepgram.environment import DeepgramClientEnvironment

    http = fake.url.replace("ws", "http", 1)
    return DeepgramClientEnvironment(base=http, production=fake.url, agent=fake.url, agent_rest=http)


async def test_elevenlabs() -> None:
    elevenlabs = client_of("elevenlabs")
    async with FakeElevenLabs() as fake:
        pcm = await speak(fake, "elevenlabs", key="k", voice_id="rachel", model_id="eleven_flash_v2_5", stability=0.5)
        client = elevenlabs.ElevenLabs(api_key="k")
        client.text_to_speech._ws_base_url = fake.url  # it has no way to say one without TLS

        def theirs() -> bytes:
            settings = elevenlabs.VoiceSettings(stability=0.5)
            options = {"model_id": "eleven_flash_v2_5", "output_format": "pcm_24000", "voice_settings": settings}
            return b"".join(client.text_to_speech.convert_realtime("rachel", text=iter([TEXT]), **options))

        assert await asyncio.to_thread(theirs) == pcm
        ours, theirs_ = fake.handshakes[0], fake.handshakes[-1]
        ours.query.remove(("auto_mode", "true"))  # for texts that come whole, which theirs do not
        same(ours, theirs_, "xi-api-key")
        assert [message["text"] for message in fake.messages] == [" ", f"{TEXT} ", ""] * 2
        assert fake.messages[0]["voice_settings"].items() <= fake.messages[3]["voice_settings"].items()


async def test_openai() -> None:
    async with FakeTts(api_key="k") as fake:
        base = fake.url.removesuffix("/audio/speech")
        tts = make_vendor_tts(
            Vendor(
                name="openai", params={"api_key": "k", "voice": "coral", "base_url": base, "instructions": "Gently."}
            ),
            language="en",
            headers={},
        )
        pcm = b"".join([sound.pcm async for sound in tts.speak(TEXT)])
        await tts.close()
        async with openai.AsyncOpenAI(api_key="k", base_url=base) as client:
            asked = client.audio.speech.with_streaming_response.create(
                model="gpt-4o-mini-tts", voice="coral", input=TEXT, instructions="Gently.", response_format="pcm"
            )
            async with asked as answer:
                assert await answer.read() == pcm
        ours, theirs = fake.received
        assert (ours.method, ours.path) == (theirs.method, theirs.path)
        assert json.loads(ours.body) == json.loads(theirs.body)


AZURE = """
const sdk = require("microsoft-cognitiveservices-speech-sdk");
const pcm = require("fs").readFileSync(process.argv[3]);
const config = sdk.SpeechConfig.fromEndpoint(new URL(process.argv[2]), "k");
config.speechRecognitionLanguage = "en-US";
config.outputFormat = sdk.OutputFormat.Detailed;
config.requestWordLevelTimestamps();
const stream = sdk.AudioInputStream.createPushStream(sdk.AudioStreamFormat.getWaveFormatPCM(16000, 16, 1));
const recognizer = new sdk.SpeechRecognizer(config, sdk.AudioConfig.fromStreamInput(stream));
sdk.PhraseListGrammar.fromRecognizer(recognizer).addPhrases(["Kit", "Ohm"]);
recognizer.recognized = (_, event) => { if (event.result.text) console.log(event.result.text); };
recognizer.sessionStopped = () => process.exit(0);
recognizer.canceled = (_, event) => { if (event.errorDetails) { console.error(event.errorDetails); process.exit(1); } };
recognizer.startContinuousRecognitionAsync();
stream.write(pcm.buffer.slice(pcm.byteOffset, pcm.byteOffset + pcm.length));
stream.close();
setTimeout(() => process.exit(2), 30000);
"""


async def test_azure_hears(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await asyncio.to_thread(npm.fetch, Path(folder), "microsoft-cognitiveservices-speech-sdk@1.52.0")
        (Path(folder) / "hear.js").write_text(AZURE)
        pcm = words("alpha", "bravo")
        (tmp_path / "alpha.pcm").write_bytes(pcm)
        async with FakeMicrosoftEars() as fake:
            text = await hear(fake, "microsoft", pcm, ["Kit", "Ohm"], endpoint=fake.url)
            command = ["node", "hear.js", fake.url + fake.path, str(tmp_path / "alpha.pcm")]
            done = await asyncio.to_thread(
                subprocess.run, command, cwd=folder, capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip() == text == "Alpha bravo."
            ours, theirs = fake.handshakes[0], fake.handshakes[-1]
            same(ours, theirs, "ocp-apim-subscription-key")
            assert "x-connectionid" in theirs.headers
            mine, sdk = (request["context"] for request in (fake.requests[0], fake.requests[-1]))
            assert sdk.pop("phraseDetection").items() >= mine.pop("phraseDetection").items()
            assert mine == sdk
            assert fake.requests[-1]["seconds"] == pytest.approx(fake.requests[0]["seconds"])
            order = ["speech.config", "speech.context", "audio"]
            assert [path for path in fake.paths if path in order] == order * 2
