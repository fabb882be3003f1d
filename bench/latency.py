"""Live, over the wire: from the first byte of an utterance to the first frame with a moved mouth at the publisher.

A client in its own process sends PCM16 at 24 kHz over a loopback WebSocket, in 20 ms chunks: paced (as it is spoken)
or in a burst (as fast as it can), at random phases against the frame clock; the speech starts with its first sample.
A frame counts when its mouth is not at rest; that pixels of the mouth really moved is asserted. Printed beside: the
first frame whose pose is at least half way from rest.
Goals, for the paced sender, counted from the byte's arrival at the server: p50 <= 100 ms, p99 <= 150 ms.
Then the last stretch, to a viewer over WebRTC: of pre-encoded video, and of each encoder (at_viewer.py).
"""

from __future__ import annotations

import asyncio
import os

import at_viewer
from harness import Results, main, percentile, spread
from lipwire import _core
from live import Machine, serving

MS = 1e6
SAMPLES_PER_MS = _core.RATE / 1000


def run(results: Results, quick: bool) -> None:
    for scenario, count in (("paced", 12 if quick else 200), ("burst", 4 if quick else 200)):
        asyncio.run(measure(results, scenario, count))
    at_viewer.run(results, quick)


async def measure(results: Results, scenario: str, count: int) -> None:
    async with serving() as live:
        machine = asyncio.create_task(Machine().watch(count * 0.55))
        said = await live.speak(scenario=scenario, count=count)
        noise = await machine
    (tap,) = live.taps.values()
    assert len(said) == count and tap.gaps == 0

    sent_total, received_total, half_total, sound_before, moved, rested = [], [], [], [], [], []
    stages: dict[str, list[float]] = {name: [] for name in ("network", "parse", "buffer", "mouth", "handover")}
    by_clip: dict[str, list[float]] = {}
    never = unrested = 0
    for line in said:
        arrival = live.arrivals[line["event_id"]]
        before = [f for f in tap.frames if f.ns < arrival.write_ns][-1]
        unrested += before.mouth_open
        shown = next((f for f in tap.frames if f.utterance == arrival.utterance and f.mouth_open), None)
        if shown is None:
            never += 1
            continue
        received = next(ns for ns in arrival.bytes_ns if ns >= line["sent_ns"])
        sent_total.append((shown.ns - line["sent_ns"]) / MS)
        received_total.append((shown.ns - received) / MS)
        half = [f.ns for f in tap.frames if f.utterance == arrival.utterance and f.weight >= 0.5]
        half_total.extend((ns - received) / MS for ns in half[:1])
        moved.append(tap.moved[arrival.utterance][0])
        rested.append(tap.moved[arrival.utterance][1])
        started = next(sample for ns, sample in tap.sounds if ns >= arrival.write_ns)
        sound_before.append((shown.sample - started) / SAMPLES_PER_MS)
        by_clip.setdefault(line["clip"], []).append(received_total[-1])
        own = tap.latencies[arrival.utterance]
        stages["network"].append((received - line["sent_ns"]) / MS)
        stages["parse"].append((arrival.write_ns - received) / MS)
        stages["buffer"].append(own.buffer_ms)
        stages["mouth"].append(own.mouth_ms)
        stages["handover"].append(own.handover_ms)
        whole = sum(values[-1] for values in stages.values())
        assert abs(whole - sent_total[-1]) < 5, f"stages add up to {whole:.1f} ms of {sent_total[-1]:.1f} ms"
    few = max(1, count // 20)  # one, where all are few: on a machine that stands still for a moment
    assert never <= few, f"{never} of {count} utterances never showed an open mouth"
    assert unrested <= few, f"{unrested} of {count} utterances began with an open mouth"
    still = sum(new <= 2 * old for new, old in zip(moved, rested, strict=True))
    assert still <= 2 * few, f"in {still} of {count} utterances nobody could see the mouth move"

    common = {"n": len(received_total), "cores": len(os.sched_getaffinity(0)), **noise}
    paced = scenario == "paced"
    for p, goal in ((50, "<= 100"), (99, "<= 150")):
        results.add(
            f"{scenario} received -> mouth p{p}",
            percentile(received_total, p),
            "ms",
            goal=goal if paced else None,
            **common,
            stages={name: percentile(values, p) for name, values in stages.items()},
        )
    results.add(
        f"{scenario} sent -> mouth p50",
        percentile(sent_total, 50),
        "ms",
        **common,
        p99=percentile(sent_total, 99),
        never=never,
        unrested=unrested,
        clips={name: percentile(v, 50) for name, v in by_clip.items()},
    )
    results.add(
        f"{scenario} received -> mouth half way p50",
        percentile(half_total, 50),
        "ms",
        **common | {"n": len(half_total)},
        p99=percentile(half_total, 99),
        pixels_moved_at_first=percentile(moved, 50),
        pixels_moved_at_first_least=min(moved),
        pixels_moved_at_rest=percentile(rested, 50),
        not_seen_to_move=still,
    )
    for name, values in stages.items():
        results.add(f"{scenario} stage {name} p50", percentile(values, 50), "ms", **common, **spread(values))
    results.add(
        f"{scenario} sound before the mouth p50", percentile(sound_before, 50), "ms", **common, **spread(sound_before)
    )


if __name__ == "__main__":
    main(run, __doc__)
