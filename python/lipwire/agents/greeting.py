"""When the greeting is due. No I/O."""

from __future__ import annotations

from .._core import RATE
from .options import Greeting


class Greeter:
    """Whoever comes into the empty channel is greeted: each time, or the first time only (`Greeting.mode`). Times are
    the agent's clock, samples at 48 kHz."""

    def __init__(self) -> None:
        self._wanted = True
        self._due: int | None = None
        """When it is to be said, where somebody has come."""

    @property
    def waits(self) -> bool:
        """Whether somebody is to be greeted in a moment."""
        return self._due is not None

    def came(self, greeting: Greeting, clock: int) -> None:
        """Somebody is there who may be greeted."""
        if self._wanted:
            self._wanted = False
            self._due = clock + greeting.delay_ms * RATE // 1000

    def alone(self, greeting: Greeting, *, missed: bool = False) -> None:
        """Nobody is there any more. Who left before the greeting has not had it; nor has who `missed` it, as none of it
        had been heard."""
        if self._due is not None or missed or greeting.mode == "single_every":
            self._wanted, self._due = True, None

    def answered(self) -> None:
        """Who came has spoken: answering that greets."""
        self._due = None

    def look(self, clock: int) -> bool:
        """Whether the greeting is to be said now; then it is not due any more."""
        if self._due is None or clock < self._due:
            return False
        self._due = None
        return True
