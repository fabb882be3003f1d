"""When each packet of a call arrives: made from a seed, the same on every machine.

A trace is an array with the network's delay of each 20 ms packet in ms, NaN for one that is lost. Where a source is
named, the figures of that publication are what the trace is made after; how they follow on one another is ours, as
summaries do not say it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PACKET_MS = 20
Delays = NDArray[np.float64]
Random = np.random.Generator
Make = Callable[[Random, int], Delays]


@dataclass(frozen=True)
class Trace:
    """`make(random, packets)` gives the delays; `skew` is how much faster than ours the sender's clock runs."""

    name: str
    make: Make
    skew: float = 0.0
    repeats: int = 1
    """How often the speech is said: what drifts needs minutes."""
    source: str = ""

    def arrivals(self, packets: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """When what arrives does, in ns since the first sample was captured, in that order; and which packet it is."""
        delays = self.make(np.random.default_rng([zlib.crc32(self.name.encode()), seed]), packets)
        sent = (np.arange(packets) + 1) * PACKET_MS / (1.0 + self.skew)
        order = np.argsort(sent + delays, kind="stable")[: int(np.isfinite(delays).sum())]
        return ((sent + delays)[order] * 1e6).astype(np.int64), order


# ------------------------------------------------------------------------------------------------------------- pieces


def in_order(delays: Delays) -> Delays:
    """Nobody overtakes: a packet waits for the one before it, as in a queue."""
    sent = np.arange(len(delays)) * PACKET_MS
    return np.maximum.accumulate(sent + delays) - sent


def lose(delays: Delays, lost: NDArray[np.bool_]) -> Delays:
    """The first is there: a call begins with a packet that arrives."""
    lost[0] = False
    return np.where(lost, np.nan, delays)


def quantiles(points: dict[float, float], memory: float) -> Make:
    """Delays with these quantiles (ms; between them even in the logarithm), each like the one before it by `memory`
    (the correlation of the normal variates that they are drawn by), and in order."""

    def make(random: Random, packets: int) -> Delays:
        fresh = random.standard_normal(packets)
        state = np.empty(packets)
        state[0] = fresh[0]
        for i in range(1, packets):
            state[i] = memory * state[i - 1] + math.sqrt(1 - memory**2) * fresh[i]
        share = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in state])
        return in_order(np.exp(np.interp(share, list(points), np.log(list(points.values())))))

    return make


# ------------------------------------------------------------------------------------------------------------- simple


def constant(random: Random, packets: int) -> Delays:
    return np.zeros(packets)


def jitter(mean: float) -> Make:
    """Exponential and independent: with more than a packet's 20 ms some overtake others."""
    return lambda random, packets: random.exponential(mean, packets)


def bursts(random: Random, packets: int) -> Delays:
    """The network holds everything for 40 to 200 ms, about every two seconds, and lets go of it at once."""
    delays = random.exponential(1.0, packets)
    at = 0
    while (at := at + int(random.exponential(2000 / PACKET_MS)) + 10) < packets:
        held = random.uniform(40, 200)
        for i in range(at, min(packets, at + int(held / PACKET_MS) + 1)):
            delays[i] = max(delays[i], held - (i - at) * PACKET_MS)
    return in_order(delays)


def spikes(random: Random, packets: int) -> Delays:
    """Every five seconds or so the delay jumps by 100 to 300 ms and comes down over twice that time."""
    delays = random.exponential(2.0, packets)
    at = 50
    while at < packets:
        height = random.uniform(100, 300)
        for i in range(at, min(packets, at + int(3 * height / PACKET_MS))):
            delays[i] += max(0.0, height - (i - at) * PACKET_MS / 2)
        at += int(random.uniform(4000, 7000)) // PACKET_MS
    return in_order(delays)


def loss(share: float) -> Make:
    def make(random: Random, packets: int) -> Delays:
        return lose(random.exponential(1.0, packets), random.random(packets) < share)

    return make


def gilbert_elliott(random: Random, packets: int) -> Delays:
    """Two states: 1 % are lost in the good one, 60 % in the bad one; on average 60 packets stay in the one and 6 in the
    other, so that about 6 % are lost, in bursts."""
    lost = np.zeros(packets, bool)
    bad = False
    for i in range(packets):
        bad = random.random() < (1 - 1 / 6 if bad else 1 / 60)
        lost[i] = random.random() < (0.6 if bad else 0.01)
    return lose(random.exponential(1.0, packets), lost)


def reordered(random: Random, packets: int) -> Delays:
    """One packet in 20 takes a way that is 30 to 70 ms longer."""
    late = random.random(packets) < 0.05
    return random.exponential(1.0, packets) + np.where(late, random.uniform(30, 70, packets), 0.0)


# ----------------------------------------------------------------------------------------- after published statistics


def lte(cycle: int) -> Make:
    """A voice call from one LTE phone to another, with semi-persistent scheduling and discontinuous reception (DRX).

    Uplink: the radio sleeps but for every `cycle` ms, and sends then what waits. A transport block is damaged with
    10 % and sent again 8 ms later, 4 times at most in all. Then 0 to 6 ms through the core network (+- 3), and the same
    again downlink, whose cycle begins at another time. What was sent four times in vain is lost.
    """

    def make(random: Random, packets: int) -> Delays:
        sent = (np.arange(packets) + 1.0) * PACKET_MS
        lost = np.zeros(packets, bool)
        arrived = sent.copy()
        phases = random.uniform(0, cycle, 2)
        for way, phase in enumerate(phases):
            if way:
                arrived += random.uniform(0, 6, packets)
            arrived = np.ceil((arrived - phase) / cycle) * cycle + phase
            tries = random.geometric(0.9, packets)
            lost |= tries > 4
            arrived += 8 * (np.minimum(tries, 4) - 1)
        delays = arrived - sent
        return lose(delays - delays.min(), lost)

    return make


def starlink(random: Random, packets: int) -> Delays:
    """Satellites change every 15 s. Within, successive round trips differ by 6.7 ms on average, taken as half of that
    one way; at the change the delay steps by up to 15 ms, for 75 ms before and 140 ms after it another 30 to 50 ms are
    added, and a packet in five is lost."""
    delays = random.exponential(3.35, packets)
    lost = random.random(packets) < 0.002
    begin = random.uniform(2000, 8000)
    level = 10.0
    for i in range(packets):
        now = i * PACKET_MS
        if now >= begin:
            begin += 15000
            level = random.uniform(0, 15)
        delays[i] += level
        since, until = now - (begin - 15000), begin - now
        if (since < 140 and now > 1000) or until < 75:
            delays[i] += random.uniform(30, 50)
            lost[i] |= random.random() < 0.2
    return lose(in_order(delays), lost)


TRACES = (
    Trace("constant", constant),
    Trace("jitter 8 ms", jitter(8)),
    Trace("jitter 20 ms", jitter(20)),
    Trace("jitter 50 ms", jitter(50)),
    Trace("reordered 5 %", reordered),
    Trace("bursts", bursts),
    Trace("delay spikes", spikes),
    Trace("loss 1 %", loss(0.01)),
    Trace("loss 5 %", loss(0.05)),
    Trace("loss 10 %", loss(0.10)),
    Trace("loss 20 %", loss(0.20)),
    Trace("Gilbert-Elliott", gilbert_elliott),
    Trace("sender 200 ppm fast", jitter(2), skew=200e-6, repeats=5),
    Trace("sender 200 ppm slow", jitter(2), skew=-200e-6, repeats=5),
    Trace(
        "Wi-Fi, campus",
        quantiles({0.0: 1.0, 0.5: 3.0, 0.9: 20.0, 0.99: 250.0, 1.0: 400.0}, 0.9),
        source="Sui et al., Characterizing and Improving WiFi Latency in Large-Scale Operational Networks, MobiSys "
        "2016 (47 000 devices): median 3 ms, 90 % within 20 ms, 99 % within 250 ms",
    ),
    Trace(
        "Wi-Fi, crowded",
        quantiles({0.0: 2.0, 0.5: 20.0, 0.9: 100.0, 1.0: 250.0}, 0.8),
        source="Pei et al., WiFi Can Be the Weakest Link of Round Trip Network Latency in the Wild, INFOCOM 2016: half "
        "of the packets above 20 ms, one in ten above 100 ms, 250 ms at most in a bad place",
    ),
    Trace("LTE, DRX 20 ms", lte(20), source="3GPP TS 26.132 annex E.2, TS 26.131: dly_profile_20msDRX_10pct_BLER_e2e"),
    Trace("LTE, DRX 40 ms", lte(40), source="3GPP TS 26.132 annex E.2, TS 26.131: dly_profile_40msDRX_10pct_BLER_e2e"),
    Trace(
        "Starlink",
        starlink,
        source="Huston, A Transport Protocol's View of Starlink, APNIC 2024 (6.7 ms, 30 to 50 ms at a change); arXiv "
        "2601.08439, Statistical Characterization and Prediction of E2E Latency over LEO Satellite Networks (15 s, 75 "
        "and 140 ms)",
    ),
)


def rfc3550_jitter(arrivals: NDArray[np.int64], packets: NDArray[np.int64]) -> float:
    """Interarrival jitter in ms, RFC 3550 section 6.4.1, its mean over the trace."""
    value, total = 0.0, 0.0
    differences = np.abs(np.diff(arrivals / 1e6 - packets * PACKET_MS))
    for difference in differences:
        value += (difference - value) / 16
        total += value
    return float(total / len(differences))
