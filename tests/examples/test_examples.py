"""The examples run, and do what they say."""

from __future__ import annotations

import runpy
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwire.drawing.stage import stage_for
from lipwire.stream import StreamSpec
from support.paths import ROOT

pytestmark = pytest.mark.xdist_group("shared memory")  # they look at, and use, what /dev/shm holds under Python's names

EXAMPLES = ROOT / "examples"
SIZE = (160, 96)


def speech(seconds: float, rate: int = 16000) -> np.ndarray[Any, np.dtype[np.int16]]:
    """A buzz, loud enough to be one."""
    t = np.arange(round(seconds * rate)) / rate
    return (np.sign(np.sin(2 * np.pi * 140 * t)) * 4000).astype(np.int16)


def video(path: Path, seconds: float, talks: bool, phase: float) -> None:
    """A bar of light that sways, and below it one that flickers where somebody talks."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *SIZE, "yuv420p", 4_000_000
        x = np.arange(SIZE[0])
        for i in range(round(seconds * 25)):
            picture = np.full((SIZE[1], SIZE[0]), 60.0)
            centre = SIZE[0] / 2 + 50 * np.sin(2 * np.pi * (i / 70 + phase))
            picture[:60] += 150 * np.exp(-(((x - centre) / 12) ** 2))
            if talks:
                picture[70:, 60:100] += 60 * np.sin(i * 0.9) ** 2
            grey = np.clip(picture, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.stack([grey] * 3, -1)).reformat(format="yuv420p")
            for packet in stream.encode(frame):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)


def steps(pictures: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """How much each differs from the one before, mean of the luma."""
    luma = np.array([p[: SIZE[1]].astype(float) for p in pictures])
    return np.abs(np.diff(luma, axis=0)).mean((1, 2))


def test_clips_switch_without_a_jump(tmp_path: Path) -> None:
    module = runpy.run_path(str(EXAMPLES / "clips.py"))
    video(tmp_path / "idle.mp4", 7, False, 0.0)
    video(tmp_path / "talking.mp4", 6, True, 0.4)
    face = module["Clips"](str(tmp_path / "idle.mp4"), str(tmp_path / "talking.mp4"))
    stage = stage_for(face, StreamSpec(session_id="clips", width=SIZE[0], height=SIZE[1], fps=Fraction(25)))
    stage.prepare()
    performer = stage.performer(frame_slots=8)
    shown: list[np.ndarray[Any, Any]] = []
    stage.open(lambda frame: shown.append(np.array(frame.i420)), None)
    says = {100: 1.7, 500: 8.5, 1500: 0.3}  # at which tick, for how many seconds
    for tick in range(1700):
        if tick in says:
            performer.write(speech(says[tick]), 16000)
            performer.end()
        performer.tick()
        while performer.read_pcm() or performer.read_event():
            pass
        if (frame := performer.read_frame()) is not None:
            stage.frame(frame)
            del frame
    stage.close()
    own = max(steps(clip.frames).max() for clip in face.clips)
    made = steps(shown)
    idle, talking = (clip.frames[:140:10] for clip in face.clips)
    cut = max(steps([a, b])[0] for a in idle for b in talking)
    assert made.max() < 1.6 * own < cut / 2
    mouth = np.array([p[75:90, 65:95].mean() for p in shown])
    assert np.abs(mouth[:25] - 60).max() < 8 and np.abs(mouth[90:120] - 60).max() < 8
    assert mouth[30:65].max() > 90 and mouth[135:330].max() > 90 and mouth[380:385].max() > 70


@pytest.mark.parametrize("name", ["hook", "source"])
def test_an_example_renders_a_video(name: str, tmp_path: Path) -> None:
    if name == "hook":
        pytest.importorskip("numba")
    with wave.open(str(tmp_path / "speech.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(speech(1.0).tobytes())
    out = tmp_path / "out.mp4"
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), str(tmp_path / "speech.wav"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    with av.open(str(out)) as made:
        pictures = [frame.to_ndarray(format="gray") for frame in made.decode(video=0)]
    assert len(pictures) >= 25
    assert np.abs(pictures[12].astype(int) - pictures[0]).mean() > 0.5, "it moves"
