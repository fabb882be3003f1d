"""How long it has been silent: nobody speaks, and the agent neither thinks nor speaks. No I/O.

When `Silence.timeout_ms` are over it says or thinks what `Silence` has, and counts anew when that is over: so it does
it again after each such time, as long as nobody says anything.
"""

from __future__ import annotations

from .._core import RATE
from .options import Silence


class SilenceWatch:
    """Counts, on the agent's clock (samples at 48 kHz)."""

    def __init__(self) -> None:
        self._since: int | None = None

    def look(self, silence: Silence | None, clock: int, quiet: bool) -> bool:
        """Whether it is time to do something. `quiet`: whether it is silent now, with a user there; to be told often,
        as what is not told is not seen."""
        if silence is None or not quiet:
            self._since = None
        elif self._since is None:
            self._since = clock
        elif clock - self._since >= silence.timeout_ms * RATE // 1000:
            self._since = None
            return True
        return False
