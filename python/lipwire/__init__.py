"""Lipwire gives a voice agent a face: speech in, lip-synced video and the same speech out, on one sample clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import g711, opus, publish
from ._core import (
    Compositor,
    Frame,
    G722Decoder,
    G722DecoderBatch,
    G722Encoder,
    G722EncoderBatch,
    Resampler,
    SharedReader,
    SharedWriter,
    Sprite,
    VisemeExtractor,
    VisemeExtractorBatch,
)
from ._core import core_version as _core_version
from .avatar import Avatar
from .errors import LipwireError
from .pcm import resample
from .publish import Publisher
from .publish.agora import agora_token
from .render import RenderResult, render
from .renderer import Hook, Renderer, hook
from .session import Session
from .source import FrameSource
from .source_process import ProcessSource

if TYPE_CHECKING:
    from .agents.client import AgoraAgents
    from .service import create_app

__version__: str = _core_version()

__all__ = [
    "AgoraAgents",
    "Avatar",
    "Compositor",
    "Frame",
    "FrameSource",
    "G722Decoder",
    "G722DecoderBatch",
    "G722Encoder",
    "G722EncoderBatch",
    "Hook",
    "LipwireError",
    "ProcessSource",
    "Publisher",
    "RenderResult",
    "Renderer",
    "Resampler",
    "Session",
    "SharedReader",
    "SharedWriter",
    "Sprite",
    "VisemeExtractor",
    "VisemeExtractorBatch",
    "agora_token",
    "create_app",
    "g711",
    "hook",
    "opus",
    "publish",
    "render",
    "resample",
]


def __getattr__(name: str) -> Any:
    if name == "create_app":  # needs the extra "server"
        from .service import create_app

        return create_app
    if name == "AgoraAgents":  # needs httpx
        from .agents.client import AgoraAgents

        return AgoraAgents
    raise AttributeError(f"module 'lipwire' has no attribute {name!r}")
