"""Stripes to slices: x264 through PyAV, at the highest effort, with settings for what is stitched afterwards.

Constrained baseline, CAVLC, one reference, no deblocking, a constant quantizer. Flat blocks and chroma have a finer
one, as for a live encoder (publish/encoders.py): there coarse steps are seen as bands and blocks. A stripe is encoded
as a picture of its own, so that its slice leans on nothing around it. All slices of x264 are I slices: it cannot be
told to keep motion vectors, and what its filters look at, in a stripe."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.video.frame import PictureType

from .. import _core
from .picture import BLOCK, U8

P, I = 0, 2  # noqa: E741
"""Types of slices (ITU-T H.264 table 7-6)."""
X264 = (
    "cabac=0:ref=1:bframes=0:8x8dct=0:weightp=0:no-deblock=1:aq-mode=1:aq-strength=0.7:qcomp=1:mbtree=0:psy=0:scenecut=0:trellis=2:subme=9:me=umh:"
    "merange=16:partitions=all:no-fast-pskip=1:ipratio=1:chroma-qp-offset=-6:keyint=1:rc-lookahead=0:"
    "sync-lookahead=0:sliced-threads=0:threads=1:lookahead-threads=1:qpmin=0:constrained-intra=0"
)
IDR = 5
"""NAL unit type of a slice of an IDR picture."""


class Slice(NamedTuple):
    """Slice data behind its header: what `_core.slice_payload` gives."""

    bits: bytes
    bit_length: int
    qp: int
    kind: int


class IntraEncoder:
    """Each stripe by itself, as one I slice."""

    def __init__(self, columns: int, rows: int, qp: int) -> None:
        self._codec = _context(columns * BLOCK, rows * BLOCK, qp)
        self._pts = 0
        self._sets: list[bytes] = []

    def encode(self, stripe: U8) -> tuple[Slice, bytes]:
        """The slice, and the whole access unit (Annex B) that a decoder takes."""
        frame = av.VideoFrame.from_ndarray(stripe, format="yuv420p")
        frame.pts, self._pts = self._pts, self._pts + 1
        frame.time_base = Fraction(1, 25)
        frame.pict_type = PictureType.I
        unit = b"".join(bytes(packet) for packet in self._codec.encode(frame))
        if not self._sets:
            head = _core.nal_split(bytes(self._codec.extradata))
            self._sets = [next(nal for nal in head if nal[0] & 31 == kind) for kind in (7, 8)]
        (nal,) = (nal for nal in _core.nal_split(unit) if nal[0] & 31 == IDR)
        sets = b"".join(b"\0\0\0\1" + nal for nal in self._sets)
        return Slice(*_core.slice_payload(nal, *self._sets)), sets + unit

    def slice(self, stripe: U8) -> Slice:
        """The slice alone."""
        return self.encode(stripe)[0]


def _context(width: int, height: int, qp: int) -> Any:
    codec: Any = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, 25), Fraction(25)
    codec.thread_count = 1
    codec.gop_size = 1
    codec.profile = "Baseline"
    codec.flags |= av.codec.context.Flags.global_header
    codec.options = {
        "preset": "placebo",
        "tune": "zerolatency",
        "crf": str(qp),  # with qcomp=1 the quantizer of every picture, but that aq-mode spares flat blocks
        "forced-idr": "1",
        "x264-params": X264,
    }
    codec.open()
    return codec


class Decoder:
    """FFmpeg's, which takes nothing that is damaged."""

    def __init__(self, *, whole: bool = False) -> None:
        """`whole`: macroblocks that the stream crops are shown, too."""
        self._codec: Any = av.CodecContext.create("h264", "r")
        self._codec.thread_count = 1
        self._codec.options = {"err_detect": "explode", "flags": "low_delay", "apply_cropping": str(int(not whole))}

    def decode(self, unit: bytes) -> U8:
        """The picture of one access unit, as I420."""
        frames = self._codec.decode(av.Packet(unit))
        assert len(frames) == 1, f"{len(frames)} pictures came out of one access unit"
        picture: U8 = frames[0].to_ndarray()
        return picture
