"""Files of motion that `render` writes, beside a film or alone: whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct, structs

from .. import _core
from ..errors import InvalidArgument, StorageError
from ..motion import MotionHeader, MotionTrack, encode_motion
from ..motion.files import WRITERS, Writer, told_kinds, writer_for
from ..motion.sets import check_sets
from ..publish.part import Part

Name = str | os.PathLike[str]
Poses = Callable[[Fraction], Iterator[Any]]
"""Frames a second -> what the chain makes of the speech, without pictures: sound as (pcm, sample), and frames."""


class WrittenMotion(Struct, frozen=True):
    """A file of motion that is there now."""

    path: Path
    frames: int
    """Poses that it is made of."""
    size: int
    """Bytes."""


class MotionFiles:
    """Files of motion that become whole together.

    Args:
        names: what they are called; each name's end says which kind it is (`motion.files.WRITERS`). Only an end, such
            as "lwm" or "a2f.json", is a file beside the film.
        film: the film that is made with them, or None.
        sets: channels of .lwm and .json, a list or with commas; None: ARKit's, and the head's.
        fps: frames a second.
        asked: whether somebody has said so.
        head: a .glb file for .glb.
        speech: what files that name the sound call it.

    Raises:
        InvalidArgument: a name has no such end, there is no such set, or what is given concerns none of the files.
    """

    def __init__(
        self,
        names: Sequence[Name],
        film: Path | None,
        *,
        sets: str | Sequence[str] | None,
        fps: Fraction,
        asked: bool,
        head: Name | None,
        speech: str,
    ) -> None:
        self.paths = [_named(name, film) for name in names]
        self._kinds = [_kind(path) for path in self.paths]
        self._parts = [Part(path) for path in self.paths]
        self._sets = check_sets(sets, "motion_sets")
        self._fps = fps
        self._details: dict[str, Any] = {"speech": speech, "fps": fps, "head": head}
        self.written: tuple[WrittenMotion, ...] = ()
        free = [kind for kind in self._kinds if kind.fps is None or kind.counts]
        if sets is not None and not any(kind.sets == () for kind in self._kinds):
            raise InvalidArgument("motion_sets is for .lwm and .json; other files have what their programs read")
        if head is not None and not any(path.suffix.lower() == ".glb" for path in self.paths):
            raise InvalidArgument("motion_head is what the motion of a .glb is put on, and none is written")
        if asked and film is None and not free:
            ends = ", ".join(path.name for path in self.paths)
            raise InvalidArgument(f"fps is for pictures and frames, and {ends} has times of its own")

    def open(self) -> None:
        """Creates them. Raises InvalidArgument where that is impossible."""
        for part in self._parts:
            part.open()

    def make(self, poses: Poses, delay: int = 0, progress: Callable[[float], None] | None = None) -> float:
        """Makes them, `delay` samples later than `poses` are; returns how many seconds those take.

        Args:
            progress: told now and then how many seconds of speech are done; where poses are made at several rates, each
                of them counts for its share.

        Raises:
            InvalidArgument: a kind cannot hold this. StorageError: the disk is full, say.
        """
        by_rate: dict[Fraction, list[int]] = {}
        for number, kind in enumerate(self._kinds):
            by_rate.setdefault(kind.fps or self._fps, []).append(number)
        written: dict[int, WrittenMotion] = {}
        seconds = 0.0
        for turn, (rate, numbers) in enumerate(by_rate.items()):

            def told(done: float, before: float = turn * seconds) -> None:
                if progress is not None:
                    progress((before + done) / len(by_rate))

            sets = dict.fromkeys(name for number in numbers for name in self._sets_of(number))
            track, seconds = record_motion(poses(rate), list(sets), rate, told)
            track = structs.replace(track, samples=track.samples + delay)
            for number in numbers:
                data = encode_motion(track.only(self._sets_of(number)), self.paths[number], **self._details)
                self._parts[number].write(data)
                written[number] = WrittenMotion(self.paths[number], len(track.samples), len(data))
        self.written = tuple(written[number] for number in sorted(written))
        return seconds

    def keep(self) -> None:
        """They are whole. Raises StorageError."""
        for part in self._parts:
            _keep(part)

    def drop(self) -> None:
        """Leaves nothing of those that are not whole."""
        for part in self._parts:
            part.drop()

    def _sets_of(self, number: int) -> Sequence[str]:
        return self._kinds[number].sets or self._sets


def record_motion(
    made: Iterator[Any], sets: Sequence[str], fps: Fraction, progress: Callable[[float], None] | None = None
) -> tuple[MotionTrack, float]:
    """What a chain makes (`offline.perform`), as a track of these sets, and how many seconds it took.

    Args:
        progress: told now and then how many seconds are done.
    """
    encoder = _core.MotionEncoder(sets, fps.as_integer_ratio(), earlier=0)
    samples: list[int] = []
    speaking: list[bool] = []
    values: list[Any] = []
    clock = 0
    for item in made:
        if isinstance(item, tuple):
            clock = item[1] + _core.BLOCK
            if progress is not None and clock % _core.RATE == 0:
                progress(clock / _core.RATE)
        else:
            samples.append(item.sample)
            speaking.append(item.utterance != 0)
            values.append(encoder.values(item))
    track = MotionTrack(
        header=MotionHeader(groups=encoder.groups, fps=fps),
        samples=np.array(samples, dtype=np.int64),
        values=np.array(values, dtype=np.float32).reshape(len(samples), encoder.channels),
        speaking=np.array(speaking, dtype=np.bool_),
        generations=np.zeros(len(samples), dtype=np.int64),
    )
    return track, clock / _core.RATE


def write_motion(track: MotionTrack, path: Name, *, speech: str = "", head: Name | None = None) -> None:
    """Writes motion to a file, whose name's end says which kind it is: .lwm or .json, which `read_motion` reads, and
    those of other programs (docs/motion.md).

    Args:
        speech: where the sound is, for kinds that name it. head: a .glb file to put the motion on, for .glb.

    Raises:
        InvalidArgument: the name is of no kind of motion, the track lacks what that kind is made of, or the file cannot
        be created. StorageError: the disk is full, say; what was there before stays.
    """
    write_whole(Path(path), encode_motion(track, path, speech=speech, head=head))


def write_whole(path: Path, data: bytes) -> None:
    """Makes a file, whole or not at all. Raises InvalidArgument: it cannot be created; StorageError."""
    part = Part(path)
    try:
        part.open()
        part.write(data)
        _keep(part)
    finally:
        part.drop()


def _keep(part: Part) -> None:
    try:
        part.keep()
    except OSError as exc:
        raise StorageError(f"cannot write {part.path}: {exc.strerror}") from exc


def is_motion(path: Name) -> bool:
    """Whether a name is one of a file of motion."""
    return writer_for(path) is not None


def _kind(path: Path) -> Writer:
    kind = writer_for(path)
    if kind is None:
        raise InvalidArgument(f"cannot write {path}: end its name in one of {told_kinds()}")
    return kind


def _named(name: Name, film: Path | None) -> Path:
    """Only the end of a name is one beside the film."""
    end = f".{os.fspath(name).lower().removeprefix('.')}"
    if end not in WRITERS:
        return Path(name)
    if film is None:
        raise InvalidArgument(
            f"motion {os.fspath(name)!r}: that is a file beside a film, and no film is made; give a name"
        )
    return film.with_suffix(end)
