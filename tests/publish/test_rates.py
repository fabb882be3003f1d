"""Classes of bit rates, and which one a viewer has."""

from __future__ import annotations

import pytest

from lipwire.publish.rates import CLASSES, DOWN, MOST_PATIENCE, PATIENCE, START, UP, Choice, bit_rates

RATES = bit_rates(640, 360)


def test_bit_rates_follow_the_size() -> None:
    assert RATES == CLASSES
    sizes = [bit_rates(*size) for size in [(320, 180), (640, 360), (1280, 720), (1920, 1080)]]
    assert sizes[2] == tuple(2 * rate for rate in RATES)
    assert bit_rates(720, 1280) == bit_rates(1280, 720)
    for one_class in zip(*sizes, strict=True):
        assert list(one_class) == sorted(one_class)
    assert all(list(rates) == sorted(set(rates)) for rates in sizes)


@pytest.mark.parametrize(
    ("estimate", "level"),
    [
        (10, 0),
        (RATES[1] - 1, 0),
        (RATES[1], 1),
        (DOWN * RATES[START] - 1, 1),
        (DOWN * RATES[START], START),
        (UP * RATES[START], START + 1),
        (90000000, START + 1),
    ],
)
def test_what_a_path_carries_is_heeded(estimate: float, level: int) -> None:
    assert Choice().judge(int(estimate), RATES, 0.0) == level


def test_a_higher_class_is_tried_later_each_time_that_it_was_too_high() -> None:
    choice, now, waits = Choice(), 0.0, []
    choice.judge(100, RATES, now)
    for _ in range(8):
        began = now
        while choice.judge(int(UP * RATES[0]), RATES, now) == 0:
            now += 0.5
        waits.append(now - began)
        now += 0.5
        assert choice.judge(100, RATES, now) == 0
    assert waits[0] == PATIENCE and waits == sorted(waits) and waits[-1] == MOST_PATIENCE


def test_a_path_that_recovers_has_the_highest_class_again() -> None:
    """Although a receiver says no more than half as much again of what it is sent."""
    choice, now = Choice(), 0.0
    choice.judge(100, RATES, now)
    while choice.level + 1 < len(RATES):
        now += 1.0
        choice.judge(int(1.5 * RATES[choice.level]), RATES, now)
        assert now < 10 * PATIENCE


def test_who_falls_behind_has_a_lower_one() -> None:
    choice = Choice()
    assert [choice.fall_behind(n) for n in range(START + 1)] == [True] * START + [False]
    assert choice.level == 0
