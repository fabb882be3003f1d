"""v2: the body of join as a whole, and that of speak."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from ..avatar import AvatarSpec, Film
from ..fields import (
    Channel,
    Codec,
    Flag,
    Name,
    Open,
    Scenario,
    Seconds,
    Short,
    Strings,
    Text,
    Token,
    UidText,
    UidTexts,
    Url,
)
from .llm import LlmV2
from .mllm import MllmSpec
from .session import AdvancedFeatures, FillerWords, Geofence, ParametersSpec, Rtc, Sal
from .speech import AsrV2, TtsV2
from .turns import InterruptionSpec, TurnsV2

MAX_SPEAK_BYTES = 512


class PropertiesV2(Struct, kw_only=True):
    """v2: today's names."""

    token: Token = ""
    channel: Channel
    agent_rtc_uid: UidText
    remote_rtc_uids: UidTexts
    enable_string_uid: Flag = False
    rtc_codec: Codec = -1
    audio_scenario: Scenario = 9
    idle_timeout: Seconds = 30.0
    asr: AsrV2 = field(default_factory=AsrV2)
    tts: TtsV2 = field(default_factory=TtsV2)
    llm: LlmV2 = field(default_factory=LlmV2)
    mllm: MllmSpec = field(default_factory=lambda: MllmSpec(enable=False))
    turn_detection: TurnsV2 = field(default_factory=TurnsV2)
    interruption: InterruptionSpec = field(default_factory=InterruptionSpec)
    avatar: AvatarSpec = field(default_factory=lambda: AvatarSpec(enable=False))
    filler_words: FillerWords = field(default_factory=lambda: FillerWords(enable=False))
    parameters: ParametersSpec = field(default_factory=ParametersSpec)
    labels: Strings = field(default_factory=dict)
    rtc: Rtc = field(default_factory=Rtc)
    advanced_features: AdvancedFeatures = field(default_factory=AdvancedFeatures)
    sal: Sal = field(default_factory=Sal)
    geofence: Geofence = field(default_factory=Geofence)
    record: Film = field(default_factory=Film)


class JoinV2(Struct, kw_only=True):
    """Body of POST /v2/projects/{appid}/join."""

    name: Name
    preset: Text = ""
    """Names of services that the service itself would bring, with commas between: the server's own are used."""
    pipeline_id: Short = ""
    """Of a configuration that lies with the service: the server's own is used."""
    properties: PropertiesV2


class ProviderParams(Open, kw_only=True):
    """`avatar.params` of vendor "generic" where somebody else draws the face."""

    api_base_url: Url
    api_key: Token = ""
    avatar_id: Short = ""
    agora_uid: UidText = ""
    agora_token: Token = ""
    agora_appid: Short = ""
    agora_channel: Short = ""


class Speak(Struct, kw_only=True):
    """Body of POST /v2/.../agents/{id}/speak."""

    text: Annotated[str, Meta(min_length=1, description=f"1 to {MAX_SPEAK_BYTES} bytes of UTF-8")]
    priority: Annotated[
        Literal["INTERRUPT", "APPEND", "IGNORE"], Meta(description="INTERRUPT, APPEND or IGNORE (while it speaks)")
    ] = "INTERRUPT"
    interruptable: Flag = True
