"""Publishers: where a session's sound and picture go.

`null`, `file`, `live_film`, `restream` and `shared` need nothing more; `webrtc` and `rtp` need the extra `webrtc`
and are imported when first asked for.
Channels, which also receive, are in `lipwire.channel`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .._lazy import attribute, moved
from ..stream import Publisher, StreamSpec

if TYPE_CHECKING:
    from .file import File
    from .live_film import LiveFilm
    from .motion_file import MotionFile
    from .null import Null
    from .restream import Restream
    from .rtp import RTP
    from .shared import Shared
    from .tee import Tee
    from .webrtc import WebRTC

__all__ = [
    "RTP",
    "File",
    "LiveFilm",
    "MotionFile",
    "Null",
    "Publisher",
    "Restream",
    "Shared",
    "StreamSpec",
    "Tee",
    "WebRTC",
]

_LAZY = {
    "File": ".file",
    "LiveFilm": ".live_film",
    "MotionFile": ".motion_file",
    "Null": ".null",
    "RTP": ".rtp",
    "Restream": ".restream",
    "Shared": ".shared",
    "Tee": ".tee",
    "WebRTC": ".webrtc",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    return moved(__name__, name) if name in _MOVED else attribute(__name__, _LAZY, name)


_MODULES = {"agora", "base", "channel", "file", "null", "pyav", "shared", "tee"}
"""Modules that `import lipwire` brought along in 0.1."""
_MOVED = {"Agora", "AgoraOptions", "Channel", "RoomChannel", "Rooms"}
