"""publish/encoders.py: what leaves can be decoded, is sharp at once, and is as much as the browser can take."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Any

import aiortc.codecs.h264 as h264
import aiortc.codecs.vpx as vpx
import av
import numpy as np
import pytest

from lipwire.publish import encoders as e
from lipwire.publish.pyav import COLOURS, LIMITED
from lipwire.publish.tracks import CLOCK


def picture(number: int, width: int = 320, height: int = 180) -> av.VideoFrame:
    """An even gradient, and a square that moves over it."""
    luma = np.tile(np.linspace(60, 200, width).astype(np.uint8), (height, 1))
    luma[40:80, 4 * number : 4 * number + 40] = 30
    i420 = np.concatenate([luma.ravel(), np.full(width * height // 2, 128, np.uint8)])
    frame = av.VideoFrame.from_ndarray(i420.reshape(-1, width), format="yuv420p")
    frame.pts, frame.time_base = number * 1920, CLOCK
    return frame


def noise(number: int, fps: int) -> av.VideoFrame:
    """A picture that takes all the bits there are."""
    luma = np.random.default_rng(number).integers(116, 140, (90, 160), dtype=np.uint8)
    i420 = np.concatenate([luma.ravel(), np.full(160 * 45, 128, np.uint8)])
    frame = av.VideoFrame.from_ndarray(i420.reshape(-1, 160), format="yuv420p")
    frame.pts, frame.time_base, frame.opaque = number * 48000 // fps, CLOCK, Fraction(fps)
    return frame


FAST, SLOW = 600_123, 150_123


class Wire:
    """An encoder, and a decoder that gets what it sends, through aiortc's own packets."""

    def __init__(self, kind: type[e.Vp8] | type[e.H264]) -> None:
        self.encoder: Any = kind()
        self.vp8 = kind is e.Vp8
        self._decoder = av.CodecContext.create("vp8" if self.vp8 else "h264", "r")
        self.keys: list[bool] = []
        self.shown: list[av.VideoFrame] = []
        self.bits = 0

    def send(self, frame: av.VideoFrame, key: bool = False) -> list[np.ndarray[Any, Any]]:
        payloads, _ = self.encoder.encode(frame, key)
        self.bits += 8 * sum(map(len, payloads))
        unpack: Any = vpx.vp8_depayload if self.vp8 else h264.h264_depayload
        packet = av.Packet(b"".join(unpack(payload) for payload in payloads))
        shown = self._decoder.decode(packet)
        self.keys += [frame.key_frame for frame in shown]
        self.shown = shown
        return [frame.to_ndarray(format="yuv420p") for frame in shown]


@pytest.mark.parametrize("kind", [e.Vp8, e.H264])
def test_a_gradient_stays_a_gradient(kind: type[e.Vp8] | type[e.H264]) -> None:
    wire = Wire(kind)
    for number in range(6):
        frame = picture(number)
        for shown in wire.send(frame, key=number == 0):
            backdrop = frame.to_ndarray()[100:170].astype(int) - shown[100:170]
            assert np.abs(backdrop).mean() < 1.5 and np.abs(backdrop).max() <= 8
    assert wire.keys[0] and not any(wire.keys[1:])


def spent(wire: Wire, second: int, fps: int) -> int:
    """Bits that are sent in a second."""
    before = wire.bits
    for number in range(second * fps, (second + 1) * fps):
        wire.send(noise(number, fps), key=number == 0)
    return wire.bits - before


def test_the_bit_rate_follows_the_size() -> None:
    sizes = [(320, 180), (640, 360), (1280, 720), (1920, 1080)]
    starts, floors, tops = zip(*(e.bit_rates(*size) for size in sizes), strict=True)
    assert (starts[1], floors[1], tops[1]) == (e.START_BITRATE, e.MIN_BITRATE, e.MAX_BITRATE)
    assert starts[2] == 2 * starts[1]
    assert e.bit_rates(720, 1280) == e.bit_rates(1280, 720)
    for rates in (starts, floors, tops):
        assert list(rates) == sorted(rates)
    assert all(low < start < high for low, start, high in zip(floors, starts, tops, strict=True))


@pytest.mark.parametrize("kind", [e.Vp8, e.H264])
def test_what_the_browser_can_take_is_heeded_within_the_limits(kind: type[e.Vp8] | type[e.H264]) -> None:
    encoder: Any = kind()
    encoder.encode(picture(0, 1280, 720), True)
    start, low, high = e.bit_rates(1280, 720)
    assert encoder.target_bitrate == start
    for asked, given in ((10, low), (90_000_000, high), (2_000_000, 2_000_000), (2_100_000, 2_000_000)):
        encoder.target_bitrate = asked
        assert encoder.target_bitrate == given
    encoder.encode(picture(1, 320, 180))  # another picture: other limits, and what can be taken still holds
    assert encoder.target_bitrate == e.bit_rates(320, 180)[2]


@pytest.mark.parametrize("fps", [15, 25, 60])
@pytest.mark.parametrize("kind", [e.Vp8, e.H264])
def test_what_is_sent_is_as_much_as_the_browser_can_take(kind: type[e.Vp8] | type[e.H264], fps: int) -> None:
    """Up and down, from the next picture on, at the cost of one key frame for each change."""
    wire = Wire(kind)
    wire.encoder.target_bitrate = FAST
    sent = [spent(wire, number, fps) for number in (0, 1)]
    wire.encoder.target_bitrate = SLOW
    sent += [spent(wire, number, fps) for number in (2, 3)]
    wire.encoder.target_bitrate = FAST
    sent += [spent(wire, number, fps) for number in (4, 5)]
    for rate, given in zip((FAST, FAST, SLOW, SLOW, FAST, FAST), sent, strict=True):
        assert 0.7 * rate < given < 1.3 * rate, sent
    assert [number for number, key in enumerate(wire.keys) if key] == [0, 2 * fps, 4 * fps]


@pytest.mark.parametrize("fps", [5, 25, 60])
def test_who_may_not_ask_is_sent_a_key_frame_every_2_s(fps: int) -> None:
    encoder, keys = e.SingleUnits(), []
    for number in range(6 * fps):
        units, _ = encoder.encode(noise(number, fps), number == 3 * fps)
        if any(unit[0] & 31 == 5 for unit in units):
            keys.append(number / fps)
    assert keys == [0, 2, 3, 5]


def test_threads_are_no_more_than_the_processors_that_we_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for mine, large in (({3}, 1), ({3, 4, 5}, 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, mine=mine: mine, raising=False)
        assert (e.threads(1280, 720), e.threads(640, 360)) == (large, 1)


@pytest.mark.parametrize("matrix", ["bt709", "bt601"])
def test_h264_says_what_its_colours_are(matrix: str) -> None:
    """VP8 has no field for it."""
    wire = Wire(e.H264)
    frame = picture(0)
    frame.color_range, frame.colorspace = LIMITED, COLOURS[matrix]
    wire.send(frame, key=True)
    (shown,) = wire.shown
    assert (shown.colorspace, shown.color_range) == (COLOURS[matrix], LIMITED)


@pytest.mark.parametrize("kind", [e.Vp8, e.H264])
def test_another_size_begins_anew(kind: type[e.Vp8] | type[e.H264]) -> None:
    wire = Wire(kind)
    sizes = [
        wire.send(picture(n, *size), n == 0)[0].shape for n, size in enumerate([(320, 180), (640, 480), (640, 480)])
    ]
    assert sizes == [(270, 320), (720, 640), (720, 640)]
    assert wire.keys == [True, True, False]
