"""Whom a proxy on this machine speaks for (X-Forwarded-For). HTTP and the WebSocket count addresses by this."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from litestar.types import ASGIApp, Receive, Send

FOR, PROTO = b"x-forwarded-for", b"x-forwarded-proto"
SECURE = {"http": "https", "ws": "wss"}


def asking_from(peer: str, forwarded: Iterable[str]) -> str:
    """The address that a request came from, or what a proxy calls it; `provider.quotas.network` says how it counts.

    Args:
        peer: the other end of the connection; "" = nobody knows. forwarded: the values of X-Forwarded-For, of which the
        last is the nearest proxy's: the last that is not this machine counts, and what stands before it was said by
        whoever asks. They are believed from this machine alone.
    """
    if not _is_ours(peer):
        return peer
    hops = [_host(hop.strip()) for value in forwarded for hop in value.split(",") if hop.strip()]
    return next((hop for hop in reversed(hops) if not _is_ours(hop)), peer)


class FromFront:
    """An ASGI app for requests that a front process passes on, over a Unix socket that nobody else reaches: to the app
    they are as they came in there. The front says from where (the last of X-Forwarded-For, which is not seen any more)
    and whether over TLS (X-Forwarded-Proto: https)."""

    def __init__(self, app: ASGIApp | Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] in ("http", "websocket"):
            scope = dict(scope)
            hops = b",".join(value for name, value in scope["headers"] if name == FOR)
            before, _, nearest = hops.rpartition(b",")
            proto = next((value for name, value in scope["headers"] if name == PROTO), b"")
            headers = [(name, value) for name, value in scope["headers"] if name not in (FOR, PROTO)]
            scope["headers"] = [*headers, (FOR, before)] if before else headers
            host = _host(nearest.decode("latin-1").strip())
            scope["client"] = (host, 0) if host else None
            if proto == b"https":
                scope["scheme"] = SECURE[scope["scheme"]]
        await self.app(scope, receive, send)


def _is_ours(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(hop: str) -> str:
    """Without the port that some proxies write: 192.0.2.1:5000, [2001:db8::1]:5000."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
