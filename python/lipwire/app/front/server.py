"""The front process's life: `lipwire serve --workers N`."""

from __future__ import annotations

import logging
import secrets
from importlib.metadata import PackageNotFoundError, version
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self

import msgspec

from ...avatar import Avatar
from ...closing import close_within
from ...cluster.ledger import Limits
from ...cluster.nats_bus import NatsBus
from ...cluster.nats_placement import NatsPlacement
from ...cluster.node import Node
from ...cluster.placement import UNIT, Placement
from ...cluster.pool import Pool
from ...errors import InvalidArgument
from ...provider.authority import Authority
from ...provider.keys import OPERATOR, make_key
from ...provider.sessions import ProviderError
from ...servers.access import PAGE_TTL, link
from ...servers.agent_gate import Project
from ...servers.guard import refuse
from ...servers.http import HttpServer, serve_http
from ...servers.listen import Door
from ...servers.metrics import DoorCollector
from ...servers.tls import Certificate
from ...servers.turns import Turns
from ...servers.webhooks import WebhookCollector
from ..addresses import Addresses, door_limits, in_url, make_allowlist, port_taken
from ..config import Config, is_loopback
from ..owners import make_keys
from ..service import make_webhooks
from .app import RETRY, Desk, Front, live
from .asking import Reception
from .figures import FrontCollector
from .machine import Machine, Others, node_name, own_address
from .routes import API, PAGES, Table

logger = logging.getLogger("lipwire.front")

CLOSE_SECONDS = 10.0
"""How long closing the servers may take."""


class FrontService:
    """A server of several workers. As `Service`: an async context manager, or `start`, then `drain` or `close`."""

    def __init__(self, config: Config, *, preencodes: bool = False) -> None:
        self.config = config
        Avatar.load(config.avatar)  # one that is missing is told before workers start that cannot
        self.api_key = config.api_key or make_key()
        self._secret = config.session_secret or secrets.token_hex(32)
        self.authority = Authority(make_keys(config, self.api_key), self._secret)
        self.open = not config.keyed and is_loopback(config.bind)
        """The pages ask nobody for anything."""
        self._certificate = Certificate(config.tls_cert, config.tls_key) if config.tls_cert else None
        self.door = Door(door_limits(config))
        self._turns = Turns()
        self._webhooks = None if config.webhook_url is None else make_webhooks(config)
        self._preencodes = preencodes
        self.addresses = Addresses(config, secure=self._certificate is not None)
        self._pool: Pool | None = None
        self.name = node_name(config) if config.nats else ""
        """This machine's, among others."""
        self._node: Node | None = None
        self._bus: NatsBus | None = None
        self._desk: Desk | None = None
        self._servers: list[HttpServer] = []

    @property
    def pool(self) -> Pool:
        """The workers. Raises InvalidArgument before `start`."""
        if self._pool is None:
            raise InvalidArgument("the server has not been started")
        return self._pool

    @property
    def http_url(self) -> str:
        """The HTTP side as this machine reaches it."""
        return self.addresses.http_url

    @property
    def ws_urls(self) -> list[str]:
        """What `websocket_address` says, of each worker."""
        return [worker.ws_url for worker in self.pool.workers]

    @property
    def about(self) -> str:
        """What it is among others."""
        c, count = self.config, self.config.worker_count
        workers = f"{count} worker{'s' if count > 1 else ''}"
        return f"node {self.name} of {c.cluster!r}, {workers}" if c.nats else f"{workers} on this machine"

    def page_link(self, channel: str | None = None, *, token: bool = True) -> str:
        """As `Service.page_link`."""
        page, url = self.addresses.page(channel), self.addresses.public_viewer_url
        if self.open or not token:
            return f"{url}{page}"
        admin = self.authority.issue("owner", OPERATOR, "admin", ttl=PAGE_TTL, owner=OPERATOR)
        return link(url, page, admin)

    # -------------------------------------------------------------------------------------------------------- life

    async def start(self) -> Self:
        """Starts everything.

        Raises:
            InvalidArgument: a port cannot be had, or a worker cannot be a server.
        """
        try:
            await self._listen()
            await self.pool.start()
            if self._node is not None:
                await self._node.start()
                self._node.listen()
        except BaseException:
            await self.close()
            raise
        return self

    async def _listen(self) -> None:
        """The ports first: workers are told where the pages are."""
        c, api, pages = self.config, _Port(), _Port()
        self.addresses.http_port = (await self._serve(api, "http_port")).port
        if c.viewer:
            self.addresses.viewer_port = (await self._serve(pages, "viewer_port")).port
        settings: dict[str, Any] = msgspec.to_builtins(c) | {
            "session_secret": self._secret,
            "public_viewer_url": self.addresses.public_viewer_url if c.viewer else None,
        }
        self._pool = Pool(
            settings,
            workers=c.worker_count,
            limits=Limits(
                capacity=c.capacity or c.max_sessions * UNIT,
                sessions=c.max_sessions,
                agents=c.max_agents,
                rooms=c.max_rooms,
                pixel_rate=c.max_pixel_rate,
            ),
            quota_of=lambda owner: self.authority.owner_named(owner).quota,
            api_key=self.api_key,
            ws_port=c.ws_port,
            pages=c.viewer,
            preencodes=self._preencodes,
            on_notice=(lambda notice: None) if self._webhooks is None else self._webhooks.put,
        )
        project = Project(app_id=c.agora_app_id or "", certificate=c.agora_app_certificate or "")
        reception = Reception(self.authority, project, open=self.open, joins_a_minute=c.joins_a_minute)
        machine = Machine(self._pool, name=self.name, http_url=self._advertised[0], version=_version())
        placement: Placement = self._pool
        others: Others | None = None
        if c.nats:
            node = self._node = await self._join(machine)
            placement = shared = NatsPlacement(node, self._pool)
            others = Others(node, shared)
        desk = self._desk = Desk(c, machine, placement, reception, secret=self._secret, node=self.name, nodes=others)
        desk.registry.register(DoorCollector(self.door))
        desk.registry.register(FrontCollector(machine.view, desk.reserving))
        if self._webhooks is not None:
            desk.registry.register(WebhookCollector(self._webhooks))
        names = make_allowlist(c)
        api.app = Front(desk, Table(API), names, pages=False)
        pages.app = Front(desk, Table(PAGES), names, pages=True)

    async def _join(self, machine: Machine) -> Node:
        """This machine, in its cluster. Raises InvalidArgument: NATS does not let us in."""
        c, (http_url, viewer_url) = self.config, self._advertised
        self._bus = await NatsBus.connect(
            c.nats, name=f"lipwire {self.name}", credentials=c.nats_creds, nkey=c.nkeys_seed_file
        )
        node = Node(
            self._bus,
            machine,
            name=self.name,
            cluster=c.cluster,
            http_url=http_url,
            viewer_url=viewer_url,
            version=_version(),
            secret=self._secret,
        )
        machine.join(node)
        return node

    @property
    def _advertised(self) -> tuple[str, str]:
        """Where other machines reach what stands on `http_port`, and the pages."""
        c, a = self.config, self.addresses
        if not c.nats:
            return a.http_url, a.viewer_url
        host = in_url(own_address(c))
        return (
            c.advertise_url or f"{a.scheme('http')}://{host}:{a.http_port}",
            c.advertise_viewer_url or f"{a.scheme('http')}://{host}:{a.viewer_port}",
        )

    async def _serve(self, app: Any, name: str) -> HttpServer:
        c, port = self.config, getattr(self.config, name)
        try:
            server = await serve_http(app, c.bind, port, door=self.door, ssl=self._ssl, turns=self._turns)
        except OSError as exc:
            raise port_taken(name, port, exc) from exc
        self._servers.append(server)
        return server

    @property
    def _ssl(self) -> SSLContext | None:
        return None if self._certificate is None else self._certificate.context

    async def drain(self, seconds: float | None = None) -> None:
        """Ends in good order, as `Service.drain`: all workers at once."""
        if self._pool is not None:
            await self._pool.drain(self.config.drain_seconds if seconds is None else seconds)
        await self.close()

    async def close(self) -> None:
        """Ends all workers, and stops listening. Safe to call twice."""
        if self._pool is not None:
            await close_within(CLOSE_SECONDS, self._pool.close, "the workers", logger)
        if self._node is not None:
            await close_within(CLOSE_SECONDS, self._node.close, "the node", logger)
        if self._bus is not None:
            await close_within(CLOSE_SECONDS, self._bus.close, "NATS", logger)
        if self._webhooks is not None:
            await close_within(CLOSE_SECONDS, self._webhooks.close, "the webhooks", logger)
        servers, self._servers = self._servers, []
        for server in servers:
            await close_within(CLOSE_SECONDS, server.close, "a server", logger)
        if self._desk is not None:
            await close_within(CLOSE_SECONDS, self._desk.close, "the connections to workers", logger)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _version() -> str:
    try:
        return version("lipwire")
    except PackageNotFoundError:
        return ""


class _Port:
    """An app that is made when the ports are known; until then there is nobody who could take a request."""

    def __init__(self) -> None:
        self.app: Front | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if self.app is not None:
            await self.app(scope, receive, send)
        elif scope["type"] == "lifespan":
            await live(receive, send)
        else:
            await refuse(scope, ProviderError("NO_CAPACITY", "The server is starting", retry_after=RETRY), send)
