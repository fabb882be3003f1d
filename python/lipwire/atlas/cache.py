"""Atlases in the user's cache directory, keyed by what is drawn and by what encodes it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import mmap
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import IO

import av
import numpy as np
from msgspec import json

from .. import _core, caches
from ..avatar import Avatar
from ..avatar.art import Art
from ..avatar.builtin import BUILTIN
from ..errors import BadData, LipwireError
from ..pools import give_way
from .apart import make_apart
from .build import NICE, QUALITIES, QUALITY, Report, preencode

MAX_BYTES = 1024**3
"""Of all that is kept; the longest unused goes first."""
KEPT = 8
"""Atlases that stay mapped, shared by all sessions of a process."""
NO_PART = ("__init__.py", "apart.py", Path(__file__).name)
"""Sources of this package that change nothing of what is made."""
logger = logging.getLogger("lipwire.atlas")
_lock = threading.Lock()
_open: OrderedDict[Path, _core.Atlas] = OrderedDict()
_making: set[tuple[Avatar, int, int, Fraction]] = set()
_failed: set[tuple[Avatar, int, int, Fraction]] = set()
_digests: weakref.WeakKeyDictionary[Avatar, dict[tuple[int, int], str]] = weakref.WeakKeyDictionary()


def folder() -> Path:
    """Where atlases are kept."""
    return caches.folder("atlases")


@cache
def _version() -> str:
    """Of everything that has a part in an atlas, but for the drawing."""
    digest = hashlib.sha256(f"{_core.core_version()} {av.__version__} {np.__version__}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        if source.name not in NO_PART:
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _drawing(art: Art) -> str:
    digest = hashlib.sha256(art.background.tobytes())
    for layer in art.layers:
        digest.update(repr((layer.x, layer.y, layer.select, layer.kx, layer.ky, layer.turn, layer.pivot)).encode())
        for image in layer.images:
            digest.update(image.tobytes())
    for coords in (art.mouth_coords, art.viseme_coords):
        digest.update(np.asarray(coords).tobytes())
    return digest.hexdigest()


def path_of(avatar: Avatar, width: int, height: int, fps: Fraction, quality: str = QUALITY) -> Path:
    """The file of an atlas, which need not be there. Draws the avatar, if it was not drawn before."""
    with _lock:
        known = _digests.setdefault(avatar, {})
    if (width, height) not in known:
        known[width, height] = _drawing(avatar.art(width, height))
    digest = hashlib.sha256(f"{known[width, height]} {_version()} {fps} {quality}".encode()).hexdigest()[:20]
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in avatar.name)
    rate = f"{float(fps):.5g}"
    return folder() / f"{name}-{width}x{height}-{rate}-{quality}-{digest}.atlas"


def load(avatar: Avatar, width: int, height: int, fps: Fraction) -> _core.Atlas | None:
    """The atlas of the best quality that is in the cache, shared by all who ask; None: there is none. A cache that
    cannot be read is no error."""
    try:
        paths = (path_of(avatar, width, height, fps, quality) for quality in reversed(QUALITIES))
        return next((atlas for atlas in map(_mapped, paths) if atlas is not None), None)
    except (OSError, RuntimeError):  # no home, no readable source
        return None


def _mapped(path: Path) -> _core.Atlas | None:
    with _lock:
        if path in _open:
            _open.move_to_end(path)
            return _open[path]
        try:
            with path.open("rb") as file:
                atlas = _core.Atlas(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            os.utime(path)
        except (FileNotFoundError, ValueError):  # not there, or empty
            return None
        except BadData as exc:
            logger.warning("%s is damaged and goes: %s", path, exc)
            path.unlink(missing_ok=True)
            return None
        _open[path] = atlas
        while len(_open) > KEPT:
            _open.popitem(last=False)
        return atlas


def ensure(
    avatar: Avatar,
    width: int,
    height: int,
    fps: Fraction,
    progress: Callable[[float], None] | None = None,
    *,
    quality: str = QUALITY,
    jobs: int = 1,
    force: bool = False,
) -> _core.Atlas:
    """The atlas out of the cache, or made now and kept there; of several processes that ask at once one makes it.
    `force`:
    made anew in any case. `jobs` and `progress` as in `preencode`.

    Raises:
        As `preencode`. StorageError, OSError: the cache cannot be written.
    """
    path = path_of(avatar, width, height, fps, quality)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        if force or (atlas := _mapped(path)) is None:
            blob, _ = preencode(avatar, width, height, fps, quality=quality, jobs=jobs, progress=progress)
            caches.write(path, lambda file: file.write(blob))
            _remove_locks(path.parent)
            caches.prune(path, MAX_BYTES)
            with _lock:
                _open.pop(path, None)
            atlas = _mapped(path)
            assert atlas is not None
    return atlas


def ensure_aside(avatar: Avatar, width: int, height: int, fps: Fraction) -> _core.Atlas:
    """The best that is in the cache, or one that a process of its own makes, where that can draw the avatar: a built-in
    one, as it is. For a thread that has nothing else to do: it waits, and it gives way.

    Raises:
        As `ensure`. BadState: it cannot be made. CancelledError: the program ends.
    """
    if (atlas := load(avatar, width, height, fps)) is not None:
        return atlas
    if avatar.name in BUILTIN and avatar is Avatar.load(avatar.name):
        make_apart(avatar, width, height, fps)
        if (atlas := load(avatar, width, height, fps)) is not None:
            return atlas
    give_way(NICE)
    return ensure(avatar, width, height, fps)


def report(atlas: _core.Atlas) -> Report:
    """What its maker says of it."""
    return json.decode(atlas.note, type=Report)


def begin(avatar: Avatar, width: int, height: int, fps: Fraction) -> None:
    """Has that of a built-in avatar made, where it is not in the cache, by a process of its own, for those who ask
    later. One at a time: while another is made nothing is done, and whoever asks again is heard."""
    key = avatar, width, height, fps
    with _lock:
        if _making or key in _failed:
            return
        _making.add(key)
    threading.Thread(target=_make, args=key, name="lipwire-preencode", daemon=True).start()


def _make(avatar: Avatar, width: int, height: int, fps: Fraction) -> None:
    what = f"{avatar.name} at {width}x{height}, {float(fps):g} fps"
    key = avatar, width, height, fps
    try:
        if load(avatar, width, height, fps) is None:
            logger.info("pre-encoding %s in the background; until then an encoder does its work", what)
            made = report(ensure_aside(avatar, width, height, fps))
            logger.info("pre-encoded %s: %.1f MB in %.0f s, %.1f dB", what, made.bytes / 1e6, made.seconds, made.psnr)
    except CancelledError:  # the program ends
        logger.info("%s is not pre-encoded: it was broken off", what)
    except (LipwireError, OSError, RuntimeError) as exc:  # RuntimeError: no home
        logger.warning("%s is not pre-encoded: %s", what, exc)
        with _lock:
            _failed.add(key)  # it would fail again
    finally:
        with _lock:
            _making.discard(key)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else makes the same meanwhile. The file that is locked goes while it still is: who has opened it by then
    finds, with the lock, that it is no longer there, and takes the one that is."""
    lock = path.with_suffix(".lock")
    while True:
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_there(lock, file):
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_there(path: Path, file: IO[str]) -> bool:
    """Whether the file is the one of that name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _remove_locks(where: Path) -> None:
    """Those of processes that were killed, and of versions that left them."""
    for lock in where.glob("*.lock"):
        with contextlib.suppress(OSError), lock.open() as left:  # somebody has it, or it is gone
            fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_there(lock, left):
                lock.unlink()
