"""What a client may ask of an agent beside the plain words of `config`: how it listens, what it says by itself, and
which services of others it uses. Names, ranges and defaults are those of Agora's REST v2 as its SDK has them.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from ..channel.agora.wire import Encryption as Encryption

EndOfSpeech = Literal["auto", "vad", "semantic", "manual"]
"""What ends a user's turn: the server's own judgement; silence alone; what was said, on top of silence; the client."""
LlmStyle = Literal["openai", "anthropic", "gemini", "dify"]
"""Whose dialect a chat service speaks."""


class Interruption(Struct, frozen=True, kw_only=True):
    """What cuts off the agent's speech."""

    enabled: bool = True
    """False: nothing the user says does; `when_off` says what becomes of it."""
    mode: Literal["start_of_speech", "keywords"] = "start_of_speech"
    """Voice; or only words out of `keywords`."""
    keywords: list[str] = field(default_factory=list)
    when_off: Literal["append", "ignore"] = "append"
    """Speech while the agent speaks or thinks is answered after it, or is as if it had not been."""

    @property
    def by_voice(self) -> bool:
        """Whether a voice is enough."""
        return self.enabled and self.mode == "start_of_speech"


class Greeting(Struct, frozen=True, kw_only=True):
    """How `llm.greeting_message` is said."""

    mode: Literal["single_every", "single_first"] = "single_first"
    """Whenever somebody enters the empty channel, which is v2's default, or the first time only, as v1 and our own
    doors have it."""
    delay_ms: int = 0
    """0..5000."""
    interruptable: bool = True
    audio_url: str = ""
    """A recording that is played in its place; the text stands for it in the transcript, and is said where it cannot be
    had."""
    audio_timeout_ms: int = 1000
    """200..10000: what fetching it may take."""
    audio_rate: int = 16_000
    """Hz of a recording without a header."""


class Filler(Struct, frozen=True, kw_only=True):
    """What is said while the model is waited for."""

    wait_ms: int = 1500
    """100..10000: after so long."""
    phrases: list[str] = field(default_factory=list)
    """1 to 100, or the fallback of `prompt`."""
    order: Literal["shuffle", "round_robin"] = "shuffle"


class Silence(Struct, frozen=True, kw_only=True):
    """What is done when nobody has said anything for a while, with a user there."""

    timeout_ms: int
    """1..60000."""
    action: Literal["speak", "think"] = "speak"
    """`content` is said, or goes to the model as the last message."""
    content: str = ""


class Vendor(Struct, frozen=True, kw_only=True):
    """A service of speech that the client brings along (`tts`, `asr`)."""

    name: str
    """As on the wire: "elevenlabs"."""
    params: dict[str, Any] = field(default_factory=dict)
    """Its own fields; secrets among them."""
    url: str = ""
    """Of `generic_http`."""
    keywords: list[str] = field(default_factory=list)
    """Of asr: words to be expected."""


class ToolServer(Struct, frozen=True, kw_only=True):
    """An HTTP service that answers for a function (`Tool.server`)."""

    url: str
    method: Literal["GET", "POST"] = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    """Their values are secrets."""
    body: Any = None
    timeout_ms: int = 10_000
    """1000..100000."""


class McpServer(Struct, frozen=True, kw_only=True):
    """A server of tools by the Model Context Protocol, over streamable HTTP."""

    name: str
    endpoint: str
    headers: dict[str, str] = field(default_factory=dict)
    """Their values are secrets."""
    allowed_tools: list[str] | None = None
    """None = all."""
    timeout_ms: int = 10_000


class AvatarProvider(Struct, frozen=True, kw_only=True):
    """Somebody else's avatar: the agent is the client of its /session/start and WebSocket (protocol.md A and B)."""

    api_base_url: str
    api_key: str = ""
    avatar_id: str = ""
    agora_uid: str = ""
    agora_token: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    """Whatever else the client says to it."""


class StandsInFor(Struct, kw_only=True):
    """The vendors whose services a client named without a key, and for which the server's own stand in; "" = none."""

    ears: str = ""
    voice: str = ""
    model: str = ""


class Realtime(Struct, kw_only=True):
    """A realtime model that the client brings along (`mllm`); of OpenAI's protocol."""

    url: str = ""
    """"" = the server's own."""
    api_key: str | None = None
    model: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    """More members of the session's configuration."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    """The conversation so far."""
    turn_detection: dict[str, Any] = field(default_factory=dict)
    """OpenAI's, as `session.audio.input.turn_detection` takes it; none = the agent's own."""
