"""The folder that films of sessions go into: whose name is what file, and how much there may be."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path

from msgspec import Struct

from ..errors import InvalidArgument, NoCapacity
from ..protocol.messages import FILM_NAME, FILM_NAME_WORDS
from .live_film import FORMS, LiveFilm

NO_FILMS = "record: this server keeps no films; its setting films names the folder that they would go into"
"""What a request is told that asks for one where there is no folder."""
LEAST = 1 << 20
"""Bytes that a film may have at least; with less left no new one begins."""


class FilmLimits(Struct, frozen=True, kw_only=True):
    """Bytes on the disk."""

    film: int
    """A film ends there."""
    total: int
    """All in the folder: no new one begins when they are there. Nothing is deleted: they are their owners'."""


class FilmFolder:
    """The films of a process. Each owner has a folder of their own in it, so that nobody's names meet another's.

    Args:
        folder: made, for its owner only, where it is missing.
        limits: of their size.

    Raises:
        InvalidArgument: the folder cannot be made or written.
    """

    def __init__(self, folder: str | os.PathLike[str], limits: FilmLimits) -> None:
        self.folder = Path(folder)
        self.limits = limits
        self.counts: Counter[str] = Counter({"started": 0, "finished": 0, "limit": 0, "failed": 0, "bytes": 0})
        """For /metrics: films begun, and how they ended; bytes of those that have."""
        self._active: set[LiveFilm] = set()
        self._total = 0
        self._lock = threading.Lock()
        self._make(self.folder)

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as exc:
            raise InvalidArgument(f"films: cannot write into {folder}: {exc.strerror or exc}") from exc

    @property
    def active(self) -> int:
        """Films that are being written."""
        return len(self._active)

    def open(self, owner: str, name: str | None, of: str) -> LiveFilm:
        """A film for a session, not open yet. What `LiveFilm.path` is relative to the folder, may be told.

        Args:
            owner: whose it is, a plain name. name: of the file; None: one is made of the time and `of`, the session's
            id.

        Raises:
            InvalidArgument: the name is none, or there is such a file. NoCapacity: the folder is full.
        """
        name = name or f"{time.strftime('%Y-%m-%dT%H-%M-%SZ', time.gmtime())}-{of}.mp4"
        if not FILM_NAME.fullmatch(name):
            raise InvalidArgument(f"record.file {name!r:.80} must be {FILM_NAME_WORDS}")
        folder = self.folder / owner
        if folder.is_symlink() or Path(owner).name != owner:
            raise InvalidArgument(f"films: the folder of {owner!r:.80} is a link, or none")
        self._make(folder)
        path = folder / name
        with self._lock:
            taken = {film.path.with_suffix("") for film in self._active}
            if path.with_suffix("") in taken or any(path.with_suffix(one).exists() for one in (*FORMS, ".vtt")):
                raise InvalidArgument(f"record.file {name!r}: there is such a film already; choose another name")
            self._total = self._used()  # some may have been deleted
            if self._total > self.limits.total - LEAST:
                raise NoCapacity("the folder of films is full", retry_after=60)
            film = LiveFilm(path, limit=self.limits.film, allow=self._allow, on_end=self._over)
            self._active.add(film)
        self.counts["started"] += 1
        return film

    def place(self, film: LiveFilm) -> str:
        """Where in the folder it is."""
        return film.path.relative_to(self.folder).as_posix()

    def _used(self) -> int:
        """Bytes of all files."""
        total = 0
        for root, _, names in os.walk(self.folder):
            for name in names:
                try:
                    total += os.lstat(os.path.join(root, name)).st_size
                except OSError:  # it has just gone
                    continue
        return total

    def _allow(self, more: int) -> bool:
        """Films have become larger by so many bytes. Whether they may go on."""
        with self._lock:
            self._total += more
            return self._total < self.limits.total

    def forget(self, film: LiveFilm) -> None:
        """It never began: its session could not start. Safe to call for any."""
        with self._lock:
            self._active.discard(film)

    def _over(self, film: LiveFilm) -> None:
        with self._lock:
            if film in self._active:
                self._active.discard(film)
                self.counts[film.state] += 1
                self.counts["bytes"] += film.size
