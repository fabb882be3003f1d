"""examples/live.py and examples/publisher.py run in real time, and do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Two seconds of a buzz."""
    t = np.arange(2 * 24000) / 24000
    with wave.open(str(tmp_path / "speech.wav"), "wb") as file:
        file.setparams((1, 2, 24000, 0, "NONE", ""))
        file.writeframes((np.sign(np.sin(2 * np.pi * 140 * t)) * 4000).astype("<i2").tobytes())
    return tmp_path / "speech.wav"


def run(name: str, *arguments: object) -> str:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_live(speech: Path, tmp_path: Path) -> None:
    said = run("live", speech, tmp_path / "out.mp4", 0.5)
    finished = re.search(r"PlaybackFinished\(event_id='greeting', position_ms=([\d.]+), interrupted=True\)", said)
    assert finished and 490 <= float(finished[1]) < 1900, said
    with av.open(str(tmp_path / "out.mp4")) as film:
        sound = np.concatenate([f.to_ndarray().ravel() for f in film.decode(audio=0)])
    heard = np.flatnonzero(np.abs(sound) > 0.02)[-1] / 48 - np.flatnonzero(np.abs(sound) > 0.02)[0] / 48
    assert abs(heard - float(finished[1])) < 60, "the film holds what the event says was heard"


def test_live_to_the_end(speech: Path, tmp_path: Path) -> None:
    assert "position_ms=2000.0, interrupted=False" in run("live", speech, tmp_path / "out.mp4")


def test_publisher(speech: Path, tmp_path: Path) -> None:
    said = run("publisher", speech, tmp_path / "out.wav")
    with wave.open(str(tmp_path / "out.wav"), "rb") as file:
        assert (file.getframerate(), file.getnchannels()) == (48000, 1)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    assert 2.0 <= len(sound) / 48000 < 4
    assert 0.9 < np.sqrt(np.mean(sound**2)) / 4000 * np.sqrt(len(sound) / 96000) < 1.1, (
        "all of the speech, at its level"
    )
    pictures, moved = map(int, re.findall(r"(\d+) pictures, (\d+)", said)[0])
    assert pictures >= 10 and moved > pictures / 2, said
