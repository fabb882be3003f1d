"""The messages of a request, in an order that every chat service takes.

What is said in a call has no order: the agent greets first, two questions come before an answer, an operator says
something in between, an answer is broken off between a call and what it says of it. Many services take any of that;
the templates of others (Mistral, Gemma, Qwen, Llama on vLLM, llama.cpp, Ollama) refuse it, for ever, as it stays in the
history. So every request has the one form that all take:

- one system message, first; what the operator says later is a note in a user's message;
- then a user's message, and user and assistant in turns, none of them empty; it ends with a user or a tool;
- a call's answers follow it, one each, and an assistant's message follows those before a user's does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

Message = dict[str, Any]

NOTE = "system"
"""The tag that an operator's later words stand in; what users write cannot have it."""
OPENING = f"<{NOTE}>The user is here.</{NOTE}>"
"""Before an agent's words that no user's message is before."""
TURN = f"<{NOTE}>It is your turn to speak.</{NOTE}>"
"""After an agent's words, where more are asked for."""
BROKEN_OFF = "…"
"""What the agent said after a call, where nothing of it was heard."""
UNANSWERED = '{"error":"there is no result"}'

_TAG = re.compile(rf"<(?=/?{NOTE}\b)", re.IGNORECASE)
_NAME = re.compile(r"[\s<|\\/>]+")
OPERATOR = ("system", "developer")
"""Roles that are the operator's."""


def arrange(messages: Iterable[Message], instructions: str | None = None) -> list[Message]:
    """The messages as they are sent. `instructions` end the system message, unless they stand in it already."""
    given = list(messages)
    first = next((i for i, message in enumerate(given) if message["role"] not in OPERATOR), len(given))
    head = [message for message in given[:first] if not _empty(message)]
    if instructions and instructions.strip() and not _repeats(instructions, given):
        head.append({"role": "system", "content": instructions})
    arranged = _Arranged()
    for message in given[first:]:
        arranged.add(_user_note(message) if message["role"] in OPERATOR else message)
    system = [_valid({**head[0], "content": _joined([m["content"] for m in head], "\n\n")})] if head else []
    return [*system, *arranged.ended()]


def _repeats(instructions: str, messages: list[Message]) -> bool:
    """Whether the operator's messages say it: one of them, or the first ones together, as `describe` joins them."""
    texts = [m["content"] for m in messages if m["role"] in OPERATOR and isinstance(m["content"], str)]
    return instructions in (*texts, *("\n\n".join(texts[:n]) for n in range(2, len(texts) + 1)))


class _Arranged:
    """The messages after the system's, one after another."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._open: list[str] = []
        """Ids of calls whose answers are to follow."""

    def add(self, message: Message) -> None:
        message = _valid(message)
        role = message["role"]
        if role == "tool":
            if (call_id := message.get("tool_call_id")) in self._open:
                self._open.remove(str(call_id))
                self._messages.append(message)
            return
        if _empty(message) and not message.get("tool_calls"):
            return
        self._answer_open()
        last = self._messages[-1]["role"] if self._messages else ""
        if role == "user" and not message.get("note"):
            message["content"] = _untagged(message["content"])
        message.pop("note", None)
        if last == role:
            message = _merged(self._messages.pop(), message)
        elif role == "user" and last == "tool":
            self._messages.append({"role": "assistant", "content": BROKEN_OFF})
        elif role != "user" and not last:
            self._messages.append({"role": "user", "content": OPENING})
        self._messages.append(message)
        self._open = [call["id"] for call in message.get("tool_calls") or ()]

    def ended(self) -> list[Message]:
        self._answer_open()
        if not self._messages or self._messages[-1]["role"] == "assistant":
            self._messages.append({"role": "user", "content": TURN})
        return self._messages

    def _answer_open(self) -> None:
        for call_id in self._open:
            self._messages.append({"role": "tool", "tool_call_id": call_id, "content": UNANSWERED})
        self._open = []


def _valid(message: Message) -> Message:
    """A copy without a name that services refuse."""
    message = dict(message)
    name = message.pop("name", None)
    if isinstance(name, str) and (name := _NAME.sub("_", name).strip("_")[:64]):
        message["name"] = name
    return message


def _empty(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return not (content.strip() if isinstance(content, str) else [part for part in content or () if not _blank(part)])


def _blank(part: Any) -> bool:
    """Whether a part is a text without a word."""
    return isinstance(part, dict) and part.get("type") == "text" and not str(part.get("text") or "").strip()


def _user_note(message: Message) -> Message:
    text = _untagged(_plain(message.get("content"))).strip()
    return {"role": "user", "content": f"<{NOTE}>{text}</{NOTE}>" if text else "", "note": True}


def _plain(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _untagged(content: Any) -> Any:
    """The same, with what would pass for a note's tag broken."""
    if isinstance(content, str):
        return _TAG.sub("< ", content)
    if isinstance(content, list):
        return [
            {**part, "text": _TAG.sub("< ", part["text"])}
            if isinstance(part, dict) and isinstance(part.get("text"), str)
            else part
            for part in content
        ]
    return content


def _joined(contents: list[Any], between: str) -> Any:
    """Texts as one text; with pictures or parts, all parts as one list."""
    contents = [content for content in contents if content]
    if all(isinstance(content, str) for content in contents):
        return between.join(contents)
    parts: list[Any] = []
    for content in contents:
        parts += [{"type": "text", "text": content}] if isinstance(content, str) else content
    return parts


def _merged(one: Message, two: Message) -> Message:
    """Two messages of one role as one."""
    merged = {**one, **two, "content": _joined([one.get("content"), two.get("content")], "\n") or None}
    if one.get("name") != two.get("name"):
        merged.pop("name", None)
    return merged
