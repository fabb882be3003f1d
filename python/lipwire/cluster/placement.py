"""Where a session, an agent or a room is to run: what is asked for, and what is answered.

One protocol, `Placement`. The front process of a machine places among its own workers (`pool`); in a cluster
(`nats_placement`) among all machines. Both answer with a `Place` that is held for `HOLD` seconds, or with None where
there is no room: then the client is told to come again.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

Kind = Literal["session", "agent", "room", "channel", "name", "peer"]
"""What can be owned by a worker. `channel`: app id, channel and uid of a session, of which there is one at a time, with
a line break between them, whoever's it is. `name`: of an agent that runs, one of each owner. `peer`: a connection that
an answer to an offer has named."""

HOLD = 10.0
"""Seconds that a place is kept for who has reserved it."""
UNIT = 1000
"""The weight of what most is of: a face of 640x360 at 25 frames a second whose pictures are encoded once."""


class Key(NamedTuple):
    """Something that has one owner at a time."""

    kind: Kind
    owner: str
    """Whose API key it belongs to; "" where its id alone is unique."""
    id: str


class Need(Struct, frozen=True, kw_only=True):
    """What wants a place."""

    kind: Literal["session", "agent", "room"]
    owner: str
    """Whose API key asks."""
    weight: int
    """What it costs where it runs, in thousandths of `UNIT`'s face; 1 or more."""
    pixel_rate: int = 0
    """Width x height x frames a second, for the quota of its owner."""
    keys: tuple[Key, ...] = ()
    """Where one of these is owned already, it goes there."""
    opens_room: bool = True
    """A room among `keys` is opened, and counts for its owner's quota; False = it names a channel of Agora's, by which
    an agent in it is found."""


class Place(Struct, frozen=True, kw_only=True):
    """An answer: there it may run."""

    node: str
    """Name of the machine's front process; "" = this one."""
    worker: int
    """Of that machine; from 0."""
    ticket: str
    """Names the reservation; "" = there is none, since it cannot be but what is there already: the room that it opens,
    or what refuses it."""


class Use(Struct, frozen=True, kw_only=True):
    """What an owner has."""

    sessions: int = 0
    agents: int = 0
    rooms: int = 0
    pixel_rate: int = 0


class Placement(Protocol):
    """Who finds places. Everything is called on one event loop."""

    async def reserve(self, need: Need) -> Place | None:
        """A place, held for `HOLD` seconds until `confirm` or `cancel`; None = nowhere is room.

        Raises:
            ProviderError: SESSION_LIMIT, the owner's quota is used up.
        """

    def confirm(self, place: Place, keys: tuple[Key, ...]) -> None:
        """It runs there now, and owns these. What it weighs is counted until its worker tells that it has ended."""

    def cancel(self, place: Place) -> None:
        """It does not, after all."""

    async def find(self, key: Key) -> Place | None:
        """Where something is, without a ticket; None = nowhere. Raises TimeoutError: its node does not answer."""
