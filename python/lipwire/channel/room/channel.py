"""An in-process member of a room: a session or an agent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Protocol

from ..._core import BLOCK, Frame
from ...errors import BadState, InvalidArgument
from ...motion.sets import DEFAULT_SETS
from ...protocol.messages import Egress
from ...publish.sound import PACKET_BLOCKS
from ...stream import Cue, StreamSpec, Unit, Wants
from ..base import Channel, ChannelEvent, Connection, State, UserJoined
from .place import PACKET_SIZE, Place

logger = logging.getLogger("lipwire.room")


class Door(Protocol):
    """Where a member finds its room."""

    def enter(self, channel: RoomChannel) -> Place:
        """The room it is in from now on. Raises RoomError or NoCapacity."""


class RoomChannel(Channel):
    """An in-process member of a room: a `Channel`. It is in the room from `open` to `close`.

    Args:
        on_event: gets each ChannelEvent.
        egress: what is sent of it to browsers: its pictures, its motion, or what each asks for.
        motion_sets: sets of motion for those who name none.
    """

    packet_size = PACKET_SIZE
    audio_blocks = PACKET_BLOCKS
    """10 ms blocks of sound that it takes at a time: what is sent to browsers at once."""
    takes_units = True

    def __init__(
        self,
        rooms: Door,
        name: str,
        user: str,
        on_event: Callable[[ChannelEvent], None] | None = None,
        *,
        egress: Egress = "both",
        motion_sets: tuple[str, ...] = DEFAULT_SETS,
    ) -> None:
        self.name, self.user = name, user
        self.egress, self.motion_sets = egress, motion_sets
        self.on_event = on_event
        self.state: State = "disconnected"
        self.fps: Fraction | None = None
        """Its pictures a second, from `open` on,"""
        self.shows = False
        """whether it has some,"""
        self.face = ""
        """and of whom."""
        self._rooms = rooms
        self._room: Place | None = None
        self._subscriptions: dict[str | None, tuple[bool, bool]] = {}

    async def open(self, spec: StreamSpec) -> None:
        """Joins.

        Raises:
            RoomError: somebody with this name is there. NoCapacity: the room is full, or there are too many rooms.
        """
        if self._room is not None:
            raise BadState("the channel is open")
        self.fps, self.shows, self.face = spec.fps, spec.width > 0, spec.avatar
        self._room = self._rooms.enter(self)
        self._set("connected", "")
        for member in self._room.members():
            if member.user != self.user:
                self.emit(UserJoined(member.user))

    async def close(self) -> None:
        """Leaves. Safe to call twice."""
        self.left("left")

    def left(self, reason: str) -> None:
        """It is out of its room."""
        room, self._room = self._room, None
        if room is not None:
            room.remove(self)
            self._set("disconnected", reason)

    def audio(self, pcm: bytes, sample: int) -> None:
        """10 ms or some of them, to everyone."""
        if self._room is not None:
            for at in range(0, len(pcm), 2 * BLOCK):
                self._room.sound(self, pcm[at : at + 2 * BLOCK], sample + at // 2)

    @property
    def wants(self) -> Wants:
        """What those in the room take who look at it."""
        return "nothing" if self._room is None or self.egress == "motion" else self._room.wanted(self)

    @property
    def takes_motion(self) -> bool:
        """Whether somebody in the room draws its face."""
        return self._room is not None and self.egress != "video" and self._room.takes_motion(self)

    def motion(self, frame: Frame) -> None:
        """A frame, to those who draw it, if this is the face of the room."""
        if self._room is not None:
            self._room.move(self, frame)

    def cue(self, cue: Cue) -> None:
        """What happened, to them."""
        if self._room is not None:
            self._room.cue(self, cue)

    def video(self, frame: Frame) -> None:
        """A picture, to everyone, if this is the face of the room."""
        if self._room is not None:
            self._room.show(self, frame)

    def unit(self, unit: Unit) -> None:
        """The same for who takes H.264, encoded beforehand."""
        if self._room is not None:
            self._room.show_unit(self, unit)

    def interrupt(self) -> None:
        """Nobody hears or sees any more what was handed over and has not been sent."""
        if self._room is not None:
            self._room.interrupt(self)

    def send(self, data: bytes) -> None:
        """A data message to everyone. A browser that is too slow misses some, which is counted: `peer.Outbox`.

        Raises:
            InvalidArgument: empty, or more than `packet_size` bytes. BadState: not in the room.
        """
        if not 0 < len(data) <= PACKET_SIZE:
            raise InvalidArgument(f"a data message holds 1..{PACKET_SIZE} bytes, not {len(data)}")
        if self._room is None:
            raise BadState("the channel is not open")
        self._room.send(self, bytes(data))

    def subscribe(self, user: str | None = None, *, audio: bool = True, video: bool = False) -> None:
        """A user's sound and pictures; None = everyone's who has no subscription of its own."""
        self._subscriptions[user] = (audio, video)
        self._review()

    def unsubscribe(self, user: str | None = None) -> None:
        """Ends it."""
        self._subscriptions.pop(user, None)
        self._review()

    def _review(self) -> None:
        if self._room is not None:
            self._room.review()

    def subscribed(self, user: str) -> tuple[bool, bool]:
        """Whether it wants (sound, pictures) of a user."""
        return self._subscriptions.get(user) or self._subscriptions.get(None, (False, False))

    def stats(self) -> dict[str, Any]:
        """Live figures, JSON-able: `state`, `room`, `members`, `viewers` (browsers that are connected), what slow
        browsers missed (`dropped` packets and pictures, `messages_dropped`), `messages_waiting`, and by `users` what
        their sound is like (`Microphone.stats`)."""
        room = self._room
        return {"state": self.state, "room": self.name, **(room.stats() if room is not None else {})}

    def _set(self, state: State, reason: str) -> None:
        self.state = state
        self.emit(Connection(state, reason))

    def emit(self, event: ChannelEvent) -> None:
        """Tells its owner."""
        if self.on_event is not None:
            try:
                self.on_event(event)
            except Exception:  # the edge: one member's listener must not stop the others' events
                logger.exception("[%s] a listener of %s failed", self.name, self.user)
