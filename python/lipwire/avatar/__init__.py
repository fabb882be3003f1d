"""Avatars: drawing them and baking them into the compositor's form."""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np

from .. import _core
from ..errors import InvalidArgument
from .art import AXES, VISEMES, Art
from .builtin import BUILTIN, draw

__all__ = ["AXES", "VISEMES", "Avatar", "bake"]

COORD_SCALE = 4096
DEFAULT = BUILTIN[0]
_lock = threading.Lock()


def bake(art: Art) -> _core.NativeAvatar:
    """Converts drawn layers to the compositor's form (premultiplied I420, positions in eighths of a pixel)."""
    images = [art.background]
    layers = []
    for layer in art.layers:
        if layer.select == "fixed":
            select = _core.SELECT_FIXED
        elif layer.select == "mouth":
            select = _core.SELECT_MOUTH
        else:
            select = AXES.index(layer.select)
        kx, ky = ([round(gains.get(axis, 0.0) * 8) for axis in AXES] for gains in (layer.kx, layer.ky))
        position = round(layer.x * 8), round(layer.y * 8)
        layers.append((len(images), len(layer.images), select, *position, kx, ky))
        images.extend(layer.images)
    mouth, visemes = (
        np.rint(np.asarray(coords) * COORD_SCALE).astype(np.int16) for coords in (art.mouth_coords, art.viseme_coords)
    )
    return _core.NativeAvatar(art.width, art.height, images, layers, mouth, visemes)


@lru_cache(maxsize=8)
def _baked(name: str, width: int, height: int) -> _core.NativeAvatar:
    return bake(draw(name, width, height))


class Avatar:
    """A face to speak with. It is drawn for a frame size when first asked for that size."""

    def __init__(self, name: str) -> None:
        if name not in BUILTIN:
            raise InvalidArgument(f"unknown avatar {name!r}; the built-in ones are: {', '.join(BUILTIN)}")
        self.name = name

    @classmethod
    def load(cls, name: str) -> Avatar:
        """The avatar of this name.

        Raises:
            InvalidArgument: there is none.
        """
        return cls(name)

    @staticmethod
    def builtin() -> tuple[str, ...]:
        """Names of the built-in avatars."""
        return BUILTIN

    def at(self, width: int, height: int) -> _core.NativeAvatar:
        """The avatar drawn for frames of width x height pixels (even, 16..4096). Takes 0.3 to 2 s the first time;
        the last few sizes are kept and shared by all sessions.

        Raises:
            InvalidArgument: the size is out of range.
        """
        if width % 2 or height % 2 or not (16 <= width <= 4096 and 16 <= height <= 4096):
            raise InvalidArgument(f"frame size {width}x{height}: even numbers from 16 to 4096 are needed")
        with _lock:  # so that two sessions that start together draw it once
            return _baked(self.name, width, height)
