"""What a request says of where it belongs: in its body, where the path does not say it; and what its answer names."""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import parse_qs

import msgspec

from ...agents.rest import wire as w
from ...cluster import weight
from ...cluster.placement import Key, Need
from ...errors import LipwireError
from ...protocol import messages as m
from ...protocol.tokens import TokenError, verify_access
from ...provider.keys import OPERATOR
from ...servers.errors import BASE
from ...servers.rooms import parse_agent_request
from ..agent_setup import goes_to_agora
from ..config import Config
from .asking import Who
from .routes import Found
from .upstream import Answer


def session_key(session_id: str) -> Key:
    """Of a session, by its id."""
    return Key("session", "", session_id)


def key_of(found: Found, who: Who, body: bytes, secret: str) -> Key | None:
    """What a request is about that exists, if it does; None = it does not say. `secret`: of sessions' tokens."""
    values = found.values
    match found.where:
        case "session" | "enter session" | "listen session":
            return session_key(values["session_id"])
        case "agent":
            return Key("agent", "", values["agent_id"])
        case "peer":
            return Key("peer", "", values["id"])
        case "room" | "enter room" | "listen room":
            return None if who.owner is None else weight.room_key(who.owner, values["name"])
        case "stop":
            return _stopped(m.parse_object(body) or {}, who, secret)
        case "agent in channel":
            said = m.parse_object(body) or {}
            name = said.get("channel_name" if found.shape == "D" else "channel")
            return weight.room_key(who.owner, name) if who.owner is not None and isinstance(name, str) else None
        case "any":
            return None if who.session is None else session_key(who.session)
    return None


def _stopped(said: dict[str, Any], who: Who, secret: str) -> Key | None:
    named = said.get("session_id")
    if isinstance(named, str):
        return session_key(named)
    if who.session is not None:
        return session_key(who.session)
    token = said.get("session_token")
    if not isinstance(token, str):
        return None
    try:
        return session_key(verify_access(token, secret, now=0, allow_expired=True).id)
    except TokenError:
        return None


def need_of(found: Found, who: Who, body: bytes, path: str, config: Config) -> Need | None:
    """What a request needs that starts something; None = it is refused by whoever gets it."""
    owner = who.owner
    if owner is None:
        return None
    try:
        match found.where:
            case "start session":
                return weight.need_of_start(_object(body), owner, config)
            case "join":
                version: w.Version = "v1" if f"{BASE}/v1/" in path else "v2"
                agent = w.parse_join(_object(body), version)
            case "start agent":
                agent = w.start_agent_config(w.parse_start_agent(_object(body)))
            case "page agent":
                agent = parse_agent_request(_object(body)).config(config.agent_brain or "cascade", config.avatar)
            case "new room":
                name = _object(body).get("name")
                if isinstance(name, str):
                    return weight.need_of_room(owner, name)
                return None if name is not None else Need(kind="room", owner=owner, weight=weight.ROOM)
            case "enter room" | "listen room":
                return weight.need_of_room(owner, found.values["name"])
            case _:
                return None
    except (LipwireError, ValueError):  # the worker says what is wrong
        return None
    if who.scope is not None and agent.channel != who.scope:
        return None
    agent.owner = owner
    return weight.need_of_join(agent, config, room=not goes_to_agora(config, agent))


def _object(body: bytes) -> dict[str, Any]:
    found = m.parse_object(body)
    if found is None:
        raise ValueError("no JSON object")
    return found


def keys_in(found: Found, who: Who, answer: Answer, body: bytes) -> tuple[Key, ...]:
    """What an answer names that is there from now on."""
    if not 200 <= answer.status < 300:
        return ()
    match found.where:
        case "enter room" | "enter session":
            place = (answer.header(b"location") or b"").decode("latin-1").rpartition("/")[2]
            return (Key("peer", "", place),) if place else ()
        case "start session":
            return _named(body, "session_id", "session", "")
        case "join" | "page agent":
            return _named(body, "agent_id", "agent", "")
        case "new room":
            return _named(body, "name", "room", who.owner or OPERATOR)
    return ()


def _named(body: bytes, field: str, kind: Any, owner: str) -> tuple[Key, ...]:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return ()
    id = found.get(field) if isinstance(found, dict) else None
    return (Key(kind, owner, id),) if isinstance(id, str) else ()


def choose(live: list[int], path: str) -> int:
    """Which of several workers answers what all answer alike: for one path mostly the same, since what is made for the
    first who asks, an avatar's pictures say, is kept where it was made."""
    return max(live, key=lambda worker: hash((path, worker))) if path else random.choice(live)


def asked_for(query: bytes, name: str) -> str:
    """A query's parameter; "" = it has none."""
    return parse_qs(query.decode("latin-1")).get(name, [""])[-1]
