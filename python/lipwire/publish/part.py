"""Files that are whole or not there."""

from __future__ import annotations

import errno
from pathlib import Path

from ..errors import InvalidArgument, StorageError


class Part:
    """A file while it is written: hidden, beside the `path` whose place it takes at the end. What was there before
    stays until then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part: Path | None = None

    def open(self) -> Path:
        """Creates it, and says where it is. Raises InvalidArgument where that is impossible."""
        if not self.path.parent.is_dir():
            raise InvalidArgument(f"cannot write {self.path}: there is no folder {self.path.parent}")
        try:
            if not self.path.name or self.path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            self._part = self.path.with_name(f".{self.path.name}.part")  # first: an interrupt then leaves nothing
            self._part.touch()
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
        """It is whole, and goes to its path, or to another place in the same folder. Raises OSError."""
        assert self._part is not None
        self._part.replace(place or self.path)

    def drop(self) -> None:
        """Leaves nothing. Safe before `open`, and after `keep`."""
        if self._part is not None:
            self._part.unlink(missing_ok=True)
