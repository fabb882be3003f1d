"""Which names a server has (Host), and which web pages may call it (Origin). No web framework here: `guard` applies it
to HTTP, `ws` to the WebSocket's handshake.

| header | what passes | else |
|---|---|---|
| Host | none, localhost, *.localhost, IP literals, the configured names | HOST_NOT_ALLOWED |
| Origin | none, the origin that is called itself, the configured ones | ORIGIN_NOT_ALLOWED |
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Self
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from ..errors import InvalidArgument, LipwireError

DEFAULT_PORTS = {"http": 80, "https": 443}
PAGES = {"ws": "http", "wss": "https"}
"""The schemes of pages that come from where a WebSocket is."""
ANY = "*"


class NotAllowed(LipwireError):
    """A request was refused for its Host or its Origin: `code` says which."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Allowlist(Struct, kw_only=True, frozen=True):
    """Which names a server has, and which pages may call it. Made by `of`."""

    hosts: frozenset[str] = frozenset()
    """Names besides localhost and IP literals; "*.example.org" is all names below it, "*" any."""
    origins: frozenset[str] = frozenset()
    """As `parse_origin` writes them."""
    hsts: bool = False
    """Tell browsers that come by name and over TLS to come over TLS only."""

    @classmethod
    def of(
        cls, hosts: Iterable[str] = (), origins: Iterable[str] = (), urls: Iterable[str] = (), *, hsts: bool = False
    ) -> Self:
        """
        Args:
            hosts: names of this server. origins: of pages. urls: more addresses of this server, http, https, ws or wss;
                their hosts count, and pages of theirs may call.

        Raises:
            InvalidArgument: one is none; it says which.
        """
        pages = {parse_origin(text) for text in origins}
        places = [_split(url) for url in urls]
        names = {parse_host(text) for text in hosts} | {place.hostname or "" for place in places}
        # Pages of its own: a proxy may have put another Host in place of the name that the browser came by.
        own = {f"https://{name}" for name in names if name and ANY not in name and not is_address(name)}
        own |= {_origin_of(place) for place in places}
        names |= {urlsplit(page).hostname or "" for page in pages}
        return cls(hosts=frozenset(names - {""}), origins=frozenset(pages | own), hsts=hsts)

    def check(self, hosts: Sequence[str], origins: Sequence[str], *, secure: bool) -> bool:
        """Whether a request comes from a page of another origin (which is allowed then).

        Args:
            hosts: the values of its Host header. origins: of its Origin header. secure: it came over TLS.

        Raises:
            NotAllowed: HOST_NOT_ALLOWED, ORIGIN_NOT_ALLOWED.
        """
        host = hosts[0].strip().lower() if hosts else ""
        if len(hosts) > 1 or (host and not self.has_host(host)):  # HTTP/1.0 and health checks may name none
            raise NotAllowed(
                "HOST_NOT_ALLOWED",
                f"{host!a:.80} is none of this server's names. If it shall be one, add it to public_hosts "
                "(LIPWIRE_PUBLIC_HOSTS, --public-hosts)",
            )
        if not origins or (len(origins) == 1 and self._is_same(origins[0], host, secure)):
            return False
        if len(origins) == 1 and self.has_origin(origins[0]):
            return True
        raise NotAllowed(
            "ORIGIN_NOT_ALLOWED",
            f"Pages of {origins[0]!a:.80} may not call this server. If they shall, add it to allowed_origins "
            "(LIPWIRE_ALLOWED_ORIGINS, --allowed-origins)",
        )

    def has_host(self, header: str) -> bool:
        """Whether a Host header, in lower case, names this server."""
        name = name_of(header)
        if name is None:
            return False
        if ANY in self.hosts or is_local_name(name) or is_address(name) or name in self.hosts:
            return True
        labels = name.split(".")
        return any(".".join((ANY, *labels[n:])) in self.hosts for n in range(1, len(labels)))

    def has_origin(self, origin: str) -> bool:
        """Whether pages of this origin may call, though another was called."""
        try:
            return parse_origin(origin) in self.origins
        except InvalidArgument:
            return False

    def _is_same(self, origin: str, host: str, secure: bool) -> bool:
        scheme, colon, place = origin.strip().lower().partition("://")
        if not (colon and host) or scheme not in DEFAULT_PORTS or (secure and scheme == "http"):
            return False  # https to us over plain HTTP came through a proxy that ends TLS
        port = DEFAULT_PORTS[scheme]
        return place.removesuffix(f":{port}") == host.removesuffix(f":{port}")


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise InvalidArgument(f"{url!r:.200} is no URL of this server's") from None


def parse_host(text: str) -> str:
    """A name of this server, in lower case; "*" and "*.name" may stand for several. Raises InvalidArgument."""
    name = text.strip().lower()
    if name == ANY:
        return name
    name = name.removesuffix(".")
    plain = name.removeprefix("*.")
    if plain and plain.isascii() and all(c.isalnum() or c in "-_." for c in plain):
        return name
    if is_address(name):
        return name
    raise InvalidArgument(f"public_hosts: {text!r:.80} is no name of a host; write avatar.example.org, without a port")


def parse_origin(text: str) -> str:
    """The origin of pages in its one form: scheme://host, :port where it is not the scheme's own. Raises
    InvalidArgument."""
    wrong = InvalidArgument(f"allowed_origins: {text!r:.80} is no origin; write https://app.example.org")
    try:
        parts = urlsplit(text.strip().lower())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise wrong from None
    odd = parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc
    if odd or not parts.scheme or not host or set(host) & set("*;, '\"\\") or not host.isascii():
        raise wrong
    place = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{place}" + ("" if port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{port}")


def _origin_of(url: SplitResult) -> str:
    """Where pages of an address of this server come from. Raises InvalidArgument."""
    try:
        return parse_origin(f"{PAGES.get(url.scheme, url.scheme)}://{url.netloc.rpartition('@')[2]}")
    except InvalidArgument:
        raise InvalidArgument(
            f"public_ws_url, public_viewer_url: browsers know no {url.netloc.rpartition('@')[2]!r:.80} as a host; "
            "a name with other letters than ASCII is written as xn--..."
        ) from None


def is_local_name(name: str) -> bool:
    """Whether only this machine has this name (RFC 6761)."""
    return name == "localhost" or name.endswith(".localhost")


def name_of(header: str) -> str | None:
    """The name in a Host header; None where it is malformed."""
    try:
        parts = urlsplit(f"//{header}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return None if name is None or parts.netloc != header or "@" in header else name.rstrip(".")


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def has_tls_name(host: str) -> bool:
    """Whether a Host header names what HSTS is for: not this machine, and no address (RFC 6797, section 8.1.1)."""
    name = name_of(host.strip().lower())
    return name is not None and not is_local_name(name) and not is_address(name)
