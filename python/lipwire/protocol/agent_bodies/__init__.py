"""The wire of agent control (protocol.md C and D): bodies of REST v1, v2 and of /start_agent and its kin.

Each body is declared once, as a msgspec struct: its fields' types and ranges, with `Meta(description=...)` saying in
words what is allowed. Reading, errors and the API's description come from that; how they are read, and what the fields
mean, is `agents.rest.wire`'s. Defaults only document what holds where nothing is said.
"""

from __future__ import annotations

from typing import Any

from ..._lazy import moved
from .avatar import AvatarParams, AvatarSpec, Film, MotionParams
from .fields import (
    AnyLanguage,
    Channel,
    Fault,
    Headers,
    Object,
    Open,
    Params,
    SocketUrl,
    Strings,
    Token,
    Uid,
    Url,
    Words,
    allowed,
    show,
    sort_of,
)
from .processes import NEEDS, Command, ControlAgent, StartAgent, StopAgent, TokenRequest
from .replies import (
    STATUS_NUMBERS,
    STATUSES,
    AgentList,
    AgentReply,
    ErrorReply,
    FilmReply,
    InUse,
    ListMeta,
    ListReply,
    PassReply,
    ProcessError,
    ProcessReply,
    ServicesReply,
    Status,
)
from .v1 import Asr, CustomLlm, JoinV1, PropertiesV1, Tts, Vad
from .v2.join import MAX_SPEAK_BYTES, JoinV2, PropertiesV2, ProviderParams, Speak
from .v2.llm import LlmV2
from .v2.mllm import MllmSpec
from .v2.speech import AsrV2, TtsParams, TtsV2
from .v2.tools import McpSpec, ToolSpec
from .v2.turns import TurnsV2

OPENAI_VOICE = "alloy"
"""The voice of an agent at OpenAI that was given none."""

__all__ = [
    "MAX_SPEAK_BYTES",
    "NEEDS",
    "OPENAI_VOICE",
    "STATUSES",
    "STATUS_NUMBERS",
    "AgentList",
    "AgentReply",
    "AnyLanguage",
    "Asr",
    "AsrV2",
    "AvatarParams",
    "AvatarSpec",
    "Channel",
    "Command",
    "ControlAgent",
    "CustomLlm",
    "ErrorReply",
    "Fault",
    "Film",
    "FilmReply",
    "Headers",
    "InUse",
    "JoinV1",
    "JoinV2",
    "ListMeta",
    "ListReply",
    "LlmV2",
    "McpSpec",
    "MllmSpec",
    "MotionParams",
    "Object",
    "Open",
    "Params",
    "PassReply",
    "ProcessError",
    "ProcessReply",
    "PropertiesV1",
    "PropertiesV2",
    "ProviderParams",
    "ServicesReply",
    "SocketUrl",
    "Speak",
    "StartAgent",
    "Status",
    "StopAgent",
    "Strings",
    "Token",
    "TokenRequest",
    "ToolSpec",
    "Tts",
    "TtsParams",
    "TtsV2",
    "TurnsV2",
    "Uid",
    "Url",
    "Vad",
    "Words",
    "allowed",
    "show",
    "sort_of",
]


def __getattr__(name: str) -> Any:
    return moved(__name__, name)
