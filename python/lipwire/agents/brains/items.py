"""What a service that keeps the conversation itself knows of it, kept beside it: for the next connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from .context import MAX_MESSAGE

MAX_PLACES = 16
"""Places that wait for their text; the oldest is given up."""

Role = Literal["user", "assistant", "system", "call"]


class _Item(Struct, eq=False):
    role: Role
    key: str | None
    text: str = ""
    call: dict[str, str] | None = None
    """`{call_id, name, arguments}` of a function that was called; `text` is its result."""

    @property
    def known(self) -> bool:
        return bool(self.text) or self.call is not None


class Items:
    """The messages in the order of the conversation, whatever the order in which their texts become known: what a user
    said is known when it has been transcribed, which may be after the answer to it.

    At most `limit` messages of the user's and as many of the agent's, counted separately, and of system messages and
    of calls as many again (of calls MAX_PLACES at least: a response may make several).
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """May be changed at any time."""
        self._items: list[_Item] = []

    def __len__(self) -> int:
        return len(self._items)

    def messages(self) -> list[dict[str, Any]]:
        """`{role, content}` of all that have a text, the oldest first; of calls (role "call") also `call_id`, `name`
        and `arguments`, and `content` is the result."""
        return [{"role": item.role, "content": item.text, **(item.call or {})} for item in self._items if item.known]

    def add(self, role: Role, text: str) -> None:
        """A message that is known as it comes."""
        self._items.append(_Item(role, None, text[:MAX_MESSAGE]))
        self._trim()

    def told(self, message: Mapping[str, Any]) -> None:
        """A chat message of before, in text or in parts; one without text is left out."""
        content = message.get("content")
        if isinstance(content, list):
            content = "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and part.get("text"))
        role = {"developer": "system"}.get(role := str(message.get("role")), role)
        if role in ("user", "assistant", "system") and isinstance(content, str) and content.strip():
            self.add(role, content)  # type: ignore[arg-type]

    def place(self, role: Role, key: str) -> None:
        """Here stands a message whose text comes later, by this key."""
        if self._find(key) is None:
            self._items.append(_Item(role, key))
            self._trim()

    def text(self, role: Role, key: str, text: str) -> None:
        """The text of the message with this key, as far as it is known now; where it has no place, it stands last."""
        item = self._find(key)
        if item is None:
            if not text.strip():
                return
            item = _Item(role, key)
            self._items.append(item)
        item.text = text[:MAX_MESSAGE] if text.strip() else ""
        self._trim()

    def called(self, reply_id: str, call_id: str, name: str, arguments: str, result: str) -> None:
        """A call that a reply made, and its result: before what the reply says."""
        call = {"call_id": call_id, "name": name, "arguments": arguments}
        reply = self._find(reply_id)
        at = len(self._items) if reply is None else self._items.index(reply)
        self._items.insert(at, _Item("call", None, result[:MAX_MESSAGE], call))
        self._trim()

    def said(self, reply_id: str, text: str) -> None:
        """What a reply says, as far as is known now; empty = nothing."""
        self.text("assistant", reply_id, text)

    def _find(self, key: str) -> _Item | None:
        return next((item for item in reversed(self._items) if item.key == key), None)

    def _trim(self) -> None:
        left = {
            "user": max(self.limit, 1),
            "assistant": self.limit,
            "system": max(self.limit, 1),
            "call": max(self.limit, MAX_PLACES),
        }
        places = MAX_PLACES
        kept: list[_Item] = []
        for item in reversed(self._items):
            if not item.known:
                places -= 1
                if places >= 0:
                    kept.append(item)
            elif left[item.role] > 0:
                left[item.role] -= 1
                kept.append(item)
        kept.reverse()
        self._items = kept
