"""Whose packets are taken."""

from __future__ import annotations

import pytest

from lipwire.rtp.sdp import Address
from lipwire.rtp.source import CANDIDATES, Source, plain

HERE, THERE, ELSEWHERE = (Address("192.0.2.1", port) for port in (4000, 5000, 6000))


def test_who_is_announced_is_taken_at_once_and_nobody_else_then() -> None:
    source = Source(HERE)
    assert source.judge(HERE, 1, 100) == "new"
    assert source.judge(HERE, 1, 101) == "taken"
    assert [source.judge(THERE, 1, 102 + n) for n in range(5)] == ["stranger"] * 5
    assert source.judge(HERE, 1, 50000) == "taken"  # how it counts is the jitter buffer's


@pytest.mark.parametrize("expected", [HERE, None])
def test_another_address_is_believed_from_its_second_packet_on(expected: Address | None) -> None:
    source = Source(expected)
    assert [source.judge(THERE, 1, n) for n in (65535, 0, 1)] == ["waits", "new", "taken"]
    assert source.judge(ELSEWHERE, 1, 2) == "stranger"
    assert source.address == THERE


def test_packets_that_do_not_follow_each_other_make_no_source() -> None:
    source = Source(None)
    assert [source.judge(THERE, 1, n) for n in (1, 5, 9)] == ["waits"] * 3
    assert [source.judge(at, 1, n) for at, n in ((THERE, 10), (ELSEWHERE, 11))] == ["new", "stranger"]


def test_who_is_announced_may_speak_up_later() -> None:
    """An attacker who was quicker is put out, and cannot come back."""
    source = Source(HERE)
    assert [source.judge(THERE, 9, n) for n in (1, 2)] == ["waits", "new"]
    assert [source.judge(HERE, 1, n) for n in (100, 101)] == ["new", "taken"]
    assert source.judge(THERE, 9, 3) == "stranger"


def test_strangers_between_its_packets_keep_nobody_out() -> None:
    source = Source(None)
    told = []
    for n in range(3):
        told.append(source.judge(HERE, 1, n))
        for port in range(1, CANDIDATES):
            source.judge(Address("192.0.2.66", port), n, 100 * n)  # each time another SSRC
    assert told == ["waits", "new", "taken"] and source.address == HERE
    for n in range(2000):
        source = source if n else Source(None)
        source.judge(Address("192.0.2.66", n), n, 7)
    assert len(source._candidates) == CANDIDATES


def test_a_source_that_begins_another_stream_is_followed() -> None:
    source = Source(HERE)
    source.judge(HERE, 1, 100)
    assert [source.judge(HERE, 2, n) for n in (7, 8, 9)] == ["waits", "new", "taken"]
    assert [source.judge(HERE, ssrc, n) for ssrc, n in ((1, 101), (2, 10), (1, 102), (2, 11))] == [
        *("waits", "taken", "waits", "taken")  # one packet of an old one between changes nothing
    ]


def test_without_symmetry_only_who_is_announced() -> None:
    source = Source(HERE, symmetric=False)
    assert [source.judge(THERE, 1, n) for n in (1, 2, 3)] == ["stranger"] * 3
    assert source.judge(HERE, 1, 1) == "new"


def test_who_has_the_key_may_come_from_anywhere() -> None:
    source = Source(HERE, symmetric=False)
    assert source.judge(THERE, 1, 1, authentic=True) == "new"
    assert source.judge(ELSEWHERE, 1, 2, authentic=True) == "new"
    assert source.address == ELSEWHERE


def test_whose_rtcp_is_heard() -> None:
    source = Source(HERE)
    announced = Address("192.0.2.9", 7)
    assert source.is_peer(announced, announced) and not source.is_peer(HERE, announced)
    source.judge(HERE, 1, 1)
    assert source.is_peer(Address(HERE.host, 4001), announced)
    assert not source.is_peer(Address("192.0.2.2", 4001), None)


def test_addresses_in_their_one_form() -> None:
    assert plain("::ffff:192.0.2.1") == "192.0.2.1"
    assert plain("2001:DB8:0::1") == "2001:db8::1" and plain("fe80::1%eth0") == "fe80::1"
    assert plain("pbx.example.org") == "pbx.example.org"
