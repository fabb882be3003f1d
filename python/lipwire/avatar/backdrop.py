"""What is behind an avatar, in place of its own background: a colour or a picture."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ..errors import BadData, InvalidArgument
from . import Avatar
from .art import Art

COLOURS = {
    "black": "#000000",
    "white": "#ffffff",
    "gray": "#808080",
    "grey": "#808080",
    "silver": "#c0c0c0",
    "red": "#ff0000",
    "green": "#008000",
    "lime": "#00ff00",
    "blue": "#0000ff",
    "navy": "#000080",
    "teal": "#008080",
    "aqua": "#00ffff",
    "purple": "#800080",
    "fuchsia": "#ff00ff",
    "maroon": "#800000",
    "olive": "#808000",
    "yellow": "#ffff00",
    "orange": "#ffa500",
}
"""Names of CSS (Color Module Level 4), the basic ones."""


def with_backdrop(avatar: Avatar, backdrop: str | os.PathLike[str]) -> Avatar:
    """The same avatar before another background.

    Args:
        backdrop: a colour, "#rrggbb", "#rgb" or one of `COLOURS`; or the path of a picture, which fills the frame and
            is cut where its shape is another.

    Raises:
        InvalidArgument: it is neither. BadData: the picture cannot be read.
    """
    colour = parse_colour(os.fspath(backdrop))
    image = None if colour is not None else _read(Path(backdrop))

    def art(width: int, height: int) -> Art:
        background = np.full((height, width, 4), 255, np.uint8)
        background[..., :3] = _fill(image, width, height) if colour is None else np.array(colour, np.uint8)
        return replace(avatar.art(width, height), background=background)

    return avatar.drawn_by(art)


def parse_colour(text: str) -> tuple[int, int, int] | None:
    """Red, green and blue, 0..255; None: it is no colour."""
    code = COLOURS.get(text.lower(), text)
    digits = code[1:] if code.startswith("#") else ""
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    if len(digits) != 6 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        return None
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def _read(path: Path) -> Any:
    """The first picture in a file, as FFmpeg decodes it."""
    if not path.is_file():
        raise InvalidArgument(
            f"the background {os.fspath(path)!r} is no file, and no colour such as #2b6777, white or teal"
        )
    try:
        with av.open(f"file:{path}") as file:
            frame = next(iter(file.decode(video=0)), None) if file.streams.video else None
    except (OSError, av.FFmpegError) as exc:
        raise BadData(f"cannot read the background {path}: {getattr(exc, 'strerror', None) or exc}") from exc
    if frame is None:
        raise BadData(f"the background {path} is no picture")
    return frame


def _fill(image: Any, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3) RGB: scaled to fill, its middle. What is transparent becomes white."""
    scale = max(width / image.width, height / image.height)
    w, h = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    rgba = image.reformat(width=w, height=h, format="rgba", interpolation="BICUBIC").to_ndarray()
    left, top = (w - width) // 2, (h - height) // 2
    rgba = rgba[top : top + height, left : left + width].astype(np.uint16)
    alpha = rgba[..., 3:]
    filled: NDArray[np.uint8] = ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return filled
