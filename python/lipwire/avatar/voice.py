"""The voice that goes with a face: what it is called by those who can speak with it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ESPEAK = re.compile(r"(?:[a-z]{2,3}(?:-[a-z0-9]{2,8})?)?\+\w+|[a-z]{2,3}(?:-[a-z0-9]{2,4})?")


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice by its names; None where there is none, and whoever speaks takes his own.

    `espeak` is a voice of espeak-ng ("en-us+f3"), or one of its variants alone ("+f3"), for any language that is
    spoken. `openai` is one of OpenAI's, for text to speech and Realtime. `service` is what any other text to speech
    service is asked for.
    """

    espeak: str | None = None
    openai: str | None = None
    service: str | None = None

    @classmethod
    def named(cls, name: str) -> Voice:
        """The voice of that one name, whoever's it is: espeak-ng's (en-us+f3, de), one with a locale of some other
        service (en-US-AvaNeural), or one as OpenAI and those who are like it have (coral)."""
        if _ESPEAK.fullmatch(name):
            return cls(espeak=name)
        return cls(openai=None if "-" in name else name, service=name)

    def for_espeak(self, language: str = "en-us") -> str:
        """espeak-ng's name of it; `language` is that of espeak-ng's voice which a variant is put on."""
        name = self.espeak or ""
        return f"{language}{name}" if name.startswith("+") else name or language


VOICES = {
    "aria": Voice("+f3", "coral", "en-US-AvaMultilingualNeural"),
    "ohm": Voice("+robosoft3", "echo", "en-US-AndrewMultilingualNeural"),
    "kit": Voice("+anika", "sage", "en-US-AnaNeural"),
}
"""Of the built-in avatars: a woman, a robot, a young fox."""
