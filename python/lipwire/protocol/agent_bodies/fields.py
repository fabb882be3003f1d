"""What a field of a body may be, in types with words, and what is said where one is not."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, get_origin

from msgspec import Meta, Struct

from ..messages import FILM_NAME, FILM_NAME_WORDS, Egress, MotionCarrier, MotionSet


class Open(Struct, kw_only=True):
    """An object that may have more members than these: they are somebody else's, and are kept as they are."""


class Fault(Struct, frozen=True):
    """What is wrong with one field. `loc`: its path on the wire; `msg`: what it must be, and what it was."""

    loc: str
    msg: str
    type: Literal["missing", "invalid", "not_allowed"] = "invalid"

    def __str__(self) -> str:
        return f"{self.loc} {self.msg}"


def show(value: Any) -> str:
    """`value` as JSON, short enough for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."


def sort_of(value: Any) -> str:
    """Of which sort a value of JSON is, in words."""
    sorts = (
        (bool, "true or false"),
        (str, "a string"),
        (int | float, "a number"),
        (list, "a list"),
        (dict, "an object"),
    )
    return next((words for kind, words in sorts if isinstance(value, kind)), "null")


def allowed(kind: Any) -> str:
    """What a field of this type may be, in words."""
    if get_origin(kind) is Annotated:
        return next(meta.description for meta in kind.__metadata__ if isinstance(meta, Meta) and meta.description)
    return "an object"


_CHANNEL = r"^[A-Za-z0-9 !#$%&()+\-:;<=.>?@\[\]^_{}|~,]{1,64}$(?!\n)"

Text = Annotated[str, Meta(max_length=65_536, description="a string of at most 65536 characters")]
Short = Annotated[str, Meta(max_length=256, description="a string of at most 256 characters")]
Name = Annotated[str, Meta(min_length=1, max_length=256, description="a string of 1 to 256 characters")]
Token = Annotated[str, Meta(max_length=8192, description="a string of at most 8192 characters")]
Channel = Annotated[
    str,
    Meta(pattern=_CHANNEL, description="1 to 64 letters, digits, spaces or any of !#$%&()+-:;<=.>?@[]^_{}|~,"),
]
Uid = Annotated[int, Meta(ge=0, le=2**32 - 1, description="an integer 0..4294967295")]
UidNumber = Annotated[
    Annotated[int, Meta(ge=0, le=2**32 - 1)] | Annotated[str, Meta(pattern=r"^[0-9]{1,10}$(?!\n)")],
    Meta(description="an integer 0..4294967295"),
]
"""v1's, which is a number, however it is written."""
UidText = Annotated[
    Annotated[str, Meta(min_length=1, max_length=255)] | Annotated[int, Meta(ge=0, le=2**32 - 1)],
    Meta(description="a string of 1 to 255 characters"),
]
UidTexts = Annotated[list[UidText], Meta(max_length=128, description='at most 128 user ids; ["*"] or [] = everyone')]
Url = Annotated[
    str, Meta(max_length=2048, pattern=r"^https?://[^\s/?#]+[^\s]*$(?!\n)", description="an http:// or https:// URL")
]
Language = Annotated[
    str, Meta(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}$(?!\n)", description='a language tag, like "en-US"')
]
AnyLanguage = Annotated[
    str,
    Meta(
        pattern=r"^(auto|multi|[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3})?$(?!\n)",
        description='a language tag, like "en-US", or "auto"',
    ),
]
SocketUrl = Annotated[
    str, Meta(max_length=2048, pattern=r"^wss?://[^\s/?#]+[^\s]*$(?!\n)", description="a ws:// or wss:// URL")
]
Unit = Annotated[float, Meta(ge=0, le=1, description="a number 0..1")]
Seconds = Annotated[float, Meta(ge=0, le=1e9, description="a number of seconds >= 0 (0 = never)")]
Flag = Annotated[bool, Meta(description="true or false")]
Codec = Annotated[
    Literal[-1, 0, 8, 9, 120, 122],
    Meta(description="0 (PCMU), 8 (PCMA), 9 (G722), 120 (OPUS), 122 (OPUSFB) or -1 (default)"),
]
Scenario = Annotated[Literal[0, 9], Meta(description="0 (default) or 9 (AI QoS)")]
History = Annotated[int, Meta(ge=0, le=1024, description="an integer 0..1024")]
PaddingMs = Annotated[int, Meta(ge=0, le=5000, description="an integer 0..5000")]
SilenceMs = Annotated[
    Annotated[int, Meta(ge=0, le=10_000)] | None,
    Meta(description="an integer 0..10000; null = by what was said"),
]
WaitS = Annotated[float, Meta(ge=0, le=30, description="a number 0..30")]
Phrases = Annotated[
    Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=256)] | None,
    Meta(description="at most 256 strings of at most 64 characters; null = those of the language"),
]
Inputs = Annotated[list[Literal["text", "image"]], Meta(description='["text"] or ["text","image"]')]
Outputs = Annotated[list[Literal["text", "audio"]], Meta(description='["text"], ["audio"] or ["text","audio"]')]
Anything = Annotated[Any, Meta(description="anything")]
Object = Annotated[dict[str, Any], Meta(description="an object")]
Headers = Annotated[
    dict[str, str],
    Meta(description="an object of header names and their values, without Host, Content-Length and what is like them"),
]
"""Their values are secrets."""
Params = Annotated[dict[str, Any], Meta(description="an object; its model a string")]
Messages = Annotated[
    list[dict[str, Any]],
    Meta(max_length=256, description='at most 256 messages {"role": "system", "content": ...}'),
]
FilmName = Annotated[str, Meta(pattern=rf"^{FILM_NAME.pattern}$(?!\n)", description=FILM_NAME_WORDS)]
Size = Annotated[int, Meta(ge=16, le=1920, multiple_of=2, description="an even integer 16..1920")]
Egressed = Annotated[Egress, Meta(description='"video", "motion" or "both"')]
Sets = Annotated[
    list[MotionSet], Meta(min_length=1, description="a list of some of visemes, arkit, head, pose and azure")
]
Carrier = Annotated[MotionCarrier, Meta(description='"data" or "sei"')]
Strings = Annotated[
    dict[Annotated[str, Meta(max_length=256)], Annotated[str, Meta(max_length=65_536)]],
    Meta(max_length=256, description="an object of at most 256 strings by name"),
]
Words = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=256)]],
    Meta(max_length=128, description="at most 128 strings of 1 to 256 characters"),
]
InterruptMs = Annotated[
    Annotated[int, Meta(ge=120, le=1200)] | None, Meta(description="an integer 120..1200; null = by the threshold")
]
Fps = Annotated[float, Meta(ge=1, le=60, description="a number 1..60, such as 25 or 29.97")]
