"""What an agent says while its model keeps the user waiting: when, and which phrase. No I/O."""

from __future__ import annotations

from random import Random
from typing import Protocol, runtime_checkable

from .._core import RATE
from ..errors import InvalidArgument
from .config import AgentConfig
from .options import Filler


@runtime_checkable
class Filling(Protocol):
    """What a brain has besides that can say something while it thinks."""

    def fill(self, text: str) -> str:
        """Say exactly this at once, whatever is in the making, and remember nothing of it. Returns its reply id. Raises
        BadState, BufferFull."""


class Fillers:
    """When the next phrase is due, once for each answer, by the agent's clock (samples at 48 kHz); and which one.

    Args:
        seed: of the order, where that is by chance.
    """

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)
        self._since: int | None = None
        self._left: list[str] = []
        """Phrases whose turn is yet to come, the next one last."""
        self._said = ""

    def wait(self, clock: int) -> None:
        """A user waits for an answer from now on."""
        self._since = clock

    def over(self) -> None:
        """Nobody waits any more: the answer has begun, or there will be none."""
        self._since = None

    def look(self, filler: Filler, clock: int) -> str:
        """What is to be said now; "" = nothing."""
        if self._since is None or clock - self._since < filler.wait_ms * RATE // 1000:
            return ""
        self._since = None
        if not self._left:
            self._left = self._round(filler)
        self._said = self._left.pop() if self._left else ""
        return self._said

    def _round(self, filler: Filler) -> list[str]:
        """All phrases, in the order in which they are said, backwards; by chance, the first is not the one before."""
        phrases = [phrase for phrase in reversed(filler.phrases) if phrase.strip()]
        if filler.order == "shuffle":
            self._random.shuffle(phrases)
            if phrases and phrases[-1] == self._said:
                phrases.insert(0, phrases.pop())
        return phrases


def check_filler(config: AgentConfig) -> None:
    """Raises InvalidArgument: there are no phrases, or the brain cannot say them while it thinks."""
    filler = config.filler
    if filler is None:
        return
    if not any(phrase.strip() for phrase in filler.phrases):
        raise InvalidArgument("filler_words: there must be a phrase; give content.static_config.phrases")
    if config.brain == "realtime":
        raise InvalidArgument(
            "filler_words: a realtime model speaks by itself, and says one thing at a time; leave them out, or "
            "use asr, llm and tts"
        )
