"""What becomes of a text that an agent is to think of, by what it does just then (`Conversation.think`). No I/O.

| action    | listening                                | thinking                | speaking                            |
|-----------|------------------------------------------|-------------------------|-------------------------------------|
| interrupt | a turn of its own, now                   | in place of its answer  | it falls silent                     |
| inject    | into what the user is saying             |                         |                                     |
| append    | after the user's turn and its answer     | after its answer        | speech goes on; the model is asked  |
|           |                                          |                         | once all of it has been written     |
| ignore    | nothing                                  | nothing                 | nothing                             |
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import get_args

from msgspec import Struct

from ..errors import BufferFull, InvalidArgument
from ..protocol.agent_actions import OnBusy, OnListening
from ..protocol.transcript import AgentState
from .replies import Reply

MAX_LATER = 16
"""Texts that may wait; another one is refused."""


class Thought(Struct, frozen=True, eq=False):
    """A text that was given, and the reply that answers it."""

    reply: Reply
    """Its `reason` is that of the turn."""
    text: str
    metadata: Mapping[str, str] = {}
    """Of the request to the model, where it takes any."""
    user: str = ""
    """Who sent it; "" = nobody in the channel."""


class ThinkActions(Struct, frozen=True, kw_only=True):
    """What is to be done in each state; idle counts as listening.

    Raises:
        InvalidArgument: an action that the state does not have.
    """

    listening: OnListening = "interrupt"
    thinking: OnBusy = "interrupt"
    speaking: OnBusy = "ignore"

    def __post_init__(self) -> None:
        for name, annotated in (("listening", OnListening), ("thinking", OnBusy), ("speaking", OnBusy)):
            actions = get_args(get_args(annotated)[0])
            if (action := getattr(self, name)) not in actions:
                raise InvalidArgument(
                    f"the action while {name} must be one of {', '.join(actions)}, got {action!r:.40}"
                )

    def of(self, state: AgentState) -> OnListening:
        """The action of a state."""
        return {"speaking": self.speaking, "thinking": self.thinking}.get(state, self.listening)


class Later:
    """Texts that wait until what is being said and answered allows them, the oldest first."""

    def __init__(self) -> None:
        self._waiting: deque[Thought] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, thought: Thought) -> None:
        """Raises BufferFull."""
        if len(self._waiting) >= MAX_LATER:
            raise BufferFull(f"{MAX_LATER} texts wait already")
        self._waiting.append(thought)

    def next(self) -> Thought:
        """The oldest; there is one."""
        return self._waiting.popleft()

    def clear(self) -> bool:
        """They are not wanted any more. Returns whether there were any."""
        there = bool(self._waiting)
        for thought in self._waiting:
            thought.reply.state = "refused"
        self._waiting.clear()
        return there
