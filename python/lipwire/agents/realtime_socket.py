"""The WebSocket to OpenAI Realtime, or to what speaks like it: connecting, and what failed, in words for everyone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from websockets.asyncio.client import ClientConnection

from ..outward import Outward
from .http import log_details, opened

WHAT = "OpenAI Realtime"
URL = "wss://api.openai.com/v1/realtime"
RATE = 24_000
"""Hz of its sound, both ways."""
WORD = r"[A-Za-z0-9_.-]{1,64}"
"""What a code or a reason looks like that may be told."""


def with_model(url: str, model: str) -> str:
    """The URL of a session with a model, which it may name already (Azure's: its deployment)."""
    if parse_qs(urlsplit(url).query).keys() & {"model", "deployment"}:
        return url
    return f"{url}{'&' if '?' in url else '?'}model={quote(model)}"


async def connect(
    url: str, headers: Mapping[str, str], key: str | None, outward: Outward | None = None
) -> ClientConnection:
    """A connection.

    Args:
        url: with the model. key: a secret among the headers, which is kept out of the log. outward: where it may lead;
            None = it is the operator's own.

    Raises:
        ServiceError: there is none; `status` is that of a refusal, `passing` and `wait` are as `http.refusal` has them.
    """
    return await opened(WHAT, url, headers, outward, key)


def details(text: str, url: str, key: str | None) -> None:
    """Logs what only the operator may read."""
    log_details(WHAT, text, url, key)


def word(error: dict[str, Any]) -> str:
    """An error's code, or its type. What it says in words stays in the log: it may be an inner service's."""
    for name in ("code", "type"):
        if isinstance(value := error.get(name), str) and re.fullmatch(WORD, value):
            return value
    return "an error"


def exactly(text: str) -> str:
    """The instructions with which a model says a text and nothing else."""
    return f"Say exactly the following text, word for word, and nothing else:\n\n{text}"
