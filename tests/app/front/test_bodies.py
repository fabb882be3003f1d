"""Whose a request is, by its path, its body or its token."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lipwire.app import agent_setup
from lipwire.app.config import Config
from lipwire.app.front import bodies
from lipwire.app.front.asking import NOBODY, Who
from lipwire.app.front.routes import API, PAGES, Table
from lipwire.cluster.placement import Key
from lipwire.protocol.access import Access
from lipwire.protocol.tokens import issue_access
from support.agent_bodies import V1, V2, changed
from support.provider_stage import start_body

SECRET = "s" * 32
OURS = Who("acme")
CONTROL = "/api/conversational-ai-agent"


def find(method: str, path: str, *, pages: bool = False) -> Any:
    return Table(PAGES if pages else API).find(method, path)


def key(method: str, path: str, body: Any = None, who: Who = OURS, *, pages: bool = False) -> Key | None:
    return bodies.key_of(find(method, path, pages=pages), who, json.dumps(body).encode(), SECRET)


def token(session_id: str, secret: str = SECRET) -> str:
    return issue_access(Access(subject="session", id=session_id, role="speak"), secret, now=0, ttl=1)


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/session/abc", None, Key("session", "", "abc")),
        ("DELETE", "/session/stop", {"session_id": "abc"}, Key("session", "", "abc")),
        ("DELETE", "/session/stop", {"session_token": token("abc")}, Key("session", "", "abc")),
        ("DELETE", "/session/stop", {"session_token": token("abc", "t" * 32)}, None),
        ("DELETE", "/session/stop", {"session_id": 5}, None),
        ("DELETE", "/session/stop", [], None),
        ("POST", f"{CONTROL}/v2/projects/x/agents/abc/speak", None, Key("agent", "", "abc")),
        ("GET", f"/cn{CONTROL}/v1/projects/x/agents/abc", None, Key("agent", "", "abc")),
        ("POST", "/stop_agent", {"channel_name": "lobby"}, Key("room", "acme", "lobby")),
        ("POST", "/control_agent", {"channel_name": 3}, None),
        ("POST", "/rooms/lobby/token", None, None),
    ],
)
def test_what_exists(method: str, path: str, body: Any, expected: Key | None) -> None:
    assert key(method, path, body) == expected


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/whep/abc", None, Key("session", "", "abc")),
        ("POST", "/whip/rooms/lobby", None, Key("room", "acme", "lobby")),
        ("PATCH", "/rtc/peers/xyz", None, Key("peer", "", "xyz")),
        ("WEBSOCKET", "/motion/abc", None, Key("session", "", "abc")),
        ("WEBSOCKET", "/motion/rooms/lobby", None, Key("room", "acme", "lobby")),
        ("POST", "/api/agents/stop", {"channel": " lobby "}, Key("room", "acme", "lobby")),
        ("POST", "/api/rooms/lobby/leave", None, Key("room", "acme", "lobby")),
        ("GET", "/viewer.js", None, None),
    ],
)
def test_what_exists_on_the_pages(method: str, path: str, body: Any, expected: Key | None) -> None:
    assert key(method, path, body, pages=True) == expected


def test_of_nobody_nothing_is_found_that_is_an_owners() -> None:
    assert key("POST", "/stop_agent", {"channel_name": "lobby"}, NOBODY) is None
    assert key("POST", "/whip/rooms/lobby", None, NOBODY, pages=True) is None


def test_a_token_names_its_session() -> None:
    who = Who(None, Access(subject="session", id="abc", role="speak"))
    assert key("DELETE", "/session/stop", {}, who) == Key("session", "", "abc")
    assert key("GET", "/api/config", None, who, pages=True) == Key("session", "", "abc")


def need(method: str, path: str, body: Any, who: Who = OURS, *, pages: bool = False) -> Any:
    return bodies.need_of(find(method, path, pages=pages), who, json.dumps(body).encode(), path, Config())


def test_an_agent_that_goes_to_agora_opens_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_setup, "available", lambda: True)
    found, path = find("POST", f"{CONTROL}/v2/projects/x/join"), f"{CONTROL}/v2/projects/x/join"
    for config, opens in ((Config(), True), (Config(agora_app_id="0" * 32), False)):
        asked = bodies.need_of(found, OURS, json.dumps(V2).encode(), path, config)
        assert asked is not None and asked.opens_room is opens
        assert Key("room", "acme", "test_channel") in asked.keys, "it is steered by its channel"


def test_what_needs_a_place() -> None:
    session = need("POST", "/session/start", start_body())
    assert (session.kind, session.owner, session.weight > 0, session.pixel_rate > 0) == ("session", "acme", True, True)
    assert [one.kind for one in session.keys] == ["channel"]
    for version, body in (("v1", V1), ("v2", V2)):
        agent = need("POST", f"{CONTROL}/{version}/projects/x/join", body)
        assert (agent.kind, agent.owner) == ("agent", "acme")
        assert set(agent.keys) == {Key("name", "acme", "unique_name"), Key("room", "acme", "test_channel")}
    started = need("POST", "/start_agent", {"app_id": "a", "channel_name": "lobby", "uid": 5})
    assert Key("room", "acme", "lobby") in started.keys
    page = need("POST", "/api/agents", {"channel": "lobby"}, pages=True)
    assert (page.kind, Key("room", "acme", "lobby") in page.keys) == ("agent", True)
    assert need("POST", "/api/rooms", {"name": "lobby"}, pages=True).keys == (Key("room", "acme", "lobby"),)
    assert need("POST", "/api/rooms", {}, pages=True).keys == ()
    assert need("POST", "/rtc/rooms/lobby", None, pages=True).keys == (Key("room", "acme", "lobby"),)


@pytest.mark.parametrize(
    ("path", "body", "who"),
    [
        ("/session/start", {}, OURS),
        ("/session/start", [], OURS),
        ("/session/start", start_body(), NOBODY),
        (f"{CONTROL}/v2/projects/x/join", {"name": "n"}, OURS),
        (f"{CONTROL}/v2/projects/x/join", V2, Who("acme", scope="another")),
        ("/start_agent", {"channel_name": 5}, OURS),
    ],
)
def test_what_a_worker_is_to_refuse_needs_none(path: str, body: Any, who: Who) -> None:
    assert need("POST", path, body, who) is None


def test_another_name_is_another_agents() -> None:
    agent = need("POST", f"{CONTROL}/v2/projects/x/join", changed(V2, "name", "other"))
    assert Key("name", "acme", "other") in agent.keys


def test_all_workers_take_part_and_one_path_has_one_of_them() -> None:
    live = [0, 1, 2, 3]
    assert {bodies.choose(live, f"/avatars/{n}.json") for n in range(200)} == set(live)
    assert len({bodies.choose(live, "/avatars/aria.json") for _ in range(20)}) == 1
    assert {bodies.choose(live, "") for _ in range(200)} == set(live)
