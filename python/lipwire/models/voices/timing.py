"""When the words of a text are said, from what a voice made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

from ..wire import Word

_WORD = re.compile(r"\S*(?:[^\W_]|[$€£¥₹%&@#*+=<>×÷±°§©®])\S*")
"""What stands between spaces and can be heard."""
_MARKS = re.compile(r"[\W_]+")


def times_of_words(text: str, said: Sequence[Word]) -> tuple[Word, ...]:
    """The words of `text` with their times.

    Args:
        said: what was said, word by word: numbers, signs and addresses are several words there, and some of the text
            none. What cannot be told apart is shared out by its letters.

    Returns:
        Each as it stands in the text, with its marks; what was not said is left out.
    """
    words = [match[0] for match in _WORD.finditer(text)]
    said = [word for word in said if _WORD.search(word[0])]
    ours, theirs = [_key(word) for word in words], [_key(word) for word, _, _ in said]
    timed: list[Word] = []
    for kind, a, b, c, d in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if kind == "equal":
            timed += [(word, start, end) for word, (_, start, end) in zip(words[a:b], said[c:d], strict=True)]
        elif kind == "replace":
            timed += _shared(words[a:b], said[c][1], said[d - 1][2])
        elif kind == "insert" and timed:
            word, start, _ = timed[-1]
            timed[-1] = (word, start, said[d - 1][2])
    return tuple(timed)


def _key(word: str) -> str:
    return _MARKS.sub("", word).casefold()


def _shared(words: Sequence[str], start: float, end: float) -> Iterable[Word]:
    whole = sum(len(word) for word in words)
    at = start
    for word in words:
        until = at + (end - start) * len(word) / whole
        yield word, at, until
        at = until


def places(text: str, words: Iterable[Word]) -> list[tuple[float, int]]:
    """Where in the text its words are: (start in seconds, first character) of each. They may overlap, as where a voice
    says two as one, and the second again."""
    found, at = [], 0
    for word, start, _ in words:
        first = text.find(word, at)
        while first > 0 and word[:1].isalnum() and text[first - 1].isalnum() and text[first - 1].isascii():
            first = text.find(word, first + 1)  # it was within another
        if first >= 0:
            found.append((start, first))
            at = first + 1
    return found
