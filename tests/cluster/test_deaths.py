"""Workers that die, hang or lose their front process, really: who is told what, and that nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from lipwire.cluster import pool as pool_module
from lipwire.cluster.placement import Key
from lipwire.protocol import webhooks as w
from lipwire.servers.webhooks import Webhooks
from support.child_owner import open_files
from support.fakes.server import HttpFake, Request, Response
from support.machine import alive
from support.paths import ROOT
from support.workers import Farm, Speaking, listens, stop

HOOK = "http://127.0.0.1:9/"
"""Nobody is there: notices go to the test."""


async def test_one_that_is_killed_takes_its_own_sessions_along_and_no_others() -> None:
    async with Farm(2, webhook_url=HOOK) as farm:
        pool = farm.pool
        one, two = await farm.start("one"), await farm.start("two")
        assert one is not None and two is not None
        sockets = [await session.connect() for session in (one, two)]
        for session, socket in zip((one, two), sockets, strict=True):
            await session.speak(socket, 3.0)
            await session.hear(socket, "playback_started")
        port, pid = one.worker.ws_port, one.worker.pid
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await sockets[0].recv()
        assert closed.value.rcvd is None, "1006: nobody was left to say anything"
        await farm.until(lambda: pool.gone(one.key) is not None, 5.0)
        gone = pool.gone(one.key)
        assert gone is not None and "SIGKILL" in gone.reason and gone.told["channel"] == "one"
        assert pool.where(one.key) is None and [lost.key for lost in farm.lost] == [one.key]
        again = await asyncio.wait_for(farm.start("one"), 20)
        assert again is not None and again.worker is two.worker, "the other is there at once"
        await two.hear(sockets[1], "playback_finished")
        await farm.until(lambda: one.worker.state == "up")
        assert one.worker.ws_port == port and one.worker.pid not in (0, pid) and one.worker.restarts == 1
        third = await farm.start("three")
        assert third is not None and third.worker is one.worker
        told = [(notice.event_type, notice.sid) for notice in farm.notices]
        assert told.count((w.SESSION_FAILED, one.id)) == 1 and told.index((w.SESSION_STARTED, one.id)) < told.index(
            (w.SESSION_FAILED, one.id)
        )
        failed = next(notice for notice in farm.notices if notice.event_type == w.SESSION_FAILED)
        started = next(notice for notice in farm.notices if notice.sid == one.id)
        payload: dict[str, Any] = dict(failed.payload)
        assert "SIGKILL" in payload.pop("message") and payload.pop("stop_ts") > 0
        assert payload == started.payload


async def test_one_that_waits_takes_the_place() -> None:
    async with Farm(1, spare=True) as farm:
        worker, spares = farm.pool.workers[0], farm.pool._spares
        waits = spares.pid
        assert waits is not None
        session = await farm.start("one")
        assert session is not None
        os.kill(worker.pid, signal.SIGKILL)
        await farm.until(lambda: farm.pool.gone(session.key))
        again = await farm.start_when_there_is_room("one")
        assert again.worker.pid == waits
        await farm.until(lambda: spares.pid not in (None, waits))


async def test_one_that_stands_still_is_ended_and_replaced() -> None:
    async with Farm(2, webhook_url=HOOK) as farm:
        one = await farm.start("one")
        assert one is not None
        socket, pid = await one.connect(), one.worker.pid
        stop(pid)
        await farm.until(lambda: farm.pool.gone(one.key), 20.0)
        gone = farm.pool.gone(one.key)
        assert gone is not None and "hung" in gone.reason and not alive(pid)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await socket.recv()
        assert closed.value.rcvd is None
        await farm.until(lambda: one.worker.state == "up")
        assert [notice.event_type for notice in farm.notices if notice.sid == one.id] == [
            *(w.SESSION_STARTED, w.SESSION_FAILED)
        ]


async def test_signals_of_the_terminal_are_the_fronts_to_take(capfd: pytest.CaptureFixture[str]) -> None:
    async with Farm(1, log_level="info") as farm:
        one = await farm.start("one")
        assert one is not None
        pid, socket = one.worker.pid, await one.connect()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
        await one.speak(socket, 0.2)
        await one.hear(socket, "playback_finished")
        assert one.worker.pid == pid and one.worker.state == "up"
        await one.speak(socket, 1.0, "last")
        await one.hear(socket, "playback_started")
        draining = asyncio.create_task(farm.pool.drain(30.0))
        finished = await one.hear(socket, "playback_finished")
        assert finished["event_id"] == "last" and not finished.get("interrupted")
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await socket.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
        await draining
        assert farm.pool.workers[0].state == "down" and farm.lost == []
        assert f"INFO worker 0 lipwire.provider: [{one.id}] session started" in capfd.readouterr().err


async def test_what_ends_with_the_pool_is_told() -> None:
    """At once and in order: of one that is killed meanwhile by the front, of the others by themselves."""
    async with Farm(2, webhook_url=HOOK) as farm:
        one, two = await farm.start("one"), await farm.start("two")
        assert one is not None and two is not None
        socket = await two.connect()
        await two.speak(socket, 30.0)
        await two.hear(socket, "playback_started")
        other = await one.connect()
        await one.speak(other, 30.0)
        await one.hear(other, "playback_started")
        draining = asyncio.create_task(farm.pool.drain(60.0))
        await farm.until(lambda: one.worker.state == "draining")
        assert await farm.start("three") is None
        os.kill(one.worker.pid, signal.SIGKILL)
        await asyncio.sleep(0.5)
        draining.cancel()
        await farm.pool.close()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await socket.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
        told = {notice.sid: (notice.event_type, notice.payload.get("message", "")) for notice in farm.notices}
        assert told[two.id] == (w.SESSION_ENDED, "shutdown")
        assert told[one.id][0] == w.SESSION_FAILED and "SIGKILL" in told[one.id][1]
        assert farm.pool.ledger.owned() == [] and [gone.key for gone in farm.lost] == [one.key]


async def test_where_the_front_is_killed_its_workers_end() -> None:
    front = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.worker_front",
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{ROOT / 'tests'}"},
    )
    assert front.stdout is not None
    try:
        async with asyncio.timeout(90):
            told = msgspec.json.decode(await front.stdout.readline())
        session = Speaking.of(told["reply"], told["body"])
        socket = await session.connect()
        await session.speak(socket, 5.0)
        await session.hear(socket, "playback_started")
        assert all(map(alive, told["pids"])) and Path(told["folder"]).exists()
        front.kill()
        await front.wait()
        loop = asyncio.get_running_loop()
        died = loop.time()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await socket.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
        while any(map(alive, told["pids"])):
            await asyncio.sleep(0.02)
            assert loop.time() - died < 2.0 + 3.0, "2 s, and what a busy machine takes"
        assert not Path(told["folder"]).exists() and not any(map(listens, told["ports"]))
    finally:
        if front.returncode is None:
            front.kill()
            await front.wait()


@pytest.mark.slow
async def test_twenty_restarts_leave_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "BACKOFF", (0.0,))
    async with Farm(2) as farm:
        workers = farm.pool.workers
        ports, files = [worker.ws_port for worker in workers], open_files()
        for n in range(10):
            session = await farm.start(f"c{n}")
            assert session is not None
            for worker in workers:
                os.kill(worker.pid, signal.SIGKILL)
            await farm.until(lambda n=n: all(one.restarts == n + 1 and one.state == "up" for one in workers))  # type: ignore[misc]
            assert farm.pool.gone(session.key) is not None
        assert [worker.ws_port for worker in workers] == ports and all(map(listens, ports))
        assert open_files() == files and farm.pool.ledger.owned() == []
        assert sorted(os.listdir(farm.pool.folder)) == ["http-0", "http-1", "pages-0", "pages-1"]
    assert not any(map(listens, ports))


class Receiver(HttpFake):
    """Takes notices, slowly."""

    path = "/hooks"

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[dict[str, Any]] = []

    async def answer(self, request: Request) -> Response:
        await asyncio.sleep(0.2)
        self.taken.append(msgspec.json.decode(request.body))
        return Response(200, b"{}")

    def of(self, subject: str) -> list[int]:
        return [one["eventType"] for one in self.taken if one["sid"] == subject]


async def test_webhooks_keep_their_order_over_a_death() -> None:
    """What a worker had told is told, and then that all has ended, also where the receiver is slow."""
    async with Receiver() as receiver, Farm(1, webhook_url=receiver.url, agent_brain="echo", agora="off") as farm:
        hooks = Webhooks(receiver.url, None)
        farm.pool._on_notice = hooks.put
        session, ended = await farm.start("one"), await farm.start("two")
        agent, left = await farm.join("one", "lobby"), await farm.join("two", "lobby")
        assert session is not None and ended is not None
        await farm.ask(ended.worker, "DELETE", "/session/stop", json={"session_id": ended.id})
        await farm.ask(left.worker, "POST", f"{left.path}/leave")
        os.kill(session.worker.pid, signal.SIGKILL)
        await farm.until(lambda: farm.pool.gone(session.key))
        again = await farm.start_when_there_is_room("one")
        await farm.until(lambda: receiver.of(again.id) and not hooks.waiting)
        assert receiver.of(session.id) == [w.SESSION_STARTED, w.SESSION_FAILED]
        assert receiver.of(ended.id) == [w.SESSION_STARTED, w.SESSION_ENDED]
        assert receiver.of(agent.id) == [w.JOINED, w.LEFT] and receiver.of(left.id)[-1] == w.LEFT
        assert receiver.of(left.id).count(w.LEFT) == 1
        told = next(one for one in receiver.taken if one["sid"] == agent.id and one["eventType"] == w.LEFT)
        assert told["payload"]["status"] == "FAILED" and "SIGKILL" in told["payload"]["message"]
        assert told["payload"]["channel"] == "lobby" and told["payload"]["name"] == "one"
        known = farm.pool.gone(Key("agent", "", agent.id))
        assert known is not None and known.told["labels"] == {"tenant": "t"}
        await hooks.close()
