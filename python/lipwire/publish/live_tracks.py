"""The picture track of something that is written while it happens: a stream to a server, a film of a session.

H.264 comes from two sources: units that were encoded before, which are copied, and an encoder for what they do not
cover. Formats that have the parameter sets at their head (`avcC`: FLV, MP4, HLS) cannot change them later: a player
that was told one set would have to be told another, and RTMP servers hand on the first alone. So both sources are
declared there from the beginning. The encoder's sets have the id 1, those of units 0; both are constrained baseline;
each slice says by its id which set it belongs to (ITU-T H.264, 7.4.1.2.1), and the source changes at IDR pictures.
"""

from __future__ import annotations

import abc
import io
from typing import Any

import av

from .._core import Frame, nal_split
from ..stream import StreamSpec, Unit
from .encoders import H264, X264, Picture
from .film import FORMS, KEY_SECONDS, THREADS
from .pyav import tag

LEVEL = 2
"""The encoder's class of bit rate (`rates.bit_rates`): 1.5 Mbit/s at 640x360 and 3 at 1280x720, at most."""
START = b"\0\0\0\1"
IDR, SPS, PPS = 5, 7, 8
"""Types of NAL units."""


def threads_for(width: int, height: int) -> int:
    """Of the encoder of a film beside which sessions go on: 1 up to 640x360, 2 up to 1280x720, 4."""
    pixels = width * height
    return 1 if pixels <= 640 * 360 else 2 if pixels <= 1280 * 720 else THREADS


class PictureTrack(abc.ABC):
    """Pictures to packets, whose times count frames. For one thread.

    Args:
        spec: of the session.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self._stream: Any = None

    @abc.abstractmethod
    def add_to(self, container: Any) -> None:
        """Adds it to a PyAV container that is not open yet; once."""

    @abc.abstractmethod
    def picture(self, picture: Picture, at: int, key: bool) -> list[Any]:
        """The packets of a picture, the frame number `at`; `key`: it must be a key frame."""

    def unit(self, unit: Unit, at: int) -> list[Any] | None:
        """The same of a unit. None: it cannot be shown, since it refers to one that is not there: a key is needed."""
        return None

    def lost(self) -> None:
        """A unit was left out: the next ones refer to it."""

    def flush(self) -> list[Any]:
        """What the encoder still holds."""
        return []


class _Second(H264):
    """The encoder beside units, whose parameter sets have the id 0."""

    x264 = f"{X264}:sps-id=1"


class H264Track(PictureTrack):
    """H.264 of units and of an encoder, which exists while it is needed."""

    def __init__(self, spec: StreamSpec) -> None:
        super().__init__(spec)
        self._encoder: _Second | None = None
        self._whole = False
        """What came last can be referred to by the next unit."""

    def add_to(self, container: Any) -> None:
        """As `PictureTrack.add_to`; the head of the container gets the parameter sets of both sources. PyAV makes a
        track without an encoder only as a copy of another: here of one blank picture."""
        spec = self._spec
        blank = Picture(Frame(spec.width, spec.height, matrix=spec.matrix), 0, spec.fps)
        nals = nal_split(_Second(LEVEL).encode(blank, True)[0])
        sets = nal_split(spec.parameter_sets) if spec.parameter_sets else []
        sets += [nal for nal in nals if nal[0] & 31 in (SPS, PPS)]
        # The first one is what the head says of the whole stream: the highest level is.
        sets.sort(key=lambda nal: (nal[0] & 31, -nal[3]) if nal[0] & 31 == SPS else (PPS, 0))
        stream = b"".join(START + nal for nal in [*sets, *(nal for nal in nals if nal[0] & 31 == IDR)])
        with av.open(io.BytesIO(stream), format="h264") as source:
            self._stream = container.add_stream_from_template(source.streams.video[0])
        self._stream.time_base = 1 / spec.fps

    def picture(self, picture: Picture, at: int, key: bool) -> list[Any]:
        """As `PictureTrack.picture`. The first one behind a unit is an IDR picture."""
        if self._encoder is None:
            self._encoder = _Second(LEVEL)
        self._whole = False
        data, is_key = self._encoder.encode(picture, key)
        return [self._packet(data, at, is_key)] if data else []

    def unit(self, unit: Unit, at: int) -> list[Any] | None:
        """As `PictureTrack.unit`. The first one behind a picture must be an IDR picture."""
        if not (unit.key or self._whole):
            return None
        self._encoder, self._whole = None, True
        return [self._packet(unit.data, at, unit.key)]

    def lost(self) -> None:
        """As `PictureTrack.lost`."""
        self._whole = False

    def _packet(self, data: bytes, at: int, key: bool) -> Any:
        packet = av.Packet(data)
        packet.stream = self._stream
        packet.pts = packet.dts = at
        packet.time_base = 1 / self._spec.fps
        packet.duration = 1
        packet.is_keyframe = key
        return packet


class Vp9Track(PictureTrack):
    """VP9, which always needs an encoder: a WebM has no H.264."""

    def add_to(self, container: Any) -> None:
        """As `PictureTrack.add_to`."""
        spec, form = self._spec, FORMS[".webm"]
        self._stream = stream = container.add_stream(form.video, rate=spec.fps)
        stream.width, stream.height, stream.pix_fmt = spec.width, spec.height, "yuv420p"
        assert form.crf is not None
        # Nothing is held back, so that a film that breaks off has all but its last moments.
        stream.options = dict(form.video_options) | {"crf": str(form.crf["medium"]), "lag-in-frames": "0"}
        context = stream.codec_context
        context.time_base = 1 / spec.fps
        context.gop_size = max(1, int(KEY_SECONDS * spec.fps))
        context.thread_count = threads_for(spec.width, spec.height)
        tag(context, spec.matrix)

    def picture(self, picture: Picture, at: int, key: bool) -> list[Any]:
        """As `PictureTrack.picture`."""
        shown: Any = picture.for_encoder()
        shown.pts, shown.time_base = at, 1 / self._spec.fps
        if key:
            shown.pict_type = av.video.frame.PictureType.I
        packets: list[Any] = self._stream.encode(shown)
        return packets

    def flush(self) -> list[Any]:
        """As `PictureTrack.flush`."""
        packets: list[Any] = self._stream.encode(None)
        return packets
