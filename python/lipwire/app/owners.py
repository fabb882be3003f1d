"""What the settings say about who owns what: a provider with its keys and limits, and rooms for each owner."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..channel.room.room import Rooms
from ..errors import NoCapacity
from ..provider.authority import ASKING_FROM
from ..provider.keys import KeyRing, Quota
from ..provider.quotas import Admission, network
from ..provider.sessions import MakeSession, Provider, ProviderConfig
from ..publish.audience import RETRY_AFTER, Audience, Member
from .config import Config


def make_provider(config: Config, api_key: str, make_session: MakeSession) -> Provider:
    """The provider for these settings; `api_key` is the operator's.

    Raises:
        InvalidArgument: the file of keys cannot be read, or has faults.
    """
    secret: dict[str, Any] = {} if config.session_secret is None else {"session_secret": config.session_secret}
    options = ProviderConfig(
        api_key=api_key,
        max_sessions=config.max_sessions,
        max_pixel_rate=config.max_pixel_rate,
        guard_window=config.guard_window_ms / 1000,
        correct_rate=config.correct_rate,
        voice_end_grace=config.voice_end_grace_ms / 1000,
        egress=config.egress,
        **secret,
    )
    admission = Admission(
        late=config.max_late_percent / 100, busy=config.max_busy_percent / 100, lag=config.max_lag_ms / 1000
    )
    return Provider(options, make_session, keys=make_keys(config, api_key), admission=admission)


def make_keys(config: Config, api_key: str) -> KeyRing:
    """The API keys for these settings, and what their owners may have; `api_key` is the operator's.

    Raises:
        InvalidArgument: the file of keys cannot be read, or has faults.
    """
    quota = Quota(
        sessions=config.key_sessions,
        pixel_rate=config.key_pixel_rate,
        agents=config.key_agents,
        rooms=config.key_rooms,
        request_rate=config.key_request_rate,
        films_mb=config.key_films_mb,
    )
    file = None if config.api_keys_file is None else Path(config.api_keys_file)
    return KeyRing(api_key, file=file, default=quota, clock=time.monotonic)


class SharedAudience(Audience):
    """An audience in which one address has only a part of the places.

    Args:
        limit: places in all. each: of one address; 0 = no limit of its own.
    """

    def __init__(self, limit: int, each: int) -> None:
        super().__init__(limit)
        self.each = each
        self._from: dict[Member, str] = {}

    def enter(self, member: Member, user: object = None) -> None:
        """As an audience's, for who asks from `ASKING_FROM`."""
        address = network(ASKING_FROM.get()) if self.each else None
        if address is not None:
            there = {self._members[other] for other, place in self._from.items() if place == address}
            if len(there) >= self.each and user not in there:
                self.refused += 1
                raise NoCapacity(
                    f"{self.each} viewers are connected from your address, and no more may be", RETRY_AFTER
                )
        super().enter(member, user)
        if address is not None:
            self._from[member] = address

    def leave(self, member: Member) -> None:
        """As an audience's."""
        self._from.pop(member, None)
        super().leave(member)


class OwnedRooms:
    """Rooms of several owners. Each has its own: one owner's "lobby" is another room than another's.

    Args:
        quota: how many rooms an owner may have; None = as many as there are.
        limit: how many there may be of all owners together.
        make: makes those of one owner.
    """

    def __init__(self, quota: Callable[[str], int | None], limit: int, make: Callable[[], Rooms]) -> None:
        self._quota, self._limit, self._make = quota, limit, make
        self._of: dict[str, Rooms] = {}
        self.on_room: Callable[[str, str, bool], None] = lambda owner, name, there: None
        """Hears that an owner's room is there, and that it is gone."""

    def __len__(self) -> int:
        """Rooms that there are."""
        return sum(map(len, self._of.values()))

    def of(self, owner: str) -> Rooms:
        """An owner's, with `max_rooms` as it is at this moment: what is left of its own and of the server's."""
        rooms = self._of.get(owner)
        if rooms is None:
            rooms = self._of[owner] = self._make()
            rooms.on_room = lambda name, there: self.on_room(owner, name, there)
        others = sum(len(there) for there in self._of.values() if there is not rooms)
        quota = self._quota(owner)
        rooms.max_rooms = max(0, self._limit - others if quota is None else min(quota, self._limit - others))
        return rooms

    @property
    def encoded(self) -> int:
        """Pixels a second that are encoded in all of them now."""
        return sum(rooms.encoded for rooms in self._of.values())

    async def close(self) -> None:
        """Ends every room."""
        await asyncio.gather(*(rooms.close() for rooms in self._of.values()))
