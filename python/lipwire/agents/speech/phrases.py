"""Phrases in what was said, whatever its case and its punctuation, in scripts with spaces and without. No I/O."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable


def plain(text: str) -> str:
    """Lower case letters and digits, one space between words; hyphens and apostrophes are left out."""
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"[-'’ʼ‐‑]", "", text)
    text = "".join(c if c.isalnum() or unicodedata.category(c).startswith("M") else " " for c in text)
    return " ".join(text.split())


def ends(text: str, end: int) -> bool:
    """Whether a phrase may end here, or begin, in a plain text: scripts without spaces have no mark for it."""
    return (
        end in (0, len(text)) or " " in text[end - 1 : end + 1] or not (_spaced(text[end - 1]) and _spaced(text[end]))
    )


def found(text: str, phrases: Iterable[str]) -> str | None:
    """The first of these phrases that is said in a text, as whole words; None = none is."""
    said = plain(text)
    return next((phrase for phrase in phrases if _stands(plain(phrase), said)), None)


def _stands(phrase: str, text: str) -> bool:
    at = text.find(phrase) if phrase else -1
    while at >= 0:
        if ends(text, at) and ends(text, at + len(phrase)):
            return True
        at = text.find(phrase, at + 1)
    return False


def _spaced(letter: str) -> bool:
    return unicodedata.name(letter, "").split(" ")[0] not in ("CJK", "HIRAGANA", "KATAKANA", "THAI")
