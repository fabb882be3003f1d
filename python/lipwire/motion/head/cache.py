"""The head in the user's cache directory, keyed by the code that makes it."""

from __future__ import annotations

import contextlib
import hashlib
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

from ... import caches

MAX_BYTES = 12_000_000
"""Of all that is kept: this head, and one that older code made."""
_one_at_a_time = Lock()


def folder() -> Path:
    """Where the head is kept. Raises RuntimeError: there is no home."""
    return caches.folder("heads")


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

    try:
        path = folder() / f"head-{version()}.glb"
    except (OSError, RuntimeError):  # no home, no readable source
        return build()
    with contextlib.suppress(OSError):
        return path.read_bytes()
    data = build()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        caches.write(path, lambda file: file.write(data))
        caches.prune(path, MAX_BYTES)
    return data
