"""Channels: rooms in which a session or an agent speaks, shows itself, and hears the others.

`Rooms` and `RoomChannel` need the extra `webrtc`; `Agora` needs Agora's SDK, in its worker process only
(docs/agora.md). Each is imported when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._lazy import attribute
from .base import Channel

if TYPE_CHECKING:
    from .agora.channel import Agora, AgoraOptions
    from .room.channel import RoomChannel
    from .room.room import Rooms

__all__ = ["Agora", "AgoraOptions", "Channel", "RoomChannel", "Rooms"]

_WHERE = {
    "Agora": ".agora.channel",
    "AgoraOptions": ".agora.channel",
    "RoomChannel": ".room.channel",
    "Rooms": ".room.room",
}


def __getattr__(name: str) -> Any:
    return attribute(__name__, _WHERE, name)
