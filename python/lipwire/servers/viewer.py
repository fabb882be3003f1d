"""The viewer page and what it calls: sessions, WHEP (`webrtc_http`), "say this", interrupt.

Anybody gets the page; what it calls asks the `Gate`: for the list an API key or its owner's token, for one session a
token to watch or to control it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from litestar import Litestar, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, ControllerRouterHandler
from msgspec import Struct, field

from ..provider.sessions import ProviderError
from ..publish.ice import IceServers
from ..publish.peer import Peer
from ..publish.webrtc import WebRTC
from ..session.session import Session
from .access import Caller, Gate
from .allowlist import Allowlist
from .client import client_files, head_route
from .docs import describe_api, operation
from .errors import MAX_BODY, AnyRequest, on_exception
from .guard import Guard
from .http import PAGED, SCHEMES, read_object, refusals
from .order import order_headers
from .webrtc_http import Admitted, Endpoint, OnPeer, asked_black, webrtc_http_routes

WEB = Path(__file__).parent / "web"
FILES = (
    *("index.html", "viewer.css", "viewer.js", "drawn.js", "server.js", "face.js", "favicon.svg"),
    *("help.html", "help.css", "top.html", "top.css", "top.js"),
)
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MAX_TEXT = 500
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

Speak = Callable[[str, str], Awaitable[None]]
"""(session_id, text): makes the session say it."""


class Say(Struct):
    """Words for a session."""

    text: str


class Nothing(Struct):
    """{}"""


class Watched(Struct):
    """A session that can be watched."""

    session: Session
    publisher: WebRTC
    video_encoding: str = "H264"
    """What whoever started it wished for; a page asks for that first."""
    since: int = field(default_factory=lambda: time.time_ns() // 1000)
    """When it began, in microseconds since 1970."""
    saying: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a page's text is spoken, so that texts are said in the order in which they came."""


def read_text(body: dict[str, Any], name: str, limit: int, default: str | None = None) -> str:
    """A text of a body, of at most `limit` characters. Raises ProviderError."""
    value = body.get(name, default)
    if not isinstance(value, str) or not value.strip():
        raise ProviderError("VALIDATION_ERROR", f"Missing required field: {name}")
    if len(value) > limit:
        raise ProviderError("VALIDATION_ERROR", f"{name} has {len(value)} characters; {limit} are allowed")
    return value


def static(path: str, name: str | Path, headers: Mapping[str, str] = HEADERS) -> HTTPRouteHandler:
    """A handler for a file of the folder `web`, or of any other."""
    data = (WEB / name).read_bytes()
    kind = TYPES[Path(name).suffix]

    @get(path, name=f"{path} {name}", include_in_schema=False, sync_to_thread=False)
    def file() -> Response[bytes]:
        return Response(data, media_type=kind, headers=dict(headers))

    return file


def client_modules() -> list[HTTPRouteHandler]:
    """Handlers for lipwire-client, which the pages are made with, too, and for its 3D head."""
    return [*(static(f"/client/{file.name}", file) for file in client_files()), head_route(HEADERS)]


def create_viewer(
    sessions: Mapping[str, Watched],
    speak: Speak | None,
    *,
    gate: Gate,
    route_handlers: Sequence[ControllerRouterHandler] = (),
    allowlist: Allowlist | None = None,
    middleware: Sequence[Callable[[ASGIApp], ASGIApp]] = (),
    endpoints: Sequence[Endpoint] = (),
    ice_servers: IceServers | None = None,
    on_peer: OnPeer | None = None,
) -> Litestar:
    """The ASGI app.

    Args:
        sessions: read at each request, oldest first.
        speak: what the text box does; None disables it.
        gate: lets in who may.
        route_handlers: more handlers on the same port, such as `rooms.room_routes`.
        allowlist: the names of this server, and the pages that may call it; as for `http.create_app`.
        middleware: of ASGI, around every request that `guard` lets pass, whether there is such a route or not.
        endpoints: of WHIP and WHEP, besides the one that sessions are watched by.
        ice_servers: STUN and TURN, which those tell of.
        on_peer: hears of the id of each connection that they make that it is there, and gone.
    """

    def find(session_id: str) -> Watched:
        watched = sessions.get(session_id)
        if watched is None:
            raise ProviderError("SESSION_NOT_FOUND", "This session has ended")
        return watched

    def shown(session_id: str) -> dict[str, Any]:
        session = find(session_id).session
        return {
            "session_id": session_id,
            "state": session.stats()["state"],
            "width": session.width,
            "height": session.height,
            "fps": float(session.fps),
            "avatar": session.avatar,
            "video_encoding": find(session_id).video_encoding,
            "egress": find(session_id).publisher.egress,
        }

    def reply(listed: list[str], controls: bool) -> dict[str, Any]:
        capabilities = {"say": controls and speak is not None, "interrupt": controls}
        return {"sessions": [shown(session_id) for session_id in listed], "capabilities": capabilities}

    @get("/api/sessions", responses=refusals(401, 403, 429, codes=PAGED), sync_to_thread=False)
    def list_sessions(request: AnyRequest) -> Response[dict[str, Any]]:
        caller = gate.owner(request, "list")
        listed = [session_id for session_id in sessions if gate.owns(caller, session_id)]
        order = order_headers(request, (sessions[session_id].since for session_id in listed))
        return Response(reply(listed, controls=True), headers=order)

    @get("/api/sessions/{session_id:str}", responses=refusals(401, 403, 404, 429, codes=PAGED), sync_to_thread=False)
    def one_session(request: AnyRequest, session_id: FromPath[str]) -> dict[str, Any]:
        caller = gate.session(request, session_id, "watch")
        return reply([session_id], controls=caller.may("control", "session", session_id))

    async def watch(caller: Caller, session_id: str, sdp: str, request: AnyRequest) -> Admitted:
        answer, peer = await find(session_id).publisher.admit(sdp, black=asked_black(request))
        return Admitted(answer, peer, Peer.drop)

    def may_watch(request: AnyRequest, session_id: str) -> Caller:
        caller = gate.session(request, session_id, "watch")
        find(session_id)
        return caller

    watching = Endpoint(path="{name:str}", protocol="whep", about="Watch a session.", check=may_watch, admit=watch)

    @post(
        "/api/sessions/{session_id:str}/say",
        status_code=200,
        operation_class=operation(Say),
        responses=refusals(400, 401, 403, 404, 429, 503, codes=PAGED | {"BUFFER_FULL"}),
    )
    async def say(request: AnyRequest, session_id: FromPath[str]) -> dict[str, str]:
        gate.session(request, session_id, "control")
        find(session_id)
        text = read_text(await read_object(request), "text", MAX_TEXT)
        if speak is None:
            raise ProviderError("NO_CAPACITY", "This server has no voice: pip install 'lipwire[demo]'")
        await speak(session_id, text)
        return {"status": "ok"}

    @post(
        "/api/sessions/{session_id:str}/interrupt",
        status_code=200,
        operation_class=operation(Nothing),
        responses=refusals(400, 401, 403, 404, 429, codes=PAGED),
    )
    async def interrupt(request: AnyRequest, session_id: FromPath[str]) -> dict[str, str]:
        gate.session(request, session_id, "control")
        await read_object(request)
        find(session_id).session.interrupt()
        return {"status": "ok"}

    pages = [static("/" if name == "index.html" else f"/{name}", name) for name in FILES]
    pages.append(static("/top", "top.html"))
    app = Litestar(
        route_handlers=[
            *(list_sessions, one_session, say, interrupt, *pages, *client_modules(), *route_handlers),
            *webrtc_http_routes([watching, *endpoints], gate=gate, ice_servers=ice_servers, on_peer=on_peer),
        ],
        exception_handlers={Exception: on_exception},
        openapi_config=describe_api("Lipwire pages", "What the viewer page and the agent page call.", security=SCHEMES),
        logging_config=None,
        request_max_body_size=MAX_BODY,
    )
    app.asgi_handler = Guard(app.asgi_handler, allowlist, middleware)
    return app
