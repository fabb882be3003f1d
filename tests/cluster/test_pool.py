"""cluster/pool.py with real workers (app/worker.py): what they serve and tell, how they die, and what is left."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from websockets.exceptions import ConnectionClosed

from lipwire.cluster import pool as pool_module
from lipwire.cluster.placement import UNIT, Key, Place
from lipwire.cluster.pool import Pool, reason_of
from lipwire.errors import InvalidArgument
from lipwire.process.supervisor import Ended
from lipwire.provider.keys import Quota, digest
from lipwire.provider.sessions import ProviderError
from support.workers import KEY, KEYS, Farm, Speaking, listens


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


async def test_one_that_cannot_be_says_why(caplog: pytest.LogCaptureFixture) -> None:
    async with Farm(1) as farm:
        taken = farm.pool.workers[0].ws_port
        other = Farm(1)
        other.pool._ws_port = taken
        with pytest.raises(InvalidArgument, match=f"cannot listen on port {taken}"):
            await other.pool.start()
        assert "started again" not in caplog.text


async def test_a_process_that_waits_and_dies_is_reaped_and_another_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "LOOK", 0.1)
    async with Farm(1, spare=True) as farm:
        spares = farm.pool._spares
        waits = spares.pid
        assert waits is not None
        os.kill(waits, signal.SIGKILL)
        await farm.until(lambda: spares.pid not in (None, waits))
        assert not Path(f"/proc/{waits}").exists() and Path(f"/proc/{spares.pid}").exists()


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


# ------------------------------------------------------------------------------------------------------------- places


async def test_quotas_and_capacity_hold_exactly_under_fifty_starts_at_once(tmp_path: Path) -> None:
    file, quota = tmp_path / "keys", Quota(sessions=7)
    file.write_text(f"acme:{digest(KEYS['acme'])} sessions=7\n")
    async with Farm(2, quota, capacity=5, api_keys_file=str(file)) as farm:

        async def start(n: int, owner: str) -> Speaking | str | None:
            try:
                return await farm.start(f"{owner} {n}", owner, KEYS.get(owner, KEY), egress="video")
            except ProviderError as exc:
                return f"{exc.code}: {exc}"

        got = await asyncio.gather(*(start(n, "acme") for n in range(50)))
        sessions = [one for one in got if isinstance(one, Speaking)]
        assert len(sessions) == 7 and {one for one in got if isinstance(one, str)} == {
            "SESSION_LIMIT: This key's limit of 7 sessions is reached"
        }
        here = [seat.counts["session"] for seat in farm.pool.ledger.seats]
        assert sorted(here) == [3, 4] and not any(one is None for one in got)
        for one in sessions:
            body, key = {"session_id": one.id}, KEYS["acme"]
            assert (await farm.ask(one.worker, "DELETE", "/session/stop", json=body, key=key)).status_code == 200
        await farm.until(lambda: not any(seat.entries for seat in farm.pool.ledger.seats))
        got = await asyncio.gather(*(start(n, "operator") for n in range(50)))
        weight = farm.weight(egress="video")
        fit = 2 * (5 * UNIT // weight)
        assert sum(isinstance(one, Speaking) for one in got) == fit and sum(one is None for one in got) == 50 - fit
        assert farm.pool.placed == 7 + fit and farm.pool.refused == 50 - fit
        assert [seat.used for seat in farm.pool.ledger.seats] == [fit // 2 * weight] * 2
        assert all(one.state == "up" for one in farm.pool.view()) or weight * (fit // 2) == 5 * UNIT


async def test_a_newer_session_of_the_same_channel_goes_where_the_older_is() -> None:
    async with Farm(2) as farm:
        old, other = await farm.start("one"), await farm.start("two")
        assert old is not None and other is not None and other.worker is not old.worker
        socket = await old.connect()
        new = await farm.start("one")
        assert new is not None and new.worker is old.worker and new.id != old.id
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await socket.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1000
        await farm.until(lambda: farm.pool.where(old.key) is None)
        assert farm.pool.where(new.key) is not None
        assert [seat.counts["session"] for seat in farm.pool.ledger.seats] == [1, 1]


# --------------------------------------------------------------------------------------------- agents and their rooms


async def test_an_agent_and_its_room_are_told_from_start_to_end() -> None:
    async with Farm(2, agent_brain="echo", agora="off") as farm:
        first, second = await farm.join("one", "lobby"), await farm.join("two", "lobby")
        third = await farm.join("three", "hall")
        assert first.worker is second.worker is not third.worker
        pool = farm.pool
        lobby = pool.where(Key("room", "operator", "lobby"))
        assert lobby is not None and lobby.worker == first.worker.index
        assert pool.where(Key("name", "operator", "two")) == lobby
        assert (await farm.ask(second.worker, "POST", f"{first.path}/leave")).status_code == 200
        await farm.until(lambda: pool.where(Key("name", "operator", "one")) is None)
        assert pool.where(Key("agent", "", first.id)) == lobby, "it can be asked for, ended as it is"
        assert pool.where(Key("room", "operator", "lobby")) == lobby, "another is there"
        assert (await farm.ask(second.worker, "POST", f"{second.path}/leave")).status_code == 200
        await farm.until(lambda: pool.where(Key("room", "operator", "lobby")) is None)
        assert pool.ledger.seats[lobby.worker].used == 0
        os.kill(third.worker.pid, signal.SIGKILL)
        os.kill(first.worker.pid, signal.SIGKILL)
        await farm.until(lambda: pool.gone(Key("agent", "", first.id)) and pool.gone(Key("agent", "", third.id)))
        ended, died = pool.gone(Key("agent", "", first.id)), pool.gone(Key("agent", "", third.id))
        assert ended is not None and died is not None
        assert (ended.over, ended.told["status"], ended.told["message"]) == (True, "STOPPED", "left")
        assert (died.over, died.told["status"], died.told["channel"]) == (False, "RUNNING", "hall")


async def test_connections_of_pages_are_found_by_their_ids() -> None:
    async with Farm(1) as farm:
        session = await farm.start("one")
        assert session is not None
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peer.addTransceiver("audio", direction="recvonly")
        await peer.setLocalDescription(await peer.createOffer())
        sdp = peer.localDescription.sdp
        kind = {"content-type": "application/sdp"}
        answer = await farm.ask(session.worker, "POST", f"/whep/{session.id}", pages=True, content=sdp, headers=kind)
        assert answer.status_code == 201, answer.text
        key = Key("peer", "", answer.headers["location"].rpartition("/")[2])
        await farm.until(lambda: farm.pool.where(key))
        gone = await farm.ask(session.worker, "DELETE", f"/whep/peers/{key.id}", pages=True)
        assert gone.status_code == 200
        await peer.close()
        await farm.until(lambda: farm.pool.where(key) is None)
