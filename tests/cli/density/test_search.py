"""The largest count that holds."""

from __future__ import annotations

import pytest

from lipwire.cli.density.search import FINE, Attempt, search

LATE = {"late_pictures": 3}


@pytest.mark.parametrize("first", [1, 16, 500])
@pytest.mark.parametrize("most", [0, 1, 7, 16, 100, 333, 511])
def test_the_largest_that_holds_is_found(first: int, most: int) -> None:
    found = search(lambda count: Attempt(count, LATE if count > most else {}), first, 512)
    assert found.holds <= most
    assert found.fails is not None and found.fails > most
    assert found.fails - found.holds <= max(1, round(FINE * found.holds))
    assert found.unproven == ""
    assert len(found.attempts) < 40


def test_nothing_above_the_limit_is_tried() -> None:
    found = search(lambda count: Attempt(count, {}), 300, 1000)
    assert (found.holds, found.fails) == (1000, None)
    assert [attempt.count for attempt in found.attempts] == [300, 600, 1000]


def test_one_window_with_a_fault_is_tried_again() -> None:
    seen: list[int] = []

    def attempt(count: int) -> Attempt:
        seen.append(count)
        return Attempt(count, LATE if seen.count(count) == 1 or count > 40 else {})

    found = search(attempt, 8, 512)
    assert (found.holds, found.fails) == (40, 42)  # to within 5 %
    assert set(map(seen.count, seen)) == {2}


def test_where_the_generator_is_late_nothing_is_said_of_the_server() -> None:
    late = "the generator was late by 31 ms"
    found = search(lambda count: Attempt(count, LATE if count > 60 else {}, late if count > 60 else ""), 32, 512)
    assert (found.holds, found.fails) == (32, None)
    assert found.unproven == "at 64 the generator was late by 31 ms"
    assert [attempt.count for attempt in found.attempts] == [32, 64, 64, 64]
