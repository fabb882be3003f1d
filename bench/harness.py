"""What every benchmark shares: its command line, the speech it uses, the core it runs on, and how a result looks."""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lipwire import _core, resample
from lipwire.audio import espeak as voice
from lipwire.audio.speech_file import load_speech

ROOT = Path(__file__).resolve().parent.parent
REAL_SPEECH = ROOT.parent / "shared" / "speech" / "speech_16k.wav"
TEXT = (
    "Hello! I am Aria, and I am the face of your voice agent. What you hear and what you see are bound to one sample "
    "clock, so my lips stay with my voice. People buy more peaches and plums in August. Five thousand voices, very few "
    "faces. The quick brown fox jumps over the lazy dog, while seven wizards judge the vexing puzzle of how a mouth "
    "should move. Ask me anything, at any time, and interrupt me whenever you like: I will stop at once."
)


# ------------------------------------------------------------------------------------------------------------- results


@cache
def machine() -> str:
    """CPU, its count, and the system."""
    cpu = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{cpu} x{os.cpu_count()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


@cache
def build() -> str:
    """The commit of the working tree (+ if it was changed) and the digest of the compiled core that is measured."""
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return f"{commit} core {hashlib.sha256(Path(_core.__file__).read_bytes()).hexdigest()[:8]}"


class Results:
    """Prints results of one benchmark, one JSON line each."""

    def __init__(self, bench: str) -> None:
        self.bench = bench

    def add(self, name: str, value: float, unit: str, *, n: int, goal: str | None = None, **extra: Any) -> None:
        """One figure. `goal` is "<= 100" or ">= 100" in the same unit; `n` says how many measurements it comes from."""
        line: dict[str, Any] = {"bench": self.bench, "name": name, "value": tidy(value), "unit": unit}
        if goal is not None:
            relation, _, limit = goal.partition(" ")
            line |= {"goal": goal, "ok": value <= float(limit) if relation == "<=" else value >= float(limit)}
        line |= {"n": n, "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
        line |= {"machine": machine(), "build": build(), "load": round(os.getloadavg()[0], 2)}
        line |= {key: tidy(value) for key, value in extra.items()}
        print(json.dumps(line), flush=True)

    def skip(self, name: str, why: str) -> None:
        """Says that something was left out, such as a peer that is not installed."""
        print(f"{self.bench}: without {name} ({why})", file=sys.stderr)


def tidy(value: Any) -> Any:
    """Numbers with four significant digits, inside whatever holds them."""
    if isinstance(value, dict):
        return {key: tidy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [tidy(item) for item in value]
    if isinstance(value, float | np.floating):
        value = float(f"{value:.4g}")
        return int(value) if value.is_integer() and abs(value) < 1e15 else value
    if isinstance(value, np.integer):
        return int(value)
    return value


def main(run: Callable[[Results, bool], None], doc: str | None) -> None:
    """The command line of one benchmark: `--quick`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that it works; figures are rougher")
    options = parser.parse_args()
    run(Results(Path(sys.argv[0]).stem), options.quick)


# ---------------------------------------------------------------------------------------------------------- statistics


def percentile(values: list[float], p: float) -> float:
    """Nearest rank: a value that was really measured."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * p / 100) - 1)]


def spread(values: list[float]) -> dict[str, float]:
    """p50, p99 and the worst."""
    return {"p50": percentile(values, 50), "p99": percentile(values, 99), "max": max(values)}


def times(work: Callable[[], Any], repetitions: int) -> list[float]:
    """Seconds that each repetition took, after one that does not count."""
    work()
    taken = []
    for _ in range(repetitions):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return taken


def in_turn(work: dict[str, Callable[[], Any]], rounds: int, inner: int = 1) -> dict[str, list[float]]:
    """Times rivals so that a busy machine hits all alike: short batches of `inner` calls, one of each in turn,
    `rounds` times. Microseconds per call, one value a round."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for call in work.values():
        call()
    for _ in range(rounds):
        for name, call in work.items():
            began = time.perf_counter_ns()
            for _ in range(inner):
                call()
            taken[name].append((time.perf_counter_ns() - began) / inner / 1000)
    return taken


def one_core() -> int:
    """Binds this process to one core and returns its number: the last one, interrupts tend to land on the first."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def rss() -> int:
    """Resident bytes of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError("no VmRSS in /proc/self/status")


# -------------------------------------------------------------------------------------------------------------- speech


@cache
def espeak(rate: int, text: str = TEXT) -> bytes:
    """`text` spoken by espeak-ng, PCM16 at `rate`."""
    return resample(*voice.synthesize(text), rate)


def speeches() -> dict[str, tuple[bytes, int]]:
    """The speech at hand, by name: (PCM16, Hz). The real one only where its file is."""
    found = {"espeak": voice.synthesize(TEXT)}
    if REAL_SPEECH.exists():
        samples, rate = load_speech(REAL_SPEECH)
        found["real"] = samples.tobytes(), rate
    return found


def chunks(pcm: bytes, rate: int, ms: int) -> Iterator[bytes]:
    """PCM16 cut into pieces of `ms`."""
    size = rate * ms // 1000 * 2
    for at in range(0, len(pcm), size):
        yield pcm[at : at + size]


def onset(pcm: bytes, rate: int) -> bytes:
    """PCM16 without what is before its first sound: 5 ms at 1 % of the loudest 5 ms' amplitude (-40 dB)."""
    samples = np.frombuffer(pcm, dtype=np.int16)
    hop = rate // 200
    level = np.sqrt((samples[: len(samples) // hop * hop].reshape(-1, hop).astype(np.float64) ** 2).mean(axis=1))
    return samples[int(np.argmax(level > level.max() / 100)) * hop :].tobytes()
