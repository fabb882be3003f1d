"""WebSocket messages as clients send them."""

from __future__ import annotations

import base64
import json
from typing import Any

from support.provider_stage import start_body

PCM = bytes(range(96)) * 10


def voice(payload: bytes = PCM, rate: Any = 24000, encoding: Any = "PCM16", event_id: Any = "e", **more: Any) -> str:
    audio = base64.b64encode(payload).decode()
    message = {"command": "voice", "audio": audio, "sampleRate": rate, "encoding": encoding, "event_id": event_id}
    return json.dumps({k: v for k, v in (message | more).items() if v is not ...})


def init(session_id: Any = "s", **changes: Any) -> str:
    return json.dumps({"command": "init", "session_id": session_id, **start_body(**changes)})
