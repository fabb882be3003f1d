"""Gemini's generateContent, streamed: Google AI's, and Vertex AI's, which is the same.

Every thought signature that comes with a call goes back with it, in `Call.extra`: the service refuses the request
without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ...config import Llm
from ...headers import brings_credentials
from ..calls import read_arguments
from ..completion import Reader
from .base import Dialect, Question, apart, chunk, image, parts, value

_OWN = frozenset(
    (
        *("contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig"),
        *("cachedContent", "labels", "modelArmorConfig", "serviceTier", "store"),
    )
)
"""Members of a request; everything else that `llm.params` says is one of its generationConfig."""
_NAMES = {"maxTokens": "maxOutputTokens", "maxCompletionTokens": "maxOutputTokens", "stop": "stopSequences"}
"""What others call them."""
_VERTEX = re.compile(r"([a-z0-9-]+-)?aiplatform\.googleapis\.com")
_API_KEY = re.compile(r"AIza|AQ\.")
"""How a key of Google's begins; what begins otherwise is an access token, at Vertex AI."""
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}


class Gemini(Dialect):
    """`llm.url` is that of a model's :streamGenerateContent; the model stands in it."""

    def url(self, llm: Llm) -> str:
        """With alt=sse: without it the service sends one JSON array, which is whole at its end only."""
        parts = urlsplit(llm.url)
        if not parts.path.endswith(":streamGenerateContent") or "alt" in parse_qs(parts.query):
            return llm.url
        return parts._replace(query=f"{parts.query}&alt=sse" if parts.query else "alt=sse").geturl()

    def headers(self, llm: Llm, own: Mapping[str, str]) -> dict[str, str]:
        if not llm.api_key or brings_credentials(own):
            return {}
        if _VERTEX.fullmatch((urlsplit(llm.url).hostname or "").lower()) and not _API_KEY.match(llm.api_key):
            return {"authorization": f"Bearer {llm.api_key}"}
        return {"x-goog-api-key": llm.api_key}

    def body(self, llm: Llm, asked: Question) -> dict[str, Any]:
        body, config = dict[str, Any](), dict[str, Any]()
        choice = None
        for given, one in llm.params.items():
            name = re.sub(r"_([a-z])", lambda found: found[1].upper(), given)
            name = _NAMES.get(name, name)
            if name == "toolChoice":
                choice = _MODES.get(one) if isinstance(one, str) else None
            elif name in _OWN:
                body[name] = one
            elif name not in ("model", "stream"):
                config[name] = one
        if config:
            body["generationConfig"] = config | (body.get("generationConfig") or {})
        if asked.tools:
            declared = [_declared(one) for one in asked.tools]
            body["tools"] = [{"functionDeclarations": declared}, *(body.get("tools") or [])]
        last = asked.messages[-1]["role"]
        if asked.tools and not asked.may_call:
            body["toolConfig"] = {"functionCallingConfig": {"mode": "NONE"}}
        elif asked.tools and choice and not (choice == "ANY" and last == "tool"):
            body.setdefault("toolConfig", {"functionCallingConfig": {"mode": choice}})
        system, talk = apart(asked)
        if system:
            body["systemInstruction"] = {"parts": [{"text": system}]}
        return body | {"contents": _contents(talk)}

    def reader(self) -> Reader:
        return _Reader()


def _declared(tool: dict[str, Any]) -> dict[str, Any]:
    one = tool["function"]
    declared = {"name": one["name"], "description": one["description"]}
    # Without arguments there must be no schema: the service refuses an object without properties.
    return declared | ({"parametersJsonSchema": one["parameters"]} if one["parameters"].get("properties") else {})


def _contents(arranged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Answers to calls are a user's, together in one content."""
    found: list[dict[str, Any]] = []
    called: dict[str, dict[str, Any]] = {}
    before = ""
    for message in arranged:
        role = message["role"]
        if role == "tool":
            result = value(str(message["content"]))
            response = result if isinstance(result, dict) else {"output": result}
            answer = {"functionResponse": {**called.get(message["tool_call_id"], {}), "response": response}}
            if before == "tool":
                found[-1]["parts"].append(answer)
            else:
                found.append({"role": "user", "parts": [answer]})
        else:
            made = [_part(part) for part in parts(message.get("content"))]
            for call in message.get("tool_calls") or ():
                extra = (call.get("extra_content") or {}).get("google") or {}
                name = {"name": call["function"]["name"]} | ({"id": extra["id"]} if extra.get("id") else {})
                called[call["id"]] = name
                arguments = read_arguments(call["function"]["arguments"])
                args = arguments if isinstance(arguments, dict) else {}
                part: dict[str, Any] = {"functionCall": {**name, "args": args}}
                if signature := extra.get("thought_signature"):
                    part["thoughtSignature"] = signature
                made.append(part)
            found.append({"role": "model" if role == "assistant" else "user", "parts": made})
        before = role
    return found


def _part(part: dict[str, Any]) -> dict[str, Any]:
    if (picture := image(part)) is not None:
        kind, data = picture
        return {"inlineData": {"mimeType": kind, "data": data}} if kind else {"fileData": {"fileUri": data}}
    return {"text": str(part.get("text") or "")}


class _Reader:
    """Reads the events of one answer."""

    def __init__(self) -> None:
        self._calls = 0

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        if event.get("error"):
            return event
        candidates = [one for one in event.get("candidates") or () if not one.get("index")]
        if not candidates:
            blocked = (event.get("promptFeedback") or {}).get("blockReason")
            return chunk({}, f"content_filter: {blocked}") if blocked else {}
        delta: dict[str, Any] = {"content": "", "tool_calls": []}
        for part in (candidates[0].get("content") or {}).get("parts") or ():
            if "functionCall" in part:
                delta["tool_calls"].append(self._call(part))
            elif part.get("thought"):
                delta["reasoning"] = part.get("text") or " "
            else:
                delta["content"] += part.get("text") or ""
        reason = candidates[0].get("finishReason")
        return chunk(delta, "stop" if reason == "STOP" else reason)

    def _call(self, part: dict[str, Any]) -> dict[str, Any]:
        given = part["functionCall"]
        kept = {"thought_signature": part.get("thoughtSignature"), "id": given.get("id")}
        call = {
            "index": self._calls,
            "id": given.get("id") or "",
            "type": "function",
            "function": {"name": given["name"], "arguments": given.get("args") or {}},
        }
        self._calls += 1
        if google := {name: one for name, one in kept.items() if one}:
            call["extra_content"] = {"google": google}
        return call
