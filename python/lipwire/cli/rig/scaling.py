"""What one worker and two carry, each held to a part of a processor: sessions until the first picture or sound is late.

Judged as `lipwire bench density` does, with its generator: by what its clients and viewers see, and by what the servers
count. The front process and NATS are outside of the quota, with one worker as with two.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct
from rich.console import Console

from ...avatar import DEFAULT
from ..density.machine import HERTZ, cores
from ..density.measure import CLIENT_FAULTS
from ..density.report import load, machine
from ..density.search import Attempt, Found, search
from ..density.worker import Worker, run_once
from .calls import FPS
from .network import Loopback
from .nodes import Figures, Nats, Node, read_metrics
from .processes import Known, adopting
from .quota import Quotas
from .speech import RATE, Script

GOAL = 1.9
"""Two workers over one."""
CHUNK_MS = 100
SETTLE, SECONDS = 3.0, 6.0
"""Between the start of sessions and a window, and of a window."""
LATE_MS = 500 / FPS
MOST = 1024
UNLIMITED: dict[str, object] = {
    "max_sessions": MOST,
    "max_viewers": MOST,
    "max_pixel_rate": 0,
    "max_viewers_per_address": 0,
    "max_connections_per_address": 1_000_000,
    "joins_a_minute": 0,
    "address_request_rate": 0,
    "key_request_rate": 1_000_000,
    "max_late_percent": 0,
    "max_busy_percent": 0,
    "max_lag_ms": 0,
    "drain_seconds": 0,
    "agora": "off",
    "log_level": "error",
}


class Carried(Struct, kw_only=True):
    """What so many workers came to."""

    workers: int
    found: Found
    cores: list[float]
    """Processors that each worker used in the last window that held, and"""
    front: float
    """the front process."""
    throttled: list[float]
    """Part of the quota's periods of that window in which each worker came to the end of its quota."""


class Scaling(Struct, kw_only=True):
    """All of it."""

    cores: float
    """Processors of a worker."""
    cgroup: int
    viewers: int
    size: str
    carried: list[Carried]

    @property
    def ratio(self) -> float | None:
        """Two over one; None: of one of them it was not found where it ends."""
        one, two = (carried.found for carried in self.carried)
        return two.holds / one.holds if one.holds and None not in (one.fails, two.fails) else None

    def print(self, out: Console) -> None:
        """Lines."""
        each = f"{self.viewers} WebRTC viewers each" if self.viewers else "nobody looks"
        out.print(f"\n{self.size} at {FPS} pictures a second, everyone talking, {each}; {self.cores:g} of a processor "
                  f"a worker (cgroup v{self.cgroup})")  # fmt: skip
        for one in self.carried:
            used = ", ".join(f"{100 * share:.0f} %" for share in one.cores)
            still = ", ".join(f"{100 * share:.0f} %" for share in one.throttled)
            line = f"{one.workers} worker{'s' if one.workers > 1 else ''}: {one.found.holds} sessions"
            if not one.found.holds:
                out.print(f"{line}; {one.found.unproven or 'none was in time'}", markup=False)
                continue
            out.print(
                f"{line}; used {used} of a processor, at their quota in {still} of its periods, front {one.front:.2f}"
            )
            if one.found.fails is not None:
                last = next(a for a in reversed(one.found.attempts) if a.count == one.found.fails and a.faults)
                out.print(f"  at {one.found.fails}: {', '.join(f'{n} {what}' for what, n in last.faults.items())}")
            if one.found.unproven:
                out.print(f"  not judged further: {one.found.unproven}", markup=False)
        if self.ratio is not None:
            out.print(f"two carry {self.ratio:.2f} times what one does (goal {GOAL})")
        else:
            out.print("how much more two carry cannot be said: it was not found where both end")
        out.print(f"{machine()}; load {load():.1f}; {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}", style="dim")

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found | {"ratio": self.ratio, "machine": machine(), "load": load()}


async def measure(
    *,
    cores_each: float,
    viewers: int,
    size: str,
    note: Callable[[str], None],
    first: int | None = None,
    limit: int = MOST,
) -> Scaling:
    """One worker, then two.

    Args:
        cores_each: processors of a worker. viewers: of each session.
        first: sessions to begin with. limit: most to try.

    Raises:
        BadState: no quota can be given, or something that is needed is missing.
        InvalidArgument: there is one processor only.
    """
    with Quotas(cores_each) as quotas:
        scaling = Scaling(cores=cores_each, cgroup=quotas.version, viewers=viewers, size=size, carried=[])
    begin = first or (8 if viewers else 64)
    if viewers:
        note(f"pre-encoding {DEFAULT} at {size}")
        command = [sys.executable, "-m", "lipwire", "avatar", "preencode", DEFAULT, "--size", size, "--fps", str(FPS)]
        await asyncio.to_thread(run_once, command)
    for workers in (1, 2):
        carried = await _carried(workers, scaling, begin, limit, note)
        scaling.carried.append(carried)
        begin = max(begin, 2 * carried.found.holds - begin // 2)
    return scaling


async def _carried(workers: int, scaling: Scaling, first: int, limit: int, note: Callable[[str], None]) -> Carried:
    """What so many carry."""
    async with AsyncExitStack() as stack:
        stack.enter_context(adopting())
        folder = Path(tempfile.mkdtemp(prefix="lipwire-scaling-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        quotas = stack.enter_context(Quotas(scaling.cores))
        network = stack.enter_context(Loopback("it is measured here"))
        nats = Nats(network.place("nats"), folder)
        stack.push_async_callback(nats.process.close)
        await nats.start()
        key = "scaling-of-lipwire"
        where: dict[str, object] = {"workers": workers, "nats": nats.url, "session_secret": "s" * 32}
        node = Node("node1", network.place("node1"), folder, UNLIMITED | where, key)
        stack.push_async_callback(node.close)
        await node.start()
        held = await node.workers()
        for index, worker in held.items():
            quotas.hold(str(index), worker.pid)
        raw = folder / "speech.pcm"
        raw.write_bytes(Script().pcm)
        command = [sys.executable, "-m", "lipwire.cli.density.generator", node.url, f"{node.viewer_url}/", str(raw)]
        command += [str(RATE), str(CHUNK_MS), DEFAULT, scaling.size, str(FPS), "H264"]
        generator = Worker(command, cores()[1], {"DENSITY_KEY": key})
        stack.callback(generator.close)  # and what waits for an answer of it fails
        await asyncio.to_thread(generator.__enter__)
        os.setpriority(os.PRIO_PROCESS, generator.pid, -10)  # what it is late itself says nothing of the workers
        trial = _Trial(node, held, quotas, generator, scaling.viewers, note)
        found = await asyncio.to_thread(search, trial.attempt, first, limit)
        return Carried(workers=workers, found=found, cores=trial.cores, front=trial.front, throttled=trial.throttled)


class _Trial:
    """A node and its generator, at any count. In a thread of its own."""

    def __init__(
        self, node: Node, held: dict[int, Known], quotas: Quotas, generator: Worker, viewers: int,
        note: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._node, self._held, self._quotas = node, held, quotas
        self._generator, self._viewers, self._note = generator, viewers, note
        self._behind = False
        self.cores: list[float] = []
        self.front = 0.0
        self.throttled: list[float] = []

    def attempt(self, count: int) -> Attempt:
        """One window with so many."""
        self._note(f"{len(self._held)} workers: {count} sessions")
        reply = self._generator.ask("set", sessions=count, viewers=self._viewers)
        if error := reply.get("error"):
            self._behind = True
            self._note(f"refused: {error}")
            return Attempt(count, {"refused": 1})
        if self._behind:
            self._generator.ask("calm")
        time.sleep(SETTLE)
        before, times, still, began = self._figures(), self._times(), self._still(), time.monotonic()
        self._generator.ask("begin")
        time.sleep(SECONDS)
        told = self._generator.ask("end")
        after, elapsed = self._figures(), time.monotonic() - began
        faults = {name: told["counts"][name] for name in CLIENT_FAULTS if told["counts"].get(name)}
        for name in ("late", "underruns"):
            if (more := getattr(after, name) - getattr(before, name)) > 0:
                faults[f"server_{name}"] = more
        self._behind = bool(faults)
        if not faults:
            used = [(now - then) / elapsed for now, then in zip(self._times(), times, strict=True)]
            self.front, self.cores = used[0], used[1:]
            self.throttled = [
                (now[1] - then[1]) / max(1, now[0] - then[0]) for now, then in zip(self._still(), still, strict=True)
            ]
        late, cpu = told["late_ms"], told["cpu"]
        thrown = f"the generator was late by {late:.0f} ms" if late > LATE_MS else ""
        if cpu > 0.9:
            thrown = f"the generator used {100 * cpu:.0f} % of its processor"
        return Attempt(count, faults, thrown)

    def _figures(self) -> Figures:
        return read_metrics(httpx.get(f"{self._node.url}/metrics", timeout=30, trust_env=False).text)

    def _times(self) -> list[float]:
        return [_seconds(pid) for pid in (self._node.process.pid, *(one.pid for one in self._held.values()))]

    def _still(self) -> list[tuple[int, int]]:
        return [self._quotas.throttled(str(index)) for index in self._held]


def _seconds(pid: int) -> float:
    """Of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / HERTZ
