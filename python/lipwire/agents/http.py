"""What the HTTP clients of an agent share: one way to connect, and one way to say what failed."""

from __future__ import annotations

import ssl
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import BadState, LipwireError

if TYPE_CHECKING:
    import httpx

CONNECT = 5.0
"""Seconds until a connection stands."""


class ServiceError(LipwireError, RuntimeError):
    """A service that a brain uses refused, broke off or stalled; the message says how."""

    code = "SERVICE_ERROR"


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # takes 20 ms: once a process, not once an agent


def client(read: float) -> httpx.AsyncClient:
    """A client whose connections stay open between turns. `read`: seconds between two pieces of an answer.

    Raises:
        BadState: httpx is not installed.
    """
    try:
        import httpx
    except ModuleNotFoundError as exc:
        raise BadState("agents need httpx: pip install 'lipwire[agents]'") from exc
    return httpx.AsyncClient(
        timeout=httpx.Timeout(read, connect=CONNECT),
        limits=httpx.Limits(max_connections=8, keepalive_expiry=300),
        verify=_tls(),
        # A proxy of the environment is used, but never for what runs on this machine.
        mounts={f"all://{host}": httpx.AsyncHTTPTransport(verify=_tls()) for host in ("127.0.0.1", "localhost")},
    )


def bearer(key: str | None) -> dict[str, str]:
    """The headers that carry a key."""
    return {"authorization": f"Bearer {key}"} if key else {}


def said(body: bytes) -> str:
    """What an error's body says: OpenAI's `error.message`, or its first words."""
    try:
        value: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body[:200].decode("utf-8", "replace").strip()
    if isinstance(value, dict):
        error = value.get("error", value.get("detail", value.get("message")))
        if isinstance(error, dict):
            error = error.get("message", error)
        if error:
            return str(error)[:200]
    return body[:200].decode("utf-8", "replace")


async def send(http: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """Sends it; the answer's body is yet to be read. Raises httpx.HTTPError."""
    import httpx

    try:
        return await http.send(request, stream=True)
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        # Most likely a connection kept from before, which the other side has closed meanwhile.
        return await http.send(request, stream=True)


async def refusal(what: str, reply: httpx.Response) -> ServiceError:
    """The error that a status other than 2xx is."""
    body = b""
    async for piece in reply.aiter_bytes():
        body += piece
        if len(body) > 4096:
            break
    return ServiceError(f"{what} answered {reply.status_code}: {said(body)}")
