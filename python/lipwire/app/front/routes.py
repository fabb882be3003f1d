"""Every route that a server has, and by what the worker is found that a request there belongs to.

One table for each port. tests/app/front/test_routes.py holds it against the routes that the apps really have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from ...cluster.placement import Kind
from ...servers.errors import BASE

Where = Literal[
    "any",  # whichever worker: it says the same as every other
    "session",  # the session {session_id}
    "stop",  # the session that the body, or a token, names
    "agent",  # the agent {agent_id}
    "room",  # the room {name} of who asks
    "peer",  # the connection {id}
    "agent in channel",  # the agent in the room that the body names (channel_name, or channel)
    "start session",  # these need a place
    "join",
    "start agent",
    "page agent",
    "new room",
    "enter room",
    "enter session",  # as "session"; a connection comes of it
    "listen session",  # WebSockets
    "listen room",
    "sessions",  # lists of all workers
    "agents",
    "rooms",
    "health",  # the front's own
    "metrics",
    "cluster",
]
Asks = Literal["nobody", "key", "key or token", "control", "process", "page"]
"""How who asks is known: `x-api-key`; that, or a session's token; Basic, or a token of Agora's; `x-api-key` again, with
other errors; what opens the pages."""
Shape = Literal["A", "C", "D"]
"""Which errors are answered (`servers.errors`)."""
KIND: dict[Where, Kind] = {
    **dict.fromkeys(("join", "start agent", "page agent"), "agent"),
    **dict.fromkeys(("new room", "enter room"), "room"),
    **dict.fromkeys(("start session", "enter session"), "session"),
}
"""What a place is for where a request begins something. A session must be there for who enters it."""
STARTS = frozenset(KIND) - {"enter session"}


class Route(NamedTuple):
    """One path."""

    path: str
    methods: Mapping[str, Where]
    """WEBSOCKET is the handshake of one."""
    asks: Asks = "nobody"
    shape: Shape = "A"


class Found(NamedTuple):
    """A request's route."""

    where: Where
    asks: Asks
    shape: Shape
    values: dict[str, str]
    """What stands in the path where the route has names."""
    known: bool = True
    """There is such a route, with such a method."""


def _control(place: str, version: str) -> Iterator[Route]:
    base = f"{place}{BASE}/{version}/projects/{{appid}}"

    def route(path: str, **methods: Where) -> Route:
        return Route(base + path, methods, "control", "C")

    yield route("/join", POST="join")
    yield route("/agents", GET="agents")
    yield route("/agents/{agent_id}", GET="agent")
    yield route("/agents/{agent_id}/leave", POST="agent")
    yield route("/agents/{agent_id}/update", POST="agent")
    if version == "v2":
        for verb in ("speak", "think", "interrupt"):
            yield route(f"/agents/{{agent_id}}/{verb}", POST="agent")
        for noun in ("history", "turns"):
            yield route(f"/agents/{{agent_id}}/{noun}", GET="agent")


SCHEMA = tuple(Route(f"/schema{rest}", {"GET": "any"}) for rest in ("", "/{path}", "/openapi.json"))
API: tuple[Route, ...] = (
    Route("/session/start", {"POST": "start session"}, "key"),
    Route("/session/stop", {"DELETE": "stop"}, "key or token"),
    Route("/session/{session_id}", {"GET": "session"}, "key or token"),
    Route("/session/{session_id}/token", {"POST": "session"}, "key"),
    Route("/rooms/{name}/token", {"POST": "any"}, "key"),
    Route("/healthz", {"GET": "health"}),
    Route("/metrics", {"GET": "metrics"}),
    Route("/cluster", {"GET": "cluster"}),  # looked at once, by who answers
    *(route for version in ("v1", "v2") for place in ("", "/cn") for route in _control(place, version)),
    Route("/start_agent", {"POST": "start agent"}, "process", "D"),
    Route("/start", {"POST": "start agent"}, "process", "D"),
    Route("/stop_agent", {"POST": "agent in channel"}, "process", "D"),
    Route("/stop", {"POST": "agent in channel"}, "process", "D"),
    Route("/control_agent", {"POST": "agent in channel"}, "process", "D"),
    Route("/token", {"GET": "any", "POST": "any"}, "process", "D"),
    *SCHEMA,
)
"""What stands on `http_port`."""
_DOOR: dict[str, Where] = {"GET": "room", "HEAD": "room", "OPTIONS": "any", "POST": "enter room"}
_SESSION_DOOR: dict[str, Where] = {"GET": "session", "HEAD": "session", "OPTIONS": "session", "POST": "enter session"}
_PEER: dict[str, Where] = {"GET": "peer", "HEAD": "peer", "PATCH": "peer", "DELETE": "peer"}
PAGES: tuple[Route, ...] = (
    Route("/api/sessions", {"GET": "sessions"}, "page"),
    Route("/api/sessions/{session_id}", {"GET": "session"}, "page"),
    Route("/api/sessions/{session_id}/say", {"POST": "session"}, "page"),
    Route("/api/sessions/{session_id}/interrupt", {"POST": "session"}, "page"),
    Route("/api/config", {"GET": "any"}, "page"),
    Route("/api/rooms", {"GET": "rooms", "POST": "new room"}, "page"),
    Route("/api/rooms/{name}/offer", {"POST": "enter room"}, "page"),
    Route("/api/rooms/{name}/leave", {"POST": "room"}, "page"),
    Route("/api/cluster", {"GET": "cluster"}),
    Route("/api/agents", {"POST": "page agent"}, "page"),
    Route("/api/agents/stop", {"POST": "agent in channel"}, "page"),
    Route("/api/faces/{name}", {"GET": "any"}, "page"),
    Route("/avatars/{file}", {"GET": "any"}, "page"),
    Route("/avatars/{name}/{size}/{file}", {"GET": "any"}, "page"),
    Route("/token", {"GET": "any", "POST": "any"}, "page", "D"),
    Route("/motion/{session_id}", {"GET": "session", "HEAD": "session", "WEBSOCKET": "listen session"}, "page"),
    Route("/motion/rooms/{name}", {"GET": "room", "HEAD": "room", "WEBSOCKET": "listen room"}, "page"),
    *(Route(f"/{protocol}/{{session_id}}", _SESSION_DOOR, "page") for protocol in ("whep", "whip")),
    *(Route(f"/{protocol}/rooms/{{name}}", _DOOR, "page") for protocol in ("rtc", "whep", "whip")),
    *(Route(f"/{protocol}/peers/{{id}}", _PEER, "page") for protocol in ("rtc", "whep", "whip")),
    *(Route(path, {"GET": "any"}) for path in ("/", "/agent", "/top", "/{file}.{kind}", "/client/{file}.{kind}")),
    *SCHEMA,
)
"""What stands on `viewer_port`. Files of the pages are told by their dot."""

_Node = dict[str, "_Node | Route"]


class Table:
    """The routes of one port, to look requests up in."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._root: _Node = {}
        for route in routes:
            node = self._root
            for part in _parts(route.path):
                inner = node.setdefault(_plain(part), {})
                assert isinstance(inner, dict)
                node = inner
            node[""] = route

    def find(self, method: str, path: str) -> Found:
        """The route of a request; of one that there is not, any worker's to answer."""
        found = self._walk(self._root, _parts(path), 0, [])
        if found is None:
            return Found("any", "nobody", "C" if BASE in path else "A", {}, known=False)
        route, values = found
        names = [part[1:-1] for part in _parts(route.path) if part.startswith("{")]
        where = route.methods.get(method)
        known = where is not None
        named = dict(zip(names, values, strict=True))
        return Found(where or "any", route.asks if known else "nobody", route.shape, named, known)

    def _walk(self, node: _Node, parts: list[str], at: int, values: list[str]) -> tuple[Route, list[str]] | None:
        """What is written out counts before what has a name."""
        if at == len(parts):
            route = node.get("")
            return (route, values) if isinstance(route, Route) else None
        part = parts[at]
        inner = node.get(part)
        if isinstance(inner, dict) and (found := self._walk(inner, parts, at + 1, values)) is not None:
            return found
        for kind in ("{.}", "{}") if "." in part else ("{}",):
            inner = node.get(kind)
            found = self._walk(inner, parts, at + 1, [*values, part]) if isinstance(inner, dict) else None
            if found is not None:
                return found
        return None


def _parts(path: str) -> list[str]:
    """Without what is empty: Litestar takes no notice of a slash at the end."""
    return [part for part in path.split("/") if part]


def _plain(part: str) -> str:
    if not part.startswith("{"):
        return part
    return "{.}" if part.endswith(".{kind}") else "{}"
