"""Lipwire gives a voice agent a face: speech in, lip-synced video and the same speech out, on one sample clock.

Names are imported when they are first used: who wants a `Resampler` waits for no video library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._lazy import attribute, find_moved, installed

if TYPE_CHECKING:
    from . import channel, motion, publish
    from ._core import (
        Compositor,
        Frame,
        G722Decoder,
        G722DecoderBatch,
        G722Encoder,
        G722EncoderBatch,
        JitterBuffer,
        Resampler,
        SharedReader,
        SharedWriter,
        Sprite,
        VisemeExtractor,
        VisemeExtractorBatch,
    )
    from .agents.rest.client import AgoraAgents
    from .app.service import create_app
    from .audio import g711, opus
    from .audio.resample import resample
    from .avatar import Avatar, Axis, Viseme
    from .channel.agora.channel import agora_token
    from .drawing.frame_source import FrameSource
    from .drawing.hook import Hook, hook
    from .drawing.process_source import ProcessSource
    from .drawing.renderer import Renderer
    from .errors import LipwireError
    from .motion import MotionReader, MotionTrack, read_motion
    from .session.motion_files import write_motion
    from .session.offline import RenderResult, render
    from .session.session import Session
    from .stream import Cue, Publisher, StreamSpec, Unit

    __version__: str

__all__ = [
    "AgoraAgents",
    "Avatar",
    "Axis",
    "Compositor",
    "Cue",
    "Frame",
    "FrameSource",
    "G722Decoder",
    "G722DecoderBatch",
    "G722Encoder",
    "G722EncoderBatch",
    "Hook",
    "JitterBuffer",
    "LipwireError",
    "MotionReader",
    "MotionTrack",
    "ProcessSource",
    "Publisher",
    "RenderResult",
    "Renderer",
    "Resampler",
    "Session",
    "SharedReader",
    "SharedWriter",
    "Sprite",
    "StreamSpec",
    "Unit",
    "Viseme",
    "VisemeExtractor",
    "VisemeExtractorBatch",
    "agora_token",
    "channel",
    "create_app",
    "g711",
    "hook",
    "motion",
    "opus",
    "publish",
    "read_motion",
    "render",
    "resample",
    "write_motion",
]

_WHERE = {
    "AgoraAgents": ".agents.rest.client",
    "Avatar": ".avatar",
    "Axis": ".avatar",
    "Compositor": "._core",
    "Cue": ".stream",
    "Frame": "._core",
    "FrameSource": ".drawing.frame_source",
    "G722Decoder": "._core",
    "G722DecoderBatch": "._core",
    "G722Encoder": "._core",
    "G722EncoderBatch": "._core",
    "Hook": ".drawing.hook",
    "JitterBuffer": "._core",
    "LipwireError": ".errors",
    "MotionReader": ".motion",
    "MotionTrack": ".motion",
    "ProcessSource": ".drawing.process_source",
    "Publisher": ".stream",
    "RenderResult": ".session.offline",
    "Renderer": ".drawing.renderer",
    "Resampler": "._core",
    "Session": ".session.session",
    "SharedReader": "._core",
    "SharedWriter": "._core",
    "Sprite": "._core",
    "StreamSpec": ".stream",
    "Unit": ".stream",
    "Viseme": ".avatar",
    "VisemeExtractor": "._core",
    "VisemeExtractorBatch": "._core",
    "agora_token": ".channel.agora.channel",
    "channel": ".channel",
    "create_app": ".app.service",
    "g711": ".audio.g711",
    "hook": ".drawing.hook",
    "motion": ".motion",
    "opus": ".audio.opus",
    "publish": ".publish",
    "read_motion": ".motion",
    "render": ".session.offline",
    "resample": ".audio.resample",
    "write_motion": ".session.motion_files",
}

_MODULES = frozenset(
    {
        *("avatar", "codecs", "errors", "pcm", "protocol", "renderer", "runtime", "session", "source"),
        *("source_process", "stage"),
    }
)
"""Modules that `import lipwire` brought along in 0.1, so that `lipwire.errors.BadState` was enough."""
_NEEDS = {
    "AgoraAgents": ("httpx",),
    "create_app": ("aiortc", "jwt", "litestar", "prometheus_client", "uvicorn"),
}
"""What names need that an extra brings."""

find_moved()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from ._core import core_version

        return core_version()
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    return attribute(__name__, _WHERE, name)


def __dir__() -> list[str]:
    # Without what needs an extra that is not there: help() and inspect.getmembers() get every name that is in here.
    missing = {name for name, needs in _NEEDS.items() if not all(map(installed, needs))}
    return sorted({*globals(), *__all__, "__version__"} - missing)
