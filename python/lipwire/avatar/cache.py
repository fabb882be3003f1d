"""Drawings of the built-in avatars in the user's cache directory, keyed by the code that draws them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from .. import caches
from .art import Art, Layer
from .builtin import draw

MAX_BYTES = 256 * 1024 * 1024
"""Of all that is kept; the longest unused goes first."""


def folder() -> Path:
    """Where drawings are kept."""
    return caches.folder("avatars")


@cache
def _version() -> str:
    """Of everything that has a part in a drawing."""
    digest = hashlib.sha256(np.__version__.encode())
    for name in ("art", "raster", "figure", "mouth", "toon", "aria", "ohm", "kit", "builtin", "cache"):
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def drawn(name: str, width: int, height: int) -> Art:
    """`draw`, out of the cache where it has been drawn before. A cache that cannot be read or written is no error."""
    try:
        path = _path(name, width, height)
    except (OSError, RuntimeError):  # no home, no readable source
        return draw(name, width, height)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        art = _read(path)
        os.utime(path)
        return art
    art = draw(name, width, height)
    with contextlib.suppress(OSError):
        _write(path, art)
        caches.prune(path, MAX_BYTES)
    return art


def is_drawn(name: str, width: int, height: int) -> bool:
    """Whether `drawn` has it."""
    try:
        return _path(name, width, height).is_file()
    except (OSError, RuntimeError):
        return False


def _path(name: str, width: int, height: int) -> Path:
    return folder() / f"{name}-{width}x{height}-{_version()}.npz"


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


def _write(path: Path, art: Art) -> None:
    meta = {
        "name": art.name,
        "width": art.width,
        "height": art.height,
        "layers": [
            {f.name: getattr(layer, f.name) for f in fields(layer) if f.name != "images"} for layer in art.layers
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    images: dict[str, Any] = {f"layer{i}": np.stack(layer.images) for i, layer in enumerate(art.layers)}
    caches.write(
        path,
        lambda file: np.savez(
            file,
            meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
            background=art.background,
            mouth_coords=art.mouth_coords,
            viseme_coords=art.viseme_coords,
            **images,
        ),
    )
