"""OpenAI's chat completions, and what is compatible with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....protocol.agent_bodies import OPENAI_VOICE
from ...config import Llm
from ...openai_models import fitted
from .base import Dialect, Question, question

STAMPS = ("turn_id", "timestamp")


class OpenAI(Dialect):
    """`llm.url` is that of /chat/completions."""

    def body(self, llm: Llm, asked: Question) -> dict[str, Any]:
        body: dict[str, Any] = {}
        if llm.model:
            body["model"] = llm.model
        if asked.tools and asked.may_call:
            body["tools"] = asked.tools
        if "audio" in llm.output_modalities:
            body["modalities"] = list(llm.output_modalities)
            body["audio"] = {"voice": asked.voice or OPENAI_VOICE, "format": "pcm16"}
        if llm.metadata_enabled and (metadata := llm.extra_metadata | asked.metadata):
            body["metadata"] = metadata
        body |= llm.params
        body["messages"] = stamped(asked.messages) if llm.custom else asked.messages
        if "tools" not in body:  # a service refuses them without tools
            body = {name: value for name, value in body.items() if name not in ("tool_choice", "parallel_tool_calls")}
        elif body["messages"][-1]["role"] == "tool" and body.get("tool_choice") not in (None, "auto", "none"):
            body["tool_choice"] = "auto"  # it was called, as it had to be: now the model may answer
        body["stream"] = True
        return fitted(body)


def build(
    llm: Llm,
    messages: Sequence[dict[str, Any]],
    tools: list[dict[str, Any]],
    voice: str | None = None,
    instructions: str | None = None,
) -> dict[str, Any]:
    """The body of a request about a conversation."""
    return OpenAI().body(llm, question(llm, messages, tools, voice=voice, instructions=instructions))


def stamped(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each message with the turn and the time of its own; what has none, as the operator's words have none, with those
    of what follows it, or else of what is before it."""

    def own(message: dict[str, Any]) -> dict[str, Any]:
        return {name: message[name] for name in STAMPS if name in message}

    found: list[dict[str, Any]] = []
    stamps = next((one for message in reversed(messages) if (one := own(message))), {})
    for message in reversed(messages):
        stamps = own(message) or stamps
        found.append(message | stamps)
    return found[::-1]
