"""Places over a cluster: nodes on a bus, in memory and over NATS; what they run is not real here (`support.shelf`)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from lipwire.cluster.bus import Bus
from lipwire.cluster.memory_bus import Broker, MemoryBus
from lipwire.cluster.nats_bus import NatsBus
from lipwire.cluster.nats_placement import NatsPlacement
from lipwire.cluster.node import Node
from lipwire.cluster.placement import UNIT, Key, Need, Place
from lipwire.errors import InvalidArgument
from support.nats_server import NatsServer
from support.shelf import Shelf

BEAT = 0.05
"""Seconds: tests do not wait for whole ones."""


@dataclass
class One:
    """A node."""

    shelf: Shelf
    node: Node
    placement: NatsPlacement
    bus: Bus


@dataclass
class Site:
    """Nodes that come and go."""

    connect: Callable[[str], Awaitable[Bus]]
    nodes: list[One] = field(default_factory=list)
    patience: float = 30.0
    """Of placements: what they wait for comes, however slow this machine is, but where a test says otherwise."""
    now: float = 0.0
    """Of the clock that is looked at for silence."""

    async def add(self, capacity: int, *, at: float = 1000.0, secret: str = "s") -> One:
        name = f"n{len(self.nodes)}"
        bus = await self.connect(name)
        shelf = Shelf(capacity)
        node = Node(bus, shelf, name=name, secret=secret, beat=BEAT, clock=lambda: self.now, wall_clock=lambda: at)
        shelf.node = node
        await node.start()
        one = One(
            shelf,
            node,
            NatsPlacement(node, shelf, patience=self.patience, finding=self.patience, seed=len(self.nodes)),
            bus,
        )
        self.nodes.append(one)
        return one

    async def run(self, one: One, need: Need, *keys: Key) -> Place | None:
        """As a front does: reserves, starts there, confirms there."""
        place = await one.placement.reserve(need)
        if place is not None:
            there = self.at(place, one)
            there.shelf.confirm(Place(node="", worker=0, ticket=place.ticket.partition(":")[0]), keys)
        return place

    def at(self, place: Place, asked: One) -> One:
        """Whose place that is."""
        return next((one for one in self.nodes if one.node.name == place.node), asked)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not true():
                await asyncio.sleep(0.005)


@pytest_asyncio.fixture(params=["memory", "nats"])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    if request.param == "memory":
        broker = Broker(1)

        async def in_memory(name: str) -> Bus:
            return MemoryBus(broker)

        site = Site(in_memory)
        yield site
        for one in site.nodes:
            await one.node.close()
        return
    made: list[NatsBus] = []
    async with NatsServer() as server:

        async def over_nats(name: str) -> Bus:
            made.append(await NatsBus.connect([server.url], name=name))
            return made[-1]

        site = Site(over_nats)
        yield site
        for one in site.nodes:
            await one.node.close()
        for bus in made:
            await bus.close()


@pytest_asyncio.fixture
async def memory() -> AsyncIterator[Site]:
    broker = Broker(1)

    async def in_memory(name: str) -> Bus:
        return MemoryBus(broker)

    site = Site(in_memory)
    yield site
    for one in site.nodes:
        await one.node.close()


def session(number: int, weight: int = UNIT) -> Need:
    return Need(kind="session", owner="o", weight=weight, keys=(Key("channel", "o", f"c{number}"),))


def room(name: str) -> Need:
    return Need(kind="room", owner="o", weight=1, keys=(Key("room", "o", name),))


async def test_exactly_what_there_is_room_for_is_placed(site: Site) -> None:
    nodes = [await site.add(capacity) for capacity in (3 * UNIT, 7 * UNIT, 10 * UNIT, 500)]
    places = await asyncio.gather(*(nodes[n % 4].placement.reserve(session(n)) for n in range(40)))
    found = [site.at(place, nodes[n % 4]).node.name for n, place in enumerate(places) if place is not None]
    assert Counter(found) == {"n0": 3, "n1": 7, "n2": 10}
    assert [one.shelf.used for one in nodes] == [3 * UNIT, 7 * UNIT, 10 * UNIT, 0]
    assert await nodes[3].placement.reserve(session(99)) is None
    assert await nodes[3].placement.reserve(session(98, 500)) == Place(
        node="", worker=0, ticket=next(iter(nodes[3].shelf.held))
    )


async def test_weights_between_the_classes_use_all_the_room(site: Site) -> None:
    nodes = [await site.add(2999), await site.add(3000)]
    places = [await nodes[n % 2].placement.reserve(session(n, 1500)) for n in range(5)]
    assert [place is not None for place in places] == [True, True, True, False, False]
    assert sorted(one.shelf.used for one in nodes) == [1500, 3000]
    assert await nodes[0].placement.reserve(session(9, 1499)) is not None, "what is left of the first is used, too"


async def test_a_place_that_is_not_taken_is_free_again(site: Site) -> None:
    one, two = await site.add(0), await site.add(UNIT)
    place = await one.placement.reserve(session(1))
    assert place is not None and place.node == "n1"
    assert await one.placement.reserve(session(2)) is None
    one.placement.cancel(place)
    await site.until(lambda: two.shelf.used == 0)
    mine = await two.placement.reserve(session(3))
    assert mine is not None and mine.node == ""
    two.placement.cancel(mine)
    assert two.shelf.used == 0


async def test_what_is_owned_is_found_from_anywhere(site: Site) -> None:
    one, two, three = [await site.add(UNIT) for _ in range(3)]
    key, id = Key("channel", "o", "c1"), Key("session", "", "s1")
    place = await site.run(one, session(1), key, id)
    assert place is not None
    owner = site.at(place, one)
    await owner.bus.flush()
    for asking in (one, two, three):
        found = await asking.placement.find(id)
        assert found is not None and site.at(found, asking) is owner and found.ticket == ""
        again = await asking.placement.reserve(session(1))
        assert again == found, "who replaces it goes where it is, whether there is room or not"
        assert await asking.placement.find(Key("session", "", "nobody's")) is None
    owner.shelf.end(id, "stopped")
    owner.shelf.end(key, "stopped")
    await owner.bus.flush()
    assert await two.placement.find(id) is None
    assert owner.shelf.used == 0


async def test_of_two_sessions_of_one_channel_the_newer_stays(site: Site) -> None:
    old, new = await site.add(UNIT, at=1000.0), await site.add(UNIT, at=1000.5)
    key = Key("channel", "o", "c1")
    for one in (new, old):  # whoever is told of first
        await one.shelf.reserve(Need(kind="session", owner="o", weight=UNIT))
        one.shelf.run(next(iter(one.shelf.held)), key)
    await site.until(lambda: old.shelf.ended == [(key, "replaced")])
    await new.bus.flush()
    found = await old.placement.find(key)
    assert found is not None and found.node == "n1"
    assert new.shelf.ended == [] and old.shelf.used == 0


async def test_of_two_agents_of_one_name_the_older_stays(site: Site) -> None:
    old, new = await site.add(UNIT, at=1000.0), await site.add(UNIT, at=1000.5)
    key = Key("name", "o", "a")
    for one in (old, new):
        await one.shelf.reserve(Need(kind="agent", owner="o", weight=UNIT))
        one.shelf.run(next(iter(one.shelf.held)), key)
    await site.until(lambda: new.shelf.ended == [(key, "replaced")])
    assert old.shelf.ended == []


async def test_who_comes_into_a_new_room_at_once_meets_there(site: Site) -> None:
    nodes = [await site.add(50 * UNIT) for _ in range(5)]
    for one in nodes:
        one.node.listen()
    await site.until(lambda: all(len(one.node.others) == 4 for one in nodes))
    for name in ("lobby", "kitchen", "attic"):
        asked = [one for one in nodes for _ in range(6)]
        places = await asyncio.gather(*(one.placement.reserve(room(name)) for one in asked))
        met = {site.at(place, one).node.name for place, one in zip(places, asked, strict=True) if place is not None}
        assert None not in places and len(met) == 1, met
        assert sum(bool(place and place.ticket) for place in places) == 1, "one reservation for all of them"


async def test_a_node_that_ends_takes_nothing_new(site: Site) -> None:
    one, two = await site.add(UNIT), await site.add(50 * UNIT)
    one.node.listen()
    await site.until(lambda: "n1" in one.node.others)
    two.shelf.draining = True
    two.node.changed()
    await two.bus.flush()
    place = await one.placement.reserve(session(1))
    assert place is not None and place.node == ""
    assert await one.placement.reserve(session(2)) is None
    await two.node.close()
    await site.until(lambda: "n1" not in one.node.others)


async def test_all_are_shown(site: Site) -> None:
    nodes = [await site.add(UNIT) for _ in range(3)]
    for one in nodes:
        one.node.listen()
    await site.until(lambda: all(len(one.node.others) == 2 for one in nodes))
    await nodes[0].placement.reserve(session(1))
    view = await nodes[0].placement.view()
    assert [node.name for node in view.nodes] == ["n0", "n1", "n2"]
    assert (view.asked, view.nats, view.placed, view.refused) == ("n0", "connected", 1, 0)


async def test_a_node_that_stands_still_gets_nothing_once_it_is_missed(memory: Site) -> None:
    memory.patience = 1.0
    one, still, other = [await memory.add(1000 * UNIT) for _ in range(3)]
    one.node.listen()
    await memory.until(lambda: len(one.node.others) == 2)
    assert isinstance(still.bus, MemoryBus)
    still.bus.frozen = True
    # Before that the group may choose it: the request is made again, and what it would give is cancelled.
    places = await asyncio.gather(*(one.placement.reserve(session(n)) for n in range(20)))
    assert {place.node for place in places if place} <= {"", "n2"} and None not in places
    memory.now += 3.5
    other.node.tell()
    await memory.until(lambda: one.node.others["n1"].state == "silent")
    assert one.node.suspects()
    asked = memory.nodes[0].placement
    asked._patience = 30.0  # nobody who stands still is asked any more
    places = [await asked.reserve(session(100 + n)) for n in range(50)]
    # The freer one of the two, as it was by its last beat: how many beats there are meanwhile is this machine's doing.
    assert {place.node for place in places if place} <= {"", "n2"} and None not in places
    down: list[str] = []
    one.node.on_down = down.append
    memory.now += 2.0
    other.node.tell()
    await memory.until(lambda: down == ["n1"])
    view = await one.placement.view()
    assert {node.name: node.state for node in view.nodes} == {"n0": "up", "n1": "down", "n2": "up"}
    still.bus.thaw()
    await memory.until(lambda: one.node.others["n1"].state == "up")
    assert not one.node.suspects()
    await memory.until(lambda: not still.node._asked)
    assert still.shelf.used == 0, "what it was asked meanwhile was cancelled"


async def test_a_node_that_is_gone_is_down_and_no_suspect(memory: Site) -> None:
    one, gone = await memory.add(10 * UNIT), await memory.add(10 * UNIT)
    one.node.listen()
    key = Key("session", "", "s")
    await gone.shelf.reserve(session(1))
    gone.shelf.run(next(iter(gone.shelf.held)), key)
    await memory.until(lambda: "n1" in one.node.others)
    assert await one.placement.find(key) is not None
    assert isinstance(gone.bus, MemoryBus)
    gone.bus.cut()
    assert await one.placement.find(key) is None, "at once"
    places = [await one.placement.reserve(session(n)) for n in range(2, 12)]
    assert {place.node for place in places if place} == {""} and None not in places
    down: list[str] = []
    one.node.on_down = down.append
    memory.now += 3.5
    await memory.until(lambda: down == ["n1"])
    assert not one.node.suspects()


async def test_who_has_a_channel_and_stands_still_holds_nobody_up(memory: Site) -> None:
    memory.patience = 0.25
    one, still = await memory.add(10 * UNIT), await memory.add(0)
    key = Key("channel", "o", "c1")
    still.shelf.run("", key)
    assert isinstance(still.bus, MemoryBus)
    still.bus.frozen = True
    with pytest.raises(TimeoutError):
        await one.placement.find(key)
    place = await one.placement.reserve(session(1))
    assert place is not None and place.node == ""


async def test_without_a_bus_places_are_found_on_this_machine(memory: Site) -> None:
    one, _ = await memory.add(UNIT), await memory.add(50 * UNIT)
    assert isinstance(one.bus, MemoryBus)
    one.bus.cut()
    place = await one.placement.reserve(session(1))
    assert place is not None and place.node == ""
    assert await one.placement.reserve(session(2)) is None
    one.shelf.cancel(place)
    assert await one.placement.reserve(room("lobby")) is not None


async def test_a_cancelled_reservation_that_comes_late_is_not_made(memory: Site) -> None:
    from lipwire.cluster import talk

    one = await memory.add(UNIT)
    one.node.cancel("r1")
    assert isinstance(await one.node.give(talk.Ask(id="r1", need=session(1))), talk.Full)
    assert one.shelf.used == 0
    memory.now += 100
    for n in range(5000):
        one.node.cancel(f"x{n}")
    assert len(one.node._cancelled) <= 4096


async def test_ten_thousand_starts_and_stops_lose_and_double_nothing(memory: Site) -> None:
    nodes = [await memory.add(20 * UNIT) for _ in range(10)]
    live: dict[Key, tuple[One, Place]] = {}
    refused = 0

    async def client(number: int) -> None:
        nonlocal refused
        for turn in range(100):
            asked = nodes[(number + turn) % 10]
            key = Key("session", "", f"s{number}.{turn}")
            place = await memory.run(asked, session(1000 * number + turn), key)
            if place is None:
                refused += 1
                continue
            owner = memory.at(place, asked)
            assert key not in live
            live[key] = owner, place
            await asyncio.sleep(0)
            found = await nodes[turn % 10].placement.find(key)
            assert found is not None and memory.at(found, nodes[turn % 10]) is owner
            del live[key]
            owner.shelf.end(key, "stopped")

    await asyncio.gather(*(client(number) for number in range(100)))
    assert live == {} and refused == 0
    assert [(one.shelf.used, one.shelf.keys) for one in nodes] == [(0, {})] * 10
    assert sum(one.placement.placed for one in nodes) == 10_000


@pytest.mark.parametrize(("at", "secret"), [(1000.0, "another"), (1040.0, "s")], ids=["secret", "clock"])
async def test_a_node_that_would_refuse_what_is_passed_on_is_left_out(
    memory: Site, caplog: pytest.LogCaptureFixture, at: float, secret: str
) -> None:
    one, strange = await memory.add(5 * UNIT), await memory.add(50 * UNIT, at=at, secret=secret)
    one.node.listen()
    await memory.until(lambda: "n1" in one.node.strange)
    assert one.node.others == {} and caplog.text.count("node n1 is left out") == 1
    places = [await one.placement.reserve(session(n)) for n in range(4)]
    assert [place.node for place in places if place] == [""] * 4
    await memory.until(lambda: strange.shelf.used == 0)


def joins(number: int, name: str) -> Need:
    return Need(kind="agent", owner="o", weight=UNIT, keys=(Key("name", "o", f"a{number}"), Key("room", "o", name)))


async def test_what_goes_where_its_room_is_takes_room_there(site: Site) -> None:
    one, two = await site.add(10 * UNIT), await site.add(3 * UNIT)
    two.shelf.run("", Key("room", "o", "lobby"))
    await two.bus.flush()
    places = [await one.placement.reserve(joins(n, "lobby")) for n in range(5)]
    assert [place is not None for place in places] == [True, True, True, False, False]
    assert (one.shelf.used, two.shelf.used) == (0, 3 * UNIT)
    for place in places:
        if place is not None:
            assert place.node == "n1" and place.ticket
            one.placement.cancel(place)
    await site.until(lambda: two.shelf.used == 0)


async def test_who_comes_into_a_new_room_at_once_takes_room_there(site: Site) -> None:
    nodes = [await site.add(4 * UNIT) for _ in range(3)]
    for one in nodes:
        one.node.listen()
    await site.until(lambda: all(len(one.node.others) == 2 for one in nodes))
    asked = [one for one in nodes for _ in range(3)]
    places = await asyncio.gather(*(one.placement.reserve(joins(n, "lobby")) for n, one in enumerate(asked)))
    assert sum(place is not None for place in places) == 4
    assert sorted(one.shelf.used for one in nodes) == [0, 0, 4 * UNIT]


async def test_a_place_in_a_new_room_that_is_not_taken_is_free_again(site: Site) -> None:
    nodes = [await site.add(10 * UNIT) for _ in range(3)]
    for one in nodes:
        one.node.listen()
    await site.until(lambda: all(len(one.node.others) == 2 for one in nodes))
    for n in range(30):  # whichever is home, and whichever has it
        place = await nodes[n % 3].placement.reserve(joins(n, f"room{n}"))
        assert place is not None
        nodes[n % 3].placement.cancel(place)
        await site.until(lambda: not any(one.shelf.used for one in nodes))


async def test_a_new_room_is_not_kept_for_a_node_that_has_died(memory: Site) -> None:
    one, gone = await memory.add(0), await memory.add(10 * UNIT)
    one.node.listen()
    gone.node.listen()
    await memory.until(lambda: "n1" in one.node.others and "n0" in gone.node.others)
    names = [f"room{n}" for n in range(8)]
    for n, name in enumerate(names):
        place = await one.placement.reserve(joins(n, name))
        assert place is not None and place.node == "n1"
    assert isinstance(gone.bus, MemoryBus)
    gone.bus.cut()
    one.shelf.capacity = 10 * UNIT
    for n, name in enumerate(names):
        place = await one.placement.reserve(joins(100 + n, name))
        assert place is not None and place.node == ""


async def test_without_a_bus_what_is_elsewhere_is_not_said_to_be_nowhere(memory: Site) -> None:
    one, _ = await memory.add(UNIT), await memory.add(UNIT)
    assert isinstance(one.bus, MemoryBus)
    one.bus.connected = False
    with pytest.raises(TimeoutError):
        await one.placement.find(Key("session", "", "s"))
    one.bus.connected = True
    assert await one.placement.find(Key("session", "", "s")) is None


async def test_of_two_sessions_that_began_without_a_bus_one_stays(memory: Site) -> None:
    old, new = await memory.add(UNIT, at=1000.0), await memory.add(UNIT, at=1000.5)
    key = Key("channel", "o", "c1")
    for one in (old, new):
        assert isinstance(one.bus, MemoryBus)
        one.node.opened(key)
        one.bus.connected = False
        one.shelf.run("", key)
    for one in (old, new):
        assert isinstance(one.bus, MemoryBus)
        one.bus.connected = True
        one.bus.on_connection(True)
    await memory.until(lambda: old.shelf.ended == [(key, "replaced")])
    assert new.shelf.ended == []


async def test_a_reservation_ends_nothing_on_another_node(memory: Site) -> None:
    """It may be refused yet; and nothing of a claim waits for what comes later."""
    one, two = await memory.add(UNIT, at=1000.0), await memory.add(UNIT, at=1000.5)
    key = Key("channel", "o", "c1")
    one.shelf.run("", key)
    two.node.opened(key)
    await asyncio.sleep(0.05)
    assert one.shelf.ended == []
    two.node.begun(key)
    await memory.until(lambda: one.shelf.ended == [(key, "replaced")])


async def test_two_nodes_of_one_name_are_not_started(site: Site) -> None:
    await site.add(UNIT)
    second = Node(await site.connect("n0 again"), Shelf(UNIT), name="n0", beat=BEAT)
    with pytest.raises(InvalidArgument, match="there is a node 'n0' already"):
        await second.start()
    await second.close()


async def test_a_node_that_is_doubted_is_looked_at_at_once(memory: Site) -> None:
    one, gone, there = await memory.add(UNIT), await memory.add(UNIT), await memory.add(UNIT)
    one.node.listen()
    await memory.until(lambda: len(one.node.others) == 2)
    down: list[str] = []
    one.node.on_down = down.append
    assert isinstance(gone.bus, MemoryBus)
    gone.bus.cut()
    one.node.doubt("n2")
    one.node.doubt("n1")
    await memory.until(lambda: down == ["n1"] and not one.node._asked)
    assert one.node.others["n2"].state == "up" and there.node.others == {}
