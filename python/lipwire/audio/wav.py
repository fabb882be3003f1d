"""A WAV file as it comes, in pieces of any size: its sound is out as soon as it is in.

FFmpeg reads WAV, too, but holds 64 KiB of it back to look for S/PDIF (`set_spdif` of its wavdec.c), which is more than
a second of speech. So what holds plain samples is read here, and the rare other codecs are left to FFmpeg.

Format: Microsoft's "Multimedia Programming Interface and Data Specifications 1.0" (RIFF), WAVEFORMATEXTENSIBLE; EBU
Tech 3306 (RF64), ITU-R BS.2088 (BW64).
"""

from __future__ import annotations

from typing import Literal

from ..errors import BadData
from .pcm import MAX_CHANNELS, Encoding, PcmFormat, PcmReader

HEADS = (b"RIFF", b"RF64", b"BW64")
MAX_HEAD = 1 << 20
"""Bytes of one chunk in front of the sound that are kept; larger ones, of the kinds that say nothing here, are not."""
ENDLESS = 0xFFFF_FFFF
"""A size that is not known yet: who streams cannot say it. 0 is written for it, too."""
NEAR = 1 << 16
"""Bytes that may follow sound of no length, where the file's own size says that they do."""

_PCM: dict[int, Encoding] = {1: "u8", 2: "s16", 3: "s24", 4: "s32"}
_FLOAT: dict[int, Encoding] = {4: "f32", 8: "f64"}
_LAW: dict[int, Encoding] = {6: "alaw", 7: "ulaw"}
EXTENSIBLE = 0xFFFE


class OtherCodec(Exception):
    """The samples are coded in a way that is not read here (ADPCM, MP3 in a WAV, ...)."""


def is_wav(head: bytes) -> bool:
    """Whether a file of these first 12 bytes is one."""
    return head[:4] in HEADS and head[8:12] == b"WAVE"


def _format(chunk: bytes) -> PcmFormat:
    """What a `fmt ` chunk says. Raises BadData, OtherCodec."""
    if len(chunk) < 16:
        raise BadData("the WAV's format is cut off")
    tag, channels = int.from_bytes(chunk[:2], "little"), int.from_bytes(chunk[2:4], "little")
    rate, block = int.from_bytes(chunk[4:8], "little"), int.from_bytes(chunk[12:14], "little")
    bits = int.from_bytes(chunk[14:16], "little")
    if tag == EXTENSIBLE and len(chunk) >= 26:
        tag = int.from_bytes(chunk[24:26], "little")
    if not 1 <= channels <= MAX_CHANNELS or not rate:
        raise BadData(f"the WAV has {channels} channels at {rate} Hz")
    width = (bits + 7) // 8 or block // channels
    table = {1: _PCM, 3: _FLOAT}.get(tag, {1: _LAW[tag]} if tag in _LAW else {})
    if width not in table:
        raise OtherCodec
    return PcmFormat(encoding=table[width], rate=rate, channels=channels)


class WavReader:
    """Bytes of a WAV in, or of several in a row; PCM16 mono and its rate out."""

    def __init__(self) -> None:
        self.head = bytearray()
        """All that came before the first sound."""
        self._data = bytearray()
        self._state: Literal["file", "chunk", "sound", "skip"] = "file"
        self._left = 0
        """Bytes of the chunk that are yet to come; -1 = till the end."""
        self._pad = False
        self._at = 0
        """Bytes of this file that have been read."""
        self._riff = self._long = 0
        """What the file says of its own size, and RF64 of its sound's."""
        self._sound: PcmReader | None = None
        self._format: PcmFormat | None = None

    @property
    def known(self) -> bool:
        """Whether it is known what the samples are."""
        return self._format is not None

    def take(self, data: bytes) -> list[tuple[bytes, int]]:
        """More of it. Raises BadData: it is none; OtherCodec: it needs another reader."""
        if not self.known:
            self.head += data
            if len(self.head) > 2 * MAX_HEAD:
                raise BadData("the WAV does not come to its sound")
        self._data += data
        found: list[tuple[bytes, int]] = []
        while self._step(found):
            pass
        return found

    def end(self) -> list[tuple[bytes, int]]:
        """What was held back. Raises BadData: there was no sound, nor any place for it."""
        if not self.known:
            raise BadData("the WAV ends before its sound")
        found: list[tuple[bytes, int]] = []
        if self._state == "sound":
            self._end_sound(found)
        return found

    def _eat(self, count: int) -> bytes:
        eaten = bytes(self._data[:count])
        del self._data[:count]
        self._at += len(eaten)
        return eaten

    def _step(self, found: list[tuple[bytes, int]]) -> bool:
        """Reads one thing. False: more has to come first."""
        match self._state:
            case "file":
                if len(self._data) < 12:
                    return False
                self._at = 0
                head = self._eat(12)
                if not is_wav(head):
                    raise BadData("it is no WAV")
                self._riff, self._long, self._pad = int.from_bytes(head[4:8], "little"), 0, False
                self._state = "chunk"
                return True
            case "chunk":
                return self._chunk()
            case "sound":
                return self._take_sound(found)
            case "skip":
                eaten = len(self._eat(self._left))
                self._left -= eaten
                if not self._left:
                    self._state = "chunk"
                return eaten > 0 or not self._left

    def _chunk(self) -> bool:
        """The head of a chunk, with all of it where it says something."""
        if self._pad and self._data:
            if not self._data[0]:  # some writers forget that chunks begin at even places
                self._eat(1)
            self._pad = False
        if len(self._data) < 8:
            return False
        name, size = bytes(self._data[:4]), int.from_bytes(self._data[4:8], "little")
        if name in HEADS:
            self._state = "file"  # one file after another
        elif name == b"data":
            self._eat(8)
            self._begin_sound(size)
        elif name in (b"fmt ", b"ds64"):
            if size > MAX_HEAD:
                raise BadData(f"the WAV's {name.decode().strip()} has {size} bytes")
            if len(self._data) < 8 + size:
                return False
            chunk = self._eat(8 + size)[8:]
            self._pad = size % 2 == 1
            if name == b"fmt ":
                self._format = _format(chunk)
            else:
                self._long = int.from_bytes(chunk[8:16], "little")
        else:
            self._eat(8)
            self._left, self._pad, self._state = size, size % 2 == 1, "skip"
        return True

    def _begin_sound(self, size: int) -> None:
        if self._format is None:
            raise BadData("the WAV's sound comes before its format")
        if size == ENDLESS and self._long:
            size = self._long
        more = self._riff + 8 - self._at
        if size == ENDLESS or (size == 0 and not 0 < more < NEAR):
            size = -1
        self._left, self._pad = size, size % 2 == 1 and size > 0
        self._sound = PcmReader(self._format)
        self._state = "sound"

    def _take_sound(self, found: list[tuple[bytes, int]]) -> bool:
        assert self._sound is not None and self._format is not None
        data = self._eat(len(self._data) if self._left < 0 else self._left)
        if self._left >= 0:
            self._left -= len(data)
        if pcm := self._sound.take(data):
            found.append((pcm, self._format.rate))
        if self._left == 0:
            self._end_sound(found)
            self._state = "chunk"
            return True
        return False

    def _end_sound(self, found: list[tuple[bytes, int]]) -> None:
        assert self._sound is not None
        if pcm := self._sound.end():
            found.append((pcm, self._sound.format.rate))
