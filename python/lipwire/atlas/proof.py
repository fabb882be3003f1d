"""How good it looks: coarse quantizers are looked for, and finished atlases are measured, by decoding."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..avatar.art import Art
from .encode import Decoder, IntraEncoder
from .harvest import MODES, ONE, Poses, mouth_images, watch
from .picture import BLOCK, U8, Easel, planes
from .variants import PARTS, Variants

F64 = NDArray[np.float64]
QUANTIZERS = range(14, 39)
MEASURED = 20
"""Seconds of speech."""


def psnr(error: float) -> float:
    """Of a mean squared error, in dB."""
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def errors(shown: U8, drawn: U8, width: int, height: int) -> F64:
    """Mean squared errors of Y, U and V of one I420 picture against another."""
    pairs = zip(planes(shown, width, height), planes(drawn, width, height), strict=True)
    return np.array([np.square(one.astype(np.int32) - other).mean() for one, other in pairs])


def quantizer(easel: Easel, poses: list[Poses], target: float) -> int:
    """The coarsest at which pictures of these poses, encoded alone, have a PSNR of `target` dB, on average, in each of
    Y, U and V: errors of colour are seen as bands and fringes."""
    shown = [part[[0, len(part) // 3, 2 * len(part) // 3]] for part in poses] or [Poses.rest()]

    def good(qp: int) -> bool:
        encoder, decoder = IntraEncoder(easel.columns, easel.rows, qp), Decoder()
        found = []
        for part in shown:
            for i in range(len(part)):
                whole = easel.draw(part, i).stripe(0, easel.rows)
                _, unit = encoder.encode(whole)
                found.append(errors(decoder.decode(unit), whole, easel.columns * BLOCK, easel.rows * BLOCK))
        return psnr(float(np.mean(found, 0).max())) >= target

    low, high = QUANTIZERS[0], QUANTIZERS[-1]
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if good(middle) else (low, middle - 1)
    return low


class Moment(NamedTuple):
    """One frame of a performance: the pose as it would be drawn, and where the atlas has it."""

    poses: Poses
    at: int
    node: int
    variants: tuple[int, ...]


def performance(
    atlas: _core.Atlas, art: Art, fps: Fraction, poses: Poses, mode: str, seed: int = 1
) -> Iterator[Moment]:
    """Poses with the head where a walk has it, through segments of a mode, and the variants that a session chooses."""
    random = np.random.default_rng(seed)
    bit = 1 << MODES.index(mode)
    segments = [segment for segment in atlas.segments if segment[2] & bit]
    mouths = mouth_images(art, poses.visemes)
    node = last = -1
    out = Poses(poses.axes.copy(), poses.visemes)
    for i in range(len(poses)):
        if node == last:
            first, count, _ = segments[random.integers(len(segments))]
            node, last = first, first + count - 1
        else:
            node += 1
        for axis, value in atlas.head(node).items():
            out.axes[i, axis] = round(value * ONE)
        yield Moment(out, i, node, atlas.choose(out.axes[i] / ONE, int(mouths[i])))


def shown_poses(moments: list[Moment], parts: list[str], variants: dict[str, Variants]) -> Poses:
    """The poses that an atlas has for a performance: parts in the variants that were chosen. `parts`: of each choice,
    or "" where it has none."""
    out = Poses(
        np.array([moment.poses.axes[moment.at] for moment in moments]),
        np.array([moment.poses.visemes[moment.at] for moment in moments]),
    )
    for k, part in enumerate(parts):
        if part:
            chosen, own = [moment.variants[k] for moment in moments], list(PARTS[part])
            out.axes[:, own] = variants[part].poses.axes[chosen][:, own]
            if part == "mouth":
                out.visemes[:] = variants[part].poses.visemes[chosen]
    return out


def measure(
    atlas: _core.Atlas, native: _core.NativeAvatar, art: Art, fps: Fraction, said: tuple[bytes, int]
) -> tuple[tuple[float, float, float], float]:
    """(PSNR of Y, U and V in dB, kbit/s) of speech, stitched and decoded, against the drawing of the same poses."""
    easel, stitcher, decoder = Easel(native), _core.Stitcher(atlas), Decoder()
    poses = watch("speaking", fps, MEASURED, 77, said)
    found, size = [], 0
    for moment in performance(atlas, art, fps, poses, "speaking"):
        unit = stitcher.unit(moment.node, moment.variants, moment.at == 0)
        size += len(unit)
        drawn = easel.draw(moment.poses, moment.at).canvas.i420
        found.append(errors(decoder.decode(unit), drawn, easel.width, easel.height))
    y, u, v = (round(psnr(float(error)), 2) for error in np.mean(found, 0))
    return (y, u, v), round(8 * size * float(fps) / len(poses) / 1000, 1)


__all__ = ["MEASURED", "ONE", "Moment", "errors", "measure", "performance", "psnr", "quantizer"]
