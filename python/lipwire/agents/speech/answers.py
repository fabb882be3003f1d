"""Habits of text to speech services: what they answer in place of what was asked for, and what they refuse.

No I/O.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ..http import ServiceError

MAX_JSON = 32 << 20
"""Bytes of one JSON value that carries sound."""
NAMES = frozenset({"audioContent", "audio_base64", "audio", "audios", "audio_data", "audioData", "data"})
"""Members that hold sound."""
MIN_TEXT = 8
"""Characters of sound in base64: what is shorter is a word."""

STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?')
"""In a line of JSON, where none goes on over its end."""

FORMATS = ("pcm", "wav", "mp3", "aac", "opus", "ogg", "webm", "flac")
"""Formats to ask a service for, the best first: what needs no decoding, then what begins soonest. Ogg comes in pages,
which may hold a second each, and of FLAC FFmpeg wants ten frames before it gives the first."""
ANY_FORMAT = ""
"""As a format: none is asked for, and the service sends what it has."""


def _names(text: str, word: str) -> bool:
    return re.search(rf"(?<![a-z0-9]){word}(?![a-z])", text) is not None


def other_format(refused: str, tried: list[str]) -> str | None:
    """The format to ask for after a refusal: the best one that it names, then those that most services have, then none
    at all. None = the refusal is not about that, or nothing is left.

    Args:
        refused: what the service said.
        tried: the formats that it was asked for, the last one last.
    """
    text = refused.lower()
    about = re.search(r"response[ _]?format|output[ _]?format|audio[ _]?format|\bformats?\b|codec|media type", text)
    named = [name for name in FORMATS if name not in tried and _names(text, name)]
    if not about and not (named and _names(text, tried[-1] or "pcm")):
        return None
    rest = [name for name in ("wav", "mp3", ANY_FORMAT) if name not in tried]
    return next(iter([*named, *rest]), None) if len(tried) < len(FORMATS) else None


class JsonSound:
    """Sound in JSON, as base64 or in hexadecimal: one object, or one a line, or one an event of a stream.

    Those who send it so name it `audioContent` (Google), `audio_base64` (ElevenLabs with times), `audio` (OpenAI),
    `data` (Cartesia, Gemini), `data.audio` (MiniMax), somewhere in the object.
    """

    def __init__(self) -> None:
        self._text = bytearray()
        """What is not understood yet: the lines of an object that goes on, and one that has no end."""
        self._line = 0
        """Where in it that line begins."""
        self._depth = 0
        """How many objects and lists are open in front of it."""
        self._some = False
        self._hex: bool | None = None
        """Whether the sound is in hexadecimal. Its first piece says so: base64 of silence is nothing but "A", too."""

    def take(self, data: bytes) -> bytes:
        """More of it; the bytes of sound in it. Raises ServiceError: there is none, or it says an error."""
        self._text += data
        if len(self._text) > MAX_JSON:
            raise ServiceError(f"text to speech sent more than {MAX_JSON >> 20} MiB of JSON")
        if b"\n" not in data:
            return b""
        found, begin = [], 0
        while (end := self._text.find(b"\n", self._line)) >= 0:
            line = bytes(self._text[self._line : end])
            self._line = end + 1
            if self._depth:
                self._depth += _opened(line)
                if self._depth > 0:
                    continue
            value = _value(bytes(self._text[begin:end]))
            if value is not None:
                found.append(self._sound(value))
                begin, self._depth = self._line, 0
                continue
            self._depth = _opened(line)
            if self._depth <= 0:  # it begins no object over several lines
                raise ServiceError("text to speech answered what is no JSON, where sound was expected")
        del self._text[:begin]
        self._line -= begin
        return b"".join(found)

    def end(self) -> bytes:
        """There is no more. Raises ServiceError."""
        sound = b""
        if self._text.strip():
            value = _value(bytes(self._text))
            if value is None:
                raise ServiceError("text to speech answered JSON that is cut off, where sound was expected")
            sound = self._sound(value)
        if not self._some:
            raise ServiceError("text to speech answered 'application/json', where sound was expected")
        return sound

    def _sound(self, value: Any) -> bytes:
        if not isinstance(value, dict):
            return b""
        if value.get("error"):
            raise ServiceError("text to speech answered an error, where sound was expected")
        data = value.get("data")
        if isinstance(data, dict) and data.get("status") == 2 and self._some:
            return b""  # MiniMax says all of it once more at the end
        found = b"".join(map(self._decoded, _sounds(value)))
        self._some = self._some or bool(found)
        return found

    def _decoded(self, text: str) -> bytes:
        """The bytes of base64 or of hexadecimal; none where it is neither: an address, say, or a word."""
        text = "".join((text.partition("base64,")[2] or text).split())
        if len(text) < MIN_TEXT:
            return b""
        if self._hex is None:
            self._hex = bool(re.fullmatch(r"([0-9a-fA-F]{2})+", text) and re.search(r"\d", text))
        try:
            return bytes.fromhex(text) if self._hex else base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return b""


def _sounds(value: Any, depth: int = 8) -> Iterator[str]:
    """The texts that have the name of sound."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        texts = one if isinstance(one, list) else [one]
        for text in texts if name in NAMES else ():
            if isinstance(text, str):
                yield text
        if depth and not isinstance(one, str):
            yield from _sounds(one, depth - 1)


def _opened(line: bytes) -> int:
    """How many more objects and lists a line of JSON opens than it closes."""
    bare = STRINGS.sub(b"", line)
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")


def _value(line: bytes) -> Any:
    """The JSON of a line or of an event's data, {} of a line without any; None = it is none, or not all of it."""
    text = line.strip()
    if text.startswith(b"data:"):
        text = text[5:].strip()
    if not text or text == b"[DONE]" or re.match(rb"(event|id|retry):|:", text):
        return {}
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
