"""The servers of a rig: `lipwire serve` a node, and the NATS server between them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from ...cluster.view import ClusterView
from ...errors import BadState
from ..density.machine import resident
from .network import Place
from .processes import Known, Running, known

READY = 90.0
"""Seconds that servers have to start."""
SLOW, QUICK = 5.0, 1.0
"""Seconds for an answer, of what is asked once and of what is asked again and again."""
_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:]+)(?:\{[^}]*\})? (?P<value>[-+0-9.eE]+)")


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Of a server: its settings, and nothing that this process has of any."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("LIPWIRE_")}
    return found | {f"LIPWIRE_{name.upper()}": str(value) for name, value in settings.items()}


class Server:
    """What nodes and NATS have in common."""

    def __init__(self, name: str, place: Place, folder: Path) -> None:
        self.name, self.place = name, place
        self.log = folder / f"{name}.log"
        self.since: float | None = None
        """When it was taken away by a fault (monotonic); None: it is there."""

    process: Running

    async def start(self) -> None:
        """Runs it, and waits until it answers. Raises BadState: it does not."""
        await self.process.start()
        until = time.monotonic() + READY
        while not await self._answers():
            if not self.process.running:
                raise BadState(f"{self.name} has ended; it said: {self.process.last_words()}")
            if time.monotonic() > until:
                raise BadState(f"{self.name} gave no answer for {READY:.0f} s; it said: {self.process.last_words()}")
            await asyncio.sleep(0.1)
        self.process.look()

    async def _answers(self) -> bool:
        raise NotImplementedError


class Nats(Server):
    """nats-server.

    Raises:
        BadState: there is none on this machine.
    """

    def __init__(self, place: Place, folder: Path) -> None:
        super().__init__("nats", place, folder)
        program = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise BadState("nats-server is missing: apt install nats-server")
        self.url = f"nats://{place.address}:{place.ports[0]}"
        command = [*place.prefix, program, "-a", place.address, "-p", str(place.ports[0]), "-m", str(place.ports[1])]
        self.process = Running(self.name, command, environment({}), folder, self.log)

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(QUICK):
                _, writer = await asyncio.open_connection(self.place.address, self.place.ports[0])
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    async def traffic(self) -> Traffic:
        """Its counters (/varz of its monitoring). Raises httpx.HTTPError, msgspec.DecodeError."""
        async with httpx.AsyncClient(timeout=SLOW, trust_env=False) as http:
            reply = await http.get(f"http://{self.place.address}:{self.place.ports[1]}/varz")
        return msgspec.json.decode(reply.raise_for_status().content, type=Traffic)


class Traffic(Struct, kw_only=True):
    """What NATS says of itself: messages and bytes that came to it and left it since it began."""

    in_msgs: int = 0
    out_msgs: int = 0
    in_bytes: int = 0
    out_bytes: int = 0
    subscriptions: int = 0
    connections: int = 0
    mem: int = 0
    """Bytes of memory."""


class Figures(Struct, kw_only=True):
    """What a node says of itself (/metrics)."""

    sessions: int = 0
    frames: int = 0
    late: int = 0
    underruns: int = 0


METRICS = {
    "lipwire_sessions": "sessions",
    "lipwire_frames_total": "frames",
    "lipwire_frames_late_total": "late",
    "lipwire_underruns_total": "underruns",
}


def read_metrics(text: str) -> Figures:
    """Sums over all workers."""
    figures = Figures()
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match is not None and (field := METRICS.get(match["name"])) is not None:
            setattr(figures, field, getattr(figures, field) + int(float(match["value"])))
    return figures


class Node(Server):
    """A `lipwire serve`.

    Args:
        settings: of it, beside those that say where it is.
    """

    def __init__(self, name: str, place: Place, folder: Path, settings: Mapping[str, object], api_key: str) -> None:
        super().__init__(name, place, folder)
        http, viewer, ws = place.ports
        self.url, self.viewer_url = f"http://{place.address}:{http}", f"http://{place.address}:{viewer}"
        where = {"host": place.address, "http_port": http, "viewer_port": viewer, "ws_port": ws}
        command = [*place.prefix, sys.executable, "-m", "lipwire", "serve"]
        env = environment(where | {"ice_host": place.address, "api_key": api_key} | dict(settings))
        env["TMPDIR"] = str(folder)
        self.process = Running(self.name, command, env, folder, self.log)
        self.http = httpx.AsyncClient(base_url=self.url, headers={"x-api-key": api_key}, timeout=SLOW, trust_env=False)
        self.gone_workers: dict[int, float] = {}
        """Workers that a fault has taken away, and when (monotonic)."""

    async def _answers(self) -> bool:
        try:
            return (await self.http.get("/healthz", params={"live": ""}, timeout=QUICK)).status_code == 200
        except httpx.HTTPError:
            return False

    async def view(self) -> ClusterView:
        """What it knows of the cluster. Raises httpx.HTTPError, msgspec.DecodeError."""
        reply = await self.http.get("/cluster", timeout=QUICK)
        return msgspec.json.decode(reply.raise_for_status().content, type=ClusterView)

    async def figures(self) -> Figures:
        """See `Figures`. Raises httpx.HTTPError."""
        return read_metrics((await self.http.get("/metrics")).raise_for_status().text)

    async def session(self, session_id: str) -> tuple[int, dict[str, Any]]:
        """Status and body of its GET /session/{id}. Raises httpx.HTTPError."""
        reply = await self.http.get(f"/session/{session_id}")
        return reply.status_code, reply.json()

    async def workers(self) -> dict[int, Known]:
        """Its workers' processes. Raises httpx.HTTPError."""
        view = await self.view()
        own = next(node for node in view.nodes if node.name == view.asked)
        found = {worker.index: known(worker.pid) for worker in own.workers if worker.pid}
        return {index: one for index, one in found.items() if one is not None}

    def memory(self) -> int:
        """Bytes of all its processes."""
        total = 0
        for one in self.process.look():
            try:
                total += resident(one.pid)
            except OSError:  # it has just ended
                continue
        return total

    def signal(self, number: signal.Signals) -> None:
        """To all of it."""
        self.process.signal(number)

    async def close(self) -> list[str]:
        """See `Running.close`."""
        left = await self.process.close()
        await self.http.aclose()
        return left
