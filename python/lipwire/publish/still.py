"""One picture as an image file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ..errors import InvalidArgument
from .pyav import as_rgb, picture

CODECS = {
    ".png": ("png", "rgb24", {}),
    ".jpg": ("mjpeg", "yuvj420p", {"qmin": "2", "qmax": "2"}),
    ".jpeg": ("mjpeg", "yuvj420p", {"qmin": "2", "qmax": "2"}),
}
"""What the names of image files end in: FFmpeg's encoder and format of pixels, and its options."""


def check_still(path: Path) -> None:
    """Raises InvalidArgument: the name is none of an image that can be written."""
    if path.suffix.lower() not in CODECS:
        raise InvalidArgument(f"cannot write {path}: end its name in .png or .jpg")


def encode_still(path: Path, i420: np.ndarray[Any, Any], matrix: str = "bt709") -> bytes:
    """The file that goes to `path`, of a picture, uint8 (height * 3 / 2, width)."""
    name, pixels, options = CODECS[path.suffix.lower()]
    rgb = as_rgb(picture(i420, matrix)).to_ndarray()
    # A frame of its own: the matrix of the pictures would stay, and a JPEG's is BT.601's (JFIF).
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixels)
    encoder: Any = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, pixels
    encoder.time_base = Fraction(1, 25)
    encoder.options = dict(options)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
