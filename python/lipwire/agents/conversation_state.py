"""What the sides of a conversation have in common: who is there, what time it is, what was said, what is to be done.
No I/O.

The sides read and write it; none of them keeps a copy of its own.
"""

from __future__ import annotations

from collections import deque

from .._core import RATE
from ..errors import BadState
from ..protocol import transcript as t
from .actions import Action, Send
from .config import AgentConfig
from .replies import Reply
from .transcripts import Transcripts
from .turns import History, Items, Turns


class ConversationState:
    """Args: as `conversation.Conversation`."""

    def __init__(self, config: AgentConfig, room: int, sender: str) -> None:
        self.config = config
        self.agent_state: t.AgentState = "idle"
        self.paused = False
        self.winding_up = False
        """What is heard now is the last that is said."""
        self.leaving = False
        """What is being said, answered and thought of now is the last."""
        self.users: set[str] = set()
        """Who else is there."""
        self.turns = Turns()
        self.items = Items()
        self.history = History()
        self.actions: deque[Action] = deque()
        """What is to be done, in order. Whoever does it takes it out."""
        self.transcripts = Transcripts(
            lambda packets: self.actions.append(Send(packets)), config.transcripts, room, config.language, sender
        )
        self.clock = 0
        """Samples of sound that have gone into the channel."""
        self.ns = 0
        """CLOCK_MONOTONIC."""
        self.playing: tuple[str | None, float] = (None, 0.0)
        """The reply that is heard, and how many ms of it."""
        self.interruptions = self.false_interruptions = self.failures = self.ignored = 0

    def at(self, monotonic_ns: int, wall_ms: int, playing: tuple[str | None, float]) -> None:
        """As `Conversation.at`."""
        self.ns = monotonic_ns
        self.transcripts.wall_ms = wall_ms
        self.turns.began_at = wall_ms - self.now_ms
        self.playing = playing

    @property
    def now_ms(self) -> int:
        """The clock in ms."""
        return self.clock * 1000 // RATE

    def ms_at(self, at_ns: int | None, otherwise: float) -> float:
        """What `now_ms` was at a moment of CLOCK_MONOTONIC."""
        if at_ns is None:
            return otherwise
        return max(0.0, min(self.now_ms - (self.ns - at_ns) / 1e6, self.now_ms))

    def after(self, seconds: float) -> int:
        """What the clock will be in so many seconds."""
        return self.clock + round(seconds * RATE)

    def played_ms(self, reply: Reply) -> float:
        """How much of a reply has been heard, as far as it is the one that is heard now."""
        name, ms = self.playing
        return ms if name == reply.id else 0.0

    def wants(self, user: str) -> bool:
        """Whether the agent hears and sees this user."""
        return not self.config.remote_uids or user in self.config.remote_uids

    @property
    def accompanied(self) -> bool:
        """Whether somebody is there whom the agent hears: others, bots say, keep no agent in a channel."""
        return any(map(self.wants, self.users))

    @property
    def may_speak(self) -> bool:
        """Whether the agent may say something by itself."""
        return not (self.paused or self.winding_up or self.leaving)

    def check_not_paused(self) -> None:
        """Raises BadState: the agent is paused, or about to leave."""
        if self.winding_up:
            raise BadState("the agent is leaving: the server is shutting down")
        if self.leaving:
            raise BadState("the agent is leaving")
        if self.paused:
            raise BadState("the agent is paused; resume it first")

    def tell_error(self, sentence: str, code: str, turn_id: int) -> None:
        """Users are told what went wrong, where that is wanted."""
        if self.config.error_messages:
            self.transcripts.error(sentence, code, turn_id)
