"""Dify's apps, streamed: /chat-messages, and those without a conversation, /completion-messages and /workflows/run.

Dify keeps the conversation. It is told what is new: the user's message; before it, as a note, what the agent has really
said, where that is not what Dify answered (it was interrupted, or told by somebody to say something); and in the first
message of a conversation what the operator says and what was said until then. An app has its prompt, its model and its
tools at Dify.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

from ...config import Llm
from ...face_tags import plain as without_tags
from ...http import ServiceError
from ..completion import MAX_TEXT, Reader
from ..prompt import NOTE, OPENING
from .base import Dialect, Post, Question, apart, chunk, image, parts, plain

MAX_ID = 256
"""Characters of a conversation's id."""
USER = "lipwire"
"""`user`, which Dify wants to be told, where `llm.params` has none."""

_THINKS = frozenset(
    (
        *("agent_thought", "agent_log", "workflow_started", "node_started", "node_finished", "node_retry"),
        *("iteration_started", "iteration_next", "iteration_completed", "loop_started", "loop_next", "loop_completed"),
        *("parallel_branch_started", "parallel_branch_finished", "message_file"),
    )
)
"""Events by which an app shows that it is at work."""


class Dify(Dialect):
    """`llm.url` is that of /chat-messages."""

    def __init__(self) -> None:
        self._conversation = ""
        self._asked = ""
        """The user's message that was sent last,"""
        self._answered = ""
        """and what Dify made of it."""
        self._pictures: dict[str, str] = {}
        """The picture that was uploaded last, by its data -> Dify's id."""
        self._app: tuple[str | None, ...] = ()
        """URL and credentials with which that was asked."""
        self._question: Question | None = None
        """The last one."""

    def _of(self, llm: Llm) -> None:
        """What another app has told is not for this one."""
        own = {name.lower(): one for name, one in llm.headers.items()}
        app = llm.url, llm.api_key, own.get("authorization")
        if app != self._app:
            self._app, self._conversation, self._pictures = app, "", {}

    def again(self, llm: Llm, status: int | None) -> dict[str, Any] | None:
        """Where there is no such conversation any more, a new one begins."""
        if status != 404 or self._question is None or self._conversation in ("", llm.params.get("conversation_id")):
            return None
        self._conversation = ""
        return self.body(llm, self._question)

    def body(self, llm: Llm, asked: Question) -> dict[str, Any]:
        self._of(llm)
        self._question = asked
        body: dict[str, Any] = {name: one for name, one in llm.params.items() if name != "model"}
        body.setdefault("user", USER)
        self._conversation = self._conversation or str(body.get("conversation_id") or "")
        query = self._query(asked)
        body["inputs"] = dict(body.get("inputs") or {})
        if urlsplit(llm.url).path.rstrip("/").endswith(("/completion-messages", "/workflows/run")):
            body["inputs"].setdefault("query", query)
        body["query"] = query
        body.pop("conversation_id", None)
        if self._conversation:
            body["conversation_id"] = self._conversation
        if files := [*(body.get("files") or []), *self._files(asked)]:
            body["files"] = files
        self._answered = ""
        return body | {"response_mode": "streaming"}

    def _query(self, asked: Question) -> str:
        system, talk = apart(asked)
        text, before = plain(talk[-1]["content"]), talk[:-1]
        if self._conversation:
            at = next((i for i in reversed(range(len(before))) if plain(before[i].get("content")) == self._asked), None)
            before = [] if at is None else before[at + 1 :]
            before = [one for one in before if not self._knows(plain(one.get("content")))]
        self._asked = text
        told = [f"<{NOTE}>{system}</{NOTE}>"] if system and not self._conversation else []
        told += [_told(one) for one in before if one.get("content")]
        return "\n".join([*filter(None, told), text])

    def _knows(self, text: str) -> bool:
        """Whether it is Dify's answer, to its end; what is not said of that, thoughts and tags, does not count."""
        return _words(without_tags(self._answered)).endswith(_words(text))

    def _files(self, asked: Question) -> list[dict[str, Any]]:
        found = []
        for kind, data in _pictures(asked):
            here = {"transfer_method": "local_file", "upload_file_id": self._pictures.get(data, "")}
            there = {"transfer_method": "remote_url", "url": data}
            found.append({"type": "image", **(here if kind else there)})
        return found

    async def ahead(self, llm: Llm, asked: Question, post: Post) -> None:
        """Uploads the pictures."""
        self._of(llm)
        place = urlsplit(llm.url)
        url = place._replace(path=f"{place.path.rstrip('/').rpartition('/')[0]}/files/upload", query="").geturl()
        for kind, data in _pictures(asked):
            if kind and data not in self._pictures:
                name = f"picture.{kind.partition('/')[2] or 'jpeg'}"
                files = {"file": (name, base64.b64decode(data), kind)}
                answer = await post(url, data={"user": str(llm.params.get("user") or USER)}, files=files)
                if not isinstance(answer, dict) or not answer.get("id"):
                    raise ServiceError("the LLM was sent a picture, and gave it no id")
                self._pictures = {data: str(answer["id"])}

    def reader(self) -> Reader:
        whole = False
        """The answer has come in pieces, and once more as a whole."""

        def read(event: dict[str, Any]) -> dict[str, Any]:
            nonlocal whole
            kind = event.get("event")
            if isinstance(conversation := event.get("conversation_id"), str):
                self._conversation = conversation[:MAX_ID] or self._conversation
            if kind in ("message", "agent_message", "text_chunk"):
                if kind == "message" and whole:
                    return {}
                whole = whole or kind == "agent_message"
                text = (event.get("data") or {}).get("text") if kind == "text_chunk" else event.get("answer")
                self._answered = (self._answered + str(text or ""))[:MAX_TEXT]
                return chunk({"content": text or ""})
            if kind == "message_replace":  # by the app's moderation
                self._answered = str(event.get("answer") or "")[:MAX_TEXT]
                return chunk({"content": self._answered, "replaces": True})
            if kind == "error":
                return {"error": {"message": str(event.get("message") or event.get("code") or "an error")}}
            if kind == "message_end":
                return chunk({}, "stop")
            if kind == "workflow_finished":
                return self._finished(event.get("data") or {})
            if kind in _THINKS:
                return chunk({"reasoning": " "})
            if kind is None and isinstance(event.get("answer"), str):  # one that is not streamed
                self._answered = event["answer"][:MAX_TEXT]
                return chunk({"content": event["answer"]}, "stop")
            return event if kind is None else {}

        return read

    def _finished(self, data: dict[str, Any]) -> dict[str, Any]:
        """A workflow is over; what follows in a conversation is its message_end."""
        if data.get("status") in ("failed", "stopped"):
            return {"error": {"message": str(data.get("error") or f"the workflow is {data['status']}")}}
        return chunk({}, "stop") if not self._conversation else {}


def _words(text: str) -> str:
    return "".join(text.split())


def _told(message: dict[str, Any]) -> str:
    """A message that Dify does not know, as it is told of it."""
    text = plain(message["content"])
    if message["role"] == "assistant":
        return f"<{NOTE}>What the user has heard from you before this: {text}</{NOTE}>"
    return text if text != OPENING else ""


def _pictures(asked: Question) -> list[tuple[str, str]]:
    found = [image(part) for part in parts(asked.messages[-1]["content"])]
    return [one for one in found if one is not None]
