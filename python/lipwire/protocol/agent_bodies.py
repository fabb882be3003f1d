"""The wire of agent control (protocol.md C and D): bodies of REST v1, v2 and of /start_agent and its kin.

Each body is declared once, as a msgspec struct: its fields' types and ranges, with `Meta(description=...)` saying in
words what is allowed. Reading, errors and the API's description come from that; how they are read, and what the fields
mean, is `agents.rest.wire`'s.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, get_origin

from msgspec import Meta, Struct, field

from .._lazy import moved
from .messages import FILM_NAME, FILM_NAME_WORDS, Egress, MotionCarrier, MotionSet

Status = Literal["IDLE", "STARTING", "RUNNING", "STOPPING", "STOPPED", "FAILED"]
STATUSES: tuple[Status, ...] = ("IDLE", "STARTING", "RUNNING", "STOPPING", "STOPPED", "FAILED")
STATUS_NUMBERS: dict[str, Status] = {str(n): s for n, s in zip((0, 1, 2, 3, 4, 6), STATUSES, strict=True)}
"""The service's numbers for them; 5 (RECOVERING) has no counterpart here."""
MAX_SPEAK_BYTES = 512
OPENAI_VOICE = "alloy"
"""The voice of an agent at OpenAI that was given none."""


class Fault(Struct, frozen=True):
    """What is wrong with one field. `loc`: its path on the wire; `msg`: what it must be, and what it was."""

    loc: str
    msg: str
    type: Literal["missing", "invalid", "not_allowed"] = "invalid"

    def __str__(self) -> str:
        return f"{self.loc} {self.msg}"


# ------------------------------------------------------------------------------------------------- what fields may be

_CHANNEL = r"^[A-Za-z0-9 !#$%&()+\-:;<=.>?@\[\]^_{}|~,]{1,64}$(?!\n)"

Text = Annotated[str, Meta(max_length=65_536, description="a string of at most 65536 characters")]
Short = Annotated[str, Meta(max_length=256, description="a string of at most 256 characters")]
Name = Annotated[str, Meta(min_length=1, max_length=256, description="a string of 1 to 256 characters")]
Token = Annotated[str, Meta(max_length=8192, description="a string of at most 8192 characters")]
Channel = Annotated[
    str,
    Meta(pattern=_CHANNEL, description="1 to 64 letters, digits, spaces or any of !#$%&()+-:;<=.>?@[]^_{}|~,"),
]
Uid = Annotated[int, Meta(ge=0, le=2**32 - 1, description="an integer 0..4294967295")]
UidText = Annotated[str, Meta(min_length=1, max_length=255, description="a string of 1 to 255 characters")]
UidTexts = Annotated[list[UidText], Meta(max_length=128, description='at most 128 user ids; ["*"] or [] = everyone')]
Url = Annotated[
    str, Meta(max_length=2048, pattern=r"^https?://[^\s/?#]+[^\s]*$(?!\n)", description="an http:// or https:// URL")
]
Language = Annotated[
    str, Meta(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}$(?!\n)", description='a language tag, like "en-US"')
]
Unit = Annotated[float, Meta(ge=0, le=1, description="a number 0..1")]
Seconds = Annotated[float, Meta(ge=0, le=1e9, description="a number of seconds >= 0 (0 = never)")]
Flag = Annotated[bool, Meta(description="true or false")]
Codec = Annotated[
    Literal[-1, 0, 8, 9, 120, 122],
    Meta(description="0 (PCMU), 8 (PCMA), 9 (G722), 120 (OPUS), 122 (OPUSFB) or -1 (default)"),
]
Scenario = Annotated[Literal[0, 9], Meta(description="0 (default) or 9 (AI QoS)")]
History = Annotated[int, Meta(ge=0, le=1024, description="an integer 0..1024")]
PaddingMs = Annotated[int, Meta(ge=0, le=5000, description="an integer 0..5000")]
SilenceMs = Annotated[
    Annotated[int, Meta(ge=0, le=10_000)] | None,
    Meta(description="an integer 0..10000; null = by what was said"),
]
MaxWaitMs = Annotated[int, Meta(ge=500, le=10_000, description="an integer 500..10000")]
WaitS = Annotated[float, Meta(ge=0, le=30, description="a number 0..30")]
Phrases = Annotated[
    Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=256)] | None,
    Meta(description="at most 256 strings of at most 64 characters; null = those of the language"),
]
Inputs = Annotated[list[Literal["text", "image"]], Meta(description='["text"] or ["text","image"]')]
Outputs = Annotated[list[Literal["text", "audio"]], Meta(description='["text"], ["audio"] or ["text","audio"]')]
Object = Annotated[dict[str, Any], Meta(description="an object")]
Headers = Annotated[
    dict[str, str],
    Meta(description="an object of header names and their values, without Host, Content-Length and what is like them"),
]
"""Their values are secrets."""
Params = Annotated[dict[str, Any], Meta(description="an object; its model a string")]
Messages = Annotated[
    list[dict[str, Any]],
    Meta(max_length=256, description='at most 256 messages {"role": "system", "content": ...}'),
]
FilmName = Annotated[str, Meta(pattern=rf"^{FILM_NAME.pattern}$(?!\n)", description=FILM_NAME_WORDS)]
Size = Annotated[int, Meta(ge=16, le=1920, multiple_of=2, description="an even integer 16..1920")]
Egressed = Annotated[Egress, Meta(description='"video", "motion" or "both"')]
Sets = Annotated[
    list[MotionSet], Meta(min_length=1, description="a list of some of visemes, arkit, head, pose and azure")
]
Carrier = Annotated[MotionCarrier, Meta(description='"data" or "sei"')]
Fps = Annotated[float, Meta(ge=1, le=60, description="a number 1..60, such as 25 or 29.97")]


# ------------------------------------------------------------------------------------------------------ bodies of C


class Vad(Struct, kw_only=True):
    """When a user's turn begins and ends."""

    interrupt_threshold: Unit = 0.8
    prefix_padding_ms: PaddingMs = 300
    silence_duration_ms: SilenceMs = None
    threshold: Unit = 0.3


class TurnsV2(Vad, kw_only=True):
    """When a user's turn begins and ends, and what is no turn."""

    max_wait_ms: MaxWaitMs = 1800
    resume_false_interruption: Flag = True
    false_interruption_timeout: WaitS = 2.0
    backchannels: Phrases = None
    suppress_echo: Flag = True


class Asr(Struct, kw_only=True):
    """Speech to text."""

    language: Language = "en-US"


class AsrV2(Asr, kw_only=True):
    """Speech to text; `headers` go with every request to the server's service for it."""

    headers: Headers = field(default_factory=dict)


class TtsParams(Struct, kw_only=True):
    """Where v2's vendors name the voice."""

    voice_name: Short = ""
    voice_id: Short = ""
    voice: Short = ""


class Tts(Struct, kw_only=True):
    """Text to speech."""

    voice_id: Name = ""
    """By default the voice of the face; without one, "en-US-AndrewMultilingualNeural"."""


class TtsV2(Tts, kw_only=True):
    """Text to speech; real clients name the voice in `params`, by their vendor's word for it. `headers` go with every
    request to the server's service for it."""

    params: TtsParams = field(default_factory=TtsParams)
    headers: Headers = field(default_factory=dict)


class MotionParams(Struct, kw_only=True):
    """How motion is sent; docs/motion.md."""

    sets: Sets = field(default_factory=lambda: ["arkit", "head"])
    """To those who do not say."""
    carrier: Carrier = "data"
    """In an Agora channel."""


class AvatarParams(Struct, kw_only=True):
    """Of vendor "generic" (protocol.md A). The agent draws the avatar itself; where it would go is of no matter."""

    avatar_id: Name = "aria"
    quality: Annotated[
        Literal["low", "medium", "high"], Meta(description="low (320x180), medium (640x360) or high (1280x720)")
    ] = "medium"
    width: Size = 640
    height: Size = 360
    fps: Fps = 25
    egress: Egressed | None = None
    motion: MotionParams = field(default_factory=MotionParams)
    feelings: Flag = True
    """Whether the face shows what is meant by what is said; without, as the server is set."""


class AvatarSpec(Struct, kw_only=True):
    """The face."""

    enable: Flag = True
    vendor: Annotated[Literal["generic"], Meta(description='"generic"')] = "generic"
    egress: Egressed | None = None
    """What of it is sent: its pictures, its motion, for who draws it, or both; here or in `params`. By default both in
    a room, and pictures in an Agora channel."""
    params: AvatarParams = field(default_factory=AvatarParams)


class Film(Struct, kw_only=True):
    """An addition of ours: record the agent into a film, and what is said beside it as WebVTT. Without `file` the
    server makes a name, so that an empty object will do."""

    file: FilmName = ""


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
    agent_rtc_uid: Uid
    remote_rtc_uid: Uid
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


class LlmV2(Struct, kw_only=True):
    """v2: the chat completions service. `params.model` is the model."""

    url: Url
    api_key: Token = ""
    headers: Headers = field(default_factory=dict)
    system_messages: Messages = field(default_factory=list)
    params: Params = field(default_factory=dict)
    max_history: History = 10
    input_modalities: Inputs = field(default_factory=lambda: ["text"])
    output_modalities: Outputs = field(default_factory=lambda: ["text"])
    greeting_message: Text = ""
    failure_message: Text = ""
    extra_metadata: Object = field(default_factory=dict)
    metadata_enabled: Flag = False


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
    llm: LlmV2
    turn_detection: TurnsV2 = field(default_factory=TurnsV2)
    avatar: AvatarSpec = field(default_factory=lambda: AvatarSpec(enable=False))
    record: Film = field(default_factory=Film)


class JoinV2(Struct, kw_only=True):
    """Body of POST /v2/projects/{appid}/join."""

    name: Name
    properties: PropertiesV2


class Speak(Struct, kw_only=True):
    """Body of POST /v2/.../agents/{id}/speak."""

    text: Annotated[str, Meta(min_length=1, description=f"1 to {MAX_SPEAK_BYTES} bytes of UTF-8")]
    priority: Annotated[
        Literal["INTERRUPT", "APPEND", "IGNORE"], Meta(description="INTERRUPT, APPEND or IGNORE (while it speaks)")
    ] = "INTERRUPT"
    interruptable: Flag = True


# ------------------------------------------------------------------------------------------------------ bodies of D


class StartAgent(Struct, kw_only=True):
    """Body of POST /start_agent (reference 003). `avatar` is an addition of ours: the name of a face. Without `voice`
    the agent has that of its face; without a face, "alloy"."""

    channel_name: Channel
    uid: Uid = 0
    language: Language = "en"
    system_instruction: Text = ""
    voice: Name = ""
    avatar: Short = ""


class StopAgent(Struct, kw_only=True):
    """Body of POST /stop_agent."""

    channel_name: Channel


Command = Literal[
    "update_instruction",
    "update_turn_detection",
    "send_user_text",
    "send_system_text",
    "create_response",
    "commit_audio_buffer",
]
NEEDS: dict[str, str | None] = {
    "update_instruction": "new_instruction",
    "update_turn_detection": "new_turn_detection",
    "send_user_text": "input_text",
    "send_system_text": "input_text",
    "create_response": "new_instruction",
    "commit_audio_buffer": None,
}
"""What each command must come with."""


class ControlAgent(Struct, kw_only=True):
    """Body of POST /control_agent."""

    channel_name: Channel
    command: Annotated[Command, Meta(description=f"one of {', '.join(NEEDS)}")]
    new_instruction: Text = ""
    new_turn_detection: Flag = True
    input_text: Text = ""


class TokenRequest(Struct, kw_only=True):
    """Body (or query) of /token; what is not given is made up."""

    channel: Channel = ""
    uid: Uid = 0


# ---------------------------------------------------------------------------------------------------------- replies


class ErrorReply(Struct, kw_only=True):
    """Body of every error of C."""

    detail: str
    reason: str


class FilmReply(Struct, kw_only=True):
    """Where the film of an agent is."""

    file: str
    """Its path below the server's folder of films."""


class InUse(Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What does something for an agent."""

    name: str
    """A model, a voice, or what else it is called by."""
    instead_of: str = ""
    """What should do it,"""
    because: str = ""
    """and why it does not."""


class ServicesReply(Struct, kw_only=True, omit_defaults=True):
    """What an agent that hears and speaks by parts uses now, and in whose place."""

    ears: InUse | None = None
    """What hears words,"""
    voice: InUse | None = None
    """what speaks,"""
    turns: InUse | None = None
    """what tells that a turn is over,"""
    activity: InUse | None = None
    """and what tells that somebody speaks."""


class AgentReply(Struct, kw_only=True, omit_defaults=True):
    """200 of join, leave, update, speak, interrupt and GET: the agent as it is. Times in Unix seconds."""

    agent_id: str
    name: str
    channel: str
    create_ts: int
    start_ts: int
    """v2's name for the same."""
    stop_ts: int | None = None
    state: Status | None = None
    """v1's name of it; v2's is `status`."""
    status: Status | None = None
    message: str | None = None
    """Why it ended."""
    record: FilmReply | None = None
    """Where it is recorded, if it is."""
    services: ServicesReply | None = None
    """What it hears and speaks with, while it runs."""


class AgentList(Struct, kw_only=True):
    """`data` of GET /agents."""

    count: int
    agents: list[AgentReply] = field(name="list")


class ListMeta(Struct, kw_only=True):
    """`meta` of GET /agents. `cursor`: of the next page, "" = this is the last. `total`: on all pages."""

    cursor: str
    total: int


class ListReply(Struct, kw_only=True):
    """200 of GET /agents."""

    data: AgentList
    meta: ListMeta
    status: str = "ok"


class HistoryReply(Struct, kw_only=True):
    """200 of GET /agents/{id}/history."""

    agent_id: str
    start_ts: int
    status: Status
    contents: Any


class TurnsReply(Struct, kw_only=True):
    """200 of GET /agents/{id}/turns."""

    agent_id: str
    start_ts: int
    status: Status
    turns: Any


class ProcessReply(Struct, kw_only=True, omit_defaults=True):
    """200 of D."""

    status: str
    channel_name: str | None = None


class ProcessError(Struct, kw_only=True, omit_defaults=True):
    """Body of every error of D. `details`: `{loc: [...], msg, type}` for each field."""

    error: str
    details: list[dict[str, Any]] | None = None


class PassReply(Struct, kw_only=True):
    """200 of /token: what a client joins the channel with. In an embedded room `app_id` and `token` are ""."""

    app_id: str
    channel: str
    uid: int
    token: str


# ------------------------------------------------------------------------------------------------------------ in words


def show(value: Any) -> str:
    """`value` as JSON, short enough for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."


def allowed(kind: Any) -> str:
    """What a field of this type may be, in words."""
    if get_origin(kind) is Annotated:
        return next(meta.description for meta in kind.__metadata__ if isinstance(meta, Meta) and meta.description)
    return "an object"


def __getattr__(name: str) -> Any:
    return moved(__name__, name)
