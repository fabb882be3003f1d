"""What jitter buffers have done in all: those that are gone count on, and nothing ever falls."""

from __future__ import annotations

from lipwire import JitterBuffer
from lipwire.rtp.tally import Tally

MS = 1_000_000


def feed(buffer: JitterBuffer, numbers: list[int]) -> None:
    """Packets of 20 ms, each in its time, and what is played meanwhile."""
    step = buffer.clock_rate // 50
    for number in range(max(numbers) + 1):
        if number in numbers:
            buffer.put_payload(number, number * step, bytes([0x90]) * 160, number * 20 * MS)
        for half in (0, 10):
            buffer.get((20 * number + half) * MS)


def test_those_that_are_gone_count_on_and_nothing_falls() -> None:
    tally = Tally()
    narrow, wide = tally.add(JitterBuffer("pcmu")), tally.add(JitterBuffer("g722"))
    feed(narrow, [n for n in range(50) if n not in (20, 30)])
    feed(wide, list(range(50)))
    before = tally.read()
    assert (before.streams, before.packets_received, before.packets_lost, before.packets_discarded) == (2, 98, 2, 0)
    played = [buffer.stats()["jitterBufferEmittedCount"] for buffer in (narrow, wide)]
    assert before.jitter_buffer_emitted_samples == 6 * played[0] + 3 * played[1] > 90 * 960, "at 48 kHz"
    assert before.concealed_samples == 6 * narrow.stats()["concealedSamples"] + 3 * wide.stats()["concealedSamples"] > 0
    mean = before.jitter_buffer_delay_seconds / before.jitter_buffer_emitted_samples
    assert 0 < mean < 0.1 and 0 < before.target_delay_seconds < 0.1
    narrow.put_payload(30, 30 * 160, bytes(160), 1000 * MS)  # after all: too late
    after = tally.read()
    assert (after.packets_lost, after.packets_received, after.packets_discarded) == (2, 99, 1)
    for buffer in (narrow, wide, narrow):
        tally.close(buffer)
    gone = tally.read()
    assert (gone.streams, gone.target_delay_seconds, gone.packets_received) == (0, 0, 99)
    assert gone.jitter_buffer_delay_seconds == after.jitter_buffer_delay_seconds
    again = tally.add(JitterBuffer("pcmu"))
    feed(again, [0, 1, 3])
    assert tally.read().packets_received == 102 and tally.read().packets_lost == 2, "1 of this one; 1 came after all"
