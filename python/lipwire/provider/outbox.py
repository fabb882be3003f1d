"""What waits for one WebSocket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

CLOSE_NORMAL, CLOSE_FAULT, CLOSE_DRAIN = 1000, 1011, 1012
"""WebSocket close codes (RFC 6455, section 7.4): it ended, or a newer connection has taken over; a fault; drained."""


class Outbox:
    """Frames on their way to one WebSocket: bounded, one reader.

    When it is full an event of the session takes the place of the oldest frame, and an answer to a message is dropped:
    a client that floods us with messages, and does not read the answers, loses those, not what its session tells.

    Args:
        limit: frames that it holds.
        before: that of the connection which this one replaces.
    """

    def __init__(self, limit: int, before: Outbox | None = None) -> None:
        self._before = before
        self._read_out = asyncio.Event()
        self._frames: deque[tuple[str, bool]] = deque(maxlen=limit)
        """Each with whether it is an answer."""
        self._wake = asyncio.Event()
        self.dropped = 0
        self.closing: tuple[int, str] | None = None
        self.on_close: Callable[[], object] | None = None
        """Called once, when `close` is."""
        self.on_superseded: Callable[[], object] | None = None
        """Called once, when a newer connection takes its place; it is to `close` it when what its client had sent until
        then is read. Without one it closes at once."""

    @property
    def waiting(self) -> int:
        """Frames that have not been taken."""
        return len(self._frames)

    def supersede(self) -> None:
        """A newer connection takes its place."""
        if self.on_superseded is not None:
            self.on_superseded()
        else:
            self.close_superseded()

    def close_superseded(self) -> None:
        """Closes it since a newer connection has taken its place."""
        self.close(CLOSE_NORMAL, "superseded by a newer connection")

    def read_out(self) -> None:
        """Nothing more is read of its connection."""
        self.on_superseded = None
        self._read_out.set()

    async def first(self) -> None:
        """Waits until the connection before this one is read out: what came first is done first."""
        before, self._before = self._before, None
        if before is not None:
            await before._read_out.wait()

    def put(self, frame: str, *, answer: bool = False) -> None:
        """Queues a text frame, unless the connection is closing."""
        if self.closing is not None:
            return
        full = len(self._frames) == self._frames.maxlen
        self.dropped += full
        if not (full and answer):
            self._frames.append((frame, answer))
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Asks for a close with this code once what is queued has left. The first one counts."""
        if self.closing is None:
            self.closing = (code, reason)
            self._wake.set()
            self.read_out()
            if self.on_close is not None:
                self.on_close()

    async def take(self) -> list[str]:
        """Waits for frames; an empty list means: close now, as `closing` says."""
        while not self._frames and self.closing is None:
            self._wake.clear()
            await self._wake.wait()
        return self.pop()

    def pop(self) -> list[str]:
        """What is queued; then nothing is."""
        frames = [frame for frame, _ in self._frames]
        self._frames.clear()
        return frames

    def untold(self) -> list[str]:
        """The events among what was not taken, when nobody will any more; then nothing is queued."""
        frames = [frame for frame, answer in self._frames if not answer]
        self._frames.clear()
        return frames
