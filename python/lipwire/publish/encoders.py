"""What encodes pictures for one browser: aiortc's VP8 and H.264, with settings for a drawn face.

A drawn face is large even gradients and sharp edges. aiortc's own settings are a camera's: 500 kbit/s to begin with, a
quantizer up to 56 of 63, and a filter against noise, which together show a gradient as blocks. Here the bit rate
follows the size of the picture, and the quantizer stays where blocks do not show. A new bit rate begins a new stream,
which costs a key frame: x264 heeds a lower one of a running stream a second late, and a higher one not at all; so the
bit rate changes in large steps (`STEP`).

Measured on a picture of 1280x720 that speaks: VP8 7.7 ms of a processor a picture (aiortc's settings: 5.4), H.264 3.3
(14.1), at 54 dB in the backdrop both.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder

from .pyav import COLOURS, tag
from .turns import processors

START_BITRATE, MIN_BITRATE, MAX_BITRATE = 1_500_000, 250_000, 3_000_000
"""Bit/s of a picture of REFERENCE pixels; of others in proportion to the square root of their pixels (`bit_rates`)."""
REFERENCE = 640 * 360
STEP = 0.25
"""Share by which what the browser can take must have changed before the encoder is told."""
VP8_QUANTIZER = (4, 44)
H264_QUANTIZER = (10, 38)
X264 = "aq-strength=1.4:chroma-qp-offset=-8:deadzone-intra=4:deadzone-inter=8:no-dct-decimate=1:psy=0:scenecut=0"
"""What keeps small steps of a gradient, in brightness and in colour, that x264 by itself rounds away block by block. It
halves how far the edges of blocks stand out of an error that is 2 of 255 at most, for a tenth more bits. The last
leaves key frames to those who ask for them."""
PACKET = 1150
"""Bytes of a NAL unit that is a packet by itself."""
KEY_FRAMES = 3000
"""Frames between two key frames that nobody asked for."""
KEY_SECONDS = 2
"""From one key frame to the next, for a receiver that may not ask."""
USUAL_FPS = Fraction(25)
"""Pictures a second, where a frame does not say."""


def bit_rates(width: int, height: int) -> tuple[int, int, int]:
    """Bit/s of a picture of this size: (to begin with, at least, at most)."""
    scale = max(0.25, min(2.5, (width * height / REFERENCE) ** 0.5))
    start, low, high = (round(rate * scale) for rate in (START_BITRATE, MIN_BITRATE, MAX_BITRATE))
    return start, low, high


class _Rate:
    """The bit rate of an encoder, within the limits of its picture's size."""

    def __init__(self) -> None:
        self._limits = (START_BITRATE, MIN_BITRATE, MAX_BITRATE)
        self._asked: int | None = None
        self._used = START_BITRATE
        self._stream: tuple[int, int, int] | None = None
        """Width, height and bit rate of what was begun last."""

    def renews(self, frame: Any) -> bool:
        """Whether the picture that comes next begins a stream: the first, or one of another size or bit rate. An
        encoder's own `bit_rate` is no measure of that: x264 rounds it."""
        self._see(frame.width, frame.height)
        last, self._stream = self._stream, (frame.width, frame.height, self._used)
        return last != self._stream

    def _see(self, width: int, height: int) -> None:
        limits = bit_rates(width, height)
        if limits != self._limits:
            self._limits, self._used = limits, limits[0]
            if self._asked is not None:
                self.ask(self._asked)

    def ask(self, bitrate: int) -> None:
        """What the browser can take."""
        self._asked = bitrate
        _, low, high = self._limits
        wanted = max(low, min(bitrate, high))
        if abs(wanted - self._used) > STEP * self._used or wanted in (low, high):
            self._used = wanted

    @property
    def used(self) -> int:
        return self._used


def threads(width: int, height: int) -> int:
    """How many an encoder may have."""
    return min(2 if width * height > REFERENCE else 1, processors())


class _Adapts:
    """An encoder of aiortc's that still adapts to what the browser says it receives, within what is good for us."""

    def __init__(self) -> None:
        super().__init__()
        self._rate = _Rate()

    @property
    def target_bitrate(self) -> int:
        return self._rate.used

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._rate.ask(bitrate)


class Vp8(_Adapts, Vp8Encoder):
    """aiortc's."""

    def encode(self, frame: Any, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        if self._rate.renews(frame):
            self.codec = self._open(frame.width, frame.height)
        return super().encode(frame, force_keyframe)

    def _open(self, width: int, height: int) -> av.VideoCodecContext:
        rate = self._rate.used
        codec = av.CodecContext.create("libvpx", "w")
        codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
        codec.bit_rate, codec.gop_size = rate, KEY_FRAMES
        codec.qmin, codec.qmax = VP8_QUANTIZER
        codec.thread_count = threads(width, height)
        codec.options = {
            "deadline": "realtime",
            "cpu-used": "-6",
            "lag-in-frames": "0",
            "partitions": "0",  # one token partition
            "minrate": str(rate),  # the same as maxrate: a constant bit rate
            "maxrate": str(rate),
            "bufsize": str(rate),
            "overshoot-pct": "15",
            "undershoot-pct": "100",
            "noise-sensitivity": "0",  # nothing that is drawn has any
            "static-thresh": "0",
        }
        return codec


class H264(_Adapts, H264Encoder):
    """aiortc's. x264 counts pictures, not their time, so that it must know how many come in a second: a
    frame's `opaque` says it, a Fraction."""

    def __init__(self) -> None:
        super().__init__()
        self._fps = USUAL_FPS

    def encode(self, frame: Any, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        fps, self._fps = self._fps, frame.opaque or USUAL_FPS
        if self._rate.renews(frame) or fps != self._fps:
            self.codec = self._open(frame)
        return super().encode(frame, force_keyframe)

    def _open(self, frame: Any) -> av.VideoCodecContext:
        rate, width, height = self._rate.used, frame.width, frame.height
        names = {number: name for name, number in COLOURS.items()}
        codec = av.CodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
        if (colours := names.get(frame.colorspace)) is not None:
            tag(codec, colours)  # a browser guesses by the size where nothing is said
        codec.bit_rate, codec.gop_size = rate, KEY_FRAMES
        codec.qmin, codec.qmax = H264_QUANTIZER
        codec.time_base, codec.framerate = frame.time_base, self._fps.limit_denominator(1001)
        codec.thread_count = threads(width, height)
        codec.profile = "Baseline"
        codec.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "x264-params": X264,
            "maxrate": str(rate),
            "bufsize": str(rate // 2),
        }
        return codec


class SingleUnits(H264):
    """H.264 of which each packet holds one NAL unit (RFC 6184, packetization-mode 0): slices are made to fit. Who takes
    no other is a simple device, which may not know how to ask for a key frame: they come by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self._key_at: Fraction | None = None

    def encode(self, frame: Any, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        at = frame.pts * frame.time_base
        if force_keyframe or self._key_at is None or not 0 <= at - self._key_at < KEY_SECONDS:
            self._key_at, force_keyframe = at, True
        return super().encode(frame, force_keyframe)

    def _open(self, frame: Any) -> av.VideoCodecContext:
        codec = super()._open(frame)
        codec.options = {**codec.options, "x264-params": f"{X264}:slice-max-size={PACKET}"}
        return codec

    @classmethod
    def _packetize(cls, packages: Iterable[bytes]) -> list[bytes]:
        return list(packages)
