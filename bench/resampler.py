"""The resampler beside its peers: 20 ms chunks of mono PCM16, called from Python, one core.

In one run, in turn: `python-soxr` (HQ, streaming), PyAV's `AudioResampler` (frames from and to ndarray), Lipwire's
qualities "voice" and "high". For each the quality is measured on the same stream interface and printed beside the
time: pass band ripple, rejection of images and aliases (both of the 16-bit output), and the mean delay of an impulse
fed in 1 ms steps. A peer that is not installed is left out and said so.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import harness
from harness import Results
from lipwire import Resampler, _core

PAIRS = ((24000, 48000), (24000, 16000), (16000, 48000), (44100, 48000), (48000, 16000))
SOXR_GOALS = {(24000, 48000): 3, (24000, 16000): 3, (16000, 48000): 2.3, (44100, 48000): 2, (48000, 16000): 2}
PYAV_GOAL = 7
Pcm = NDArray[np.int16]
Stream = Callable[[Pcm], Pcm]


def ours(quality: Any) -> Callable[[int, int], Stream]:
    def make(from_rate: int, to_rate: int) -> Stream:
        resampler = Resampler(from_rate, to_rate, quality=quality)
        return lambda pcm: np.frombuffer(resampler.process(pcm), np.int16)

    return make


def soxr_hq(from_rate: int, to_rate: int) -> Stream:
    import soxr

    stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype=np.int16, quality="HQ")
    return lambda pcm: stream.resample_chunk(pcm)  # type: ignore[no-any-return]


def pyav(from_rate: int, to_rate: int) -> Stream:
    import av

    resampler = av.AudioResampler("s16", "mono", to_rate)

    def run(pcm: Pcm) -> Pcm:
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), "s16", "mono")
        frame.sample_rate = from_rate
        made = [part.to_ndarray()[0] for part in resampler.resample(frame)]
        return made[0] if len(made) == 1 else np.concatenate([np.empty(0, np.int16), *made])

    return run


# ------------------------------------------------------------------------------------------------------------- quality


def tone_gain(pcm: Pcm, hz: float, rate: int) -> float:
    """Amplitude of `hz` in the middle of `pcm`."""
    part = pcm[len(pcm) // 3 :][: rate // 4].astype(float)
    window = np.sin(np.pi * (np.arange(len(part)) + 0.5) / len(part)) ** 4
    turn = np.exp(-2j * np.pi * hz * np.arange(len(part)) / rate)
    return float(2 * abs((part * window * turn).sum()) / window.sum())


def folded(hz: float, rate: float) -> float:
    hz = abs(hz) % rate
    return min(hz, rate - hz)


def stream_all(stream: Stream, pcm: Pcm, step: int) -> Pcm:
    return np.concatenate([stream(pcm[i : i + step]) for i in range(0, len(pcm), step)])


def quality(make: Callable[[int, int], Stream], from_rate: int, to_rate: int) -> dict[str, float]:
    nyquist, level = min(from_rate, to_rate) / 2, 29000.0
    t = np.arange(from_rate) / from_rate
    ripple, leak = [], 1e-9
    for part in (0.02, 0.3, 0.5, 0.7, 0.85, 0.9):
        hz = round(part * nyquist)
        out = stream_all(make(from_rate, to_rate), np.rint(level * np.sin(2 * np.pi * hz * t)).astype(np.int16), 480)
        ripple.append(20 * np.log10(tone_gain(out, hz, to_rate) / level))
        for image in range(1, 4):
            for sign in (-1, 1):
                at = folded(image * from_rate + sign * hz, to_rate)
                if abs(at - hz) > 200 and at > 200:
                    leak = max(leak, tone_gain(out, at, to_rate) / level)
    for part in (1.1, 1.3, 1.7, 2.3):
        hz = round(part * nyquist)
        if hz < 0.98 * from_rate / 2:
            pcm = np.rint(level * np.sin(2 * np.pi * hz * t) + 700 * np.sin(2 * np.pi * 0.45 * nyquist * t))
            out = stream_all(make(from_rate, to_rate), pcm.astype(np.int16), 480)
            leak = max(leak, tone_gain(out, folded(hz, to_rate), to_rate) / level)
    return {
        "ripple_db": float(np.ptp(ripple)),
        "rejection_db": float(-20 * np.log10(leak)),
        "delay_ms": delay(make, from_rate, to_rate),
    }


def delay(make: Callable[[int, int], Stream], from_rate: int, to_rate: int) -> float:
    """Mean ms from an impulse's own time to the end of the 1 ms chunk whose output has its peak, over 16 places in the
    stream: half a ms of it is the chunk."""
    step, waits = from_rate // 1000, []
    for trial in range(16):
        place = (200 + 7 * trial) * step + 5 * trial % step
        stream, peak, wait = make(from_rate, to_rate), 0, 0.0
        for end in range(step, place + from_rate // 10, step):
            chunk = np.zeros(step, np.int16)
            if end - step <= place < end:
                chunk[place - (end - step)] = 32000
            out = stream(chunk)
            if len(out) and np.abs(out).max() > peak:
                peak, wait = int(np.abs(out).max()), (end - place) / from_rate
        waits.append(1000 * wait)
    return float(np.mean(waits))


# --------------------------------------------------------------------------------------------------------------- speed


def run(results: Results, quick: bool) -> None:
    candidates: dict[str, Callable[[int, int], Stream]] = {"voice": ours("voice"), "high": ours("high"), "PyAV": pyav}
    if importlib.util.find_spec("soxr"):
        candidates["soxr HQ"] = soxr_hq
    else:
        results.skip("soxr HQ", "pip install soxr")
    harness.one_core()
    for from_rate, to_rate in PAIRS:
        rng = np.random.default_rng(1)
        pcm = (rng.standard_normal(from_rate // 50) * 6000).astype(np.int16)
        measured = {name: quality(make, from_rate, to_rate) for name, make in candidates.items()}
        if measured["voice"]["rejection_db"] < 93 or measured["voice"]["ripple_db"] > 0.011:
            raise AssertionError(f"the quality is not what it says: {measured['voice']}")
        calls: dict[str, Callable[[], Any]] = {}
        for name, make in candidates.items():
            if name in ("voice", "high"):
                process = Resampler(from_rate, to_rate, quality=name).process  # type: ignore[arg-type]
                calls[name] = partial(process, pcm.tobytes())
            else:
                calls[name] = partial(make(from_rate, to_rate), pcm)
        timed = harness.in_turn(calls, rounds=20 if quick else 300, inner=20)
        best = {name: min(values) for name, values in timed.items()}
        for name, values in timed.items():
            extra: dict[str, Any] = {"p50": harness.percentile(values, 50), **measured[name]}
            goal = None
            if name == "voice":
                peers = [peer for peer in best if peer not in ("voice", "high")]
                extra["times"] = {peer: best[peer] / best[name] for peer in peers}
                limits = [best["PyAV"] / PYAV_GOAL]
                if "soxr HQ" in best:
                    limits.append(best["soxr HQ"] / SOXR_GOALS[from_rate, to_rate])
                    extra["delay_ratio"] = measured["soxr HQ"]["delay_ms"] / measured["voice"]["delay_ms"]
                goal = f"<= {min(limits):.4g}"
            results.add(
                f"{from_rate} -> {to_rate}, {name}",
                best[name],
                "us per 20 ms",
                n=len(values),
                goal=goal,
                cpu=_core.cpu_level(),
                **extra,
            )


if __name__ == "__main__":
    harness.main(run, __doc__)
