"""A user of a room who draws the face, and is sent motion and sound by a way that is not WebRTC: a WebSocket."""

from __future__ import annotations

from typing import Protocol

from ...publish.audience import Audience
from ...publish.motion import Motion
from ...publish.motion_queue import NORMAL, MotionQueue, MotionSounds
from ...publish.peer import Peer
from ...publish.sound import Sounds
from ..base import UserJoined
from .microphone import Microphone
from .place import Place


class MotionPlace(Place, Protocol):
    """A room that has sound for such users."""

    motion_sounds: MotionSounds


class Watcher:
    """A member as `Browser` is one, without a connection of WebRTC's: it is there, says nothing and is told nothing.

    Args:
        queue: what waits for it. audience: of whom it is one.
    """

    connected = True
    speaks = False
    peer: Peer | None = None
    sounds: Sounds | None = None
    microphone: Microphone | None = None

    def __init__(self, room: MotionPlace, user: str, queue: MotionQueue, audience: Audience) -> None:
        self.room, self.user, self.queue = room, user, queue
        self.joined = False
        self._audience = audience

    def enter(self) -> None:
        """It counts as one who watches: the same as the user's other connections. Raises NoCapacity."""
        self._audience.enter(self.queue, (self.room, self.user))

    def join(self, *, follows: bool) -> None:
        """It is in the room, from now on. `follows`: the user was there, on another connection."""
        self.joined = True
        self._motion.add(self.queue)
        self.room.motion_sounds.add(self.queue)
        if not follows:
            self.room.announce(UserJoined(self.user), self)
        self.room.tell_members()
        self.room.review()

    def leave_room(self) -> None:
        """It goes. Safe to call twice."""
        self.room.remove(self)

    def leave(self) -> None:
        """The room has removed it, or has another in its place."""
        self.joined = False
        self._motion.remove(self.queue)
        self.room.motion_sounds.remove(self.queue)
        self._audience.leave(self.queue)
        self.queue.end(NORMAL, "it has left the room")

    def replace(self) -> None:
        """Another connection of the same user takes its place."""
        self.queue.end(NORMAL, "another connection has taken its place")
        self.leave()

    @property
    def _motion(self) -> Motion:
        return self.room.motion

    def ends_with(self, peer: Peer) -> bool:
        """No connection carries it."""
        return False

    def review(self, audio: bool, video: bool) -> None:
        """Nothing comes from it."""

    def send(self, data: str | bytes) -> None:
        """Data messages are not for it."""
