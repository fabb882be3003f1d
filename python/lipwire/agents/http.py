"""What the clients of an agent share: one way to connect, and one way to say what failed.

Where a URL may lead is `outward`'s to say. What fails is told by the service's host and what happened, never by its
URL, which may hold passwords and keys, nor by what the service said, which may be an inner one: that stands in the log
at debug, unless it repeats a secret of the request.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import html
import json
import logging
import os
import re
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, InvalidURI, WebSocketException

from ..answers import IDENTITY, beginning, read_all
from ..errors import BadData, BadState, LipwireError
from ..outward import HTTP, PORTS, WEBSOCKET, Outward, OutwardRefused, redact, secrets_of, site
from .headers import joined

if TYPE_CHECKING:
    import httpcore
    import httpx

logger = logging.getLogger("lipwire.agents")

CONNECT = 5.0
"""Seconds until a connection stands."""
MOST_SAID = 4096
"""Bytes of an error's body that are read."""
MAX_REDIRECTS = 3
"""From one URL of a host to another, for one request."""
MAX_WAIT = 10.0
"""Seconds that are waited at most before a request is made again, whatever the service asks for."""
WAIT = 0.5
"""Seconds of that where it asks for none."""


class ServiceError(LipwireError, RuntimeError):
    """A service that a brain uses refused, broke off or stalled; the message says how."""

    code = "SERVICE_ERROR"
    status = 0
    """Of the HTTP answer that refused; 0 = it is none."""
    said = ""
    """What that answer's body says, which is not for everyone."""
    passing = False
    """It may go better in a moment: the service is busy or has failed, or the network has."""
    wait: float | None = None
    """Seconds after which the service wants to be asked again, where it says so."""

    def seconds_to_wait(self) -> float:
        """How long to wait before asking again, MAX_WAIT at most."""
        return min(max(WAIT if self.wait is None else self.wait, 0.0), MAX_WAIT)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # takes 20 ms: once a process, not once an agent


def _client(**options: Any) -> httpx.AsyncClient:
    """Asks for answers as they are, and keeps no cookies: what one service of an agent sets is not for another."""
    import httpx

    jar = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    return httpx.AsyncClient(headers=IDENTITY, cookies=jar, **options)


class ServiceClient:
    """Asks services by HTTP; connections stay open between turns. Redirects are followed within the host only.

    Args:
        read: seconds between two pieces of an answer.
        outward: where URLs may lead that it does not trust; None = all URLs are the operator's own.
        once: a request may have effects: it has a connection of its own, and is sent once, however that breaks.

    Raises:
        BadState: httpx is not installed.
    """

    def __init__(self, read: float, outward: Outward | None = None, *, once: bool = False) -> None:
        try:
            import httpx
        except ModuleNotFoundError as exc:
            raise BadState("agents need httpx: pip install 'lipwire[agents]'") from exc
        self._outward = outward
        self._once = once
        timeout = httpx.Timeout(read, connect=CONNECT)
        limits = httpx.Limits(
            max_connections=32 if once else 8, max_keepalive_connections=0 if once else None, keepalive_expiry=300
        )
        self._trusted = _client(
            timeout=timeout,
            limits=limits,
            verify=_tls(),
            # A proxy of the environment is used, but never for what runs on this machine.
            mounts={f"all://{host}": httpx.AsyncHTTPTransport(verify=_tls()) for host in ("127.0.0.1", "localhost")},
        )
        # Never a proxy: it would look the name up by itself, and connect to whatever that is.
        self._checked = None
        if outward is not None and not outward.anything:
            self._checked = _client(timeout=timeout, transport=_checked_transport(outward, limits))

    async def post(self, url: str, *, key: str | None, headers: Mapping[str, str], **body: Any) -> httpx.Response:
        """As `request`, by POST."""
        return await self.request("POST", url, key=key, headers=headers, **body)

    async def request(
        self, method: str, url: str, *, key: str | None = None, headers: Mapping[str, str], **body: Any
    ) -> httpx.Response:
        """The answer, whose body is yet to be read. `body`: as httpx has it.

        Redirects to the same host are followed, MAX_REDIRECTS of them, with the same method and body (RFC 9110, 15.4;
        303 is none of them). Any other is the answer: neither key nor conversation goes to a host that nobody named.

        Args:
            key: goes as the service wants it (`headers.credentials`). User and password of a URL, where it has them, go
                instead.
            headers: where one of them has credentials, the key does not go.

        Raises:
            httpx.HTTPError, httpx.InvalidURL; OutwardRefused.
        """
        client = self._trusted
        if self._checked is not None and self._outward is not None and not self._outward.trusts(url):
            client = self._checked
        for left in reversed(range(MAX_REDIRECTS + 1)):
            response = await self._send(client, method, url, joined(url, key, headers), body)
            onward = _onward(url, response) if left else None
            if onward is None:
                break
            await response.aclose()
            url = onward
        return response

    async def _send(
        self, client: httpx.AsyncClient, method: str, url: str, headers: dict[str, str], body: dict[str, Any]
    ) -> httpx.Response:
        import httpx

        request = client.build_request(method, url, headers=headers, **body)
        request.url = _quiet()(request.url)
        try:
            return await client.send(request, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # Most likely a connection kept from before, which the other side has closed meanwhile.
            if self._once:
                raise
            return await client.send(request, stream=True)

    async def aclose(self) -> None:
        """Ends the connections."""
        for client in (self._trusted, self._checked):
            if client is not None:
                await client.aclose()


class TooLarge(ServiceError):
    """What a URL leads to is larger than it may be."""

    code = "TOO_LARGE"


async def fetch(what: str, url: str, outward: Outward, *, most: int, seconds: float) -> bytes:
    """What is at a URL that a request has named, by GET. MAX_REDIRECTS redirects are followed, each to where `outward`
    lets them lead: nothing of ours goes with it.

    Args:
        what: it is called in errors.
        most: bytes of it.
        seconds: all of it may take.

    Raises:
        OutwardRefused: it may not be called. ServiceError: it cannot be had; TooLarge where it has more than `most`.
        BadState: httpx is not installed.
    """
    try:
        import httpx
    except ModuleNotFoundError as exc:
        raise BadState("agents need httpx: pip install 'lipwire[agents]'") from exc
    transport = None if outward.anything else _checked_transport(outward, httpx.Limits(max_connections=2))
    first = url
    try:
        await outward.check(url)
        async with asyncio.timeout(seconds), _client(timeout=seconds, transport=transport) as client:
            for left in reversed(range(MAX_REDIRECTS + 1)):
                request = client.build_request("GET", url)
                request.url = _quiet()(request.url)
                response = await client.send(request, stream=True)
                if not (left and response.is_redirect):
                    break
                await response.aclose()
                url = _joined(what, url, response.headers.get("location", ""))
                await outward.check(url)
            if response.status_code != 200:
                raise await refusal(what, url, response)
            return await read_all(response, most)
    except BadData as exc:
        raise TooLarge(f"{what} at {site(first)} has more than {most} bytes") from exc
    except OutwardRefused as exc:
        raise OutwardRefused(f"{what} {exc}") from exc
    except TimeoutError as exc:
        raise ServiceError(f"{what} at {site(first)} did not come within {seconds:g} s") from exc
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise failure(what, url, exc) from exc


def _joined(what: str, url: str, location: str) -> str:
    """Where a redirect leads. Raises ServiceError: it cannot be read."""
    try:
        return urljoin(url, location)
    except ValueError as exc:
        raise ServiceError(f"{what} at {site(url)} failed: it redirects to what is no URL") from exc


def _onward(url: str, response: httpx.Response) -> str | None:
    """Where a redirect leads, if it is one that is followed."""
    if response.status_code not in (301, 302, 307, 308) or "location" not in response.headers:
        return None
    return _within(url, response.headers["location"])


def _within(url: str, location: str) -> str | None:
    """Where a redirect leads, if it stays with the host: the same place, or there from http to https, ws to wss."""
    try:
        old, new = urlsplit(url), urlsplit(urljoin(url, location))
        before, after = _place(old), _place(new)
    except ValueError:
        return None
    upgraded = (before, after) in (
        (("http", old.hostname, 80), ("https", old.hostname, 443)),
        (("ws", old.hostname, 80), ("wss", old.hostname, 443)),
    )
    user, at, _ = old.netloc.rpartition("@")
    theirs, _, place = new.netloc.rpartition("@")
    if theirs not in ("", user) or new.scheme not in (*HTTP, *WEBSOCKET) or not (before == after or upgraded):
        return None
    return urlunsplit((new.scheme, f"{user}{at}{place}", new.path, new.query, ""))


def _place(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)


@cache
def _quiet() -> type[httpx.URL]:
    """The type of a URL like any other; but httpx logs every request at the level info, with its URL, the path of which
    may be a secret, and with words of the service's. Such lines about these URLs are left out."""
    import httpx

    class Quiet(httpx.URL):
        def __str__(self) -> str:
            return f"{self.scheme}://{site(super().__str__())}"

    def others(record: logging.LogRecord) -> bool:
        return not (isinstance(record.args, tuple) and any(isinstance(one, Quiet) for one in record.args))

    logging.getLogger("httpx").addFilter(others)
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
    """As websockets' `connect`, for a service. Where `outward` does not trust the URL, it is checked, at every redirect
    anew; None = it is the operator's own. Redirects are followed within the host only, as `ServiceClient` does."""
    return _Connect(url, None if outward is None or outward.trusts(url) else outward, **options)


class _Connect(connect):
    def __init__(self, url: str, outward: Outward | None, **options: Any) -> None:
        # A proxy of the environment is used, but never for what runs on this machine, nor for what is to be checked: it
        # would look the name up by itself. At debug websockets logs whole requests, keys included. Nothing is packed,
        # as with answers by HTTP: 16 kB may be 16 MB; and few messages wait, the largest of which are as large.
        local = urlsplit(url).hostname in ("127.0.0.1", "localhost")
        options = {"compression": None, "max_queue": MAX_QUEUE, **options}
        super().__init__(url, proxy=None if local else True, logger=_silent(), **options)
        self._outward = outward

    def process_redirect(self, exc: Exception) -> Exception | str:
        """As websockets does; but neither headers nor what is said goes to a host that nobody named."""
        headers = self.additional_headers
        onward = super().process_redirect(exc)
        if not isinstance(onward, str):
            return onward
        self.additional_headers = headers
        return _within(self.uri, onward) or exc

    async def open_tcp_connection(self) -> ClientConnection:
        if self._outward is None:
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


HANDSHAKE = 10.0
"""Seconds until a WebSocket stands."""
MAX_MESSAGE = 16 << 20
"""Bytes of one message."""
MAX_QUEUE = 2
"""Messages that wait to be read; then the service does."""


async def opened(
    what: str, url: str, headers: Mapping[str, str], outward: Outward | None = None, *secrets: str | None
) -> ClientConnection:
    """A WebSocket to a service.

    Args:
        what: it is, for people.
        outward: as `websocket` has it. secrets: as `log_details` has them.

    Raises:
        ServiceError: there is none; `status` is that of a refusal, `passing` and `wait` are as `refusal` has them.
    """
    where = f"{what} at {site(url)}"
    try:
        return await websocket(
            url, outward, additional_headers=headers, max_size=MAX_MESSAGE, open_timeout=HANDSHAKE, close_timeout=1.0
        )
    except InvalidStatus as exc:
        log_details(what, f"{exc.response.status_code} {said(bytes(exc.response.body or b''))}", url, *secrets)
        refused = answered(what, url, exc.response.status_code)
        refused.wait = retry_after(exc.response.headers, time.time())
        raise refused from exc
    except OutwardRefused as exc:
        raise ServiceError(f"{where} {exc}") from exc
    except (OSError, TimeoutError, WebSocketException, ValueError) as exc:
        log_details(what, f"{type(exc).__name__}: {exc}", url, *secrets)
        failed = ServiceError(f"cannot connect to {where}: {reason(exc)}")
        failed.passing = not isinstance(exc, ValueError | InvalidURI)
        raise failed from exc


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


LEAST_SECRET = 4
"""Characters of what may be one: shorter words stand in any text."""
LEAST_SEGMENT = 16
"""The same for a part of a URL's path."""


PART = 16
"""So many characters of a secret that is as long or longer give it away."""
HIDDEN = "***"
_SCHEME = re.compile(r"(?i:bearer|basic|token|key|bot) +(.+)")
"""Credentials of a header, behind the word that says of which kind."""


def _known(url: str, secrets: Iterable[str | None]) -> set[str]:
    """The secrets of a request, in each way in which texts have them."""
    given = {secret for secret in secrets if secret}
    behind = (_SCHEME.fullmatch(secret) for secret in given)
    known = secrets_of(url) | given | {found[1] for found in behind if found is not None}
    with suppress(ValueError):  # no URL: all of it is one
        parts = urlsplit(url)
        if parts.password:
            user = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
            known.add(base64.b64encode(user.encode()).decode())
        known |= {part for part in parts.path.split("/") if len(part) >= LEAST_SEGMENT}
    found = set[str]()
    for one in known | {unquote(one) for one in known}:
        if len(one) >= LEAST_SECRET:
            in_json = json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1]
            found |= {one, quote(one, safe=""), html.escape(one), html.escape(one, quote=False), *in_json}
            found |= {each.replace("/", "\\/") for each in in_json}  # as PHP writes it
    return found


def _without(text: str, known: Iterable[str]) -> str:
    """The text, HIDDEN in the place of what it has of secrets."""
    short = {one for one in known if len(one) < PART}
    grams = {one[at : at + PART] for one in known for at in range(len(one) - PART + 1)}
    kept, end = list[str](), 0
    for begin in range(len(text) - PART + 1) if grams else ():
        if text[begin : begin + PART] in grams:
            if begin > end or not kept:
                kept += [text[end:begin], HIDDEN]
            end = begin + PART
    text = "".join((*kept, text[end:]))
    for one in sorted(short, key=len, reverse=True):
        text = text.replace(one, HIDDEN)
    return text


def _repeats(text: str, known: Iterable[str]) -> bool:
    ways = {text, unquote(text), html.unescape(text), text.replace("\\/", "/")}
    return any(_without(one, known) != one for one in ways)


def repeats(text: str, url: str, *secrets: str | None) -> bool:
    """Whether a text has a secret of a request in it, or a part of one: one of its URL's (user and password, values of
    the query, long parts of the path), or one of `secrets` (the key; values of headers)."""
    return _repeats(text, _known(url, secrets))


def harmless(text: str, url: str, *secrets: str | None) -> str:
    """What a service said, for a model, without the secrets that it repeats, as pages do that list a request's headers;
    "" where it repeats one in a way of its own. `secrets`: as `repeats` has them."""
    known = _known(url, secrets)
    text = _without(text, known)
    return "" if _repeats(text, known) else text


def log_details(what: str, text: str, url: str, *secrets: str | None) -> None:
    """For the operator, at debug: what a service said, unless that repeats a secret of the request. `secrets`: as
    `repeats` has them."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    if repeats(text, url, *secrets):
        text = "(it repeats a secret, and is left out)"
    logger.debug("%s at %s said: %.300s", what, redact(url), " ".join(text.split()))


async def refusal(what: str, url: str, reply: httpx.Response, *secrets: str | None) -> ServiceError:
    """The error that a status other than 2xx is. `secrets`: as `log_details` has them."""
    body = await beginning(reply, MOST_SAID)
    log_details(what, f"{reply.status_code} {said(body)}", url, *secrets)
    error = answered(what, url, reply.status_code)
    error.said = body.decode("utf-8", "replace")
    error.wait = retry_after(reply.headers, time.time())
    return error


def answered(what: str, url: str, status: int) -> ServiceError:
    """The error that an HTTP status is, wherever it stands."""
    hint = ", and redirects to another place are not followed" if status // 100 == 3 else ""
    error = ServiceError(f"{what} at {site(url)} answered {status}{hint}")
    error.status, error.passing = status, status in PASSING
    return error


PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
"""Statuses that may be another in a moment; those from 520 on are of proxies and services that are busy."""


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds after which a service wants to be asked again: Retry-After (RFC 9110, 10.2.3) in seconds or as a date, or
    Azure's `retry-after-ms`. None = it does not say, or not so that it can be read.

    Args:
        now: Unix seconds.
    """
    milliseconds, text = headers.get("retry-after-ms", ""), headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", milliseconds.strip()):
        return float(milliseconds) / 1000
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None


_WORDS = {
    "ConnectTimeout": "no connection in time",
    "DecodingError": "its answer is compressed, which was not asked for",
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


def failure(what: str, url: str, exc: Exception, *secrets: str | None) -> ServiceError:
    """The error that an exception of `ServiceClient.post`, or of reading its answer, is. `secrets`: as `log_details`
    has them."""
    if isinstance(exc, OutwardRefused):
        return ServiceError(f"{what} {exc}")
    kind = type(exc).__name__
    why = _WORDS.get(kind, kind)
    if kind == "ConnectError":  # the system's words, or OpenSSL's: no connection stood, so nobody else said anything
        why = str(exc) or kind
    else:
        log_details(what, f"{kind}: {exc}", url, *secrets)
    error = ServiceError(f"{what} at {site(url)} failed: {why}")
    error.passing = kind not in ("DecodingError", "InvalidURL", "UnsupportedProtocol")
    return error
