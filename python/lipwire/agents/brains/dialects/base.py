"""What a dialect is: how one kind of chat service is asked, and how its events are read. No I/O.

A question comes as chat completions have it, its messages in the order of `prompt.arrange`, which every service takes;
the dialect puts it into the members that its service knows. Events are put into the form of chat completions, which
`completion.Completion` reads: so limits, thoughts, calls and failures are the same for all.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from ...config import Llm
from ..completion import Reader
from ..prompt import OPERATOR, arrange

Post = Callable[..., Awaitable[Any]]
"""(URL, further arguments as httpx has them) -> the JSON of the answer. Raises ServiceError."""


class Question(Struct, frozen=True, kw_only=True):
    """What is asked."""

    messages: list[dict[str, Any]]
    """In the order of `prompt.arrange`."""
    tools: list[dict[str, Any]] = []
    """The functions that there are, as `Toolbox.for_chat` describes them."""
    may_call: bool = True
    """False: it has called enough, and has to answer."""
    voice: str | None = None
    """That the answer is to have, from a service that answers with sound."""
    metadata: dict[str, Any] = {}
    """What came with the user's message."""


def question(
    llm: Llm,
    messages: Sequence[dict[str, Any]],
    tools: list[dict[str, Any]],
    *,
    voice: str | None = None,
    instructions: str | None = None,
    may_call: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> Question:
    """A question about a conversation, `messages`, behind what the operator says."""
    arranged = arrange([*llm.system_messages, *messages], instructions)
    return Question(messages=arranged, tools=tools, may_call=may_call, voice=voice, metadata=dict(metadata or {}))


def apart(asked: Question) -> tuple[str, list[dict[str, Any]]]:
    """What the operator says, for services that take it beside the messages; and the messages."""
    first = asked.messages[0]
    if first["role"] not in OPERATOR:
        return "", asked.messages
    return plain(first["content"]), asked.messages[1:]


class Dialect(ABC):
    """One service's way to be asked; of one agent."""

    def url(self, llm: Llm) -> str:
        """Where a request goes."""
        return llm.url

    def headers(self, llm: Llm, own: Mapping[str, str]) -> dict[str, str]:
        """What goes in front beside `own`, which are the client's, in small letters, and come first; without the key
        where that goes as `headers.credentials` has it."""
        return {}

    @abstractmethod
    def body(self, llm: Llm, asked: Question) -> dict[str, Any]:
        """A request. `llm.params` may change everything but the messages and the streaming."""

    def reader(self) -> Reader:
        """What reads the events of one answer."""
        return lambda event: event

    async def ahead(self, llm: Llm, asked: Question, post: Post) -> None:
        """What has to be there before the request. Raises ServiceError."""

    def again(self, llm: Llm, status: int | None) -> dict[str, Any] | None:
        """The last request made anew, where the service refused it because it has forgotten what it kept; None = it
        would be no other."""
        return None


def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    """A chat.completion.chunk with what is new."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def parts(content: Any) -> list[dict[str, Any]]:
    """A message's content as parts, whatever it is."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [part for part in content or [] if isinstance(part, dict)]


def plain(content: Any) -> str:
    """The text of a content."""
    return "\n".join(str(part.get("text") or "") for part in parts(content) if part.get("text"))


def image(part: Mapping[str, Any]) -> tuple[str, str] | None:
    """(media type, base64) of a part with a picture in it; ("", URL) where it stands elsewhere; None = it has none."""
    if part.get("type") != "image_url":
        return None
    given = part.get("image_url")
    url = str((given.get("url") if isinstance(given, dict) else given) or "")
    head, comma, data = url.partition(",")
    if not url.startswith("data:") or not comma:
        return "", url
    return head.removeprefix("data:").removesuffix(";base64") or "image/jpeg", data


def value(text: str) -> Any:
    """What JSON holds; or else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
