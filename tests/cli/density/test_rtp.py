"""What is lost, missing and late, by the headers of RTP alone."""

from __future__ import annotations

from itertools import pairwise

import pytest

from lipwire.cli.density.rtp import OPUS_STEP, RtpStream, is_rtp

START = 0xFFFF_F000
"""A timestamp that wraps soon; the sequence numbers below do, too."""


def packet(sequence: int, stamp: int, marker: bool) -> bytes:
    head = bytes([0x80, 0x80 * marker | 96]) + (sequence & 0xFFFF).to_bytes(2, "big")
    return head + (stamp & 0xFFFFFFFF).to_bytes(4, "big") + b"ssrcpayload"


def pictures(*, without: tuple[int, ...] = (), late: dict[int, float] | None = None) -> RtpStream:
    """25 pictures of 3 packets each, a second of them; some packets do not come, some pictures late."""
    stream = RtpStream("picture", 90000, 3600, 0.04)
    for number in range(75):
        if number not in without:
            at = 100 + number // 3 / 25 + (late or {}).get(number // 3, 0.0)
            stream.add(packet(0xFFF0 + number, START + number // 3 * 3600, number % 3 == 2), at)
    return stream


@pytest.mark.parametrize(
    "stream, expected",
    [
        (pictures(), {"packets": 75, "whole": 25, "lost": 0, "missing": 0, "late": 0}),
        (pictures(without=(31,)), {"packets": 74, "whole": 25, "lost": 1, "missing": 0, "late": 0}),
        (pictures(without=(30, 31, 32, 33, 34, 35)), {"packets": 69, "whole": 23, "lost": 6, "missing": 2}),
        (pictures(late={5: 0.039, 6: 0.041, 7: 0.2}), {"whole": 25, "missing": 0, "late": 2}),
    ],
)
def test_pictures(stream: RtpStream, expected: dict[str, int]) -> None:
    assert {name: stream.counts[name] for name in expected} == expected


def test_what_the_server_never_sent_is_missing_though_no_number_is() -> None:
    stream = RtpStream("picture", 90000, 3600, 0.04)
    for sequence, number in enumerate([0, 1, 2, 5, 6]):
        stream.add(packet(sequence, START + number * 3600, True), number / 25)
    assert (stream.counts["lost"], stream.counts["missing"]) == (0, 2)


def test_what_comes_out_of_order_was_not_lost() -> None:
    stream = RtpStream("sound", 48000, OPUS_STEP, 0.04)
    for sequence in (65534, 65535, 1, 0, 2):
        stream.add(packet(sequence, START + sequence, False), 0.0)
    assert (stream.counts["lost"], stream.counts["reordered"], stream.highest) == (0, 1, 65538)


def test_a_silence_in_which_nothing_is_sent_is_not_missing() -> None:
    stream = RtpStream("sound", 48000, OPUS_STEP, 0.04)
    times = [0, 1, 2, 12, 13, 20]
    for sequence, (before, now) in enumerate(pairwise([-1, *times])):
        marker = now - before > 1 and now == 12
        stream.add(packet(sequence, START + now * OPUS_STEP, marker), now * 0.02)
    assert (stream.counts["silences"], stream.counts["missing"], stream.counts["late"]) == (1, 6, 0)


def test_what_is_sent_again_has_no_time() -> None:
    stream = RtpStream("again", 90000, 3600, 0.04)
    for sequence in range(3):
        stream.add(packet(sequence, START - sequence * 99999, True), float(sequence))
    assert dict(stream.counts) == {"packets": 3, "bytes": 57, "lost": 0}


@pytest.mark.parametrize(
    "datagram, rtp",
    [
        (packet(1, 1, False), True),
        (packet(1, 1, True), True),
        (bytes([0x80, 200]) + bytes(26), False),  # a sender report
        (bytes([0x81, 206]) + bytes(26), False),  # a PLI
        (bytes([0, 1]) + bytes(26), False),  # STUN
        (bytes([23, 254]) + bytes(26), False),  # DTLS
        (packet(1, 1, False)[:11], False),
    ],
)
def test_what_is_rtp(datagram: bytes, rtp: bool) -> None:
    assert is_rtp(datagram) is rtp
