"""`llm.template_variables`: put into the texts of an agent at the door."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import msgspec

from ...config import AgentConfig
from ...describe import Changes, apply

_NAME = re.compile(r"\{\{([^{}]+)\}\}")
_TEXTS = ("instructions", "llm.greeting_message", "llm.failure_message")
_LLM = ("greeting_message", "failure_message", "system_messages")


def filled(text: str, variables: Mapping[str, str]) -> str:
    """`text` with the values in place of `{{name}}`. What comes in with a value is not looked at, and a name that is
    not known stays as it is."""
    return _NAME.sub(lambda found: variables.get(found[1].strip(), found[0]), text)


def fill(changes: Changes, variables: Mapping[str, str]) -> Changes:
    """Changes with the values in the texts that may have them."""
    return _mapped(changes, lambda text: filled(text, variables)) if variables else changes


def kept(config: AgentConfig) -> AgentConfig:
    """An agent whose texts are filled already, as it is to be written, so that `fill` gives the same texts again: what
    looks like the place of a value, as another value may have brought it along, becomes a value of its own."""
    variables = dict(config.llm.template_variables)
    names = {value: name for name, value in variables.items() if _NAME.fullmatch(f"{{{{{name}}}}}")}

    def named(place: re.Match[str]) -> str:
        text = place[0]
        if place[1].strip() not in config.llm.template_variables:
            return text
        if text not in names:
            names[text] = next(name for n in count(1) if (name := f"literal_{n}") not in variables)
            variables[names[text]] = text
        return f"{{{{{names[text]}}}}}"

    texts = {name: getattr(config, name) for name in ("instructions", "silence")}
    texts |= {f"llm.{name}": getattr(config.llm, name) for name in _LLM}
    texts = _mapped(texts, lambda text: _NAME.sub(named, text))
    written = msgspec.structs.replace(config, llm=copy.copy(config.llm))
    apply(written, texts | {"llm.template_variables": variables})
    return written


def _mapped(changes: Changes, change: Callable[[str], str]) -> Changes:
    """Changes with every text that may have values as `change` makes it."""
    done = dict(changes)
    for name in _TEXTS:
        if isinstance(done.get(name), str):
            done[name] = change(done[name])
    if "llm.system_messages" in done:
        done["llm.system_messages"] = [
            {**message, "content": _content(message["content"], change)} for message in done["llm.system_messages"]
        ]
    if done.get("silence") is not None:
        silence = done["silence"]
        done["silence"] = msgspec.structs.replace(silence, content=change(silence.content))
    return done


def _content(content: Any, change: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return change(content)
    return [
        {**part, "text": change(part["text"])} if isinstance(part, dict) and isinstance(part.get("text"), str) else part
        for part in content
    ]
