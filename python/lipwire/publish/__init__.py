"""Publishers: where a session's sound and picture go.

`null`, `file` and `shared` need nothing more; `webrtc` and `room` need the extra `webrtc` and are imported when first
asked for. `agora` needs Agora's SDK, in its worker process only (docs/agora.md).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .agora import Agora, AgoraOptions
from .base import Publisher, StreamSpec
from .channel import Channel
from .file import File
from .null import Null
from .shared import Shared
from .tee import Tee

if TYPE_CHECKING:
    from .room import RoomChannel, Rooms
    from .webrtc import WebRTC

__all__ = [
    "Agora",
    "AgoraOptions",
    "Channel",
    "File",
    "Null",
    "Publisher",
    "RoomChannel",
    "Rooms",
    "Shared",
    "StreamSpec",
    "Tee",
    "WebRTC",
]

_WITH_AIORTC = {"WebRTC": "webrtc", "Rooms": "room", "RoomChannel": "room"}


def __getattr__(name: str) -> Any:
    if name in _WITH_AIORTC:
        try:
            module = importlib.import_module(f".{_WITH_AIORTC[name]}", __name__)
        except ModuleNotFoundError as exc:
            raise ModuleNotFoundError(
                f"publishing over WebRTC needs {exc.name}: pip install 'lipwire[webrtc]'", name=exc.name
            ) from exc
        return getattr(module, name)
    raise AttributeError(name)
