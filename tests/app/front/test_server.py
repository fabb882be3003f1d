"""`lipwire serve --workers 2`, with workers that are processes of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from lipwire.agents.config import AgentConfig, Llm
from lipwire.agents.rest.client import AgoraAgents
from lipwire.app.config import Config
from lipwire.app.front.server import FrontService
from lipwire.cluster.placement import Key
from lipwire.conformance import RULES, Target, run
from lipwire.errors import InvalidArgument
from lipwire.protocol import messages as m
from lipwire.provider.client import ProviderClient
from lipwire.provider.keys import add_key, key_line, make_key
from support.agent_bodies import V2, changed
from support.agent_site import APP, C2, basic
from support.certificates import Authority
from support.provider_stage import start_body

KEY = "the operator's key"
WAIT = 60


def config(**settings: Any) -> Config:
    ports: dict[str, Any] = dict.fromkeys(("http_port", "ws_port", "viewer_port"), 0)
    given = ports | {"api_key": KEY, "host": "127.0.0.1", "ice_host": "127.0.0.1", "agora": "off", "workers": 2}
    return Config(**(given | {"agent_brain": "echo", "end_of_turn": "silence"} | settings))


@pytest_asyncio.fixture
async def front() -> AsyncIterator[FrontService]:
    async with FrontService(config()) as service:
        yield service


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=WAIT, headers={"x-api-key": KEY} | basic(KEY)) as client:
        yield client


def body(channel: str) -> dict[str, Any]:
    settings = start_body()["agora_settings"] | {"channel": channel}
    return start_body(width=64, height=64, fps=5, agora_settings=settings)


async def test_speech_goes_straight_to_the_worker(front: FrontService) -> None:
    async with AsyncExitStack() as stack:
        clients = []
        for n in range(2):
            made = ProviderClient(front.http_url, KEY, m.parse_start(body(f"c{n}")))
            clients.append(await stack.enter_async_context(made))
        places = {client.session.websocket_address for client in clients if client.session is not None}
        for client in clients:
            await client.speak(bytes(16_000), 16_000, pace=None)
            await asyncio.wait_for(client.wait_finished(1), WAIT)
    assert places == set(front.ws_urls) and len(places) == 2


async def test_200_starts_at_once_lose_none_and_double_none(front: FrontService, http: httpx.AsyncClient) -> None:
    """More than there is room for: exactly that much is placed, and the others are told to come again."""
    replies = await asyncio.gather(
        *(http.post(f"{front.http_url}/session/start", json=body(f"c{n}")) for n in range(200))
    )
    codes = Counter(reply.status_code for reply in replies)
    assert codes == {200: 100, 503: 100}
    assert all(int(reply.headers["retry-after"]) > 0 for reply in replies if reply.status_code == 503)
    ids = {reply.json()["session_id"] for reply in replies if reply.status_code == 200}
    listed = (await http.get(f"{front.addresses.viewer_url}api/sessions")).json()["sessions"]
    assert {one["session_id"] for one in listed} == ids and len(listed) == 100
    stops = await asyncio.gather(
        *(http.request("DELETE", f"{front.http_url}/session/stop", json={"session_id": id}) for id in ids)
    )
    assert {reply.status_code for reply in stops} == {200}
    async with asyncio.timeout(WAIT):
        while any(seat.used for seat in front.pool.ledger.seats):
            await asyncio.sleep(0.05)


async def test_a_worker_that_is_killed_takes_its_own_along(front: FrontService, http: httpx.AsyncClient) -> None:
    ids = [
        (await http.post(f"{front.http_url}/session/start", json=body(f"c{n}"))).json()["session_id"] for n in range(4)
    ]
    agent = changed(changed(V2, "name", "a"), "properties.channel", "room")
    joined = (await http.post(f"{front.http_url}{C2}/join", json=agent)).json()["agent_id"]
    where = {id: front.pool.ledger.find(front_key(id)) for id in ids}
    assert Counter(where.values()) == {0: 2, 1: 2}
    there = front.pool.ledger.find(front_key(joined, "agent"))
    assert there is not None
    worker = front.pool.workers[there]
    os.kill(worker.pid, signal.SIGKILL)
    began = time.monotonic()
    async with asyncio.timeout(WAIT):
        while worker.restarts == 0:
            await asyncio.sleep(0.01)
        while (await http.post(f"{front.http_url}/session/start", json=body("new"))).status_code != 200:
            await asyncio.sleep(0.05)
    assert time.monotonic() - began < WAIT
    for id, index in where.items():
        shown = await http.get(f"{front.http_url}/session/{id}")
        if index == there:
            assert (shown.status_code, shown.json()["code"]) == (404, "SESSION_NOT_FOUND")
            assert "SIGKILL" in shown.json()["message"]
        else:
            assert shown.status_code == 200
    ended = (await http.get(f"{front.http_url}{C2}/agents/{joined}")).json()
    assert (ended["status"], "SIGKILL" in ended["message"]) == ("FAILED", True)
    told = (await http.get(f"{front.http_url}/metrics")).text
    assert f'lipwire_worker_restarts_total{{worker="{there}"}} 1.0' in told
    async with asyncio.timeout(WAIT):
        while len(front.pool.workers) != sum(w.state == "up" for w in front.pool.workers):
            await asyncio.sleep(0.05)


def front_key(id: str, kind: Any = "session") -> Any:
    return Key(kind, "", id)


async def test_our_client_of_agents_sees_one_server(front: FrontService) -> None:
    options: Any = {"customer_id": "x", "customer_secret": KEY, "trust_env": False}
    async with AgoraAgents(APP, base_url=front.http_url, version="v2", **options) as agents:
        ids = []
        for n in range(5):
            llm = Llm(url="https://llm.example.org/v1", model="m")
            wanted = AgentConfig(name=f"a{n}", channel=f"c{n}", uid="7", remote_uids=["8"], llm=llm)
            ids.append((await agents.join(wanted)).agent_id)
        found, cursor = [], ""
        while True:
            page = await agents.list(limit=2, cursor=cursor)
            found += [agent.agent_id for agent in page.agents]
            if not (cursor := page.cursor):
                break
        assert found == ids
        for id in ids:
            await agents.leave(id)
            assert (await agents.get(id)).status == "STOPPED"


@pytest.mark.slow
async def test_it_is_as_conformant_as_one_process(tmp_path: Path) -> None:
    """All rules, with a second key for the one that is about another owner's channel."""
    file, key = tmp_path / "keys", make_key()
    add_key(file, key_line("acme", key))
    secret = "a secret of thirty-two bytes or more"
    async with FrontService(config(api_keys_file=str(file), session_secret=secret)) as front:
        target = Target(http=front.http_url, api_key=KEY, other_api_key=key, token_secret=secret)
        report = await run(target, RULES, parallel=8)
        told = [(one.rule.id, one.outcome, one.came) for one in report.results if one.outcome != "pass"]
        assert told == [] and report.conformant


async def test_it_drains(http: httpx.AsyncClient) -> None:
    service = await FrontService(config()).start()
    assert (await http.post(f"{service.http_url}/session/start", json=body("c"))).status_code == 200
    pids = [worker.pid for worker in service.pool.workers]
    draining = asyncio.create_task(service.drain(0.5))
    async with asyncio.timeout(WAIT):
        while not service.pool.draining:
            await asyncio.sleep(0.01)
    await asyncio.wait_for(draining, WAIT)
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists() or "zombie" not in Path(f"/proc/{pid}/status").read_text()
    with pytest.raises(httpx.ConnectError):
        await http.get(f"{service.http_url}/healthz")
    await service.close()


async def test_its_links_open_the_pages_of_all_workers(front: FrontService) -> None:
    page, _, token = front.page_link("lobby").partition("#token=")
    assert page == f"{front.addresses.viewer_url}agent?channel=lobby"
    assert front.page_link(token=False) == front.addresses.viewer_url
    async with httpx.AsyncClient(trust_env=False, timeout=WAIT, headers={"Authorization": f"Bearer {token}"}) as http:
        for _ in range(8):
            assert (await http.get(f"{front.addresses.viewer_url}api/sessions")).status_code == 200
            assert (await http.get(f"{front.addresses.viewer_url}api/config")).json()["joins"] is True


async def test_a_port_that_is_taken_is_told(front: FrontService) -> None:
    port = front.addresses.http_port
    with pytest.raises(InvalidArgument, match=f"cannot listen on port {port}"):
        await FrontService(config(http_port=port)).start()


async def test_what_workers_cannot_be_is_told_at_once() -> None:
    with pytest.raises(InvalidArgument, match="hearing_model"):
        await FrontService(config(hearing_model="no such model")).start()


async def test_tls_ends_at_the_front_and_at_each_workers_websocket(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("localhost", "127.0.0.1")
    trusted = ssl.create_default_context(cafile=authority.file)
    async with FrontService(config(tls_cert=str(cert), tls_key=str(key), public_hosts=("localhost",))) as front:
        assert front.http_url.startswith("https://") and all(url.startswith("wss://") for url in front.ws_urls)
        async with httpx.AsyncClient(verify=trusted, trust_env=False, timeout=WAIT, headers={"x-api-key": KEY}) as http:
            reply = await http.post(f"{front.http_url}/session/start", json=body("c"))
            assert (reply.status_code, reply.json()["websocket_address"] in front.ws_urls) == (200, True)
            page = f"https://localhost:{front.addresses.viewer_port}/api/sessions"
            ours = {"origin": f"https://localhost:{front.addresses.viewer_port}"}
            assert (await http.get(page, headers=ours)).status_code == 200
        async with ProviderClient(front.http_url, KEY, m.parse_start(body("d")), tls=trusted) as client:
            await client.speak(bytes(16_000), 16_000, pace=None)
            await asyncio.wait_for(client.wait_finished(1), WAIT)


async def test_the_command_says_what_there_is_and_ends_in_good_order(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIPWIRE_")}
    ports = ("--http-port", "0", "--ws-port", "0", "--viewer-port", "0", "--host", "127.0.0.1", "--drain", "1")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lipwire", "serve", "--workers", "2", *ports, "--log-level", "warning"),
        env=kept | {"LIPWIRE_API_KEY": KEY, "LIPWIRE_PREENCODED": "off", "COLUMNS": "120"},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    said: list[str] = []
    async with asyncio.timeout(WAIT):
        while "Ctrl-C ends it." not in said:
            line = await process.stdout.readline()
            assert line, (await process.stderr.read()).decode()
            said.append(line.decode().strip())
    url = next(line.split()[1] for line in said if line.startswith("HTTP"))
    assert len([line for line in said if line.startswith("WebSocket")]) == 2
    assert "cluster    2 workers on this machine" in said
    async with httpx.AsyncClient(trust_env=False, timeout=WAIT, headers={"x-api-key": KEY}) as http:
        view = (await http.get(f"{url}/cluster")).json()
        pids = [worker["pid"] for worker in view["nodes"][0]["workers"]]
        assert (await http.post(f"{url}/session/start", json=body("c"))).status_code == 200
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(), WAIT)
    assert (process.returncode, out, err) == (0, b"", b"")
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
