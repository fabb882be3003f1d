"""What a recognizer's process is told and answers, over process.link. Sound is PCM16 mono at 16 kHz."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Begin(Struct, frozen=True, tag=True):
    """An utterance begins; answers to it carry its number."""

    number: int


class Sound(Struct, frozen=True, tag=True):
    """More of the utterance. `Partial` may come meanwhile."""

    pcm: bytes


class Finish(Struct, frozen=True, tag=True):
    """It is over: `Heard` is the answer."""


class Drop(Struct, frozen=True, tag=True):
    """Nobody wants it any more; there is no answer."""


class Look(Struct, frozen=True, tag=True):
    """Whether a piece of speech is a voice command: `Found` is the answer."""

    pcm: bytes
    wanted: Literal["start", "stop"]


Command = Begin | Sound | Finish | Drop | Look


class Ready(Struct, frozen=True, tag=True):
    """Once, at first."""


class Partial(Struct, frozen=True, tag=True):
    number: int
    text: str


class Heard(Struct, frozen=True, tag=True):
    number: int
    text: str
    words: list[tuple[str, int, int]]
    """(word, start, end) in ms from the beginning of the utterance."""


class Found(Struct, frozen=True, tag=True):
    found: bool


Answer = Ready | Partial | Heard | Found
