"""Sound and picture at hand-over, over minutes: five sessions talk through the wire, one of them is watched.

Goals: |skew| <= 1 frame at all times, no gap in the sound. Drift of the media clock against CLOCK_MONOTONIC is printed.
"""

from __future__ import annotations

import asyncio
import os
import time

import numpy as np

from harness import Results, main, percentile
from lipwire import _core
from lipwire.session.runtime import Runtime
from live import Machine, serving

SESSIONS = 5
FPS = 25
SETTLE = 1.0
"""Seconds after the last session has started that do not count: connections are made."""


def run(results: Results, quick: bool) -> None:
    asyncio.run(measure(results, 10.0 if quick else 600.0))


async def measure(results: Results, seconds: float) -> None:
    figures: dict[str, dict[str, int]] = {}
    first: dict[str, dict[str, int]] = {}
    engine: dict[str, int] = {}
    async with serving() as live:
        machine = asyncio.create_task(Machine().watch(seconds))
        asked = asyncio.create_task(live.speak(scenario="talk", count=SESSIONS, seconds=seconds + 4 * SETTLE))
        settled = None
        while not asked.done():
            await asyncio.sleep(0.2)
            if len(live.service.watched) == SESSIONS:  # all there, none gone yet
                figures = {w.session.id: w.session.performer.stats() for w in live.service.watched.values()}
                engine = Runtime.current().stats()
                settled = settled or time.monotonic() + SETTLE
                if not first and time.monotonic() >= settled:
                    first, engine_first, began = figures, engine, time.monotonic_ns()
        said = await asked
        noise = await machine
    watched = said[0]["session_id"]
    tap = live.taps[watched]
    frames = [f for f in tap.frames if f.ns >= began]
    blocks = [b for b in tap.blocks if b[0] >= began]
    late = {i: s["frames_skipped"] + s["frames_dropped"] for i, s in figures.items()}
    late_first = {i: s["frames_skipped"] + s["frames_dropped"] for i, s in first.items()}
    length = (blocks[-1][0] - blocks[0][0]) / 1e9
    assert length >= seconds - 1, f"only {length:.1f} s were seen"
    assert tap.loud > len(tap.blocks) / 2 and sum(f.mouth_open for f in frames) > len(frames) / 4, "it did not talk"

    common = {"cores": len(os.sched_getaffinity(0)), "seconds": length, "sessions": SESSIONS, **noise}
    skew = [(f.sample - f.audio_at) * FPS / _core.RATE for f in frames]
    results.add(
        "max |A/V skew|",
        max(map(abs, skew)),
        "frames",
        n=len(skew),
        goal="<= 1",
        **common,
        p50=percentile(skew, 50),
        p1=percentile(skew, 1),
        ms=max(map(abs, skew)) * 1000 / FPS,
        beyond_half=sum(abs(value) > 0.5 for value in skew),
        worst_at_s=[round((f.ns - began) / 1e9, 1) for f, value in zip(frames, skew, strict=True) if abs(value) > 0.5][
            :9
        ],
    )
    ns, samples = (np.array(column, dtype=np.float64) for column in zip(*blocks, strict=True))
    seconds_at = (ns - ns[0]) / 1e9
    ahead_ms = (samples - samples[0]) / (_core.RATE / 1000) - seconds_at * 1e3
    # Hand-over is late or in time, never early: the most ahead of each second is the clock without that noise.
    second = seconds_at.astype(int)
    whole = [i for i in range(int(seconds_at[-1])) if (second == i).any()]
    best = np.array([ahead_ms[second == i].max() for i in whole])
    slope = float(np.polyfit(np.array(whole), best, 1)[0])
    tenth = max(1, len(best) // 10)
    results.add("media clock against wall clock, slope", slope * 1000, "ppm", n=len(best), **common)
    results.add(
        "media clock against wall clock, at the end",
        float(np.median(best[-tenth:]) - np.median(best[:tenth])),
        "ms",
        n=len(best),
        **common,
    )
    steps = np.diff([f.ns for f in frames]) / 1e6
    results.add(
        "time between frames at hand-over p99",
        percentile(list(steps), 99),
        "ms",
        n=len(steps),
        **common,
        p50=percentile(list(steps), 50),
        p1=percentile(list(steps), 1),
        max=float(steps.max()),
    )
    results.add(
        "gaps in the sound",
        tap.gaps,
        "blocks",
        n=len(tap.blocks),
        goal="<= 0",
        **common,
        all_sessions=sum(t.gaps for t in live.taps.values()),
    )
    stats = figures[watched]
    missing = round((frames[-1].sample - frames[0].sample) * FPS / _core.RATE) + 1 - len(frames)
    results.add(
        "late frames",
        late[watched] - late_first[watched],
        "frames",
        n=len(frames),
        **common,
        missing_at_publisher=missing,
        while_starting=late_first[watched],
        all_sessions=sum(late.values()) - sum(late_first.values()),
        pcm_dropped=stats["pcm_dropped"],
        underruns=stats["underruns"],
        **{f"engine_{key}": engine[key] - engine_first[key] for key in ("late_ticks", "lost_ticks", "ticks")},
    )


if __name__ == "__main__":
    main(run, __doc__)
