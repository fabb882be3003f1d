"""The front before two workers, all of it real and in one process: what clients see is what one server shows."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from lipwire.cluster.placement import Key
from lipwire.provider.authority import Authority
from lipwire.provider.keys import OPERATOR, Quota, add_key, key_line, make_key
from support.agent_bodies import V1, V2, changed
from support.agent_site import C1, C2, basic
from support.crew import KEY, SECRET, Crew, Fronted, fronted
from support.motion import Reader
from support.motion_viewer import MotionViewer, until
from support.provider_stage import start_body


@pytest_asyncio.fixture
async def front(tmp_path: Path) -> AsyncIterator[Fronted]:
    async with fronted(tmp_path) as made:
        yield made


def body(channel: str, **more: Any) -> dict[str, Any]:
    """Of a small session."""
    settings = start_body()["agora_settings"] | {"channel": channel}
    return start_body(width=64, height=64, fps=25, agora_settings=settings) | more


async def start(front: Fronted, channel: str, **more: Any) -> str:
    reply = await front.http.post(f"{front.api}/session/start", json=body(channel, **more))
    assert reply.status_code == 200, reply.text
    return str(reply.json()["session_id"])


def spread(crew: Crew) -> list[int]:
    return [len(worker.provider.sessions) for worker in crew.workers]


def agent(name: str, channel: str, **more: Any) -> dict[str, Any]:
    found = changed(changed(V2, "name", name), "properties.channel", channel)
    for path, value in more.items():
        found = changed(found, path, value)
    return found


# ------------------------------------------------------------------------------------------------------------ sessions


async def test_sessions_from_start_to_stop(front: Fronted) -> None:
    ids = [await start(front, f"c{n}") for n in range(4)]
    assert spread(front.crew) == [2, 2]
    for id in ids:
        shown = (await front.http.get(f"{front.api}/session/{id}")).json()
        assert shown["session_id"] == id
    listed = (await front.http.get(f"{front.pages}/api/sessions")).json()
    assert [one["session_id"] for one in listed["sessions"]] == ids
    assert "x-lipwire-order" not in (await front.http.get(f"{front.pages}/api/sessions")).headers
    stopped = await front.http.request("DELETE", f"{front.api}/session/stop", json={"session_id": ids[0]})
    assert stopped.status_code == 200
    gone = await front.http.get(f"{front.api}/session/{ids[0]}")
    assert (gone.status_code, gone.json()["code"]) == (404, "SESSION_NOT_FOUND")
    assert sorted(spread(front.crew)) == [1, 2]


async def test_a_session_is_steered_with_its_own_token_alone(front: Fronted) -> None:
    for n in range(2):
        reply = (await front.http.post(f"{front.api}/session/start", json=body(f"c{n}"))).json()
        bearer = {"Authorization": f"Bearer {reply['session_token']}"}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            shown = await http.get(f"{front.api}/session/{reply['session_id']}", headers=bearer)
            assert shown.status_code == 200
            stopped = await http.request("DELETE", f"{front.api}/session/stop", headers=bearer)
            assert stopped.status_code == 200
    by_token = (await front.http.post(f"{front.api}/session/start", json=body("c"))).json()["session_token"]
    stopped = await front.http.request("DELETE", f"{front.api}/session/stop", json={"session_token": by_token})
    assert (stopped.status_code, spread(front.crew)) == (200, [0, 0])


async def test_a_newer_session_replaces_the_older_on_its_worker(front: Fronted) -> None:
    first = await start(front, "same")
    await start(front, "other")
    second = await start(front, "same")
    assert spread(front.crew) == [1, 1]
    assert (await front.http.get(f"{front.api}/session/{first}")).status_code == 404
    assert (await front.http.get(f"{front.api}/session/{second}")).status_code == 200


async def test_two_at_once_for_one_channel_are_one_in_the_end(front: Fronted) -> None:
    await asyncio.gather(*(start(front, "same") for _ in range(4)))
    assert sorted(spread(front.crew)) == [0, 1]


async def test_another_owners_session_is_in_the_way(tmp_path: Path) -> None:
    """Wherever it runs."""
    file, key = tmp_path / "keys", make_key()
    add_key(file, key_line("acme", key))
    async with fronted(tmp_path, api_keys_file=str(file)) as front:
        await start(front, "same")
        for _ in range(3):
            refused = await front.http.post(f"{front.api}/session/start", json=body("same"), headers={"x-api-key": key})
            assert (refused.status_code, refused.json()["code"]) == (409, "CHANNEL_IN_USE")
        assert sum(spread(front.crew)) == 1


async def test_exactly_the_capacity_is_placed(tmp_path: Path) -> None:
    async with fronted(tmp_path) as front:
        limits = front.crew.ledger.limits
        front.crew.ledger.limits = type(limits)(capacity=limits.capacity, sessions=3)
        replies = await asyncio.gather(
            *(front.http.post(f"{front.api}/session/start", json=body(f"c{n}")) for n in range(9))
        )
        codes = sorted(reply.status_code for reply in replies)
        assert codes == [200] * 6 + [503] * 3
        assert spread(front.crew) == [3, 3]
        refused = next(reply for reply in replies if reply.status_code == 503)
        assert (refused.json()["code"], int(refused.headers["retry-after"]) > 0) == ("NO_CAPACITY", True)
        healthy = await front.http.get(f"{front.api}/healthz")
        assert (healthy.status_code, healthy.json()["status"]) == (503, "full")
        assert (await front.http.get(f"{front.api}/healthz?live")).status_code == 200


async def test_what_an_owner_may_have_is_of_all_workers_together(tmp_path: Path) -> None:
    async with fronted(tmp_path, quota=Quota(sessions=3)) as front:
        replies = [await front.http.post(f"{front.api}/session/start", json=body(f"c{n}")) for n in range(4)]
        assert [reply.status_code for reply in replies] == [200, 200, 200, 429]
        assert replies[-1].json()["code"] == "SESSION_LIMIT" and "limit of 3 sessions" in replies[-1].json()["message"]


async def test_what_a_worker_refuses_keeps_no_place(front: Fronted) -> None:
    refused = await front.http.post(
        f"{front.api}/session/start", json=body("c", motion={"sets": ["arkit"]}, egress="video")
    )
    assert refused.status_code == 400
    assert [seat.used for seat in front.crew.ledger.seats] == [0, 0]


async def test_errors_are_those_of_one_server(front: Fronted) -> None:
    """Whatever the front does not know it passes on: words and shapes are the worker's."""
    one = front.crew.workers[0]
    async with (
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=front.crew.paths(0)[0]), base_url="http://localhost"
        ) as direct,
        httpx.AsyncClient(trust_env=False, base_url=front.api, timeout=60) as http,
    ):
        asked: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/session/start", {}),
            ("POST", "/session/start", {"headers": {"x-api-key": "wrong"}, "json": body("c")}),
            ("POST", "/session/start", {"headers": {"x-api-key": KEY}, "json": {"avatar_id": 5}}),
            ("POST", "/session/start", {"headers": {"x-api-key": KEY}, "content": "{", "timeout": 30}),
            ("POST", "/session/start", {"headers": {"x-api-key": KEY}, "content": b"[" + b" " * 200_000}),
            ("GET", "/session/nobody", {"headers": {"x-api-key": KEY}}),
            ("DELETE", "/session/stop", {"headers": {"x-api-key": KEY}, "json": {}}),
            ("PUT", "/session/start", {"headers": {"x-api-key": KEY}}),
            ("GET", "/nothing/there", {}),
            ("POST", f"{C1}/join", {"headers": basic("wrong"), "json": V1}),
            ("POST", f"{C2}/join", {"headers": basic("wrong"), "json": V2}),
            ("POST", f"{C2}/join", {"headers": basic(KEY), "json": {"name": "n"}}),
            ("GET", f"{C2}/agents/{'0' * 32}", {"headers": basic(KEY)}),
            ("GET", f"{C2}/agents", {"headers": basic(KEY), "params": {"limit": "x"}}),
            ("GET", f"{C2}/agents", {"headers": basic(KEY), "params": {"cursor": "x"}}),
            ("POST", "/stop_agent", {"headers": {"x-api-key": KEY}, "json": {"channel_name": "nobody"}}),
            ("POST", "/start_agent", {"headers": {"x-api-key": KEY}, "json": {}}),
            ("POST", "/start_agent", {"json": {}}),
        ]
        for method, path, options in asked:
            through = await http.request(method, path, **options)
            told = await direct.request(method, path, **options)
            assert (through.status_code, through.text) == (told.status_code, told.text), (method, path)
            same = ("content-type", "www-authenticate", "retry-after", "allow", "x-content-type-options")
            assert [through.headers.get(name) for name in same] == [told.headers.get(name) for name in same]
    assert one.provider.sessions == []


# ------------------------------------------------------------------------------------------------------------- agents


async def test_agents_of_one_room_meet_and_others_spread(front: Fronted) -> None:
    joined = []
    for n in range(4):
        reply = await front.http.post(f"{front.api}{C2}/join", json=agent(f"a{n}", f"room{n}"))
        assert reply.status_code == 200, reply.text
        joined.append(reply.json()["agent_id"])
    assert [len(worker.agents.active) for worker in front.crew.workers] == [2, 2]
    again = await front.http.post(
        f"{front.api}{C2}/join", json=agent("b", "room0", **{"properties.agent_rtc_uid": "77"})
    )
    assert again.status_code == 200
    there = [worker for worker in front.crew.workers if any(r.id == joined[0] for r in worker.agents.active)]
    assert again.json()["agent_id"] in [record.id for record in there[0].agents.active]
    rooms = (await front.http.get(f"{front.pages}/api/rooms")).json()["rooms"]
    assert [room["name"] for room in rooms] == [f"room{n}" for n in range(4)]

    taken = await front.http.post(f"{front.api}{C2}/join", json=agent("a1", "elsewhere"))
    assert (taken.status_code, taken.json()["agent_id"]) == (409, joined[1])
    for id in joined:
        here = f"{front.api}{C2}/agents/{id}"
        assert (await front.http.post(f"{here}/speak", json={"text": "Hello."})).status_code == 200
        assert (await front.http.get(f"{here}/history")).json()["agent_id"] == id
        assert (await front.http.post(f"{here}/leave")).status_code == 200
        ended = await front.http.get(here)
        assert (ended.status_code, ended.json()["status"]) == (200, "STOPPED")
        assert (await front.http.post(f"{here}/speak", json={"text": "Hello."})).status_code == 404


async def test_pages_of_agents_are_those_of_one_process(front: Fronted) -> None:
    ids = []
    for n in range(7):
        ids.append((await front.http.post(f"{front.api}{C2}/join", json=agent(f"a{n}", f"room{n}"))).json()["agent_id"])
    await front.http.post(f"{front.api}{C2}/agents/{ids[2]}/leave")

    async def pages(path: str, **query: Any) -> list[list[str]]:
        found, cursor = [], ""
        while True:
            reply = (await front.http.get(f"{front.api}{path}/agents", params=query | {"cursor": cursor})).json()
            data, meta = reply["data"], reply["meta"]
            assert data["count"] == len(data["list"])
            found.append([one["agent_id"] for one in data["list"]])
            totals.add(meta["total"])
            cursor = meta["cursor"]
            if not cursor:
                return found

    totals: set[int] = set()
    running = [id for id in ids if id != ids[2]]
    assert await pages(C2, limit=3) == [ids[:3], ids[3:6], ids[6:]]
    assert totals == {7}
    assert await pages(C1, limit=7) == [ids]
    assert await pages(C2, state="RUNNING", limit=4) == [running[:4], running[4:]]
    assert await pages(C2, channel="room5") == [[ids[5]]]
    assert await pages(C2, limit=100) == [ids]
    # An agent that comes between two pages is on a later one, and none is told twice.
    first = (await front.http.get(f"{front.api}{C2}/agents", params={"limit": 6})).json()
    more = (await front.http.post(f"{front.api}{C2}/join", json=agent("late", "late"))).json()["agent_id"]
    query = {"limit": 6, "cursor": first["meta"]["cursor"]}
    rest = (await front.http.get(f"{front.api}{C2}/agents", params=query)).json()
    assert [one["agent_id"] for one in rest["data"]["list"]] == [ids[6], more]


async def test_one_agent_of_a_process_each_channel(front: Fronted) -> None:
    """Reference 003."""
    for n in range(3):
        started = {"app_id": "a", "channel_name": f"c{n}", "uid": 5}
        assert (await front.http.post(f"{front.api}/start_agent", json=started)).status_code == 200
        again = await front.http.post(f"{front.api}/start_agent", json=started)
        assert (again.status_code, "already running" in again.text) == (400, True)
    assert sorted(len(worker.agents.active) for worker in front.crew.workers) == [1, 2]
    for n in range(3):
        control = {"app_id": "a", "channel_name": f"c{n}", "command": "send_user_text", "input_text": "Hi."}
        assert (await front.http.post(f"{front.api}/control_agent", json=control)).status_code == 200
        stopped = await front.http.post(f"{front.api}/stop_agent", json={"app_id": "a", "channel_name": f"c{n}"})
        assert stopped.status_code == 200, stopped.text
    assert [len(worker.agents.active) for worker in front.crew.workers] == [0, 0]


async def test_the_pages_agents_and_rooms(front: Fronted) -> None:
    made = (await front.http.post(f"{front.pages}/api/rooms", json={})).json()["name"]
    named = await front.http.post(f"{front.pages}/api/rooms", json={"name": "mine"})
    assert named.status_code == 201
    assert [len(worker.owned_rooms) for worker in front.crew.workers] == [1, 1]
    for room in (made, "mine"):
        started = await front.http.post(f"{front.pages}/api/agents", json={"channel": room})
        assert started.status_code == 200, started.text
    assert [len(worker.owned_rooms) for worker in front.crew.workers] == [1, 1]
    for room in (made, "mine"):
        stopped = await front.http.post(f"{front.pages}/api/agents/stop", json={"channel": room})
        assert stopped.json() == {"stopped": True}
    token = (await front.http.post(f"{front.api}/rooms/mine/token", json={"role": "host"})).json()["token"]
    async with httpx.AsyncClient(trust_env=False, timeout=60, headers={"Authorization": f"Bearer {token}"}) as host:
        started = await host.post(f"{front.pages}/api/agents", json={"channel": "mine"})
        assert started.status_code == 200
        assert (await host.post(f"{front.pages}/api/agents", json={"channel": made})).status_code == 403
        assert (await host.get(f"{front.pages}/api/config")).json()["room"] == "mine"


# -------------------------------------------------------------------------------------------------------- who watches


async def test_watching_sessions_of_both_workers(front: Fronted) -> None:
    """WHEP to its end, by the resource that its answer names."""
    for id in [await start(front, f"c{n}") for n in range(2)]:
        async with _watching(front, f"/whep/{id}") as (viewer, place):
            await until(partial(_connected, viewer))
            assert (await front.http.get(place)).status_code == 204
            assert (await front.http.delete(place)).status_code == 200
            assert (await front.http.get(place)).status_code == 404
        options = await front.http.options(f"{front.pages}/whep/{id}")
        assert options.headers["accept-post"] == "application/sdp"


def _connected(viewer: MotionViewer) -> bool:
    return bool(viewer.pc.connectionState == "connected")


class _watching:
    """A viewer by WHEP."""

    def __init__(self, front: Fronted, path: str) -> None:
        self.front, self.path, self.viewer, self.place = front, path, MotionViewer(), ""

    async def __aenter__(self) -> tuple[MotionViewer, str]:
        async def ask(sdp: str) -> tuple[str, Any]:
            headers = {"content-type": "application/sdp"}
            reply = await self.front.http.post(f"{self.front.pages}{self.path}", content=sdp, headers=headers)
            assert reply.status_code == 201, reply.text
            self.place = str(reply.url.join(reply.headers["location"]))
            return reply.text, None

        await self.viewer.connect(ask)
        return self.viewer, self.place

    async def __aexit__(self, *exc: object) -> None:
        await self.viewer.close()


async def test_motion_over_a_websocket(front: Fronted) -> None:
    options: Any = {"proxy": None, "additional_headers": {"x-api-key": KEY}}
    place = front.pages.replace("http", "ws") + "/motion"
    for id in [await start(front, f"c{n}") for n in range(2)]:
        reader = Reader()
        async with connect(f"{place}/{id}?encoding=binary", subprotocols=["lipwire-motion"], **options) as ws:  # type: ignore[list-item]
            assert ws.subprotocol == "lipwire-motion"
            async with asyncio.timeout(30):
                while len(reader.frames) < 5:
                    reader.put(await ws.recv())
        assert (await front.http.get(f"{front.pages}/motion/{id}")).status_code == 204
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{place}/nobody", **options)
    assert refused.value.response.status_code == 404 and b"SESSION_NOT_FOUND" in (refused.value.response.body or b"")
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"{place}/nobody", proxy=None)
    assert refused.value.response.status_code == 401
    async with connect(f"{place}/rooms/lobby?user=me", **options) as ws:
        rooms = (await front.http.get(f"{front.pages}/api/rooms")).json()["rooms"]
        assert [room["name"] for room in rooms] == ["lobby"]
        assert await front.crew.find(Key("room", OPERATOR, "lobby")) is not None


@pytest.mark.parametrize(
    "target", ["/motion/x#y", "/motion/x?a#b", "[/motion/x", "@127.0.0.1:9/motion/x", ":9/motion/x", "motion/x"]
)
async def test_a_websocket_of_an_odd_target_is_refused(front: Fronted, target: str) -> None:
    """By the worker, as what it is."""
    at = urlsplit(front.pages)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    handshake = f"GET {target} HTTP/1.1\r\nHost: {at.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    handshake += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    writer.write(handshake.encode())
    status = int((await asyncio.wait_for(reader.readline(), 10)).split()[1])
    writer.close()
    assert status in (400, 401, 403, 404)


async def test_the_pages(front: Fronted) -> None:
    for path in (
        "/",
        "/viewer.js",
        "/agent",
        "/client/index.js",
        "/schema/openapi.json",
        "/avatars/aria.json?size=320x180",
    ):
        reply = await front.http.get(front.pages + path)
        assert reply.status_code == 200, path
        for name in ("content-security-policy", "x-content-type-options", "content-type"):
            assert len(reply.headers.get_list(name)) <= 1
    manifest = await front.http.get(f"{front.pages}/avatars/aria.json?size=320x180")
    tagged = {"if-none-match": manifest.headers["etag"]}
    assert (await front.http.get(f"{front.pages}/avatars/aria.json?size=320x180", headers=tagged)).status_code == 304


# ---------------------------------------------------------------------------------------------------------- who asks


async def test_wrong_keys_are_slowed_once_for_all_workers(front: Fronted) -> None:
    codes = []
    for n in range(8):
        reply = await front.http.get(f"{front.api}/session/x", headers={"x-api-key": f"wrong{n}"})
        codes.append(reply.status_code)
    assert codes == [401] * 6 + [429] * 2
    slowed = await front.http.get(f"{front.api}{C2}/agents", headers=basic("wrong"))
    assert (slowed.status_code, set(slowed.json())) == (429, {"detail", "reason"})
    assert int(slowed.headers["retry-after"]) >= 1
    guessed = await front.http.get(f"{front.pages}/api/sessions", headers={"x-api-key": "wrong"})
    assert (guessed.status_code, guessed.json()["code"]) == (429, "RATE_LIMITED")


@pytest.mark.parametrize("pages", [False, True])
async def test_a_wrong_key_for_the_cluster_is_one_guess(front: Fronted, pages: bool) -> None:
    place = f"{front.pages}/api/cluster" if pages else f"{front.api}/cluster"
    codes = [(await front.http.get(place, headers={"x-api-key": f"wrong{n}"})).status_code for n in range(8)]
    assert codes == [401] * 6 + [429] * 2


async def test_requests_of_a_key_are_counted_once(tmp_path: Path) -> None:
    file, key = tmp_path / "keys", make_key()
    add_key(file, key_line("acme", key, {"request_rate": 2}))
    async with fronted(tmp_path, api_keys_file=str(file)) as front:
        codes = [
            (await front.http.get(f"{front.pages}/api/sessions", headers={"x-api-key": key})).status_code
            for _ in range(6)
        ]
    assert codes[:4] == [200] * 4 and 429 in codes[4:]


async def test_other_sites_pages_are_kept_out_and_allowed_ones_read(tmp_path: Path) -> None:
    async with fronted(tmp_path, allowed_origins=("https://app.example.org",)) as front:
        foreign = await front.http.get(f"{front.pages}/api/sessions", headers={"origin": "https://evil.example"})
        assert (foreign.status_code, foreign.json()["code"]) == (403, "ORIGIN_NOT_ALLOWED")
        wrong = await front.http.get(f"{front.pages}/api/sessions", headers={"host": "evil.example"})
        assert (wrong.status_code, wrong.json()["code"]) == (421, "HOST_NOT_ALLOWED")
        for path in ("/api/sessions", "/", "/nothing"):
            ours = await front.http.get(front.pages + path, headers={"origin": "https://app.example.org"})
            assert ours.headers.get_list("access-control-allow-origin") == ["https://app.example.org"]
        page = (await front.http.get(f"{front.pages}/")).headers["content-security-policy"]
        assert page.endswith("frame-ancestors 'self' https://app.example.org")


async def test_without_any_key_the_pages_ask_nobody(tmp_path: Path) -> None:
    async with fronted(tmp_path, api_key=None) as front, httpx.AsyncClient(trust_env=False, timeout=60) as http:
        assert (await http.post(f"{front.pages}/api/rooms", json={"name": "lobby"})).status_code == 201
        assert len((await http.get(f"{front.pages}/api/rooms")).json()["rooms"]) == 1


# --------------------------------------------------------------------------------------------------- the front's own


async def test_metrics_of_all(front: Fronted) -> None:
    for n in range(3):
        await start(front, f"c{n}")
    reply = await front.http.get(f"{front.api}/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(reply.text)}
    assert {s.labels["worker"]: s.value for s in families["lipwire_sessions"].samples} == {"0": 2, "1": 1}
    assert families["lipwire_places_given"].samples[0].value == 3


async def test_the_cluster_is_its_operators_to_see(tmp_path: Path) -> None:
    file, key = tmp_path / "keys", make_key()
    add_key(file, key_line("acme", key))
    async with fronted(tmp_path, api_keys_file=str(file)) as front:
        await start(front, "c")
        view = (await front.http.get(f"{front.api}/cluster")).json()
        (node,) = view["nodes"]
        assert (view["placed"], view["nats"], [w["index"] for w in node["workers"]]) == (1, "none", [0, 1])
        assert (await front.http.get(f"{front.api}/cluster", headers={"x-api-key": key})).status_code == 403
        refused = await front.http.get(f"{front.api}/cluster", headers={"x-api-key": "wrong"})
        assert refused.json()["code"] == "INVALID_API_KEY"
        pages = (await front.http.get(f"{front.pages}/api/cluster")).json()
        assert [node["name"] for node in pages["nodes"]] == [node["name"]]
        assert (await front.http.get(f"{front.pages}/api/cluster", headers={"x-api-key": key})).status_code == 403
        assert "top.js" in (await front.http.get(f"{front.pages}/top")).text


async def test_what_a_dead_worker_ran_is_told_of(front: Fronted) -> None:
    session = await start(front, "c0")
    reply = await front.http.post(f"{front.api}{C2}/join", json=agent("a", "room"))
    id = reply.json()["agent_id"]
    place = await front.crew.find(Key("agent", "", id))
    assert place is not None
    crew = front.crew
    for worker in range(2):
        crew.ledger.died(worker, "the process that ran it was killed by SIGKILL", time.monotonic())
    gone = await front.http.get(f"{front.api}/session/{session}")
    assert (gone.status_code, gone.json()["code"]) == (404, "SESSION_NOT_FOUND")
    assert "SIGKILL" in gone.json()["message"]
    ended = (await front.http.get(f"{front.api}{C2}/agents/{id}")).json()
    assert (ended["agent_id"], ended["status"], ended["channel"]) == (id, "FAILED", "room")
    assert "SIGKILL" in ended["message"] and abs(ended["stop_ts"] - time.time()) < 30
    v1 = (await front.http.get(f"{front.api}{C1}/agents/{id}")).json()
    assert (v1["state"], "status" in v1) == ("FAILED", False)


@pytest.mark.parametrize("known", [0.0, 0.1], ids=["known", "known a moment later"])
async def test_who_asks_a_dead_worker_is_told_why_and_others_answer(front: Fronted, known: float) -> None:
    session, crew = await start(front, "c"), front.crew
    place = await crew.find(Key("session", "", session))
    assert place is not None

    def die() -> None:
        crew.down.add(place.worker)
        crew.ledger.died(place.worker, "the process that ran it was killed by SIGKILL", time.monotonic())

    for path in crew.paths(place.worker):
        os.unlink(path)
    await front.desk.close()
    front.desk._upstreams.clear()
    asyncio.get_running_loop().call_later(known, die)
    gone = await front.http.get(f"{front.api}/session/{session}")
    assert (gone.status_code, "SIGKILL" in gone.json()["message"]) == (404, True)
    crew.down.clear()
    for path in ("/", "/agent", "/viewer.js", "/client/index.js", "/avatars/aria.json?size=320x180"):
        assert (await front.http.get(f"{front.pages}{path}")).status_code == 200


async def test_a_start_that_reaches_no_worker_is_placed_once_more(front: Fronted) -> None:
    crew = front.crew
    os.unlink(crew.paths(0)[0])
    reason = "the process that ran it was killed by SIGKILL"
    asyncio.get_running_loop().call_later(0.1, lambda: crew.ledger.died(0, reason, time.monotonic()))
    await start(front, "c")
    assert spread(crew) == [0, 1] and [seat.counts["session"] for seat in crew.ledger.seats] == [0, 1]
    crew.ledger.up(0)
    refused = await front.http.post(f"{front.api}/session/start", json=body("other"))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1"), "it ends"
    assert [seat.counts["session"] for seat in crew.ledger.seats] == [0, 1]


async def test_a_start_while_workers_start_is_told_so(front: Fronted) -> None:
    front.crew.down |= {0, 1}
    for worker in range(2):
        front.crew.ledger.down(worker)
    refused = await front.http.post(f"{front.api}/session/start", json=body("c"))
    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "NO_CAPACITY", "1")
    assert "starting" in refused.json()["message"]


async def test_without_workers_who_asks_is_told_to_come_again(front: Fronted) -> None:
    front.crew.down |= {0, 1}
    for path, shape in (("/session/x", {"error", "message", "code"}), (f"{C2}/agents/x", {"detail", "reason"})):
        reply = await front.http.get(f"{front.api}{path}")
        assert (reply.status_code, set(reply.json()), reply.headers["retry-after"]) == (503, shape, "1")
    reply = await front.http.post(f"{front.api}/stop_agent", json={"channel_name": "x"})
    assert (reply.status_code, "error" in reply.json()) == (503, True)
    with pytest.raises(InvalidStatus) as refused:
        await connect(front.pages.replace("http", "ws") + "/motion/x", proxy=None)
    assert refused.value.response.status_code == 503


async def test_tokens_that_workers_make_are_good_everywhere(front: Fronted) -> None:
    authority: Authority = front.desk.reception.authority
    token = (await front.http.post(f"{front.api}/rooms/lobby/token", json={"role": "watch"})).json()["token"]
    assert authority.access(token).id == "lobby" and SECRET
