"""Join bodies as AgentKit, the upper layer of Agora's SDK (PyPI agora-agents), really sends them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import httpx

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its models are older than the pydantic that they ask for
    import agora_agent as sdk
    from agora_agent.agentkit.preview.gemini_tts import GeminiTTS
    from agora_agent.types.mllm_turn_detection import MllmTurnDetection
    from agora_agent.types.mllm_turn_detection_server_vad_config import MllmTurnDetectionServerVadConfig

APP, CERTIFICATE = "0123456789abcdef" * 2, "fedcba9876543210" * 2


def sent(make: Callable[[Any], Any], urls: list[str] | None = None, **session: Any) -> dict[str, Any]:
    """What `start` of a session sends.

    Args:
        make: an agent of a client.
        urls: where that goes is added to it.
        session: more of the session.
    """
    bodies: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        if urls is not None:
            urls.append(str(request.url))
        return httpx.Response(200, json={"agent_id": "a", "create_ts": 1, "status": "RUNNING"})

    client = sdk.Agora(
        area=sdk.Area.US,
        app_id=APP,
        app_certificate=CERTIFICATE,
        httpx_client=httpx.Client(transport=httpx.MockTransport(answer)),
    )
    options = {"channel": "demo-channel-1", "agent_uid": "123456", "remote_uids": ["*"], "name": "conversation-1"}
    assert make(client).create_session(**(options | session)).start() == "a"
    (body,) = bodies
    return body


def quickstart(client: Any) -> Any:
    """That of the SDK's README: keys of nobody's."""
    return (
        sdk.Agent(client=client, turn_detection={"language": "en-US"})
        .with_stt(sdk.DeepgramSTT(model="nova-3", language="en"))
        .with_llm(
            sdk.OpenAI(
                model="gpt-4o-mini",
                system_messages=[{"role": "system", "content": "You are a concise voice assistant."}],
                greeting_message="Hi there! How can I help?",
                failure_message="Please wait a moment.",
                max_history=50,
                params={"max_tokens": 1024, "temperature": 0.7, "top_p": 0.95},
            )
        )
        .with_tts(sdk.MiniMaxTTS(model="speech_2_6_turbo", voice_id="English_captivating_female1"))
    )


def preview(client: Any) -> Any:
    """The quickstart with a voice that is a preview of the SDK's."""
    return quickstart(client).with_tts(GeminiTTS(api_key="g"))


def own_keys(client: Any) -> Any:
    """OpenAI, ElevenLabs and Deepgram with keys of one's own."""
    return (
        sdk.Agent(client=client, instructions="You are a helpful voice assistant.")
        .with_stt(sdk.DeepgramSTT(api_key="dg", model="nova-2", language="en", keyterm="Lipwire"))
        .with_llm(
            sdk.OpenAI(
                api_key="sk-1", base_url="https://api.openai.com/v1/chat/completions", model="gpt-4.1", max_tokens=100
            )
        )
        .with_tts(
            sdk.ElevenLabsTTS(
                key="el",
                model_id="eleven_flash_v2_5",
                voice_id="21m00Tcm4TlvDq8ikWAM",
                base_url="wss://api.elevenlabs.io/v1",
                sample_rate=24_000,
                skip_patterns=[3, 4],
            )
        )
    )


def realtime(client: Any) -> Any:
    """OpenAI Realtime."""
    return sdk.Agent(client=client).with_mllm(
        sdk.OpenAIRealtime(
            api_key="sk-1",
            model="gpt-realtime",
            voice="marin",
            instructions="Be brief.",
            greeting_message="Hello.",
            input_audio_transcription={"model": "whisper-1", "language": "en"},
            turn_detection=MllmTurnDetection(
                mode="server_vad",
                server_vad_config=MllmTurnDetectionServerVadConfig(threshold=0.4, silence_duration_ms=500),
            ),
        )
    )


def somebody_elses_face(client: Any) -> Any:
    """The quickstart with a generic avatar."""
    return quickstart(client).with_avatar(
        sdk.GenericAvatar(
            api_key="av",
            api_base_url="https://avatars.example.org/api",
            avatar_id="june",
            agora_uid="777",
            additional_params={"scene": "desk"},
        )
    )
