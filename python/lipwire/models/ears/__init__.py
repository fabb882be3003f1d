"""Hearing: whisper on this machine, through CTranslate2."""

from __future__ import annotations

from .vocabulary import LANGUAGES, language_of

__all__ = ["ENGLISH", "LANGUAGES", "MULTILINGUAL", "default_model", "language_of"]

ENGLISH, MULTILINGUAL = "whisper-tiny.en", "whisper-base"
"""The defaults: tiny.en makes no more errors than base in half of the time (bench/agents_hearing.py)."""


def default_model(language: str) -> str:
    """The model's name for a BCP 47 tag."""
    return ENGLISH if language_of(language) == "en" else MULTILINGUAL
