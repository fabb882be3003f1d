"""OpenAI's models that agents use or may be set to: what each is for, when it ends, and what follows it. No I/O.

The one place where their names stand. Looked up on LOOKED in the types of the `openai` package (SOURCE_VERSION), which
say "Announced shutdown date", and for the successors on https://developers.openai.com/api/docs/deprecations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct

LOOKED = date(2026, 11, 30)
SOURCE_VERSION = "3.57.0"

Use = Literal["chat", "speech to text", "text to speech", "realtime"]


class Model(Struct, frozen=True):
    """A model, and how long there is one."""

    name: str
    use: Use
    ends: date | None = None
    """The first day without it; None = no end had been announced on LOOKED."""
    successor: str | None = None
    """What OpenAI names in its place, where it names one."""


def _models(use: Use, ends: date | None, successor: str | None, names: str) -> list[Model]:
    return [Model(name, use, ends, successor) for name in names.split()]


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        *_models("chat", None, None, "gpt-6-luna"),
        *_models("chat", date(2027, 1, 14), "gpt-6-luna", "gpt-4o-mini gpt-4o gpt-4.1 gpt-4.1-mini"),
        *_models("chat", date(2026, 12, 11), None, "gpt-5 gpt-5-mini gpt-5-nano o3"),
        *_models("chat", date(2026, 10, 23), None, "gpt-4.1-nano o4-mini o3-mini o1 gpt-4-turbo gpt-4 gpt-3.5-turbo"),
        *_models("chat", date(2027, 4, 1), None, "gpt-5.1 gpt-5.4-nano"),
        *_models("speech to text", None, None, "gpt-transcribe"),
        *_models("speech to text", date(2027, 2, 26), "gpt-transcribe", "gpt-4o-mini-transcribe gpt-4o-transcribe"),
        *_models("speech to text", date(2027, 2, 26), "gpt-transcribe", "whisper-1 gpt-4o-transcribe-diarize"),
        *_models("text to speech", date(2027, 1, 6), "gpt-realtime-2.1-mini", "gpt-4o-mini-tts tts-1 tts-1-hd"),
        *_models("realtime", None, None, "gpt-realtime-2.1 gpt-realtime-2.1-mini"),
        *_models("realtime", date(2027, 1, 20), "gpt-realtime-2.1", "gpt-realtime"),
        *_models("realtime", date(2027, 1, 20), "gpt-realtime-2.1-mini", "gpt-realtime-mini"),
    )
}

CHAT = "gpt-6-luna"
TRANSCRIPTION = "gpt-transcribe"
SPEECH = "gpt-4o-mini-tts"
"""Of /audio/speech, which ends with it;"""
SPEECH_BY_REALTIME = "gpt-realtime-2.1-mini"
"""what OpenAI names in its place."""
REALTIME = "gpt-realtime-2.1"

SOON = timedelta(days=90)

_SNAPSHOT = r"-\d{4}-\d{2}-\d{2}"
"""Behind the name of a model: as it was on that day."""


def known(name: str) -> Model | None:
    """What is known of a model, or of the one that a snapshot ("gpt-4o-mini-2024-07-18") is of."""
    return MODELS.get(name) or MODELS.get(re.sub(rf"{_SNAPSHOT}$", "", name))


def ending(named: Iterable[tuple[str, str]], today: date) -> list[str]:
    """What is to be told of the models that are in use, (setting, model) each: those that have ended, and those that do
    within 90 days."""
    told = []
    for setting, name in named:
        model = known(name)
        if model is None or model.ends is None or model.ends - today > SOON:
            continue
        when = "ended" if model.ends <= today else "ends"
        then = f"; set {setting} to {model.successor}" if model.successor else f"; set {setting} to another one"
        if model.use == "text to speech":
            then = f": {'now' if model.ends <= today else 'then'} agents speak by {SPEECH_BY_REALTIME} over Realtime"
        told.append(f"{setting}: {name} {when} on {model.ends}{then}")
    return told


def speaks_by_realtime(url: str, model: str | None, today: date) -> str | None:
    """The model of OpenAI Realtime by which the text to speech at `url` is spoken on that day: at OpenAI's own
    /audio/speech, where `model` (None = the default) has ended, or is a realtime model itself. None = /audio/speech."""
    if (urlsplit(url).hostname or "").lower() != "api.openai.com":
        return None
    found = known(model or SPEECH)
    if found is not None and found.use == "realtime":
        return model
    ended = found is not None and found.ends is not None and found.ends <= today
    return SPEECH_BY_REALTIME if ended else None


_THINKS = re.compile(rf"(?:.*/)?gpt-(?:6-luna|5\.6-(?:luna|sol|terra))(?:{_SNAPSHOT})?")
"""Models that think before they speak unless `reasoning_effort` is "none", which is also the only one with which they
call functions on chat completions, and take a temperature."""


def fitted(body: dict[str, Any]) -> dict[str, Any]:
    """A request for chat completions as its model takes it: one that would think first is told not to, unless the
    request says how much; and `max_tokens` has the name that it knows."""
    if not _THINKS.fullmatch(str(body.get("model", ""))):
        return body
    body = {"reasoning_effort": "none"} | body
    if "max_tokens" in body:
        most = body.pop("max_tokens")
        body.setdefault("max_completion_tokens", most)
    return body
