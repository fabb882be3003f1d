"""What runs in a worker of a front process (`cluster.pool`): `python -m lipwire.app.worker CONTROL`. By that socket it
is given its end of the link, at once or when a worker has died (`cluster.spare`).

A worker is a whole `Service`. Its HTTP apps listen on Unix sockets, and it tells the front process what is there: its
sessions, agents, rooms and connections, how it does, and what webhooks are to tell. It ends when it has drained, as it
was told to, or when its link closes: then the front process is gone or wants it gone, sessions end at once (1012), and
so does the process, whatever hangs. Signals of a terminal, or of who ends a whole group of processes, are the front
process's to take: it drains its workers, and then ends them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from typing import Any

import msgspec

from ..agents.manager import AgentRecord
from ..cluster import weight
from ..cluster.placement import Key
from ..cluster.spare import link_of
from ..cluster.wire import Begin, Closed, Drain, End, FromWorker, Notice, Opened, Ready, ToWorker, Unable
from ..errors import BadData, LipwireError
from ..logs import sampled, to_stderr
from ..pools import end_pools
from ..process.child import end_within, to_parent
from ..process.link import OUT, Link
from ..protocol import webhooks as w
from ..protocol.agent_bodies import AgentReply, FilmReply
from ..provider.sessions import EndReason, ProviderSession, pixel_rate
from .config import Config
from .overview import Counters, figures
from .service import Behind, Service

logger = sampled("lipwire.worker")

STARTING = 60.0
"""Seconds that it may take to be up."""
LAST = 1.9
"""Seconds that the process has to end when its link has closed,"""
CLOSING = 1.2
"""and of those, its sessions."""
FIGURES = 1.0
"""Seconds from one `Figures` to the next."""
LOOK = 0.1
"""Seconds from one look at the event loop's lateness to the next."""
LEAVE = 10.0
"""Seconds that the process has to end when it has drained: its threads may hang."""


class Worker:
    """One, from the `Begin` that it was told to its end."""

    def __init__(self, link: Link[ToWorker], begin: Begin) -> None:
        self._link, self._begin = link, begin
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._started = threading.Event()
        self._writing = False
        self._draining: asyncio.Task[None] | None = None
        self._closed = False
        """The link is."""
        self._service: Service | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """To its end."""
        self._loop.add_reader(self._link.sock.fileno(), self._readable)
        tasks: list[asyncio.Task[None]] = []
        threading.Thread(target=self._say_that_it_starts, name="lipwire-starts", daemon=True).start()
        try:
            self._service = service = self._make(msgspec.convert(self._begin.config, Config))
            await service.start()
            self._started.set()
            self._tell(Ready(ws_url=service.provider.config.public_ws_url, ws_port=service.ws_port))
            gc.collect()
            gc.freeze()  # as `lipwire serve` does
            tasks.append(asyncio.create_task(self._tell_figures(service), name="lipwire-figures"))
            await self._over.wait()
        except (LipwireError, OSError) as exc:
            self._tell(Unable(str(exc)))
        finally:
            self._started.set()
            for task in tasks:
                task.cancel()
            await self._end()

    def _say_that_it_starts(self) -> None:
        """In a thread: while modules are imported and avatars drawn, on a busy machine for seconds, the event loop
        answers nothing."""
        until = time.monotonic() + STARTING
        while not self._started.wait(0.5) and time.monotonic() < until:
            self._link.ping()

    def _make(self, config: Config) -> Service:
        begin = self._begin
        behind = Behind(
            index=begin.index,
            http_path=begin.http_path,
            viewer_path=begin.viewer_path,
            api_key=begin.api_key,
            put=self._notice,
            on_peer=self._peer,
        )
        config = msgspec.structs.replace(config, ws_port=begin.ws_port, viewer=bool(begin.viewer_path))
        service = Service(config, preencodes=begin.preencodes, behind=behind)
        # What the front process knows before the notice of it, and until after that of its end, it can tell the end of.
        told_session, told_agent = service.provider.on_session, service.agents.on_status

        def on_session(session: ProviderSession, ended: EndReason | None) -> None:
            if ended is None:
                self._tell(session_opened(session, service))
            told_session(session, ended)
            if ended is not None:
                self._tell(Closed(Key("session", "", session.id), ended))

        def on_agent(record: AgentRecord) -> None:
            if record.active:
                self._tell(agent_opened(record, service))
            told_agent(record)
            if not record.active:
                self._tell(Closed(Key("agent", "", record.id), record.reason, told_of(record)))

        service.provider.on_session, service.agents.on_status = on_session, on_agent
        service.owned_rooms.on_room = self._room
        return service

    # ------------------------------------------------------------------------------------------------- what it tells

    def _notice(self, notice: w.Notice) -> None:
        told = Notice(event=notice.event_type, at_ms=notice.notify_ms, payload=notice.payload, ordered_by=notice.sid)
        self._tell(told)

    def _peer(self, id: str, there: bool) -> None:
        key = Key("peer", "", id)
        self._tell(Opened(key=key) if there else Closed(key))

    def _room(self, owner: str, name: str, there: bool) -> None:
        key = Key("room", owner, name)
        self._tell(Opened(key=key, owner=owner) if there else Closed(key))

    async def _tell_figures(self, service: Service) -> None:
        before, lag = Counters.now(), 0.0
        while True:
            due = self._loop.time() + LOOK
            await asyncio.sleep(LOOK)
            lag = max(lag, self._loop.time() - due)
            if time.monotonic() - before.at < FIGURES:
                continue
            try:
                now = Counters.now()
                if self._link.waiting < OUT:
                    self._tell(figures(service, before, now, lag))
                before, lag = now, 0.0
            except Exception:  # the edge of a task
                logger.exception("telling figures failed")

    def _tell(self, message: FromWorker) -> None:
        self._link.send(message)
        self._write_on()

    def _write_on(self) -> None:
        self._link.flush()
        if bool(self._link.waiting) is not self._writing and not self._closed:
            self._writing = not self._writing
            if self._writing:
                self._loop.add_writer(self._link.sock.fileno(), self._write_on)
            else:
                self._loop.remove_writer(self._link.sock.fileno())

    # -------------------------------------------------------------------------------------------------- what it hears

    def _readable(self) -> None:
        try:
            messages = self._link.receive()
        except BadData:
            messages = None
        if messages is None:
            self._close_link()
            return
        for message in messages:
            if isinstance(message, Drain):
                if self._draining is not None:  # it is in more of a hurry now
                    self._draining.cancel()
                self._draining = asyncio.create_task(self._drain(message.seconds), name="lipwire-drain")
            elif isinstance(message, End) and self._service is not None:
                task = asyncio.create_task(end(self._service, message), name="lipwire-end")
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
        self._write_on()  # answers to pings may wait

    def _close_link(self) -> None:
        end_within(LAST)
        self._closed = True
        for path in (self._begin.http_path, self._begin.viewer_path):  # nobody comes by them any more
            with contextlib.suppress(OSError):
                os.unlink(path)
        with contextlib.suppress(OSError):  # the last worker's to do, if the front process was killed
            os.rmdir(os.path.dirname(self._begin.http_path))
        self._loop.remove_reader(self._link.sock.fileno())
        if self._writing:
            self._loop.remove_writer(self._link.sock.fileno())
        self._link.close()
        self._over.set()

    async def _drain(self, seconds: float) -> None:
        try:
            if self._service is not None:
                await self._service.drain(seconds)
        except Exception:  # the edge of a task
            logger.exception("draining failed")
        self._over.set()

    async def _end(self) -> None:
        service = self._service
        if self._draining is not None and self._closed:
            self._draining.cancel()
        if service is not None and (self._draining is None or self._closed):
            closing = asyncio.ensure_future(service.close())
            await asyncio.wait({closing}, timeout=CLOSING if self._closed else None)
        if not self._closed:
            end_within(LEAVE)
            self._loop.remove_reader(self._link.sock.fileno())
            self._link.drain(LAST)


async def end(service: Service, asked: End) -> None:
    """Ends what owns a key."""
    key = asked.key
    try:
        if key.kind == "channel":
            for session in [one for one in service.provider.sessions if one.id == asked.id]:
                await service.provider.end(session, "replaced")
        elif key.kind == "name":
            for record in [one for one in service.agents.active if one.id == asked.id]:
                await service.agents.stop(record, asked.reason)
        elif key.kind == "room":
            await service.owned_rooms.of(key.owner).end(key.id)
    except Exception:  # the edge of a task
        logger.exception("ending %s failed", key.kind)


# --------------------------------------------------------------------------------------------------- what there is


def session_opened(session: ProviderSession, service: Service) -> Opened:
    """A session, as the front process is told of it."""
    settings = session.request.agora_settings
    channel = weight.channel_key(session.request)
    told = {
        "session_id": session.id,
        "avatar_id": session.request.avatar_id,
        "app_id": settings.app_id,
        "channel": settings.channel,
        "uid": settings.uid,
        "start_ts": int(time.time() - (service.provider.clock() - session.started)),
    }
    return Opened(
        key=Key("session", "", session.id),
        also=(channel,),
        owner=session.owner,
        weight=weight.of_session(session.request, session.granted, service.config),
        pixel_rate=pixel_rate(session.granted),
        told=told,
    )


def agent_opened(record: AgentRecord, service: Service) -> Opened:
    """An agent."""
    config = record.config
    also = [Key("name", config.owner, config.name)]
    if not service.agent_setup.goes_to_agora(config):
        also.append(Key("room", config.owner, config.channel))
    return Opened(
        key=Key("agent", "", record.id),
        also=tuple(also),
        owner=config.owner,
        weight=weight.of_agent(config, service.config),
        pixel_rate=config.pixel_rate,
        told=told_of(record),
    )


def told_of(record: AgentRecord) -> dict[str, Any]:
    """An agent's `AgentReply`, and besides it its `labels`, and `failure`, a word for where it failed."""
    config = record.config
    reply = AgentReply(
        agent_id=record.id,
        name=config.name,
        channel=config.channel,
        create_ts=int(record.created),
        start_ts=int(record.created),
        stop_ts=None if record.ended is None else int(record.ended),
        status=record.status,
        message=record.reason or None,
        record=FilmReply(file=config.film) if config.film else None,
    )
    told: dict[str, Any] = msgspec.to_builtins(reply)
    if config.labels:
        told["labels"] = dict(config.labels)
    if record.failure:
        told["failure"] = record.failure
    return told


def main(control: int) -> None:
    """The process."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # not ignored: what this process starts would ignore them, too
        signal.signal(number, lambda *_: None)
    fd = link_of(control)
    if fd is None:
        return
    link: Link[ToWorker] = to_parent(fd, ToWorker)
    begin = next(link.messages(), None)
    if not isinstance(begin, Begin):
        return
    to_stderr(str(begin.config.get("log_level", "warning")), f"worker {begin.index}")

    async def work() -> None:
        await Worker(link, begin).run()

    try:
        asyncio.run(work())
    finally:
        end_pools()


if __name__ == "__main__":
    main(int(sys.argv[1]))
