"""STUN and TURN servers: which there are, and what opens them.

TURN asks for a name and a password. Either they stand in the settings, or they are made for whoever asks, as coturn's
`use-auth-secret` has it (the REST scheme of draft-uberti-behave-turn-rest-00): the name begins with the time at which
it ends, the password is the HMAC-SHA1 of the name under a secret that the TURN server knows, too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from ..errors import InvalidArgument

TTL = 86_400.0
"""Seconds that credentials are good for which are made for one who asks: a connection that lasts longer goes on, and
only a new path through the TURN server would be refused."""
NAME = "lipwire"
"""What follows the time in a name that is made."""
URL = re.compile(
    r"(?P<scheme>stuns?|turns?):(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:(?P<port>\d{1,5}))?"
    r"(\?transport=(?P<transport>udp|tcp))?",
    re.IGNORECASE,
)
"""RFC 7064 and RFC 7065."""


class IceServer(Struct, frozen=True, kw_only=True):
    """One server, as a connection needs it."""

    url: str
    username: str = ""
    credential: str = ""
    """The password; for STUN neither."""

    @property
    def link(self) -> str:
        """It as the value of a Link header (RFC 9725, section 4.6)."""
        text = f'<{self.url}>; rel="ice-server"'
        if self.username:
            name, password = _quoted(self.username), _quoted(self.credential)
            text += f'; username={name}; credential={password}; credential-type="password"'
        return text


class IceServers:
    """Servers for those who connect, and for our own end of each connection.

    Args:
        urls: stun:host:port, stuns:..., turn:host:port?transport=udp, turns:...; in the order of preference.
        secret: shared with the TURN servers, which makes a name and a password for each who asks.
        username, password: of the TURN servers, in place of that.
        ttl: seconds that what `secret` makes is good for.
        wall_clock: Unix seconds.

    Raises:
        InvalidArgument: an address is none, or TURN servers come without what opens them; it says which.
    """

    def __init__(
        self,
        urls: Iterable[str] = (),
        *,
        secret: str | None = None,
        username: str | None = None,
        password: str | None = None,
        ttl: float = TTL,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.urls = tuple(urls)
        self._secret, self._username, self._password = secret, username, password
        self._ttl, self._wall_clock = ttl, wall_clock
        for url in self.urls:
            check_url(url)
        self._check_credentials()

    def _check_credentials(self) -> None:
        turn = any(url.lower().startswith("turn") for url in self.urls)
        fixed = self._username is not None or self._password is not None
        if fixed and not (self._username and self._password):
            raise InvalidArgument("turn_username and turn_password go together: set both, or neither")
        if fixed and self._secret is not None:
            raise InvalidArgument("turn_secret makes names and passwords: leave turn_username and turn_password out")
        if turn and not (fixed or self._secret):
            raise InvalidArgument("ice_servers: TURN needs turn_secret, or turn_username and turn_password")
        if (fixed or self._secret is not None) and not turn:
            raise InvalidArgument("turn_secret, turn_username and turn_password need a turn: address in ice_servers")
        for text in (self._username, self._password):
            if text is not None and not (text.isascii() and text.isprintable()):
                raise InvalidArgument("turn_username and turn_password must be printable ASCII: they go into a header")

    def __bool__(self) -> bool:
        return bool(self.urls)

    def current(self) -> list[IceServer]:
        """All of them, with credentials that are good from now on."""
        username, credential = self._credentials()
        return [
            IceServer(url=url, username=username, credential=credential)
            if url.lower().startswith("turn")
            else IceServer(url=url)
            for url in self.urls
        ]

    def own(self) -> list[IceServer]:
        """Those that our own end of a connection uses: the first STUN and the first TURN server that it can. It speaks
        to both over UDP, and finds them by IPv4 or by name."""
        found: dict[str, IceServer] = {}
        for server in self.current():
            match = check_url(server.url)
            scheme, plain = match["scheme"].lower(), (match["transport"] or "udp").lower() == "udp"
            if scheme in ("stun", "turn") and plain and not match["host"].startswith("["):
                found.setdefault(scheme, server)
        return list(found.values())

    def _credentials(self) -> tuple[str, str]:
        if self._secret is None:
            return self._username or "", self._password or ""
        username = f"{int(self._wall_clock() + self._ttl)}:{NAME}"
        digest = hmac.digest(self._secret.encode(), username.encode(), hashlib.sha1)
        return username, base64.b64encode(digest).decode()


def check_url(url: str) -> re.Match[str]:
    """The parts of a server's address. Raises InvalidArgument."""
    match = URL.fullmatch(url)
    if match is None or (match["port"] and not 0 < int(match["port"]) < 65_536):
        raise InvalidArgument(
            f"ice_servers: {url!r:.200} is no address of one; write stun:stun.example.org:3478, or "
            "turn:turn.example.org:3478?transport=udp"
        )
    if match["transport"] and match["scheme"].lower().startswith("stun"):
        raise InvalidArgument(f"ice_servers: {url!r:.200} has a transport, which STUN knows none of (RFC 7064)")
    return match


def _quoted(text: str) -> str:
    """A quoted-string (RFC 9110, section 5.6.4)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
