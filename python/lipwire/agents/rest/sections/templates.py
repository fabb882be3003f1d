"""`llm.template_variables`: put into the texts of an agent at the door."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ...describe import Changes

_NAME = re.compile(r"\{\{([^{}]+)\}\}")
_TEXTS = ("instructions", "llm.greeting_message", "llm.failure_message")


def filled(text: str, variables: Mapping[str, str]) -> str:
    """`text` with the values in place of `{{name}}`. What comes in with a value is not looked at, and a name that is
    not known stays as it is."""
    return _NAME.sub(lambda found: variables.get(found[1].strip(), found[0]), text)


def fill(changes: Changes, variables: Mapping[str, str]) -> Changes:
    """Changes with the values in the texts that may have them."""
    if not variables:
        return changes
    done = dict(changes)
    for name in _TEXTS:
        if isinstance(done.get(name), str):
            done[name] = filled(done[name], variables)
    if "llm.system_messages" in done:
        done["llm.system_messages"] = [
            {**message, "content": _content(message["content"], variables)} for message in done["llm.system_messages"]
        ]
    if done.get("silence") is not None:
        silence = done["silence"]
        done["silence"] = msgspec.structs.replace(silence, content=filled(silence.content, variables))
    return done


def _content(content: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(content, str):
        return filled(content, variables)
    return [
        {**part, "text": filled(part["text"], variables)}
        if isinstance(part, dict) and isinstance(part.get("text"), str)
        else part
        for part in content
    ]
