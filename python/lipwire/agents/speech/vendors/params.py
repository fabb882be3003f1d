"""Reading a vendor's `params`: every field is understood, or refused in words. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from ....errors import InvalidArgument
from ...options import Vendor

Kind = Literal["tts", "asr"]
SOCKET = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
WEB = {"http": "http", "https": "https"}


class Params:
    """The fields of a section, each read once; `end` refuses those that nobody has read. A null is as if it were not
    there. What is wrong raises InvalidArgument; no message has a value, which may be a secret.

    Args:
        where: of the fields, for messages.
    """

    def __init__(self, where: str, fields: Any) -> None:
        self.where = where
        if not isinstance(fields, dict):
            raise InvalidArgument(f"{where} must be an object")
        self._left = {name: value for name, value in fields.items() if value is not None}
        self._known: list[str] = []
        self.urls: list[tuple[str, str, tuple[str, ...]]] = []
        """(path, URL, schemes) of those that have been read."""

    def _take(self, names: Sequence[str]) -> tuple[str, Any]:
        self._known += [name for name in names if name not in self._known]
        found = [name for name in names if name in self._left]
        if len(found) > 1:
            raise InvalidArgument(f"{self.where}.{found[0]} and {self.where}.{found[1]} mean the same: say one")
        return (found[0], self._left.pop(found[0])) if found else (names[0], None)

    def has(self, *names: str) -> bool:
        """Whether one of these is there."""
        return any(self._left.get(name) for name in names)

    def text(self, *names: str) -> str | None:
        """A text under one of these names, which mean the same; None = it is not there."""
        name, value = self._take(names)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or not value.isprintable():
            raise InvalidArgument(f"{self.where}.{name} must be a line of text")
        return value

    def needed(self, *names: str) -> str:
        """The same, where it has to be there."""
        value = self.text(*names)
        if value is None:
            raise InvalidArgument(f"{self.where}.{names[0]} is missing")
        return value

    def key(self, *names: str) -> str:
        """The key of the service, which has to be there, and goes in a header."""
        value = self.needed(*names)
        if not re.fullmatch(r"[!-~]+", value):
            raise InvalidArgument(f"{self.where}.{names[0]} is no key: it has to be visible ASCII")
        return value

    def number(self, name: str, least: float, most: float) -> float | int | None:
        _, value = self._take([name])
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise InvalidArgument(f"{self.where}.{name} must be a number from {least:g} to {most:g}")
        return value

    def one_of(self, name: str, allowed: Sequence[Any]) -> Any:
        _, value = self._take([name])
        if value is None:
            return None
        value = int(value) if isinstance(value, float) and value.is_integer() else value
        if isinstance(value, bool) or value not in allowed:
            raise InvalidArgument(f"{self.where}.{name} must be one of {', '.join(map(str, allowed))}")
        return value

    def flag(self, *names: str) -> bool | None:
        name, value = self._take(names)
        if value is not None and not isinstance(value, bool):
            raise InvalidArgument(f"{self.where}.{name} must be true or false")
        return value

    def texts(self, name: str) -> list[str]:
        """A list of texts, or one."""
        _, value = self._take([name])
        found = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(one, str) and one.isprintable() for one in found):
            raise InvalidArgument(f"{self.where}.{name} must be a text or a list of texts")
        return [one for one in found if one]

    def section(self, name: str) -> Params | None:
        """An object of fields."""
        _, value = self._take([name])
        return None if value is None else Params(f"{self.where}.{name}", value)

    def anything(self, name: str, kind: type) -> Any:
        """What the vendor itself checks, but for its kind."""
        _, value = self._take([name])
        if value is not None and not isinstance(value, kind):
            raise InvalidArgument(f"{self.where}.{name} must be {'a list' if kind is list else 'an object'}")
        return value

    def url(self, *names: str, schemes: dict[str, str], default: str = "", ends: str = "") -> str:
        """A URL of a service: `default` where there is none. `ends` is the end of its path, which a URL may leave out,
        or have.

        Args:
            schemes: what it may begin with -> what it is called by.
        """
        name = next((one for one in names if one in self._left), names[0])
        given = self.text(*names) if default else self.needed(*names)
        value = given or default
        try:
            parts = urlsplit(value)
            scheme, host, _ = schemes.get(parts.scheme.lower()), parts.hostname, parts.port
        except ValueError:
            scheme = host = None
        if scheme is None or not host:
            begins = " or ".join(f"{one}://" for one in sorted(schemes))
            raise InvalidArgument(f"{self.where}.{name} is no URL that begins with {begins}")
        if given:
            self.urls.append((f"{self.where}.{name}", given, tuple(schemes)))
        path, first = parts.path, urlsplit(default).path.removesuffix(ends)
        if ends:
            path = path.rstrip("/")
            path = path if path.endswith(ends) else (path or first) + ends
        return parts._replace(scheme=scheme, path=path, fragment="").geturl()

    def rest(self) -> dict[str, Any]:
        """All that has not been read, which goes to the service as it is."""
        rest, self._left = self._left, {}
        return rest

    def end(self) -> None:
        """Raises InvalidArgument: there are fields that nobody has read."""
        if self._left:
            name = next(iter(self._left))
            raise InvalidArgument(f"{self.where}.{name[:60]} is not known here; known are {', '.join(self._known)}")


def params_of(kind: Kind, vendor: Vendor) -> Params:
    """Those of a vendor."""
    return Params(f"{kind}.params", vendor.params)


def with_query(url: str, members: Iterable[tuple[str, Any]]) -> str:
    """The URL with more members in its query: those that are not None, true and false in small letters."""
    pairs = [
        (name, str(value).lower() if isinstance(value, bool) else value) for name, value in members if value is not None
    ]
    if not pairs:
        return url
    parts = urlsplit(url)
    return parts._replace(query="&".join(filter(None, (parts.query, urlencode(pairs))))).geturl()


def filled(**members: Any) -> dict[str, Any]:
    """Those members that are not None."""
    return {name: value for name, value in members.items() if value is not None}
