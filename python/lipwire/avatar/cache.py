"""What is made of the built-in avatars, in the user's cache directory, keyed by the code that makes it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import IO, Generic, TypeVar
from zipfile import BadZipFile

import numpy as np

from .. import caches
from .art import Art, Layer
from .builtin import draw

T = TypeVar("T")
DAMAGED = (ValueError, KeyError, TypeError, EOFError, BadZipFile, zlib.error, struct.error)
"""What reading a damaged archive raises: where a bit of its directory has turned, it may say that it is compressed."""
MAX_BYTES = 256 * 1024 * 1024
"""Of all that is kept; the longest unused goes first."""


def folder() -> Path:
    """Where drawings are kept."""
    return caches.folder("avatars")


@cache
def _version(modules: tuple[str, ...]) -> str:
    """Of everything that has a part in a drawing."""
    digest = hashlib.sha256(np.__version__.encode())
    for name in modules:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


class Keeper(Generic[T]):
    """Keeps what is made of a built-in avatar for one size, in a file each. A cache that cannot be read or written is
    no error.

    Args:
        suffix: of the files. modules: of this folder, those that make it. read, write: a file's content; what `read`
        raises, other than a fault of its own, is a damaged file's.
    """

    def __init__(
        self, suffix: str, modules: tuple[str, ...], read: Callable[[Path], T], write: Callable[[IO[bytes], T], None]
    ) -> None:
        self._suffix, self._modules, self._read, self._write = suffix, modules, read, write

    def get(self, name: str, width: int, height: int, make: Callable[[], T]) -> T:
        """Out of the cache where it was made before, else of `make`."""
        made = self.find(name, width, height)
        if made is None:
            made = make()
            self.keep(name, width, height, made)
        return made

    def find(self, name: str, width: int, height: int) -> T | None:
        """What was made before; None: nothing was, or it is damaged."""
        # Also RuntimeError: there is no home.
        with contextlib.suppress(OSError, RuntimeError, *DAMAGED):
            path = self._path(name, width, height)
            kept = self._read(path)
            os.utime(path)
            return kept
        return None

    def keep(self, name: str, width: int, height: int, made: T) -> None:
        """Puts it into the cache."""
        with contextlib.suppress(OSError, RuntimeError):
            path = self._path(name, width, height)
            path.parent.mkdir(parents=True, exist_ok=True)
            caches.write(path, lambda file: self._write(file, made))
            caches.prune(path, MAX_BYTES)

    def has(self, name: str, width: int, height: int) -> bool:
        """Whether it was made before."""
        try:
            return self._path(name, width, height).is_file()
        except (OSError, RuntimeError):
            return False

    def _path(self, name: str, width: int, height: int) -> Path:
        return folder() / f"{name}-{width}x{height}-{_version(self._modules)}{self._suffix}"


def drawn(name: str, width: int, height: int) -> Art:
    """`draw`, out of the cache where it has been drawn before."""
    return _drawings.get(name, width, height, lambda: draw(name, width, height))


def is_drawn(name: str, width: int, height: int) -> bool:
    """Whether `drawn` has it."""
    return _drawings.has(name, width, height)


def _read(path: Path) -> Art:
    with np.load(path, allow_pickle=False) as file:
        meta = json.loads(bytes(file["meta"]))
        layers = [
            Layer(**{**layer, "images": list(file[f"layer{i}"]), "pivot": tuple(layer["pivot"])})
            for i, layer in enumerate(meta["layers"])
        ]
        return Art(
            meta["name"],
            meta["width"],
            meta["height"],
            file["background"],
            layers,
            file["mouth_coords"],
            file["viseme_coords"],
        )


def _write(file: IO[bytes], art: Art) -> None:
    meta = {
        "name": art.name,
        "width": art.width,
        "height": art.height,
        "layers": [
            {f.name: getattr(layer, f.name) for f in fields(layer) if f.name != "images"} for layer in art.layers
        ],
    }
    np.savez(
        file,
        meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
        background=art.background,
        mouth_coords=art.mouth_coords,
        viseme_coords=art.viseme_coords,
        **{f"layer{i}": np.stack(layer.images) for i, layer in enumerate(art.layers)},  # type: ignore[arg-type]
    )


DRAWING = ("art", "raster", "figure", "mouth", "toon", "aria", "ohm", "kit", "builtin", "cache")
"""The modules that draw the built-in avatars."""
_drawings = Keeper(".npz", DRAWING, _read, _write)
