"""What waits for one WebSocket."""

from __future__ import annotations

import asyncio
from collections import deque


class Outbox:
    """Frames on their way to one WebSocket: bounded, the oldest dropped, one reader."""

    def __init__(self, limit: int) -> None:
        self._frames: deque[str] = deque(maxlen=limit)
        self._wake = asyncio.Event()
        self.dropped = 0
        self.closing: tuple[int, str] | None = None

    def put(self, frame: str) -> None:
        """Queues a text frame, unless the connection is closing."""
        if self.closing is None:
            self.dropped += len(self._frames) == self._frames.maxlen
            self._frames.append(frame)
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Asks for a close with this code once what is queued has left. The first one counts."""
        if self.closing is None:
            self.closing = (code, reason)
            self._wake.set()

    async def take(self) -> list[str]:
        """Waits for frames; an empty list means: close now, as `closing` says."""
        while not self._frames and self.closing is None:
            self._wake.clear()
            await self._wake.wait()
        frames = list(self._frames)
        self._frames.clear()
        return frames
