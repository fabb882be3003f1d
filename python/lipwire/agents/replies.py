"""A reply: one thing that the agent says, from the moment it is wanted to the moment it is over.

    asked ──► begun ──► heard ──► over
      │          └────────────────►
      └──► refused

The conversation moves it along, the playout measures its sound, and whoever asked for it may hold it and look.
"""

from __future__ import annotations

import bisect
from typing import Literal

from msgspec import Struct

from ..errors import LipwireError
from .brains.base import ReplyText, TimedWord
from .face_tags import Feeling
from .speech.scripts import cut_back, length, sentence_end
from .speech.spoken import place_of
from .speech.stress import Syllables
from .turns import StartReason, Turn

ReplyState = Literal["asked", "begun", "heard", "over", "refused"]
"""asked: the brain is to say it, and has not begun. begun: the brain hands it over. heard: its first sample is in the
channel. over: nothing more of it is said. refused: it was not wanted any more, or could not be had, before it began."""
Outcome = Literal["finished", "interrupted", "failed"]

MS_A_CHARACTER = 65
"""How long a letter takes to be said, where nothing better is known yet; a character that is a syllable takes as long
as several (`speech.scripts.length`)."""


class Lead(Struct, frozen=True):
    """What was said in a turn before its answer. Times in ms of the agent's clock."""

    text: str
    start_ms: float
    duration_ms: float
    words: tuple[TimedWord, ...]
    """Their times are from `start_ms` on."""

    def before(self, text: str, words: list[TimedWord], start_ms: float) -> tuple[str, list[TimedWord], float]:
        """All that was said in a turn: this, and what was said from `start_ms` on, with its words; and how long before
        that this began."""
        ms = max(start_ms - self.start_ms, self.duration_ms)
        moved = [TimedWord(word.text, word.start_ms + round(ms), word.duration_ms) for word in words]
        return f"{self.text} {text}".strip(), [*self.words, *moved] if words else [], ms


class _Piece(Struct):
    """Text that came together, and when it is said."""

    first: int
    """Index of its first character in the reply's text."""
    at_ms: float
    """Position in the reply's sound at which it begins."""
    end_ms: float | None
    """Position at which it ends; None where the brain did not say."""
    length: int
    """How long it takes to be said, in letters."""


class Reply:
    """One reply. Its `state` says how far it is; the rest is what is known of its text and its sound.

    Args:
        reason: why it is said.
        interruptable: whether the user may interrupt it by speaking.
        expected_until: the clock, in samples, until which the agent counts as thinking of it.
        own_words: whether its text is the agent's, not the model's: a greeting, a failure message, what `speak` was
            given.
    """

    def __init__(
        self,
        reason: StartReason | Literal["filler"],
        *,
        interruptable: bool = True,
        expected_until: int = 0,
        own_words: bool = False,
    ) -> None:
        self.id = ""
        """Given by the brain; empty as long as the brain has not named it."""
        self.reason = reason
        self.state: ReplyState = "asked"
        self.outcome: Outcome | None = None
        """How it ended. "failed" may be known before it is over: what was made of it is still said."""
        self.error: LipwireError | None = None
        """Why the brain refused it."""
        self.turn: Turn | None = None
        """The turn that it answers, once it has begun."""
        self.interruptable = interruptable
        self.expected_until = expected_until
        self.own_words = own_words
        self.user = ""
        """Who asked for it in the channel; "" = nobody."""
        self.filled = False
        """Whether something has been said while this was waited for."""
        self.fills: Reply | None = None
        """The answer that is waited for while this is said."""
        self.lead: Lead | None = None
        """What was said while this was waited for."""
        self.text = ""
        """All of its text, as far as the brain has handed it over."""
        self.words: list[TimedWord] = []
        """Its words with their times in its sound, where the brain knows them."""
        self.marks: list[tuple[int, Feeling]] = []
        """(index of a character, what the face is to show from there on), as the model has said, in order."""
        self.syllables = Syllables()
        """Of its sound."""
        self.received_ms = 0.0
        """Sound that the brain has handed over and that can be played."""
        self.written = False
        """Whether the brain has finished it."""
        self.complete = False
        """Whether the brain has handed over all of the sound."""
        self._pieces: list[_Piece] = []

    def __repr__(self) -> str:
        return f"<Reply {self.id or 'unnamed'} {self.reason} {self.state} {self.outcome or ''}>"

    @property
    def begins(self) -> bool:
        """Whether there is anything of it yet, be it but a word of the model's."""
        told = self.turn is not None and "first_token" in self.turn.marks
        return told or bool(self.text.strip()) or self.received_ms > 0

    @property
    def turn_id(self) -> int:
        """The number of its turn; 0 before it has begun."""
        return self.turn.turn_id if self.turn is not None else 0

    def add(self, more: ReplyText) -> None:
        """Takes more text."""
        at = self.received_ms if more.at_ms is None else float(more.at_ms)
        last = self._pieces[-1] if self._pieces else None
        if last is not None and last.end_ms is None and at <= last.at_ms:
            last.length += length(more.text)  # no sound came between them: one piece
        elif more.text:
            end = None if more.duration_ms is None else at + more.duration_ms
            self._pieces.append(_Piece(len(self.text), at, end, length(more.text)))
        self.marks.extend((len(self.text) + mark.at, mark.feeling) for mark in more.marks)
        self.text += more.text
        self.words.extend(more.words)

    def close(self, text: str) -> None:
        """The brain has handed over all of it. `text` counts where no text came before."""
        self.complete = True
        if not self._pieces and text:
            self._pieces.append(_Piece(0, 0.0, None, length(text)))
            self.text = text

    def heard(self, ms: float) -> str:
        """The text that has been said in the first `ms` of the sound, cut between words, or between characters where a
        script puts no spaces between words."""
        if ms <= 0:
            return ""
        if self.complete and self.outcome != "failed" and ms >= self.received_ms:
            return self.text.strip()
        n = bisect.bisect_right(self._pieces, ms, key=lambda piece: piece.at_ms) - 1
        if n < 0:
            return ""
        piece = self._pieces[n]
        after = len(self.text) if n + 1 == len(self._pieces) else self._pieces[n + 1].first
        end = self._piece_end(n)
        if ms >= end:
            return self.text[:after].strip()
        share = (ms - piece.at_ms) / max(end - piece.at_ms, 1.0)
        cut = piece.first + place_of(self.text[piece.first : after], share)
        return self.text[: cut_back(self.text, cut, piece.first)].strip()

    def sentence_end(self, ms: float) -> float | None:
        """The position in the sound at which the sentence ends that is being said at `ms`; None where that is not known
        (yet), or is the end of the reply. Between pieces of text that are known in time it is estimated."""
        said = len(self.heard(ms))
        end = sentence_end(self.text, max(said - 1, 0))
        if end is None or not self.text[end:].strip():
            return None
        n = bisect.bisect_right(self._pieces, end - 1, key=lambda piece: piece.first) - 1
        piece = self._pieces[n]
        if n + 1 < len(self._pieces):
            after, until = self._pieces[n + 1].first, piece.end_ms or self._pieces[n + 1].at_ms
        else:
            after, until = len(self.text), piece.end_ms or self.received_ms
        part = 1.0
        if self.text[end:after].strip():
            part = (end - piece.first) / (after - piece.first)
        return max(piece.at_ms + part * (until - piece.at_ms), ms)

    def begins_at(self, index: int) -> float:
        """The position in the sound, in ms, at which the character of that index is said, by the piece of text that it
        lies in: within a piece it is estimated."""
        n = bisect.bisect_right(self._pieces, index, key=lambda piece: piece.first) - 1
        if n < 0:
            return 0.0
        piece, last = self._pieces[n], n + 1 == len(self._pieces)
        after = len(self.text) if last else self._pieces[n + 1].first
        end = self._piece_end(n)
        return piece.at_ms + (index - piece.first) / max(after - piece.first, 1) * (end - piece.at_ms)

    def _piece_end(self, n: int) -> float:
        """The position in the sound at which a piece ends, as far as that can be known."""
        piece = self._pieces[n]
        if piece.end_ms is not None:
            return piece.end_ms
        if n + 1 < len(self._pieces):
            return self._pieces[n + 1].at_ms
        if self.complete:
            return self.received_ms
        return max(self.received_ms, piece.at_ms + MS_A_CHARACTER * piece.length)

    def heard_words(self, ms: float) -> list[TimedWord]:
        """The words that have begun in the first `ms` of the sound, where the brain knows their times."""
        return [word for word in self.words if word.start_ms < ms]
