"""The short form of tests/fuzz/webrtc.py: what strangers may send to a viewer's connection disturbs nobody else."""

from __future__ import annotations

import gc
import random
from collections import Counter

import pytest

from fuzz.webrtc import HOSTILE, LOOPBACK, mutate_sdp, rtcp, rtp, run

OFFERS, MESSAGES = 30, 600


@pytest.mark.parametrize("seed", [1, 2])
async def test_offers_and_packets_that_strangers_make_disturb_nobody_else(seed: int) -> None:
    def more(counts: Counter[str]) -> bool:
        if counts["connections"] or not counts:
            return counts.total() < MESSAGES
        return counts["offers"] < OFFERS

    counts = await run(random.Random(seed), more)
    gc.collect()
    assert counts["offers"] == OFFERS and counts["refused"] + counts["answered"] == OFFERS
    assert counts["refused"] > 0 and counts["answered"] > 0
    assert min(counts[kind] for kind in ("rtcp", "rtp", "sctp", "datagram", "data")) > 10


def test_mutations_are_of_the_seed_and_lead_nowhere_else() -> None:
    offer = f"v=0\r\na=candidate:1 1 udp 1 {LOOPBACK} 9 typ host\r\na=candidate:2 1 udp 1 192.0.2.1 9 typ host\r\n" * 3
    made = {mutate_sdp(random.Random(seed), offer) for seed in range(200)}
    assert len(made) > 100 and made == {mutate_sdp(random.Random(seed), offer) for seed in range(200)}
    for sdp in made:
        assert all(LOOPBACK in line for line in sdp.splitlines() if "candidate" in line)
    assert "" in HOSTILE
    dice = random.Random(3)
    assert len({rtcp(dice, [1, 2]) for _ in range(50)} | {rtp(dice, [1, 2]) for _ in range(50)}) == 100
