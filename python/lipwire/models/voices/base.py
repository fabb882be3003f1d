"""What the engines have in common: a text becomes sentences, and each of them sound with its words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from ...errors import InvalidArgument
from ..wire import Spoken, Word
from .level import TAIL, Floats, Loudness, trimmed
from .pieces import pieces
from .timing import times_of_words

BETWEEN = 0.28
"""Seconds of silence that are left behind a sentence that others follow."""

MOST_VOICES = 3
"""That an engine for files of the user's keeps loaded; the one that was not used for longest goes."""

K = TypeVar("K")
V = TypeVar("V")
Say = Callable[[str, float], tuple[Floats, tuple[Word, ...]]]
"""(a sentence, seconds of silence behind it) -> samples, and the words with their times; none where there is nothing
that can be said."""


class Engine(Protocol):
    """Loads a voice when it is asked for. Not for several threads at once."""

    def has(self, voice: str) -> bool:
        """Whether a voice is loaded."""

    def speak(self, voice: str, text: str) -> Iterator[Spoken]:
        """Says `text`, sentence by sentence: the sound of each and its words, whose times count from the beginning of
        the text.

        Raises:
            InvalidArgument: no such voice, or there is nothing in the text that it can say. ModelFailed: it cannot be
            loaded. BadState: espeak-ng is needed, and not installed.
        """


def kept(loaded: dict[K, V], key: K, load: Callable[[], V]) -> V:
    """What is loaded by that name, or is now; MOST_VOICES stay, the last one that was used last."""
    if key in loaded:
        found = loaded.pop(key)
    else:
        while len(loaded) >= MOST_VOICES:
            del loaded[next(iter(loaded))]
        found = load()
    loaded[key] = found
    return found


def placed(
    text: str, samples: Floats, rate: int, tail: float, spans: Sequence[tuple[str, int, int]], ends: Sequence[float]
) -> tuple[Floats, tuple[Word, ...]]:
    """A sentence without the silence around it, and its words with their times in that.

    Args:
        tail: seconds of silence that are left behind it.
        spans: what was said: (text, its first phoneme, the one behind it).
        ends: when each phoneme ends, in seconds.
    """
    samples, cut = trimmed(samples, rate, tail=tail)
    length = len(samples) / rate
    times = [min(max(end - cut, 0.0), length) for end in ends]
    said = [(word, times[first - 1], times[behind - 1]) for word, first, behind in spans if behind > first]
    return samples, times_of_words(text, said) if len(samples) else ()


def speech(voice: str, text: str, say: Say, rate: int, loudness: Loudness) -> Iterator[Spoken]:
    """What `Engine.speak` gives, sentence by sentence by `say`."""
    parts = pieces(text)
    said = 0.0
    for number, piece in enumerate(parts, 1):
        samples, words = say(piece, TAIL if number == len(parts) else BETWEEN)
        if words:
            timed = tuple((word, said + start, said + end) for word, start, end in words)
            said += len(samples) / rate
            yield Spoken(loudness.pcm(samples, rate), rate, timed, len(parts) == 1)
    if not said:
        raise InvalidArgument(
            f"the voice {voice} finds nothing that it can say in {text[:40]!r}; another language has other voices"
        )
