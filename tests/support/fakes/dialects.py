"""Fakes of chat services that speak dialects of their own. What they receive and send is checked by the types of the
official packages `anthropic` and `google-genai`; of Dify's, whose package has no types, by the API's documentation.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from functools import cache
from typing import Any, get_type_hints

import msgspec
from anthropic.types import RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from google.genai import types as genai
from pydantic import BaseModel, TypeAdapter, ValidationError

from .chat import Answer, FakeChat
from .schema import walk
from .server import Request, Response, decode


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def checked(kind: Any, value: Any, what: str) -> list[str]:
    """What is wrong with a value by a type of an official package."""
    try:
        walk(_adapter(kind).validate_python(value))
    except ValidationError as exc:
        return [f"{what} {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()][:5]
    return []


def words(text: str) -> list[str]:
    """A text in the pieces in which a service sends it."""
    found = text.split(" ")
    return [word if i == len(found) - 1 else word + " " for i, word in enumerate(found)] if text else []


SAMPLING = ("temperature", "top_p", "top_k")


class FakeAnthropic(FakeChat):
    """The Messages API. `thought`: what the model thinks before it answers, where that is asked for."""

    path = "/v1/messages"
    end = b""
    thought = ""
    sampling = False
    """Whether the version that was asked for takes temperature, top_p and top_k, as those before 2026-10-21 do."""

    def key_of(self, headers: dict[str, str]) -> str:
        return headers.get("x-api-key") or super().key_of(headers)

    async def answer(self, request: Request) -> Response:
        if "anthropic-version" not in request.headers:
            return self.refuse(["anthropic-version: the header is missing"])
        self.sampling = request.headers["anthropic-version"] < "2026-10-21"
        return await super().answer(request)

    def problems_of(self, body: Any) -> list[str]:
        found = checked(MessageCreateParamsStreaming, body, "messages")
        if found:
            return found
        known = {*get_type_hints(MessageCreateParamsStreaming), *(SAMPLING if self.sampling else ())}
        found += [f"{name}: unknown" for name in body if name not in known]
        uses = _uses(body)
        if uses and not body.get("tools"):
            found.append("tools: there have to be some where messages have tool_use")
        found += self._turns(body["messages"])
        if "thinking" in body:
            found += [f"messages[{i}]: no thinking in front" for i in uses if not _begins_with_thought(body, i)]
        return found

    def _turns(self, messages: list[dict[str, Any]]) -> list[str]:
        found, before, waits = [], "assistant", set[str]()
        for i, message in enumerate(messages):
            if message["role"] == before:
                found.append(f"messages[{i}]: {before} twice, or first")
            before = message["role"]
            blocks = message["content"]
            answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
            if answered != waits:
                found.append(f"messages[{i}]: {answered} answered, where {waits} wait")
            waits = {block["id"] for block in blocks if block["type"] == "tool_use"}
            if not blocks or any(block["type"] == "text" and not block["text"].strip() for block in blocks):
                found.append(f"messages[{i}]: empty")
        return found + (["the last is no user's"] if before != "user" else [])

    def framed(self, event: dict[str, Any]) -> bytes:
        return f"event: {event['type']}\n".encode() + super().framed(event)

    def events(self, reply: Answer, body: dict[str, Any]) -> Iterable[dict[str, Any]]:
        for event in self._events(reply, body):
            if event["type"] != "ping":
                found = checked(RawMessageStreamEvent, event, "event")
                assert not found, found
            yield event

    def _events(self, reply: Answer, body: dict[str, Any]) -> Iterable[dict[str, Any]]:
        usage = {"input_tokens": 3, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": []}
        yield {
            "type": "message_start",
            "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage},
        }
        yield {"type": "ping"}
        index = 0
        if self.thought and "thinking" in body:
            block: dict[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}
            yield {"type": "content_block_start", "index": 0, "content_block": block}
            for word in words(self.thought):
                yield self._delta(0, {"type": "thinking_delta", "thinking": word})
            yield self._delta(0, {"type": "signature_delta", "signature": "c2lnbmVk"})
            yield {"type": "content_block_stop", "index": 0}
            index += 1
        if reply.text:
            yield {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
            for word in words(reply.text):
                yield self._delta(index, {"type": "text_delta", "text": word})
            yield {"type": "content_block_stop", "index": index}
            index += 1
        for number, call in enumerate(reply.tool_calls, index):
            call_id = call.id or f"toolu_{number}_{len(self.requests)}"
            block = {"type": "tool_use", "id": call_id, "name": call.name, "input": {}}
            yield {"type": "content_block_start", "index": number, "content_block": block}
            half = len(call.arguments) // 2
            for piece in ("", call.arguments[:half], call.arguments[half:]):
                yield self._delta(number, {"type": "input_json_delta", "partial_json": piece})
            yield {"type": "content_block_stop", "index": number}
        delta = {"stop_reason": "tool_use" if reply.tool_calls else "end_turn", "stop_sequence": None}
        yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 9}}
        yield {"type": "message_stop"}

    @staticmethod
    def _delta(index: int, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": delta}


def _uses(body: dict[str, Any]) -> list[int]:
    """The messages that have calls in them."""
    return [i for i, one in enumerate(body["messages"]) if any(b["type"] == "tool_use" for b in one["content"])]


def _begins_with_thought(body: dict[str, Any], number: int) -> bool:
    first = body["messages"][number]["content"][0]
    return bool(first["type"] == "thinking" and first["signature"])


class FakeGemini(FakeChat):
    """streamGenerateContent; every call comes with a signature, and has to come back with it."""

    path = "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"
    end = b""

    def key_of(self, headers: dict[str, str]) -> str:
        return headers.get("x-goog-api-key") or super().key_of(headers)

    def problems_of(self, body: Any) -> list[str]:
        found = checked(GeminiRequest, body, "request")
        if found:
            return found
        before, waits = "model", 0
        for i, content in enumerate(body["contents"]):
            if content["role"] == before:
                found.append(f"contents[{i}]: {before} twice, or first")
            before = content["role"]
            answers = sum("functionResponse" in part for part in content["parts"])
            if answers != waits:
                found.append(f"contents[{i}]: {answers} answers, where {waits} wait")
            waits = sum("functionCall" in part for part in content["parts"])
            if waits and not next(part for part in content["parts"] if "functionCall" in part).get("thoughtSignature"):
                found.append(f"contents[{i}]: a call without its thought_signature")
            if not content["parts"] or any(part == {"text": ""} for part in content["parts"]):
                found.append(f"contents[{i}]: empty")
        return found + (["the last is no user's"] if before != "user" else [])

    def events(self, reply: Answer, body: dict[str, Any]) -> Iterable[dict[str, Any]]:
        for event in self._events(reply):
            found = checked(genai.GenerateContentResponse, event, "event")
            assert not found, found
            yield event

    def _events(self, reply: Answer) -> Iterable[dict[str, Any]]:
        yield self._event([{"text": "Hm, a greeting.", "thought": True}])
        for word in words(reply.text):
            yield self._event([{"text": word}])
        for number, call in enumerate(reply.tool_calls):
            made: dict[str, Any] = {"functionCall": {"name": call.name, "args": json.loads(call.arguments)}}
            if call.id:
                made["functionCall"]["id"] = call.id
            if number == 0:
                made["thoughtSignature"] = base64.b64encode(b"signed").decode()
            yield self._event([made])
        yield self._event([{"text": ""}], "STOP")

    @staticmethod
    def _event(parts: list[dict[str, Any]], reason: str | None = None) -> dict[str, Any]:
        candidate = {"content": {"parts": parts, "role": "model"}, "index": 0}
        return {
            "candidates": [candidate | ({"finishReason": reason} if reason else {})],
            "usageMetadata": {"promptTokenCount": 3},
            "modelVersion": "gemini-x",
        }


class GeminiRequest(BaseModel, extra="forbid"):
    """As the API has it; `google-genai` has types for its members only."""

    contents: list[genai.Content]
    systemInstruction: genai.Content | None = None
    tools: list[genai.Tool] | None = None
    toolConfig: genai.ToolConfig | None = None
    safetySettings: list[genai.SafetySetting] | None = None
    generationConfig: genai.GenerationConfig | None = None


DIFY_TYPES: dict[str, type] = {
    "query": str,
    "inputs": dict,
    "response_mode": str,
    "user": str,
    "conversation_id": str,
    "files": list,
    "auto_generate_name": bool,
}


class FakeDify(FakeChat):
    """/chat-messages of a chat app (agent: of an agent), and /files/upload. Conversations are kept as Dify keeps them:
    in `conversations`, (query, answer) by their id."""

    path = "/v1/chat-messages"
    end = b""

    def __init__(self, *given: Any, agent: bool = False, **more: Any) -> None:
        super().__init__(*given, **more)
        self.agent = agent
        self.conversations: dict[str, list[tuple[str, str]]] = {}
        self.uploads: dict[str, bytes] = {}

    async def _respond(self, request: Request) -> Response:
        if request.path != "/v1/files/upload":
            return await super()._respond(request)
        kind = request.headers["content-type"]
        if not kind.startswith("multipart/form-data; boundary=") or b'name="user"' not in request.body:
            return self.refuse([f"an upload without a user, or of type {kind}"])
        name = f"file-{len(self.uploads)}"
        self.uploads[name] = request.body
        return Response(201, msgspec.json.encode({"id": name, "name": "x", "size": 1, "mime_type": "image/jpeg"}))

    def problems_of(self, body: Any) -> list[str]:
        if not isinstance(body, dict):
            return ["an object was expected"]
        found = [f"{name}: unknown" for name in body if name not in DIFY_TYPES]
        found += [
            f"{name}: {body[name]!r}"
            for name in body
            if not isinstance(body[name], DIFY_TYPES.get(name, object) | None)
        ]
        found += [f"{name}: missing" for name in ("query", "inputs", "user", "response_mode") if name not in body]
        if body.get("conversation_id") and body["conversation_id"] not in self.conversations:
            found.append("conversation_id: Conversation Not Exists.")
        for file in body.get("files") or ():
            if file["transfer_method"] == "local_file" and file["upload_file_id"] not in self.uploads:
                found.append("files: no such file")
        return found

    async def answer(self, request: Request) -> Response:
        body = decode(request.body)
        if isinstance(body, dict) and body.get("response_mode") != "streaming":
            return self.refuse(["response_mode: streaming was expected"])
        return await super().answer(request)

    def events(self, reply: Answer, body: dict[str, Any]) -> Iterable[dict[str, Any]]:
        number = body.get("conversation_id") or f"conversation-{len(self.conversations)}"
        kept = self.conversations.setdefault(number, [])
        about = {"conversation_id": number, "message_id": "m", "task_id": "t", "created_at": 1}
        if self.agent:
            yield {"event": "agent_thought", **about, "position": 1, "thought": "Hm.", "tool": "", "observation": ""}
        for word in words(reply.text):
            yield {"event": "agent_message" if self.agent else "message", **about, "answer": word}
        kept.append((body["query"], reply.text))
        if self.agent:  # as New Agent apps end
            yield {"event": "message", **about, "answer": reply.text}
        yield {"event": "message_end", **about, "metadata": {"usage": {"total_tokens": 3}}, "files": None}
