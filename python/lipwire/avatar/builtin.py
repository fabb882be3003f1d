"""The avatars that are drawn, not loaded."""

from __future__ import annotations

from .. import _core
from . import aria, kit, mouth, ohm
from .art import Art
from .raster import View, to_rgba8

_CHARACTERS = {"aria": aria, "ohm": ohm, "kit": kit}
BUILTIN = tuple(_CHARACTERS)


def frame(width: int, height: int) -> View:
    """Head and shoulders in any frame: by height in wide ones, by width in tall ones."""
    scale = min(height / 440, width / 316)
    spare = height / scale - 440
    return View(scale, width / 2, scale * (180 + 0.26 * spare), width, height)


def draw(name: str, width: int, height: int) -> Art:
    """Draws a built-in avatar for frames of width x height pixels (even, 16..4096).

    Raises ValueError for an unknown name or a size out of range. The same arguments give the same bytes.
    """
    if name not in _CHARACTERS:
        raise ValueError(f"unknown built-in avatar {name!r}; there is {', '.join(BUILTIN)}")
    _core.check_size(width, height)
    view = frame(width, height)
    character = _CHARACTERS[name]
    layers = character.figure(view).layers
    room = to_rgba8(character.background(view))
    return Art(name, width, height, room, layers, mouth.coords(mouth.shapes()), mouth.viseme_coords())
