"""What waits for one WebSocket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class Outbox:
    """Frames on their way to one WebSocket: bounded, one reader.

    When it is full an event of the session takes the place of the oldest frame, and an answer to a message is dropped:
    a client that floods us with messages, and does not read the answers, loses those, not what its session tells.
    """

    def __init__(self, limit: int) -> None:
        self._frames: deque[tuple[str, bool]] = deque(maxlen=limit)
        """Each with whether it is an answer."""
        self._wake = asyncio.Event()
        self.dropped = 0
        self.closing: tuple[int, str] | None = None
        self.on_close: Callable[[], object] | None = None
        """Called once, when `close` is."""

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
