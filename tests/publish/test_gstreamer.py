"""What we encode as H.264, in GStreamer's decoders."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipwire import Frame
from lipwire.publish.encoders import H264, Picture
from support.gstreamer import DECODERS, decode_h264

SIZE = 250, 142
"""No multiple of 16, nor of what GStreamer pads rows to."""


def encoded(count: int) -> tuple[bytes, list[np.ndarray[Any, Any]]]:
    """A square that moves over a gradient, in Annex B, with a key frame in the middle of it; and the pictures that
    FFmpeg decodes of it."""
    encoder, decoder = H264(1), av.CodecContext.create("h264", "r")
    stream, shown = b"", []
    for number in range(count):
        drawn = Frame(*SIZE)
        y, u, v = drawn.planes
        y[:], u[:], v[:] = np.linspace(40, 220, SIZE[0]).astype(np.uint8), 110, 150
        y[40:80, 8 * number : 8 * number + 30] = 20
        unit, _ = encoder.encode(Picture(drawn, number * 1920, Fraction(25)), key=number == count // 2)
        stream += unit
        shown += decoder.decode(av.Packet(unit))
    return stream, [frame.to_ndarray() for frame in shown + decoder.decode(None)]


@pytest.mark.parametrize("decoder", DECODERS)
def test_gstreamer_decodes_what_ffmpeg_does(decoder: str, tmp_path: Path) -> None:
    stream, expected = encoded(20)
    assert len(expected) == 20
    np.testing.assert_array_equal(decode_h264(stream, SIZE, tmp_path, decoder), np.stack(expected))
