"""v2: `llm`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from ..fields import Flag, Headers, History, Inputs, Messages, Object, Outputs, Params, Short, Strings, Text, Token, Url
from .tools import McpServers, Tools


class GreetingConfigs(Struct, kw_only=True):
    """How `greeting_message` is said."""

    mode: Annotated[Literal["single_every", "single_first"], Meta(description='"single_every" or "single_first"')] = (
        "single_every"
    )
    delay_ms: Annotated[int, Meta(ge=0, le=5000, description="an integer 0..5000")] = 0
    interruptable: Flag = True
    audio_download_timeout_ms: Annotated[int, Meta(ge=200, le=10_000, description="an integer 200..10000")] = 1000
    audio_pcm_sample_rate: Annotated[int, Meta(ge=8000, le=96_000, description="an integer 8000..96000")] = 16_000
    uninterruptible_asr_policy: Annotated[
        Literal["merge_reply", "context"], Meta(description='"merge_reply" or "context"')
    ] = "merge_reply"


class LlmV2(Struct, kw_only=True):
    """The chat service; without `url` the server's own. `params.model` is the model."""

    url: Url = ""
    api_key: Token = ""
    headers: Headers = field(default_factory=dict)
    system_messages: Messages = field(default_factory=list)
    params: Params = field(default_factory=dict)
    max_history: History = 32
    input_modalities: Inputs = field(default_factory=lambda: ["text"])
    output_modalities: Outputs = field(default_factory=lambda: ["text"])
    greeting_message: Text = ""
    greeting_audio_url: Url = ""
    greeting_configs: GreetingConfigs = field(default_factory=GreetingConfigs)
    failure_message: Text = ""
    extra_metadata: Object = field(default_factory=dict)
    metadata_enabled: Flag = False
    style: Annotated[
        Literal["openai", "anthropic", "gemini", "dify", "bedrock"],
        Meta(description='"openai", "anthropic", "gemini" or "dify"'),
    ] = "openai"
    vendor: Short = ""
    model: Short = ""
    access_key: Token = ""
    secret_key: Token = ""
    region: Short = ""
    ignore_empty: Flag = False
    template_variables: Strings = field(default_factory=dict)
    tools: Tools = field(default_factory=list)
    mcp_servers: McpServers = field(default_factory=list)
