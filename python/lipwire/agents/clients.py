"""What users' clients send and are sent besides speech: data messages, functions that the model calls, pictures. No
I/O."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from .._core import RATE
from ..errors import InvalidArgument, LipwireError
from ..protocol import transcript as t
from . import client_messages as m
from .actions import Emit, TakePicture, ToolResult
from .brains.base import ToolCalled
from .conversation_state import ConversationState

TOOL_TIMEOUT = 30.0
"""Seconds that a function of the client's may take."""
MAX_TOOLS = 32
"""Calls of the client's functions that may wait; more are answered with an error."""


class Clients:
    """The clients of a conversation, whose state is `state`."""

    def __init__(self, state: ConversationState) -> None:
        self._state = state
        self._transcripts = state.transcripts
        self._do = state.actions.append
        self._assembler = t.Assembler()
        self._pictures = 0
        """How many the users have sent."""
        self._tools: dict[str, int] = {}
        """Calls that the client has not answered: the clock at which they are given up."""

    def look(self) -> None:
        """Looks at the clock: calls that were not answered in time are given up."""
        for call_id in [name for name, until in self._tools.items() if self._state.clock >= until]:
            del self._tools[call_id]
            self._do(ToolResult(call_id, json.dumps({"error": "the client has not answered"})))

    # ------------------------------------------------------------------------------------------------------- messages

    def said(self, user: str, data: bytes) -> dict[str, Any] | None:
        """What a data message of a user's says, as it is or in packets; None = nothing, or not all of it yet."""
        whole = data if data.lstrip()[:1] == b"{" else self._assembler.add(data, self._state.clock / RATE)
        if whole is None:
            return None
        try:
            said = msgspec.json.decode(whole)
        except (msgspec.DecodeError, RecursionError):
            said = None
        if not isinstance(said, dict) or not self._state.wants(user):
            self._state.ignored += 1
            return None
        return said

    def refused(self, exc: LipwireError, said: dict[str, Any] | None = None) -> None:
        """A message came to nothing (`said`: which); its sender is told."""
        uuid = None if said is None else m.picture_in(said)
        if uuid is not None:
            self.picture_refused(uuid, exc.code, str(exc))
            return
        self._state.ignored += 1
        self._transcripts.error(str(exc), exc.code, 0)

    # ------------------------------------------------------------------------------------------------------ functions

    def tool_called(self, event: ToolCalled) -> None:
        """The model calls a function."""
        self._do(Emit(event))
        if event.handled:
            return
        if len(self._tools) >= MAX_TOOLS:
            self._do(ToolResult(event.call_id, json.dumps({"error": "too many calls wait for the client"})))
            return
        self._tools[event.call_id] = self._state.after(TOOL_TIMEOUT)
        self._transcripts.tool(event.call_id, event.name, event.arguments)

    def tool_result(self, call_id: str, output: str) -> None:
        """What a function of the client's returned. Raises InvalidArgument."""
        if self._tools.pop(call_id, None) is None:
            raise InvalidArgument(f"no call {call_id!r:.60} waits for a result")
        self._do(ToolResult(call_id, output))

    # ------------------------------------------------------------------------------------------------------- pictures

    def uploaded(self, user: str, upload: m.Upload) -> None:
        """A picture of a user's has come."""
        config, why = self._state.config, None
        if config.brain not in ("cascade", "realtime"):
            why = f"the brain {config.brain} takes none"
        elif "image" not in config.llm.input_modalities:
            why = "llm.input_modalities has no image"
        if why is None:
            self._do(TakePicture(user, upload))
        else:
            self.picture_refused(upload.uuid, "NO_PICTURES", f"This agent sees no pictures: {why}.")

    def picture_taken(self, upload: m.Upload, width: int, height: int, size: int) -> None:
        """A picture of a user's is shown to the brain: its sides, and the bytes that it came in."""
        self._pictures += 1
        facts = {
            "uuid": upload.uuid[: m.MAX_TOLD],
            "width": width,
            "height": height,
            "size_bytes": size,
            "source_type": "url" if upload.url else "base64",
            "source_value": upload.url[: m.MAX_TOLD],
            "total_user_images": self._pictures,
        }
        self._transcripts.picture_taken(facts, self._state.turns.newest_id)

    def picture_refused(self, uuid: str, reason: str, message: str) -> None:
        """A picture of a user's is not used: a word, and why."""
        self._state.ignored += 1
        self._transcripts.picture_refused(uuid[: m.MAX_TOLD], reason, message[:400], self._state.turns.newest_id)
