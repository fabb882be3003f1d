"""servers/listen.py: real sockets against real servers on loopback; only the clock is the test's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from lipwire.servers.http import create_app, serve_http
from lipwire.servers.listen import (
    CROWDED,
    DESCRIPTORS,
    FULL_ADDRESS,
    UNREAD,
    Door,
    Limits,
    Phase,
    client_of,
    raise_descriptor_limit,
)
from lipwire.servers.ws import serve_ws
from support.provider_stage import KEY, Stage, start_body

HEAD = b"POST /session/start HTTP/1.1\r\nhost: localhost\r\nx-api-key: " + KEY.encode()
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
PATIENCE = 20.0
"""Seconds that a test waits for something that should come at once."""


class Site:
    """A server whose door has a clock that the test turns."""

    def __init__(self, app: Any = None, limits: Limits | None = None, **door: Any) -> None:
        self.now = 1000.0
        self.stage = Stage()
        # The door's own timer must not find anything before the test turns the clock: no deadline is in real time.
        self.door = Door(limits or Limits(), clock=lambda: self.now, **door)
        self.app = app or create_app(self.stage.provider)
        self.clients: list[socket.socket] = []

    async def __aenter__(self) -> Site:
        self.server = await serve_http(self.app, port=0, door=self.door)
        self.port = self.server.port
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self.clients:
            client.close()
        await self.server.close()

    async def open(self, data: bytes = b"", host: str = "127.0.0.1", port: int | None = None) -> socket.socket:
        """A client that has sent this, and has been let in (or turned away)."""
        client = socket.create_connection(("127.0.0.1", port or self.port), source_address=(host, 0))
        client.setblocking(False)
        self.clients.append(client)
        seen = self.door.accepted_total
        if data:
            client.send(data)
        await until(lambda: self.door.accepted_total > seen)
        return client

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.door.sweep()
        await settled()

    async def health(self) -> int:
        """A stranger's health check, over a connection of its own."""
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            return (await client.get(f"http://127.0.0.1:{self.port}/healthz")).status_code

    def phases(self) -> list[Phase]:
        return [visit.phase for visit in self.door._visits.values()]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.001)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def is_over(client: socket.socket) -> bytes:
    """Waits until the server has ended this connection; what it sent before."""
    got = b""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            while data := await asyncio.get_running_loop().sock_recv(client, 1 << 16):
                got += data
    return got


async def answer(client: socket.socket) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await asyncio.get_running_loop().sock_recv(client, 1 << 16)


# --------------------------------------------------------------------------------------------------------- deadlines


@pytest.mark.parametrize("sent", [b"", b"G", b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"])
async def test_who_sends_no_request_is_closed_at_the_deadline(sent: bytes) -> None:
    async with Site(limits=Limits(head=10.0)) as site:
        client = await site.open(sent)
        await site.pass_time(9.9)
        assert len(site.door) == 1
        await site.pass_time(0.2)
        await is_over(client)
        await until(lambda: len(site.door) == 0)


async def test_a_byte_now_and_then_buys_no_time() -> None:
    async with Site(limits=Limits(head=10.0)) as site:
        client = await site.open(b"GET /healthz HTTP/1.1\r\n")
        for _ in range(9):
            client.send(b"x-more: y\r\n")
            await site.pass_time(1.0)
            assert len(site.door) == 1
        client.send(b"x-more: y\r\n")
        await site.pass_time(1.1)
        assert await is_over(client) == b""
        assert site.door.closed_total == {Phase.HEAD.value: 1}


async def test_the_second_request_of_a_connection_has_the_same_deadline() -> None:
    async with Site(limits=Limits(head=10.0)) as site:
        client = await site.open(HEALTH)
        assert b"200" in await answer(client)
        await until(lambda: site.phases() == [Phase.IDLE])
        client.send(b"GET /healthz HTTP/1.1\r\n")
        await until(lambda: site.phases() == [Phase.HEAD])
        await site.pass_time(9.9)
        assert len(site.door) == 1
        client.send(b"host: localhost\r\n")
        await site.pass_time(0.2)
        assert await is_over(client) == b""


@pytest.mark.parametrize("more", [b"content-length: 50000\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n"])
async def test_a_body_that_does_not_end_is_closed_at_its_deadline(more: bytes) -> None:
    async with Site(limits=Limits(head=10.0, body=30.0)) as site:
        client = await site.open(HEAD + b"\r\n" + more)
        await until(lambda: site.phases() == [Phase.BODY])
        for _ in range(29):
            client.send(b" " if more.startswith(b"content") else b"1\r\n \r\n")
            await site.pass_time(1.0)
            assert len(site.door) == 1
        await site.pass_time(1.1)
        assert await is_over(client) == b""
        assert site.door.closed_total == {Phase.BODY.value: 1}
        assert site.stage.made == []


async def test_a_request_that_takes_long_here_has_no_deadline() -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await receive()
            await go.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"at last"})

    async with Site(app) as site:
        client = await site.open(HEALTH)
        await until(lambda: site.phases() == [Phase.BUSY])
        await site.pass_time(3600)
        assert len(site.door) == 1
        go.set()
        assert (await answer(client)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("at_once", [True, False])
async def test_who_does_not_take_the_answer_is_closed_at_the_deadline(at_once: bool) -> None:
    pieces, piece = (1, 64 << 20) if at_once else (1024, 64 << 10)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for n in range(pieces):
                await send({"type": "http.response.body", "body": bytes(piece), "more_body": n + 1 < pieces})

    async with Site(app, Limits(write=30.0)) as site:
        client = await site.open(HEALTH)
        await until(lambda: any(visit.unsent is not None and visit.unsent() for visit in site.door._visits.values()))
        await site.pass_time(0)
        await site.pass_time(29)
        assert len(site.door) == 1
        await site.pass_time(1.1)
        await until(lambda: len(site.door) == 0)
        assert site.door.closed_total == {UNREAD: 1}
        await is_over(client)


async def test_who_takes_the_answer_slowly_is_served_to_its_end_and_closed_where_it_takes_no_more() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": bytes(32 << 20)})

    async with Site(app, Limits(write=30.0, idle=5.0)) as site:
        client = await site.open(HEALTH)
        await until(lambda: bool(unsent(site)))
        for _ in range(5):
            await site.pass_time(0)
            before = unsent(site)
            while unsent(site) >= before:
                await answer(client)
                await asyncio.sleep(0)
            await site.pass_time(29)
        assert len(site.door) == 1, "two minutes and a half"
        async with asyncio.timeout(PATIENCE):
            while len(site.door):
                await site.pass_time(10)
        assert site.door.closed_total == {UNREAD: 1}


def unsent(site: Site) -> int:
    return sum(visit.unsent() for visit in site.door._visits.values() if visit.unsent is not None)


async def test_a_websocket_that_does_not_finish_its_handshake_is_closed_and_one_that_does_stays() -> None:
    async with Site() as site:
        ws = await serve_ws(site.stage.provider, port=0, door=site.door)
        try:
            reply = await site.stage.provider.start(stage_request(), site.stage.provider.check_api_key(KEY.encode()))
            headers = {"Authorization": f"Bearer {reply.session_token}"}
            url = f"ws://127.0.0.1:{ws.port}"
            async with connect(url, additional_headers=headers, proxy=None) as good:
                client = await site.open(b"GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n", port=ws.port)
                assert sorted(phase.name for phase in site.phases()) == ["BUSY", "HEAD"]
                await site.pass_time(10.1)
                assert await is_over(client) == b""
                await site.pass_time(3600)
                await asyncio.wait_for(await good.ping(), PATIENCE)
        finally:
            await ws.close()


def stage_request() -> Any:
    from lipwire.protocol.messages import parse_start

    return parse_start(start_body())


async def test_the_deadlines_run_by_themselves() -> None:
    stage = Stage()
    door = Door(Limits(head=0.05))
    server = await serve_http(create_app(stage.provider), port=0, door=door)
    try:
        client = socket.create_connection(("127.0.0.1", server.port))
        client.setblocking(False)
        assert await is_over(client) == b""
        client.close()
        assert door.closed_total == {Phase.HEAD.value: 1}
    finally:
        await server.close()
    assert door._timer is None


# ---------------------------------------------------------------------------------------------------------------- caps


async def test_a_new_connection_takes_the_place_of_the_one_that_is_silent_longest() -> None:
    async with Site(limits=Limits(connections=4)) as site:
        busy = await site.open(HEAD + b"\r\ncontent-length: 9\r\n\r\n{")
        await until(lambda: site.phases() == [Phase.BODY])
        silent = [await site.open() for _ in range(3)]
        assert await site.health() == 200
        await is_over(busy)
        silent.append(await site.open())
        assert await site.health() == 200
        await is_over(silent[0])
        assert site.door.closed_total == {CROWDED: 2}


async def test_who_is_being_served_is_not_sent_away() -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await receive()
            await go.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

    async with Site(app, Limits(connections=2)) as site:
        served = [await site.open(HEALTH) for _ in range(2)]
        await until(lambda: site.phases() == [Phase.BUSY] * 2)
        assert await is_over(await site.open(HEALTH)) == b""
        go.set()
        for client in served:
            assert b"200" in await answer(client)


async def test_an_address_has_so_many_and_others_are_not_concerned() -> None:
    limits = Limits(connections=100, per_address=3)
    async with Site(limits=limits, address_of=lambda host: "" if host == "127.0.0.9" else host) as site:
        other = await site.open(host="127.0.0.3")
        many = [await site.open(host="127.0.0.2") for _ in range(5)]
        for client in many[:2]:
            await is_over(client)
        await until(lambda: len(site.door) == 4)
        assert site.door.closed_total == {FULL_ADDRESS: 2}
        await asyncio.gather(*(site.open(host="127.0.0.9") for _ in range(20)))
        other.send(HEALTH)
        assert b"200" in await answer(other)


def test_whose_a_connection_is() -> None:
    assert [client_of(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")] == [""] * 4
    assert client_of("192.0.2.7") == client_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert client_of("2001:db8:1:2:3::4") == client_of("2001:db8:1:2:ffff::1%eth0") != client_of("2001:db8:1:3::1")


async def test_a_flood_leaves_nothing_behind() -> None:
    async with Site(limits=Limits(connections=50)) as site:
        for _ in range(500):
            site.clients.append(socket.create_connection(("127.0.0.1", site.port)))
        await until(lambda: sum(site.door.closed_total.values()) >= 450)
        assert await site.health() == 200
        for client in site.clients:
            client.close()
        await until(lambda: len(site.door) == 0)
        assert (site.door._waiting, site.door._addresses, site.door.dropped) == ({}, {}, 0)


# --------------------------------------------------------------------------------------------------------- descriptors


SERVER = """
import asyncio, sys
from lipwire.servers.http import create_app, serve_http
from lipwire.servers.listen import raise_descriptor_limit
from support.provider_stage import Stage

async def main():
    raise_descriptor_limit()
    server = await serve_http(create_app(Stage().provider), port=0)
    print(server.port, flush=True)
    held = []
    while True:
        line = await asyncio.to_thread(sys.stdin.readline)
        if not line:
            break
        if line == "eat\\n":  # all the descriptors there are, behind the door's back
            try:
                while True:
                    held.append(open("/dev/null"))
            except OSError:
                print(len(held), flush=True)
        else:
            for file in held:
                file.close()
            print("back", flush=True)
    await server.close()

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def small_server(descriptors: int) -> AsyncIterator[tuple[int, subprocess.Popen[str]]]:
    """A server in a process that may open so many files."""
    child = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.path.join(os.path.dirname(__file__), "..")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors // 2, descriptors)),
    )
    assert child.stdout is not None
    try:
        yield int(child.stdout.readline()), child
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            assert pipe is not None
            pipe.close()


async def test_at_the_limit_of_descriptors_health_is_told_and_no_traceback() -> None:
    async with small_server(256) as (port, child), httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
        assert child.stdin is not None
        assert child.stdout is not None
        url = f"http://127.0.0.1:{port}/healthz"
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(600)]
        answers = [await http.get(url, headers={"connection": "close"}) for _ in range(20)]
        assert {reply.status_code for reply in answers} == {200}
        child.stdin.write("eat\n")
        child.stdin.flush()
        assert int(child.stdout.readline()) > 20
        clients += [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
        child.stdin.write("give back\n")
        child.stdin.flush()
        assert child.stdout.readline() == "back\n"
        answers = [await http.get(url, headers={"connection": "close"}) for _ in range(20)]
        assert {reply.status_code for reply in answers} == {200}
        for client in clients:
            client.close()
        child.stdin.close()
        assert await asyncio.to_thread(child.wait, PATIENCE) == 0
        assert child.stderr is not None
        errors = await asyncio.to_thread(child.stderr.read)
        print(errors)
    assert "Traceback" not in errors
    assert DESCRIPTORS in errors
    assert errors.count("\n") <= 10


def test_a_command_raises_the_limit_of_descriptors() -> None:
    run = "from lipwire.servers import listen; print(listen.raise_descriptor_limit())"
    done = subprocess.run(
        [sys.executable, "-c", run],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 512)),
    )
    assert done.stdout == "512\n"
    assert raise_descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


async def test_what_is_no_request_writes_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async with Site() as site:
        with caplog.at_level(logging.INFO):
            for garbage in (
                b"\x16\x03\x01\r\n\r\n",
                b"GET\r\n\r\n",
                HEALTH.replace(b"\r\n\r\n", b"\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
            ):
                for _ in range(5):
                    client = await site.open(garbage)
                    assert (await answer(client)).startswith(b"HTTP/1.1 ")
        assert [
            record.getMessage() for record in caplog.records if "transport" in record.name or "uvicorn" in record.name
        ] == []


async def test_the_log_says_it_once_in_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    async with Site(limits=Limits(connections=2)) as site:
        with caplog.at_level(logging.WARNING, "lipwire.door"):
            for _ in range(12):
                await site.open()
            await site.pass_time(5)
            assert len(caplog.records) == 1
            await site.pass_time(6)
        assert [record.getMessage() for record in caplog.records] == [
            f"connections closed: 1 ({CROWDED}); 2 are open",
            caplog.records[1].getMessage(),
        ]
        assert f"9 ({CROWDED})" in caplog.records[1].getMessage()


# -------------------------------------------------------------------------------------------------------- Unix sockets


async def test_a_unix_socket_is_a_door_like_others(tmp_path: Path) -> None:
    """Its connections, which have no names, are told apart; all of them are this machine's."""
    now, path, loop = 1000.0, str(tmp_path / "http"), asyncio.get_running_loop()
    Path(path).touch()  # of a process that was killed
    door = Door(Limits(head=10.0, per_address=1), clock=lambda: now)
    server = await serve_http(create_app(Stage().provider), path=path, door=door)
    clients = []
    try:
        for data in (b"", HEALTH, b"G"):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            clients.append(client)
            await loop.sock_connect(client, path)
            await loop.sock_sendall(client, data)
        assert b"200 OK" in await answer(clients[1])
        await until(lambda: len(door) == 3)
        phases = sorted(visit.phase.name for visit in door._visits.values())
        assert phases == ["HEAD", "HEAD", "IDLE"]
        now += 10.0
        door.sweep()
        for client in (clients[0], clients[2]):
            assert await is_over(client) == b""
        await until(lambda: len(door) == 1)
    finally:
        for client in clients:
            client.close()
        await server.close()
    assert not Path(path).exists() and server.port == 0
