"""Text that streams in, cut into what is said at a time: sentences, and clauses where a sentence is long.

No I/O. The pieces together are the text, to the character.
"""

from __future__ import annotations

import re

MAX_PIECE = 220
"""Characters after which a piece ends at the best place before."""
FIRST_PIECE = 24
"""Characters after which the first piece of a reply may end at a comma already: it is heard sooner."""

_CLOSERS = "\"'”’»)]}」』）】》*_`"
_ENDS_AT_ONCE = "。！？｡‼⁇⁈⁉…"
_ENDS = ".!?؟।"
_CLAUSES = ",;:—–、，；：،"

_ABBREVIATED = (
    "mr mrs ms dr prof sr jr st vs e.g i.e cf al fig vol pp rev gen col sgt capt lt cmdr hon dept approx "
    "u.s u.k u.n u.s.a ph.d ave blvd bzw ca d.h evtl ggf hr fr nr str usw vgl z.b u.a s.o sra dra ud uds mme mlle"
)
_ABBREVIATIONS = frozenset(_ABBREVIATED.split())
"""After which a capital letter begins no sentence. Those that often end one (no, etc, p.m) are missing on purpose."""

_BEFORE = re.compile(r"([^\s\"'“‘«(\[{]+)$")


class SentenceSplitter:
    """`feed` text as it comes; what it returns can be said now. `flush` ends the reply."""

    def __init__(self, max_piece: int = MAX_PIECE, first_piece: int = FIRST_PIECE) -> None:
        self._max = max_piece
        self._first = first_piece
        self._text = ""
        self._at = 0
        """Where to go on looking."""
        self._begun = False

    def feed(self, text: str) -> list[str]:
        """More text; the pieces that are complete."""
        self._text += text
        pieces = []
        while (end := self._end()) is not None:
            pieces.append(self._cut(end))
        return pieces

    def flush(self) -> str:
        """The rest; empty = there is none."""
        return self._cut(len(self._text))

    def _cut(self, end: int) -> str:
        piece, self._text = self._text[:end], self._text[end:]
        self._at = 0
        self._begun = self._begun or bool(piece.strip())
        return piece

    def _end(self) -> int | None:
        """Where the first complete piece ends, with the white space after it; None = there is none yet."""
        text = self._text
        for i in range(self._at, len(text)):
            c = text[i]
            if c == "\n" and text[:i].strip():
                return i + 1
            if c in _ENDS or c in _ENDS_AT_ONCE:
                after = self._after(i)
                if after is None:
                    self._at = i
                    break
                if after:
                    return after
            elif c in _CLAUSES and not self._begun and self._first <= i and self._clause(i):
                return i + 1
        else:
            self._at = max(len(text) - 1, 0)
        return self._forced() if len(text) > self._max else None

    def _after(self, i: int) -> int | None:
        """The end of the sentence whose last mark is at `i`; 0 = it is none, None = what follows will tell."""
        text, end = self._text, i + 1
        while end < len(text) and (text[end] in _CLOSERS or text[end] in _ENDS or text[end] in _ENDS_AT_ONCE):
            end += 1
        if end == len(text):
            return None
        wide = any(c in _ENDS_AT_ONCE and c != "…" for c in text[i:end])
        if not text[end].isspace():
            return end if wide and text[:end].strip() else 0
        start = end
        while start < len(text) and text[start].isspace():
            start += 1
        if wide or text[end] == "\n":
            return start
        if start == len(text):
            return None
        marks = text[i:end].rstrip(_CLOSERS)
        stop = set(marks) <= {".", "…"} and (text[start].islower() or (marks == "." and self._abbreviated(i)))
        return 0 if stop else start

    def _abbreviated(self, i: int) -> bool:
        """Whether the full stop at `i` belongs to the word before it."""
        found = _BEFORE.search(self._text[:i])
        if found is None:
            return False
        word = found.group(1)
        if word.isdigit():  # "1. First" in a list, but "in 1984. Then"
            return not self._text[: found.start()].strip() or self._text[: found.start()].endswith("\n")
        initial = len(word) == 1 and word.isalpha() and word.isupper() and word != "I"
        return initial or word.lower() in _ABBREVIATIONS

    def _clause(self, i: int) -> bool:
        """Whether the comma at `i` is followed by white space (or needs none), and not within a number."""
        return self._text[i] in "、，；：" or (i + 1 < len(self._text) and self._text[i + 1].isspace())

    def _forced(self) -> int:
        """Where a piece that is too long is cut: the last clause, else the last space, else here."""
        text = self._text[: self._max]
        half = self._max // 2
        for marks in (_CLAUSES, " \t\u3000"):
            at = max(text.rfind(mark) for mark in marks)
            if at >= half:
                return at + 1
        return self._max


_MARKUP = re.compile(r"[*_`#~|]+|^\s*(?:[-+>]|\d+[.)])\s+|\[([^\]]*)\]\([^)]*\)", re.MULTILINE)


def speakable(text: str) -> str:
    """`text` without the marks of Markdown, which nobody says; empty where there is nothing to say."""
    plain = _MARKUP.sub(lambda match: match.group(1) or " ", text)
    plain = " ".join(plain.replace("\0", " ").split())
    return plain if any(c.isalnum() for c in plain) else ""
