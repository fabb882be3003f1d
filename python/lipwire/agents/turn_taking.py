"""Who begins and ends a user's turn, and what an agent's brain has to know and do for that. No I/O."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from msgspec import Struct

from ..errors import InvalidArgument
from ..protocol.transcript import AgentState
from .config import AgentConfig, BrainKind, TurnDetection
from .options import Interruption
from .speech.phrases import plain
from .turns import Turn

TELLS_TURNS: tuple[BrainKind, ...] = ("cascade", "guide")
"""The brains that are `TurnTaker`s."""
MAX_KEYWORDS = 128
"""Words that interrupt, at most."""


@runtime_checkable
class TurnTaker(Protocol):
    """What a brain has besides that tells its users' turns by itself, in the sound."""

    def agent_is(self, state: AgentState) -> None:
        """What the agent does from now on. Where a voice alone does not interrupt it (`Interruption.by_voice`), a turn
        that begins while it thinks or speaks is told as one beside it (`SpeechStarted.aside`): its texts are told, and
        it is neither remembered nor answered."""

    def begin(self, user: str) -> None:
        """This user's turn begins now, `prefix_padding_ms` included; one that runs is over."""


class Spoken(Struct, eq=False):
    """A turn whose user speaks."""

    turn: Turn
    user: str
    by_hand: bool
    """The client has begun it."""
    until: int
    """The clock that ends it where nothing else would."""
    named: bool = False
    """The brain knows of it."""

    def by_client(self, detection: TurnDetection) -> bool:
        """Whether a client is to end it, by the settings of now."""
        return self.by_hand or not detection.ends_by_itself


def why_no_start(detection: TurnDetection, how: Interruption, state: AgentState, runs: Spoken | None) -> str | None:
    """Why a client cannot begin a turn now, for people; None: it can."""
    if detection.start_of_speech != "manual":
        return "the agent finds by itself when users speak: turn_detection's start_of_speech is not manual"
    if runs is not None:
        return f"the speech of {runs.user or 'a user'} has begun already and has not ended"
    if not how.enabled and how.when_off == "ignore" and state in ("speaking", "thinking"):
        return f"the agent is {state}, and ignores what is said meanwhile (interruption)"
    return None


def why_no_end(detection: TurnDetection, user: str, runs: Spoken | None) -> str | None:
    """Why a client cannot end a turn now, for people; None: it can."""
    if detection.ends_by_itself:
        return "the agent finds by itself when users have finished: turn_detection's end_of_speech is not manual"
    if runs is None:
        return "no speech has begun"
    if runs.user not in ("", user):
        return f"it is {runs.user} who speaks"
    return None


def check_turn_taking(config: AgentConfig) -> None:
    """Raises InvalidArgument: what is asked of turns and interruptions does not go together, or this brain cannot do
    it; names the field, and what to do."""
    how, turns = config.interruption, config.turn_detection
    if how.enabled and how.mode == "keywords":
        if not any(map(str.strip, how.keywords)):
            raise InvalidArgument("interruption: mode keywords needs keywords, the words that interrupt")
        if (unsaid := next((one for one in how.keywords if not plain(one)), None)) is not None:
            raise InvalidArgument(
                f"interruption: the keyword {unsaid!r:.40} has no letter and no digit, and is never heard"
            )
        if len(how.keywords) > MAX_KEYWORDS:
            raise InvalidArgument(f"interruption: at most {MAX_KEYWORDS} keywords, got {len(how.keywords)}")
    if config.brain in TELLS_TURNS:
        return
    brain = f"by the brain {config.brain}"
    if not how.by_voice:
        raise InvalidArgument(
            f"interruption: {brain} a voice interrupts, and nothing else; the cascade can be set otherwise"
        )
    if turns.start_of_speech == "manual" or turns.end_of_speech == "manual":
        text = f"{brain} speech begins as it is heard; turn_detection.enabled false has only a commit end it"
        raise InvalidArgument(f"turn_detection: start_of_speech and end_of_speech cannot be manual: {text}")
    if turns.speaking_interrupt_duration_ms is not None:
        raise InvalidArgument(
            f"turn_detection.speaking_interrupt_duration_ms: {brain} it cannot be told from the other"
        )
    if config.brain == "realtime":
        if turns.end_of_speech == "semantic":
            text = 'the service judges itself: ask it by mllm.turn_detection for {"mode": "semantic_vad"}'
            raise InvalidArgument(f"turn_detection.end_of_speech semantic: {text}")
        if turns.interrupt_duration_ms is not None:
            raise InvalidArgument(
                f"turn_detection.interrupt_duration_ms: {brain} the service finds where speech begins"
            )
