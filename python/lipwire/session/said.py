"""A text as speech for a film, spoken by espeak-ng, with the times of its words."""

from __future__ import annotations

from collections.abc import Iterator

from ..audio import espeak
from .subtitles import Cue, cues_of_words, pieces

AT_ONCE = 2000
"""Characters that are given to espeak-ng at a time, or one sentence that is longer."""


class SpokenText:
    """A text, spoken: iterate over it for chunks of PCM16 mono.

    Args:
        voice: espeak-ng's name of it, say "en-us" or "de+f3".

    Raises:
        InvalidArgument: there is nothing to say, or no such voice. BadState: espeak-ng is not installed.
    """

    def __init__(self, text: str, voice: str) -> None:
        self._text = text
        self._words: list[tuple[float, int]] = []
        self._chunks: list[bytes] = []
        self.rate = 0
        """Hz."""
        samples = 0
        for begin, end in _stretches(text):
            speech = espeak.speak(text[begin:end], voice)
            self.rate = speech.rate
            self._words += [(samples / speech.rate + at, begin + first) for at, first, _ in speech.words]
            self._chunks.append(speech.pcm)
            samples += len(speech.pcm) // 2
        self.duration = samples / self.rate
        """Seconds."""

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def cues(self) -> list[Cue]:
        """Its subtitles."""
        return cues_of_words(self._text, self._words, self.duration)


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    """Where the text is cut for the voice: between cues, so that a sentence stays whole where it can."""
    begin = end = 0
    for piece, piece_end in pieces(text):
        if end > begin and piece_end - begin > AT_ONCE:
            yield begin, end
            begin = piece
        end = piece_end
    yield begin, len(text)
