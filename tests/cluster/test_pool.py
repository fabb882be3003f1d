"""cluster/pool.py with real workers (app/worker.py): what they serve and tell, how they die, and what is left."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from lipwire.cluster.placement import Key, Place
from lipwire.cluster.pool import Pool, reason_of
from lipwire.errors import InvalidArgument
from lipwire.process.supervisor import Ended
from lipwire.protocol import webhooks as w
from lipwire.provider.keys import Quota
from support.workers import Farm, listens

HOOK = "http://127.0.0.1:9/"
"""Nobody is there: notices go to the test."""


async def test_workers_serve_and_tell_what_they_run() -> None:
    async with Farm() as farm:
        pool = farm.pool
        one, two = await farm.start("one"), await farm.start("two")
        assert one is not None and two is not None
        assert {one.worker.index, two.worker.index} == {0, 1} and one.worker.ws_url == one.reply.websocket_address
        socket = await one.connect()
        await one.speak(socket, 0.2)
        await one.hear(socket, "playback_finished")
        for session in (one, two):
            answer = await farm.ask(session.worker, "GET", f"/session/{session.id}")
            assert answer.status_code == 200 and answer.json()["session_id"] == session.id
        assert (await farm.ask(one.worker, "GET", f"/session/{two.id}")).status_code == 404
        there, settings = Place(node="", worker=one.worker.index, ticket=""), farm.body("one")["agora_settings"]
        assert pool.where(one.key) == await pool.find(one.key) == there
        assert pool.where(Key("channel", "", f"{settings['app_id']}\none\n{settings['uid']}")) == there
        await farm.until(lambda: sum(worker.figures.sessions for worker in pool.workers) == 2)
        await farm.until(lambda: one.worker.figures.frames > 0)
        view = pool.view()
        assert [one.state for one in view] == ["up", "up"] and all(one.used > 0 and one.pid > 0 for one in view)
        assert view[0].figures.memory_mb > 10 and view[0].figures.cpu > 0
        stopped = await farm.ask(one.worker, "DELETE", "/session/stop", json={"session_id": one.id})
        assert stopped.status_code == 200
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1000
        await farm.until(lambda: pool.where(one.key) is None)
        assert pool.gone(one.key) is None and pool.ledger.seats[one.worker.index].used == 0
        ports = [worker.ws_port for worker in pool.workers]
    assert [worker.state for worker in pool.workers] == ["down", "down"]
    assert not any(map(listens, ports))


async def test_who_comes_by_the_socket_is_the_front_and_believed() -> None:
    async with Farm(1, address_request_rate=1.0, public_hosts=("*",)) as farm:
        worker = farm.pool.workers[0]
        said = {"x-forwarded-for": "203.0.113.9, 198.51.100.7"}
        codes = [(await farm.ask(worker, "GET", "/healthz", headers=said)).status_code for _ in range(4)]
        assert codes[0] == 200 and codes[-1] == 429
        other = {"x-forwarded-for": "203.0.113.9, 198.51.100.8"}
        assert (await farm.ask(worker, "GET", "/healthz", headers=other)).status_code == 200
        page = await farm.ask(worker, "GET", "/", pages=True, headers={"x-forwarded-for": "198.51.100.9"})
        assert page.status_code == 200 and "text/html" in page.headers["content-type"]


async def test_one_that_cannot_be_says_why() -> None:
    async with Farm(1) as farm:
        taken = farm.pool.workers[0].ws_port
        other = Farm(1)
        other.pool._ws_port = taken
        with pytest.raises(InvalidArgument, match=f"cannot listen on port {taken}"):
            await other.pool.start()


def test_a_pool_needs_a_secret() -> None:
    with pytest.raises(InvalidArgument, match="session_secret"):
        Pool({}, workers=1, limits=None, quota_of=lambda owner: Quota(), api_key="")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "code", "said"),
    [
        ("it ended", -9, "was killed by SIGKILL"),
        ("it ended", 3, "ended with code 3"),
        ("it hangs", -9, "hung, and was ended"),
    ],
)
def test_how_one_ended_is_told_in_words(reason: str, code: int, said: str) -> None:
    assert said in reason_of(Ended(reason, code, 1.0, ""))


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
