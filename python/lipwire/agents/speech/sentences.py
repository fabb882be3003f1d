"""Text that streams in, cut into what is said at a time: sentences, and clauses where a sentence is long.

Marks that end nothing else end a sentence at once, whatever the script; after a full stop what follows decides, and the
rules of many languages for abbreviations, which are those of the package `sentencex`. No I/O. The pieces together are
the text, to the character.
"""

from __future__ import annotations

import regex

from ...errors import BadState
from .scripts import (
    ASCII_ENDS,
    CLAUSES,
    CLAUSES_AT_ONCE,
    CLOSERS,
    FULL_STOPS,
    MARKS,
    OPENERS,
    SYLLABLE,
    cluster_start,
    length,
    spaces_end,
    unspaced,
)

MAX_PIECE = 220
"""Length (`scripts.length`) after which a piece ends at the best place before."""
FIRST_PIECE = 24
"""Length after which the first piece of a reply may end at a comma already: it is heard sooner."""
SPACED_PIECE = 48
"""Length after which a space ends a piece, in scripts that have no other mark for it (Thai, Lao)."""

_ABBREVIATED = (
    "mr mrs ms mx dr prof sr jr st mt ft vs e.g i.e cf al rev gen col sgt capt lt cmdr maj hon gov sen rep pres dept "
    "approx ave blvd rd messrs mgr supt ph.d m.d b.a m.a bzw d.h evtl ggf hr fr str usw vgl z.b u.a s.o o.ä sog inkl "
    "exkl sra srta dra ud uds mme mlle mgr sig sig.ra dott dhr mevr drs bl.a t.ex f.eks p.ej т.е т.д т.п им ул г"
)
_ABBREVIATIONS = frozenset(_ABBREVIATED.split())
"""After which a capital letter begins no sentence. Those that often end one (no, etc, inc, p.m) are missing on
purpose."""
_COUNTED = (
    "no nr nos num núm n° nº № fig figs abb vol vols pp p pg ch chap sec sect art tab tbl eq ex op ver v rev ext tel "
    "fax ca approx ph max min apt rm bd bde s kap ziff abs est avg incl excl ep pt bldg fl hwy rte ste po ser reg div "
    "jan feb mar apr jun jul aug sep sept oct okt nov dec dez "
    "mon tue tues wed thu thur thurs fri sat sun"
)
_BEFORE_NUMBERS = frozenset(_COUNTED.split())
"""After which a number begins no sentence: "No. 5", "Oct. 5"."""

_CLOSING = regex.compile(
    rf"(?:[{CLOSERS}*_`~]|\[\^?\d+\]|</?[a-zA-Z][^<>]*>|\p{{Emoji_Presentation}}|\p{{Extended_Pictographic}}\uFE0F?"
    r"|[\uFE0F\u200D])+"
)
"""What still belongs to a sentence after its mark: quotes, brackets, marks of Markdown, footnotes, tags, emoji."""
_UNFINISHED = regex.compile(r"[<\[][^<>\[\]\s]{0,40}$")
"""The beginning of a tag or of a footnote's number, of which more is to come."""
_GUILLEMET = regex.compile(r"\s*»")
_QUOTE = regex.compile(rf"[{CLOSERS}]")
_NEXT = regex.compile(rf"[\s{OPENERS}*_`~#>]*+(\S)")
"""The first character of what follows."""
_NEXT_WORD = regex.compile(rf"[\s{OPENERS}*_`~#>]*+[\w'’-]++(?=[^\w'’-])")
_BEFORE = regex.compile(rf"([^\s{OPENERS}*_`~]+)$")
_INITIAL = regex.compile(r"\p{Lu}")
_QUOTED_ON = "とっだ"
"""With these a Japanese sentence goes on after what it quotes."""
_OTHER_STOP = frozenset({"hy"})
"""Languages in which a full stop never is a "."; English amid them has its own."""
_SMALL = regex.compile(r"[\p{Ll}--\p{Script=Georgian}]", regex.VERSION1)
"""A letter with which no sentence begins; Georgian has capitals, and does not begin sentences with them."""
_TAG = regex.compile(r"<(?=[a-zA-Z/|])")


def _rules(language: str) -> tuple[str, ...]:
    """The languages whose abbreviations count: the text's own, and English, of which there is some in every other."""
    own = language.partition("-")[0].lower() or "en"
    return ("en",) if own in ("en", *_OTHER_STOP) else (own, "en")


class SentenceSplitter:
    """`feed` text as it comes; what it returns can be said now. `flush` ends the reply.

    Args:
        max_piece, first_piece: see MAX_PIECE and FIRST_PIECE.
        language: of the text, a BCP 47 tag: whose abbreviations are known.

    Raises:
        BadState: the package sentencex is not installed.
    """

    def __init__(self, max_piece: int = MAX_PIECE, first_piece: int = FIRST_PIECE, language: str = "en") -> None:
        try:
            from sentencex import segment
        except ModuleNotFoundError as exc:
            raise BadState("sentences are told apart by sentencex: pip install 'lipwire[agents]'") from exc
        self._segment = segment
        self._languages = _rules(language)
        self._max = max_piece
        self._first = first_piece
        self._text = ""
        self._at = 0
        """Where to go on looking."""
        self._begun = False
        self._line_begins = True
        """Whether the text begins a line."""

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
        if piece.strip():
            self._line_begins = "\n" in piece[len(piece.rstrip()) :]
        return piece

    def _end(self) -> int | None:
        """Where the first complete piece ends, with the white space after it; None = there is none yet."""
        text, most = self._text, self._most()
        for i in range(self._at, min(len(text), most)):
            c = text[i]
            if c == "\n" and text[:i].strip():
                return i + 1
            if c.isascii() and c.isalnum():
                continue
            if MARKS.match(c) or (c == ";" and self._greek(i)):
                after = self._after(i)
                if after is None:
                    self._at = i
                    break
                if after and not self._within(after):
                    return after
            elif self._clause(i) or self._spaced(i):
                return i + 1
        else:
            self._at = max(min(len(text), most) - 1, 0)
        return self._forced(most) if len(text) > most else None

    def _most(self) -> int:
        """How many characters a piece may have."""
        text = self._text[: self._max]
        if text.isascii():
            return self._max
        end = self._max // SYLLABLE
        while end < len(text) and length(text[: end + 1]) <= self._max:
            end += 1
        return end

    def _after(self, i: int) -> int | None:
        """The end of the sentence whose last mark is at `i`; 0 = it is none, None = what follows will tell."""
        text, end = self._text, i + 1
        while end < len(text) and MARKS.match(text[end]):
            end += 1
        marks = text[i:end]
        if closing := _CLOSING.match(text, end):
            end = closing.end()
        if text.rfind("«", 0, end) > text.rfind("»", 0, end):  # French sets a space before the one that closes
            if not text[end:].strip():
                return None
            if closing := _GUILLEMET.match(text, end):
                end = closing.end()
        if end == len(text) or _UNFINISHED.match(text, end):
            return None
        if marks[-1] in FULL_STOPS or marks[-1] in ASCII_ENDS or "…" in marks:
            if not text[end].isspace():
                return self._closed_up(i, end, marks)
            return self._followed(i, end, marks)
        if not text[:end].strip():
            return 0
        if text[end] in _QUOTED_ON and _QUOTE.search(text, i, end):
            return 0
        return self._white(end)

    def _white(self, end: int) -> int:
        """The end with the white space after it, as far as it has come."""
        while end < len(self._text) and self._text[end].isspace():
            end += 1
        return end

    def _closed_up(self, i: int, end: int, marks: str) -> int:
        """Whether marks with no space after them end a sentence: between letters of scripts that use none, yes."""
        before, after = self._text[i - 1 : i], self._text[end]
        if marks in ("．", "﹒"):
            return 0 if before.isnumeric() and after.isnumeric() else end
        if not before or "…" in marks:
            return 0
        if marks[-1] in ASCII_ENDS and not after.isascii():
            return end if after.isalpha() and not before.isascii() else 0
        return end if unspaced(before) and unspaced(after) else 0

    def _followed(self, i: int, end: int, marks: str) -> int | None:
        """Whether marks with white space after them end a sentence."""
        text = self._text
        if text[end] == "\n":
            return self._white(end)
        asks = marks[-1] in ASCII_ENDS
        if asks and not _QUOTE.search(text, i, end):
            return self._white(end)
        follows = _NEXT.match(text, end)
        if follows is None:
            return None
        if _SMALL.match(follows[1]):
            return 0
        if asks or len(marks) > 1 or marks == "…":
            return self._white(end)
        return self._stop(i, end, follows[1])

    def _stop(self, i: int, end: int, follows: str) -> int | None:
        """Whether the one full stop at `i`, before white space and what is not lower case, ends a sentence."""
        text = self._text
        found = _BEFORE.search(text, 0, i)
        if found is None:
            return self._white(end)
        word = found[1].lower()
        if word.isdecimal() and not text[: found.start()].rpartition("\n")[2].strip() and self._begins(found.start()):
            return 0  # "1. First" in a list, but "in 1984. Then"
        if (len(word) == 1 and _INITIAL.match(found[1]) and word != "i") or word in _ABBREVIATIONS:
            return 0
        if follows.isnumeric() and word in _BEFORE_NUMBERS:
            return 0
        if (follows.isnumeric() and len(word) == 1) or not follows.isalnum():
            return self._white(end)
        whole = _NEXT_WORD.match(text, end)
        if whole is None and ("." in word or (word.isdecimal() and len(self._languages) > 1)):
            return None  # "the U.S. It", but "the U.S. Army"; "am 5. Oktober", but "es sind 5. Ok?"
        place = self._white(end)
        if end > i + 1 or all(
            self._sentence(language, text[: whole.end() if whole else place + 1], end) for language in self._languages
        ):
            return place
        return None if whole is None else 0  # "I said no. I", but "No. IV"

    def _begins(self, at: int) -> bool:
        """Whether what begins at `at` begins a line."""
        return self._line_begins or "\n" in self._text[:at]

    def _sentence(self, language: str, text: str, end: int) -> bool:
        """Whether a sentence ends at `end`, as the rules of a language have it."""
        at = 0
        for sentence in self._segment(language, text):
            at += len(sentence)
            if at >= end:
                return at < len(text)
        return False

    def _greek(self, i: int) -> bool:
        """Whether the semicolon at `i` is a Greek question mark."""
        return i > 0 and regex.match(r"\p{Script=Greek}", self._text[i - 1]) is not None

    def _clause(self, i: int) -> bool:
        """Whether the first piece of the reply may end at `i`: with a comma that is followed by white space (or needs
        none), and not within a number or a link."""
        if self._begun or self._text[i] not in CLAUSES or length(self._text[: i + 1]) < self._first:
            return False
        needs_none = self._text[i] in CLAUSES_AT_ONCE
        follows = needs_none or (i + 1 < len(self._text) and self._text[i + 1].isspace())
        return follows and not self._within(i)

    def _spaced(self, i: int) -> bool:
        """Whether the space at `i` ends a sentence, or does as a comma for the first piece."""
        text = self._text
        if not text[i].isspace() or not 0 < i < len(text) - 1:
            return False
        long = length(text[:i]) >= (SPACED_PIECE if self._begun else self._first)
        return long and spaces_end(text[i - 1]) and spaces_end(text[i + 1]) and not self._within(i)

    def _within(self, at: int) -> bool:
        """Whether `at` lies within code, a link or a tag that has begun on its line and may still end."""
        line = self._text[:at].rpartition("\n")[2]
        if line.count("`") % 2:
            return True
        opened = line.rfind("[")
        if opened >= 0 and "]" not in line[opened:]:
            return True
        link = line.rfind("](")
        if link >= 0 and ")" not in line[link:] and not any(c.isspace() for c in line[link:].rstrip()):
            return True
        tags = list(_TAG.finditer(line))
        return bool(tags) and ">" not in line[tags[-1].start() :]

    def _forced(self, most: int) -> int:
        """Where a piece that is too long is cut: the last clause, else the last space, else between characters."""
        text = self._text[:most]
        half = most // 2
        for marks in (CLAUSES, " \t\u3000"):
            at = max(text.rfind(mark) for mark in marks)
            if at >= half:
                return at + 1
        return cluster_start(self._text, most) or most
