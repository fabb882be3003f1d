"""An avatar as files for a browser, which draws it by the rules of the C core: js/src/draw2d.js.

A manifest in JSON says what a pose shows and where, in the whole numbers of the compositor (`rig`), and has the
addresses, relative to its own, of the images: the background and the sheets that hold everything else (`packing`). An
image is named by what it holds, so it never changes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple
from urllib.parse import quote
from zipfile import ZipFile

import av
import numpy as np
from numpy.typing import NDArray

from .. import _core
from ..errors import InvalidArgument
from . import Avatar
from .art import AXES, VISEMES
from .builtin import BUILTIN
from .cache import DRAWING, Keeper
from .packing import Piece, pack
from .rig import RigLayer, mouth_points, rig
from .still import rest_axes

FORMAT = 1
ONE = 32767
"""Of a pose, as the engine has it."""
MAX_SIDE = 2560
MAX_PIXELS = 2560 * 1600
"""Of a picture that artwork is made for."""
KEPT_BYTES = 96 * 1024 * 1024
"""Of all files that stay in memory; the longest unused go first."""
SHAPES = ((16, 9), (1, 1), (9, 16))
LONGEST = (320, 480, 640, 960, 1280, 1920, MAX_SIDE)
"""Pixels of the longer side."""


def ladder(w: int, h: int) -> tuple[tuple[int, int], ...]:
    """Sizes of pictures of this shape, even, the small ones first."""
    whole = ((max(16, 2 * round(side * one / max(w, h) / 2)) for one in (w, h)) for side in LONGEST)
    return tuple((width, height) for width, height in whole if width * height <= MAX_PIXELS)


SIZES = tuple(ladder(w, h) for w, h in SHAPES)
"""(width, height) that artwork is made in: of each shape, widest first, the small ones first. Few, so that many clients
have what one has waited for, and nobody keeps a server at work with ever another size."""
ObjectFit = Literal["cover", "contain", "fill"]
OBJECT_FITS: dict[str, ObjectFit] = {"crop": "cover", "letterbox": "contain", "scale": "fill"}
"""By an avatar's `fit`: CSS's word for it."""
LEVEL = 0
"""How hard images are packed, 0..6: 1 takes four times as long for 90 % of the bytes."""


class WebAvatar(NamedTuple):
    """The files of an avatar for pictures of one size."""

    manifest: bytes
    """JSON."""
    tag: str
    """Of the manifest: the same where its bytes are."""
    images: dict[str, bytes]
    """WebP by file name."""

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return len(self.manifest) + sum(map(len, self.images.values()))


def check_size(width: int, height: int) -> None:
    """Raises InvalidArgument unless artwork is made for pictures of this size."""
    _core.check_size(width, height)
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise InvalidArgument(
            f"artwork is made for at most {MAX_SIDE} pixels a side and {MAX_PIXELS} in all, not {width}x{height}; "
            "ask for less, and have it scaled"
        )


def object_fit(avatar: Avatar) -> ObjectFit:
    """How its picture lies in a place of another shape: as its artwork does in a frame."""
    return OBJECT_FITS["crop" if avatar.manifest is None else avatar.manifest.fit]


def size_for(avatar: Avatar, width: int, height: int) -> tuple[int, int]:
    """The size in which an avatar is made for pictures of this one: the smallest that covers them (or, of what is shown
    whole, fits into them) when it is scaled up by no more than a sixteenth, else the largest. Of artwork that fills
    frames of any shape that is one of `SIZES`, of the narrowest shape that is not narrower (at its sides an avatar has
    nothing that is missed; else the widest); of other artwork it has the artwork's own shape.

    Raises:
        InvalidArgument: as `check_size`.
    """
    check_size(width, height)
    fit = object_fit(avatar)
    if fit == "cover" or avatar.manifest is None:
        sizes = next((sizes for sizes in reversed(SIZES) if sizes[0][0] * height >= width * sizes[0][1]), SIZES[0])
    else:
        sizes = ladder(*avatar.manifest.size)
    enough = any if fit == "contain" else all
    return next(((w, h) for w, h in sizes if enough((17 * w >= 16 * width, 17 * h >= 16 * height))), sizes[-1])


def web_avatar(avatar: Avatar, width: int, height: int) -> WebAvatar:
    """The files for pictures of width x height pixels (even, 16..2560, at most 4 million pixels). Takes as long as
    `Avatar.at`, and about a second more: not for an event loop's thread.

    Raises:
        InvalidArgument: the size is out of range, or this avatar has too many images for it.
    """
    check_size(width, height)
    art, native = avatar.art(width, height), avatar.at(width, height)
    layers = rig(art)
    sheets, pieces = pack([image for layer in art.layers for image in layer.images])
    images: dict[str, bytes] = {}

    def named(picture: NDArray[np.uint8]) -> str:
        data = webp(picture)
        name = _name(data)
        images[name] = data
        return f"{quote(avatar.name, safe='')}/{width}x{height}/{name}"

    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": avatar.name,
        "width": width,
        "height": height,
        "fit": object_fit(avatar),
        "matte": "#000000" if avatar.manifest is None else avatar.manifest.matte,
        "axes": AXES,
        "visemes": VISEMES,
        "rest": {axis: round(value * ONE) for axis, value in zip(AXES, rest_axes(), strict=True) if value},
        "background": named(art.background),
        "sheets": [named(sheet) for sheet in sheets],
        "layers": [
            _layer(layer.name, row, pieces[row.first - 1 : row.first - 1 + row.images])
            for layer, row in zip(art.layers, layers, strict=True)
        ],
        "head": _head(native, layers, pieces),
        "mouth": {"images": mouth_points(art)[0].tolist(), "visemes": mouth_points(art)[1].tolist()},
    }
    return _named(json.dumps(manifest, separators=(",", ":")).encode(), images)


def _name(data: bytes) -> str:
    """Of an image."""
    return f"{hashlib.sha256(data).hexdigest()[:20]}.webp"


def _named(manifest: bytes, images: dict[str, bytes]) -> WebAvatar:
    return WebAvatar(manifest, hashlib.sha256(manifest).hexdigest()[:20], images)


def _layer(name: str, row: RigLayer, pieces: Sequence[Piece | None]) -> dict[str, Any]:
    """`lw_layer` in JSON: gains of the axes that have any, and where each image lies (`Piece`; null: it shows
    nothing)."""
    select = {_core.SELECT_FIXED: "fixed", _core.SELECT_MOUTH: "mouth"}.get(row.select) or AXES[row.select]
    gains = {
        key: {axis: gain for axis, gain in zip(AXES, getattr(row, key), strict=True) if gain}
        for key in ("kx8", "ky8", "kangle")
    }
    place = {key: getattr(row, key) for key in ("x8", "y8", "pivot_x8", "pivot_y8")}
    return {"name": name, "select": select, **place, **gains, "images": pieces}


def _head(native: _core.NativeAvatar, layers: list[RigLayer], pieces: Sequence[Piece | None]) -> dict[str, int] | None:
    """Which layers are drawn as one, and the pixels, from the corner of the anchor's image on, that they may touch in
    any pose; None: there are no such layers."""
    first, count, anchor = native.head
    if not count:
        return None
    on = layers[anchor]
    across: list[tuple[int, int]] = []
    down: list[tuple[int, int]] = []
    for row in layers[first : first + count]:
        for piece in filter(None, pieces[row.first - 1 : row.first - 1 + row.images]):
            across.append(_reach(row.x8 - on.x8, row.kx8, on.kx8, piece.dx, piece.w))
            down.append(_reach(row.y8 - on.y8, row.ky8, on.ky8, piece.dy, piece.h))
    x, y = min(across)[0], min(down)[0]
    w, h = max(end for _, end in across) - x, max(end for _, end in down) - y
    return {"first": first, "count": count, "anchor": anchor, "x": x, "y": y, "w": w, "h": h}


def _reach(apart8: int, gains: list[int], anchor: list[int], at: int, size: int) -> tuple[int, int]:
    """The first pixel along one axis that an image may touch, and the one behind the last."""
    far8 = sum(abs(gain - other) for gain, other in zip(gains, anchor, strict=True)) + 2
    return (apart8 - far8 >> 3) + at, (apart8 + far8 + 7 >> 3) + at + size


def webp(picture: NDArray[np.uint8]) -> bytes:
    """(h, w, 4) RGBA, straight alpha, as WebP without loss; what is transparent is black."""
    height, width = picture.shape[:2]
    codec = av.CodecContext.create("libwebp", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "bgra"
    codec.time_base = Fraction(1, 25)
    codec.options = {"lossless": "1", "compression_level": str(LEVEL)}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[..., [2, 1, 0, 3]]), format="bgra")
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def _read(path: Path) -> WebAvatar:
    with ZipFile(path) as file:
        manifest = file.read(MANIFEST)
        images = {_name(data): data for data in (file.read(name) for name in file.namelist() if name != MANIFEST)}
    told = json.loads(manifest)
    if images.keys() != {address.rpartition("/")[2] for address in (told["background"], *told["sheets"])}:
        raise ValueError(f"{path} is damaged: it lacks an image")  # an archive's directory has no checksum
    return _named(manifest, images)


def _write(file: IO[bytes], made: WebAvatar) -> None:
    with ZipFile(file, "w") as archive:
        for name, data in {MANIFEST: made.manifest, **made.images}.items():
            archive.writestr(name, data)


MANIFEST = "manifest.json"
_files = Keeper(".zip", (*DRAWING, "packing", "rig", "still", "web"), _read, _write)


def _is_built_in(avatar: Avatar) -> bool:
    return avatar.name in BUILTIN and avatar is Avatar.load(avatar.name)  # artwork may have any name


class WebAvatars:
    """The files that were asked for last. Safe on any thread; one set is made at a time."""

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Avatar, int, int], WebAvatar] = OrderedDict()

    def find(self, avatar: Avatar, width: int, height: int) -> WebAvatar | None:
        """What was made before, out of memory or the cache; None: nothing was. Waits for nothing that is being made."""
        with self._lock:
            made = self._kept.get((avatar, width, height))
            if made is not None:
                self._kept.move_to_end((avatar, width, height))
                return made
        made = _files.find(avatar.name, width, height) if _is_built_in(avatar) else None
        return made and self._keep(avatar, width, height, made)

    def get(self, avatar: Avatar, width: int, height: int) -> WebAvatar:
        """As `web_avatar`, at once for what was made before."""
        check_size(width, height)
        with self._making:
            made = self.find(avatar, width, height)
            if made is None:
                made = web_avatar(avatar, width, height)
                if _is_built_in(avatar):
                    _files.keep(avatar.name, width, height, made)
                self._keep(avatar, width, height, made)
            return made

    def _keep(self, avatar: Avatar, width: int, height: int, made: WebAvatar) -> WebAvatar:
        with self._lock:
            self._kept[avatar, width, height] = made
            self._kept.move_to_end((avatar, width, height))
            while sum(made.nbytes for made in self._kept.values()) > KEPT_BYTES and len(self._kept) > 1:
                self._kept.popitem(last=False)
        return made
