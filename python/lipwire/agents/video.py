"""Pictures of the users on their way to the brain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange

from ..channel.base import Seen

logger = logging.getLogger("lipwire.agents")


def jpeg(i420: bytes, width: int, height: int, quality: int = 5) -> bytes:
    """An I420 picture (limited range) as JPEG. `quality`: 2 (best) .. 31. A few ms; any thread."""
    picture = np.frombuffer(i420, np.uint8).reshape(height * 3 // 2, width)
    frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
    frame.color_range = ColorRange.MPEG
    return as_jpeg(frame, quality)


def as_jpeg(frame: av.VideoFrame, quality: int) -> bytes:
    """A picture as JPEG; as `jpeg`."""
    full = frame.reformat(format="yuvj420p", dst_color_range=ColorRange.JPEG)
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base = Fraction(1)
    encoder.options = {"qmin": str(quality), "qmax": str(quality)}
    full.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(full), *encoder.encode(None)])


class VideoSampler:
    """Takes one picture a second at most, and encodes it on a thread; others are dropped.

    Args:
        show: called on the event loop with a user and a picture of them as JPEG.
    """

    EVERY_MS = 1000

    def __init__(self, show: Callable[[str, bytes], None]) -> None:
        self._show = show
        self._seen_ms = -self.EVERY_MS
        self._task: asyncio.Task[None] | None = None

    def see(self, seen: Seen, now_ms: int) -> None:
        """A picture came at `now_ms` of the agent's clock."""
        busy = self._task is not None and not self._task.done()
        if not busy and now_ms - self._seen_ms >= self.EVERY_MS:
            self._seen_ms = now_ms
            self._task = asyncio.get_running_loop().create_task(self._encode(seen))

    async def _encode(self, seen: Seen) -> None:
        try:
            picture = await asyncio.to_thread(jpeg, seen.i420, seen.width, seen.height)
        except Exception:  # the edge of the task
            logger.exception("a picture of %s was not encoded", seen.user)
        else:
            self._show(seen.user, picture)

    def close(self) -> None:
        """Nothing more is shown."""
        if self._task is not None:
            self._task.cancel()
