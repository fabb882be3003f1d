"""Everyone whom this process sends sound and pictures to: how many there may be, and what they missed."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

from msgspec import Struct

from ..errors import NoCapacity

MAX_VIEWERS = 100
"""A quarter of one processor, where all watch one session; each in a session of its own costs more (docs/deploy.md)."""
RETRY_AFTER = 5.0


class Missed(Struct):
    """What was left out for want of time."""

    sound: int = 0
    """Packets of 20 ms."""
    pictures: int = 0

    def __add__(self, other: Missed) -> Missed:
        return Missed(self.sound + other.sound, self.pictures + other.pictures)


class Member(Hashable, Protocol):
    """One connection."""

    @property
    def missed(self) -> Missed:
        """So far."""


class Audience:
    """The connections of a process, or of whatever has a limit of its own.

    Args:
        limit: of those who may watch at a time; who has several connections counts once. More are refused.
    """

    def __init__(self, limit: int = MAX_VIEWERS) -> None:
        self.limit = limit
        self.refused = 0
        self._members: dict[Member, object] = {}
        self._gone = Missed()

    def __len__(self) -> int:
        return len(set(self._members.values()))

    @property
    def missed(self) -> Missed:
        """By all, those who have left among them."""
        return sum((member.missed for member in self._members), self._gone)

    def enter(self, member: Member, user: object = None) -> None:
        """Somebody comes. `user`: who it is, if that is known.

        Raises:
            NoCapacity: it is full.
        """
        watching = set(self._members.values())
        if len(watching) >= self.limit and user not in watching:
            self.refused += 1
            raise NoCapacity(
                f"{self.limit} viewers are connected, and this server sends to no more (max_viewers)", RETRY_AFTER
            )
        self._members[member] = member if user is None else user

    def leave(self, member: Member) -> None:
        """Somebody is gone. Safe to call twice."""
        if self._members.pop(member, None) is not None:
            self._gone += member.missed
