"""The workers of one machine, as its front process has them: started, watched, and started again; what they run; and
places among them (`Placement`).

    pool = Pool(config, workers=4, limits=limits, quota_of=quota_of, api_key=key, on_notice=webhooks.put)
    await pool.start()
    place = await pool.reserve(need)
    seat = pool.workers[place.worker]        # pass the request on to seat.http_path
    pool.confirm(place, (Key("session", "", session_id),))

A worker that dies, or hangs, takes what it ran along: `gone` tells of it for a while, and webhooks are told of its end.
Another process takes its place at once, with the same index, the same sockets and the same WebSocket port.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..errors import InvalidArgument
from ..process.supervisor import Child, Ended, Supervisor
from ..process.supervisor import Limits as Deadlines
from ..protocol import webhooks as w
from ..provider.keys import Quota
from .ledger import Gone, Ledger, Limits
from .placement import Key, Need, Place
from .spare import Spares
from .view import State, WorkerView
from .wire import Begin, Closed, Drain, Figures, FromWorker, Notice, Opened, Ready, ToWorker, Unable

logger = logging.getLogger("lipwire.cluster")

MODULE = "lipwire.app.worker"
DEADLINES = Deadlines(start=60.0, ping_every=0.5, ping_lost=4.0, leave=2.5)
BACKOFF = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before a worker is started again, by deaths in a row: the first time at once."""
MOST_PATH = 100
"""Bytes of a Unix socket's path: the system takes 108, and Darwin 104."""
LINGER = 15.0
"""Seconds beyond those for what is said that workers have to drain."""
AT_ONCE = 5.0
"""Seconds that they have to end where nobody waits for what is said."""
LOOK = 5.0
"""Seconds between two looks at the process that waits: one that has ended is reaped, and another waits."""
ENDS = frozenset({w.LEFT, w.SESSION_ENDED, w.SESSION_FAILED})
"""Notices that are the last of what they are about."""
FAILED = "FAILED"


class Worker:
    """One of them; the same for all processes that have this index."""

    def __init__(self, index: int, http_path: str, viewer_path: str, ws_port: int) -> None:
        self.index = index
        self.http_path, self.viewer_path = http_path, viewer_path
        """Its Unix sockets; `viewer_path` "" = no pages."""
        self.ws_port = ws_port
        self.ws_url = ""
        """What its `websocket_address` says; "" = it has not been up."""
        self.state: State = "starting"
        self.figures = Figures()
        self.began = time.monotonic()
        self.restarts = 0
        self.pid = 0
        self.why = ""
        """What the last process of it said, or how it ended, where it could not be a server or died."""

    @property
    def up(self) -> bool:
        """It takes requests."""
        return self.state in ("up", "full", "draining")


class Pool:
    """The workers of this machine.

    Args:
        config: the settings, as `msgspec.to_builtins` has them, with `session_secret` and, where pages are served,
            `public_viewer_url`. Each worker is a server with these, but for its sockets.
        workers: how many.
        limits: what each takes.
        quota_of: what an owner may have on this machine.
        api_key: the operator's.
        ws_port: of the first worker; the others have those behind it. 0 = any free ones.
        pages: whether the pages are served, too.
        preencodes: as of `app.service.Service`.
        spare: whether a process waits to take the place of a worker that dies, which it does in a quarter of the time.
        on_notice: takes notices for webhooks, of all workers.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        workers: int,
        limits: Limits,
        quota_of: Callable[[str], Quota],
        api_key: str,
        ws_port: int = 0,
        pages: bool = True,
        preencodes: bool = False,
        spare: bool = True,
        on_notice: Callable[[w.Notice], Any] = lambda notice: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not config.get("session_secret"):
            raise InvalidArgument("session_secret must be set, for all workers to have the same")
        self._config = dict(config) | {"ws_port": 0}
        self._api_key, self._preencodes, self._pages = api_key, preencodes, pages
        self._on_notice, self._clock = on_notice, clock
        self.ledger = Ledger(workers, limits, quota_of)
        self.on_gone: Callable[[list[Gone]], None] = lambda gone: None
        """Hears what died with a worker. It must not raise."""
        self.on_worker: Callable[[Worker], None] = lambda worker: None
        """Hears that a worker's state or figures have changed. It must not raise."""
        self.workers: list[Worker] = []
        self.placed = self.refused = 0
        """Reservations that found a place, and those that did not."""
        self.draining = False
        self._ws_port, self._number = ws_port, workers
        self._spare, self._spares = spare, Spares(MODULE, logs=True)
        self._supervisors: list[Supervisor[FromWorker]] = []
        self.folder = ""
        """Of the sockets; for nobody else to enter."""
        self._changed = asyncio.Event()
        self._looked = 0.0

    # -------------------------------------------------------------------------------------------------------- life

    async def start(self) -> None:
        """Starts them, and waits until all are up.

        Raises:
            InvalidArgument: one cannot be; it says why.
        """
        self.folder = _make_folder()
        for index in range(self._number):
            http, viewer = (f"{self.folder}/{name}-{index}" for name in ("http", "pages"))
            port = self._ws_port + index if self._ws_port else 0
            self.workers.append(Worker(index, http, viewer if self._pages else "", port))
            supervisor: Supervisor[FromWorker] = Supervisor(
                self._spares,
                FromWorker,
                name=f"worker {index}",
                on_message=partial(self._hear, index),
                on_start=partial(self._begin, index),
                on_death=partial(self._died, index),
                limits=DEADLINES,
                backoff=BACKOFF,
                logger=logger,
            )
            self._supervisors.append(supervisor)
            supervisor.start()
        try:
            while any(not worker.ws_url for worker in self.workers):
                self._changed.clear()
                await self._changed.wait()
                for worker in self.workers:
                    if worker.why and not worker.ws_url:
                        raise InvalidArgument(worker.why)
        except BaseException:
            await self.close()
            raise

    async def drain(self, seconds: float) -> None:
        """Ends them in good order: nothing new is taken, and what is being said goes on for `seconds` at most."""
        await self._end(seconds, seconds + LINGER)

    async def close(self) -> None:
        """Ends them: what is said breaks off, and sessions close with 1012. Safe to call twice."""
        await self._end(0.0, AT_ONCE)

    async def _end(self, seconds: float, limit: float) -> None:
        """Tells them to drain; those that have not ended by `limit` lose their link, and end at once or are killed."""
        self.draining = True
        for worker, supervisor in zip(self.workers, self._supervisors, strict=True):
            self.ledger.down(worker.index)
            supervisor.retire()
            if worker.up:
                self._state(worker, "draining")
                supervisor.tell(Drain(seconds))
        children = [
            supervisor.child
            for worker, supervisor in zip(self.workers, self._supervisors, strict=True)
            if supervisor.child is not None and worker.up
        ]
        if children:
            await asyncio.wait([asyncio.ensure_future(child.ended()) for child in children], timeout=limit)
        await asyncio.gather(*(supervisor.close() for supervisor in self._supervisors))
        for worker, supervisor in zip(self.workers, self._supervisors, strict=True):
            if supervisor.ended is not None:
                self._bury(worker, reason_of(supervisor.ended))  # of one that was killed meanwhile something is left
            self._state(worker, "down")
        await self._spares.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # -------------------------------------------------------------------------------------------------------- placing

    async def reserve(self, need: Need) -> Place | None:
        """See `Placement`.

        Raises:
            ProviderError, AgentLimit, NoCapacity: as of `Ledger.reserve`.
        """
        place = self.ledger.reserve(need, self._clock())
        self.placed += place is not None
        self.refused += place is None
        return place

    def confirm(self, place: Place, keys: tuple[Key, ...]) -> None:
        """See `Placement`."""
        self.ledger.confirm(place, keys, self._clock())

    def cancel(self, place: Place) -> None:
        """See `Placement`."""
        self.ledger.cancel(place)

    async def find(self, key: Key) -> Place | None:
        """See `Placement`."""
        return self.where(key)

    def where(self, key: Key) -> Place | None:
        """The same, at once."""
        worker = self.ledger.find(key)
        return None if worker is None else Place(node="", worker=worker, ticket="")

    def gone(self, key: Key) -> Gone | None:
        """What died with its worker, within the last minutes; None = nothing of that key did."""
        return self.ledger.gone(key, self._clock())

    def any(self) -> Worker | None:
        """A worker that answers what no other is to answer: the one with the least work; None = none is up."""
        up = [worker for worker in self.workers if worker.up]
        return min(up, key=lambda worker: self.ledger.seats[worker.index].used, default=None)

    def tell(self, index: int, message: ToWorker) -> None:
        """Tells a worker; one that is not there is not told."""
        if self.workers[index].up:
            self._supervisors[index].tell(message)

    def view(self) -> list[WorkerView]:
        """As `lipwire top` shows them."""
        now = self._clock()
        self.ledger.lapse(now)
        seats = self.ledger.seats
        return [
            WorkerView(
                index=worker.index,
                pid=worker.pid,
                state=worker.state if worker.state != "up" or self._has_room(worker.index) else "full",
                ws_url=worker.ws_url,
                age=round(time.monotonic() - worker.began, 3),
                restarts=worker.restarts,
                used=seats[worker.index].used,
                capacity=self.ledger.limits.capacity,
                figures=worker.figures,
            )
            for worker in self.workers
        ]

    def _has_room(self, index: int) -> bool:
        seat, limits = self.ledger.seats[index], self.ledger.limits
        return seat.used < limits.capacity and seat.counts["session"] < limits.sessions and not seat.overloaded

    # -------------------------------------------------------------------------------------------------- what they say

    def _begin(self, index: int, child: Child[FromWorker]) -> None:
        worker = self.workers[index]
        worker.began, worker.pid = time.monotonic(), child.pid
        os.makedirs(self.folder, 0o700, exist_ok=True)  # a worker that finds it empty, at its end, removes it
        self._state(worker, "starting")
        child.tell(
            Begin(
                config=self._config,
                api_key=self._api_key,
                index=index,
                http_path=worker.http_path,
                viewer_path=worker.viewer_path,
                ws_port=worker.ws_port,
                preencodes=self._preencodes,
            )
        )

    def _hear(self, index: int, message: FromWorker) -> None:
        worker, now = self.workers[index], self._clock()
        if isinstance(message, Opened):
            self.ledger.opened(index, message, now)
        elif isinstance(message, Closed):
            self.ledger.closed(index, message, now)
        elif isinstance(message, Figures):
            worker.figures = message
            self.ledger.load(index, bool(message.overloaded))
            self.on_worker(worker)
            if time.monotonic() - self._looked >= LOOK and not self.draining:
                self._prepare()
        elif isinstance(message, Notice):
            self._pass_on(message)
        elif isinstance(message, Ready):
            worker.ws_port, worker.ws_url, worker.why = message.ws_port, message.ws_url, ""
            if not self.draining:
                self.ledger.up(index)
                self._state(worker, "up")
                self._prepare()
        elif isinstance(message, Unable):
            worker.why = message.reason
            if not self._ws_port:
                worker.ws_port = 0  # the one that it had may be another's by now
            logger.error("worker %d cannot be a server: %s", index, message.reason)
            if not worker.ws_url:  # it never was one, and `start` tells why: it is not started again
                self._supervisors[index].retire()
                self._changed.set()

    def _prepare(self) -> None:
        """Has another process wait, once no worker needs the time."""
        self._looked = time.monotonic()
        if self._spare and all(worker.up for worker in self.workers) and len(self.workers) == self._number:
            try:
                self._spares.prepare()
            except OSError as exc:
                logger.error("no process could be started to wait: %s", exc)

    def _pass_on(self, notice: Notice) -> None:
        if notice.event in ENDS:
            self.ledger.told_end(Key("agent" if notice.event == w.LEFT else "session", "", notice.ordered_by))
        told = w.Notice(event_type=notice.event, notify_ms=notice.at_ms, sid=notice.ordered_by, payload=notice.payload)
        self._on_notice(told)

    def _state(self, worker: Worker, state: State) -> None:
        worker.state = state
        self._changed.set()
        self.on_worker(worker)

    def _died(self, index: int, ended: Ended) -> None:
        worker = self.workers[index]
        self._bury(worker, reason_of(ended))
        worker.restarts += 1
        self._state(worker, "starting")

    def _bury(self, worker: Worker, reason: str) -> None:
        """What it ran is gone."""
        worker.pid, worker.figures = 0, Figures()
        worker.why = worker.why or f"worker {worker.index}: {reason}"
        for path in (worker.http_path, worker.viewer_path):  # who comes before the next one is there is told at once
            with contextlib.suppress(OSError):
                os.unlink(path)
        lost = self.ledger.died(worker.index, reason, self._clock())
        if lost:
            logger.error("worker %d: %d sessions and agents ended with it: %s", worker.index, len(lost), reason)
        for gone in lost:
            if not gone.over:
                self._on_notice(end_notice(gone))
        self.on_gone(lost)


def _make_folder() -> str:
    """A folder for the sockets that nobody else can enter."""
    folder = tempfile.mkdtemp(prefix="lipwire-")
    if len(os.fsencode(folder)) + len("/pages-1023") > MOST_PATH:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="lipwire-", dir="/tmp")
    return folder


def reason_of(ended: Ended) -> str:
    """How a worker ended, for whoever asks for what it ran."""
    if ended.reason == "it hangs":
        return "the process that ran it hung, and was ended"
    if ended.code is not None and ended.code < 0:
        with contextlib.suppress(ValueError):
            return f"the process that ran it was killed by {signal.Signals(-ended.code).name}"
    return f"the process that ran it ended with code {ended.code}"


def end_notice(gone: Gone, now: Callable[[], float] = time.time) -> w.Notice:
    """What webhooks are told of something that died with its worker, as its worker would have told that it failed."""
    at = now()
    told = gone.told
    if gone.key.kind == "session":
        payload: dict[str, Any] = told | {"stop_ts": int(at), "message": gone.reason}
        event = w.SESSION_FAILED
    else:
        payload = {name: told[name] for name in ("agent_id", "name", "channel", "start_ts", "labels") if name in told}
        payload |= {"stop_ts": int(at), "status": FAILED, "message": gone.reason}
        event = w.LEFT
    return w.Notice(event_type=event, notify_ms=round(at * 1000), sid=gone.key.id, payload=payload)
