"""Coded sound as it comes, in pieces of any size: MP3, AAC, Opus, Vorbis, FLAC and what else FFmpeg reads, by PyAV.

PyAV asks for bytes where the network gives them, so it runs on a thread of its own. `ContainerReader.take` hands the
thread what has come and returns when it asks for more: nothing is decoded behind the caller's back, and nothing piles
up.
"""

from __future__ import annotations

import asyncio
import io
import math
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadData
from .mono import LiveMix
from .ogg import OggLinks
from .pcm import pcm16
from .wav import is_wav

if TYPE_CHECKING:
    from .decode import Sound

HEAD = 12
"""Bytes by which most kinds are told apart."""
MAX_SEARCH = 8192
"""Bytes in which frames of MPEG sound are looked for."""
MAX_WHOLE = 32 << 20
"""Bytes that an MP4 may have whose sound comes before what describes it."""
LONGEST_GAP = 1.0
"""Seconds of silence in place of what is missing, at most."""
_OPEN = {"probesize": "2048", "analyzeduration": "1"}
"""FFmpeg looks at no more before it begins: by default it reads five seconds."""

_MAGIC = {
    b"OggS": "ogg",
    b"fLaC": "flac",
    b"\x1aE\xdf\xa3": "matroska",
    b"FORM": "aiff",
    b".snd": "au",
    b"caff": "caf",
    b"#!AM": "amr",
    b"RIFX": "wav",
}
_BOXES = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide")
"""Boxes that an MP4 or what is like it begins with."""

_BITRATES = {
    (3, 3): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by (version, layer) as their bits are: version 3 is MPEG-1, 2 and 0 (2.5) share theirs; layer 3 is I."""
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def _mpeg_frame(data: bytes, at: int) -> int:
    """Bytes of the frame of MPEG sound there, by its head (ISO 11172-3, 13818-3); 0 = there is none."""
    if data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return 0
    version, layer = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3
    bitrate, rate, padding = data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == 1 or layer == 0 or rate == 3 or bitrate in (0, 15):
        return 0
    bits = _BITRATES.get((version, layer)) or _BITRATES[(2, 3 if layer == 3 else 2)]
    hz = _RATES[version][rate]
    if layer == 3:
        return (12_000 * bits[bitrate] // hz + padding) * 4
    samples = 72_000 if layer == 1 and version != 3 else 144_000
    return samples * bits[bitrate] // hz + padding


def _adts_frame(data: bytes, at: int) -> int:
    """Bytes of the frame of AAC there, by its head (ISO 13818-7, ADTS); 0 = there is none."""
    if data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0 or data[at + 2] >> 2 & 15 > 12:
        return 0
    length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return length if length > 7 else 0


_FRAMES = {"mp3": _mpeg_frame, "aac": _adts_frame}


def _frames(data: bytes, *, search: bool, ended: bool) -> str | None:
    """Whether sound in frames without a container begins here, or, with `search`, somewhere in these bytes: two frames
    of a kind in a row are one. "" = it is none; None = more bytes are needed."""
    for at in range(min(len(data), MAX_SEARCH) if search else 1):
        if at + 7 > len(data):
            break
        if data[at] != 0xFF:
            continue
        for name, length_at in _FRAMES.items():
            length = length_at(data, at)
            if not length:
                continue
            if at + length + 7 > len(data):
                if not ended:
                    return None
                if at + length <= len(data):  # the only one
                    return name
            elif length_at(data, at + length):
                return name
    short = len(data) < (MAX_SEARCH if search else 7)
    return None if short and not ended else ""


def container_of(data: bytes, *, search: bool = False, ended: bool = False) -> str | None:
    """FFmpeg's name for what begins with these bytes ("mp3", "ogg", "wav", ...).

    Args:
        search: frames of MP3 or AAC may begin later, after some that is none: for who expects them.
        ended: there are no more bytes.

    Returns:
        "" where it is nothing that is known here; None where it takes more bytes to say.
    """
    if data[:3] == b"ID3" and len(data) >= 10:  # a tag (ID3v2), in front of any kind of frames
        size = 10 + sum((byte & 0x7F) << 7 * (3 - n) for n, byte in enumerate(data[6:10]))
        if len(data) < size + 7:
            return "mp3" if ended or size > MAX_SEARCH else None
        behind = data[size:].lstrip(b"\0")
        found = container_of(behind, search=True, ended=ended)
        return found if found in (None, "aac", "flac") else "mp3"
    if len(data) < HEAD and not ended:
        return None
    if is_wav(data):
        return "wav"
    if data[4:8] in _BOXES:
        return "mp4"
    if (known := _MAGIC.get(data[:4])) is not None:
        return known if known != "aiff" or data[8:11] == b"AIF" else ""
    return _frames(data, search=search, ended=ended)


class _Feed:
    """The file that PyAV reads: what has come of it. Reading waits for more."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._changed = threading.Condition()
        self._ended = self._over = False
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    def give(self, data: bytes, *, ended: bool = False) -> asyncio.Future[None]:
        """More of it; done when that has been read and more is asked for, or nothing more is."""
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()
        with self._changed:
            self._data += data
            self._ended = self._ended or ended
            self._waiting = (loop, waiting)
            if self._over:
                self.asks()
            self._changed.notify()
        return waiting

    def close(self) -> None:
        """Nothing more comes, and what has come is not wanted."""
        with self._changed:
            self._data.clear()
            self._ended = True
            self._changed.notify()

    def read(self, size: int) -> bytes:
        """On PyAV's thread."""
        with self._changed:
            while not self._data and not self._ended:
                self.asks()
                self._changed.wait()
            piece = bytes(self._data[:size])
            del self._data[:size]
            return piece

    def asks(self) -> None:
        """Whoever waits in `give` need wait no longer."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            loop, future = waiting
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_done, future)

    def over(self) -> None:
        """Nobody reads any more."""
        with self._changed:
            self._over = True
            self.asks()


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():  # whoever waited may be gone
        future.set_result(None)


class ContainerReader:
    """Bytes of a container in; PCM16 mono and its rate out, which may change in its midst. A packet that is broken is
    left out; where its times say how long it was, there is silence in its place.

    Args:
        name: FFmpeg's name of it (`container_of`).
        most: seconds of sound that it may have: a few bytes can hold hours of silence.
    """

    def __init__(self, name: str, most: float = math.inf) -> None:
        self.name = name
        self._most = most
        self.lost = 0
        """Places at which something was left out."""
        self._feed = _Feed()
        self._thread: threading.Thread | None = None
        self._found: deque[tuple[bytes, int]] = deque()
        self._error: BadData | None = None
        self._head: bytearray | None = bytearray() if name == "mp4" else None
        """Of an MP4, until it is known in what order it comes."""
        self._whole = False
        """All of it is needed before any of it can be decoded."""

    async def take(self, data: bytes) -> list[tuple[bytes, int]]:
        """More of it. Raises BadData: it cannot be read."""
        if self._head is not None:
            self._head += data
            if len(self._head) > MAX_WHOLE:
                raise BadData(f"the MP4 has more than {MAX_WHOLE >> 20} MiB, and its sound before its description")
            order = None if self._whole else _moov_first(self._head)
            if not order:
                self._whole = order is False or self._whole
                return []
            data, self._head = bytes(self._head), None
        return await self._give(data)

    async def end(self) -> list[tuple[bytes, int]]:
        """There is no more. Raises BadData: it cannot be read."""
        if self._head is not None:
            self._start(io.BytesIO(bytes(self._head)))
            self._head = None
        return await self._give(b"", ended=True)

    def close(self) -> None:
        """Ends the thread. Safe to call twice."""
        self._feed.close()

    async def _give(self, data: bytes, *, ended: bool = False) -> list[tuple[bytes, int]]:
        waiting = self._feed.give(data, ended=ended)
        self._start(self._feed)
        await waiting
        found = []
        while self._found:
            found.append(self._found.popleft())
        if self._error is not None and not found:
            raise self._error
        return found

    def _start(self, file: Any) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(file,), name="lipwire-sound", daemon=True)
            self._thread.start()

    def _run(self, file: Any) -> None:
        try:
            self._decode(file)
        except BadData as exc:
            self._error = exc
        except Exception as exc:  # the thread's edge
            self._error = BadData(f"the sound cannot be read as {self.name}: {type(exc).__name__}")
        finally:
            self._feed.over()

    def _decode(self, file: Any) -> None:
        mix, rate = LiveMix(1, 1), 0
        seconds = 0.0
        end: float | None = None
        try:
            for sound in self._sounds(file):
                samples = sound.samples
                if (len(samples), sound.rate) != (mix.channels, rate):
                    self._put(mix.end(), rate)
                    mix, rate = LiveMix(len(samples), sound.rate), sound.rate
                gap = 0 if end is None else round(min(sound.at - end, LONGEST_GAP) * rate)
                for piece in (np.zeros((len(samples), gap), np.float32), samples):
                    self._put(mix.take(piece), rate)
                    seconds += piece.shape[1] / rate
                end = sound.at + samples.shape[1] / rate
                if seconds > self._most:
                    raise BadData(f"it lasts longer than {self._most:g} s")
        finally:
            self._put(mix.end(), rate)

    def _sounds(self, file: Any) -> Iterator[Sound]:
        """What is in it; keeps count of what is lost."""
        import av

        from .decode import Losses, Places, choose, decode

        losses, places = Losses(), Places()
        links = OggLinks(file) if self.name == "ogg" else None
        first = True
        while first or (links is not None and links.next()):
            try:
                options = _OPEN if file is self._feed else {}
                with av.open(links or file, format=self.name, options=options) as container:
                    for sound in decode(container, choose(container, f"the {self.name}"), places, losses):
                        self.lost = losses.count + (links.damaged if links else 0)
                        yield sound
            except (av.error.FFmpegError, BadData):
                if first:
                    raise
                losses.add(places.end, 0.0)
            first = False
            self.lost = losses.count + (links.damaged if links else 0)

    def _put(self, samples: NDArray[np.float64], rate: int) -> None:
        if len(samples):
            self._found.append((pcm16(samples).tobytes(), rate))


def _moov_first(head: bytearray) -> bool | None:
    """Whether an MP4's description comes before its sound (ISO 14496-12); None = that has not come yet."""
    at = 0
    while at + 8 <= len(head):
        size, name = int.from_bytes(head[at : at + 4], "big"), bytes(head[at + 4 : at + 8])
        if name in (b"moov", b"moof"):
            return True
        if name == b"mdat":
            return False
        if size == 1:
            if at + 16 > len(head):
                return None
            size = int.from_bytes(head[at + 8 : at + 16], "big")
        if size < 8:
            return False
        at += size
    return None
