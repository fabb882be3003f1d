"""What went over the wire while a rule was checked: short, bounded, and without secrets."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any

LINES = 60
WIDTH = 240
HIDDEN = "***"
SECRETS = ("session_token", "token")


class WireLog:
    """The newest lines; `>` is what the kit sent, `<` what came, `-` what happened. Secrets and sound are cut out."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lines: deque[str] = deque(maxlen=LINES)

    def add(self, direction: str, text: str) -> None:
        """One line, with the seconds since the rule began."""
        text = text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."
        self._lines.append(f"{time.monotonic() - self._began:7.3f} {direction} {text}")

    def lines(self) -> list[str]:
        """Oldest first."""
        return list(self._lines)


def shown(value: Any) -> str:
    """A body or message for people: JSON without secrets, sound by its length, anything else by its beginning."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        if len(value) > 1 << 20:
            return f"{value[:40]!r}... ({len(value)} bytes)"
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return repr(value[:WIDTH])
    return json.dumps(_hide(value), ensure_ascii=False)


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
