"""Classes of bit rates, and which one a viewer has."""

from __future__ import annotations

import pytest

from lipwire.publish.rates import CLASSES, DOWN, LIMITED, MOST_PATIENCE, PATIENCE, START, UP, Choice, bit_rates

RATES = bit_rates(640, 360)
BUSY = RATES[START]
"""What is sent where the class's bit rate is used up."""


def test_bit_rates_follow_the_size() -> None:
    assert RATES == CLASSES
    sizes = [bit_rates(*size) for size in [(320, 180), (640, 360), (1280, 720), (1920, 1080)]]
    assert sizes[2] == tuple(2 * rate for rate in RATES)
    assert bit_rates(720, 1280) == bit_rates(1280, 720)
    for one_class in zip(*sizes, strict=True):
        assert list(one_class) == sorted(one_class)
    assert all(list(rates) == sorted(set(rates)) for rates in sizes)


@pytest.mark.parametrize(
    ("estimate", "sent", "level"),
    [
        (10, BUSY, 0),
        (RATES[1] - 1, BUSY, 0),
        (RATES[1], BUSY, 1),
        (DOWN * BUSY - 1, BUSY, 1),
        (DOWN * BUSY, BUSY, START),
        (UP * BUSY, BUSY, START + 1),
        (90_000_000, BUSY, START + 1),
        (300_000, 300_000, START),  # a face at rest
        (LIMITED * 300_000 - 1, 300_000, 0),  # and one that does not get through
        (300_000, 0, START),  # nothing is known yet
    ],
)
def test_what_a_path_carries_is_heeded(estimate: float, sent: int, level: int) -> None:
    assert Choice().judge(int(estimate), sent, RATES, 0.0) == level


def test_a_higher_class_is_tried_later_each_time_that_it_was_too_high() -> None:
    choice, now, waits = Choice(), 0.0, []
    choice.judge(100, BUSY, RATES, now)
    for _ in range(8):
        began = now
        while choice.judge(int(UP * RATES[0]), RATES[0], RATES, now) == 0:
            now += 0.5
        waits.append(now - began)
        now += 0.5
        assert choice.judge(100, RATES[1], RATES, now) == 0
    assert waits[0] == PATIENCE and waits == sorted(waits) and waits[-1] == MOST_PATIENCE


def test_a_path_that_recovers_has_the_highest_class_again() -> None:
    """Although a receiver says no more than half as much again of what it is sent."""
    choice, now = Choice(), 0.0
    choice.judge(100, BUSY, RATES, now)
    while choice.level + 1 < len(RATES):
        now += 1.0
        choice.judge(int(1.5 * RATES[choice.level]), RATES[choice.level], RATES, now)
        assert now < 10 * PATIENCE


def test_who_falls_behind_has_a_lower_one() -> None:
    choice = Choice()
    assert [choice.fall_behind(n) for n in range(START + 1)] == [True] * START + [False]
    assert choice.level == 0
    assert choice.fall_behind(9, units=True) and not choice.units and choice.level == 0


UNITS = 760_000
"""Between the second class and the third."""


@pytest.mark.parametrize(
    ("estimate", "sent", "units", "level"),
    [
        (LIMITED * UNITS, UNITS, True, START),
        (LIMITED * UNITS - 1, UNITS, False, 1),
        (200_000, UNITS, False, 0),
        (200_000, 160_000, True, START),  # a face at rest: more than it is sent
        (140_000, 160_000, False, 0),
        (LIMITED * UNITS, 900_000, True, 1),  # an encoder's
    ],
)
def test_units_have_the_bit_rate_that_they_have(estimate: float, sent: int, units: bool, level: int) -> None:
    choice = Choice()
    assert choice.judge(int(estimate), sent, RATES, 0.0, UNITS) == level
    assert choice.units is units


def test_units_are_tried_again_in_their_place_among_the_classes() -> None:
    choice, now, seen = Choice(), 0.0, []
    choice.judge(100_000, UNITS, RATES, now, UNITS)
    assert (choice.level, choice.units) == (0, False)
    while not choice.units:
        now += 1.0
        before = choice.level
        choice.rise(int(1.5 * RATES[choice.level]), RATES, now, UNITS)
        seen += [choice.level] * (choice.level != before)
        assert now < 10 * PATIENCE
    assert seen == [1], "the third class has more than units"
    assert choice.judge(500_000, UNITS, RATES, now + 1, UNITS) == 1 and not choice.units
    choice.rise(10**7, RATES, now + 1 + 2 * PATIENCE - 0.1, UNITS)
    assert not choice.units, "who had to come back waits longer"
    choice.rise(10**7, RATES, now + 1 + 2 * PATIENCE, UNITS)
    assert choice.units
