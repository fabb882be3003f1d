"""A rolling restart as docs/operations.md has it, with real processes and a real NATS server: a node that is told to
end speaks to the end of what it was sent, what is new goes elsewhere, and it comes back. No call is dropped."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from lipwire.cluster.view import ClusterView
from lipwire.protocol import messages as m
from lipwire.provider.client import ProviderClient, request
from support.nats_server import NatsServer
from support.ports import free_ports

KEY, WAIT, RATE = "the operator's key", 90.0, 16_000
DRAIN = 40.0
SPOKEN = 8.0
"""Seconds of speech, which must be far from its end when its node is told to end."""


class Node:
    """`lipwire serve` as a unit of systemd has it: a process that is told to end, and started again."""

    def __init__(self, name: str, nats: str, folder: Path) -> None:
        self.name, self._folder = name, folder
        self.http_port, self.ws_port = free_ports(2)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LIPWIRE_", "AGORA_", "OPENAI_"))}
        self._environment = kept | {"LIPWIRE_API_KEY": KEY, "LIPWIRE_SESSION_SECRET": "s" * 32, "LIPWIRE_NATS": nats}
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    async def start(self) -> None:
        ports = ["--http-port", str(self.http_port), "--ws-port", str(self.ws_port), "--no-viewer"]
        where = ["--node", self.name, "--host", "127.0.0.1", "--workers", "1", "--drain", f"{DRAIN:g}"]
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "lipwire", "serve", *ports, *where),
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def tell(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self) -> int:
        assert self.process is not None
        async with asyncio.timeout(WAIT):
            return await self.process.wait()


@pytest_asyncio.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[list[Node]]:
    async with NatsServer() as nats:
        made = [Node(name, nats.url, tmp_path) for name in ("a", "b")]
        try:
            for node in made:
                await node.start()
            yield made
        finally:
            for node in made:
                if node.process is not None and node.process.returncode is None:
                    node.tell(signal.SIGKILL)
                    await node.ended()


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=WAIT, headers={"x-api-key": KEY}) as client:
        yield client


async def states(http: httpx.AsyncClient, node: Node) -> dict[str, str]:
    """Of all nodes, as this one knows them; {} = it does not answer yet."""
    try:
        reply = await http.get(f"{node.url}/cluster")
    except httpx.TransportError:
        return {}
    if reply.status_code != 200:
        return {}
    return {one.name: one.state for one in msgspec.json.decode(reply.content, type=ClusterView).nodes}


async def until(http: httpx.AsyncClient, node: Node, wanted: dict[str, str]) -> None:
    async with asyncio.timeout(WAIT):
        while (now := await states(http, node)) != wanted:
            assert node.process is None or node.process.returncode is None, now
            await asyncio.sleep(0.1)


def small(channel: str) -> m.StartRequest:
    return request(channel, width=64, height=36)


@pytest.mark.slow
async def test_a_node_is_replaced_while_its_call_goes_on(nodes: list[Node], http: httpx.AsyncClient) -> None:
    a, b = nodes
    for node in nodes:
        await until(http, node, {"a": "up", "b": "up"})
    events: list[Any] = []
    async with ProviderClient(a.url, KEY, small("call"), on_event=events.append) as client:
        assert client.session is not None
        port = int(client.session.websocket_address.rpartition(":")[2])
        leaving, staying = (a, b) if port == a.ws_port else (b, a)
        await client.speak(b"\1\0" * int(RATE * SPOKEN), RATE, pace=None)
        leaving.tell(signal.SIGTERM)
        told = time.monotonic()
        await until(http, staying, {leaving.name: "draining", staying.name: "up"})
        health = await http.get(f"{leaving.url}/healthz")
        assert (health.status_code, health.json()["status"]) == (503, "draining")
        assert (await http.get(f"{leaving.url}/healthz?live")).status_code == 200
        # Whichever node is asked, the one that drains too: what is new runs on the other.
        for number, asked in enumerate([staying, leaving] * 3):
            async with ProviderClient(asked.url, KEY, small(f"new{number}")) as other:
                assert other.session is not None
                assert int(other.session.websocket_address.rpartition(":")[2]) == staying.ws_port
        await client.wait_finished(1)
        assert time.monotonic() - told > 2, "it was over before it was told to end"
    [finished] = [event for event in events if isinstance(event, m.PlaybackFinished)]
    assert not finished.interrupted and finished.position_ms >= 1000 * SPOKEN - 100
    assert await leaving.ended() == 0
    assert time.monotonic() - told < DRAIN, "it waited for nothing"
    async with ProviderClient(staying.url, KEY, small("meanwhile")) as client:
        assert client.session is not None

    await leaving.start()
    for node in nodes:
        await until(http, node, {"a": "up", "b": "up"})
    used = set()
    for number in range(30):
        async with ProviderClient(staying.url, KEY, small(f"again{number}")) as client:
            assert client.session is not None
            used.add(int(client.session.websocket_address.rpartition(":")[2]))
        if len(used) == 2:
            break
    assert used == {a.ws_port, b.ws_port}
