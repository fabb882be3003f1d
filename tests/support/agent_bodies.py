"""Bodies that start agents."""

from __future__ import annotations

import copy
from typing import Any

V1: dict[str, Any] = {
    "name": "unique_name",
    "properties": {
        "channel": "test_channel",
        "agent_rtc_uid": 1234,
        "remote_rtc_uid": 123,
        "custom_llm": {"url": "https://llm.example.org/v1/chat/completions"},
    },
}


V2: dict[str, Any] = {
    "name": "unique_name",
    "properties": {
        "channel": "test_channel",
        "agent_rtc_uid": "1234",
        "remote_rtc_uids": ["123"],
        "llm": {"url": "https://llm.example.org/v1/chat/completions"},
    },
}


ABSENT = object()


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of the body with one field set, or taken out."""
    body = copy.deepcopy(body)
    *way, last = path.split(".")
    at = body
    for step in way:
        at = at.setdefault(step, {})
    if value is ABSENT:
        del at[last]
    else:
        at[last] = value
    return body
