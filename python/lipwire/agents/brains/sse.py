"""Server-sent events, and what services send in their place: bytes in, events out. No I/O.

Format: WHATWG HTML, "Server-sent events" (9.2.6).
"""

from __future__ import annotations

from ...errors import BadData

MAX_EVENT = 1 << 20
"""Bytes that one event of the stream may have."""


class SseReader:
    """Bytes in, the `data` of whole events out. Where the bytes are cut does not matter."""

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max = max_event
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._first = True

    def feed(self, data: bytes) -> list[str]:
        """Raises BadData: an event is larger than it may be."""
        events: list[str] = []
        if self._after_cr and data:
            self._after_cr = False
            if data[:1] == b"\n":
                data = data[1:]
        self._after_cr = data.endswith(b"\r") or (self._after_cr and not data)
        *lines, rest = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._line += line
            self._take(bytes(self._line), events)
            self._line.clear()
        self._line += rest
        if len(self._line) + self._size > self._max:
            raise BadData(f"an event of the stream has more than {self._max} bytes")
        return events

    def end(self) -> list[str]:
        """The stream is over: an event that only lacks its empty line is one all the same."""
        events: list[str] = []
        self._take(bytes(self._line), events)
        self._take(b"", events)
        self._line.clear()
        return events

    def _take(self, line: bytes, events: list[str]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                events.append(b"\n".join(self._data).decode("utf-8", "replace"))
            self._data, self._size = [], 0
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value) + 1  # with the end of the line, so that empty ones count too
            if self._size > self._max:
                raise BadData(f"an event of the stream has more than {self._max} bytes")


class EventReader:
    """The body of an answer as events, whatever it is labelled: a stream of server-sent events, or, where it begins as
    JSON does, the one event that all of it is."""

    def __init__(self) -> None:
        self._stream = SseReader()
        self._whole: bytearray | None = None
        self._begun = False

    def feed(self, data: bytes) -> list[str]:
        """More of the body. Raises BadData: an event is larger than it may be."""
        if not self._begun:
            begin = data.lstrip(b"\xef\xbb\xbf \t\r\n")
            self._begun = bool(begin)
            if begin[:1] in (b"{", b"["):
                self._whole = bytearray()
        if self._whole is None:
            return self._stream.feed(data)
        self._whole += data
        if len(self._whole) > MAX_EVENT:
            raise BadData(f"the reply has more than {MAX_EVENT} bytes")
        return []

    def end(self) -> list[str]:
        """The body is over."""
        if self._whole is None:
            return self._stream.end()
        return [self._whole.decode("utf-8-sig", "replace")]
