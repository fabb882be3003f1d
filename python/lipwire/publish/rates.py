"""Which bit rate a viewer's pictures have: one of few classes, so that viewers can share encoders.

What a receiver says that it can take follows what it is sent: it begins with that, and stays within half as much again
of it. So little of it means nothing while it is no less than what is sent, as of a face at rest; a viewer goes a class
down where less gets through than was sent. And a higher class has to be tried before it is known to fit: who had to
come back from there waits longer before the next try.

Units, which were encoded beforehand, have the bit rate that they have: they stand among the classes in the place that
this gives them. Whose path does not carry them has an encoder's pictures, and tries them again as it tries a class.
"""

from __future__ import annotations

REFERENCE = 640 * 360
CLASSES = (250_000, 600_000, 1_500_000, 3_000_000)
"""Bit/s of a picture of REFERENCE pixels; of others in proportion to the square root of their pixels (`bit_rates`)."""
START = 2
"""The class to begin with."""
DOWN = 0.8
"""Share of a class's bit rate below which it is too high,"""
LIMITED = 0.9
"""if it is also less than this share of what was sent;"""
UP = 1.4
"""and share above which the next one is tried."""
PATIENCE = 5.0
"""Seconds after a change before a higher class is tried; after one that was too high they double,"""
MOST_PATIENCE = 160.0
"""up to so many."""


def bit_rates(width: int, height: int) -> tuple[int, ...]:
    """Bit/s of a picture of this size, by class."""
    scale = max(0.25, min(2.5, (width * height / REFERENCE) ** 0.5))
    return tuple(round(rate * scale) for rate in CLASSES)


class Choice:
    """The class of one viewer, and whether it can have units. Times are seconds of any steady clock."""

    def __init__(self) -> None:
        self.level = START
        self.units = True
        """Whether its path carries units, as far as it is known."""
        self._changed: float | None = None
        self._tried = False
        """It has gone up last."""
        self._patience = PATIENCE

    def judge(self, estimate: int, sent: int, rates: tuple[int, ...], now: float, units: int = 0) -> int:
        """Its class from now on, where its path carries `estimate` bit/s, it was sent `sent` lately, and units have
        had `units` at most (0: that is not known yet, or there are none)."""
        less = LIMITED * sent
        too_high = self.level > 0 and estimate < min(DOWN * rates[self.level], less)
        too_much = self.units and estimate < min(LIMITED * units, less)
        if too_high or too_much:
            fits = [level for level in range(self.level) if rates[level] <= estimate]
            self._lower(max(fits, default=0) if too_high else self.level, now, units=self.units and not too_much)
        else:
            self.rise(estimate, rates, now, units)
        return self.level

    def rise(self, estimate: int, rates: tuple[int, ...], now: float, units: int = 0) -> None:
        """What is next above, if its path may carry that and it has waited for long enough: a higher class, or units.
        As in `judge`."""
        if self._changed is not None and now - self._changed < self._patience:
            return
        enough = UP * rates[self.level]
        above = rates[self.level + 1] if self.level + 1 < len(rates) else None
        units = units or rates[START]
        if not self.units and (above is None or above > units):
            if estimate >= min(enough, units):
                self._change(self.level, now, units=True, tried=True)
        elif above is not None and estimate >= min(enough, above):
            self._change(self.level + 1, now, units=self.units, tried=True)

    def fall_behind(self, now: float, *, units: bool = False) -> bool:
        """Its pictures, which were units or an encoder's, waited so long that they were given up. Whether it is to
        have others now."""
        if self.level == 0 and not units:
            return False
        self._lower(max(0, self.level - 1), now, units=self.units and not units)
        return True

    def _lower(self, level: int, now: float, *, units: bool) -> None:
        if self._tried:
            self._patience = min(2 * self._patience, MOST_PATIENCE)
        self._change(level, now, units=units, tried=False)

    def _change(self, level: int, now: float, *, units: bool, tried: bool) -> None:
        self.level, self.units = level, units
        self._tried, self._changed = tried, now
