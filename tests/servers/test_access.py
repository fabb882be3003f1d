"""Who may do what on a server that has keys: every route against everybody who might ask. Real sockets throughout."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiortc
import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from lipwire.agents.config import AgentConfig
from lipwire.agents.errors import AgentStartFailed
from lipwire.app import agent_setup
from lipwire.app.config import Config
from lipwire.app.owners import SharedAudience
from lipwire.app.service import Service
from lipwire.errors import NoCapacity
from lipwire.protocol.access import MAY, Role, Subject
from lipwire.protocol.messages import StartReply
from lipwire.protocol.tokens import verify_token
from lipwire.provider.authority import ASKING_FROM
from lipwire.provider.client import request as start_request
from lipwire.provider.keys import OPERATOR, add_key, key_line, make_key, remove_keys
from lipwire.provider.quotas import Admission, Guesses
from lipwire.publish.audience import Missed
from lipwire.servers.access import MAX_TTL, count_requests, minting_routes
from lipwire.servers.http import create_app, serve_http
from support.browsing import eventually
from support.provider_stage import KEY, OTHER_KEY, Stage

pytestmark = pytest.mark.asyncio
SECRET = "0123456789abcdef0123456789abcdef"


async def offer() -> dict[str, str]:
    """A browser's offer, to receive."""
    peer = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    peer.createDataChannel("lipwire")
    for kind in ("audio", "video"):
        peer.addTransceiver(kind, direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    sdp, kind = peer.localDescription.sdp, peer.localDescription.type
    await peer.close()
    return {"sdp": sdp, "type": kind}


class World:
    """A public server with two owners, the operator and acme, each with one session."""

    def __init__(self, service: Service, http: httpx.AsyncClient, **keys: str) -> None:
        self.service, self.http, self.keys = service, http, keys
        self.sessions: dict[str, StartReply] = {}
        self.sdp: dict[str, str] = {}

    async def open(self) -> None:
        self.sdp = await offer()
        for owner, key in self.keys.items():
            wanted = start_request(owner, width=64, height=36)
            self.sessions[owner] = await self.service.provider.start(wanted, self.service.provider.check_api_key(key))

    def token(self, subject: Subject, id: str, role: Role, owner: str = OPERATOR, **more: Any) -> str:
        return self.service.provider.authority.issue(subject, id, role, **{"ttl": 60, "owner": owner, **more})

    async def ask(self, method: str, path: str, who: dict[str, str], body: Any = None) -> httpx.Response:
        """`body`: JSON, or SDP as a text."""
        url = self.service.viewer_url + path
        if isinstance(body, str):
            return await self.http.request(
                method, url, headers={**who, "content-type": "application/sdp"}, content=body
            )
        return await self.http.request(method, url, headers=who, json=body)

    async def mint(self, path: str, key: str = KEY, **body: Any) -> httpx.Response:
        return await self.http.post(f"{self.service.http_url}/{path}", headers={"x-api-key": key}, json=body)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    file, acme = tmp_path / "keys", make_key()
    add_key(file, key_line("acme", acme))
    config = Config(
        api_key=KEY,
        api_keys_file=str(file),
        session_secret=SECRET,
        host="127.0.0.1",
        http_port=0,
        ws_port=0,
        viewer_port=0,
        ice_host="127.0.0.1",
        agent_brain="echo",
        avatar="kit",
    )
    async with Service(config) as service, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        world = World(service, http, operator=KEY, acme=acme)
        await world.open()
        yield world


def routes(world: World, owner: str = OPERATOR, room: str = "lobby") -> list[tuple[str, str, Any, str, str]]:
    """Every route of the viewer port that asks who one is: method, path, body, what it is about, the action."""
    session = world.sessions[owner].session_id
    join = {**world.sdp, "user": "ann", "role": "viewer"}
    return [
        ("GET", "api/sessions", None, "owner", "list"),
        ("GET", f"api/sessions/{session}", None, "session", "watch"),
        ("POST", f"whep/{session}", world.sdp["sdp"], "session", "watch"),
        ("POST", f"api/sessions/{session}/say", {"text": "Hello."}, "session", "control"),
        ("POST", f"api/sessions/{session}/interrupt", {}, "session", "control"),
        ("GET", "api/rooms", None, "owner", "list"),
        ("POST", "api/rooms", {"name": room}, "owner", "create"),
        ("POST", f"api/rooms/{room}/offer", join, "room", "watch"),
        ("POST", f"api/rooms/{room}/offer", join | {"role": "speaker"}, "room", "join"),
        ("POST", f"whip/{session}", world.sdp["sdp"].replace("recvonly", "sendonly"), "session", "speak"),
        ("POST", f"whep/rooms/{room}", world.sdp["sdp"], "room", "watch"),
        ("POST", f"whip/rooms/{room}", world.sdp["sdp"].replace("recvonly", "sendonly"), "room", "join"),
        ("POST", f"rtc/rooms/{room}", world.sdp["sdp"], "room", "join"),
        ("POST", f"api/rooms/{room}/leave", {"user": "ann"}, "room", "watch"),
        ("POST", "api/agents", {"channel": room, "avatar": ""}, "room", "agents"),
        ("POST", "api/agents/stop", {"channel": room}, "room", "agents"),
    ]


async def test_a_stranger_gets_the_page_and_nothing_that_it_shows(world: World) -> None:
    for path in ("", "agent", "viewer.js", "server.js"):
        assert (await world.ask("GET", path, {})).status_code == 200
    strangers = [
        ({}, "MISSING_TOKEN"),
        ({"Authorization": "Basic YTpi"}, "MISSING_TOKEN"),
        (bearer("nonsense"), "INVALID_TOKEN"),
        (bearer(world.token("owner", OPERATOR, "admin")[:-2]), "INVALID_TOKEN"),
        (bearer(world.token("owner", OPERATOR, "admin", ttl=-1)), "INVALID_TOKEN"),
        (bearer(world.token("owner", "gone", "admin", owner="gone")), "INVALID_TOKEN"),
        ({"x-api-key": "a guess"}, "INVALID_API_KEY"),
    ]
    asked = [*routes(world), ("GET", "api/config", None, "", "")]
    for (who, code), (method, path, body, _, _) in itertools.product(strangers, asked):
        world.service.provider.authority.guesses = Guesses()
        world.service.provider.authority.token_guesses = Guesses()
        reply = await world.ask(method, path, who, body)
        assert (reply.status_code, reply.json()["code"]) == (401, code), (method, path)
        assert "lobby" not in reply.text and world.sessions[OPERATOR].session_id not in reply.text
    assert world.service.rooms.list() == {}
    assert not list(world.service.agents)
    assert not world.service.watched[world.sessions[OPERATOR].session_id].publisher.viewers


@pytest.mark.parametrize(("role", "subject"), [(role, subject) for role in MAY for subject in MAY[role]])
async def test_a_token_opens_what_the_table_says_and_nothing_else(world: World, role: Role, subject: Subject) -> None:
    about = {"session": world.sessions[OPERATOR].session_id, "room": "lobby", "owner": OPERATOR}[subject]
    named = "ann" if subject == "room" else ""
    mine = bearer(world.token(subject, about, role, owner="" if role == "speak" else OPERATOR, name=named))
    for method, path, body, kind, action in routes(world):
        reply = await world.ask(method, path, mine, body)
        may = action in MAY[role][subject] and kind in (subject, *(("session", "room") if subject == "owner" else ()))
        assert (reply.status_code < 300) is may, (role, method, path, reply.text)
        if not may:
            assert (reply.status_code, reply.json()["code"]) == (403, "NOT_ALLOWED"), (role, path)
    # Of another owner's: as if it were not there, or another room of that name.
    for method, path, body, kind, _ in routes(world, "acme", room="other"):
        reply = await world.ask(method, path, mine, body)
        if kind == "session":
            assert reply.status_code in (403, 404), (role, path)
        elif subject == "room":
            assert reply.status_code == 403, (role, path)
        assert world.sessions["acme"].session_id not in reply.text
    assert world.service.owned_rooms.of("acme").list() == {}


async def test_why_an_agent_could_not_start_is_not_for_who_holds_a_token(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*args: Any) -> None:
        error = AgentStartFailed("cannot connect to realtime at models.internal: Connection refused")
        error.failure = "SERVICE_ERROR"
        raise error

    monkeypatch.setattr(world.service.agents, "start", fail)
    wanted = {"channel": "lobby", "avatar": ""}
    for who, told in (
        ({"x-api-key": KEY}, "models.internal"),
        (bearer(world.token("room", "lobby", "host")), "SERVICE_ERROR"),
    ):
        reply = await world.ask("POST", "api/agents", who, wanted)
        assert reply.status_code == 503 and told in reply.json()["message"], reply.text
        assert ("models.internal" in reply.text) == (told == "models.internal")


@pytest.mark.parametrize("who", ["key", "admin"])
async def test_another_owner_finds_nothing_of_mine(world: World, who: str) -> None:
    await world.ask("POST", "api/agents", {"x-api-key": KEY}, {"channel": "lobby", "avatar": ""})
    (record,) = world.service.agents.active
    theirs = bearer(world.token("owner", "acme", "admin", "acme"))
    if who == "key":
        theirs = {"x-api-key": world.keys["acme"]}
    listed = (await world.ask("GET", "api/sessions", theirs)).json()["sessions"]
    assert [one["session_id"] for one in listed] == [world.sessions["acme"].session_id]
    assert (await world.ask("GET", "api/rooms", theirs)).json() == {"rooms": []}
    for method, path, body, kind, _ in routes(world):
        if kind == "session":
            reply = await world.ask(method, path, theirs, body)
            assert (reply.status_code, reply.json()["code"]) == (404, "SESSION_NOT_FOUND")
    assert (await world.ask("POST", "api/agents/stop", theirs, {"channel": "lobby"})).json() == {"stopped": False}
    assert record.active
    # A room of that name is a room of its own, so there is nobody to take a name from, or to evict.
    assert (await world.ask("POST", "api/rooms", theirs, {"name": "lobby"})).status_code == 201
    assert (await world.ask("GET", "api/rooms", theirs)).json() == {"rooms": [{"name": "lobby", "members": []}]}
    assert len(world.service.rooms.list()["lobby"]) == 1


async def test_a_name_belongs_to_its_token(world: World) -> None:
    ann, bob = (bearer(world.token("room", "lobby", "member", name=name)) for name in ("ann", "bob"))
    join = {**world.sdp, "role": "speaker"}
    assert (await world.ask("POST", "api/rooms/lobby/offer", ann, join)).status_code == 200, "the token says who"
    assert set(world.service.rooms._rooms["lobby"].browsers) == {"ann"}
    for path, body in (("offer", join | {"user": "ann"}), ("leave", {"user": "ann"})):
        reply = await world.ask("POST", f"api/rooms/lobby/{path}", bob, body)
        assert (reply.status_code, reply.json()["code"]) == (403, "NOT_ALLOWED")
    assert set(world.service.rooms._rooms["lobby"].browsers) == {"ann"}
    assert (await world.ask("POST", "api/rooms/lobby/leave", bob, {})).json() == {"left": False}
    assert (await world.ask("POST", "api/rooms/lobby/leave", ann, {})).json() == {"left": True}
    config = (await world.ask("GET", "api/config", ann)).json()
    assert (config["room"], config["user"], config["agents"]) == ("lobby", "ann", False)


async def test_pages_leave_rooms_for_agents(world: World) -> None:
    world.service.owned_rooms._limit = 4
    key = {"x-api-key": KEY}
    for n in range(3):
        assert (await world.ask("POST", "api/rooms", key, {"name": f"r{n}"})).status_code == 201
    full = await world.ask("POST", "api/rooms", key, {})
    assert (full.status_code, full.json()["code"]) == (503, "NO_CAPACITY")
    join = {**world.sdp, "user": "ann"}
    assert (await world.ask("POST", "api/rooms/new/offer", key, join)).status_code == 503
    assert (await world.ask("POST", "api/rooms/r0/offer", key, join)).status_code == 200
    assert (await world.ask("POST", "api/agents", key, {"channel": "agents", "avatar": ""})).status_code == 200


async def test_joins_of_an_address_are_counted(tmp_path: Path) -> None:
    config = Config(
        api_key=KEY, host="127.0.0.1", http_port=0, ws_port=0, viewer_port=0, ice_host="127.0.0.1", joins_a_minute=2
    )
    async with Service(config) as service, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        world = World(service, http, operator=KEY)
        await world.open()
        path, key = f"whep/{world.sessions[OPERATOR].session_id}", {"x-api-key": KEY}
        replies = [await world.ask("POST", path, key, world.sdp["sdp"]) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [201, 201, 429]
    assert replies[2].json()["code"] == "RATE_LIMITED"
    assert 1 <= int(replies[2].headers["retry-after"]) <= 30


@pytest.mark.parametrize("path", ["api/rooms", "api/rooms/r/offer", "whep/{}", "whip/rooms/r"])
async def test_a_join_is_counted_before_its_body_is_parsed(tmp_path: Path, path: str) -> None:
    config = Config(
        api_key=KEY, host="127.0.0.1", http_port=0, ws_port=0, viewer_port=0, ice_host="127.0.0.1", joins_a_minute=2
    )
    async with Service(config) as service, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        world = World(service, http, operator=KEY)
        await world.open()
        url = path.format(world.sessions[OPERATOR].session_id)
        body: Any = "no SDP" if url.startswith("wh") else {"name": 1}
        replies = [await world.ask("POST", url, {"x-api-key": KEY}, body) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [400, 400, 429]


class Peer:
    """A connection that has missed nothing."""

    missed = Missed()


async def test_an_address_has_only_a_part_of_the_places() -> None:
    audience = SharedAudience(4, 2)
    first, second, *more = [Peer() for _ in range(8)]
    ASKING_FROM.set("192.0.2.1")
    audience.enter(first)
    audience.enter(second, "Ann")
    with pytest.raises(NoCapacity, match="from your address"):
        audience.enter(more[0])
    audience.enter(more[0], "Ann")  # who comes again has a place already
    audience.leave(first)
    audience.enter(more[1])
    ASKING_FROM.set("2001:db8::1")
    audience.enter(more[2])
    ASKING_FROM.set("2001:db8::2")  # a network of /64 is one address
    audience.enter(more[3])
    with pytest.raises(NoCapacity):
        audience.enter(more[4])
    assert (len(audience), audience.refused) == (4, 2)
    ASKING_FROM.set("198.51.100.1")
    with pytest.raises(NoCapacity, match="max_viewers"):
        audience.enter(more[4])
    for peer in (second, *more):
        audience.leave(peer)
        audience.leave(peer)
    assert (len(audience), audience._from) == (0, {})


async def test_viewers_of_an_address_are_counted_over_http(tmp_path: Path) -> None:
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "host": "127.0.0.1"}
    config = Config(**ports, api_key=KEY, ice_host="127.0.0.1", max_viewers_per_address=2)
    async with Service(config) as service, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        world = World(service, http, operator=KEY)
        await world.open()
        path, key = f"whep/{world.sessions[OPERATOR].session_id}", {"x-api-key": KEY}
        assert (await world.ask("POST", path, key, world.sdp["sdp"])).status_code == 201
        join = world.sdp | {"user": "ann"}
        assert (await world.ask("POST", "api/rooms/lobby/offer", key, join)).status_code == 200
        for full, body in ((path, world.sdp["sdp"]), ("api/rooms/lobby/offer", world.sdp | {"user": "bob"})):
            reply = await world.ask("POST", full, key, body)
            assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (503, "NO_CAPACITY", "5")


# ------------------------------------------------------------------------------------------ agents of several owners


REST = "/api/conversational-ai-agent/v2/projects/x"


class Agents:
    """The REST of agents, with one owner's key."""

    def __init__(self, world: World, owner: str) -> None:
        self.world, self.key = world, world.keys[owner]

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        url = self.world.service.http_url + path
        json = {} if body is None else body
        if path.startswith("/api"):
            return await self.world.http.post(url, json=json, auth=("me", self.key))
        return await self.world.http.post(url, json=json, headers={"x-api-key": self.key})

    async def get(self, path: str) -> httpx.Response:
        return await self.world.http.get(self.world.service.http_url + path, auth=("me", self.key))

    async def join(self, name: str, channel: str = "lobby", uid: str = "7") -> httpx.Response:
        llm = {"url": "https://llm.example.org/v1/chat/completions"}  # never called: the brain is echo
        properties = {"channel": channel, "agent_rtc_uid": uid, "remote_rtc_uids": ["*"], "token": "", "llm": llm}
        return await self.post(f"{REST}/join", {"name": name, "properties": properties})


async def test_another_owners_agent_is_not_there(world: World) -> None:
    mine, theirs = Agents(world, OPERATOR), Agents(world, "acme")
    joined = await mine.join("one")
    assert joined.status_code == 200, joined.text
    agent = joined.json()["agent_id"]
    for path in ("", "/history", "/turns"):
        found, nobody = await theirs.get(f"{REST}/agents/{agent}{path}"), await theirs.get(f"{REST}/agents/none{path}")
        assert found.status_code == nobody.status_code == 404
        assert found.json() == {**nobody.json(), "detail": nobody.json()["detail"].replace("none", agent)}
    for verb, body in (("leave", {}), ("update", {}), ("speak", {"text": "Hi."}), ("interrupt", {})):
        assert (await theirs.post(f"{REST}/agents/{agent}/{verb}", body)).status_code == 404
    assert (await theirs.get(f"{REST}/agents")).json()["data"]["list"] == []
    for path in ("/stop_agent", "/stop"):
        assert (await theirs.post(path, {"channel_name": "lobby"})).status_code == 404
    command = {"channel_name": "lobby", "command": "commit_audio_buffer"}
    assert (await theirs.post("/control_agent", command)).status_code == 404
    (record,) = world.service.agents.active
    assert record.id == agent

    # Name, channel and user id are free for another owner: its room is another one.
    assert (await mine.join("one", "other")).status_code == 409
    second = await theirs.join("one")
    assert second.status_code == 200, second.text
    assert {r.config.owner for r in world.service.agents.active} == {OPERATOR, "acme"}
    for owner in (OPERATOR, "acme"):
        assert [member.user for member in world.service.owned_rooms.of(owner).list()["lobby"]] == ["7"]
    assert (await theirs.post("/stop_agent", {"channel_name": "lobby"})).status_code == 200
    assert [r.id for r in world.service.agents.active] == [agent]
    listed = (await mine.get(f"{REST}/agents")).json()["data"]["list"]
    assert [one["agent_id"] for one in listed] == [agent], "of its own, also those that have ended"


class Late(Admission):
    """Of a machine that does not keep up."""

    def reason(self, now: float, part: float = 1.0) -> str:
        return "it is late"


async def test_how_this_machine_keeps_up_is_measured_while_it_works(world: World) -> None:
    admission = world.service.provider.admission

    async def measured() -> bool:
        seen = [load for _, load in admission._seen]
        return len(seen) > 2 and seen[-1].frames > seen[0].frames > 0 and seen[-1].busy > seen[0].busy > 0

    await eventually(measured)


async def test_an_owner_has_so_many_agents_and_rooms_and_the_others_theirs(tmp_path: Path) -> None:
    file, acme = tmp_path / "keys", make_key()
    add_key(file, key_line("acme", acme, {"agents": 1, "rooms": 1}))
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "ice_host": "127.0.0.1"}
    config = Config(**ports, api_key=KEY, api_keys_file=str(file), host="127.0.0.1", agent_brain="echo", max_rooms=2)
    async with Service(config) as service, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        world = World(service, http, operator=KEY, acme=acme)
        mine, theirs = Agents(world, OPERATOR), Agents(world, "acme")
        assert (await theirs.join("one")).status_code == 200
        limited = await theirs.join("two", "room two")
        assert (limited.status_code, limited.json()["reason"]) == (422, "ResourceQuotaLimitExceeded")
        assert limited.headers["retry-after"]
        room = await world.ask("POST", "api/rooms", {"x-api-key": acme}, {"name": "more"})
        assert (room.status_code, room.json()["code"], room.headers["retry-after"]) == (503, "NO_CAPACITY", "5")
        assert (await mine.join("one")).status_code == 200
        assert (await mine.join("three", "a third room")).status_code == 503, "there are two rooms in all"
        service.provider.admission = Late()
        late = await mine.join("two", uid="8")
        assert (late.status_code, late.headers["retry-after"]) == (503, "10")


async def test_what_an_owner_has_ends_with_its_last_key(world: World) -> None:
    service, key = world.service, {"x-api-key": world.keys["acme"]}
    assert service.config.api_keys_file is not None
    assert (await world.ask("POST", "api/agents", key, {"channel": "room", "avatar": ""})).status_code == 200
    mine = {"x-api-key": KEY}
    assert (await world.ask("POST", "api/agents", mine, {"channel": "room", "avatar": ""})).status_code == 200
    token = world.sessions["acme"].session_token
    remove_keys(Path(service.config.api_keys_file), "acme")

    async def operators_alone() -> bool:
        left = {session.owner for session in service.provider.sessions}
        return left | {record.config.owner for record in service.agents.active} == {OPERATOR}

    await eventually(operators_alone)
    assert len(service.provider.sessions) == len(service.agents.active) == 1
    with pytest.raises(InvalidStatus) as refused:
        await connect(
            f"ws://127.0.0.1:{service.ws_port}", additional_headers={"Authorization": f"Bearer {token}"}, proxy=None
        )
    assert refused.value.response.status_code == 404


async def test_the_operators_agora_project_makes_no_tokens_for_others(tmp_path: Path) -> None:
    file, acme = tmp_path / "keys", make_key()
    add_key(file, key_line("acme", acme))
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer": False, "host": "127.0.0.1"}
    agora: dict[str, Any] = {"agora_app_id": "a" * 32, "agora_app_certificate": "b" * 32}
    async with Service(Config(**ports, **agora, api_key=KEY, api_keys_file=str(file))) as service:
        async with httpx.AsyncClient(trust_env=False) as http:
            url = f"{service.http_url}/token?channel=lobby"
            assert (await http.get(url, headers={"x-api-key": KEY})).json()["token"].startswith("007")
            refused = await http.get(url, headers={"x-api-key": acme})
            assert (refused.status_code, refused.json()["code"]) == (403, "NOT_ALLOWED")
        for owner, has in ((OPERATOR, True), ("acme", False)):
            config = AgentConfig(name="a", channel="lobby", uid="7", owner=owner)
            options = service.agent_setup.agora_options(config)
            assert (bool(options.token), options.certificate is not None) == (has, has)


async def test_a_members_token_of_agoras_is_for_that_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_setup, "available", lambda: True)  # the SDK: the page offers the channels then
    app_id, certificate = "a" * 32, "b" * 32
    agora: dict[str, Any] = {"agora_app_id": app_id, "agora_app_certificate": certificate}
    ports: dict[str, Any] = {"http_port": 0, "ws_port": 0, "viewer_port": 0, "host": "127.0.0.1"}
    sdk = tmp_path / "sdk.js"
    sdk.write_text("")
    async with (
        Service(Config(**ports, **agora, api_key=KEY, agora_web_sdk=str(sdk))) as service,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        world = World(service, http, operator=KEY)

        async def account(who: dict[str, str], **more: Any) -> str:
            reply = await world.ask("POST", "token", who, {"channel": "lobby", **more})
            assert reply.status_code == 200, reply.text
            parsed = verify_token(reply.json()["token"], certificate, now=time.time(), app_id=app_id)
            assert (parsed.channel, parsed.account) == ("lobby", str(reply.json()["uid"]))
            return str(parsed.account)

        async def refused(who: dict[str, str], uid: int) -> bool:
            reply = await world.ask("POST", "token", who, {"channel": "lobby", "uid": uid})
            return (reply.status_code, reply.json().get("code")) == (403, "NOT_ALLOWED")

        for role in ("member", "host"):
            number = bearer(world.token("room", "lobby", role, name="123456"))
            assert await account(number) == await account(number, uid=123456) == "123456"
            assert await refused(number, 123457)
        accounts = {"123456"}
        for name in ("Ann", "Bob", "0", "0123456", "4294967296", "9" * 40, "²"):
            member = bearer(world.token("room", "lobby", "member", name=name))
            own = await account(member)
            assert 1 <= int(own) < 2**31
            assert own == await account(member) == await account(member, uid=int(own)), "it can be renewed"
            assert await refused(member, 123456)
            accounts.add(own)
        assert len(accounts) == 8
        key = {"x-api-key": KEY}
        assert await account(key, uid=7) == "7"
        assert await account(key) != await account(key)
        watcher = bearer(world.token("room", "lobby", "watch", name="123456"))
        assert await refused(watcher, 123456)


# ---------------------------------------------------------------------------------------------------- without any key


async def test_without_a_key_on_this_machine_alone_nobody_is_asked() -> None:
    config = Config(http_port=0, ws_port=0, viewer_port=0, ice_host="127.0.0.1", agent_brain="echo", avatar="kit")
    async with Service(config) as service, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        world = World(service, http, operator=service.api_key)
        await world.open()
        assert service.page_link() == service.viewer_url
        for method, path, body, _, _ in routes(world):
            reply = await world.ask(method, path, {}, body)
            assert reply.status_code < 300, (path, reply.text)
        assert (await world.ask("GET", "api/config", bearer("of yesterday"))).status_code == 200


# ----------------------------------------------------------------------------------------------------- making tokens


async def test_an_api_key_makes_tokens_for_its_own_and_links_to_the_pages(world: World) -> None:
    session = world.sessions[OPERATOR].session_id
    for role in ("watch", "control"):
        made = (await world.mint(f"session/{session}/token", role=role, ttl=60)).json()
        assert made["role"] == role
        assert made["link"] == f"{world.service.viewer_url}?session={session}#token={made['token']}"
        reply = await world.ask("GET", f"api/sessions/{session}", bearer(made["token"]))
        assert reply.json()["capabilities"]["interrupt"] is (role == "control")
    made = (await world.mint("rooms/my%20lobby/token", role="host", name="Ann")).json()
    assert (made["role"], made["name"]) == ("host", "Ann")
    assert made["link"] == f"{world.service.viewer_url}agent?channel=my%20lobby#token={made['token']}"
    config = (await world.ask("GET", "api/config", bearer(made["token"]))).json()
    assert (config["room"], config["user"], config["channel"], config["agents"]) == (
        "my lobby",
        "Ann",
        "my lobby",
        True,
    )
    nameless = [(await world.mint("rooms/lobby/token")).json() for _ in range(8)]
    assert nameless[0]["role"] == "member"
    assert len({one["name"] for one in nameless}) == 8, "a token is for one name, given or not"
    assert max(int(one["name"]) for one in nameless) >= 10**7, "so many that no two are the same"

    longest = (await world.mint(f"rooms/{'%F0%9F%98%80' * 64}/token", name="\U0001f600" * 64)).json()
    assert (await world.ask("GET", "api/config", bearer(longest["token"]))).json()["user"] == "\U0001f600" * 64

    theirs = await world.mint(f"session/{session}/token", world.keys["acme"], role="watch")
    nobody = await world.mint("session/nobody/token", world.keys["acme"], role="watch")
    assert (theirs.status_code, theirs.json()) == (404, nobody.json())
    owned = (await world.mint("rooms/lobby/token", world.keys["acme"], name="Bob")).json()
    assert (await world.ask("POST", "api/rooms/lobby/offer", bearer(owned["token"]), world.sdp)).status_code == 200
    assert set(world.service.owned_rooms.of("acme").list()) == {"lobby"}
    assert set(world.service.rooms.list()) == set()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("rooms/lobby/token", {"role": "admin"}, 400),
        ("rooms/lobby/token", {"role": "speak"}, 400),
        ("rooms/lobby/token", {"role": 1}, 400),
        ("session/SESSION/token", {"role": "watch", "name": "x"}, 400),
        ("session/SESSION/token", {"name": "x"}, 400),
        ("rooms/lobby/token", {"name": ""}, 400),
        ("rooms/lobby/token", {"name": "n" * 65}, 400),
        ("rooms/lobby/token", {"ttl": 0}, 400),
        ("rooms/lobby/token", {"ttl": MAX_TTL + 1}, 400),
        ("rooms/" + "x" * 65 + "/token", {}, 400),
        ("session/SESSION/token", {"role": "member"}, 400),
        ("session/SESSION/token", {"token": ""}, 400),
        ("session/SESSION/token", {"token": "007" * 1000}, 400),
        ("session/SESSION/token", {"token": "007ok"}, 400),  # it is in no channel of Agora's
        ("rooms/lobby/token", {"expires": 60}, 400),
        ("session/SESSION/token", {"role": "watch", "TTL": 60}, 400),
        ("session/nobody/token", {}, 404),
    ],
)
async def test_what_cannot_be_made_is_refused_in_words(
    world: World, path: str, body: dict[str, Any], status: int
) -> None:
    reply = await world.mint(path.replace("SESSION", world.sessions[OPERATOR].session_id), **body)
    assert reply.status_code == status, reply.text
    assert set(reply.json()) == {"error", "message", "code"}


async def test_no_token_makes_a_token(world: World) -> None:
    session = world.sessions[OPERATOR]
    tokens = [session.session_token, world.token("owner", OPERATOR, "admin"), world.token("room", "lobby", "host")]
    for token, path in itertools.product(tokens, (f"session/{session.session_id}/token", "rooms/lobby/token")):
        reply = await world.http.post(f"{world.service.http_url}/{path}", headers=bearer(token), json={})
        assert (reply.status_code, reply.json()["code"]) == (403, "MISSING_API_KEY")


async def test_a_session_token_is_renewed_and_the_channels_with_it() -> None:
    stage = Stage(token_ttl=60)
    app = create_app(stage.provider, route_handlers=minting_routes(stage.provider, lambda: ""))
    server = await serve_http(app, "127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
        reply, key = await stage.start(), {"x-api-key": KEY}
        path = f"/session/{reply.session_id}/token"
        stage.wall += 59
        renewed = (await http.post(path, headers=key)).json()
        assert set(renewed) == {"token", "role", "expires_at"}
        assert renewed["expires_at"] == stage.wall + 60
        stage.wall += 30
        assert stage.provider.check_token(renewed["token"]).id == reply.session_id
        assert (await http.get(f"/session/{reply.session_id}", headers=bearer(reply.session_token))).status_code == 401
        assert (await http.get(f"/session/{reply.session_id}", headers=bearer(renewed["token"]))).status_code == 200

        answer = await http.post(path, headers=key, json={"token": "007new", "ttl": 5})
        assert answer.json()["expires_at"] == stage.wall + 5
        assert stage.made[0].calls == [("renew", "007new")]
        assert (await http.post(path, headers={"x-api-key": OTHER_KEY}, json={"token": "007theirs"})).status_code == 404
        assert stage.made[0].calls == [("renew", "007new")]
        await stage.provider.end(stage.provider.sessions[0], "stopped")
        assert (await http.post(path, headers=key)).status_code == 404
    await server.close()


# ----------------------------------------------------------------------------------------------- how often, and guesses


async def test_requests_of_an_address_are_counted_and_told_when_to_come_back() -> None:
    stage = Stage()
    app = create_app(stage.provider, middleware=[count_requests(stage.provider.authority, 5)])
    server = await serve_http(app, "127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
        statuses = [(await http.get("/healthz")).status_code for _ in range(11)]
        assert statuses == [200] * 10 + [429]
        refused = await http.get("/healthz")
        assert (refused.json()["code"], refused.headers["retry-after"]) == ("RATE_LIMITED", "1")
        with pytest.raises(InvalidStatus) as handshake:
            await connect(f"ws://127.0.0.1:{server.port}/motion/x", proxy=None)
        same = handshake.value.response
        assert (same.status_code, same.headers["retry-after"], same.body) == (429, "1", refused.content)
        stage.now += 1
        assert [(await http.get("/healthz")).status_code for _ in range(6)] == [200] * 5 + [429]
    await server.close()


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("PUT", "/healthz"), ("OPTIONS", "/session/x/y")])
async def test_what_is_not_there_counts_too(method: str, path: str) -> None:
    stage = Stage()
    app = create_app(stage.provider, middleware=[count_requests(stage.provider.authority, 5)])
    server = await serve_http(app, "127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
        replies = [await http.request(method, path) for _ in range(11)]
        assert {reply.status_code for reply in replies[:10]} <= {404, 405}
        assert (replies[10].status_code, replies[10].json()["code"]) == (429, "RATE_LIMITED")
        assert replies[10].headers["retry-after"] == "1"
        assert (await http.get("/healthz")).status_code == 429
        page = {"origin": "https://app.example", "access-control-request-method": "GET"}
        assert (await http.options("/healthz", headers=page)).status_code != 429
    await server.close()


async def test_behind_a_proxy_nobody_goes_uncounted_and_nobody_counts_for_another() -> None:
    stage = Stage()
    app = create_app(stage.provider, middleware=[count_requests(stage.provider.authority, 5)])
    server = await serve_http(app, "127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:

        async def statuses(*forwarded: str) -> list[int]:
            replies = [await http.get("/healthz", headers={"x-forwarded-for": text}) for text in forwarded]
            return [reply.status_code for reply in replies]

        assert await statuses(*(f"nobody {n}" for n in range(11))) == [200] * 10 + [429]
        assert await statuses(*(f"198.51.100.{n}, 192.0.2.1" for n in range(11))) == [200] * 10 + [429]
        assert await statuses("192.0.2.2") == [200]
    await server.close()


async def test_guesses_wait_but_who_is_at_work_does_not() -> None:
    stage = Stage()
    app = create_app(stage.provider, middleware=[count_requests(stage.provider.authority, 0)])
    server = await serve_http(app, "127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as http:
        reply = await stage.start()
        path = f"/session/{reply.session_id}"

        async def status(**headers: str) -> int:
            return (await http.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})).status_code

        assert await status(x_api_key=KEY) == 200
        assert [await status(x_api_key=f"guess {n}") for n in range(8)] == [401] * 6 + [429] * 2
        refused = await http.get(path, headers={"x-api-key": "guess"})
        assert (refused.json()["code"], refused.headers["retry-after"]) == ("RATE_LIMITED", "1")
        assert await status(x_api_key=OTHER_KEY) == 429, "right or wrong, it is not told"
        assert await status(authorization="Bearer nonsense") == 401, "tokens are counted for themselves"
        assert await status() == 403, "who brings nothing guesses nothing"
        # Who was right from here before, and what nobody can guess.
        assert await status(x_api_key=KEY) == 200
        assert await status(authorization=f"Bearer {reply.session_token}") == 200
        stage.now += 1
        assert await status(x_api_key="guess") == 401
        assert await status(x_api_key="guess") == 429
        stage.now += 2
        assert await status(x_api_key=OTHER_KEY) == 404, "another's session"
        assert await status(x_api_key="guess") == 401
    await server.close()


async def test_guesses_at_the_websocket_wait_too(world: World) -> None:
    url = world.sessions[OPERATOR].websocket_address
    seen = []
    for n in range(8):
        with pytest.raises(InvalidStatus) as caught:
            await connect(url, additional_headers=bearer(f"guess.{n}.x"), proxy=None)
        seen.append(caught.value.response.status_code)
    assert seen == [401] * 6 + [429] * 2
    assert int(caught.value.response.headers["Retry-After"]) >= 1
    async with connect(url, additional_headers=bearer(world.sessions[OPERATOR].session_token), proxy=None):
        pass


async def test_a_token_for_a_page_does_not_speak(world: World) -> None:
    session = world.sessions[OPERATOR]
    about: list[tuple[Subject, str, Role]] = [
        ("session", session.session_id, "watch"),
        ("session", session.session_id, "control"),
        ("room", session.session_id, "member"),
        ("owner", OPERATOR, "admin"),
    ]
    for subject, id, role in about:
        with pytest.raises(InvalidStatus) as caught:
            await connect(
                session.websocket_address, additional_headers=bearer(world.token(subject, id, role)), proxy=None
            )
        assert caught.value.response.status_code == 401
        headers = bearer(world.token(subject, id, role))
        figures = await world.http.get(f"{world.service.http_url}/session/{session.session_id}", headers=headers)
        assert figures.status_code in (401, 404)
