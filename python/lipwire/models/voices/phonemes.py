"""A text as phonemes by espeak-ng's rules, with its marks: what Piper's and Kokoro's models were taught to read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...audio import espeak

_PART = re.compile(r"([^,;:.!?…。，！？；：]+)([,;:.!?…。，！？；：]*)")
_INSIDE = re.compile(r"(?<=\S)\.(?=[^\W_])")
_HIDDEN = "\ue000"
"""A full stop within a number or a name ("3.5", "example.com") ends nothing; what stands for it meanwhile."""
_MARKS = str.maketrans({"。": ".", "，": ",", "！": "!", "？": "?", "；": ";", "：": ":"})


@dataclass(frozen=True, slots=True)
class Clause:
    """What stands before a mark: its words, one after the other in IPA, and that mark."""

    text: str
    words: tuple[str, ...]
    mark: str


def clauses(text: str, voice: str) -> list[Clause]:
    """The clauses of a sentence. espeak-ng may say several words as one, and one as several.

    Args:
        voice: espeak-ng's name of who speaks the language.

    Raises:
        InvalidArgument: no such voice. BadState: espeak-ng is not installed.
    """
    found = []
    for match in _PART.finditer(_INSIDE.sub(_HIDDEN, text)):
        said = match[1].replace(_HIDDEN, ".").strip()
        if any(c.isalnum() for c in said):
            words = tuple("".join(word) for word in espeak.phonemes(said, voice))
            found.append(Clause(said, words, match[2][:1].translate(_MARKS)))
    return found
