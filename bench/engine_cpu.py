"""CPU of the engine thread per session, encoding apart: 1, 10 and 50 sessions, idle and talking, 640x360 at 25 fps.

The whole process (the engine, and Python handing everything to the null publisher) is printed beside.
"""

from __future__ import annotations

import asyncio
import os
import time

from harness import Results, espeak, main, percentile
from lipwire import Session
from lipwire.publish import Null
from lipwire.session.runtime import Runtime

RATE = 24000
COUNTS = (1, 10, 50)


def run(results: Results, quick: bool) -> None:
    asyncio.run(measure(results, 3 if quick else 10, 0.4 if quick else 1.0))


async def measure(results: Results, windows: int, seconds: float) -> None:
    espeak(RATE)
    for count in COUNTS:
        for mode in ("idle", "talking"):
            await one(results, count, mode, windows, seconds)


async def one(results: Results, count: int, mode: str, windows: int, seconds: float) -> None:
    sessions = [await Session(Null(), seed=i).start() for i in range(count)]
    pcm = espeak(RATE)
    if mode == "talking":  # all of it beforehand, each from another place: feeding is not what is measured
        for i, session in enumerate(sessions):
            at = i * 4801 % (RATE * 2) * 2
            session.write(pcm[at : at + int(windows * seconds + 3) * RATE * 2], RATE)
            await asyncio.sleep(0)
    await asyncio.sleep(0.3)
    stats = Runtime.current().stats
    before = stats()
    frames = sum(s.performer.stats()["frames"] for s in sessions)
    late = sum(s.stats()["late"] for s in sessions)
    engine, process = [], []
    began = time.monotonic()
    for _ in range(windows):
        busy, cpu, wall = stats()["busy_ns"], time.process_time_ns(), time.monotonic_ns()
        await asyncio.sleep(seconds)
        wall = time.monotonic_ns() - wall
        engine.append((stats()["busy_ns"] - busy) / wall * 100 / count)
        process.append((time.process_time_ns() - cpu) / wall * 100 / count)
    elapsed = time.monotonic() - began
    after = stats()
    late = sum(s.stats()["late"] for s in sessions) - late
    frames = sum(s.performer.stats()["frames"] for s in sessions) - frames
    assert all(s.stats()["talking"] == (mode == "talking") for s in sessions)
    assert frames > 0.8 * count * elapsed * 25, f"only {frames} frames in {elapsed:.1f} s"
    await asyncio.gather(*(s.close() for s in sessions))
    common = {"n": windows, "cores": len(os.sched_getaffinity(0)), "sessions": count}
    results.add(
        f"engine, {count} {mode}",
        percentile(engine, 50),
        "% core / session",
        **common,
        least=min(engine),
        most=max(engine),
        worst_pass_us=after["worst_ns"] / 1e3,
        late_ticks=after["late_ticks"] - before["late_ticks"],
        lost_ticks=after["lost_ticks"] - before["lost_ticks"],
        ticks=after["ticks"] - before["ticks"],
        late_frames=late,
    )
    results.add(
        f"process, {count} {mode}",
        percentile(process, 50),
        "% core / session",
        **common,
        least=min(process),
        most=max(process),
    )


if __name__ == "__main__":
    main(run, __doc__)
