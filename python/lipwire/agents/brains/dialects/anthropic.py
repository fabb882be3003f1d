"""Anthropic's Messages API, streamed.

What a model thinks before it calls a function goes back with the call, signed as it came: the service refuses the
request without it. So it is kept with the call, in `Call.extra`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...config import Llm
from ...headers import brings_credentials
from ..calls import read_arguments
from ..completion import MAX_REASONING, Reader
from .base import Dialect, Question, apart, chunk, image, parts

VERSION = "2023-06-01"
"""Of the API, where the client's headers name none: the next one takes no temperature, top_p or top_k."""
BY_BEARER = "2026-10-21"
"""From that version on, the key goes as a bearer token."""
MAX_TOKENS = 4096
"""`max_tokens`, which the service wants to be told, where the client does not say it."""

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_REASONS = {"tool_use": "tool_calls", "model_context_window_exceeded": "length"}


class Anthropic(Dialect):
    """`llm.url` is that of /v1/messages."""

    def headers(self, llm: Llm, own: Mapping[str, str]) -> dict[str, str]:
        version = own.get("anthropic-version", VERSION)
        found = {"anthropic-version": version}
        if llm.api_key and not brings_credentials(own):
            by_bearer = version >= BY_BEARER
            found |= {"authorization": f"Bearer {llm.api_key}"} if by_bearer else {"x-api-key": llm.api_key}
        return found

    def body(self, llm: Llm, asked: Question) -> dict[str, Any]:
        system, talk = apart(asked)
        messages = _messages(talk)
        body: dict[str, Any] = {"max_tokens": MAX_TOKENS} | ({"model": llm.model} if llm.model else {})
        if tools := _tools(asked.tools) or _called(messages):
            body["tools"] = tools
        body |= llm.params
        if system:
            body["system"] = system
        choice = body.pop("tool_choice", None)
        if "tools" in body and (not asked.may_call or not asked.tools):
            choice = "none"
        if "tools" in body and choice is not None:
            body["tool_choice"] = {"type": _CHOICES.get(choice, choice)} if isinstance(choice, str) else choice
            forced = body["tool_choice"].get("type") in ("any", "tool")
            if forced and _answers(messages[-1]):  # it was called, as it had to be: now the model may answer
                body["tool_choice"] = {"type": "auto"}
        return body | {"messages": messages, "stream": True}

    def reader(self) -> Reader:
        return _Reader()


def _tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    functions = [tool["function"] for tool in tools]
    return [
        {"name": one["name"], "description": one["description"], "input_schema": {"type": "object"} | one["parameters"]}
        for one in functions
    ]


def _called(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The functions that the conversation has called: the service wants them described, though they are gone."""
    names = {block["name"]: None for one in messages for block in one["content"] if block["type"] == "tool_use"}
    return [{"name": name, "description": "", "input_schema": {"type": "object"}} for name in names]


def _answers(message: dict[str, Any]) -> bool:
    return any(block["type"] == "tool_result" for block in message["content"])


def _messages(arranged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Content is always blocks. Answers to calls are a user's, together in one message."""
    found: list[dict[str, Any]] = []
    for message in arranged:
        role = message["role"]
        if role == "tool":
            block = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": message["content"]}
            if str(message["content"]).startswith('{"error":'):
                block["is_error"] = True
            if found and _answers(found[-1]):
                found[-1]["content"].append(block)
            else:
                found.append({"role": "user", "content": [block]})
            continue
        given = (_block(part) for part in parts(message.get("content")))
        blocks = [block for block in given if block.get("type") != "text" or block["text"].strip()]
        calls = message.get("tool_calls") or []
        for call in calls:
            blocks += ((call.get("extra_content") or {}).get("anthropic") or {}).get("thinking") or []
            function, arguments = call["function"], read_arguments(call["function"]["arguments"])
            values = arguments if isinstance(arguments, dict) else {}
            blocks.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": values})
        if calls and blocks[0]["type"] == "text":  # a turn with thoughts in it has to begin with them
            at = next((i for i, block in enumerate(blocks) if "thinking" not in block["type"] and i), 1)
            blocks = [*blocks[1:at], blocks[0], *blocks[at:]]
        found.append({"role": role, "content": blocks})
    return found


def _block(part: dict[str, Any]) -> dict[str, Any]:
    if (picture := image(part)) is not None:
        kind, data = picture
        source = {"type": "base64", "media_type": kind, "data": data} if kind else {"type": "url", "url": data}
        return {"type": "image", "source": source}
    return {"type": "text", "text": str(part.get("text") or "")} if part.get("type") == "text" else part


class _Reader:
    """Reads the events of one answer."""

    def __init__(self) -> None:
        self._thoughts: list[dict[str, Any]] = []
        """Blocks of thoughts since the last call; none, where they are too long to go back."""
        self._length = 0
        """Characters of all that came."""

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        kind = event.get("type")
        if kind == "content_block_start":
            return self._begins(event["index"], event["content_block"])
        if kind == "content_block_delta":
            return self._more(event["index"], event["delta"])
        if kind == "message_delta" and (reason := event["delta"].get("stop_reason")):
            return chunk({}, _REASONS.get(reason, reason))
        if kind == "message" and isinstance(event.get("content"), list):  # one that is not streamed
            return self._whole(event)
        return event if event.get("error") else {}

    def _begins(self, index: int, block: dict[str, Any]) -> dict[str, Any]:
        kind = block.get("type")
        if kind == "text":
            return chunk({"content": block.get("text") or ""})
        if kind in ("thinking", "redacted_thinking"):
            self._thoughts.append(dict(block))
            return self._thought(str(block.get("thinking") or " "), len(json.dumps(block)))
        if kind != "tool_use":
            return {}
        given = block.get("input") or ""  # {} at the beginning of a stream
        call: dict[str, Any] = {"index": index, "id": block["id"], "type": "function"}
        call["function"] = {"name": block["name"], "arguments": given}
        if self._thoughts:
            call["extra_content"] = {"anthropic": {"thinking": self._thoughts}}
        self._thoughts = []
        return chunk({"tool_calls": [call]})

    def _more(self, index: int, delta: dict[str, Any]) -> dict[str, Any]:
        kind = delta.get("type")
        if kind == "text_delta":
            return chunk({"content": delta["text"]})
        if kind == "input_json_delta":
            return chunk({"tool_calls": [{"index": index, "function": {"arguments": delta["partial_json"]}}]})
        if kind == "thinking_delta":
            if self._thoughts:
                self._thoughts[-1]["thinking"] += delta["thinking"]
            return self._thought(delta["thinking"], len(delta["thinking"]))
        if kind == "signature_delta":
            if self._thoughts:
                self._thoughts[-1]["signature"] = delta["signature"]
            return self._thought(" ", len(delta["signature"]))
        return {}

    def _thought(self, text: str, length: int) -> dict[str, Any]:
        """Some of what it thinks, with the `length` that is kept of that."""
        self._length += length
        if self._length > MAX_REASONING:
            self._thoughts = []
        return chunk({"reasoning": text or " "})

    def _whole(self, message: dict[str, Any]) -> dict[str, Any]:
        text, calls = "", list[dict[str, Any]]()
        for index, block in enumerate(message["content"]):
            for choice in self._begins(index, block).get("choices", ()):
                text += choice["delta"].get("content", "")
                calls += choice["delta"].get("tool_calls", ())
        reason = message.get("stop_reason") or "stop"
        return chunk({"content": text, "tool_calls": calls}, _REASONS.get(reason, reason))
