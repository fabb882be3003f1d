"""v2: `mllm`, a realtime model."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from ..fields import Flag, History, InterruptMs, Messages, Object, Open, PaddingMs, Short, SocketUrl, Text, Token, Unit
from .tools import McpServers, Tools
from .turns import EndMs

Heard = Annotated[
    list[Literal["audio", "text", "image"]], Meta(description='a list with "audio", and maybe "text" and "image"')
]
Spoken = Annotated[list[Literal["audio", "text"]], Meta(description='["audio"] or ["text","audio"]')]
Sensitivity = Short


class MllmParams(Open, kw_only=True):
    """More of the session, as the vendor has it."""

    model: Short = ""
    voice: Short = ""
    instructions: Text = ""
    input_audio_transcription: Object = field(default_factory=dict)
    affective_dialog: Flag = False
    proactive_audio: Flag = False
    transcribe_agent: Flag = True
    transcribe_user: Flag = True
    http_options: Object = field(default_factory=dict)
    language: Short = ""
    sample_rate: Annotated[int, Meta(ge=0, description="an integer")] = 0


class OwnVad(Struct, kw_only=True):
    """Turns as the agent itself tells them."""

    interrupt_duration_ms: InterruptMs = None
    prefix_padding_ms: PaddingMs = 300
    silence_duration_ms: EndMs = 500
    threshold: Unit = 0.3


class ServerVad(Struct, kw_only=True):
    """Turns as the model's service tells them by the sound."""

    prefix_padding_ms: PaddingMs = 300
    silence_duration_ms: Annotated[int, Meta(ge=0, le=10_000, description="an integer 0..10000")] = 500
    threshold: Unit = 0.5
    idle_timeout_ms: Annotated[
        Annotated[int, Meta(ge=5000, le=30_000)] | None, Meta(description="an integer 5000..30000; null = never")
    ] = None
    start_of_speech_sensitivity: Sensitivity = ""
    end_of_speech_sensitivity: Sensitivity = ""


class SemanticVad(Struct, kw_only=True):
    """Turns as the model's service tells them by what is said."""

    eagerness: Annotated[
        Literal["auto", "low", "medium", "high"], Meta(description='"auto", "low", "medium" or "high"')
    ] = "auto"


class MllmTurns(Struct, kw_only=True):
    """When a user's turn begins and ends; goes before the top-level `turn_detection`."""

    mode: Annotated[
        Literal["agora_vad", "server_vad", "semantic_vad"],
        Meta(description='"agora_vad", "server_vad" or "semantic_vad"'),
    ] = "agora_vad"
    agora_vad_config: OwnVad = field(default_factory=OwnVad)
    server_vad_config: ServerVad = field(default_factory=ServerVad)
    semantic_vad_config: SemanticVad = field(default_factory=SemanticVad)


class MllmSpec(Struct, kw_only=True):
    """A realtime model in place of `asr`, `llm` and `tts`. Without `url` it is the server's own."""

    enable: Flag = True
    vendor: Short = "openai"
    url: SocketUrl = ""
    api_key: Token = ""
    params: MllmParams = field(default_factory=MllmParams)
    messages: Messages = field(default_factory=list)
    max_history: History = 32
    input_modalities: Heard = field(default_factory=lambda: ["audio"])
    output_modalities: Spoken = field(default_factory=lambda: ["text", "audio"])
    greeting_message: Text = ""
    failure_message: Text = ""
    tools: Tools = field(default_factory=list)
    mcp_servers: McpServers = field(default_factory=list)
    turn_detection: MllmTurns = field(default_factory=MllmTurns)
    adc_credentials_string: Token = ""
    project_id: Short = ""
    location: Short = ""
