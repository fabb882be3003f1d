"""This machine and the others, as the front wants them."""

from __future__ import annotations

import re
import secrets
import socket
from urllib.parse import urlsplit

from ...cluster.ledger import Gone
from ...cluster.machine import PoolMachine
from ...cluster.nats_placement import NatsPlacement
from ...cluster.node import Node
from ...cluster.placement import Key
from ...cluster.pool import Pool
from ...cluster.view import ClusterView
from ..config import LOOPBACK, Config
from .upstream import Lost


class Machine(PoolMachine):
    """The workers of this machine."""

    def __init__(self, pool: Pool, *, name: str, http_url: str = "", version: str = "") -> None:
        super().__init__(pool, name=name, http_url=http_url, version=version)
        self._pool = pool

    @property
    def live(self) -> list[int]:
        """The workers that answer."""
        return [worker.index for worker in self._pool.workers if worker.up]

    def paths(self, worker: int) -> tuple[str, str]:
        """A worker's Unix sockets: of what stands on `http_port`, and of the pages. Raises Lost: there is no such."""
        if not 0 <= worker < len(self._pool.workers):
            raise Lost(f"there is no worker {worker}", sent=False)
        found = self._pool.workers[worker]
        return found.http_path, found.viewer_path

    def why(self, key: Key) -> Gone | None:
        """What is remembered of a session or an agent whose worker died."""
        return self._pool.gone(key)


class Others:
    """The other machines of the cluster."""

    def __init__(self, node: Node, placement: NatsPlacement) -> None:
        self._node, self._placement = node, placement

    def urls(self, node: str) -> tuple[str, str] | None:
        """Where its front process is reached: what stands on `http_port`, and the pages. None = it is gone."""
        other = self._node.others.get(node)
        return None if other is None or other.state == "down" else (other.beat.http_url, other.beat.viewer_url)

    @property
    def names(self) -> list[str]:
        """Of those that live, and answer."""
        return [name for name, other in self._node.others.items() if other.state not in ("down", "silent")]

    def doubt(self, node: str) -> None:
        """It did not answer, or does not know what it had: is it there?"""
        self._node.doubt(node)

    async def view(self) -> ClusterView:
        """All of them, and this one."""
        return await self._placement.view()


def node_name(config: Config) -> str:
    """This machine's, in the cluster."""
    if config.node is not None:
        return config.node
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname()).strip("-_")[:50] or "node"
    return f"{host}-{secrets.token_hex(2)}"


def own_address(config: Config) -> str:
    """The address by which other machines reach this one: the one to listen on, or that which leads to NATS."""
    if config.bind not in ("0.0.0.0", "::"):
        return config.bind
    parts = urlsplit(config.nats[0])
    try:
        family, kind, _, _, place = socket.getaddrinfo(parts.hostname, parts.port or 4222, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(place)  # sends nothing
            address: str = probe.getsockname()[0]
    except OSError:
        return LOOPBACK
    return address
