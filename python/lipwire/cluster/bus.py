"""What nodes talk over: subjects, requests, and groups of which one member gets each message.

`NatsBus` is the real one (`nats_bus`); `MemoryBus` has the same in one process, for simulations (`memory_bus`). A
subject is words with dots between. Nothing is kept: who is not there when a message is sent does not get it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..errors import LipwireError


class NoResponders(LipwireError):
    """Nobody listens on the subject of a request. Known at once."""


class BusDown(LipwireError):
    """There is no connection at the moment."""


class Message:
    """One that came."""

    __slots__ = ("_respond", "data")

    def __init__(self, data: bytes, respond: Callable[[bytes], None] | None = None) -> None:
        self.data = data
        self._respond = respond

    @property
    def asks(self) -> bool:
        """Whether its sender waits for an answer."""
        return self._respond is not None

    def respond(self, data: bytes) -> None:
        """Answers; does nothing where nobody waits."""
        if self._respond is not None:
            self._respond(data)


Handler = Callable[[Message], None]
"""Gets each message of a subscription, on the event loop. It must not raise, and not wait; it may answer later."""


class Subscription(Protocol):
    """What a subscriber holds."""

    def close(self) -> None:
        """No message comes any more. Safe to call twice."""


class Bus(Protocol):
    """One connection. Everything is called on one event loop."""

    on_connection: Callable[[bool], None]
    """Hears that the connection is lost, and that it is there again."""

    @property
    def connected(self) -> bool:
        """Whether messages go anywhere now."""
        ...

    def publish(self, subject: str, data: bytes) -> None:
        """Sends to all who listen. Without a connection it is dropped."""

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        """Sends, and waits for one answer.

        Raises:
            NoResponders, BusDown. TimeoutError: nobody has answered within `timeout` seconds.
        """
        ...

    async def gather(self, subject: str, data: bytes, seconds: float) -> list[bytes]:
        """Sends, and gives all answers that have come within `seconds`; at once where nobody listens. Raises
        BusDown."""
        ...

    def subscribe(self, subject: str, handler: Handler, *, group: str = "") -> Subscription:
        """Listens. Of the members of a `group` one gets each message. Holds over reconnections."""
        ...

    async def flush(self, timeout: float = 2.0) -> None:
        """Returns when all that was subscribed is in force. Raises BusDown or TimeoutError."""
