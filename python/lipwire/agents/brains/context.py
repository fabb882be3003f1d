"""The messages that a model is sent: what was said in the conversation, bounded, and true to what was heard."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

MAX_MESSAGE = 32_768
"""Characters of one message; what is longer is cut."""


class _Entry(Struct, eq=False):
    """One message, or, for "tools", the calls of a reply and what came of them."""

    role: Literal["user", "assistant", "system", "tools"]
    messages: list[dict[str, Any]]
    reply_id: str | None = None


class ChatContext:
    """At most `limit` messages of the user's and as many of the agent's, counted separately; of system messages that
    came later, as many again. 0 = only what is being answered."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """May be changed at any time."""
        self._entries: list[_Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def messages(self) -> list[dict[str, Any]]:
        """All messages, the oldest first."""
        return [message for entry in self._entries for message in entry.messages]

    def add(self, role: Literal["user", "system"], text: str) -> None:
        """What somebody said, or told it."""
        self._entries.append(_Entry(role, [{"role": role, "content": text[:MAX_MESSAGE]}]))
        self._trim()

    def add_tools(self, messages: list[dict[str, Any]]) -> None:
        """An assistant's message with calls, and the answers to all of them."""
        self._entries.append(_Entry("tools", messages))
        self._trim()

    def said(self, reply_id: str, text: str) -> None:
        """What a reply says, as far as is known now; empty = nothing."""
        entry = next((entry for entry in reversed(self._entries) if entry.reply_id == reply_id), None)
        message = {"role": "assistant", "content": text[:MAX_MESSAGE]}
        if entry is None:
            if text.strip():
                self._entries.append(_Entry("assistant", [message], reply_id))
                self._trim()
        elif text.strip():
            entry.messages = [message]
        else:
            self._entries.remove(entry)

    def knows(self, reply_id: str) -> bool:
        """Whether anything of this reply is kept."""
        return any(entry.reply_id == reply_id for entry in self._entries)

    def _trim(self) -> None:
        left = {"user": max(self.limit, 1), "assistant": self.limit, "system": max(self.limit, 1)}
        kept: list[_Entry] = []
        tools = 0
        for entry in reversed(self._entries):
            if entry.role == "tools":
                # They go with the question that they belong to; one question has so many rounds of them at most.
                if left["user"] > 0 and tools < 4 * max(self.limit, 2):
                    tools += 1
                    kept.append(entry)
            elif left[entry.role] > 0:
                left[entry.role] -= 1
                kept.append(entry)
        kept.reverse()
        self._entries = kept
