"""A small atlas made by x264 out of synthetic pictures, and what each of its stripes has to look like once decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from lipwire import _core

WIDTH, HEIGHT = 104, 86
"""No multiple of 16: 7 x 6 macroblocks, of which the last ones are cropped."""
FPS = (25, 1)
ROWS = {"static": 1, "moving": 2, "choice": 2, "moving, too": 1}
"""The stripes from the top."""
SEGMENTS = ((5, (0, 3)), (4, (0,)), (1, (0,)))
"""Nodes of each, and which of them are anchors."""
VARIANTS = 3
X264 = (
    "cabac=0:8x8dct=0:weightp=0:bframes=0:ref=1:no-deblock=1:psy=0:chroma-qp-offset=-6:scenecut=0:keyint=infinite:"
    "aq-mode=1:threads=1:constrained-intra=1"
)

Picture = NDArray[np.uint8]
"""I420, (height * 3 / 2, width)."""


def i420(width: int, height: int, shift: float, level: float, seed: int) -> Picture:
    """Soft waves, moved to the right by so many pixels."""
    x, y = np.meshgrid(np.arange(width) - shift, np.arange(height))
    luma = 128 + 60 * np.sin((x + seed) / 9) * np.cos(y / (5 + seed % 3)) + level
    u = 128 + 30 * np.sin(x[::2, ::2] / 17 + seed)
    v = 128 + 20 * np.cos(x[::2, ::2] / 13 + y[::2, ::2] / 7)
    planes = [np.clip(p, 16, 235).astype(np.uint8).reshape(-1) for p in (luma, u, v)]
    return np.concatenate(planes).reshape(height * 3 // 2, width)


def planes(picture: Picture) -> tuple[Picture, Picture, Picture]:
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    flat = picture.reshape(-1)
    luma, chroma = width * height, width * height // 4
    return (
        flat[:luma].reshape(height, width),
        flat[luma : luma + chroma].reshape(height // 2, width // 2),
        flat[luma + chroma :].reshape(height // 2, width // 2),
    )


def stacked(pictures: list[Picture]) -> Picture:
    """One picture of several, from the top."""
    parts = [np.concatenate(part) for part in zip(*map(planes, pictures), strict=True)]
    return np.concatenate([part.reshape(-1) for part in parts]).reshape(-1, pictures[0].shape[1])


def cut(picture: Picture, top: int, height: int, width: int) -> Picture:
    y, u, v = planes(picture)
    half = slice(top // 2, (top + height) // 2)
    parts = [y[top : top + height, :width], u[half, : width // 2], v[half, : width // 2]]
    return np.concatenate([part.reshape(-1) for part in parts]).reshape(-1, width)


def x264(pictures: list[Picture], options: str, profile: str | None = None) -> bytes:
    """An Annex B stream of them, parameter sets first."""
    codec = cast(Any, av.CodecContext.create("libx264", "w"))
    codec.width, codec.height = pictures[0].shape[1], pictures[0].shape[0] * 2 // 3
    codec.pix_fmt, codec.framerate, codec.time_base = "yuv420p", Fraction(25), Fraction(1, 25)
    codec.options = {"preset": "medium", "x264-params": options} | ({"profile": profile} if profile else {})
    packets = []
    for number, picture in enumerate([*pictures, None]):
        frame = None
        if picture is not None:
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts = number
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return b"".join(packets)


def decoder(*, strict: bool = True, extradata: bytes | None = None) -> Any:
    """FFmpeg's; `strict`: whatever is wrong raises."""
    codec = cast(Any, av.CodecContext.create("h264", "r"))
    codec.thread_count = 1
    codec.options = {"err_detect": "crccheck+bitstream+buffer+explode"} if strict else {}
    if extradata is not None:
        codec.extradata = extradata
    return codec


def decode(units: list[bytes], codec: Any) -> list[Picture]:
    """A picture for each unit: none is held back."""
    shown = []
    for unit in units:
        frames = codec.decode(av.Packet(unit))
        assert len(frames) == 1
        shown.append(frames[0].to_ndarray(format="yuv420p"))
    return shown


@dataclass
class Stripes:
    """The atlas, and the pictures that its slices make by themselves."""

    blob: bytes
    atlas: _core.Atlas
    static: Picture
    steps: dict[tuple[int, int], Picture] = field(default_factory=dict)
    """(stripe, node): of a moving stripe, and of a choice's chain."""
    variants: dict[tuple[int, int], Picture] = field(default_factory=dict)
    """(node, variant)"""


class Encoder:
    """Encodes one stripe: between two others of noise, so that no vector leads out of it."""

    def __init__(self, writer: _core.AtlasWriter, stripe: int, rows: int) -> None:
        self.writer, self.stripe, self.height = writer, stripe, 16 * rows
        noise = np.random.default_rng(stripe)
        width = (WIDTH + 15) // 16 * 16
        self.guard = noise.integers(0, 256, (self.height * 3 // 2, width), np.uint8)

    def encode(self, pictures: list[Picture], qp: int) -> list[tuple[int, Picture]]:
        """Of a chain that begins with an I slice: the slice's number and the decoded stripe of each."""
        framed = [stacked([self.guard, picture, self.guard]) for picture in pictures]
        stream = x264(framed, f"{X264}:slices=3:qp={qp}", "baseline")
        nals = _core.nal_split(stream)
        sps, pps = (next(nal for nal in nals if nal[0] & 31 == kind) for kind in (7, 8))
        slices = [nal for nal in nals if nal[0] & 31 in (1, 5)]
        assert len(slices) == 3 * len(pictures)
        codec = decoder()
        decoded = []
        for at in range(0, len(slices), 3):
            head = [sps, pps] if at == 0 else []
            unit = b"".join(b"\0\0\0\1" + nal for nal in (*head, *slices[at : at + 3]))
            [shown] = decode([unit], codec)
            decoded.append(cut(shown, self.height, self.height, shown.shape[1]))
        numbers = []
        for at, nal in enumerate(slices[1::3]):
            payload = _core.slice_payload(nal, sps, pps)
            assert payload[3] == (_core.SLICE_P if at else _core.SLICE_I)
            numbers.append(self.writer.add_slice(self.stripe, *payload))
        return list(zip(numbers, decoded, strict=True))


def chains(count: int, anchors: tuple[int, ...]) -> list[range]:
    return [range(a, b) for a, b in zip(anchors, (*anchors[1:], count), strict=True)]


def writer(note: bytes = b"") -> _core.AtlasWriter:
    """With its stripes."""
    made = _core.AtlasWriter(
        WIDTH, HEIGHT, FPS, walk_axes=[0, 8], limits={9: (0, 1000), 13: (0, 0)}, mouths=2, note=note
    )
    values = np.zeros((VARIANTS, _core.AXES), np.int16)
    values[:, 7] = [0, 8000, 16000]
    weights = np.zeros(_core.AXES, np.int32)
    weights[7] = 1
    costs = np.array([[0, 0, 0], [10**10, 0, 10**10]])
    for name, rows in ROWS.items():
        if name == "choice":
            made.add_stripe("choice", rows, values=values, weights=weights, costs=costs)
        else:
            made.add_stripe("static" if name == "static" else "moving", rows)
    return made


@cache
def stripes() -> Stripes:
    """Made once a process."""
    made = writer(b"a note")
    width = (WIDTH + 15) // 16 * 16
    encoders = [Encoder(made, stripe, rows) for stripe, rows in enumerate(ROWS.values())]

    def drawn(stripe: int, shift: float, level: float = 0) -> Picture:
        return i420(width, encoders[stripe].height, shift, level, stripe)

    [(still, static)] = encoders[0].encode([drawn(0, 0)], 20)
    made.set_static(0, still)
    result = Stripes(b"", cast(Any, None), static)
    first = 0
    for count, anchors in SEGMENTS:
        entries: dict[int, list[int | None]] = {node: [] for node in range(count)}
        for stripe in (1, 2, 3):
            for chain in chains(count, anchors):
                shifts = [drawn(stripe, 2.0 * node) for node in chain]
                encoded = encoders[stripe].encode(shifts, 24 + stripe)
                for node, (number, picture) in zip(chain, encoded, strict=True):
                    anchor_of_choice = stripe == 2 and node == chain[0]
                    entries[node].append(None if anchor_of_choice else number)
                    result.steps[stripe, first + node] = picture
            if stripe == 2:
                for node in range(count):
                    for variant in range(VARIANTS):
                        shown = drawn(2, 2.0 * node, 12.0 * variant)
                        [(number, picture)] = encoders[2].encode([shown], 26)
                        entries[node].append(number)
                        result.variants[first + node, variant] = picture
                        if variant == 0 and node in anchors:
                            result.steps[2, first + node] = picture
        axes = np.zeros((count, _core.AXES), np.int16)
        axes[:, 0] = 100 * np.arange(count)
        made.add_segment(1, [(axes[node], node in anchors, entries[node]) for node in range(count)])
        first += count
    result.blob = made.pack()
    result.atlas = _core.Atlas(result.blob)
    return result


Step = tuple[int, int, bool]
"""Node, variant, key."""


def anchors() -> list[int]:
    return [node for node in range(stripes().atlas.nodes) if stripes().atlas.anchor(node)]


def walk(seed: int, count: int, keys: float = 0.1) -> Iterator[Step]:
    """A random walk, as it is allowed."""
    made, random = stripes(), np.random.default_rng(seed)
    last = {first + nodes - 1 for first, nodes, _ in made.atlas.segments}
    node = 0
    for at in range(count):
        variant = int(random.integers(VARIANTS)) if random.random() < 0.6 else 0
        yield node, variant, at == 0 or (node in anchors() and bool(random.random() < keys))
        if node in last or random.random() < 0.1:
            node = int(random.choice(anchors()))
        elif random.random() < 0.8:
            node += 1


class Expected:
    """What a picture has to look like: the stripes' own decoded pictures. A choice that has shown variant 0 since an
    anchor shows its chain."""

    def __init__(self, made: Stripes) -> None:
        self.made, self.chained = made, False

    def picture(self, node: int, variant: int) -> list[Picture]:
        self.chained = variant == 0 and (self.chained or node in anchors())
        choice = self.made.steps[2, node] if self.chained else self.made.variants[node, variant]
        return [self.made.static, self.made.steps[1, node], choice, self.made.steps[3, node]]


def check(shown: list[Picture], expected: list[list[Picture]]) -> None:
    for number, (picture, parts) in enumerate(zip(shown, expected, strict=True)):
        assert picture.shape == (HEIGHT * 3 // 2, WIDTH)
        top = 0
        for (name, rows), part in zip(ROWS.items(), parts, strict=True):
            height = min(16 * rows, HEIGHT - top)
            same = cut(picture, top, height, WIDTH) == cut(part, 0, height, WIDTH)
            assert same.all(), f"picture {number}, {name}"
            top += height


def stitch(steps: list[Step], framing: Any = "annexb") -> tuple[list[bytes], list[list[Picture]]]:
    stitcher, expected = _core.Stitcher(stripes().atlas, framing), Expected(stripes())
    units = [stitcher.unit(node, (variant,), key) for node, variant, key in steps]
    return units, [expected.picture(node, variant) for node, variant, _ in steps]


def grey() -> bytes:
    """The smallest atlas: one macroblock that needs no encoder (Intra_16x16, DC, nothing coded), in two variants of
    equal looks."""
    made = _core.AtlasWriter(16, 16, (25, 1), mouths=3, note=b"grey")
    made.add_stripe("choice", 1, values=np.zeros((2, _core.AXES), np.int16))
    numbers = [made.add_slice(0, b"\x27", 8, qp, _core.SLICE_I) for qp in (26, 27)]
    made.add_segment(1, [(np.zeros(_core.AXES, np.int16), True, [None, *numbers])] * 3)
    return made.pack()
