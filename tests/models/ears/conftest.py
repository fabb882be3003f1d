"""A real model, loaded once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lipwire import resample
from lipwire.errors import ModelFailed
from lipwire.models.ears.whisper import Whisper
from lipwire.models.find import find
from support.machine import require

SENTENCE = "Hello, how are you today?"
"""What tiny.en understands when espeak-ng says it; of many sentences it does four fifths of the words."""
STORY = (SENTENCE, "I would like to go to the station.", "What is the weather in Berlin?", "Yes, please.")
"""Such sentences."""


def plain(text: str) -> str:
    """Without case and marks."""
    return re.sub(r"[^a-z ]", "", text.lower())


@pytest.fixture(scope="session")
def model() -> Path:
    """The folder of whisper-tiny.en."""
    try:
        return find("whisper-tiny.en")
    except ModelFailed as exc:
        require(False, str(exc))
        raise


@pytest.fixture(scope="session")
def whisper(model: Path) -> Whisper:
    try:
        return Whisper(model)
    except ModelFailed as exc:
        require(False, str(exc))
        raise


@pytest.fixture(scope="session")
def sentence(say: Callable[[str], tuple[bytes, int]]) -> bytes:
    """SENTENCE between silences, at 16 kHz."""
    return bytes(9600) + resample(*say(SENTENCE), 16_000) + bytes(9600)


@pytest.fixture(scope="session")
def story(say: Callable[[str], tuple[bytes, int]]) -> bytes:
    """STORY, a sentence every 8.75 s."""
    spoken = (bytes(9600) + resample(*say(sentence), 16_000) for sentence in STORY)
    return b"".join(one + bytes(280_000 - len(one)) for one in spoken)
