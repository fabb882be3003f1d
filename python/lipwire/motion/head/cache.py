"""The head in the user's cache directory, keyed by the code that makes it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

_one_at_a_time = Lock()


def folder() -> Path:
    """Where the head is kept: under $XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lipwire" / "heads"


def version() -> str:
    """Of everything that has a part in the head: what is made by other code has another one."""
    digest = hashlib.sha256(np.__version__.encode())
    for path in (*sorted(Path(__file__).parent.glob("*.py")), Path(__file__).parent.with_name("gltf.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def head_glb() -> bytes:
    """The head as a GLB file, about 5 MB. Made once for a user, which takes two seconds or so, and kept in the cache;
    a cache that cannot be read or written is no error. Threads may call it."""
    with _one_at_a_time:
        return _head()


@cache
def _head() -> bytes:
    from .build import build

    path = None
    with contextlib.suppress(OSError, RuntimeError):  # no home, no readable source
        path = folder() / f"head-{version()}.glb"
        return path.read_bytes()
    data = build()
    if path is not None:
        with contextlib.suppress(OSError):
            _keep(path, data)
    return data


def _keep(path: Path, data: bytes) -> None:
    """Writes it whole or not at all, and drops what older code made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(data)
            file.close()
            os.replace(file.name, path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise
    for other in path.parent.glob("head-*.glb"):
        if other != path:
            other.unlink(missing_ok=True)
