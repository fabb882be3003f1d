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
    found = _COMMAND.search(text)
    if found is None:
        return None
    name = {word.replace("’", "'").lower() for word in re.findall(r"[\w'’]+", found["name"])}
    if name & _NO_NAME:
        return None
    return "stop" if found["command"].lower() == "stop" else "start"
