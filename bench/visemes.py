"""The viseme extractor, features and all, called from Python on one core: one session and batches of 8 and 32, with
20 ms and with 1 s a call, at every kernel level that the processor has (each in a process of its own, as a process
chooses its level once). The speech is real where it is at hand, else espeak-ng's. The batch's rows are compared with
the single extractor's first, and every level's with each other."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np

from harness import Results, in_turn, main, one_core, percentile, speeches
from lipwire import VisemeExtractor, VisemeExtractorBatch, _core, resample

RATE = 16000
SECONDS = 4
BATCHES = (8, 32)
GOALS = {"one session": "<= 4", "8 sessions": "<= 2", "32 sessions": "<= 2"}  # of the best level


def samples() -> np.ndarray[Any, np.dtype[np.int16]]:
    """Speech without its first second, and enough of it that sessions can be 50 ms apart."""
    pcm = list(speeches().values())[-1]
    heard = np.frombuffer(resample(*pcm, RATE), np.int16)[RATE:]
    return np.resize(heard, (SECONDS + 2) * RATE)


def level(rounds: int) -> dict[str, Any]:
    """Of this process' level: microseconds a row of each case, one value a round, and a digest of the rows."""
    one_core()
    pcm = samples()
    whole = pcm[: SECONDS * RATE].tobytes()
    rows = VisemeExtractor().process_channels(whole)
    assert np.count_nonzero(rows[:, 0] < 0.5) > len(rows) / 3, "hardly any speech: this would time silence"

    work, made = {}, {}
    single = VisemeExtractor()
    for name, chunk in (("20 ms", 640), ("1 s", 2 * RATE)):
        pieces = [whole[at : at + chunk] for at in range(0, len(whole), chunk)]
        work[f"one session, {name}"] = lambda pieces=pieces: [single.process_channels(x) for x in pieces]
        made[f"one session, {name}"] = SECONDS * 100
        for count in BATCHES:
            batch = VisemeExtractorBatch(count)
            voices = [pcm[800 * s : 800 * s + SECONDS * RATE].tobytes() for s in range(count)]
            calls = [[voice[at : at + chunk] for voice in voices] for at in range(0, len(whole), chunk)]
            together = [batch.process_channels_many(call) for call in calls]
            for s, voice in enumerate(voices):
                got = np.concatenate([call[s] for call in together])
                assert np.array_equal(got, VisemeExtractor().process_channels(voice)), f"session {s} of {count}"
            work[f"{count} sessions, {name}"] = lambda batch=batch, calls=calls: [
                batch.process_channels_many(call) for call in calls
            ]
            made[f"{count} sessions, {name}"] = SECONDS * 100 * count
    taken = in_turn(work, rounds)
    return {
        "digest": hashlib.sha256(rows.tobytes()).hexdigest(),
        "us": {name: [value / made[name] for value in values] for name, values in taken.items()},
    }


def run(results: Results, quick: bool) -> None:
    rounds = 8 if quick else 60
    levels = _core.cpu_levels()
    digests = set()
    for name in levels:
        answer = subprocess.run(
            [sys.executable, __file__, "--level", str(rounds)],
            env=os.environ | {"LIPWIRE_CPU": name},
            stdout=subprocess.PIPE,
            check=True,
        )
        found = json.loads(answer.stdout)
        digests.add(found["digest"])
        for case, values in found["us"].items():
            best = min(values)
            figures = {"times_real_time": 10000 / best, "median": percentile(values, 50), "p99": percentile(values, 99)}
            goal = GOALS[case.partition(",")[0]] if name == levels[-1] else None
            results.add(f"{name} {case}", best, "us/row", n=rounds, goal=goal, **figures)
    assert len(digests) == 1, "levels differ"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--level"]:
        print(json.dumps(level(int(sys.argv[2]))))
    else:
        main(run, __doc__)
