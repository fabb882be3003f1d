"""The dialects in which chat services are asked and answer (`Llm.style`)."""

from __future__ import annotations

from ...config import Llm
from .anthropic import Anthropic
from .base import Dialect, Question
from .dify import Dify
from .gemini import Gemini
from .openai import OpenAI

__all__ = ["Dialect", "Question", "dialect_of"]

_DIALECTS: dict[str, type[Dialect]] = {"openai": OpenAI, "anthropic": Anthropic, "gemini": Gemini, "dify": Dify}


def dialect_of(llm: Llm) -> Dialect:
    """The dialect of one agent's service; it may remember what that keeps of the conversation."""
    return _DIALECTS[llm.style]()
