"""Brackets whose contents an agent does not speak: "It is late (smiles)." No I/O.

Their texts stay in what it said, behind the sentence in which they stood. Until then one private character stands in
the place of each, which no voice speaks: so wherever the text is cut on its way, its brackets are known there. They may
come in any pieces. What is not closed is no bracket, and is spoken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from ..errors import InvalidArgument
from .config import AgentConfig
from .face_tags import Mark, plain

PAIRS = {1: "（）", 2: "【】", 3: "()", 4: "[]", 5: "{}"}
"""By the numbers of `AgentConfig.skip_patterns`."""
MAX_SKIPPED = 500
"""Characters of a bracket; what is longer is none, and so is what an empty line interrupts: else one that nobody closes
would hold up all that follows."""

_FIRST = 0xF0000
_MOST = 0xFFFD
"""Brackets of one reply; more are spoken."""
_PLACE = f"[{chr(_FIRST)}-{chr(_FIRST + _MOST - 1)}]"
_PLACES = re.compile(_PLACE)
_RUN = rf"{_PLACE}(?:\s*{_PLACE})*"
_GAPS = re.compile(rf"\s*{_RUN}(?=\s*(?:[.,;:!?。，！？；：…]|\Z))|(?:^|(?<=\s)){_RUN}\s+|{_RUN}")
"""Places, with the blanks that are one too many without them."""
_AHEAD = re.compile(rf"\s*{_RUN}\s*")
_EYES = re.compile(r"[:;=]['’-]?\Z")


class Shown(Struct, frozen=True):
    """A piece of text as it is read."""

    ahead: list[str]
    """Brackets that stood before its first word,"""
    text: str
    """what is spoken of it,"""
    marks: tuple[Mark, ...]
    behind: list[str]
    """and those within it."""


class Brackets:
    """Takes the brackets out of the text of one reply.

    Args:
        kinds: which, numbers of PAIRS; of those that lie in one another only the outermost count.
    """

    def __init__(self, kinds: Iterable[int] = ()) -> None:
        self._closers = {PAIRS[kind][0]: PAIRS[kind][1] for kind in kinds}
        self._taken: list[str] = []
        self._held = ""
        """A bracket that is open,"""
        self._depth = 0
        """and how many of its kind lie in it, itself included."""
        self._before = ""
        """What was given back last."""

    def feed(self, text: str) -> str:
        """More text; returns what of it is known now, with a private character for each bracket."""
        if not self._closers:
            return text
        text = _PLACES.sub("", text)
        if not self._held and not any(opener in text for opener in self._closers):
            return self._given(text)
        return self._scan(text, frozenset())

    def end(self) -> str:
        """The text is over; returns what was held."""
        out, deaf = "", frozenset[str]()
        while self._held:
            held, self._held, deaf = self._held, "", deaf | {self._held[0]}
            out += self._given(held[0]) + self._scan(held[1:], deaf)
        return out

    def restart(self) -> None:
        """What was fed and has not been given back is not said after all."""
        self._held = self._before = ""

    def shown(self, text: str, marks: Sequence[Mark]) -> Shown:
        """A piece of what was given back, with `marks` by its characters."""
        start = _AHEAD.match(text) if self._taken else None
        ahead = self._texts(start[0]) if start is not None else []
        gaps = [gap.span() for gap in _GAPS.finditer(text)] if self._taken else []
        at, kept = 0, []
        for begin, end in gaps:
            kept.append(text[at:begin])
            at = end
        kept.append(text[at:])
        moved = tuple(
            Mark(mark.at - sum(min(end, mark.at) - begin for begin, end in gaps if begin < mark.at), mark.feeling)
            for mark in marks
        )
        return Shown(ahead, "".join(kept), moved, self._texts(text[start.end() if start is not None else 0 :]))

    def _texts(self, text: str) -> list[str]:
        return [self._taken[ord(place) - _FIRST] for place in _PLACES.findall(text)] if self._taken else []

    def _scan(self, text: str, deaf: frozenset[str]) -> str:
        """`deaf`: what opens no bracket now, as one of it has not been closed."""
        out: list[str] = []
        for character in text:
            if not self._held:
                if character in self._closers and character not in deaf:
                    self._held, self._depth = character, 1
                else:
                    out.append(self._given(character))
                continue
            opener = self._held[0]
            self._held += character
            if character == self._closers[opener]:
                self._depth -= 1
                if not self._depth:
                    out.append(self._given(self._take()))
            elif character == opener:
                self._depth += 1
            elif self._is_none():
                held, self._held = self._held, ""
                out.append(self._given(held[0]) + self._scan(held[1:], deaf | {opener}))
        return "".join(out)

    def _is_none(self) -> bool:
        """Whether what is held is no bracket: too long, or the mouth of an emoticon."""
        if len(self._held) > MAX_SKIPPED or self._held.endswith("\n\n"):
            return True
        return len(self._held) == 2 and self._held[1].isspace() and _EYES.search(self._before) is not None

    def _take(self) -> str:
        held, self._held = self._held, ""
        if len(self._taken) == _MOST:
            return held
        self._taken.append(plain(held))
        return chr(_FIRST + len(self._taken) - 1)

    def _given(self, text: str) -> str:
        self._before = (self._before + text)[-2:]
        return text


def beside(before: str, bracket: str) -> str:
    """A bracket as it is read behind `before`: with the blanks that its script wants."""
    if not bracket[0].isascii():
        return bracket
    if not before or before[-1].isspace():
        return f"{bracket} "
    return f" {bracket}"


def check_skip_patterns(config: AgentConfig) -> None:
    """Raises InvalidArgument: an unknown kind, or somebody else makes the sound of what the agent says."""
    if unknown := [kind for kind in config.skip_patterns if kind not in PAIRS]:
        kinds = ", ".join(f"{kind} {pair}" for kind, pair in PAIRS.items())
        raise InvalidArgument(f"tts.skip_patterns has {unknown[0]!r}; there are {kinds}")
    if config.skip_patterns and (config.brain == "realtime" or "audio" in config.llm.output_modalities):
        raise InvalidArgument(
            "tts.skip_patterns: this agent's model makes the sound itself, and speaks what it likes; leave them out, "
            "or choose a model that answers in text"
        )
