"""Two machines, each with a front process of its own, over a real NATS server: whichever is asked, they are one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest_asyncio
from websockets.asyncio.client import connect

from lipwire.app.config import Config
from lipwire.app.front import hop
from lipwire.app.front.machine import node_name, own_address
from lipwire.app.front.server import FrontService
from lipwire.cluster.placement import Key
from support.agent_bodies import V2, changed
from support.agent_site import C2, basic
from support.motion import Reader
from support.nats_server import NatsServer
from support.provider_stage import start_body

KEY, SECRET, WAIT = "the operator's key", "s" * 32, 60


def config(nats: str, name: str, **settings: Any) -> Config:
    ports: dict[str, Any] = dict.fromkeys(("http_port", "ws_port", "viewer_port"), 0)
    given = ports | {"api_key": KEY, "session_secret": SECRET, "host": "127.0.0.1", "ice_host": "127.0.0.1"}
    given |= {"agora": "off", "agent_brain": "echo", "end_of_turn": "silence", "nats": (nats,), "node": name}
    return Config(**(given | settings))


class Cluster:
    """Some nodes and a client."""

    def __init__(self, nodes: list[FrontService], http: httpx.AsyncClient, nats: NatsServer) -> None:
        self.nodes, self.http, self.nats = nodes, http, nats

    async def start(self, node: int, channel: str) -> str:
        settings = start_body()["agora_settings"] | {"channel": channel}
        body = start_body(width=64, height=64, fps=10, agora_settings=settings)
        reply = await self.http.post(f"{self.nodes[node].http_url}/session/start", json=body)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["session_id"])

    async def join(self, node: int, name: str, channel: str) -> httpx.Response:
        body = changed(changed(V2, "name", name), "properties.channel", channel)
        return await self.http.post(f"{self.nodes[node].http_url}{C2}/join", json=body)

    def there(self, key: Key) -> list[int]:
        """The nodes that have it."""
        return [n for n, node in enumerate(self.nodes) if node.pool.ledger.find(key) is not None]


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT):
        while not await what():
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(NatsServer())
        nodes = [FrontService(config(nats.url, name)) for name in ("a", "b")]
        for started in await asyncio.gather(*(node.start() for node in nodes)):
            stack.push_async_callback(started.close)
        http = httpx.AsyncClient(trust_env=False, timeout=WAIT, headers={"x-api-key": KEY} | basic(KEY))
        await stack.enter_async_context(http)
        made = Cluster(nodes, http, nats)

        async def all_seen() -> bool:
            views = [(await http.get(f"{node.http_url}/cluster")).json() for node in nodes]
            return all([n["state"] for n in view["nodes"]] == ["up", "up"] for view in views)

        await until(all_seen)
        yield made


async def test_sessions_wherever_they_run(cluster: Cluster) -> None:
    ids = [await cluster.start(n % 2, f"c{n}") for n in range(12)]
    where = {id: cluster.there(Key("session", "", id)) for id in ids}
    assert {tuple(nodes) for nodes in where.values()} == {(0,), (1,)}
    for node in cluster.nodes:
        for id in ids:
            shown = await cluster.http.get(f"{node.http_url}/session/{id}")
            assert (shown.status_code, shown.json().get("session_id")) == (200, id)
        listed = (await cluster.http.get(f"{node.addresses.viewer_url}api/sessions")).json()["sessions"]
        assert [one["session_id"] for one in listed] == ids
        unknown = await cluster.http.get(f"{node.http_url}/session/nobody")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "SESSION_NOT_FOUND")
    far = next(id for id, nodes in where.items() if nodes == [1])
    options: Any = {"proxy": None, "additional_headers": {"x-api-key": KEY}}
    place = cluster.nodes[0].addresses.viewer_url.replace("http", "ws")
    reader = Reader()
    async with connect(f"{place}motion/{far}", **options) as ws, asyncio.timeout(WAIT):
        while len(reader.frames) < 3:
            reader.put(await ws.recv())
    same = await cluster.start(0, f"c{ids.index(far)}")
    await until(lambda: _is(cluster.there(Key("session", "", far)), []))
    assert cluster.there(Key("session", "", same)) == [1]
    for n, id in enumerate([same, *(id for id in ids if id != far)]):
        stop = f"{cluster.nodes[n % 2].http_url}/session/stop"
        assert (await cluster.http.request("DELETE", stop, json={"session_id": id})).status_code == 200
    await until(lambda: _is([sum(seat.used for seat in node.pool.ledger.seats) for node in cluster.nodes], [0, 0]))


async def _is(found: Any, expected: Any) -> bool:
    return bool(found == expected)


async def test_agents_wherever_they_run(cluster: Cluster) -> None:
    ids = []
    for n in range(8):
        joined = await cluster.join(n % 2, f"a{n}", f"room{n}")
        assert joined.status_code == 200, joined.text
        ids.append(joined.json()["agent_id"])
    where = [cluster.there(Key("agent", "", id)) for id in ids]
    assert {tuple(nodes) for nodes in where} == {(0,), (1,)}
    taken = await cluster.join((where[3][0] + 1) % 2, "a3", "elsewhere")
    assert (taken.status_code, taken.json()["agent_id"]) == (409, ids[3])
    for node in cluster.nodes:
        found, cursor = [], ""
        while True:
            query: dict[str, Any] = {"limit": 3, "cursor": cursor}
            page = (await cluster.http.get(f"{node.http_url}{C2}/agents", params=query)).json()
            found += [one["agent_id"] for one in page["data"]["list"]]
            assert page["meta"]["total"] == 8
            if not (cursor := page["meta"]["cursor"]):
                break
        assert found == ids
        rooms = (await cluster.http.get(f"{node.addresses.viewer_url}api/rooms")).json()["rooms"]
        assert [room["name"] for room in rooms] == [f"room{n}" for n in range(8)]
    for n, id in enumerate(ids):
        other = cluster.nodes[(where[n][0] + 1) % 2]
        assert (await cluster.http.post(f"{other.http_url}{C2}/agents/{id}/leave")).status_code == 200


async def test_what_passes_between_nodes_is_signed(cluster: Cluster) -> None:
    """A client cannot say that it comes from another node; a node with another secret is told what is wrong."""
    id = await cluster.start(0, "c")
    node = cluster.nodes[0]
    said = hop.Hop(node="b", address="192.0.2.1", worker=0, owner="operator")
    forged = hop.sign(said, "t" * 32, "GET", f"/session/{id}").decode()
    headers = {"x-api-key": "wrong", "x-lipwire-hop": forged}
    for path in (f"/session/{id}", f"{C2}/agents"):
        refused = await cluster.http.get(f"{node.http_url}{path}", headers=headers)
        assert refused.status_code == 403 and "session_secret" in refused.text
    headers["x-api-key"] = KEY
    real = hop.sign(said, SECRET, "GET", f"/session/{id}").decode()
    headers["x-lipwire-hop"] = real
    shown = await cluster.http.get(f"{node.http_url}/session/{id}?other", headers=headers)
    assert shown.status_code == 403, "it holds for one request alone"


async def test_of_sessions_started_at_once_everywhere_one_stays(cluster: Cluster) -> None:
    for turn in range(3):
        ids = await asyncio.gather(*(cluster.start(n % 2, f"race{turn}") for n in range(4)))

        async def one_is_left(ids: list[str] = ids) -> bool:
            there = [cluster.there(Key("session", "", id)) for id in ids]
            return sum(len(nodes) for nodes in there) == 1

        await until(one_is_left)
        await asyncio.sleep(1)
        assert await one_is_left()


async def test_joins_into_new_rooms_that_a_worker_refuses_leave_nothing(cluster: Cluster) -> None:
    for n in range(6):
        body = changed(changed(V2, "name", f"b{n}"), "properties.channel", f"new{n}")
        body = changed(body, "properties.asr", {"language": "en-US", "keywords": ["Lipwire"]})
        refused = await cluster.http.post(f"{cluster.nodes[n % 2].http_url}{C2}/join", json=body)
        assert 400 <= refused.status_code < 500, refused.text
        views = [(await cluster.http.get(f"{node.http_url}/cluster")).json() for node in cluster.nodes]
        assert sum(view["placed"] for view in views) == n + 1, refused.text
    async with asyncio.timeout(5):  # half of what a reservation is kept for
        while any(seat.used for node in cluster.nodes for seat in node.pool.ledger.seats):
            await asyncio.sleep(0.05)


async def test_while_nats_is_away_what_is_elsewhere_is_answered_with_503(cluster: Cluster) -> None:
    ids = [await cluster.start(0, f"c{n}") for n in range(6)]
    near = next(id for id in ids if cluster.there(Key("session", "", id)) == [0])
    far = next(id for id in ids if cluster.there(Key("session", "", id)) == [1])
    await cluster.nats.stop()
    await until(lambda: _is([node._bus is not None and node._bus.connected for node in cluster.nodes], [False] * 2))
    url = cluster.nodes[0].http_url
    assert (await cluster.http.get(f"{url}/session/{near}")).status_code == 200
    assert (await cluster.http.get(f"{cluster.nodes[1].http_url}/session/{far}")).status_code == 200
    assert (await cluster.http.get(f"{url}/session/{far}")).status_code == 200, "its start came by here"
    unknown = await cluster.http.get(f"{cluster.nodes[1].http_url}/session/{near}")
    assert unknown.status_code == 503 and "retry-after" in unknown.headers


async def test_a_node_that_is_gone_is_found_out_by_who_asks_for_what_it_had(cluster: Cluster) -> None:
    ids = [await cluster.start(0, f"c{n}") for n in range(6)]
    far = next(id for id in ids if cluster.there(Key("session", "", id)) == [1])
    first, gone = cluster.nodes
    assert first._node is not None and gone._bus is not None
    now = first._node._clock()
    first._node._clock = lambda: now  # nobody is ever missed for being silent
    await gone._bus.close()  # as a process that is killed: it says nothing

    async def told() -> bool:
        shown = await cluster.http.get(f"{first.http_url}/session/{far}")
        return shown.status_code == 404 and "the machine that ran it (b) is gone" in shown.text

    await until(told)


async def test_a_node_that_drains_takes_nothing_new(cluster: Cluster) -> None:
    first, second = cluster.nodes
    draining = asyncio.create_task(second.drain(1))
    await until(lambda: _is(second.pool.draining, True))
    ids = [await cluster.start(0, f"c{n}") for n in range(4)]
    await asyncio.wait_for(draining, WAIT)
    assert all(cluster.there(Key("session", "", id)) == [0] for id in ids)
    view = (await cluster.http.get(f"{first.http_url}/cluster")).json()
    assert [node["name"] for node in view["nodes"] if node["state"] == "up"] == ["a"]


def test_names_and_addresses() -> None:
    given = config("nats://127.0.0.1:4222", "n")
    assert node_name(given) == "n" and own_address(given) == "127.0.0.1"
    unnamed = Config(api_key="k", session_secret=SECRET, nats=("nats://127.0.0.1:4222",))
    assert node_name(unnamed) != node_name(unnamed)
    assert own_address(unnamed) == "127.0.0.1"
    nowhere = Config(api_key="k", session_secret=SECRET, nats=("nats://no.such.host.invalid:4222",))
    assert own_address(nowhere) == "127.0.0.1"
