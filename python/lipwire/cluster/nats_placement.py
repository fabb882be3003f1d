"""Places on any node of a cluster.

1. Where one of a need's keys is owned already, there.
2. Else whoever of the nodes that have room NATS chooses: one request on the subject of the need's class of weight.
3. Where nobody listens there: all nodes are asked for room for just this, and the freest of them gets it.

A node that stands still stays subscribed, and NATS goes on choosing it: a request that nobody answers is made again,
and once the beats of such a node are missed places are asked for at nodes by name, the freer one of two at random (M.
Mitzenmacher, "The power of two choices", 2001), until it is back or gone.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections import OrderedDict, deque
from statistics import median

from ..provider.sessions import ProviderError
from . import talk
from .bus import BusDown, NoResponders
from .node import Node
from .placement import Key, Need, Place, Placement
from .view import ClusterView, NodeView

logger = logging.getLogger("lipwire.cluster")

PATIENCE = 0.25
"""Seconds that a node has to give a place, before another one is asked."""
FINDING = 1.0
"""Seconds that an owner has to say where something is: nobody else knows."""
TRIES = 8
"""Requests to the group, before all are asked."""
OFFERS = 0.025
"""Seconds that offers are waited for."""
OPENING = 1.0
"""Seconds that a key's home has to answer."""
SETTLED = 1.0
"""Seconds after which whoever has a new key is found by all."""
LOOKS = 0.3
"""Seconds that nodes have to tell how they do."""


class NatsPlacement(Placement):
    """See above.

    Args:
        node: this machine on the bus. local: places on this machine.
        patience: seconds that a node has to give a place. finding: to say where something is.
    """

    def __init__(
        self,
        node: Node,
        local: Placement,
        *,
        patience: float = PATIENCE,
        finding: float = FINDING,
        seed: int | None = None,
    ) -> None:
        self._patience, self._finding = patience, finding
        self._node, self._bus, self._local = node, node.bus, local
        self._random = random.Random(seed)
        self._opening: OrderedDict[Key, tuple[float, Place]] = OrderedDict()
        self._locks: dict[Key, asyncio.Lock] = {}
        self._seeking: dict[int, asyncio.Future[list[talk.Offer]]] = {}
        self._took: deque[float] = deque(maxlen=256)
        self.placed = 0
        self.refused = 0
        node.open_room = self._open

    # ------------------------------------------------------------------------------------------------------- Placement

    async def reserve(self, need: Need) -> Place | None:
        """As `Placement`."""
        began = time.perf_counter()
        self._node.listen()
        place = await self._reserve(need)
        self._took.append(time.perf_counter() - began)
        if place is None:
            self.refused += 1
        else:
            self.placed += 1
        return place

    def confirm(self, place: Place, keys: tuple[Key, ...]) -> None:
        """As `Placement`. What runs on another node is confirmed there."""
        if place.node == "":
            self._local.confirm(place, keys)

    def cancel(self, place: Place) -> None:
        """As `Placement`."""
        if place.node == "":
            self._local.cancel(place)
        elif place.ticket:
            self._cancel(talk.id_of(place.ticket))

    async def find(self, key: Key) -> Place | None:
        """As `Placement`. Without a connection nobody knows what is on other nodes."""
        found = await self._local.find(key)
        if found is not None:
            return found
        try:
            data = await self._bus.request(self._node.subjects.key(key), talk.encode(talk.Find()), self._finding)
        except NoResponders:
            return None
        except BusDown as exc:
            raise TimeoutError("NATS is away") from exc
        answer = talk.answered(data)
        return None if isinstance(answer, talk.Full) else self._place(answer)

    # ------------------------------------------------------------------------------------------------------- by the way

    async def _reserve(self, need: Need) -> Place | None:
        for key in need.keys if self._bus.connected else ():
            try:
                place = await self.find(key)
                if place is not None:
                    return await self._beside(place, need)
            except (TimeoutError, NoResponders, BusDown):
                logger.warning("who has %s %r does not answer; a new one begins elsewhere", key.kind, key.id)
        room = next((key for key in need.keys if key.kind == "room"), None)
        if not self._bus.connected:
            return await self._local.reserve(need)
        return await (self._anywhere(need) if room is None else self._at_home(need, room))

    async def _beside(self, place: Place, need: Need) -> Place | None:
        """Where one of its keys is, if there is room. Raises as `_ask`."""
        if place.node:
            return await self._ask(self._node.subjects.node(place.node), need)
        return await self._local.reserve(need)

    async def _anywhere(self, need: Need) -> Place | None:
        try:
            place = await (self._by_name(need) if self._node.suspects() else self._by_group(need))
            return place or await self._by_offer(need)
        except BusDown:
            return await self._local.reserve(need)

    async def _by_group(self, need: Need) -> Place | None:
        subject = self._node.subjects.place(talk.class_of(need.weight))
        for _ in range(TRIES):
            try:
                place = await self._ask(subject, need)
            except NoResponders:
                return None
            except TimeoutError:
                continue
            if place is not None:
                return place
        return None

    async def _by_name(self, need: Need) -> Place | None:
        left = {name: one.beat.free for name, one in self._node.others.items() if one.state == "up"}
        left[self._node.name] = self._node.machine.free
        left = {name: free for name, free in left.items() if free >= need.weight}
        for _ in range(TRIES):
            if not left:
                return None
            two = self._random.sample(sorted(left), min(2, len(left)))
            name = max(two, key=lambda one: left[one])
            del left[name]
            try:
                place = await self._ask(self._node.subjects.node(name), need)
            except (NoResponders, TimeoutError):
                continue
            if place is not None:
                return place
        return None

    async def _by_offer(self, need: Need) -> Place | None:
        for offer in sorted(await self._offers(need.weight), key=lambda one: -one.free):
            try:
                place = await self._ask(self._node.subjects.node(offer.node), need)
            except (NoResponders, TimeoutError):
                continue
            if place is not None:
                return place
        return None

    async def _offers(self, weight: int) -> list[talk.Offer]:
        """Of all nodes. Who asks while the same is being asked gets the same: of a cluster that is full a thousand
        starts a second make forty messages to each node."""
        asking = self._seeking.get(weight)
        if asking is None:
            asking = self._seeking[weight] = asyncio.ensure_future(self._seek(weight))
            asking.add_done_callback(lambda _: self._seeking.pop(weight, None))
        return await asyncio.shield(asking)

    async def _seek(self, weight: int) -> list[talk.Offer]:
        answers = await self._bus.gather(self._node.subjects.offer, talk.encode(talk.Seek(weight=weight)), OFFERS)
        offers = [talk.decode(data, talk.Offer) for data in answers]
        return [offer for offer in offers if offer is not None]

    async def _ask(self, subject: str, need: Need) -> Place | None:
        """None = it has no room. Raises NoResponders, TimeoutError, BusDown; ProviderError: of a quota."""
        id = secrets.token_hex(8)
        try:
            data = await self._bus.request(subject, talk.encode(talk.Ask(id=id, need=need)), self._patience)
        except (TimeoutError, asyncio.CancelledError):
            self._cancel(id)
            raise
        answer = talk.answered(data)
        if isinstance(answer, talk.Given) and answer.node in self._node.strange:
            self._cancel(id)
            return None
        return self._taken(answer, id)

    def _cancel(self, id: str) -> None:
        self._bus.publish(self._node.subjects.cancel, talk.encode(talk.Cancel(id)))

    def _taken(self, answer: talk.Answer, id: str) -> Place | None:
        if isinstance(answer, talk.Full):
            if answer.quota:
                raise ProviderError("SESSION_LIMIT", answer.quota)
            return None
        return self._place(answer, id)

    def _place(self, given: talk.Given, id: str = "") -> Place:
        here = given.node == self._node.name
        ticket = given.ticket
        if here:  # a home says it as others would know it
            ticket = ticket.partition(":")[0]
        elif ticket and ":" not in ticket:
            ticket = f"{ticket}:{id}"
        return Place(node="" if here else given.node, worker=given.worker, ticket=ticket)

    # ------------------------------------------------------------------------------------------------------------ rooms

    async def _at_home(self, need: Need, key: Key) -> Place | None:
        """For a room that is nowhere: its home says where it is to be, so that all who come at once meet."""
        for name in talk.home(key, self._node.living() or [self._node.name]):
            ask = talk.Open(id=secrets.token_hex(8), need=need, key=key)
            if name == self._node.name:
                return self._taken(await self._open(ask), ask.id)
            try:
                data = await self._bus.request(self._node.subjects.node(name), talk.encode(ask), OPENING)
            except NoResponders:
                continue
            except (TimeoutError, asyncio.CancelledError) as exc:
                self._cancel(ask.id)
                if isinstance(exc, TimeoutError):
                    continue
                raise
            except BusDown:
                break
            return self._taken(talk.answered(data), ask.id)
        return await self._local.reserve(need)

    async def _open(self, ask: talk.Open) -> talk.Answer:
        lock = self._locks.setdefault(ask.key, asyncio.Lock())
        try:
            async with lock:
                return await self._open_one(ask)
        finally:
            if not lock.locked() and self._locks.get(ask.key) is lock:
                del self._locks[ask.key]

    async def _open_one(self, ask: talk.Open) -> talk.Answer:
        now = time.monotonic()
        while self._opening and next(iter(self._opening.values()))[0] < now - SETTLED:
            self._opening.popitem(last=False)
        try:
            place = await self.find(ask.key)
        except TimeoutError:
            place = None
        if place is None and ask.key in self._opening:
            place = self._opening[ask.key][1]
            if (place.node or self._node.name) not in self._node.living():
                place = None
        taken: Place | None = None
        if place is not None:
            try:
                taken = await self._beside(place, ask.need)
                if taken is None:
                    return talk.Full()
            except (NoResponders, TimeoutError, BusDown):  # it has just died
                self._opening.pop(ask.key, None)
        if taken is None:
            taken = await self._anywhere(ask.need)
            if taken is None:
                return talk.Full()
            self._opening[ask.key] = (now, taken)
        if taken.ticket:
            self._node.gave(ask.id, taken)
        return talk.Given(node=taken.node or self._node.name, worker=taken.worker, ticket=taken.ticket)

    # ------------------------------------------------------------------------------------------------------------ shown

    async def view(self) -> ClusterView:
        """All nodes, each as it describes itself; those that do not answer, as they were last heard of."""
        self._node.listen()
        names = sorted(self._node.others)
        views = await asyncio.gather(*(self._look(name) for name in names))
        ours = self._node.machine.view()
        return ClusterView(
            nodes=[ours, *views],
            asked=self._node.name,
            nats="connected" if self._bus.connected else "reconnecting",
            placed=self.placed,
            refused=self.refused,
            reserve_ms=round(1000 * median(self._took), 3) if self._took else 0.0,
        )

    async def _look(self, name: str) -> NodeView:
        other = self._node.others[name]
        try:
            data = await self._bus.request(self._node.subjects.node(name), talk.encode(talk.Look()), LOOKS)
            found = talk.decode(data, NodeView)
        except (NoResponders, TimeoutError, BusDown):
            found = None
        if found is not None:
            return found
        return NodeView(
            name=name,
            state="down" if other.beat.state == "down" else "silent",
            http_url=other.beat.http_url,
            version=other.beat.version,
            seen=round(time.monotonic() - other.seen, 1),
        )
