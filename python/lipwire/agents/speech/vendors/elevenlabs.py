"""Text to speech by ElevenLabs, over its WebSocket stream-input: one connection for each text, with the times of its
characters."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .params import SOCKET, Params, filled, with_query
from .socket_tts import Message, Part, Refused
from .timing import WordTimes

URL = "wss://api.elevenlabs.io/v1"
RATES = (8000, 16_000, 22_050, 24_000, 44_100, 48_000)
STATUSES = {
    "invalid_api_key": 401,
    "missing_permissions": 403,
    "quota_exceeded": 402,
    "rate_limit_exceeded": 429,
    "too_many_concurrent_requests": 429,
    "system_busy": 429,
    "voice_not_found": 404,
}
"""Errors in messages, as HTTP has them."""


class ElevenLabs:
    """Its protocol, and a voice there. Raises InvalidArgument."""

    once = True

    def __init__(self, params: Params) -> None:
        key = params.key("key", "api_key")
        voice, model = params.needed("voice_id"), params.needed("model_id")
        self.rate = params.one_of("sample_rate", RATES) or 24_000
        place = f"/text-to-speech/{quote(voice, safe='')}/stream-input"
        url = params.url("base_url", "url", schemes=SOCKET, default=URL + place, ends=place)
        self.settings = filled(
            stability=params.number("stability", 0, 1),
            similarity_boost=params.number("similarity_boost", 0, 1),
            style=params.number("style", 0, 1),
            use_speaker_boost=params.flag("use_speaker_boost"),
            speed=params.number("speed", 0.7, 1.2),
        )
        query = {
            "model_id": model,
            "output_format": f"pcm_{self.rate}",
            "auto_mode": True,  # a text is whole, so nothing is to be waited for
            "optimize_streaming_latency": params.one_of("optimize_streaming_latency", (0, 1, 2, 3, 4)),
            "language_code": params.text("language_code"),
            "apply_text_normalization": params.one_of("apply_text_normalization", ("auto", "on", "off")),
            "enable_logging": params.flag("enable_logging"),
            "enable_ssml_parsing": params.flag("enable_ssml_parsing"),
            "seed": params.number("seed", 0, 4294967295),
        }
        params.end()
        self.url = with_query(url, query.items())
        self.headers: Mapping[str, str] = {"xi-api-key": key}

    def hello(self, message: Message | None) -> list[Message] | None:
        if message is not None:
            raise ValueError("nothing is to come before the text")
        return None

    def say(self, text: str) -> _Saying:
        return _Saying(self, text)


class _Saying:
    def __init__(self, voice: ElevenLabs, text: str) -> None:
        self._voice = voice
        self._text = text
        self._times = WordTimes(text)
        self._seconds = 0.0
        """Of its sound that have come."""

    def begin(self) -> list[Message]:
        first: Message = {"text": " "} | ({"voice_settings": self._voice.settings} if self._voice.settings else {})
        return [first, {"text": f"{self._text} "}, {"text": ""}]

    def take(self, message: Any) -> Part:
        if message.get("error"):
            error = str(message["error"])
            raise Refused(STATUSES.get(error, 0), f"{error}: {message.get('message')}")
        sound = base64.b64decode(message["audio"], validate=True) if message.get("audio") else b""
        words = []
        if (known := message.get("alignment")) is not None:
            # In ms from the beginning of this message's sound, and not of the text's.
            times = zip(known["chars"], known["charStartTimesMs"], known["charDurationsMs"], strict=True)
            for char, start, duration in times:
                at = self._seconds + start / 1000
                words += self._times.said(char, at, at + duration / 1000)
        self._seconds += len(sound) / 2 / self._voice.rate
        over = message.get("isFinal") is True
        return Part(sound, words + (self._times.end() if over else []), over)
