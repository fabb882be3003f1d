"""The Agora worker on the double of Agora's native library: CPU of 50 connections, and what kill -9 costs.

The vendor's library, which encodes and sends, is not in these figures; its Python layer is. The double neither records
nor hashes while CPU is measured.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np

from harness import ROOT, Results, main, percentile
from lipwire import Frame
from lipwire.channel.agora import channel as agora
from lipwire.channel.agora.channel import Agora, AgoraOptions, Workers
from lipwire.stream import StreamSpec

sys.path.insert(0, str(ROOT / "tests"))
from support.agora_double.harness import APP, Double
from support.agora_double.install import install

SPEC = StreamSpec(session_id="bench", width=640, height=360, fps=Fraction(25))
BLOCK = 480


def run(results: Results, quick: bool) -> None:
    os.environ["LIPWIRE_AGORA_SDK"] = str(install(ROOT / "build" / "agora"))
    os.environ["AGORA_DOUBLE_HASH"] = "0"
    asyncio.run(many(results, 50, 2.0 if quick else 10.0))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AGORA_DOUBLE"] = folder
        asyncio.run(kills(results, 5 if quick else 100, Double(Path(folder))))


def channel(uid: int, workers: Workers) -> Agora:
    return Agora(AgoraOptions(app_id=APP, token="token", channel="bench", uid=str(uid)), workers=workers)


async def feed(channels: list[Agora], seconds: float, pcm: bytes, pictures: bool, clock: int = 0) -> int:
    """At the pace of the media clock; returns the clock."""
    picture = Frame(640, 360)
    began, first = time.monotonic(), clock
    while clock - first < seconds * 48_000:
        at = clock * 2 % len(pcm)
        for one in channels:
            one.audio(pcm[at : at + 2 * BLOCK], clock)
            if pictures and clock // BLOCK % 4 == 0 and one.feed is not None:
                one.feed.picture(picture, clock)
        clock += BLOCK
        await asyncio.sleep(max(0.0, began + (clock - first) / 48_000 - time.monotonic()))
    return clock


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def many(results: Results, count: int, seconds: float) -> None:
    workers = Workers()
    channels = [channel(uid + 1, workers) for uid in range(count)]
    await asyncio.gather(*(c.open(SPEC) for c in channels))
    pcm = np.random.default_rng(1).integers(-9000, 9000, 48_000, dtype=np.int16).tobytes()
    clock = await feed(channels, 1.0, pcm, True)
    worker = channels[0]._worker
    assert worker is not None and worker.pid is not None
    cpu, wall = cpu_seconds(worker.pid), time.monotonic()
    before = [c.stats() for c in channels]
    await feed(channels, seconds, pcm, True, clock)
    cpu, wall = cpu_seconds(worker.pid) - cpu, time.monotonic() - wall
    after = [c.stats() for c in channels]
    shown, late, lost = (
        sum(a[k] - b[k] for a, b in zip(after, before, strict=True)) for k in ("pictures_shown", "late", "lost")
    )
    await asyncio.gather(*(c.close() for c in channels))
    assert shown + late > 0.9 * count * seconds * 25, f"only {shown} pictures"
    common = {"n": 1, "sessions": count, "seconds": seconds}
    results.add("worker, 50 sessions of 640x360", cpu / wall / count * 100, "% core / session", **common)
    results.add("late pictures", late, "of " + str(shown + late), goal="<= 0", **common, blocks_lost=lost)


async def kills(results: Results, count: int, double: Double) -> None:
    agora.STABLE = 0.0  # every kill counts as the first, or the backoff would be what is measured
    workers = Workers()
    one = channel(1, workers)
    await one.open(StreamSpec(session_id="bench", width=64, height=36, fps=Fraction(25)))
    pcm = np.random.default_rng(1).integers(-9000, 9000, 48_000 * 60, dtype=np.int16).tobytes()
    silence = bytes(2 * BLOCK)
    gaps, clock, spoken = [], 0, []

    async def speak(seconds: float) -> int:
        after = await feed([one], seconds, pcm, False, clock)
        spoken.extend(range(clock, after, BLOCK))
        return after

    for n in range(count):
        clock = await speak(0.3 + n % 7 * 0.013)
        worker = one._worker
        assert worker is not None and worker.pid is not None
        began = time.monotonic()
        os.kill(worker.pid, signal.SIGKILL)
        while one.restarts <= n or one.state != "connected":
            clock = await speak(0.01)
        gaps.append(time.monotonic() - began)
        while one.stats()["waiting"] > 5:  # a pause in the speech, in which the session is on time again
            clock = await feed([one], 0.01, silence, False, clock)
    while one.stats()["waiting"]:
        await asyncio.sleep(0.05)
    stats = one.stats()
    await one.close()
    quiet = zlib.adler32(silence)
    sent = [c["hash"] for c in double.calls("audio_pcm_data_sender_send") if c["ret"] == 0 and c["hash"] != quiet]
    once = [h for i, h in enumerate(sent) if i == 0 or h != sent[i - 1]]
    blocks = [zlib.adler32(pcm[at * 2 % len(pcm) : at * 2 % len(pcm) + 2 * BLOCK]) for at in spoken]
    missing = 0 if once == blocks else max(1, len(blocks) - len(once))
    common = {"n": count}
    lasting = percentile(gaps, 50)
    results.add("killed: back in the channel after", lasting, "s", goal="<= 2", **common, p99=percentile(gaps, 99))
    results.add("killed: longest gap", max(gaps), "s", goal="<= 2", **common)
    results.add("killed: sessions lost", int(stats["state"] != "connected"), "", goal="<= 0", **common)
    lost = missing * BLOCK + stats["lost"] * BLOCK
    extra = {"spoken_s": len(blocks) / 100, "sent_twice": len(sent) - len(once)}
    results.add("killed: speech lost", lost, "samples", goal="<= 0", **common, **extra)


if __name__ == "__main__":
    main(run, __doc__)
