"""Where a URL that came in a request may lead.

Whoever may start an agent names services for it, and this server calls them: unchecked, that lets him reach what only
this server can (server-side request forgery). So an address that is not public, by the registries of IANA (RFC 6890),
is refused unless the settings allow it. That holds for what a name stands for, too, and is looked at where the
connection is made: a name is resolved once, every address is checked, and one of those is connected to, so that a
second answer of the name's owner cannot lead elsewhere. What the operator configured himself is trusted.

No I/O but a look-up of names, which can be replaced.
"""

from __future__ import annotations

import asyncio
import copy
import ipaddress
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Self
from urllib.parse import SplitResult, parse_qsl, urlsplit
from weakref import WeakValueDictionary

from .errors import InvalidArgument
from .pools import pool

logger = logging.getLogger("lipwire.outward")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int, str], Awaitable[list[str]]]
"""(host, port, owner who asks) -> addresses. Raises OSError: there are none."""

HTTP, WEBSOCKET = ("http", "https"), ("ws", "wss")
RTMP = ("rtmp", "rtmps")
PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "rtmp": 1935, "rtmps": 443}
ANY = "*"

CLOSED: tuple[Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
            *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",  # a public number that answers inside Azure's machines: their metadata
            *("::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16"),
            *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
        ),
    )
)
"""What is not public, besides what `ipaddress` calls so: the list does not change with the version of Python."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


class OutwardRefused(InvalidArgument):
    """A URL leads where URLs of requests may not. The message names its host and nothing else of it."""


class Lookups:
    """The system's look-ups of names, in threads of their own: a name whose servers do not answer holds a thread for as
    long as the system likes, and sessions and agents need those of the event loop to start and to end.

    Args:
        threads: look-ups at a time.
        each: look-ups at a time for one owner, so that nobody's slow names hold all threads; more wait for their turn.
        seconds: after which a name counts as not known, the turn included.
    """

    def __init__(self, threads: int = 4, each: int = 2, seconds: float = 5.0) -> None:
        self.each, self.seconds = each, seconds
        self._threads = pool(threads, "lipwire-names")
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def __call__(self, host: str, port: int, owner: str = "") -> list[str]:
        """The addresses of a host. Raises OSError: there are none, or no answer in time."""
        try:
            try:
                return _addresses(host, port, socket.AI_NUMERICHOST)  # an address, however it is written: no wait
            except socket.gaierror:
                async with asyncio.timeout(self.seconds):
                    return await self._look_up(host, port, owner)
        except ValueError as exc:  # no name at all: too long, an empty label, a character that none has
            raise OSError(socket.EAI_NONAME, "Name or service not known") from exc
        except TimeoutError as exc:
            raise OSError(socket.EAI_AGAIN, "The name was not found in time") from exc

    async def _look_up(self, host: str, port: int, owner: str) -> list[str]:
        turn = self._turns.setdefault(owner, asyncio.Semaphore(self.each))
        await turn.acquire()
        loop = asyncio.get_running_loop()

        def free(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(turn.release)

        asked = self._threads.submit(_addresses, host, port)
        asked.add_done_callback(free)  # not before: the thread is held by a look-up that nobody waits for any more
        return await asyncio.wrap_future(asked)


def _addresses(host: str, port: int, flags: int = 0) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: Address) -> bool:
    """Whether it is an address of the internet at large, as are the IPv4 addresses that an IPv6 one carries: mapped
    (RFC 4291), 6to4 (RFC 3056), Teredo (RFC 4380), NAT64 (RFC 6052), ISATAP (RFC 5214)."""
    if isinstance(address, ipaddress.IPv6Address):
        carried = _carried(address)
        if address.ipv4_mapped is not None or address in _NAT64:
            return all(map(is_public, carried))  # it is the IPv4 one, by another name
        if not all(map(is_public, carried)):
            return False
    closed = any(address in network for network in CLOSED if network.version == address.version)
    return not closed and address.is_global and not address.is_multicast


def _carried(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    number = int(address)
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or (number >> 32) & 0xFFFF_FFFF in _ISATAP:
        found.append(ipaddress.IPv4Address(number & 0xFFFF_FFFF))
    return [one for one in found if one is not None]


# ---------------------------------------------------------------------------------------------------------------- words


def _split(url: str) -> SplitResult | None:
    """None: it is no URL. A host or a port that cannot be read makes it none, too."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError where it is no port
    except ValueError:
        return None
    return parts if parts.hostname else None


def _printable(text: str) -> str:
    return re.sub(r"[^!-~]", "?", text)[:200]


def site(url: str) -> str:
    """Its host, and its port where that is said: what people may read of a URL that others have to do with."""
    parts = _split(url)
    if parts is None or parts.hostname is None:
        return "an address that cannot be read"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return _printable(host if parts.port is None else f"{host}:{parts.port}")


def same_origin(one: str, other: str) -> bool:
    """Whether what is sent to either goes to the same one, by scheme, host and port (RFC 6454). What is no URL goes to
    nobody."""
    first, second = (
        parts and (parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme))
        for parts in map(_split, (one, other))
    )
    return first is not None and first == second


def redact(url: str) -> str:
    """The URL for a log: without user and password, without the values of its query, without its fragment; of RTMP
    without its path, the end of which is the key of a stream."""
    parts = _split(url)
    if parts is None:
        return "(no URL)"
    if parts.scheme in RTMP:
        return _printable(f"{parts.scheme}://{site(url)}/***")
    members = (member.partition("=") for member in parts.query.split("&"))
    query = "&".join(f"{name}=***" if equals else "***" for name, equals, _ in members)
    return _printable(f"{parts.scheme}://{site(url)}{parts.path}") + (f"?{_printable(query)}" if parts.query else "")


def secrets_of(url: str) -> set[str]:
    """What must not be told of it: user and password, and the values of its query."""
    parts = _split(url)
    if parts is None:
        return {url} if url else set()
    found = {parts.username, parts.password, *(value for _, value in parse_qsl(parts.query)), parts.query}
    return {one for one in found if one}


# --------------------------------------------------------------------------------------------------------------- policy


class _Allowed:
    """One entry of `allowed_outward`: a name, an address or a network, on one port or on all."""

    def __init__(self, text: str) -> None:
        self.name = ""
        self.network: Network | None = None
        host, colon, port = text.strip().rpartition(":")
        if text.count(":") > 1 and not text.strip().startswith("["):
            host, colon, port = text.strip(), "", ""  # IPv6 without brackets has no port
        elif not colon or port.endswith("]"):
            host, port = text.strip(), ""
        if port and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise InvalidArgument(f"{text!r}: {port!r} is no port")
        self.port: int | None = int(port) if port else None
        host = host.removeprefix("[").removesuffix("]").lower().rstrip(".")
        try:
            self.network = ipaddress.ip_network(host, strict=False)
        except ValueError:
            self.name = host
            if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", host) or re.fullmatch(r"[\d.]+", host):
                raise InvalidArgument(f"{text!r} is no host name, address or network, with or without :port") from None

    def names(self, host: str, port: int) -> bool:
        return self.name == host and self.port in (None, port)

    def holds(self, address: Address, port: int) -> bool:
        return self.network is not None and address in self.network and self.port in (None, port)


class Outward:
    """What URLs of requests may reach: public addresses, and what is allowed besides.

    Args:
        allowed: host names, addresses and networks that may be private, each with or without `:port`; "*" = all.
        trusted: URLs that are the operator's own, to the letter; they may lead anywhere.
        resolve: looks names up; None = the system does (`Lookups`).

    Raises:
        InvalidArgument: an entry of `allowed` is none of that.
    """

    def __init__(
        self, allowed: Iterable[str] = (), *, trusted: Iterable[str | None] = (), resolve: Resolve | None = None
    ) -> None:
        entries = [entry.strip() for entry in allowed]
        self.anything = ANY in entries
        """Nothing is refused but what is no URL of the right scheme."""
        self._allowed = [_Allowed(entry) for entry in entries if entry != ANY]
        self._trusted = frozenset(url for url in trusted if url)
        self._resolve = resolve or Lookups()
        self.owner = ""
        """Whose URLs these are: each owner's look-ups are bounded."""

    def of(self, owner: str) -> Self:
        """The same for the URLs of one owner."""
        theirs = copy.copy(self)
        theirs.owner = owner
        return theirs

    def trusts(self, url: str) -> bool:
        """Whether it needs no check. To name the operator's URL gains nobody anything: without one it is called, too,
        and with his key."""
        return self.anything or url in self._trusted

    async def check(self, url: str, schemes: tuple[str, ...] = HTTP) -> None:
        """For the door, so that who names a bad URL hears of it at once. A name that is not known now passes: it is
        looked up again, and what it stands for checked, where the connection is made.

        Raises:
            OutwardRefused: it may not be called.
        """
        (why,) = await self.check_all([(url, schemes)])
        if why is not None:
            raise why

    async def check_all(
        self, urls: Sequence[tuple[str, tuple[str, ...]]], seconds: float | None = None
    ) -> list[OutwardRefused | None]:
        """`check` of (URL, schemes) at once, with one look-up of each host and port: why each may not be called, None =
        it may. A name that is not found within `seconds` is not known now."""
        places = [self._place(*one) for one in urls]
        hosts = {place for place in places if isinstance(place, tuple)}
        lookups = {place: asyncio.ensure_future(self.addresses(*place)) for place in hosts}
        try:
            if lookups:
                await asyncio.wait(lookups.values(), timeout=seconds)
        finally:
            for task in lookups.values():
                task.cancel()
            ended = await asyncio.gather(*lookups.values(), return_exceptions=True)
        found = dict(zip(lookups, ended, strict=True))
        for place, answer in found.items():
            if isinstance(answer, OSError | asyncio.CancelledError):
                why = getattr(answer, "strerror", None) or type(answer).__name__
                logger.info("%s:%d is not known yet: %s", _printable(place[0]), place[1], why)
            elif isinstance(answer, BaseException) and not isinstance(answer, OutwardRefused):
                raise answer
        answers = [found[place] if isinstance(place, tuple) else place for place in places]
        return [answer if isinstance(answer, OutwardRefused) else None for answer in answers]

    def _place(self, url: str, schemes: tuple[str, ...]) -> tuple[str, int] | OutwardRefused | None:
        """The host and port to be looked up; None: it needs no check."""
        parts = _split(url)
        if parts is None or parts.hostname is None or parts.scheme not in schemes:
            words = " or ".join(f"{scheme}://" for scheme in schemes)
            return OutwardRefused(f"is no URL that begins with {words}")
        return None if self.trusts(url) else (parts.hostname, parts.port or PORTS[parts.scheme])

    async def addresses(self, host: str, port: int) -> list[str]:
        """What a host stands for, to be connected to as it is: nothing is to be looked up a second time.

        Raises:
            OutwardRefused: one of the addresses may not be reached. OSError: there are none.
        """
        found = await self._resolve(host, port, self.owner)
        name = host.lower().rstrip(".")
        if not (self.anything or any(entry.names(name, port) for entry in self._allowed)):
            for address in found:
                self._check_address(host, address, port)
        if not found:
            raise OSError(socket.EAI_NONAME, "Name or service not known")
        return found

    def names(self, host: str, address: str, port: int) -> bool:
        """Whether the settings allow it in so many words, and not because it is public."""
        parsed, name = ipaddress.ip_address(address), host.lower().rstrip(".")
        return self.anything or any(entry.names(name, port) or entry.holds(parsed, port) for entry in self._allowed)

    def _check_address(self, host: str, address: str, port: int) -> None:
        parsed = ipaddress.ip_address(address)
        if is_public(parsed) or any(entry.holds(parsed, port) for entry in self._allowed):
            return
        logger.info("a request's URL named %s:%d, which is %s: refused", _printable(host), port, address)
        raise OutwardRefused(
            f"leads to {_printable(host)}, which is no public address; this server's setting allowed_outward says "
            "what else may be reached"
        )
