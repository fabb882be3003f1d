"""The sound of any file that FFmpeg reads, as far as it is whole: what is damaged is left out and counted, and what
follows stays at its time."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, BinaryIO, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from ..errors import BadData, InvalidArgument
from .ogg import PAGE, OggLinks
from .wav import ENDLESS, is_wav

Source = str | os.PathLike[str] | bytes | BinaryIO
"""A file by its path, or what is in it: bytes, or an open binary file, which is read to its end."""

JITTER = 0.05
"""Seconds by which a file's times may differ from the count of its samples before they are heeded: many containers
round them, and what records live writes them as they come."""
ROUNDING = 0.002
"""The same where something has been left out, and a gap is expected."""
LONGEST_GAP = 3600.0
"""Seconds. A hole in the times that is longer, or longer than the file, is a clock that was set or a time that was
damaged, and what follows it is played at once."""
LONGEST_BREAK = 10.0
"""The same for streams whose clock may be set at any moment (MPEG-TS, Ogg), as FFmpeg has it."""
LATEST_START = 60.0
"""Seconds. A file whose sound begins later has no beginning of its own: it was cut out of something longer."""
TIMED = frozenset(["asf", "avi", "flac", "flv", "matroska", "mov", "mpeg", "mpegts", "mxf", "nut", "ogg", "rm", "webm"])
"""Containers that say when a packet is heard, by FFmpeg's names. What is heard when in any other one is counted out of
its packets, wrongly where the rate changes, so that only what was left out makes a gap."""
SAY_THEIR_END = frozenset({"flac", "matroska", "mov", "ogg"})
"""Those of them whose length is not guessed."""
COUNTED = frozenset({"flac"})
"""Those whose times are the count of their samples: FFmpeg passes over what is damaged, and leaves a hole."""
SHORT = 0.25
"""Seconds by which the sound may end before a file says that it does, without anything being missing."""
MAX_FAILURES = 64
"""Times in a row that a file cannot be read on from where it is damaged, before that is its end."""
TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
"""What stands between the parts of MP3 files that were joined, and is no sound."""


class Sound(NamedTuple):
    """A piece of sound: where it lies in the speech."""

    samples: NDArray[np.float32]
    """(channels, n); full scale is 1.0. Finite."""
    rate: int
    """Hz."""
    layout: str
    """FFmpeg's name for the order of the channels, say "stereo"; one that it has no name for is any other text."""
    at: float
    """Seconds. Where it is later than the end of the piece before, there is silence in between."""


class Losses:
    """What of a file could not be decoded."""

    def __init__(self) -> None:
        self.count = 0
        """Packets, or places between packets."""
        self.seconds = 0.0
        """As far as the file says."""
        self.first: float | None = None
        """Seconds from the start of the speech to the first of them."""

    def add(self, at: float, seconds: float) -> None:
        """Something at `at` that would have been this long."""
        self.count += 1
        self.seconds += seconds
        self.first = at if self.first is None else self.first

    def __str__(self) -> str:
        """One line: how many, how long, where; "" where nothing was lost."""
        if self.first is None:
            return ""
        minutes, seconds = divmod(self.first, 60)
        places = "1 damaged place" if self.count == 1 else f"{self.count} damaged places"
        return f"{places} left out, {self.seconds:.2f} s in all, the first at {minutes:.0f}:{seconds:05.2f}"


class Places:
    """From the times of a file to places in the speech."""

    def __init__(self) -> None:
        self.end = 0.0
        """Of what has been placed."""
        self._longest = 0.0
        self._offset: float | None = None

    def begin(self, longest: float) -> None:
        """Other times begin, with gaps up to `longest` seconds."""
        self._longest, self._offset = longest, None

    def leave_out(self, seconds: float) -> None:
        """Silence of this length."""
        self.end += seconds

    def anchor(self, time: float) -> None:
        """What the file has at `time` belongs behind what has been placed, where nothing has been said about that."""
        if self._offset is None:
            self._offset = self.end - time

    def place(self, time: float | None, seconds: float, lost: bool) -> float:
        """Where a piece of this length belongs that the file has at `time`. `lost`: something before it is missing."""
        at = self.end
        if time is not None:
            self.anchor(time)
            assert self._offset is not None
            gap = time + self._offset - at
            if gap > self._longest or gap < -JITTER:  # another clock: played one after the other
                self._offset -= gap
            elif gap > (ROUNDING if lost else JITTER):
                at += gap
        self.end = at + seconds
        return at


def name_of(source: Source) -> str:
    """What messages call it."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "the speech"


class SoundTrack:
    """The sound of a file, which can be decoded any number of times.

    Of several streams it is the one that is flagged as the default, or else the first that can be decoded. A path is
    never taken for an address, whatever colons and percent signs are in it.

    Raises:
        InvalidArgument: it cannot be opened. BadData: it has no sound that could be decoded.
    """

    def __init__(self, source: Source) -> None:
        self.name = name_of(source)
        self.losses = Losses()
        """Of the newest pass."""
        try:
            self._parts = _parts(source)
            if not self._parts:
                raise InvalidArgument(f"cannot read {self.name}: it is empty")
            with _open(self._parts[0]) as file:
                choose(file, self.name)
        except (OSError, av.FFmpegError) as exc:
            raise InvalidArgument(f"cannot read {self.name}: {_reason(exc)}") from exc

    def __iter__(self) -> Iterator[Sound]:
        self.losses = Losses()
        places = Places()
        for part in self._parts:
            try:
                with _open(part) as file:
                    yield from decode(file, choose(file, self.name), places, self.losses)
            except (OSError, av.FFmpegError, BadData) as exc:
                if len(self._parts) == 1:
                    raise BadData(f"cannot read {self.name} to its end: {_reason(exc)}") from exc
                self.losses.add(places.end, 0.0)


def _parts(source: Source) -> list[str | bytes]:
    """What there is to decode, one after the other: a URL, or the bytes of it where it can be read only once or
    consists of several links."""
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        with open(path, "rb") as file:
            if stat.S_ISREG(os.stat(path).st_mode) and path.isprintable():
                head = file.read(len(PAGE))
                if head and head != PAGE and len(_wavs(file)) < 2:
                    return [f"file:{path}"]
                file.seek(0)
            return _joined(file.read())
    if isinstance(source, bytes | bytearray | memoryview):
        return _joined(bytes(source))
    return _joined(source.read())


def _joined(data: bytes) -> list[str | bytes]:
    """What was joined, one by one."""
    begins = _wavs(io.BytesIO(data))
    if len(begins) < 2:
        return list(_links(data))
    return [data[begin:end] for begin, end in pairwise([*begins, len(data)])]


def _wavs(file: BinaryIO) -> list[int]:
    """Where the WAV files begin of which a file consists, as far as their chunks say how long they are; [] of any other
    file."""
    begins: list[int] = []
    at = long = 0
    while True:
        file.seek(at)
        head = file.read(24)
        name, size = head[:4], int.from_bytes(head[4:8], "little")
        if is_wav(head):
            begins.append(at)
            at += 12
            continue
        if not begins or len(head) < 8 or not all(0x20 <= byte < 0x7F for byte in name):
            return begins
        if name == b"ds64":
            long = int.from_bytes(head[16:24], "little")
        elif name == b"data" and size == ENDLESS:
            size, long = long, 0
        if name == b"data" and size == 0 and not is_wav(head[8:20]):  # it was not known, and is all that follows
            return begins
        at += 8 + size
        if size % 2:
            file.seek(at)
            at += file.read(1) == b"\0"  # some writers forget that chunks begin at even places


def _links(data: bytes) -> Iterator[bytes]:
    """The links of a chained Ogg stream (RFC 3533, section 4), each of which may have another codec, rate and channels;
    anything else as it is."""
    if not data.startswith(PAGE):
        yield from [data] if data else []
        return
    links = OggLinks(io.BytesIO(data))
    while True:
        yield b"".join(iter(lambda: links.read(len(data)), b""))
        if not links.next():
            return


def _open(part: str | bytes) -> Any:
    # Names of tags may be in any encoding.
    return av.open(part if isinstance(part, str) else io.BytesIO(part), metadata_errors="ignore")


def _reason(exc: Exception) -> str:
    if isinstance(exc, av.error.InvalidDataError):
        return "it is no file that FFmpeg knows, or its beginning or its index is missing"
    if isinstance(exc, EOFError):
        return "it is empty, or cut off before any sound"
    return str(getattr(exc, "strerror", None) or exc)


def choose(file: Any, name: str) -> int:
    """Index of the stream to hear."""
    if not file.streams.audio:
        raise BadData(f"{name} has no audio stream")
    known = [stream for stream in file.streams.audio if stream.codec_context is not None]
    if not known:
        raise BadData(f"the sound of {name} is in a codec that this FFmpeg cannot decode")
    default = av.stream.Disposition.default
    return int(next((stream for stream in known if stream.disposition & default), known[0]).index)


def decode(file: Any, index: int, places: Places, losses: Losses) -> Iterator[Sound]:
    """The sound of a stream of a file that PyAV has opened, from where it stands; what is lost goes into `losses`."""
    stream = file.streams[index]
    timed = not TIMED.isdisjoint(file.format.name.split(","))
    counted = file.format.name in COUNTED
    breaks = bool(file.format.flags & av.format.Flags.ts_discont.value)
    places.begin(_longest_gap(file, breaks))
    begun = lost = False
    end: float | None = None
    for packet in _packets(file, stream, losses, places):
        time = _seconds(packet.pts, packet.time_base)
        if timed and not begun and time is not None:
            places.leave_out(_late(file, time, breaks))
            begun = True
        length = _seconds(packet.duration, packet.time_base) or 0.0
        end = end if time is None else time + length
        try:
            frames = packet.decode()
        except av.FFmpegError:
            if _is_sound(bytes(packet)):
                losses.add(places.end, length)
                lost = True
                if not timed:
                    places.leave_out(length)
                elif time is not None:
                    places.anchor(time)
            continue
        for frame in frames:
            samples = floats(frame)
            if samples.shape[1] and frame.sample_rate > 0:
                seconds = samples.shape[1] / frame.sample_rate
                time = _seconds(frame.pts, frame.time_base)
                end = end if time is None else max(end or 0.0, time + seconds)
                before = places.end
                at = places.place(time if timed else None, seconds, lost)
                if counted and at > before and not lost:
                    losses.add(before, at - before)
                lost = False
                yield Sound(samples, frame.sample_rate, frame.layout.name, at)
    should_end = _end(file, stream, breaks)
    if end is not None and should_end is not None and should_end - end > SHORT:
        losses.add(places.end, should_end - end)


def _is_sound(data: bytes) -> bool:
    """Whether it might have been; no tag, and no padding."""
    return not data.startswith(TAGS) and data.count(0) < len(data)


def _packets(file: Any, stream: Any, losses: Losses, places: Places) -> Iterator[Any]:
    """The packets of a stream, and an empty one at its end, for the decoder to give what it holds back."""
    failures = 0
    packets = file.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, IndexError):  # PyAV has no place for a stream that comes up later
            failures += 1
            if failures == 1:
                losses.add(places.end, 0.0)
            if failures == MAX_FAILURES:
                return
            packets = file.demux(stream)  # where it stands
            continue
        if packet is None:
            return
        failures = 0
        yield packet


def _longest_gap(file: Any, breaks: bool) -> float:
    """Seconds; none is longer than the whole file says to be."""
    whole = float(file.duration / av.time_base) if file.duration else LONGEST_GAP
    return min(whole, LONGEST_BREAK if breaks else LONGEST_GAP)


def _late(file: Any, first: float, breaks: bool) -> float:
    """How long after the file its sound begins, in seconds; `first`: the time of its first packet."""
    start = (file.start_time or 0) / av.time_base
    if breaks or start > LATEST_START:
        first -= start
    return first if JITTER < first <= LATEST_START else 0.0


def _end(file: Any, stream: Any, breaks: bool) -> float | None:
    """When the sound ends, in the file's times, where it says so and is to be believed."""
    if SAY_THEIR_END.isdisjoint(file.format.name.split(",")):
        return None
    length = _seconds(stream.duration, stream.time_base)
    if length is not None:  # from where, one cannot know of Ogg
        return length if breaks else length + (_seconds(stream.start_time, stream.time_base) or 0.0)
    if len(file.streams) == 1 and file.duration is not None:
        return float(file.duration / av.time_base)
    return None


def _seconds(count: int | None, base: Any) -> float | None:
    return None if count is None or not base else float(count * base)


def floats(frame: Any) -> NDArray[np.float32]:
    """The samples of a frame, (channels, n) with full scale at 1.0; what is no number is silence."""
    raw: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        raw = raw.reshape(-1, frame.layout.nb_channels).T
    samples: NDArray[np.float32] = raw.astype(np.float32)
    if raw.dtype == np.uint8:
        samples -= 128
        samples /= 128
    elif raw.dtype.kind == "i":
        samples /= np.float32(2.0 ** (8 * raw.dtype.itemsize - 1))
    elif not np.isfinite(samples).all():
        np.nan_to_num(samples, copy=False, posinf=0.0, neginf=0.0)
    return samples


def standard_input() -> bytes:
    """Everything on standard input. Raises InvalidArgument: it is a terminal."""
    if sys.stdin is None or sys.stdin.isatty():
        raise InvalidArgument("- reads the speech from standard input, and that is a terminal: pipe a file into it")
    return sys.stdin.buffer.read()
