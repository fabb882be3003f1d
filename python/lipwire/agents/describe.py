"""The one place where an `AgentConfig` is filled.

Every door (REST v1 and v2, /start_agent, the agent page, the command line) says what it was asked for as changes, by
dotted names, and leaves out what it was not; `make_config` makes the agent of it. So `AgentConfig`'s defaults are the
only ones.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidArgument
from ..protocol.agent_bodies import OPENAI_VOICE
from .config import AgentConfig

Changes = dict[str, Any]
"""Dotted names of `AgentConfig` -> values."""


def make_config(name: str, channel: str, changes: Mapping[str, Any]) -> AgentConfig:
    """The agent of that name in a channel, with what is asked of it. The door has checked the values."""
    config = AgentConfig(name=name, channel=channel)
    apply(config, changes)
    return config


def apply(config: AgentConfig, changes: Mapping[str, Any]) -> None:
    """Sets fields that have been checked, here or at a door. Values are copied, so that what one config changes in
    them later is not changed in another."""
    for name, value in changes.items():
        section, _, member = name.rpartition(".")
        setattr(getattr(config, section) if section else config, member, copy.copy(value))


def prompt(text: str) -> Changes:
    """What a prompt changes, whatever the brain is; an empty one takes the old one away."""
    return system_messages([{"role": "system", "content": text}] if text else [])


def system_messages(messages: list[dict[str, Any]]) -> Changes:
    """What chat messages at the head of every request change: they also are the instructions of a realtime service.
    Raises InvalidArgument: one is no message."""
    for at, message in enumerate(messages):
        content = message.get("content")
        if not isinstance(message.get("role"), str) or not isinstance(content, str | list):
            raise InvalidArgument(f"[{at}] is no message: {message!r:.80}")
        for number, part in enumerate(content if isinstance(content, list) else ()):
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                raise InvalidArgument(f'[{at}].content[{number}] is no part {{"type": "text", ...}}: {part!r:.80}')
    texts = [m["content"] for m in messages if m["role"] in ("system", "developer") and isinstance(m["content"], str)]
    return {"llm.system_messages": messages, "instructions": "\n\n".join(texts) or None}


_LOCALE = re.compile(r"[a-z]{2,3}-[a-z]{2,4}([-+]|$)|[a-z]{2,3}\+|\+", re.IGNORECASE)


def openai_voice(voice: str) -> str:
    """The voice to ask a service of OpenAI's for: one that names a locale (en-US-AndrewMultilingualNeural) is another
    service's or espeak-ng's, and OPENAI_VOICE stands for it."""
    return OPENAI_VOICE if _LOCALE.match(voice) else voice
