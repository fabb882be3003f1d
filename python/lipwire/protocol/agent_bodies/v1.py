"""Bodies of REST v1 (reference 002)."""

from __future__ import annotations

from msgspec import Struct, field

from .avatar import AvatarSpec, Film
from .fields import (
    Channel,
    Codec,
    Flag,
    History,
    Inputs,
    Language,
    Name,
    Object,
    Outputs,
    PaddingMs,
    Scenario,
    Seconds,
    Short,
    SilenceMs,
    Text,
    Token,
    UidNumber,
    Unit,
    Url,
)


class Vad(Struct, kw_only=True):
    """When a user's turn begins and ends."""

    interrupt_threshold: Unit = 0.8
    prefix_padding_ms: PaddingMs = 300
    silence_duration_ms: SilenceMs = None
    threshold: Unit = 0.3


class Asr(Struct, kw_only=True):
    """Speech to text."""

    language: Language = "en-US"


class Tts(Struct, kw_only=True):
    """Text to speech."""

    voice_id: Name = ""
    """By default the voice of the face; without one, "en-US-AndrewMultilingualNeural"."""


class CustomLlm(Struct, kw_only=True):
    """v1: the chat completions service."""

    url: Url
    token: Token = ""
    prompt: Text = ""
    model: Short = ""
    max_history: History = 10
    greeting: Text = ""
    failure_message: Text = ""
    extra_metadata: Object = field(default_factory=dict)
    metadata_enabled: Flag = False


class PropertiesV1(Struct, kw_only=True):
    """v1 (reference 002). `avatar` and `record` are additions of ours."""

    token: Token = ""
    channel: Channel
    agent_rtc_uid: UidNumber
    remote_rtc_uid: UidNumber
    rtc_codec: Codec = -1
    audio_scenario: Scenario = 9
    input_modalities: Inputs = field(default_factory=lambda: ["text"])
    output_modalities: Outputs = field(default_factory=lambda: ["text"])
    idle_timeout: Seconds = 30.0
    asr: Asr = field(default_factory=Asr)
    tts: Tts = field(default_factory=Tts)
    custom_llm: CustomLlm
    vad: Vad = field(default_factory=Vad)
    avatar: AvatarSpec = field(default_factory=lambda: AvatarSpec(enable=False))
    record: Film = field(default_factory=Film)


class JoinV1(Struct, kw_only=True):
    """Body of POST /v1/projects/{appid}/join."""

    name: Name
    properties: PropertiesV1
