"""The avatar provider's HTTP side (protocol.md A) as an ASGI app, and a uvicorn server to run it on.

| route | for |
|---|---|
| POST /session/start, DELETE /session/stop | the Conversational AI engine |
| GET /session/{session_id} | live figures; API key, or the session's own token |
| GET /healthz, GET /metrics | operations; open |
| GET /schema, /schema/openapi.json | this API's description |

Every error body is `{error, message, code}`. Checks come in this order: Host and
Origin (`guard`), API key, JSON, fields.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Generator, Sequence, Set
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, TypeVar

import uvicorn
from litestar import Litestar, MediaType, Response, delete, get, post
from litestar.exceptions import InternalServerException
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Operation, SecurityScheme
from litestar.params import FromPath
from litestar.types import ASGIApp, ControllerRouterHandler
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from ..errors import InvalidArgument
from ..logs import Unknown
from ..protocol import messages as m
from ..provider.keys import OPERATOR, Owner
from ..provider.sessions import Provider, ProviderConfig, ProviderError, ProviderSession
from .allowlist import Allowlist
from .docs import describe_api, request_body
from .errors import AnyRequest, as_provider_error, on_exception
from .forwarded import FromFront
from .guard import Guard
from .http_protocol import Protocol, WebSocketProtocol
from .listen import BACKLOG, Door
from .metrics import ProviderCollector
from .turns import Turns

UNKNOWN = Unknown(logging.getLogger("lipwire.provider"), "/session/start")
"""Members of its bodies."""
T = TypeVar("T")
_DRAINING = {503: ResponseSpec(dict[str, Any], description="the server drains", generate_examples=False)}
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


# ------------------------------------------------------------------------------------------------------------- app


def create_app(
    provider: Provider,
    config: ProviderConfig | None = None,
    *,
    route_handlers: Sequence[ControllerRouterHandler] = (),
    collectors: Sequence[Collector] = (),
    allowlist: Allowlist | None = None,
    middleware: Sequence[Callable[[ASGIApp], ASGIApp]] = (),
) -> Litestar:
    """The ASGI app. It starts nothing and owns nothing: a host application can mount it, many times over.

    Args:
        provider: the use cases. Its sessions live on the event loop that runs the app.
        config: the limits of this app; the provider's own by default.
        route_handlers: more Litestar handlers on the same port; `authorize` and `read_object` are for them too.
        collectors: more figures for /metrics.
        allowlist: the names of this server, and the pages that may call it; by default localhost and IP literals, and
            no pages but its own.
        middleware: of ASGI, around every request that `guard` lets pass, whether there is such a route or not.
    """
    limits = config or provider.config
    registry = CollectorRegistry()
    for collector in (ProviderCollector(provider), *collectors):
        registry.register(collector)

    @post(
        "/session/start",
        status_code=200,
        operation_class=_StartOperation,
        response_description="Where to connect, and the token to connect with",
        responses=refusals(400, 401, 403, 409, 413, 429, 503, codes=KEYED | {"SESSION_LIMIT"}),
        security=_KEY,
    )
    async def session_start(request: AnyRequest) -> m.StartReply:
        """Start a session. One of the same API key for the same app_id, channel and uid is replaced."""
        owner = provider.check_api_key(header(request, b"x-api-key"))
        body = await read_object(request)
        start = _checked(m.parse_start, body)
        UNKNOWN.tell(m.unknown_members(body))
        return await provider.start(start, owner)

    @delete(
        "/session/stop",
        status_code=200,
        operation_class=_StopOperation,
        response_description="It has left its channel",
        responses=refusals(400, 401, 403, 404, 413, 429),
        security=_KEY_OR_TOKEN,
    )
    async def session_stop(request: AnyRequest) -> m.StopReply:
        """Stop a session, named by its id, its token, or both."""
        owner, bearer = authorize(provider, request)
        body = await read_object(request, optional=bearer is not None)
        return await provider.stop(_checked(m.parse_stop, body), bearer=bearer, owner=owner)

    @get(
        "/session/{session_id:str}",
        responses=refusals(401, 403, 404, 429),
        security=_KEY_OR_TOKEN,
        sync_to_thread=False,
    )
    def session_figures(request: AnyRequest, session_id: FromPath[str]) -> dict[str, Any]:
        """Live figures of a session."""
        owner, bearer = authorize(provider, request)
        session = provider.get(session_id, owner)
        if bearer is not None and session is not bearer:
            raise ProviderError("SESSION_NOT_FOUND", "Session not found or already terminated")
        return provider.describe(session)

    @get("/healthz", responses=_DRAINING, sync_to_thread=False)
    def healthz() -> Response[dict[str, Any]]:
        """200 while sessions can be started, 503 while the server drains."""
        draining = provider.draining
        body = {"status": "draining" if draining else "ok", "sessions": len(provider.sessions)}
        return Response(body, status_code=503 if draining else 200)

    @get("/metrics", media_type=MediaType.TEXT, sync_to_thread=False)
    def metrics() -> Response[bytes]:
        """Figures for Prometheus."""
        return Response(generate_latest(registry), headers={"content-type": _PROMETHEUS})

    app = Litestar(
        route_handlers=[session_start, session_stop, session_figures, healthz, metrics, *route_handlers],
        exception_handlers={Exception: on_exception},
        openapi_config=describe_api("Lipwire", _ABOUT, security=SCHEMES),
        request_max_body_size=limits.max_body_bytes,
        logging_config=None,
    )
    app.asgi_handler = Guard(app.asgi_handler, allowlist, middleware)
    return app


CheckKey = Callable[[bytes | None], object]
"""Gets the API key of a request, None without one; raises ProviderError for a wrong one, or none. An `Owner` that it
returns is whose agents it may touch; of anything else, all have one owner."""


def check_header(check_key: CheckKey | None, request: AnyRequest) -> object:
    """Checks `x-api-key`; what `check_key` says to it. None: no key is asked for."""
    return None if check_key is None else check_key(header(request, b"x-api-key"))


def owner_name(found: object) -> str:
    """The owner that a `CheckKey` has found."""
    return found.name if isinstance(found, Owner) else OPERATOR


def authorize(provider: Provider, request: AnyRequest) -> tuple[Owner | None, ProviderSession | None]:
    """Checks `x-api-key`, or `Authorization: Bearer <session_token>` in its stead: the key's owner, or the token's
    session; the other is None.

    Raises:
        ProviderError: MISSING_API_KEY (neither), INVALID_API_KEY (wrong), SESSION_NOT_FOUND (the token's has ended).
    """
    key = header(request, b"x-api-key")
    scheme, _, token = (header(request, b"authorization") or b"").partition(b" ")
    if key is not None or scheme.lower() != b"bearer":
        return provider.check_api_key(key), None
    try:
        return None, provider.check_token(token.strip().decode("latin-1"))
    except ProviderError as exc:
        if exc.code == "INVALID_TOKEN":
            raise ProviderError("INVALID_API_KEY", f"Invalid session token: {exc}") from None
        raise


async def read_object(request: AnyRequest, *, optional: bool = False) -> dict[str, Any]:
    """The JSON object in a request's body. With `optional`, an empty body is an empty object.

    It must be called JSON. Only where a header has a key or a token in it, which no page can send without asking
    first, a body without any type is taken, too: real clients leave it out.

    Raises:
        ProviderError: INVALID_JSON, UNSUPPORTED_MEDIA_TYPE. (Above the
            limit Litestar raises its 413, which becomes BODY_TOO_LARGE.)
    """
    raw = await read_body(request)
    if optional and not raw.strip():
        return {}
    kind = media_type(request)
    if kind != "application/json" and not kind.endswith("+json") and (kind or not _has_key(request)):
        raise ProviderError(
            "UNSUPPORTED_MEDIA_TYPE", f"Content-Type must be application/json, got {kind or 'none'!a:.60}"
        )
    body = m.parse_object(raw)
    if body is None:
        raise ProviderError("INVALID_JSON", "The request body is no JSON object")
    return body


async def read_body(request: AnyRequest) -> bytes:
    """All of a request's body.

    Raises:
        ProviderError: INVALID_JSON, which nobody hears: the client has gone.
    """
    try:
        return await request.body()
    except InternalServerException as exc:  # so Litestar calls it; no fault of ours
        raise ProviderError("INVALID_JSON", "The client left before its body was complete") from exc


def media_type(request: AnyRequest) -> str:
    """Its Content-Type in lower case, without parameters; "" = none."""
    return (header(request, b"content-type") or b"").decode("latin-1").partition(";")[0].strip().lower()


def _has_key(request: AnyRequest) -> bool:
    return any(header(request, name) for name in (b"x-api-key", b"authorization"))


def _checked(parse: Callable[[dict[str, Any]], T], body: dict[str, Any]) -> T:
    try:
        return parse(body)
    except InvalidArgument as exc:
        raise as_provider_error(exc) from None


def header(request: AnyRequest, name: bytes) -> bytes | None:
    """The first header of this (lower-case) name, as sent."""
    return next((value for key, value in request.scope["headers"] if key == name), None)


# --------------------------------------------------------------------------------------------------------- OpenAPI

_ABOUT = "Faces for voice agents, and agents: sessions over HTTP, speech over a WebSocket."
SCHEMES = {
    "ApiKey": SecurityScheme(type="apiKey", name="x-api-key", security_scheme_in="header"),
    "SessionToken": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
    "Basic": SecurityScheme(type="http", scheme="basic", description="any name, and the API key"),
    "AgoraToken": SecurityScheme(
        type="apiKey",
        name="authorization",
        security_scheme_in="header",
        description="agora token=<007 token>, where an app certificate is configured",
    ),
}
_KEY: list[dict[str, list[str]]] = [{"ApiKey": []}]
_KEY_OR_TOKEN: list[dict[str, list[str]]] = [{"ApiKey": []}, {"SessionToken": []}]


_SHARED = {
    *("VALIDATION_ERROR", "INVALID_JSON", "INVALID_API_KEY", "SESSION_NOT_FOUND", "CHANNEL_IN_USE", "BODY_TOO_LARGE"),
    *("RATE_LIMITED", "NO_CAPACITY"),
}
KEYED = frozenset(_SHARED | {"MISSING_API_KEY"})
"""What operations answer that ask for an API key; some answer more."""
PAGED = frozenset(_SHARED | {"MISSING_TOKEN", "INVALID_TOKEN", "NOT_ALLOWED"})
"""What the pages' operations do, which a token opens, too."""


def refusals(*statuses: int, codes: Set[str] = KEYED) -> dict[int, ResponseSpec]:
    """The answers with these statuses, for an operation whose errors are `{error, message, code}` with these codes.
    What is answered in front of every handler (`docs`) is not among them."""
    named: dict[int, list[str]] = {}
    for code, (status, _) in ProviderError.KINDS.items():
        if code in codes:
            named.setdefault(status, []).append(code)
    return {
        status: ResponseSpec(
            m.ErrorReply, description=", ".join(named.get(status, ["of the agent"])), generate_examples=False
        )
        for status in statuses
    }


@dataclass
class _StartOperation(Operation):
    def __post_init__(self) -> None:
        self.request_body = request_body(m.StartBody, m.ALLOWED)


@dataclass
class _StopOperation(Operation):
    def __post_init__(self) -> None:
        self.request_body = request_body(m.StopRequest, m.ALLOWED, required=False)


# ---------------------------------------------------------------------------------------------------------- server


class HttpServer:
    """A running server. `port` is the bound one."""

    def __init__(self, server: uvicorn.Server, task: asyncio.Task[None], listening: asyncio.Server, port: int) -> None:
        self._server = server
        self._task = task
        self._listening = listening
        self.port = port

    async def close(self) -> None:
        """Stops listening, lets requests finish for two seconds, and waits for the end. Twice is safe."""
        self._listening.close()
        self._server.should_exit = True
        await self._task


async def serve_http(
    app: ASGIApp | Any,
    host: str = "127.0.0.1",
    port: int = 8764,
    *,
    path: str | None = None,
    door: Door | None = None,
    ssl: SSLContext | None = None,
    turns: Turns | None = None,
) -> HttpServer:
    """Starts to serve any ASGI app on host and port (0 = any free one). Signals stay the caller's.

    Args:
        path: of a Unix socket to listen on instead. Who opens it is a front process, which is believed (`FromFront`).
        door: who may come in, and for how long; one of its own by default.
        ssl: speaks https with it.
        turns: how the event loop's time is shared; servers on one loop may share one.

    Raises:
        OSError: the address cannot be bound.
        RuntimeError: the app did not start.
    """
    door = Door() if door is None else door
    turns = turns or Turns()
    listener = door.listen(host, port, path)
    config = uvicorn.Config(
        app if path is None else FromFront(app),
        http=Protocol,
        lifespan="auto",
        ws=WebSocketProtocol,
        ws_max_size=WS_MESSAGE,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=door.limits.idle,  # type: ignore[arg-type]  # it takes any number
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[]), name="lipwire-http")  # it listens nowhere by itself
    try:
        while not server.started:
            if task.done():
                await task
                raise RuntimeError("the HTTP app did not start")
            await asyncio.sleep(0.001)
        listening = await asyncio.get_running_loop().create_server(
            lambda: Protocol(config, server.server_state, server.lifespan.state, door=door, turns=turns),
            sock=listener,
            backlog=BACKLOG,
            ssl=ssl,
            ssl_handshake_timeout=None if ssl is None else door.limits.head,
            ssl_shutdown_timeout=None if ssl is None else door.limits.idle,
        )
    except BaseException:
        server.should_exit = True
        listener.close()
        raise
    return HttpServer(server, task, listening, listener.port)


WS_MESSAGE = 4096
"""Bytes of a WebSocket message of a client's: nobody says much there (`motion`). Speech has a server of its own."""


class _Server(uvicorn.Server):
    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but an app that does not start is an error of ours and not the end of the process."""
        try:
            await super().serve(sockets)
        except SystemExit as exc:
            raise RuntimeError("the HTTP app did not start; see the log") from exc

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Takes no signals: the process is not ours."""
        yield
