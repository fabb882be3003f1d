"""The sound of a room: one clock, everyone but oneself, nothing that piles up."""

from __future__ import annotations

import numpy as np

from lipwire._core import BLOCK
from lipwire.channel.room.mix import MIX_BLOCKS, MIX_START, Mix


def block(value: int) -> bytes:
    return np.full(BLOCK, value, "<i2").tobytes()


def value(pcm: bytes) -> int:
    (only,) = set(np.frombuffer(pcm, "<i2").tolist())
    return int(only)


def test_everyone_hears_everyone_but_themselves() -> None:
    mix = Mix()
    assert mix.leads("agent", first=False)
    for _ in range(MIX_START):
        mix.put("anna", block(100))
        mix.put("ben", block(7))
    at, heard = mix.block(block(1000), "agent", ["anna", "ben", "eve"])
    assert at == 0 and mix.clock == BLOCK
    assert {user: value(pcm) for user, pcm in heard.items()} == {"anna": 1007, "ben": 1100, "eve": 1107}


def test_loud_voices_are_clipped_not_wrapped() -> None:
    mix = Mix()
    mix.leads("agent", first=True)
    for _ in range(MIX_START):
        mix.put("anna", block(30_000))
    _, heard = mix.block(block(30_000), "agent", ["anna", "eve"])
    assert (value(heard["anna"]), value(heard["eve"])) == (30_000, 32_767)


def test_who_leads_keeps_the_clock_until_it_stops() -> None:
    mix = Mix()
    assert mix.leads("one", first=False) and not mix.leads("two", first=False)
    for _ in range(MIX_BLOCKS):  # the first has stopped: the other's blocks pile up
        assert not mix.leads("two", first=False)
        mix.put("two", block(5))
    assert mix.leads("two", first=False)
    assert not mix.waiting  # what piled up is not played late
    assert mix.leads("one", first=True)  # the face's lips must keep time with its sound


def test_what_is_dropped_is_not_heard() -> None:
    mix = Mix()
    for _ in range(MIX_START):
        mix.put("anna", block(100))
    mix.drop("anna")
    mix.drop("nobody")
    assert not mix.waiting
    _, heard = mix.block(block(0), None, ["ben"])
    assert value(heard["ben"]) == 0
    mix.lead = "anna"
    mix.remove("anna")
    assert mix.lead is None
