"""When the greeting is due."""

from __future__ import annotations

from lipwire.agents.greeting import Greeter
from lipwire.agents.options import Greeting

SECOND = 48_000
FIRST, EVERY = Greeting(mode="single_first"), Greeting(mode="single_every")


def test_the_first_time_only() -> None:
    greeter = Greeter()
    greeter.came(FIRST, 0)
    assert greeter.waits and greeter.look(0) and not greeter.look(0) and not greeter.waits
    greeter.alone(FIRST)
    greeter.came(FIRST, SECOND)
    assert not greeter.look(2 * SECOND)


def test_who_has_heard_nothing_of_it_is_greeted_next_time() -> None:
    greeter = Greeter()
    greeter.came(FIRST, 0)
    assert greeter.look(0)
    greeter.alone(FIRST, missed=True)
    greeter.came(FIRST, SECOND)
    assert greeter.look(SECOND)


def test_whenever_somebody_enters_the_empty_channel() -> None:
    greeter = Greeter()
    greeter.came(EVERY, 0)
    assert greeter.look(0)
    greeter.came(EVERY, 0)
    assert not greeter.look(0), "another one, while somebody is there"
    greeter.alone(EVERY)
    greeter.came(EVERY, SECOND)
    assert greeter.look(SECOND)


def test_a_while_after_they_came() -> None:
    late = Greeting(delay_ms=1500)
    greeter = Greeter()
    greeter.came(late, SECOND)
    assert not greeter.look(2 * SECOND) and greeter.waits and greeter.look(5 * SECOND // 2)
    for leaves in (True, False):
        greeter = Greeter()
        greeter.came(late, 0)
        if leaves:  # before they were greeted
            greeter.alone(late)
            assert not greeter.look(9 * SECOND)
            greeter.came(late, 9 * SECOND)
            assert greeter.look(11 * SECOND)
        else:
            greeter.answered()
            assert not greeter.waits and not greeter.look(9 * SECOND)
