"""Avatars made of artwork: avatar.toml and PNG layers, fitted to any frame size."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import BadData, LipwireError
from . import mouth
from .art import VISEMES, Art, Layer
from .figure import LIFT, SWAY
from .manifest import Fault, LayerSpec, Manifest, color, read_manifest
from .png import decode
from .source import MANIFEST, Source, open_source

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 48 * 1024 * 1024
"""Of all images of an avatar."""
HEAD_SHARE = SWAY / 440
BREATH_SHARE = LIFT / 440
"""What a layer of depth 1 moves by, as a share of the artwork's height."""
Progress = Callable[[int, int], None]


class MissingPillow(LipwireError, ImportError):
    """Artwork is read by Pillow, which is not installed."""


class Fitting(NamedTuple):
    """From artwork to frame pixels: frame = artwork * (sx, sy) + (ox, oy)."""

    sx: float
    sy: float
    ox: float
    oy: float


def need_pillow() -> None:
    """Raises MissingPillow, which says what to install."""
    try:
        import PIL.Image  # noqa: F401
    except ModuleNotFoundError as exc:
        raise MissingPillow("avatars of PNG files need Pillow: pip install 'lipwire[avatar]'") from exc


def fitting(manifest: Manifest, width: int, height: int) -> Fitting:
    """How the artwork lies in a frame."""
    w, h = manifest.size
    sx, sy = width / w, height / h
    if manifest.fit != "scale":
        sx = sy = max(sx, sy) if manifest.fit == "crop" else min(sx, sy)
    return Fitting(sx, sy, (width - w * sx) / 2, (height - h * sy) / 2)


class Artwork:
    """An avatar of files, checked whole. `images` holds what every file shows.

    Raises:
        BadData: with every fault, one a line.
    """

    def __init__(self, path: Path, progress: Progress | None = None) -> None:
        manifest, images, faults = examine(path, progress)
        if manifest is None or faults:
            raise BadData("\n".join([f"{path} has faults:", *map(str, faults)]))
        self.path = path
        self.manifest = manifest
        self._images = images

    def at(self, width: int, height: int) -> Art:
        """The avatar for frames of width x height pixels."""
        m = self.manifest
        fit = fitting(m, width, height)
        layers = [self._layer(spec, fit) for spec in m.layers]
        shapes = next(spec.shapes for spec in m.layers if spec.select == "mouth")
        coords, visemes = mouth_space(m.visemes, shapes)
        return Art(m.name, width, height, self._background(width, height, fit), layers, coords, visemes)

    def _background(self, width: int, height: int, fit: Fitting) -> NDArray[np.uint8]:
        from PIL import Image

        m = self.manifest
        out = Image.new("RGBA", (width, height), (*color(m.matte), 255))
        w, h = m.size
        left, right = max(round(fit.ox), 0), min(round(fit.ox + w * fit.sx), width)
        top, bottom = max(round(fit.oy), 0), min(round(fit.oy + h * fit.sy), height)
        size = max(right - left, 1), max(bottom - top, 1)
        if m.background.startswith("#"):
            picture = Image.new("RGBA", size, (*color(m.background), 255))
        else:  # not by `resample`: its transparent border would darken the frame's edge
            x0, x1 = ((x - fit.ox) / fit.sx for x in (left, right))
            y0, y1 = ((y - fit.oy) / fit.sy for y in (top, bottom))
            box = (max(x0, 0.0), max(y0, 0.0), min(x1, float(w)), min(y1, float(h)))
            picture = self._images[m.background].resize(size, Image.Resampling.BICUBIC, box=box)
        out.alpha_composite(picture, (left, top))
        return np.array(out)

    def _layer(self, spec: LayerSpec, fit: Fitting) -> Layer:
        first = next(self._images[name] for name in spec.images if name)
        bank = []
        for name in spec.images:
            pixels, x, y = resample(self._images[name] if name else first, spec.at, fit)
            bank.append(pixels if name else np.zeros_like(pixels))
        height = self.manifest.size[1]
        kx = {"head_x": spec.depth * HEAD_SHARE * height * fit.sx} if spec.depth else {}
        ky = {"head_y": spec.depth * HEAD_SHARE * height * fit.sy} if spec.depth else {}
        for axis, (dx, dy) in spec.move.items():
            kx[axis] = kx.get(axis, 0.0) + dx * fit.sx
            ky[axis] = ky.get(axis, 0.0) + dy * fit.sy
        pivot = spec.pivot[0] * fit.sx + fit.ox, spec.pivot[1] * fit.sy + fit.oy
        return Layer(spec.name, bank, float(x), float(y), spec.select, kx, ky, dict(spec.turn), pivot)


def mouth_space(visemes: dict[str, str], shapes: tuple[str, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of shapes and of visemes: a shape lies amid its visemes in the space of drawn mouths, so that between
    two shapes those that look in between are shown."""
    space = mouth.viseme_coords()
    users = {shape: [i for i, v in enumerate(VISEMES) if visemes[v] == shape] for shape in shapes}
    # A shape that no viseme uses is never the nearest.
    coords = np.array([space[users[s]].mean(0) if users[s] else np.full(space.shape[1], -7.0) for s in shapes])
    return coords, np.array([coords[shapes.index(visemes[v])] for v in VISEMES])


def resample(image: Image, at: tuple[float, float], fit: Fitting) -> tuple[NDArray[np.uint8], int, int]:
    """An image of the artwork as frame pixels on whole coordinates: (RGBA, x, y), with a transparent border and even
    sides. Pillow filters premultiplied, so that edges stay clean."""
    from PIL import Image

    left, top = at[0] * fit.sx + fit.ox, at[1] * fit.sy + fit.oy
    x, y = math.floor(left) - 1, math.floor(top) - 1
    w = math.ceil(left + image.width * fit.sx) + 1 - x
    h = math.ceil(top + image.height * fit.sy) + 1 - y
    w, h = w + (w & 1), h + (h & 1)
    px, py = math.ceil(3 / fit.sx) + 1, math.ceil(3 / fit.sy) + 1
    padded = Image.new("RGBA", (image.width + 2 * px, image.height + 2 * py))
    padded.paste(image, (px, py))
    x0, y0 = px - (left - x) / fit.sx, py - (top - y) / fit.sy
    box = (x0, y0, x0 + w / fit.sx, y0 + h / fit.sy)
    return np.array(padded.resize((w, h), Image.Resampling.BICUBIC, box=box)), x, y


def examine(path: Path, progress: Progress | None = None) -> tuple[Manifest | None, dict[str, Image], list[Fault]]:
    """Reads an avatar: what it is, its images by file name, and everything that is wrong with it."""
    need_pillow()
    try:
        source = open_source(path)
    except BadData as exc:
        return None, {}, [Fault(str(path), 0, str(exc).removeprefix(f"{path}: "))]
    try:
        manifest, faults = read_manifest(source)
        if manifest is None:
            return None, {}, faults
        images = _images(source, manifest, faults, progress)
        return manifest, images, faults
    finally:
        source.close()


def _images(source: Source, manifest: Manifest, faults: list[Fault], progress: Progress | None) -> dict[str, Image]:
    uses: dict[str, int] = {}
    if not manifest.background.startswith("#"):
        uses[manifest.background] = manifest.background_line
    for spec in manifest.layers:
        for name in spec.images:
            if name:
                uses.setdefault(name, spec.line)
    images: dict[str, Image] = {}
    pixels = 0
    for done, (name, line) in enumerate(uses.items()):
        if progress:
            progress(done, len(uses))
        try:
            image = decode(source.read(name))
        except BadData as exc:
            faults.append(Fault(MANIFEST, line, f"{name}: {exc}"))
            continue
        pixels += image.width * image.height
        if pixels > MAX_PIXELS:
            faults.append(Fault(MANIFEST, line, f"{name}: the images have more than {MAX_PIXELS >> 20} million pixels"))
            break
        images[name] = image
    if progress:
        progress(len(uses), len(uses))
    background = images.get(manifest.background)
    if background is not None and background.size != manifest.size:
        faults.append(
            Fault(
                MANIFEST,
                manifest.background_line,
                f"{manifest.background}: it is {_size(background)} pixels, `size` says "
                f"{manifest.size[0]} x {manifest.size[1]}",
            )
        )
    for spec in manifest.layers:
        found = [(name, images[name]) for name in spec.images if name in images]
        for name, image in found[1:]:
            if image.size != found[0][1].size:
                faults.append(
                    Fault(
                        MANIFEST,
                        spec.line,
                        f"{name}: it is {_size(image)} pixels, {found[0][0]} is {_size(found[0][1])}; "
                        "all images of a layer have one size",
                    )
                )
    return images


def _size(image: Image) -> str:
    return f"{image.width} x {image.height}"
