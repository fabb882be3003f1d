"""Ogg as it comes, link by link."""

from __future__ import annotations

import zlib
from typing import BinaryIO

PAGE, HEADER, FIRST = b"OggS", 27, 2
"""How a page begins; bytes before its table of segments; the flag of a page that begins a stream."""
PIECE = 4096
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class OggLinks:
    """A chained Ogg stream (RFC 3533, section 4) as a file that ends where the next link begins, until `next`. Each
    link may have another codec, rate and channels.

    Args:
        file: gives as many bytes as there are, up to those that it is asked for; b"" = there is no more.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data = bytearray()
        self.damaged = 0
        """Pages whose checksum is wrong, and places between pages that are none: FFmpeg passes over them in silence."""
        self._left = 0
        """Bytes of the page that are yet to be read."""
        self._opening = True
        """The newest page begins a stream: those of one link come together, before any other page."""
        self._over = False
        self._lost = False
        """What is read is between pages."""

    def next(self) -> bool:
        """Goes to the next link, past what has not been read of this one. False: there is none."""
        while not self._over:
            self.read(PIECE)
        self._over = False
        return bool(self._data)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of this link; b"" at its end."""
        if self._over or size <= 0:
            return b""
        if not self._left and not self._page():
            self._over = True
            return b""
        piece = bytes(self._data[: min(size, self._left)])
        del self._data[: len(piece)]
        self._left -= len(piece)
        return piece

    def _fill(self, count: int) -> None:
        while len(self._data) < count and (more := self._file.read(count - len(self._data))):
            self._data += more

    def _page(self) -> bool:
        """Gets the page that follows, as far as it comes. False: there is none in this link."""
        self._fill(HEADER)
        if self._data.startswith(PAGE) and len(self._data) >= HEADER:
            opens = bool(self._data[5] & FIRST)
            if opens and not self._opening:
                self._opening = True
                return False
            self._opening = opens
            head = HEADER + self._data[HEADER - 1]
            self._fill(head)
            self._left = head + sum(self._data[HEADER:head])
            self._fill(self._left)
            self._left = min(self._left, len(self._data))
            self.damaged += not _whole(bytes(self._data[: self._left]))
            self._lost = False
        elif self._data:  # on to where a page begins
            at = self._data.find(PAGE, 1)
            self._left = at if at > 0 else max(1, len(self._data) - len(PAGE) + 1)
            self.damaged += not self._lost
            self._lost = True
        return bool(self._data)


def _whole(page: bytes) -> bool:
    """Whether its checksum is right: CRC-32 of the most significant bit first, from 0, over the page without it (RFC
    3533, section 6). zlib has the one of the least significant bit first, from all ones."""
    bare = page[:22] + bytes(4) + page[26:]
    found = zlib.crc32(bare.translate(_MIRRORED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return found.to_bytes(4, "big").translate(_MIRRORED) == page[22:26]
