"""The files of an avatar, out of a folder or a zip archive that may be hostile. Nothing is ever unpacked to disk."""

from __future__ import annotations

import stat
import unicodedata
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from ..errors import BadData, InvalidArgument

MANIFEST = "avatar.toml"
MAX_FILES = 1000
MAX_MANIFEST_BYTES = 256 * 1024
MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_TOTAL_BYTES = 256 * 1024 * 1024
MAX_RATIO = 200
"""How much larger than its packed form a file of a zip may be, beyond the first 64 kB."""


class Source(Protocol):
    """Where an avatar's files come from. Names are relative, with "/"."""

    label: str

    def read(self, name: str) -> bytes:
        """A whole file. Raises BadData with a reason that needs no more context than the name."""

    def close(self) -> None: ...


def unsafe(name: str) -> str | None:
    """Why a file name is refused, or None."""
    parts = PurePosixPath(name).parts
    if not name or not parts or any(unicodedata.category(c) == "Cc" for c in name):
        return "it is empty or has control characters"
    if "\\" in name:
        return "it has a backslash; separate folders by /"
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "it is absolute"
    if ".." in parts:
        return "it leads out of the avatar"
    return None


class Folder:
    """A folder with an avatar.toml."""

    def __init__(self, path: Path) -> None:
        self.label = str(path)
        self._root = path.resolve()
        self._total = 0

    def read(self, name: str) -> bytes:
        if reason := unsafe(name):
            raise BadData(f"the name is refused: {reason}")
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root):
            raise BadData("the name is refused: it leads out of the avatar")
        if not path.is_file():
            raise BadData("there is no such file")
        limit = MAX_MANIFEST_BYTES if name == MANIFEST else MAX_FILE_BYTES
        with path.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise BadData(f"it is larger than {limit // 1024} kB")
        self._total += len(data)
        if self._total > MAX_TOTAL_BYTES:
            raise BadData(f"the avatar is larger than {MAX_TOTAL_BYTES // 1024**2} MB")
        return data

    def close(self) -> None:
        """Nothing is open."""


class Zip:
    """A zip archive with an avatar.toml at its top, or in its one folder.

    Raises:
        BadData: the archive is damaged, or anything about it is suspicious: it is refused as a whole.
    """

    def __init__(self, path: Path) -> None:
        self.label = str(path)
        try:
            self._file = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as exc:
            raise BadData(f"{path}: not a zip archive that can be read: {exc}") from exc
        try:
            self._entries = self._check()
        except BaseException:
            self._file.close()
            raise

    def _refuse(self, entry: str, reason: str) -> BadData:
        return BadData(f"{self.label}: refused: {entry!r}: {reason}")

    def _check(self) -> dict[str, zipfile.ZipInfo]:
        infos = self._file.infolist()
        if len(infos) > MAX_FILES:
            raise BadData(f"{self.label}: refused: {len(infos)} files, at most {MAX_FILES} are allowed")
        seen: set[str] = set()
        entries: dict[str, zipfile.ZipInfo] = {}
        total = 0
        for info in infos:
            name = info.orig_filename
            if reason := unsafe(name):
                raise self._refuse(name, reason)
            folded = unicodedata.normalize("NFC", name.rstrip("/")).casefold()
            if folded in seen:
                raise self._refuse(name, "the name is there twice")
            seen.add(folded)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise self._refuse(name, "it is a link or a device, not a file")
            if info.is_dir():
                continue
            if info.flag_bits & 0x41:
                raise self._refuse(name, "it is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise self._refuse(name, "it is packed by a method other than store and deflate")
            if info.file_size > MAX_FILE_BYTES:
                raise self._refuse(name, f"it unpacks to more than {MAX_FILE_BYTES // 1024**2} MB")
            if info.file_size > 65536 + MAX_RATIO * info.compress_size:
                raise self._refuse(name, f"it unpacks to more than {MAX_RATIO} times its size")
            total += info.file_size
            if total > MAX_TOTAL_BYTES:
                raise BadData(f"{self.label}: refused: it unpacks to more than {MAX_TOTAL_BYTES // 1024**2} MB")
            entries[name] = info
        tops = {name.split("/", 1)[0] for name in entries if not name.startswith("__MACOSX/")}
        if MANIFEST not in entries and len(tops) == 1:
            top = tops.pop() + "/"
            return {name.removeprefix(top): info for name, info in entries.items() if name.startswith(top)}
        return entries

    def read(self, name: str) -> bytes:
        if reason := unsafe(name):
            raise BadData(f"the name is refused: {reason}")
        info = self._entries.get(name)
        if info is None:
            raise BadData("there is no such file")
        if name == MANIFEST and info.file_size > MAX_MANIFEST_BYTES:
            raise BadData(f"it is larger than {MAX_MANIFEST_BYTES // 1024} kB")
        try:
            with self._file.open(info) as file:
                return _read_all(file, info.file_size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as exc:
            raise BadData(f"it cannot be unpacked: {exc}") from exc

    def close(self) -> None:
        self._file.close()


def _read_all(file: IO[bytes], size: int) -> bytes:
    """Exactly what the directory promised: the size in the header is what the limits were checked against."""
    data = file.read(size + 1)
    if len(data) != size:
        raise BadData("its size is not what the archive says")
    return data


def open_source(path: Path) -> Source:
    """The avatar at a path. Raises InvalidArgument if there is none, BadData if it is refused."""
    if path.is_dir():
        return Folder(path)
    if path.is_file() and path.name == MANIFEST:
        return Folder(path.parent)
    if path.is_file():
        return Zip(path)
    raise InvalidArgument(f"{path}: no such folder or zip archive")
