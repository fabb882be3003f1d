"""Time, as far as playback events tell of it. Each rule runs alone; how exact is up to --tolerance."""

from __future__ import annotations

import asyncio
import time

from ..client import Client
from ..rule import Registry
from ..verdict import Failed, Skipped
from .speech import LONG

rules = Registry()
rule = rules.rule

OURS = "protocol B (Lipwire's events)"


@rule(
    "timing.start",
    "Speech starts soon after its first audio",
    "should",
    source=OURS,
    why="Every tenth of a second is one more before the user hears an answer.",
    does="sends a second of speech at once",
    expects="playback_started within a second of the first message (--start-within)",
    fix="Do not wait for the end of an utterance; 60 ms are enough to begin.",
    needs=("playback",),
    alone=True,
)
async def start(client: Client) -> None:
    line = await client.open()
    await line.alive()
    since, sent = line.mark(), time.monotonic()
    await line.speak(1.0)
    at, _ = await line.expect("playback_started", since, within=client.target.start_within + client.target.patience)
    if at - sent > client.target.start_within:
        raise Failed(f"it came after {(at - sent) * 1000:.0f} ms")


@rule(
    "timing.pace",
    "Speech plays in real time, however fast it came",
    "should",
    source=OURS,
    why="A provider that plays as fast as it receives chatters, and tells positions that nobody heard.",
    does="sends two seconds of speech at once, or twice --tolerance if that is more",
    expects="as much time between playback_started and playback_finished, with --tolerance",
    fix="Let one clock, in samples, drive the playback.",
    needs=("playback",),
    alone=True,
)
async def pace(client: Client) -> None:
    line = await client.open()
    since, seconds = line.mark(), max(2.0, 2 * client.target.tolerance)
    await line.speak(seconds)
    started, _ = await line.expect("playback_started", since)
    finished, _ = await line.expect("playback_finished", since, within=seconds + client.target.patience)
    if abs(finished - started - seconds) > client.target.tolerance:
        raise Failed(f"{(finished - started) * 1000:.0f} ms between them for {seconds * 1000:.0f} ms of speech")


@rule(
    "timing.interrupt",
    "An interrupt is told at once",
    "should",
    source=OURS,
    why="The agent must not begin to listen to its own voice.",
    does="sends 15 seconds of speech, interrupts half a second after playback_started",
    expects="playback_finished within --tolerance",
    fix="Do not let an interrupt queue behind the speech that it is to stop.",
    needs=("playback",),
    alone=True,
)
async def interrupt(client: Client) -> None:
    line = await client.open()
    since = line.mark()
    await line.speak(LONG, ms=500)
    await line.expect("playback_started", since)
    await asyncio.sleep(0.5)
    sent = time.monotonic()
    await line.interrupt()
    finished = await line.wait("playback_finished", since)
    if finished is None:
        raise Skipped("no playback_finished came after the interrupt: see speech.interrupt.ends")
    if finished[0] - sent > client.target.tolerance:
        raise Failed(f"it came after {(finished[0] - sent) * 1000:.0f} ms")


@rule(
    "timing.heartbeat",
    "Heartbeats are answered while a burst is read",
    "should",
    source=OURS,
    why="A server that does its work on the loop that reads is deaf while it works.",
    does="sends 10 seconds of speech at once and a heartbeat behind it",
    expects="heartbeat_ack within --tolerance",
    fix="Queue speech, and decode it elsewhere.",
    needs=("events",),
    alone=True,
)
async def heartbeat(client: Client) -> None:
    if "heartbeat_ack" not in client.abilities:
        raise Skipped("this provider acknowledges no heartbeats")
    line = await client.open()
    await line.alive()
    await line.speak(10.0, ms=20)
    since, sent = line.mark(), time.monotonic()
    await line.heartbeat()
    at, _ = await line.expect("heartbeat_ack", since)
    if at - sent > client.target.tolerance:
        raise Failed(f"it came after {(at - sent) * 1000:.0f} ms")
