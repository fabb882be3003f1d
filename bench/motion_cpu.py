"""CPU of sessions of which nothing but motion leaves: many at once on one core, each with a publisher that encodes
ARKit and head into the binary stream, 25 frames a second, and takes the sound.

All of them talk, or (2000, as in conversations) half of them, and the others listen. The process is kept to one core.
CPU is that of the whole process over the media time that came out: a machine with other work says the same, if noisier.
A pose is late by what passes from the tick that was due to make it to its message, encoded.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Sequence
from typing import Any

from harness import Results, espeak, main, percentile
from lipwire import Cue, Frame, Publisher, Session, StreamSpec, _core
from lipwire.session.runtime import Runtime

RATE = 24000
SETS = ("arkit", "head")
CASES = ((250, 1.0), (1500, 1.0), (2000, 0.5))
"""(sessions, share of them that talk)."""


class Carrier(Publisher):
    """Encodes each pose, and keeps what it costs."""

    wants: Any = "nothing"
    takes_motion: Any = True
    audio_blocks = 4

    def __init__(self) -> None:
        self.bytes = self.messages = self.blocks = self.cues = 0
        self.late: list[int] = []

    async def open(self, spec: StreamSpec) -> None:
        self._encode = _core.MotionEncoder(SETS, spec.fps.as_integer_ratio()).encode

    def audio(self, pcm: bytes, sample: int) -> None:
        self.blocks += len(pcm) // (2 * _core.BLOCK)

    def video(self, frame: Frame) -> None:
        raise AssertionError("nobody looks")

    def motion(self, frame: Frame) -> None:
        self.bytes += len(self._encode(frame))
        self.messages += 1
        if not self.messages % 5:
            self.late.append(time.monotonic_ns() - frame.due_ns)

    def cue(self, cue: Cue) -> None:
        self.cues += 1


def run(results: Results, quick: bool) -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        for count, talking in CASES[:1] if quick else CASES:
            asyncio.run(measure(results, count, talking, 3 if quick else 10))
    finally:
        os.sched_setaffinity(0, cores)


async def measure(results: Results, count: int, talking: float, seconds: int) -> None:
    pcm = espeak(RATE)
    carriers = [Carrier() for _ in range(count)]
    sessions = []
    for i, carrier in enumerate(carriers):
        sessions.append(await Session(carrier, avatar=None, fps=25, seed=i, session_id=f"s{i}").start())
    said = (seconds + 6) * RATE * 2
    for i, session in enumerate(sessions[: round(talking * count)]):  # beforehand: feeding is not what is measured
        at = i * 4801 % (RATE * 2) * 2
        session.write(pcm[at : at + said], RATE)
        if i % 20 == 0:
            await asyncio.sleep(0)
    gc.collect()
    gc.freeze()
    await asyncio.sleep(2.0)
    before = stats(sessions)
    for carrier in carriers:
        carrier.bytes = carrier.messages = carrier.blocks = 0
        carrier.late.clear()
    cpu, wall, loop = time.process_time_ns(), time.monotonic_ns(), time.thread_time_ns()
    await asyncio.sleep(seconds)
    cpu, loop = time.process_time_ns() - cpu, time.thread_time_ns() - loop
    wall = time.monotonic_ns() - wall
    after = stats(sessions)
    late = sorted(ns / 1e6 for carrier in carriers for ns in carrier.late)
    messages, sent = sum(c.messages for c in carriers), sum(c.bytes for c in carriers)
    talk = [c.bytes * 8 * 25 / c.messages / 1000 for c in carriers[: round(talking * count)]]
    await asyncio.gather(*(session.close() for session in sessions))
    name = f"{count} sessions, {round(100 * talking)} % talk"
    changed = {key: after[key] - before[key] for key in after}
    media = messages / 25
    results.add(
        f"CPU, {name}", 2000 * cpu / 1e9 / media * 100, "% core / 2000 sessions", n=messages,
        goal="<= 100" if talking < 1 else None,
        sessions_a_core=1e9 * media / cpu, engine_us_a_second=changed["busy_ns"] / 1e3 / media,
        loop_us_a_second=loop / 1e3 / media, came=media / (count * wall / 1e9),
        **{key: value for key, value in changed.items() if key != "busy_ns"},
    )  # fmt: skip
    results.add(
        f"a pose is late, {name}", percentile(late, 50), "ms", n=len(late),
        p99=percentile(late, 99), most=late[-1],
        later_than_a_frame=sum(ms > 40 for ms in late) / len(late),
    )  # fmt: skip
    results.add(
        f"bit rate, {name}", percentile(talk, 50), "kbit/s", n=len(talk), goal="<= 20",
        p99=percentile(talk, 99), bytes_a_message=sent / messages,
    )  # fmt: skip


def stats(sessions: Sequence[Session]) -> dict[str, int]:
    """Of the engine, and of all sessions together."""
    engine = Runtime.current().stats()
    found = {key: engine[key] for key in ("busy_ns", "late_ticks", "lost_ticks")}
    each = [session.performer.stats() for session in sessions]  # a session's own would take the loop's time
    for key in ("frames_dropped", "frames_skipped", "pcm_dropped"):
        found[key] = sum(counters[key] for counters in each)
    return found


if __name__ == "__main__":
    main(run, __doc__)
