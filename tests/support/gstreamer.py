"""GStreamer as Debian ships it: its decoders, as a second opinion on what we encode."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from support.machine import require

DECODERS = ("avdec_h264", "openh264dec")
"""FFmpeg's and Cisco's."""


def exists(*elements: str) -> bool:
    """Whether all of these elements are installed."""
    try:
        return all(_quiet("gst-inspect-1.0", "--exists", element) for element in elements)
    except FileNotFoundError:
        return False


def _quiet(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def launch(*pipeline: str, seconds: float = 60) -> str:
    """Runs a pipeline to its end; what it said. Words are arguments of gst-launch-1.0: ("filesrc", "location=a", "!",
    ...). An element's error fails the test."""
    done = subprocess.run(
        ["gst-launch-1.0", "-q", *pipeline], capture_output=True, text=True, check=False, timeout=seconds
    )
    assert done.returncode == 0, f"{' '.join(pipeline)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def decode_h264(stream: bytes, size: tuple[int, int], folder: Path, decoder: str = DECODERS[0]) -> np.ndarray[Any, Any]:
    """The pictures of an H.264 stream in Annex B: uint8 (pictures, height * 3 / 2, width), I420. The first error of the
    decoder's fails the test; so does a warning. Skips where it is not installed.

    Args:
        size: width and height in pixels, even.
    """
    require(exists("h264parse", decoder), f"GStreamer's h264parse and {decoder}")
    source, target = folder / f"{decoder}.h264", folder / f"{decoder}.yuv"
    source.write_bytes(stream)
    said = launch(
        *("filesrc", f"location={source}", "!", "h264parse", "!", decoder, "max-errors=0", "!"),
        *("video/x-raw,format=I420", "!", "filesink", f"location={target}"),
    )
    assert said == "", said
    return _planes(target.read_bytes(), *size)


def _planes(raw: bytes, width: int, height: int) -> np.ndarray[Any, Any]:
    """I420 without what GStreamer pads its rows with, to multiples of 4 bytes."""
    luma, chroma = -width % 4 + width, -(width // 2) % 4 + width // 2
    data = np.frombuffer(raw, np.uint8).reshape(-1, (luma + chroma) * height)
    y = data[:, : luma * height].reshape(-1, height, luma)[:, :, :width]
    uv = data[:, luma * height :].reshape(-1, height, chroma)[:, :, : width // 2]
    return np.concatenate([y.reshape(len(data), -1), uv.reshape(len(data), -1)], axis=1).reshape(len(data), -1, width)
