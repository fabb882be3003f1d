"""The sound of all users as one stream, at the pace of time: for who hears one stream only. No I/O, no clock."""

from __future__ import annotations

from collections import deque

import numpy as np

GATHERED = 3
"""Frames of 10 ms that are gathered of a user before they are mixed: what two microphones are apart in time."""
GONE = 12
"""Frames of another user's within which the one who sets the pace has sent none: from then on the other sets it."""
MAX_WAITING = 50
"""Frames that wait of one user; the oldest is dropped."""
LATE = 8
"""Frames that wait from which on silence among them is left out, so that a user does not stay late for ever."""
MAX_USERS = 32
"""Users that are followed; the one not heard for longest is forgotten."""
_QUIET = 32.0
"""RMS of 16-bit samples (-60 dBFS) under which a frame is silence."""


class _Waiting:
    """Frames of one user's that wait to be mixed."""

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque(maxlen=MAX_WAITING)
        self.since = 0
        """Frames that came since the one who sets the pace has sent one."""
        self._playing = False

    def take(self) -> bytes | None:
        """The next frame; None = nothing to hear now."""
        while len(self.frames) > LATE and _quiet(self.frames[0]):
            self.frames.popleft()
        if not self._playing and len(self.frames) < GATHERED:
            return None
        self._playing = bool(self.frames)
        return self.frames.popleft() if self._playing else None


class UserMixer:
    """Frames of users in, frames of one stream out: as many as time has passed, however many users there are.

    The frames of one user set the pace, and what the others say is added to them. Where that one falls silent (no
    frames at all), another one takes over, and nothing of what that one has said meanwhile is lost.
    """

    def __init__(self) -> None:
        self._pace: str | None = None
        self._users: dict[str, _Waiting] = {}

    def hear(self, pcm: bytes, user: str) -> list[bytes]:
        """10 ms of a user: PCM16 mono of any rate, the same for all. Returns the frames of the stream that are due."""
        if self._pace is None:
            self._pace = user
        if user == self._pace:
            for waiting in self._users.values():
                waiting.since = 0
            return [self._mixed(pcm)]
        waiting = self._users.pop(user) if user in self._users else _Waiting()
        self._users[user] = waiting  # the newest is last
        if len(self._users) > MAX_USERS:
            del self._users[next(iter(self._users))]
        waiting.frames.append(pcm)
        waiting.since += 1
        if waiting.since < GONE:
            return []
        self._pace = user
        del self._users[user]
        for other in self._users.values():
            other.since = 0
        return [self._mixed(frame) for frame in list(waiting.frames)[-waiting.since :]]

    def _mixed(self, pcm: bytes) -> bytes:
        total: np.ndarray[tuple[int], np.dtype[np.int32]] | None = None
        for waiting in self._users.values():
            frame = waiting.take()
            if frame is not None and len(frame) == len(pcm) and frame.count(0) < len(frame):
                total = np.frombuffer(pcm, np.int16).astype(np.int32) if total is None else total
                total += np.frombuffer(frame, np.int16)
        return pcm if total is None else np.clip(total, -32768, 32767).astype(np.int16).tobytes()


def _quiet(pcm: bytes) -> bool:
    samples = np.frombuffer(pcm, np.int16).astype(np.float32)
    return float(np.dot(samples, samples)) <= _QUIET**2 * len(samples)
