"""What went over the wire while a rule was checked: short, bounded, and without secrets."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LINES = 60
WIDTH = 240
HIDDEN = "***"
UUID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
SECRETS = ("session_token", "token")


class WireLog:
    """The newest entries; `>` is what the kit sent, `<` what came, `-` what happened. Made readable when it is read:
    most of what is sent in a burst never is."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._entries: deque[_Entry] = deque(maxlen=LINES)

    def add(self, direction: str, text: str) -> None:
        """Something in words."""
        self._entries.append(_Entry(time.monotonic(), direction, text))

    def frame(self, direction: str, frame: Any) -> None:
        """A WebSocket message, as text, bytes or the object that is in it. `voice` behind `voice` is only counted."""
        last = self._entries[-1] if self._entries else None
        if last is not None and _is_voice(frame) and _is_voice(last.frame):
            last.more += 1
        else:
            self._entries.append(_Entry(time.monotonic(), direction, frame=frame))

    def lines(self) -> list[str]:
        """Oldest first, each with the seconds since the rule began; secrets and sound are cut out."""
        found = []
        for entry in self._entries:
            frame = entry.frame
            text = entry.text or (f"{len(frame)} bytes, binary" if isinstance(frame, bytes) else shown(frame))
            text = text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."
            more = f" and {entry.more} more voice messages" if entry.more else ""
            found.append(f"{entry.at - self._began:7.3f} {entry.direction} {text}{more}")
        return found


@dataclass
class _Entry:
    at: float
    direction: str
    text: str = ""
    frame: Any = None
    more: int = 0


def _is_voice(frame: Any) -> bool:
    return isinstance(frame, Mapping) and frame.get("command") == "voice"


def shown(value: Any) -> str:
    """A body or message for people: JSON without secrets, sound by its length, UUIDs and anything else by their
    beginning."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        if len(value) > 1 << 20:
            return f"{value[:40]!r}... ({len(value)} bytes)"
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return repr(value[:WIDTH])
    return UUID.sub(r"\1...", json.dumps(_hide(value), ensure_ascii=False))


def _hide(value: Any) -> Any:
    if isinstance(value, list):
        return [_hide(each) for each in value]
    if not isinstance(value, dict):
        return value
    hidden = {name: HIDDEN if name in SECRETS and each else _hide(each) for name, each in value.items()}
    audio = hidden.get("audio")
    if isinstance(audio, str) and len(audio) > 40:
        hidden["audio"] = f"{audio[:12]}... ({len(audio)} characters)"
    return hidden
