"""What `render` writes beside a film: subtitles and a poster, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidArgument, StorageError
from ..publish.part import Part
from ..publish.still import check_still, encode_still
from .subtitles import Cue, check_subtitles, write_cues

Name = str | os.PathLike[str]


class Beside:
    """Files that become whole together with a film.

    Args:
        out: the film. subtitles: a name that ends in .vtt or .srt; or only "vtt" or "srt", for the film's name with
            that end. poster: the film's first picture; a name that ends in .png or .jpg, or only "png" or "jpg".

    Raises:
        InvalidArgument: a name ends in something else.
    """

    def __init__(self, out: Path, subtitles: Name | None, poster: Name | None) -> None:
        self.subtitles = None if subtitles is None else _named(out, subtitles, ("vtt", "srt"))
        self.poster = None if poster is None else _named(out, poster, ("png", "jpg", "jpeg"))
        if self.subtitles is not None:
            check_subtitles(self.subtitles)
        if self.poster is not None:
            check_still(self.poster)
        self.paths = [path for path in (self.subtitles, self.poster) if path is not None]
        self._parts = {path: Part(path) for path in self.paths}
        self._shown = False

    def open(self) -> None:
        """Creates them. Raises InvalidArgument where that is impossible."""
        for part in self._parts.values():
            part.open()

    def say(self, cues: Sequence[Cue], delay: float) -> None:
        """What is said when, `delay` seconds later in the film. Raises StorageError."""
        if self.subtitles is not None:
            later = [Cue(cue.start + delay, cue.end + delay, cue.text) for cue in cues]
            self._parts[self.subtitles].write(write_cues(later, self.subtitles.suffix))

    def show(self, i420: np.ndarray[Any, Any], matrix: str) -> None:
        """Takes pictures, and keeps the first one. Raises StorageError."""
        if self.poster is not None and not self._shown:
            self._shown = True
            self._parts[self.poster].write(encode_still(self.poster, i420, matrix))

    def keep(self) -> None:
        """They are whole. Raises StorageError."""
        for path, part in self._parts.items():
            try:
                part.keep()
            except OSError as exc:
                raise StorageError(f"cannot write {path}: {exc.strerror}") from exc

    def drop(self) -> None:
        """Leaves nothing of those that are not whole."""
        for part in self._parts.values():
            part.drop()


def _named(out: Path, name: Name, kinds: Sequence[str]) -> Path:
    """Only the end of a name is one beside the film."""
    kind = os.fspath(name).lower().removeprefix(".")
    return out.with_suffix(f".{kind}") if kind in kinds else Path(name)


def check_names(outputs: Sequence[Path], inputs: Sequence[Any]) -> None:
    """Raises InvalidArgument: something would be written over what is read, or over another thing that is written."""
    for number, out in enumerate(outputs):
        if any(_same(out, other) for other in outputs[:number]):
            raise InvalidArgument(f"{out} is written twice; choose another name for one of them")
        for read in inputs:
            if isinstance(read, str | os.PathLike) and _same(out, Path(read)):
                raise InvalidArgument(f"{out} is what is read; choose another name for what is written")


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them is not there
        return os.path.abspath(one) == os.path.abspath(other)
