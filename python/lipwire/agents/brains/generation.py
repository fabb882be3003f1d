"""A reply as a brain makes it, and hands it over."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from ..face_tags import FaceTags, Mark
from ..skip_patterns import Brackets, beside
from .base import ReplyText, Stamp, TimedWord

if TYPE_CHECKING:
    from ..speech.tts import Sound


class Generation:
    """What the brains that ask services keep of a reply while it is made. The agent knows it by its `id`.

    Args:
        kind: "chat" = the model's words, "speak" = a text that was given.
        skipped: brackets that are not spoken (`skip_patterns`).
    """

    def __init__(self, kind: Literal["chat", "speak"], skipped: Iterable[int] = ()) -> None:
        self.id = f"reply_{uuid.uuid4().hex[:16]}"
        self.kind = kind
        self.text = ""
        """Its text, as far as it was handed over."""
        self.position_ms = 0.0
        """How much of its sound was handed over."""
        self.dropped = False
        """Whether nothing more of it is to be handed over."""
        self.kept = False
        """Whether no other answer takes its place."""
        self._tags = FaceTags()
        self._brackets = Brackets(skipped)
        self._behind: list[str] = []
        """Brackets behind what was handed over,"""
        self._timed = False
        """whose words had times."""
        self._passed = ""
        """What was handed over, as `reads` gave it back."""
        self._last = ""
        """The last character that it gave back."""
        self._apart = False
        self._stamps: set[str] = set()
        self._piece_ms = 0
        """Where in its sound the piece of text begins that was handed over last."""

    def reads(self, text: str, *, last: bool = False) -> str:
        """More of its text, as it was written; returns what can be spoken of it now. Tags for the face and brackets are
        taken out of it here, before it is cut into sentences. `last`: of this part."""
        out = self._tags.feed(self._brackets.feed(text))
        if last:
            out += self._tags.feed(self._brackets.end()) + self._tags.end()
        if self._apart and out.strip():
            self._apart = False
            if self._last and not (self._last.isspace() or out[0].isspace()):
                out = f" {out}"
        self._last = out[-1:] or self._last
        return out

    def next_part(self) -> None:
        """What is read from now on was written apart from what came before, and is not to be glued to it."""
        self._apart = True

    def restart(self) -> None:
        """What was read and has not been handed over is not said after all."""
        self._tags.restart(self._passed)
        self._brackets.restart()
        self._last, self._apart = self._passed[-1:], True

    def adds(self, text: str) -> tuple[str, tuple[Mark, ...]]:
        """A piece of what `reads` gave back is handed over: the text that is told of it, and its marks. It has no
        brackets."""
        marks = self._tags.take(self._passed, text)
        self._passed += text
        self.text += text
        return text, marks

    def says(self, text: str, sound: Sound | None) -> list[ReplyText]:
        """The events that hand a piece of text over, whose sound follows; None: there will be none."""
        at = self._piece_ms = round(self.position_ms)
        shown = self._brackets.shown(text, self._tags.take(self._passed, text))
        self._passed += text
        self._behind += shown.ahead
        events = self._skipped()
        self._behind = shown.behind
        self.text += shown.text
        if sound is None:
            return [*events, ReplyText(self.id, shown.text, at, 0, marks=shown.marks)]
        duration = round(len(sound.pcm) / 2 / sound.rate * 1000) if sound.whole else None
        words = self._placed(sound.words)
        self._timed = bool(words)
        return [*events, ReplyText(self.id, shown.text, at, duration, words, shown.marks)]

    def times(self, words: Iterable[TimedWord]) -> ReplyText:
        """The event that says when words of the piece are said that was handed over last."""
        self._timed = True
        return ReplyText(self.id, "", self._piece_ms, words=self._placed(words))

    def _placed(self, words: Iterable[TimedWord]) -> tuple[TimedWord, ...]:
        return tuple(TimedWord(word.text, word.start_ms + self._piece_ms, word.duration_ms) for word in words)

    def shows(self) -> list[ReplyText]:
        """The events that hand over what is told and shown behind the last word."""
        events, marks = self._skipped(), self._tags.take(self._passed, "")
        return [*events, ReplyText(self.id, "", round(self.position_ms), 0, marks=marks)] if marks else events

    def _skipped(self) -> list[ReplyText]:
        """The events that tell the brackets behind what was said: at the end of its sound, and taking no time."""
        at, events = round(self.position_ms), []
        for bracket in self._behind:
            text = beside(self.text, bracket)
            words = (TimedWord(bracket, at, 0),) if self._timed else ()
            self.text += text
            events.append(ReplyText(self.id, text, at, 0, words))
        self._behind = []
        return events

    def stamp(self, name: Literal["first_token", "first_sentence", "tts_asked", "first_audio"]) -> Stamp | None:
        """The event that says that a point of its way is reached now; None where it was reached before."""
        if name in self._stamps:
            return None
        self._stamps.add(name)
        return Stamp(self.id, name, time.monotonic_ns())
