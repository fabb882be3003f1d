"""I420 pictures as PyAV frames, tagged with their colours."""

from __future__ import annotations

from typing import Any

import av
import numpy as np

LIMITED = 1
"""FFmpeg's number for the range 16..235."""
COLOURS = {"bt709": 1, "bt601": 6}
"""FFmpeg's numbers for colour space, primaries and transfer (BT.601: of 525 lines, SMPTE 170M)."""


def picture(i420: np.ndarray[Any, Any], matrix: str = "bt709") -> av.VideoFrame:
    """The picture as a frame that shares its memory; uint8 (height * 3 / 2, width).

    PyAV's view cuts heights that are no multiple of 4, so those are copied.
    """
    if i420.shape[0] % 6:
        frame = av.VideoFrame.from_ndarray(i420, format="yuv420p")
    else:
        frame = av.VideoFrame.from_numpy_buffer(i420, format="yuv420p")
    frame.color_range = LIMITED
    frame.colorspace = COLOURS[matrix]
    return frame


def as_rgb(frame: Any, layout: str = "rgb24") -> Any:
    """A `picture` as a frame of RGB, by its own matrix: older PyAV does not look at that."""
    matrix = next(name for name, number in COLOURS.items() if number == frame.colorspace)
    return frame.reformat(format=layout, src_colorspace=_SWSCALE[matrix], dst_colorspace="DEFAULT")


_SWSCALE = {"bt709": "ITU709", "bt601": "ITU601"}
"""PyAV's names."""


def tag(context: Any, matrix: str = "bt709") -> None:
    """The same for a stream, before its encoder opens."""
    context.color_range = LIMITED
    context.colorspace = context.color_primaries = context.color_trc = COLOURS[matrix]
