"""Who asks the front, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from lipwire.app.front.asking import NOBODY, Reception
from lipwire.app.front.routes import API, PAGES, Table
from lipwire.channel.agora.channel import agora_token
from lipwire.provider.authority import ASKING_FROM, Authority
from lipwire.provider.keys import KeyRing
from lipwire.provider.sessions import ProviderError
from lipwire.servers.agent_gate import Project
from support.agent_site import APP, C2, CERTIFICATE, basic

SECRET, KEY = "s" * 32, "the key"


def make(*, open: bool = False, project: Project | None = None, joins: float = 60) -> Reception:
    ring = KeyRing(KEY, named={"acme": "their key"}, clock=lambda: 0.0)
    return Reception(Authority(ring, SECRET), project or Project(), open=open, joins_a_minute=joins)


def ask(reception: Reception, method: str, path: str, headers: dict[str, str], *, pages: bool = False) -> Any:
    found = Table(PAGES if pages else API).find(method, path)
    sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    protocols = [p for p in headers.get("Sec-WebSocket-Protocol", "").split(",") if p]
    scope = {"type": "http", "method": method, "path": path, "headers": sent, "subprotocols": protocols}
    return reception.who(scope, found)


def test_keys_in_each_place() -> None:
    r = make()
    assert ask(r, "POST", "/session/start", {"x-api-key": KEY}).owner == "operator"
    assert ask(r, "POST", "/start_agent", {"x-api-key": "their key"}).owner == "acme"
    assert ask(r, "POST", f"{C2}/join", basic("their key")).owner == "acme"
    assert ask(r, "GET", "/api/sessions", {"x-api-key": KEY}, pages=True).owner == "operator"
    for headers in ({}, {"x-api-key": "wrong"}):
        assert ask(r, "POST", "/session/start", headers) == NOBODY
        assert ask(r, "GET", "/api/sessions", headers, pages=True) == NOBODY
    assert ask(r, "GET", "/healthz", {"x-api-key": "wrong"}) == NOBODY
    assert ask(r, "POST", f"{C2}/join", {}) == NOBODY


def test_tokens() -> None:
    r = make()
    session = r.authority.issue("session", "abc", "speak", ttl=60)
    who = ask(r, "GET", "/session/abc", {"Authorization": f"Bearer {session}"})
    assert (who.owner, who.session) == (None, "abc")
    watch = r.authority.issue("session", "abc", "watch", ttl=60, owner="acme")
    who = ask(r, "POST", "/whep/abc", {"Authorization": f"Bearer {watch}"}, pages=True)
    assert (who.owner, who.session) == ("acme", "abc")
    room = r.authority.issue("room", "lobby", "member", ttl=60, owner="acme", name="me")
    for headers in ({"Authorization": f"Bearer {room}"}, {"Sec-WebSocket-Protocol": f"lipwire-motion,token.{room}"}):
        who = ask(r, "WEBSOCKET", "/motion/rooms/lobby", headers, pages=True)
        assert (who.owner, who.session) == ("acme", None)
    assert ask(r, "GET", "/session/abc", {"Authorization": "Bearer x.y.z"}) == NOBODY


def test_a_token_of_agoras_is_for_its_channel() -> None:
    r = make(project=Project(app_id=APP, certificate=CERTIFICATE))
    token = agora_token(APP, CERTIFICATE, "lobby", 5)
    who = ask(r, "POST", f"{C2}/join", {"Authorization": f"agora token={token}"})
    assert (who.owner, who.scope) == ("operator", "lobby")


def test_where_nobody_is_asked_all_is_the_operators() -> None:
    assert ask(make(open=True), "GET", "/api/sessions", {}, pages=True).owner == "operator"


def test_guesses_are_slowed_whatever_they_are_tried_on() -> None:
    ASKING_FROM.set("192.0.2.1")
    r = make()
    places = [("POST", "/session/start"), ("GET", "/session/x"), ("POST", "/start_agent")]
    for n in range(6):
        method, path = places[n % 3]
        assert ask(r, method, path, {"x-api-key": f"wrong{n}"}) == NOBODY
    for method, path in places:
        with pytest.raises(ProviderError) as slowed:
            ask(r, method, path, {"x-api-key": KEY})
        assert slowed.value.code == "RATE_LIMITED" and slowed.value.retry_after
    ASKING_FROM.set("192.0.2.2")
    assert ask(r, "POST", "/session/start", {"x-api-key": KEY}).owner == "operator"


def test_joins_are_counted() -> None:
    ASKING_FROM.set("192.0.2.1")
    r = make(joins=2)
    who = ask(r, "POST", "/whep/abc", {"x-api-key": KEY}, pages=True)
    r.count_join(NOBODY)
    for _ in range(2):
        r.count_join(who)
    with pytest.raises(ProviderError, match="joins a minute"):
        r.count_join(who)


def test_the_cluster_is_the_operators() -> None:
    r = make()
    r.check_operator({"headers": [(b"x-api-key", KEY.encode())], "type": "http"}, pages=False)
    with pytest.raises(ProviderError) as refused:
        r.check_operator({"headers": [(b"x-api-key", b"their key")], "type": "http"}, pages=False)
    assert refused.value.code == "NOT_ALLOWED"
