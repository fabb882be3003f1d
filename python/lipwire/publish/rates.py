"""Which bit rate a viewer's pictures have: one of few classes, so that viewers can share encoders.

A viewer goes a class down as soon as its path carries less than the one that it has, and up when it carries more. What
a receiver says that it can take follows what it is sent, and stays within half as much again of it, so that the higher
class has to be tried before it is known to fit: who had to come back from there waits longer before the next try.
"""

from __future__ import annotations

REFERENCE = 640 * 360
CLASSES = (250_000, 600_000, 1_500_000, 3_000_000)
"""Bit/s of a picture of REFERENCE pixels; of others in proportion to the square root of their pixels (`bit_rates`)."""
START = 2
"""The class to begin with."""
DOWN = 0.8
"""Share of a class's bit rate below which it is too high,"""
UP = 1.4
"""and above which the next one is tried."""
PATIENCE = 5.0
"""Seconds after a change before a higher class is tried; after one that was too high they double,"""
MOST_PATIENCE = 160.0
"""up to so many."""


def bit_rates(width: int, height: int) -> tuple[int, ...]:
    """Bit/s of a picture of this size, by class."""
    scale = max(0.25, min(2.5, (width * height / REFERENCE) ** 0.5))
    return tuple(round(rate * scale) for rate in CLASSES)


class Choice:
    """The class of one viewer. Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self.level = START
        self._changed: float | None = None
        self._tried = False
        """It has gone up last."""
        self._patience = PATIENCE

    def judge(self, estimate: int, rates: tuple[int, ...], now: float) -> int:
        """Its class from now on, where its path carries `estimate` bit/s."""
        if estimate < DOWN * rates[self.level] and self.level > 0:
            if self._tried:
                self._patience = min(2 * self._patience, MOST_PATIENCE)
            fits = [level for level in range(self.level) if rates[level] <= estimate]
            self._change(max(fits, default=0), now)
        elif self.level + 1 < len(rates) and estimate >= min(UP * rates[self.level], rates[self.level + 1]):
            self._try(now)
        return self.level

    def fall_behind(self, now: float) -> bool:
        """Its pictures waited so long that they were given up. Whether its class is a lower one now."""
        if self.level == 0:
            return False
        self._change(self.level - 1, now)
        return True

    def _try(self, now: float) -> None:
        if self._changed is None or now - self._changed >= self._patience:
            self._change(self.level + 1, now)

    def _change(self, level: int, now: float) -> None:
        self._tried = level > self.level
        self.level, self._changed = level, now
