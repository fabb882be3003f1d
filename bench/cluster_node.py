"""One node of `placement.py`, in a process of its own: no benchmark by itself. It gives places and runs nothing; a
start takes a place, waits for as long as a session's own start takes, and owns its channel and its id then."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

from harness import ROOT

sys.path.insert(0, str(ROOT / "tests"))
from lipwire.cluster.nats_bus import NatsBus
from lipwire.cluster.nats_placement import NatsPlacement
from lipwire.cluster.node import Node
from lipwire.cluster.placement import UNIT, Key, Need, Place
from support.shelf import Shelf


async def lines() -> asyncio.StreamReader:
    """Of standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def main(url: str, name: str, capacity: int) -> None:
    bus = await NatsBus.connect([url], name=name)
    shelf = Shelf(capacity * UNIT)
    node = Node(bus, shelf, name=name)
    shelf.node = node
    placement = NatsPlacement(node, shelf)
    await node.start()
    node.listen()
    own, rng = 0, random.Random(name)

    async def start(number: int, seconds: float) -> tuple[float, Place | None]:
        """A session of this front's: milliseconds of the reservation, and where it is."""
        keys = (Key("channel", "o", f"{name}.{number}"), Key("session", "", f"{name}.{number}"))
        need = Need(kind="session", owner="o", weight=UNIT, keys=keys[:1])
        began = time.perf_counter()
        place = await placement.reserve(need)
        took = 1000 * (time.perf_counter() - began)
        if place is not None:
            await asyncio.sleep(seconds)
            if place.node == "":
                shelf.confirm(place, keys)
        return took, place

    async def do(asked: dict[str, Any]) -> dict[str, Any]:
        nonlocal own
        if asked["do"] == "start":
            gate = asyncio.Semaphore(asked["at_once"])

            async def one(number: int) -> tuple[float, Place | None]:
                async with gate:
                    if asked["seconds"]:  # starts come when they come, and not in step
                        await asyncio.sleep(rng.uniform(0.0, asked["seconds"]))
                    return await start(number, rng.uniform(0.5, 1.5) * asked["seconds"])

            numbers = range(own, own + asked["count"])
            own += asked["count"]
            found = await asyncio.gather(*(one(number) for number in numbers))
            return {"took": [took for took, _ in found], "placed": sum(place is not None for _, place in found)}
        if asked["do"] == "clear":
            for key in list(shelf.keys):
                shelf.end(key, "stopped")
            for ticket in list(shelf.held):  # reservations that nobody has confirmed
                shelf.cancel(Place(node="", worker=0, ticket=ticket))
            node.changed()
            await bus.flush()
            return {}
        return {"used": shelf.used // UNIT, "keys": len(shelf.keys), "others": len(node.others)}

    reader = await lines()
    print(json.dumps({"ready": True}), flush=True)
    while line := await reader.readline():
        print(json.dumps(await do(json.loads(line))), flush=True)
    await node.close()
    await bus.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
