"""Avatars: drawing and loading them, and baking them into the compositor's form."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .. import _core
from ..errors import InvalidArgument
from .art import AXES, VISEMES, Art, Axis, Viseme
from .builtin import BUILTIN
from .cache import drawn, is_drawn
from .rig import mouth_points, rig
from .voice import VOICES, Voice

if TYPE_CHECKING:
    from .manifest import Manifest

__all__ = ["AXES", "VISEMES", "Avatar", "Axis", "Viseme", "Voice", "bake"]

DEFAULT = BUILTIN[0]
KEPT = 8
"""Sizes of avatars that stay in memory."""


def bake(art: Art) -> _core.NativeAvatar:
    """Converts drawn layers to the compositor's form (premultiplied I420, positions in eighths of a pixel, angles in
    65536ths of a turn)."""
    images = [art.background, *(image for layer in art.layers for image in layer.images)]
    mouth, visemes = mouth_points(art)
    return _core.NativeAvatar(art.width, art.height, images, rig(art), mouth, visemes)


class Avatar:
    """A face to speak with: a built-in one by its name, or artwork by its path (docs/avatars.md).

    Raises:
        InvalidArgument: there is no such avatar. BadData: the artwork has faults; it says which and where.
    """

    def __init__(self, name: str) -> None:
        self._lock = threading.Lock()
        self._baked: OrderedDict[tuple[int, int], _core.NativeAvatar] = OrderedDict()
        self._art: Callable[[int, int], Art]
        self._is_drawn: Callable[[int, int], bool] = lambda width, height: True
        self.name: str
        self.voice: Voice
        """Who speaks, where nobody says otherwise."""
        self.manifest: Manifest | None = None
        """Of artwork; None = a built-in one."""
        if name in BUILTIN:
            self.name = name
            self.voice = VOICES[name]
            self._art = lambda width, height: drawn(name, width, height)
            self._is_drawn = lambda width, height: is_drawn(name, width, height)
        elif Path(name).exists():
            from .artwork import Artwork

            artwork = Artwork(Path(name))
            self.manifest = artwork.manifest
            self.name = artwork.manifest.name
            self.voice = artwork.manifest.voice.beside(Path(name))
            self._art = artwork.at
        else:
            raise InvalidArgument(
                f"unknown avatar {name!r}: no such file or folder, and the built-in ones are: {', '.join(BUILTIN)}"
            )

    def drawn_by(self, art: Callable[[int, int], Art]) -> Avatar:
        """The same avatar, which `art` draws for frames of width x height pixels, out of this one's drawing."""
        other = copy.copy(self)
        other._lock, other._baked, other._art = threading.Lock(), OrderedDict(), art
        return other

    @classmethod
    def load(cls, name: str) -> Avatar:
        """The avatar of this name or path. Loaded once: later calls share it, unless its file has changed.

        Raises:
            As the class.
        """
        key = name, _changed(name)
        with _loading:
            if key not in _loaded:
                _loaded[key] = cls(name)
                while len(_loaded) > KEPT:
                    _loaded.popitem(last=False)
            _loaded.move_to_end(key)
            return _loaded[key]

    @staticmethod
    def builtin() -> tuple[str, ...]:
        """Names of the built-in avatars."""
        return BUILTIN

    def art(self, width: int, height: int) -> Art:
        """The drawing itself, before it is baked."""
        return self._art(width, height)

    def is_drawn(self, width: int, height: int) -> bool:
        """Whether frames of this size were drawn before; if not, `at` may take seconds."""
        return (width, height) in self._baked or self._is_drawn(width, height)

    def at(self, width: int, height: int) -> _core.NativeAvatar:
        """The avatar drawn for frames of width x height pixels (even, 16..4096). Takes 0.3 to 2 s the first time that a
        built-in one is drawn at a size, then a tenth of it; the last few sizes are kept and shared by all sessions.

        Raises:
            InvalidArgument: the size is out of range.
        """
        _core.check_size(width, height)
        with self._lock:  # so that two sessions that start together draw it once
            if (width, height) not in self._baked:
                self._baked[width, height] = bake(self._art(width, height))
                if len(self._baked) > KEPT:
                    self._baked.popitem(last=False)
            self._baked.move_to_end((width, height))
            return self._baked[width, height]


_loading = threading.Lock()
_loaded: OrderedDict[tuple[str, object], Avatar] = OrderedDict()


def _changed(name: str) -> object:
    """Differs when the files of an avatar do, as far as their times say."""
    path = Path(name)
    if name in BUILTIN or not path.exists():
        return None
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return tuple((str(file), stat.st_mtime_ns, stat.st_size) for file in files for stat in (file.stat(),))
