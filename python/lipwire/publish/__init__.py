"""Publishers: where a session's sound and picture go.

`null`, `file` and `shared` need nothing more; `webrtc` needs the extra of that name and is imported when first asked
for. `agora` needs Agora's SDK, in its worker process only (docs/agora.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .agora import Agora, AgoraOptions
from .base import Publisher, StreamSpec
from .channel import Channel
from .file import File
from .null import Null
from .shared import Shared
from .tee import Tee

if TYPE_CHECKING:
    from .webrtc import WebRTC

__all__ = ["Agora", "AgoraOptions", "Channel", "File", "Null", "Publisher", "Shared", "StreamSpec", "Tee", "WebRTC"]


def __getattr__(name: str) -> Any:
    if name == "WebRTC":
        try:
            from .webrtc import WebRTC
        except ModuleNotFoundError as exc:
            raise ModuleNotFoundError(
                f"publishing over WebRTC needs {exc.name}: pip install 'lipwire[webrtc]'", name=exc.name
            ) from exc
        return WebRTC
    raise AttributeError(name)
