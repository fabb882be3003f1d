"""OpenAI's models: their ends by the package's own types, what is told of them, and requests as they take them."""

from __future__ import annotations

import re
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import openai
import pytest

from lipwire.agents.openai_models import (
    CHAT,
    LOOKED,
    MODELS,
    REALTIME,
    SOURCE_VERSION,
    SPEECH,
    SPEECH_BY_REALTIME,
    TRANSCRIPTION,
    ending,
    fitted,
    known,
    speaks_by_realtime,
)

TYPES = Path(openai.__file__).parent / "types"
FILES = (
    "audio/speech_model.py",
    "audio_model.py",
    "shared/chat_model.py",
    "chat/completion_create_params.py",
    "realtime/realtime_session_create_request.py",
)
END = date(2027, 1, 6)


def test_the_table_says_what_the_package_says() -> None:
    """It is as of one version of it. A later one may know more: then it is to be looked up anew, and no test fails
    before."""
    if version("openai") != SOURCE_VERSION:
        return
    texts = [(TYPES / name).read_text() for name in FILES]
    assert set(MODELS) <= set(re.findall(r'"([a-z][\w.-]+)"', " ".join(texts)))
    ends: dict[str, date] = {}
    for text in texts:
        for names, day in re.findall(
            r'- ((?:"[\w.-]+",?\s+)*"[\w.-]+"):\s+Announced\s+shutdown\s+date:\s+([\d-]{10})', text
        ):
            ends |= dict.fromkeys(re.findall(r'"([\w.-]+)"', names), date.fromisoformat(day))
    assert {name: model.ends for name, model in MODELS.items()} == {name: ends.get(name) for name in MODELS}
    for name in ends:
        if (model := known(name)) is not None and name not in MODELS and not name.endswith("2024-05-13"):
            assert model.ends == ends[name], name  # a snapshot ends with its model


def test_defaults_live_on() -> None:
    for name in (CHAT, TRANSCRIPTION, REALTIME, SPEECH_BY_REALTIME):
        assert MODELS[name].ends is None
    assert MODELS[SPEECH].successor == SPEECH_BY_REALTIME
    for model in MODELS.values():
        assert model.successor is None or MODELS[model.successor].ends is None


@pytest.mark.parametrize(
    ("name", "today", "told"),
    [
        (SPEECH, END - timedelta(days=91), None),
        (
            SPEECH,
            END - timedelta(days=90),
            "tts_model: gpt-4o-mini-tts ends on 2027-01-06: then agents speak by",
        ),
        (SPEECH, END, "tts_model: gpt-4o-mini-tts ended on 2027-01-06: now agents speak by gpt-realtime-2.1-mini"),
        ("gpt-4o-mini-2024-07-18", LOOKED, "ends on 2027-01-14; set tts_model to gpt-6-luna"),
        ("gpt-5", LOOKED, "ends on 2026-12-11; set tts_model to another one"),
        (CHAT, END, None),
        ("a-model-of-mine", END, None),
    ],
)
def test_what_ends_is_told(name: str, today: date, told: str | None) -> None:
    found = ending([("tts_model", name)], today)
    assert found == [] if told is None else told in found[0]


OPENAI = "https://api.openai.com/v1/audio/speech"


@pytest.mark.parametrize(
    ("url", "model", "today", "by"),
    [
        (OPENAI, None, END - timedelta(days=1), None),
        (OPENAI, None, END, SPEECH_BY_REALTIME),
        (OPENAI, "tts-1-hd", END, SPEECH_BY_REALTIME),
        (OPENAI, "tts-3", END, None),
        (OPENAI, "gpt-realtime-2.1", LOOKED, "gpt-realtime-2.1"),
        ("http://127.0.0.1:8880/v1/audio/speech", None, END, None),
        ("https://me.openai.azure.com/openai/deployments/tts/audio/speech", None, END, None),
    ],
)
def test_who_speaks_by_realtime(url: str, model: str | None, today: date, by: str | None) -> None:
    assert speaks_by_realtime(url, model, today) == by


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"model": "gpt-6-luna"}, {"model": "gpt-6-luna", "reasoning_effort": "none"}),
        ({"model": "gpt-6-luna-2026-10-01"}, {"model": "gpt-6-luna-2026-10-01", "reasoning_effort": "none"}),
        ({"model": "gpt-6-luna-audio"}, None),
        ({"model": "openai/gpt-6-luna", "reasoning_effort": "low"}, None),
        ({"model": "gpt-4o-mini", "max_tokens": 5}, None),
        ({"model": "llama3.2"}, None),
        ({}, None),
        (
            {"model": "gpt-5.6-sol", "max_tokens": 5, "temperature": 0.3},
            {"model": "gpt-5.6-sol", "reasoning_effort": "none", "max_completion_tokens": 5, "temperature": 0.3},
        ),
        (
            {"model": "gpt-6-luna", "reasoning_effort": None, "max_tokens": 5, "max_completion_tokens": 6},
            {"model": "gpt-6-luna", "reasoning_effort": None, "max_completion_tokens": 6},
        ),
    ],
)
def test_a_request_is_as_its_model_takes_it(given: dict[str, Any], sent: dict[str, Any] | None) -> None:
    assert fitted(dict(given)) == (given if sent is None else sent)
