"""The files of an avatar, out of a folder or a zip archive that may be hostile. Nothing is ever unpacked to disk.

Names are found as their readers see them: with accents composed or not, in capitals or not, with the separators of
Windows in an archive. What other systems leave between the files of their users is not seen at all.
"""

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


_LITTER = frozenset({"__macosx", ".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin"})
"""Files and folders of macOS and Windows that nobody put there."""


def litter(name: str) -> bool:
    """Whether a file is one of those that macOS and Windows leave everywhere (.DS_Store, ._x.png, Thumbs.db)."""
    return any(part.startswith("._") or part.casefold() in _LITTER for part in name.split("/"))


def fold(name: str) -> str:
    """What names that look the same have in common."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


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
        path = _found(self._root, name).resolve()
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


def _found(root: Path, name: str) -> Path:
    """The file of that name in a folder; where it is not there to the letter, the one that is called the same."""
    path = root / name
    if path.exists():
        return path
    path = root
    for part in PurePosixPath(name).parts:
        if (path / part).exists() or not path.is_dir():
            path /= part
        else:
            same = [entry for entry in path.iterdir() if fold(entry.name) == fold(part)]
            path = same[0] if len(same) == 1 else path / part
    return path


class Zip:
    """A zip archive with one avatar.toml, at its top or in a folder.

    Raises:
        BadData: the archive is damaged, or anything about it is suspicious: it is refused as a whole.
    """

    def __init__(self, path: Path) -> None:
        self.label = str(path)
        try:
            self._file = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as exc:
            raise BadData(f"{path}: {_instead(path)}") from exc
        try:
            self._entries = self._check()
        except BaseException:
            self._file.close()
            raise

    def _refuse(self, entry: str, reason: str) -> BadData:
        return BadData(f"{self.label}: refused: {entry!r}: {reason}")

    def _check(self) -> dict[str, zipfile.ZipInfo]:
        infos = [(name, info) for info in self._file.infolist() if not litter(name := _name(info))]
        if len(infos) > MAX_FILES:
            raise BadData(f"{self.label}: refused: {len(infos)} files, at most {MAX_FILES} are allowed")
        seen: set[str] = set()
        entries: dict[str, zipfile.ZipInfo] = {}
        total = 0
        for name, info in infos:
            if reason := unsafe(name):
                raise self._refuse(name, reason)
            folded = fold(name.rstrip("/"))
            if folded in seen:
                raise self._refuse(name, "the name is there twice")
            seen.add(folded)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise self._refuse(name, "it is a link or a device, not a file")
            if name.endswith("/"):
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
            entries[folded] = info
        tops = [name.removesuffix(MANIFEST) for name in entries if name.rpartition("/")[2] == MANIFEST]
        if MANIFEST in entries or not tops:
            return entries
        if len(tops) > 1:
            raise BadData(f"{self.label}: it holds several avatars: {', '.join(sorted(tops))}; make an archive of each")
        return {name.removeprefix(tops[0]): info for name, info in entries.items() if name.startswith(tops[0])}

    def read(self, name: str) -> bytes:
        if reason := unsafe(name):
            raise BadData(f"the name is refused: {reason}")
        info = self._entries.get(fold(name))
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


def _name(info: zipfile.ZipInfo) -> str:
    """The name of an entry as it was meant: Windows' own tools write \\ for /, and macOS writes UTF-8 without saying
    so."""
    name = info.orig_filename
    if not info.flag_bits & 0x800 and not name.isascii():
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    return name.replace("\\", "/")


_OTHERS = {
    b"\x89PNG": "a PNG file", b"\xff\xd8\xff": "a JPEG file", b"GIF8": "a GIF file", b"RIFF": "a picture or a sound",
    b"<svg": "an SVG file", b"%PDF": "a PDF file", b"Rar!": "a RAR archive", b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x8b": "a gzip archive",
}  # fmt: skip


def _instead(path: Path) -> str:
    """What a file is that is no avatar, and how one is made."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError:
        head = b""
    kind = next((f"it is {kind}" for magic, kind in _OTHERS.items() if head.startswith(magic)), None)
    return (
        f"{kind or 'not a zip archive that can be read'}; an avatar is a folder, or a zip of one, with avatar.toml and "
        "PNG layers. `lipwire avatar new my-face` makes one to begin with, `lipwire avatar import MOUTHS my-face "
        "--base face.png` one of a picture of a face and a set of mouths (docs/avatars.md)"
    )


def _read_all(file: IO[bytes], size: int) -> bytes:
    """Exactly what the directory promised: the size in the header is what the limits were checked against."""
    data = file.read(size + 1)
    if len(data) != size:
        raise BadData("its size is not what the archive says")
    return data


def open_source(path: Path) -> Source:
    """The avatar at a path. Raises InvalidArgument if there is none, BadData if it is refused."""
    if path.is_dir():
        inner = [place for place in path.iterdir() if not litter(place.name) and _found(place, MANIFEST).is_file()]
        return Folder(inner[0] if len(inner) == 1 and not _found(path, MANIFEST).is_file() else path)
    if path.is_file() and path.name == MANIFEST:
        return Folder(path.parent)
    if path.is_file():
        return Zip(path)
    raise InvalidArgument(f"{path}: no such folder or zip archive")
