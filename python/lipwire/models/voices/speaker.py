"""Says a text with a voice of this machine, in this process: for commands, and for the process of models."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from ..wire import Spoken
from .base import Engine
from .espeak import Espeak
from .hibari import Hibari
from .kokoro import Kokoro
from .names import EngineName, Name
from .piper import Piper

_ENGINES: dict[EngineName, type[Engine]] = {"hibari": Hibari, "piper": Piper, "kokoro": Kokoro, "espeak": Espeak}


class Speaker:
    """The engines of one thread, each made when it is first asked."""

    def __init__(self) -> None:
        self._engines: dict[EngineName, Engine] = {}

    def has(self, name: Name) -> bool:
        """Whether a voice is loaded."""
        return name.engine in self._engines and self._engines[name.engine].has(name.voice)

    def speak(self, name: Name, text: str) -> Iterator[Spoken]:
        """Says `text` with a voice that `catalogue.resolved` gave. See `base.Engine.speak`."""
        if name.engine not in self._engines:
            self._engines[name.engine] = _ENGINES[name.engine]()
        return self._engines[name.engine].speak(name.voice, text)


_lock = threading.Lock()
_speaker = Speaker()


def speak(name: Name, text: str) -> list[Spoken]:
    """All of it, from any thread, by the engines of this process. Raises as `base.Engine.speak`."""
    with _lock:
        return list(_speaker.speak(name, text))
