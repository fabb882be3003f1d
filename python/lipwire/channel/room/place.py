"""What a member of a room needs of it."""

from __future__ import annotations

import re
import secrets
from typing import Any, Literal, Protocol

from msgspec import Struct

from ..._core import Frame
from ...errors import InvalidArgument, LipwireError
from ...publish.motion import Motion
from ...publish.peer import Peer
from ...publish.sound import Sounds
from ...publish.streams import Pictures
from ...stream import Cue, Unit, Wants
from ..base import ChannelEvent, Heard, Seen

PACKET_SIZE = 16 << 10
"""Bytes that a data message holds."""

Role = Literal["speaker", "viewer"]

_NAME = re.compile(r"[^\x00-\x1f\x7f/]{1,64}")


class RoomError(LipwireError, RuntimeError):
    """The room cannot be joined: its name for you is taken."""

    code = "CHANNEL_IN_USE"


class Member(Struct, frozen=True):
    """Somebody in a room."""

    user: str
    kind: Literal["agent", "user"]
    """An agent is in process, a user in a browser."""
    connected: bool
    """False: its connection was lost, and it may come back."""
    speaks: bool


def check_name(what: str, name: str) -> str:
    """The name, without surrounding space. Raises InvalidArgument."""
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{what} must have 1..64 characters, without control characters and '/', got {name!r:.80}"
        )
    return name


def made_up_user() -> int:
    """A user id, 1..2^31-1, that nobody is going to be given again: a number, because Agora's channels know users by
    number, and in the range of a signed int32, because some clients of theirs do."""
    return secrets.randbelow(2**31 - 1) + 1


class Place(Protocol):
    """A room, as its members see it. `member` is who calls."""

    name: str
    peers: set[Peer]
    """Every connection that is not closed."""
    sounds: Sounds
    """What browsers hear that say nothing themselves,"""
    pictures: Pictures
    """and the face that all see,"""
    motion: Motion
    """or draw."""

    def members(self) -> list[Member]:
        """Who is there, agents first."""

    def announce(self, event: ChannelEvent, but: Any) -> None:
        """Tells the in-process members, but for one."""

    def tell_members(self) -> None:
        """Tells the browsers who is there."""

    def review(self) -> None:
        """Has decoded what is wanted, and nothing else."""

    def remove(self, member: Any) -> None:
        """A member is gone. Safe to call twice."""

    def heard(self, member: Any, event: Heard) -> None:
        """10 ms of a browser, for the in-process members."""

    def voice(self, member: Any, pcm: bytes) -> None:
        """10 ms of a browser at 48 kHz, for the other browsers."""

    def seen(self, member: Any, event: Seen) -> None:
        """A picture of a browser."""

    def sound(self, member: Any, pcm: bytes, sample: int) -> None:
        """10 ms of an in-process member."""

    def show(self, member: Any, frame: Frame) -> None:
        """A picture of an in-process member."""

    def show_unit(self, member: Any, unit: Unit) -> None:
        """The same, encoded beforehand."""

    def wanted(self, member: Any) -> Wants:
        """What of the video of an in-process member somebody is shown."""

    def takes_motion(self, member: Any) -> bool:
        """Whether somebody draws the face of an in-process member."""

    def move(self, member: Any, frame: Frame) -> None:
        """A frame of an in-process member, for those who draw it."""

    def cue(self, member: Any, cue: Cue) -> None:
        """What happened to it, for them."""

    def interrupt(self, member: Any) -> None:
        """What waits of an in-process member's sound and pictures is stale."""

    def send(self, member: Any, data: bytes) -> None:
        """A data message of an in-process member, to everyone."""

    def stats(self) -> dict[str, Any]:
        """See `RoomChannel.stats`."""
