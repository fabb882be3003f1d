"""publish/encoders.py: what leaves can be decoded, is sharp at once, and is as much as its class allows."""

from __future__ import annotations

import os
import re
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

import lipwire
from lipwire._core import RATE
from lipwire.publish import encoders as e
from lipwire.publish.encoders import Encoder, Picture
from lipwire.publish.pyav import COLOURS, LIMITED
from lipwire.publish.rates import CLASSES, START, bit_rates


def picture(number: int, width: int = 320, height: int = 180, matrix: Any = "bt709") -> Picture:
    """An even gradient, and a square that moves over it."""
    frame = lipwire.Frame(width, height, matrix=matrix)
    luma = frame.i420[:height]
    luma[:] = np.linspace(60, 200, width).astype(np.uint8)
    luma[40:80, 4 * number : 4 * number + 40] = 30
    frame.i420[height:] = 128
    return Picture(frame, number * 1920)


def noise(number: int, fps: int, width: int = 160, height: int = 96, low: int = 116, high: int = 140) -> Picture:
    """A picture that takes all the bits there are."""
    frame = lipwire.Frame(width, height)
    frame.i420[:height] = np.random.default_rng(number).integers(low, high, (height, width), dtype=np.uint8)
    frame.i420[height:] = 128
    return Picture(frame, number * RATE // fps, Fraction(fps))


def units(data: bytes) -> list[bytes]:
    """NAL units of an Annex B access unit."""
    return [unit for unit in re.split(b"\0\0\0?\1", data) if unit]


class Wire:
    """An encoder, and a decoder that gets what it sends."""

    def __init__(self, kind: type[Encoder], level: int = START) -> None:
        self.encoder = kind(level)
        self._decoder: Any = av.CodecContext.create("vp8" if kind is e.Vp8 else "h264", "r")
        self.keys: list[bool] = []
        self.shown: list[av.VideoFrame] = []
        self.bits = 0

    def send(self, shown: Picture, key: bool = False) -> list[np.ndarray[Any, Any]]:
        data, is_key = self.encoder.encode(shown, key)
        self.bits += 8 * len(data)
        self.shown = self._decoder.decode(av.Packet(data))
        assert [frame.key_frame for frame in self.shown] == [is_key]
        self.keys.append(is_key)
        return [frame.to_ndarray(format="yuv420p") for frame in self.shown]


@pytest.mark.parametrize("kind", [e.Vp8, e.H264])
def test_a_gradient_stays_a_gradient(kind: type[Encoder]) -> None:
    wire = Wire(kind)
    for number in range(6):
        sent = picture(number)
        (shown,) = wire.send(sent, key=number == 0)
        backdrop = sent.frame.i420[100:170].astype(int) - shown[100:170]
        assert np.abs(backdrop).mean() < 1.5 and np.abs(backdrop).max() <= 8
    assert wire.keys == [True] + 5 * [False]


@pytest.mark.parametrize("fps", [15, 60])
@pytest.mark.parametrize("level", range(2))
@pytest.mark.parametrize("kind", [e.Vp8, e.H264])
def test_what_is_sent_is_as_much_as_the_class_says(kind: type[Encoder], level: int, fps: int) -> None:
    wire, rate = Wire(kind, level), bit_rates(160, 96)[level]
    for _ in range(2):
        before = wire.bits
        for _ in range(fps):
            wire.send(noise(len(wire.keys), fps))
        assert 0.7 * rate < wire.bits - before < 1.3 * rate
    assert wire.keys == [True] + (2 * fps - 1) * [False]


@pytest.mark.parametrize("fps", [5, 60])
def test_who_may_not_ask_is_sent_a_key_frame_every_2_s(fps: int) -> None:
    wire = Wire(e.SingleUnits)
    for number in range(6 * fps):
        wire.send(noise(number, fps), number == 3 * fps)
    assert [number / fps for number, key in enumerate(wire.keys) if key] == [0, 2, 3, 5]


def test_single_units_fit_packets() -> None:
    wire = Wire(e.SingleUnits)
    for n in range(3):
        sent = noise(n, 25, 640, 480, 16, 235)
        data, _ = e.SingleUnits(len(CLASSES) - 1).encode(sent, True)
        assert max(map(len, units(data))) <= e.PACKET + 30 and len(units(data)) > 10
        (shown,) = wire.send(sent, key=n == 2)
        assert shown.shape == (720, 640)
    assert wire.keys == [True, False, True], "a key frame when it is asked for"


def test_threads_are_no_more_than_the_processors_that_we_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for mine, large in (({3}, 1), ({3, 4, 5}, 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, mine=mine: mine, raising=False)
        assert (e.threads(1280, 720), e.threads(640, 360)) == (large, 1)


@pytest.mark.parametrize("matrix", ["bt709", "bt601"])
def test_h264_says_what_its_colours_are(matrix: str) -> None:
    """VP8 has no field for it."""
    wire = Wire(e.H264)
    wire.send(picture(0, matrix=matrix), key=True)
    (shown,) = wire.shown
    assert (shown.colorspace, shown.color_range) == (COLOURS[matrix], LIMITED)


@pytest.mark.parametrize("kind", [e.Vp8, e.H264])
def test_another_size_begins_anew(kind: type[Encoder]) -> None:
    wire = Wire(kind)
    sizes = [wire.send(picture(n, *size))[0].shape for n, size in enumerate([(320, 180), (640, 480), (640, 480)])]
    assert sizes == [(270, 320), (720, 640), (720, 640)]
    assert wire.keys == [True, True, False]
