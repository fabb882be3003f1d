"""What a place in a cluster costs: ten nodes, each a process with its own connection to a real NATS server, all on this
machine.

Each node is a front, too. A start asks for its channel's owner, which nobody is, and for a place; then it takes `OWN`
seconds, as a session's own start does, and owns two keys. First with a hundred starts on their way at any time; then a
hundred that begin in the same moment, so that most of what is measured is the queue for two processors. At the end the
cluster is filled from all fronts at once: as many are placed as there are places, and the next start is refused.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from typing import Any

from harness import ROOT, Results, main, percentile, spread

sys.path.insert(0, str(ROOT / "tests"))
from support.nats_server import NatsServer

NODES = 10
OWN = 0.1
"""Seconds that a session's own start takes here: between that of a bare session (20 ms) and of an agent with a face."""


class Front:
    """A node's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, url: str, name: str, capacity: int) -> Front:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(ROOT / "bench" / "cluster_node.py"), url, name, str(capacity)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
        )
        front = cls(process)
        await front._answer()
        return front

    async def ask(self, **what: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "a node has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def measure(results: Results, each: int) -> None:
    capacity = 2 * each
    async with NatsServer() as server:
        fronts = list(await asyncio.gather(*(Front.start(server.url, f"n{n}", capacity) for n in range(NODES))))
        await asyncio.sleep(2.5)

        async def run(count: int, at_once: int, seconds: float) -> tuple[list[float], int]:
            asked = {"do": "start", "count": count, "at_once": at_once, "seconds": seconds}
            answers = await asyncio.gather(*(front.ask(**asked) for front in fronts))
            return [took for one in answers for took in one["took"]], sum(one["placed"] for one in answers)

        async def clear() -> None:
            await asyncio.gather(*(front.ask(do="clear") for front in fronts))

        await run(20, 10, OWN)
        await clear()
        took, placed = await run(each, NODES, OWN)
        assert placed == each * NODES, placed
        used = [(await front.ask(do="look"))["used"] for front in fronts]
        assert sum(used) == placed, used
        results.add("100 starts at a time, p50", percentile(took, 50), "ms", n=len(took), goal="<= 2", **spread(took))
        results.add("100 starts at a time, p99", percentile(took, 99), "ms", n=len(took), goal="<= 10")
        await clear()
        bursts = [await run(10, 10, 0.0) for _ in range(5)]
        took = [one for burst, _ in bursts for one in burst]
        results.add("100 starts in one moment, p50", percentile(took, 50), "ms", n=len(took), **spread(took))
        await clear()
        took, placed = await run(capacity + 30, 50, 0.0)
        assert placed == capacity * NODES, (placed, capacity * NODES)
        results.add("placed of one cluster's places", 100 * placed / (capacity * NODES), "%", n=placed, goal=">= 100")
        began = time.perf_counter()
        took, placed = await run(1, 1, 0.0)
        assert placed == 0
        results.add("a full cluster says so, worst", max(took), "ms", n=len(took), goal="<= 50")
        print(f"ten answers together: {1000 * (time.perf_counter() - began):.0f} ms", file=sys.stderr)
        for front in fronts:
            await front.close()


def run(results: Results, quick: bool) -> None:
    if shutil.which("nats-server") is None:
        results.skip("all of it", "nats-server is missing")
        return
    asyncio.run(measure(results, 20 if quick else 200))


if __name__ == "__main__":
    main(run, __doc__)
