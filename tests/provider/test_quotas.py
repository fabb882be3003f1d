"""Rates, guesses and load, by the clock that the test holds."""

from __future__ import annotations

import pytest

from lipwire.errors import NoCapacity
from lipwire.provider.quotas import REMEMBERED, Admission, Guesses, Load, RateLimit, Remembered, network


def test_a_bucket_lets_a_burst_in_then_its_rate_and_says_when() -> None:
    limit = RateLimit()
    assert [limit.take("a", 10, 0.0) for _ in range(20)] == [0.0] * 20
    assert limit.take("a", 10, 0.0) == pytest.approx(0.1)
    assert limit.take("b", 10, 0.0) == 0.0, "each by itself"
    assert limit.take("a", 10, 0.05) == pytest.approx(0.05)
    assert limit.take("a", 10, 0.1) == 0.0
    assert limit.take("a", 10, 0.1) > 0
    assert [limit.take("a", 10, 1000.0) for _ in range(20)] == [0.0] * 20, "no more than a burst is saved"
    assert limit.take("a", 10, 1000.0) > 0
    assert limit.take("a", 10, 1.0) > 0, "a clock that goes back gives nothing"
    assert limit.take("c", 0, 0.0) == 0.0 and limit.take("c", 0, 9.0) > 0
    assert limit.take("d", 0.1, 0.0, burst=1) == 0.0
    assert limit.take("d", 0.1, 0.0, burst=1) == pytest.approx(10)


def test_only_so_many_are_remembered() -> None:
    limit, some = RateLimit(), Remembered[int, int](2)
    for n in range(3 * REMEMBERED):
        limit.take(n, 1, 0.0)
    assert len(limit._buckets) == REMEMBERED
    for n in (1, 2):
        some.put(n, n)
    some.get(1)
    some.put(3, 3)
    assert (some.get(1), some.get(2), some.get(3)) == (1, None, 3), "the least recently used goes"


def test_guesses_wait_longer_and_longer() -> None:
    guesses, now, waits = Guesses(), 0.0, []
    for _ in range(15):
        guesses.wrong("192.0.2.1", now)
        waits.append(guesses.wait("192.0.2.1", b"next", now))
        now += waits[-1]
        assert guesses.wait("192.0.2.1", b"next", now) == 0.0
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 64, 64, 64]
    assert guesses.wait("192.0.2.2", b"next", 0.0) == 0.0, "nobody else waits"
    guesses.wrong("192.0.2.1", now + Guesses.FORGET + 1)
    assert guesses.wait("192.0.2.1", b"next", now + Guesses.FORGET + 1) == 0.0, "afresh"


def test_who_was_right_before_is_not_locked_out_by_a_neighbour() -> None:
    guesses = Guesses()
    guesses.good("192.0.2.1", b"the key")
    for _ in range(20):
        guesses.wrong("192.0.2.1", 0.0)
    assert guesses.wait("192.0.2.1", b"a guess", 0.0) > 0
    assert guesses.wait("192.0.2.1", b"the key", 0.0) == 0.0


def test_where_nobody_knows_the_address_nobody_waits_and_a_network_of_ipv6_is_one() -> None:
    guesses = Guesses()
    assert network("") is None
    for _ in range(50):
        guesses.wrong("", 0.0)
    assert guesses.wait("", b"x", 0.0) == 0.0
    for n in range(50):
        guesses.wrong(f"2001:db8::{n:x}", 0.0)
    assert guesses.wait("2001:db8:0:0:ffff::1", b"x", 0.0) > 0
    assert guesses.wait("2001:db8:0:1::1", b"x", 0.0) == 0.0
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") == "192.0.2.1"
    assert network("fe80::1%eth0") == "fe80::/64"


def test_all_that_is_no_address_counts_as_one() -> None:
    guesses = Guesses()
    for n in range(50):
        guesses.wrong(f"nobody {n}", 0.0)
    assert guesses.wait("another", b"x", 0.0) > 0


def test_many_addresses_take_no_more_memory() -> None:
    guesses = Guesses()
    for n in range(3 * REMEMBERED):
        address = f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"
        guesses.wrong(address, 0.0)
        guesses.good(address, b"k")
    assert len(guesses._wrong) == len(guesses._good) == REMEMBERED


def fed(admission: Admission, seconds: float, *, late: int = 0, busy: float = 0.0, lag: float = 0.0) -> float:
    """Two looks a second; of 100 frames each second `late` are late, and the engine works `busy` of the time."""
    steps = int(seconds * 2) + 1
    for n in range(steps):
        at = n / 2
        load = Load(frames=int(at * (100 - late)), late=int(at * late), busy=at * busy, lag=lag)
        admission.observe(load, at)
    return (steps - 1) / 2


@pytest.mark.parametrize(
    ("load", "why"),
    [({"late": 20}, "20 % of the frames"), ({"busy": 0.95}, "95 % of the time"), ({"lag": 0.3}, "300 ms late")],
)
def test_a_machine_that_is_late_takes_no_more(load: dict[str, float], why: str) -> None:
    admission = Admission()
    now = fed(admission, 9)  # not long enough to know
    admission.check(now)
    now = fed(admission := Admission(), 30, **load)  # type: ignore[arg-type]
    with pytest.raises(NoCapacity, match=why) as caught:
        admission.check(now)
    assert caught.value.retry_after == Admission.RETRY
    admission.check(now + 11)  # nobody has measured since
    off = Admission(late=0, busy=0, lag=0)
    off.check(fed(off, 30, **load))  # type: ignore[arg-type]


def test_a_machine_that_keeps_up_takes_more_and_one_that_recovers_does_again() -> None:
    admission = Admission()
    admission.check(fed(admission, 30, late=10, busy=0.8, lag=0.1))
    admission.check(0.0)
    recovering = Admission()
    at = fed(recovering, 30, late=50)
    assert recovering.reason(at)
    last = Load(frames=1500, late=1500)
    for n in range(1, 22):
        recovering.observe(Load(frames=last.frames + 50 * n, late=last.late, busy=-5.0), at + n / 2)  # an engine anew
    assert recovering.reason(at + 10.5) == ""


@pytest.mark.parametrize(
    ("late", "near", "full"), [(0, "", False), (7, "7 % of the frames are late", False), (25, "", True)]
)
def test_the_limits_are_near_before_they_are_reached(late: int, near: str, full: bool) -> None:
    admission = Admission(late=0.2, busy=0.9, lag=0.25, window=10.0)
    for second in range(12):
        admission.observe(Load(frames=second * (100 - late), late=second * late, busy=0.0, lag=0.0), float(second))
    assert (admission.reason(11.0) != "") == full
    assert near in admission.reason(11.0, 0.3) and (admission.reason(11.0, 0.3) == "") == (late == 0)
