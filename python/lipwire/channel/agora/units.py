"""Pictures that reach the worker as encoded video, and the encoder for those between that do not."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from ..._core import SharedFrame
from ...publish.pyav import picture, tag
from .wire import Unit

LIMIT = 64
"""Units that wait for their sound; more are lost, up to the next key."""
KEY_SECONDS = 10
"""From one key picture of the encoder's to the next, where nobody asks."""


class Units:
    """A session's units on their way: each leaves with its sound, in order, and behind a loss none before a key."""

    def __init__(self) -> None:
        self._waiting: deque[Unit] = deque()
        self._broken = True

    def put(self, unit: Unit) -> bool:
        """Takes the next one. False: it is of no use, and a key is wanted."""
        if len(self._waiting) >= LIMIT:
            self.clear()
        if self._broken and not unit.key:
            return False
        self._broken = False
        self._waiting.append(unit)
        return True

    def due(self, sample: int) -> Iterator[Unit]:
        """Those to be sent now that the sound is at `sample`."""
        while self._waiting and self._waiting[0].sample <= sample:
            yield self._waiting.popleft()

    def clear(self) -> None:
        """They are lost."""
        self._waiting.clear()
        self._broken = True


class Encoder:
    """H.264 for pictures that are not units: constrained baseline, no delay, each burst of them with a key first."""

    def __init__(self, width: int, height: int, fps: float, kbps: int, matrix: str) -> None:
        self.matrix = matrix
        self._count = 0
        self._key = True
        self._codec: Any = av.CodecContext.create("libx264", "w")
        self._codec.width, self._codec.height, self._codec.pix_fmt = width, height, "yuv420p"
        rate = Fraction(fps).limit_denominator(1001)
        self._codec.time_base, self._codec.framerate = 1 / rate, rate
        self._codec.bit_rate = kbps * 1000
        self._codec.gop_size = round(KEY_SECONDS * rate)
        self._codec.thread_count = 1
        limit = f"vbv-maxrate={kbps}:vbv-bufsize={max(1, kbps // 2)}"
        self._codec.profile = "Baseline"
        self._codec.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "x264-params": f"{limit}:scenecut=0:repeat-headers=1:annexb=1",
        }
        tag(self._codec, matrix)

    def begin(self) -> None:
        """The next one is a key: something else was sent meanwhile, or somebody joined."""
        self._key = True

    def encode(self, frame: SharedFrame) -> tuple[bytes, bool]:
        """(access unit in Annex B, whether it is a key)."""
        shown: Any = picture(frame.i420.copy(), self.matrix)
        shown.pts, shown.time_base = self._count, self._codec.time_base
        key, self._key = self._key, False
        if key:
            shown.pict_type = av.video.frame.PictureType.I
        self._count += 1
        packets = self._codec.encode(shown)
        return b"".join(bytes(packet) for packet in packets), any(packet.is_keyframe for packet in packets)
