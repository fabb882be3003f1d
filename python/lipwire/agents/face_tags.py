"""Tags in what a model writes, by which it says what its face does: `<face smile/>`. No I/O.

They are neither said nor shown: everything that begins as one and is closed is taken out, whatever stands in it, and of
its words those count that are known. They may come in any pieces.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

Mood = Literal["neutral", "happy", "concerned", "surprised"]
Gesture = Literal["nod", "shake", "wave", "beat"]

MAX_TAG = 200
"""Characters of a tag; what is longer is none."""

_MOODS: dict[str, Mood] = {
    **dict.fromkeys(("neutral", "calm", "serious"), "neutral"),
    **dict.fromkeys(("happy", "smile", "smiling", "glad", "joy"), "happy"),
    **dict.fromkeys(("concerned", "sad", "sorry", "worried"), "concerned"),
    **dict.fromkeys(("surprised", "surprise", "astonished"), "surprised"),
}
_GESTURES: dict[str, Gesture] = {"nod": "nod", "shake": "shake", "wave": "wave"}
MOODS, GESTURES = tuple(_MOODS), tuple(_GESTURES)
"""The words of a tag."""

_GAP = r"\s{0,8}"
_OPENS = rf"<{_GAP}(?:/{_GAP})?"
"""How one begins. Nothing in it is without a limit: what is tried at each `<`, and what is held, stays short."""
_TAG = re.compile(rf"{_OPENS}face\b[^<>]{{0,{MAX_TAG}}}>", re.IGNORECASE)
_BEGUN = re.compile(rf"{_OPENS}(?:f(?:a(?:c(?:e(?:\b[^<>]{{0,{MAX_TAG}}})?)?)?)?)?\Z", re.IGNORECASE)
"""What may yet become one."""


class Feeling(Struct, frozen=True):
    """What a face is to show: a mood, until another one, and a gesture, once; None = what it does anyway."""

    mood: Mood | None = None
    gesture: Gesture | None = None

    def then(self, later: Feeling) -> Feeling:
        """Both at once: of each kind the later one."""
        return Feeling(later.mood or self.mood, later.gesture or self.gesture)


class Mark(Struct, frozen=True):
    """A feeling, and where in a text: before the character of this index."""

    at: int
    feeling: Feeling


def read_tag(tag: str) -> Feeling | None:
    """What a tag says, by its known words, the last of each kind; None = nothing."""
    words = re.findall(r"[a-z]+", tag.lower())[1:]
    mood = next((_MOODS[word] for word in reversed(words) if word in _MOODS), None)
    gesture = next((_GESTURES[word] for word in reversed(words) if word in _GESTURES), None)
    return Feeling(mood, gesture) if mood or gesture else None


def plain(text: str) -> str:
    """A whole text without its tags."""
    tags = FaceTags()
    return tags.feed(text) + tags.end()


class FaceTags:
    """Takes the tags out of the text of one reply.

    Where a tag stood is counted in characters that are no white space, of which all are said in the end, and in order:
    how a text is laid out is not kept on its way.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[int, Feeling]] = []
        """(characters before it, what it says) of those that nobody has taken; one for each place."""
        self._passed = 0
        """Such characters that have been given back."""
        self._held = ""
        """What may be the beginning of a tag."""
        self._blank = True
        """Whether what was given back last is white space, or nothing was."""
        self._after_tag = False

    def feed(self, text: str) -> str:
        """More text; returns what of it is said."""
        text, self._held = self._held + text, ""
        out, at = [], 0
        for tag in _TAG.finditer(text):
            out.append(self._said(text[at : tag.start()]))
            if (feeling := read_tag(tag[0])) is not None:
                if self.waiting and self.waiting[-1][0] == self._passed:
                    feeling = self.waiting.pop()[1].then(feeling)
                self.waiting.append((self._passed, feeling))
            self._after_tag, at = True, tag.end()
        if (begun := _BEGUN.search(text, at)) is not None:
            self._held = text[begun.start() :]
        out.append(self._said(text[at : len(text) - len(self._held)]))
        return "".join(out)

    def end(self) -> str:
        """The text is over; returns what was held. A tag that is not closed is none, but for its beginning."""
        held, self._held = self._held, ""
        return self._said("" if re.match(rf"{_OPENS}face\b", held, re.IGNORECASE) else held)

    def restart(self, said: str) -> None:
        """What was fed and is not in `said` is not said after all."""
        self.waiting, self._held = [], ""
        self._passed = _solid(said)
        self._blank, self._after_tag = not said or said[-1].isspace(), False

    def take(self, before: str, text: str) -> tuple[Mark, ...]:
        """The marks in a piece of the text, or at its ends. `before`: all that was handed over before it."""
        first = _solid(before)
        last = first + _solid(text)
        taken = [one for one in self.waiting if one[0] <= last]
        self.waiting = self.waiting[len(taken) :]
        return tuple(Mark(_index(text, count - first), feeling) for count, feeling in taken)

    def _said(self, text: str) -> str:
        if self._after_tag and self._blank:  # "Well. <face nod/> Yes." has one blank between, not two
            text = text.lstrip()
        if text:
            self._blank, self._after_tag = text[-1].isspace(), False
        self._passed += _solid(text)
        return text


def _solid(text: str) -> int:
    return sum(not character.isspace() for character in text)


def _index(text: str, count: int) -> int:
    """Where the character is that has so many solid ones before it."""
    for index, character in enumerate(text):
        if not character.isspace():
            if count <= 0:
                return index
            count -= 1
    return len(text)
