"""v2: `turn_detection` and `interruption`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from ..fields import AnyLanguage, Flag, InterruptMs, PaddingMs, Phrases, Unit, WaitS, Words
from ..v1 import Vad

Strategy = Annotated[Literal["append", "ignore"], Meta(description='"append" or "ignore"')]
EndMs = Annotated[int, Meta(ge=120, le=2000, description="an integer 120..2000")]
WaitMs = Annotated[int, Meta(ge=-1, le=10_000, description="an integer 500..10000, or -1 = as long as it takes")]


class StartByVad(Struct, kw_only=True):
    """Voice that begins a turn."""

    interrupt_duration_ms: InterruptMs = None
    speaking_interrupt_duration_ms: InterruptMs = None
    prefix_padding_ms: PaddingMs = 300


class StartByKeywords(Struct, kw_only=True):
    """Deprecated: `interruption.keywords_config`."""

    interrupt_duration_ms: InterruptMs = None
    prefix_padding_ms: PaddingMs = 300
    triggered_keywords: Words = field(default_factory=list)


class WhenOff(Struct, kw_only=True):
    """What becomes of what is said while the agent speaks and cannot be interrupted."""

    strategy: Strategy = "append"


class StartOfSpeech(Struct, kw_only=True):
    """What begins a turn. "keywords" and "disabled" are deprecated: see `interruption`."""

    mode: Annotated[
        Literal["vad", "manual", "keywords", "disabled"],
        Meta(description='"vad" or "manual" (or "keywords", "disabled")'),
    ] = "vad"
    vad_config: StartByVad = field(default_factory=StartByVad)
    keywords_config: StartByKeywords = field(default_factory=StartByKeywords)
    disabled_config: WhenOff = field(default_factory=WhenOff)


class EndByVad(Struct, kw_only=True):
    """Silence that ends a turn."""

    silence_duration_ms: EndMs = 640


class EndBySense(Struct, kw_only=True):
    """Silence after which it is judged whether what was said is whole, and that for which one waits where it is not."""

    silence_duration_ms: EndMs = 320
    max_wait_ms: WaitMs = 3000
    pause_state_enabled: Flag = True


class EndOfSpeech(Struct, kw_only=True):
    """What ends a turn. Where nothing is said of it, it is judged whether what was said is whole."""

    mode: Annotated[Literal["vad", "semantic", "manual"], Meta(description='"vad", "semantic" or "manual"')] = "vad"
    vad_config: EndByVad = field(default_factory=EndByVad)
    semantic_config: EndBySense = field(default_factory=EndBySense)


class TurnConfig(Struct, kw_only=True):
    """When a user's turn begins and ends, in the service's present words."""

    speech_threshold: Unit = 0.3
    start_of_speech: StartOfSpeech = field(default_factory=StartOfSpeech)
    end_of_speech: EndOfSpeech = field(default_factory=EndOfSpeech)


class TurnsV2(Vad, kw_only=True):
    """When a user's turn begins and ends, and what is no turn: in `config`, or in the older flat words and our own."""

    max_wait_ms: WaitMs = 1800
    resume_false_interruption: Flag = True
    false_interruption_timeout: WaitS = 2.0
    backchannels: Phrases = None
    suppress_echo: Flag = True
    mode: Annotated[Literal["default"], Meta(description='"default"')] = "default"
    config: TurnConfig = field(default_factory=TurnConfig)
    language: AnyLanguage = "en-US"
    """What the SDK's AgentKit sends beside `asr.language`, which goes before it."""
    type: Annotated[
        Literal["agora_vad", "server_vad", "semantic_vad"],
        Meta(description='"agora_vad"; with mllm also "server_vad" or "semantic_vad"'),
    ] = "agora_vad"
    interrupt_mode: Annotated[
        Literal["interrupt", "append", "ignore", "keyword", "keywords", "adaptive"],
        Meta(description='"interrupt", "append", "ignore", "keyword" or "adaptive"'),
    ] = "interrupt"
    interrupt_duration_ms: InterruptMs = None
    interrupt_keywords: Words = field(default_factory=list)
    create_response: Flag = True
    interrupt_response: Flag = True
    eagerness: Annotated[
        Literal["auto", "low", "medium", "high"], Meta(description='"auto", "low", "medium" or "high"')
    ] = "auto"


class InterruptKeywords(Struct, kw_only=True):
    """The words that interrupt."""

    trigger_keywords: Words = field(default_factory=list)


class InterruptionSpec(Struct, kw_only=True):
    """What cuts off the agent's speech."""

    enable: Flag = True
    mode: Annotated[Literal["start_of_speech", "keywords"], Meta(description='"start_of_speech" or "keywords"')] = (
        "start_of_speech"
    )
    keywords_config: InterruptKeywords = field(default_factory=InterruptKeywords)
    disabled_config: WhenOff = field(default_factory=WhenOff)
