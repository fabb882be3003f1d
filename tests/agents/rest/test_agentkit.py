"""Bodies that Agora's AgentKit sends are joined as they are: the quickstart of its README, keys of one's own, a
realtime model, somebody else's face."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import httpx
import pytest

from lipwire.agents.options import AvatarProvider, Realtime, Vendor
from lipwire.agents.rest import reading
from lipwire.agents.rest.wire import parse_join
from support import agentkit
from support.agent_site import Site, serve
from support.agent_stand_in import manager

JOIN = f"/api/conversational-ai-agent/v2/projects/{agentkit.APP}/join"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async for one in serve(manager(), openai_api_key="sk-ours", allowed_outward="*"):
        yield one


async def test_the_quickstart_of_the_readme(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (reading.UNKNOWN, reading.UNHEARD):
        monkeypatch.setattr(one, "_told", set())
    body = agentkit.sent(agentkit.quickstart, idle_timeout=30)
    assert "url" not in body["properties"]["llm"]  # AgentKit strips what its presets bring
    assert body["preset"] == "deepgram_nova_3,openai_gpt_4o_mini,minimax_speech_2_6_turbo"
    with caplog.at_level(logging.WARNING, "lipwire.agents"):
        code, joined = await site.post(JOIN, body)
    assert (code, joined["status"]) == (200, "RUNNING")
    (told,) = [record.message for record in caplog.records if "no field" in record.message]
    assert told.startswith("join, where the server's own ears and voice stand in: properties.tts.params.voice_setting ")
    config = site.agent(joined["agent_id"]).config
    assert (config.uid, config.remote_uids, config.language) == ("123456", [], "en-US")
    assert (config.llm.url, config.llm.api_key) == ("https://api.openai.com/v1/chat/completions", "sk-ours")
    assert config.llm.params == {"max_tokens": 1024, "temperature": 0.7, "top_p": 0.95}
    assert (config.llm.max_history, config.llm.failure_message) == (50, "Please wait a moment.")
    assert (config.asr, config.tts, config.token) == (None, None, body["properties"]["token"])


async def test_keys_of_ones_own(site: Site) -> None:
    body = agentkit.sent(agentkit.own_keys)
    config = parse_join(body, "v2")
    assert config.asr == Vendor(name="deepgram", params=body["properties"]["asr"]["params"])
    assert config.asr.params == {"key": "dg", "model": "nova-2", "language": "en", "keyterm": "Lipwire"}
    assert config.tts == Vendor(name="elevenlabs", params=body["properties"]["tts"]["params"])
    assert (config.tts.params["base_url"], config.tts.params["sample_rate"]) == ("wss://api.elevenlabs.io/v1", 24_000)
    assert (config.voice, config.skip_patterns) == ("", [3, 4])
    assert (config.llm.url, config.llm.api_key) == ("https://api.openai.com/v1/chat/completions", "sk-1")
    assert (config.llm.model, config.llm.params) == ("gpt-4.1", {"max_tokens": 100})
    assert config.instructions == "You are a helpful voice assistant."
    assert config.llm.max_history == 32
    code, joined = await site.post(JOIN, body)
    assert (code, joined["status"]) == (200, "RUNNING"), joined


async def test_a_realtime_model(site: Site) -> None:
    body = agentkit.sent(agentkit.realtime)
    config = parse_join(body, "v2")
    assert config.brain == "realtime"
    assert config.realtime == Realtime(
        url="wss://api.openai.com/v1/realtime",
        api_key="sk-1",
        model="gpt-realtime",
        params={"input_audio_transcription": {"model": "whisper-1", "language": "en"}},
        turn_detection={"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 500},
    )
    assert (config.voice, config.instructions, config.llm.greeting_message) == ("marin", "Be brief.", "Hello.")
    code, joined = await site.post(JOIN, body)
    assert (code, joined["status"]) == (200, "RUNNING"), joined


async def test_somebody_elses_face() -> None:
    body = agentkit.sent(agentkit.somebody_elses_face)
    params = body["properties"]["avatar"]["params"]
    config = parse_join(body, "v2")
    assert config.avatar is None
    assert config.provider == AvatarProvider(
        api_base_url="https://avatars.example.org/api",
        api_key="av",
        avatar_id="june",
        agora_uid="777",
        agora_token=params["agora_token"],
        params={"agora_appid": agentkit.APP, "agora_channel": "demo-channel-1", "scene": "desk"},
    )
    ours = parse_join(body, "v2", lambda url: url == "https://avatars.example.org/api")
    assert (ours.avatar, ours.provider) == ("june", None)


def test_what_its_builder_says_is_read() -> None:
    """Everything that a session of AgentKit can be told at once."""

    def make(client: object) -> object:
        return (
            agentkit.own_keys(client)
            .with_labels({"customer": "7"})
            .with_interruption({"enable": True, "mode": "keywords", "keywords_config": {"trigger_keywords": ["stop"]}})
            .with_filler_words(
                {
                    "enable": True,
                    "trigger": {"mode": "fixed_time", "fixed_time_config": {"response_wait_ms": 900}},
                    "content": {
                        "mode": "static",
                        "static_config": {"phrases": ["hm", "well"], "selection_rule": "round_robin"},
                    },
                }
            )
            .with_parameters(
                {
                    "silence_config": {"timeout_ms": 9000, "action": "think", "content": "Ask whether they are there."},
                    "farewell_config": {"graceful_enabled": True, "graceful_timeout_seconds": 12},
                    "enable_metrics": True,
                    "enable_error_message": False,
                }
            )
            .with_advanced_features({"enable_rtm": True})
            .with_geofence({"area": "EUROPE"})
            .with_turn_detection(
                {
                    "mode": "default",
                    "config": {
                        "speech_threshold": 0.6,
                        "start_of_speech": {
                            "mode": "vad",
                            "vad_config": {"interrupt_duration_ms": 200, "speaking_interrupt_duration_ms": 320},
                        },
                        "end_of_speech": {"mode": "semantic", "semantic_config": {"max_wait_ms": -1}},
                    },
                }
            )
        )

    body = agentkit.sent(make)
    assert body["properties"]["parameters"]["data_channel"] == "rtm"
    config = parse_join(body, "v2")
    assert config.labels == {"customer": "7"}
    assert (config.interruption.mode, config.interruption.keywords) == ("keywords", ["stop"])
    assert config.filler is not None and config.silence is not None
    assert (config.filler.wait_ms, config.filler.phrases, config.filler.order) == (900, ["hm", "well"], "round_robin")
    assert (config.silence.timeout_ms, config.silence.action) == (9000, "think")
    assert (config.farewell_seconds, config.metrics, config.error_messages) == (12, True, False)
    turns = config.turn_detection
    assert (turns.threshold, turns.interrupt_duration_ms, turns.speaking_interrupt_duration_ms) == (0.6, 200, 320)
    assert (turns.end_of_speech, turns.max_wait_ms) == ("semantic", -1)


async def test_previews_are_posted_to_agora_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is why docs/agents/rest.md says to leave them out."""
    monkeypatch.setenv("AGORA_AGENTS_API_BASE_URL", "http://127.0.0.1:8764")
    asked: list[str] = []
    agentkit.sent(agentkit.quickstart, asked)
    agentkit.sent(agentkit.preview, asked)
    assert [httpx.URL(url).host for url in asked] == ["127.0.0.1", "partner.ai.agora.io"]
