"""v2: what an agent says by itself, and how it is joined to its channel."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from ..fields import Flag, Object, Short, Strings, Text, Token

Phrase = Annotated[str, Meta(min_length=1, max_length=1024)]


class FixedTime(Struct, kw_only=True):
    """After how long something is said."""

    response_wait_ms: Annotated[int, Meta(ge=100, le=10_000, description="an integer 100..10000")] = 1500


class FillerTrigger(Struct, kw_only=True):
    """When something is said."""

    mode: Annotated[Literal["fixed_time"], Meta(description='"fixed_time"')] = "fixed_time"
    fixed_time_config: FixedTime = field(default_factory=FixedTime)


class FillerPhrases(Struct, kw_only=True):
    """What is said."""

    phrases: Annotated[
        list[Phrase], Meta(min_length=1, max_length=100, description="1 to 100 strings of 1 to 1024 characters")
    ] = field(default_factory=list)
    selection_rule: Annotated[Literal["shuffle", "round_robin"], Meta(description='"shuffle" or "round_robin"')] = (
        "shuffle"
    )


class FillerModel(Struct, kw_only=True):
    """Another chat service, which would make them up."""

    url: Text = ""
    api_key: Token = ""
    params: Object = field(default_factory=dict)


class FillerMade(Struct, kw_only=True):
    """What would be made up."""

    llm_provider: FillerModel = field(default_factory=FillerModel)
    prompt: Text = ""
    fallback_strategy: Annotated[Literal["static"], Meta(description='"static"')] = "static"
    context_message_limit: Annotated[int, Meta(ge=0, description="an integer >= 0")] = 0
    history_character_limit: Annotated[int, Meta(ge=0, description="an integer >= 0")] = 0


class FillerContent(Struct, kw_only=True):
    """Where it comes from."""

    mode: Annotated[Literal["static", "generated"], Meta(description='"static"')] = "static"
    static_config: FillerPhrases = field(default_factory=FillerPhrases)
    generated_config: FillerMade = field(default_factory=FillerMade)


class FillerWords(Struct, kw_only=True):
    """What is said while the model is waited for."""

    enable: Flag = True
    trigger: FillerTrigger = field(default_factory=FillerTrigger)
    content: FillerContent = field(default_factory=FillerContent)


class SilenceConfig(Struct, kw_only=True):
    """What is done when nobody has said anything for a while."""

    timeout_ms: Annotated[int, Meta(ge=0, le=60_000, description="an integer 0..60000 (0 = never)")] = 0
    action: Annotated[Literal["speak", "think"], Meta(description='"speak" or "think"')] = "speak"
    content: Text = ""


class FarewellConfig(Struct, kw_only=True):
    """Whether leaving waits until the agent is idle."""

    graceful_enabled: Flag = False
    graceful_timeout_seconds: Annotated[float, Meta(ge=0, le=120, description="a number 0..120")] = 30


class ParametersSpec(Struct, kw_only=True):
    """More of a session."""

    silence_config: SilenceConfig = field(default_factory=SilenceConfig)
    farewell_config: FarewellConfig = field(default_factory=FarewellConfig)
    data_channel: Annotated[Literal["datastream", "rtm"], Meta(description='"datastream" or "rtm"')] = "datastream"
    enable_metrics: Flag = True
    enable_error_message: Flag = True
    audio_scenario: Short = "default"
    opt_out: Flag = False


class Geofence(Struct, kw_only=True):
    """In which of the service's regions an agent may run."""

    area: Short = "GLOBAL"
    exclude_area: Short = ""


class Rtc(Struct, kw_only=True):
    """Media encryption of an Agora channel."""

    encryption_key: Token = ""
    encryption_mode: Annotated[
        Annotated[int, Meta(ge=1, le=8)] | None, Meta(description="an integer 1..8, with encryption_key")
    ] = None
    encryption_salt: Annotated[str, Meta(max_length=64, description="base64 of 32 bytes")] = ""


class AdvancedFeatures(Struct, kw_only=True):
    """Switches of the service."""

    enable_rtm: Flag = False
    enable_sal: Flag = False
    enable_tools: Flag = False
    enable_mllm: Flag = False


class Sal(Struct, kw_only=True):
    """Telling speakers apart by their voices."""

    sal_mode: Annotated[Literal["locking", "recognition"], Meta(description='"locking" or "recognition"')] = "locking"
    sample_urls: Strings = field(default_factory=dict)
