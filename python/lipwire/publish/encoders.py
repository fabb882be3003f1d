"""What encodes pictures for browsers: VP8 and H.264, with settings for a drawn face.

A drawn face is large even gradients and sharp edges. Settings for a camera would show a gradient as blocks. Here the
bit rate follows the size of the picture, and the quantizer stays where blocks do not show. An encoder has one class of
bit rate for its life (`rates`): x264 heeds a lower one of a running stream a second late, and a higher one not at all.

Measured on a picture of 1280x720 that speaks: VP8 7.7 ms of a processor a picture, H.264 3.3, at 54 dB in the backdrop
both.
"""

from __future__ import annotations

import abc
from fractions import Fraction
from typing import Any

import av
from av.video.frame import PictureType
from msgspec import Struct

from .._core import RATE, Frame
from .pyav import COLOURS, picture, tag
from .rates import REFERENCE, bit_rates
from .turns import processors

CLOCK = Fraction(1, RATE)
VP8_QUANTIZER = (4, 44)
H264_QUANTIZER = (10, 38)
X264 = "aq-strength=1.4:chroma-qp-offset=-8:deadzone-intra=4:deadzone-inter=8:no-dct-decimate=1:psy=0:scenecut=0"
"""What keeps small steps of a gradient, in brightness and in colour, that x264 by itself rounds away block by block. It
halves how far the edges of blocks stand out of an error that is 2 of 255 at most, for a tenth more bits. The last
leaves key frames to those who ask for them."""
PACKET = 1100
"""Bytes of a NAL unit that is a packet by itself: what an MTU of 1200 leaves (`lipwire/net.h`, LW_NET_OVERHEAD)."""
KEY_FRAMES = 3000
"""Frames between two key frames that nobody asked for."""
KEY_SECONDS = 2
"""From one key frame to the next, for a receiver that may not ask."""
USUAL_FPS = Fraction(25)
"""Pictures a second, where a frame does not say."""


class Picture(Struct, frozen=True):
    """A frame of a session, uncopied."""

    frame: Frame
    sample: int
    """When it is to be shown, on the sound's clock."""
    fps: Fraction | None = None
    """How many such come in a second, as far as it is known."""

    def for_encoder(self) -> av.VideoFrame:
        """The same for PyAV. An object an encoder: which pictures are key frames is marked in it."""
        shown = picture(self.frame.i420, self.frame.matrix)
        shown.pts = self.sample
        shown.time_base = CLOCK
        return shown


def threads(width: int, height: int) -> int:
    """How many an encoder may have."""
    return min(2 if width * height > REFERENCE else 1, processors())


class Encoder(abc.ABC):
    """Pictures to access units, each as soon as it comes. For one thread at a time.

    Args:
        level: its class of bit rate: a place in `rates.bit_rates` of the pictures' size.
    """

    def __init__(self, level: int) -> None:
        self.level = level
        self._kind: tuple[int, int, Fraction] | None = None
        """Width, height and frames a second of the stream that was begun last: another one begins anew."""
        self._codec: Any = None

    def encode(self, picture: Picture, key: bool = False) -> tuple[bytes, bool]:
        """(the access unit, whether it is a key frame). `key`: it must be one."""
        frame = picture.for_encoder()
        kind = width, height, fps = frame.width, frame.height, picture.fps or USUAL_FPS
        if kind != self._kind:
            self._codec, self._kind = self._open(frame, bit_rates(width, height)[self.level], fps), kind
        if key:
            frame.pict_type = PictureType.I
        packets = self._codec.encode(frame)
        return b"".join(map(bytes, packets)), any(packet.is_keyframe for packet in packets)

    @abc.abstractmethod
    def _open(self, frame: av.VideoFrame, rate: int, fps: Fraction) -> Any:
        """A codec for pictures like this one, at `rate` bit/s."""


class Vp8(Encoder):
    """libvpx's, at a constant bit rate."""

    def _open(self, frame: av.VideoFrame, rate: int, fps: Fraction) -> Any:
        codec = av.CodecContext.create("libvpx", "w")
        codec.width, codec.height, codec.pix_fmt = frame.width, frame.height, "yuv420p"
        codec.bit_rate, codec.gop_size = rate, KEY_FRAMES
        codec.qmin, codec.qmax = VP8_QUANTIZER
        codec.thread_count = threads(frame.width, frame.height)
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


class H264(Encoder):
    """x264's. It counts pictures, not their time, so that it must know how many come in a second."""

    x264 = X264

    def _open(self, frame: av.VideoFrame, rate: int, fps: Fraction) -> Any:
        names = {number: name for name, number in COLOURS.items()}
        codec = av.CodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt = frame.width, frame.height, "yuv420p"
        if (colours := names.get(frame.colorspace)) is not None:
            tag(codec, colours)  # a browser guesses by the size where nothing is said
        codec.bit_rate, codec.gop_size = rate, KEY_FRAMES
        codec.qmin, codec.qmax = H264_QUANTIZER
        codec.time_base, codec.framerate = CLOCK, fps.limit_denominator(1001)
        codec.thread_count = threads(frame.width, frame.height)
        codec.profile = "Baseline"
        codec.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "x264-params": self.x264,
            "maxrate": str(rate),
            "bufsize": str(rate // 2),
        }
        return codec


class SingleUnits(H264):
    """H.264 of which each packet holds one NAL unit (RFC 6184, packetization-mode 0): slices are made to fit. Who takes
    no other is a simple device, which may not know how to ask for a key frame: they come by themselves."""

    x264 = f"{X264}:slice-max-size={PACKET}"

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._key_at: int | None = None

    def encode(self, picture: Picture, key: bool = False) -> tuple[bytes, bool]:
        """As `Encoder.encode`."""
        if key or self._key_at is None or not 0 <= picture.sample - self._key_at < KEY_SECONDS * RATE:
            self._key_at, key = picture.sample, True
        return super().encode(picture, key)


ENCODERS: dict[str, type[Encoder]] = {"vp8": Vp8, "h264": H264, "h264 in single units": SingleUnits}
"""By codec, as `native.Outgoing` names them."""
