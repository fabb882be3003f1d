"""Which services hear and speak, and what they are told."""

from __future__ import annotations

from importlib.util import find_spec

from lipwire.agents.brains.base import Services
from lipwire.agents.brains.speech_services import make_stt, make_tts
from lipwire.agents.config import AgentConfig
from lipwire.agents.options import Vendor
from lipwire.agents.speech.offline_stt import OfflineStt
from lipwire.agents.speech.stt import HttpStt
from lipwire.agents.speech.tts import OfflineTts
from lipwire.agents.speech.vendors.openai import OpenAiTts
from lipwire.agents.speech.vendors.socket_stt import SocketStt
from lipwire.agents.speech.vendors.socket_tts import SocketTts
from lipwire.audio import espeak as voice
from support.machine import require

OURS = Services(
    stt_url="http://127.0.0.1:1/v1/audio/transcriptions",
    tts_url="http://127.0.0.1:1/v1/audio/speech",
    tts_headers={"X-A": "1", "X-B": "2"},
)


async def test_headers_go_where_they_belong() -> None:
    config = AgentConfig(name="a", channel="c", tts_headers={"X-A": "mine"})
    tts, stt = make_tts(config, OURS), make_stt(config, OURS)
    assert isinstance(tts, OpenAiTts) and isinstance(stt, HttpStt)
    assert (tts.headers, stt.headers) == ({"X-A": "mine", "X-B": "2"}, {})
    await tts.close()
    await stt.close()


async def test_a_clients_vendor_goes_before_the_servers_service_and_a_voice_of_this_machine_before_both() -> None:
    require(voice.available(), "espeak-ng")
    eleven = Vendor(name="elevenlabs", params={"key": "k", "voice_id": "v", "model_id": "m"})
    config = AgentConfig(name="a", channel="c", asr=Vendor(name="deepgram", params={"api_key": "k"}), tts=eleven)
    stt, tts = make_stt(config, OURS), make_tts(config, OURS)
    config.voice = "espeak:en-us"
    here = make_tts(config, OURS)
    assert isinstance(stt, SocketStt) and isinstance(tts, SocketTts) and isinstance(here, OfflineTts)
    for one in (stt, tts, here):
        await one.close()


async def test_without_a_service_this_machine_hears_and_speaks() -> None:
    require(find_spec("pocketsphinx") and voice.available(), "pocketsphinx and espeak-ng")
    config = AgentConfig(name="a", channel="c", voice="espeak:en-us")
    stt, tts = make_stt(config, Services()), make_tts(config, Services())
    assert isinstance(stt, OfflineStt) and isinstance(tts, OfflineTts)
    await stt.close()
    await tts.close()
