"""CPU of the engine thread per session, encoding apart: 1, 10, 50 and 200 sessions, idle and talking, 640x360 at 25
fps; and 200 that talk without a picture.

Beside it the event loop's thread (Python, that hands everything to the null publisher), and the whole process.
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
CASES = ((1, True), (10, True), (50, True), (200, True), (200, False))
"""(sessions, whether they are drawn)."""


def run(results: Results, quick: bool) -> None:
    asyncio.run(measure(results, 3 if quick else 10, 0.4 if quick else 1.0))


async def measure(results: Results, windows: int, seconds: float) -> None:
    espeak(RATE)
    for count, drawn in CASES:
        for mode in ("idle", "talking"):
            await one(results, count, drawn, mode, windows, seconds)


async def one(results: Results, count: int, drawn: bool, mode: str, windows: int, seconds: float) -> None:
    face = {} if drawn else {"avatar": None}
    sessions = [await Session(Null(), seed=i, **face).start() for i in range(count)]
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
    engine, loop, process = [], [], []
    began = time.monotonic()
    for _ in range(windows):
        busy, cpu, wall = stats()["busy_ns"], time.process_time_ns(), time.monotonic_ns()
        thread = time.thread_time_ns()
        await asyncio.sleep(seconds)
        wall = time.monotonic_ns() - wall
        engine.append((stats()["busy_ns"] - busy) / wall * 100 / count)
        loop.append((time.thread_time_ns() - thread) / wall * 100 / count)
        process.append((time.process_time_ns() - cpu) / wall * 100 / count)
    elapsed = time.monotonic() - began
    after = stats()
    late = sum(s.stats()["late"] for s in sessions) - late
    frames = sum(s.performer.stats()["frames"] for s in sessions) - frames
    assert all(s.stats()["talking"] == (mode == "talking") for s in sessions)
    assert not drawn or frames > 0.8 * count * elapsed * 25, f"only {frames} frames in {elapsed:.1f} s"
    await asyncio.gather(*(s.close() for s in sessions))
    common = {"n": windows, "cores": len(os.sched_getaffinity(0)), "sessions": count}
    name = f"{count} {mode}" if drawn else f"{count} {mode}, sound alone"
    results.add(
        f"engine, {name}",
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
    for part, figures in (("loop", loop), ("process", process)):
        results.add(
            f"{part}, {name}",
            percentile(figures, 50),
            "% core / session",
            **common,
            least=min(figures),
            most=max(figures),
        )


if __name__ == "__main__":
    main(run, __doc__)
