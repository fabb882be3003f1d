"""A user who speaks into what the agent says: does he interrupt it, or was it a cough? No I/O.

    the user speaks ──► held ──► words ─────────────────────────────────► interrupted
                          │ ▲      └─► nothing but "mm-hmm" ─┐
                          │ └─ speaks again                  ├──────────► goes on
                          └──► silent again ──► no words ────┘
                                                (false_interruption_timeout)

The agent is silent at once and holds what it was saying, until it is known. An answer to what may have been nothing
waits behind that.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from .config import TurnDetection
from .replies import Reply
from .speech.backchannels import is_backchannel
from .turns import Turn

AT_THE_END = 1000.0
"""Ms of what is said, left when the user begins to speak, from which on "okay" answers it."""


@runtime_checkable
class Doubting(Protocol):
    """What a brain has besides that answers by itself to what it has understood of the user's words."""

    def doubt(self, on: bool) -> None:
        """Whether the user speaks into what is being said, which is held until it is known what was said: a turn that
        ends meanwhile and is a mere "mm-hmm" (`speech.backchannels`) is not to be answered."""


class Doubt:
    """One such time, from the user's first sound to the decision.

    Args:
        held: what was being said, and waited to be: what would be interrupted.
        left_ms: how much of it was left to be said; None = that is not known yet.
    """

    def __init__(self, held: list[Reply], left_ms: float | None) -> None:
        self.held = held
        self.answers: list[Reply] = []
        """Answers to what the user said, which wait behind it."""
        self.turns: list[Turn] = []
        """The turns of the user's that began meanwhile."""
        self.until: int | None = None
        """The clock at which it is decided that nothing was said; None while the user speaks."""
        self.replaced = False
        """Whether something was asked after it had ended, which is answered in the place of what comes of it."""
        self.untold = False
        """Whether it will not become known what was said."""
        self.at_the_end = left_ms is not None and left_ms <= AT_THE_END
        """Whether the user spoke as the end was near: then any word answers what was said."""

    def means(self, text: str, language: str, config: TurnDetection, *, final: bool = True) -> bool:
        """Whether a text of the user's is more than a backchannel; of one that is not `final`, however it goes on."""
        if not text.strip():
            return False
        return self.at_the_end or not is_backchannel(text, language, config.backchannels, begun=not final)
