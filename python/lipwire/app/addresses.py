"""Where a server is reached: its URLs, its names, and what is told where a port cannot be had."""

from __future__ import annotations

from urllib.parse import quote

from ..errors import InvalidArgument
from ..servers.allowlist import Allowlist
from ..servers.listen import Limits
from .config import LOOPBACK, Config


class Addresses:
    """The URLs of a server. `http_port` and `viewer_port` are set to the bound ones when they are known.

    Args:
        secure: it speaks TLS.
    """

    def __init__(self, config: Config, *, secure: bool) -> None:
        self.config, self._secure = config, secure
        self.http_port, self.viewer_port = config.http_port, config.viewer_port

    def scheme(self, plain: str) -> str:
        """http or ws, with the s where it is due."""
        return f"{plain}s" if self._secure else plain

    @property
    def local(self) -> str:
        """The address by which this machine reaches it."""
        return in_url(LOOPBACK if self.config.bind == "0.0.0.0" else self.config.bind)

    @property
    def http_url(self) -> str:
        """The HTTP side as this machine reaches it."""
        return f"{self.scheme('http')}://{self.local}:{self.http_port}"

    @property
    def viewer_url(self) -> str:
        """The viewer page as this machine reaches it."""
        return f"{self.scheme('http')}://{self.local}:{self.viewer_port}/"

    @property
    def public_viewer_url(self) -> str:
        """The viewer page as browsers reach it, with a "/" at its end."""
        return (self.config.public_viewer_url or self.viewer_url).rstrip("/") + "/"

    @staticmethod
    def page(channel: str | None) -> str:
        """The viewer page, or the agent page in a channel, below the pages' URL."""
        return "" if channel is None else f"agent?channel={quote(channel, safe='')}"


def in_url(host: str) -> str:
    """A host as URLs have it."""
    return f"[{host}]" if ":" in host else host


def ws_urls(config: Config) -> list[str]:
    """What `public_ws_url` is for each worker; [] = it is not set, or hangs on ports that are not known yet."""
    url, count = config.public_ws_url, config.worker_count
    if url is None:
        return []
    ports = [config.ws_port + n if config.ws_port else 1 for n in range(count)]
    return [url.replace("{port}", str(port)).replace("{worker}", str(n)) for n, port in enumerate(ports)]


def make_allowlist(config: Config) -> Allowlist:
    """The names of the server, and the pages that may call it. Raises InvalidArgument."""
    own_name = [config.host] if config.host else []
    urls = [*ws_urls(config), *([config.public_viewer_url] if config.public_viewer_url else [])]
    return Allowlist.of(
        [*config.public_hosts, *own_name], config.allowed_origins, urls, hsts=config.tls_cert is not None
    )


def door_limits(config: Config) -> Limits:
    """How many may be inside, and how long they may keep it waiting."""
    wait = config.request_timeout_seconds
    return Limits(
        connections=config.max_connections,
        per_address=config.max_connections_per_address,
        head=wait,
        body=3 * wait,
        write=3 * wait,
    )


def port_taken(name: str, port: int, exc: OSError) -> InvalidArgument:
    """What is told of a port that cannot be had."""
    flag = name.replace("_", "-")
    return InvalidArgument(
        f"cannot listen on port {port}: {exc.strerror or exc}. Choose another with --{flag} or LIPWIRE_{name.upper()}"
    )
