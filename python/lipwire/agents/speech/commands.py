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
    return _found(_COMMAND.search(text))


_LIKE_HEY = r"(?:hey|hay|hi|he|hello|halo|hail|pay|okay|ok)"
"""What a recognizer makes of "hey"."""
_SAID = re.compile(
    rf"^\W*{_LIKE_HEY}\b(?P<name>(?:\W+[\w'’]+){{0,{MAX_NAME + 1}}}?)\W+(?P<command>start|stop)\W*$", re.IGNORECASE
)


def command_said(text: str) -> Command | None:
    """The command that a piece of speech between two silences is, as a recognizer has heard it: names are its own, and
    "hey" may have become a word like it."""
    return _found(_SAID.search(text))


def _found(match: re.Match[str] | None) -> Command | None:
    if match is None:
        return None
    name = {word.replace("’", "'").lower() for word in re.findall(r"[\w'’]+", match["name"])}
    if name & _NO_NAME:
        return None
    return "stop" if match["command"].lower() == "stop" else "start"
