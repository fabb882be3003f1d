"""The folder that films of sessions go into: whose name is what file, and how much there may be."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from msgspec import Struct

from ..errors import InvalidArgument, NoCapacity
from ..pools import pool
from ..protocol.messages import FILM_NAME, FILM_NAME_WORDS
from .live_film import FORMS, LiveFilm

NO_FILMS = "record: this server keeps no films; its setting films names the folder that they would go into"
"""What a request is told that asks for one where there is no folder."""
LEAST = 1 << 20
"""Bytes that a film may have at least; with less left no new one begins."""
KEPT = 8
"""One part in so many of the folder is kept for films that have begun: no new one begins in it, and who has more than a
fair share leaves it to the others."""
LOOK_EVERY = 10.0
"""Seconds after which a film that begins or grows has the folder looked through again: some may have been deleted, and
other processes may film into it."""

_looking = pool(1, "lipwire-films")


class FilmLimits(Struct, frozen=True, kw_only=True):
    """Bytes on the disk."""

    film: int
    """A film ends there."""
    total: int
    """All in the folder. Nothing is deleted: they are their owners'."""

    @property
    def kept(self) -> int:
        """What is kept for films that have begun."""
        return max(LEAST, self.total // KEPT)


class _Running(Struct):
    """A film that is being made."""

    owner: str
    bytes: int = 0
    """With what is beside it."""


class FilmFolder:
    """The films of a process, which may share its folder with others. Each owner has a folder of their own in it, so
    that nobody's names meet another's.

    What is in it is counted once, on a thread, and then kept account of; nothing here waits for the disk on the event
    loop.

    Args:
        folder: made, for its owner only, where it is missing.
        limits: of their size.
        quota: bytes that all films of an owner may have together; None = as many as there are.

    Raises:
        InvalidArgument: the folder cannot be made or written.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        limits: FilmLimits,
        quota: Callable[[str], int | None] = lambda owner: None,
    ) -> None:
        self.folder = Path(folder)
        self.limits = limits
        self.counts: Counter[str] = Counter({"started": 0, "finished": 0, "limit": 0, "failed": 0, "bytes": 0})
        """For /metrics: films begun, and how they ended; bytes of those that have."""
        self._quota = quota
        self._active: dict[LiveFilm, _Running] = {}
        self._used: Counter[str] = Counter()
        """Bytes by owner; what lies in the folder itself is nobody's (""),"""
        self._since: Counter[str] = Counter()
        """and what of them came while they were being counted, which may have been counted or not."""
        self._lock = threading.Lock()
        self._make(self.folder)
        self._looked = time.monotonic()
        self._look = _looking.submit(self._count)

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
            InvalidArgument: the name is none, or one of a film that is being made. `LiveFilm.open` raises it where
            there is such a file, and NoCapacity where the folder is full, or the owner's part of it.
        """
        name = name or f"{time.strftime('%Y-%m-%dT%H-%M-%SZ', time.gmtime())}-{of}.mp4"
        if not FILM_NAME.fullmatch(name):
            raise InvalidArgument(f"record.file {name!r:.80} must be {FILM_NAME_WORDS}")
        if Path(owner).name != owner:
            raise InvalidArgument(f"films: {owner!r:.80} is no owner's name")
        path, most = self.folder / owner / name, self._quota(owner)
        with self._lock:
            if path.with_suffix("") in {film.path.with_suffix("") for film in self._active}:
                raise _taken(name)
            running = _Running(owner)
            film = LiveFilm(
                path,
                limit=self.limits.film,
                allow=lambda more: self._allow(running, more, most),
                on_end=self._over,
                prepare=lambda: self._prepare(path, owner, most),
            )
            self._active[film] = running
        return film

    def _prepare(self, path: Path, owner: str, most: int | None) -> None:
        """What the disk has to say to a new film; on a thread. Raises InvalidArgument, NoCapacity."""
        if path.parent.is_symlink():
            raise InvalidArgument(f"films: the folder of {owner!r:.80} is a link")
        self._make(path.parent)
        if any(path.with_suffix(one).exists() for one in (*FORMS, ".vtt")):
            raise _taken(path.name)
        self._look.result()
        if self._no_room(owner, most):
            self.look().result()
        elif time.monotonic() - self._looked > LOOK_EVERY:
            self.look()
        if full := self._no_room(owner, most):
            raise NoCapacity(f"record: {full}; delete some", retry_after=60)
        with self._lock:
            self.counts["started"] += 1

    def place(self, film: LiveFilm) -> str:
        """Where in the folder it is."""
        return film.path.relative_to(self.folder).as_posix()

    @property
    def encoded(self) -> int:
        """Pixels a second that are encoded for films."""
        with self._lock:
            return sum(film.encoded for film in self._active)

    def look(self) -> Future[None]:
        """Counts again what is there, on a thread; done when that is."""
        with self._lock:
            if self._look.done():
                self._looked = time.monotonic()
                self._look = _looking.submit(self._count)
            return self._look

    def _count(self) -> None:
        with self._lock:
            self._since.clear()
        found: Counter[str] = Counter()
        for root, _, names in os.walk(self.folder):
            owner = Path(root).relative_to(self.folder).parts[:1]
            for name in names:
                try:
                    found["".join(owner)] += os.lstat(os.path.join(root, name)).st_size
                except OSError:  # it has just gone
                    continue
        with self._lock:
            self._used = found + self._since

    def _no_room(self, owner: str, most: int | None) -> str:
        """Why no film of an owner begins, in words; empty: one may."""
        with self._lock:
            if most is not None and self._used[owner] + LEAST > most:
                return _over_quota(owner)
            if self._used.total() + self.limits.kept > self.limits.total:
                return "the folder of films is nearly full (films_total_mb), and the rest is for those that have begun"
        return ""

    def _allow(self, film: _Running, more: int, most: int | None) -> str:
        """A film has become larger by so many bytes. Why it has to end; empty: it may go on."""
        if time.monotonic() - self._looked > LOOK_EVERY:
            self.look()
        with self._lock:
            film.bytes += more
            self._used[film.owner] += more
            self._since[film.owner] += more
            if most is not None and self._used[film.owner] >= most:
                return _over_quota(film.owner)
            return self._too_much(film)

    def _too_much(self, film: _Running) -> str:
        """Why a film leaves what room there is to others: the folder is full; or nearly, and its owner has more than an
        equal part of what those who film now have and could have, or it has more than that of its owner's films."""
        total, left = self.limits.total, self.limits.total - self._used.total()
        if left >= self.limits.kept:
            return ""
        if left <= 0:
            return "the folder of films is full (films_total_mb)"
        sizes = [one.bytes for one in self._active.values() if one.owner == film.owner]
        owners = {one.owner for one in self._active.values()}
        others = sum(used for owner, used in self._used.items() if owner not in owners)
        if self._used[film.owner] * len(owners) > total - others:
            return f"the folder of films is nearly full (films_total_mb), and {film.owner} has more than a share of it"
        if film.bytes * len(sizes) > sum(sizes) + left:
            return "the folder of films is nearly full (films_total_mb), and this one has more than a share of it"
        return ""

    def forget(self, film: LiveFilm) -> None:
        """It never began: its session could not start. Safe to call for any."""
        with self._lock:
            self._active.pop(film, None)

    def _over(self, film: LiveFilm) -> None:
        with self._lock:
            if self._active.pop(film, None) is not None and film.opened:
                self.counts[film.state] += 1
                self.counts["bytes"] += film.size


def _over_quota(owner: str) -> str:
    return f"the films of {owner} have reached their limit (key_films_mb)"


def _taken(name: str) -> InvalidArgument:
    return InvalidArgument(f"record.file {name!r}: there is such a film already; choose another name")
