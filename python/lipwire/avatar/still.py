"""A face at rest, as a picture: what a page shows where no live one is there yet, or any more."""

from __future__ import annotations

from fractions import Fraction

import av
from av.video.reformatter import ColorRange, Colorspace

from .. import _core
from . import Avatar
from .art import AXES, VISEMES

QUALITY = 3
"""Of JPEG, 2 (best) to 31."""


def rest_axes() -> list[float]:
    """The axes of a face at rest."""
    axes = [0.0] * len(AXES)
    axes[AXES.index("lids")] = _core.LIDS_REST
    axes[AXES.index("head_turn")] = 0.5
    return axes


def still(avatar: Avatar, width: int, height: int) -> bytes:
    """The avatar at rest in a picture of width x height pixels (even, 16..4096), as JPEG.

    The first time that a built-in one is drawn at a size takes 0.3 to 2 s: not for an event loop's thread.

    Raises:
        InvalidArgument: the size is out of range.
    """
    native = avatar.at(width, height)
    canvas = _core.Canvas(native)
    canvas.draw(rest_axes(), [float(viseme == "sil") for viseme in VISEMES])
    frame = av.VideoFrame.from_ndarray(canvas.i420, format="yuv420p")
    full = frame.reformat(
        format="yuvj420p",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU601,  # JFIF knows no other
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuvj420p"
    codec.time_base = Fraction(1, 25)
    codec.qmin = codec.qmax = QUALITY
    return b"".join(bytes(packet) for packet in [*codec.encode(full), *codec.encode(None)])
