"""When each word of a text is said, told piece by piece while its sound comes. No I/O."""

from __future__ import annotations

from ...brains.base import TimedWord
from ..scripts import word_spans

NEAR = 64
"""Characters within which what is said is looked for in the text."""


class WordTimes:
    """Takes what a service says of the times of `text`, in order: of its characters, or of its words as it writes them.
    A word is given out when what follows it is known, or all of it. What of the text has no time belongs to the word
    before, or to the first."""

    def __init__(self, text: str) -> None:
        self._text, small = text, text.lower()
        self._small = small if len(small) == len(text) else text
        self._spans = word_spans(text)
        self._at = 0
        """The character that comes next."""
        self._next = 0
        """The first span that is not given out."""
        self._word: tuple[int, float, float] | None = None
        """The span that is being said, and from when to when."""

    def said(self, fragment: str, start: float, end: float) -> list[TimedWord]:
        """A fragment of the text is said from `start` to `end`, in seconds from the beginning of its sound. Returns the
        words that are known by it; what is not in the text is passed over."""
        wanted = fragment.strip()
        if not wanted:
            return []
        first = self._found(wanted)
        if first < 0:
            return []
        self._at = first + len(wanted)
        found = []
        for number in range(self._next if self._word is None else self._word[0], len(self._spans)):
            begin, until = self._spans[number]
            if until <= first:
                continue
            if begin >= self._at:
                break
            share = (end - start) / len(wanted)
            at, to = start + max(begin - first, 0) * share, start + (min(until, self._at) - first) * share
            if self._word is not None and self._word[0] == number:
                self._word = number, self._word[1], to
                continue
            found += self._given(number)
            self._word = number, at, to
        return found

    def _found(self, wanted: str) -> int:
        """Where it stands in what has not been said yet; < 0: nowhere near."""
        near = self._at, self._at + NEAR + len(wanted)
        exact, loose = self._text.find(wanted, *near), self._small.find(wanted.lower(), *near)
        return min(exact, loose) if min(exact, loose) >= 0 else max(exact, loose)

    def end(self) -> list[TimedWord]:
        """Nothing follows."""
        return self._given(len(self._spans))

    def _given(self, until: int) -> list[TimedWord]:
        """The word that is being said, with all that lies in front of the span `until`."""
        if self._word is None:
            return []
        _, start, end = self._word
        text = self._text[self._spans[self._next][0] : self._spans[until - 1][1]]
        self._next, self._word = until, None
        return [TimedWord(text, round(start * 1000), round(end * 1000) - round(start * 1000))]
