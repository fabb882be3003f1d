"""Offline rendering on one core: the whole chain without encoding, its stages alone, and with encoding beside.

Goal: 640x360 at 25 fps without encoding, >= 100 times real time.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np

from harness import Results, chunks, main, one_core, percentile, speeches, times
from lipwire import Avatar, Resampler, VisemeExtractor, _core, resample
from lipwire.session.offline import TAIL, perform, render

FPS = 25
GOAL_SIZE = (640, 360)
SIZES = (GOAL_SIZE, (1280, 720), (1920, 1080))
CHUNK_MS = 20


def run_chain(pcm: bytes, rate: int, avatar: _core.NativeAvatar | None) -> None:
    """All of it, nothing kept."""
    for _ in perform(chunks(pcm, rate, CHUNK_MS), rate, avatar, Fraction(FPS)):
        pass


def check(pcm: bytes, rate: int, avatar: _core.NativeAvatar) -> list[tuple[np.ndarray, np.ndarray]]:
    """Asserts that what will be timed is right: every frame and every block, mouth in motion, twice the same bytes.
    Returns the poses of its frames."""
    digests = []
    for _ in range(2):
        digest = hashlib.sha256()
        poses, opened, changed, loud, clock = [], 0, 0, 0, 0
        for item in perform(chunks(pcm, rate, CHUNK_MS), rate, avatar, Fraction(FPS)):
            if isinstance(item, tuple):
                assert item[1] == clock, f"gap in the sound at {clock}"
                clock += _core.BLOCK
                loud += any(item[0])
                digest.update(item[0])
            else:
                assert item.sample == len(poses) * _core.RATE // FPS, "a frame is missing"
                digest.update(item)
                poses.append((item.axes, item.visemes))
                opened += item.mouth_open
                changed += item.changed
            del item
        digests.append(digest.digest())
    seconds = len(pcm) / 2 / rate
    assert digests[0] == digests[1], "the same speech gave other bytes"
    assert abs(clock / _core.RATE - seconds - TAIL) < 0.1, f"{clock / _core.RATE} s of sound for {seconds} s of speech"
    assert len(poses) == -(-clock * FPS // _core.RATE), "frames do not cover the sound"
    assert loud > 0.5 * seconds * 100, "the sound is silent"
    assert opened > len(poses) / 4 and changed > len(poses) / 4, f"mouth open in {opened} of {len(poses)} frames"
    return poses


def stages(
    pcm: bytes, rate: int, avatar: _core.NativeAvatar, poses: list[tuple[np.ndarray, np.ndarray]], repetitions: int
) -> dict[str, float]:
    """Seconds that each part takes alone, on the same input in the same pieces (the least of the repetitions)."""
    wide = resample(pcm, rate, _core.RATE)
    narrow = resample(wide, _core.RATE, 16000)

    def resample_in() -> None:
        part = Resampler(rate, _core.RATE)
        for chunk in chunks(pcm, rate, CHUNK_MS):
            part.process(chunk)

    def resample_viseme() -> None:
        part = Resampler(_core.RATE, 16000)
        for chunk in chunks(wide, _core.RATE, 10):
            part.process(chunk)

    def viseme() -> None:
        part = VisemeExtractor()
        for chunk in chunks(narrow, 16000, 10):
            part.process_channels(chunk)

    def compose() -> None:
        canvas = _core.Canvas(avatar)
        for axes, visemes in poses:
            canvas.draw(axes, visemes)

    def without_pictures() -> None:
        run_chain(pcm, rate, None)

    parts = (resample_in, resample_viseme, viseme, compose, without_pictures)
    return {part.__name__: min(times(part, repetitions)) for part in parts}


def run(results: Results, quick: bool) -> None:
    core = one_core()
    for name, (speech, rate) in speeches().items():
        for size in SIZES:
            pcm = speech[: rate * 2 * (10 if size == GOAL_SIZE else 3)] if quick else speech
            seconds = len(pcm) / 2 / rate
            repetitions = 3 if quick else 15 if size == GOAL_SIZE else 5
            avatar = Avatar.load("aria").at(*size)
            poses = check(pcm, rate, avatar)
            taken = times(lambda pcm=pcm, rate=rate, avatar=avatar: run_chain(pcm, rate, avatar), repetitions)
            parts = stages(pcm, rate, avatar, poses, repetitions)
            whole = min(taken)
            # What is neither of the parts: timeline, motion, rings, and the Python loop around the chain.
            rest = whole - sum(value for part, value in parts.items() if part != "without_pictures")
            label = f"{name} {size[0]}x{size[1]}"
            results.add(
                f"{label} no encoding",
                seconds / whole,
                "x real time",
                n=repetitions,
                goal=">= 100" if size == GOAL_SIZE else None,
                median=seconds / percentile(taken, 50),
                speech_s=seconds,
                cores=1,
                core=core,
                us_per_speech_second={
                    "whole": whole * 1e6 / seconds,
                    **{part: value * 1e6 / seconds for part, value in parts.items()},
                    "rest": rest * 1e6 / seconds,
                },
            )
            if size == GOAL_SIZE:
                for part, value in (*parts.items(), ("rest", rest)):
                    results.add(
                        f"{label} stage {part}",
                        value * 100 / whole,
                        "% of whole",
                        n=repetitions,
                        cores=1,
                        us_per_speech_second=value * 1e6 / seconds,
                    )
        encode(results, name, speech[: rate * 2 * 10] if quick else speech, rate, quick)


def encode(results: Results, name: str, pcm: bytes, rate: int, quick: bool) -> None:
    """`lipwire.render`: H.264 and AAC through FFmpeg included."""
    with tempfile.TemporaryDirectory(prefix="lipwire-bench-") as folder:
        speech, out = Path(folder, "speech.wav"), Path(folder, "out.mp4")
        with wave.open(str(speech), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(pcm)
        for size in SIZES[:1] if quick else SIZES:
            repetitions = 2 if size == GOAL_SIZE and not quick else 1
            done = [render(speech, out, size=size, fps=FPS) for _ in range(repetitions)]
            assert os.path.getsize(out) > 10_000 and done[0].frames >= len(pcm) / 2 / rate * FPS
            results.add(
                f"{name} {size[0]}x{size[1]} with encoding",
                max(r.speed for r in done),
                "x real time",
                n=repetitions,
                cores=1,
            )


if __name__ == "__main__":
    main(run, __doc__)
