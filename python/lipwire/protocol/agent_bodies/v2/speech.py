"""v2: `asr` and `tts`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from ..fields import AnyLanguage, Headers, Name, Object, Open, Short, Url, Words
from ..v1 import Tts

VoiceName = Annotated[
    Annotated[str, Meta(max_length=256)] | dict[str, Any],
    Meta(description="a string of at most 256 characters, or an object with an id"),
]
Patterns = Annotated[
    list[Literal[1, 2, 3, 4, 5]],
    Meta(max_length=16, description="a list of some of 1 （）, 2 【】, 3 (), 4 [], 5 {}"),
]


class AsrV2(Struct, kw_only=True):
    """Speech to text: of a vendor whose key is in `params`, else the server's own. `headers` go with every request to
    the service."""

    vendor: Name = "ares"
    language: AnyLanguage = "en-US"
    keywords: Words = field(default_factory=list)
    params: Object = field(default_factory=dict)
    headers: Headers = field(default_factory=dict)


class TtsParams(Open, kw_only=True):
    """Where vendors name the voice, and their own fields."""

    voice_name: Short = ""
    voice_id: Short = ""
    voice: VoiceName = ""


class TtsV2(Tts, kw_only=True):
    """Text to speech: of a vendor whose key is in `params`, else the server's own. Clients name the voice in `params`,
    by their vendor's word for it. `headers` go with every request to the service."""

    vendor: Name = "microsoft"
    url: Url = ""
    """Of vendor "generic_http"."""
    params: TtsParams = field(default_factory=TtsParams)
    headers: Headers = field(default_factory=dict)
    skip_patterns: Patterns = field(default_factory=list)
    credential_mode: Annotated[Literal["byok", "managed"], Meta(description='"byok" or "managed"')] = "byok"
