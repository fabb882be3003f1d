"""The kernels' level: what the processor has, what LIPWIRE_CPU forces, and that it changes no bit."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lipwire import _core

DIGEST = """
import hashlib, random
from lipwire import Resampler, _core
pcm = random.Random(7).randbytes(9600)
out = [Resampler(a, b, quality=q).process(pcm) for a in (16000, 22050, 24000, 44100, 48000)
       for b in (8000, 16000, 48000) for q in ("voice", "high")]
print(_core.cpu_level(), hashlib.sha256(b"".join(out)).hexdigest())
"""

GOLDEN = "f76e2a4c8c2b2eec0874d9bdee9f88e949aa3844c9d28750656c03c315e10fdd"


def run(level: str | None, code: str = DIGEST) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "LIPWIRE_CPU"} | ({"LIPWIRE_CPU": level} if level else {})
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)


def test_levels_are_known_and_end_with_the_best() -> None:
    levels = _core.cpu_levels()
    assert levels[0] == "c"
    assert set(levels) <= {"c", "avx2", "avx512", "neon"}
    assert _core.cpu_level() in levels
    assert run(None).stdout.split()[0] == levels[-1]


def test_every_level_gives_the_same_bits() -> None:
    found = {level: run(level).stdout.split() for level in _core.cpu_levels()}
    assert [level for level, _ in found.values()] == list(found)
    assert len({digest for _, digest in found.values()}) == 1


def test_these_bits_are_the_same_on_every_machine() -> None:
    assert run(None).stdout.split()[1] == GOLDEN


@pytest.mark.parametrize("level", ["sse9", "neon" if "neon" not in _core.cpu_levels() else "avx2"])
def test_a_level_that_is_not_there_is_refused(level: str) -> None:
    failed = run(level)
    assert failed.returncode != 0
    assert f"LIPWIRE_CPU={level}: this processor has c" in failed.stderr
