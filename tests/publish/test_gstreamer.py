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
from lipwire.publish.live_film import FORMS
from lipwire.publish.live_writer import LiveWriter
from support.broadcast import happy_for_a_while, put
from support.gstreamer import DECODERS, decode_h264, exists, launch
from support.machine import require

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


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_film_of_units_and_an_encoders_pictures_is_one_stream_to_others_too(decoder: str, tmp_path: Path) -> None:
    """Whose head has two sets of parameters."""
    require(exists("qtdemux", "h264parse", decoder), f"GStreamer's qtdemux, h264parse and {decoder}")
    spec, items = happy_for_a_while()
    film, target = tmp_path / "x.mp4", tmp_path / "x.yuv"
    writer = LiveWriter(str(film), FORMS[".mp4"], spec)
    writer.open()
    for item in items:
        put(writer, item)
    writer.close()
    said = launch(
        *("filesrc", f"location={film}", "!", "qtdemux", "!", "h264parse", "!", decoder, "max-errors=0", "!"),
        *("video/x-raw,format=I420", "!", "filesink", f"location={target}"),
    )
    assert said == "", said
    with av.open(str(film)) as file:
        expected = [frame.to_ndarray(format="yuv420p") for frame in file.decode(video=0)]
    assert target.read_bytes() == np.stack(expected).tobytes()
