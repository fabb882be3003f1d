"""What has to be known of the world's scripts to cut a text: the marks that end a sentence or a clause, the scripts
that put no spaces between words, and where a text may be cut without breaking a character or a word. No I/O.

Properties of characters are Unicode's (UAX #29, UAX #44), through the package `regex`.
"""

from __future__ import annotations

import regex

OPENERS = r"\p{Ps}\p{Pi}\"'‘“‚„¿¡"
"""What may stand before the first word of a sentence."""
CLOSERS = r"\p{Pe}\p{Pf}\p{Pi}\"'‘’‟"
"""What may stand after the last mark of a sentence. »...« and ›...‹ close with what others open with."""

FULL_STOPS = ".．․﹒"
"""Those that also stand within numbers, names and after abbreviations."""
ASCII_ENDS = "!?"
_MARKS = r"[\p{Sentence_Terminal}…།༎༏༐༑๛--[၊܁܂]]"
MARKS = regex.compile(_MARKS, regex.VERSION1)
"""What a sentence may end with. Tibetan's and Thai's marks are none by Unicode; a Burmese ၊ is a comma."""
CLAUSES = ",;:—–、，；：､﹐﹑﹔﹕،؛၊፣፤፥፦՝་߸᠂᠈꘍꛵꛶"
"""What a clause may end with."""
CLAUSES_AT_ONCE = "、，；：､﹐﹑﹔﹕၊"
"""Those after which no space is needed."""

UNSPACED = (
    r"\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\p{Script=Thai}\p{Script=Lao}"
    r"\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Tibetan}\p{Script=Tai_Tham}\p{Script=New_Tai_Lue}\p{Script=Tai_Le}"
    r"\p{Script=Tai_Viet}\p{Script=Javanese}\p{Script=Balinese}\p{Script=Yi}ーｰ々〆〇"
)
"""Scripts whose words stand without spaces between them."""
_UNSPACED = regex.compile(f"[{UNSPACED}]")
_SPACES_END = regex.compile(r"[\p{Script=Thai}\p{Script=Lao}]")
_SENTENCE = regex.compile(
    rf"[{FULL_STOPS}{ASCII_ENDS}…]+[{CLOSERS}*_]*(?=\s|$)|[{ASCII_ENDS}]+[{CLOSERS}]*(?=[{UNSPACED}])"
    rf"|[{_MARKS}--[{FULL_STOPS}{ASCII_ENDS}…]]+[{CLOSERS}]*",
    regex.VERSION1,
)
_CLUSTER = regex.compile(r"\X")
_RUN = regex.compile(r"\S+")
_LETTER = regex.compile(r"[\p{L}\p{N}]")
_SLOW = regex.compile(r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Yi}]")
_CONTEXT = 64
"""Characters before a cut that are looked at to tell where its cluster begins; the longest emoji have a dozen."""
SYLLABLE = 3
"""Letters of an alphabet that take as long to be said as one character that is a syllable or more."""


def unspaced(characters: str) -> bool:
    """Whether one of them belongs to a script that puts no spaces between words (Chinese, Japanese, Thai, ...)."""
    return _UNSPACED.search(characters) is not None


def spaces_end(character: str) -> bool:
    """Whether it belongs to a script that ends sentences with a space and nothing else (Thai, Lao)."""
    return _SPACES_END.match(character) is not None


def length(text: str) -> int:
    """How long `text` takes to be said, in letters of an alphabet."""
    return len(text) if text.isascii() else len(text) + (SYLLABLE - 1) * len(_SLOW.findall(text))


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where the words of `text` begin and end; in scripts without spaces between them, where its characters do, with
    the marks behind them."""
    spans: list[tuple[int, int]] = []
    for run in _RUN.finditer(text):
        begin = run.start()
        for cluster in _CLUSTER.finditer(text, begin, run.end()) if unspaced(run[0]) else ():
            at = cluster.start()
            if at > begin and _LETTER.match(text, at) and unspaced(text[at - 1] + text[at]):
                spans.append((begin, at))
                begin = at
        spans.append((begin, run.end()))
    return spans


def sentence_end(text: str, at: int) -> int | None:
    """Where the sentence ends that is being said at `at`, with its marks; None = no mark says so. Every full stop with
    white space after it counts."""
    found = _SENTENCE.search(text, at)
    return None if found is None else int(found.end())


def cluster_start(text: str, at: int, floor: int = 0) -> int:
    """The last place at or before `at` and not before `floor` where no character that a reader sees is broken: `at`
    itself, or the beginning of the grapheme cluster (UAX #29) that it lies in."""
    if at <= floor or at >= len(text):
        return max(min(at, len(text)), floor)
    start = max(at - _CONTEXT, floor)
    for cluster in _CLUSTER.finditer(text, start, min(at + _CONTEXT, len(text))):
        if cluster.end() > at:
            return max(int(cluster.start()), floor)
    return at


def cut_back(text: str, at: int, floor: int = 0) -> int:
    """The last place at or before `at` and not before `floor` where a reader would cut: the end of a word where words
    are separated by spaces, else between two characters as a reader sees them. A word of a script with spaces that
    stands amid one without them is a word, too."""
    at = cluster_start(text, at, floor)
    if at >= len(text) or at <= floor or text[at].isspace():
        return at
    place = at
    while place > floor and not text[place - 1].isspace() and not unspaced(text[place - 1] + text[place]):
        place -= 1
    return cluster_start(text, place, floor)
