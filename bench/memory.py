"""Memory: resident bytes of an idle and a talking session, of the avatar they share, and growth with use.

Each part runs in a fresh process with the null publisher; a session's share is the difference between 50 and 10
sessions, so that what all share (Python, the avatar, the engine) drops out.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import subprocess
import sys
import time
from typing import Any

from harness import Results, chunks, espeak, main, rss
from lipwire import Avatar, Session, _core
from lipwire.publish import Null

SIZE = (640, 360)
RATE = 24000
MB, KB = 1 << 20, 1 << 10


def settle() -> int:
    """Resident bytes once garbage is gone."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return rss()


async def talk(sessions: list[Session], seconds: float) -> None:
    """Feeds every session in real time, 40 ms at a time."""
    pcm = list(chunks(espeak(RATE), RATE, 40))
    began = time.monotonic()
    for i in range(int(seconds / 0.04)):
        for number, session in enumerate(sessions):
            session.write(pcm[(i + number * 7) % len(pcm)], RATE)
        await asyncio.sleep(max(0.0, began + i * 0.04 - time.monotonic()))


async def sessions(mode: str, quick: bool) -> dict[str, Any]:
    """Resident bytes at 0, 10 and 50 sessions."""
    espeak(RATE)
    Avatar.load("aria").at(*SIZE)
    async with Session(Null()) as first:  # what the first one loads or starts is nobody's share
        await talk([first], 0.5)
    at, running = {0: settle()}, []
    seconds = 1.0 if quick else 5.0
    for count in (10, 50):
        while len(running) < count:
            running.append(await Session(Null(), seed=len(running)).start())
        if mode == "burst":
            for session in running:  # one by one: a loop that stalls would fill frame slots as well
                for chunk in chunks(espeak(RATE)[: RATE * 2 * 10], RATE, 1000):
                    session.write(chunk, RATE)
                    await asyncio.sleep(0.001)
        if mode == "talking":
            await talk(running, seconds)
        else:
            await asyncio.sleep(seconds)
        at[count] = settle()
        if mode == "burst":
            for session in running:
                session.interrupt()
            await asyncio.sleep(0.1)
    frames = [session.performer.stats()["frames"] for session in running]
    assert min(frames) > seconds * 20, "a session stood still"
    native = running[0].performer.stats()["bytes"]
    await asyncio.gather(*(session.close() for session in running))
    return {"rss": at, "native": native, "after_close": settle()}


async def interrupts(mode: str, quick: bool) -> dict[str, Any]:
    """Resident bytes before and after many interrupts of one session."""
    # What has been played is given back in pieces of 256 KiB: 28 interrupts.
    count, warm = (200, 100) if quick else (1000, 100)
    pcm = espeak(RATE)[: RATE * 2 // 10]
    async with Session(Null()) as session:
        # Whatever has a bound is filled once, so that what grows is a leak.
        await asyncio.sleep(0.1)
        time.sleep(0.5)  # a stalled loop: frame slots and PCM blocks
        for _ in range(115):
            session.write(espeak(RATE)[: RATE * 2], RATE)
            await asyncio.sleep(0.001)
        session.interrupt()
        await asyncio.sleep(0.1)
        for i in range(warm + count):
            if i == warm:
                before = settle()
            session.write(pcm, RATE)
            await asyncio.sleep(0.012)
            session.interrupt()
        await session.finished()
        assert session.performer.stats()["generation"] == warm + count + 1
        return {"count": count, "growth": settle() - before}


async def minutes(mode: str, quick: bool) -> dict[str, Any]:
    """Resident bytes of one chain with the settings of a session, before and after minutes of one utterance that is
    sent as it is spoken. Its ticks are made here, as fast as they can be."""
    seconds, warm = (60, 5) if quick else (300, 5)
    pcm = list(chunks(espeak(RATE), RATE, 20))
    performer = _core.Performer(Avatar.load("aria").at(*SIZE), (25, 1))
    at = {}
    for i in range((seconds + warm) * 50):
        performer.write(pcm[i % len(pcm)], RATE)
        for _ in range(2 if i >= 10 else 0):  # 200 ms wait
            performer.tick()
            assert performer.read_pcm()
            while performer.read_frame() is not None:
                pass
            while performer.read_event() is not None:
                pass
        if i % 500 == 250:
            at[i // 50 - warm] = settle()
    at[seconds] = settle()
    assert performer.stats()["active"] and performer.stats()["underruns"] == 0
    return {
        "seconds": seconds,
        "growth": at[seconds] - at[0],
        "last": at[seconds] - at[seconds - 60],
        "at": {k: v - at[0] for k, v in at.items()},
    }


async def churn(mode: str, quick: bool) -> dict[str, Any]:
    """Resident bytes after sessions were opened, spoke, were interrupted and were closed, one after the other; as they
    are, without a look for garbage and without a trim."""
    count, warm = (60, 20) if quick else (200, 20)
    pcm = espeak(RATE)[: RATE * 2]
    at = {}
    for i in range(1, count + 1):
        async with Session(Null(), size=SIZE) as session:
            session.write(pcm, RATE)
            while session.performer.stats()["frames"] < 2:
                await asyncio.sleep(0.002)
            session.interrupt()
        if i in (warm, count):
            at[i] = rss()
    return {"count": count - warm, "growth": at[count] - at[warm]}


async def avatars(mode: str, quick: bool) -> dict[str, Any]:
    """Native bytes of the avatar by size."""
    sizes = ((640, 360), (1280, 720)) if quick else ((640, 360), (1280, 720), (1920, 1080))
    return {f"{w}x{h}": Avatar.load("aria").at(w, h).nbytes for w, h in sizes}


PARTS = {
    "idle": sessions,
    "talking": sessions,
    "burst": sessions,
    "interrupts": interrupts,
    "minutes": minutes,
    "churn": churn,
    "avatars": avatars,
}


def part(name: str, quick: bool) -> dict[str, Any]:
    """Runs one part in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--part", name, *(["--quick"] if quick else [])],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def run(results: Results, quick: bool) -> None:
    names = {"idle": "idle session", "talking": "talking session", "burst": "talking session, 10 s waiting"}
    for mode, name in names.items():
        found = part(mode, quick)
        at = {int(count): value for count, value in found["rss"].items()}
        results.add(
            f"{name}, {SIZE[0]}x{SIZE[1]}",
            (at[50] - at[10]) / 40 / KB,
            "KiB RSS",
            n=40,
            from_0_to_10=(at[10] - at[0]) / 10 / KB,
            process_mib={k: v / MB for k, v in at.items()},
            native_bytes=found["native"],
            process_after_close_mib=found["after_close"] / MB,
        )
    for size, value in part("avatars", quick).items():
        results.add(f"shared avatar {size}", value / MB, "MiB native", n=1)
    found = part("interrupts", quick)
    results.add(f"growth after {found['count']} interrupts", found["growth"] / KB, "KiB RSS", n=found["count"])
    found = part("minutes", quick)
    results.add(
        f"growth after {found['seconds'] / 60:g} min of one utterance",
        found["growth"] / KB,
        "KiB RSS",
        n=1,
        in_its_last_minute=found["last"] / KB,
        after_seconds_kib={k: v / KB for k, v in found["at"].items()},
    )
    found = part("churn", quick)
    results.add(
        f"growth after {found['count']} sessions that came and went", found["growth"] / KB, "KiB RSS", n=found["count"]
    )


if __name__ == "__main__":
    if "--part" in sys.argv:
        chosen = sys.argv[sys.argv.index("--part") + 1]
        print(json.dumps(asyncio.run(PARTS[chosen](chosen, "--quick" in sys.argv))))
    else:
        main(run, __doc__)
