"""cluster/machine.py: real workers behind nodes that share a bus."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from lipwire.cluster.machine import PoolMachine
from lipwire.cluster.memory_bus import Broker, MemoryBus
from lipwire.cluster.nats_placement import NatsPlacement
from lipwire.cluster.node import Node
from lipwire.cluster.placement import UNIT, Key, Need, Use
from lipwire.cluster.pool import Pool
from lipwire.provider.keys import Quota
from lipwire.provider.sessions import ProviderError
from support.shelf import Shelf
from support.workers import WAIT, Farm


async def join(
    pool: Pool, broker: Broker, name: str, at: float = 1000.0, beat: float = 0.05
) -> tuple[Node, NatsPlacement]:
    """A node before a pool."""
    machine = PoolMachine(pool, name=name, version="1")
    node = Node(MemoryBus(broker), machine, name=name, beat=beat, wall_clock=lambda: at)
    machine.join(node)
    await node.start()
    return node, NatsPlacement(node, pool, patience=30, finding=30)


async def other(broker: Broker, capacity: int = 100 * UNIT, at: float = 1010.0) -> tuple[Shelf, NatsPlacement]:
    """A node that runs nothing."""
    shelf = Shelf(capacity)
    shelf.node = Node(MemoryBus(broker), shelf, name="other", beat=0.05, wall_clock=lambda: at)
    await shelf.node.start()
    shelf.node.listen()
    return shelf, NatsPlacement(shelf.node, shelf, patience=30, finding=30)


async def test_what_a_worker_runs_is_found_from_another_node_until_it_dies() -> None:
    broker = Broker()
    async with Farm(1) as farm:
        node, _ = await join(farm.pool, broker, "ours")
        shelf, elsewhere = await other(broker)
        started = await farm.start("one")
        assert started is not None
        channel = next(key for key in farm.pool.ledger.owned() if key.kind == "channel")
        for key in (started.key, channel):
            found = await elsewhere.find(key)
            assert found is not None and (found.node, found.worker) == ("ours", 0)
        view = await elsewhere.view()
        async with asyncio.timeout(WAIT):  # one that is busy answers too late to be shown in full
            while [one.state for one in view.nodes] != ["up", "up"]:
                await asyncio.sleep(0.02)  # where nobody is known yet, view does not wait
                view = await elsewhere.view()
        assert [(one.name, one.state, len(one.workers)) for one in view.nodes] == [
            ("other", "up", 0),
            ("ours", "up", 1),
        ]
        assert view.nodes[1].workers[0].used > 0
        os.kill(started.worker.pid, signal.SIGKILL)
        await farm.until(lambda: farm.pool.where(started.key) is None)
        assert await elsewhere.find(started.key) is None and await elsewhere.find(channel) is None
        await node.close()
        assert shelf.node is not None
        await shelf.node.close()


async def test_a_session_that_another_node_has_started_anew_ends() -> None:
    broker = Broker()
    async with Farm(1) as farm:
        node, _ = await join(farm.pool, broker, "ours", at=1000.0)
        shelf, _ = await other(broker, at=1010.0)
        started = await farm.start("one")
        assert started is not None
        socket = await started.connect()
        channel = next(key for key in farm.pool.ledger.owned() if key.kind == "channel")
        await shelf.reserve(Need(kind="session", owner="o", weight=UNIT))
        shelf.run(next(iter(shelf.held)), channel)
        async with asyncio.timeout(30):
            await socket.wait_closed()
        assert socket.close_code == 1000
        await farm.until(lambda: farm.pool.where(started.key) is None)
        assert shelf.ended == []
        await node.close()
        assert shelf.node is not None
        await shelf.node.close()


async def test_room_is_told_at_once_and_quotas_count_all_nodes() -> None:
    broker = Broker()
    async with Farm(1, quota=Quota(sessions=2), capacity=2) as farm:
        node, placement = await join(farm.pool, broker, "ours")
        shelf, elsewhere = await other(broker, capacity=0)
        need = Need(kind="session", owner="them", weight=UNIT, keys=(Key("channel", "", "c1"),))
        place = await elsewhere.reserve(need)
        assert place is not None and place.node == "ours"
        assert node.machine.free == UNIT and node.machine.owners() == {"them": Use(sessions=1)}
        shelf.owners = lambda: {"them": Use(sessions=1)}  # type: ignore[method-assign]
        node.listen()
        await farm.until(lambda: node.use_elsewhere("them").sessions == 1)
        with pytest.raises(ProviderError, match="This key's limit of 2 sessions is reached"):
            await elsewhere.reserve(Need(kind="session", owner="them", weight=UNIT, keys=(Key("channel", "", "c2"),)))
        mine = await placement.reserve(Need(kind="session", owner="me", weight=UNIT, keys=(Key("channel", "", "c3"),)))
        assert mine is not None and mine.node == "" and node.machine.state == "full"
        assert await elsewhere.reserve(Need(kind="session", owner="me", weight=UNIT)) is None
        elsewhere.cancel(place)
        await farm.until(lambda: node.machine.free == UNIT)
        await node.close()
        assert shelf.node is not None
        await shelf.node.close()


async def test_what_an_owner_has_is_told_without_waiting_for_a_beat() -> None:
    broker = Broker()
    async with Farm(1) as farm:
        shelf, elsewhere = await other(broker, capacity=0)
        assert shelf.node is not None
        node, _ = await join(farm.pool, broker, "ours", beat=3600)
        need = Need(kind="session", owner="them", weight=UNIT, keys=(Key("channel", "", "c1"),))
        place = await elsewhere.reserve(need)
        assert place is not None
        await farm.until(lambda: shelf.node is not None and shelf.node.use_elsewhere("them").sessions == 1)
        elsewhere.cancel(place)
        await farm.until(lambda: shelf.node is not None and shelf.node.use_elsewhere("them").sessions == 0)
        await node.close()
        await shelf.node.close()
