"""A client of the provider in a process of its own, so that its work is not the server's: no benchmark by itself.

Reads one JSON object from stdin (`Order`), speaks through ProviderClient, prints one JSON line per utterance: its
event id, the time just before its first byte was sent (CLOCK_MONOTONIC, which all processes share), and its clip.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

import msgspec
from msgspec import Struct

from harness import TEXT, espeak, onset
from lipwire.provider.client import ProviderClient, request

RATE = 24000
CHUNK_MS = 20
OPENINGS = (
    "Are you there?",
    "Hello, this is Aria.",
    "Everything is fine.",
    "People buy plums.",
    "My name is Aria.",
    "So what do we do?",
    "Good morning to you.",
    "The weather is nice.",
    "Five thousand voices.",
    "Look at this one.",
)
"""One of each kind of first sound: vowels, plosives, fricatives, and lips that close (p, m)."""


class Order(Struct):
    """What to do."""

    url: str
    api_key: str
    scenario: str
    """paced | burst (utterances one by one) or talk (speak without end on several sessions)"""
    count: int = 1
    """utterances, or sessions"""
    seconds: float = 0.0
    seed: int = 1


def clips() -> dict[str, bytes]:
    """Speech whose first sample is sound, by name."""
    return {text: onset(espeak(RATE, text), RATE) for text in OPENINGS}


async def utterances(order: Order) -> None:
    """Single utterances at random moments, each broken off once its mouth must have opened."""
    chance = random.Random(order.seed)
    paced = order.scenario == "paced"
    length = RATE * 2 * (32 if paced else 150) // 100
    speech = [(name, pcm[:length]) for name, pcm in clips().items()]
    async with ProviderClient(order.url, order.api_key, request("bench")) as client:
        await asyncio.sleep(1.0)
        for i in range(order.count):
            name, pcm = speech[i % len(speech)]
            await asyncio.sleep(0.2 + chance.random() * 0.12)  # three frames: any phase against the frame clock
            before = client.finished_count
            sent = time.monotonic_ns()
            event_id = await client.speak(pcm, RATE, chunk_ms=CHUNK_MS, pace=1.0 if paced else None)
            await asyncio.sleep(0.05 if paced else 0.3)
            await client.interrupt()
            async with asyncio.timeout(5):
                await client.wait_finished(before + 1)
            print(json.dumps({"event_id": event_id, "sent_ns": sent, "clip": name}), flush=True)


async def talk(order: Order) -> None:
    """Several sessions that speak all the time, paced as a microphone would be."""
    pcm = espeak(RATE, TEXT)
    until = time.monotonic() + order.seconds

    async def one(number: int) -> None:
        async with ProviderClient(order.url, order.api_key, request(f"bench-{number}", uid=str(number + 1))) as client:
            print(json.dumps({"session_id": client.session.session_id}), flush=True)
            await asyncio.sleep(number * 0.013)
            while (left := until - time.monotonic()) > 0.1:
                before = client.finished_count
                await client.speak(pcm[: int(left * RATE) * 2], RATE, chunk_ms=CHUNK_MS)
                await client.wait_finished(before + 1)

    await asyncio.gather(*(one(number) for number in range(order.count)))


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.readline(), type=Order)
    asyncio.run(talk(given) if given.scenario == "talk" else utterances(given))
