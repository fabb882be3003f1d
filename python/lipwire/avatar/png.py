"""PNG files as pictures: Pillow reads them, and what it reads otherwise than the standard says is put right.

Of a file only the chunks that make the picture are looked at (ISO/IEC 15948, 5.6): notes, profiles and times may be
as long as they like, or damaged.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import BadData

if TYPE_CHECKING:
    from PIL.Image import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIDE = 4096
PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
"""The chunks that make the picture."""
GREY, RGB = 0, 2
"""Colour types whose transparency is one colour (ISO/IEC 15948, 11.3.1.1)."""


def decode(data: bytes) -> Image:
    """A PNG file of any colour type, depth and interlacing as RGBA, 8 bits, straight alpha. Sixteen bits are rounded to
    eight; gAMA and profiles are not applied.

    Raises:
        BadData: it is no PNG file, damaged, or larger than 4096 pixels a side; the text says which.
    """
    from PIL import Image

    if not data.startswith(SIGNATURE):
        raise BadData("it is not a PNG file")
    chunks = list(_chunks(data))
    _check_size(chunks)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own guess at bombs; the limit here is lower
            picture = SIGNATURE + b"".join(whole for name, whole in chunks if name in PICTURE)
            with Image.open(io.BytesIO(picture), formats=("PNG",)) as image:
                clear = next((whole[8:-4] for name, whole in chunks if name == b"tRNS"), b"")
                return _rgba(image, picture, clear)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as exc:
        raise BadData(f"the PNG is damaged: {exc}") from exc


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, the whole chunk) of each, to the end; of one that is cut off what is there."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, data[at : at + length + 12]
        at += length + 12


def _check_size(chunks: list[tuple[bytes, bytes]]) -> None:
    """Before Pillow reads a file, which calls one that is far too large damaged. Raises BadData."""
    headers = [whole for name, whole in chunks if name == b"IHDR" and len(whole) >= 16]
    for width, height in (struct.unpack_from(">II", header, 8) for header in headers):
        if max(width, height) > MAX_SIDE:
            raise BadData(f"it is {width} x {height} pixels, at most {MAX_SIDE} a side are allowed")


def _rgba(image: Image, data: bytes, clear: bytes) -> Image:
    """The picture, of a file whose first chunk is IHDR; `clear` is what its tRNS holds."""
    depth, kind = struct.unpack_from(">BB", data, len(SIGNATURE) + 16)
    if kind == GREY and (depth == 16 or clear):
        return _grey(image, depth, clear)
    if kind == RGB and depth == 16 and clear:
        opaque = image.copy()
        opaque.info.pop("transparency", None)  # Pillow compares eight bits of it
        rgba = opaque.convert("RGBA")
        rgba.putalpha(_alpha(data))
        return rgba
    return image.convert("RGBA")


def _grey(image: Image, depth: int, clear: bytes) -> Image:
    from PIL import Image

    if depth == 16:
        samples = np.asarray(image).astype(np.int64)
        level = (samples * 255 + 32895) >> 16
    else:
        image.info.pop("transparency", None)
        level = np.asarray(image.convert("L")).astype(np.int64)
        samples = level * ((1 << depth) - 1) // 255
    alpha = np.full(level.shape, 255)
    if clear:
        alpha[samples == (struct.unpack(">H", clear)[0] & ((1 << depth) - 1))] = 0
    rgba: NDArray[np.uint8] = np.stack([level, level, level, alpha], -1).astype(np.uint8)
    return Image.fromarray(rgba)


def _alpha(data: bytes) -> Image:
    """Which pixels are clear, by FFmpeg, which compares all sixteen bits."""
    import av
    from PIL import Image

    try:
        with av.open(io.BytesIO(data), "r", format="png_pipe") as file:
            frame = next(file.decode(video=0))
    except (av.FFmpegError, StopIteration) as exc:
        raise BadData(f"the PNG is damaged: {exc}") from exc
    return Image.fromarray(np.ascontiguousarray(frame.to_ndarray(format="rgba")[..., 3]))
