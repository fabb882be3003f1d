"""Receiver reports, number by number, and what a receiver hears."""

from __future__ import annotations

import struct

from aiortc.rtp import RtcpByePacket, RtcpPacket, RtcpRrPacket, RtcpSdesPacket
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire.rtp.rtcp import Heard, Reception, goodbye, is_rtcp, receiver_report
from support.rtp_offers import rtp, sender_report

SECOND = 1_000_000_000


def test_a_report_says_what_was_lost_and_how_unsteadily_the_rest_came() -> None:
    reception = Reception(0x1234, 8000, 65530)
    for number in range(100):
        if number in (40, 41, 42):
            continue
        late = 5_000_000 if number % 2 else 0
        reception.take((65530 + number) & 0xFFFF, number * 160, number * SECOND // 50 + late)
    reception.take((65530 + 99) & 0xFFFF, 99 * 160, 99 * SECOND // 50 + 5_000_000)  # one comes twice
    reception.report_came(0xAABBCCDD, 2 * SECOND)
    packets = RtcpPacket.parse(receiver_report(9, "me", [reception.block(2 * SECOND + SECOND // 2)]) + goodbye(9))
    report, description, bye = packets
    assert isinstance(report, RtcpRrPacket) and isinstance(description, RtcpSdesPacket)
    assert isinstance(bye, RtcpByePacket) and bye.sources == [9]
    assert description.chunks[0].items == [(1, b"me")]
    (block,) = report.reports
    assert (block.ssrc, block.packets_lost, block.highest_sequence) == (0x1234, 2, 65530 + 99)
    assert block.fraction_lost == 2 * 256 // 100
    assert (block.lsr, block.dlsr) == (0xAABBCCDD, 32768)
    assert 30 <= block.jitter <= 40  # 40 timestamps from each to the next
    (again,) = RtcpPacket.parse(receiver_report(9, "me", [reception.block(3 * SECOND)]))[0].reports  # type: ignore
    assert again.fraction_lost == 0 and again.packets_lost == 2


def test_who_begins_anew_has_lost_nothing() -> None:
    reception = Reception(1, 8000, 100)
    for sequence in (100, 101, 40000, 40001):
        reception.take(sequence, 0, 0)
    assert (reception.expected, reception.lost) == (2, 0)


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 2**40)), max_size=40))
@settings(max_examples=100, deadline=None)
def test_whatever_comes_fits_into_a_report(packets: list[tuple[int, int, int]]) -> None:
    reception = Reception(1, 48000, 0)
    for packet in packets:
        reception.take(*packet)
    assert len(reception.block(2**41)) == 24


def test_what_a_receiver_hears() -> None:
    report = sender_report(7, 0x0001020304050607)
    heard = Heard(report + goodbye(7))
    assert heard.reports == {7: 0x02030405} and heard.gone == {7} and not heard.malformed
    assert is_rtcp(report) and not is_rtcp(rtp(b"", 1, 1)) and not is_rtcp(b"")
    for bad in (report[:-1], report[:20], b"\x80", struct.pack("!BBHI", 0x9F, 203, 1, 7), b"\x00" * 8):
        assert Heard(bad).malformed
    assert not Heard(report * 40).malformed  # of so many the first are looked at


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_heard(data: bytes) -> None:
    heard = Heard(data)
    assert len(heard.reports) <= 16 and len(heard.gone) <= 16 * 31


def test_a_key_that_is_held_makes_no_jitter() -> None:
    reception = Reception(1, 8000, 0)
    for number in range(80):
        held = number >= 50  # a telephone event: all packets have its first timestamp
        reception.take(number, 160 * min(number, 50), number * SECOND // 50, timed=not held)
    assert (reception.jitter_ms, reception.received, reception.lost) == (0, 80, 0)


def test_of_whom_a_receiver_speaks() -> None:
    other = Reception(5, 8000, 0).block(0)
    for packet, about in (
        (receiver_report(1, "a", []), set()),
        (receiver_report(1, "a", [Reception(7, 8000, 0).block(0), other]), {5, 7}),
        (struct.pack("!BBHI", 0x81, 200, 12, 1) + bytes(20) + other, {5}),
        (struct.pack("!BBHII", 0x81, 206, 2, 1, 9), {9}),
        (struct.pack("!BBHI", 0x9F, 201, 7, 1) + other, {5}),  # one of the 31 that it claims
        (b"x", set()),
    ):
        assert Heard(packet).about == about
