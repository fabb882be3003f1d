"""Settings: defaults < lipwire.toml < LIPWIRE_* environment < flags.

One name in every place: `http_port` is `http_port = 8764` in lipwire.toml, LIPWIRE_HTTP_PORT, and --http-port.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from .avatar import DEFAULT
from .errors import InvalidArgument

FILE = "lipwire.toml"
PREFIX = "LIPWIRE_"
LOOPBACK = "127.0.0.1"


class Config(Struct, kw_only=True, frozen=True):
    """Everything that can be set. Times end in their unit."""

    host: str | None = None
    """Address to listen on. Default: 127.0.0.1 without an API key, every address with one."""
    http_port: int = 8764
    """POST /session/start and the rest of the HTTP side. 0 = any free port, for all three."""
    ws_port: int = 8765
    """Speech comes in here."""
    viewer_port: int = 8080
    """The viewer page."""
    viewer: bool = True
    """Serve the viewer page. It asks for no key: whoever reaches its port can watch and speak."""
    public_ws_url: str | None = None
    """What `websocket_address` says. Default: ws://<host>:<ws_port>."""
    api_key: str | None = None
    """What clients send as `x-api-key`. Default: a random one, printed at start."""
    session_secret: str | None = None
    """Signs session tokens (32 bytes or more). Default: random, so that a restart ends every token."""
    max_sessions: int = 50
    avatar: str = DEFAULT
    """Who speaks where a request names an avatar that is not installed and `any_avatar` is on."""
    any_avatar: bool = True
    """Accept any `avatar_id` and show `avatar` for those that are not installed."""
    prebuffer_ms: int = 60
    """Speech that must be there before an utterance starts: more rides out jitter, less answers sooner."""
    voice_end_grace_ms: int = 300
    """Audio this long after `voice_end` still belongs to the utterance."""
    voice_end_timeout_ms: int = 1000
    """An utterance without `voice_end` is over this long after its audio ran dry."""
    guard_window_ms: int = 0
    """`voice` within this time after an interrupt is dropped."""
    buffer_seconds: float = 120.0
    """Speech that may wait in a session; more is refused with BUFFER_FULL."""
    ice_host: str | None = None
    """The one address to offer WebRTC media on. Default: every address of the machine."""
    log_level: str = "warning"

    def __post_init__(self) -> None:
        for name in ("http_port", "ws_port", "viewer_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise InvalidArgument(f"{name} must be 0..65535, got {getattr(self, name)}")
        if not 1 <= self.max_sessions <= 1024:
            raise InvalidArgument(f"max_sessions must be 1..1024, got {self.max_sessions}")
        if not 0 < self.prebuffer_ms <= 2000:
            raise InvalidArgument(f"prebuffer_ms must be 1..2000, got {self.prebuffer_ms}")
        for name in ("voice_end_grace_ms", "voice_end_timeout_ms", "guard_window_ms"):
            if not 0 <= getattr(self, name) <= 60_000:
                raise InvalidArgument(f"{name} must be 0..60000, got {getattr(self, name)}")
        if not 1 <= self.buffer_seconds <= 3600:
            raise InvalidArgument(f"buffer_seconds must be 1..3600, got {self.buffer_seconds}")
        if self.session_secret is not None and len(self.session_secret.encode()) < 32:
            raise InvalidArgument("session_secret must have 32 bytes or more")
        if self.api_key == "":
            raise InvalidArgument("api_key must not be empty")
        if self.log_level.lower() not in ("debug", "info", "warning", "error"):
            raise InvalidArgument(f"log_level must be debug, info, warning or error, got {self.log_level!r}")
        if self.api_key is None and self.host is not None and not _is_loopback(self.host):
            raise InvalidArgument(
                f"listening on {self.host} needs an API key: set LIPWIRE_API_KEY, or listen on {LOOPBACK}"
            )

    @property
    def bind(self) -> str:
        """The address to listen on."""
        return self.host or (LOOPBACK if self.api_key is None else "0.0.0.0")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    path: str | Path | None = None,
) -> Config:
    """Puts the settings together.

    Args:
        flags: what the command line says; None values count as not given.
        environment: usually os.environ.
        path: a TOML file that must exist; None = lipwire.toml in the working directory, if it is there.

    Raises:
        InvalidArgument: a file cannot be read, or a setting is unknown or out of range; it says which and where.
    """
    values: dict[str, Any] = {}
    known = Config.__struct_fields__
    file = Path(path or FILE)
    if path is not None or file.exists():
        try:
            found = tomllib.loads(file.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            raise InvalidArgument(f"cannot read {file}: {exc}") from exc
        _convert(found, str(file))
        values |= found
    for name, value in (environment or {}).items():
        key = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and key in known:
            values |= _convert({key: value}, name, strict=False)
    values |= {key: value for key, value in (flags or {}).items() if value is not None}
    return _convert_config(values)


def _convert(values: dict[str, Any], where: str, strict: bool = True) -> dict[str, Any]:
    """Checks the names and types of some settings; returns them converted."""
    unknown = [key for key in values if key not in Config.__struct_fields__]
    if unknown:
        raise InvalidArgument(f"{where}: unknown setting {unknown[0]!r}; known: {', '.join(Config.__struct_fields__)}")
    types = {f.name: f.type for f in msgspec.structs.fields(Config)}
    try:
        return {key: msgspec.convert(value, types[key], strict=strict) for key, value in values.items()}
    except msgspec.ValidationError as exc:
        raise InvalidArgument(f"{where}: {exc}") from exc


def _convert_config(values: dict[str, Any]) -> Config:
    try:
        return msgspec.convert(values, Config)
    except msgspec.ValidationError as exc:
        raise InvalidArgument(str(exc)) from exc
