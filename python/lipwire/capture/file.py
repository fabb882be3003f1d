"""The file of a recording: JSON Lines in gzip (RFC 1952), flushed after every batch.

A process that is killed leaves everything up to its last flush; what comes after it in the file, a part of a block, is
left out by `read`. So does `gzip -dc FILE`, with a complaint about the end that is missing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from ..errors import BadData, InvalidArgument
from .records import FORMAT, Header, Record, decode

SUFFIX = ".lipwire.gz"
LEVEL = 1
"""Of compression: base64 shrinks by a quarter at any."""
CHUNK = 1 << 14
"""Bytes that are read at once; in the worst case a thousand times as many come out."""
MAX_LINE = 64 << 20
"""A longer line is no recording's: a `voice` message has 4 MiB at most."""


class Writer:
    """Appends lines to a new file that only its owner can read, and that is locked until it is closed (flock(2)), so
    that other processes know that it is being written. Not thread-safe.

    Raises:
        OSError: it is there, or cannot be made. So does `append`, on a full disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        """Bytes in the file."""
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        self._deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)

    def append(self, lines: bytes) -> None:
        """Whole lines; they are in the file when this returns."""
        self._write(self._deflate.compress(lines) + self._deflate.flush(zlib.Z_SYNC_FLUSH))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            wrote = os.write(self._fd, view)
            self.size += wrote
            view = view[wrote:]

    def close(self) -> None:
        """Ends the file as gzip wants it. Safe to call twice, and where writing failed."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            os.write(fd, self._deflate.flush(zlib.Z_FINISH))
        except OSError:  # what is there stays readable without it
            pass
        finally:
            os.close(fd)


def is_written(path: Path) -> bool:
    """Whether some process is writing it."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # it has just gone, or is not ours to read
        return False
    return False


def _lines(path: Path) -> Iterator[bytes]:
    """Whole lines, as far as there are some."""
    rest = b""
    try:
        with path.open("rb") as file:
            for text in _inflated(file):
                *whole, rest = (rest + text).split(b"\n")
                yield from whole
                if len(rest) > MAX_LINE:
                    raise BadData(f"{path} is no recording of Lipwire: a line is longer than {MAX_LINE} bytes")
    except OSError as exc:
        raise InvalidArgument(f"cannot read {path}: {exc.strerror or exc}") from exc


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    """What can be had of a gzip file, up to its end or to where it is damaged."""
    inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
    while data := file.read(CHUNK):
        before = inflate.copy()
        try:
            yield inflate.decompress(data)
        except zlib.error:
            with contextlib.suppress(zlib.error):
                for byte in data:  # what is good in front of it
                    yield before.decompress(bytes((byte,)))
            return


def read(path: str | os.PathLike[str]) -> Iterator[Record]:
    """The records of a file, the header first, up to where it breaks off. What this version does not know is left out.

    Raises:
        InvalidArgument: it cannot be read. BadData: it is no recording, or of a newer format.
    """
    lines = _lines(Path(path))
    first = next(lines, b"")
    header = decode(first)
    if not isinstance(header, Header):
        try:
            told = msgspec.json.decode(first)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            told = None
        if isinstance(told, dict) and told.get("k") == "capture" and told.get("format") != FORMAT:
            raise BadData(f"{path} has format {told.get('format')}; this version reads {FORMAT}: update Lipwire")
        raise BadData(f"{path} is no recording of Lipwire")
    if header.format > FORMAT:
        raise BadData(f"{path} has format {header.format}; this version reads {FORMAT}: update Lipwire")
    yield header
    for line in lines:
        record = decode(line)
        if record is not None:
            yield record
