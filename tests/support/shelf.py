"""A machine that gives places and runs nothing: what a node has behind it, where only places matter."""

from __future__ import annotations

import secrets

from lipwire.cluster.node import Node
from lipwire.cluster.placement import Key, Need, Place, Use
from lipwire.cluster.view import NodeView, State


class Shelf:
    """Room for so much weight, in one worker."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held: dict[str, int] = {}
        """Ticket -> weight."""
        self.used = 0
        self.keys: dict[Key, str] = {}
        """What it runs -> the ticket that it came with."""
        self.coming: dict[Key, str] = {}
        """Rooms that places are reserved for."""
        self.also: dict[Key, Key] = {}
        """For who has to remember what belongs together."""
        self.ended: list[tuple[Key, str]] = []
        self.confirmed: list[Place] = []
        self.node: Node | None = None
        self.draining = False

    @property
    def free(self) -> int:
        return 0 if self.draining else self.capacity - self.used

    @property
    def state(self) -> State:
        return "draining" if self.draining else "up" if self.free else "full"

    async def reserve(self, need: Need) -> Place | None:
        for key in need.keys:
            if (key in self.keys or key in self.coming) and (key.kind != "room" or need.kind == "room"):
                return Place(node="", worker=0, ticket="")
        if need.weight > self.free:
            return None
        ticket = secrets.token_hex(4)
        self.held[ticket] = need.weight
        self.used += need.weight
        self.coming |= {key: ticket for key in need.keys if key.kind == "room"}
        return Place(node="", worker=0, ticket=ticket)

    def confirm(self, place: Place, keys: tuple[Key, ...]) -> None:
        self.confirmed.append(place)
        self.run(place.ticket, *keys)

    def cancel(self, place: Place) -> None:
        self.coming = {key: ticket for key, ticket in self.coming.items() if ticket != place.ticket}
        self.used -= self.held.pop(place.ticket, 0)

    async def find(self, key: Key) -> Place | None:
        return None if key not in self.keys else Place(node="", worker=0, ticket="")

    def where(self, key: Key) -> int | None:
        return 0 if key in self.keys else None

    def run(self, ticket: str, *keys: Key) -> None:
        """Something runs now that owns these."""
        for key in keys:
            self.keys[key] = ticket
            self.coming.pop(key, None)
            if self.node is not None:
                self.node.opened(key)
                self.node.begun(key)

    def end(self, key: Key, reason: str) -> None:
        """It is over, and what it weighed is free, whether it has other keys or not."""
        self.ended.append((key, reason))
        ticket = self.keys.pop(key)
        self.used -= self.held.pop(ticket, 0)
        if self.node is not None:
            self.node.closed(key)
            self.node.changed()

    def owners(self) -> dict[str, Use]:
        return {}

    def view(self) -> NodeView:
        return NodeView(name="" if self.node is None else self.node.name, state=self.state)
