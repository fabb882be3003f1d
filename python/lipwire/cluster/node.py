"""A node: one machine's front process as the others know it.

It answers for what its workers own, gives places while it has room, and says every second that it lives. What it knows
of others it has from their beats alone.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

from ..errors import InvalidArgument, LipwireError
from . import talk
from .bus import Bus, BusDown, Message, NoResponders, Subscription
from .placement import HOLD, Key, Need, Place, Use
from .view import NodeView, State

logger = logging.getLogger("lipwire.cluster")

BEAT = 1.0
"""Seconds between two signs of life."""
SILENT = 3.0
"""Seconds without one after which a node is looked at."""
DOWN = 5.0
"""Seconds after which nothing is to be expected of it."""
FORGET = 600.0
"""Seconds after which one that is gone is shown no more."""
TAKEN = 3.0
"""Seconds after which one of the same name that is there yet has not just died."""
PROBE = 0.5
"""Seconds that a node which was silent has to answer."""
APART = 25.0
"""Seconds that clocks of two nodes may differ: what they pass on holds for a little longer (`app.front.hop`)."""
CANCELLED = 4096
"""Reservations that are remembered as cancelled, in case that they come later than that."""
GROUP = "place"


class Machine(Protocol):
    """What a node wants of the workers behind it (`pool.Pool`)."""

    async def reserve(self, need: Need) -> Place | None: ...
    def cancel(self, place: Place) -> None: ...
    @property
    def free(self) -> int:
        """The most weight that one worker has room for now; 0 = full, or draining."""
        ...

    @property
    def used(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def state(self) -> State: ...
    def where(self, key: Key) -> int | None:
        """The worker that owns it."""
        ...

    def end(self, key: Key, reason: str) -> None:
        """Something that another node has, too, is to end here."""

    def owners(self) -> dict[str, Use]:
        """What each owner has here, but for the operator."""
        ...

    def view(self) -> NodeView: ...


class Other(Struct, kw_only=True):
    """What is known of another node."""

    beat: talk.Beat
    seen: float
    state: State
    probing: bool = False


class Node:
    """This machine on the bus.

    Args:
        cluster: the name that all nodes share.
        http_url, viewer_url: where other nodes reach it.
        secret: what passes between front processes is signed with it.
        clock: seconds, monotonic. wall_clock: Unix seconds, for who was first.
    """

    def __init__(
        self,
        bus: Bus,
        machine: Machine,
        *,
        name: str,
        cluster: str = "lipwire",
        http_url: str = "",
        viewer_url: str = "",
        version: str = "",
        secret: str = "",
        beat: float = BEAT,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.bus, self.machine, self.name = bus, machine, name
        self.http_url, self.viewer_url, self.version = http_url, viewer_url, version
        self.subjects = talk.Subjects(cluster)
        self.others: dict[str, Other] = {}
        self.open_room: Callable[[talk.Open], Any] | None = None
        """Answers `Open`: the placement does, which knows all nodes."""
        self.on_down: Callable[[str], None] = lambda name: None
        """Hears that another node is down."""
        self._beat, self._clock, self._wall_clock = beat, clock, wall_clock
        self._instance = secrets.token_hex(8)
        self._twins: set[str] = set()
        """Others of this name that were told of."""
        self._seal = talk.seal_of(secret)
        self.strange: dict[str, str] = {}
        """Nodes that nothing can be passed on to, and why."""
        self._keys: dict[Key, Subscription] = {}
        self._since: dict[Key, float] = {}
        """Since when what runs here owns a key, Unix seconds."""
        self._classes: list[Subscription] = []
        self._held: list[Subscription] = []
        self._listens: Subscription | None = None
        self._cancelled: OrderedDict[str, float] = OrderedDict()
        self._given: OrderedDict[str, Place] = OrderedDict()
        self._task: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[None]] = set()
        self._closed = False

    # ---------------------------------------------------------------------------------------------------------- life

    async def start(self) -> None:
        """Is on the bus. Raises BusDown, TimeoutError; InvalidArgument: there is a node of that name."""
        await self._be_the_only_one()
        self.bus.on_connection = self._connection
        self._held = [
            self.bus.subscribe(self.subjects.offer, self._seek),
            self.bus.subscribe(self.subjects.cancel, self._cancel),
            self.bus.subscribe(self.subjects.node(self.name), self._ask),
        ]
        self.changed()
        await self.bus.flush()
        self.tell()
        self._task = asyncio.create_task(self._live(), name="lipwire-node")

    async def _be_the_only_one(self) -> None:
        """One that has just died may be subscribed yet."""
        until = time.monotonic() + TAKEN
        while True:
            try:
                await self.bus.request(self.subjects.node(self.name), talk.encode(talk.Look()), PROBE)
            except NoResponders:
                return
            except TimeoutError:
                pass
            if time.monotonic() > until:
                raise InvalidArgument(f"node: there is a node {self.name!r} already; each needs a name of its own")
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Leaves: what its workers run goes on, but nobody finds it."""
        if self._closed:
            return
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for task in tuple(self._asked):
            task.cancel()
        if self._task is not None:  # else it is another's name that it would say this of
            self.tell("gone")
        for one in (*self._held, *self._classes, *self._keys.values()):
            one.close()
        self._classes.clear()
        self._keys.clear()
        self._since.clear()
        if self._listens is not None:
            self._listens.close()
        try:
            await self.bus.flush()
        except (BusDown, TimeoutError):
            pass

    def listen(self) -> None:
        """Hears the beats of others from now on. Only who places needs them: of 2 000 nodes that all heard all, NATS
        would deliver four million messages a second."""
        if self._listens is None and not self._closed and self.bus.connected:
            self._listens = self.bus.subscribe(self.subjects.beat, self._heard)

    def tell(self, state: str | None = None) -> None:
        """A sign of life, out of turn."""
        m = self.machine
        self.bus.publish(
            self.subjects.beat,
            talk.encode(
                talk.Beat(
                    name=self.name,
                    http_url=self.http_url,
                    viewer_url=self.viewer_url,
                    version=self.version,
                    state=state or m.state,
                    free=m.free,
                    used=m.used,
                    capacity=m.capacity,
                    owners=m.owners(),
                    instance=self._instance,
                    seal=self._seal,
                    at=self._wall_clock(),
                )
            ),
        )

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(self._beat)
            try:
                self.changed()
                self.tell()
                self._look_around()
            except Exception:  # the edge of a task
                logger.exception("a beat failed")

    # ---------------------------------------------------------------------------------------------------- what it owns

    def opened(self, key: Key) -> None:
        """A worker owns it from now on."""
        if key in self._keys or self._closed:
            return
        self._keys[key] = self.bus.subscribe(self.subjects.key(key), lambda message: self._of_key(key, message))

    def begun(self, key: Key) -> None:
        """What owns it runs, or something newer does: it is claimed. What is reserved only may be refused yet."""
        if key.kind not in ("channel", "name", "room") or key not in self._keys:  # ids are nobody else's
            return
        if key.kind == "channel" or key not in self._since:
            self._since[key] = self._wall_clock()
        self._claim(key)

    def _claim(self, key: Key) -> None:
        self.bus.publish(self.subjects.key(key), talk.encode(talk.Claim(node=self.name, at=self._since[key])))

    def _connection(self, connected: bool) -> None:
        """Claims that were made without a connection nobody has heard."""
        if connected:
            task = asyncio.create_task(self._claim_all())
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)

    async def _claim_all(self) -> None:
        for number, key in enumerate([*self._since]):
            if key in self._since:
                self._claim(key)
            if number % 100 == 99:  # not all at once
                await asyncio.sleep(0.01)

    def closed(self, key: Key) -> None:
        """Nobody owns it any more."""
        self._since.pop(key, None)
        found = self._keys.pop(key, None)
        if found is not None:
            found.close()

    def changed(self) -> None:
        """There is more room than before, or less: it listens for what it can take."""
        free = 0 if self._closed else self.machine.free
        wanted = talk.classes_within(free)
        while len(self._classes) > wanted:
            self._classes.pop().close()
        while len(self._classes) < wanted:
            subject = self.subjects.place(len(self._classes))
            self._classes.append(self.bus.subscribe(subject, self._ask, group=GROUP))

    def _of_key(self, key: Key, message: Message) -> None:
        if message.asks:
            worker = self.machine.where(key)
            answer = talk.Full() if worker is None else talk.Given(node=self.name, worker=worker)
            message.respond(talk.encode(answer))
            return
        claim = talk.decode(message.data, talk.Claim)
        if claim is None or claim.node == self.name or key not in self._since:
            return
        ours, theirs = (self._since[key], self.name), (claim.at, claim.node)
        # A newer session takes the place of an older one; a room or a name belongs to who had it first.
        if (ours < theirs) == (key.kind == "channel"):
            logger.warning("%s %r is on node %s, too, and ends here", key.kind, key.id, claim.node)
            self.machine.end(key, "replaced")
        else:
            self._claim(key)

    # ------------------------------------------------------------------------------------------------- what it is asked

    def _seek(self, message: Message) -> None:
        seek = talk.decode(message.data, talk.Seek)
        free = self.machine.free
        if seek is not None and free >= seek.weight:
            message.respond(talk.encode(talk.Offer(node=self.name, free=free)))

    def _ask(self, message: Message) -> None:
        asked = talk.asked(message.data)
        if isinstance(asked, talk.Look):
            message.respond(talk.encode(self.machine.view()))
        elif asked is not None:
            task = asyncio.create_task(self._give(asked, message))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)

    async def _give(self, asked: talk.Ask | talk.Open, message: Message) -> None:
        answer: talk.Answer
        try:
            if isinstance(asked, talk.Open):
                answer = talk.Full() if self.open_room is None else await self.open_room(asked)
            else:
                answer = await self.give(asked)
        except LipwireError as exc:
            answer = talk.Full(quota=str(exc))
        except Exception:  # the edge
            logger.exception("giving a place failed")
            answer = talk.Full()
        message.respond(talk.encode(answer))

    async def give(self, ask: talk.Ask) -> talk.Answer:
        """Reserves here. Raises LipwireError: of a quota."""
        if ask.id in self._cancelled:
            return talk.Full()
        place = await self.machine.reserve(ask.need)
        self.changed()
        if place is None:
            return talk.Full()
        self.gave(ask.id, place)
        return talk.Given(node=self.name, worker=place.worker, ticket=place.ticket)

    def gave(self, id: str, place: Place) -> None:
        """A place that was reserved, here or there, for who knows it by this id."""
        if id in self._cancelled:
            self._give_back(place)
            return
        self._given[id] = place
        while len(self._given) > CANCELLED:
            self._given.popitem(last=False)

    def _give_back(self, place: Place) -> None:
        if place.node:
            self.bus.publish(self.subjects.cancel, talk.encode(talk.Cancel(talk.id_of(place.ticket))))
        else:
            self.machine.cancel(place)
            self.changed()

    def _cancel(self, message: Message) -> None:
        cancel = talk.decode(message.data, talk.Cancel)
        if cancel is not None:
            self.cancel(cancel.id)

    def cancel(self, id: str) -> None:
        """A reservation by its id is not wanted, whether it has come or not."""
        place = self._given.pop(id, None)
        if place is not None:
            self._give_back(place)
            return
        self._cancelled[id] = self._clock()
        while len(self._cancelled) > CANCELLED or self._clock() - next(iter(self._cancelled.values())) > 2 * HOLD:
            self._cancelled.popitem(last=False)

    # ------------------------------------------------------------------------------------------------------- the others

    def _heard(self, message: Message) -> None:
        beat = talk.decode(message.data, talk.Beat)
        if beat is None:
            return
        if beat.name == self.name:
            if beat.instance != self._instance and beat.instance not in self._twins:
                self._twins.add(beat.instance)
                logger.error("there is another node %r: requests go to the wrong one; name one of them anew", self.name)
            return
        if beat.state == "gone":
            self.others.pop(beat.name, None)
            return
        if self._is_strange(beat):
            self.others.pop(beat.name, None)
            return
        self.others[beat.name] = Other(beat=beat, seen=self._clock(), state=_state(beat.state))

    def _is_strange(self, beat: talk.Beat) -> bool:
        """Whether what is passed on to it would be refused. That is told once."""
        why = ""
        if beat.seal != self._seal:
            why = "its session_secret is another"
        elif abs(self._wall_clock() - beat.at) > APART:
            why = f"its clock and this machine's are more than {APART:.0f} s apart"
        if why and self.strange.get(beat.name) != why:
            logger.error("node %s is left out: %s", beat.name, why)
        if why:
            self.strange[beat.name] = why
        elif self.strange.pop(beat.name, None):
            logger.warning("node %s is taken in again", beat.name)
        return bool(why)

    def _look_around(self) -> None:
        now = self._clock()
        for name, other in tuple(self.others.items()):
            quiet = now - other.seen
            if quiet > FORGET:
                del self.others[name]
            elif quiet > SILENT:
                self.doubt(name)

    def doubt(self, name: str) -> None:
        """Looks whether another node is there: it is silent, cannot be reached, or does not know what it had."""
        other = self.others.get(name)
        if other is None or other.state == "down" or other.probing or not self.bus.connected or self._closed:
            return
        other.probing = True
        task = asyncio.create_task(self._probe(name, other))
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)

    async def _probe(self, name: str, other: Other) -> None:
        """A node that says nothing: is it gone, which NATS knows, or does it stand still?"""
        try:
            await self.bus.request(self.subjects.node(name), talk.encode(talk.Look()), PROBE)
        except NoResponders:
            if self.others.get(name) is other:
                self._down(name, other, "it has left NATS")
        except TimeoutError:
            if self.others.get(name) is not other:  # it has said something meanwhile
                return
            quiet = self._clock() - other.seen
            if quiet >= DOWN:
                self._down(name, other, "it does not answer")
                other.state = "silent"  # it is subscribed yet, so that the group may choose it
            elif quiet >= SILENT and other.state != "silent":
                other.state = "silent"
                logger.warning("node %s has been silent for %.1f s", name, quiet)
        except BusDown:
            pass
        finally:
            other.probing = False

    def _down(self, name: str, other: Other, why: str) -> None:
        if other.beat.state != "down":
            logger.warning("node %s is down: %s", name, why)
            other.beat = talk.Beat(**{**_fields(other.beat), "state": "down", "free": 0})
            other.state = "down"
            self.on_down(name)

    def living(self) -> list[str]:
        """The names of all nodes that take something new, this one among them."""
        names = [name for name, other in self.others.items() if other.state in ("up", "full")]
        return [*names, self.name] if self.machine.state in ("up", "full") else names

    def suspects(self) -> bool:
        """Whether a node stands still that the group may choose."""
        return any(other.state == "silent" for other in self.others.values())

    def use_elsewhere(self, owner: str) -> Use:
        """What an owner has on other nodes, by their last beats."""
        found = [other.beat.owners[owner] for other in self.others.values() if owner in other.beat.owners]
        return Use(
            sessions=sum(use.sessions for use in found),
            agents=sum(use.agents for use in found),
            rooms=sum(use.rooms for use in found),
            pixel_rate=sum(use.pixel_rate for use in found),
        )


def _fields(beat: talk.Beat) -> dict[str, Any]:
    return {name: getattr(beat, name) for name in beat.__struct_fields__}


def _state(text: str) -> State:
    known: dict[str, State] = {"starting": "starting", "up": "up", "full": "full", "draining": "draining"}
    return known.get(text, "up")
