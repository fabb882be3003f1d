"""What the clients of an agent share: one way to connect, and one way to say what failed.

Where a URL may lead is `outward`'s to say. What fails is told by the service's host and what happened, never by its
URL, which may hold passwords and keys, nor by what the service said, which may be an inner one: that stands in the log
at debug, unless it repeats a secret of the request.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import ssl
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from ..errors import BadState, LipwireError
from ..outward import Outward, OutwardRefused, redact, secrets_of, site

if TYPE_CHECKING:
    import httpcore
    import httpx

logger = logging.getLogger("lipwire.agents")

CONNECT = 5.0
"""Seconds until a connection stands."""
MOST_SAID = 4096
"""Bytes of an error's body that are read."""


class ServiceError(LipwireError, RuntimeError):
    """A service that a brain uses refused, broke off or stalled; the message says how."""

    code = "SERVICE_ERROR"


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # takes 20 ms: once a process, not once an agent


class ServiceClient:
    """Posts to services by HTTP; connections stay open between turns. Redirects are not followed.

    Args:
        read: seconds between two pieces of an answer.
        outward: where URLs may lead that it does not trust; None = all URLs are the operator's own.

    Raises:
        BadState: httpx is not installed.
    """

    def __init__(self, read: float, outward: Outward | None = None) -> None:
        try:
            import httpx
        except ModuleNotFoundError as exc:
            raise BadState("agents need httpx: pip install 'lipwire[agents]'") from exc
        self._outward = outward
        timeout = httpx.Timeout(read, connect=CONNECT)
        limits = httpx.Limits(max_connections=8, keepalive_expiry=300)
        self._trusted = httpx.AsyncClient(
            timeout=timeout,
            limits=limits,
            verify=_tls(),
            # A proxy of the environment is used, but never for what runs on this machine.
            mounts={f"all://{host}": httpx.AsyncHTTPTransport(verify=_tls()) for host in ("127.0.0.1", "localhost")},
        )
        # Never a proxy: it would look the name up by itself, and connect to whatever that is.
        self._checked = None
        if outward is not None and not outward.anything:
            self._checked = httpx.AsyncClient(timeout=timeout, transport=_checked_transport(outward, limits))

    async def post(self, url: str, *, key: str | None, headers: dict[str, str], **body: Any) -> httpx.Response:
        """The answer, whose body is yet to be read. `body`: as httpx has it. User and password of a URL, where it has
        them, go instead of the key.

        Raises:
            httpx.HTTPError, httpx.InvalidURL; OutwardRefused.
        """
        import httpx

        client = self._trusted
        if self._checked is not None and self._outward is not None and not self._outward.trusts(url):
            client = self._checked
        request = client.build_request("POST", url, headers=headers | _bearer(key), **body)
        request.url = _quiet()(request.url)
        try:
            return await client.send(request, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # Most likely a connection kept from before, which the other side has closed meanwhile.
            return await client.send(request, stream=True)

    async def aclose(self) -> None:
        """Ends the connections."""
        for client in (self._trusted, self._checked):
            if client is not None:
                await client.aclose()


def _bearer(key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


@cache
def _quiet() -> type[httpx.URL]:
    """The type of a URL like any other; but httpx logs every request's at the level info, as text, and that has no
    secrets here."""
    import httpx

    class Quiet(httpx.URL):
        def __str__(self) -> str:
            return redact(super().__str__())

    return Quiet


def _checked_transport(outward: Outward, limits: httpx.Limits) -> httpx.AsyncHTTPTransport:
    """A transport that connects to what `outward` lets through, and to the very addresses that it has looked at. Host
    and certificate are the name's, as ever."""
    import httpcore
    import httpx

    transport = httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False)
    # httpx has no public way to say how its pool connects; tests/agents/test_http.py fails where this one is gone.
    transport._pool = httpcore.AsyncConnectionPool(
        ssl_context=_tls(),
        max_connections=limits.max_connections,
        max_keepalive_connections=limits.max_keepalive_connections,
        keepalive_expiry=limits.keepalive_expiry,
        network_backend=_backend(outward),
    )
    return transport


def _backend(outward: Outward) -> httpcore.AsyncNetworkBackend:
    import httpcore

    class Checked(httpcore.AnyIOBackend):
        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore.AsyncNetworkStream:
            try:
                async with asyncio.timeout(timeout):
                    addresses = await outward.addresses(host, port)
            except TimeoutError as exc:
                raise httpcore.ConnectTimeout(str(exc)) from exc
            except OSError as exc:
                raise httpcore.ConnectError(reason(exc)) from exc
            failure: Exception | None = None
            for address in addresses:
                try:
                    return await super().connect_tcp(address, port, timeout, local_address, socket_options)
                except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                    failure = exc
            raise failure or httpcore.ConnectError("no address")

    return Checked()


def websocket(url: str, outward: Outward | None = None, **options: Any) -> connect:
    """As websockets' `connect`, for a service. What `outward` does not trust is checked, at every redirect anew; with
    None the first URL is the operator's own, and redirects lead to public addresses only."""
    return _Connect(url, outward or Outward(trusted=[url]), **options)


class _Connect(connect):
    def __init__(self, url: str, outward: Outward, **options: Any) -> None:
        # A proxy of the environment is used, but never for what runs on this machine, nor for what is to be checked: it
        # would look the name up by itself. At debug websockets logs whole requests, keys included.
        local = urlsplit(url).hostname in ("127.0.0.1", "localhost")
        super().__init__(url, proxy=None if local else True, logger=_silent(), **options)
        self._outward = outward

    async def open_tcp_connection(self) -> ClientConnection:
        if self._outward.trusts(self.uri):
            return await super().open_tcp_connection()
        self.proxy = None
        place, given = self.ws_uri, self.create_connection_kwargs
        failure: OSError | None = None
        for address in await self._outward.addresses(place.host, place.port):
            self.create_connection_kwargs = {**given, "host": address, "port": place.port}
            try:
                return await super().open_tcp_connection()
            except OSError as exc:
                failure = exc
            finally:
                self.create_connection_kwargs = given
        raise failure or OSError(errno.EHOSTUNREACH, "no address")


@cache
def _silent() -> logging.Logger:
    silent = logging.getLogger("lipwire.agents.transport")
    silent.setLevel(logging.CRITICAL)
    return silent


# ------------------------------------------------------------------------------------------------------- what is told


def said(body: bytes) -> str:
    """What an error's body says: OpenAI's `error.message`, or its first words."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return body[:200].decode("utf-8", "replace").strip()
    if isinstance(value, dict):
        error = value.get("error", value.get("detail", value.get("message")))
        if isinstance(error, dict):
            error = error.get("message", error)
        if error:
            return str(error)[:200]
    return body[:200].decode("utf-8", "replace")


def log_details(what: str, text: str, url: str, key: str | None = None) -> None:
    """For the operator, at debug: what a service said, unless that repeats a secret of the request."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    secrets = secrets_of(url) | ({key} if key else set())
    if any(secret in text or unquote(secret) in text for secret in secrets):
        text = "(it repeats a secret, and is left out)"
    logger.debug("%s at %s said: %.300s", what, redact(url), " ".join(text.split()))


async def refusal(what: str, url: str, reply: httpx.Response, key: str | None = None) -> ServiceError:
    """The error that a status other than 2xx is."""
    body = b""
    async for piece in reply.aiter_bytes():
        body += piece
        if len(body) > MOST_SAID:
            break
    log_details(what, f"{reply.status_code} {said(body)}", url, key)
    hint = ", and redirects are not followed" if reply.status_code // 100 == 3 else ""
    return ServiceError(f"{what} at {site(url)} answered {reply.status_code}{hint}")


_WORDS = {
    "ConnectTimeout": "no connection in time",
    "InvalidURL": "its URL cannot be read",
    "ProxyError": "the proxy refused",
    "ReadError": "the connection broke",
    "ReadTimeout": "no answer in time",
    "RemoteProtocolError": "it broke off, or sent what is no HTTP",
    "UnsupportedProtocol": "its URL is neither http nor https",
    "WriteError": "the connection broke",
    "WriteTimeout": "it did not read in time",
}


def reason(exc: Exception) -> str:
    """Why no connection came about, without an address that a name stands for."""
    if isinstance(exc, OSError) and exc.errno is not None:
        return os.strerror(exc.errno) if exc.errno > 0 else exc.strerror or type(exc).__name__  # < 0: of a name
    return type(exc).__name__


def failure(what: str, url: str, exc: Exception, key: str | None = None) -> ServiceError:
    """The error that an exception of `ServiceClient.post`, or of reading its answer, is."""
    if isinstance(exc, OutwardRefused):
        return ServiceError(f"{what} {exc}")
    kind = type(exc).__name__
    why = _WORDS.get(kind, kind)
    if kind == "ConnectError":  # the system's words, or OpenSSL's: no connection stood, so nobody else said anything
        why = str(exc) or kind
    else:
        log_details(what, f"{kind}: {exc}", url, key)
    return ServiceError(f"{what} at {site(url)} failed: {why}")
