"""Whom the kit drives, and with what."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from msgspec import Struct

from ..errors import InvalidArgument


class Target(Struct, frozen=True, kw_only=True):
    """A provider, and what the kit may send it. Times in seconds, sizes in bytes."""

    http: str
    """Where `/session/start` is appended to, say http://127.0.0.1:8764."""
    api_key: str
    """For `x-api-key`."""
    ws: str | None = None
    """Connect here; None = to what `websocket_address` of each session says."""
    other_api_key: str | None = None
    """A second key, of another owner: for the rule on a channel that is in use."""
    token_secret: str | None = None
    """What signs the session tokens (JWT, HS256): lets the kit make an expired one."""
    avatar_id: str = "aria"
    quality: str = "low"
    video_encoding: str = "H264"
    app_id: str = "local"
    agora_token: str = "local"
    channel: str | None = None
    """Every session joins this one; None = each a channel of its own, with a random name."""
    uid: str = "1"
    message_limit: int = 4 << 20
    """The largest message that the provider says it takes."""
    patience: float = 5.0
    """How long to wait for what ought to come."""
    settle: float = 0.5
    """How long to wait for a close that ought not to come, at a provider that acknowledges no heartbeats."""
    tolerance: float = 0.5
    """By how much the provider's times may differ from this clock's, network included."""
    start_within: float = 1.0
    """From the first speech sent to `playback_started`."""
    verify: bool = True
    """Check the certificates of https and wss."""
    tls: ssl.SSLContext | None = None
    """What is trusted behind them; None = what the system trusts."""

    def __post_init__(self) -> None:
        _check_url("--http", self.http, ("http", "https"))
        if self.ws is not None:
            _check_url("--ws", self.ws, ("ws", "wss"))
        if not self.api_key:
            raise InvalidArgument("the provider wants an API key: --api-key or LIPWIRE_API_KEY")

    def context(self) -> ssl.SSLContext:
        """For https and wss."""
        if not self.verify:
            return ssl._create_unverified_context()
        return ssl.create_default_context() if self.tls is None else self.tls


def _check_url(name: str, url: str, schemes: tuple[str, str]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname:
        raise InvalidArgument(f"{name} {url}: a URL that begins with {schemes[0]}:// or {schemes[1]}:// is expected")
