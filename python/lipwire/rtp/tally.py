"""What jitter buffers have done in all, those that are gone among them: figures that only grow."""

from __future__ import annotations

from msgspec import Struct

from .._core import RATE, JitterBuffer

SUMS = {
    "packets_received": "packetsReceived",
    "packets_lost": "packetsLost",
    "packets_discarded": "packetsDiscarded",
}
SAMPLES = {
    "concealed_samples": "concealedSamples",
    "jitter_buffer_emitted_samples": "jitterBufferEmittedCount",
    "jitter_buffer_delay_seconds": "jitterBufferDelay",
}
"""What is summed over samples."""


class Tallied(Struct):
    """What it came to. Samples are of 48 kHz, whatever each stream has."""

    streams: int = 0
    """Buffers that there are now."""
    target_delay_seconds: float = 0.0
    """Of those the most that any aims at now."""
    packets_received: float = 0
    packets_lost: float = 0
    packets_discarded: float = 0
    """Too late, or there was no room."""
    concealed_samples: float = 0
    """Made up, in place of what was lost or late."""
    jitter_buffer_emitted_samples: float = 0
    """That came in packets,"""
    jitter_buffer_delay_seconds: float = 0
    """and the delay of each, from arrival to playing, summed up."""


class Tally:
    """The buffers of one way in. Belongs to the thread that they do."""

    def __init__(self) -> None:
        self._there: set[JitterBuffer] = set()
        self._gone = Tallied()
        self._most_lost = 0.0

    def add(self, buffer: JitterBuffer) -> JitterBuffer:
        """One more; returns it."""
        self._there.add(buffer)
        return buffer

    def close(self, buffer: JitterBuffer) -> None:
        """Closes one; what it did stays. Safe to call twice."""
        if buffer in self._there:
            self._there.discard(buffer)
            _sum_up(self._gone, buffer)
            buffer.close()

    def read(self) -> Tallied:
        """All of it. A packet that counted as lost and came after all stays counted, so that nothing ever falls."""
        told = Tallied(**{name: getattr(self._gone, name) for name in (*SUMS, *SAMPLES)})
        for buffer in self._there:
            told.streams += 1
            told.target_delay_seconds = max(told.target_delay_seconds, _sum_up(told, buffer))
        told.packets_lost = self._most_lost = max(self._most_lost, told.packets_lost)
        return told


def _sum_up(to: Tallied, buffer: JitterBuffer) -> float:
    """Adds what a buffer has done; its target."""
    stats, scale = buffer.stats(), RATE / buffer.sample_rate
    for name, key in SUMS.items():
        setattr(to, name, getattr(to, name) + stats[key])
    for name, key in SAMPLES.items():
        setattr(to, name, getattr(to, name) + stats[key] * scale)
    return float(stats["targetDelay"])
