"""What clients in the channel may tell an agent, by data messages. No I/O.

Lipwire's own are told apart by `type`, those of Agora's client toolkit by `customType`: with Agora that travels beside
the message, in RTM; here it is a member of it, `{"customType": "user.manual_sos", "request_id": "..."}`.
"""

from __future__ import annotations

import json
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from ..errors import InvalidArgument
from ..protocol.agent_actions import Labels

WhenBusy = Literal["interrupted", "append", "ignore"]
"""What becomes of what the agent says or thinks: it is stopped; it is ended first; it goes on, and the other is
dropped."""
Priority = Literal["INTERRUPT", "APPEND", "IGNORE"]
"""The same, in the words of `speak`."""
MAX_PICTURE = 512 * 1024
"""Bytes of a picture in a message: one that an agent joins of packets holds no more."""
MAX_TOLD = 200
"""Characters of a client's own ids and addresses that are told back to it."""


class Chat(Struct, frozen=True):
    """A message in text, which is answered."""

    text: str


class Interrupt(Struct, frozen=True):
    """The agent is to fall silent."""


class ToolResult(Struct, frozen=True):
    """What a function of the client's has returned."""

    call_id: str
    output: str


class Question(Struct, frozen=True, kw_only=True):
    """A typed question (`user.transcription`)."""

    text: str = field(name="message")
    priority: WhenBusy = "interrupted"
    interruptable: bool = True
    """Whether the user's voice may interrupt the answer."""


class Upload(Struct, frozen=True, kw_only=True):
    """A picture (`image.upload`): at a URL, or here in base64, with or without `data:image/...;base64,` before it."""

    uuid: str
    """The client's name for it."""
    url: str = field(name="image_url", default="")
    base64: str = field(name="image_base64", default="")


class Mark(Struct, frozen=True, kw_only=True):
    """The user's speech begins, or ends (`user.manual_sos`, `user.manual_eos`)."""

    begins: bool
    request_id: str


class Thought(Struct, frozen=True, kw_only=True):
    """What goes in as if the user had said it (`think` of the mobile toolkits), by what the agent does then."""

    text: str = field(name="message")
    on_listening: Literal["interrupt", "inject", "append", "ignore"] = field(
        name="on_listening_action", default="interrupt"
    )
    on_thinking: Literal["interrupt", "append", "ignore"] = field(name="on_thinking_action", default="interrupt")
    on_speaking: Literal["interrupt", "append", "ignore"] = field(name="on_speaking_action", default="ignore")
    interruptable: bool = True
    metadata: Labels = field(default_factory=dict)


class Announcement(Struct, frozen=True, kw_only=True):
    """Something to be said as it is (`speak` of the mobile toolkits)."""

    text: str
    priority: Priority = "INTERRUPT"
    interruptable: bool = True


ClientMessage = Chat | Interrupt | ToolResult | Question | Upload | Mark | Thought | Announcement


class _Request(Struct, frozen=True):
    request_id: str


M = TypeVar("M", bound=Struct)


def read(said: Any) -> ClientMessage | None:
    """What decoded JSON says; None = nothing that anybody knows.

    Raises:
        InvalidArgument: it is known, but not what it should be; the message says where.
    """
    match said:
        case {"type": "chat", "text": str(text)}:
            return Chat(text)
        case {"type": "interrupt"} | {"customType": "message.interrupt"}:
            return Interrupt()
        case {"type": "tool_result", "call_id": str(call_id), "output": output}:
            return ToolResult(call_id, output if isinstance(output, str) else json.dumps(output))
        case {"customType": "user.transcription"}:
            return _checked("user.transcription", said, Question)
        case {"customType": "image.upload"}:
            upload = _checked("image.upload", said, Upload)
            if bool(upload.url) == bool(upload.base64):
                raise InvalidArgument("image.upload: it needs an image_url or an image_base64, and not both")
            return upload
        case {"customType": "user.manual_sos" | "user.manual_eos" as kind}:
            request = _checked(kind, said, _Request)
            return Mark(begins=kind == "user.manual_sos", request_id=request.request_id[:MAX_TOLD])
        # These two by their members: what `customType` they have is nowhere written.
        case {"on_listening_action": _} | {"on_thinking_action": _} | {"on_speaking_action": _}:
            return _checked("think", said, Thought)
        case {"priority": priority, "interruptable": _}:
            text = said.get("message", said.get("text"))
            word = str(priority).upper()
            priority = "INTERRUPT" if word == "INTERRUPTED" else word
            return _checked("speak", {**said, "text": text, "priority": priority}, Announcement)
    return None


def picture_in(said: dict[str, Any]) -> str | None:
    """The client's name for the picture that such an object sends, right or wrong; None = it has none, or is none."""
    uuid = said.get("uuid")
    return uuid if said.get("customType") == "image.upload" and isinstance(uuid, str) else None


def _checked(kind: str, said: dict[str, Any], what: type[M]) -> M:
    try:
        return msgspec.convert(said, what)
    except msgspec.ValidationError as exc:
        raise InvalidArgument(f"{kind}: {exc}") from None
