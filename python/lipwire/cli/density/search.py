"""How many: doubling until it is too many, then halving the difference."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field

FINE = 0.05
"""Share of the number that holds by which the one that does not may be larger."""


class Attempt(Struct, frozen=True):
    """What one window said of a count."""

    count: int
    faults: dict[str, int]
    """What was late, lost or missing, by name; empty: nothing."""
    thrown_away: str = ""
    """Why it says nothing, where it does not: the generator was late itself, say."""

    @property
    def holds(self) -> bool:
        return not self.faults and not self.thrown_away


class Found(Struct):
    """What the search came to."""

    holds: int = 0
    """The largest count in which nothing was late, lost or missing; 0: none was tried that held."""
    fails: int | None = None
    """The smallest in which something was; None: none was found up to the limit,"""
    unproven: str = ""
    """or the larger ones could not be judged, for this reason."""
    attempts: list[Attempt] = field(default_factory=list)


def search(attempt: Callable[[int], Attempt], first: int, limit: int, *, tries: int = 2, throws: int = 3) -> Found:
    """Finds the largest count that holds, to within `FINE`.

    Args:
        attempt: tries a count in one window.
        first: the count to begin with. limit: the largest to try.
        tries: windows with a fault that it takes for a count to fail; a machine that others use, too, is late by
            itself now and then.
        throws: windows that are thrown away until the search ends where it is.
    """
    found = Found()

    def holds(count: int) -> bool | None:
        failed = thrown = 0
        while True:
            tried = attempt(count)
            found.attempts.append(tried)
            if tried.holds:
                return True
            if tried.thrown_away:
                thrown += 1
                if thrown == throws:
                    found.unproven = f"at {count} {tried.thrown_away}"
                    return None
            else:
                failed += 1
                if failed == tries:
                    return False

    count = min(first, limit)
    while (verdict := holds(count)) is True:
        found.holds = count
        if count == limit:
            return found
        count = min(2 * count, limit)
    if verdict is None:
        return found
    found.fails = count
    while found.fails - found.holds > max(1, round(FINE * found.holds)):
        count = (found.fails + found.holds) // 2
        verdict = holds(count)
        if verdict is None:
            return found
        if verdict:
            found.holds = count
        else:
            found.fails = count
    return found
