"""Text to speech by Cartesia, over its WebSocket, with the times of words."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from typing import Any

from ....errors import InvalidArgument
from .params import SOCKET, Params, filled
from .socket_tts import Message, Part, Refused
from .timing import WordTimes

URL = "wss://api.cartesia.ai/tts/websocket"
VERSION = "2026-08-14"
"""Of the API, as its Python client 4.2.0 asks for it."""
RATES = (8000, 16_000, 22_050, 24_000, 44_100, 48_000)


class Cartesia:
    """Its protocol, and a voice there. Raises InvalidArgument."""

    once = False

    def __init__(self, params: Params) -> None:
        key = params.key("api_key", "key")
        self.url = params.url("base_url", "url", schemes=SOCKET, default=URL, ends="/tts/websocket")
        voice = params.section("voice")
        if voice is None:
            raise InvalidArgument(f"{params.where}.voice is missing: {{mode: 'id', id: ...}}")
        voice.one_of("mode", ("id",))
        voice_id = voice.needed("id")
        voice.end()
        self.rate = 24_000
        if (format := params.section("output_format")) is not None:
            format.one_of("container", ("raw",))
            format.one_of("encoding", ("pcm_s16le",))
            self.rate = format.one_of("sample_rate", RATES) or self.rate
            format.end()
        self.rate = params.one_of("sample_rate", RATES) or self.rate
        self.request = {
            "model_id": params.needed("model_id"),
            "voice": {"mode": "id", "id": voice_id},
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": self.rate},
            "add_timestamps": True,
            "continue": False,
            **filled(
                language=params.text("language"),
                generation_config=params.anything("generation_config", dict),
                pronunciation_dict_id=params.text("pronunciation_dict_id"),
                speed=params.one_of("speed", ("slow", "normal", "fast")),
            ),
        }
        params.end()
        self.headers: Mapping[str, str] = {"authorization": f"Bearer {key}", "cartesia-version": VERSION}

    def hello(self, message: Message | None) -> list[Message] | None:
        return None

    def say(self, text: str) -> _Saying:
        return _Saying(self.request, text)


class _Saying:
    def __init__(self, request: Message, text: str) -> None:
        self._context = uuid.uuid4().hex
        self._request = {**request, "context_id": self._context, "transcript": text}
        self._times = WordTimes(text)

    def begin(self) -> list[Message]:
        return [self._request]

    def take(self, message: Any) -> Part:
        if message.get("context_id") not in (None, self._context):
            return Part()
        kind = message["type"]
        if kind == "error":
            status = message.get("status_code")
            said = message.get("message") or message.get("error") or message.get("title")
            raise Refused(status if isinstance(status, int) and status >= 400 else 0, str(said))
        if kind == "chunk":
            return Part(base64.b64decode(message["data"], validate=True))
        words = []
        if kind == "timestamps" and (known := message.get("word_timestamps")) is not None:
            for word, start, end in zip(known["words"], known["start"], known["end"], strict=True):
                words += self._times.said(word, start, end)
        over = kind == "done"
        return Part(b"", words + (self._times.end() if over else []), over)
