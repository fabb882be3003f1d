"""What goes in front of a request to a service: the key, where each service wants it, and headers of the user's own.

No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from ..errors import InvalidArgument

_AZURE = re.compile(r"[a-z0-9-]+\.(openai|cognitiveservices|services\.ai)\.azure\.(com|us|cn)")
_OPENAI = re.compile(r"([a-z0-9-]+\.)*openai\.com")


def is_azure(url: str) -> bool:
    """Whether it leads to a service of Azure's that speaks OpenAI's protocol."""
    return _AZURE.fullmatch((urlsplit(url).hostname or "").lower()) is not None


def is_openai(url: str) -> bool:
    """Whether it leads to OpenAI, or to its models at Azure: they know OpenAI's voices and no others."""
    return _OPENAI.fullmatch((urlsplit(url).hostname or "").lower()) is not None or is_azure(url)


def credentials(url: str, key: str | None) -> dict[str, str]:
    """The header that a key goes in: Azure wants its own, but for tokens of Entra ID, which are JWTs."""
    if not key:
        return {}
    if is_azure(url) and not (key.startswith("eyJ") and key.count(".") == 2):
        return {"api-key": key}
    return {"authorization": f"Bearer {key}"}


_CREDENTIALS = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key"})


def brings_credentials(headers: Mapping[str, str]) -> bool:
    """Whether one of these, in small letters, says who asks."""
    return bool(_CREDENTIALS & headers.keys())


def joined(url: str, key: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request. Whoever brings credentials in one of his own wants no others beside them."""
    own = {name.lower(): value for name, value in headers.items()}
    return own if brings_credentials(own) else credentials(url, key) | own


_OPEN = frozenset({"accept", "accept-language", "content-type", "user-agent"})


def secrets_in(headers: Mapping[str, str]) -> list[str]:
    """The values that may be secrets."""
    return [value for name, value in headers.items() if name.lower() not in _OPEN]


MAX_HEADERS = 32
MAX_HEADER_BYTES = 8192
"""Of names and values together."""
FORBIDDEN = frozenset(
    (
        *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "expect"),
        *("keep-alive", "te", "trailer", "upgrade", "accept-encoding", "proxy-authorization", "proxy-connection"),
    )
)
"""Headers that say how a request is carried, which is not the user's to say."""


def check_headers(headers: Mapping[str, str]) -> None:
    """Whether these may go with every request to a service (RFC 9110, 5). Values may be secrets: they are not told.

    Raises:
        InvalidArgument: a name or a value is none, or the name is one of FORBIDDEN.
    """
    if len(headers) > MAX_HEADERS:
        raise InvalidArgument(f"has {len(headers)} headers; {MAX_HEADERS} are allowed")
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADER_BYTES:
        raise InvalidArgument(f"has more than {MAX_HEADER_BYTES} bytes of headers")
    names = [name.lower() for name in headers]
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise InvalidArgument(f"has {name[:40]!r}, which is no header's name")
        if name.lower() in FORBIDDEN:
            raise InvalidArgument(f"has {name}, which is not to be said here")
        if not re.fullmatch(r"([!-~]([ \t!-~]*[!-~])?)?", value):
            raise InvalidArgument(f"has a value for {name} that no header may have: visible ASCII, and blanks between")
        if names.count(name.lower()) > 1:
            raise InvalidArgument(f"has {name} twice")
