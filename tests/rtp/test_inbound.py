"""Speech that comes in, on time that the test turns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiortc.rtp import RtcpPacket, RtcpRrPacket
from hypothesis import given, settings
from hypothesis import strategies as st

from lipwire._core import alaw_encode, ulaw_decode, ulaw_encode
from lipwire.audio.speech_gate import SpeechGate
from lipwire.rtp.formats import Speech
from lipwire.rtp.inbound import LINGER, MOST_BEHIND, Digit, Inbound
from lipwire.rtp.rtcp import goodbye, receiver_report
from lipwire.rtp.sdp import Address
from support.rtp_offers import event, rtp, sender_report

PCMU = Speech("pcmu", 0, 8000, 8000, comfort_noise_type=13, event_type=101)
PEER, STRANGER = Address("192.0.2.1", 4000), Address("192.0.2.66", 4000)
MS = 1_000_000
START = 10**12


class Call:
    """An `Inbound`, and what it has delivered."""

    def __init__(self, speech: Speech = PCMU, **options: Any) -> None:
        self.sound = b""
        self.quiet: list[bool] = []
        self.digits: list[Digit] = []
        self.sources: list[tuple[Address, bool]] = []
        self.now = START
        given: dict[str, Any] = {"expected": PEER, "on_source": lambda *found: self.sources.append(found)}
        self.inbound = Inbound(speech, self.hear, self.digits.append, **(given | options))

    def hear(self, pcm: bytes, quiet: bool) -> None:
        self.sound += pcm
        self.quiet.append(quiet)

    def take(self, packet: bytes, source: Address = PEER) -> None:
        """One every 20 ms."""
        self.inbound.advance(self.now)
        self.inbound.receive(packet, source, self.now)
        self.now += 20 * MS

    def wait(self, ms: int) -> None:
        for _ in range(ms // 10):
            self.now += 10 * MS
            self.inbound.advance(self.now)


def speech(packets: int) -> list[bytes]:
    """20 ms of PCMU each: a voice's hum that swells."""
    t = np.arange(160 * packets) / 8000
    wave = 8000 * np.sin(2 * np.pi * 200 * t) * (0.55 - 0.45 * np.cos(2 * np.pi * 4 * t))
    data = ulaw_encode(wave.astype(np.int16).tobytes())
    return [data[at : at + 160] for at in range(0, len(data), 160)]


def test_what_was_said_is_heard_and_who_stops_is_silent() -> None:
    call = Call()
    assert not call.inbound.active
    said = speech(50)
    for number, payload in enumerate(said):
        call.take(rtp(payload, 65530 + number, 0xFFFFFF00 + 160 * number))
    call.wait(1000 + 10 * LINGER)
    assert ulaw_decode(b"".join(said)) in call.sound
    assert call.quiet[-1] and not call.inbound.active
    blocks = len(call.quiet)
    call.wait(100)
    assert len(call.quiet) == blocks, "without a stream nothing is read"
    call.take(rtp(said[3], 65530 + 50, 0xFFFFFF00 + 160 * 250))
    assert call.inbound.active and call.sources == [(PEER, True)]
    stats = call.inbound.stats()
    assert (stats["packets"], stats["source"], stats["lost"], stats["codec"]) == (51, "192.0.2.1:4000", 0, "pcmu")
    call.inbound.close()


def test_strangers_are_counted_and_not_heard() -> None:
    call = Call()
    for number, payload in enumerate(speech(20)):
        call.take(rtp(payload, number, 160 * number))
        call.inbound.receive(rtp(bytes(160), 9000 + number, 160 * number), STRANGER, call.now)
        call.inbound.receive(sender_report(0x1234, 1 << 40), STRANGER, call.now)
    call.wait(500)
    assert call.inbound.counts == {"strangers": 40} and call.inbound.packets == 20
    assert ulaw_decode(b"".join(speech(20))) in call.sound


def test_another_source_that_keeps_on_loses_nothing_of_its_beginning() -> None:
    call = Call()
    for number, payload in enumerate(said := speech(20)):
        call.take(rtp(payload, number, 160 * number), STRANGER)
    call.wait(500)
    assert call.inbound.packets == 20 and ulaw_decode(b"".join(said)) in call.sound
    assert call.sources == [(STRANGER, True)]


def test_a_sender_that_begins_another_stream() -> None:
    call = Call()
    for ssrc in (1, 2):
        for number, payload in enumerate(said := speech(20)):
            call.take(rtp(payload, 700 * ssrc + number, 160 * number, ssrc=ssrc))
        call.wait(400)
        assert call.sound.count(ulaw_decode(b"".join(said))) == ssrc
    assert call.inbound.stats()["lost"] == 0


def test_what_was_not_agreed_is_not_heard() -> None:
    call = Call()
    for number, payload in enumerate(speech(5)):
        call.take(rtp(payload, number, 160 * number, payload_type=8))
        call.take(rtp(payload, number, 160 * number)[:11])
        call.take(b"\x00\x00" + rtp(payload, number, 160 * number)[2:])
    assert call.inbound.counts == {"other_type": 5, "malformed": 10} and not call.inbound.active


def test_keys_that_are_pressed_are_told_once_each() -> None:
    call = Call()
    said = speech(40)
    sequence = 0
    for number, payload in enumerate(said):
        if number % 20 < 10:
            call.take(rtp(payload, sequence, 160 * number))
            sequence += 1
            continue
        begun = 160 * (number - number % 20 + 10)
        last = number % 20 == 19
        for _ in range(3 if last else 1):  # the end is said three times (RFC 4733, 2.5.1.4)
            packet = event(11 if number > 20 else 5, sequence, begun, 160 * (number % 20 - 9), end=last)
            call.inbound.advance(call.now)
            call.inbound.receive(packet, PEER, call.now)
            sequence += 1
        call.now += 20 * MS
    call.wait(500)
    assert call.digits == [Digit("5", 200), Digit("#", 200)] and call.inbound.stats()["digits"] == 2


def test_reports_tell_what_came() -> None:
    call = Call(expected_rtcp=Address("192.0.2.9", 5))
    assert call.inbound.report(call.now) is None and call.inbound.goodbye(call.now) is None
    for number, payload in enumerate(speech(20)):
        if number != 7:
            call.take(rtp(payload, number, 160 * number))
    call.inbound.receive(sender_report(0x1234, 0x0001020304050607), Address("192.0.2.9", 5), call.now, control=True)
    report = call.inbound.report(call.now + 500 * MS)
    assert report is not None and call.inbound.rtcp_from == ("192.0.2.9", 5)
    first, *_ = RtcpPacket.parse(report)
    assert isinstance(first, RtcpRrPacket)
    (block,) = first.reports
    assert (block.ssrc, block.packets_lost, block.lsr, block.dlsr) == (0x1234, 1, 0x02030405, 32768)
    goodbye = call.inbound.goodbye(call.now)
    assert goodbye is not None and len(RtcpPacket.parse(goodbye)) == 3
    assert call.sources == [(PEER, True), (Address("192.0.2.9", 5), False)]


def test_who_has_gone_is_sent_no_reports() -> None:
    """Whoever is at an address that packets once named must not be sent them for as long as a session lasts."""
    call = Call()
    (payload,) = speech(1)
    call.take(rtp(payload, 0, 0))
    later = call.now + 30_000 * MS
    assert call.inbound.report(later - 20 * MS) is not None
    assert call.inbound.report(later) is None and call.inbound.goodbye(later) is None
    call.take(rtp(payload, 1, 160))
    assert call.inbound.report(call.now) is not None
    bye = receiver_report(0x1234, "a", []) + goodbye(0x1234)
    call.inbound.receive(bye, PEER, call.now, control=True)
    assert call.inbound.report(call.now) is None


def test_a_loop_that_stood_still_reads_half_a_second_at_most() -> None:
    call = Call()
    call.take(rtp(speech(1)[0], 0, 0))
    call.inbound.advance(call.now)
    before = len(call.quiet)
    call.inbound.advance(call.now + 3600 * 1000 * MS)
    assert len(call.quiet) - before == MOST_BEHIND + 1


@pytest.mark.parametrize("farewell", [False, True])
def test_comfort_noise_of_who_has_gone_comes_to_an_end(farewell: bool) -> None:
    call = Call()
    said = speech(20)
    for number, payload in enumerate(said):
        call.take(rtp(payload, number, 160 * number))
    call.take(rtp(bytes([60]), 20, 160 * 20, payload_type=13))
    if farewell:
        bye = receiver_report(0x1234, "a", []) + goodbye(0x1234)
        call.inbound.receive(bye, Address(PEER.host, 4001), call.now, control=True)
    call.wait(300)
    assert call.inbound.active
    call.wait(1000 if farewell else 29_000)
    assert call.inbound.active != farewell
    call.wait(2000)
    assert not call.inbound.active
    for number, payload in enumerate(said):
        call.take(rtp(payload, 21 + number, 160 * (2000 + number)))
    call.wait(300)
    assert call.inbound.active and call.sound.count(ulaw_decode(b"".join(said))) == 2


def test_an_utterance_ends_soon_after_its_sender_stopped() -> None:
    """The buffer goes on with the sound for half a second, of which nobody has to hear more than a little."""
    call = Call()
    ends: list[int] = []
    gate = SpeechGate(8000, lambda *said: None, lambda event_id: ends.append(call.now))
    call.hear = lambda pcm, quiet: gate.process(pcm, quiet)  # type: ignore[method-assign]
    call.inbound = Inbound(PCMU, call.hear, call.digits.append, expected=PEER)
    for number, payload in enumerate([b"\xff" * 160] * 20 + speech(40)):
        call.take(rtp(payload, number, 160 * number))
    assert gate.speaking
    stopped = call.now
    call.wait(1000)
    assert len(ends) == 1 and 200 * MS <= ends[0] - stopped <= 400 * MS


def test_alaw_too() -> None:
    call = Call(Speech("pcma", 8, 8000, 8000))
    call.take(rtp(alaw_encode(bytes(320)), 0, 0, payload_type=8))
    assert call.inbound.packets == 1


PACKETS = st.one_of(
    st.binary(max_size=60),
    st.builds(
        rtp,
        st.binary(max_size=200),
        st.integers(0, 65535),
        st.integers(0, 2**32 - 1),
        payload_type=st.sampled_from([0, 13, 101, 8]),
        ssrc=st.sampled_from([1, 2]),
    ),
    st.builds(sender_report, st.just(1), st.integers(0, 2**64 - 1)),
)


@given(st.lists(st.tuples(PACKETS, st.sampled_from([PEER, STRANGER]), st.integers(0, 200)), max_size=40))
@settings(max_examples=60, deadline=None)
def test_whatever_comes_time_goes_on(packets: list[tuple[bytes, Address, int]]) -> None:
    call = Call()
    for packet, source, later in packets:
        call.now += later * MS
        call.inbound.advance(call.now)
        call.inbound.receive(packet, source, call.now, control=len(packet) % 7 == 0)
    assert len(call.sound) == 160 * len(call.quiet)
    assert len(call.quiet) <= (call.now - START) // (10 * MS) + 1
    call.inbound.close()
