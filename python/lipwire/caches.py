"""Files of ours in the user's cache directory: written whole or not at all, and no more of them than there is room for.
Several processes have one cache; what another has just removed is nobody's error."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

ABANDONED = 3600
"""Seconds after which what was written in part belongs to a process that is gone."""


def folder(kind: str) -> Path:
    """Where files of a kind are kept: under $XDG_CACHE_HOME, or ~/.cache. Raises RuntimeError: there is no home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lipwire" / kind


def write(path: Path, put: Callable[[IO[bytes]], object]) -> None:
    """Makes a file, with what `put` writes into it, whole or not at all: another process may be reading. Raises
    OSError, and whatever `put` does."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            put(file)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def prune(keep: Path, most: int) -> None:
    """Removes what processes that are gone have left in part and, of the files that end as `keep` does, the longest
    unused ones, until all have `most` bytes. `keep` itself stays. Raises OSError."""
    for part in keep.parent.glob("*.part"):
        with contextlib.suppress(FileNotFoundError):  # whole by now
            if part.stat().st_mtime < time.time() - ABANDONED:
                part.unlink()
    files = []
    for file in keep.parent.glob(f"*{keep.suffix}"):
        with contextlib.suppress(FileNotFoundError):  # another process has just removed it
            files.append(((there := file.stat()).st_mtime, there.st_size, file))
    total = 0
    for _, size, file in sorted(files, key=lambda entry: (entry[2] != keep, -entry[0])):
        total += size
        if total > most and file != keep:
            file.unlink(missing_ok=True)
