"""The voice that goes with a face: what it is called by those who can speak with it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

ENGINES = ("hibari", "piper", "kokoro", "espeak")
"""What speaks on this machine: a voice of one of them is called `engine:voice`."""
_FILES = ("piper:", "kokoro:")
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
    offline: str | None = None
    """What speaks on this machine where it can, in place of espeak-ng: "hibari:heart" (docs/agents/voices.md)."""

    @classmethod
    def named(cls, name: str) -> Voice:
        """The voice of that one name, whoever's it is: of this machine (hibari:heart), of espeak-ng (en-us+f3, de), one
        with a locale of some other service (en-US-AvaNeural), or one as OpenAI and those like it have (coral)."""
        if name.partition(":")[0] in ENGINES and ":" in name:
            return cls(offline=name)
        if _ESPEAK.fullmatch(name):
            return cls(espeak=name)
        return cls(openai=None if "-" in name else name, service=name)

    def beside(self, folder: Path) -> Voice:
        """The same, of an avatar in that folder: a file of a voice that is told by a path lies there."""
        for engine in _FILES:
            if self.offline and self.offline.startswith(engine) and ".onnx" in self.offline:
                return replace(self, offline=f"{engine}{folder / self.offline.removeprefix(engine)}")
        return self

    def for_espeak(self, language: str = "en-us") -> str:
        """espeak-ng's name of it; `language` is that of espeak-ng's voice which a variant is put on."""
        name = self.espeak or ""
        return f"{language}{name}" if name.startswith("+") else name or language


VOICES = {
    "aria": Voice("+f3", "coral", "en-US-AvaMultilingualNeural", "hibari:heart"),
    "ohm": Voice("+robosoft3", "echo", "en-US-AndrewMultilingualNeural", "hibari:heart+robot"),
    "kit": Voice("+anika", "sage", "en-US-AnaNeural", "hibari:heart+child"),
}
"""Of the built-in avatars: a woman, a robot, a young fox."""
