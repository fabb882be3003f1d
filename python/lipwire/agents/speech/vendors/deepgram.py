"""Deepgram: text to speech and speech to text, each over its WebSocket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...brains.base import HEARD_RATE, TimedWord
from .params import SOCKET, Params, with_query
from .socket_stt import Heard
from .socket_tts import Message, Part, Refused

SPEAK = "wss://api.deepgram.com/v1/speak"
LISTEN = "wss://api.deepgram.com/v1/listen"
MODEL = "nova-3"
RATES = (8000, 16_000, 24_000, 32_000, 48_000)


class DeepgramSpeech:
    """Its protocol, and a voice there. Raises InvalidArgument."""

    once = False

    def __init__(self, params: Params) -> None:
        key = params.key("api_key", "key")
        url = params.url("base_url", "url", schemes=SOCKET, default=SPEAK, ends="/speak")
        self.rate = params.one_of("sample_rate", RATES) or 24_000
        query = {
            "model": params.needed("model"),
            "encoding": params.one_of("encoding", ("linear16",)) or "linear16",
            "sample_rate": self.rate,
            "speed": params.number("speed", 0.7, 1.5),
            "mip_opt_out": params.flag("mip_opt_out"),
            "tag": params.text("tag"),
        }
        params.end()
        self.url = with_query(url, query.items())
        self.headers: Mapping[str, str] = {"authorization": f"Token {key}"}

    def hello(self, message: Message | None) -> list[Message] | None:
        return None

    def say(self, text: str) -> _Saying:
        return _Saying(text)


class _Saying:
    def __init__(self, text: str) -> None:
        self._text = text

    def begin(self) -> list[Message]:
        return [{"type": "Speak", "text": self._text}, {"type": "Flush"}]

    def take(self, message: Any) -> Part:
        if isinstance(message, bytes):
            return Part(message)
        kind = message["type"]
        if kind == "Error":
            raise Refused(0, str(message.get("description") or message.get("err_msg")))
        return Part(over=kind == "Flushed")


# ------------------------------------------------------------------------------------------------------ speech to text


class DeepgramListener:
    """Its protocol.

    Args:
        language: where the params name none.
        keywords: words to be expected.

    Raises:
        InvalidArgument.
    """

    resumes = True
    ends = False
    alive = '{"type":"KeepAlive"}'

    def __init__(self, params: Params, language: str, keywords: Sequence[str]) -> None:
        key = params.key("key", "api_key")
        url = params.url("url", "base_url", schemes=SOCKET, default=LISTEN, ends="/listen")
        model = params.text("model") or MODEL
        given = [*params.texts("keywords"), *keywords]
        terms = params.texts("keyterm")
        newer = model.startswith(("nova-3", "flux"))  # which call them terms; the older ones know no terms
        query: list[tuple[str, Any]] = [
            ("model", model),
            ("language", params.text("language") or spoken_language(language, newer=newer)),
            ("encoding", params.one_of("encoding", ("linear16",)) or "linear16"),
            ("sample_rate", params.one_of("sample_rate", (HEARD_RATE,)) or HEARD_RATE),
            ("channels", 1),
            ("interim_results", True),
            ("endpointing", False),  # when a turn has ended is ours to say
            ("punctuate", _or(params.flag("punctuate", "punctuation"), True)),
            ("smart_format", params.flag("smart_format")),
            *((name, params.flag(name)) for name in FLAGS),
            *(("redact", value) for value in params.texts("redact")),
            *(("replace", value) for value in params.texts("replace")),
            *(("tag", value) for value in params.texts("tag")),
            ("version", params.text("version")),
            *(("keyterm", value) for value in (terms + given if newer else terms)),
            *(("keywords", value) for value in ([] if newer else given)),
        ]
        params.end()
        self.url = with_query(url, query)
        self.headers: Mapping[str, str] = {"authorization": f"Token {key}"}

    def ear(self) -> _Ear:
        return _Ear()


FLAGS = ("dictation", "filler_words", "measurements", "mip_opt_out", "numerals", "profanity_filter")


def spoken_language(language: str, *, newer: bool) -> str | None:
    """What Deepgram is told of it. Any language: "multi", or nothing where a model does not know that."""
    if language.lower() in ("", "auto", "multi"):
        return "multi" if newer else None
    return language


def _or(value: bool | None, default: bool) -> bool:
    return default if value is None else value


class _Ear:
    """Its times count from the beginning of the connection's sound."""

    def __init__(self) -> None:
        self._fed = 0.0
        """Seconds of sound that went over the connection,"""
        self._base = 0.0
        """and that had when the utterance began."""

    def begin(self) -> list[str | bytes]:
        self._base = self._fed
        return []

    def sound(self, pcm: bytes) -> bytes:
        self._fed += len(pcm) / 2 / HEARD_RATE
        return pcm

    def finish(self) -> list[str | bytes]:
        return ['{"type":"Finalize"}']

    def take(self, message: str | bytes) -> Heard | None:
        found = msgspec.json.decode(message)
        kind = found["type"]
        if kind == "Error":
            raise Refused(0, str(found.get("description") or found.get("message")))
        if kind != "Results":
            return None
        until = found["start"] + found["duration"]
        if until <= self._base + LAG:  # of the utterance before
            return None
        best = found["channel"]["alternatives"][0]
        words = [self._word(word) for word in best.get("words") or ()]
        final = bool(found.get("is_final"))
        whole = bool(found.get("from_finalize")) and until >= self._fed - SLACK
        return Heard(best["transcript"], words, final, whole, until - self._base)

    def _word(self, word: Any) -> TimedWord:
        start, end = round((word["start"] - self._base) * 1000), round((word["end"] - self._base) * 1000)
        return TimedWord(word.get("punctuated_word") or word["word"], max(start, 0), end - max(start, 0))


LAG = 0.02
SLACK = 0.5
"""Seconds of sound that may lie behind the last that is told of."""
