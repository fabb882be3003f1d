"""A million sessions on two thousand nodes: every placement through the real code (`cluster.nats_placement`), with NATS
replaced by one process's memory.

A thousand starts at a time, by twenty fronts; each session owns its channel and its id, as in a server. Half way the
nodes are compared; then a tenth of the sessions ends and as many start; then the cluster is filled to its last place,
and the next start is refused. What is counted: processor time and messages of a placement, and how even nodes are.
"""

from __future__ import annotations

import asyncio
import gc
import random
import resource
import sys
import time

from harness import ROOT, Results, main

sys.path.insert(0, str(ROOT / "tests"))
from lipwire.cluster.memory_bus import Broker, MemoryBus
from lipwire.cluster.nats_placement import NatsPlacement
from lipwire.cluster.node import Node
from lipwire.cluster.placement import UNIT, Key, Need, Place
from support.shelf import Shelf

BATCH = 1000
"""Starts that are on their way at once."""
EVERY = 3600.0
"""Seconds between beats here: their cost is arithmetic, and told apart (docs/scale.md)."""


class Cluster:
    def __init__(self, nodes: int, each: int, fronts: int) -> None:
        self.broker = Broker(1)
        self.shelves = [Shelf(each * UNIT) for _ in range(nodes)]
        self.nodes = [
            Node(MemoryBus(self.broker), shelf, name=f"n{n}", beat=EVERY) for n, shelf in enumerate(self.shelves)
        ]
        for node, shelf in zip(self.nodes, self.shelves, strict=True):
            shelf.node = node
        self.fronts = [
            NatsPlacement(node, node.machine, patience=60, finding=60, seed=n)  # type: ignore[arg-type]
            for n, node in enumerate(self.nodes[:fronts])
        ]
        self.live: list[tuple[Shelf, Key]] = []

    async def begin(self) -> None:
        await asyncio.gather(*(node.start() for node in self.nodes))

    async def start(self, number: int) -> bool:
        front = self.fronts[number % len(self.fronts)]
        keys = (Key("channel", "o", f"c{number}"), Key("session", "", f"s{number}"))
        place = await front.reserve(Need(kind="session", owner="o", weight=UNIT, keys=keys[:1]))
        if place is None:
            return False
        shelf = self.shelves[number % len(self.fronts) if place.node == "" else int(place.node[1:])]
        shelf.confirm(Place(node="", worker=0, ticket=place.ticket.partition(":")[0]), keys)
        self.live.append((shelf, keys[0]))
        shelf.also[keys[0]] = keys[1]
        return True

    async def starts(self, first: int, count: int) -> int:
        """How many found a place."""
        placed = 0
        for at in range(first, first + count, BATCH):
            placed += sum(await asyncio.gather(*(self.start(n) for n in range(at, min(at + BATCH, first + count)))))
        return placed

    def end(self, count: int, rng: random.Random) -> None:
        for _ in range(count):
            at = rng.randrange(len(self.live))
            self.live[at], self.live[-1] = self.live[-1], self.live[at]
            shelf, key = self.live.pop()
            shelf.end(shelf.also.pop(key), "stopped")
            shelf.end(key, "stopped")


async def measure(results: Results, nodes: int, each: int) -> None:
    total, rng = nodes * each, random.Random(1)
    gc.disable()  # a node has a two-thousandth of these objects, and collecting all of them is no cost of a placement
    cluster = Cluster(nodes, each, 20)
    await cluster.begin()
    began, cpu, sent = time.perf_counter(), time.process_time(), cluster.broker.delivered
    half = total // 2
    assert await cluster.starts(0, half) == half
    took, messages = time.process_time() - cpu, cluster.broker.delivered - sent
    used = [shelf.used // UNIT for shelf in cluster.shelves]
    assert sum(used) == half
    results.add("a placement, processor time", 1e6 * took / half, "us", n=half, nodes=nodes)
    results.add("a placement, messages", messages / half, "", n=half, nodes=nodes)
    results.add(
        "half full: the fullest node's part", 100 * max(used) / each, "%", n=nodes, least=100 * min(used) / each
    )
    cluster.end(total // 10, rng)
    assert await cluster.starts(total, total // 10) == total // 10
    cpu = time.process_time()
    left = total - half
    assert await cluster.starts(2 * total, left) == left, "every place is used"
    results.add("of the second half, processor time", 1e6 * (time.process_time() - cpu) / left, "us", n=left)
    assert all(shelf.used == each * UNIT for shelf in cluster.shelves)
    asked = time.perf_counter()
    assert await cluster.starts(4 * total, 1) == 0
    results.add("a full cluster says so", 1000 * (time.perf_counter() - asked), "ms", n=1, goal="<= 50")
    owned = sum(len(shelf.keys) for shelf in cluster.shelves)
    assert owned == 2 * total, "each session owns two keys, and none is lost or double"
    results.add("sessions placed", total, "", n=total, nodes=nodes, seconds=time.perf_counter() - began)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    results.add("memory of a session's two subjects, here", 1024 * memory / total, "KiB", n=total)


def run(results: Results, quick: bool) -> None:
    asyncio.run(measure(results, 50 if quick else 2000, 100 if quick else 500))


if __name__ == "__main__":
    main(run, __doc__)
