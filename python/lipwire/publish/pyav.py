"""I420 pictures as PyAV frames."""

from __future__ import annotations

from typing import Any

import av
import numpy as np


def picture(i420: np.ndarray[Any, Any]) -> av.VideoFrame:
    """The picture as a frame that shares its memory; uint8 (height * 3 / 2, width).

    PyAV's view cuts heights that are no multiple of 4, so those are copied.
    """
    if i420.shape[0] % 6:
        return av.VideoFrame.from_ndarray(i420, format="yuv420p")
    return av.VideoFrame.from_numpy_buffer(i420, format="yuv420p")
