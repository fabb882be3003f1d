"""Checks of what the fakes receive and send, by the types of the official `openai` package."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, get_args, get_type_hints

from openai.types.audio.speech_create_params import SpeechCreateParams
from openai.types.audio.transcription_create_params import TranscriptionCreateParamsNonStreaming
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter, ValidationError
from typing_extensions import TypedDict

What = Literal["chat", "speech", "transcription", "realtime-client", "realtime-server", "chunk"]

_TYPES: dict[str, Any] = {
    "chat": CompletionCreateParamsStreaming,
    "messages": list[ChatCompletionMessageParam],
    "tools": list[ChatCompletionToolParam],
    "speech": SpeechCreateParams,
    # openai's type for the file is one that pydantic does not know
    "transcription": TypedDict(  # type: ignore[operator]
        "transcription",
        {**get_type_hints(TranscriptionCreateParamsNonStreaming, include_extras=True), "file": Any},
        total=False,
    ),
    "realtime-client": RealtimeClientEvent,
    "realtime-server": RealtimeServerEvent,
    "chunk": ChatCompletionChunk,
}


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(_TYPES[name])


@cache
def _events(name: str) -> dict[str, TypeAdapter[Any]]:
    """The events of a realtime union by their `type`, so that an error is about the one that was meant."""
    members = get_args(get_args(_TYPES[name])[0])
    return {get_args(member.model_fields["type"].annotation)[0]: TypeAdapter(member) for member in members}


def walk(value: Any) -> None:
    """pydantic checks an Iterable only while it is read."""
    if isinstance(value, dict):
        for one in value.values():
            walk(one)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes | BaseModel):
        for one in value:
            walk(one)


def _unknown(value: Any, path: str = "") -> list[str]:
    """Members that the schema does not have: `openai`'s models keep them instead of refusing."""
    if isinstance(value, BaseModel):
        found = [f"{path}.{name}: unknown" for name in value.model_extra or {}]
        for name in value.model_fields_set & set(type(value).model_fields):
            found += _unknown(getattr(value, name), f"{path}.{name}")
        return found
    if isinstance(value, list | tuple):
        return [problem for i, one in enumerate(value) for problem in _unknown(one, f"{path}[{i}]")]
    return []


def _validated(name: str, value: Any) -> list[str]:
    try:
        adapter = _events(name).get(value.get("type")) if name.startswith("realtime") else _adapter(name)
        if adapter is None:
            return [f"{name}: no event of type {value.get('type')!r}"]
        result = adapter.validate_python(value)
        walk(result)
    except ValidationError as exc:
        return [f"{name} {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()][:5]
    return [f"{name} {problem}" for problem in _unknown(result)]


def problems(what: What, value: Any, extra: Iterable[str] = ()) -> list[str]:
    """What is wrong with `value`; nothing = it is right. `extra`: members that the service knows beyond the schema."""
    if not isinstance(value, dict):
        return [f"{what}: an object was expected"]
    checked = {name: one for name, one in value.items() if name not in set(extra)}
    found = _validated(what, checked)
    if what in ("chat", "speech", "transcription"):
        known = get_type_hints(_TYPES[what])
        found += [f"{what} {name}: unknown" for name in checked if name not in known]
    if what == "chat":
        found += _validated("messages", value.get("messages"))
        found += _validated("tools", value.get("tools", []))
        found += _order(value.get("messages", []))
    return found


def _order(messages: list[dict[str, Any]]) -> list[str]:
    """The rule that a schema cannot say: every tool call is answered at once, and nothing else is."""
    found: list[str] = []
    open_calls: set[str] = set()
    for i, message in enumerate(messages):
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in open_calls:
                found.append(f"messages[{i}]: a tool message that answers no call: {message.get('tool_call_id')}")
            open_calls.discard(str(message.get("tool_call_id")))
            continue
        if open_calls:
            found.append(f"messages[{i}]: tool calls without an answer before it: {sorted(open_calls)}")
        open_calls = {call["id"] for call in message.get("tool_calls") or []}
    if open_calls:
        found.append(f"tool calls without an answer at the end: {sorted(open_calls)}")
    return found
