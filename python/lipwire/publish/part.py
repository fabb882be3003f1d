"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path

from ..errors import InvalidArgument, StorageError


def _check(path: Path) -> None:
    """Raises OSError: no file can take this place."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe")


class Part:
    """A file while it is written: hidden, beside the `path` whose place it takes at the end. What was there before
    stays until then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.target = Path(os.path.realpath(path)) if os.path.islink(path) else path
        """Where it goes in the end: a link stays one."""
        self._part: Path | None = None

    def open(self) -> Path:
        """Creates it, and says where it is. Raises InvalidArgument where that is impossible."""
        folder = self.target.parent
        if not folder.is_dir():
            raise InvalidArgument(f"cannot write {self.path}: there is no folder {folder}")
        try:
            _check(self.target)
            # The name first: an interrupt then leaves nothing. It is short, whatever the path's, and nobody else's.
            self._part = folder / f".lipwire-{secrets.token_hex(8)}.part"
            self._part.touch(exist_ok=False)
        except OSError as exc:
            self._part = None
            raise InvalidArgument(f"cannot write {self.path}: {exc.strerror}") from exc
        return self._part

    def write(self, data: bytes) -> None:
        """All that is in it. Raises StorageError."""
        assert self._part is not None
        try:
            self._part.write_bytes(data)
        except OSError as exc:
            raise StorageError(f"cannot write {self.path}: {exc.strerror}") from exc

    def keep(self, place: Path | None = None) -> None:
        """It is whole, and goes to its target, or to another place in the same folder. Raises OSError."""
        assert self._part is not None
        self._part.replace(place or self.target)

    def drop(self) -> None:
        """Leaves nothing. Safe before `open`, and after `keep`."""
        if self._part is not None:
            self._part.unlink(missing_ok=True)
