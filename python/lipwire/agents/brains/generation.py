"""A reply as a brain makes it, and hands it over."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from ..face_tags import FaceTags
from .base import ReplyText, Stamp, TimedWord

if TYPE_CHECKING:
    from ..speech.tts import Sound


class Generation:
    """What the brains that ask services keep of a reply while it is made. The agent knows it by its `id`.

    Args:
        kind: "chat" = the model's words, "speak" = a text that was given.
    """

    def __init__(self, kind: Literal["chat", "speak"]) -> None:
        self.id = f"reply_{uuid.uuid4().hex[:16]}"
        self.kind = kind
        self.text = ""
        """Its text, as far as it was handed over."""
        self.position_ms = 0.0
        """How much of its sound was handed over."""
        self.dropped = False
        """Whether nothing more of it is to be handed over."""
        self.tags = FaceTags()
        """Takes the tags for the face out of its text, which goes through it before it is cut into sentences."""
        self._stamps: set[str] = set()
        self._piece_ms = 0
        """Where in its sound the piece of text begins that was handed over last."""

    def says(self, text: str, sound: Sound | None) -> ReplyText:
        """The event that hands a piece of text over, whose sound follows; None: there will be none."""
        at = round(self.position_ms)
        marks = self.tags.take(self.text, text)
        self.text += text
        self._piece_ms = at
        if sound is None:
            return ReplyText(self.id, text, at, 0, marks=marks)
        duration = round(len(sound.pcm) / 2 / sound.rate * 1000) if sound.whole else None
        return ReplyText(self.id, text, at, duration, self._placed(sound.words), marks)

    def times(self, words: Iterable[TimedWord]) -> ReplyText:
        """The event that says when words of the piece are said that was handed over last."""
        return ReplyText(self.id, "", self._piece_ms, words=self._placed(words))

    def _placed(self, words: Iterable[TimedWord]) -> tuple[TimedWord, ...]:
        return tuple(TimedWord(word.text, word.start_ms + self._piece_ms, word.duration_ms) for word in words)

    def shows(self) -> ReplyText | None:
        """The event that hands over what the face is to show behind the last word; None = nothing."""
        marks = self.tags.take(self.text, "")
        return ReplyText(self.id, "", round(self.position_ms), 0, marks=marks) if marks else None

    def stamp(self, name: Literal["first_token", "first_sentence", "tts_asked", "first_audio"]) -> Stamp | None:
        """The event that says that a point of its way is reached now; None where it was reached before."""
        if name in self._stamps:
            return None
        self._stamps.add(name)
        return Stamp(self.id, name, time.monotonic_ns())
