"""v2's `llm`."""

from __future__ import annotations

from typing import Any, Literal

from ....protocol.agent_bodies import sort_of
from ...describe import Changes, system_messages
from ...options import Greeting
from ..reading import Given, Target, WrongMember, to
from .shared import LLM as SHARED
from .shared import headers, inputs, outputs

MAX_HISTORY = 32
GREETS: Literal["single_every"] = "single_every"
"""Defaults of v2."""
ROLES = {"model": "assistant"}
"""Gemini's name for it."""


def params(found: dict[str, Any]) -> Changes:
    """`model` has a place of its own. Raises WrongMember."""
    rest = {name: value for name, value in found.items() if name != "model"}
    model = found.get("model")
    if model is not None and not isinstance(model, str):
        raise WrongMember("model", f"must be a string, got {sort_of(model)}")
    return {"llm.params": rest} | ({"llm.model": model} if model else {})


def messages(found: list[dict[str, Any]]) -> Changes:
    """Chat messages; those of Gemini's shape, `{"role", "parts": [{"text"}]}`, too. Raises ValueError."""
    return system_messages([_plain(message) for message in found])


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    parts = message.get("parts")
    if "content" in message or not isinstance(parts, list):
        return message
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    if len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        raise ValueError
    role = message.get("role", "user")
    return {"role": ROLES.get(role, role) if isinstance(role, str) else role, "content": "\n".join(map(str, texts))}


LLM: dict[str, Target] = {
    **{f"llm.{name}": target for name, target in SHARED.items()},
    "llm.api_key": to("llm.api_key", update=True, empty=None),
    "llm.headers": headers("llm.headers", update=True),
    "llm.system_messages": Target(messages, update=True),
    "llm.model": to("llm.model", empty=None),
    "llm.params": Target(params, update=True),
    "llm.input_modalities": Target(inputs),
    "llm.output_modalities": Target(outputs),
    "llm.greeting_message": to("llm.greeting_message", update=True, empty=None),
    "llm.style": to("llm.style"),
    "llm.vendor": Target(lambda name: {"llm.custom": name == "custom"}),
    "llm.ignore_empty": to("llm.ignore_empty"),
    "llm.template_variables": to("llm.template_variables"),
}
_GREETING = {
    "greeting_configs.mode": "mode",
    "greeting_configs.delay_ms": "delay_ms",
    "greeting_configs.interruptable": "interruptable",
    "greeting_configs.audio_download_timeout_ms": "audio_timeout_ms",
    "greeting_configs.audio_pcm_sample_rate": "audio_rate",
    "greeting_audio_url": "audio_url",
}


def llm(given: Given, *, realtime: bool) -> Changes:
    """What its fields mean together; those that mean something each for itself are in LLM.

    Args:
        realtime: a realtime model is asked, and this service is not.
    """
    section = given.below("llm")
    greeting = {name: section.get(path) for path, name in _GREETING.items() if path in section}
    changes: Changes = {
        "llm.max_history": section.get("max_history", MAX_HISTORY),
        "greeting": Greeting(**{"mode": GREETS, **greeting}),
    }
    named = section.get("vendor") not in (None, "custom")
    if named and "url" not in section and not section.get("api_key") and not realtime:
        changes["stands_in_for.model"] = section.get("vendor")
    if section.get("vendor") == "custom" and "url" not in section and not realtime:
        section.refuse("url", "is required with vendor 'custom': the server's own takes no turn_id and timestamp")
    if section.get("style", "openai") != "openai" and "url" not in section and not realtime:
        section.refuse("url", f"is required with style {section.get('style')!r}: the server's own is OpenAI's")
    return changes
