"""The framing of what is written to a recognizer's process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO


def message(what: bytes, data: bytes = b"") -> bytes:
    return what + len(data).to_bytes(4, "little") + data


def messages(source: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Until the end of the input."""
    while len(head := source.read(5)) == 5:
        yield head[:1], source.read(int.from_bytes(head[1:], "little"))
