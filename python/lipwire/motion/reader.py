"""Reads files of motion: .lwm as it comes, .json whole. docs/motion.md has both, byte by byte."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Annotated, Any, BinaryIO

import msgspec
import numpy as np
from msgspec import Meta, Struct

from .._core import MOTION_SETS, RATE, MotionDecoder
from ..errors import BadData, InvalidArgument
from .track import SIGNED, Groups, MotionEvent, MotionFrame, MotionHeader, MotionTrack

MAGIC = b"LWM1"
"""What a .lwm file begins with."""
MAX_BLOCK = 1 << 20
"""Bytes of one of its blocks, at most; as many as a message may have."""
MAX_JSON = 1 << 28
"""Bytes of a .json file, at most: some hours of faces."""
MAX_VALUES = 1 << 27
"""Of a track: 512 MiB, ten hours of ARKit's channels at 60 frames a second. In a file frames may be few bytes each."""
MAX_CHANNELS = 1024
MAX_SETS = 32
MAX_VALUE = float(1 << 31)
"""Of a channel in JSON: what the binary format can say."""
CHUNK = 1 << 16
"""Bytes that are read at a time, at most."""

MotionSource = str | os.PathLike[str] | bytes | BinaryIO
"""A file by its path, or what is in it: bytes, or an open binary file."""
Record = MotionHeader | MotionFrame | MotionEvent


class MotionReader:
    """Reads a .lwm file record by record; iterate over it, once. Of a file that is damaged or cut off it gives all that
    lies before, then raises.

    A header comes first. Frames come in the order of their samples; what several messages have comes once. Records that
    a later version may add are left out.

    Args:
        source: a path; or what is in the file, as bytes or as an open binary file, which may be one that still grows,
            such as a pipe: what has come is given at once.

    Raises:
        InvalidArgument: it cannot be opened. BadData, while iterating: it is no .lwm file, damaged, or cut off; the
        message says where.
    """

    def __init__(self, source: MotionSource) -> None:
        self.name = _name(source)
        """What messages call it."""
        self._source = source
        self._decoder = MotionDecoder()
        self._headers: dict[int, MotionHeader] = {}
        self._newest = self._told = -1

    def __iter__(self) -> Iterator[Record]:
        with _opened(self._source) as file:
            for at, block in _Blocks(file, self.name):
                damage: BadData | None = None
                try:
                    records = self._decoder.put(block)
                except BadData as exc:
                    damage, records = exc, getattr(exc, "records", [])
                for record in records:
                    yield from self._read(record)
                if damage is not None:
                    raise BadData(f"{self.name}: damaged in the block at byte {at}: {damage}") from damage

    def _read(self, record: tuple[Any, ...]) -> Iterator[Record]:
        """What is new in a record of the decoder's."""
        kind, *fields = record
        if kind == "header":
            number, clock_rate, fps, groups = fields
            header = MotionHeader(groups=groups, fps=Fraction(*fps), clock_rate=clock_rate, id=number)
            if self._headers.get(number) != header:
                self._headers[number] = header
                yield header
        elif kind == "frames":
            _, generation, speaking, frames = fields
            for sample, values in frames:
                if sample > self._newest:
                    self._newest = sample
                    yield MotionFrame(sample, values, generation, speaking)
        elif kind == "event":
            event = MotionEvent(*fields)
            if event.number > self._told or not event.number:  # 0: it has none
                self._told = max(self._told, event.number)
                yield event


def read_motion(source: MotionSource, *, partial: bool = False) -> MotionTrack:
    """Reads a .lwm or .json file; what is in it says which.

    Args:
        source: a path; or what is in the file, as bytes or as an open binary file.
        partial: of a .lwm that is damaged or cut off, as where a disk was full, what lies before.

    Raises:
        InvalidArgument: it cannot be opened. BadData: it is neither of the two, damaged, cut off, or larger than any
        can be, or its channels change on the way (`MotionReader` reads those, and what lies before a fault).
    """
    name = _name(source)
    with _opened(source) as file:
        start = _all(file, len(MAGIC))
        if start == MAGIC or not start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            again: Any = _Again(start, file, name)
            records = iter(MotionReader(again))
            return _track(_before_damage(records) if partial else records, name)
        text = start + _all(file, MAX_JSON + 1 - len(start))
        if len(text) > MAX_JSON:
            raise BadData(f"{name} has more than {MAX_JSON >> 20} MiB of JSON; a .lwm file is a tenth as large")
        return _read_json(text, name)


def _before_damage(records: Iterator[Record]) -> Iterator[Record]:
    with contextlib.suppress(BadData):
        yield from records


def _track(records: Iterable[Record], name: str) -> MotionTrack:
    header: MotionHeader | None = None
    frames: list[MotionFrame] = []
    events: list[MotionEvent] = []
    for record in records:
        if isinstance(record, MotionFrame):
            frames.append(record)
            if len(frames) * len(record.values) > MAX_VALUES:
                raise BadData(f"{name} has more than {MAX_VALUES} values; MotionReader reads it frame by frame")
        elif isinstance(record, MotionEvent):
            events.append(record)
        elif header is None:
            header = record
        else:
            raise BadData(f"{name} changes its channels after {len(frames)} frames; MotionReader reads such a file")
    if header is None:
        raise BadData(f"{name} has no header: nothing says what its channels are")
    return MotionTrack.of_frames(header, frames, events)


# ---------------------------------------------------------------------------------------------------------------- JSON

_Sample = Annotated[int, Meta(ge=0, lt=1 << 62)]
_Positive = Annotated[int, Meta(gt=0, lt=1 << 31)]


class _JsonHeader(Struct):
    fps: tuple[_Positive, _Positive]
    sets: dict[str, tuple[str, ...]]
    clock_rate: _Positive = RATE
    version: int = 1
    id: Annotated[int, Meta(ge=0, le=255)] = 0


class _JsonFrame(Struct):
    sample: _Sample
    values: list[float]
    generation: _Sample = 0
    speaking: bool = False


class _JsonEvent(Struct):
    number: _Sample
    sample: _Sample
    kind: str
    generation: _Sample = 0
    value: str = ""


class _JsonFile(Struct):
    header: _JsonHeader
    frames: list[msgspec.Raw]
    events: list[_JsonEvent] = []


_JSON_FILE = msgspec.json.Decoder(_JsonFile)
_JSON_FRAME = msgspec.json.Decoder(_JsonFrame)


def _read_json(text: bytes, name: str) -> MotionTrack:
    try:
        file = _JSON_FILE.decode(text.removeprefix(b"\xef\xbb\xbf"))
    except RecursionError as exc:
        raise BadData(f"{name} is no file of motion: its JSON is nested too deep") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadData(f"{name} is no file of motion: {exc}") from exc
    header = _header_of(file.header, name)
    channels = len(header.names)
    frames: list[MotionFrame] = []
    for number, raw in enumerate(file.frames):
        where = f"{name}: frame {number} of {len(file.frames)}"
        try:
            frame = _JSON_FRAME.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise BadData(f"{where}: {exc}") from exc
        if len(frame.values) != channels:
            raise BadData(f"{where} has {len(frame.values)} values, and the header names {channels} channels")
        values = np.array(frame.values, dtype=np.float64)
        if (np.abs(values) > MAX_VALUE).any():
            raise BadData(f"{where} has a value that is out of all range: {max(frame.values, key=abs):g}")
        if not frames or frame.sample > frames[-1].sample:
            frames.append(MotionFrame(frame.sample, values.astype(np.float32), frame.generation, frame.speaking))
    events = [MotionEvent(e.number, e.sample, e.generation, e.kind, e.value) for e in file.events]
    return MotionTrack.of_frames(header, frames, events)


def _header_of(found: _JsonHeader, name: str) -> MotionHeader:
    if found.version != 1:
        raise BadData(f"{name} is of version {found.version} of the format; this reads version 1")
    if sum(map(len, found.sets.values())) > MAX_CHANNELS:
        raise BadData(f"{name} has more than {MAX_CHANNELS} channels")
    if len(found.sets) > MAX_SETS:
        raise BadData(f"{name} has more than {MAX_SETS} sets")
    for set_name, names in found.sets.items():
        if len(set(names)) < len(names):
            raise BadData(f"{name}: the set {set_name!r:.80} has a name twice")
    groups: Groups = ()
    for set_name, names in found.sets.items():
        known: Groups = MOTION_SETS.get(set_name, ())
        same = tuple(channel for _, _, channels in known for channel in channels) == names
        groups += known if same else ((set_name, SIGNED, names),)
    return MotionHeader(groups=groups, fps=Fraction(*found.fps), clock_rate=found.clock_rate, id=found.id)


# --------------------------------------------------------------------------------------------------------------- bytes


class _Blocks:
    """What lies in a .lwm file: (its place, its bytes) of each block. Raises BadData, after all that is whole."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._held = b""
        self._from = 0
        self._at = 0

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        if self._take(len(MAGIC)) != MAGIC:
            raise BadData(f"{self._name} is no file of motion: it does not begin with {MAGIC.decode()}")
        while (length := self._length()) is not None:
            at = self._at
            if length > MAX_BLOCK:
                raise BadData(
                    f"{self._name}: a block of {length} bytes at byte {at}; {MAX_BLOCK} is the most there can be"
                )
            block = self._take(length)
            if len(block) < length:
                raise BadData(f"{self._name} is cut off at byte {self._at}: {length - len(block)} more were to come")
            yield at, block

    def _take(self, size: int) -> bytes:
        """So many bytes; fewer at the end of the file."""
        while len(self._held) - self._from < size and (more := _some(self._file, CHUNK)):
            self._held = self._held[self._from :] + more
            self._from = 0
        taken = self._held[self._from : self._from + size]
        self._from += len(taken)
        self._at += len(taken)
        return taken

    def _length(self) -> int | None:
        """A varint; None at the end of the file."""
        length = 0
        for shift in range(0, 64, 7):
            byte = self._take(1)
            if not byte and not shift:
                return None
            if not byte:
                raise BadData(f"{self._name} is cut off at byte {self._at}, within the length of a block")
            length |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:
                return length
        raise BadData(f"{self._name}: no length of a block before byte {self._at}")


class _Again:
    """An open file of which the beginning was read already."""

    def __init__(self, start: bytes, file: BinaryIO, name: str) -> None:
        self._start = start
        self._file = file
        self.name = name

    def read(self, size: int) -> bytes:
        start, self._start = self._start, b""
        return start or _some(self._file, size)


def _some(file: BinaryIO, most: int) -> bytes:
    """What has come, `most` bytes of it; nothing at the end."""
    return bytes(getattr(file, "read1", file.read)(most) or b"")


def _all(file: BinaryIO, most: int) -> bytes:
    """All that is left, `most` bytes of it."""
    parts = []
    while most > 0 and (part := _some(file, min(most, CHUNK))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _name(source: MotionSource) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "the motion"))


@contextlib.contextmanager
def _opened(source: MotionSource) -> Iterator[BinaryIO]:
    """The file, closed afterwards if it was opened here. Raises InvalidArgument."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif isinstance(source, str | os.PathLike):
        try:
            file = open(source, "rb")  # noqa: SIM115
        except OSError as exc:
            raise InvalidArgument(f"cannot read {os.fspath(source)}: {exc.strerror}") from exc
        with file:
            yield file
    else:
        yield source
