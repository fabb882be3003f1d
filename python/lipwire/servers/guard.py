"""Web pages kept out, in front of every route.

Any page that a browser shows can send requests to an address that the browser reaches. `allowlist` says which requests
pass: with one of this server's names as Host, because a page that has pointed a name of its own at this machine (DNS
rebinding) sends that name, else 421; with no Origin, its own or an allowed one, else 403. That holds whatever key a
route asks for, and for pages and figures, too.

A page whose origin is allowed gets what it needs to read answers (CORS, as in the Fetch standard), and may embed pages
(frame-ancestors of CSP). There are no cookies, so no credentials either. Third is that JSON must be called JSON
(`http.read_object`), because a browser sends plain text from any page without asking first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from litestar.types import ASGIApp, Message, Receive, Send

from ..protocol import messages as m
from ..provider.sessions import ProviderError
from .allowlist import Allowlist, NotAllowed, has_tls_name
from .errors import refusal_headers

HSTS = b"max-age=15552000"
"""180 days (RFC 6797)."""
PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"content-type, x-api-key, authorization, if-match"),
    (b"access-control-max-age", b"600"),
]
FRAMES = b"frame-ancestors 'self'"
Headers = Sequence[tuple[bytes, bytes]]


class Guard:
    """An ASGI app behind these checks, and in `middleware`, of which the first is outermost."""

    def __init__(
        self, app: ASGIApp, allowlist: Allowlist | None = None, middleware: Sequence[Callable[[ASGIApp], ASGIApp]] = ()
    ) -> None:
        for around in reversed(middleware):
            app = around(app)
        self.app = app
        self.allowlist = allowlist or Allowlist()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        hosts, origins = _values(scope["headers"], b"host"), _values(scope["headers"], b"origin")
        secure = scope["scheme"] in ("https", "wss")
        try:
            foreign = self.allowlist.check(hosts, origins, secure=secure)
        except NotAllowed as exc:
            await refuse(scope, refusal(exc), send)
            return
        extra = _readable(origins[0]) if foreign else []
        if self.allowlist.hsts and secure and hosts and has_tls_name(hosts[0]):
            extra.append((b"strict-transport-security", HSTS))
        asked = _values(scope["headers"], b"access-control-request-method")
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and origins and asked:
            await _answer(send, 204, [*PREFLIGHT, *_private_network(scope["headers"]), *extra])
        else:
            await self.app(scope, receive, self._dressed(send, extra))

    def _dressed(self, send: Send, extra: Headers) -> Send:
        """Adds to an answer what its reader must know."""
        frames = b" ".join((FRAMES, *(origin.encode() for origin in sorted(self.allowlist.origins))))

        async def send_dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                names = {name.lower() for name, _ in headers}
                policy = b"content-security-policy"
                page = any(n.lower() == b"content-type" and v.startswith(b"text/html") for n, v in headers)
                # Behind a front process a worker has named them already.
                headers = [
                    (n, v.replace(FRAMES, frames)) if n.lower() == policy and frames not in v else (n, v)
                    for n, v in headers
                ]
                if page and policy not in names:
                    headers.append((policy, frames))
                if b"x-content-type-options" not in names:
                    headers.append((b"x-content-type-options", b"nosniff"))
                message = {**message, "headers": [*headers, *extra]}
            await send(message)

        return send_dressed


def _values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


def _readable(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"retry-after, location, etag, link, accept-patch, accept-post"),
        (b"vary", b"origin"),
    ]


def _private_network(headers: Headers) -> Headers:
    asked = _values(headers, b"access-control-request-private-network") == ["true"]
    return [(b"access-control-allow-private-network", b"true")] if asked else []


def refusal(error: NotAllowed) -> ProviderError:
    """It, as it is answered."""
    return ProviderError(error.code, str(error))


async def refuse(scope: Any, error: ProviderError, send: Send) -> None:
    """Answers a request that reaches no route, or the handshake of a WebSocket: by HTTP as well, where the server can
    (ASGI's extension websocket.http.response)."""
    kind = "http"
    if scope["type"] == "websocket":
        kind = "websocket.http"
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1008, "reason": error.code})
            return
    body = m.encode(error.reply()).encode()
    headers = [(b"content-type", b"application/json"), (b"x-content-type-options", b"nosniff")]
    headers += [(name.lower().encode(), value.encode()) for name, value in refusal_headers(error).items()]
    headers.append((b"content-length", str(len(body)).encode()))
    await _answer(send, error.status, headers, b"" if scope.get("method") == "HEAD" else body, kind)


async def _answer(send: Any, status: int, headers: Headers, body: bytes = b"", kind: str = "http") -> None:
    await send({"type": f"{kind}.response.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.response.body", "body": body, "more_body": False})
