"""Rooms: from the microphone to `Heard`, on a good line and two seconds after a bad moment of it; what a room costs
with one user who talks, and what joins and leaves cost.

The user is aiortc in a process of its own, over loopback: 20 ms packets of silence with a burst of a tone each half
second. A burst's time is when its first sample was "recorded": the start of its packet, which leaves 20 ms later.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import resource
import sys
import time
import urllib.request
from fractions import Fraction
from typing import Any
from urllib.parse import urljoin

import numpy as np

from harness import ROOT, Results, main, spread
from memory import settle

sys.path.insert(0, str(ROOT / "tests"))

RATE, PACKET, EVERY = 48_000, 960, 25
LOUD = 1500
SPOILT, MENDED = 150, 300
"""Packets before the bad moment, and before what is measured after it."""


class Joined:
    """aiortc's offer over HTTP, with the members of `Rooms` that `guest.Guest` uses."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._location = ""

    async def answer(self, room: str, user: str, sdp: str, *, role: str) -> tuple[str, str]:
        door = "rtc" if role == "speaker" else "whep"
        answer = await asyncio.to_thread(self._ask, "POST", f"{self.url}/{door}/rooms/{room}?user={user}", sdp)
        return answer, "answer"

    def leave(self, room: str, user: str) -> None:
        self._ask("DELETE", self._location)

    def _ask(self, method: str, url: str, sdp: str | None = None) -> str:
        data = None if sdp is None else sdp.encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/sdp"}, method=method)
        with urllib.request.urlopen(request, timeout=20) as reply:
            self._location = urljoin(url, reply.headers.get("Location", self._location))
            return str(reply.read().decode())


def spoil(transport: Any, how: str) -> None:
    """Loses one packet of what a user sends, or has a second of it come up to 50 ms late."""
    send, chance, count = transport._send_rtp, random.Random(18), 0

    async def spoilt(data: bytes) -> None:
        nonlocal count
        count += 1
        if how == "one lost packet" and count == SPOILT:
            return
        if how == "a second of jitter" and SPOILT <= count < SPOILT + 50:
            loop = asyncio.get_running_loop()
            loop.call_later(0.05 * chance.random(), lambda: asyncio.ensure_future(send(data)))
            return
        await send(data)

    transport._send_rtp = spoilt


def talk(url: str, seconds: float, how: str, pipe: Any) -> None:
    """The user's process: sends the times of its bursts, CLOCK_MONOTONIC seconds."""
    from support.guest import Guest, Tone

    bursts: list[float] = []

    async def main() -> None:
        started = 0.0

        def make(at: int) -> Any:
            nonlocal started
            started = started or asyncio.get_running_loop().time() - PACKET / RATE - at / RATE
            if at // PACKET % EVERY:
                return np.zeros(PACKET)
            bursts.append(started + at / RATE)
            return np.sin(2 * np.pi * 1000 * np.arange(PACKET) / RATE) * 12000

        async with Guest(Joined(url), "anna", microphone=Tone(make)) as guest:  # type: ignore[arg-type]
            spoil(guest.pc.getSenders()[0].transport, how)
            await asyncio.sleep(seconds)

    asyncio.run(main())
    pipe.send(bursts)


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(results: Results, seconds: float, joins: int) -> None:
    from lipwire.channel.base import Heard
    from lipwire.channel.room.room import Rooms
    from lipwire.servers.http import serve_http
    from lipwire.servers.rooms import PageConfig, create_rooms
    from lipwire.stream import StreamSpec
    from support.guest import Guest, Tone, sine

    rooms = Rooms(ice_host="127.0.0.1")
    server = await serve_http(create_rooms(rooms, PageConfig()), "127.0.0.1", 0)
    arrivals: list[float] = []
    steps: list[float] = []
    loud = False

    def hear(event: Any) -> None:
        nonlocal loud
        if isinstance(event, Heard):
            now = time.monotonic()
            steps.append(now)
            pcm = np.frombuffer(event.pcm, np.int16)
            over = bool(np.abs(pcm).max() > LOUD)
            if over and not loud:
                arrivals.append(now)
            loud = over

    channel = rooms.channel("lobby", "ears", hear)
    await channel.open(StreamSpec(session_id="bench", width=64, height=36, fps=Fraction(25)))
    channel.subscribe()
    url = f"http://127.0.0.1:{server.port}"

    async def listen(how: str) -> tuple[Any, float, float]:
        """(ms from microphone to `Heard`, % of a core, blocks a second)."""
        arrivals.clear()
        steps.clear()
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(target=talk, args=(url, seconds, how, theirs))
        process.start()
        while len(steps) < 100:
            await asyncio.sleep(0.05)
        before, at, blocks = cpu(), time.monotonic(), len(steps)
        await asyncio.sleep(seconds - 5)
        load = 100 * (cpu() - before) / (time.monotonic() - at)
        heard = (len(steps) - blocks) / (time.monotonic() - at)
        bursts = await asyncio.to_thread(ours.recv)
        await asyncio.to_thread(process.join)
        bursts = bursts[MENDED // EVERY if how else 0 :]
        delays = np.array([min((a - b for a in arrivals if a > b), default=np.nan) for b in bursts]) * 1000
        return delays[(delays < 490)], load, heard

    delays, load, heard = await listen("")
    for how in ("one lost packet", "a second of jitter"):
        times = spread(list((await listen(how))[0]))
        results.add(f"microphone -> Heard, 2 s after {how}", times["p50"], "ms", n=int(seconds), **times)
    await channel.close()

    async def join(number: int) -> None:
        async with Guest(rooms, f"u{number % 4}", microphone=Tone(sine(440, 8000))):
            await channel.open(StreamSpec(session_id="bench", width=64, height=36, fps=Fraction(25)))
            await channel.close()

    channel = rooms.channel("lobby", "ears")
    channel.subscribe(video=True)
    for number in range(20):  # pools and caches fill
        await join(number)
    first = settle()
    for number in range(joins):
        await join(number)
    grown = (settle() - first) / 1e6
    await rooms.close()
    await server.close()
    times = spread(list(delays))
    results.add("microphone -> Heard", times["p50"], "ms", n=len(delays), **times)
    results.add("Heard", heard, "blocks/s", n=1)
    results.add("a user who talks", load, "% core", n=1)
    results.add("growth over joins and leaves", grown, "MB", n=joins)


def run(results: Results, quick: bool) -> None:
    asyncio.run(measure(results, 10 if quick else 30, 20 if quick else 200))


if __name__ == "__main__":
    main(run, __doc__)
