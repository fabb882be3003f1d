"""Voice commands in a transcript: "Hey ... Stop" pauses an agent, "Hey ... Start" resumes it. No I/O."""

from __future__ import annotations

import re
from typing import Literal

Command = Literal["start", "stop"]

MAX_NAME = 3
"""Words between "hey" and the command: a name."""
_COMMAND = re.compile(rf"\bhey\b(?P<name>(?:\W+[\w'’]+){{0,{MAX_NAME}}}?)\W+(?P<command>start|stop)\W*$", re.IGNORECASE)
_NO_NAME = frozenset(
    word
    for line in (
        "a and are can can't cannot cant could did do does don't dont have how i is it let lets let's must never not",
        "or shall should that the they to we what when where who why will would you",
    )
    for word in line.split()
)


def command_in(text: str) -> Command | None:
    """The command that a finished utterance ends with: "hey", at most three words that may be a name, and "start" or
    "stop" as the last word. "Hey, don't stop" and "Hey, when do we start?" are none."""
    match = _COMMAND.search(text)
    return None if match is None or _NO_NAME.intersection(_words(match["name"])) else _command(match)


_LIKE_HEY = r"(?:hey|hay|hi|he|hello|halo|hail|pay|okay|ok)"
"""What a recognizer makes of "hey"."""
_SAID = re.compile(
    rf"^\W*{_LIKE_HEY}\b(?P<name>(?:\W+[\w'’]+){{0,{MAX_NAME + 1}}}?)\W+(?P<command>start|stop)\W*$", re.IGNORECASE
)


_NO_COMMAND = frozenset(
    word
    for line in (
        "can can't cannot cant could did do does don't dont have how let's lets must need never not shall should they",
        "want what when where who will won't would",
    )
    for word in line.split()
)
"""Words between, with which it is none: a name is misheard, and may be anything else."""
_NOT_BEFORE = frozenset(("a", "an", "bus", "full", "i", "last", "next", "that", "the", "this", "to", "we"))
"""Nor with these before the last word."""


def command_said(text: str) -> Command | None:
    """The command that a piece of speech between two silences is, as a recognizer has heard it: a name may have become
    any words, and "hey" one like it."""
    match = _SAID.search(text)
    if match is None:
        return None
    name = _words(match["name"])
    if _NO_COMMAND.intersection(name) or (name and name[-1] in _NOT_BEFORE):
        return None
    return _command(match)


def _words(text: str) -> list[str]:
    return [word.replace("’", "'").lower() for word in re.findall(r"[\w'’]+", text)]


def _command(match: re.Match[str]) -> Command:
    return "stop" if match["command"].lower() == "stop" else "start"
