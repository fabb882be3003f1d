"""A text as speech for a film, spoken on this machine, with the times of its words."""

from __future__ import annotations

from collections.abc import Iterator

from ..models.voices.names import Name
from ..models.voices.speaker import speak
from ..models.voices.timing import places
from .subtitles import Cue, cues_of_words


class SpokenText:
    """A text, spoken: iterate over it for chunks of PCM16 mono.

    Args:
        voice: as `models.voices.choose` gives it.

    Raises:
        InvalidArgument: there is nothing to say, or no such voice. ModelFailed, BadState: what speaks is not installed.
    """

    def __init__(self, text: str, voice: Name) -> None:
        self._text = text
        sounds = speak(voice, text)
        self._chunks = [sound.pcm for sound in sounds]
        self._words = places(text, (word for sound in sounds for word in sound.words))
        self.rate = sounds[0].rate
        """Hz."""
        self.duration = sum(map(len, self._chunks)) / 2 / self.rate
        """Seconds."""

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def cues(self) -> list[Cue]:
        """Its subtitles."""
        return cues_of_words(self._text, self._words, self.duration)
