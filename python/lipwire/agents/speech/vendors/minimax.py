"""Text to speech by MiniMax, over the WebSocket of its T2A."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....errors import InvalidArgument
from .params import SOCKET, Params, filled, with_query
from .socket_tts import Message, Part, Refused

URL = "wss://api.minimax.io/ws/v1/t2a_v2"
RATES = (8000, 16_000, 22_050, 24_000, 32_000, 44_100)
STATUSES = {
    1000: 500,
    1001: 504,
    1002: 429,
    1004: 401,
    1008: 402,
    1013: 500,
    1024: 500,
    1039: 429,
    2013: 400,
    2049: 401,
}
"""Its codes, as HTTP has them."""


class MiniMax:
    """Its protocol, and a voice there. Raises InvalidArgument."""

    once = False

    def __init__(self, params: Params) -> None:
        key = params.key("key", "api_key")
        url = params.url("url", "base_url", schemes=SOCKET, default=URL, ends="/t2a_v2")
        self.url = with_query(url, [("GroupId", params.text("group_id"))])
        self.rate, audio = 24_000, params.section("audio_setting")
        if audio is not None:
            self.rate = audio.one_of("sample_rate", RATES) or self.rate
            audio.one_of("format", ("pcm",))
            audio.one_of("channel", (1,))
            audio.end()
        voice, mixed = params.section("voice_setting"), params.anything("timber_weights", list)
        settings = {}
        if voice is not None:
            settings = filled(
                voice_id=voice.text("voice_id"),
                speed=voice.number("speed", 0.5, 2),
                vol=voice.number("vol", 0, 10),
                pitch=voice.number("pitch", -12, 12),
                emotion=voice.text("emotion"),
                latex_read=voice.flag("latex_read"),
                english_normalization=voice.flag("english_normalization"),
            )
            voice.end()
        if "voice_id" not in settings and not mixed:
            raise InvalidArgument(f"{params.where}.voice_setting.voice_id is missing")
        self.start = {
            "event": "task_start",
            "model": params.needed("model"),
            "voice_setting": settings,
            "audio_setting": {"sample_rate": self.rate, "format": "pcm", "channel": 1},
            **filled(
                timber_weights=mixed,
                pronunciation_dict=params.anything("pronunciation_dict", dict),
                language_boost=params.text("language_boost"),
                voice_modify=params.anything("voice_modify", dict),
            ),
        }
        params.end()
        self.headers: Mapping[str, str] = {"authorization": f"Bearer {key}"}

    def hello(self, message: Any) -> list[Message] | None:
        if message is None:
            return []
        _check(message)
        return [self.start] if message["event"] == "connected_success" else None

    def say(self, text: str) -> _Saying:
        return _Saying(text)


class _Saying:
    def __init__(self, text: str) -> None:
        self._text = text

    def begin(self) -> list[Message]:
        return [{"event": "task_continue", "text": self._text}]

    def take(self, message: Any) -> Part:
        _check(message)
        sound = (message.get("data") or {}).get("audio") or ""
        return Part(bytes.fromhex(sound), (), message.get("is_final") is True)


def _check(message: Any) -> None:
    """Raises Refused: it says that something failed."""
    about = message.get("base_resp") or {}
    code = about.get("status_code") or 0
    if code or message.get("event") == "task_failed":
        raise Refused(STATUSES.get(code, 0), f"{code}: {about.get('status_msg')}")
