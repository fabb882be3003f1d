"""Which `voice` begins an utterance, as far as the wire tells.

A server that drains lets the one that is being said end, and takes no other.
"""

from __future__ import annotations

from ..errors import LipwireError


class ShuttingDown(LipwireError):
    """The server drains: what is being said goes on to its end, nothing new is taken."""

    code = "SHUTTING_DOWN"

    def __init__(self) -> None:
        super().__init__(
            "The server is shutting down: it ends what it says and takes no new utterance. Open a new session"
        )


class UtteranceGate:
    """What one session is told, in order. Times in seconds of one clock.

    Args:
        grace: how long after `voice_end` audio still belongs to the utterance.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._ended: tuple[str | None, float] | None = None
        """The utterance that was said to be over, by its id, and until when audio may still be its own."""

    def voice(self, event_id: str | None, now: float, *, closing: bool) -> None:
        """Audio comes. Raises ShuttingDown: it would begin an utterance, and the server is `closing`."""
        if self._ended is None:
            return
        ended_id, until = self._ended
        another = event_id is not None and ended_id is not None and event_id != ended_id
        if not another and now < until:
            return
        if closing:
            raise ShuttingDown
        self._ended = None

    def voice_end(self, event_id: str | None, now: float) -> None:
        """The utterance is complete, but for audio within the grace."""
        self._ended = event_id, now + self._grace

    def interrupt(self, now: float) -> None:
        """All of it is void: whatever comes is new."""
        self._ended = None, now
