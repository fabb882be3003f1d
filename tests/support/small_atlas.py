"""An atlas of a small avatar, made in a blink: the whole picture is one stripe, its slices are all intra coded, and it
has few mouths and few places of the head."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from lipwire import _core
from lipwire.avatar import Avatar

HEAD_X, HEAD_Y, BREATH, HEAD_ROLL, LIDS, HEAD_TURN = 0, 1, 2, 8, 12, 14
"""Axes of a pose."""
EXPRESSIONS = (9, 10, 11, 13)
"""happy, concerned, surprised, wave: what it does not cover."""
LENGTH, EVERY = 16, 8
"""Nodes of a segment, and from one anchor to the next."""
SPEAKING = 0b1000


def slices(pictures: list[NDArray[np.uint8]]) -> list[tuple[bytes, int, int, int]]:
    """The slices of I420 pictures of one size, uint8 (height * 3 / 2, width), each by itself, as `AtlasWriter` takes
    them."""
    encoder: Any = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = pictures[0].shape[0] * 2 // 3, pictures[0].shape[1]
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
    plain = "keyint=1:cabac=0:8x8dct=0:bframes=0:ref=1:no-deblock=1:weightp=0:threads=1:qp=20:psy=0:chroma-qp-offset=-6"
    encoder.options = {"preset": "veryfast", "tune": "zerolatency", "x264-params": plain}
    packets = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = number
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    nals = [{nal[0] & 31: nal for nal in _core.nal_split(bytes(packet))} for packet in packets]
    return [_core.slice_payload(nal[5], nals[0][7], nals[0][8]) for nal in nals]


def whole(i420: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """The picture, its edges repeated up to whole macroblocks."""
    flat, half = i420.reshape(-1), (height // 2, width // 2)
    y = flat[: width * height].reshape(height, width)
    chroma = flat[width * height :].reshape(2, *half)
    down, right = -height % 16, -width % 16
    planes = [np.pad(y, ((0, down), (0, right)), "edge")]
    planes += [np.pad(plane, ((0, down // 2), (0, right // 2)), "edge") for plane in chroma]
    return np.concatenate([plane.reshape(-1) for plane in planes]).reshape(-1, width + right)


def head(segment: int, number: int) -> NDArray[np.int16]:
    """Where it is at a node: out to one side, and back."""
    axes = np.zeros(_core.AXES, np.int16)
    axes[HEAD_X] = (9000 if segment else -9000) * np.sin(np.pi * number / LENGTH)
    axes[HEAD_TURN] = (int(axes[HEAD_X]) + 32767) // 2
    return axes


def small_atlas(avatar: Avatar, width: int = 64, height: int = 48, fps: Fraction = Fraction(25)) -> _core.Atlas:
    """Of an avatar; one segment for a face that is silent, one for a face that speaks."""
    native, art = avatar.at(width, height), avatar.art(width, height)
    far = ((art.mouth_coords[:, None] - art.viseme_coords[None]) ** 2).sum(2)  # (images, visemes)
    visemes = [int(np.argmax(far.argmin(0) == image)) for image in dict.fromkeys(far.argmin(0).tolist())]
    writer = _core.AtlasWriter(
        width,
        height,
        fps.as_integer_ratio(),
        matrix=native.matrix,
        walk_axes=(HEAD_X, HEAD_Y, BREATH, HEAD_ROLL, HEAD_TURN),
        limits=dict.fromkeys(EXPRESSIONS, (0, 0)),
        mouths=len(art.mouth_coords),
    )
    costs = np.rint(far[:, visemes] * 1e6).astype(np.int64)
    values = np.zeros((len(visemes), _core.AXES), np.int16)
    stripe = writer.add_stripe("choice", -(-height // 16), values=values, costs=costs)
    canvas = _core.Canvas(native)
    for segment, modes in enumerate((SPEAKING - 1, SPEAKING)):
        nodes = []
        for number in range(LENGTH):
            pose = head(segment, number) / 32767
            pose[LIDS] = _core.LIDS_REST
            pictures = []
            for viseme in visemes:
                canvas.draw(pose, np.eye(15)[viseme])
                pictures.append(whole(canvas.i420, width, height))
            shown = [writer.add_slice(stripe, *found) for found in slices(pictures)]
            nodes.append((head(segment, number), number % EVERY == 0, [None, *shown]))
        writer.add_segment(modes, nodes)
    return _core.Atlas(writer.pack())
