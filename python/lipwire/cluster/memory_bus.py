"""A bus within one process: the semantics of `nats_bus` without sockets, for simulations and tests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from .bus import BusDown, Handler, Message, NoResponders


class Broker:
    """What the buses of one simulation are connected to.

    Args:
        seed: of the choice within groups.
    """

    def __init__(self, seed: int = 0) -> None:
        self.delivered = 0
        """Messages, ever growing; answers among them."""
        self._random = random.Random(seed)
        self._on: dict[str, dict[str, list[_Subscription]]] = {}

    def add(self, one: _Subscription) -> None:
        """It listens from now on."""
        there = self._on.setdefault(one.subject, {}).setdefault(one.group, [])
        one.at = len(there)
        there.append(one)

    def remove(self, one: _Subscription) -> None:
        """It does not any more. Takes as long with many as with few: the last takes its place."""
        groups = self._on[one.subject]
        there = groups[one.group]
        last = there.pop()
        if last is not one:
            there[one.at] = last
            last.at = one.at
        elif not there:
            del groups[one.group]
            if not groups:
                del self._on[one.subject]

    def targets(self, subject: str) -> list[_Subscription]:
        """Who gets a message that is sent now: all who listen, and one of each group."""
        groups = self._on.get(subject)
        if groups is None:
            return []
        found = list(groups.get("", ()))
        found += [self._random.choice(there) for group, there in groups.items() if group]
        return found


class _Subscription:
    def __init__(self, bus: MemoryBus, subject: str, handler: Handler, group: str) -> None:
        self.bus, self.subject, self.handler, self.group = bus, subject, handler, group
        self.at = -1
        self.closed = False

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.bus.forget(self)


class MemoryBus:
    """One connection to a `Broker`. Messages are delivered in the event loop's next pass, in the order in which they
    were sent."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.connected = True
        self.on_connection: Callable[[bool], None] = lambda connected: None
        self.frozen = False
        """Its process stands still, as after SIGSTOP: what comes waits, nothing is answered, and nothing is sent."""
        self._subscriptions: set[_Subscription] = set()
        self._waiting: list[tuple[_Subscription, Message]] = []

    def cut(self) -> None:
        """The connection is gone, and with it what was subscribed."""
        self.connected = False
        for one in tuple(self._subscriptions):
            one.close()

    def thaw(self) -> None:
        """Goes on with what has come meanwhile."""
        self.frozen = False
        waiting, self._waiting = self._waiting, []
        for one, message in waiting:
            self._take(one, message)

    def forget(self, one: _Subscription) -> None:
        """It listens no more."""
        self._subscriptions.discard(one)
        self.broker.remove(one)

    def publish(self, subject: str, data: bytes) -> None:
        """As `Bus`."""
        if self.connected and not self.frozen:
            self._send(subject, Message(data))

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        """As `Bus`."""
        self._check()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def respond(data: bytes) -> None:
            self.broker.delivered += 1
            if not answer.done():
                answer.set_result(data)

        if not self._send(subject, Message(data, respond)):
            raise NoResponders(f"nobody listens on {subject}")
        async with asyncio.timeout(timeout):
            return await answer

    async def gather(self, subject: str, data: bytes, seconds: float) -> list[bytes]:
        """As `Bus`."""
        self._check()
        answers: list[bytes] = []

        def respond(data: bytes) -> None:
            self.broker.delivered += 1
            answers.append(data)

        if self._send(subject, Message(data, respond)):
            await asyncio.sleep(seconds)
        return answers

    def subscribe(self, subject: str, handler: Handler, *, group: str = "") -> _Subscription:
        """As `Bus`. Raises BusDown."""
        self._check()
        one = _Subscription(self, subject, handler, group)
        self._subscriptions.add(one)
        self.broker.add(one)
        return one

    async def flush(self, timeout: float = 2.0) -> None:
        """As `Bus`: here everything is in force at once."""
        self._check()

    def _check(self) -> None:
        if not self.connected:
            raise BusDown("the bus is not connected")

    def _send(self, subject: str, message: Message) -> int:
        targets = self.broker.targets(subject)
        loop = asyncio.get_running_loop()
        for one in targets:
            loop.call_soon(one.bus._take, one, message)
        return len(targets)

    def _take(self, one: _Subscription, message: Message) -> None:
        if self.frozen:
            self._waiting.append((one, message))
        elif not one.closed:
            self.broker.delivered += 1
            one.handler(message)
