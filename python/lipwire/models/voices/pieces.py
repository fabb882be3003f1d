"""Where a text is cut for an engine that says all that it is given at once."""

from __future__ import annotations

import re

LONGEST = 300
"""Characters; a sentence that is longer is cut at a comma, or between words."""
_STOP = re.compile(r"([.!?…][\"'”’)\]]*)\s+(?=\S)|[。！？]|\s*\n\s*")
"""What may end a sentence, and the space behind it."""
_SHORT = re.compile(r"(?:\b[A-ZÀ-ÖØ-Þ]|\b(?:Mr|Mrs|Ms|Dr|St|Prof|Sr|Jr|No|vs|e\.g|i\.e|bzw|ca|Nr))\.$")
"""A full stop that ends no sentence: an initial's, an abbreviation's."""
_CLAUSE = re.compile(r"(?<=[,;:—–])\s+|(?<=[，；、])")


def pieces(text: str, longest: int = LONGEST) -> list[str]:
    """The sentences of `text`, none longer than `longest` characters; without those that are blank."""
    found: list[str] = []
    begin = 0
    for stop in _STOP.finditer(text):
        end = stop.end(1) if stop[1] else stop.end()
        if stop[1] and (text[stop.end()].islower() or _SHORT.search(text, begin, end)):
            continue
        found += _cut(text[begin:end].strip(), longest)
        begin = stop.end()
    return found + _cut(text[begin:].strip(), longest)


def _cut(sentence: str, longest: int) -> list[str]:
    parts = []
    while len(sentence) > longest:
        clauses = [match.start() for match in _CLAUSE.finditer(sentence, 1, longest)]
        cut = clauses[-1] if clauses else sentence.rfind(" ", 1, longest)
        cut = cut if cut > 0 else longest
        parts.append(sentence[:cut].rstrip())
        sentence = sentence[cut:].lstrip()
    return [*parts, sentence] if sentence else parts
