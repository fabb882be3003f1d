"""Workers of a front process that run in the test's own: whole services behind Unix sockets, with a real ledger."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct

from lipwire.app.addresses import make_allowlist
from lipwire.app.config import Config
from lipwire.app.front.app import Desk, Front
from lipwire.app.front.asking import Reception
from lipwire.app.front.figures import FrontCollector
from lipwire.app.front.routes import API, PAGES, Table
from lipwire.app.owners import make_keys
from lipwire.app.service import Behind, Service
from lipwire.app.worker import agent_opened, session_opened, told_of
from lipwire.cluster.ledger import Gone, Ledger, Limits
from lipwire.cluster.placement import Key, Need, Place
from lipwire.cluster.view import NodeView, State, WorkerView
from lipwire.cluster.weight import ROOM
from lipwire.cluster.wire import Closed, Figures, Opened
from lipwire.provider.authority import Authority
from lipwire.provider.keys import Quota
from lipwire.servers.agent_gate import Project
from lipwire.servers.http import serve_http
from support.agent_site import basic

WEIGHT = 100_000
KEY, SECRET = "the operator's key", "s" * 40
NO_QUOTA = Quota()


class Crew:
    """Some workers, and places among them."""

    def __init__(self, count: int, config: Config, folder: Path, *, quota: Quota = NO_QUOTA, **limits: Any) -> None:
        self.folder, self.config = folder, config
        self.ledger = Ledger(count, Limits(capacity=WEIGHT, **limits), lambda owner: quota)
        self.draining = False
        self.down: set[int] = set()
        self.workers = [Service(config, behind=self._behind(index)) for index in range(count)]

    def _behind(self, index: int) -> Behind:
        http, pages = self.paths(index)
        return Behind(
            index=index,
            http_path=http,
            viewer_path=pages,
            api_key=KEY,
            put=lambda notice: None,
            on_peer=lambda id, there: self._tell(index, Key("peer", "", id), there),
        )

    def _tell(self, index: int, key: Key, there: bool, **more: Any) -> None:
        now = time.monotonic()
        if there:
            self.ledger.opened(index, Opened(key=key, **more), now)
        else:
            self.ledger.closed(index, Closed(key), now)

    async def __aenter__(self) -> Crew:
        for index, worker in enumerate(self.workers):
            await worker.start()
            self._listen(index, worker)
            self.ledger.up(index)
        return self

    def _listen(self, index: int, worker: Service) -> None:
        """Hears what a worker's process would tell."""

        def on_session(session: Any, ended: Any) -> None:
            if ended is None:
                self.ledger.opened(index, session_opened(session, worker), time.monotonic())
            else:
                self._tell(index, Key("session", "", session.id), False)

        def on_agent(record: Any) -> None:
            now = time.monotonic()
            if record.active:
                self.ledger.opened(index, agent_opened(record, worker), now)
            else:
                self.ledger.closed(index, Closed(Key("agent", "", record.id), record.reason, told_of(record)), now)

        def on_room(owner: str, name: str, there: bool) -> None:
            self._tell(index, Key("room", owner, name), there, **({"owner": owner, "weight": ROOM} if there else {}))

        worker.provider.on_session, worker.agents.on_status = on_session, on_agent
        worker.owned_rooms.on_room = on_room

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.gather(*(worker.close() for worker in self.workers))

    # what the front asks

    @property
    def state(self) -> State:
        return "draining" if self.draining else "up" if self.ledger.largest() else "full"

    @property
    def live(self) -> list[int]:
        return [n for n in range(len(self.workers)) if n not in self.down]

    def paths(self, worker: int) -> tuple[str, str]:
        return str(self.folder / f"http-{worker}"), str(self.folder / f"pages-{worker}")

    def why(self, key: Key) -> Gone | None:
        return self.ledger.gone(key, time.monotonic())

    def view(self) -> NodeView:
        workers = [
            WorkerView(
                index=n,
                pid=os.getpid(),
                state="starting" if n in self.down else "up",
                used=self.ledger.seats[n].used,
                capacity=WEIGHT,
                figures=Figures(sessions=len(worker.provider.sessions)),
            )
            for n, worker in enumerate(self.workers)
        ]
        return NodeView(name="", state=self.state, workers=workers)

    async def reserve(self, need: Need) -> Place | None:
        return self.ledger.reserve(need, time.monotonic())

    def confirm(self, place: Place, keys: tuple[Key, ...]) -> None:
        self.ledger.confirm(place, keys, time.monotonic())

    def cancel(self, place: Place) -> None:
        self.ledger.cancel(place)

    async def find(self, key: Key) -> Place | None:
        worker = self.ledger.find(key)
        return None if worker is None else Place(node="", worker=worker, ticket="")


class Fronted(Struct):
    """A front over a crew, and a client with the operator's key."""

    crew: Crew
    desk: Desk
    http: httpx.AsyncClient
    api: str
    pages: str


@asynccontextmanager
async def fronted(folder: Path, count: int = 2, *, quota: Quota = NO_QUOTA, **settings: Any) -> AsyncIterator[Fronted]:
    """Serves a front before workers, on any free ports."""
    given: dict[str, Any] = {"api_key": KEY, "host": "127.0.0.1", "ice_host": "127.0.0.1", "agora": "off"}
    given |= dict.fromkeys(("http_port", "ws_port", "viewer_port"), 0) | {"agent_brain": "echo"}
    config = Config(**(given | {"session_secret": SECRET, "end_of_turn": "silence"} | settings))
    async with Crew(count, config, folder, quota=quota) as crew:
        authority = Authority(make_keys(config, KEY), SECRET)
        project = Project(app_id=config.agora_app_id or "", certificate=config.agora_app_certificate or "")
        reception = Reception(authority, project, open=not config.keyed, joins_a_minute=config.joins_a_minute)
        desk = Desk(config, crew, crew, reception, secret=SECRET)
        desk.registry.register(FrontCollector(crew.view, desk.reserving))
        names = make_allowlist(config)
        api = await serve_http(Front(desk, Table(API), names, pages=False), port=0)
        pages = await serve_http(Front(desk, Table(PAGES), names, pages=True), port=0)
        urls = [f"http://127.0.0.1:{server.port}" for server in (api, pages)]
        headers = {"x-api-key": KEY} | basic(KEY)
        try:
            async with httpx.AsyncClient(trust_env=False, headers=headers, timeout=60) as http:
                yield Fronted(crew, desk, http, *urls)
        finally:
            await api.close()
            await pages.close()
            await desk.close()
