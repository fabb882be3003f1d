"""Jitter buffers beside each other: Lipwire's, WebRTC's NetEQ, aiortc's and speexdsp's get the same packets at the same
times, and are asked for 10 ms every 10 ms, on a clock that is an argument.

Speech is sent as L16 in packets of 20 ms, at 16 and 8 kHz, over the networks of jitter_traces.py. Of what comes out:
PESQ, log-spectral distance, what is not as it was sent, and the delay of each sample (jitter_quality.py). Then what
putting and getting take, what 1000 buffers take of a core, and Opus with in-band FEC, which only Lipwire's plays here.
The peers in peers/ need a compiler and Debian's libtgowt-dev, libspeexdsp-dev; one that is missing is left out and said
so.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import jitter_peers
from harness import Results, main, one_core, speeches
from jitter_peers import PHASE_NS, PULL_NS, Call, Native, call
from jitter_quality import aligned_mos, measure
from jitter_traces import TRACES, rfc3550_jitter
from lipwire import resample

RATES = (16000, 8000)
QUICK = ("constant", "jitter 20 ms", "loss 5 %", "Wi-Fi, campus")
EVEN_MOS, BETTER_MOS, EVEN_MS = 0.02, 0.05, 0.1
"""PESQ tells no less apart than the first; and a delay is no larger that is larger by less than the last."""

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Score:
    """One call, or the mean of several."""

    mos: float
    lsd: float
    delay: float
    delay95: float
    altered: float
    concealed: float
    lost: float
    jitter: float


@dataclass(frozen=True)
class Task:
    trace: int
    rate: int
    voice: str
    seed: int


# ------------------------------------------------------------------------------------------------------------- quality


def quality(results: Results, native: Native, quick: bool) -> None:
    """Every trace, at both rates, with every voice there is, each over another network of the same kind."""
    voices = speeches()
    tasks = [
        Task(at, rate, voice, seed)
        for at, trace in enumerate(TRACES)
        if not quick or trace.name in QUICK
        for rate in RATES
        for seed, voice in enumerate(voices)
        if not quick or not seed
    ]
    given = {(voice, rate): speech(*voices[voice], rate) for voice in voices for rate in RATES}
    scores: dict[tuple[int, int], dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
    with multiprocessing.Pool(len(os.sched_getaffinity(0)), _begin, (native, given)) as pool:
        for task, one in pool.imap_unordered(_score, tasks):
            for buffer, score in one.items():
                scores[task.trace, task.rate][buffer].append(score)
    means = {key: {buffer: _mean(calls) for buffer, calls in one.items()} for key, one in sorted(scores.items())}
    count = 1 if quick else len(voices)
    for (at, rate), one in means.items():
        for buffer, score in one.items():
            name = f"{TRACES[at].name}, {rate // 1000} kHz, {buffer}"
            results.add(name, score.mos, "MOS (PESQ)", n=count, **_others(score), source=TRACES[at].source or "made up")
    _table(means)
    if all("NetEQ" in one for one in means.values()):
        _verdict(results, means)


def speech(pcm: bytes, rate: int, to: int) -> Samples:
    return np.frombuffer(resample(pcm, rate, to), np.int16)


_native: Native
_given: dict[tuple[str, int], Samples]


def _begin(native: Native, given: dict[tuple[str, int], Samples]) -> None:
    global _native, _given
    _native, _given = native, given


def _score(task: Task) -> tuple[Task, dict[str, Score]]:
    trace = TRACES[task.trace]
    one = call(trace, _given[task.voice, task.rate], task.rate, task.seed)
    jitter = rfc3550_jitter(one.arrivals, one.packets)
    scores = {}
    for buffer, play in _buffers(_native, one):
        played = play()
        found = measure(one.said, played.heard, task.rate, PHASE_NS, trace.skew)
        scores[buffer] = Score(**asdict(found), concealed=played.concealed, lost=one.lost, jitter=jitter)
    return task, scores


def _buffers(native: Native, one: Call) -> Iterator[tuple[str, Any]]:
    yield "Lipwire", lambda: jitter_peers.play("lipwire", one)
    if "neteq" not in native.missing:
        yield "NetEQ", lambda: native.play("neteq", one)
    yield "aiortc", lambda: jitter_peers.play("aiortc", one)
    if "speexdsp" not in native.missing:
        yield "speexdsp", lambda: native.play("speexdsp", one)


def _mean(calls: list[Score]) -> Score:
    return Score(*(float(np.mean([getattr(one, field.name) for one in calls])) for field in fields(Score)))


def _others(score: Score) -> dict[str, float]:
    return {key: round(value, 2) for key, value in asdict(score).items() if key != "mos"}


def _table(means: dict[tuple[int, int], dict[str, Score]]) -> None:
    """For people: run.py's shows one figure a line."""
    print(f"\n{'':26}{'':10}  PESQ  LSD dB  delay ms  95 %  altered %  concealed %", file=sys.stderr)
    for (at, rate), one in means.items():
        for buffer, s in one.items():
            first = f"{TRACES[at].name}, {rate // 1000} kHz" if buffer == next(iter(one)) else ""
            print(
                f"{first:26}{buffer:10}{s.mos:6.2f}{s.lsd:8.2f}{s.delay:10.1f}{s.delay95:6.0f}{s.altered:11.1f}{s.concealed:13.1f}",
                file=sys.stderr,
            )
    print(file=sys.stderr)


def _verdict(results: Results, means: dict[tuple[int, int], dict[str, Score]]) -> None:
    even, better = 0, 0
    for (at, rate), one in means.items():
        ours, theirs = one["Lipwire"], one["NetEQ"]
        mos, delay = ours.mos - theirs.mos, ours.delay - theirs.delay
        good = mos >= -EVEN_MOS and delay <= EVEN_MS
        even += good
        better += good and mos >= BETTER_MOS
        if not good:
            name = f"{TRACES[at].name}, {rate // 1000} kHz: PESQ above NetEQ's"
            results.add(name, mos, "MOS", n=1, delay_above_neteq=delay, goal=f">= {-EVEN_MOS}")
    for name, reached, wanted in (("no worse", even, len(means)), ("better", better, len(means) / 2)):
        results.add(f"{name} than NetEQ at no more delay", reached, "calls", n=len(means), goal=f">= {wanted:g}")


# --------------------------------------------------------------------------------------------------------------- speed


def speed(results: Results, native: Native, quick: bool) -> None:
    """CPU for putting one packet and getting its 20 ms, L16 at 16 kHz, in turn."""
    one_core()
    said = speech(*next(iter(speeches().values())), 16000)
    traces = {trace.name: trace for trace in TRACES}
    programs = [name for name in ("lipwire", "neteq", "speexdsp") if name not in native.missing]
    for name in ("constant", "jitter 8 ms", "loss 5 %"):
        one = call(traces[name], said, 16000, 0)
        assert np.array_equal(native.play("lipwire", one).heard, jitter_peers.play("lipwire", one).heard), (
            "`make ctest` built another core than the one that Python has"
        )
        rounds = 3 if quick else 15
        best = dict.fromkeys([*programs, "aiortc"], 1e18)
        for _ in range(rounds):
            for program in programs:
                best[program] = min(best[program], native.play(program, one, rounds=3).ns)
            best["aiortc"] = min(best["aiortc"], _aiortc(one))
        for buffer, ns in best.items():
            results.add(f"{name}: put and get, {buffer}", ns, "ns/packet", n=rounds * len(one.packets))
        for buffer, goal in (("neteq", ">= 4"), ("aiortc", ">= 1"), ("speexdsp", None)):
            if buffer in best:
                times = best[buffer] / best["lipwire"]
                results.add(f"{name}: against {buffer}", times, "x as fast", n=rounds * len(one.packets), goal=goal)
    _from_python(results, call(traces["jitter 8 ms"], said, 16000, 0), 3 if quick else 15)
    one = call(traces["jitter 8 ms"], said[: 16000 * 4], 16000, 0)
    for program in programs:
        ns = native.play(program, one, rounds=1 if quick else 3, buffers=1000).ns
        results.add(f"1000 buffers at 50 packets/s, {program}", ns * 50 * 1000 / 1e9 * 100, "% of a core", n=1000)


def _aiortc(one: Call) -> float:
    """Its `add`, which gives the frames back: ns a packet."""
    kind = jitter_peers.Aiortc
    packets = [kind.packet(number % 65536, number * 320, bytes(640)) for number in one.packets.tolist()]
    add = kind(16000)._buffer.add
    began = time.perf_counter_ns()
    for packet in packets:
        add(packet)
    return (time.perf_counter_ns() - began) / len(packets)


def _from_python(results: Results, one: Call, rounds: int) -> None:
    best = min(jitter_peers.play("lipwire", one).ns for _ in range(rounds))
    results.add("jitter 8 ms: put and get, lipwire, from Python", best, "ns/packet", n=rounds * len(one.packets))


# ---------------------------------------------------------------------------------------------------------------- Opus


def opus(results: Results, quick: bool) -> None:
    """In-band FEC, and without it, at the same bit rate: what of a lost packet the next one brings."""
    from lipwire import JitterBuffer
    from lipwire.audio.opus import OpusEncoder

    rate, span = 16000, 320
    voices = speeches()
    for name in ("loss 5 %", "loss 10 %", "loss 20 %", "Gilbert-Elliott"):
        trace = next(trace for trace in TRACES if trace.name == name)
        scores: dict[bool, list[float]] = {True: [], False: []}
        delays: dict[bool, list[float]] = {True: [], False: []}
        for voice in list(voices)[: 1 if quick else None]:
            one = call(trace, speech(*voices[voice], rate), rate, 0)
            frames = one.said.reshape(-1, span)
            for fec in (True, False):
                encoder = OpusEncoder(rate, bitrate=24000, application="voip", fec=fec, packet_loss=20 if fec else 0)
                payloads = [packet for frame in frames for packet in encoder.encode(frame.tobytes())]
                buffer = JitterBuffer("opus", sample_rate=rate)
                heard, at = [], 0
                for now in range(PHASE_NS, PHASE_NS + one.pulls * PULL_NS, PULL_NS):
                    while at < len(one.arrivals) and one.arrivals[at] <= now:
                        number = int(one.packets[at])
                        buffer.put_payload(number % 65536, number * 960, payloads[number], int(one.arrivals[at]))
                        at += 1
                    heard.append(np.array(buffer.get(now), np.int16))
                stats = buffer.stats()
                delays[fec].append(1000 * stats["jitterBufferDelay"] / max(1, stats["jitterBufferEmittedCount"]))
                scores[fec].append(aligned_mos(one.said, np.concatenate(heard), rate))
        for fec in (True, False):
            results.add(
                f"Opus 24 kbit/s {'with' if fec else 'without'} FEC, {name}",
                float(np.mean(scores[fec])),
                "MOS (PESQ)",
                n=len(scores[fec]),
                buffer_delay=float(np.mean(delays[fec])),
            )


def run(results: Results, quick: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="lipwire-bench-") as folder:
        native = Native(Path(folder))
        for name, why in native.missing.items():
            results.skip(name, why)
        quality(results, native, quick)
        if "lipwire" not in native.missing:
            speed(results, native, quick)
    opus(results, quick)


if __name__ == "__main__":
    main(run, __doc__)
